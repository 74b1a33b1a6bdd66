"""One text that attends to itself (McCann et al. 2017, §5; the network of Peters et al. 2018 for SST-5)."""
# ruff: noqa: TID253

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from lmcompare.readers import ONE_TEXT, outputs
from lmcompare.readers.layers import Attention, average, beside, bilstm, contextual, largest, shares
from lmcompare.registry import readers
from lmcompare.types import Task


class Maxout(nn.Module):
    """Layers whose every output is the largest of `pool` linear ones (Goodfellow et al. 2013)."""

    def __init__(self, sizes: Sequence[int], *, pool: int, dropout: Sequence[float]) -> None:
        super().__init__()
        if len(dropout) != len(sizes) - 2:
            raise ValueError(f"maxout_dropout: {len(sizes) - 2} inner layers, but {len(dropout)} rates")
        self.linears = nn.ModuleList(nn.Linear(a, b * pool) for a, b in pairwise(sizes))
        self.dropouts = nn.ModuleList(nn.Dropout(rate) for rate in (*dropout, 0.0))
        self.pool = pool

    def forward(self, x_BD: Tensor) -> Tensor:
        for linear, dropout in zip(self.linears, self.dropouts, strict=True):
            x_BD = dropout(linear(x_BD).unflatten(-1, (-1, self.pool)).amax(-1))
        return x_BD


@readers.register("bcn")
class Bcn(nn.Module):
    """BCN for one text: BiLSTM, attention to itself, a second BiLSTM, four pools, maxout layers."""

    serves, pairs, finished = (ONE_TEXT,), False, True

    def __init__(
        self,
        width: int,
        extra: int,
        task: Task,
        *,
        hidden: int = 300,
        dropout: float = 0.25,  # of the first layer
        pooled_dropout: float = 0.1,
        maxout: tuple[int, ...] = (1200, 600),  # widths, but for the last layer's
        maxout_pool: int = 4,
        maxout_dropout: tuple[float, ...] = (0.2, 0.3),
    ) -> None:
        super().__init__()
        self.before = nn.Linear(width, hidden)
        self.before_dropout = nn.Dropout(dropout)
        self.encoder, self.integrator = bilstm(hidden, hidden), bilstm(6 * hidden, hidden)
        joined = 2 * hidden + extra
        self.attention = Attention(joined)
        self.pooled_dropout = nn.Dropout(pooled_dropout)
        self.width = outputs(task)
        self.maxout = Maxout((4 * joined, *maxout, self.width), pool=maxout_pool, dropout=maxout_dropout)

    def forward(
        self, x_BTD: Tensor, mask_BT: Tensor, extra_BTE: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Its states, and the answer's logits."""
        x_BTH = self.before_dropout(torch.relu(self.before(x_BTD)))
        e_BTE = contextual(self.encoder, x_BTH, mask_BT)
        found_BTE = shares(e_BTE @ e_BTE.transpose(1, 2), mask_BT[:, None]) @ e_BTE
        both = torch.cat([e_BTE, e_BTE - found_BTE, e_BTE * found_BTE], -1)
        y_BTE = beside(contextual(self.integrator, both, mask_BT), extra_BTE)
        pools = [
            largest(y_BTE, mask_BT),
            -largest(-y_BTE, mask_BT),
            average(y_BTE, mask_BT),
            self.attention(y_BTE, mask_BT),
        ]
        return y_BTE, self.maxout(self.pooled_dropout(torch.cat(pools, -1)))
