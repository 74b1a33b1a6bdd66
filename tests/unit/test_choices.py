"""SWAG, RACE, the Story Cloze Test and DREAM: their files and tables, what is refused, and the real counts."""

import csv
import gzip
import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lmcompare import registry
from lmcompare.errors import DataError, UserError
from lmcompare.tasks import checks, facts
from lmcompare.types import Task


def task(name: str, folder: Path, **settings: Any) -> Task:
    return registry.tasks.build({"name": name, **settings}, folder)


def table(path: Path, columns: list[str], *rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return path


def saved(folder: Path, columns: dict[str, list[Any]], kinds: dict[str, Any] | None = None) -> None:
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict(columns)
    for column, kind in (kinds or {}).items():
        made = made.cast_column(column, datasets.ClassLabel(names=kind))
    datasets.DatasetDict({"train": made, "validation": made, "test": made}).save_to_disk(folder)


def skipping(found: Task, split: str = "train") -> tuple[list[Any], str]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        examples = found.load(split)
    return examples, " ".join(str(w.message) for w in told)


# --- SWAG ---------------------------------------------------------------------------------------

COLUMNS = [
    "",
    "video-id",
    "fold-ind",
    "startphrase",
    "sent1",
    "sent2",
    "gold-source",
    *(f"ending{n}" for n in range(4)),
]


def swag(*right: Any, ending: str = 'says "no".') -> list[list[Any]]:
    row = ["v", "7", "A dog, big. It", "A dog, big.", "It", "gold", "barks.", "flies.", "reads.", ending]
    return [[n, *row, label] for n, label in enumerate(right)]


def test_swag_goes_on_with_the_second_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "swag"
    for name in ("train", "val"):
        table(folder / f"{name}.csv", [*COLUMNS, "label"], *swag(0, 3))
    table(folder / "test.csv", COLUMNS, *(row[:-1] for row in swag(0)))
    found = task("swag", tmp_path)
    assert found.splits == ("train", "dev", "test") and str(folder) in found.source
    first, second = found.load("train")
    assert first.texts == ("A dog, big.",)
    assert first.options == ("It barks.", "It flies.", "It reads.", 'It says "no".')
    assert (first.label, second.label, second.id) == (0, 3, "swag-train-1")
    assert [e.label for e in found.load("test")] == [None]
    assert len(task("swag", tmp_path, limit=1).load("dev")) == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (swag(1, 4), r"train\.csv:3:\d+: label '4' is no option; they are 0, 1, 2, 3"),
        (swag(1, ""), r"train\.csv:3:\d+: label '' is no option"),
        (swag(1, "1.0"), r"label '1\.0' is no option"),
        (swag(1, "01"), r"label '01' is no option"),
        ([*swag(1), *swag(1, ending=" ")], r"train\.csv:3:\d+: ending3 is ' '; a text is needed"),
        ([*swag(1), ["1", "v"]], r"train\.csv:3:\d+: 2 fields where 12 are expected"),
    ],
)
def test_a_bad_row_of_swag(tmp_path: Path, rows: list[list[Any]], said: str) -> None:
    for name in ("train", "val"):
        table(tmp_path / f"{name}.csv", [*COLUMNS, "label"], *rows)
    with pytest.raises(DataError, match=said):
        task("swag", tmp_path).load("train")
    examples, told = skipping(task("swag", tmp_path, on_bad_row="skip"))
    assert [e.label for e in examples] == [1] and "bad rows left out: 1" in told


def test_swag_without_a_column(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", COLUMNS, *(row[:-1] for row in swag(0)))
    with pytest.raises(DataError, match=r"swag: .*looked for train\.csv and val\.csv.*--data"):
        task("swag", tmp_path)  # any set may have a train.csv
    table(tmp_path / "val.csv", COLUMNS, *(row[:-1] for row in swag(0)))
    with pytest.raises(DataError, match=r"train\.csv:1:1: no column 'label'"):
        task("swag", tmp_path).load("train")


def test_swag_of_datasets(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {"sent1": ["A.", "B."], "sent2": ["It", "He"], "label": [2, -1]}
    columns |= {f"ending{n}": [f"{n}.", f"{n}!"] for n in range(4)}
    saved(tmp_path / "swag", columns, {"label": ["0", "1", "2", "3"]})
    found = task("swag", tmp_path)
    assert [(e.label, e.options[2]) for e in found.load("test")] == [(2, "It 2."), (None, "He 2!")]
    with pytest.raises(DataError, match="row 2, label: label None is no option"):
        found.load("dev")


# --- RACE ---------------------------------------------------------------------------------------


def passage(*answers: Any, **more: Any) -> dict[str, Any]:
    n = len(answers)
    options = [["red", "blue", "green", "none"]] * n
    return {
        "article": "Leaves are green.", "questions": ["They are _ ."] * n, "options": options,
        "answers": list(answers), "id": "x", **more,
    }  # fmt: skip


def race(folder: Path, split: str, level: str, name: str, content: Any) -> Path:
    path = folder / "RACE" / split / level / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_race_by_level(tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        race(tmp_path, split, "middle", "2", passage("C"))
        race(tmp_path, split, "middle", "10", passage("A"))
        race(tmp_path, split, "high", "3", passage("D", "B"))
    found = task("race", tmp_path)
    examples = found.load("train")
    assert [e.id for e in examples] == ["middle2-0", "middle10-0", "high3-0", "high3-1"]
    assert [(e.label, e.groups) for e in examples[1:3]] == [(0, ("middle",)), (3, ("high",))]
    assert examples[0].texts == ("Leaves are green. They are _ .",)
    assert examples[0].options == ("red", "blue", "green", "none")
    assert len(found.load("test")) == 4
    for level, count in (("middle", 2), ("high", 2)):
        part = task("race", tmp_path, level=level)
        assert {e.groups for e in part.load("dev")} == {(level,)} and len(part.load("dev")) == count
    with pytest.raises(UserError, match="level"):
        task("race", tmp_path, level="low")
    assert checks.digest(examples[:2]) != checks.digest(examples[2:])


BAD_PASSAGES: list[tuple[Any, str, int]] = [
    (passage("A", "E"), r"9\.txt: question 1: the answer 'E' is none of A, B, C, D", 2),
    (passage("A", ""), "question 1: the answer '' is none of", 2),
    (passage("A", 1), "question 1: the answer 1 is none of", 2),
    (passage("A", options=[["a", "b"], ["c"]]), r"1 questions, 2 lists of options and 1 answers", 1),
    (
        passage("A", "C", options=[["a", "b", "c", "d"], ["a", "b"]]),
        "the answer is option 2, and there are 2",
        2,
    ),
    (passage("A", "A", options=[["a", "b"], ["a", " "]]), "question 1: option 1 is blank", 2),
    (passage("A", options=[["a", 2]]), r"options\[1\] is a number where text is expected", 1),
    (passage("A", article=None), "'article' is null where text", 1),
    (json.dumps(passage("A"))[:-9], r"9\.txt:1:\d+: not whole JSON", 1),
    ("", r"9\.txt:1:1: the file is empty", 1),
    ('{"article": "a"}', "no key 'questions'", 1),
    ("[]", "a list where an object with the key 'article'", 1),
]


@pytest.mark.parametrize(("bad", "said", "good"), BAD_PASSAGES)
def test_a_bad_passage(tmp_path: Path, bad: Any, said: str, good: int) -> None:
    race(tmp_path, "train", "middle", "1", passage("B"))
    race(tmp_path, "train", "high", "9", bad)
    with pytest.raises(DataError, match=said) as error:
        task("race", tmp_path).load("train")
    assert str(error.value).startswith(str(tmp_path))
    examples, told = skipping(task("race", tmp_path, on_bad_row="skip"))
    assert len(examples) == good and "bad rows left out: 1" in told


def test_race_of_datasets(tmp_path: Path) -> None:
    columns = {
        "example_id": ["high3.txt", "high3.txt", "middle7.txt"], "article": ["a"] * 3, "question": ["q"] * 3,
        "answer": ["D", "A", "B"], "options": [["a", "b", "c", "d"]] * 3,
    }  # fmt: skip
    saved(tmp_path / "race", columns)
    found = [(e.id, e.label, e.groups) for e in task("race", tmp_path).load("dev")]
    assert found == [("high3-0", 3, ("high",)), ("high3-1", 0, ("high",)), ("middle7-0", 1, ("middle",))]
    assert len(task("race", tmp_path, level="middle").load("dev")) == 1
    saved(tmp_path / "other", columns | {"example_id": ["low1.txt"] * 3})
    with pytest.raises(DataError, match=r"row 1, example_id: 'low1\.txt' begins with neither"):
        task("race", tmp_path / "other").load("train")


# --- the Story Cloze Test -----------------------------------------------------------------------

STORY = [
    "InputStoryid", *(f"InputSentence{n}" for n in range(1, 5)),
    "RandomFifthSentenceQuiz1", "RandomFifthSentenceQuiz2", "AnswerRightEnding",
]  # fmt: skip
VAL, TEST = (f"cloze_test_{part}__spring2016 - cloze_test_ALL_{part}.csv" for part in ("val", "test"))


def stories(*right: Any) -> list[list[Any]]:
    return [
        [f"s{n}", f"One {n}.", "Two.", "Three.", "Four.", "Good.", "Bad.", r] for n, r in enumerate(right)
    ]


def test_stories_are_cut_as_gpts_authors_did(tmp_path: Path) -> None:
    table(tmp_path / VAL, STORY, *stories(*[1 + n % 2 for n in range(1871)]))
    table(tmp_path / TEST, STORY, *stories(2, 1))
    found = task("storycloze", tmp_path)
    train, dev, test = (found.load(split) for split in ("train", "dev", "test"))
    assert (len(train), len(dev), len(test)) == (1497, 374, 2)
    assert not {e.id for e in train} & {e.id for e in dev} and "cut from the 2016 validation" in found.source
    from sklearn.model_selection import train_test_split

    theirs = train_test_split(range(1871), test_size=374, random_state=3535999445)[1]
    assert {e.id for e in dev} == {f"storycloze-val-{n}" for n in theirs}
    assert test[0].texts == ("One 0. Two. Three. Four.",) and test[0].options == ("Good.", "Bad.")
    assert [e.label for e in test] == [1, 0]
    assert len(task("storycloze", tmp_path, limit=9).load("train")) == 9


def test_editions_are_kept_apart(tmp_path: Path) -> None:
    folder = tmp_path / "storycloze"
    table(folder / VAL, STORY, *stories(*[1] * 10))
    later = [name for name in STORY if name != "AnswerRightEnding"]
    table(folder / "cloze_test_val__winter2018-cloze_test_ALL_val - 1 - 1.csv", STORY, *stories(*[2] * 15))
    table(folder / "cloze_test_test__winter2018-x.csv", later, *(row[:-1] for row in stories(1)))
    assert len(task("storycloze", tmp_path).load("dev")) == 2
    assert task("storycloze", tmp_path).splits == ("train", "dev")
    newer = task("storycloze", tmp_path, edition="2018")
    assert len(newer.load("dev")) == 3 and [e.label for e in newer.load("test")] == [None]
    table(folder / f"cloze_test_val__copy2016{VAL}", STORY, *stories(1))
    with pytest.raises(DataError, match=r"one file cloze_test_val__\*2016\*\.csv is needed, and there is"):
        task("storycloze", tmp_path).load("train")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            ["x", "One.", "Two.", "Three.", "Four.", "Good.", "Bad.", "3"],
            r":\d+: AnswerRightEnding '3' is no option",
        ),
        (
            ["x", "One.", "", "Three.", "Four.", "Good.", "Bad.", "1"],
            "InputSentence2 is ''; a text is needed",
        ),
    ],
)
def test_a_bad_story(tmp_path: Path, row: list[str], said: str) -> None:
    table(tmp_path / VAL, STORY, *[row] * 10)
    with pytest.raises(DataError, match=said):
        task("storycloze", tmp_path).load("dev")
    table(tmp_path / VAL, STORY[:-1], *(row[:-1] for row in stories(1)))
    with pytest.raises(DataError, match="no column 'AnswerRightEnding'"):
        task("storycloze", tmp_path).load("train")
    with pytest.raises(DataError, match=r"storycloze: looked for cloze_test_val.*on request"):
        task("storycloze", tmp_path / "nowhere")


# --- DREAM --------------------------------------------------------------------------------------


def dialogue(*asked: Any, name: Any = "3-1") -> list[Any]:
    return [["M: Hi.", "W: Hello."], list(asked), name]


def ask(answer: str, **more: Any) -> dict[str, Any]:
    return {"question": "Who?", "choice": ["He.", "She.", "None."], "answer": answer, **more}


def dream(folder: Path, content: Any) -> None:
    for name in ("train", "dev"):
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.json.gz").write_bytes(gzip.compress(text.encode()))


def test_dream_puts_the_question_behind_the_dialogue(tmp_path: Path) -> None:
    dream(tmp_path, [dialogue(ask("She."), ask("He.")), dialogue(ask("None."), name="3-2")])
    found = task("dream", tmp_path)
    assert found.splits == ("train", "dev")
    examples = found.load("dev")
    assert [(e.id, e.label) for e in examples] == [("3-1-0", 1), ("3-1-1", 0), ("3-2-0", 2)]
    assert examples[0].texts == ("M: Hi. W: Hello. Who?",) and examples[0].options[1] == "She."


BAD_DIALOGUES: list[tuple[Any, str]] = [
    (dialogue(ask("They.")), r"\[1\]\[1\]\[0\]: the answer 'They\.' is none of the choices"),
    (dialogue(ask("")), "the answer '' is none of the choices"),
    (dialogue(ask("He.", choice=["He.", ""])), "option 1 is blank"),
    (dialogue(ask("He.", choice=["He."])), "there are 1 options"),
    (dialogue({"question": "Who?", "choice": []}), "no key 'answer'"),
    (dialogue(ask("He.", question=None)), "'question' is null where text"),
    (dialogue("Who?"), "text where an object with the key 'question'"),
    (dialogue(ask("He."), name=7), "the name is a number where text"),
    ([["M: Hi."], []], "2 parts; turns, questions and a name are 3"),
    ({"turns": []}, "a dialogue is an object where a list"),
]


@pytest.mark.parametrize(("bad", "said"), BAD_DIALOGUES)
def test_a_bad_dialogue(tmp_path: Path, bad: Any, said: str) -> None:
    dream(tmp_path, [dialogue(ask("He.")), bad])
    with pytest.raises(DataError, match=said) as error:
        task("dream", tmp_path).load("train")
    assert str(error.value).startswith(f"{tmp_path / 'train.json.gz'}: [1]")
    examples, told = skipping(task("dream", tmp_path, on_bad_row="skip"))
    assert [e.label for e in examples] == [0] and "bad rows left out: 1" in told


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", ":1:1: the file is empty"),
        (json.dumps([dialogue(ask("He."))])[:-3], r":1:\d+: not whole JSON"),
        ("[]", "train holds no example"),
        ("{}", "the file is an object where a list"),
        ("[" * 100_000, "nested far deeper"),
    ],
)
def test_what_is_no_list_of_dialogues(tmp_path: Path, content: str, said: str) -> None:
    dream(tmp_path, content)
    with pytest.raises(DataError, match=said):
        task("dream", tmp_path, on_bad_row="skip").load("train")


def test_dream_of_datasets(tmp_path: Path) -> None:
    columns = {
        "id": [0, 1], "dialogue_id": ["5", "5"], "dialogue": [["M: a", "W: b"]] * 2, "question": ["q", "r"],
        "choice": [["x", "y", "z"]] * 2, "answer": ["z", "x"],
    }  # fmt: skip
    saved(tmp_path / "dream", columns)
    found = task("dream", tmp_path).load("test")
    assert [(e.id, e.label, e.texts) for e in found] == [
        ("5-0", 2, ("M: a W: b q",)),
        ("5-1", 0, ("M: a W: b r",)),
    ]


# --- the real files -----------------------------------------------------------------------------


def test_dream_has_its_official_counts(shared: Path) -> None:
    if not (shared / "mc" / "dream").is_dir():
        pytest.skip(f"needs {shared / 'mc' / 'dream'}")
    found = task("dream", shared)
    splits = {split: found.load(split) for split in found.splits}
    assert {split: len(examples) for split, examples in splits.items()} == facts.of("dream").splits
    assert {len(e.options) for examples in splits.values() for e in examples} == {3}
    assert sum(sum(Counter(e.label for e in examples).values()) for examples in splits.values()) == 10197
    assert not checks.inspect(splits, found)
