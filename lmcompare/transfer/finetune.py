"""All weights train: the top layer, one linear head (Radford et al. 2018, §3.2; Devlin et al. 2019, §3.2)."""
# ruff: noqa: TID253

from typing import Any

from torch import Tensor, nn

from lmcompare.registry import transfers
from lmcompare.transfer import pairing
from lmcompare.transfer.dataset import Batch, Dataset
from lmcompare.types import Task


@transfers.register("finetune")
class Finetune(nn.Module):
    """All weights train under one linear head."""

    mix_decay = 0.0

    def __init__(self, backend: Any, task: Task, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder, self.task, self.dropout = backend.encoder, task, dropout
        self.gives = pairing.given(task, backend.parts, backend.width)

    def watch(self, dataset: Dataset) -> None:
        """Nothing to prepare."""

    def forward(self, batch: Batch, dataset: Dataset) -> Tensor:
        """A vector an answer, or one a token, as the head of the task takes them."""
        top_BTD = self.encoder(batch.inputs)[-1]
        return pairing.joined(top_BTD, self.encoder.pool(top_BTD, batch.inputs.pool_B), batch, self.task)

    def layer_mix(self) -> list[float] | None:
        return None

    def layer_mix_output(self) -> list[float] | None:
        return None
