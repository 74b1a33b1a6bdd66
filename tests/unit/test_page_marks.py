"""What tells arms apart and stands out: colors of both schemes, hollow dots beyond them, bold figures, free names."""

import io
import itertools
import re
from dataclasses import replace

import pytest
from rich.console import Console

from lmcompare.comparison import Comparison, Disagreement, Torn
from lmcompare.report import charts, scatter, sections, sheet
from lmcompare.report.page import render
from lmcompare.report.table import print_table
from lmcompare.report.tables import latex, markdown
from lmcompare.statistics import summarize
from tests.fake_runs import failed, finished, suite
from tests.unit.test_cost_page import measured

Lab = tuple[float, ...]


@pytest.fixture
def study() -> Comparison:
    """Arms with means of 20, 80 and 50 points; the one in the middle is ahead on every task."""
    values = {"low": 0.2, "high": 0.8, "middle": 0.5}
    rows = [
        finished(arm, task, seed, value) for arm, value in values.items() for task in "xy" for seed in (1, 2)
    ]
    return summarize(rows, title="t")


# --- colors ------------------------------------------------------------------------------------------


def schemes() -> list[dict[str, str]]:
    """The style sheet's light and dark colors."""
    both = re.findall(r":root \{(.*?)\}", sheet.CSS.read_text(encoding="utf-8"), flags=re.S)
    return [dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", one)) for one in both]


def linear(color: str) -> list[float]:
    shares = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]


def luminance(color: str) -> float:
    return sum(w * s for w, s in zip((0.2126, 0.7152, 0.0722), linear(color), strict=True))


def oklab(color: str) -> Lab:
    """Ottosson 2020: a space in which equal distances look about equal."""
    to_cones = ((0.41222, 0.53633, 0.05145), (0.21190, 0.68070, 0.10740), (0.08830, 0.28172, 0.62998))
    to_lab = ((0.21045, 0.79362, -0.00407), (1.97800, -2.42859, 0.45059), (0.02590, 0.78277, -0.80868))
    cones = [sum(w * s for w, s in zip(row, linear(color), strict=True)) ** (1 / 3) for row in to_cones]
    return tuple(sum(w * c for w, c in zip(row, cones, strict=True)) for row in to_lab)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_ten_arms_have_ten_colors_that_are_told_apart(scheme: int) -> None:
    palette = schemes()[scheme]
    used = [palette[charts.color(arm).split()[0]] for arm in range(10)]
    for a, b in itertools.combinations(used, 2):
        assert sum((x - y) ** 2 for x, y in zip(oklab(a), oklab(b), strict=True)) ** 0.5 > 0.1, (a, b)
    for color in used:
        low, high = sorted((luminance(color), luminance(palette["card"])))
        assert (high + 0.05) / (low + 0.05) >= 3, color


def test_every_color_has_its_class_and_the_script_gives_none_of_its_own() -> None:
    text = sheet.CSS.read_text(encoding="utf-8")
    assert all(f".c{n} {{ --c: var(--c{n}); }}" in text for n in range(charts.COLORS))
    assert re.search(r"%\s*\d", (sheet.CSS.parent / "page.js").read_text(encoding="utf-8")) is None


def test_arms_beyond_the_colors_are_hollow() -> None:
    assert charts.color(charts.COLORS) == "c0 again" and " " not in charts.color(charts.COLORS - 1)
    palette = schemes()[0]
    filled, hollow = (sheet.style(palette, ["dot"], charts.color(arm).split()) for arm in (0, charts.COLORS))
    assert filled["fill"] == hollow["stroke"] == palette["c0"] and hollow["fill"] == palette["card"]


# --- bold --------------------------------------------------------------------------------------------


def test_of_the_means_the_best_alone_is_bold(study: Comparison) -> None:
    page = sections.all_of(study)
    assert [mean["best"] for mean in page["means"]] == [False, True, False]
    foot = re.findall(r"<tfoot.*</tfoot>", render(study), flags=re.S)[0]
    assert re.findall(r'data-name="(\w+)" class="best"', foot) == ["high"]
    assert ".results tfoot b" not in sheet.CSS.read_text(encoding="utf-8")
    (row,) = [line for line in markdown(study).splitlines() if line.startswith("| mean")]
    assert row == "| mean | 20.0 ± 0.0 | **80.0 ± 0.0** | 50.0 ± 0.0 |"
    (row,) = [line for line in latex(study).splitlines() if line.startswith("mean &")]
    assert re.findall(r"\\textbf\{([\d.]+)", row) == ["80.0"]
    stream = io.StringIO()
    print_table(study, Console(file=stream, width=120, force_terminal=True, color_system="standard"))
    (row,) = [line for line in stream.getvalue().splitlines() if "mean\x1b" in line]
    assert re.findall(r"\x1b\[1m([\d.]+)", row) == ["80.0"]


def test_a_mean_that_is_not_there_or_stands_alone_is_not_bold(study: Comparison) -> None:
    rows = [finished("whole", task, 1, 0.3) for task in "xy"]
    torn = summarize([*rows, finished("torn", "x", 1, 0.9), failed("torn", "y", 1)], title="t")
    assert [mean["best"] for mean in sections.all_of(torn)["means"]] == [True, False]
    assert [mean["best"] for mean in sections.all_of(summarize(rows, title="t"))["means"]] == [False]


# --- the chart of cost -------------------------------------------------------------------------------


def test_the_front_runs_through_no_name() -> None:
    """The highest dot has no room above it, and others stand close to the line that rises to it."""
    names = ["cheap and low", "word vectors", "ELMo features", "BERT features", "BERT tuned"]
    places = [(0.07, 0.54), (0.47, 0.02), (0.496, 0.093), (0.491, 0.15), (0.569, 0.168)]
    best, high = [True, True, False, False, False], 280
    line = scatter.pieces([(7, 54), (47, 2)])
    assert line[0] == (0.07, 0.54, 0.47, 0.54) and line[2] == (0.47, 0.02, 1.0, 0.02)
    before = scatter.labels(places, names, high, best)
    after = scatter.labels(places, names, high, best, line)

    def crossing(found: list[scatter.Label | None]) -> list[bool]:
        rows = zip(places, found, names, strict=True)
        return [bool(label and scatter.crossed(at, label, name, high, line)) for at, label, name in rows]

    assert all(after) and not any(crossing(after)) and any(crossing(before))


def test_a_name_keeps_its_place_where_the_front_is_everywhere() -> None:
    line = [(0.0, y / 100, 1.0, y / 100) for y in range(0, 100, 2)]
    assert all(scatter.labels([(0.5, 0.5)], ["a name"], 200, [True], line))
    assert scatter.pieces([]) == []


def test_the_chart_on_the_page_draws_the_same_line() -> None:
    rows = [
        finished(arm, task, 1, value, **measured(seconds))
        for arm, value, seconds in (("a", 0.3, 1), ("b", 0.9, 5), ("c", 0.5, 9))
        for task in "xy"
    ]
    svg = str(sections.all_of(summarize(rows, title="t"))["cost"]["charts"][0]["svg"])
    assert re.search(r'class="front" d="M[\d. ]+H[\d.]+V[\d.]+H100"', svg)


# --- many arms ---------------------------------------------------------------------------------------


def test_many_arms_take_the_windows_width() -> None:
    def frame(arms: int) -> str:
        return re.findall(
            r'<div class="(scroll[ a-z]*)" tabindex', render(summarize(suite(arms), title="t"))
        )[0]

    assert frame(4) == "scroll" and frame(9) == "scroll broad"


def test_the_colors_of_a_pair_go_to_the_script_as_classes() -> None:
    comparison = summarize([finished(f"arm {n}", "x", 1, 0.5) for n in range(12)], title="t")
    torn = Torn("a", "1", "yes", (("yes", 1),), (("no", 1),), 1, 0)
    one = Disagreement("arm 8", "arm 11", "x", 1, {"a": 1, "b": 0, "both": 0}, (torn,))
    told = sections.all_of(replace(comparison, disagreements=(one,)))["torn"]
    assert told["data"]["colors"] == [["c8", "c1 again"]]
