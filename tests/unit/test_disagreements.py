"""Examples on which two arms disagree: found by hand, filled with texts where these lie here, and told in words."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmcompare import evaluation, registry
from lmcompare.comparison import Disagreement
from lmcompare.disagreements import MOST, between
from lmcompare.experiments.disagreements import with_texts
from lmcompare.report import disagreements as part
from lmcompare.report.page import render
from lmcompare.statistics import summarize
from lmcompare.types import Example
from tests.fake_runs import Row, finished


def same(gold: Any, told: Any) -> bool:
    return bool(gold == told)


def found(gold: list[Any], ours: list[list[Any]], theirs: list[list[Any]], right: Any = same) -> Disagreement:
    return between("a", "b", "t", [f"e{i}" for i in range(len(gold))], gold, ours, theirs, right)


def test_directions_by_hand() -> None:
    # By example: a right in both seeds; a in one of them; b in one; both wrong; equal; each right in one seed.
    gold = ["x"] * 6
    ours = [["x", "x", "y", "y", "y", "x"], ["x", "y", "y", "y", "x", "y"]]
    theirs = [["y", "y", "x", "z", "y", "y"], ["y", "y", "y", "y", "x", "x"]]
    one = found(gold, ours, theirs)
    assert one.counts == {"a": 2, "b": 1, "both": 1} and one.seeds == 2
    assert [(t.id, t.direction, t.a_right, t.b_right) for t in one.shown] == [
        ("e0", "a", 2, 0), ("e1", "a", 1, 0), ("e2", "b", 0, 1), ("e3", "both", 0, 0),
    ]  # fmt: skip
    assert one.shown[3].a == (("y", 2),) and one.shown[3].b == (("z", 1), ("y", 1))


def test_of_scores_the_nearer_one_is_ahead() -> None:
    one = found([1.0, 2.0, 3.0], [[1.0, 5.0, 3.5]], [[2.0, 2.5, 2.5]], None)
    assert one.counts == {"a": 1, "b": 1, "both": 0}
    assert [(t.id, t.direction, t.a_right) for t in one.shown] == [("e0", "a", None), ("e1", "b", None)]


def test_the_strongest_first_and_not_too_many() -> None:
    gold = ["x"] * 50
    ours = [["x"] * 50, ["y"] * 30 + ["x"] * 20]
    one = found(gold, ours, [["y"] * 50] * 2)
    assert one.counts["a"] == 50 and len(one.shown) == MOST
    assert [torn.id for torn in one.shown] == [f"e{i}" for i in range(30, 50)]


# --- through a comparison ----------------------------------------------------------------------------

SENSE = "micro.sense"


def row(folder: Path, arm: str, task: str, rows: list[dict[str, Any]], kind: str) -> Row:
    _, record = finished(arm, task, 1, 0.5, run=f"{arm}-{task}", labels=["different", "same"], task_kind=kind)
    path = folder / record.run
    path.mkdir()
    (path / "predictions-test.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return arm, replace(record, path=path, config={**record.config, "task": {"name": task}})


def two(folder: Path, task: str = SENSE, *, gold: str = "") -> list[Row]:
    """One arm is always right, the other never is."""
    built = registry.tasks.build({"name": SENSE}, None)
    examples = built.load("test")[:30]
    golds = [gold or evaluation.gold(example) for example in examples]
    wrong = {"same": "different", "different": "same"}
    return [
        row(folder, arm, task, [
            {"id": e.id, "label": g, "prediction": g if arm == "right" else wrong[g]}
            for e, g in zip(examples, golds, strict=True)
        ], "classify")
        for arm in ("right", "wrong")
    ]  # fmt: skip


def test_texts_come_from_the_task_and_not_into_the_json(tmp_path: Path) -> None:
    comparison = summarize(two(tmp_path), title="t", compare=[("right", "wrong")])
    (plain,) = comparison.disagreements
    assert plain.counts == {"a": 30, "b": 0, "both": 0} and len(plain.shown) == MOST and not plain.texts
    (full,) = with_texts(comparison, None).disagreements
    assert full.texts.keys() == {torn.id for torn in full.shown} and not full.textless
    assert "disagreements" not in comparison.to_json()
    page = render(with_texts(comparison, None))
    first = full.texts[full.shown[0].id]
    assert first.texts[0] in page and "right against wrong" in page
    assert "ids alone" in render(replace(comparison, disagreements=(replace(plain, textless="why"),)))


@pytest.mark.parametrize(
    ("task", "gold", "why"),
    [("no.such", "", "unknown task"), ("cola", "", "CoLA"), (SENSE, "same", "not what the runs answered")],
)
def test_without_its_data_a_page_has_ids_alone(tmp_path: Path, task: str, gold: str, why: str) -> None:
    comparison = summarize(two(tmp_path, task, gold=gold), title="t", compare=[("right", "wrong")])
    (one,) = with_texts(comparison, tmp_path).disagreements
    assert why in one.textless and not one.texts and one.counts["a"] == 30
    assert one.shown[0].id in render(with_texts(comparison, tmp_path))


# --- in words ----------------------------------------------------------------------------------------


def test_answers_of_every_kind_in_words() -> None:
    choice = Example("1", ("context",), 1, options=("left", "right"))
    tags = Example("2", (), words=("Ann", "Lee", "left", "Rome"))
    cases = [
        ("same", None, "same"),
        ("", None, "no answer"),
        (1.234, None, "1.23"),
        (-1.0, None, "−1.00"),
        (1, choice, "2. right"),
        (1, None, "option 2"),
        (("B-PER", "I-PER", "O", "B-LOC"), tags, "PER: Ann Lee; LOC: Rome"),
        (("B-PER", "I-PER", "O", "B-LOC"), None, "PER: 1–2; LOC: 4"),
        (("O", "O"), None, "nothing"),
        (("Rome", "in Rome", "Rome"), None, "Rome / in Rome"),
        ((), None, "no answer"),
    ]
    for answer, example, text in cases:
        assert part.worded(answer, example) == text


def test_texts_are_cut_around_what_matters() -> None:
    context = "a " * 400 + "the answer is here " + "b " * 400
    told = part.parts(Example("1", ("Where?", context)), ("here",))
    assert told[0] == "Where?" and "the answer is here" in told[1]
    assert len(told[1]) <= part.LONGEST + 4 and told[1].startswith("… ") and told[1].endswith(" …")
    options = part.parts(Example("1", ("context",), options=("left", "right")), 1)
    assert options == ["context", "1. left", "2. right"]


def test_the_page_has_room_for_so_many(tmp_path: Path) -> None:
    comparison = with_texts(summarize(two(tmp_path), title="t", compare=[("right", "wrong")]), None)
    (one,) = comparison.disagreements
    long = {key: Example(key, ("word " * 100,)) for key in one.texts}
    tasks = [replace(comparison.tasks[0], name=f"t{i}") for i in range(200)]
    many = tuple(replace(one, task=task.name, texts=long) for task in tasks)
    told = part.disagreements(replace(comparison, tasks=tuple(tasks), disagreements=many))
    assert told and len(json.dumps(told["data"])) < part.ROOM
    assert told["data"]["groups"][0]["counts"]["a"] == 30 and len(told["data"]["groups"][0]["rows"]) < MOST
