"""`lmc run-suite`: every task of a suite with one model, a preset each and some seeds, and what all come to."""

import contextlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from lmcompare import averages, files, models, registry, results
from lmcompare import config as configs
from lmcompare.config import Frozen, Table, fingerprint
from lmcompare.errors import DataError, Missing, Skipped, UserError, unknown
from lmcompare.experiments import studies
from lmcompare.experiments.grid import Grid
from lmcompare.experiments.suite_runs import earlier, task_of
from lmcompare.experiments.task_data import data_folder
from lmcompare.report.suite import missing_lines
from lmcompare.results import Record
from lmcompare.tasks import facts
from lmcompare.types import Task

FORMAT = 1
MODES = ("finetune", "features")
MODEL, MNLI = "model", "mnli"
SUMMARY = "suite.json"  # in the suite's folder: what was printed
# What the command's own options say, so that a --set may not.
OPTIONS = {"backend": "--backend", "model": "--model", "seed": "--seeds"}


class Suite(Frozen):
    """A file that names tasks which are told together, and how they count."""

    title: str
    tasks: list[str] = Field(min_length=1)
    preset: str = "{backend}"  # of configs/<mode>, where the command names none
    # Settings of a task's runs; those under a mode's name, [by_task.rte.finetune], are for that mode alone.
    by_task: dict[str, Table] = Field(default_factory=dict)
    from_mnli: list[str] = Field(default_factory=list)  # may start from the suite's own MNLI run
    # By task, the figures whose mean is its score: "metric" or "split.metric"; absent, its first metric.
    counts: dict[str, list[str]] = Field(default_factory=dict)
    averages: dict[str, list[str]] = Field(min_length=1)  # by name: the tasks that each leaves out


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says."""

    suite: str
    backend: str
    mode: str
    model: str
    seeds: int
    config: str = ""
    assignments: tuple[str, ...] = ()
    from_mnli: bool = False


def run_suite(
    asked: Asked,
    *,
    data: Path | None = None,
    out: Path | None = None,
    jobs: int | None = None,
    force: bool = False,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Make what is missing of the suite's runs, and sum all of them up. A task without data is named, and left out."""
    if asked.mode not in MODES:
        raise UserError(unknown("mode", asked.mode, MODES, "--mode"))
    suite, own, said = read(asked.suite, asked.assignments)
    registry.backends.get(asked.backend, "--backend")
    settings = {task: settings_of(suite, asked.mode, task, own, said) for task in suite.tasks}
    found = {task: look(task, settings[task], data) for task in suite.tasks}
    missing = {task: why for task, why in found.items() if isinstance(why, str)}
    there = {task: told for task, told in found.items() if isinstance(told, Task)}
    if not there:
        raise DataError(f"suite {asked.suite}: none of its tasks is here; {next(iter(missing.values()))}")
    studies.check(plan(asked, suite, {task: settings[task] for task in there}, missing))
    models.find(asked.model)  # one mistake, and not one a run
    for line in missing_lines([{"task": task, "reason": why} for task, why in missing.items()]):
        note(line)
    notes = []
    for task in there:
        settings[task], told = at_most(task, settings[task], data)
        notes += told
    study = plan(asked, suite, {task: settings[task] for task in there}, missing)
    folder = out or results.root() / name_of(asked, own)
    grid = Grid(study, folder, note=note, at_once=jobs, data=data, force=force, keep=True)
    made = [record for _, record in grid.run()]
    whole = configs.parse(Suite, configs.read_table(asked.suite, "suites"), f"suite {asked.suite}").tasks
    order = [*dict.fromkeys([*whole, *suite.tasks])]
    older, left = earlier(folder, study.arms[0].name, made, order)
    records = sorted([*made, *older], key=lambda r: (order.index(task_of(r)), r.config["seed"]))
    table = facts_of(asked, suite, study, folder, records)
    table |= summary(suite, whole, records, missing, [*notes, *left])
    files.write_json(folder / SUMMARY, table)
    return table


def read(name: str, assignments: tuple[str, ...]) -> tuple[Suite, Table, Table]:
    """The suite as it was asked for; what every --set says to all of its runs; and what it says to single tasks'."""
    given = configs.assign({}, assignments)
    for key, option in OPTIONS.items():
        if key in given:
            raise UserError(f"--set {key}: {option} says it here")
    if "name" in given.get("task", {}):
        raise UserError("--set task.name: a suite names its tasks; --set 'tasks=[...]' takes some of them")
    said = dotted(given.pop("by_task", {}))
    of_suite = {key: given.pop(key) for key in list(given) if key in Suite.model_fields}
    table = configs.merge(configs.read_table(name, "suites"), of_suite, "--set")
    suite = configs.parse(Suite, table, f"suite {name}")
    for task in (*suite.tasks, *suite.by_task, *suite.counts, *suite.from_mnli, *said):
        registry.tasks.get(task, f"suite {name}")
    return suite, given, said


def dotted(by_task: Table) -> Table:
    """By name, where a name has a dot: of `by_task.micro.sense.length` two parts are the task's."""
    known, found = registry.tasks.names(), Table()
    for key, value in by_task.items():
        inside = key not in known and any(name.startswith(f"{key}.") for name in known)
        found |= {f"{key}.{rest}": own for rest, own in value.items()} if inside else {key: value}
    return found


def settings_of(suite: Suite, mode: str, task: str, own: Table, said: Table) -> Table:
    """What a task's runs have otherwise than the preset: the suite's word, then every --set, then a --set by_task."""
    table: Table = {}
    layers = (suite.by_task.get(task, {}), own, said.get(task, {}))
    for layer in layers:
        for part in (layer.get(mode, {}), {k: v for k, v in layer.items() if k not in MODES}):
            table = configs.merge(table, part, f"by_task.{task}")
    return table


def look(task: str, settings: Table, data: Path | None) -> Task | str:
    """The task, if there is something to learn from and to be judged by; else the reason why not."""
    try:
        found = registry.tasks.build({"name": task, **settings.get("task", {})}, data_folder(data))
    except Missing:
        where = data_folder(data)
        place = f"none in {where}," if where else "no data folder is set (--data or LMC_DATA), and it is not"
        return f"{place} on the hub or in its cache; `lmc show {task}` says which files would do"
    except DataError as error:
        return str(error)
    absent = [split for split in ("train", "dev") if split not in found.splits]
    return f"no {' and no '.join(absent)} split in {found.source}" if absent else found


def at_most(task: str, settings: Table, data: Path | None) -> tuple[Table, list[str]]:
    """In a suite `examples` is the most that a task learns from: a smaller one learns from all that it has."""
    wanted = settings.get("examples")
    if not isinstance(wanted, int):
        return settings, []
    spec = {"name": task, **settings.get("task", {})}
    if "limit" in registry.settings(registry.tasks.get(task)):  # no more rows than are to be counted
        spec["limit"] = min(wanted, spec.get("limit") or wanted)
    with warnings.catch_warnings(), contextlib.suppress(DataError):  # its runs say what is wrong with it
        warnings.simplefilter("ignore", Skipped)
        train = len(registry.tasks.build(spec, data_folder(data)).load("train"))
        if train < wanted:
            left = {key: value for key, value in settings.items() if key != "examples"}
            return left, [f"{task} has {train:,} training examples, and learns from all of them"]
    return settings, []


def plan(
    asked: Asked, suite: Suite, settings: Mapping[str, Table], missing: Mapping[str, str]
) -> studies.Study:
    """The suite as a study of one arm."""
    starts = {task: MNLI for task in suite.from_mnli if task in settings} if asked.from_mnli else {}
    if asked.from_mnli:
        check_mnli(asked, suite, settings, missing)
    preset = asked.config or suite.preset.replace("{backend}", asked.backend)
    configs.read_table(preset, asked.mode)
    arm = studies.Arm(name=f"{asked.backend} {asked.mode}", mode=asked.mode, model=MODEL, config=preset)
    return studies.Study(
        title=suite.title,
        tasks=list(settings),
        seeds=list(range(1, asked.seeds + 1)),
        models={MODEL: studies.Model(backend=asked.backend, model=asked.model)},
        arms=[arm],
        by_task=dict(settings),
        starts=starts,
    )


def check_mnli(asked: Asked, suite: Suite, settings: Mapping[str, Table], missing: Mapping[str, str]) -> None:
    """Whether anything can start from an MNLI run of the suite's own."""
    if asked.mode != "finetune":
        raise UserError("--from-mnli: frozen features leave the encoder as it was; it needs --mode finetune")
    if not suite.from_mnli:
        raise UserError(f"--from-mnli: suite {asked.suite} has no task that may start from MNLI")
    if MNLI in missing:
        raise DataError(f"--from-mnli: there is no MNLI to start from: {missing[MNLI]}")
    if MNLI not in settings:
        raise UserError("--from-mnli: mnli must be one of the tasks")


def name_of(asked: Asked, own: Table) -> str:
    """The suite's folder: one for each way to use each model. Calls for other seeds and tasks add to it."""
    stem = f"{Path(asked.suite).stem}-{asked.mode}-{asked.backend}{'-from-mnli' * asked.from_mnli}"
    alike = {"suite": asked.suite, "model": asked.model, "config": asked.config, "set": own}
    return f"{stem}-{fingerprint(alike)}"


def facts_of(
    asked: Asked, suite: Suite, study: studies.Study, folder: Path, records: list[Record]
) -> dict[str, Any]:
    tasks = dict.fromkeys(map(task_of, records))
    before = files.read_json(folder / SUMMARY).get("by_task", {}) if (folder / SUMMARY).is_file() else {}
    return {
        "format": FORMAT,
        "suite": Path(asked.suite).stem,
        "title": study.title,
        "backend": asked.backend,
        "mode": asked.mode,
        "model": asked.model,
        "weights": records[0].config.get("weights", "pretrained"),
        "config": study.arms[0].config,
        "by_task": {
            task: known for task in tasks if (known := study.by_task.get(task, before.get(task))) is not None
        },
        "seeds": sorted({record.config["seed"] for record in records}),
        "from_mnli": [task for task in suite.from_mnli if asked.from_mnli and task in tasks],
        "folder": str(folder),
    }


def summary(
    suite: Suite, whole: list[str], records: list[Record], missing: Mapping[str, str], notes: list[str]
) -> dict[str, Any]:
    """Scores and averages. `whole`: the tasks that the suite has, whichever of them were asked for."""
    by_task: dict[str, list[Record]] = {}
    for record in records:
        by_task.setdefault(task_of(record), []).append(record)
    missing = {task: why for task, why in missing.items() if task not in by_task}
    scores = [averages.task_score(task, by_task[task], suite.counts.get(task, [])) for task in by_task]
    short = {task: [f"{task} is missing"] for task in missing}
    short |= {task: ["not asked for: " + task] for task in whole if task not in {*suite.tasks, *by_task}}
    for score in scores:
        short[score.task] = parts(score, by_task[score.task])
        if score.start:
            notes = [*notes, f"{score.task} starts from a model that was taught {' and '.join(score.start)}"]
    counted = [*dict.fromkeys([*whole, *suite.tasks])]
    found = [
        averages.average(name, scores, counted=[t for t in counted if t not in left], short=short)
        for name, left in suite.averages.items()
    ]
    lost = [record for record in records if record.result is None]
    return {
        "tasks": [asdict(score) for score in scores],
        "averages": [asdict(average) for average in found],
        "missing": [{"task": task, "reason": why} for task, why in missing.items()],
        "failed": [failed(record) for record in lost],
        "runs": [record.run for record in records],
        "notes": notes,
    }


def parts(score: averages.TaskScore, records: list[Record]) -> list[str]:
    """Where a figure that counts is not over the split as it was published."""
    official, found = facts.of(score.task).splits, dict[str, None]()
    splits = dict.fromkeys(name.rpartition(".")[0] or score.split or "" for name in score.figures)
    for result in (record.result for record in records if record.result):
        for split in splits:
            size, whole = result["examples"].get(split), official.get(split)
            state = result.get("data_state", {}).get(split)
            if whole is not None and size != whole:
                found[f"{score.task}: {size:,} {split} examples, not the official {whole:,}"] = None
            elif state in ("relabelled", "other"):
                found[f"{score.task}: {split} is not as it was published ({state})"] = None
    return list(found)


def failed(record: Record) -> dict[str, Any]:
    return {
        "run": record.run,
        "task": task_of(record),
        "seed": record.config["seed"],
        "reason": (record.failure or {}).get("reason") or "no reason is on record",
    }
