"""BERT's training instances: two stretches of a corpus each, cut once and formatted when they are asked for."""

from typing import Any

import numpy as np

from lmcompare.batches import Inputs
from lmcompare.config import fingerprint
from lmcompare.errors import UserError
from lmcompare.text import pairs
from lmcompare.text.material import Material

SHORTEST = 8  # tokens an instance
HELD_OUT = 1024  # most instances that the held-out figures are taken from


class Instances:
    """How a corpus is cut for a backend; after `cut`, the rows to learn from and those held out."""

    rows: np.ndarray
    held_rows: np.ndarray

    def __init__(
        self, backend: Any, *, length: int, passes: int, short_rate: float, random_rate: float
    ) -> None:
        if not SHORTEST <= length <= backend.longest:
            raise UserError(
                f"objective.length: {length} is not from {SHORTEST} to the model's {backend.longest}"
            )
        if passes < 1 or not 0 <= short_rate <= 1:
            raise UserError("objective: passes is at least 1, short_rate from 0 to 1")
        self.backend, self.passes = backend, passes
        self.rules: dict[str, Any] = {"length": length, "short_rate": short_rate, "random_rate": random_rate}

    def cut(self, material: Material) -> None:
        """Every document cut `passes` times, each time otherwise; some documents are kept apart."""
        shards, (train, held) = material.shards, material.split()
        self.tokens, self.rows = shards.tokens, np.zeros((0, 5), dtype=np.int64)
        self.held_rows = pairs.make(shards, held, passes=1, seed=0, **self.rules)[:HELD_OUT]
        if material.held_out_only:
            return
        how: dict[str, Any] = {"passes": self.passes, "seed": material.seed, **self.rules}
        if material.folder is None:
            self.rows = pairs.make(shards, train, check=material.check, **how)
            return
        self.rows = pairs.instances(
            shards,
            train,
            material.folder / fingerprint({**how, "holdout": material.holdout}),
            workers=material.workers,
            check=material.check,
            note=material.note,
            **how,
        )

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Tokens of each view: the two stretches, [CLS], and a [SEP] after each that is not empty."""
        first, second = rows[:, 1] - rows[:, 0], rows[:, 3] - rows[:, 2]
        return (first + second + 2 + (second > 0)).astype(np.int32)

    def inputs(self, rows: np.ndarray) -> Inputs:
        views = []
        for a0, a1, b0, b1, _ in rows.tolist():
            parts = [self.tokens[a0:a1].tolist(), self.tokens[b0:b1].tolist()]
            views.append(self.backend.view(parts if parts[1] else parts[:1]))
        return self.backend.stack(views)
