"""Pairs of arms held against each other on the answers that their runs kept; and how a page and a terminal say it."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lmcompare.comparison import Comparison
from lmcompare.report.page import render
from lmcompare.report.table import print_table
from lmcompare.statistics import summarize
from tests.fake_runs import Row, finished

GOLD = ["yes", "no"] * 30


def kept(folder: Path, arm: str, task: str, seed: int, right: int, **more: Any) -> Row:
    """A run that has the first so many of sixty answers right."""
    other = {"yes": "no", "no": "yes"}
    told = [gold if i < right else other[gold] for i, gold in enumerate(GOLD)]
    arm, record = finished(arm, task, seed, right / 60, labels=["no", "yes"], task_kind="classify", **more)
    path = folder / record.run
    path.mkdir()
    rows = [
        {"id": str(i), "label": g, "prediction": t} for i, (g, t) in enumerate(zip(GOLD, told, strict=True))
    ]
    (path / "predictions-test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return arm, replace(record, path=path)


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    figures = {"a": {"x": (55, 56, 57), "y": (40, 41, 40)}, "b": {"x": (20, 22, 24), "y": (40, 40, 41)}}
    return [
        kept(tmp_path, arm, task, seed, right)
        for arm, tasks in figures.items()
        for task, values in tasks.items()
        for seed, right in enumerate(values, 1)
    ]


def of(rows: list[Row], **more: Any) -> Comparison:
    return summarize(rows, title="t", **more)


def test_by_hand(rows: list[Row]) -> None:
    found = of(rows, compare=[("a", "b")], margin=0.15)
    x, y = found.paired
    assert (x.a, x.b, x.task, x.examples, x.seeds) == ("a", "b", "x", 60, 3)
    assert x.difference == pytest.approx((35 + 34 + 33) / 3 / 60) and x.verdict == "win"
    assert x.a_right == pytest.approx(34) and x.b_right == 0 and x.differ == pytest.approx(34)
    assert x.low is not None and x.high is not None and 0.3 < x.low < x.difference < x.high < 0.85
    assert y.difference == pytest.approx(0) and y.verdict == "equal"
    assert x.p is not None and x.p < 0.001 and x.p_holm == pytest.approx(2 * x.p) and y.p_holm == 1.0
    (contest,) = found.contests
    assert (contest.wins, contest.losses, contest.equal, contest.open, contest.tasks) == (1, 0, 1, 0, 2)
    assert contest.difference == pytest.approx(x.difference / 2)
    assert contest.low is not None and contest.high is not None
    assert contest.low < contest.difference < contest.high
    assert of(rows, compare=[("a", "b")]).paired[1].verdict == "open"


def test_of_few_arms_without_roles_all_pairs_are_asked_for(rows: list[Row]) -> None:
    assert {(one.a, one.b) for one in of(rows).paired} == {("b", "a")}


def test_what_cannot_be_held_says_why(rows: list[Row]) -> None:
    record = rows[0][1]
    (record.path / "predictions-test.jsonl").unlink()
    x, y = of(rows, compare=[("a", "b")]).paired
    assert x.difference is None and "no answers to test are kept" in str(x.reason) and x.verdict == "open"
    assert y.difference is not None
    lines = (rows[3][1].path / "predictions-test.jsonl").read_text().splitlines()
    (rows[3][1].path / "predictions-test.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    assert of(rows, compare=[("a", "b")]).paired[1].reason == "they answered different examples"


def test_f1_needs_to_know_its_positive_class(tmp_path: Path) -> None:
    rows = [kept(tmp_path, arm, "x", 1, right, metric="f1") for arm, right in (("a", 50), ("b", 30))]
    assert of(rows).paired[0].difference is not None
    for _, record in rows:
        assert record.result
        del record.result["labels"]
    assert "positive" in str(of(rows).paired[0].reason)


def test_ranks_over_the_tasks_that_all_arms_have(tmp_path: Path) -> None:
    values = {"a": (50, 40), "b": (40, 30), "c": (30, 35)}
    rows = [
        kept(tmp_path, arm, task, 1, right)
        for arm, rights in values.items()
        for task, right in zip("xy", rights, strict=True)
    ]
    found = of(rows).ranks
    assert found and found.ranks == (("a", 1.0), ("b", 2.5), ("c", 2.5)) and found.tasks == 2
    assert of(rows[:4]).ranks is None


def test_the_terminal_and_the_page_say_it(rows: list[Row]) -> None:
    found, stream = of(rows, compare=[("a", "b")]), io.StringIO()
    print_table(found, Console(file=stream, width=120))
    assert "a − b: +28.3 (95 %: " in stream.getvalue() and "over 2 tasks: 1 won, 1 open" in stream.getvalue()
    page = render(found)
    assert "Answer by answer" in page and "right alone 34 : 0 of 60" in page and "mean of 2 tasks" in page
    assert "p &lt; 0.001" in page or "p = 0.00" in page
