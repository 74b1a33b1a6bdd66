"""Any other model of transformers' AutoModel that reads text: RoBERTa, DistilBERT, ELECTRA, ModernBERT, GPT-2, ...

What sets these models apart is not written down here but found out from each: its markers from its tokenizer, whether
it reads from the left from its answers, its stack of layers from its modules.
"""
# ruff: noqa: TID253

import copy
import inspect
from collections.abc import Mapping
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcompare import files
from lmcompare.backends import auto_layout as layout
from lmcompare.backends import folders
from lmcompare.backends.auto_views import AutoPieces, Formatter
from lmcompare.batches import Inputs, stack
from lmcompare.config import fingerprint
from lmcompare.errors import ModelError, UserError
from lmcompare.nn import layer_number
from lmcompare.registry import backends
from lmcompare.types import Example, Task, View

PRETRAINED = (
    "the auto backend reads models that are pretrained already; use it with `lmc finetune` and `lmc features`"
)
UNTOLD = 512  # tokens, where neither the model nor its tokenizer knows a limit
ENDLESS = 1 << 20  # tokens; a tokenizer's limit above it is none
SAME = 1e-4  # of how far the changed token's own state moves: less is rounding


class AutoEncoder(nn.Module):
    """A model of transformers, all of whose layers are wanted."""

    def __init__(self, model: Any, *, typed: bool) -> None:
        super().__init__()
        self.model, self.typed = model, typed
        self.pooled = False  # whether the model's pooler makes a view's vector
        self.blurred = False  # whether padding shows in the states, however it is masked
        cached = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}
        self.wanted: dict[str, Any] = {"output_hidden_states": True, "return_dict": True, **cached}

    def forward(self, inputs: Inputs) -> list[Tensor]:
        if self.blurred and inputs.mask_BT is not None:
            return self.by_length(inputs, inputs.mask_BT.sum(1).tolist())
        return list(self.answer(inputs).hidden_states)

    def by_length(self, inputs: Inputs, lengths: list[int]) -> list[Tensor]:
        """Views of one length at a time, so that none is padded."""
        padded: list[list[Tensor]] = []
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        for n, rows in groupby(order, key=lengths.__getitem__):
            chosen = [*rows]
            ids, segments = (x[chosen, :n] for x in (inputs.ids_BT, inputs.segments_BT))
            layers = self.answer(Inputs(ids, segments, None, inputs.pool_B[chosen])).hidden_states
            padded.append([F.pad(x, (0, 0, 0, inputs.ids_BT.shape[1] - n)) for x in layers])
        back = sorted(range(len(order)), key=order.__getitem__)
        return [torch.cat(parts)[back] for parts in zip(*padded, strict=True)]

    def answer(self, inputs: Inputs) -> Any:
        # Also where nothing is padded: without it some models look for the padding by its id, which a text may hold.
        mask_BT = torch.ones_like(inputs.ids_BT) if inputs.mask_BT is None else inputs.mask_BT.long()
        types = {"token_type_ids": inputs.segments_BT} if self.typed else {}
        return self.model(input_ids=inputs.ids_BT, attention_mask=mask_BT, **types, **self.wanted)

    def pool(self, top_BTD: Tensor, pool_B: Tensor) -> Tensor:
        """One vector a view: the state at its place, through the model's own pooler where it has one."""
        state_BD = top_BTD[torch.arange(len(pool_B), device=pool_B.device), pool_B]
        return self.through_pooler(state_BD) if self.pooled else state_BD

    def through_pooler(self, state_BD: Tensor) -> Tensor:
        pooler = self.model.pooler
        if isinstance(pooler, nn.Linear):  # ALBERT's
            return self.model.pooler_activation(pooler(state_BD))
        return pooler(state_BD[:, None])  # the others take the first of some tokens


@backends.register("auto")
class Auto:
    """Any other pretrained model of transformers (RoBERTa, DistilBERT, ELECTRA, ModernBERT, GPT-2, ...)."""

    name = "auto"
    parts = 1  # two texts share a view
    kinds = ()  # of model_type: what no other backend reads

    def __init__(self, folder: Path) -> None:
        if not isinstance(folder, Path):  # the tokenizer, of a pretraining
            raise ValueError(PRETRAINED)
        config = layout.read_config(folder)
        self.warnings: list[str] = []
        model = layout.read_model(folder, config, self.warnings)
        fast = layout.read_tokenizer(folder, config)
        self.tokenizer = read_pieces(folder, fast, model)
        self.vocabulary = {
            name: (folder / name).read_bytes() for name in layout.TOKENIZER if (folder / name).is_file()
        }
        self.encoder = AutoEncoder(model, typed=self.tokenizer.typed)
        self.depth, self.width, self.causal = probe(self.encoder, self.tokenizer, folder)
        self.formatter = Formatter(self.tokenizer, self.causal)
        self.longest = positions(model, fast.model_max_length)
        self.layers = layers_of(self.encoder, self.depth)

    @property
    def settings(self) -> dict[str, Any]:
        """What config.json says of the network that is not so in every one of its kind."""
        config = self.encoder.model.config
        usual = {k: v for k, v in type(config)().to_dict().items() if k != "model_type"}
        told = {k: v for k, v in layout.own_config(self.encoder.model).items() if k not in layout.VOLATILE}
        return {k: v for k, v in told.items() if k not in usual or usual[k] != v}

    @property
    def tied(self) -> Tensor:
        """V × D: the word embeddings."""
        return self.encoder.model.get_input_embeddings().weight

    def draw(self, seed: int) -> None:
        """Fresh weights as transformers draws them for this network, a function of the seed."""
        from transformers import AutoModel

        model = self.encoder.model
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            fresh = AutoModel.from_config(copy.deepcopy(model.config), dtype=torch.float32).state_dict()
        model.load_state_dict({name: fresh[name] for name in model.state_dict()})

    def layer_of(self, name: str) -> int:
        if not self.layers:
            raise UserError(
                f"auto: the layers of {type(self.encoder.model).__name__} do not stand in a row, each with weights of "
                "its own, so that no weight can be said to belong to one of them"
            )
        return self.layers[name]

    def views(self, task: Task, example: Example, length: int, *, stride: int | None = None) -> list[View]:
        """One text or two between the tokenizer's own markers; one view an option, or a window of a long context."""
        return self.formatter.views(task, example, length, stride)

    def stack(self, views: list[View], rows: list[int] | None = None) -> Inputs:
        return stack(views, pad=self.tokenizer.pad_id, rows=rows or ())

    def save(self, folder: Path, heads: Mapping[str, Tensor] | None = None) -> None:
        """The layout of transformers: config.json, model.safetensors, and the tokenizer's files as they were."""
        folders.write(
            folder,
            layout.own_config(self.encoder.model),
            {**self.encoder.model.state_dict(), **(heads or {})},
        )
        for name, content in self.vocabulary.items():
            files.write(folder / name, content)

    @classmethod
    def load(cls, folder: Path, *, seed: int = 0) -> "Auto":
        """A folder of any model that transformers knows; nothing is left for the seed to draw."""
        return cls(folder)

    @cached_property
    def _tokens(self) -> str:
        return self.tokenizer.fingerprint

    @property
    def fingerprint(self) -> str:
        """Of every weight, the network's shape, and the tokenizer."""
        told = fingerprint(self.settings) + self._tokens + str(self.encoder.pooled)
        return told + files.digest_tensors(dict(self.encoder.model.state_dict()))


def read_pieces(folder: Path, fast: Any, model: Any) -> AutoPieces:
    takes_types = "token_type_ids" in inspect.signature(model.forward).parameters
    segments = getattr(model.config, "type_vocab_size", 0) or 0
    try:
        pieces = AutoPieces(fast, segments=segments if takes_types else 0)
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None
    with layout.understood(folder, "looks for the word embeddings of"):
        rows = model.get_input_embeddings().num_embeddings
    if rows < pieces.size:
        raise ModelError(f"{folder}: the tokenizer has {pieces.size} pieces, the model {rows}")
    return pieces


@torch.no_grad()
def probe(encoder: AutoEncoder, pieces: AutoPieces, folder: Path) -> tuple[int, int, bool]:
    """Depth, width, and whether a token sees nothing of those behind it: from what the model answers to a few tokens,
    to others that end otherwise, and beside longer ones. The encoder learns whether its pooler can be used, and whether
    padding shows."""
    model = type(encoder.model).__name__
    plain = sorted({*pieces.ids.values()} - pieces.special_ids)[:6]
    if len(plain) < 2:
        raise ModelError(f"{folder}: the tokenizer has {len(plain)} pieces besides its markers")
    alone, changed, padded = (
        stack([View(ids, [0] * len(ids)) for ids in views], pad=pieces.pad_id)
        for views in ([plain], [[*plain[:-1], plain[0]]], [plain, [*plain, plain[0]]])
    )
    with layout.understood(folder, f"runs the {model} of"):
        told, other, beside = (encoder.answer(inputs) for inputs in (alone, changed, padded))
    layers = told.hidden_states
    shapes = {tuple(x.shape) for x in layers or ()}
    if len(shapes) != 1 or next(iter(shapes))[:2] != (1, len(plain)) or len(layers) < 2:
        raise ModelError(
            f"{folder}: a {model} does not give a vector for every token and layer, which is needed"
        )
    first_BD, pooled_BD = layers[-1][:, 0], getattr(told, "pooler_output", None)
    if isinstance(getattr(encoder.model, "pooler", None), nn.Module) and pooled_BD is not None:
        with layout.understood(folder, f"pools with the {model} of"):
            encoder.pooled = torch.allclose(encoder.through_pooler(first_BD), pooled_BD, atol=1e-6)
    moved_T, blurred_T = (
        (layers[-1][0] - x.hidden_states[-1][0, : len(plain)]).abs().amax(1) for x in (other, beside)
    )
    encoder.blurred = bool(blurred_T.max() > SAME * moved_T[-1])
    return len(layers) - 1, layers[-1].shape[-1], bool(moved_T[:-1].max() < SAME * moved_T[-1])


def positions(model: Any, limit: float) -> int:
    """Most tokens a view. Where padding has a position of its own (RoBERTa), counting begins behind it."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    told = getattr(model.config, "max_position_embeddings", None)
    if isinstance(told, int) and told > 0:
        return told
    return int(limit) if limit <= ENDLESS else UNTOLD


def layers_of(encoder: nn.Module, depth: int) -> dict[str, int]:
    """Which layer each weight belongs to: of the stack, its own; 0 below, and for every embedding; `depth` for what
    stands above. Empty where no list of modules is as long as the model is deep."""
    stacks: list[str] = []
    for name, module in encoder.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == depth:
            stacks += [] if any(name.startswith(f"{outer}.") for outer in stacks) else [name]
    if not stacks:
        return {}
    found, below = {}, True
    for name in encoder.state_dict():
        inside = max(layer_number(name, stack) for stack in stacks)
        below = below and not inside and "final" not in name  # OPT names its last norm before its stack
        embeds = isinstance(encoder.get_submodule(name.rpartition(".")[0]), nn.Embedding)
        found[name] = inside or (0 if below or embeds else depth)
    return found
