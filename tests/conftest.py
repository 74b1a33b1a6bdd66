"""What every test shares: no network, one thread, and folders of its own for runs and cache."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

REPO = Path(__file__).resolve().parent.parent
# Chromium for the tests of pages; without one they say that they skip.
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real data beside the checkout, for development machines that have it."""
    folder = REPO.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real data of ../shared, which is not here")
    return folder


@pytest.fixture(scope="session", autouse=True)
def no_folder_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """For fixtures that outlive a test: nothing is ever written to the user's own runs or cache."""
    place = tmp_path_factory.mktemp("session")
    os.environ["LMC_RUNS"], os.environ["LMC_CACHE"] = str(place / "runs"), str(place / "cache")


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path_factory.mktemp("lmc")
    monkeypatch.setenv("LMC_RUNS", str(place / "runs"))
    monkeypatch.setenv("LMC_CACHE", str(place / "cache"))
    monkeypatch.delenv("LMC_DATA", raising=False)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One for all of them: Playwright takes no second one in a process."""
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright, not installed here")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not path:
        pytest.skip("needs Chromium: none on the PATH, and CHROMIUM is not set (`make browser`)")
    with api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()
