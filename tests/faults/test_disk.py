"""F14, F15: a full disk, and places where a run cannot be."""

import ctypes
import errno
import functools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forge
import pytest
from test_checkpoints import stop_after
from world import Place, Reference

from lmcompare import files, results
from lmcompare.errors import ResourceError

SIZES = (24, 60, 100, 130, 160, 200)  # KB: where a real disk is full, from the first file on


def full_at(stage: str, part: str, number: int) -> None:
    """The disk is full when the n-th such stage comes."""
    count = 0

    def hook(name: str, path: Path) -> None:
        nonlocal count
        if name == stage and part in str(path):
            count += 1
            if count >= number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    files.STAGES.append(hook)


FULL = {
    "checkpoint": ("write", "state.json", 8),
    "weights": ("fsync", "model.safetensors", 9),
    "best weights": ("mkdir", "best-", 2),
    "log": ("append", "log.jsonl", 9),
    "events": ("append", "events.jsonl", 2),
    "shards": ("fsync", "sentences.bin", 1),
    "vocabulary": ("rename", "tokenizer", 1),
    "model": ("rename", "/model", 1),
    "result": ("write", "result.json", 1),
}


QUICK = ("checkpoint", "log", "shards")


@pytest.mark.parametrize(
    "where",
    [pytest.param(w, marks=pytest.mark.slow if w in QUICK else pytest.mark.full) for w in FULL],
)
def test_f14_no_space(place: Place, pretrained: Reference, tmp_path: Path, where: str) -> None:
    run = tmp_path / "run"
    words = place.pretrain(run)
    ended = forge.lmc(*words, home=tmp_path, setup=functools.partial(full_at, *FULL[where]))
    told(ended, tmp_path)
    assert forge.lmc(*words, home=tmp_path).status == 0  # there is room again
    assert forge.outcome(run) == pretrained.outcome


def told(ended: forge.Ended, home: Path) -> None:
    """One sentence with the place and the size; nothing half-written under a final name."""
    assert ended.status == 5 and ended.clean, ended.err
    sentence = ended.err.strip().splitlines()[-1]
    assert sentence.startswith("error: ") and str(home) in sentence
    assert "no space left" in sentence and " MB " in sentence
    for folder in [*home.rglob("step-*"), *home.rglob("best-*"), *home.glob("run/*/")]:
        if folder.is_dir() and not folder.name.startswith((".", "checkpoints")):
            assert files.damage(folder) is None
    assert not list(home.rglob("result.json"))


def test_f14_report(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("the old page")
    words = ["report", pretrained.run, "--out", page]
    full = functools.partial(full_at, "rename", "page.html", 1)
    ended = forge.lmc(*words, home=tmp_path, setup=full)
    assert ended.status == 5 and ended.clean and str(page) in ended.err and " MB " in ended.err
    assert page.read_text() == "the old page" and not forge.partials(tmp_path)
    assert forge.lmc(*words, home=tmp_path).status == 0
    assert page.read_text().startswith("<!")


def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes only part of a line: the line is not there, and the next one is whole."""
    path = tmp_path / "events.jsonl"
    results.append(path, {"event": "start"})
    whole = open

    class Short:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> "Short":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, data: bytes) -> int:
            return self.file.write(data[:5])

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", lambda *a, **k: Short(whole(*a, **k)))
        with pytest.raises(ResourceError, match="no space left"):
            results.append(path, {"event": "warning"})
    results.append(path, {"event": "end"})
    assert [row["event"] for row in results.read_lines(path)] == ["start", "end"]


def test_half_a_line_of_a_killed_writer(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    run = tmp_path / "run"
    stop = functools.partial(stop_after, 9)
    assert forge.lmc(*place.pretrain(run), home=tmp_path, setup=stop).status == 75
    for name in ("events.jsonl", "log.jsonl"):
        with open(run / name, "a") as file:
            file.write('{"event": "warn')
    ended = forge.lmc(*place.pretrain(run), home=tmp_path)
    assert ended.status == 0 and ended.clean, ended.err
    assert forge.outcome(run) == pretrained.outcome
    assert len(forge.events(run, "start")) == 2  # and every line is whole


@pytest.fixture
def little(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A file system of so many kilobytes; called again, it gets another size."""
    folder = tmp_path / "little"
    folder.mkdir()
    mounted = False

    def mount(kilobytes: int) -> Path:
        nonlocal mounted
        options = f"{'remount,' if mounted else ''}size={kilobytes}k"
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            subprocess.run(words, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs the right to mount a tmpfs")
        mounted = True
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kilobytes", [pytest.param(n, marks=[pytest.mark.full] if n != 100 else []) for n in SIZES]
)
def test_f14_really_full(
    place: Place,
    pretrained: Reference,
    tmp_path: Path,
    little: Callable[[int], Path],
    kilobytes: int,
) -> None:
    """Runs and cache on a disk that is too small, then on one that has grown."""
    home = little(kilobytes)
    said = tmp_path / "said"
    run = home / "run"
    places = {"LMC_CACHE": str(home / "cache"), "LMC_RUNS": str(home)}
    ended = forge.lmc(*place.pretrain(run), home=said, env=places)
    told(ended, home)
    little(50_000)
    ended = forge.lmc(*place.pretrain(run), home=said, env=places)
    assert ended.status == 0 and ended.clean, ended.err
    assert forge.outcome(run) == pretrained.outcome


@pytest.mark.slow
def test_f14_features_cache_really_full(
    place: Place, pretrained: Reference, transferred: Callable[[str], Reference],
    tmp_path: Path, little: Callable[[int], Path],
) -> None:  # fmt: skip
    """The cache is memory-mapped: a page that finds no room would kill the process."""
    cache, run = little(40), tmp_path / "run"
    words = place.transfer("features", pretrained.run, run)
    ended = forge.lmc(*words, home=tmp_path, env={"LMC_CACHE": str(cache)})
    assert ended.status == 5 and ended.clean, ended.err
    assert str(cache) in ended.err and " MB " in ended.err
    assert not list(cache.glob("features/[!.]*")) and not forge.partials(cache)
    little(50_000)
    assert forge.lmc(*words, home=tmp_path, env={"LMC_CACHE": str(cache)}).status == 0
    assert forge.outcome(run) == transferred("features").outcome


def powerless() -> None:
    """As root, give up the right to pass over permissions; anybody else has none to give up."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        if libc.capset(header, (ctypes.c_uint32 * 6)()):
            raise OSError(ctypes.get_errno(), "capset")


def closed_run(folder: Path) -> Path:
    run = folder / "run"
    run.mkdir()
    run.chmod(0o500)
    return run


def closed_parent(folder: Path) -> Path:
    parent = folder / "parent"
    parent.mkdir()
    parent.chmod(0o500)
    return parent / "run"


def hidden_parent(folder: Path) -> Path:
    parent = folder / "parent"
    parent.mkdir()
    parent.chmod(0o000)
    return parent / "run"


def file_in_the_way(folder: Path) -> Path:
    (folder / "run").write_text("something else")
    return folder / "run"


def file_as_parent(folder: Path) -> Path:
    (folder / "file").write_text("something else")
    return folder / "file" / "run"


def long_name(folder: Path) -> Path:
    return folder / ("r" * 300)


def long_parent(folder: Path) -> Path:
    return folder / ("p" * 300) / "run"


def symbolic_loop(folder: Path) -> Path:
    (folder / "a").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "a")
    return folder / "a"


def odd_name(folder: Path) -> Path:
    return folder / "run; rm"


PLACES = (
    closed_run, closed_parent, hidden_parent, file_in_the_way, file_as_parent, long_name,
    long_parent, symbolic_loop, odd_name,
)  # fmt: skip


@pytest.mark.parametrize("make", PLACES)
def test_f15_no_place_for_a_run(
    place: Place, pretrained: Reference, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    """Said before anything is computed."""
    folder = tmp_path / "folder"
    folder.mkdir()
    run = make(folder)
    began = time.monotonic()
    ended = forge.lmc(*place.pretrain(run), home=tmp_path, setup=powerless)
    took = time.monotonic() - began
    subprocess.run(["chmod", "-R", "u+rwx", str(folder)], check=True)
    assert ended.status in (2, 5) and ended.clean, ended.err
    assert ended.err.startswith("error: ") and len(ended.err.splitlines()) == 1
    assert str(run)[:60] in ended.err or run.name in ended.err
    assert took < 5.0  # 2 s on a machine that nothing else uses; no step was made:
    assert "vocabulary" not in ended.err and not (tmp_path / "cache").exists()


def test_f15_no_place_for_the_cache(place: Place, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o500)
    ended = forge.lmc(*place.pretrain(tmp_path / "run"), home=tmp_path, setup=powerless)
    assert ended.status == 5 and ended.clean and str(cache) in ended.err


def test_sweep_leaves_nothing(tmp_path: Path) -> None:
    for name in (".step-00000001.0123abcd.tmp", ".model.0123abcd.old"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-00000001").mkdir()
    files.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_of_two_that_compute_the_same_the_first_stays(tmp_path: Path) -> None:
    """A cache entry that another process maps is never pulled away by one that comes second."""
    final = tmp_path / "entry"
    with files.new_folder(final, once=True) as second:
        (second / "who").write_text("second")
        with files.new_folder(final, once=True) as first:
            (first / "who").write_text("first")
    assert (final / "who").read_text() == "first" and not forge.partials(tmp_path)
    (final / "who").write_text("damaged")
    with files.new_folder(final, once=True) as again:
        (again / "who").write_text("again")
    assert (final / "who").read_text() == "again" and files.damage(final) is None
    shutil.rmtree(final)
