"""Labelled texts in the forms in which sets of sentences are passed around, as rows like those of a table: a label and
a text a line, a class a file, a tree a line, a text a file. A bad row comes as its error, in its place."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lmcompare.errors import DataError
from lmcompare.text.jsonlines import objects
from lmcompare.text.lines import fault, lines, whole
from lmcompare.text.tables import Row

Rows = Iterator[Row | DataError]
# In a line of a treebank: the label of the whole, and each word with its label.
ROOT, WORD = re.compile(r"\((\S+) "), re.compile(r"\(\S+ ([^()\s]+)\)")


def encoding_of(path: Path) -> str:
    """Of a file published as Latin-1: many a copy has been saved as UTF-8 since, and read as the wrong one neither
    complains. Text in Latin-1 with a letter beyond ASCII is hardly ever good UTF-8, so that is asked first."""
    try:
        for _ in lines(path):
            pass
    except DataError:  # whatever else is wrong with it is told when it is read
        return "latin-1"
    return "utf-8"


def labelled_lines(path: Path, encoding: str = "utf-8") -> Rows:
    """A label, a space, and the text."""
    for number, line in lines(path, encoding=encoding):
        label, space, text = line.partition(" ")
        if space:
            yield Row(number, {"label": label, "text": text}, ((number, 1), (number, len(label) + 2)))
        elif line:
            yield fault(path, number, len(line) + 1, "no text after the label; add a space and the text")
        else:
            yield fault(path, number, 1, "an empty line in place of a label and a text; delete it")


def one_class(path: Path, label: str, encoding: str = "utf-8") -> Rows:
    """A text a line, all of one class."""
    for number, line in lines(path, encoding=encoding):
        if line:
            yield Row(number, {"label": label, "text": line}, ((number, 1),))
        else:
            yield fault(path, number, 1, "an empty line in place of a text; delete it")


def trees(path: Path) -> Rows:
    """A tree in brackets a line, as in the Stanford Sentiment Treebank: the label of the whole, and the words."""
    for number, line in lines(path):
        root, words = ROOT.match(line), WORD.findall(line)
        if root is None or not words or line.count("(") != line.count(")"):
            yield fault(path, number, 1, "not a tree in brackets, such as (3 (2 Quite) (3 good))")
        else:
            yield Row(number, {"label": root[1], "text": " ".join(words)}, ((number, 2), (number, 1)))


def one_text(path: Path, label: str, name: str, encoding: str = "utf-8") -> Rows:
    """A file that is one text."""
    try:
        text = whole(path, encoding=encoding)
    except DataError as error:
        yield error
    else:
        yield Row(1, {"id": name, "label": label, "text": text}, ((1, 1),))


def json_lines(path: Path, columns: Sequence[str]) -> Rows:
    """An object a line; of its keys, these alone."""
    for found in objects(path, columns):
        if isinstance(found, DataError):
            yield found
        else:
            number, values = found
            yield Row(number, {name: values[name] for name in columns}, ((number, 1),))
