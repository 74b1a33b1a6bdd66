"""F44: the reference's worker is not installed, dies, hangs, or prints to the standard output. Every worker here is a
small script that stands where the interpreter of `make allennlp` would; none of them needs the package."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forge
import pytest
from world import Place, Reference

GOLDEN = Path(__file__).resolve().parents[1] / "goldens" / "elmo"
SOON = 30.0  # seconds, all in all
WORKER = """
import json, os, shutil, signal, sys, time
import numpy as np

answers = int(sys.argv[-1])
LAYERS, WIDTH = 3, 20


def act():
    if TROUBLE == "dies":
        print("the disk is on fire", file=sys.stderr)
        sys.exit(7)
    if TROUBLE == "killed":
        print("\\x1b[31mout of memory\\x1b[0m", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if TROUBLE == "hangs":
        print("waiting for godot", flush=True)
        time.sleep(600)
    while TROUBLE == "spins":
        pass
    while TROUBLE == "flood":
        os.write(answers, b"x" * 65536)
    said = {
        "garbage": b"<html>404</html>",
        "list": b"[1]",
        "refuses": b'{"ok": false, "error": "KeyError: CNN"}',
        "wrong version": b'{"ok": true, "allennlp": "0.9.0"}',
    }
    os.write(answers, said[TROUBLE] + b"\\n")


def embed(sentences, out):
    width = WIDTH + (TROUBLE == "misshapes")
    x = np.zeros((LAYERS, len(sentences), max(map(len, sentences)), width), np.float32)
    for b, words in enumerate(sentences):
        for t, word in enumerate(words):
            x[:, b, t] = [sum(map(ord, word)) * k % 7 - 3 for k in range(1, width + 1)]
    if TROUBLE != "no file":
        np.save(out, x)


for line in sys.stdin:
    if TROUBLE == "chatters":
        print("y" * 200_000 + "progress 50 %\\r" * 2000)
        print(json.dumps({"ok": True, "allennlp": "0.0.0"}), flush=True)
        print("warning: nothing is wrong", file=sys.stderr, flush=True)
    asked = json.loads(line)
    if asked["do"] == AT:
        act()
    if asked["do"] == "embed":
        embed(json.load(open(asked["sentences"])), asked["out"])
    os.write(answers, json.dumps({"ok": True, "allennlp": "2.10.1"}).encode() + b"\\n")
shutil.rmtree(sys.argv[-2])
"""


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is timed begins after the imports that all these tests share."""
    forge.lmc("--version", home=tmp_path_factory.mktemp("warm"))


def worker(folder: Path, trouble: str, at: str = "") -> Path:
    """A program that is called as the interpreter would be, and has this trouble with that request."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\nTROUBLE, AT = {trouble!r}, {at!r}\n{WORKER}", encoding="utf-8")
    path.chmod(0o755)
    return path


def transfer(
    place: Place, home: Path, python: Path | str, *more: Any, mode: str = "features", **env: str
) -> forge.Ended:
    words: list[Any] = place.transfer(mode, GOLDEN, home / "run", *more)
    words[1] = "elmo-allennlp"
    begun = time.monotonic()
    ended = forge.lmc(*words, home=home, env={"LMC_ALLENNLP_PYTHON": str(python), **env})
    assert time.monotonic() - begun < SOON
    assert ended.clean, ended.err
    return ended


def nothing_left(home: Path) -> None:
    """No result, and no worker that goes on."""
    assert not (home / "run" / "result.json").exists()
    assert not alive(home / "python")


def test_f44_not_installed(place: Place, tmp_path: Path) -> None:
    ended = transfer(place, tmp_path, tmp_path / "nowhere" / "python")
    assert ended.status == 5 and "LMC_ALLENNLP_PYTHON" in ended.err and "no such program" in ended.err
    assert not (tmp_path / "run").exists()


def test_f44_no_interpreter_at_all(place: Place, tmp_path: Path) -> None:
    """An executable file that no system can start."""
    path = tmp_path / "python"
    path.write_bytes(b"\0\1\2")
    path.chmod(0o755)
    ended = transfer(place, tmp_path, path)
    assert ended.status == 5 and "cannot be started" in ended.err and "make allennlp" in ended.err


DEATHS = [
    ("dies", "hello", 5, "the disk is on fire"),
    ("dies", "load", 4, "the disk is on fire"),
    ("dies", "embed", 4, "exit status 7"),
    ("killed", "load", 4, "signal 9"),
    ("refuses", "hello", 5, "KeyError: CNN"),
    ("refuses", "load", 4, "weights.hdf5: KeyError: CNN"),
    ("wrong version", "hello", 5, "0.9.0"),
    ("misshapes", "", 4, "shape"),
    ("no file", "", 4, "no readable layers"),
    ("garbage", "load", 4, "no JSON"),
    ("flood", "embed", 4, "no JSON"),
    ("list", "hello", 5, "no JSON"),
]


@pytest.mark.parametrize(("trouble", "at", "status", "told"), DEATHS, ids=lambda x: str(x).replace(" ", "-"))
def test_f44_dies_or_answers_nonsense(
    place: Place, tmp_path: Path, trouble: str, at: str, status: int, told: str
) -> None:
    ended = transfer(place, tmp_path, worker(tmp_path, trouble, at))
    assert ended.status == status and told in ended.err, ended.err
    assert ended.err.count("error:") == 1
    nothing_left(tmp_path)


HANGS = [("hangs", "hello"), ("hangs", "load"), ("hangs", "embed"), ("spins", "hello"), ("spins", "load")]


@pytest.mark.parametrize(("trouble", "at"), HANGS)
def test_f44_hangs(place: Place, tmp_path: Path, trouble: str, at: str) -> None:
    ended = transfer(place, tmp_path, worker(tmp_path, trouble, at), LMC_ALLENNLP_TIMEOUT="1.5")
    assert ended.status == 5 and "gave no answer" in ended.err and "LMC_ALLENNLP_TIMEOUT" in ended.err
    assert ("waiting for godot" in ended.err) is (trouble == "hangs")
    nothing_left(tmp_path)


@pytest.mark.slow
def test_f44_hangs_and_no_limit_was_set(place: Place, tmp_path: Path) -> None:
    """A process that computes nothing is told from one that takes its time."""
    ended = transfer(place, tmp_path, worker(tmp_path, "hangs", "embed"))
    assert ended.status == 5 and "did nothing for 15 s" in ended.err
    nothing_left(tmp_path)


def test_f44_prints_to_stdout(place: Place, tmp_path: Path) -> None:
    """However much, and even in the words of an answer: the run is the one that a silent worker gives."""
    outcomes = []
    for trouble in ("chatters", "none"):
        home = tmp_path / trouble
        home.mkdir()
        ended = transfer(place, home, worker(home, trouble))
        assert ended.status == 0, ended.err
        assert "progress" not in ended.out + ended.err
        outcomes.append(forge.outcome(home / "run"))
    assert outcomes[0] == outcomes[1]


@pytest.mark.slow
def test_f44_other_models_runs_are_kept(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    study = f"""
title = "with the reference"
tasks = ["sst2"]
seeds = [1]
[models.bert]
backend = "bert"
model = "{pretrained.run}"
[models.elmo]
backend = "elmo-allennlp"
model = "{GOLDEN}"
[[arms]]
name = "ours"
mode = "features"
model = "bert"
config = "{place.folder / "features.toml"}"
[[arms]]
name = "theirs"
mode = "features"
model = "elmo"
config = "{place.folder / "features.toml"}"
"""
    (tmp_path / "study.toml").write_text(study, encoding="utf-8")
    words = ["compare", tmp_path / "study.toml", "--data", place.folder / "glue", "--jobs", "1"]
    python = {"LMC_ALLENNLP_PYTHON": str(worker(tmp_path, "dies", "load"))}
    ended = forge.lmc(*words, home=tmp_path, env=python)
    assert ended.status != 0 and ended.clean
    assert "failed" in ended.out and "the disk is on fire" in ended.out + ended.err
    done = [p.parent for p in (tmp_path / "runs").rglob("result.json")]
    assert len(done) == 1 and "bert" in done[0].name
    written = (done[0] / "result.json").stat().st_mtime_ns
    worker(tmp_path, "none")
    again = forge.lmc(*words, home=tmp_path, env=python)
    assert again.status == 0, again.err
    assert (done[0] / "result.json").stat().st_mtime_ns == written
    assert len(list((tmp_path / "runs").rglob("result.json"))) == 2


def test_f44_the_worker_ends_with_the_run(place: Place, tmp_path: Path) -> None:
    words: list[Any] = place.transfer("features", GOLDEN, tmp_path / "run")
    words[1] = "elmo-allennlp"
    script = worker(tmp_path, "hangs", "embed")
    child = forge.start(*words, home=tmp_path, env={"LMC_ALLENNLP_PYTHON": str(script)})
    wait_for(lambda: alive(script))
    assert child.kill(signal.SIGTERM)
    assert child.wait().status == 75
    assert not alive(script)


# The parent starts the worker itself, says so, and waits; the worker never imports anything, as nothing is asked of it.
PARENT = """
import subprocess, sys, time

worker = subprocess.Popen([sys.executable, "-I", *sys.argv[1:], "1"], stdin=subprocess.PIPE)
print(worker.pid, flush=True)
time.sleep(600)
"""


def test_f44_the_worker_ends_with_a_run_that_was_killed(tmp_path: Path) -> None:
    from lmcompare.backends.allennlp_process import WORKER

    folder = tmp_path / "folder"
    folder.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, WORKER, folder], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    pid = int(parent.stdout.readline())
    time.sleep(0.5)
    assert computes(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not computes(pid))
    assert not folder.exists()


def computes(pid: int) -> bool:
    """Whether it runs; one that has ended and whom nobody asked for its status does not."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()[:1] not in ("", "Z")


def alive(script: Path) -> bool:
    running = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return str(script) in running


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
