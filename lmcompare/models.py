"""Where a pretrained model is: a run of ours, a folder in the Hugging Face layout, or an id on the hub."""

import os
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lmcompare import registry, results
from lmcompare.errors import ModelError, UserError

HUB_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*")
# Weights as safetensors and plain tables only: nothing that could run code is ever fetched.
FETCHED = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
]
PATIENCE = 3.0  # seconds to find out whether the hub answers


def find(name: str) -> Path:
    """The local folder that holds the model."""
    if not name:
        raise UserError("no model given; use --model with a run, a folder, or a hub id")
    for path in (Path(name), results.root() / name):
        if (path / "run.json").is_file():
            record = results.read(path)
            if not (path / "model" / "config.json").is_file():
                raise ModelError(f"{path}: this run is {record.status} and holds no encoder")
            return path / "model"
        if path.is_dir() and path == Path(name):
            return path
    if name.startswith(("/", ".", "~")) or name.count("/") > 1 or not HUB_ID.fullmatch(name):
        raise ModelError(f"model {name!r}: no such run or folder")
    return from_hub(name)


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
    if problem := unreachable():
        raise ModelError(
            f"model {name!r}: not a local run or folder, not in the cache ({constants.HF_HUB_CACHE}), and "
            f"{problem}; give --model a run or a folder that holds config.json and model.safetensors"
        )
    try:
        return Path(snapshot_download(name, allow_patterns=FETCHED))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ModelError(f"model {name!r}: the hub did not give it: {first}") from None


def unreachable() -> str | None:
    """Why the hub cannot be asked; None where it can."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        return "offline mode is on"
    address = urlparse(constants.ENDPOINT)
    try:
        socket.create_connection((address.hostname, address.port or 443), timeout=PATIENCE).close()
    except OSError:
        return "the hub does not answer (no network?)"
    return None


def load(family: str, name: str, *, seed: int = 0) -> Any:
    """A backend with its weights; the seed draws what the folder may lack."""
    return registry.loader(registry.backends.get(family))(find(name), seed=seed)
