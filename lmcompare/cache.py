"""What is computed once and used again: tokenized corpora, what is cut from them, and the layers of frozen encoders.
Safe to remove, but for what a running process has open."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcompare import files
from lmcompare.errors import UserError, unknown

ROOMS = ("features", "tokens", "instances")
UNFINISHED = re.compile(r"\.([^/]+)\.part$")  # what a process was killed over, or is still busy with


@dataclass(frozen=True)
class Entry:
    room: str
    name: str
    path: Path
    bytes: int
    about: str


def root() -> Path:
    """LMC_CACHE, or the user's cache folder."""
    if given := os.environ.get("LMC_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lmcompare"


def entries() -> list[Entry]:
    found = []
    for room in ROOMS:
        for path, about in _folders(root() / room):
            name = UNFINISHED.sub(r"\1", path.relative_to(root() / room).as_posix())
            found.append(Entry(room, name, path, files.size(path), about))
    return found


def _folders(room: Path) -> Iterator[tuple[Path, str]]:
    """What is kept here, and what it says of itself; a folder of such folders stands for them."""
    for path in sorted(p for p in room.glob("*") if p.is_dir()):
        manifest = path / files.MANIFEST
        if UNFINISHED.search(path.name):
            yield path, "unfinished"
        elif path.name.startswith("."):
            continue
        elif manifest.is_file():
            yield path, files.read_json(manifest).get("about", "")
        elif below := list(_folders(path)):
            yield from below
        else:
            yield path, "damaged"


def remove(names: list[str]) -> dict[str, Any]:
    """Remove the named entries, those of a room, or `all`."""
    present = entries()
    gone: list[Entry] = []
    for name in names:
        chosen = [e for e in present if name in ("all", e.room, e.name)]
        if not chosen and name not in ("all", *ROOMS):
            raise UserError(unknown("cache entry", name, [e.name for e in present]))
        gone += [e for e in chosen if e not in gone]
    for entry in gone:
        shutil.rmtree(entry.path)
        if entry.path.parent.name not in ROOMS and not any(entry.path.parent.iterdir()):
            entry.path.parent.rmdir()
    return table(gone, "removed from")


def listing() -> dict[str, Any]:
    return table(entries(), "in")


def table(found: list[Entry], what: str) -> dict[str, Any]:
    rows = [{"room": e.room, "name": e.name, "bytes": e.bytes, "about": e.about} for e in found]
    return {"root": str(root()), "what": what, "entries": rows}
