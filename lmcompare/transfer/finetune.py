"""All weights train: the top layer, one linear head (Radford et al. 2018, §3.2; Devlin et al. 2019, §3.2)."""
# ruff: noqa: TID253

from typing import Any

from torch import Tensor, nn

from lmcompare.registry import transfers
from lmcompare.transfer.dataset import Batch, Dataset


@transfers.register("finetune")
class Finetune(nn.Module):
    """All weights train under one linear head."""

    def __init__(self, backend: Any, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder, self.dropout = backend.encoder, dropout
        self.width = self.pooled_width = backend.width

    def watch(self, dataset: Dataset) -> None:
        """Nothing to prepare."""

    def forward(self, batch: Batch, dataset: Dataset) -> tuple[Tensor, Tensor]:
        """A vector a token, and one a view."""
        top_BTD = self.encoder(batch.inputs)[-1]
        return top_BTD, self.encoder.pool(top_BTD, batch.inputs.pool_B)

    def layer_mix(self) -> list[float] | None:
        return None
