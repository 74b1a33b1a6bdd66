"""`lmc finetune` with several tasks: one encoder learns them all, each step from a batch of one (Liu et al. 2019).

The run keeps the encoder; in its folder `tasks` every task has a run folder of its own, with its head, its answers and
its result, which compares with a run on that task alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from lmcompare import device, files, lineage, results, signals
from lmcompare.checkpoints import State
from lmcompare.config import Multitask, Transfer, dump
from lmcompare.errors import UserError
from lmcompare.experiments import transfer as single
from lmcompare.experiments.pretrain import parameters
from lmcompare.experiments.task_data import TaskData, read_task
from lmcompare.models import PARTS
from lmcompare.progress import Progress
from lmcompare.results import Run
from lmcompare.training import Loop
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.learner import TaskLearner
from lmcompare.transfer.several import MEAN, Several, name

# What a task's result and that of the whole run say alike, and what the latter says task by task.
ALIKE = ("kind", "backend", "model", "weights", "transfer_layers", "seed", "steps", "best_step", "stopped", "tokens",
         "device", "threads", "lineage", "model_hash", "start_hash")  # fmt: skip
BY_TASK = ("examples", "truncated", "data_hash", "data_source")

Result = dict[str, Any]


@dataclass(frozen=True)
class One:
    """One of the tasks: what a run on it alone would be, its data, and what learns it."""

    config: Transfer
    found: TaskData
    learner: TaskLearner
    datasets: dict[str, Dataset]


def multitask(
    config: Multitask,
    *,
    progress: Progress,
    out: Path | None = None,
    data: Path | None = None,
    force: bool = False,
    allow_change: bool = False,
) -> Result:
    """The main path. Returns the run's result; a finished run is read back, not made again."""
    machine = device.machine(config.training.precision)
    progress = progress if machine.main else Progress()
    found = [read_task(table, data).few(config.examples) for table in config.tasks]
    check(config, [one.task.name for one in found])
    backend, begun = single.load_start(config.alone(0))
    if why := getattr(backend, "frozen", ""):
        raise UserError(f"{config.backend}: {why}")
    hashes = {one.task.name: one.hash for one in found}
    identity = {"kind": config.kind, "config": dump(config), "data": hashes, "model": backend.fingerprint}
    path = results.place(out, stem(config, list(hashes)), identity)
    if not force and (done := results.done(path, identity)):
        return done
    # What cannot be built leaves no folder behind.
    history = lineage.before(dump(config))
    learners = [TaskLearner(backend, one.task, config.transfer) for one in found]
    for learner in learners:
        learner.draw(config.seed)
    several = Several(learners, mixing=config.mixing)
    with (
        signals.watched(),
        results.opened(path, identity, force=force, allow_change=allow_change, main=machine.main) as run,
    ):
        changed = run.machine(machine.world, machine.threads, str(machine.device))
        noted = [sentence for one in found for sentence in one.warnings]
        for sentence in [*changed, *noted, *backend.warnings]:
            run.warn(sentence)
            progress.note(sentence)
        several.to(machine.device)
        tasks = prepare(config, backend, found, learners)
        loop = Loop(
            several,
            config.training,
            run=run,
            machine=machine,
            optimizer=config.optimizer,
            schedule=config.schedule,
            seed=config.order_seed,
            evaluate=lambda: held_out(tasks, machine),
            progress=progress,
        )
        state = loop.fit()
        loop.load_best()
        if not machine.main:
            return {}
        keep(run, backend, [*history, lineage.step(dump(config), run.name)])
        starts = {"model_hash": identity["model"], "start_hash": begun}
        facts = {"kind": config.kind, "lineage": history, **starts}
        parts = [part(run, one, backend, machine, state, facts, together=list(hashes)) for one in tasks]
        run.meter.beside = sum(files.size(run.path / PARTS / one["task"] / "model") for one in parts)
        return run.finish(told(config, several, parts))


def check(config: Multitask, names: list[str]) -> None:
    """Whether these tasks can share an encoder, and be told apart."""
    if config.transfer["name"] != "finetune":
        raise UserError(
            f"several tasks share an encoder that they train; {config.transfer['name']} trains none"
        )
    if twice := sorted({task for task in names if names.count(task) > 1}):
        raise UserError(f"--task {twice[0]} is given twice; name every task once")


def stem(config: Multitask, names: list[str]) -> str:
    start = "-random" if config.weights == "random" else ""
    return f"{config.kind}-{config.backend}{start}-{'+'.join(names)}-s{config.seed}"


def prepare(config: Multitask, backend: Any, found: list[TaskData], learners: list[TaskLearner]) -> list[One]:
    """Every task's splits as the backend formats them; its learner is told what it learns from."""
    tasks = []
    for number, (data, learner) in enumerate(zip(found, learners, strict=True)):
        datasets = single.prepare(config, backend, data)
        learner.learn_from(datasets["train"])
        tasks.append(One(config.alone(number), data, learner, datasets))
    return tasks


def held_out(tasks: Sequence[One], machine: device.Machine) -> dict[str, float | None]:
    """Every task's figures, and the mean of their first ones, by which the best step is chosen. Where one of these is
    undefined, so is the mean: a step without a mean is never chosen over one that has it."""
    figures: dict[str, float | None] = {}
    for one in tasks:
        metrics = single.held_out(one.learner, one.datasets["dev"], machine)
        figures |= {name(one.found.task.name, metric): value for metric, value in metrics.items()}
    return {MEAN: mean([figures.get(name(t.found.task.name, t.learner.metric)) for t in tasks]), **figures}


def mean(values: Sequence[float | None]) -> float | None:
    """None where a value is missing: no mean is silent about standing on fewer tasks."""
    there = [value for value in values if value is not None]
    return fmean(there) if len(there) == len(values) else None


def part(
    run: Run,
    one: One,
    backend: Any,
    machine: device.Machine,
    state: State,
    facts: Result,
    *,
    together: list[str],
) -> Result:
    """A task's own run folder, as a run on it alone would leave it, but for the encoder, which the whole run keeps.
    Its time is that of the whole run: so long it took to have these answers."""
    task, hashed = one.found.task, one.found.hash
    identity = {
        "kind": facts["kind"],
        "config": dump(one.config),
        "data": hashed,
        "model": facts["model_hash"],
    }
    with results.opened(run.path / PARTS / task.name, identity, force=True) as own:
        own.attempt, own.started = run.attempt, run.started - earlier(run)
        own.meter = run.meter
        own.meter.beside = files.size(run.model)
        for sentence in run.warnings:
            own.warn(sentence)
        for row in of_task(results.read_lines(run.path / "log.jsonl"), one.learner):
            own.log(row)
        if task.unanswerable:
            dev = single.answers_to(one.learner, one.datasets["dev"], machine)
            one.learner.head.settle(dev)
        figures = single.answer(one.learner, one.found, one.datasets, own, machine)
        single.keep(own, backend, one.learner, trained=None)
        others = [other for other in together if other != task.name]
        said = single.told(one.config, backend, one.learner, machine, state)
        return own.finish(figures | said | facts | {"data_hash": hashed, "together": others})


def keep(run: Run, backend: Any, trained: list[lineage.Step]) -> None:
    """run/model: the encoder of all the tasks, and what it was trained on by now."""
    with files.new_folder(run.model, {"run": run.name}) as folder:
        backend.save(folder)
        lineage.write(folder, trained)


def earlier(run: Run) -> float:
    """Seconds that the attempts before this one took."""
    return sum(event.get("seconds", 0.0) for event in results.read_lines(run.path / "events.jsonl"))


def of_task(rows: Iterable[Result], learner: TaskLearner) -> Iterator[Result]:
    """Of the whole run's log what is about one of its tasks, as a run on that alone would have written it."""
    task = learner.task.name
    for row in rows:
        if "split" in row:
            metrics = {m: row["metrics"].get(name(task, m)) for m in learner.task.metrics}
            yield row | {"metrics": metrics}
        elif row.get("losses", {}).get(task):  # a step of this task
            yield row | {"losses": {key: row["losses"][name(task, key)] for key in learner.weights}}


def told(config: Multitask, several: Several, parts: Sequence[Result]) -> Result:
    """What the result says of all the tasks together; each one's own says the rest."""
    value = mean([one["primary"]["value"] for one in parts])
    splits = "+".join(sorted({one["primary"]["split"] for one in parts}))
    metrics, undefined = merged(parts, "metrics"), merged(parts, "undefined")
    for split in metrics:
        if all(split in one["metrics"] for one in parts):
            firsts = [one["metrics"][split][one["primary"]["metric"]] for one in parts]
            metrics[split] = {MEAN: mean(firsts), **metrics[split]}
            if None in firsts:
                undefined.setdefault(split, {})[MEAN] = "not every task has a value"
    return {
        **{key: parts[0][key] for key in ALIKE},
        "tasks": [one["task"] for one in parts],
        "mixing": config.mixing,
        "primary": {"metric": MEAN, "split": splits, "value": value},
        "metrics": metrics,
        "undefined": undefined,
        "parameters": {"total": parameters(several), "trained": parameters(several, trained=True)},
        **{key: {one["task"]: one[key] for one in parts} for key in BY_TASK},
    }


def merged(parts: Sequence[Result], key: str) -> Result:
    """The figures of all tasks by split, under names that say whose they are."""
    splits = dict.fromkeys(split for one in parts for split in one[key])
    return {
        split: {name(one["task"], m): v for one in parts for m, v in one[key].get(split, {}).items()}
        for split in splits
    }
