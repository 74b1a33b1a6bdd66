"""ELMo on the disk: our own folder (config.json, model.safetensors, words.txt), and the release's (options.json and
an HDF5 file). Weights go from one to the other without loss."""
# ruff: noqa: TID253

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lmcompare import files, registry
from lmcompare.backends.folders import read_tensors
from lmcompare.errors import ModelError, UserError
from lmcompare.text.words import CHARACTERS, LONGEST, SPECIALS, Words

if TYPE_CHECKING:
    from lmcompare.backends.elmo import Elmo

# theirs in options.json → ours; and what stands for one that is absent
LSTM = {
    "n_layers": "layers", "dim": "cells", "projection_dim": "projection", "cell_clip": "cell_clip",
    "proj_clip": "clip", "use_skip_connections": "residual",
}  # fmt: skip
CNN = {"n_highway": "highways", "filters": "filters", "activation": "activation"}
ABSENT = {"cell_clip": None, "clip": None, "residual": False, "highways": 0, "activation": "relu"}
GATES = (0, 2, 3, 1)  # i, f, o, g of ours, as places in the release's i, g, f, o
Names = dict[str, str]  # ours → the dataset of the release


def save(elmo: "Elmo", folder: Path, heads: Mapping[str, Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"encoder.{k}": v for k, v in elmo.encoder.state_dict().items()} | dict(heads)
    files.save_tensors(tensors, folder / "model.safetensors")
    files.write_json(folder / "config.json", {"model_type": "elmo", **elmo.settings})
    elmo.tokenizer.save(folder)


def load(family: "type[Elmo]", folder: Path) -> "Elmo":
    if (folder / "options.json").is_file():
        return load_release(family, folder)
    config = read_json(folder / "config.json")
    if config.pop("model_type", None) != "elmo":
        raise ModelError(f"{folder / 'config.json'}: model_type is not 'elmo'")
    tensors = read_tensors(folder)
    own = {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
    return made(family, Words.load(folder), config, own, folder / "model.safetensors", folder / "config.json")


def load_release(family: "type[Elmo]", folder: Path) -> "Elmo":
    """The authors' folder. Which words it was trained on is not in there, and nothing needs them."""
    where = folder / "options.json"
    settings = checked(read_options(read_json(where), where), where)
    weights = weights_file(folder)
    return made(family, Words(SPECIALS), settings, read_weights(weights, settings), weights, where)


def made(
    family: "type[Elmo]",
    tokenizer: Words,
    settings: dict[str, Any],
    tensors: Mapping[str, Tensor],
    weights: Path,
    where: Path,
) -> "Elmo":
    """The backend with these weights: every one that the settings ask for, in its shape, and no other. They become
    the network's own, so that a large one is never in memory twice."""
    arguments = checked(settings, where)
    try:
        with torch.device("meta"):
            elmo = family(tokenizer, **arguments)
    except (ValueError, RuntimeError, UserError) as error:
        raise ModelError(f"{where}: {error}") from None
    own = elmo.encoder.state_dict()
    if missing := sorted(own.keys() - tensors.keys()):
        raise ModelError(f"{weights}: {len(missing)} weights are missing, such as {missing[0]}")
    if extra := sorted(tensors.keys() - own.keys()):
        raise ModelError(f"{weights}: {len(extra)} weights that {where.name} does not ask for: {extra[0]}")
    for name, tensor in own.items():
        if tensors[name].shape != tensor.shape:
            found, asked = list(tensors[name].shape), list(tensor.shape)
            raise ModelError(f"{weights}: {name} has the shape {found}; {where.name} asks for {asked}")
    elmo.encoder.marks()
    elmo.encoder.load_state_dict({k: tensors[k].float() for k in own}, assign=True)
    return elmo


def checked(settings: dict[str, Any], where: Path) -> dict[str, Any]:
    """Every setting of the right type, before anything of their size is read or made."""
    try:
        full = registry.backends.check({"name": "elmo", **settings}, where.name)
    except UserError as error:
        raise ModelError(f"{where}: {error}") from None
    return {k: v for k, v in full.items() if k != "name"}


def read_json(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(
            f"{path.parent}: has no {path.name}; an ELMo folder holds config.json, model.safetensors and words.txt, "
            "or the release's options.json and .hdf5 file"
        ) from None
    except ValueError as error:
        raise ModelError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(table, dict):
        raise ModelError(f"{path}: a JSON object is needed")
    return table


def read_options(options: dict[str, Any], where: Path) -> dict[str, Any]:
    """Our settings from the release's."""
    settings: dict[str, Any] = dict(ABSENT)
    try:
        lstm, cnn = options["lstm"], options["char_cnn"]
        settings |= {ours: lstm[theirs] for theirs, ours in LSTM.items() if theirs in lstm}
        settings |= {ours: cnn[theirs] for theirs, ours in CNN.items() if theirs in cnn}
        settings["characters"] = cnn["embedding"]["dim"]
        symbols, longest = cnn.get("n_characters", CHARACTERS), cnn.get("max_characters_per_token", LONGEST)
    except (KeyError, TypeError) as error:
        raise ModelError(f"{where}: not the options of a character biLM: {error} is missing") from None
    if symbols not in (CHARACTERS, CHARACTERS + 1) or longest != LONGEST:
        raise ModelError(
            f"{where}: {symbols} characters, {longest} a word; {CHARACTERS} and {LONGEST} are known here"
        )
    for key in ("layers", "cells", "projection", "filters"):
        if key not in settings:
            raise ModelError(f"{where}: {key} is missing")
    return settings


def names(settings: Mapping[str, Any]) -> Names:
    """The release's dataset for each of our tensors. Transposed and cut by `from_release`."""
    table: Names = {"words.embedding.weight": "char_embed"}
    for n in range(len(settings["filters"])):
        table[f"words.convolutions.{n}.weight"] = f"CNN/W_cnn_{n}"
        table[f"words.convolutions.{n}.bias"] = f"CNN/b_cnn_{n}"
    for n in range(settings["highways"]):
        for ours, theirs in (("transforms", "transform"), ("carries", "carry")):
            table[f"words.{ours}.{n}.weight"] = f"CNN_high_{n}/W_{theirs}"
            table[f"words.{ours}.{n}.bias"] = f"CNN_high_{n}/b_{theirs}"
    table |= {"words.projection.weight": "CNN_proj/W_proj", "words.projection.bias": "CNN_proj/b_proj"}
    for which in range(2):
        for n in range(settings["layers"]):
            cell = f"RNN_{which}/RNN/MultiRNNCell/Cell{n}/LSTMCell/"
            ours = f"directions.{which}.{n}."
            table |= {f"{ours}weight_in": cell + "W_0", f"{ours}weight_state": cell + "W_0"}
            table |= {f"{ours}bias": cell + "B", f"{ours}weight_out": cell + "W_P_0"}
    return table


def from_release(name: str, x: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """One of our tensors from the release's dataset: its matrices take rows, ours take columns."""
    last = name.rpartition(".")[2]
    if last in ("weight_in", "weight_state", "bias") and name.startswith("directions"):
        gates = x.chunk(4, -1)
        x = (
            torch.cat([gates[n] for n in GATES], -1).t()
            if x.ndim == 2
            else torch.cat([gates[n] for n in GATES])
        )
        projection = settings["projection"]  # the input's width, and the state's
        return (
            x[:, :projection] if last == "weight_in" else x[:, projection:] if last == "weight_state" else x
        )
    if name.startswith("words.convolutions") and last == "weight":
        return x.squeeze(0).permute(2, 1, 0)  # (1, width, characters, count)
    return x.t() if x.ndim == 2 and name != "words.embedding.weight" else x


def to_release(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """The release's dataset that one of our tensors stands in, whole."""
    stem, _, last = name.rpartition(".")
    x = tensors[name]
    if name.startswith("directions") and last != "weight_out":
        if last != "bias":
            x = torch.cat([tensors[f"{stem}.weight_in"], tensors[f"{stem}.weight_state"]], 1).t()
        ours = x.chunk(4, -1)
        return torch.cat([ours[GATES.index(n)] for n in range(4)], -1)
    if name.startswith("words.convolutions") and last == "weight":
        return x.permute(2, 1, 0)[None]
    return x.t() if x.ndim == 2 and name != "words.embedding.weight" else x


def weights_file(folder: Path) -> Path:
    """The one HDF5 file of the folder that holds a biLM."""
    import h5py

    found = []
    for path in sorted([*folder.glob("*.hdf5"), *folder.glob("*.h5")]):
        try:
            with h5py.File(path) as file:
                if "char_embed" in file or "RNN_0" in file:
                    found.append(path)
        except OSError as error:
            raise ModelError(f"{path}: damaged, or not HDF5: {error}") from None
    if len(found) != 1:
        listed = ", ".join(p.name for p in found) or "none"
        raise ModelError(
            f"{folder}: one .hdf5 file with the weights of a biLM is needed beside options.json; {listed}"
        )
    return found[0]


def count(path: Path) -> int:
    """Numbers in the datasets of a file."""
    import h5py

    sizes: list[int] = []
    with h5py.File(path) as file:
        file.visititems(lambda _, item: sizes.append(item.size) if isinstance(item, h5py.Dataset) else None)
    return sum(sizes)


def read_weights(path: Path, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    import h5py

    tensors = {}
    with h5py.File(path) as file:
        for ours, theirs in names(settings).items():
            found = file.get(theirs)
            if not isinstance(found, h5py.Dataset):
                raise ModelError(f"{path}: the dataset {theirs} is missing, which options.json asks for")
            try:
                x = torch.from_numpy(found[...]).float()
                tensors[ours] = from_release(ours, x, settings).contiguous()
            except (OSError, RuntimeError, IndexError, TypeError) as error:
                first = str(error).partition("\n")[0]
                raise ModelError(f"{path}: {theirs} is damaged, or has a shape of its own: {first}") from None
    return tensors


def write_release(elmo: "Elmo", folder: Path) -> None:
    """options.json and weights.hdf5, as the authors' code reads them."""
    import h5py

    settings, tensors = elmo.settings, elmo.encoder.state_dict()
    lstm = {theirs: settings[ours] for theirs, ours in LSTM.items()}
    cnn = {theirs: settings[ours] for theirs, ours in CNN.items()} | {"n_characters": CHARACTERS + 1}
    cnn |= {"embedding": {"dim": settings["characters"]}, "max_characters_per_token": LONGEST}
    files.write_json(folder / "options.json", {"bidirectional": True, "lstm": lstm, "char_cnn": cnn})
    with h5py.File(folder / "weights.hdf5", "w") as file:
        for ours, theirs in names(settings).items():
            if theirs not in file:
                file.create_dataset(theirs, data=to_release(ours, tensors).cpu().numpy(), dtype="float32")
