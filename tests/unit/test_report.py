"""The terminal's table, the sentences on top, and the page's text."""

import io
import json
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from lmcompare.comparison import Comparison
from lmcompare.report import charts
from lmcompare.report.figures import points, signed, spread
from lmcompare.report.headline import QUICK, headline
from lmcompare.report.page import embedded, render, write
from lmcompare.report.table import print_table
from lmcompare.statistics import summarize
from tests.fake_runs import Row, failed, finished, pretrained, suite, unfinished


def of(rows: list[Row], *, quick: bool = False) -> Comparison:
    return summarize(rows, title="a study", quick=quick)


def printed(comparison: Comparison, width: int, **settings: object) -> str:
    stream = io.StringIO()
    print_table(comparison, Console(file=stream, width=width, **settings))  # type: ignore[arg-type]
    return stream.getvalue()


def pair(pretrained_value: float, random_value: float) -> Comparison:
    rows = []
    for seed in (1, 2):
        rows.append(finished("random", "x", seed, random_value, weights="random"))
        rows.append(finished("tuned", "x", seed, pretrained_value))
    return of(rows)


def test_figures() -> None:
    assert points(0.9123) == "91.2"
    assert points(-0.00001) == "0.0"
    assert points(-0.123) == "−12.3"
    assert points(None) == "–"
    assert [signed(v) for v in (0.031, 0.0, -0.031, None)] == ["+3.1", "0.0", "−3.1", "–"]
    assert spread(0.5, None) == "50.0"
    assert spread(0.5, 0.01) == "50.0 ± 1.0"


@pytest.mark.parametrize(
    ("tuned", "random", "sentence"),
    [
        (0.8, 0.55, "Pretraining is worth 25.0 points to tuned, on average over 1 task."),
        (0.5, 0.52, "Pretraining costs tuned 2.0 points, on average over 1 task."),
        (0.52, 0.51, "Pretraining is worth 1.0 point to tuned, on average over 1 task."),
        (0.5, 0.5001, "Pretraining makes no difference to tuned (0.0 points), on average over 1 task."),
    ],
)
def test_what_pretraining_is_worth(tuned: float, random: float, sentence: str) -> None:
    assert headline(pair(tuned, random))[0] == sentence


def test_the_order_of_the_arms_does_not_matter() -> None:
    rows = [finished("tuned", "x", 1, 0.8), finished("random", "x", 1, 0.6, weights="random")]
    assert "is worth 20.0 points" in headline(of(rows))[0]
    assert "is worth 20.0 points" in headline(of(rows[::-1]))[0]


def test_a_worth_over_some_of_the_tasks_says_so() -> None:
    rows = [
        finished(a, t, 1, 0.5, weights=w) for a, w in (("r", "random"), ("p", "pretrained")) for t in "xy"
    ]
    assert "over 2 tasks" in headline(of(rows))[0]
    rows[0] = failed("r", "x", 1)
    sentences = headline(of(rows))
    assert "over 1 of 2 tasks" in sentences[0]
    assert sentences[-1] == "Of 4 runs, 1 failed: they have no value and enter no mean."


def test_arms_of_any_kind_are_ranked() -> None:
    rows = [finished("a", "x", 1, 0.5), finished("b", "x", 1, 0.75), finished("c", "x", 1, 0.7)]
    rows.append(failed("d", "x", 1))
    assert headline(of(rows))[0] == (
        "b leads with 75.0 points on average over 1 task, 5.0 ahead of c "
        "(1 arm without a value for every task not ranked)."
    )
    assert headline(of([pretrained()]))[0] == "1 pretraining run, and no task yet."


@pytest.mark.parametrize("width", [200, 80, 40, 20])
def test_nothing_is_cut_off_at_any_width(width: int) -> None:
    long = "an arm with a name of very many words and onelongwordthatnolinecanholdatall"
    rows = [
        *suite(),
        finished(long, "micro.task0", 1, 0.123),
        failed("fine-tuned", "micro.task8", 7),
    ]
    text = printed(of(rows, quick=True), width)
    assert max(map(len, text.splitlines())) <= width
    joined = re.sub(r"\s", "", text)
    for word in (long, "micro.task8", "12.3", "the loss was not finite", QUICK, "1 failed"):
        assert re.sub(r"\s", "", word) in joined, word
    assert "…" not in text


def test_the_table_holds_every_mean() -> None:
    comparison = of(suite())
    for width in (200, 40):
        text = printed(comparison, width)
        for cell in comparison.cells:
            assert spread(cell.mean, cell.sd) in text
        for mean in comparison.means:
            assert spread(mean.mean, mean.sd) in text


def test_empty_failed_and_undefined_cells_are_told_apart() -> None:
    rows = [finished("a", "x", 1, 0.5), failed("b", "x", 1), finished("c", "x", 1, None)]
    text = printed(of([*rows, unfinished("d", "x", 1)]), 100)
    assert re.search(r"50\.0 +– +– +–", text)
    assert re.search(r"\(1 failed\) +\(1 undefined\) +\(1 unfinished\)", text)


def test_names_cannot_steer_the_terminal() -> None:
    text = printed(of([finished("[red]a\x1b[31m", "x[/]", 1, 0.5, run="r\x1b]0;t\x07")]), 80)
    assert "[red]a�[31m" in text
    assert "x[/]" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_no_color_means_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = printed(of(suite()), 120, force_terminal=True)
    assert not re.search(r"\x1b\[(?:\d+;)*3\d", text)


def test_the_page_carries_the_comparison() -> None:
    comparison = of(suite())
    page = render(comparison)
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert match
    assert json.loads(match[1]) == comparison.to_json()
    assert QUICK not in page
    assert QUICK in render(of(suite(), quick=True))


def test_the_page_asks_for_nothing_outside() -> None:
    page = render(of(suite()))
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=[\"'](?!#)", page)
    assert "url(" not in page
    assert "@import" not in page


def test_embedded_json_cannot_end_its_element() -> None:
    text = embedded({"a": "</script><!--&\u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!--&\u2028"}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [pretrained()],
        [failed("a", "x", 1)],
        [unfinished("a", "x", 1)],
        [finished("a", "x", 1, None)],
        [finished("a", "x", 1, -0.4)],
        [finished("a", "x", 1, 0.5)],
        [failed("a", "x", 1), finished("b", "y", 1, 0.5)],
    ],
)
def test_a_page_and_a_table_of_anything(rows: list[Row]) -> None:
    comparison = of(rows)
    assert "<h1>" in render(comparison)
    assert "a study" in printed(comparison, 60)


def test_settings_are_said_once_where_runs_share_them() -> None:
    rows = [finished("a", "x", seed, 0.5) for seed in (1, 2)]
    page = render(of(rows))
    assert page.count("<dt>task.train</dt><dd>400</dd>") == 1
    assert "<span>seed = 1</span>" in page
    assert "<span>seed = 2</span>" in page


def test_writing_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "new" / "page.html"
    write(of(suite()), target)
    before = target.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lmcompare.files.os.replace", full)
    with pytest.raises(Exception, match="no space left"):
        write(of([]), target)
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["page.html"]


def test_five_hundred_runs_make_a_light_page_soon() -> None:
    rows = suite(arms=10, tasks=10, seeds=5)
    assert len(rows) == 501
    start = time.monotonic()
    page = render(of(rows))
    assert time.monotonic() - start < 10
    assert len(page.encode()) < 3_000_000


@pytest.mark.parametrize("values", [[0.0, 0.0], [3.7, 9.2], [-12.0, 700.0], [1e-9, 2e-9], []])
def test_an_axis_holds_its_values(values: list[float]) -> None:
    on = charts.scale(values)
    assert on.low < on.high
    assert all(on.low <= value <= on.high for value in values)
    assert 2 <= len(on.ticks) <= 12
    assert all(-0.01 <= float(on.place(tick)) <= 100.01 for tick in on.ticks)


def test_an_axis_of_shares_reaches_below_zero_where_needed() -> None:
    assert charts.share_scale([0.2, 0.9]).low == 0
    assert charts.share_scale([-0.1]).low == -0.25
    assert charts.share_scale([-0.3]).low == -0.5
