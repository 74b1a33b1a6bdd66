"""What is computed once and used again: tokenized corpora and the layers of frozen encoders. Safe to remove."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcompare import files
from lmcompare.errors import UserError, unknown

ROOMS = ("features", "tokens")


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
        for path in sorted((root() / room).glob("[!.]*")):
            manifest = path / files.MANIFEST
            about = files.read_json(manifest).get("about", "") if manifest.is_file() else "damaged"
            found.append(Entry(room, path.name, path, files.size(path), about))
    return found


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
    return table(gone, "removed from")


def listing() -> dict[str, Any]:
    return table(entries(), "in")


def table(found: list[Entry], what: str) -> dict[str, Any]:
    rows = [{"room": e.room, "name": e.name, "bytes": e.bytes, "about": e.about} for e in found]
    return {"root": str(root()), "what": what, "entries": rows}
