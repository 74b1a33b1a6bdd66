"""Rows of a Parquet file, strictly: text is text, a value that cannot be one of an example's is named, and what a file
claims of its size is held against the file before any of it is unpacked.

Such a file has no lines. In the places of messages stand the row and the column's number, both counted from 1.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lmcompare.errors import DataError, ResourceError, nearest
from lmcompare.text.lines import RATIO, UNPACKED, fault, regular_file

BATCH = 1000  # rows read at a time
LEAST = 16  # bytes that a row is counted with at least: rows of nothing take no place in the file

# Row · values by column · where each value is.
Found = tuple[int, dict[str, Any], tuple[tuple[int, int], ...]]


def stream(
    path: Path, columns: Sequence[str] | None = None
) -> tuple[tuple[str, ...], Iterator[Found | DataError]]:
    """The names of all columns; and of the wanted ones (None: all) the rows, one after another."""
    parquet = _opened(path)
    names = tuple(parquet.schema_arrow.names)
    if twice := [name for name in names if names.count(name) > 1]:
        number = names.index(twice[0], names.index(twice[0]) + 1) + 1
        raise fault(path, 1, number, f"column {twice[0]!r} stands twice; rename one of them")
    wanted = names if columns is None else tuple(columns)
    for name in wanted:
        if name not in names:
            shown = ", ".join(map(repr, names[:20]))
            raise fault(path, 1, 1, f"no column {name!r}; {nearest(name, names)} (the file has {shown})")
    if not wanted:
        raise fault(path, 1, 1, "the file has no columns")
    for name in wanted:
        _check_type(path, names.index(name) + 1, name, parquet.schema_arrow.field(name).type)
    _check_size(path, parquet.metadata)
    return names, _rows(path, names, wanted, _texts(parquet, wanted))


def _opened(path: Path, coded: Sequence[str] = ()) -> Any:
    """The file; a text that stands many times in one of the `coded` columns takes its place once."""
    import pyarrow
    import pyarrow.parquet

    regular_file(path)
    try:
        return pyarrow.parquet.ParquetFile(path, read_dictionary=list(coded), page_checksum_verification=True)
    except PermissionError as error:
        raise ResourceError(f"{path}: not permitted to read it; check its mode") from error
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception, row: int = 1) -> DataError:
    first = str(error).strip().partition("\n")[0][:200]
    return fault(path, row, 1, f"not a whole Parquet file ({first}); write or fetch it again")


def _check_type(path: Path, number: int, name: str, kind: Any) -> None:
    """Text, numbers, truth values, and lists and groups of these."""
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    plain = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
    if types.is_null(kind) or any(of(kind) for of in plain):
        return
    if types.is_list(kind) or types.is_large_list(kind):
        _check_type(path, number, name, kind.value_type)
    elif types.is_struct(kind):
        for n in range(kind.num_fields):
            _check_type(path, number, name, kind.field(n).type)
    else:
        what = f"column {name!r} holds {str(kind)[:40]}; text, numbers and lists of them can be read"
        raise fault(path, 1, number, f"{what}, so write it as text")


def _check_size(path: Path, metadata: Any) -> None:
    """All columns count: where the description of a single one is damaged, asking for it ends the process."""
    claimed = metadata.num_rows * LEAST
    for group in range(metadata.num_row_groups):
        claimed += max(0, metadata.row_group(group).total_byte_size)
    _check(path, claimed)


def _check(path: Path, size: int) -> None:
    if size > max(UNPACKED, RATIO * path.stat().st_size):
        what = f"unpacks to over {size:,} bytes, more than {RATIO} times its own size"
        raise fault(path, 1, 1, f"{what}; write it anew, in smaller parts, if that is meant")


def _texts(parquet: Any, wanted: Sequence[str]) -> list[str]:
    from pyarrow import types

    kinds = {name: parquet.schema_arrow.field(name).type for name in wanted}
    return [name for name, kind in kinds.items() if types.is_string(kind) or types.is_large_string(kind)]


def _rows(
    path: Path, names: tuple[str, ...], wanted: tuple[str, ...], coded: list[str]
) -> Iterator[Found | DataError]:
    import pyarrow

    numbers, row, size = [names.index(name) + 1 for name in wanted], 0, 0
    with _opened(path, coded) as parquet:
        batches = parquet.iter_batches(batch_size=BATCH, columns=list(wanted))
        while True:
            try:
                batch = next(batches, None)
                if batch is None:
                    return
                batch.validate(full=True)  # bytes that are no text, and lists that end beyond their values
                found = [_values(batch.column(name)) for name in wanted]
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                raise _damaged(path, error, row + 1) from None
            for values in zip(*found, strict=True):
                row += 1
                size += LEAST + sum(len(value) for value in values if isinstance(value, str))
                if row % BATCH == 0:
                    _check(path, size)
                yield _row(path, row, dict(zip(wanted, values, strict=True)), numbers)


def _values(column: Any) -> list[Any]:
    from pyarrow import types

    if not types.is_dictionary(column.type):
        return column.to_pylist()
    once = column.dictionary.to_pylist()
    return [None if place is None else once[place] for place in column.indices.to_pylist()]


def _row(path: Path, row: int, values: dict[str, Any], numbers: list[int]) -> Found | DataError:
    for number, (name, value) in zip(numbers, values.items(), strict=True):
        if isinstance(value, str) and "\0" in value:
            return fault(path, row, number, f"a NUL in {name!r}; remove it")
    return row, values, tuple((row, number) for number in numbers)
