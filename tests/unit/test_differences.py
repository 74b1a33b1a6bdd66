"""Pairs of arms held against each other on the answers that their runs kept; and how a page and a terminal say it."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lmcompare.comparison import Comparison, Paired
from lmcompare.differences import labels_of
from lmcompare.report.headline import headline
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


def test_runs_of_one_seed_are_no_seeds_of_their_own(tmp_path: Path) -> None:
    """Two seeds in three orders, and a baseline, which has no order: its one run of a seed stands beside each."""
    rights = {(1, 7): 50, (1, 8): 51, (1, 9): 52, (2, 7): 40, (2, 8): 41, (2, 9): 42}
    rows = []
    for (seed, order), right in rights.items():
        arm, record = kept(tmp_path, "a", "x", seed, right, run=f"a-{seed}-{order}")
        record.config["data_seed"] = order
        rows.append((arm, record))
    rows += [kept(tmp_path, "floor", "x", seed, 30, kind="baseline") for seed in (1, 2)]
    found = of(rows, compare=[("a", "floor")])
    (one,) = found.paired
    assert (one.seeds, one.reason) == (2, None) and one.difference == pytest.approx(16 / 60)
    (difference,) = found.differences
    assert (difference.a, difference.n) == ("floor", 6) and difference.mean == pytest.approx(-16 / 60)
    cell = found.cell("a", "x")
    # Student's with one degree of freedom, over the seeds' means of 51 and 41 answers.
    away = 12.7062 * (10 / 2**0.5) / 2**0.5 / 60
    assert cell.n == 6 and cell.high == pytest.approx(46 / 60 + away, abs=1e-4)


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


def test_an_arm_that_is_apart_is_held_against_nobody(tmp_path: Path) -> None:
    """Its answers are to the same ids with the same labels: only the texts were others."""
    told = {"a": {"test": "t"}, "b": {"test": "torn"}}
    rows = [
        kept(tmp_path, arm, task, seed, right + seed, data_hashes=told[arm] if task == "x" else {"test": "y"})
        for arm, right in (("a", 54), ("b", 20))
        for task in "xy"
        for seed in (1, 2, 3)
    ]
    found = of(rows, compare=[("a", "b")])
    assert [(mark.arm, mark.task, mark.level) for mark in found.marks] == [("b", "x", "apart")]
    x, y = found.paired
    assert (x.difference, x.p, x.seeds, x.verdict) == (None, None, 0, "open")
    assert x.reason == "cannot fairly be compared: test is another version of the data (b)"
    assert y.verdict == "win" and [one.task for one in found.disagreements] == ["y"]
    (contest,) = found.contests
    assert (contest.tasks, contest.wins, contest.difference) == (1, 1, y.difference)
    assert found.differences[0].tasks == 1
    alone = of([row for row in rows if "-x-" in row[1].run], compare=[("a", "b")])
    assert alone.contests[0].tasks == 0 and "beats" not in " ".join(headline(alone))


def test_f1_needs_to_know_its_positive_class(tmp_path: Path) -> None:
    rows = [kept(tmp_path, arm, "x", 1, right, metric="f1") for arm, right in (("a", 50), ("b", 30))]
    assert of(rows).paired[0].difference is not None
    for _, record in rows:
        assert record.result
        del record.result["labels"]
    assert "positive" in str(of(rows).paired[0].reason)


def test_the_positive_class_of_a_published_task_is_known_without_its_run(tmp_path: Path) -> None:
    rows = [kept(tmp_path, arm, "mrpc", 1, right, metric="f1") for arm, right in (("a", 50), ("b", 30))]
    for _, record in rows:
        assert record.result
        del record.result["labels"]
    assert labels_of(rows[0][1]) == ("not_equivalent", "equivalent")
    assert "positive" not in str(of(rows).paired[0].reason)


def test_a_win_is_sure_over_all_tasks(tmp_path: Path) -> None:
    """One task alone would be a win; beside four others where nothing differs, chance finds one as good too often."""
    rows = [kept(tmp_path, arm, "x", 1, right) for arm, right in (("a", 40), ("b", 33))]
    alone = of(rows, compare=[("a", "b")])
    assert alone.paired[0].verdict == "win" and alone.contests[0].wins == 1
    rows += [kept(tmp_path, arm, task, 1, 40) for arm in "ab" for task in ("y", "z", "v", "w")]
    found = of(rows, compare=[("a", "b")])
    (x, *_) = found.paired
    assert x.p == alone.paired[0].p and x.p_holm == pytest.approx(5 * (x.p or 0)) and x.p_holm > 0.05
    assert x.low is not None and x.low > 0 and x.verdict == "open"
    assert (found.contests[0].wins, found.contests[0].open) == (0, 5)


def test_a_row_that_is_open_for_new_seeds_alone_says_so(rows: list[Row]) -> None:
    found = of(rows, compare=[("a", "b")])
    x = replace(found.paired[0], low=-0.1, high=0.9, verdict="open", p_holm=0.01)

    def page(one: Paired) -> str:
        return render(replace(found, paired=(one, found.paired[1])))

    assert "sure for these seeds, open for new ones" in page(x)
    assert "open for new" not in page(replace(x, seeds=1)) and "open for new" not in page(
        replace(x, p_holm=0.2)
    )


def test_the_terminal_says_why_answers_were_not_held(rows: list[Row]) -> None:
    def printed() -> str:
        stream = io.StringIO()
        print_table(of(rows, compare=[("a", "b")]), Console(file=stream, width=200))
        return stream.getvalue()

    assert "not held" not in printed()
    (rows[0][1].path / "predictions-test.jsonl").unlink()
    assert "a − b, not held answer by answer on x: a-x-s1: no answers to test are kept" in printed()
    for _, record in rows:
        (record.path / "predictions-test.jsonl").unlink(missing_ok=True)
    assert printed().count("not held") == 1 and "on any task; of x: a-x-s1: no answers" in printed()


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
    assert (
        "Answer by answer" in page
        and "only a right: 34, only b: 0, of 60" in page
        and "mean of 2 tasks" in page
    )
    assert "p &lt; 0.001" in page or "p = 0.00" in page
