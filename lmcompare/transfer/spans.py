"""The head of tasks whose answer is a piece of the context."""
# ruff: noqa: TID253

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcompare.transfer import output
from lmcompare.transfer.dataset import Batch
from lmcompare.transfer.pairing import Given
from lmcompare.types import Prediction, Task

LONGEST_ANSWER = 30  # tokens
Spans = Sequence[tuple[int, int]]


class Span(nn.Module):
    """Start and end logits a token; the best pair over all windows answers.

    The token that stands for a whole view also stands for "not in this window". Where the question has a view of its
    own, no token can: place 0 is put before the context, and its two logits are learned as they are (Clark and
    Gardner 2018, §3.3).
    """

    def __init__(self, task: Task, given: Given, *, dropout: float) -> None:
        super().__init__()
        self.dropout, self.linear = output.dropout(given, dropout), output.layer(given, 2)
        self.absent = nn.Parameter(torch.zeros(2)) if given.apart else None

    def fit(self, labels: list[Any]) -> None:
        """Nothing to know."""

    def forward(self, states_WTE: Tensor) -> Tensor:
        logits_WT2 = self.linear(self.dropout(states_WTE))
        if self.absent is None:
            return logits_WT2
        absent_W12 = self.absent.to(logits_WT2.dtype).expand(len(logits_WT2), 1, 2)
        return torch.cat([absent_W12, logits_WT2], 1)

    def count(self, batch: Batch) -> float:
        return len(windows(batch))

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        masked_WT2, ends_W2 = self._masked(logits, batch), self._ends(batch)
        losses = [F.cross_entropy(masked_WT2[..., k], ends_W2[:, k], reduction="sum") for k in (0, 1)]
        return (losses[0] + losses[1]) / 2

    def answers(self, logits: Tensor, batch: Batch) -> list[Prediction]:
        best: list[tuple[float, tuple[int, int]]] = [(-np.inf, (0, 0))] * len(batch.examples)
        table_WT2 = self._masked(logits, batch).log_softmax(1).cpu().numpy()
        owners = batch.owner_B.tolist()
        for w, b in enumerate(windows(batch)):
            found = best_span(table_WT2[w], self._places(batch.views[b].spans))
            if found and found[0] > best[owners[b]][0]:
                best[owners[b]] = found
        rows = []
        for example, (score, (start, end)) in zip(batch.examples, best, strict=True):
            value = round(score, 6) if np.isfinite(score) else None
            rows.append(output.row(example, example.texts[1][start:end], value))
        return rows

    def _places(self, spans: Spans) -> Spans:
        """The characters of each place in a window."""
        return spans if self.absent is None else [(-1, -1), *(span for span in spans if span[0] >= 0)]

    def _ends(self, batch: Batch) -> Tensor:
        """First and last place of the answer; twice that of "not here" where the window does not hold it."""
        chosen = windows(batch)
        ends_W2 = batch.labels["ends_B2"][chosen]
        if self.absent is None:
            return ends_W2
        first_W = [next((t for t, (s, _) in enumerate(batch.views[b].spans) if s >= 0), 0) for b in chosen]
        moved_W2 = ends_W2 + 1 - torch.tensor(first_W, device=ends_W2.device)[:, None]
        return moved_W2 * batch.labels["inside_B"][chosen][:, None]

    def _masked(self, logits: Tensor, batch: Batch) -> Tensor:
        """Only the context's tokens compete, and the place of "not here"."""
        inside_WT = np.zeros(logits.shape[:2], dtype=bool)
        for w, b in enumerate(windows(batch)):
            places = self._places(batch.views[b].spans)
            inside_WT[w, : len(places)] = [s >= 0 for s, _ in places]
            inside_WT[w, batch.views[b].pool if self.absent is None else 0] = True
        return logits.float().masked_fill(~torch.from_numpy(inside_WT).to(logits.device)[..., None], -1e4)


def windows(batch: Batch) -> list[int]:
    """The views that may hold an answer: not those of a question alone."""
    return [b for b, view in enumerate(batch.views) if view.part == batch.parts - 1]


def best_span(logits_T2: np.ndarray, spans: Spans) -> tuple[float, tuple[int, int]] | None:
    """The likeliest start and end inside the context, the end not before the start nor far behind it."""
    places = np.array([t for t, (s, _) in enumerate(spans) if s >= 0], dtype=int)
    if not len(places):
        return None
    sums = logits_T2[places, 0][:, None] + logits_T2[places, 1][None, :]
    gap = places[None, :] - places[:, None]
    sums[(gap < 0) | (gap >= LONGEST_ANSWER)] = -np.inf
    start, end = np.unravel_index(int(sums.argmax()), sums.shape)
    return float(sums[start, end]), (spans[places[start]][0], spans[places[end]][1])
