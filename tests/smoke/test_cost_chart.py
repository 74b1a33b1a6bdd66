"""The chart of quality against cost in Chromium: chosen by keyboard, without a script, and its names apart as drawn."""

from collections.abc import Iterator
from typing import Any

import pytest

from lmcompare.report.page import write
from lmcompare.statistics import summarize
from tests.fake_runs import finished
from tests.unit.test_cost_page import measured

pytestmark = pytest.mark.browser

ARMS = (
    "bag of words",
    "word vectors",
    "ELMo features",
    "GPT tuned",
    "BERT features",
    "BERT tuned",
    "BERT, random",
)


@pytest.fixture(scope="module", params=[True, False], ids=["script", "no script"])
def page(
    browser: Any,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Any]:
    rows = [
        finished(
            arm, task, 1, 0.5 + 0.04 * (n % 4), **measured(3.0 + 2 * n, ms=0.1 + n % 3, trained=10 ** (n + 1))
        )
        for n, arm in enumerate(ARMS)
        for task in "xy"
    ]
    path = tmp_path_factory.mktemp("page") / "page.html"
    write(summarize(rows, title="a study"), path)
    context = browser.new_context(java_script_enabled=request.param, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(path.as_uri())
    yield page
    context.close()


def shown(page: Any) -> list[str]:
    """The names of the choices whose charts are seen."""
    labels = page.locator(".cost label").all_inner_texts()
    return [labels[n] for n in range(4) if page.locator(f".cost .panel-{n + 1}").is_visible()]


def test_the_first_is_shown_and_the_arrow_keys_choose(page: Any) -> None:
    assert shown(page) == ["Time to train"]
    page.locator("#cost-1").focus()
    page.keyboard.press("ArrowRight")
    assert shown(page) == ["Time an answer"]
    page.keyboard.press("ArrowLeft")
    assert shown(page) == ["Time to train"]
    page.get_by_role("radio", name="Memory").check()
    assert shown(page) == ["Memory"]
    page.get_by_role("radio", name="Time to train").check()


@pytest.mark.parametrize("width", [641, 800, 1280])
def test_names_are_apart_as_they_are_drawn(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for number in range(1, 5):
        page.locator(f"#cost-{number}").check()
        names = page.locator(f".panel-{number} .mark text")
        boxes = [names.nth(n).bounding_box() for n in range(names.count())]
        assert len(boxes) == len(ARMS)
        plot = page.locator(f".panel-{number} .marks").bounding_box()
        for n, a in enumerate(boxes):
            assert a["x"] >= plot["x"] - 1 and a["x"] + a["width"] <= plot["x"] + plot["width"] + 1
            for b in boxes[:n]:
                beside = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
                assert beside or a["y"] + a["height"] <= b["y"] + 3 or b["y"] + b["height"] <= a["y"] + 3
    page.locator("#cost-1").check()


@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_shows_the_dots_and_the_table(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.locator(".panel-1 .mark circle").count() == len(ARMS)
    assert not page.locator(".panel-1 .mark text").first.is_visible()
    assert page.locator(".costs tbody tr").count() == len(ARMS)
    box = page.locator(".cost").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
