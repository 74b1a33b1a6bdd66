"""The head of tasks whose answer is a piece of the context."""
# ruff: noqa: TID253

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcompare.metrics import f1_or_empty
from lmcompare.transfer import output
from lmcompare.transfer.dataset import Batch
from lmcompare.transfer.pairing import Given
from lmcompare.types import Prediction, Task, View

Spans = Sequence[tuple[int, int]]
Found = tuple[float, tuple[int, int]]  # how likely, and its characters


class Span(nn.Module):
    """Start and end logits a token; the best pair over all windows answers.

    The token that stands for a whole view also stands for "not in this window". Where the question has a view of its
    own, no token can: place 0 is put before the context, and its two logits are learned as they are (Clark and
    Gardner 2018, §3.3).

    A question that may have no answer is left without one where "not here", in the window that believes in it least,
    is likelier than the best answer by more than the threshold (Devlin et al. 2019, §4.3). Pairs of several windows
    are compared by their probability in their own window; the released script compares bare logits. In a context of
    one window the two are the same.
    """

    threshold: Tensor

    def __init__(self, task: Task, given: Given, *, dropout: float) -> None:
        super().__init__()
        self.task = task
        self.dropout, self.linear = output.dropout(given, dropout), output.layer(given, 2)
        self.absent = nn.Parameter(torch.zeros(2)) if given.apart else None
        if task.unanswerable:
            self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))

    def fit(self, labels: list[Any]) -> None:
        """Nothing to know."""

    def settle(self, predictions: Sequence[Prediction]) -> None:
        """From answers to questions that may have none: when to leave one without."""
        self.threshold.fill_(best_threshold(predictions))

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
        found: list[list[Found]] = [[] for _ in batch.examples]
        null = [math.inf] * len(batch.examples)
        table_WT2 = self._masked(logits, batch).log_softmax(1).cpu().numpy()
        owners, most, longest = batch.owner_B.tolist(), self.task.n_best, self.task.longest_answer
        for w, b in enumerate(windows(batch)):
            n, spans = owners[b], self._places(batch.views[b].spans)
            found[n] += best_spans(table_WT2[w], spans, most=most, longest=longest)
            null[n] = min(null[n], float(table_WT2[w, self._nowhere(batch.views[b])].sum()))
        limit = float(self.threshold) if self.task.unanswerable else math.inf
        rows = []
        for example, spans_of, absent in zip(batch.examples, found, null, strict=True):
            scores: dict[str, Any] = {
                "null": round(absent, 6),
                "best": distinct(example.texts[1], spans_of, most),
            }
            told = "" if doubt(scores) > limit else scores["best"][0][0] if scores["best"] else ""
            rows.append(output.row(example, told, scores))
        return rows

    def _places(self, spans: Spans) -> Spans:
        """The characters of each place in a window."""
        return spans if self.absent is None else [(-1, -1), *(span for span in spans if span[0] >= 0)]

    def _nowhere(self, view: View) -> int:
        """The place of "not here"."""
        return view.pool if self.absent is None else 0

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
            inside_WT[w, self._nowhere(batch.views[b])] = True
        return logits.float().masked_fill(~torch.from_numpy(inside_WT).to(logits.device)[..., None], -1e4)


def windows(batch: Batch) -> list[int]:
    """The views that may hold an answer: not those of a question alone."""
    return [b for b, view in enumerate(batch.views) if view.part == batch.parts - 1]


def best_spans(logits_T2: np.ndarray, spans: Spans, *, most: int, longest: int) -> list[Found]:
    """The likeliest pairs of a start and an end inside the context, best first; the end is not before the start, and
    an answer no longer than `longest` tokens."""
    places = np.array([t for t, (s, e) in enumerate(spans) if 0 <= s < e], dtype=int)
    if not len(places):
        return []
    longest = min(longest, len(places))
    start_P, end_P = logits_T2[places].T
    beyond = np.full(longest - 1, -np.inf, dtype=end_P.dtype)
    end_PK = np.lib.stride_tricks.sliding_window_view(np.concatenate([end_P, beyond]), longest)
    sums = (start_P[:, None] + end_PK).ravel()
    count = min(most, len(sums))
    near = np.flatnonzero(sums >= np.partition(sums, -count)[-count])
    chosen = near[np.argsort(-sums[near], kind="stable")][:count]
    pairs = [(float(sums[at]), *divmod(int(at), longest)) for at in chosen if np.isfinite(sums[at])]
    return [(score, (spans[places[p]][0], spans[places[p + k]][1])) for score, p, k in pairs]


def distinct(context: str, found: Sequence[Found], most: int) -> list[list[Any]]:
    """The best answers of all windows as texts, each once, with its score; some tokenizers count the space before a
    word as its own."""
    best: dict[str, float] = {}
    for score, (start, end) in sorted(found, key=lambda one: -one[0]):
        if text := context[start:end].strip():
            best.setdefault(text, round(score, 6))
    return [[text, score] for text, score in best.items()][:most]


def doubt(scores: dict[str, Any]) -> float:
    """How much likelier "no answer" is than the best answer; without any, there is no doubt left."""
    return scores["null"] - scores["best"][0][1] if scores["best"] else math.inf


def best_threshold(predictions: Sequence[Prediction]) -> float:
    """The doubt beyond which to give no answer, for the highest F1 of these questions; the lowest of several that are
    as good.

    It lies halfway between two doubts: the published search takes the lower of them, where rounding could turn the
    answer to that question.
    """
    gains: dict[float, list[float]] = {}  # what answering is worth, by doubt
    for row in predictions:
        if row["scores"]["best"]:
            text, label = row["scores"]["best"][0][0], row["label"]
            gain = f1_or_empty(label, text) - f1_or_empty(label, "")
            gains.setdefault(doubt(row["scores"]), []).append(gain)
    if not gains:
        return 0.0
    doubts = sorted(gains)
    totals = np.cumsum([0.0, *(math.fsum(gains[at]) for at in doubts)])
    best = int(totals.argmax())  # so many of the doubts are answered
    edges = [doubts[0] - 2, *doubts, doubts[-1] + 2]
    return (edges[best] + edges[best + 1]) / 2
