"""Questions on a context in SQuAD's form, strictly: every answer stands where its offset says.

A file is one JSON object: `data` lists articles, an article's `paragraphs` each have a `context` and its `qas`, and
each of these an `id`, a `question` and `answers`, which have a `text` and, in characters, an `answer_start`. SQuAD 2.0
adds `is_impossible`; what else there is is not read.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcompare.errors import DataError, nearest
from lmcompare.text.jsonlines import KINDS
from lmcompare.text.lines import fault, lines

MOST_SHOWN = 40  # characters of a text in a message


@dataclass(frozen=True, slots=True)
class Question:
    where: str  # it stands, for messages
    id: str
    text: str
    context: str
    answers: tuple[tuple[int, int], ...] | None  # characters from, to; (): it has none; None: it is not told


def questions(path: Path) -> Iterator[Question | DataError]:
    """One by one; in the place of a bad one, or of a paragraph or article that is bad, what is wrong with it."""
    for number, article in enumerate(_field(_parsed(path), "data", list, str(path))):
        yield from _of_article(article, f"{path}: data[{number}]")


def _of_article(article: Any, where: str) -> Iterator[Question | DataError]:
    try:
        paragraphs = _field(article, "paragraphs", list, where)
    except DataError as error:
        yield error
        return
    for number, paragraph in enumerate(paragraphs):
        yield from _of_paragraph(paragraph, f"{where}.paragraphs[{number}]")


def _of_paragraph(paragraph: Any, where: str) -> Iterator[Question | DataError]:
    try:
        context, asked = _text(paragraph, "context", where), _field(paragraph, "qas", list, where)
    except DataError as error:
        yield error
        return
    for number, one in enumerate(asked):
        found: Question | DataError
        try:
            found = _question(one, context, f"{where}.qas[{number}]")
        except DataError as error:
            found = error
        yield found


def _question(one: Any, context: str, where: str) -> Question:
    name = _text(one, "id", where)
    where = f"{where} (question {name!r})"
    return Question(where, name, _text(one, "question", where), context, _answers(one, context, where))


def _answers(one: Any, context: str, where: str) -> tuple[tuple[int, int], ...] | None:
    if "answers" not in one:
        return None
    listed = _field(one, "answers", list, where)
    if "is_impossible" in one and _field(one, "is_impossible", bool, where) == bool(listed):
        said = f"true, but it lists {len(listed)} answers" if listed else "false, but it lists no answer"
        raise DataError(f"{where}: is_impossible is {said}; mend one of the two")
    found = [_place(answer, context, f"{where}: answers[{n}]") for n, answer in enumerate(listed)]
    places = [place for place in found if place is not None]
    if listed and not places:
        return None
    if len(places) < len(found):
        blank = len(found) - len(places)
        raise DataError(
            f"{where}: {blank} of its {len(found)} answers are blank; fill them in or remove them"
        )
    return tuple(places)


def _place(answer: Any, context: str, where: str) -> tuple[int, int] | None:
    """From, to; None for a blank text, which says that there is an answer and not which."""
    text, start = _text(answer, "text", where), _field(answer, "answer_start", int, where)
    if not text.strip():
        return None
    end = start + len(text)
    if start < 0 or context[start:end] != text:
        at = context.find(text)
        where_else = f"it stands at {at}" if at >= 0 else "it stands nowhere in the context"
        seen = f", where {_shown(context[start:end])} does" if 0 <= start < len(context) else ""
        raise DataError(
            f"{where}: {_shown(text)} does not stand at answer_start {start}{seen}; {where_else} "
            "(offsets count characters, not bytes, from 0)"
        )
    return start, end


def _shown(text: str) -> str:
    return repr(text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…")


def _text(table: Any, key: str, where: str) -> str:
    text: str = _field(table, key, str, where)
    if "\0" in text:
        raise DataError(f"{where}: a NUL (\\u0000) in {key!r}; remove it")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{where}: half a surrogate pair (\\ud...) in {key!r} is not text") from None
    return text


def _field(table: Any, key: str, kind: type, where: str) -> Any:
    if not isinstance(table, dict):
        raise DataError(f"{where}: {_kind(table)} where an object with the key {key!r} is expected")
    if key not in table:
        raise DataError(f"{where}: no key {key!r}; {nearest(key, table)}")
    value = table[key]
    if type(value) is not kind:  # true is no number
        wanted = "a whole number" if kind is int else KINDS[kind]
        raise DataError(f"{where}: {key!r} is {_kind(value)} where {wanted} is expected")
    return value


def _kind(value: Any) -> str:
    return "null" if value is None else KINDS[type(value)]


def _parsed(path: Path) -> Any:
    def once(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            twice = Counter(key for key, _ in items).most_common(1)[0][0]
            raise DataError(f"{path}: the key {twice!r} stands twice in one object; remove one of the two")
        return made

    text = "\n".join(line for _, line in lines(path))
    if not text.strip():
        raise fault(path, 1, 1, "the file is empty; it needs a JSON object with the key 'data'")
    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        what = (
            f"not whole JSON ({error.msg.lower()}); one object in SQuAD's form is expected, so fetch it again"
        )
        raise fault(path, error.lineno, error.colno, what) from None
    except RecursionError:
        raise fault(path, 1, 1, "nested far deeper than SQuAD's form; flatten it") from None
    except ValueError as error:  # an integer of thousands of digits
        raise fault(path, 1, 1, f"{error}; write it as text") from None
