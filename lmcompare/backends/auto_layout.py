"""A model folder of any kind, read and written through transformers: its config, its weights, its tokenizer."""
# ruff: noqa: TID253

import contextlib
import copy
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from lmcompare.backends import folders
from lmcompare.errors import ModelError

VOCABULARIES = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"))  # any of these will do
TOKENIZER = (
    *(name for names in VOCABULARIES for name in names),
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
REFUSALS = (
    ValueError, TypeError, KeyError, AttributeError, AssertionError, ImportError, RuntimeError, OSError,
)  # fmt: skip
# Of config.json: what says nothing of the network,
VOLATILE = ("transformers_version", "_name_or_path", "architectures", "dtype")
# and what could bring code that is not transformers' own.
FOREIGN = ("auto_map", "attn_implementation", "_attn_implementation", "experts_implementation")


def own_config(model: Any) -> dict[str, Any]:
    """config.json as transformers writes it: what is not as in every model of the kind."""
    table = json.loads(model.config.to_json_string(use_diff=True))
    return {**table, "architectures": [type(model).__name__], "dtype": "float32"}


def read_config(folder: Path) -> Any:
    """The typed config of a kind of model that transformers knows. Code that a folder names is never run."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder}: has no config.json; a model folder in the Hugging Face layout has one")
    table = folders.read_json(path)
    kind = table.get("model_type") if isinstance(table, dict) else None
    if not isinstance(kind, str) or kind not in MODEL_MAPPING_NAMES or kind not in CONFIG_MAPPING_NAMES:
        raise ModelError(
            f"{path}: model_type is {kind!r}, which this version of transformers has no model for"
        )
    told = {k: v for k, v in table.items() if k not in FOREIGN}
    with understood(path, "reads"):
        config = CONFIG_MAPPING[kind].from_dict(told)
    if config.is_encoder_decoder:
        raise ModelError(
            f"{path}: a {kind} has an encoder and a decoder; the auto backend reads models with one of them"
        )
    return config


@contextlib.contextmanager
def understood(path: Path, verb: str) -> Iterator[None]:
    """What transformers cannot use, in one sentence; and none of its own notes."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers.utils import logging

    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except (*REFUSALS, StrictDataclassError) as error:
        first = " ".join(str(error).split())[:200]
        raise ModelError(f"{path}: transformers says, as it {verb} this: {first}") from None
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def read_model(folder: Path, config: Any, warnings: list[str]) -> Any:
    """The network with its weights, none of them drawn, none left over."""
    from transformers import AutoModel

    tensors = folders.read_tensors(folder)
    with understood(folder / "config.json", "builds"):
        with torch.device("meta"):
            network: Any = type(AutoModel.from_config(copy.deepcopy(config), dtype=torch.float32))
        if "input_ids" not in inspect.signature(network.forward).parameters:
            raise ModelError(f"{folder}: a {network.__name__} does not read text")
        model, told = network.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # they are told below, in a sentence
            output_loading_info=True,
        )
    for name, found, wanted in told["mismatched_keys"]:
        raise ModelError(f"{folder}: {name} has the shape {list(found)}; config.json asks for {list(wanted)}")
    missing = set(told["missing_keys"])
    if pooler := {name for name in missing if name.startswith("pooler.")}:
        model.pooler = None  # a random one would be of no use
        warnings.append(f"{folder}: has no pooler; a token's state itself stands for a view")
    if missing := missing - pooler:
        raise folders.absent(missing, folder)
    tops = {name.partition(".")[0] for name in model.state_dict()} - {"pooler"}
    bare = {name.removeprefix(f"{model.base_model_prefix}.") for name in told["unexpected_keys"]}
    if surplus := {name for name in bare if name.partition(".")[0] in tops}:
        raise folders.surplus(surplus, folder)
    return model.eval()


def read_tokenizer(folder: Path, config: Any) -> Any:
    """The tokenizer as transformers makes it of the folder's files."""
    from transformers import AutoTokenizer

    if not any(all((folder / name).is_file() for name in names) for names in VOCABULARIES):
        known = ", ".join(" with ".join(names) for names in VOCABULARIES)
        raise ModelError(f"{folder}: no tokenizer here that can be used; one of these is needed: {known}")
    path = folder / "tokenizer_config.json"
    told = folders.read_json(path) if path.is_file() else {}
    if not isinstance(told, dict) or "auto_map" in told:
        raise ModelError(f"{path}: names code of its own (auto_map), which is never run")
    with understood(folder, "reads the tokenizer of"):
        fast = AutoTokenizer.from_pretrained(str(folder), config=config, local_files_only=True)
    if not fast.is_fast:
        raise ModelError(
            f"{folder}: {type(fast).__name__} is not one of the fast tokenizers; tokenizer.json is needed"
        )
    return fast
