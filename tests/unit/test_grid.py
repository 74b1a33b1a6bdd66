"""A study's grid: who waits for whom, what is made again, what a lost model takes with it."""

from pathlib import Path
from typing import Any

import pytest

from lmcompare.errors import UserError
from lmcompare.experiments import studies
from lmcompare.experiments.grid import Grid

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "backend": {"layers": 1, "width": 8, "heads": 2},
    "corpus": {"documents": 60},
    "tokenizer": {"size": 600},
    "training": {"batch": 2, "eval_every": 1000},
}
QUICK = {"task": {"train": 16}, "training": {"epochs": 1}}


def study(**steps: int) -> studies.Study:
    """Models of so many steps each (−1: one that cannot be trained), one arm of each, and the floor."""
    models = {}
    for name, count in steps.items():
        over = {**SMALL, "training": {**SMALL["training"], "steps": max(1, count)}}
        if count < 0:
            over = {**over, "corpus": {"path": "no-such-file.txt"}}
        models[name] = {"backend": "bert", "pretrain": "bert-micro", "config": "bert-micro", "set": over}
    arms: list[dict[str, Any]] = [{"name": n, "mode": "finetune", "model": n, "set": QUICK} for n in steps]
    table = {"title": "t", "tasks": ["micro.sentiment"], "seeds": [1], "models": models}
    return studies.Study.model_validate({**table, "arms": [{"name": "floor", "baseline": "bow"}, *arms]})


def run(folder: Path, of: studies.Study) -> tuple[list[tuple[str, Any]], list[str]]:
    notes: list[str] = []
    return Grid(of, folder, note=notes.append, at_once=2).run(), notes


def test_runs_begin_as_soon_as_their_own_model_is_there(tmp_path: Path) -> None:
    rows, notes = run(tmp_path, study(soon=1, late=3000))
    assert [arm for arm, _ in rows] == ["pretraining soon", "pretraining late", "floor", "soon", "late"]
    assert all(record.result is not None for _, record in rows)
    ended = [
        note.partition(" · ")[2].partition(" ·")[0].partition(":")[0] for note in notes if note[0].isdigit()
    ]
    assert ended.index("soon") < ended.index("pretraining late") < ended.index("late")
    assert notes[-1].startswith("5/5 ")
    again, second = run(tmp_path, study(soon=1, late=3000))
    assert [record.run for _, record in again] == [record.run for _, record in rows]
    assert not [note for note in second if "accuracy" in note]  # nothing but the models was even looked at


def test_a_model_may_have_the_weights_of_another(tmp_path: Path) -> None:
    table = study(one=1).model_dump()
    table["models"]["again"] = {"backend": "bert", "like": "one", "config": "bert-micro"}
    table["arms"].append({"name": "again", "mode": "finetune", "model": "again", "set": QUICK})
    rows, _ = run(tmp_path, studies.Study.model_validate(table))
    models = {arm: record.config.get("model") for arm, record in rows}
    assert models["again"] == models["one"] == str(dict(rows)["pretraining one"].path)


def test_a_lost_model_takes_its_own_runs_with_it(tmp_path: Path) -> None:
    rows, notes = run(tmp_path, study(good=1, bad=-1))
    failed = {arm for arm, record in rows if record.result is None}
    assert failed == {"pretraining bad", "bad"}
    assert any("pretraining bad failed" in note and "1 run failed with it" in note for note in notes)


def test_where_no_run_is_left_the_study_fails_as_its_model_did(tmp_path: Path) -> None:
    lost = study(bad=-1)
    with pytest.raises(UserError, match=r"pretraining bad failed: .*no-such-file") as caught:
        run(tmp_path, lost.model_copy(update={"arms": lost.arms[1:]}))
    assert caught.value.status == 3


def test_a_model_that_nobody_has_named_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"which model is 'checkpoint'\?.*models\.checkpoint\.model="):
        run(tmp_path, studies.read("checkpoint", []))
