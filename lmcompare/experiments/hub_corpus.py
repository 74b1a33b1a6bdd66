"""A corpus by its id on the hub: a data set of `datasets`, whose rows are documents and stay on the disk."""

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any

from lmcompare import models
from lmcompare.errors import DataError
from lmcompare.text import corpus

ID = re.compile(rf"({models.HUB_ID.pattern})(?::([\w.+-]+))?")  # owner/name, name, and :config behind either


def is_id(name: str) -> bool:
    return ID.fullmatch(name) is not None and not name.endswith(corpus.ENDINGS)


def short(name: str) -> str:
    """What a run is called by."""
    return name.rpartition("/")[2].replace(":", "-")


def load(name: str, split: str) -> Any:
    """The table, from the cache or fetched where there is a network. No code of the data set's is ever run."""
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    path, _, config = name.partition(":")
    closed = models.unreachable()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        with offline(bool(closed)):
            return datasets.load_dataset(path, config or None, split=split)
    except (OSError, ValueError, KeyError, HfHubHTTPError, datasets.exceptions.DatasetsError) as error:
        first = str(error).strip().partition("\n")[0]
        local = f"give --corpus a file or folder of {', '.join(corpus.ENDINGS)}"
        if closed and not isinstance(error, ValueError):
            raise DataError(
                f"corpus {name!r}: no file or folder here, not in the cache ({datasets.config.HF_DATASETS_CACHE}), "
                f"and {closed}; {local}"
            ) from None
        raise DataError(
            f"corpus {name!r}: no file or folder here, and `datasets` cannot load it: {first}; {local}"
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


def texts(table: Any, name: str, field: str, read: corpus.Read = lambda size: None) -> Iterator[str]:
    """A row a document."""
    whole = table.data.nbytes
    return corpus.column(table, field, f"corpus {name!r}", lambda share: read(int(share * whole)))


def identity(table: Any, name: str, split: str, field: str) -> str:
    """`datasets` derives its fingerprint from the commit of the hub, or from the files of a folder."""
    return f"hub-{name}-{split}-{field}-{len(table)}-{table._fingerprint}"
