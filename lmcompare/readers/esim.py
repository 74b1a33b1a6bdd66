"""Two texts, each read in the light of the other (Chen et al. 2017, §3; the network of Peters et al. 2018 for SNLI)."""
# ruff: noqa: TID253

import torch
from torch import Tensor, nn

from lmcompare.readers import CHOICE, TWO_TEXTS
from lmcompare.readers.layers import SameDropout, Side, average, beside, bilstm, contextual, largest, shares
from lmcompare.registry import readers
from lmcompare.types import Task


@readers.register("esim")
class Esim(nn.Module):
    """ESIM: each word of two texts beside what it finds in the other, then a second BiLSTM."""

    serves, pairs, finished = (TWO_TEXTS, CHOICE), True, False

    def __init__(
        self, width: int, extra: int, task: Task, *, hidden: int = 300, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.encoder = bilstm(width, hidden)
        self.projection = nn.Linear(4 * (2 * hidden + extra), hidden)
        self.inference = bilstm(hidden, hidden)
        self.hidden = nn.Linear(8 * hidden, hidden)
        self.dropout, self.same_dropout = nn.Dropout(dropout), SameDropout(dropout)
        self.width = hidden

    def forward(self, first: Side, second: Side) -> Tensor:
        """A vector a pair. What comes in was dropped out already, by the transfer."""
        (a_PSD, a_mask_PS, a_extra), (b_PTD, b_mask_PT, b_extra) = first, second
        a_PSE = beside(contextual(self.encoder, a_PSD, a_mask_PS), a_extra)
        b_PTE = beside(contextual(self.encoder, b_PTD, b_mask_PT), b_extra)
        alike_PST = a_PSE @ b_PTE.transpose(1, 2)
        from_b_PSE = shares(alike_PST, b_mask_PT[:, None]) @ b_PTE
        from_a_PTE = shares(alike_PST.transpose(1, 2), a_mask_PS[:, None]) @ a_PSE
        pooled = [
            *self._pooled(a_PSE, from_b_PSE, a_mask_PS),
            *self._pooled(b_PTE, from_a_PTE, b_mask_PT),
        ]
        return torch.relu(self.hidden(self.dropout(torch.cat(pooled, -1))))

    def _pooled(self, x_PTE: Tensor, found_PTE: Tensor, mask_PT: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and maximum over what the second BiLSTM makes of a text and its finds."""
        both = torch.cat([x_PTE, found_PTE, x_PTE - found_PTE, x_PTE * found_PTE], -1)
        y_PTH = contextual(self.inference, self.same_dropout(torch.relu(self.projection(both))), mask_PT)
        return average(y_PTH, mask_PT), largest(y_PTH, mask_PT)
