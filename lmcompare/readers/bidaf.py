"""A question and a context that attend to each other (Seo et al. 2017, §2)."""
# ruff: noqa: TID253

import torch
from torch import Tensor, nn

from lmcompare.readers import SPAN
from lmcompare.readers.layers import Side, beside, bilstm, contextual, shares
from lmcompare.registry import readers
from lmcompare.types import Task


class Highway(nn.Module):
    """Layers that change only what their gate lets them (Srivastava et al. 2015)."""

    def __init__(self, width: int, *, layers: int) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.carries = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))

    def forward(self, x_BTD: Tensor) -> Tensor:
        for transform, carry in zip(self.transforms, self.carries, strict=True):
            kept_BTD = torch.sigmoid(carry(x_BTD))
            x_BTD = kept_BTD * x_BTD + (1 - kept_BTD) * torch.relu(transform(x_BTD))
        return x_BTD

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """It begins by letting most through."""
        for carry in self.carries:
            carry.get_parameter("bias").fill_(1.0)


class Trilinear(nn.Module):
    """How alike a word of each text is: w·[a, b, a·b], without a table of the three for every pair of words."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, 1), nn.Linear(width, 1, bias=False)
        self.product = nn.Parameter(torch.zeros(width))

    def forward(self, a_PSE: Tensor, b_PTE: Tensor) -> Tensor:
        both_PST = (a_PSE * self.product) @ b_PTE.transpose(1, 2)
        return both_PST + self.first(a_PSE) + self.second(b_PTE).transpose(1, 2)

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        bound = len(self.product) ** -0.5
        self.product.uniform_(-bound, bound, generator=generator)


@readers.register("bidaf")
class Bidaf(nn.Module):
    """BiDAF: attention from the context to the question and back, then where the answer starts and ends."""

    serves, pairs, finished = (SPAN,), True, True

    def __init__(
        self,
        width: int,
        extra: int,
        task: Task,
        *,
        hidden: int = 100,
        highways: int = 2,
        layers: int = 2,  # of the modeling BiLSTM
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        read, modeled = 2 * hidden + extra, 2 * hidden
        self.highway = Highway(width, layers=highways)
        self.phrase = bilstm(width, hidden)
        self.alike = Trilinear(read)
        self.modeling = bilstm(4 * read, hidden, layers, dropout)
        self.ending = bilstm(4 * read + 3 * modeled, hidden)
        self.start, self.end = (nn.Linear(4 * read + modeled, 1) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.width = 2

    def forward(self, question: Side, context: Side) -> Tensor:
        """Start and end logits of each word of the context."""
        q_PSE, q_mask_PS = self._read(question), question[1]
        c_PTE, c_mask_PT = self._read(context), context[1]
        merged_PTF = self._merged(q_PSE, q_mask_PS, c_PTE, c_mask_PT)
        m_PTH = self.dropout(contextual(self.modeling, merged_PTF, c_mask_PT))
        start_PT = self.start(self.dropout(torch.cat([merged_PTF, m_PTH], -1)))[..., 0]
        began_PTH = (shares(start_PT, c_mask_PT)[:, None] @ m_PTH).expand_as(m_PTH)
        to_end = torch.cat([merged_PTF, m_PTH, began_PTH, m_PTH * began_PTH], -1)
        e_PTH = self.dropout(contextual(self.ending, to_end, c_mask_PT))
        end_PT = self.end(self.dropout(torch.cat([merged_PTF, e_PTH], -1)))[..., 0]
        return torch.stack([start_PT, end_PT], -1)

    def _read(self, side: Side) -> Tensor:
        x_PTD, mask_PT, extra_PTE = side
        return self.dropout(beside(contextual(self.phrase, self.highway(x_PTD), mask_PT), extra_PTE))

    def _merged(self, q_PSE: Tensor, q_mask_PS: Tensor, c_PTE: Tensor, c_mask_PT: Tensor) -> Tensor:
        """Each word of the context, what it finds in the question, and what the question finds in the context."""
        alike_PTS = self.alike(c_PTE, q_PSE)
        found_PTE = shares(alike_PTS, q_mask_PS[:, None]) @ q_PSE
        hidden_PTS = alike_PTS.masked_fill(~q_mask_PS[:, None], torch.finfo(alike_PTS.dtype).min)
        back_P1T = shares(hidden_PTS.amax(-1), c_mask_PT)[:, None]
        back_PTE = (back_P1T @ c_PTE).expand_as(c_PTE)
        return torch.cat([c_PTE, found_PTE, c_PTE * found_PTE, c_PTE * back_PTE], -1)
