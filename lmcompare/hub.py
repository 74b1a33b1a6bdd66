"""Data sets of `datasets`: by their id on the hub, or a folder in which one was saved. Rows stay on the disk, and no
code of a data set's is ever run."""

import contextlib
import contextvars
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lmcompare.errors import DataError, Missing

ID = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*")
PATIENCE = 3.0  # seconds to find out whether the hub answers
SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` leaves beside the tables
_shut = contextvars.ContextVar("shut", default=False)


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


def load(name: str, split: str | None, *, what: str, local: str) -> Any:
    """A table, or all tables by the name of their split: from the cache, or fetched where there is a network. The
    name is an id with :config behind it where the data set has several; `what` and `local` speak in messages: what
    wants it, and what else could be given."""
    if _shut.get():
        raise Missing(f"{what}: no file or folder here; {local}")
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    path, _, config = name.partition(":")
    closed = unreachable()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        with offline(bool(closed)):
            return datasets.load_dataset(path, config or None, split=split)
    except (OSError, ValueError, KeyError, HfHubHTTPError, datasets.exceptions.DatasetsError) as error:
        first = str(error).strip().partition("\n")[0]
        if closed and not isinstance(error, ValueError):
            raise Missing(
                f"{what}: no file or folder here, not in the cache ({datasets.config.HF_DATASETS_CACHE}), "
                f"and {closed}; {local}"
            ) from None
        raise Missing(
            f"{what}: no file or folder here, and `datasets` cannot load it: {first}; {local}"
        ) from None


@contextlib.contextmanager
def shut() -> Iterator[None]:
    """Within, nothing is loaded by an id, not even from the cache: for those who only look what lies here."""
    token = _shut.set(True)
    try:
        yield
    finally:
        _shut.reset(token)


def cached(name: str) -> bool:
    """Whether the cache of `datasets` has a data set of this id."""
    from datasets import config

    folder = Path(config.HF_DATASETS_CACHE) / name.partition(":")[0].replace("/", "___")
    return folder.is_dir()


def is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in SAVED)


def load_saved(folder: Path) -> Any:
    """What `save_to_disk` has written."""
    import datasets

    try:
        return datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError, datasets.exceptions.DatasetsError) as error:
        first = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{folder}: `datasets` cannot load what it saved here: {first}; save it again"
        ) from None


@contextlib.contextmanager
def offline(closed: bool) -> Iterator[None]:
    """Where the hub does not answer, nobody is to try it again and again."""
    from datasets import config
    from huggingface_hub import constants

    before = config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = (closed or was for was in before)
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
