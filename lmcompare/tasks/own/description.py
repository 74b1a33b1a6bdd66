"""A task in a TOML file: the settings of one's own task, and paths that stand relative to the file."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmcompare import registry
from lmcompare.errors import DataError, UserError, nearest, unknown
from lmcompare.text.lines import fault, lines

LARGEST = 1 << 20  # bytes: no task takes so many to describe
PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
STRANGE = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST = 60  # letters of a name: it becomes a part of the names of runs
FILES = ("train", "dev", "test")


def read(path: Path, builder: Callable[..., Any]) -> dict[str, Any]:
    """The builder's settings as the file has them; what it cannot take is named with its line."""
    text = _text(path)
    table = _parsed(path, text)
    schema, hints = registry.settings(builder), registry.annotations(builder)
    known = ["name", *(key for key in schema if key != "called")]
    for key, value in table.items():
        line = _line(text, key)
        if key not in known:
            raise fault(path, line, 1, f"unknown key {key!r}; {nearest(key, known)}")
        try:
            table[key] = registry.typed(value, str if key == "name" else hints[key], key)
        except UserError as error:
            raise fault(path, line, 1, str(error)) from None
    for metric in table.get("metrics", ()):
        if metric not in registry.metrics.names():
            line = _line(text, "metrics")
            raise fault(path, line, 1, unknown("metric", metric, registry.metrics.names()))
    if not table.get("train"):
        raise fault(
            path, 1, 1, "no key 'train'; it says which file holds the examples: train = \"reviews.csv\""
        )
    table["called"] = table.pop("name", "") or legal(path)
    if STRANGE.search(table["called"]) or len(table["called"]) > LONGEST:
        what = f"name {table['called']!r}: use 1 to {LONGEST} letters, digits, '.', '_' or '-'"
        raise fault(path, _line(text, "name"), 1, what)
    if table["called"] in registry.tasks.names():
        what = f"name {table['called']!r} is that of a task of ours; give yours another"
        raise fault(path, _line(text, "name"), 1, what)
    for split in FILES:
        if table.get(split):
            table[split] = str(path.absolute().parent / Path(table[split]).expanduser())
    return table


def looks_like_a_task(path: Path) -> bool:
    """Whether a TOML file describes a task, and not a run or a study."""
    try:
        table = _parsed(path, _text(path))
    except DataError:
        return False  # who reads it as something else tells better what is wrong
    return isinstance(table.get("train"), str) and not {"transfer", "objective", "arms"} & table.keys()


def legal(path: Path) -> str:
    """A file's name without what it ends in, as a task can be called."""
    bare = path.with_suffix("") if path.suffix == ".gz" else path
    name = STRANGE.sub("-", bare.stem).strip("-.")[:LONGEST] or "yours"
    return f"own.{name}" if name in registry.tasks.names() else name


def _text(path: Path) -> str:
    text = "\n".join(line for _, line in lines(path))
    if len(text) > LARGEST:
        raise fault(path, 1, 1, f"more than {LARGEST:,} characters; this is no description of a task")
    return text


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = PLACE.search(str(error))
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        column = int(place[2]) if place and place[2] else len(text) - text.rfind("\n")
        what = PLACE.sub("", str(error)).lower()
        raise fault(path, line, column, f"not readable as TOML: {what}") from None
    except RecursionError:
        raise fault(path, 1, 1, "nested far deeper than any task; flatten it") from None
    except ValueError as error:  # a number of thousands of digits, a date that is none
        raise fault(path, 1, 1, f"not readable as TOML: {error}") from None


def _line(text: str, key: str) -> int:
    """Where a key of the file stands, as far as that is plain to see."""
    found = re.search(rf"""^\s*\[*\s*["']?{re.escape(key)}["']?\s*[=.\]]""", text, re.MULTILINE)
    return text.count("\n", 0, found.end()) + 1 if found else 1
