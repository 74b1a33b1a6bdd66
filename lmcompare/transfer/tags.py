"""The head of tasks with a tag a word."""
# ruff: noqa: TID253

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcompare.readers.chain import Chain, Scheme
from lmcompare.transfer import output
from lmcompare.transfer.dataset import Batch
from lmcompare.transfer.pairing import Given
from lmcompare.types import Prediction, Task, View

OUTSIDE = "O"  # what a word that was cut off is called


class Tags(nn.Module):
    """A logit a tag at the token that speaks for each word; with a chain, all tags of a sentence are one answer."""

    def __init__(self, task: Task, given: Given, *, dropout: float) -> None:
        super().__init__()
        self.task, self.dropout = task, output.dropout(given, dropout)
        self.scheme = Scheme(task.labels, given.scheme) if given.scheme else None
        tags = self.scheme.tags if self.scheme else task.labels
        self.linear = output.layer(given, len(tags))
        self.chain = Chain(tags, given.scheme) if given.scheme else None

    def fit(self, labels: list[Any]) -> None:
        """Nothing to know."""

    def forward(self, states: Tensor) -> Tensor:
        return self.linear(self.dropout(states))

    def count(self, batch: Batch) -> float:
        if self.chain is not None:
            return len(batch.examples)
        return float((batch.labels["tag_BT"] >= 0).sum())

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        tag_BT = batch.labels["tag_BT"]
        if self.chain is None or self.scheme is None:
            return F.cross_entropy(logits.flatten(0, 1).float(), tag_BT.flatten(), reduction="sum")
        at_BW, mask_BW = word_places(batch.views, logits.device)
        tags_BW = self.scheme.written(tag_BT.gather(1, at_BW) * mask_BW, mask_BW)
        return -self.chain.log_likelihood(at_words(logits, at_BW), tags_BW, mask_BW).sum()

    def answers(self, logits: Tensor, batch: Batch) -> list[Prediction]:
        rows = []
        for example, view, tags in zip(batch.examples, batch.views, self._best(logits, batch), strict=True):
            found = iter(tags)
            rows.append(output.row(example, [next(found) if t >= 0 else OUTSIDE for t in view.words]))
        return rows

    def _best(self, logits: Tensor, batch: Batch) -> list[list[str]]:
        """The tags of each view's words, but for those that were cut off."""
        at_BW, mask_BW = word_places(batch.views, logits.device)
        words_BWC = at_words(logits, at_BW)
        counts = mask_BW.sum(1).tolist()
        if self.chain is None or self.scheme is None:
            best = words_BWC.argmax(-1).tolist()
            return [[self.task.labels[k] for k in row[:n]] for row, n in zip(best, counts, strict=True)]
        best = self.chain.best(words_BWC, mask_BW).tolist()
        return [self.scheme.read(row[:n]) for row, n in zip(best, counts, strict=True)]


def word_places(views: Sequence[View], device: torch.device) -> tuple[Tensor, Tensor]:
    """The token that speaks for each word that was not cut off, and which of these places are words."""
    found = [[t for t in view.words if t >= 0] for view in views]
    W = max(1, *map(len, found))
    at_BW = torch.tensor([row + [0] * (W - len(row)) for row in found], device=device)
    lengths_B1 = torch.tensor([[len(row)] for row in found], device=device)
    return at_BW, torch.arange(W, device=device)[None] < lengths_B1


def at_words(logits_BTC: Tensor, at_BW: Tensor) -> Tensor:
    """A CRF runs over words, not over their pieces."""
    return logits_BTC.float().gather(1, at_BW[..., None].expand(-1, -1, logits_BTC.shape[-1]))
