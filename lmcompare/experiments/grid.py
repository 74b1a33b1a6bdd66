"""A study's grid of runs: which are there, which are missing, and the making of these, some at a time."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmcompare import claims, files, micro, registry, results, signals, workers
from lmcompare.config import OPERATIONAL, fingerprint, flatten
from lmcompare.errors import EXIT_INTERRUPTED, EXIT_PREEMPTED, UserError
from lmcompare.executors import Executor
from lmcompare.experiments import placing, studies
from lmcompare.experiments.ledger import LEDGER, Ledger, place, record_of, whole
from lmcompare.experiments.tally import Tally
from lmcompare.experiments.task_data import data_folder
from lmcompare.files import code_hash
from lmcompare.report.figures import counted
from lmcompare.results import Record

__all__ = ["LEDGER", "Grid", "followers", "look", "record_of"]

Job = dict[str, Any]
Key = str | int  # a model's name, or a run's number
WORKER = "lmcompare.experiments.jobs:work"


class Grid:
    """A study, the folder that its runs are kept in, and how they are made."""

    def __init__(
        self,
        study: studies.Study,
        folder: Path,
        *,
        note: Callable[[str], None],
        at_once: int | None = None,
        executor: Executor | None = None,
        data: Path | None = None,
        force: bool = False,
        keep: bool = False,  # what the folder holds of other tasks and seeds
    ) -> None:
        self.study, self.folder, self.note, self.data, self.force = study, folder, note, data, force
        self.keep = keep
        # Studies of one runs folder make no run twice; what lies elsewhere, and a suite's folder, stand alone.
        self.claims = folder.parent if beside_others(folder) and not keep else folder
        self.executor: Executor = executor or placing.executor("", {}, jobs=at_once, note=note)
        self.around = {"micro": code_hash(Path(micro.__file__).parent), "data": look(data_folder(data))}

    def run(self) -> list[tuple[str, Record]]:
        """The record of every run that the study asks for, with the name of its arm."""
        studies.check(self.study)
        studies.check_models(self.study)
        with files.disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with signals.watched(), claims.at_work(self.folder) as presence:
            with presence.alone() as alone:
                who = None if alone else presence.other()
                self.ledger = Ledger(self.folder, self.study, fresh=self.force, keep=self.keep, beside=who)
            if who:
                self.note(f"{who} makes this study, too: each takes what the other has not begun")
            rows = self._all()
            with presence.alone(last=True) as alone:
                self.ledger.close(alone=alone)
        return rows

    def _all(self) -> list[tuple[str, Record]]:
        self.waiting: deque[workers.Job] = deque()
        self.made: dict[Key, tuple[str, Record]] = {}
        self.lost: list[tuple[str, Record]] = []
        models, runs = self.models(), self.runs({})
        self.after = followers(runs, self.study.starts)
        self.later = {number for numbers in self.after.values() for number in numbers}
        keys: list[Key] = [*models, *runs]
        self.tally = Tally(len(keys))
        at_once = self.executor.at_once
        if models:
            self.note(f"pretraining {', '.join(models)}")
        self.note(f"{counted(len(runs), 'run')}, {at_once} at a time")
        for name, job in models.items():
            self._add(name, job, most=len(models))
        # Those first that others wait for.
        for number in sorted(runs.keys() - self.later, key=lambda number: number not in self.after):
            if self.model_of(runs[number]) not in models:
                self._add(number, runs[number])
        with self.tally.shown():
            self._perform(keys)
        if self.lost and all(self.model_of(job) in dict(self.lost) for job in runs.values()):
            raise self._no_model()
        return [self.made[key] for key in keys]

    def models(self) -> dict[str, Job]:
        """The models that are pretrained first."""
        return {
            name: {"kind": "pretrain", "arm": f"pretraining {name}", "config": studies.pretraining_job(model)}
            for name, model in self.study.models.items()
            if model.pretrain
        }

    def runs(self, made: dict[str, str]) -> dict[int, Job]:
        """All other runs by number, with the models where they are."""
        paths = {name: model.model for name, model in self.study.models.items()} | made
        return dict(enumerate(studies.jobs(self.study, paths)))

    def model_of(self, job: Job) -> str:
        """The model whose weights a run needs."""
        name = next(arm.model for arm in self.study.arms if arm.name == job["arm"])
        return (self.study.models[name].like or name) if name else ""

    def _perform(self, keys: list[Key]) -> None:
        """Make what waits, some runs at a time; a model that is done lets the runs begin that use it."""
        watch = workers.Watch(lambda job: self.tally.running.add(job["key"]), self.note, self.folder)
        self.ledger.flush()
        for job, answer in self.executor.run(WORKER, self.waiting, watch):
            self._take(job, answer, len(keys))
            self.ledger.flush()

    def _take(self, job: Job, answer: workers.Answer, total: int) -> None:
        """One answer: a run that is done, one that failed, or one that somebody else is making."""
        told = answer.value or {}
        if "locked" in told:
            self.tally.running.discard(job["key"])
            self.note(f"{words(job)}: {told['locked']}; it is waited for")
            self.waiting.append(job | {"wait": True})
            return
        if signals.asked() and answer.status in (EXIT_PREEMPTED, EXIT_INTERRUPTED):
            self.tally.running.discard(job["key"])
            return  # it was asked to stop, and goes on with the next call
        if "status" in told:  # another call of the study met with it
            answer = workers.Answer(None, **told)
        if "run" in told:
            record = self.ledger.add(job["ledger"], job["arm"], Path(told["run"]))
        else:
            record = self.ledger.failed(job["ledger"], job, answer)
        self.made[job["key"]] = (job["arm"], record)
        self.tally.ended(job["key"], failed=record.result is None, made=told.get("made", True))
        self.note(f"{len(self.made)}/{total} · {line(job, record)}{self.tally.short()}")
        if job["kind"] == "pretrain":
            self._release(job["key"], record)
        else:
            self._follow(job["key"], record)

    def _release(self, name: str, model: Record) -> None:
        """The runs of a model that has just been pretrained; those of one that failed have failed with it."""
        runs = self.runs({name: str(model.path)})
        mine = {number: job for number, job in runs.items() if self.model_of(job) == name}
        if model.result is not None:
            for number, job in mine.items():
                if number not in self.later:
                    self._add(number, job)
            return
        self.lost.append((name, model))
        self.note(f"{lost(name, model)}; {counted(len(mine), 'run')} failed with it")
        for number, job in mine.items():
            self._fail(number, job, "its model could not be pretrained")

    def _follow(self, number: Key, first: Record) -> None:
        """The runs that start from what this one has learned, on another task; they fail with it."""
        for later in self.after.get(number, ()):
            job = self.runs({})[later]
            if first.result is not None:
                self._add(later, {**job, "config": {**job["config"], "model": str(first.path)}})
            else:
                self._fail(later, job, f"{first.run}, which it starts from, failed")

    def _fail(self, key: Key, job: Job, reason: str) -> None:
        answer = workers.Answer(None, reason, UserError.status)
        self.made[key] = (job["arm"], self.ledger.failed(fingerprint(job), job, answer))
        self.tally.ended(key, failed=True)

    def _no_model(self) -> UserError:
        """Nothing is left where every run needs a model that could not be pretrained."""
        error = UserError("; ".join(lost(*which) for which in self.lost))
        error.status = (self.lost[0][1].failure or {}).get("status", error.status)
        return error

    def _add(self, key: Key, job: Job, *, most: int | None = None) -> None:
        """Let a run wait for its turn, unless the ledger knows it as finished."""
        entry, share = self.names(job)
        known = self.ledger.record(entry)
        # A pretraining looks by itself whether its corpus has changed.
        if known is not None and job["kind"] != "pretrain":
            self.made[key] = (job["arm"], known)
            self.tally.ended(key, made=False)
            self._follow(key, known)
            return
        where = {"runs": str(self.folder), "claims": str(self.claims), "force": self.force, "wait": False}
        where |= {"data": str(self.data) if self.data else None}
        where |= {"threads": self.executor.threads(most or self.executor.at_once)}
        self.waiting.append(job | where | {"key": key, "ledger": entry, "share": share})

    def names(self, job: Job) -> tuple[str, str]:
        """What a run is known by: on the study's own list, and to all studies of the runs folder."""
        facts = {**self.around, **job, "weights": look(model_folder(job)), **own_files(job)}
        flat = {k: v for k, v in flatten(facts).items() if k != "arm" and not k.endswith(OPERATIONAL)}
        return fingerprint(facts), claims.name(flat)

    def there(self, entry: dict[str, Any] | None, share: str) -> Path | None:
        """Where a run lies that need not be made."""
        if entry is not None and whole(self.folder, entry):
            return place(self.folder, entry)
        return claims.made(self.claims, share)


def beside_others(folder: Path) -> bool:
    """Whether a study's folder is in the runs folder."""
    return folder.resolve().parent == results.root().resolve()


def followers(runs: dict[int, Job], starts: dict[str, str]) -> dict[Key, list[int]]:
    """By the number of a run, those that start from its weights: of the same arm and seeds, on another task."""

    def spot(job: Job, task: str) -> tuple[Any, ...]:
        return job["arm"], job["seed"], job.get("data_seed"), task

    numbers = {spot(job, job["task"]): number for number, job in runs.items()}
    found: dict[Key, list[int]] = {}
    for number, job in runs.items():
        if job["kind"] == "transfer" and job["task"] in starts:
            found.setdefault(numbers[spot(job, starts[job["task"]])], []).append(number)
    return found


def look(folder: Path | None) -> str:
    """What a folder of data or a model looks like: names, sizes and times of its files."""
    if folder is None or not folder.is_dir():
        return ""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return fingerprint({str(p.relative_to(folder)): [p.stat().st_size, p.stat().st_mtime_ns] for p in found})


def own_files(job: Job) -> Job:
    """What a task of the user's own comes to, and what its files look like: no data folder need hold them."""
    if "task" not in job["config"] or (task := registry.tasks.meant(job["config"]["task"]))["name"] != "own":
        return {}
    found = [Path(task[split]) for split in ("train", "dev", "test") if task.get(split)]
    times = {str(p): [p.stat().st_size, p.stat().st_mtime_ns] for p in found if p.is_file()}
    return {"own": {**task, "files": times}}


def model_folder(job: Job) -> Path | None:
    name = job["config"].get("model", "")
    path = Path(name) / "model"
    return path if path.is_dir() else Path(name) if name else None


def lost(name: str, model: Record) -> str:
    return f"pretraining {name} failed: {(model.failure or {}).get('reason')}"


def words(job: Job) -> str:
    return " · ".join(str(job[k]) for k in ("arm", "task", "seed", "data_seed") if k in job)


def line(job: Job, record: Record) -> str:
    """One line about a run that has just ended."""
    if record.result is None:
        return f"{words(job)}: failed ({(record.failure or {}).get('reason', '')})"
    primary = record.result.get("primary")
    if primary is None:
        return f"{words(job)}: done"
    value = "undefined" if primary["value"] is None else f"{primary['value']:.3f}"
    return f"{words(job)}: {primary['metric']} {value}"
