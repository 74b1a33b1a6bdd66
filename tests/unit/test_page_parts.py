"""Parts of the page: the results' floors and intervals, average ranks, curves over labels; and showing it."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from typer.testing import CliRunner

from lmcompare import console
from lmcompare.cli import app
from lmcompare.comparison import Comparison, Ranks
from lmcompare.report import charts
from lmcompare.report.efficiency import efficiency
from lmcompare.report.page import render
from lmcompare.report.ranks import joined, ranks
from lmcompare.statistics import series_of, summarize
from tests.fake_runs import Row, finished, suite


def of(rows: list[Row], **more: Any) -> Comparison:
    return summarize(rows, title="t", **more)


# --- the table ---------------------------------------------------------------------------------------


def test_intervals_of_a_cell_are_students() -> None:
    values = [0.5, 0.6, 0.9]
    (cell,) = of([finished("a", "x", seed, value) for seed, value in enumerate(values)]).cells
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (cell.low, cell.high) == pytest.approx((theirs.low, theirs.high))
    (alone,) = of([finished("a", "x", 1, 0.5)]).cells
    assert alone.low is None and alone.high is None
    assert "intervals" not in re.sub(
        r"<(style|script).*?</\1>", "", render(of([finished("a", "x", 1, 0.5)])), flags=re.S
    )


def test_floors_have_a_column_where_they_are_known() -> None:
    rows = [finished("a", task, 1, 0.5) for task in "xy"]
    page = render(of(rows))
    assert page.count('data-name="majority"') == 3 and ">50.0</td>" in page
    for _, record in rows[1:]:
        assert record.result
        record.result["majority"] = {"metric": "accuracy", "value": None}
    page = render(of(rows))
    assert 'data-name="majority">–</td>' in page
    assert rows[0][1].result
    rows[0][1].result["majority"] = None
    assert 'data-name="majority"' not in render(of(rows))


def test_a_mean_over_missing_runs_has_no_interval() -> None:
    rows = [finished("a", task, seed, 0.1 * seed) for task in "xy" for seed in (1, 2, 3)]
    assert len(re.findall('class="between"', render(of(rows)))) == 3
    assert len(re.findall('class="between"', render(of(rows[1:])))) == 2


# --- average ranks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "critical", "groups"),
    [
        ([1.0, 2.0, 3.0], 0.5, []),
        ([1.0, 2.0, 3.0], 1.5, [(0, 1), (1, 2)]),
        ([1.0, 2.0, 3.0], 5.0, [(0, 2)]),
        ([1.0, 1.2, 3.0, 3.1, 4.0], 1.0, [(0, 1), (2, 3), (3, 4)]),
        ([1.0, 2.0], 1.0, []),  # as far apart as that is told apart
        ([2.0, 2.0], 0.1, [(0, 1)]),
    ],
)
def test_bars_join_what_is_not_told_apart(
    places: list[float], critical: float, groups: list[tuple[int, int]]
) -> None:
    assert joined(places, critical) == groups


def test_the_picture_of_demsars_own_example() -> None:
    # Demšar 2006, §3.2.4: at 10 % (1.12 over 14 sets), C4.5 is apart from m and from both, and nothing else is.
    order = (("m+cf", 1.964), ("m", 2.0), ("cf", 2.893), ("C4.5", 3.143))
    comparison = replace(of([finished("m", "x", 1, 0.5)]), ranks=Ranks(order, 14, 1.12))
    told = ranks(comparison, {arm: i for i, (arm, _) in enumerate(order)})
    assert told and [row["rank"] for row in told["rows"]] == ["1.96", "2.00", "2.89", "3.14"]
    assert joined([rank for _, rank in order], 1.12) == [(0, 2), (2, 3)]
    assert "not told apart: m+cf, m, cf" in told["bars"][0]["svg"]
    assert "14 tasks" in told["told"] and "1.12 or more; a bar joins" in told["told"]


def test_ranks_over_few_tasks_say_so() -> None:
    page = render(of(suite(arms=4, tasks=2)))
    assert "over so few tasks, none can" in page
    assert "Average ranks" not in render(of(suite(arms=2)))


# --- how many labels it takes ------------------------------------------------------------------------


def sizes(name: str, of_task: str = "x", seeds: int = 2) -> list[Row]:
    return [
        finished(f"{name}, examples={size}" if size < 400 else name, of_task, seed, 0.1 * place + 0.01 * seed,
                 examples={"train": size, "test": 9})
        for place, size in enumerate((4, 20, 100, 400), 1)
        for seed in range(1, seeds + 1)
    ]  # fmt: skip


def test_arms_that_differ_in_their_examples_are_one_curve() -> None:
    rows = [*sizes("tuned"), *sizes("features"), finished("bow", "x", 1, 0.3, examples={"train": 400})]
    found = of(rows)
    assert {run.series for run in found.runs} == {"tuned", "features", "bow"}
    assert {run.train for run in found.runs} == {4, 20, 100, 400}
    told = efficiency(found)
    assert told and [key["name"] for key in told["series"]] == ["tuned", "features"]
    (card,) = told["cards"]
    assert "tuned: 4: 11.5, 20: 21.5, 100: 31.5, 400: 41.5" in card["svg"]
    assert card["svg"].count("seed 1") == 8 and "How many labels it takes" in render(found)


def test_a_study_names_its_series_itself() -> None:
    rows = [(f"arm {i}", record) for i, (_, record) in enumerate(sizes("a", seeds=1))]
    assert efficiency(of(rows)) is None
    found = of(rows, series={f"arm {i}": "one" for i in range(4)})
    told = efficiency(found)
    assert told and [key["name"] for key in told["series"]] == ["one"]


def test_over_several_tasks_there_is_their_mean() -> None:
    told = efficiency(of([*sizes("a"), *sizes("a", "y")]))
    assert told and [card["task"]["rest"] for card in told["cards"]] == ["mean of 2 tasks", "x", "y"]
    assert "a: 4: 11.5" in told["cards"][0]["svg"]
    told = efficiency(of([*sizes("a"), *sizes("a", "y")[:2]]))
    assert told and [card["task"]["rest"] for card in told["cards"]] == ["x", "y"]


def test_series_of_a_name() -> None:
    assert series_of("bert finetune, examples=500") == "bert finetune"
    assert series_of("bert finetune, examples=500, optimizer.rate=0.1") == "bert finetune, optimizer.rate=0.1"
    assert series_of("bert, examples=few") == "bert, examples=few"


def test_an_axis_of_sizes_has_equal_factors() -> None:
    on = charts.log_scale([4, 40, 400])
    assert [on.place(size) for size in (4, 40, 400)] == ["0.00", "50.00", "100.00"]
    assert charts.log_scale([4, 390, 400]).ticks == (4, 400)
    assert charts.log_scale([7]).place(7) == "50.00"


# --- showing it --------------------------------------------------------------------------------------


def lmc(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_page_is_opened_where_there_is_a_display(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: shown.append(address) or True)
    for key in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    page = tmp_path / "a page.html"
    assert not console.opened(page) and not shown
    monkeypatch.setenv("DISPLAY", ":0")
    assert console.opened(page) and shown == [page.as_uri()]


def test_report_takes_a_studys_name_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMC_RUNS", str(tmp_path))
    monkeypatch.delenv("DISPLAY", raising=False)
    for name in ("demo", "configs/studies/demo.toml"):
        result = lmc("report", name)
        assert result.exit_code != 0 and "lmc compare" in str(result.exception)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "study.json").write_text('{"title": "What", "quick": false, "runs": {}}')
    for name in ("demo", "configs/studies/demo.toml", tmp_path / "demo"):
        result = lmc("report", name, "--out", tmp_path / "page.html", "--open")
        assert result.exit_code == 0, result.output
        assert "no browser can be opened here" in result.output
        assert "<title>What</title>" in (tmp_path / "page.html").read_text()
