"""A corpus by its id on the hub: a data set of `datasets`, whose rows are documents and stay on the disk."""

import re
from collections.abc import Iterator
from typing import Any

from lmcompare import hub
from lmcompare.text import corpus

ID = re.compile(rf"({hub.ID.pattern})(?::([\w.+-]+))?")  # owner/name, name, and :config behind either


def is_id(name: str) -> bool:
    return ID.fullmatch(name) is not None and not name.endswith(corpus.ENDINGS)


def short(name: str) -> str:
    """What a run is called by."""
    return name.rpartition("/")[2].replace(":", "-")


def load(name: str, split: str) -> Any:
    """The table, from the cache or fetched where there is a network."""
    local = f"give --corpus a file or folder of {', '.join(corpus.ENDINGS)}"
    return hub.load(name, split, what=f"corpus {name!r}", local=local)


def texts(table: Any, name: str, field: str, read: corpus.Read = lambda size: None) -> Iterator[str]:
    """A row a document."""
    whole = table.data.nbytes
    return corpus.column(table, field, f"corpus {name!r}", lambda share: read(int(share * whole)))


def identity(table: Any, name: str, split: str, field: str) -> str:
    """`datasets` derives its fingerprint from the commit of the hub, or from the files of a folder."""
    return f"hub-{name}-{split}-{field}-{len(table)}-{table._fingerprint}"
