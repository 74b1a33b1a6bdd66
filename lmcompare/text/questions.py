"""Questions on a context in SQuAD's form, strictly: every answer stands where its offset says.

A file is one JSON object: `data` lists articles, an article's `paragraphs` each have a `context` and its `qas`, and
each of these an `id`, a `question` and `answers`, which have a `text` and, in characters, an `answer_start`. SQuAD 2.0
adds `is_impossible`; what else there is is not read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcompare.errors import DataError
from lmcompare.text.jsonfiles import field, whole

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
    found = whole(path, "one object in SQuAD's form", "a JSON object with the key 'data'")
    for number, article in enumerate(field(found, "data", list, str(path))):
        yield from _of_article(article, f"{path}: data[{number}]")


def _of_article(article: Any, where: str) -> Iterator[Question | DataError]:
    try:
        paragraphs = field(article, "paragraphs", list, where)
    except DataError as error:
        yield error
        return
    for number, paragraph in enumerate(paragraphs):
        yield from _of_paragraph(paragraph, f"{where}.paragraphs[{number}]")


def _of_paragraph(paragraph: Any, where: str) -> Iterator[Question | DataError]:
    try:
        context, asked = field(paragraph, "context", str, where), field(paragraph, "qas", list, where)
    except DataError as error:
        yield error
        return
    for number, one in enumerate(asked):
        yield question(one, context, f"{where}.qas[{number}]")


def question(one: Any, context: str, where: str) -> Question | DataError:
    """A question with its id and answers as one object; or what is wrong with it."""
    try:
        name = field(one, "id", str, where)
        where = f"{where} (question {name!r})"
        return Question(
            where, name, field(one, "question", str, where), context, _answers(one, context, where)
        )
    except DataError as error:
        return error


def _answers(one: Any, context: str, where: str) -> tuple[tuple[int, int], ...] | None:
    if "answers" not in one:
        return None
    listed = field(one, "answers", list, where)
    if "is_impossible" in one and field(one, "is_impossible", bool, where) == bool(listed):
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
    text, start = field(answer, "text", str, where), field(answer, "answer_start", int, where)
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
