"""The page in Chromium: clean, alone, with every number on it, and with names as text."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmcompare.comparison import Comparison
from lmcompare.report.figures import points, signed
from lmcompare.report.page import write
from lmcompare.statistics import summarize
from tests.fake_runs import Row, failed, finished, pretrained, suite, unfinished

pytestmark = pytest.mark.browser

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SCRIPT, IMAGE = "<script>alert(1)</script>", '"><img src=x onerror=alert(2)>'
NASTY = (SCRIPT, IMAGE, "{{ 7 * 7 }}", "' onmouseover='alert(3)", "</script><svg onload=alert(4)>")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright, not installed here")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not path:
        pytest.skip("needs Chromium: none on the PATH, and CHROMIUM is not set (`make browser`)")
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


class Visit:
    """A page that is open, and everything that it said or asked for meanwhile."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.noise: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.noise.append(m.text))
        self.page.on("pageerror", lambda e: self.noise.append(str(e)))
        self.page.on("dialog", lambda d: (self.noise.append(f"dialog {d.message}"), d.dismiss()))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.goto(path.as_uri())
        self.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")

    def all(self, selector: str, what: str = "e.innerText") -> list[str]:
        return self.page.eval_on_selector_all(selector, f"(all) => all.map((e) => {what})")


def study() -> Comparison:
    rows = [
        *suite(),
        failed("fine-tuned", "micro.task3", 9),
        unfinished("fine-tuned", "micro.task4", 9),
    ]
    return summarize(rows, title="a study", quick=True)


@pytest.fixture(scope="module")
def visit(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    path = tmp_path_factory.mktemp("page") / "page.html"
    comparison = study()
    write(comparison, path)
    visit = Visit(browser, path, viewport={"width": 1280, "height": 900})
    yield visit
    visit.context.close()


def test_clean_and_alone(visit: Visit) -> None:
    visit.page.wait_for_timeout(200)
    assert visit.noise == []
    assert visit.requests == [visit.page.url]
    assert visit.page.url.startswith("file://")


def test_the_sentence_on_top_and_the_mark_of_a_quick_run(visit: Visit) -> None:
    assert visit.all("h1")[0].replace("\u00a0", " ").startswith("Pretraining is worth")
    assert visit.page.is_visible(".quick")


def test_every_number_is_on_the_page(visit: Visit) -> None:
    data = visit.page.evaluate("JSON.parse(document.getElementById('data').textContent)")
    assert data == study().to_json()
    shown = visit.all(".results tbody td")
    assert len(shown) == len(data["cells"]) == 36
    titles = visit.all(".strip title", "e.textContent")
    for cell, text in zip(data["cells"], shown, strict=True):
        assert text.startswith(f"{points(cell['mean'])} ± {points(cell['sd'])}")
        for count in ("failed", "unfinished", "undefined"):
            assert (f"{cell[count]} {count}" in text) == bool(cell[count])
        for value in cell["values"]:
            assert f"{cell['arm']}, seed {value['seed']}: {points(value['value'])}" in titles
    for mean, text in zip(data["means"], visit.all(".results tfoot td"), strict=True):
        assert text.startswith(f"{points(mean['mean'])} ± {points(mean['sd'])}")
    rows = visit.all(".versus .row:not(.foot)")
    assert len(rows) == len(data["differences"]) == 6
    for difference in data["differences"]:
        name = f"{difference['a']} − {difference['b']}"
        (row,) = [row for row in rows if row.startswith(name)]
        assert signed(difference["mean"]) in row
        assert all(signed(value["value"]) in row for value in difference["per_seed"])


def test_every_layer_mix_and_run_is_on_the_page(visit: Visit) -> None:
    data = visit.page.evaluate("JSON.parse(document.getElementById('data').textContent)")
    rows = dict(zip(visit.all(".list tbody th code"), visit.all(".list tbody tr"), strict=True))
    for run in data["runs"]:
        row = rows[run["run"]]
        assert (points(run["value"]) if run["value"] is not None else run["status"]) in row
        assert " · ".join(f"{share:.2f}" for share in run["layer_mix"] or []) in row
    heat = visit.all(".heat tbody td")
    assert len(heat) == 9 * 3
    assert heat[:3] == ["0.48", "0.30", "0.22"]
    assert "9 tasks" in visit.all("#h-means")[0]


def test_learning_curves_have_a_line_a_run(visit: Visit) -> None:
    data = visit.page.evaluate("JSON.parse(document.getElementById('data').textContent)")
    with_curve = [run for run in data["runs"] if run["curve"]]
    assert len(visit.all("path.line[data-arm]", "e.tagName")) == len(with_curve) == 81


def test_a_legend_works_by_keyboard(visit: Visit) -> None:
    page = visit.page
    key = page.locator("button.key").nth(3)
    key.focus()
    page.keyboard.press("Enter")
    assert key.get_attribute("aria-pressed") == "true"
    assert page.locator('path.line[data-arm="3"].faded').count() == 0
    assert page.locator('path.line[data-arm="1"].faded').count() == 27
    page.keyboard.press("Escape")
    assert key.get_attribute("aria-pressed") == "false"
    assert page.locator("path.line.faded").count() == 0


@pytest.mark.parametrize("width", [1280, 768, 390, 320])
def test_nothing_sticks_out_at_any_width(browser: Any, visit: Visit, width: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": 800})
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    visit.page.set_viewport_size({"width": 1280, "height": 900})


def test_both_color_schemes(browser: Any, visit: Visit) -> None:
    seen = set()
    for scheme in ("light", "dark"):
        visit.page.emulate_media(color_scheme=scheme)
        seen.add(visit.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(seen) == 2


def test_it_reads_without_script(browser: Any, tmp_path: Path) -> None:
    write(study(), tmp_path / "page.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator(".results tbody td").count() == 36
    assert page.locator("path.line").count() > 80
    context.close()


@pytest.mark.parametrize("nasty", NASTY)
def test_names_are_text_whatever_they_hold(browser: Any, tmp_path: Path, nasty: str) -> None:
    """As run, arm, task, metric, split, reason, warning, title and setting (fault F45)."""
    facts = {"metric": nasty, "split": nasty, "warnings": [f"warning {nasty}"]}
    mix = {"layer_mix": [0.5, 0.5], "kind": "features"}
    rows: list[Row] = [
        finished(f"arm {nasty}", f"task {nasty}", 1, 0.5, run=f"run {nasty}", **facts, **mix),
        finished(f"other {nasty}", f"task {nasty}", 1, None, run=f"second {nasty}", **facts),
        failed(f"arm {nasty}", f"task {nasty}", 2, f"reason {nasty}"),
        pretrained(f"pretraining {nasty}"),
    ]
    rows[1][1].result["undefined"] = {nasty: {nasty: f"undefined {nasty}"}}  # type: ignore[index]
    rows[0][1].config[f"key {nasty}"] = f"setting {nasty}"
    comparison = summarize(rows, title=f"title {nasty}")
    path = tmp_path / "page.html"
    write(comparison, path)
    visit = Visit(browser, path)
    visit.page.wait_for_timeout(100)
    assert visit.noise == []  # no dialog, and nothing that the page's policy had to stop
    assert visit.requests == [visit.page.url]
    assert visit.page.locator("img, iframe, object, svg[onload], [onmouseover]").count() == 0
    assert visit.page.locator("script").count() == 2
    assert visit.page.title() == f"title {nasty}"
    text = visit.all("body")[0]
    for word in (
        "title",
        "arm",
        "other",
        "task",
        "run",
        "second",
        "reason",
        "undefined",
        "warning",
        "key",
    ):
        assert f"{word} {nasty}" in text, word
    context = visit.page.evaluate("document.getElementById('data').textContent")
    assert "<" not in context
    visit.context.close()
