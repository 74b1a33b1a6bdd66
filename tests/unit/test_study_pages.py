"""A study's report while its runs go on: the last one at once, a new one made beside, and not all the time."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmcompare import files
from lmcompare.experiments import study_pages
from lmcompare.experiments.study_pages import StudyPages, ago, noted


class Slow:
    """Makes pages that are numbered; each takes until it is let go."""

    def __init__(self) -> None:
        self.count, self.go = 0, threading.Event()
        self.go.set()

    def __call__(self, comparison: Any) -> str:
        assert self.go.wait(10)
        self.count += 1
        return f"<header>page {self.count}</header>"


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    made = Slow()
    monkeypatch.setattr(study_pages.page, "render", made)
    monkeypatch.setattr(study_pages, "QUICK", 0.0)  # nothing is
    yield made
    made.go.set()


@pytest.fixture
def pages(tmp_path: Path) -> StudyPages:
    (tmp_path / "study").mkdir()
    changed(tmp_path, "first")
    return StudyPages(tmp_path)


def changed(root: Path, title: str) -> None:
    files.write_json(root / "study" / "study.json", {"title": title, "quick": False, "runs": {}})


def shown(pages: StudyPages) -> str:
    found = pages.page("study")
    assert found is not None
    return found.decode()


def settled(pages: StudyPages) -> None:
    ends = time.monotonic() + 10
    while pages.busy and time.monotonic() < ends:
        time.sleep(0.005)
    assert not pages.busy


def test_the_last_page_is_shown_while_the_next_one_is_made(
    pages: StudyPages, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_pages, "PAUSE", 0.0)
    assert shown(pages) == "<header>page 1</header>"
    changed(pages.root, "second")
    slow.go.clear()
    for _ in range(3):  # nobody waits, and it is begun once
        text = shown(pages)
        assert "page 1" in text and "was made 0 s ago; it is being made anew" in text
    slow.go.set()
    settled(pages)
    assert shown(pages) == "<header>page 2</header>" and slow.count == 2


def test_once_a_minute_at_most(pages: StudyPages, slow: Slow) -> None:
    shown(pages)
    for title in ("second", "third"):
        changed(pages.root, title)
        text = shown(pages)
        assert "page 1" in text and "once a minute at most" in text
    assert slow.count == 1 and not pages.busy


def test_what_goes_wrong_beside_is_told_and_the_last_page_stays(
    pages: StudyPages, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown(pages)
    monkeypatch.setattr(study_pages, "PAUSE", 0.0)
    (pages.root / "study" / "study.json").write_text("{<")
    shown(pages)
    settled(pages)
    monkeypatch.setattr(study_pages, "PAUSE", 60.0)
    text = shown(pages)
    assert "page 1" in text and "it could not be made anew: " in text


def test_two_who_ask_first_wait_for_one_page(pages: StudyPages, slow: Slow) -> None:
    slow.go.clear()
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(shown(pages))) for _ in range(2)]
    for thread in threads:
        thread.start()
    slow.go.set()
    for thread in threads:
        thread.join(10)
    assert found == ["<header>page 1</header>"] * 2 and slow.count == 1


def test_the_note_stands_in_a_real_page_as_text() -> None:
    from lmcompare.report.page import render
    from lmcompare.statistics import summarize
    from tests.fake_runs import finished

    page = render(summarize([finished("a", "x", 1, 0.5)], title="t")).encode()
    text = noted(page, "<script>x")
    assert b'<p class="lead" role="status">&lt;script&gt;x</p>' in text and b"<script>x" not in text
    assert [ago(seconds) for seconds in (0, 59, 61, 3600)] == [
        "0 s ago",
        "59 s ago",
        "1 min ago",
        "60 min ago",
    ]
