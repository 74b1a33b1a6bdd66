"""A bidirectional LSTM, the task network of the feature-based papers (Peters et al. 2018; Devlin et al. 2019, §5.3)."""
# ruff: noqa: TID253

from typing import Literal

import torch
from torch import Tensor, nn

from lmcompare.readers import FORMS
from lmcompare.readers import layers as parts
from lmcompare.registry import readers
from lmcompare.types import Task


@readers.register("bilstm")
class BiLstm(nn.Module):
    """Bidirectional LSTM; a view is the maximum over its tokens, or another pool."""

    serves, pairs, finished = FORMS, False, False

    def __init__(
        self,
        width: int,
        extra: int,
        task: Task,
        *,
        hidden: int = 64,
        layers: int = 1,
        dropout: float = 0.0,
        pool: Literal["max", "attention", "mean", "ends"] = "max",
    ) -> None:
        super().__init__()
        self.lstm = parts.bilstm(width, hidden, layers, dropout)
        self.width, self.hidden, self.pool = 2 * hidden + extra, hidden, pool
        self.attention = parts.Attention(self.width) if pool == "attention" else None

    def forward(
        self, x_BTD: Tensor, mask_BT: Tensor, extra_BTE: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        y_BTE = parts.beside(parts.contextual(self.lstm, x_BTD, mask_BT), extra_BTE)
        return y_BTE, self._pooled(y_BTE, mask_BT)

    def _pooled(self, y_BTE: Tensor, mask_BT: Tensor) -> Tensor:
        if self.attention is not None:
            return self.attention(y_BTE, mask_BT)
        if self.pool == "max":
            return parts.largest(y_BTE, mask_BT)
        mean_BE = parts.average(y_BTE, mask_BT)
        if self.pool == "mean":
            return mean_BE
        rows = torch.arange(len(y_BTE), device=y_BTE.device)  # where each direction has read everything
        ahead_BE = y_BTE[rows, mask_BT.sum(1).clamp(min=1) - 1, : self.hidden]
        back_BE = y_BTE[:, 0, self.hidden : 2 * self.hidden]
        return torch.cat([ahead_BE, back_BE, mean_BE[:, 2 * self.hidden :]], -1)
