"""A few steps of a run, to know how long all of it would take on this machine: the real thing, in folders that are
thrown away, stopped as soon as enough has been seen of it."""

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmcompare import config as configs
from lmcompare import files
from lmcompare.config import Table, Training
from lmcompare.experiments import studies
from lmcompare.experiments.baseline import baseline
from lmcompare.experiments.pretrain import pretrain
from lmcompare.experiments.task_data import read_task
from lmcompare.experiments.transfer import transfer
from lmcompare.progress import Progress

STEPS = 8  # of the optimizer that are timed
EVALUATED = 3  # after which of them the development set is answered once
DOCUMENTS = 600  # of the embedded world, on which a model that is not there yet is sampled
BUDGETS = ("steps", "tokens", "minutes", "epochs")


class Enough(Exception):
    """Nothing is wrong: what was to be timed has been."""


@dataclass
class Stopwatch(Progress):
    """Notes when each step ended, and how long an evaluation took."""

    steps: int
    began: float = field(default_factory=time.monotonic)
    total: int = 0
    ready: float | None = None  # seconds until the first step
    marks: list[tuple[float, int]] = field(default_factory=list)  # when, and how much of the budget was used
    tokens: int = 0
    evaluation: float | None = None
    asked: float = 0.0

    def start(self, total: int, done: int = 0) -> None:
        self.total, self.ready = total, time.monotonic() - self.began
        if not self.steps:
            raise Enough

    def update(self, done: int, *, loss: float | None = None, tokens: int = 0) -> None:
        self.marks.append((time.monotonic(), done))
        self.tokens += tokens
        if len(self.marks) > self.steps:
            raise Enough

    def note(self, text: str) -> None:
        if text.startswith("evaluating at step"):
            self.asked = time.monotonic()
        elif text.startswith("step ") and self.asked:
            self.evaluation = time.monotonic() - self.asked
            self.asked = 0.0

    def each(self) -> float | None:
        """Seconds a step; the first, in which much is done for the first time, is left out."""
        if len(self.marks) < 3:
            return None
        passed = self.marks[-1][0] - self.marks[0][0]
        return max(0.0, passed - (self.evaluation or 0.0)) / (len(self.marks) - 1)

    def unit(self) -> float:
        """How much of the budget a step uses."""
        return max(1e-9, (self.marks[-1][1] - self.marks[0][1]) / (len(self.marks) - 1))


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Within this block time is short."""

    def over(*_: Any) -> None:
        raise Enough

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with contextlib.suppress(Enough):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def sample(job: Table) -> Table:
    """Seconds that the run would take (None where too little of it was seen), and what it would leave on the disk."""
    os.environ["LMC_RUNS"] = job["runs"]
    data = Path(job["data"]) if job["data"] else None
    if job["kind"] == "pretrain":
        return of_pretraining(job)
    # Its own, so that it can be told what it leaves there.
    cache = Path(os.environ.get("LMC_CACHE") or job["runs"])
    own = {"LMC_RUNS": Path(job["runs"]) / f"of-{job['key']}", "LMC_CACHE": cache / f"of-{job['key']}"}
    os.environ.update({name: str(path) for name, path in own.items()})
    if job["kind"] == "baseline":
        began, ended = time.monotonic(), None
        with at_most(job["seconds"]):
            baseline(studies.settings(job), progress=Progress(), data=data)
            ended = time.monotonic()
        told: Table = {"seconds": ended - began if ended else None}
    else:
        told = of_transfer(studies.settings(job), job["seconds"], data)
    if told["seconds"] is None:
        return told
    sizes = {name: files.size(path) if path.is_dir() else 0 for name, path in own.items()}
    return told | {"disk": sizes["LMC_RUNS"], "cache": sizes["LMC_CACHE"]}


def of_transfer(config: configs.Transfer, seconds: float, data: Path | None) -> Table:
    watch, sizes = Stopwatch(STEPS), dict[str, int]()
    short = config.training.model_copy(update={"eval_every": EVALUATED})
    with at_most(seconds):
        sizes |= {str(k): v for k, v in read_task(config.task, data).few(config.examples).sizes.items()}
        watch.began = time.monotonic()  # it is read once more
        transfer(config.model_copy(update={"training": short}), progress=watch, data=data)
    each = watch.each()
    if each is None or watch.ready is None:
        return {"seconds": None}
    if watch.total <= len(watch.marks):  # it is over as soon as that
        return {"seconds": time.monotonic() - watch.began}
    steps = watch.total / watch.unit()
    often = evaluations(config.training, steps, sizes["train"])
    last = sum(size for split, size in sizes.items() if split != "train") / max(1, sizes.get("dev", 0))
    told = (often + last) * watch.evaluation if watch.evaluation is not None else 0.0
    return {"seconds": watch.ready + steps * each + told, "evaluated": watch.evaluation is not None}


def evaluations(training: Training, steps: float, examples: int) -> float:
    every = training.eval_every or math.ceil(examples / training.batch)
    return max(1.0, steps / every)


def of_pretraining(job: Table) -> Table:
    """A few steps on the embedded world, whatever its corpus: the text's preparation counts only where it is that."""
    config = studies.settings(job)
    part, whole = config.parts()[0], config.training
    ours = config.corpus.path == "micro"
    many = min(DOCUMENTS, config.corpus.documents) if ours else DOCUMENTS
    corpus = config.corpus.model_copy(update={"path": "micro", "documents": many, "workers": 1})
    short = part.training.model_copy(
        update={**dict.fromkeys(BUDGETS), "steps": STEPS, "eval_every": STEPS, "checkpoint_every": None}
    )
    over = {"corpus": corpus, "training": short, "phases": ()}
    few = over | {"corpus": corpus.model_copy(update={"documents": many // 4})}
    first, watch, result = Stopwatch(0), Stopwatch(STEPS + 1), Table()
    with at_most(job["seconds"]):
        with contextlib.suppress(Enough):
            pretrain(part.model_copy(update=few), progress=first)
        watch.began = time.monotonic()
        result |= pretrain(part.model_copy(update=over), progress=watch)
    each = watch.each()
    told: Table = {"seconds": None}
    if result:
        folder = Path(job["runs"]) / result["run"]
        told |= {"run": str(folder), "disk": files.size(folder)}
    if each is None or not result or config.phases:
        return told
    times = config.corpus.documents / many if ours else 1.0
    steps = steps_of(whole, watch, result["examples"]["train"] * times)
    often = evaluations(whole, steps, round(result["examples"]["train"] * times))
    prepared = preparation(first, watch, many - many // 4, config.corpus.documents) if ours else 0.0
    seconds = prepared + steps * each + often * (watch.evaluation or 0.0) * times
    if whole.minutes:
        seconds = prepared + 60 * whole.minutes
    return told | {"seconds": seconds, "prepared": ours}


def preparation(first: Stopwatch, second: Stopwatch, more: int, documents: int) -> float:
    """Seconds until the first step: in proportion to the text, but for what any text needs."""
    short, long = first.ready or 0.0, second.ready or 0.0
    return long + max(0.0, long - short) / max(1, more) * max(0, documents - more)


def steps_of(training: Training, watch: Stopwatch, examples: float) -> float:
    if training.steps:
        return training.steps
    if training.tokens:
        return training.tokens / max(1.0, watch.tokens / len(watch.marks))
    return (training.epochs or 1.0) * examples / training.batch
