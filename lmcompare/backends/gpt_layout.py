"""GPT on the disk: the Hugging Face layout, to and from our names, and the numpy files of the original release."""
# ruff: noqa: TID253

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from lmcompare import registry
from lmcompare.backends import folders
from lmcompare.errors import ModelError, UserError
from lmcompare.text.bpe import SPECIALS, Bpe

if TYPE_CHECKING:
    from lmcompare.backends.gpt import Gpt

LSTM = "lmcompare-gpt-lstm"  # no other library has this one
KINDS = ("openai-gpt", LSTM)
# config.json's key → our argument
SETTINGS = {
    "n_layer": "layers",
    "n_embd": "width",
    "n_head": "heads",
    "n_positions": "positions",
    "resid_pdrop": "dropout",
    "attn_pdrop": "attention_dropout",
    "layer_norm_epsilon": "epsilon",
    "initializer_range": "init_std",
}
SIZES = ("vocab_size", "n_layer", "n_embd", "n_head", "n_positions")
PUBLISHED = {"n_layer": 12, "n_embd": 768, "n_head": 12, "n_positions": 512, "afn": "gelu"}
ACTIVATIONS = {
    "gelu": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}  # their gelu is the tanh form
TOP = {"tokens_embed.weight": "words.weight", "positions_embed.weight": "positions.weight"}
# Of a block; in the order of the release's arrays. What ends in a weight of two dimensions is stored transposed.
BLOCK = {
    "attn.c_attn.": "attention.qkv.",
    "attn.c_proj.": "attention.out.",
    "ln_1.": "attention_norm.",
    "mlp.c_fc.": "up.",
    "mlp.c_proj.": "down.",
    "ln_2.": "norm.",
}
SHAPES = "params_shapes.json"  # of the release, beside params_0.npy to params_9.npy
HEAD = 64  # numbers a head; the release does not write down how many heads there are


def names(layers: int) -> dict[str, str]:
    """Every tensor: theirs → ours."""
    full = dict(TOP)
    for n in range(layers):
        for theirs, ours in BLOCK.items():
            full |= {f"h.{n}.{theirs}{end}": f"blocks.{n}.{ours}{end}" for end in ("weight", "bias")}
    return full


def turned(name: str, tensor: Tensor) -> Tensor:
    """Their layers multiply from the left: input × output."""
    return tensor.t() if tensor.ndim == 2 and name.startswith("h.") else tensor


def save(gpt: "Gpt", folder: Path, *, bare: bool) -> None:
    """A bare language model is saved without its special tokens, which it has never seen: whoever fine-tunes it draws
    new ones."""
    own = gpt.encoder.state_dict()
    if bare:
        own["words.weight"] = own["words.weight"][: gpt.tokenizer.plain]
    shared = {"vocab_size": len(own["words.weight"]), "dtype": "float32"}
    if gpt.settings["network"] == "lstm":
        settings = {k: v for k, v in gpt.settings.items() if k not in folders.STARTS}
        config = {"model_type": LSTM, **shared, "settings": settings}
        tensors = dict(own)
    else:
        theirs = {v: k for k, v in ACTIVATIONS.items() if k != "swish"}
        config = {
            "model_type": "openai-gpt",
            "architectures": ["OpenAIGPTLMHeadModel"],
            "afn": theirs[gpt.settings["activation"]],
            "embd_pdrop": gpt.settings["dropout"],
            **shared,
            **{t: gpt.settings[ours] for t, ours in SETTINGS.items()},
        }
        tensors = {f"transformer.{t}": turned(t, own[ours]) for t, ours in names(gpt.depth).items()}
    drawn = {key: gpt.settings[key] for key in folders.DRAWN}
    folders.write(folder, config | {folders.OWN: drawn}, tensors)
    gpt.tokenizer.save(folder)


def load(family: "type[Gpt]", folder: Path, seed: int) -> "Gpt":
    tokenizer = Bpe.load(folder)
    own = False  # saved by us
    if (folder / SHAPES).is_file():
        arguments, found = read_release(folder)
    else:
        config = folders.read_config(folder, "gpt", KINDS)
        arguments, own = read_settings(config, folder), folders.OWN in config
        arguments |= folders.drawn(config, folder / "config.json")
        tensors = {k.removeprefix("transformer."): v for k, v in folders.read_tensors(folder).items()}
        if "lm_head.weight" in tensors:  # the same table; some classes save it under this name alone
            tensors.setdefault("tokens_embed.weight", tensors["lm_head.weight"])
        found = gather(tensors, arguments, folder)
        rows = config.get("vocab_size", len(found["words.weight"]))
        if rows != len(found["words.weight"]):
            raise ModelError(
                f"{folder / 'config.json'}: vocab_size is {rows!r}, words.weight has {len(found['words.weight'])} rows"
            )
    words = found["words.weight"]
    if words.ndim != 2 or words.shape[1] != arguments["width"] or len(words) < tokenizer.plain:
        raise folders.unlike("words.weight", words, [tokenizer.plain, arguments["width"]], folder)
    for name, size in largest(arguments).items():  # before anything of that size is made
        if name in found and list(found[name].shape) != size:
            raise folders.unlike(name, found[name], size, folder)
    gpt = family(tokenizer, **arguments)
    gpt.draw(seed)
    if len(words) < tokenizer.size:  # a bare language model: the special tokens are new (§3.2)
        if not own:
            gpt.warnings.append(f"{folder}: has no embeddings of {', '.join(SPECIALS)}; random ones are used")
        gpt.lacked = {"words.weight": tokenizer.plain}
        new = gpt.encoder.words.weight[tokenizer.plain :]
        words = torch.cat([words[: tokenizer.plain], new])
    found["words.weight"] = words[: tokenizer.size]
    folders.fill(gpt.encoder, found, folder)
    return gpt


def largest(arguments: Mapping[str, Any]) -> dict[str, list[int]]:
    """Tensors by whose shape a size in a config that the weights do not have is seen."""
    width, cells = arguments["width"], arguments.get("cells", 0)
    return {
        "positions.weight": [arguments["positions"], width],
        "blocks.0.lstm.weight_ih_l0": [4 * cells, width],
    }


def gather(tensors: Mapping[str, Tensor], arguments: Mapping[str, Any], where: Path) -> dict[str, Tensor]:
    """Our state dict from theirs; heads are passed over."""
    top = f"{'blocks' if arguments.get('network') == 'lstm' else 'h'}.{arguments['layers'] - 1}."
    if arguments["layers"] and not any(name.startswith(top) for name in tensors):
        raise folders.absent([top], where)  # before a list of so many names is made
    if arguments.get("network") == "lstm":
        parts = [f"blocks.{n}." for n in range(arguments["layers"])]
        ends = ("lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_ih_l0", "lstm.bias_hh_l0")
        wanted = {p + end: p + end for p in parts for end in (*ends, "out.weight", "out.bias")}
        wanted["words.weight"] = "words.weight"
    else:
        wanted = names(arguments["layers"])
    if missing := wanted.keys() - tensors.keys():
        raise folders.absent(missing, where)
    blocks = {t for t in tensors if t.startswith(("h.", "blocks.")) and not t.endswith("attn.bias")}
    if extra := blocks - wanted.keys():  # older releases kept the causal mask as attn.bias
        raise folders.surplus(extra, where)
    return {ours: turned(theirs, tensors[theirs]) for theirs, ours in wanted.items()}


def read_settings(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Our arguments from config.json; absent ones are those of the published GPT."""
    path = folder / "config.json"
    if config["model_type"] == LSTM:
        settings = config.get("settings")
        if not isinstance(settings, dict):
            raise ModelError(f"{path}: settings is {settings!r}, not a table")
        try:
            checked = registry.backends.check({"name": "gpt", **settings}, str(path))
        except UserError as error:
            raise ModelError(str(error)) from None
        return {k: v for k, v in checked.items() if k != "name"}
    config = {**PUBLISHED, **config}
    folders.check_numbers(config, SIZES, SETTINGS.keys() - set(SIZES), path)
    folders.check_rates(config, ("resid_pdrop", "attn_pdrop"), path)
    if config["n_embd"] % config["n_head"]:
        raise ModelError(f"{path}: n_embd {config['n_embd']} cannot be cut into {config['n_head']} heads")
    if not isinstance(config["afn"], str) or config["afn"] not in ACTIVATIONS:
        raise ModelError(f"{path}: afn {config['afn']!r} is not known here")
    arguments = {ours: config[theirs] for theirs, ours in SETTINGS.items() if theirs in config}
    return arguments | {"activation": ACTIVATIONS[config["afn"]]}


def read_release(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The authors' arrays: one long row of numbers in some files, cut by the list of shapes. Positions come first,
    then words, then twelve arrays a block."""
    shapes = folders.read_json(folder / SHAPES)
    if (
        not isinstance(shapes, list)
        or (len(shapes) - 2) % 12
        or len(shapes) < 14
        or not all(map(is_shape, shapes))
    ):
        raise ModelError(f"{folder / SHAPES}: not a list of 2 + 12 × layers shapes")
    count = len(list(folder.glob("params_*.npy")))
    parts = [read_array(folder / f"params_{n}.npy") for n in range(max(1, count))]
    flat = np.concatenate([part.ravel() for part in parts])
    sizes = [math.prod(shape) for shape in shapes]
    if sum(sizes) != len(flat):
        raise ModelError(f"{folder}: the arrays hold {len(flat):,} numbers, {SHAPES} asks for {sum(sizes):,}")
    if any(len(shape) != 2 for shape in shapes[:2]):
        raise ModelError(
            f"{folder / SHAPES}: positions and words, the first two, are no tables: {shapes[:2]}"
        )
    cut = np.split(flat, np.cumsum(sizes)[:-1])
    arrays = [torch.from_numpy(a.reshape(s).astype(np.float32)) for a, s in zip(cut, shapes, strict=True)]
    layers = (len(shapes) - 2) // 12
    ours = [name for theirs, name in names(layers).items() if theirs.startswith("h.")]
    found = {"positions.weight": arrays[0], "words.weight": arrays[1]}
    for name, array in zip(ours, arrays[2:], strict=True):
        squeezed = array[0] if array.ndim == 3 else array  # a convolution of width 1
        found[name] = squeezed.t() if squeezed.ndim == 2 else squeezed
    positions, width = arrays[0].shape
    heads = max(1, width // HEAD)
    if width % heads:
        raise ModelError(f"{folder / SHAPES}: a width of {width} cannot be cut into {heads} heads")
    return {"layers": layers, "width": width, "positions": positions, "heads": heads}, found


def is_shape(shape: Any) -> bool:
    return isinstance(shape, list) and bool(shape) and all(type(n) is int and n > 0 for n in shape)


def read_array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"{path}: not readable as a numpy array: {error}") from None
