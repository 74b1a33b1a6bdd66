"""F1, F6, F17 while the corpus is prepared: killed in any block and by any signal, with workers, which never outlive
it; two that want the same corpus at once."""

import contextlib
import functools
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forge
import pytest
from world import Place, Reference, sentence

from lmcompare import files

PARTS = 10  # tests of killing; the first few in every `make test`
MARK = "mark.json"


def slow_and_small(pause: float = 0.0) -> None:
    """Many blocks of a small corpus, each of them marked, by two processes."""
    from lmcompare.text import corpus, growing, pairs, spread

    corpus.BLOCK, pairs.BLOCK, spread.FEW, growing.EVERY = 400, 60, 1, 0.0
    whole = growing.Growing.block

    def block(self: Any, count: int) -> None:
        whole(self, count)
        time.sleep(pause)

    growing.Growing.block = block  # type: ignore[method-assign]


WORKERS = ("--set", "corpus.workers=2")


def workers(process: int) -> list[int]:
    """The processes that cut for this one."""
    with contextlib.suppress(OSError):
        below = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        return [int(pid) for pid in below if b"lmcompare.text.spread" in command(int(pid))]
    return []


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def gone(pids: list[int], patience: float = 30.0) -> bool:
    deadline = time.monotonic() + patience
    while any(command(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(command(pid) for pid in pids)


def until(true: Callable[[], Any], child: forge.Child) -> None:
    while not true():
        assert child.process.is_alive(), child.said("err")
        time.sleep(0.002)


def done(home: Path, room: str) -> int:
    """Blocks or documents that the last mark stands for."""
    for mark in (home / "cache" / room).rglob(f".*.part/{MARK}"):
        with contextlib.suppress(OSError, ValueError):
            return int(files.read_json(mark)["done"])
    return 0


def kept(room: Path) -> dict[str, Any]:
    found = {p.relative_to(room).parent.as_posix(): files.read_json(p) for p in room.rglob("manifest.json")}
    return {name: manifest["sha256"] for name, manifest in found.items()}


def same_corpus(home: Path, place: Place) -> None:
    """The cache holds what it holds where nothing was interrupted, and nothing else."""
    for room in ("tokens", "instances"):
        made, expected = kept(home / "cache" / room), kept(place.folder / "cache" / room)
        assert made and made == {name: expected[name] for name in made}
    assert not [path for path in (home / "cache").rglob(".*") if path.is_file() or path.suffix != ".tmp"]


@pytest.mark.parametrize(
    "number",
    [pytest.param(n, marks=pytest.mark.slow if n < 2 else pytest.mark.full) for n in range(PARTS)],
)
@pytest.mark.parametrize("room", ["tokens", "instances"])
def test_killed_between_blocks(
    place: Place, pretrained: Reference, tmp_path: Path, room: str, number: int
) -> None:
    """Twice, each time some blocks further on; no worker is left, and the end is the same to the bit."""
    chance, run = random.Random(f"{room} {number}"), tmp_path / "run"
    words = place.pretrain(run, *WORKERS)
    before = 0
    for _ in range(2):
        child = forge.start(*words, home=tmp_path, setup=functools.partial(slow_and_small, 0.02))
        wanted = before + chance.randint(1, 6)
        until(lambda wanted=wanted: done(tmp_path, room) >= wanted, child)
        hired = workers(child.process.pid)
        time.sleep(chance.uniform(0, 0.02))
        assert child.kill()
        child.wait()
        assert len(hired) == 2 and gone(hired)
        assert done(tmp_path, room) >= wanted  # it does not begin again
        before = done(tmp_path, room)
    ended = forge.lmc(*words, home=tmp_path, setup=slow_and_small)
    assert ended.status == 0 and ended.clean, ended.err
    assert forge.outcome(run) == pretrained.outcome
    assert not forge.partials(tmp_path / "cache")
    same_corpus(tmp_path, place)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 75), ("SIGINT", 130), ("SIGUSR1", 75)])
@pytest.mark.parametrize("room", ["tokens", "instances"])
def test_f6_a_signal_between_blocks(
    place: Place, pretrained: Reference, tmp_path: Path, name: str, status: int, room: str
) -> None:
    run = tmp_path / "run"
    words = place.pretrain(run, *WORKERS)
    child = forge.start(*words, home=tmp_path, setup=functools.partial(slow_and_small, 0.02))
    until(lambda: done(tmp_path, room) >= 2, child)
    hired = workers(child.process.pid)
    child.kill(getattr(signal, name))
    ended = child.wait()
    assert ended.status == status and ended.clean and "goes on" in ended.err, ended.err
    assert len(hired) == 2 and gone(hired, 1.0)
    assert done(tmp_path, room) >= 2 and forge.events(run, "paused")
    assert forge.lmc(*words, home=tmp_path, setup=slow_and_small).status == 0
    assert forge.outcome(run) == pretrained.outcome
    same_corpus(tmp_path, place)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_a_failed_run_that_goes_on(
    place: Place, pretrained: Reference, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = place.pretrain(run, *WORKERS)
    child = forge.start(*words, home=tmp_path, setup=functools.partial(slow_and_small, 0.02))
    until(lambda: done(tmp_path, "tokens") >= 2, child)
    hired = workers(child.process.pid)
    os.kill(hired[0], signal.SIGKILL)
    ended = child.wait()
    assert ended.status == 5 and ended.clean, ended.err
    assert "killed by signal 9" in ended.err and "last mark" in ended.err
    assert gone(hired, 1.0) and done(tmp_path, "tokens") >= 2
    assert forge.lmc(*words, home=tmp_path, setup=slow_and_small).status == 0
    assert forge.outcome(run) == pretrained.outcome
    same_corpus(tmp_path, place)


@pytest.mark.slow
def test_f17_two_runs_that_want_the_same_corpus(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    """It is made once; the second waits for it."""
    setup = functools.partial(slow_and_small, 0.05)
    children = [
        forge.start(*place.pretrain(tmp_path / name, *WORKERS, *more), home=tmp_path, setup=setup)
        for name, more in (("one", ()), ("two", ("--set", "training.max_bad_steps=4")))
    ]
    ended = [child.wait() for child in children]
    assert [one.status for one in ended] == [0, 0], [one.err for one in ended]
    assert sum("waiting for another process" in one.err for one in ended) >= 1
    assert forge.outcome(tmp_path / "one") == pretrained.outcome
    same_corpus(tmp_path, place)


@pytest.mark.slow
def test_a_bad_line_far_down_leaves_nothing_behind(tmp_path: Path, place: Place) -> None:
    """With workers, too, it is the reader that names the line; what cannot be used is not kept."""
    chance = random.Random(3)
    rows = [f'{{"text": "{" ".join(sentence(chance) for _ in range(9))}"}}' for _ in range(200)]
    rows[150] = '{"text": 7}'
    text = tmp_path / "bad.jsonl"
    text.write_text("\n".join(rows) + "\n")
    config = place.folder / "pretrain.toml"
    words = ["pretrain", "bert", "--corpus", text, "--config", config, "--out", tmp_path / "run", *WORKERS]
    ended = forge.lmc(*words, home=tmp_path, setup=slow_and_small)
    assert ended.status == 3 and ended.clean and f"{text}:151:" in ended.err
    assert not list(tmp_path.rglob("*.part"))
