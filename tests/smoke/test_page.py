"""The page in Chromium: clean, alone, with every number on it, and with names as text."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmcompare.comparison import Comparison
from lmcompare.report.figures import points, signed
from lmcompare.report.page import write
from lmcompare.statistics import summarize
from lmcompare.types import Example
from tests.fake_runs import Row, failed, finished, pretrained, suite, unfinished

pytestmark = pytest.mark.browser

SCRIPT, IMAGE = "<script>alert(1)</script>", '"><img src=x onerror=alert(2)>'
NASTY = (SCRIPT, IMAGE, "{{ 7 * 7 }}", "' onmouseover='alert(3)", "</script><svg onload=alert(4)>")


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
    shown = visit.all(".results tbody td[data-arm]")
    assert len(shown) == len(data["cells"]) == 36
    titles = visit.all(".strip title", "e.textContent")
    for cell, text in zip(data["cells"], shown, strict=True):
        assert text.startswith(f"{points(cell['mean'])} ± {points(cell['sd'])}")
        for count in ("failed", "unfinished", "undefined"):
            assert (f"{cell[count]} {count}" in text) == bool(cell[count])
        for value in cell["values"]:
            assert f"{cell['arm']}, seed {value['seed']}: {points(value['value'])}" in titles
    for mean, text in zip(data["means"], visit.all(".results tfoot td[data-arm]"), strict=True):
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


@pytest.mark.parametrize("width", [1280, 900, 390])
def test_nine_arms_are_seen_whole_or_shaded_where_they_go_on(
    browser: Any, tmp_path: Path, width: int
) -> None:
    write(summarize(suite(arms=9), title="nine arms"), tmp_path / "page.html")
    visit = Visit(browser, tmp_path / "page.html", viewport={"width": width, "height": 900})
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    left, right = visit.page.eval_on_selector(
        "#results .scroll", "(e) => [e.getBoundingClientRect().left, e.getBoundingClientRect().right]"
    )
    assert left > 0 and right < width and (width != 1280 or right - left > 1150)
    more = visit.page.eval_on_selector("#results .scroll", "(e) => e.scrollWidth - e.clientWidth")
    assert (more > 0) == (width == 900)
    ground = visit.page.eval_on_selector(
        "#results .scroll", "(e) => getComputedStyle(e).backgroundAttachment"
    )
    assert ground.startswith("local, scroll")
    visit.context.close()


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
    assert page.locator(".results tbody td[data-arm]").count() == 36
    assert page.locator(".results button, .sorting").count() == 0
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


# --- the table can be sorted, and tells intervals where they are asked for ---------------------------


def column(visit: Visit, number: int) -> list[float]:
    return [float(v) for v in visit.all(f".results tbody tr td:nth-of-type({number})", "e.dataset.value")]


def test_columns_are_sorted_by_keyboard(visit: Visit) -> None:
    page, names = visit.page, visit.all(".results tbody th .name")
    button = page.locator(".results thead button.sort").nth(2)  # behind the task's name and the majority
    button.focus()
    for expected, way in ((True, "descending"), (False, "ascending")):
        page.keyboard.press("Enter")
        values = column(visit, 2)
        assert values == sorted(values, reverse=expected) and len(set(values)) > 1
        assert visit.all(".results thead th", "e.ariaSort")[2] == way
    page.keyboard.press("Enter")
    assert visit.all(".results tbody th .name") == names
    assert page.locator(".results [aria-sort]").count() == 0
    page.locator(".results thead button.sort").first.click()
    page.locator(".results thead button.sort").first.click()
    assert visit.all(".results tbody th .name") == sorted(names, reverse=True)
    page.locator(".results thead button.sort").first.click()


def test_narrow_screens_sort_from_a_list(visit: Visit) -> None:
    page = visit.page
    assert not page.locator(".sorting").is_visible()
    page.set_viewport_size({"width": 390, "height": 800})
    page.locator(".sorting select").select_option("2 ascending")
    assert column(visit, 2) == sorted(column(visit, 2))
    page.locator(".sorting select").select_option("")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_intervals_and_floors_stand_beside_the_means(visit: Visit) -> None:
    cells = visit.page.evaluate("JSON.parse(document.getElementById('data').textContent)")["cells"]
    shown = visit.page.locator(".results tbody .between")
    assert shown.count() == len(cells) and not shown.first.is_visible()
    visit.page.check("#intervals")
    assert visit.all(".results tbody .between") == [
        f"{points(c['low'])} to {points(c['high'])}" for c in cells
    ]
    visit.page.uncheck("#intervals")
    assert visit.all(".results td.least") == ["50.0"] * 10


# --- examples on which two arms disagree -------------------------------------------------------------


def answered(folder: Path, arm: str, seed: int, told: dict[str, str], gold: str = "yes") -> Row:
    """A run with an answer to each of these examples."""
    name = f"{arm}-{seed}"
    _, record = finished(arm, "own", seed, 0.5, run=name, labels=["yes", "no"], task_kind="classify")
    (folder / name).mkdir()
    rows = [{"id": key, "label": gold, "prediction": value} for key, value in told.items()]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / name / "predictions-test.jsonl").write_text(text)
    return arm, replace(record, path=folder / name)


def torn(folder: Path, text: str = "a text", wrong: str = "no") -> Comparison:
    """Two arms, two seeds: the first has 30 examples right that the other has not, the other has one."""
    ids = [f"example {number}" for number in range(40)]
    rows = []
    for seed in (1, 2):
        a = {key: "yes" if i < 35 else wrong for i, key in enumerate(ids)}
        b = {key: "yes" if 30 <= i < 36 else wrong for i, key in enumerate(ids)}
        b["example 39"] = f"{wrong}, too"
        rows += [answered(folder, "first", seed, a), answered(folder, "second", seed, b)]
    found = summarize(rows, title="t", compare=[("first", "second")])
    texts = {
        torn.id: Example(torn.id, (f"{text} {torn.id}",), "yes") for torn in found.disagreements[0].shown
    }
    return replace(found, disagreements=(replace(found.disagreements[0], texts=texts),))


def test_disagreements_are_filtered_by_direction(browser: Any, tmp_path: Path) -> None:
    write(torn(tmp_path), tmp_path / "page.html")
    visit = Visit(browser, tmp_path / "page.html")
    page = visit.page
    assert visit.all("#torn-told") == [
        "22 of the 32 examples on which they are not equally right are kept here."
    ]
    assert page.locator("#torn-list li").count() == 8
    page.click("#torn-more")
    assert page.locator("#torn-list li").count() == 22 and not page.is_visible("#torn-more")
    for direction, count, right in (("a", 8, [2, 0]), ("b", 1, [0, 2]), ("both", 1, [0, 0])):
        page.select_option("#torn-direction", direction)
        cards = visit.all("#torn-list li")
        assert len(cards) == count
        for arm, seeds in zip(("first", "second"), right, strict=True):
            assert all(
                f"right in {seeds} of 2 seeds" in " ".join(card.split(arm)[-1].split()) for card in cards[:1]
            )
    assert "example 39" in visit.all("#torn-list li")[0] and "no, too ×2" in visit.all("#torn-list li")[0]
    assert visit.noise == []
    visit.context.close()


@pytest.mark.parametrize("nasty", NASTY)
def test_texts_and_answers_are_text_whatever_they_hold(browser: Any, tmp_path: Path, nasty: str) -> None:
    """Fault F45."""
    write(torn(tmp_path, f"text {nasty}", f"wrong {nasty}"), tmp_path / "page.html")
    for script in (True, False):
        context = browser.new_context(java_script_enabled=script)
        page = context.new_page()
        noise: list[str] = []
        page.on("dialog", lambda dialog, said=noise: (said.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message, said=noise: said.append(message.text))
        page.goto((tmp_path / "page.html").as_uri())
        text = page.inner_text("#torn")
        assert f"text {nasty} example 0" in text and f"wrong {nasty}" in text
        assert page.locator("img, iframe, object, svg[onload], [onmouseover]").count() == 0
        assert noise == []
        context.close()
