"""What every test shares: no network, one thread, and folders of its own for runs and cache."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

REPO = Path(__file__).resolve().parent.parent


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
