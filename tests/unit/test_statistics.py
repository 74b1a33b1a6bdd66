"""Means, deviations and differences against figures made by hand; nothing missing is silent."""

import io
import json
import math

import pytest
from rich.console import Console

from lmcompare.comparison import Comparison
from lmcompare.errors import UserError
from lmcompare.report.page import render
from lmcompare.report.table import print_table
from lmcompare.statistics import MOST_POINTS, summarize
from tests.fake_runs import Row, failed, finished, pretrained, suite, unfinished

KEYS = {
    "format", "title", "quick", "arms", "tasks", "cells", "means", "differences", "failed", "runs",
    "pretraining", "notes", "paired", "contests", "ranks", "margin", "costs", "marks",
}  # fmt: skip


def of(rows: list[Row]) -> Comparison:
    return summarize(rows, title="t")


def grid(figures: dict[str, dict[str, list[float | None]]]) -> list[Row]:
    """arm → task → a value a seed, from seed 1 on; None is a failed run."""
    return [
        failed(arm, task, seed) if value is None else finished(arm, task, seed, value)
        for arm, tasks in figures.items()
        for task, values in tasks.items()
        for seed, value in enumerate(values, start=1)
    ]


def test_cells_means_and_differences_by_hand() -> None:
    a = {"x": [0.5, 0.7], "y": [0.2, 0.2]}
    b = {"x": [0.8, 0.9], "y": [0.4, 0.7]}
    c = of(grid({"a": a, "b": b}))
    assert c.arms == ("a", "b")
    assert [task.name for task in c.tasks] == ["x", "y"]
    assert c.cell("a", "x").mean == pytest.approx(0.6)
    assert c.cell("a", "x").sd == pytest.approx(math.sqrt(0.02))  # (0.1² + 0.1²) / (2 − 1)
    assert c.cell("a", "y").sd == 0
    mean_a, mean_b = c.means
    assert mean_a.mean == pytest.approx(0.4)
    assert [v.value for v in mean_a.per_seed] == pytest.approx([0.35, 0.45])
    assert mean_a.sd == pytest.approx(math.sqrt(0.005))
    assert mean_b.mean == pytest.approx(0.7)
    assert (mean_a.n, mean_a.tasks, mean_a.reason) == (2, 2, None)
    (difference,) = c.differences
    assert (difference.a, difference.b) == ("b", "a")
    assert difference.mean == pytest.approx(0.3)
    assert [v.value for v in difference.per_seed] == pytest.approx([0.25, 0.35])
    assert (difference.n, difference.tasks) == (2, 2)


def test_median_best_and_runs_no_better_than_the_majority() -> None:
    c = of(grid({"a": {"x": [0.4, 0.9, 0.5, 0.7], "y": [0.8, None]}, "b": {"x": [0.6]}}))
    cell = c.cell("a", "x")
    assert (cell.median, cell.best, cell.degenerate) == (pytest.approx(0.6), 0.9, 2)  # 0.5 is the majority's
    empty = c.cell("b", "y")
    assert (empty.median, empty.best, empty.degenerate) == (None, None, 0)
    stream = io.StringIO()
    print_table(c, Console(file=stream, width=100))
    assert "degenerate (at or below majority): a, 2 of 5 runs: x 2\n" in stream.getvalue()
    assert '<span class="chip">2 degenerate</span>' in render(c)
    rows = [finished("a", "x", 1, 0.1, majority={"metric": "accuracy", "value": None})]
    assert of(rows).cell("a", "x").degenerate is None


def test_one_seed_has_no_deviation() -> None:
    c = of(grid({"a": {"x": [0.5]}}))
    assert c.cells[0].sd is None
    assert c.means[0].sd is None
    assert c.means[0].mean == 0.5


def test_a_failed_run_has_no_value_and_is_counted() -> None:
    c = of(grid({"a": {"x": [0.5, None, 0.7], "y": [0.1, 0.2, 0.3]}}))
    cell = c.cell("a", "x")
    assert (cell.n, cell.failed, cell.unfinished, cell.undefined) == (2, 1, 0, 0)
    assert cell.mean == pytest.approx(0.6)
    (mean,) = c.means
    assert [v.seed for v in mean.per_seed] == [1, 3]
    assert mean.reason == "1 run without a value left out; only 2 of its seeds cover every task"
    assert c.failed[0].reason == "the loss was not finite"
    assert (c.failed[0].arm, c.failed[0].task, c.failed[0].seed) == ("a", "x", 2)


def test_no_mean_over_fewer_tasks() -> None:
    c = of(grid({"a": {"x": [0.5], "y": [None]}, "b": {"x": [0.6], "y": [0.9]}}))
    mean = c.means[0]
    assert (mean.mean, mean.sd, mean.n, mean.tasks) == (None, None, 0, 1)
    assert mean.reason == "no value for y"
    assert c.differences[0].mean == pytest.approx(0.1)  # x alone, and it says so
    assert c.differences[0].tasks == 1


def test_an_undefined_figure_is_never_zero() -> None:
    c = of([finished("a", "x", 1, None), finished("a", "x", 2, 0.5), unfinished("a", "x", 3)])
    cell = c.cells[0]
    assert (cell.n, cell.undefined, cell.unfinished, cell.failed) == (1, 1, 1, 0)
    assert cell.mean == 0.5
    assert c.runs[0].value is None
    assert c.runs[0].undefined == "one class only"
    assert c.runs[1].undefined is None


def test_unequal_seeds_are_paired_by_seed() -> None:
    rows = [finished("a", "x", s, v) for s, v in ((1, 0.1), (2, 0.2), (3, 0.6))]
    rows += [finished("b", "x", s, v) for s, v in ((3, 0.9), (2, 0.4), (9, 0.5))]
    difference = of(rows).differences[0]
    assert {v.seed: round(v.value, 9) for v in difference.per_seed} == {3: 0.3, 2: 0.2}
    assert difference.n == 2


def test_an_arm_that_lacks_a_task_has_an_empty_cell() -> None:
    c = of(grid({"a": {"x": [0.5]}, "b": {"y": [0.5]}}))
    assert len(c.cells) == 4
    assert c.cell("b", "x").n == 0
    assert c.cell("b", "x").mean is None
    assert c.differences[0].mean is None
    assert c.differences[0].tasks == 0


def test_two_runs_for_one_place_are_refused() -> None:
    rows = [finished("a", "x", 1, 0.5), finished("a", "x", 1, 0.6, run="again")]
    with pytest.raises(UserError, match="again: a second run of 'a' on x with seed 1"):
        of(rows)


def test_different_figures_for_one_task_are_never_mixed() -> None:
    found = of([finished("a", "x", 1, 0.5), finished("b", "x", 1, 0.6, metric="f1")])
    assert found.tasks[0].metric == "accuracy" and found.cell("a", "x").mean == 0.5
    assert found.cell("b", "x").mean is None and found.differences[0].mean is None
    assert [(mark.arm, mark.what, mark.level) for mark in found.marks] == [("b", "metric", "apart")]


def test_different_data_is_noted() -> None:
    rows = [finished("a", "x", 1, 0.5), finished("b", "x", 1, 0.6, data_hash="other")]
    assert of(rows).notes == ("x: these runs used 2 different versions of the data",)
    assert of(rows[:1]).notes == ()


def test_no_mean_over_different_data() -> None:
    hashes = [{"train": "t", "test": one} for one in ("good", "good", "torn")]
    rows = [
        finished("a", "x", seed, 0.5, data_hashes=told, data_state={"train": "official", "test": state})
        for seed, (told, state) in enumerate(
            zip(hashes, ("official", "official", "relabelled"), strict=True), 1
        )
    ]
    found = of(rows)
    assert len(found.arms) == 2 and [cell.n for cell in found.cells] == [2, 1]
    assert found.arms[1].endswith("(test relabelled)") and "(" not in found.arms[0]
    assert of(rows[:2]).arms == ("a",)
    # Another split than the one that is reported may differ.
    hashes[2] |= {"test": "good", "dev": "other"}
    assert of(rows).arms == ("a",)


def test_curves_hold_the_development_figure() -> None:
    run = of([finished("a", "x", 1, 0.8)]).runs[0]
    assert [step for step, _ in run.curve] == [10, 20, 40]
    assert run.curve[-1][1] == pytest.approx(0.8)


def test_pretraining_stands_apart() -> None:
    c = of([pretrained(), finished("a", "x", 1, 0.8)])
    assert c.arms == ("a",)
    (facts,) = c.pretraining
    assert facts.metrics["mlm_accuracy"] == 0.612
    assert facts.train[0] == (1, pytest.approx(8.99))
    assert [step for step, _ in facts.dev["perplexity"]] == [200, 400, 600]


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    arm, record = pretrained()
    record.log[:] = [{"step": step, "loss": 1 / step} for step in range(1, 100_002)]
    train = of([(arm, record)]).pretraining[0].train
    assert len(train) <= MOST_POINTS + 1
    assert train[0][0] == 1
    assert train[-1][0] == 100_001


def test_json_is_stable_plain_and_without_nan() -> None:
    rows = [
        *suite(),
        failed("fine-tuned", "micro.task0", 9),
        finished("new", "micro.task0", 1, math.nan),
    ]
    data = of(rows).to_json()
    assert set(data) == KEYS
    assert data["format"] == 2
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    cell = data["cells"][0]
    assert set(cell) == {
        "arm", "task", "n", "failed", "unfinished", "undefined", "mean", "sd", "low", "high",
        "median", "best", "degenerate", "values",
    }  # fmt: skip
    assert set(cell["values"][0]) == {"seed", "data_seed", "value", "run"}
    assert set(data["failed"][0]) == {"run", "arm", "task", "seed", "data_seed", "reason"}


def test_nothing_at_all() -> None:
    c = of([])
    assert (c.arms, c.cells, c.means, c.runs) == ((), (), (), ())
