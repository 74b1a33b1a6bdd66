"""What an objective learns from: a tokenized corpus, and how it may be used."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmcompare.text.shards import Shards


@dataclass(frozen=True)
class Material:
    """A tokenized corpus, the share of its documents that is held out, and the seed of what is drawn from it."""

    shards: Shards
    holdout: float
    seed: int
    held_out_only: bool = False  # nothing will be trained
    folder: Path | None = None  # where what takes long to cut is kept for the next run; absent: in memory
    workers: int = 1  # processes that may cut
    check: Callable[[], None] = lambda: None  # whether a signal asks for the end
    note: Callable[[str], None] = lambda text: None

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the documents to learn from and of those held out."""
        return self.shards.split(self.holdout)
