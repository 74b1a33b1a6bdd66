"""A transfer and the head of its task, as the training loop wants them."""
# ruff: noqa: TID253

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lmcompare import registry
from lmcompare.batches import Independent
from lmcompare.errors import UserError
from lmcompare.nn import draw_weights
from lmcompare.readers.layers import draw
from lmcompare.transfer.dataset import Batch, Dataset
from lmcompare.transfer.heads import HEADS
from lmcompare.types import Prediction, Task

HEAD_STD = 0.02
ENCODER = "body.encoder."  # how the names of its weights begin, where they train


class TaskLearner(Independent, nn.Module):
    """body (finetune or features) → vectors → head → answers."""

    higher_is_better = True

    def __init__(self, backend: Any, task: Task, transfer: dict[str, Any]) -> None:
        super().__init__()
        self.backend, self.task, self.metric = backend, task, task.metrics[0]
        self.body = registry.transfers.build(transfer, backend, task, where="transfer")
        self.head: Any = HEADS[task.kind](task, self.body.gives, dropout=self.body.dropout)
        self.weights = {"task": 1.0, **self.body.weights}

    def draw(self, seed: int) -> None:
        """Fresh weights for all but the encoder."""
        generator = torch.Generator().manual_seed(seed)
        draw_weights(self.head, std=HEAD_STD, generator=generator)
        if reader := getattr(self.body, "reader", None):
            draw(reader, generator)

    def height(self, name: str) -> int:
        """How many layers below the head a weight stands: the encoder's top layer is 1, its embeddings depth + 1;
        a reader and a mix stand with the head."""
        if not name.startswith(ENCODER):
            return 0
        layer_of = getattr(self.backend, "layer_of", None)
        if layer_of is None and self.backend.depth:
            raise UserError(
                f"optimizer.layer_decay: {self.backend.name} does not tell which layer a weight belongs to"
            )
        return self.backend.depth + 1 - (layer_of(name.removeprefix(ENCODER)) if layer_of else 0)

    def learn_from(self, dataset: Dataset) -> None:
        """The split to train on."""
        self.dataset, self.lengths = dataset, dataset.lengths
        self.body.watch(dataset)
        self.head.fit([example.label for example in dataset.examples])

    def batch(self, chosen: np.ndarray, epoch: int) -> Batch:
        return self.dataset.batch(chosen)

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"task": self.head.count(batch), **self.body.counts(batch)}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        states, top_BTD = self.body(batch, self.dataset)
        return {"task": self.head.loss(self.head(states), batch), **self.body.losses(top_BTD, batch)}

    def forward(self, batch: Batch, dataset: Dataset) -> Tensor:
        return self.head(self.body(batch, dataset)[0])

    def own_state(self) -> dict[str, Tensor]:
        """All that is not the encoder: reader, mix, head, and what the head knows of the labels."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith(ENCODER)}

    @torch.no_grad()
    def answers(self, dataset: Dataset, chosen: np.ndarray, device: torch.device) -> list[Prediction]:
        batch = dataset.batch(chosen).to(device)
        return self.head.answers(self(batch, dataset), batch)
