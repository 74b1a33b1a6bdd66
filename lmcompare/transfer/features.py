"""The encoder stays as it is; what trains is a mix of its layers, a reader, and a head (Peters et al. 2018, §3)."""
# ruff: noqa: TID253

from typing import Any, Literal

import torch
from torch import Tensor, nn

from lmcompare import registry
from lmcompare.errors import UserError
from lmcompare.features_cache import FeatureCache, Layers
from lmcompare.nn import ScalarMix
from lmcompare.readers import form
from lmcompare.registry import transfers
from lmcompare.transfer import pairing
from lmcompare.transfer.dataset import Batch, Dataset
from lmcompare.types import Task

# What a name stands for: how its layers become one input, and which they are. Table 7 of Devlin et al. 2019 (§5.3) has
# embeddings, second_to_last, last, mix_last_4 and mix (its weighted sums; ours of all layers counts the embeddings) and
# concat_last_4. "first" is another word for the embeddings.
NAMED: dict[str, tuple[Literal["mix", "sum", "mean", "beside"], slice]] = {
    "mix": ("mix", slice(None)),
    "mix_last_4": ("mix", slice(-4, None)),
    "sum_last_4": ("sum", slice(-4, None)),
    "concat_last_4": ("beside", slice(-4, None)),
    "last": ("beside", slice(-1, None)),
    "second_to_last": ("beside", slice(-2, -1)),
    "embeddings": ("beside", slice(0, 1)),
    "first": ("beside", slice(0, 1)),
    "average": ("mean", slice(None)),
}
MIXED = ", ".join(repr(name) for name, (way, _) in NAMED.items() if way == "mix")


@transfers.register("features")
class Features(nn.Module):
    """A frozen encoder, a mix of its layers, and a reader."""

    def __init__(
        self,
        backend: Any,
        task: Task,
        *,
        layers: str | list[int] = "mix",  # one of NAMED, or numbers of layers to put side by side
        layer_norm: bool = False,  # of each layer, before they are mixed
        mix_decay: float = 0.0,  # λ: its square sum of the mix's weights is added to the loss
        place: Literal["input", "output", "both"] = "input",  # of the reader; "output" alone: layer 0 goes in
        reader: dict[str, Any] = {"name": "bilstm"},  # noqa: B006 - a config's default, never changed
        dropout: float = 0.1,
        stateful: bool = False,  # ELMo's original way: states go on from batch to batch, so the order matters
    ) -> None:
        super().__init__()
        self.depth = backend.depth + 1  # the embeddings are a layer, too
        self.way, self.chosen = way_of(layers), choose(layers, self.depth)
        mixed = self.way == "mix"
        for key, value, without in (("layer_norm", layer_norm, "false"), ("mix_decay", mix_decay, "0")):
            if value and not mixed:
                what = f"transfer.{key} is for layers that are mixed ({MIXED}), not {layers!r}"
                raise UserError(f"{what}; set it to {without}")
        if mix_decay < 0:
            raise UserError(f"transfer.mix_decay: {mix_decay} is less than 0")
        if stateful and not hasattr(backend.encoder, "stateful"):
            raise UserError(f"transfer.stateful: {backend.name} has no states that could go on; elmo has")
        if stateful:
            backend.encoder.stateful = True
        self.cache, self.task, self.place, self.dropout = FeatureCache(backend), task, place, dropout
        self.weights = {"mix": mix_decay} if mix_decay else {}
        self.mix, self.output_mix = (
            ScalarMix(layers=len(self.chosen), layer_norm=layer_norm)
            if mixed and place in (where, "both")
            else None
            for where in ("input", "output")
        )
        read = backend.width * (len(self.chosen) if self.way == "beside" else 1)
        self.input_dropout = nn.Dropout(dropout)
        self.reader = fitting(
            reader, task, backend.width if place == "output" else read, 0 if place == "input" else read
        )
        self.gives = pairing.given(
            task,
            backend.parts,
            self.reader.width,
            pairs=self.reader.pairs,
            finished=self.reader.finished,
            scheme=getattr(self.reader, "scheme", None),
        )
        self.seen: dict[int, Layers] = {}

    def watch(self, dataset: Dataset) -> None:
        """Compute the frozen layers of a split once; they are read from the disk from then on."""
        if id(dataset) not in self.seen:
            self.seen[id(dataset)] = self.cache.layers(dataset.views)

    def forward(self, batch: Batch, dataset: Dataset) -> tuple[Tensor, None]:
        """A vector an answer, or one a token, as the head of the task takes them; no layer of the encoder learns."""
        return self._read(batch, dataset), None

    def _read(self, batch: Batch, dataset: Dataset) -> Tensor:
        device, rows, layers = batch.inputs.ids_BT.device, batch.inputs.rows, self.seen[id(dataset)]
        x_BTLD, mask_BT = (t.to(device) for t in layers.stack(rows, self.chosen))
        extra_BTE = None
        if self.place != "input":
            extra_BTE = self.input_dropout(self._reduced(x_BTLD, mask_BT, self.output_mix))
        if self.place == "output":
            x_BTD = layers.stack(rows, [0])[0].to(device)[:, :, 0]
        else:
            x_BTD = self._reduced(x_BTLD, mask_BT, self.mix)
        x_BTD = self.input_dropout(x_BTD)
        if self.reader.pairs:
            return self._paired(x_BTD, extra_BTE, batch)
        states_BTE, pooled_BE = self.reader(x_BTD, mask_BT, extra_BTE)
        return pairing.joined(states_BTE, pooled_BE, batch, self.task)

    def _paired(self, x_BTD: Tensor, extra_BTE: Tensor | None, batch: Batch) -> Tensor:
        first, second, group_P = pairing.two_sides(batch, x_BTD.device)
        read = self.reader(*(side.take_all(x_BTD, extra_BTE) for side in (first, second)))
        return read if self.task.kind == "span" else pairing.added(read, group_P, len(batch.options_G))

    def _reduced(self, x_BTLD: Tensor, mask_BT: Tensor, mix: ScalarMix | None) -> Tensor:
        if mix is not None:
            return mix(x_BTLD, mask_BT)
        if self.way == "beside":
            return x_BTLD.flatten(2)
        return x_BTLD.mean(2) if self.way == "mean" else x_BTLD.sum(2)

    def counts(self, batch: Batch) -> dict[str, float]:
        return dict.fromkeys(self.weights, 1.0)

    def losses(self, top: None, batch: Batch) -> dict[str, Tensor]:
        """What is learned beside the task."""
        return {"mix": self._decay()} if self.weights else {}

    def _decay(self) -> Tensor:
        """What the mixes' weights add to the loss, before λ (Peters et al. 2018, §3.2)."""
        mixes = [mix for mix in (self.mix, self.output_mix) if mix is not None]
        return torch.stack([mix.weights.square().sum() for mix in mixes]).sum()

    def layer_mix(self) -> list[float] | None:
        """The share of every layer of the model, embeddings first; one that is not in the mix has none: 0."""
        return shares(self.mix, self.chosen, self.depth)

    def layer_mix_output(self) -> list[float] | None:
        """The same of the mix that stands beside the reader's output."""
        return shares(self.output_mix, self.chosen, self.depth)


@torch.no_grad()
def shares(mix: ScalarMix | None, chosen: list[int], depth: int) -> list[float] | None:
    if mix is None:
        return None
    every = [0.0] * depth
    for layer, share in zip(chosen, mix.shares().tolist(), strict=True):
        every[layer] = round(share, 6)
    return every


def fitting(spec: dict[str, Any], task: Task, width: int, extra: int, *, single: bool = False) -> Any:
    """The named reader, if it reads this kind of task; `single`: from one sequence of states at a time."""
    registry.readers.check(spec, "transfer.reader")
    asked, known = form(task), registry.readers.names()
    builders: dict[str, Any] = {name: registry.readers.get(name) for name in known}
    fit = [n for n, reader in builders.items() if asked in reader.serves and not (single and reader.pairs)]
    if spec["name"] not in fit:
        where = " on top of a fine-tuned encoder" if single else ""
        raise UserError(
            f"transfer.reader: {spec['name']!r} does not read tasks of the kind {asked}{where} ({task.name}); "
            f"these do: {', '.join(fit)}"
        )
    return registry.readers.build(spec, width, extra, task, where="transfer.reader")


def choose(layers: str | list[int], depth: int) -> list[int]:
    """Which layers are read, as numbers from 0 (the embeddings)."""
    if isinstance(layers, str) and layers in NAMED:
        part = NAMED[layers][1]
        if (least := -(part.start or 0)) > depth:
            raise UserError(
                f"transfer.layers: {layers!r} needs a model of {least} layers, its embeddings counted; this one "
                f"has {depth}"
            )
        return list(range(depth))[part]
    if isinstance(layers, list) and layers and all(-depth <= n < depth for n in layers):
        return [n % depth for n in layers]
    raise UserError(
        f"transfer.layers: {layers!r} is not {', '.join(map(repr, NAMED))}, or a list of numbers from "
        f"{-depth} to {depth - 1}"
    )


def way_of(layers: str | list[int]) -> str:
    """How the layers that are read become one input."""
    return NAMED[layers][0] if isinstance(layers, str) and layers in NAMED else "beside"
