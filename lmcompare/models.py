"""Where a pretrained model is: a run of ours, a folder in the Hugging Face layout, a file of word vectors, or an id on
the hub."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmcompare import files, hub, registry, results
from lmcompare.errors import ModelError, UserError

# Weights as safetensors and plain tables only: nothing that could run code is ever fetched.
FETCHED = [
    "config.json",
    "lineage.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "words.txt",
    "words.json",
    "options.json",
    "*.hdf5",
]
VECTORS = (".txt", ".txt.gz", ".vec", ".vec.gz")  # files with a word and its numbers a line
PARTS = "tasks"  # the folder, in that of a run over several tasks, with a run folder a task


def find(name: str) -> Path:
    """The local folder that holds the model, or the file of word vectors."""
    if not name:
        raise UserError("no model given; use --model with a run, a folder, or a hub id")
    for path in (Path(name), results.root() / name):
        if (path / "run.json").is_file():
            record = results.read(path)
            model = encoder_of(path)
            if not (model / "config.json").is_file():
                raise ModelError(f"{path}: this run is {record.status} and holds no encoder")
            return model
        if path.exists() and path == Path(name):  # a folder; or a file of word vectors
            return path
    if name.startswith(("/", ".", "~")) or name.count("/") > 1 or not hub.ID.fullmatch(name):
        raise ModelError(f"model {name!r}: no such run or folder")
    return from_hub(name)


def encoder_of(run: Path) -> Path:
    """Where a run keeps its encoder: with itself; one of several tasks with the run that they share."""
    whole = run.resolve().parent
    shared = whole.name == PARTS and (whole.parent / "run.json").is_file()
    return (whole.parent if shared else run) / "model"


def from_hub(name: str) -> Path:
    """The hub's snapshot: from the local cache, or fetched where there is a network."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        cached = Path(snapshot_download(name, allow_patterns=FETCHED, local_files_only=True))
        if (cached / "config.json").is_file():
            return cached
    except (LocalEntryNotFoundError, OSError):
        pass
    if problem := hub.unreachable():
        raise ModelError(
            f"model {name!r}: not a local run or folder, not in the cache ({constants.HF_HUB_CACHE}), and "
            f"{problem}; give --model a run or a folder that holds config.json and model.safetensors"
        )
    try:
        return Path(snapshot_download(name, allow_patterns=FETCHED))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ModelError(f"model {name!r}: the hub did not give it: {first}") from None


def run_of(name: str) -> results.Record | None:
    """The run that a name stands for, if it is one of ours."""
    for path in (Path(name), results.root() / name):
        if name and (path / "run.json").is_file():
            return results.read(path)
    return None


def family(name: str) -> str:
    """Which backend reads this model: what its run says, or what its files look like."""
    if run := run_of(name):
        backend = run.config.get("backend")
        found = backend.get("name") if isinstance(backend, dict) else backend
        if not found:
            raise ModelError(f"{run.path}: this run holds no encoder")
        return str(found)
    if name.endswith(VECTORS) and not Path(name).is_dir():
        return "static"
    folder = find(name)
    if (folder / "options.json").is_file() and any([*folder.glob("*.hdf5"), *folder.glob("*.h5")]):
        return "elmo"
    if (folder / "params_shapes.json").is_file():
        return "gpt"
    kind = _model_type(folder / "config.json")
    for backend in registry.backends.names():
        if kind in getattr(registry.backends.get(backend), "kinds", [backend]):
            return backend
    if readable(kind):
        return "auto"
    looked = (
        "a run's run.json, options.json with an .hdf5 file, params_shapes.json with .npy files, config.json with a "
        "model_type of ours or of transformers, a .txt or .vec file of word vectors"
    )
    told = f"config.json says {kind!r}" if kind else f"none of these is there: {looked}"
    raise ModelError(f"{name}: no backend is known for it ({told}); name one with --backend")


def _model_type(path: Path) -> str:
    try:
        table = files.read_json(path)
    except (OSError, ValueError):
        return ""
    return str(table.get("model_type", "")) if isinstance(table, dict) else ""


def readable(kind: str) -> bool:
    """Whether transformers has a model of this kind, with an encoder or a decoder and not both."""
    if not kind:
        return False
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    known = kind in CONFIG_MAPPING_NAMES and kind in MODEL_MAPPING_NAMES
    return known and not CONFIG_MAPPING[kind].is_encoder_decoder


def load(family: str, name: str, *, seed: int = 0) -> Any:
    """A backend with its weights; the seed draws what the folder may lack."""
    return registry.loader(registry.backends.get(family))(find(name), seed=seed)


def start_hash(backend: Any) -> str:
    """Of the checkpoint as it was loaded, which is the same for every seed."""
    return getattr(backend, "start", None) or str(backend.fingerprint)


def redraw_above(backend: Any, layers: int, seed: int) -> None:
    """Keep the embeddings and the lowest layers, and draw the rest afresh."""
    layer_of = stack_of(backend, layers, "transfer_layers")
    kept = {k: v.clone() for k, v in backend.encoder.state_dict().items() if layer_of(k) <= layers}
    backend.draw(seed)
    backend.encoder.load_state_dict(kept, strict=False)


def redraw_top(backend: Any, layers: int, seed: int) -> None:
    """Draw so many of the top layers afresh, and what pools them (Zhang et al. 2021, §5); keep the rest."""
    stack_of(backend, layers, "redraw_top")
    redraw_above(backend, backend.depth - layers, seed)


def stack_of(backend: Any, layers: int, key: str) -> Callable[[str], int]:
    """Which layer a weight belongs to, where the model has at least so many."""
    layer_of = getattr(backend, "layer_of", None)
    if layer_of is None:
        raise UserError(f"{key}: {backend.name} has no stack of layers of which some could be kept")
    if layers > backend.depth:
        raise UserError(f"{key}: {layers} is more than the {backend.depth} layers of the model")
    return layer_of
