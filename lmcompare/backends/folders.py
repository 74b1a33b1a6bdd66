"""Model folders in the Hugging Face layout: what reading one has in common, whichever backend it is for. Only
safetensors is read: a pickle can run code."""
# ruff: noqa: TID253

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lmcompare import files
from lmcompare.errors import ModelError

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
OWN = "lmcompare"  # a table in config.json that others pass over:
DRAWN = ("embedding_std", "position_std", "position_start")  # how a random start of this model is drawn
STARTS = ("init_std", *DRAWN)  # how weights are drawn, not what they make


def read_json(path: Path) -> Any:
    try:
        return files.read_json(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not readable as JSON: {error}") from None


def read_config(folder: Path, backend: str, kinds: Collection[str]) -> dict[str, Any]:
    """config.json, if it is of a kind that the backend reads."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder}: has no config.json; a model folder in the Hugging Face layout has one")
    config = read_json(path)
    found = config.get("model_type") if isinstance(config, dict) else None
    if found not in kinds:
        asked = " or ".join(repr(kind) for kind in kinds)
        raise ModelError(f"{path}: model_type is {found!r}; the {backend} backend reads {asked}")
    return config


def check_numbers(
    config: Mapping[str, Any], whole: Collection[str], others: Collection[str], path: Path
) -> None:
    """Sizes are whole numbers above 0, rates and spreads are numbers; absent ones are not asked for."""
    for key in (*whole, *others):
        value = config.get(key, 1)
        right = isinstance(value, int) and value > 0 if key in whole else isinstance(value, int | float)
        if not right or isinstance(value, bool):
            kind = "a whole number above 0" if key in whole else "a number"
            raise ModelError(f"{path}: {key} is {value!r}, not {kind}")


def check_rates(config: Mapping[str, Any], keys: Collection[str], path: Path) -> None:
    """Shares of what is dropped."""
    for key in keys:
        if not 0 <= config.get(key, 0) < 1:
            raise ModelError(f"{path}: {key} is {config[key]!r}, not from 0 up to 1")


def drawn(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """How a random start of this model is drawn, where its folder says so."""
    told = config.get(OWN, {})
    if not isinstance(told, dict):
        raise ModelError(f"{path}: {OWN} is {told!r}, not a table")
    found = {k: v for k, v in told.items() if k in DRAWN}
    for key, value in found.items():
        right = value in ("random", "waves") if key == "position_start" else number(value)
        if value is not None and not right:
            raise ModelError(f"{path}: {OWN}.{key} is {value!r}, of no use here")
    return found


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def read_tensors(folder: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / "model.safetensors"
    if not path.is_file():
        pickles = sorted(p.name for p in folder.glob("*") if p.suffix in PICKLES)
        hint = f"; {pickles[0]} is a pickle, which could run code and is never opened" if pickles else ""
        raise ModelError(f"{folder}: has no model.safetensors{hint}; save it again with safetensors")
    if (folder / files.MANIFEST).is_file() and (problem := files.damage(folder)):
        raise ModelError(f"{folder}: {problem}")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged: {error}") from None


def write(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """config.json and model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    apart = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}  # no shared memory
    files.save_tensors(apart, folder / "model.safetensors")
    files.write_json(folder / "config.json", dict(config))


@torch.no_grad()
def fill(module: torch.nn.Module, found: Mapping[str, Tensor], folder: Path) -> None:
    """The found weights into the module, each where its name and shape say."""
    own = module.state_dict()
    for name, tensor in found.items():
        if tensor.shape != own[name].shape:
            raise unlike(name, tensor, list(own[name].shape), folder)
        own[name].copy_(tensor)


def held(own: Mapping[str, Tensor], lacked: Mapping[str, int]) -> dict[str, Tensor]:
    """The weights that the folder itself had: without those that it lacked, from the given row on."""
    return {name: tensor[: lacked[name]] if name in lacked else tensor for name, tensor in own.items()}


def absent(names: Collection[str], folder: Path) -> ModelError:
    shown = ", ".join(sorted(names)[:4])
    return ModelError(f"{folder}: {len(names)} weights of the encoder are missing: {shown}")


def surplus(names: Collection[str], folder: Path) -> ModelError:
    shown = ", ".join(sorted(names)[:4])
    return ModelError(f"{folder}: {len(names)} weights that config.json does not ask for: {shown}")


def unlike(name: str, tensor: Tensor, wanted: list[int], folder: Path) -> ModelError:
    return ModelError(
        f"{folder}: {name} has the shape {list(tensor.shape)}; config.json and the tokenizer ask for {wanted}"
    )
