"""Strict readers of TSV, CSV, JSON Lines and Parquet. Text is never converted: `NA`, `007` and "" stay.

TSV is GLUE's: tabs between fields, a line a row, no quoting at all. CSV has quotes as RFC 4180 has
them. JSON Lines: an object a line. These three may be gzipped. A bad row stops the reading, or, with
`on_bad_row="skip"`, is left out and named in `Table.skipped`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from lmcompare.errors import DataError, UserError, nearest, unknown
from lmcompare.text import parquet, quoted
from lmcompare.text.jsonlines import objects
from lmcompare.text.lines import fault, lines, regular_file
from lmcompare.text.quoted import Record

OnBadRow = Literal["error", "skip"]
# What parts fields, by the endings of names · what it is called.
SEPARATORS = {".csv": ",", ".tsv": "\t"}
CALLED = {",": "comma", "\t": "tab", ";": "semicolon"}
NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?")
SENTENCE = 4  # words: the name of a column has fewer
ENDINGS = (".tsv", ".csv", ".jsonl", ".parquet")  # of the names of tables


@dataclass(frozen=True, slots=True)
class Row:
    line: int  # where the row begins
    values: dict[str, Any]  # TSV, CSV: text as it stands in the file · others: their values
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
    path: Path, *, columns: Sequence[str] | None = None, header: bool = True,
    on_bad_row: OnBadRow = "error", limit: int | None = None,
) -> Table:  # fmt: skip
    """A file with named columns, in the format that its name ends in. `header=False`: `columns` are the names of all
    columns of a text table that says none."""
    readers: dict[str, Callable[..., Table]] = {
        ".tsv": read_tsv, ".csv": read_csv, ".jsonl": read_jsonl, ".parquet": read_parquet,
    }  # fmt: skip
    more = {"on_bad_row": on_bad_row, "limit": limit}
    if ending(path) in (".tsv", ".csv"):
        return readers[ending(path)](path, columns=columns, header=header, **more)
    _has_names(path, header)
    return readers[ending(path)](path, columns=columns, **more)


def stream_table(
    path: Path, *, columns: Sequence[str] | None = None, header: bool = True
) -> tuple[tuple[str, ...], Iterator[Row | DataError]]:
    """The names of all columns (JSON lines: the keys of the first), and the rows one after another."""
    if ending(path) in (".tsv", ".csv"):
        read = stream_tsv if ending(path) == ".tsv" else stream_csv
        return read(path, columns=columns, header=header)
    _has_names(path, header)
    if ending(path) == ".parquet":
        names, found = parquet.stream(path, columns)
        return names, (item if isinstance(item, DataError) else Row(*item) for item in found)
    rows = _jsonl_rows(path, columns)
    first = list(islice(rows, 1))
    return tuple(first[0].values) if first and isinstance(first[0], Row) else (), chain(first, rows)


def ending(path: Path) -> str:
    """Which format a file has by its name."""
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix not in ENDINGS or path.name.endswith(".parquet.gz"):
        regular_file(path)
        raise DataError(f"{path}: not a table by its name; it must end in {', '.join(ENDINGS)}")
    return suffix


def _has_names(path: Path, header: bool) -> None:
    if not header:
        raise UserError(
            f"{path}: its columns have names already; only a TSV or CSV file can be without a header"
        )


def read_tsv(
    path: Path, *, columns: Sequence[str] | None = None, header: bool = True,
    on_bad_row: OnBadRow = "error", limit: int | None = None,
) -> Table:  # fmt: skip
    """Rows of a TSV file. `columns`: those that must be there; without a header, all of them."""
    names, rows = stream_tsv(path, columns=columns, header=header)
    return _collected(path, names, rows, on_bad_row, limit, int(header))


def stream_tsv(
    path: Path, *, columns: Sequence[str] | None = None, header: bool = True
) -> tuple[tuple[str, ...], Iterator[Row | DataError]]:
    """All columns, and the rows one after another; a bad one comes as its error, in its place."""
    records: Iterator[Record | DataError] = ((n, line.split("\t"), ()) for n, line in lines(path))
    names = _names(path, records, columns, header)
    return names, _rows(path, names, records)


def stream_csv(
    path: Path, *, columns: Sequence[str] | None = None, header: bool = True
) -> tuple[tuple[str, ...], Iterator[Row | DataError]]:
    """As `stream_tsv`, of a CSV file."""
    records = quoted.records(path)
    names = _names(path, records, columns, header)
    return names, _rows(path, names, records)


def read_csv(
    path: Path, *, columns: Sequence[str] | None = None, header: bool = True,
    on_bad_row: OnBadRow = "error", limit: int | None = None,
) -> Table:  # fmt: skip
    """Rows of a CSV file; `columns` as for TSV."""
    return _delimited(path, quoted.records(path), columns, header, on_bad_row, limit)


def read_jsonl(
    path: Path, *, columns: Sequence[str] | None = None, on_bad_row: OnBadRow = "error",
    limit: int | None = None,
) -> Table:  # fmt: skip
    """Rows of a JSON Lines file. `columns`: the keys that every row must have."""
    table = _collected(path, (), _jsonl_rows(path, columns), on_bad_row, limit)
    seen = dict.fromkeys(chain.from_iterable(row.values for row in table.rows))
    return Table(path, tuple(seen), table.rows, table.skipped)


def _jsonl_rows(path: Path, columns: Sequence[str] | None) -> Iterator[Row | DataError]:
    for item in objects(path, columns or ()):
        yield item if isinstance(item, DataError) else Row(*item, ((item[0], 1),))


def read_parquet(
    path: Path, *, columns: Sequence[str] | None = None, on_bad_row: OnBadRow = "error",
    limit: int | None = None,
) -> Table:  # fmt: skip
    """Rows of a Parquet file. `columns`: those to read."""
    names, found = parquet.stream(path, columns)
    rows = (item if isinstance(item, DataError) else Row(*item) for item in found)
    return _collected(path, names, rows, on_bad_row, limit)


def _delimited(
    path: Path, records: Iterator[Record | DataError], columns: Sequence[str] | None, header: bool,
    on_bad_row: OnBadRow, limit: int | None,
) -> Table:  # fmt: skip
    names = _names(path, records, columns, header)
    return _collected(path, names, _rows(path, names, records), on_bad_row, limit, int(header))


def _names(
    path: Path, records: Iterator[Record | DataError], columns: Sequence[str] | None, header: bool
) -> tuple[str, ...]:
    """The names of all columns, from the header where there is one."""
    if header:
        first = next(records, None)
        if first is None:
            raise fault(path, 1, 1, "the file is empty; it needs a header and rows")
        if isinstance(first, DataError):
            raise first
        return _header(path, first, columns or ())
    if columns is None:
        raise ValueError("a file without a header needs the names of its columns")
    return tuple(columns)


def _header(path: Path, record: Record, wanted: Sequence[str]) -> tuple[str, ...]:
    number, names, places = record
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        again = names.index(twice[0], names.index(twice[0]) + 1)
        column = places[again][1] if places else 1 + sum(len(name) + 1 for name in names[:again])
        raise fault(path, number, column, f"column {twice[0]!r} stands twice; rename one of them")
    for name in wanted:
        if name not in names:
            if odd := other_separator(path, names):
                raise fault(path, number, 1, odd)
            if not {*wanted} & {*names} and looks_like_data(names):
                what = f"line {number} does not look like a header ({shown(names)})"
                raise fault(
                    path, number, 1, f"{what}; no column {name!r}: add a line with the columns' names"
                )
            raise fault(
                path, number, 1, f"no column {name!r}; {nearest(name, names)} (the header has "
                f"{', '.join(map(repr, names[:20]))})"
            )  # fmt: skip
    return tuple(names)


def other_separator(path: Path, names: Sequence[str]) -> str:
    """What is wrong where a header is one field because its names are parted by something else; "" elsewhere."""
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    meant = SEPARATORS.get(plain.suffix)
    found = [mark for mark in "\t;," if mark != meant and len(names) == 1 and mark in names[0]]
    if not meant or not found:
        return ""
    fitting = [suffix for suffix, mark in SEPARATORS.items() if mark == found[0]]
    mend = f"let its name end in {fitting[0]}, or save it" if fitting else "save it"
    return (
        f"the header is a single field with a {CALLED[found[0]]} in it ({shown(names)}), where a {CALLED[meant]} parts "
        f"fields; {mend} with {CALLED[meant]}s"
    )


def looks_like_data(names: Sequence[str]) -> bool:
    """Whether what should be the names of columns holds sentences or numbers."""
    return any(len(name.split()) >= SENTENCE or NUMBER.fullmatch(name) for name in names)


def shown(names: Sequence[str]) -> str:
    """A few names, shortened."""
    cut = [repr(name if len(name) <= 30 else f"{name[:30]}…") for name in names[:3]]
    return ", ".join([*cut, "…"] if len(names) > 3 else cut)


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
