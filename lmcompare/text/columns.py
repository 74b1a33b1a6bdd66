"""Words and what is said of each, in columns: a word a line, and an empty line after each sentence (CoNLL's way).

Columns are parted by tabs where a line has any, else by spaces; every line has as many. What stands for the begin of a
document is no word.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lmcompare.errors import DataError
from lmcompare.text.lines import fault, lines

DOCUMENT = "-DOCSTART-"
FIELD = re.compile(r"[^ \t]+")  # other white space is text


@dataclass(frozen=True, slots=True)
class Sentence:
    path: Path
    lines: tuple[tuple[int, str], ...]  # number and text of each
    rows: tuple[tuple[str, ...], ...]  # its columns

    def fault(self, word: int, column: int, what: str) -> DataError:
        """An error about one column of one word, both counted from 0."""
        number, line = self.lines[word]
        return fault(self.path, number, _places(line)[column] + 1, what)


def sentences(path: Path) -> Iterator[Sentence | DataError]:
    """One by one; in the place of a bad one, what is wrong with it."""
    held, rows = list[tuple[int, str]](), list[tuple[str, ...]]()
    width, bad = 0, None
    for number, line in lines(path):
        fields = split(line)
        if not fields or fields[0] == DOCUMENT:
            if rows or bad:
                yield bad or Sentence(path, tuple(held), tuple(rows))
            held, rows, bad = [], [], None
            continue
        width = width or (len(fields) if len(fields) > 1 else 0)
        bad = bad or _wrong(path, number, line, fields, width)
        held.append((number, line))
        rows.append(fields)
    if rows or bad:
        yield bad or Sentence(path, tuple(held), tuple(rows))


def split(line: str) -> tuple[str, ...]:
    """The columns; none where the line is blank."""
    if not line.strip(" \t"):
        return ()
    return tuple(line.split("\t")) if "\t" in line else tuple(FIELD.findall(line))


def _places(line: str) -> list[int]:
    if "\t" not in line:
        return [match.start() for match in FIELD.finditer(line)]
    starts = [0]
    for field in line.split("\t")[:-1]:
        starts.append(starts[-1] + len(field) + 1)
    return starts


def _wrong(path: Path, number: int, line: str, fields: tuple[str, ...], width: int) -> DataError | None:
    if len(fields) < 2:
        what = "one column alone; a word and its tag are expected, parted by a tab or a space"
        return fault(path, number, 1, what)
    if width and len(fields) != width:
        column = _places(line)[width] if len(fields) > width else len(line)
        what = f"{len(fields)} columns where the lines before have {width}"
        return fault(path, number, column + 1, f"{what}; is a word or a tag missing, or a space inside one?")
    if "" in fields:
        empty = fields.index("")
        return fault(path, number, _places(line)[empty] + 1, f"column {empty + 1} is empty; fill it in")
    return None
