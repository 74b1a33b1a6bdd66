"""A study's grid of runs: which are there, which are missing, and the making of these, some at a time."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmcompare import files, micro, registry, results, signals, workers
from lmcompare.config import fingerprint, task_name
from lmcompare.errors import UserError
from lmcompare.experiments import studies
from lmcompare.experiments.task_data import data_folder
from lmcompare.files import code_hash
from lmcompare.results import Record

Job = dict[str, Any]
Key = str | int  # a model's name, or a run's number
LEDGER = "study.json"  # in a study's folder: which of its runs are finished
WORKER = "lmcompare.experiments.jobs:work"
PRELOAD = [
    "lmcompare.experiments.jobs",
    "torch._dynamo",
    "sklearn.linear_model",
    "sklearn.feature_extraction.text",
]


class Grid:
    """A study, the folder that its runs are kept in, and how they are made."""

    def __init__(
        self,
        study: studies.Study,
        folder: Path,
        *,
        note: Callable[[str], None],
        at_once: int | None = None,
        data: Path | None = None,
        force: bool = False,
        keep: bool = False,  # what the folder holds of other tasks and seeds
    ) -> None:
        self.study, self.folder, self.note, self.data, self.force = study, folder, note, data, force
        self.keep = keep
        self.cores = workers.cores()
        self.at_once = at_once or self.cores

    def run(self) -> list[tuple[str, Record]]:
        """The record of every run that the study asks for, with the name of its arm."""
        with files.disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with signals.watched(), results.locked(self.folder):
            studies.check(self.study)
            studies.check_models(self.study)
            self.ledger = Ledger(self.folder, self.study, fresh=self.force, keep=self.keep)
            self.waiting: deque[workers.Waiting] = deque()
            self.made: dict[Key, tuple[str, Record]] = {}
            self.lost: list[tuple[str, Record]] = []
            self.around = {
                "micro": code_hash(Path(micro.__file__).parent),
                "data": look(data_folder(self.data)),
            }
            models, runs = self._models(), self._runs({})
            self.after = followers(runs, self.study.starts)
            self.later = {number for numbers in self.after.values() for number in numbers}
            keys: list[Key] = [*models, *runs]
            if models:
                self.note(f"pretraining {', '.join(models)}")
            self.note(f"{len(runs)} runs, {self.at_once} at a time")
            for name, job in models.items():
                self._add(name, job, at_once=min(self.at_once, len(models)))
            # Those first that others wait for.
            for number in sorted(runs.keys() - self.later, key=lambda number: number not in self.after):
                if self._model_of(runs[number]) not in models:
                    self._add(number, runs[number])
            self._perform(keys)
            if self.lost and all(self._model_of(job) in dict(self.lost) for job in runs.values()):
                raise self._no_model()
            return [self.made[key] for key in keys]

    def _models(self) -> dict[str, Job]:
        """The models that are pretrained first."""
        return {
            name: {"kind": "pretrain", "arm": f"pretraining {name}", "config": studies.pretraining_job(model)}
            for name, model in self.study.models.items()
            if model.pretrain
        }

    def _runs(self, made: dict[str, str]) -> dict[int, Job]:
        """All other runs by number, with the models where they are."""
        paths = {name: model.model for name, model in self.study.models.items()} | made
        return dict(enumerate(studies.jobs(self.study, paths)))

    def _model_of(self, job: Job) -> str:
        """The model whose weights a run needs."""
        name = next(arm.model for arm in self.study.arms if arm.name == job["arm"])
        return (self.study.models[name].like or name) if name else ""

    def _perform(self, keys: list[Key]) -> None:
        """Make what waits, some runs at a time; a model that is done lets the runs begin that use it."""
        for job, answer in workers.run(WORKER, self.waiting, at_once=self.at_once, preload=PRELOAD):
            if answer.value:
                record = self.ledger.add(job["ledger"], job["arm"], answer.value)
            else:
                record = self.ledger.failed(job["ledger"], job, answer)
            self.made[job["key"]] = (job["arm"], record)
            self.note(f"{len(self.made)}/{len(keys)} · {told(job, record)}")
            if job["kind"] == "pretrain":
                self._release(job["key"], record)
            else:
                self._follow(job["key"], record)

    def _release(self, name: str, model: Record) -> None:
        """The runs of a model that has just been pretrained; those of one that failed have failed with it."""
        runs = self._runs({name: str(model.path)})
        mine = {number: job for number, job in runs.items() if self._model_of(job) == name}
        if model.result is not None:
            for number, job in mine.items():
                if number not in self.later:
                    self._add(number, job)
            return
        self.lost.append((name, model))
        self.note(f"{lost(name, model)}; {len(mine)} runs fail with it")
        for number, job in mine.items():
            answer = workers.Answer(None, "its model could not be pretrained", UserError.status)
            self.made[number] = (job["arm"], self.ledger.failed(fingerprint(job), job, answer))

    def _follow(self, number: Key, first: Record) -> None:
        """The runs that start from what this one has learned, on another task; they fail with it."""
        for later in self.after.get(number, ()):
            job = self._runs({})[later]
            if first.result is not None:
                self._add(later, {**job, "config": {**job["config"], "model": str(first.path)}})
                continue
            answer = workers.Answer(None, f"{first.run}, which it starts from, failed", UserError.status)
            self.made[later] = (job["arm"], self.ledger.failed(fingerprint(job), job, answer))

    def _no_model(self) -> UserError:
        """Nothing is left where every run needs a model that could not be pretrained."""
        error = UserError("; ".join(lost(*which) for which in self.lost))
        error.status = (self.lost[0][1].failure or {}).get("status", error.status)
        return error

    def _add(self, key: Key, job: Job, *, at_once: int | None = None) -> None:
        """Let a run wait for its turn, unless the ledger knows it as finished."""
        entry = fingerprint({**self.around, **job, "weights": look(model_folder(job)), **own_files(job)})
        known = self.ledger.record(entry)
        # A pretraining looks by itself whether its corpus has changed.
        if known is not None and job["kind"] != "pretrain":
            self.made[key] = (job["arm"], known)
            self._follow(key, known)
            return
        place = {"runs": str(self.folder), "data": str(self.data) if self.data else None, "force": self.force}
        threads = max(1, self.cores // (at_once or self.at_once))
        self.waiting.append((job | place | {"key": key, "ledger": entry}, threads))


class Ledger:
    """A study's list of its runs, so that a second call makes only what is missing. A key holds the whole config, the
    code that makes the embedded suite, and what the local data and models look like: what has changed is made again."""

    def __init__(self, folder: Path, study: studies.Study, *, fresh: bool, keep: bool = False) -> None:
        self.folder, self.path = folder, folder / LEDGER
        told = {"quick": study.quick, "compare": study.compare, "margin": study.margin}
        self.table: dict[str, Any] = {"title": study.title, **told, "runs": {}}
        self.known: dict[str, Any] = {}
        if self.path.is_file() and (keep or not fresh):
            before = files.read_json(self.path)
            if before["title"] != study.title:
                raise UserError(
                    f"{folder}: holds another study, {before['title']!r}; name this file otherwise"
                )
            self.known = {} if fresh else before["runs"]
            if keep:
                runs = before["runs"].items()
                self.table["runs"] = {key: entry for key, entry in runs if beside(folder, entry, study)}

    def record(self, key: str) -> Record | None:
        entry = self.known.get(key)
        if entry is None or "reason" in entry or not results.finished(self.folder / entry["run"]):
            return None
        return self._keep(key, entry)

    def add(self, key: str, arm: str, run: str) -> Record:
        return self._keep(key, {"arm": arm, "run": run})

    def failed(self, key: str, job: Job, answer: workers.Answer) -> Record:
        """A run that has no result is kept in the list as failed, with its reason."""
        facts = {"reason": answer.reason, "status": answer.status, "config": job["config"]}
        run = f"{job['arm']}-{Path(job.get('task', '')).name}-s{job.get('seed', '')}-{key}"
        return self._keep(key, {"arm": job["arm"], "run": run, **facts})

    def _keep(self, key: str, entry: dict[str, Any]) -> Record:
        self.table["runs"][key] = entry
        files.write_json(self.path, self.table)
        return record_of(self.folder, entry)


def followers(runs: dict[int, Job], starts: dict[str, str]) -> dict[Key, list[int]]:
    """By the number of a run, those that start from its weights: of the same arm and seed, on another task."""
    place = {(job["arm"], job["seed"], job["task"]): number for number, job in runs.items()}
    found: dict[Key, list[int]] = {}
    for number, job in runs.items():
        if job["kind"] == "transfer" and job["task"] in starts:
            found.setdefault(place[job["arm"], job["seed"], starts[job["task"]]], []).append(number)
    return found


def beside(folder: Path, entry: dict[str, Any], study: studies.Study) -> bool:
    """Whether a run on the list is there, and none that the study asks for itself."""
    if "reason" not in entry and not results.finished(folder / entry["run"]):
        return False
    config = record_of(folder, entry).config
    ours = entry["arm"] in [arm.name for arm in study.arms]
    return not (ours and task_name(config["task"]) in study.tasks and config["seed"] in study.seeds)


def record_of(folder: Path, entry: dict[str, Any]) -> Record:
    if "reason" not in entry:
        return results.read(folder / entry["run"])
    failure = {"reason": entry["reason"], "status": entry["status"]}
    return Record(folder / entry["run"], entry["run"], "failed", entry["config"], None, failure, [])


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


def told(job: Job, record: Record | None) -> str:
    """One line about a run that has just ended."""
    words = " · ".join(str(job[k]) for k in ("arm", "task", "seed") if k in job)
    if record is None or record.result is None:
        return f"{words}: failed ({((record and record.failure) or {}).get('reason', '')})"
    primary = record.result.get("primary")
    if primary is None:
        return f"{words}: done"
    value = "undefined" if primary["value"] is None else f"{primary['value']:.3f}"
    return f"{words}: {primary['metric']} {value}"
