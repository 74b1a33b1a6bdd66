"""Word vectors as text: `word v1 ... vn` a line, as GloVe and word2vec write them; also packed with gzip."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmcompare.errors import DataError, ModelError
from lmcompare.text.lines import lines
from lmcompare.text.words import SPECIALS, UNKNOWN

OWN = {special.lower(): row for row, special in enumerate(SPECIALS)}  # the file's `<unk>` and `</s>` are ours


@dataclass(frozen=True)
class Vectors:
    words: list[str]
    table: np.ndarray  # float32: a row for each of our markers, then one for each word
    warnings: list[str]


def read(path: Path) -> Vectors:
    """Every vector of the file. Rows go into one growing buffer, so memory holds little more than the table."""
    try:
        return _read(path)
    except DataError as error:  # what `lines` finds wrong: a model is what was asked for
        raise ModelError(str(error)) from None


def _read(path: Path) -> Vectors:
    promised, width, twice = None, 0, 0
    words: dict[str, None] = {}
    own: dict[int, np.ndarray] = {}
    buffer = bytearray()
    for number, line in lines(path):
        fields = line.rstrip(" ").split(" ")
        if number == 1:
            promised, width = _header(fields)
            if promised is not None:
                buffer += bytes(4 * width * len(SPECIALS))
                continue
            width = len(fields) - 1
            buffer += bytes(4 * width * len(SPECIALS))
        word, values = _row(path, number, fields, width)
        if word.lower() in OWN:
            twice += OWN[word.lower()] in own
            own.setdefault(OWN[word.lower()], values)
        elif word in words:
            twice += 1
        else:
            words[word] = None
            buffer += values.tobytes()
    if not words:
        raise ModelError(
            f"{path}: holds no word vectors; a line is a word and its numbers, with blanks between"
        )
    found = len(words) + len(own) + twice
    if promised not in (None, found):
        raise ModelError(
            f"{path}: line 1 promises {promised:,} words, but there are {found:,}; is it cut off?"
        )
    table = np.frombuffer(buffer, dtype=np.float32).reshape(-1, width)
    return Vectors(list(words), table, _complete(path, table, own, twice))


def _complete(path: Path, table: np.ndarray, own: dict[int, np.ndarray], twice: int) -> list[str]:
    """The rows of our markers: the file's own, or the mean for unknown words and zero for the others."""
    for row, values in own.items():
        table[row] = values
    notes = []
    if twice:
        notes.append(f"{path.name}: {twice:,} lines repeat a word; the first one counts")
    if (unknown := SPECIALS.index(UNKNOWN)) not in own:
        table[unknown] = table[len(SPECIALS) :].mean(0, dtype=np.float64)
        notes.append(f"{path.name}: has no <unk>; words without a vector get the mean of all vectors")
    return notes


def _header(fields: list[str]) -> tuple[int | None, int]:
    """word2vec's first line: how many words, and how many numbers each."""
    if len(fields) == 2 and all(field.isascii() and field.isdigit() for field in fields):
        count, width = map(int, fields)
        if width:
            return count, width
    return None, 0


def _row(path: Path, number: int, fields: list[str], width: int) -> tuple[str, np.ndarray]:
    """A word may hold blanks (some of the released files have a few such), so numbers are taken from the end."""
    first, told = fields[: len(fields) - width], fields[len(fields) - width :]
    if not width or not first or any(map(_is_number, first[1:])):
        wanted = (
            f"a word and {width} numbers" if width else "a word and its numbers, with single blanks between"
        )
        raise ModelError(f"{path}:{number}: holds {len(fields)} fields; {wanted} are expected")
    word = " ".join(first)
    if not word:
        raise ModelError(f"{path}:{number}: begins with a blank; a word is expected there")
    try:
        with np.errstate(over="ignore"):  # what overflows is not finite, and said to be so below
            values = np.array(told, dtype=np.float32)
    except ValueError:
        wrong = next(text for text in told if not _is_number(text))
        raise ModelError(f"{path}:{number}: {wrong[:40]!r} is not a number") from None
    if not np.isfinite(values).all():
        raise ModelError(f"{path}:{number}: a number of {word[:40]!r} is not finite")
    return word, values


def _is_number(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(text) and float(text) is not None
    return False
