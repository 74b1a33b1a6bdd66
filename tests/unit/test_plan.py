"""`lmc compare STUDY --dry-run`: what is there, what would be made, how long that takes; and nothing is made."""

import time
from pathlib import Path
from typing import Any

import pytest

from lmcompare.config import Training
from lmcompare.experiments import studies
from lmcompare.experiments.grid import Grid
from lmcompare.experiments.plan import LIKE, MEASURED, RECORD, TWIN, Row, likewise, plan, turns, whole
from lmcompare.experiments.sampling import Stopwatch, evaluations
from lmcompare.experiments.tally import Tally
from lmcompare.report.plan import plan_lines

TITLE = "a plan"
SMALL: dict[str, Any] = {
    "backend": {"layers": 1, "width": 8, "heads": 2},
    "corpus": {"documents": 60, "workers": 1},
    "tokenizer": {"size": 600},
    "training": {"batch": 4, "steps": 40, "eval_every": 20},
}
QUICK = {"task": {"train": 400}, "training": {"epochs": 4}}


def study(tasks: tuple[str, ...] = ("micro.sentiment", "micro.sense"), seeds: int = 2) -> studies.Study:
    arms: list[dict[str, Any]] = [
        {"name": "floor", "baseline": "bow", "set": {"task": {"train": 400}}},
        {"name": "tuned", "mode": "finetune", "model": "bert", "set": QUICK},
        {"name": "frozen", "mode": "features", "model": "bert", "set": QUICK},
    ]
    models = {"bert": {"backend": "bert", "pretrain": "bert-micro", "config": "bert-micro", "set": SMALL}}
    table = {"title": TITLE, "tasks": list(tasks), "seeds": [*range(1, seeds + 1)], "models": models}
    return studies.Study.model_validate({**table, "arms": arms})


def planned(of: studies.Study, folder: Path) -> dict[str, Any]:
    return plan(Grid(of, folder, note=lambda text: None, at_once=2))


def rows(told: dict[str, Any]) -> dict[tuple[str, str | None], dict[str, Any]]:
    return {(row["arm"], row["task"]): row for row in told["rows"]}


@pytest.mark.slow
def test_nothing_is_there_and_nothing_is_made(tmp_path: Path) -> None:
    began = time.monotonic()
    told = planned(study(), tmp_path / "runs")
    assert time.monotonic() - began < 40
    assert (told["runs"], told["there"], told["missing"]) == (13, 0, 13)
    assert not list(tmp_path.iterdir())
    found = rows(told)
    assert found["tuned", "micro.sense"]["runs"] == 2
    assert {row["evidence"] for row in found.values()} <= {MEASURED, LIKE}
    assert found["pretraining bert", None]["evidence"] == MEASURED and found["pretraining bert", None]["disk"]
    assert found["tuned", "micro.sense"]["disk"] > 0
    assert told["seconds"] > 0 and told["unknown_seconds"] == []
    assert told["unknown_disk"] == [] and found["floor", "micro.sense"]["disk"] > 0
    # Two layers of eight numbers a token, of 400 texts: in the cache, and the row's runs share it.
    assert found["frozen", "micro.sense"]["disk"] > found["floor", "micro.sense"]["disk"]


@pytest.mark.slow
def test_what_was_measured_is_about_what_it_takes(tmp_path: Path) -> None:
    of = study(tasks=("micro.sentiment",), seeds=1)
    before = rows(planned(of, tmp_path / "runs"))
    made = dict(Grid(of, tmp_path / "runs", note=lambda text: None, at_once=2).run())
    for arm in ("tuned", "frozen"):
        result = made[arm].result
        assert result is not None
        assert before[arm, "micro.sentiment"]["seconds"] == pytest.approx(result["seconds"], rel=1.0, abs=1.0)


@pytest.mark.slow
def test_runs_on_record_tell_more_than_a_measurement(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    made = Grid(study(tasks=("micro.sentiment",), seeds=1), folder, note=lambda text: None, at_once=2).run()
    told = planned(study(tasks=("micro.sentiment",), seeds=3), folder)
    assert (told["runs"], told["there"], told["missing"]) == (10, 4, 6)
    results = {arm: record.result for arm, record in made}
    for (arm, task), row in rows(told).items():
        if task is None:
            assert row["there"] == 1 and row["seconds"] is None
            continue
        assert (row["there"], row["evidence"], row["count"]) == (1, RECORD, 1)
        assert row["seconds"] == pytest.approx(results[arm]["seconds"]) and row["disk"] > 0
    assert told["unknown_seconds"] == told["unknown_disk"] == []
    again = planned(study(tasks=("micro.sentiment",), seeds=1), folder)
    assert (again["there"], again["missing"], again["seconds"], again["disk"]) == (4, 0, 0.0, 0)


def row(arm: str, task: str | None, seconds: float | None, missing: int = 1) -> Row:
    return Row(arm, task, missing, 0, seconds, "measured", jobs=[{}] * missing)


def test_the_whole_is_at_least_as_long_as_the_longest() -> None:
    assert whole([row("a", "t", 10.0, 4), row("b", "t", 2.0, 2)], 2) == 22.0
    assert whole([row("a", "t", 30.0), row("b", "t", 2.0)], 8) == 30.0
    assert whole([row("a", "t", None)], 2) is None
    assert whole([], 2) == 0.0


def test_each_arm_is_measured_once_before_any_is_twice() -> None:
    of = [row(arm, task, None) for arm in "abc" for task in "xyz"]
    first = [(of[n].arm, of[n].task) for n in turns(of)]
    assert first[:3] == [("a", "x"), ("b", "y"), ("c", "z")]
    assert sorted(first) == [(arm, task) for arm in "abc" for task in "xyz"]


def test_a_stopwatch_leaves_the_first_step_and_the_evaluation_out() -> None:
    watch = Stopwatch(8)
    watch.marks = [(10.0, 1), (11.0, 2), (15.0, 3), (16.0, 4)]
    watch.evaluation = 3.0
    assert watch.each() == 1.0 and watch.unit() == 1.0
    watch.marks = watch.marks[:2]
    assert watch.each() is None
    assert evaluations(Training(batch=10), steps=30, examples=95) == 3.0
    assert evaluations(Training(batch=10, eval_every=5), steps=30, examples=95) == 6.0


def test_an_arm_takes_as_long_as_one_that_learns_as_long(tmp_path: Path) -> None:
    table = study(seeds=1).model_dump()
    frozen = table["arms"][2]
    longer = {**frozen["set"], "training": {"epochs": 9}}
    table["arms"] += [{**frozen, "name": "other", "set": {**frozen["set"], "transfer": {"layers": "top"}}}]
    table["arms"] += [{**frozen, "name": "longer", "set": longer}]
    grid = Grid(studies.Study.model_validate(table), tmp_path, note=lambda text: None, at_once=2)
    made = [Row(job["arm"], job["task"], 1, jobs=[job]) for job in grid.runs({}).values()]
    by_name = {(row.arm, row.task): row for row in made}
    for task, seconds in (("micro.sentiment", 4.0), ("micro.sense", 6.0)):
        measured = by_name["frozen", task]
        measured.seconds, measured.evidence, measured.disk = seconds, MEASURED, 70
    likewise(grid, made)
    told = {key: (row.seconds, row.evidence, row.disk) for key, row in by_name.items()}
    assert told["other", "micro.sentiment"] == (4.0, TWIN, 70) and told["other", "micro.sense"] == (
        6.0,
        TWIN,
        70,
    )
    for arm in ("tuned", "longer", "floor"):
        assert told[arm, "micro.sense"] == (None, None, None)
    by_name["other", "micro.sense"].seconds = None
    by_name["other", "micro.sentiment"].evidence = MEASURED
    likewise(grid, made)
    assert by_name["other", "micro.sense"].evidence == LIKE  # its own other tasks tell more


def test_what_is_not_known_is_said() -> None:
    table = {
        "study": "s", "runs": 6, "there": 2, "missing": 4, "at_once": 2, "seconds": 75.0, "disk": None,
        "rows": [
            {"arm": "floor", "task": "t", "runs": 2, "there": 2, "seconds": None, "evidence": None, "count": 0},
            {"arm": "tuned", "task": "t", "runs": 2, "there": 0, "seconds": 30.0, "evidence": RECORD, "count": 3},
            {"arm": "tuned", "task": "u", "runs": 2, "there": 0, "seconds": 60.4, "evidence": MEASURED, "count": 0},
            {"arm": "own", "task": "t", "runs": 2, "there": 0, "seconds": None, "evidence": None, "count": 0},
        ],
        "unknown_seconds": ["own on t"], "unknown_disk": ["own on t", "a on b", "c on d", "e on f"],
    }  # fmt: skip
    lines = list(plan_lines(table))
    assert lines[0] == "s: 6 runs, 2 there, 4 to be made"
    assert "30–60 s  3 runs on record (1 of 2 tasks), measured (1 of 2 tasks)" in next(
        line for line in lines if line.startswith("tuned")
    )
    assert next(line for line in lines if line.startswith("own")).endswith("?")
    assert "time: at least 1:15 (here, 2 at a time); without what is not known: own on t" in lines
    assert lines[-1] == "disk: not known; without what is not known: own on t, a on b, c on d and 1 more"
    table |= {"runs": 1, "unknown_seconds": [], "disk": 3_000_000}
    lines = list(plan_lines(table))
    assert lines[0].startswith("s: 1 run, ") and "time: about 1:15 (here, 2 at a time)" in lines
    assert lines[-1].startswith("disk: at least 3 MB; without")


def test_a_tally_says_how_far_the_grid_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    tally = Tally(10)
    tally.ended(1, made=False)
    tally.running |= {2, 3, 4}
    assert tally.text() == "1 done, 3 running, 6 left of 10 runs" and tally.short() == ""
    now = 130.0
    tally.ended(2)
    tally.ended(3, failed=True)
    assert tally.text() == "2 done, 1 failed, 1 running, 6 left of 10 runs · 1:45 left"
    assert tally.short() == ", 1 failed, 1:45 left"
