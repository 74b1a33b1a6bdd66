"""Tags that are chosen together: a BiLSTM under a linear chain (Lample et al. 2016; Peters et al. 2018, §4)."""
# ruff: noqa: TID253

from typing import Literal

from torch import Tensor, nn

from lmcompare.readers import TAGS
from lmcompare.readers.chain import Scheme
from lmcompare.readers.layers import average, beside, bilstm, contextual
from lmcompare.registry import readers
from lmcompare.types import Task


@readers.register("crf")
class Crf(nn.Module):
    """BiLSTM and a linear chain over the words' tags; `hidden = 0` for the chain alone."""

    serves, pairs, finished = (TAGS,), False, False

    def __init__(
        self,
        width: int,
        extra: int,
        task: Task,
        *,
        hidden: int = 200,
        layers: int = 2,
        dropout: float = 0.5,
        scheme: Literal["BIO", "BIOUL"] = "BIOUL",
    ) -> None:
        super().__init__()
        Scheme(task.labels, scheme)  # says at once what it cannot use
        self.scheme = scheme  # the head's linear layer and chain follow
        self.lstm = bilstm(width, hidden, layers, dropout) if hidden else None
        self.width = (2 * hidden or width) + extra

    def forward(
        self, x_BTD: Tensor, mask_BT: Tensor, extra_BTE: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        y_BTE = x_BTD if self.lstm is None else contextual(self.lstm, x_BTD, mask_BT)
        y_BTE = beside(y_BTE, extra_BTE)
        return y_BTE, average(y_BTE, mask_BT)
