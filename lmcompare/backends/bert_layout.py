"""BERT in the Hugging Face layout, to and from our names."""
# ruff: noqa: TID253

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lmcompare import registry
from lmcompare.backends import folders
from lmcompare.errors import ModelError
from lmcompare.text.wordpiece import WordPiece

if TYPE_CHECKING:
    from lmcompare.backends.bert import Bert

# theirs → ours: (config.json key, our argument)
SETTINGS = {
    "num_hidden_layers": "layers",
    "hidden_size": "width",
    "num_attention_heads": "heads",
    "intermediate_size": "inner",
    "max_position_embeddings": "positions",
    "type_vocab_size": "segments",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "layer_norm_eps": "epsilon",
    "initializer_range": "init_std",
}
PUBLISHED = {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12}
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
TOP = {
    "embeddings.word_embeddings.weight": "words.weight",
    "embeddings.position_embeddings.weight": "positions.weight",
    "embeddings.token_type_embeddings.weight": "segments.weight",
    "embeddings.LayerNorm.": "embedding_norm.",
    "pooler.dense.": "pooler.",
}
BLOCK = {
    "attention.output.dense.": "attention.out.",
    "attention.output.LayerNorm.": "attention_norm.",
    "intermediate.dense.": "up.",
    "output.dense.": "down.",
    "output.LayerNorm.": "norm.",
}
QKV = ("query", "key", "value")
# Of the heads; the second trains the pooler.
WORDS, NEXT_SENTENCE = "cls.predictions.bias", "cls.seq_relationship.weight"


def names(layers: int) -> dict[str, str]:
    """Every tensor of the encoder but the query, key and value ones: theirs → ours."""
    pairs = dict(TOP)
    for n in range(layers):
        pairs |= {f"encoder.layer.{n}.{k}": f"blocks.{n}.{v}" for k, v in BLOCK.items()}
    full: dict[str, str] = {}
    for theirs, ours in pairs.items():
        ends = ("weight", "bias") if theirs.endswith(".") else ("",)
        full |= {theirs + end: ours + end for end in ends}
    return full


def export(encoder: torch.nn.Module, layers: int) -> dict[str, Tensor]:
    own = encoder.state_dict()
    out = {f"bert.{theirs}": own[ours] for theirs, ours in names(layers).items()}
    for n in range(layers):
        for end in ("weight", "bias"):
            parts = own[f"blocks.{n}.attention.qkv.{end}"].chunk(3)
            for part, tensor in zip(QKV, parts, strict=True):
                out[f"bert.encoder.layer.{n}.attention.self.{part}.{end}"] = tensor
    return out


def gather(tensors: Mapping[str, Tensor], layers: int, where: Path) -> dict[str, Tensor]:
    """Our state dict from theirs; a missing tensor outside the head is an error."""
    wanted = {ours: (theirs,) for theirs, ours in names(layers).items()}
    for n in range(layers):
        for end in ("weight", "bias"):
            theirs = tuple(f"encoder.layer.{n}.attention.self.{part}.{end}" for part in QKV)
            wanted[f"blocks.{n}.attention.qkv.{end}"] = theirs  # type: ignore[assignment]
    known = {t for group in wanted.values() for t in group}
    if missing := {t for t in known - tensors.keys() if not t.startswith("pooler.")}:
        raise folders.absent(missing, where)
    extra = {t for t in tensors.keys() - known if t.startswith(("embeddings.", "encoder."))}
    if extra := extra - {"embeddings.position_ids"}:  # older releases kept those
        raise folders.surplus(extra, where)
    return {
        ours: torch.cat([tensors[t] for t in theirs]) if len(theirs) > 1 else tensors[theirs[0]]
        for ours, theirs in wanted.items()
        if all(t in tensors for t in theirs)
    }


def save(bert: "Bert", folder: Path, heads: Mapping[str, Tensor]) -> None:
    theirs = {v: k for k, v in ACTIVATIONS.items() if k not in ("gelu_new", "swish")}
    config = {
        "model_type": "bert",
        "architectures": [architecture(heads, causal=bert.settings["causal"])],
        "is_decoder": bert.settings["causal"],
        "vocab_size": bert.tokenizer.size,
        "hidden_act": theirs.get(bert.settings["activation"], bert.settings["activation"]),
        "pad_token_id": bert.tokenizer.pad_id,
        "dtype": "float32",
        **{t: bert.settings[ours] for t, ours in SETTINGS.items()},
        folders.OWN: {key: bert.settings[key] for key in folders.DRAWN},
    }
    tensors = export(bert.encoder, bert.depth)
    if WORDS in heads and NEXT_SENTENCE not in heads:  # nothing has trained the pooler
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("bert.pooler.")}
    folders.write(folder, config, tensors | dict(heads))
    bert.tokenizer.save(folder)


def architecture(heads: Mapping[str, Tensor], *, causal: bool) -> str:
    """The class of `transformers` that has these weights."""
    if not heads:
        return "BertModel"
    if NEXT_SENTENCE in heads:
        return "BertForPreTraining"
    return "BertLMHeadModel" if causal else "BertForMaskedLM"


def load(family: "type[Bert]", folder: Path, seed: int) -> "Bert":
    config = folders.read_config(folder, "bert", ["bert"])
    arguments = read_settings(config, folder)
    arguments |= folders.drawn(config, folder / "config.json")
    tokenizer = WordPiece.load(folder)
    rows = config.get("vocab_size", tokenizer.size)
    if rows < tokenizer.size:
        raise ModelError(f"{folder}: the tokenizer has {tokenizer.size} pieces, the model {rows}")
    tensors = {clean(k): v for k, v in folders.read_tensors(folder).items()}
    found = gather(tensors, arguments["layers"], folder)
    words = [rows, arguments["width"]]
    if list(found["words.weight"].shape) != words:  # before anything of that size is made
        raise folders.unlike("words.weight", found["words.weight"], words, folder)
    # a model may have more rows than its tokenizer has pieces
    found["words.weight"] = found["words.weight"][: tokenizer.size]
    bert = family(tokenizer, **arguments)
    bert.draw(seed)
    if "pooler.weight" not in found:
        bert.warnings.append(f"{folder}: has no pooler; a random one is used")
    bert.lacked = {name: 0 for name in bert.encoder.state_dict() if name not in found}
    folders.fill(bert.encoder, found, folder)
    return bert


def read_settings(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Our arguments from config.json; absent ones are those of the published BERT."""
    config = PUBLISHED | config
    whole = {k for k in SETTINGS if k.startswith(("num", "hidden_size", "inter", "max", "type"))} | {
        "vocab_size"
    }
    folders.check_numbers(config, whole, SETTINGS.keys() - whole, folder / "config.json")
    folders.check_rates(
        config, ("hidden_dropout_prob", "attention_probs_dropout_prob"), folder / "config.json"
    )
    if config["hidden_size"] % config["num_attention_heads"]:
        raise ModelError(
            f"{folder / 'config.json'}: hidden_size {config['hidden_size']} cannot be cut into "
            f"{config['num_attention_heads']} heads"
        )
    if (places := config.get("position_embedding_type", "absolute")) != "absolute":
        raise ModelError(f"{folder / 'config.json'}: position_embedding_type {places!r} is not known here")
    act = config.get("hidden_act", "gelu")
    if ACTIVATIONS.get(act, act) not in registry.activations.names():
        raise ModelError(f"{folder / 'config.json'}: hidden_act {act!r} is not known here")
    arguments = {ours: config[theirs] for theirs, ours in SETTINGS.items() if theirs in config}
    return arguments | {
        "activation": ACTIVATIONS.get(act, act),
        "causal": bool(config.get("is_decoder", False)),
    }


def clean(name: str) -> str:
    """Older releases wrote LayerNorm's gamma and beta, and a BertModel alone has no prefix."""
    name = name.removeprefix("bert.")
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return name
