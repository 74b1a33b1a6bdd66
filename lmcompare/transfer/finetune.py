"""All weights train: the top layer, one linear head, and the language model's own loss beside the task's where asked
(Radford et al. 2018, §3.2; Devlin et al. 2019, §3.2); or a task network between the two."""
# ruff: noqa: TID253

from typing import Any

import torch
from torch import Tensor, nn

from lmcompare.batches import Inputs
from lmcompare.errors import UserError
from lmcompare.registry import transfers
from lmcompare.softmax import cross_entropy
from lmcompare.transfer import pairing
from lmcompare.transfer.dataset import Batch, Dataset
from lmcompare.transfer.features import fitting
from lmcompare.types import Task


@transfers.register("finetune")
class Finetune(nn.Module):
    """All weights train under one linear head, or under a reader and one."""

    def __init__(
        self,
        backend: Any,
        task: Task,
        *,
        dropout: float = 0.1,
        aux_lm: float = 0.0,  # λ: how much the language model's loss over the same views counts
        reader: dict[str, Any] | None = None,  # over the top layer, drawn afresh (Devlin et al. 2019, §5.1)
    ) -> None:
        super().__init__()
        if aux_lm < 0:
            raise UserError(f"transfer.aux_lm: {aux_lm} is less than 0")
        if aux_lm and not getattr(backend, "left_to_right", False):
            raise UserError(f"transfer.aux_lm: {backend.name} does not read from left to right; gpt does")
        self.weights = {"lm": aux_lm} if aux_lm else {}
        self.encoder, self.task, self.dropout = backend.encoder, task, dropout
        self.reader = None if reader is None else fitting(reader, task, backend.width, 0, single=True)
        self.gives = pairing.given(
            task,
            backend.parts,
            backend.width if self.reader is None else self.reader.width,
            finished=getattr(self.reader, "finished", False),
            scheme=getattr(self.reader, "scheme", None),
        )

    def watch(self, dataset: Dataset) -> None:
        """Nothing to prepare."""

    def forward(self, batch: Batch, dataset: Dataset) -> tuple[Tensor, Tensor]:
        """A vector an answer, or one a token, as the head of the task takes them; and the top layer."""
        top_BTD = self.encoder(batch.inputs)[-1]
        if self.reader is None:
            states_BTE, pooled_BE = top_BTD, self.encoder.pool(top_BTD, batch.inputs.pool_B)
        else:
            states_BTE, pooled_BE = self.reader(top_BTD, real(batch.inputs))
        return pairing.joined(states_BTE, pooled_BE, batch, self.task), top_BTD

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"lm": float(len(batch.views))} if self.weights else {}

    def losses(self, top_BTD: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What is learned beside the task."""
        return {"lm": next_tokens(top_BTD, batch.inputs, self.encoder.words.weight)} if self.weights else {}

    def layer_mix(self) -> list[float] | None:
        return None

    def layer_mix_output(self) -> list[float] | None:
        return None


def real(inputs: Inputs) -> Tensor:
    """Which tokens are no padding."""
    return torch.ones_like(inputs.ids_BT, dtype=torch.bool) if inputs.mask_BT is None else inputs.mask_BT


def next_tokens(top_BTD: Tensor, inputs: Inputs, words_VD: Tensor) -> Tensor:
    """Each view's mean loss over its real tokens but the first, summed over the views: a long view counts as much as
    a short one, as in the released code."""
    ids_BT, asked_BT = inputs.ids_BT, real(inputs)[:, 1:]
    share_BT = asked_BT / asked_BT.sum(1, keepdim=True)
    return cross_entropy(
        top_BTD[:, :-1][asked_BT], words_VD, None, ids_BT[:, 1:][asked_BT], share_BT[asked_BT]
    )
