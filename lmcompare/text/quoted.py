"""CSV to records, strictly, with quotes as RFC 4180 has them: where each field begins is known."""

import re
from collections.abc import Iterator
from pathlib import Path

from lmcompare.errors import DataError
from lmcompare.text.lines import LONGEST, fault, lines

QUOTED = re.compile(r'"((?:[^"]++|"")*+)"')

Record = tuple[int, list[str], tuple[tuple[int, int], ...]]  # line · fields · where each field begins


def records(path: Path) -> Iterator[Record | DataError]:
    """One by one; in the place of a bad one, what is wrong with it."""
    numbered = lines(path, keep_cr=True)
    for number, line in numbered:
        record: Record | DataError | None
        if '"' not in line:  # most lines
            record = (number, line.removesuffix("\r").split(","), ())
        else:
            record = _fields(path, number, line)
            if record is None:
                record = _fields(path, number, _until_closed(path, number, line, numbered))
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


def _fields(path: Path, number: int, text: str) -> Record | DataError | None:
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
