"""One linear head a kind of task: states in, logits out; the loss as a sum, and answers in the task's own words."""
# ruff: noqa: TID253

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcompare.evaluation import gold
from lmcompare.transfer.dataset import Batch
from lmcompare.types import Prediction, Task

LONGEST_ANSWER = 30  # tokens


class Head(nn.Module):
    """A linear layer over a vector an answer, or over a vector a token."""

    outputs = 1
    per_token = False

    def __init__(self, task: Task, *, width: int, dropout: float) -> None:
        super().__init__()
        self.task, self.dropout = task, nn.Dropout(dropout)
        self.linear = nn.Linear(width, self.size(task))

    def size(self, task: Task) -> int:
        return self.outputs

    def forward(self, states: Tensor) -> Tensor:
        return self.linear(self.dropout(states))

    def count(self, batch: Batch) -> float:
        return len(batch.examples)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        raise NotImplementedError

    def answers(self, logits: Tensor, batch: Batch) -> list[Prediction]:
        raise NotImplementedError

    def fit(self, labels: list[Any]) -> None:
        """Learn what a head needs to know of the training labels before the first step."""


def row(example: Any, prediction: Any, scores: Any = None) -> Prediction:
    return {"id": example.id, "label": gold(example), "prediction": prediction, "scores": scores}


def gathered(pooled_BE: Tensor, batch: Batch, *, matched: bool) -> Tensor:
    """A vector for every answer. Views that say the same thing in another order are added; two texts in views of
    their own are matched as [u, v, |u − v|, u·v]."""

    def total(chosen_B: Tensor) -> Tensor:
        empty_GE = pooled_BE.new_zeros(len(batch.options_G), pooled_BE.shape[1])
        return empty_GE.index_add(0, batch.group_B[chosen_B], pooled_BE[chosen_B])

    if not matched:
        return total(batch.part_B >= 0)
    u_GE, v_GE = total(batch.part_B == 0), total(batch.part_B == 1)
    return torch.cat([u_GE, v_GE, (u_GE - v_GE).abs(), u_GE * v_GE], -1)


class Classes(Head):
    def size(self, task: Task) -> int:
        return len(task.labels)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits.float(), batch.labels["class_N"], reduction="sum")

    def answers(self, logits: Tensor, batch: Batch) -> list[Prediction]:
        shares_NC = logits.float().softmax(-1)
        best_N = shares_NC.argmax(-1).tolist()
        return [
            row(e, self.task.labels[k], [round(p, 6) for p in shares])
            for e, k, shares in zip(batch.examples, best_N, shares_NC.tolist(), strict=True)
        ]


class Score(Head):
    """A number, learned in units of the training labels' spread."""

    center: Tensor
    spread: Tensor

    def __init__(self, task: Task, *, width: int, dropout: float) -> None:
        super().__init__(task, width=width, dropout=dropout)
        self.register_buffer("center", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))

    def fit(self, labels: list[Any]) -> None:
        values = np.array(labels, dtype=np.float64)
        self.center.fill_(float(values.mean()))
        self.spread.fill_(float(values.std()) or 1.0)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        wanted_N = (batch.labels["score_N"] - self.center) / self.spread
        return F.mse_loss(logits[:, 0].float(), wanted_N, reduction="sum")

    def answers(self, logits: Tensor, batch: Batch) -> list[Prediction]:
        values = (logits[:, 0].float() * self.spread + self.center).tolist()
        return [row(e, round(v, 6)) for e, v in zip(batch.examples, values, strict=True)]


class Choice(Head):
    """One logit an option; the options of an example compete."""

    def _table(self, logits: Tensor, batch: Batch) -> Tensor:
        owner_G, option_G = torch.tensor(batch.options_G, device=logits.device).T
        size = (len(batch.examples), int(option_G.max()) + 1)
        table_NO = logits.new_full(size, float("-inf"), dtype=torch.float32)
        table_NO[owner_G, option_G] = logits[:, 0].float()
        return table_NO

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(self._table(logits, batch), batch.labels["right_N"], reduction="sum")

    def answers(self, logits: Tensor, batch: Batch) -> list[Prediction]:
        shares_NO = self._table(logits, batch).softmax(-1)
        best_N = shares_NO.argmax(-1).tolist()
        return [
            row(e, k, [round(p, 6) for p in shares[: len(e.options)]])
            for e, k, shares in zip(batch.examples, best_N, shares_NO.tolist(), strict=True)
        ]


class Tags(Head):
    per_token = True

    def size(self, task: Task) -> int:
        return len(task.labels)

    def count(self, batch: Batch) -> float:
        return float((batch.labels["tag_BT"] >= 0).sum())

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(
            logits.flatten(0, 1).float(), batch.labels["tag_BT"].flatten(), reduction="sum"
        )

    def answers(self, logits: Tensor, batch: Batch) -> list[Prediction]:
        best_BT = logits.argmax(-1).tolist()
        rows = []
        for example, view, best_T in zip(batch.examples, batch.views, best_BT, strict=True):
            tags = [self.task.labels[best_T[t]] if t >= 0 else "O" for t in view.words]
            rows.append(row(example, tags))
        return rows


class Span(Head):
    """Start and end logits a token; the best pair over all windows answers."""

    outputs = 2
    per_token = True

    def count(self, batch: Batch) -> float:
        return len(batch.views)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        masked_BT2 = self._masked(logits, batch)
        ends_B2 = batch.labels["ends_B2"]
        losses = [F.cross_entropy(masked_BT2[..., k], ends_B2[:, k], reduction="sum") for k in (0, 1)]
        return (losses[0] + losses[1]) / 2

    def answers(self, logits: Tensor, batch: Batch) -> list[Prediction]:
        best: list[tuple[float, tuple[int, int]]] = [(-np.inf, (0, 0))] * len(batch.examples)
        table_BT2 = self._masked(logits, batch).log_softmax(1).cpu().numpy()
        for b, (view, n) in enumerate(zip(batch.views, batch.owner_B.tolist(), strict=True)):
            found = best_span(table_BT2[b], view.spans)
            if found and found[0] > best[n][0]:
                best[n] = found
        rows = []
        for example, (score, (start, end)) in zip(batch.examples, best, strict=True):
            value = round(score, 6) if np.isfinite(score) else None
            rows.append(row(example, example.texts[1][start:end], value))
        return rows

    def _masked(self, logits: Tensor, batch: Batch) -> Tensor:
        """Only the context's tokens compete, and token 0, which stands for "not in this window"."""
        inside_BT = np.zeros(logits.shape[:2], dtype=bool)
        for b, view in enumerate(batch.views):
            inside_BT[b, : len(view.spans)] = [s >= 0 for s, _ in view.spans]
        inside_BT[:, 0] = True
        return logits.float().masked_fill(~torch.from_numpy(inside_BT).to(logits.device)[..., None], -1e4)


def best_span(logits_T2: np.ndarray, spans: Any) -> tuple[float, tuple[int, int]] | None:
    """The likeliest start and end inside the context, the end not before the start nor far behind it."""
    places = np.array([t for t, (s, _) in enumerate(spans) if s >= 0], dtype=int)
    if not len(places):
        return None
    sums = logits_T2[places, 0][:, None] + logits_T2[places, 1][None, :]
    gap = places[None, :] - places[:, None]
    sums[(gap < 0) | (gap >= LONGEST_ANSWER)] = -np.inf
    start, end = np.unravel_index(int(sums.argmax()), sums.shape)
    return float(sums[start, end]), (spans[places[start]][0], spans[places[end]][1])


HEADS: dict[str, type[Head]] = {
    "classify": Classes,
    "score": Score,
    "choice": Choice,
    "tags": Tags,
    "span": Span,
}
