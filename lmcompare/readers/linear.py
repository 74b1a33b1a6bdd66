"""No network at all: the head reads the mixed layers as they are."""
# ruff: noqa: TID253

from torch import Tensor, nn

from lmcompare.nn import mean_over_tokens
from lmcompare.registry import readers


@readers.register("linear")
class Linear(nn.Module):
    """The mixed layers as they are; a view is the mean of its tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = self.pooled_width = width

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        return x_BTD, mean_over_tokens(x_BTD, mask_BT)
