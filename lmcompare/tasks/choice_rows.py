"""One row of each published set of choices as an example, or what is wrong with it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from lmcompare.errors import DataError
from lmcompare.tasks.stored import Stored
from lmcompare.text.jsonfiles import field, texts, value, whole
from lmcompare.text.tables import OnBadRow, read_csv
from lmcompare.types import Example

LETTERS = "ABCD"
ENDINGS = tuple(f"ending{n}" for n in range(4))
SENTENCES = tuple(f"InputSentence{n}" for n in range(1, 5))
QUIZ = ("RandomFifthSentenceQuiz1", "RandomFifthSentenceQuiz2")

Fault = Callable[[str, str], DataError]  # a column, and what is wrong there
Rows = Iterator[Example | DataError]
Make = Callable[[int, Mapping[str, Any], Fault], Example]


def csv_rows(path: Path, columns: Sequence[str], make: Make, on_bad_row: OnBadRow) -> Rows:
    table = read_csv(path, columns=columns, on_bad_row=on_bad_row)
    yield from map(DataError, table.skipped)
    for number, row in enumerate(table.rows):
        yield _made(make, number, row.values, partial(table.fault, row))


def table_rows(held: Stored, split: str, columns: Sequence[str], label: str, make: Make) -> Rows:
    """Of `datasets`; a split without the label's column is one without labels."""
    there = (label,) if label in held.tables[split].column_names or split != "test" else ()
    for number, row in enumerate(held.rows(split, (*columns, *there))):
        yield _made(make, number, row.values, partial(held.fault, row))


def _made(make: Make, number: int, values: Mapping[str, Any], fault: Fault) -> Example | DataError:
    try:
        return make(number, values, fault)
    except DataError as error:
        return error


# --- SWAG and the Story Cloze Test --------------------------------------------------------------


def swag_row(split: str) -> Make:
    """The first sentence is the context; an option is the beginning of the second with an ending."""

    def make(number: int, values: Mapping[str, Any], fault: Fault) -> Example:
        first, second, *endings = (_text(values, c, fault) for c in ("sent1", "sent2", *ENDINGS))
        options = tuple(f"{second} {ending}" for ending in endings)
        right = _numbered(values, "label", "0123", split, fault)
        return Example(f"swag-{split}-{number}", (first,), right, options)

    return make


def story_row(split: str) -> Make:
    def make(number: int, values: Mapping[str, Any], fault: Fault) -> Example:
        story = " ".join(_text(values, column, fault) for column in SENTENCES)
        options = tuple(_text(values, column, fault) for column in QUIZ)
        right = _numbered(values, "AnswerRightEnding", "12", split, fault)
        return Example(f"storycloze-{split}-{number}", (story,), right, options)

    return make


def _text(values: Mapping[str, Any], column: str, fault: Fault) -> str:
    text = values[column]
    if not isinstance(text, str) or not text.strip():
        raise fault(column, f"{column} is {text!r}; a text is needed")
    return text


def _numbered(values: Mapping[str, Any], column: str, numbers: str, split: str, fault: Fault) -> int | None:
    """Which option is right, as its number is written; None where a test part does not tell."""
    told = values.get(column)
    if told is None and split == "test":
        return None
    text = "" if told is None else str(told)
    if len(text) != 1 or text not in numbers:
        raise fault(column, f"{column} {told!r} is no option; they are {', '.join(numbers)}")
    return numbers.index(text)


# --- RACE ---------------------------------------------------------------------------------------


def race_file(path: Path, level: str) -> Rows:
    """A passage and its questions."""
    try:
        found = whole(path, "one object with an article and its questions", "a JSON object with an article")
        article = field(found, "article", str, str(path))
        asked = texts(field(found, "questions", list, str(path)), "'questions'", str(path))
        told, options = (field(found, key, list, str(path)) for key in ("answers", "options"))
        if not len(asked) == len(told) == len(options):
            raise DataError(
                f"{path}: {len(asked)} questions, {len(options)} lists of options and {len(told)} answers; each "
                "question needs one of both"
            )
    except DataError as error:
        yield error
        return
    for number, (question, four, answer) in enumerate(zip(asked, options, told, strict=True)):
        row = f"{path}: question {number}"
        yield _caught(race_row, f"{level}{path.stem}-{number}", article, question, four, answer, level, row)


def race_row(
    name: str, article: Any, question: Any, options: Any, answer: Any, level: str, where: str
) -> Example:
    if not isinstance(answer, str) or len(answer) != 1 or answer not in LETTERS:
        raise DataError(f"{where}: the answer {answer!r} is none of {', '.join(LETTERS)}")
    return asked(name, article, question, options, LETTERS.index(answer), where, groups=(level,))


def race_table(held: Stored, split: str, levels: Sequence[str]) -> Rows:
    """The name of a passage begins with its level; each of its questions is a row."""
    seen: dict[str, int] = {}
    for row in held.rows(split, ("example_id", "article", "question", "options", "answer")):
        name, *parts = row.values.values()
        stem = str(name).removesuffix(".txt")
        level = next((level for level in ("middle", "high") if stem.startswith(level)), "")
        if not level:
            yield held.fault(row, "example_id", f"{name!r} begins with neither middle nor high")
        elif level in levels:
            number = seen[stem] = seen.get(stem, -1) + 1
            yield _caught(race_row, f"{stem}-{number}", *parts, level, f"{held.told}: row {row.line}")


# --- DREAM --------------------------------------------------------------------------------------


def dream_file(path: Path) -> Rows:
    """A list of dialogues, each with its turns, its questions and its name."""
    found = whole(path, "a list of dialogues", "a list of dialogues")
    for number, dialogue in enumerate(value(found, list, "the file", str(path))):
        where = f"{path}: [{number}]"
        try:
            three = value(dialogue, list, "a dialogue", where)
            if len(three) != 3:
                raise DataError(f"{where}: {len(three)} parts; turns, questions and a name are 3")
            turns, questions = texts(three[0], "turns", where), value(three[1], list, "questions", where)
            name = value(three[2], str, "the name", where)
        except DataError as error:
            yield error
            continue
        for n, one in enumerate(questions):
            yield _caught(_of_dialogue, f"{name}-{n}", turns, one, f"{where}[1][{n}]")


def _of_dialogue(name: str, turns: Any, one: Any, where: str) -> Example:
    question, choice, answer = (
        field(one, key, type_, where) for key, type_ in (("question", str), ("choice", list), ("answer", str))
    )
    return dream_row(name, turns, question, choice, answer, where)


def dream_table(held: Stored, split: str) -> Rows:
    seen: dict[str, int] = {}
    for row in held.rows(split, ("dialogue_id", "dialogue", "question", "choice", "answer")):
        name, *parts = row.values.values()
        number = seen[name] = seen.get(name, -1) + 1
        yield _caught(dream_row, f"{name}-{number}", *parts, f"{held.told}: row {row.line}")


def dream_row(name: str, turns: Any, question: Any, choice: Any, answer: Any, where: str) -> Example:
    """The answer is told as a text: one of the options."""
    right = [n for n, option in enumerate(texts(choice, "choice", where)) if option == answer]
    if not right:
        raise DataError(f"{where}: the answer {answer!r} is none of the choices; copy one of them")
    return asked(name, " ".join(texts(turns, "turns", where)), question, choice, right[0], where)


def asked(
    name: str, context: Any, question: Any, options: Any, right: int, where: str, groups: tuple[str, ...] = ()
) -> Example:
    """A question on a context, with what may answer it."""
    known, what = (
        value(text, str, key, where) for text, key in ((context, "context"), (question, "question"))
    )
    offered = texts(options, "options", where)
    if blank := [n for n, option in enumerate(offered) if not option.strip()]:
        raise DataError(f"{where}: option {blank[0]} is blank; fill it in")
    if not right < len(offered) or len(offered) < 2:
        raise DataError(f"{where}: the answer is option {right}, and there are {len(offered)} options")
    return Example(name, (f"{known} {what}",), right, tuple(offered), groups=groups)


def _caught(make: Callable[..., Example], *given: Any) -> Example | DataError:
    try:
        return make(*given)
    except DataError as error:
        return error
