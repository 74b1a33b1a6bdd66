"""How sets of labelled texts lie on disk: a file a split, a file a class, a folder a class. A layout looks into a
folder and tells which splits lie there; rows of any source become items."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from lmcompare.errors import DataError
from lmcompare.text.labelled import encoding_of, one_class, one_text
from lmcompare.text.lines import fault
from lmcompare.text.tables import Row
from lmcompare.types import Split

Rows = Iterator[Row | DataError]
Fault = Callable[[Row, str, str], DataError]


@dataclass(frozen=True, slots=True)
class Item:
    """A row of any source."""

    id: str
    texts: tuple[str, ...]
    label: Any  # as it is written there
    fault: Callable[[str], DataError]  # an error about the label


Items = Iterator[Item | DataError]


@dataclass(frozen=True)
class Part:
    """A split as it was published, in one file or several."""

    told: str  # beside the folder's name
    place: str  # alone
    items: Callable[[], Items]


Layout = Callable[[Path], dict[Split, Part]]


def files(
    names: Mapping[Split, Sequence[str]],
    read: Callable[[Path], Rows],
    texts: Sequence[str] = ("text",),
    label: str = "label",
    name: str = "",
) -> Layout:
    """A file a split, under any of these names. `name` is the column of the rows' own names, where they have any."""

    def look(folder: Path) -> dict[Split, Part]:
        found = {split: _first(folder, known) for split, known in names.items()}
        return {split: part(path) for split, path in found.items() if path}

    def part(path: Path) -> Part:
        return Part(
            path.name,
            str(path),
            lambda: items(read(path), partial(_fault, path), texts, label, name),
        )

    return look


def class_files(names: Mapping[str, Sequence[str]]) -> Layout:
    """A file a class, under any of these names, with a text a line; no split was published."""

    def look(folder: Path) -> dict[Split, Part]:
        found = {label: _first(folder, known) for label, known in names.items()}
        there = {label: path for label, path in found.items() if path}
        if not there:
            return {}
        for label, path in found.items():
            if path is None:
                known = " or ".join(names[label])
                raise DataError(f"{folder}: no {known}, so the class {label!r} is missing; add the file")
        every = [partial(_of_class, label, path) for label, path in there.items()]
        told = ", ".join(path.name for path in there.values())
        return {"all": Part(told, str(folder), lambda: chain.from_iterable(one() for one in every))}

    return look


def class_folders(
    names: Mapping[Split, str], classes: Sequence[str], *, ending: str = "", encoding: str = "utf-8",
    apart: Sequence[str] = (),
) -> Layout:  # fmt: skip
    """A folder a split, in it a folder a class, in it a file a text. The folders of `apart` belong to no class."""

    def look(folder: Path) -> dict[Split, Part]:
        found = {split: folder / name for split, name in names.items()}
        there = {split: root for split, root in found.items() if any((root / c).is_dir() for c in classes)}
        return {split: part(root) for split, root in there.items()}

    def part(root: Path) -> Part:
        inside = {path.name for path in root.iterdir() if path.is_dir()}
        if missing := sorted({*classes} - inside):
            raise DataError(f"{root}: no folder {', '.join(missing)}: a class is missing; add it")
        if unknown := sorted(inside - {*classes, *apart}):
            raise DataError(f"{root}: the folder {unknown[0]!r} is no class of this set; remove it")
        return Part(root.name, str(root), lambda: chain.from_iterable(map(partial(texts_of, root), classes)))

    def texts_of(root: Path, label: str) -> Items:
        for path in sorted((root / label).iterdir()):
            if path.name.endswith(ending) and not path.name.startswith("."):
                name = f"{label}/{path.name.removesuffix(ending)}"
                rows = one_text(path, label, name, encoding)
                yield from items(rows, partial(_fault, path), ("text",), "label", "id")

    return look


def items(
    rows: Rows, fault: Fault, texts: Sequence[str], label: str, name: str = "", prefix: str = ""
) -> Items:
    """Rows as items. A row is known by its own name where it has one, else by its number."""
    for number, row in enumerate(rows):
        if isinstance(row, DataError):
            yield row
            continue
        values = tuple(row.values[column] for column in texts)
        wrong = next((c for c, value in zip(texts, values, strict=True) if not isinstance(value, str)), None)
        if wrong is not None:
            yield fault(row, wrong, f"{wrong} {row.values[wrong]!r} is no text; mend or remove the row")
            continue
        known = row.values[name] if name else number
        yield Item(f"{prefix}{known}", values, row.values[label], partial(fault, row, label))


def _of_class(label: str, path: Path) -> Items:
    rows = one_class(path, label, encoding_of(path))
    return items(rows, partial(_fault, path), ("text",), "label", prefix=f"{label}-")


def _fault(path: Path, row: Row, column: str, what: str) -> DataError:
    return fault(path, *row.place(column), what)


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of these files that is there, gzipped or not."""
    either = (folder / f"{name}{end}" for name in names for end in ("", ".gz"))
    return next((path for path in either if path.is_file()), None)
