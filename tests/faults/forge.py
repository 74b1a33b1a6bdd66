"""Starts `lmc` in children forked from a server that has the heavy imports behind it, so that a trial costs a second
and not five; a child is killed by a real SIGKILL, and may be told beforehand to trip over itself at a chosen place."""

import errno
import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRELOAD = [
    "pytest",
    "torch._dynamo",
    "typer.testing",
    "sklearn.metrics",
    "safetensors.torch",
    "lmcompare.cli",
    "lmcompare.report.text",
    "lmcompare.report.page",
    "lmcompare.experiments.jobs",
    "lmcompare.experiments.compare",
    "lmcompare.experiments.evaluate",
    "lmcompare.backends.bert",
    "lmcompare.objectives.mlm_nsp",
    "lmcompare.optimizers.adamw",
    "lmcompare.transfer.features",
    "lmcompare.transfer.finetune",
    "lmcompare.readers.bilstm",
    "lmcompare.text.wordpiece",
    "lmcompare.tasks.glue",
]
PATIENCE = 120.0  # seconds after which a child counts as hanging
UNLIKE = ("run", "seconds", "attempts", "warnings", "peak_memory_mb", "cost")  # what two runs may differ in
Setup = Callable[[], None]


@dataclass(frozen=True)
class Ended:
    """How a child ended, and what it said."""

    status: int
    out: str
    err: str

    @property
    def clean(self) -> bool:
        return "Traceback" not in self.err and "\x1b" not in self.err + self.out


class Child:
    """A running `lmc`."""

    def __init__(self, process: Any, folder: Path) -> None:
        self.process, self.folder, self.began = process, folder, time.monotonic()

    def kill(self, number: int = signal.SIGKILL) -> bool:
        """Whether it was still alive to be killed."""
        alive = self.process.is_alive()
        if alive:
            os.kill(self.process.pid, number)
        return alive

    def wait(self, patience: float = PATIENCE) -> Ended:
        self.process.join(patience)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            raise AssertionError(f"hangs after {patience:g} s: {self.said('err')[-2000:]}")
        return Ended(self.process.exitcode, self.said("out"), self.said("err"))

    def said(self, stream: str) -> str:
        return (self.folder / stream).read_text(encoding="utf-8", errors="replace")


def start(
    *arguments: Any, home: Path, setup: Setup | None = None, env: Mapping[str, str] | None = None
) -> Child:
    """`lmc ARGUMENTS` with its runs and cache under `home`; `setup` is called in the child before."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    folder = home / "said" / f"{random.SystemRandom().getrandbits(48):012x}"
    folder.mkdir(parents=True)
    places = {"LMC_RUNS": str(home / "runs"), "LMC_CACHE": str(home / "cache")}
    environment = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **places, **(env or {})}
    words = [str(argument) for argument in arguments]
    process = context.Process(target=_child, args=(words, environment, folder, setup))
    process.start()
    return Child(process, folder)


def lmc(*arguments: Any, home: Path, **more: Any) -> Ended:
    """Start and wait."""
    return start(*arguments, home=home, **more).wait()


def _child(words: list[str], environment: dict[str, str], folder: Path, setup: Any) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    for number, name in ((1, "out"), (2, "err")):
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    sys.argv = ["lmc", *words]
    import torch

    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    if setup is not None:
        setup()
    from lmcompare.cli import main

    main()


def outcome(run: Path) -> dict[str, Any]:
    """Everything of a finished run that must not depend on how often it was interrupted."""
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    kept = [*run.glob("model/*.safetensors"), run / "log.jsonl", *run.glob("predictions-*.jsonl")]
    facts: dict[str, Any] = {p.relative_to(run).as_posix(): sha256(p) for p in sorted(kept)}
    return facts | {"result": {k: v for k, v in result.items() if k not in UNLIKE}}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rows(run: Path, name: str = "log.jsonl") -> list[dict[str, Any]]:
    """Every line must be whole JSON."""
    return [json.loads(text) for text in (run / name).read_text(encoding="utf-8").splitlines()]


def no_gap(run: Path, steps: int) -> None:
    """Each step stands in the log once, in order, and so does each evaluation."""
    log = rows(run)
    assert [row["step"] for row in log if "split" not in row] == list(range(1, steps + 1))
    evaluated = [row["step"] for row in log if "split" in row]
    assert evaluated == sorted(set(evaluated))


def events(run: Path, event: str) -> list[dict[str, Any]]:
    return [row for row in rows(run, "events.jsonl") if row["event"] == event]


def partials(folder: Path) -> list[str]:
    """What a writer left half-done."""
    return [p.name for p in folder.rglob("*") if p.name.endswith((".tmp", ".old"))]


def no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
