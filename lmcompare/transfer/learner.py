"""A transfer and the head of its task, as the training loop wants them."""
# ruff: noqa: TID253

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lmcompare import registry
from lmcompare.nn import draw_weights
from lmcompare.transfer.dataset import Batch, Dataset
from lmcompare.transfer.heads import HEADS, gathered
from lmcompare.types import Prediction, Task

HEAD_STD = 0.02


class TaskLearner(nn.Module):
    """body (finetune or features) → vectors → head → answers."""

    weights: ClassVar[dict[str, float]] = {"task": 1.0}
    higher_is_better = True

    def __init__(self, backend: Any, task: Task, transfer: dict[str, Any]) -> None:
        super().__init__()
        self.task, self.metric = task, task.metrics[0]
        self.body = registry.transfers.build(transfer, backend, where="transfer")
        head = HEADS[task.kind]
        self.matched = (
            backend.parts == 2 and not head.per_token and (task.texts == 2 or task.kind == "choice")
        )
        width = self.body.width if head.per_token else self.body.pooled_width * (4 if self.matched else 1)
        self.head = head(task, width=width, dropout=self.body.dropout)

    def draw(self, seed: int) -> None:
        """Fresh weights for all but the encoder."""
        generator = torch.Generator().manual_seed(seed)
        draw_weights(self.head, std=HEAD_STD, generator=generator)
        if reader := getattr(self.body, "reader", None):
            for _, p in sorted(reader.named_parameters()):
                bound = (3.0 / p.shape[-1]) ** 0.5 if p.ndim >= 2 else 0.0
                with torch.no_grad():
                    p.uniform_(-bound, bound, generator=generator)

    def learn_from(self, dataset: Dataset) -> None:
        """The split to train on."""
        self.dataset, self.lengths = dataset, dataset.lengths
        self.body.watch(dataset)
        self.head.fit([example.label for example in dataset.examples])

    def batch(self, chosen: np.ndarray, epoch: int) -> Batch:
        return self.dataset.batch(chosen)

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"task": self.head.count(batch)}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"task": self.head.loss(self(batch, self.dataset), batch)}

    def forward(self, batch: Batch, dataset: Dataset) -> Tensor:
        states_BTE, pooled_BE = self.body(batch, dataset)
        if self.head.per_token:
            return self.head(states_BTE)
        return self.head(gathered(pooled_BE, batch, matched=self.matched))

    def own_state(self) -> dict[str, Tensor]:
        """All that is not the encoder: reader, mix, head, and what the head knows of the labels."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("body.encoder.")}

    @torch.no_grad()
    def answers(self, dataset: Dataset, chosen: np.ndarray, device: torch.device) -> list[Prediction]:
        batch = dataset.batch(chosen).to(device)
        return self.head.answers(self(batch, dataset), batch)
