"""SQuAD's form: what is read and what is refused; and the official figures, against a slow reading of the published
rules on the same predictions."""

import gzip
import json
import random
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lmcompare import evaluation, metrics, registry
from lmcompare.errors import DataError, UserError
from lmcompare.experiments.task_data import read_task
from lmcompare.tasks import checks, squad_parts
from lmcompare.text.questions import Question, questions
from lmcompare.types import Example, Task
from tests.oracles import slow_squad_scorer

CONTEXT = "Zoë\u2028met  the cat 😀 in 東京, in May 1920."


def answer(text: str, start: int | None = None) -> dict[str, Any]:
    return {"text": text, "answer_start": CONTEXT.index(text) if start is None else start}


def qa(name: str, *answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": name, "question": f"what {name}?", "answers": list(answers), **more}


def form(*asked: Any, context: Any = CONTEXT) -> dict[str, Any]:
    return {
        "version": "x",
        "data": [{"title": "t", "paragraphs": [{"context": context, "qas": list(asked)}]}],
    }


def put(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


GOOD = form(qa("1", answer("Zoë"), answer("Zoë\u2028met")), qa("2", answer("東京"), answer("May 1920", None)))


def task(name: str, path: Path, **more: Any) -> Task:
    return registry.tasks.build({"name": name, "train": str(path), "dev": str(path), **more}, None)


def told(loaded: Callable[[], Any]) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        return loaded(), [str(w.message) for w in raised]


# --- what is read -------------------------------------------------------------------------------


def test_all_answers_are_kept_where_they_stand(tmp_path: Path) -> None:
    first, second = task("squad", put(tmp_path / "a.json", GOOD)).load("dev")
    assert first == Example("1", ("what 1?", CONTEXT), ((0, 3), (0, 7)))
    assert evaluation.gold(second) == ["東京", "May 1920"]


def test_published_names_are_found_and_gzip_is_unpacked(tmp_path: Path) -> None:
    put(tmp_path / "train-v1.1.json", GOOD)
    (tmp_path / "dev-v1.1.json.gz").write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    found = registry.tasks.build({"name": "squad", "limit": 1}, tmp_path)
    assert found.splits == ("train", "dev") and found.metrics[0] == "span_f1"
    assert [len(found.load(split)) for split in found.splits] == [1, 1]
    assert "dev-v1.1.json.gz" in found.source
    with pytest.raises(DataError, match=r"no train-v2\.0\.json .*--data .*task\.train=PATH"):
        registry.tasks.build({"name": "squad2"}, tmp_path)
    with pytest.raises(DataError, match="no split 'test' here; it has train, dev"):
        found.load("test")


def test_only_squad2_takes_questions_without_an_answer(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", form(qa("1", answer("cat")), qa("2", is_impossible=True), qa("3")))
    found = task("squad2", path)
    assert found.unanswerable and [e.label for e in found.load("dev")] == [((13, 16),), (), ()]
    with pytest.raises(DataError, match=r"qas\[1\] \(question '2'\): it has no answer.*take squad2"):
        task("squad", path).load("train")


def test_a_blank_answer_is_no_label(tmp_path: Path) -> None:
    blank = form(qa("1", answer("cat")), qa("2", answer("", 0)), qa("3", answer(" ", 3)))
    path = put(tmp_path / "a.json", blank)
    for name, split in (("squad", "train"), ("squad2", "dev")):
        with pytest.raises(DataError, match=rf"\(question '2'\): its answers are blank.*task\.{split}=PATH"):
            task(name, path).load(split)
    examples, notes = told(lambda: task("squad", path, on_bad_row="skip").load("dev"))
    assert [e.id for e in examples] == ["1"] and "bad rows left out: 2" in notes[0]
    asked = task("squad2", path, test=str(path))
    assert [e.label for e in asked.load("test")] == [((13, 16),), None, None]  # never (): it is not told
    put(path, form(qa("1", answer("", 0)), {"id": "2", "question": "who?"}))
    with pytest.raises(DataError, match="none of 2 is good"):
        task("squad", path, on_bad_row="skip").load("dev")


def test_an_id_stands_once_where_answers_are_told_apart_by_it(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", form(qa("1", answer("cat")), qa("1", answer("May"))))
    with pytest.raises(DataError, match=r"qas\[1\] \(question '1'\): this id stands for another"):
        task("squad", path).load("dev")
    examples, notes = told(lambda: task("squad", path, on_bad_row="skip").load("dev"))
    assert len(examples) == 1 and "bad rows left out: 1" in notes[0]
    found = task("squad", path)
    assert "1 ids stand for more than one example" in " ".join(
        checks.inspect({"train": found.load("train")}, found)
    )


BAD: list[tuple[str, Any, str]] = [
    ("elsewhere", qa("7", answer("cat", 12)), r"answers\[0\]: 'cat' does not stand at answer_start 12, where ' ca'"),
    ("bytes", qa("7", answer("May 1920", 40)), "it stands at 29 .offsets count characters, not bytes"),
    ("nowhere", qa("7", answer("dog", 1)), "it stands nowhere in the context"),
    ("negative", qa("7", answer("0.", -2)), "at answer_start -2; it stands at 36"),
    ("half blank", qa("7", answer("cat"), answer("", 0)), "1 of its 2 answers are blank"),
    ("text number", qa("7", {"text": 1920, "answer_start": 1}), "'text' is a number where text is expected"),
    ("offset text", qa("7", {"text": "a", "answer_start": "1"}), "'answer_start' is text where a whole number"),
    ("offset float", qa("7", {"text": "a", "answer_start": 1.0}), "is a number where a whole number"),
    ("offset true", qa("7", {"text": "a", "answer_start": True}), "is true or false where a whole number"),
    ("no offset", qa("7", {"text": "cat"}), "no key 'answer_start'"),
    ("not a list", {**qa("7"), "answers": {"text": ["cat"]}}, "'answers' is an object where a list"),
    ("no question", {"id": "7", "answers": []}, "no key 'question'; "),
    ("no id", {"question": "who?", "answers": []}, "no key 'id'"),
    ("null id", {**qa("7"), "id": None}, "'id' is null where text"),
    ("a text", "who?", "text where an object with the key 'id' is expected"),
    ("impossible", qa("7", answer("cat"), is_impossible=True), "is_impossible is true, but it lists 1 answers"),
    ("possible", qa("7", is_impossible=False), "is_impossible is false, but it lists no answer"),
    ("maybe", qa("7", is_impossible="no"), "'is_impossible' is text where true or false"),
    ("surrogate", {**qa("7"), "question": "\ud83d"}, "half a surrogate pair"),
    ("nul", {**qa("7"), "question": "who\0"}, "NUL"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_question_is_named_or_counted(tmp_path: Path, bad: Any, said: str) -> None:
    path = put(tmp_path / "a.json", form(qa("6", answer("cat")), bad))
    with pytest.raises(DataError, match=said) as error:
        task("squad2", path).load("dev")
    assert str(error.value).startswith(f"{path}: data[0].paragraphs[0].qas[1]")
    if isinstance(bad, dict) and bad.get("id"):
        assert "(question '7')" in str(error.value)
    examples, notes = told(lambda: task("squad2", path, on_bad_row="skip").load("dev"))
    assert [e.id for e in examples] == ["6"] and "bad rows left out: 1" in notes[0]


def test_a_bad_paragraph_counts_once_and_the_others_are_read(tmp_path: Path) -> None:
    good = form(qa("6", answer("cat")))["data"][0]
    whole = {"data": [{"title": "t"}, {"paragraphs": [{"qas": []}, *good["paragraphs"]]}, "x"]}
    found = list(questions(put(tmp_path / "a.json", whole)))
    assert [item.id if isinstance(item, Question) else "" for item in found] == ["", "", "6", ""]
    said = " ".join(str(item) for item in found if isinstance(item, DataError))
    assert "data[0]: no key 'paragraphs'" in said and "data[1].paragraphs[0]: no key 'context'" in said
    assert "data[2]: text where an object" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", ":1:1: the file is empty"),
        (" \n ", ":1:1: the file is empty"),
        (json.dumps(GOOD)[:-9], r":1:\d+: not whole JSON"),
        (json.dumps(GOOD, indent=1)[:-9], r":[3-9]\d:\d+: not whole JSON"),
        ("[" * 100_000, "nested far deeper"),
        ('{"data": [], "data": []}', "the key 'data' stands twice"),
        ("[]", "a list where an object with the key 'data'"),
        ('{"dat": []}', "no key 'data'; did you mean 'dat'"),
        ('{"data": {}}', "'data' is an object where a list"),
        ('{"data": []}', "holds no question"),
        ('{"data": ' + "9" * 9999 + "}", "write it as text"),
    ],
)
def test_what_is_no_such_file_is_refused_whatever_is_skipped(tmp_path: Path, content: str, said: str) -> None:
    path = put(tmp_path / "a.json", content)
    with pytest.raises(DataError, match=said) as error:
        task("squad", path, on_bad_row="skip").load("train")
    assert str(error.value).startswith(str(path))


def test_settings_that_leave_nothing(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", GOOD)
    for wrong in ({"limit": 0}, {"n_best": 0}, {"longest_answer": 0}):
        with pytest.raises(UserError, match="squad"):
            task("squad", path, **wrong)
    with pytest.raises(DataError, match="no such file"):
        task("squad", tmp_path / "b.json").load("dev")


# --- the official figures -----------------------------------------------------------------------


def sentence(example: Example, rng: random.Random) -> str:
    """The first sentence, as far as a full stop tells."""
    return example.texts[1].partition(". ")[0]


def anywhere(example: Example, rng: random.Random) -> str:
    context = example.texts[1]
    start = rng.randrange(len(context))
    return context[start : start + rng.randint(1, 60)]


def noisy(example: Example, rng: random.Random) -> str:
    """Often right: an answer with an article, a word more or less, other case or punctuation."""
    answers = evaluation.gold(example)
    if not answers:
        return rng.choice(["", "", "The.", "no answer"])
    text = rng.choice(answers)
    words = text.split()
    return rng.choice(
        [
            text,
            f"the {text}",
            text.upper() + "!",
            " ".join(words[1:]),
            f"{text} and so on",
            f"«{text}»",
            "",
            "a",
        ]
    )


def empty(example: Example, rng: random.Random) -> str:
    return ""


PREDICTORS = (sentence, anywhere, noisy, empty)
FIRST = ("span_f1", "exact_match")
SECOND = ("answer_f1", "answer_match", "answerable_f1", "answerable_match", "unanswerable_match")


def compared(examples: Sequence[Example], seed: int, *, second: bool) -> dict[str, dict[str, float]]:
    """Our figures of every predictor, each held to the slow reading."""
    golds = [evaluation.gold(example) for example in examples]
    found = {}
    for predictor in PREDICTORS:
        rng = random.Random(seed)
        told = [predictor(example, rng) for example in examples]
        values, reasons = metrics.evaluate(SECOND if second else FIRST, golds, told, ())
        assert {name for name, value in values.items() if value is None} == reasons.keys()
        slow = (slow_squad_scorer.second if second else slow_squad_scorer.first)(golds, told)
        assert values == pytest.approx(slow, abs=1e-12), predictor.__name__
        ours = {name: value for name, value in values.items() if value is not None}
        found[predictor.__name__] = ours
    return found


def drawn(path: Path, *, second: bool) -> list[Example]:
    """The questions and contexts of a file whose answers are blank, with answers drawn from each context: they are no
    answers to the questions, but texts of the same kind, to count by."""
    rng, found = random.Random(3), []
    for question in questions(path):
        assert isinstance(question, Question) and question.answers is None
        words = [match.span() for match in re.finditer(r"\S+", question.context)]
        answers = []
        for _ in range(0 if second and rng.random() < 0.4 else rng.randint(1, 3)):
            first = rng.randrange(len(words))
            last = min(first + rng.randrange(6), len(words) - 1)
            answers.append((words[first][0], words[last][1]))
        found.append(Example(question.id, (question.text, question.context), tuple(answers)))
    return found


def some(second: bool) -> list[Example]:
    """Small and odd: articles, dashes, accents, several answers, and none."""
    text = "The–cat sat; the\u0301 A an 1,000 t.he U.S.A. über_x 東京 the"
    spans = [
        ((0, 3),),
        ((0, 7), (8, 11)),
        ((13, 17),),
        ((18, 22), (0, 3)),
        ((22, 27),),
        ((28, 33), (34, 40)),
        ((41, 47),),
    ]
    rows = [Example(str(n), ("q", text), label) for n, label in enumerate(spans)]  # fmt: skip
    return [*rows, *(Example(f"none-{n}", ("q", text), ()) for n in range(3 if second else 0))]


@pytest.mark.parametrize("second", [False, True])
def test_the_figures_are_the_published_ones_on_odd_texts(second: bool) -> None:
    for seed in range(40):
        compared(some(second), seed, second=second)


def test_only_an_empty_answer_is_right_where_there_is_none() -> None:
    golds: list[Any] = [(), (), (), ("the cat",), ("the",), ("an", "dog")]
    told = ["", "The!", "cat", "", "", "dog"]
    values = metrics.evaluate(SECOND, golds, told, ())[0]
    # "The!" is empty after the clean-up; an answer that is an article alone asks for nothing.
    assert values == {
        "answer_f1": 4 / 6, "answer_match": 4 / 6,
        "answerable_f1": 2 / 3, "answerable_match": 2 / 3, "unanswerable_match": 2 / 3,
    }  # fmt: skip
    values, reasons = metrics.evaluate(SECOND, [("cat",)], ["cat"], ())
    assert (
        values["unanswerable_match"] is None
        and "every question has an answer" in reasons["unanswerable_match"]
    )


@pytest.mark.parametrize("second", [False, True])
def test_the_figures_are_the_published_ones_on_real_questions(shared: Path, second: bool) -> None:
    """TyDi's training part is the one file here that tells its answers; of the two others the texts are used."""
    qa_folder = shared / "qa"
    if not qa_folder.is_dir():
        pytest.skip(f"needs {qa_folder}")
    name, files = "squad2" if second else "squad", ("tydiqa_goldp_en/dev", "xquad_en/xquad.en")
    train = qa_folder / "tydiqa_goldp_en/train.json.gz"
    examples = task(name, train).load("train")
    assert len(examples) == 3696
    figures = compared(examples, 1, second=second)
    assert 0.4 < figures["noisy"][SECOND[0] if second else FIRST[0]] < 0.8
    for file, count in zip(files, (440, 1190), strict=True):
        made = drawn(qa_folder / f"{file}.json.gz", second=second)
        assert len(made) == count
        compared(made, 2, second=second)


def test_the_development_files_here_tell_no_answer(shared: Path) -> None:
    for file, count in (("tydiqa_goldp_en/dev", 440), ("xquad_en/xquad.en", 1190)):
        path = shared / "qa" / f"{file}.json.gz"
        if not path.is_file():
            pytest.skip(f"needs {path}")
        assert [q.answers for q in questions(path) if isinstance(q, Question)] == [None] * count
        with pytest.raises(DataError, match="its answers are blank or missing"):
            task("squad", path).load("dev")


def test_a_result_tells_what_was_skipped_and_no_other_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "a.json", form(qa("1", answer("cat")), qa("2", answer("", 0))))

    def with_a_warning(path: Path) -> Any:
        warnings.warn(f"unclosed file {path}", UserWarning, stacklevel=1)
        return questions(path)

    monkeypatch.setattr(squad_parts, "questions", with_a_warning)
    table = {"name": "squad", "train": str(path), "dev": str(path), "on_bad_row": "skip"}
    with pytest.warns(UserWarning, match="unclosed file"):
        found = read_task(table, None)
    assert any("bad rows left out: 1" in note for note in found.warnings)
    assert not any("unclosed" in note for note in found.warnings)


def test_a_folder_that_was_looked_in_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as told:
        registry.tasks.build({"name": "squad"}, tmp_path)
    looked = str(told.value).partition("(none in ")[2].partition(")")[0].split(", ")
    assert looked[0] == str(tmp_path) and str(tmp_path / "squad") in looked
    assert len(looked) == len(set(looked)) == 4
