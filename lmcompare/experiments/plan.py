"""`lmc compare STUDY --dry-run`: which runs there are, which would be made, how long that would take on this machine
and what it would leave on the disk. Nothing is made; what cannot be told is not guessed."""

import socket
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lmcompare import config as configs
from lmcompare import files, results, workers
from lmcompare.config import OPERATIONAL, Table, fingerprint, flatten
from lmcompare.executors.here import Here
from lmcompare.executors.pools import HEAVY, Pool
from lmcompare.experiments import studies
from lmcompare.experiments.grid import Grid, Job
from lmcompare.experiments.ledger import known as known_in

FORMAT = 1
SAMPLE = "lmcompare.experiments.sampling:sample"
# Seconds: for a run, for a model, and after which none begins.
PATIENCE, PATIENCE_MODEL, BUDGET = 8.0, 20.0, 15.0
RECORD, MEASURED = "runs on record", "measured"
LIKE, TWIN = "as its other tasks", "as another arm that learns as long"


@dataclass
class Row:
    """An arm on a task: how many runs, and of one of them the seconds and the bytes, with what they stand on."""

    arm: str
    task: str | None
    runs: int = 0
    there: int = 0
    seconds: float | None = None
    evidence: str | None = None
    count: int = 0  # runs on record
    disk: int | None = None  # with its part of a cache that the row's runs share
    jobs: list[Job] = field(default_factory=list)  # that are missing

    def told(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "jobs"}


def plan(grid: Grid) -> dict[str, Any]:
    """The study's runs by arm and task, as plain JSON."""
    studies.check(grid.study)
    studies.check_models(grid.study)
    rows = laid_out(grid)
    missing = [row for row in rows if row.jobs]
    from_record(grid, missing)
    asked = [row for row in missing if row.seconds is None]
    if asked:
        measure(grid, asked, {row.arm for row in missing if row.task is None})
    at_once = places(grid)
    return {
        "format": FORMAT,
        "study": grid.study.title,
        "folder": str(grid.folder),
        "at_once": at_once,
        "runs": sum(row.runs for row in rows),
        "there": sum(row.there for row in rows),
        "missing": sum(len(row.jobs) for row in rows),
        "seconds": whole(missing, at_once),
        "disk": total([(len(row.jobs), row.disk) for row in missing]),
        "rows": [row.told() for row in rows],
        "unknown_seconds": [name(row) for row in missing if row.seconds is None],
        "unknown_disk": [name(row) for row in missing if row.disk is None],
    }


def laid_out(grid: Grid) -> list[Row]:
    """Every run of the study in the row of its arm and task, by whether it is there."""
    rows: dict[tuple[str, str | None], Row] = {}
    known, paths = known_in(grid.folder), dict[str, str]()

    def enter(job: Job, path: Path | None) -> None:
        row = rows.setdefault((job["arm"], job.get("task")), Row(job["arm"], job.get("task")))
        row.runs += 1
        row.there += path is not None
        row.jobs += [] if path else [job]

    def found(job: Job) -> Path | None:
        entry, share = grid.names(job)
        return grid.there(known.get(entry), share)

    models = grid.models()
    for key, job in models.items():
        path = found(job)
        enter(job, path)
        if path:
            paths[key] = str(path)
    runs = grid.runs(paths)
    places = {(job["arm"], job["task"], job["seed"], job.get("data_seed")): job for job in runs.values()}
    for job in runs.values():
        needs = grid.model_of(job)
        if needs in models and needs not in paths:
            enter(job, None)
        elif job["kind"] == "transfer" and job["task"] in grid.study.starts:
            first = found(
                places[job["arm"], grid.study.starts[job["task"]], job["seed"], job.get("data_seed")]
            )
            then = {**job, "config": {**job["config"], "model": str(first)}}
            enter(job, found(then) if first else None)
        else:
            enter(job, found(job))
    return list(rows.values())


def from_record(grid: Grid, rows: list[Row]) -> None:
    """What runs that were made here in the same way have taken: the best evidence."""
    seen: dict[str, list[tuple[float, int]]] = {}
    for like, seconds, size in recorded(grid.claims):
        seen.setdefault(like, []).append((seconds, size))
    for row in rows:
        if found := seen.get(alike(grid, row.jobs[0]), []):
            row.count, row.evidence = len(found), RECORD
            row.seconds = sum(seconds for seconds, _ in found) / len(found)
            row.disk = round(sum(size for _, size in found) / len(found))


def recorded(root: Path) -> Iterator[tuple[str, float, int]]:
    """By what they are like, the finished runs of this machine in and below a folder."""
    for path in sorted([*root.glob("*/result.json"), *root.glob("*/*/result.json")]):
        folder = path.parent
        try:
            config, result = files.read_json(folder / "run.json")["config"], files.read_json(path)
            starts = [e for e in results.read_lines(folder / "events.jsonl") if e["event"] == "start"]
        except (OSError, ValueError, KeyError):
            continue  # the comparison itself names it
        here = starts and starts[-1].get("host") == socket.gethostname()
        if here and ("task" in config or "corpus" in config):
            yield likeness(config, model_of(config)), result["seconds"], files.size(folder)


def model_of(config: Table) -> str:
    """What a run's model is like: a pretraining of ours by how it was made, any other by its name."""
    run = Path(config.get("model") or "") / "run.json"
    return likeness(files.read_json(run)["config"], "") if config.get("model") and run.is_file() else ""


def alike(grid: Grid, job: Job) -> str:
    """The same for a run that is not there, whose model may not be there either."""
    config = configs.dump(studies.settings(job))
    model = grid.models().get(grid.model_of(job)) if job["kind"] == "transfer" else None
    if model is None:
        return likeness(config, model_of(config))
    return likeness(config, likeness(configs.dump(configs.resolve(configs.Pretrain, model["config"])), ""))


def likeness(config: Table, model: str) -> str:
    """What a run's config is but for its seeds, and but for where its model lies, if that is one of ours."""
    left = ("seed", "data_seed", *OPERATIONAL, *(("model",) if model else ()))
    # A pretraining's vocabulary is told by the corpus and its size.
    flat = {k: v for k, v in flatten(config).items() if k not in left and k.partition(".")[0] != "tokenizer"}
    return fingerprint({**flat, "start": model})


def measure(grid: Grid, rows: list[Row], unmade: set[str]) -> None:
    """A few steps of what no run on record tells of: each arm on one of its tasks, and more while there is time."""
    began = list[float]()
    with tempfile.TemporaryDirectory(prefix="lmc-plan-") as folder:
        ready, later = list[Job](), list[Job]()
        for turn, number in enumerate(turns(rows)):
            job = rows[number].jobs[0]
            needed = grid.model_of(job) if job["kind"] == "transfer" else ""
            short = asked(grid, job, folder, PATIENCE) | {"key": number, "needs": needed, "turn": turn}
            if job["kind"] != "pretrain":
                (later if f"pretraining {needed}" in unmade else ready).append(short)
        wanted = {job["needs"] for job in later} | {row.arm.partition(" ")[2] for row in rows if not row.task}
        models = [
            asked(grid, job, folder, PATIENCE_MODEL) | {"key": key, "turn": 0}
            for key, job in grid.models().items()
            if key in wanted
        ]
        waiting = deque([*models, *ready])
        arms = len({row.arm for row in rows})
        slots = [{"LMC_CACHE": str(Path(folder) / "cache")}] * places(grid)
        watch = workers.Watch(lambda job: began.append(time.monotonic()), lambda text: None, Path(folder))
        preload = [SAMPLE.partition(":")[0], *HEAVY]
        for job, answer in workers.run(SAMPLE, waiting, slots=slots, preload=preload, watch=watch):
            told = answer.value or {}
            if job["kind"] == "pretrain":
                enter_model(rows, job["key"], told)
                mine = [one for one in later if one["needs"] == job["key"]] if "run" in told else []
                mine = [{**one, "config": {**one["config"], "model": told["run"]}} for one in mine]
                again = sorted([*waiting, *mine], key=lambda one: (one["kind"] != "pretrain", one["turn"]))
                waiting.clear()
                waiting.extend(again)
            else:
                enter(rows[job["key"]], job, told)
            if (
                passed := time.monotonic() - began[0]
            ) > BUDGET:  # each arm once all the same, if that takes not twice
                first = [one for one in waiting if one["turn"] < arms and passed < 2 * BUDGET]
                waiting.clear()
                waiting.extend(first)
    likewise(grid, rows)


def turns(rows: list[Row]) -> list[int]:
    """The rows in the order in which they are measured: of every arm one task first, not of all the same; then more."""
    by_arm: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        by_arm.setdefault(row.arm, []).append(number)
    for place, (arm, numbers) in enumerate(by_arm.items()):
        first = place % len(numbers)
        by_arm[arm] = numbers[first:] + numbers[:first]
    longest = max(map(len, by_arm.values()))
    return [numbers[turn] for turn in range(longest) for numbers in by_arm.values() if turn < len(numbers)]


def asked(grid: Grid, job: Job, folder: str, seconds: float) -> Job:
    return job | {
        "runs": str(Path(folder) / "runs"),
        "data": str(grid.data) if grid.data else None,
        "seconds": seconds,
        "threads": max(1, workers.cores() // places(grid)),
    }


def enter_model(rows: list[Row], key: str, told: dict[str, Any]) -> None:
    for row in rows:
        if row.task is None and row.arm == f"pretraining {key}":
            row.seconds, row.disk = told.get("seconds"), told.get("disk")
            row.evidence = MEASURED if row.seconds is not None else None


def enter(row: Row, job: Job, told: dict[str, Any]) -> None:
    row.seconds = told.get("seconds")
    row.evidence = MEASURED if row.seconds is not None else None
    if job["kind"] == "transfer" and job["config"]["transfer"]["name"] == "finetune":
        run = Path(job["config"].get("model") or "") / "model"
        row.disk = files.size(run) if run.is_dir() else None
    elif told.get("disk") is not None:
        row.disk = told["disk"] + told.get("cache", 0) // len(row.jobs)


def likewise(grid: Grid, rows: list[Row]) -> None:
    """What there was no time for is taken for as long as the same arm's other tasks, else as arms that use the same
    model in the same way for as long; best on the same task."""
    measured = [row for row in rows if row.evidence == MEASURED and row.task is not None]
    for row in rows:
        if row.seconds is not None or row.task is None:
            continue
        twins = [one for one in measured if twin(grid, one) == twin(grid, row)]
        same = [one for one in twins if one.task == row.task]
        for evidence, found in (
            (LIKE, [one for one in measured if one.arm == row.arm]),
            (TWIN, same or twins),
        ):
            if found:
                row.seconds, row.evidence = sum(one.seconds or 0.0 for one in found) / len(found), evidence
                sizes = [one.disk for one in found if one.disk is not None]
                row.disk = sum(sizes) // len(sizes) if sizes else None
                break


def twin(grid: Grid, row: Row) -> str:
    """What decides how long an arm's run takes, whatever else is said of it."""
    job = row.jobs[0]
    config = configs.dump(studies.settings(job))
    way = config["transfer"]["name"] if job["kind"] == "transfer" else config["baseline"]
    model = (grid.model_of(job) or config["model"]) if job["kind"] == "transfer" else ""
    return fingerprint(
        {"way": way, "model": model, **{key: config.get(key) for key in ("training", "examples", "length")}}
    )


def places(grid: Grid) -> int:
    """Runs at a time on this machine, whatever the study's executor."""
    ours = isinstance(grid.executor, Here | Pool)
    return grid.executor.at_once if ours else workers.cores()


def whole(rows: list[Row], at_once: int) -> float | None:
    """Seconds of the clock for all that is missing; at least as long as the longest of them."""
    told = [(row.seconds, len(row.jobs)) for row in rows if row.seconds is not None]
    if rows and not told:
        return None
    return max(
        [sum(seconds * count for seconds, count in told) / at_once, *(seconds for seconds, _ in told), 0.0]
    )


def total(parts: list[tuple[int, int | None]]) -> int | None:
    told = [count * size for count, size in parts if size is not None]
    return sum(told) if told or not parts else None


def name(row: Row) -> str:
    return f"{row.arm} on {row.task}" if row.task else row.arm
