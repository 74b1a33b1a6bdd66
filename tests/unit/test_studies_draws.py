"""Runs whose weights and whose order of the data are drawn apart: paired by both seeds, counted and called by both."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmcompare.comparison import told_draw
from lmcompare.errors import UserError
from lmcompare.experiments import compare, studies
from lmcompare.experiments.grid import Grid
from lmcompare.report.table import legend
from lmcompare.statistics import summarize
from tests.fake_runs import Row, finished


def drawn(arm: str, seed: int, order: int | None, value: float, task: str = "x") -> Row:
    name, record = finished(arm, task, seed, value, run=f"{arm}-{task}-{seed}-{order}")
    record.config["data_seed"] = order
    return name, record


def test_runs_are_paired_by_both_seeds() -> None:
    rows = [drawn("a", 1, 8, 0.1), drawn("a", 1, 9, 0.2), drawn("a", 2, 8, 0.4), drawn("a", 2, 7, 0.9)]
    rows += [drawn("b", 2, 8, 0.8), drawn("b", 1, 9, 0.5), drawn("b", 1, 8, 0.2), drawn("b", 2, None, 0.0)]
    found = summarize(rows, title="t")
    (difference,) = found.differences
    told = {(one.seed, one.data_seed): round(one.value, 9) for one in difference.per_seed}
    assert told == {(1, 8): 0.1, (1, 9): 0.3, (2, 8): 0.4}
    assert found.cell("a", "x").n == 4 and len(found.means[0].per_seed) == 4
    assert legend(found).startswith("Points on test: mean over 5 seeds")
    value = found.to_json()["cells"][0]["values"][1]
    assert value == {"seed": 1, "data_seed": 9, "value": 0.2, "run": "a-x-1-9"}
    assert told_draw(found.runs[1]) == "seed 1, order 9"


def test_one_seed_for_both_is_no_other_order() -> None:
    found = summarize([drawn("a", 3, 3, 0.1), drawn("b", 3, None, 0.3)], title="t")
    assert found.differences[0].n == 1 and found.runs[0].data_seed is None
    with pytest.raises(UserError, match="a second run of 'a' on x with seed 3, beside"):
        summarize([drawn("a", 3, 3, 0.1), drawn("a", 3, None, 0.3)], title="t")
    with pytest.raises(UserError, match="with seed 3 and order 4, beside"):
        summarize([drawn("a", 3, 4, 0.1), drawn("a", 3, 4, 0.3)], title="t")


def test_a_mean_over_tasks_takes_the_draws_that_all_of_them_have() -> None:
    rows = [drawn("a", 1, 8, 0.1), drawn("a", 1, 9, 0.3), drawn("a", 1, 9, 0.5, "y")]
    (mean,) = summarize(rows, title="t").means
    assert [(one.seed, one.data_seed, one.value) for one in mean.per_seed] == [(1, 9, 0.4)]
    assert mean.reason == "only 1 of its seeds covers every task"


SMALL: dict[str, Any] = {
    "backend": {"layers": 1, "width": 8, "heads": 2},
    "corpus": {"documents": 60},
    "tokenizer": {"size": 600},
    "training": {"batch": 2, "steps": 1, "eval_every": 1000},
}


@pytest.mark.slow
def test_a_grid_of_both_seeds_runs_and_its_answers_are_paired(tmp_path: Path) -> None:
    arms = [
        {"name": name, "mode": "finetune", "model": "one", "set": {"weights": weights}, "series": name[0]}
        for name, weights in (("taught", "pretrained"), ("drawn", "random"))
    ]
    table = {
        "title": "t",
        "tasks": ["micro.sentiment"],
        "seeds": [1, 2],
        "data_seeds": [1, 5],
        "models": {
            "one": {"backend": "bert", "pretrain": "bert-micro", "config": "bert-micro", "set": SMALL}
        },
        "set": {"task": {"train": 16}, "training": {"steps": 2}},
        "arms": [*arms, {"name": "floor", "baseline": "bow"}],
        "compare": [["taught", "drawn"], ["taught", "floor"]],
    }
    study = studies.Study.model_validate(table)
    found = compare.run_study(Grid(study, tmp_path / "t", note=lambda sentence: None, at_once=2))
    of_arm = {arm: {(r.seed, r.data_seed) for r in found.runs if r.arm == arm} for arm in found.arms}
    assert of_arm["taught"] == of_arm["drawn"] == {(1, None), (1, 5), (2, 1), (2, 5)}
    assert of_arm["floor"] == {(1, None), (2, None)}
    assert {(p.b, p.seeds) for p in found.paired} == {("drawn", 2), ("floor", 2)}
    assert {run.series for run in found.runs} == {"t", "d", "floor"}
    again = compare.of_study(tmp_path / "t")
    assert json.loads((tmp_path / "t" / "comparison.json").read_text()) == json.loads(
        json.dumps(again.to_json())
    )
