"""Strict readers of TSV, CSV and JSON Lines. Text is never converted: `NA`, `007` and "" stay.

TSV is GLUE's: tabs between fields, a line a row, no quoting at all. CSV has quotes as RFC 4180 has
them. JSON Lines: an object a line. All may be gzipped. A bad row stops the reading, or, with
`on_bad_row="skip"`, is left out and named in `Table.skipped`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from lmcompare.errors import DataError, UserError, nearest, unknown
from lmcompare.text.jsonlines import objects
from lmcompare.text.lines import LONGEST, fault, lines, regular_file

OnBadRow = Literal["error", "skip"]
QUOTED = re.compile(r'"((?:[^"]++|"")*+)"')


@dataclass(frozen=True, slots=True)
class Row:
    line: int  # where the row begins
    values: dict[str, Any]  # TSV, CSV: text as it stands in the file · JSONL: JSON values
    places: tuple[tuple[int, int], ...] = ()  # line and column of each value, where not plain to see

    def place(self, column: str) -> tuple[int, int]:
        """Line and column at which this value begins."""
        index = list(self.values).index(column)
        if self.places:
            return self.places[min(index, len(self.places) - 1)]
        before = list(self.values.values())[:index]
        return self.line, 1 + sum(len(value) + 1 for value in before)


@dataclass(frozen=True, slots=True)
class Table:
    path: Path
    columns: tuple[str, ...]
    rows: list[Row]
    skipped: tuple[str, ...] = ()  # a message for each bad row that was left out

    def fault(self, row: Row, column: str, what: str) -> DataError:
        """An error about one value of one row."""
        return fault(self.path, *row.place(column), what)


def read_table(
    path: Path, *, columns: Sequence[str] | None = None, on_bad_row: OnBadRow = "error",
    limit: int | None = None,
) -> Table:  # fmt: skip
    """A file with named columns, in the format that its name ends in."""
    readers: dict[str, Callable[..., Table]] = {
        ".tsv": read_tsv, ".csv": read_csv, ".jsonl": read_jsonl,
    }  # fmt: skip
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix not in readers:
        regular_file(path)
        raise DataError(f"{path}: not a table by its name; it must end in {', '.join(readers)}")
    return readers[suffix](path, columns=columns, on_bad_row=on_bad_row, limit=limit)


def read_tsv(
    path: Path, *, columns: Sequence[str] | None = None, header: bool = True,
    on_bad_row: OnBadRow = "error", limit: int | None = None,
) -> Table:  # fmt: skip
    """Rows of a TSV file. `columns`: those that must be there; without a header, all of them."""
    records = ((number, line.split("\t"), ()) for number, line in lines(path))
    return _delimited(path, records, columns, header, on_bad_row, limit)


def read_csv(
    path: Path, *, columns: Sequence[str] | None = None, header: bool = True,
    on_bad_row: OnBadRow = "error", limit: int | None = None,
) -> Table:  # fmt: skip
    """Rows of a CSV file; `columns` as for TSV."""
    return _delimited(path, _csv_records(path), columns, header, on_bad_row, limit)


def read_jsonl(
    path: Path, *, columns: Sequence[str] | None = None, on_bad_row: OnBadRow = "error",
    limit: int | None = None,
) -> Table:  # fmt: skip
    """Rows of a JSON Lines file. `columns`: the keys that every row must have."""
    found = objects(path, columns or ())
    rows = (item if isinstance(item, DataError) else Row(*item, ((item[0], 1),)) for item in found)
    table = _collected(path, (), rows, on_bad_row, limit)
    seen = dict.fromkeys(chain.from_iterable(row.values for row in table.rows))
    return Table(path, tuple(seen), table.rows, table.skipped)


Record = tuple[int, list[str], tuple[tuple[int, int], ...]]  # line · fields · where each field begins


def _delimited(
    path: Path, records: Iterator[Record | DataError], columns: Sequence[str] | None, header: bool,
    on_bad_row: OnBadRow, limit: int | None,
) -> Table:  # fmt: skip
    if header:
        first = next(records, None)
        if first is None:
            raise fault(path, 1, 1, "the file is empty; it needs a header and rows")
        if isinstance(first, DataError):
            raise first
        names = _header(path, first, columns or ())
    elif columns is None:
        raise ValueError("a file without a header needs the names of its columns")
    else:
        names = tuple(columns)
    return _collected(path, names, _rows(path, names, records), on_bad_row, limit, int(header))


def _header(path: Path, record: Record, wanted: Sequence[str]) -> tuple[str, ...]:
    number, names, places = record
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        again = names.index(twice[0], names.index(twice[0]) + 1)
        column = places[again][1] if places else 1 + sum(len(name) + 1 for name in names[:again])
        raise fault(path, number, column, f"column {twice[0]!r} stands twice; rename one of them")
    for name in wanted:
        if name not in names:
            raise fault(
                path, number, 1, f"no column {name!r}; {nearest(name, names)} (the header has "
                f"{', '.join(map(repr, names[:20]))})"
            )  # fmt: skip
    return tuple(names)


def _rows(
    path: Path, names: tuple[str, ...], records: Iterator[Record | DataError]
) -> Iterator[Row | DataError]:
    for record in records:
        if isinstance(record, DataError):
            yield record
        elif len(record[1]) == len(names):
            number, fields, places = record
            yield Row(number, dict(zip(names, fields, strict=True)), places)
        else:
            yield _wrong_count(path, record, len(names))


def _wrong_count(path: Path, record: Record, expected: int) -> DataError:
    number, fields, places = record
    if fields == [""]:
        return fault(path, number, 1, f"an empty line in place of {expected} fields; delete it")
    if len(fields) < expected:
        column = 1 + sum(len(field) + 1 for field in fields)
        what, fix = "too few", "add what is missing"
    else:
        column = places[expected][1] if places else 1 + sum(len(f) + 1 for f in fields[:expected])
        what, fix = "too many", "is there a separator inside a text?"
    return fault(path, number, column, f"{len(fields)} fields where {expected} are expected, {what}; {fix}")


def _collected(
    path: Path, columns: tuple[str, ...], found: Iterator[Row | DataError], on_bad_row: OnBadRow,
    limit: int | None, above: int = 0,
) -> Table:  # fmt: skip
    if on_bad_row not in ("error", "skip"):
        raise UserError(unknown("value", on_bad_row, ("error", "skip"), "on_bad_row"))
    rows, skipped = list[Row](), list[str]()
    for item in found:
        if isinstance(item, Row):
            rows.append(item)
            if len(rows) == limit:
                break
        elif on_bad_row == "skip":
            skipped.append(str(item))
        else:
            raise item
    if not rows and skipped:
        raise DataError(f"{skipped[0]} (and no row of {len(skipped):,} is good)")
    if not rows:
        what = "there is a header but no row" if above else "the file is empty"
        raise fault(path, 1 + above, 1, f"{what}; it needs at least one row")
    return Table(path, columns, rows, tuple(skipped))


def _csv_records(path: Path) -> Iterator[Record | DataError]:
    numbered = lines(path, keep_cr=True)
    for number, line in numbered:
        record: Record | DataError | None
        if '"' not in line:  # most lines
            record = (number, line.removesuffix("\r").split(","), ())
        else:
            record = _csv_fields(path, number, line)
            if record is None:
                record = _csv_fields(path, number, _until_closed(path, number, line, numbered))
        if record is None:
            yield fault(path, number, 1, "a quoted field is not closed; close it with a quote")
        else:
            yield record


def _until_closed(path: Path, number: int, line: str, more: Iterator[tuple[int, str]]) -> str:
    """The line, whose last field is open, with the lines up to the one that closes it."""
    parts, size = [line], len(line)
    for _, following in more:
        parts.append(following)
        size += len(following)
        if following.count('"') % 2 == 1:
            return "\n".join(parts)
        if size > LONGEST:
            break
    raise fault(path, number, 1, "a quoted field begins in this row and never ends; close its quote")


def _csv_fields(path: Path, number: int, text: str) -> Record | DataError | None:
    """The fields of one record; None where its last field is still open."""
    text = text.removesuffix("\r")
    fields, places, at = list[str](), list[tuple[int, int]](), 0
    line, begin = number, 0  # of the line within the record
    while True:
        column = at - begin + 1
        if text.startswith('"', at):
            if (match := QUOTED.match(text, at)) is None:
                return None
            raw, end = match[1], match.end()
            if end < len(text) and text[end] != ",":
                what = "text after a closing quote; double the quotes inside a quoted field"
                return fault(path, line, end - begin + 1, what)
            fields.append(raw.replace('""', '"'))
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            raw = text[at:end]
            if '"' in raw:
                what = "a quote inside a field that is not quoted; quote the field and double it"
                return fault(path, line, column + raw.index('"'), what)
            fields.append(raw)
        places.append((line, column))
        if newlines := raw.count("\n"):
            line, begin = line + newlines, text.rindex("\n", at, end) + 1
        if end >= len(text):
            return number, fields, tuple(places)
        at = end + 1
