"""The encoder stays as it is; what trains is a mix of its layers, a reader, and a head (Peters et al. 2018, §3)."""
# ruff: noqa: TID253

from typing import Any

import torch
from torch import Tensor, nn

from lmcompare import registry
from lmcompare.errors import UserError
from lmcompare.features_cache import FeatureCache, Layers
from lmcompare.nn import ScalarMix
from lmcompare.registry import transfers
from lmcompare.transfer.dataset import Batch, Dataset


@transfers.register("features")
class Features(nn.Module):
    """A frozen encoder, a mix of its layers, and a reader."""

    def __init__(
        self,
        backend: Any,
        *,
        layers: str | list[int] = "mix",  # "mix", "last", "average", or layers to put side by side
        reader: dict[str, Any] = {"name": "bilstm"},  # noqa: B006 - a config's default, never changed
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.cache = FeatureCache(backend)
        self.layers, self.dropout = layers, dropout
        depth = backend.depth + 1
        self.mix = ScalarMix(layers=depth) if layers == "mix" else None
        self.chosen = choose(layers, depth)
        width = backend.width * (len(layers) if isinstance(layers, list) else 1)
        self.input_dropout = nn.Dropout(dropout)
        self.reader = registry.readers.build(reader, width, where="transfer.reader")
        self.width, self.pooled_width = self.reader.width, self.reader.pooled_width
        self.seen: dict[int, Layers] = {}

    def watch(self, dataset: Dataset) -> None:
        """Compute the frozen layers of a split once; they are read from the disk from then on."""
        if id(dataset) not in self.seen:
            self.seen[id(dataset)] = self.cache.layers(dataset.views)

    def forward(self, batch: Batch, dataset: Dataset) -> tuple[Tensor, Tensor]:
        device = batch.inputs.ids_BT.device
        x_BTLD, mask_BT = self.seen[id(dataset)].stack(batch.inputs.rows, self.chosen)
        x_BTLD, mask_BT = x_BTLD.to(device), mask_BT.to(device)
        x_BTD = self.mix(x_BTLD) if self.mix else self._fixed(x_BTLD)
        return self.reader(self.input_dropout(x_BTD), mask_BT)

    def _fixed(self, x_BTLD: Tensor) -> Tensor:
        return x_BTLD.mean(2) if self.layers == "average" else x_BTLD.flatten(2)

    @torch.no_grad()
    def layer_mix(self) -> list[float] | None:
        """The share of each layer, embeddings first."""
        return [round(float(w), 6) for w in self.mix.shares()] if self.mix else None


def choose(layers: str | list[int], depth: int) -> list[int]:
    """Which layers are read, as numbers from 0 (the embeddings)."""
    if layers in ("mix", "average"):
        return list(range(depth))
    if layers == "last":
        return [depth - 1]
    if isinstance(layers, list) and layers and all(-depth <= n < depth for n in layers):
        return [n % depth for n in layers]
    raise UserError(
        f"transfer.layers: {layers!r} is not 'mix', 'last', 'average', or a list of numbers from "
        f"{-depth} to {depth - 1}"
    )
