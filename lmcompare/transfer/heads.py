"""One linear head a kind of task: states in, logits out; the loss as a sum, and answers in the task's own words."""
# ruff: noqa: TID253

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcompare.transfer import output
from lmcompare.transfer.dataset import Batch
from lmcompare.transfer.pairing import Given
from lmcompare.transfer.spans import Span
from lmcompare.transfer.tags import Tags
from lmcompare.types import Prediction, Task


class Head(Protocol):
    """What the learner asks of each; built as `head(task, given, dropout=)`."""

    def fit(self, labels: list[Any]) -> None: ...  # what it must know of the training labels
    def forward(self, states: Tensor) -> Tensor: ...
    def count(self, batch: Batch) -> float: ...  # how many answers a loss is summed over
    def loss(self, logits: Tensor, batch: Batch) -> Tensor: ...
    def answers(self, logits: Tensor, batch: Batch) -> list[Prediction]: ...


class Classes(nn.Module):
    """A logit a class."""

    def __init__(self, task: Task, given: Given, *, dropout: float) -> None:
        super().__init__()
        self.task, self.dropout = task, output.dropout(given, dropout)
        self.linear = output.layer(given, len(task.labels))

    def fit(self, labels: list[Any]) -> None:
        """Nothing to know."""

    def forward(self, states: Tensor) -> Tensor:
        return self.linear(self.dropout(states))

    def count(self, batch: Batch) -> float:
        return len(batch.examples)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return F.cross_entropy(logits.float(), batch.labels["class_N"], reduction="sum")

    def answers(self, logits: Tensor, batch: Batch) -> list[Prediction]:
        shares_NC = logits.float().softmax(-1)
        best_N = shares_NC.argmax(-1).tolist()
        return [
            output.row(e, self.task.labels[k], [round(p, 6) for p in shares])
            for e, k, shares in zip(batch.examples, best_N, shares_NC.tolist(), strict=True)
        ]


class Score(nn.Module):
    """A number, learned in units of the training labels' spread."""

    center: Tensor
    spread: Tensor

    def __init__(self, task: Task, given: Given, *, dropout: float) -> None:
        super().__init__()
        self.dropout, self.linear = output.dropout(given, dropout), output.layer(given, 1)
        self.register_buffer("center", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))

    def fit(self, labels: list[Any]) -> None:
        values = np.array(labels, dtype=np.float64)
        self.center.fill_(float(values.mean()))
        self.spread.fill_(float(values.std()) or 1.0)

    def forward(self, states: Tensor) -> Tensor:
        return self.linear(self.dropout(states))

    def count(self, batch: Batch) -> float:
        return len(batch.examples)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        wanted_N = (batch.labels["score_N"] - self.center) / self.spread
        return F.mse_loss(logits[:, 0].float(), wanted_N, reduction="sum")

    def answers(self, logits: Tensor, batch: Batch) -> list[Prediction]:
        values = (logits[:, 0].float() * self.spread + self.center).tolist()
        return [output.row(e, round(v, 6)) for e, v in zip(batch.examples, values, strict=True)]


class Choice(nn.Module):
    """One logit an option; the options of an example compete."""

    def __init__(self, task: Task, given: Given, *, dropout: float) -> None:
        super().__init__()
        self.dropout, self.linear = output.dropout(given, dropout), output.layer(given, 1)

    def fit(self, labels: list[Any]) -> None:
        """Nothing to know."""

    def forward(self, states: Tensor) -> Tensor:
        return self.linear(self.dropout(states))

    def count(self, batch: Batch) -> float:
        return len(batch.examples)

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
            output.row(e, k, [round(p, 6) for p in shares[: len(e.options)]])
            for e, k, shares in zip(batch.examples, best_N, shares_NO.tolist(), strict=True)
        ]


HEADS: dict[str, Callable[..., Head]] = {
    "classify": Classes,
    "score": Score,
    "choice": Choice,
    "tags": Tags,
    "span": Span,
}
