"""F43, F49, F50: typing errors, no network, and odd places to print to."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import forge
import pytest
from world import Place, Reference

LMC = [sys.executable, "-m", "lmcompare"]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x1b]")

TRANSFER = ["finetune", "bert", "--task", "sst2", "--model", "m"]
TYPOS: dict[str, tuple[list[str], str]] = {
    "command": (["pretrian"], "pretrain"),
    "option": (["pretrain", "bert", "--corpsu", "micro"], "--corpus"),
    "backend": (["pretrain", "brt", "--corpus", "micro", "--config", "bert-tiny"], "bert"),
    "task": (["finetune", "bert", "--task", "ssst2", "--model", "m"], "sst2"),
    "preset": (["pretrain", "bert", "--corpus", "micro", "--config", "bert-tny"], "bert-tiny"),
    "key": ([*TRANSFER, "--set", "training.stesp=3"], "steps"),
    "key of a component": ([*TRANSFER, "--set", "optimizer.rat=3"], "rate"),
    "component": ([*TRANSFER, "--set", "optimizer.name=adamv"], "adamw"),
    "section": ([*TRANSFER, "--set", "trainning.steps=3"], "training"),
    "room": (["ls", "task"], "tasks"),
    "thing to show": (["show", "bert-tinny"], "bert-tiny"),
    "baseline": (["baseline", "bwo", "--task", "sst2"], "bow"),
}
WRONG: dict[str, list[str]] = {
    "a word for a number": [*TRANSFER, "--set", "training.steps=many"],
    "a negative number": [*TRANSFER, "--set", "training.steps=-1"],
    "no equals sign": [*TRANSFER, "--set", "training.steps"],
    "a word as seed": [*TRANSFER, "--seed", "x"],
    "missing option": ["finetune", "bert", "--task", "sst2"],
    "no argument": ["pretrain"],
    "no such file": ["pretrain", "bert", "--corpus", "micro", "--config", "no/such.toml"],
    "no corpus": ["pretrain", "bert"],
    "no run": ["eval", "no-such-run"],
}


def plain(text: str) -> bool:
    return not CONTROL.search(text.replace("\n", ""))


@pytest.mark.parametrize("name", TYPOS)
def test_f49_typing_error(tmp_path: Path, name: str) -> None:
    words, meant = TYPOS[name]
    ended = forge.lmc(*words, home=tmp_path)
    assert ended.status == 2 and ended.clean and not ended.out, ended.err
    assert re.search(rf"[Dd]id you mean '?{re.escape(meant)}'?|Possible options:.*{meant}", ended.err)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", WRONG)
def test_f49_wrong_value(tmp_path: Path, name: str) -> None:
    ended = forge.lmc(*WRONG[name], home=tmp_path)
    assert ended.status == 2 and ended.clean, (ended.out, ended.err)
    assert ended.err.strip()
    assert not (tmp_path / "runs").exists()


def test_f49_very_long_names(tmp_path: Path) -> None:
    """A name that no file system takes is still only a wrong name."""
    for words in (["show", "x" * 5000], [*TRANSFER[:-1], "x" * 5000], ["eval", "x" * 5000]):
        ended = forge.lmc(*words, home=tmp_path)
        assert ended.status in (2, 3, 4, 5) and ended.clean, ended.err
        assert len(ended.err.splitlines()) == 1


# --- F43: no network

OFFLINE = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}
IMPORTS = 5.0  # seconds that a contended machine may need to import what asks the hub


def hub_words(place: Place, run: Path, *more: Any) -> list[Any]:
    return place.transfer("finetune", Path("nobody/no-such-model"), run, *more)


@pytest.mark.parametrize("flag", [True, False])
def test_f43_hub_id_without_network(place: Place, tmp_path: Path, flag: bool) -> None:
    """Told at once: where it would have been looked for, and what can be given instead."""
    words = hub_words(place, tmp_path / "run", *(["--offline"] if flag else []))
    hub = tmp_path / "hub"
    began = time.monotonic()
    ended = forge.lmc(*words, home=tmp_path, env={**OFFLINE, "HF_HUB_CACHE": str(hub)})
    took = time.monotonic() - began
    assert ended.status == 4 and ended.clean, ended.err
    sentence = ended.err.strip()
    assert len(sentence.splitlines()) == 1
    assert "nobody/no-such-model" in sentence and str(hub) in sentence
    assert "model.safetensors" in sentence  # what a local folder would have to hold
    assert ("offline mode" if flag else "does not answer") in sentence
    assert took < 5.0 + IMPORTS


@pytest.mark.full
def test_f43_own_interpreter(place: Place, tmp_path: Path) -> None:
    words = [*LMC, *map(str, hub_words(place, tmp_path / "run", "--offline"))]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 4 and "Traceback" not in ended.stderr


# --- F50: where it prints to

PRINTERS = (
    ["ls", "tasks"],
    ["ls", "configs"],
    ["--help"],
    ["show", "bert-micro"],
    ["pretrain", "--help"],
)
PLACES = {
    "no terminal": {},
    "no color": {"NO_COLOR": "1"},
    "forty columns": {"COLUMNS": "40"},
    "C locale": {"LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"},
    "dumb terminal": {"TERM": "dumb"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PLACES)
def test_f50_plain_text(tmp_path: Path, name: str) -> None:
    for words in PRINTERS[:3]:
        environment = os.environ | PLACES[name] | {"LMC_RUNS": str(tmp_path)}
        ended = subprocess.run([*LMC, *words], capture_output=True, env=environment, timeout=120)
        out, err = ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")
        assert ended.returncode == 0 and "Traceback" not in err, err
        assert out.strip() and plain(out) and plain(err)


def test_f50_run_and_tables_in_forty_columns(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    narrow = {"COLUMNS": "40", "NO_COLOR": "1", "LC_ALL": "C", "LMC_RUNS": str(tmp_path)}
    run = tmp_path / "run"
    for words in (
        place.transfer("finetune", pretrained.run, run),
        ["compare", run, pretrained.run],
        ["eval", run, "--split", "dev", "--data", place.folder / "glue"],
        ["show", run],
        ["ls", "runs"],
        ["cache", "ls"],
    ):
        ended = forge.lmc(*words, home=tmp_path, env=narrow)
        assert ended.status == 0 and ended.clean, ended.err
        assert ended.out.strip() and plain(ended.out) and plain(ended.err)


def closed_after(words: list[str], lines: int) -> tuple[int, str]:
    """The exit status and stderr of a command whose reader leaves after so many lines."""
    buffered = os.environ | {"PYTHONUNBUFFERED": ""}  # what is left over comes out at the very end
    pipe = subprocess.PIPE
    child = subprocess.Popen([*LMC, *words], stdout=pipe, stderr=pipe, env=buffered)
    assert child.stdout is not None and child.stderr is not None
    for _ in range(lines):
        child.stdout.readline()
    child.stdout.close()
    err = child.stderr.read().decode()
    return child.wait(60), err


@pytest.mark.slow
@pytest.mark.parametrize("lines", [0, 1])
@pytest.mark.parametrize(
    "words",
    [
        ["ls", "configs"],
        ["--help"],
        pytest.param(["show", "bert-micro", "--json"], marks=pytest.mark.full),
    ],
)
def test_f50_reader_leaves(words: list[str], lines: int) -> None:
    status, err = closed_after(words, lines)
    assert status in (0, 141), err
    assert not err


@pytest.mark.slow
def test_f50_head(tmp_path: Path) -> None:
    """As a shell does it."""
    line = f"{' '.join(LMC)} ls tasks | head -1; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    assert ended.returncode in (0, 141) and not ended.stderr
    assert len(ended.stdout.splitlines()) == 1


@pytest.mark.full
def test_f50_on_a_terminal_results_are_plain(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    """A bar may move on stderr; what goes to stdout is for pipes, and JSON is JSON."""
    ours, theirs = pty.openpty()
    words = place.transfer("finetune", pretrained.run, tmp_path / "run", "--json")
    child = subprocess.Popen([*LMC, *map(str, words)], stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    out = child.communicate(timeout=120)[0].decode()
    os.close(ours)
    assert child.returncode == 0
    assert plain(out) and json.loads(out)["task"] == "sst2"
