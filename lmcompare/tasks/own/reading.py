"""Rows of a user's file as examples, by kind of task; what a row cannot be one for is said with its place."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmcompare.errors import DataError, nearest
from lmcompare.tasks.checks import same_text
from lmcompare.tasks.own.inference import NUMBER, Form, no_number
from lmcompare.text.columns import Sentence, sentences
from lmcompare.text.jsonlines import KINDS
from lmcompare.text.questions import Question, question, questions
from lmcompare.text.tables import Row, Table
from lmcompare.types import Example, Split

EXACT = 2**53  # numbers below it are told apart by their value
WHOLE = re.compile(r"[0-9]{1,9}")


@dataclass
class Reading:
    """One file on its way to examples."""

    form: Form
    path: Path
    split: Split
    labels: tuple[str, ...]  # those that there are; (): any
    spelled: dict[str, tuple[str, int]] = field(default_factory=dict)  # labels so far, by their letters alone

    @property
    def bare(self) -> bool:
        """Whether labels may be absent."""
        return self.split == "test"

    def name(self, number: int) -> str:
        return f"{self.form.name}-{self.split}-{number}"


def of_table(reading: Reading, table: Table) -> Iterator[Example | DataError]:
    make = MAKERS[str(reading.form.kind)]
    for row in table.rows:
        try:
            yield make(reading, table, row)
        except DataError as error:
            yield error


def _classify(reading: Reading, table: Table, row: Row) -> Example:
    label = _value(reading, table, row)
    name = None if label is None else _class(reading, label, row.line, _fault(table, row, reading.form.label))
    return Example(reading.name(row.line), _texts(reading.form, table, row), name)


def _score(reading: Reading, table: Table, row: Row) -> Example:
    label, column = _value(reading, table, row), reading.form.label
    if label is not None and not isinstance(label, int | float):
        if not NUMBER.fullmatch(label):
            raise table.fault(row, column, f"{column} {no_number(label)}; mend or remove the row")
        label = float(label)
    if label is not None and not math.isfinite(label):
        raise table.fault(row, column, f"{column} {label!r} is not a finite number; mend or remove the row")
    return Example(
        reading.name(row.line), _texts(reading.form, table, row), None if label is None else float(label)
    )


def _choice(reading: Reading, table: Table, row: Row) -> Example:
    form = reading.form
    if len(form.options) == 1:
        column = form.options[0]
        options = () if isinstance(row.values[column], str) else tuple(_list(table, row, column))
        if len(options) < 2:
            raise table.fault(row, column, f"{len(options)} options; a choice is among two or more")
    else:
        options = tuple(_text(table, row, column) for column in form.options)
    label, right = _value(reading, table, row), None
    if label is not None:
        right = _place(form, str(label), len(options))
        if right is None:
            what = f"{form.label} {label!r} names none of {len(options)} options; they are counted from {form.first}"
            raise table.fault(
                row, form.label, f"{what} (first=1 counts from 1), or named by letter or column"
            )
    return Example(reading.name(row.line), (_text(table, row, form.text),), right, options)


def _place(form: Form, label: str, count: int) -> int | None:
    """Which option a label means: its number, its letter, or its column."""
    if label in form.options and len(form.options) > 1:
        return form.options.index(label)
    if WHOLE.fullmatch(label):
        place = int(label) - form.first
    elif len(label) == 1 and "A" <= label.upper() <= "Z":
        place = ord(label.upper()) - ord("A")
    else:
        return None
    return place if 0 <= place < count else None


def _tags(reading: Reading, table: Table, row: Row) -> Example:
    form = reading.form
    words = tuple(_list(table, row, form.text))
    if not words:
        raise table.fault(row, form.text, "a row without a word; remove it")
    if _value(reading, table, row) is None:
        return Example(reading.name(row.line), (), None, words=words)
    tags = _list(table, row, form.label)
    if len(tags) != len(words):
        what = f"{len(tags)} tags for {len(words)} words; each word has one"
        raise table.fault(row, form.label, what)
    fault = _fault(table, row, form.label)
    return Example(
        reading.name(row.line), (), tuple(_class(reading, tag, row.line, fault) for tag in tags), words=words
    )


def _span(reading: Reading, table: Table, row: Row) -> Example:
    """A question and its context: answers as SQuAD has them, or a text with its start in a column beside it."""
    form = reading.form
    asked, context = _text(table, row, form.text), _text(table, row, form.pair)
    answers: Any = row.values.get(form.label)
    if isinstance(answers, str):
        start = _start(table, row, form.label, context) if answers.strip() else 0
        answers = [{"text": answers, "answer_start": start}]
    elif isinstance(answers, Mapping) and isinstance(answers.get("text"), list):
        answers = _turned(table, row, form.label, answers)
    number, column = row.place(form.label if form.label in row.values else form.text)
    one = {"id": reading.name(row.line), "question": asked} | (
        {} if answers is None else {"answers": answers}
    )
    return _asked(reading, question(one, context, f"{table.path}:{number}:{column}"))


def _start(table: Table, row: Row, column: str, context: str) -> int:
    """Where a plain answer begins: as its column says, or at the one place where it stands."""
    answer = row.values[column]
    if "answer_start" in row.values:
        start = row.values["answer_start"]
        if isinstance(start, bool) or not (isinstance(start, int) or WHOLE.fullmatch(str(start))):
            raise table.fault(row, "answer_start", f"{start!r} is not a whole number from 0")
        return int(start)
    count = context.count(answer)
    if not count:
        raise table.fault(row, column, "the answer stands nowhere in the context; it must be a piece of it")
    if count > 1:
        what = (
            f"the answer stands {count} times in the context; say where it begins in a column 'answer_start'"
        )
        raise table.fault(row, column, what)
    return context.find(answer)


def _turned(table: Table, row: Row, column: str, answers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A list of texts and one of starts, as `datasets` keeps them, as a list of answers."""
    texts, starts = answers["text"], answers.get("answer_start")
    if not isinstance(starts, list) or len(starts) != len(texts):
        raise table.fault(row, column, "its lists 'text' and 'answer_start' are not equally long")
    return [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]


def _asked(reading: Reading, found: Question | DataError) -> Example:
    if isinstance(found, DataError):
        raise found
    if found.answers is None and not reading.bare:
        raise DataError(
            f"{found.where}: its answers are blank or missing; fill them in, or remove the question"
        )
    if found.answers == () and reading.form.unanswerable is False:
        raise DataError(
            f"{found.where}: it has no answer, and unanswerable is false; remove it, or set it true"
        )
    return Example(found.id, (found.text, found.context), found.answers)


def of_questions(reading: Reading) -> Iterator[Example | DataError]:
    """SQuAD's form."""
    seen = set[str]()
    for found in questions(reading.path):
        try:
            example = _asked(reading, found)
            if example.id in seen:
                raise DataError(
                    f"{reading.path}: the id {example.id!r} stands for two questions; rename one of them"
                )
            seen.add(example.id)
            yield example
        except DataError as error:
            yield error


def of_columns(reading: Reading) -> Iterator[Example | DataError]:
    """A word a line."""
    for sentence in sentences(reading.path):
        try:
            yield sentence if isinstance(sentence, DataError) else _sentence(reading, sentence)
        except DataError as error:
            yield error


def _sentence(reading: Reading, sentence: Sentence) -> Example:
    width, form = len(sentence.rows[0]), reading.form
    word, tag = _column(sentence, form.text or "1", width), _column(sentence, form.label or str(width), width)
    number = sentence.lines[0][0]
    tags = tuple(
        _class(
            reading, row[tag], sentence.lines[n][0],
            lambda what, n=n: sentence.fault(n, tag, what),  # type: ignore[misc]
        )
        for n, row in enumerate(sentence.rows)
    )  # fmt: skip
    return Example(reading.name(number), (), tags, words=tuple(row[word] for row in sentence.rows))


def _column(sentence: Sentence, name: str, width: int) -> int:
    if not WHOLE.fullmatch(name) or not 1 <= int(name) <= width:
        raise sentence.fault(
            0, 0, f"{name!r} is not one of the {width} columns here; name them by number, from 1"
        )
    return int(name) - 1


def _texts(form: Form, table: Table, row: Row) -> tuple[str, ...]:
    return tuple(_text(table, row, column) for column in (form.text, form.pair) if column)


def _text(table: Table, row: Row, column: str) -> str:
    value = row.values[column]
    if not isinstance(value, str):
        raise table.fault(row, column, f"{_kind(value)} in {column!r} where a text is expected")
    return value


def _list(table: Table, row: Row, column: str) -> list[str]:
    """A list of texts (whole numbers may stand for names); or a text that is parted by spaces."""
    value = row.values[column]
    if isinstance(value, str):
        return [part for part in value.split(" ") if part]
    if not isinstance(value, list):
        raise table.fault(row, column, f"{_kind(value)} in {column!r} where a list of texts is expected")
    for item in value:
        if not isinstance(item, str | int) or isinstance(item, bool) or item == "":
            what = "an empty text" if item == "" else _kind(item)
            raise table.fault(row, column, f"{what} in the list {column!r} where a text is expected")
        if isinstance(item, str) and "\0" in item:
            raise table.fault(row, column, f"a NUL in the list {column!r}; remove it")
    return [str(item) for item in value]


def _value(reading: Reading, table: Table, row: Row) -> Any:
    """The label as it stands in the row; None where it may be absent and is."""
    column = reading.form.label
    value = row.values.get(column)
    if value is None or value == "":
        if reading.bare:
            return None
        raise table.fault(row, column, f"the label is missing ({column!r}); fill it in, or remove the row")
    if isinstance(value, dict) or (isinstance(value, list) and reading.form.kind != "tags"):
        raise table.fault(row, column, f"{_kind(value)} in {column!r} where a label is expected")
    return str(value).lower() if isinstance(value, bool) else value


def _class(reading: Reading, value: Any, line: int, fault: Callable[[str], DataError]) -> str:
    """A label by its name: one of those known, or, where the file is to tell them, one spelled as before."""
    name = str(value)
    if reading.labels:
        if name not in reading.labels:
            raise fault(f"{name!r} is not a label; {nearest(name, reading.labels)}")
        return name
    before, first = reading.spelled.setdefault(_sense(name), (name, line))
    if before != name:
        what = f"{name!r} is spelled {before!r} in line {first}; spell them alike, or list both in labels"
        raise fault(what)
    return name


def _sense(name: str) -> str:
    """What all spellings of a label have in common: its letters, or its value: 1 is 1.0."""
    value = float(name) if NUMBER.fullmatch(name) else math.inf
    return repr(value + 0.0) if abs(value) < EXACT else same_text(name)


def _fault(table: Table, row: Row, column: str) -> Callable[[str], DataError]:
    return lambda what: table.fault(row, column, what)


def _kind(value: Any) -> str:
    return "null" if value is None else KINDS.get(type(value), type(value).__name__)


Make = Callable[[Reading, Table, Row], Example]
MAKERS: dict[str, Make] = {
    "classify": _classify, "score": _score, "choice": _choice, "tags": _tags, "span": _span,
}  # fmt: skip
