"""From a hidden state to a word: what BERT's language models put on top of the encoder. The transform before the tied
matrix is the released code's; the paper does not speak of it."""
# ruff: noqa: TID253

from typing import Any

import torch
from torch import Tensor, nn

from lmcompare.errors import ModelError
from lmcompare.nn import draw_weights
from lmcompare.registry import activations


class WordHead(nn.Module):
    """Transform and bias; the output matrix is that of the word embeddings."""

    def __init__(self, backend: Any) -> None:
        super().__init__()
        settings = backend.settings
        self.transform = nn.Linear(backend.width, backend.width)
        self.norm = nn.LayerNorm(backend.width, eps=settings["epsilon"])
        self.bias = nn.Parameter(torch.zeros(backend.tokenizer.size))
        self.activation, self.std = activations.get(settings["activation"]), settings["init_std"]

    def draw(self, generator: torch.Generator) -> None:
        draw_weights(self.transform, std=self.std, generator=generator)

    def forward(self, states_MD: Tensor) -> Tensor:
        """What is compared with the word embeddings."""
        return self.norm(self.activation(self.transform(states_MD)))

    def named(self) -> dict[str, Tensor]:
        """Its weights under the names that `transformers` gives them."""
        return {
            "cls.predictions.bias": self.bias,
            "cls.predictions.transform.dense.weight": self.transform.weight,
            "cls.predictions.transform.dense.bias": self.transform.bias,
            "cls.predictions.transform.LayerNorm.weight": self.norm.weight,
            "cls.predictions.transform.LayerNorm.bias": self.norm.bias,
        }


@torch.no_grad()
def take(own: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    """Heads back from a folder that they were saved to."""
    for name, tensor in own.items():
        if name not in tensors or tensors[name].shape != tensor.shape:
            raise ModelError(f"the model's {name} is missing or does not fit its vocabulary")
        tensor.copy_(tensors[name])
