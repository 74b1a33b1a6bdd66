"""Tables of `datasets`, from the hub or saved in a folder, as rows like those of a file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcompare import hub
from lmcompare.errors import DataError, Missing, nearest
from lmcompare.text.tables import Row
from lmcompare.types import Split

BATCH = 1000  # rows read at a time
# What `datasets` calls our splits, unless a task says otherwise.
NAMES = {"train": ("train",), "dev": ("validation", "dev"), "test": ("test",)}


@dataclass(frozen=True)
class Stored:
    """The tables of one data set by our names of their splits."""

    told: str  # where it was found, as it stands in results and messages
    tables: Mapping[Split, Any]

    @property
    def splits(self) -> tuple[Split, ...]:
        return tuple(self.tables)

    def rows(self, split: Split, columns: Sequence[str]) -> Iterator[Row]:
        """The rows with these columns alone. A class stands by its name, an absent value (and class −1) as None."""
        if split not in self.tables:
            raise DataError(f"{self.told}: no split {split!r} here; {nearest(split, self.tables)}")
        table = self.tables[split]
        for name in columns:
            if name not in table.column_names:
                raise DataError(f"{self.told}: no column {name!r}; {nearest(name, table.column_names)}")
        names = {column: _classes(table.features[column]) for column in columns}
        number = 0
        for batch in table.select_columns(list(columns)).with_format("arrow").iter(BATCH):
            found = {column: batch.column(column).to_pylist() for column in columns}
            for values in zip(*(found[column] for column in columns), strict=True):
                number += 1
                pairs = zip(columns, values, strict=True)
                yield Row(number, {c: _named(value, names[c]) for c, value in pairs}, ((number, 1),))

    def fault(self, row: Row, column: str, what: str) -> DataError:
        return DataError(f"{self.told}: row {row.line}, {column}: {what}")


def stored(
    data: Path | None,
    folders: Sequence[str],
    name: str,
    *,
    what: str,
    local: str,
    names: Mapping[Split, Sequence[str]] = NAMES,
) -> Stored:
    """A data set saved in the data folder (or in one of its `folders`), else the one of this id on the hub. `local`
    tells in a message which files would do in its place."""
    places = [] if data is None else [data, *(data / folder for folder in folders)]
    saved = next((place for place in places if hub.is_saved(place)), None)
    if saved is not None:
        told, found = str(saved), hub.load_saved(saved)
    elif name:
        told, found = f"hub: {name}", hub.load(name, None, what=what, local=local)
    else:
        raise Missing(f"{what}: {local}")
    if not isinstance(found, dict):
        raise DataError(f"{told}: one table without splits; save a DatasetDict with train and validation")
    tables = {
        split: found[theirs]
        for split, known in names.items()
        if (theirs := next((one for one in known if one in found), None)) is not None
    }
    if not tables:
        raise DataError(f"{told}: none of the splits {', '.join(names)}; it has {', '.join(found)}")
    return Stored(told, tables)


def _classes(feature: Any) -> list[str] | None:
    """The names of a column's classes; of a column of lists, of what stands in them."""
    return getattr(getattr(feature, "feature", feature), "names", None)


def _named(value: Any, names: list[str] | None) -> Any:
    if names is None or value is None:
        return value
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    return names[value] if value >= 0 else None
