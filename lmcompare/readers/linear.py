"""No network at all: the head reads the mixed layers as they are."""
# ruff: noqa: TID253

from torch import Tensor, nn

from lmcompare.readers import FORMS, layers
from lmcompare.registry import readers
from lmcompare.types import Task


@readers.register("linear")
class Linear(nn.Module):
    """The mixed layers as they are; a view is the mean of its tokens."""

    serves, pairs, finished = FORMS, False, False

    def __init__(self, width: int, extra: int, task: Task) -> None:
        super().__init__()
        self.width = width + extra

    def forward(
        self, x_BTD: Tensor, mask_BT: Tensor, extra_BTE: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        y_BTE = layers.beside(x_BTD, extra_BTE)
        return y_BTE, layers.average(y_BTE, mask_BT)
