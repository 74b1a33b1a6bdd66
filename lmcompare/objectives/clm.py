"""The left-to-right language model (Radford et al. 2018, §3.1): every token from those before it."""
# ruff: noqa: TID253

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lmcompare import randomness
from lmcompare.batches import Independent, Inputs
from lmcompare.errors import DataError, UserError
from lmcompare.registry import objectives
from lmcompare.softmax import cross_entropy
from lmcompare.text.material import Material
from lmcompare.text.running import Running
from lmcompare.types import View

HELD_OUT = 131_072  # most tokens that the held-out figures are taken from
# What a sentence that stands alone is read after, since every sentence of a text follows another.
BEFORE = "."


@dataclass(frozen=True)
class Batch:
    inputs: Inputs
    targets_BT: Tensor  # the token that follows; −1 beyond the end of a text
    full: bool = False  # known to have no −1

    @property
    def tokens(self) -> int:
        return int((self.targets_BT >= 0).sum())

    def to(self, device: torch.device) -> "Batch":
        return replace(self, inputs=self.inputs.to(device), targets_BT=self.targets_BT.to(device))


@objectives.register("clm")
class Clm(Independent, nn.Module):
    """Each token from those to its left, over full windows of running text."""

    weights: ClassVar[dict[str, float]] = {"lm": 1.0}
    metric = "perplexity"  # lower is better
    higher_is_better = False

    def __init__(self, backend: Any, *, length: int = 512) -> None:
        super().__init__()
        if not getattr(backend, "left_to_right", False):
            raise UserError(
                f"objective: clm trains a backend that reads from left to right; {backend.name} does not"
            )
        if not 1 < length <= backend.longest:
            raise UserError(f"objective.length: {length} is not from 2 to the model's {backend.longest}")
        self.backend, self.encoder, self.tokenizer = backend, backend.encoder, backend.tokenizer
        self.length = length

    def draw(self, seed: int) -> None:
        """Nothing: the output matrix is that of the word embeddings."""

    def prepare(self, material: Material) -> None:
        """Which documents are read, and which are kept apart."""
        shards, (train, held) = material.shards, material.split()
        self.held, self.seed = Running(shards, held), material.seed
        self.train_text = Running(shards, train[:0] if material.held_out_only else train)
        count = max(0, len(self.train_text) - 1) // self.length
        if not count and not material.held_out_only:
            raise DataError(
                f"the corpus has {len(self.train_text)} tokens to learn from, less than a window of {self.length}; "
                "give more text, or a smaller objective.length"
            )
        self.rows, self.lengths = np.arange(count), np.full(count, self.length)
        held_tokens = min(HELD_OUT, len(self.held) - 1)
        if held_tokens < 1:
            raise DataError("the documents held out have less than two tokens; give more text")
        self.held_rows = np.arange(-(-held_tokens // self.length))

        @lru_cache(maxsize=1)
        def text(epoch: int) -> tuple[Running, int]:
            order = randomness.permutation(len(train), self.seed, epoch, 0)
            spare = len(self.train_text) - 1 - count * self.length
            first = randomness.number(self.seed, epoch, 1) % (spare + 1)
            return Running(shards, train[order]), first

        self.text = text

    def batch(self, chosen: np.ndarray, epoch: int) -> Batch:
        """Windows of this epoch's text: its documents are in another order in every epoch."""
        text, first = self.text(epoch)
        return self._batch(text, chosen, first)

    def _batch(self, text: Running, chosen: np.ndarray, first: int) -> Batch:
        at_BT = first + chosen[:, None] * self.length + np.arange(self.length + 1)[None]
        inside_BT = at_BT < len(text)
        ids_BT = text.take(np.minimum(at_BT, len(text) - 1))
        targets_BT = np.where(inside_BT, ids_BT, -1)[:, 1:]
        B = len(chosen)
        inputs = Inputs(
            torch.from_numpy(np.ascontiguousarray(ids_BT[:, :-1])),
            torch.zeros(B, self.length, dtype=torch.long),
            None,
            torch.full((B,), self.length - 1),
        )
        return Batch(inputs, torch.from_numpy(np.ascontiguousarray(targets_BT)), bool(inside_BT.all()))

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"lm": float(batch.tokens)}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        top_MD, target_M = self.encoder(batch.inputs)[-1].flatten(0, 1), batch.targets_BT.flatten()
        if not batch.full:
            top_MD, target_M = top_MD[target_M >= 0], target_M[target_M >= 0]
        plain_VD = self.backend.tied[
            : self.tokenizer.plain
        ]  # start, delimiter and extract never occur in a text
        return {"lm": cross_entropy(top_MD, plain_VD, None, target_M)}

    @torch.no_grad()
    def evaluate(self, size: int, device: torch.device, check: Callable[[], None]) -> dict[str, float]:
        """Held-out perplexity by token, and by word, which other tokenizers can be compared by."""
        total, tokens, words = 0.0, 0, 0
        for chosen in np.split(self.held_rows, range(size, len(self.held_rows), size)):
            check()
            batch = self._batch(self.held, chosen, 0).to(device)
            total += float(self.losses(batch)["lm"])
            tokens += batch.tokens
            asked = batch.targets_BT.cpu().numpy()
            words += int(self.tokenizer.ends[asked[asked >= 0]].sum())
        told = {"perplexity": total / tokens, "word_perplexity": total / max(1, words)}
        return {k: math.exp(min(v, 700.0)) for k, v in told.items()} | {"positions": float(tokens)}

    @torch.no_grad()
    def prefers(self, blank: str, right: str, wrong: str) -> bool | None:
        """Whether the sentence with the right word at `___` is the likelier one."""
        before, ids = self.tokenizer.encode(BEFORE), [self.tokenizer.encode(w) for w in (right, wrong)]
        if any(len(pieces) != 1 for pieces in ids):
            return None
        scores = []
        for word in (right, wrong):
            view = [*before, *self.tokenizer.encode(blank.replace("___", word))][: self.backend.longest + 1]
            inputs = self.backend.stack([View(view[:-1], [0] * (len(view) - 1))])
            targets = torch.tensor([view[1:]])
            scores.append(-float(self.losses(Batch(inputs, targets).to(self.backend.tied.device))["lm"]))
        return scores[0] > scores[1]

    def shown(self, batch: Batch) -> list[str]:
        """The first window, in words."""
        pieces = self.tokenizer.pieces
        return [
            f"sees    {' '.join(pieces[i] for i in batch.inputs.ids_BT[0].tolist())}",
            f"tells   {' '.join(pieces[i] for i in batch.targets_BT[0].tolist() if i >= 0)}",
        ]

    def heads(self) -> dict[str, Tensor]:
        return {}

    def load_heads(self, tensors: dict[str, Tensor]) -> None:
        """Nothing."""
