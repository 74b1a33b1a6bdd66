"""A study's grid of runs: which are there, which are missing, and the making of these, some at a time."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmcompare import files, micro, results, signals, workers
from lmcompare.config import fingerprint
from lmcompare.errors import UserError
from lmcompare.experiments import studies
from lmcompare.experiments.task_data import data_folder
from lmcompare.files import code_hash
from lmcompare.results import Record

Job = dict[str, Any]
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
    ) -> None:
        self.study, self.folder, self.note, self.data, self.force = study, folder, note, data, force
        self.cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.at_once = at_once or self.cores

    def run(self) -> list[tuple[str, Record]]:
        """The record of every run that the study asks for, with the name of its arm."""
        with files.disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with signals.watched(), results.locked(self.folder):
            studies.check(self.study)
            self.ledger = Ledger(self.folder, self.study, fresh=self.force)
            rows, paths, lost = self._pretrain()
            planned = studies.jobs(self.study, paths)
            possible = self._without(lost, planned)
            self.note(f"{len(possible)} runs, {self.at_once} at a time")
            records = self._perform(possible, at_once=self.at_once)
            rows += [(job["arm"], record) for job, record in zip(possible, records, strict=True)]
            for job in planned:
                if job not in possible:
                    answer = workers.Answer(None, "its model could not be pretrained", UserError.status)
                    rows.append((job["arm"], self.ledger.failed(fingerprint(job), job, answer)))
            return rows

    def _pretrain(self) -> tuple[list[tuple[str, Record]], dict[str, str], dict[str, Record]]:
        """The study's models, side by side on the cores; no other run can begin before. Where each model is, and
        those whose pretraining failed."""
        paths = {name: model.model for name, model in self.study.models.items()}
        wanted = {name: model for name, model in self.study.models.items() if model.pretrain}
        if not wanted:
            return [], paths, {}
        self.note(f"pretraining {', '.join(wanted)}")
        planned = [
            {"kind": "pretrain", "arm": f"pretraining {name}", "config": studies.pretraining_job(model)}
            for name, model in wanted.items()
        ]
        records = self._perform(planned, at_once=min(self.at_once, len(planned)))
        made = dict(zip(wanted, records, strict=True))
        paths |= {name: str(record.path) for name, record in made.items()}
        lost = {name: record for name, record in made.items() if record.result is None}
        return [(f"pretraining {name}", record) for name, record in made.items()], paths, lost

    def _without(self, lost: dict[str, Record], planned: list[Job]) -> list[Job]:
        """The runs that can be made. Those of a model that is not there have failed with it; where none is left, so
        has the study."""
        if not lost:
            return planned
        arms = {arm.name for arm in self.study.arms if arm.model in lost}
        left = [job for job in planned if job["arm"] not in arms]
        told = "; ".join(
            f"pretraining {n} failed: {(r.failure or {}).get('reason')}" for n, r in lost.items()
        )
        if not left:
            error = UserError(told)
            error.status = next((r.failure or {}).get("status", error.status) for r in lost.values())
            raise error
        self.note(f"{told}; {len(planned) - len(left)} runs fail with it")
        return left

    def _perform(self, planned: list[Job], *, at_once: int) -> list[Record]:
        """Every job's record, in order; those that the ledger knows as finished are not made again."""
        around = {"micro": code_hash(Path(micro.__file__).parent), "data": look(data_folder(self.data))}
        keys = [fingerprint({**around, **job, "weights": look(model_folder(job))}) for job in planned]
        records = {n: self.ledger.record(key) for n, key in enumerate(keys)}
        for n, job in enumerate(planned):
            if job["kind"] == "pretrain":  # it knows best itself whether its corpus is what it was
                records[n] = None
        missing = [n for n, record in records.items() if record is None]
        place = {
            "runs": str(self.folder),
            "data": str(self.data) if self.data else None,
            "force": self.force,
        }
        threads = max(1, self.cores // at_once)
        jobs = [planned[n] | place for n in missing]
        done = workers.run(WORKER, jobs, at_once=at_once, threads=threads, preload=PRELOAD)
        for count, (which, answer) in enumerate(done, 1):
            n = missing[which]
            if answer.value:
                records[n] = self.ledger.add(keys[n], planned[n]["arm"], answer.value)
            else:
                records[n] = self.ledger.failed(keys[n], planned[n], answer)
            self.note(f"{count}/{len(missing)} · {told(planned[n], records[n])}")
        return [record for record in records.values() if record is not None]


class Ledger:
    """A study's list of its runs, so that a second call makes only what is missing. A key holds the whole config, the
    code that makes the embedded suite, and what the local data and models look like: what has changed is made again."""

    def __init__(self, folder: Path, study: studies.Study, *, fresh: bool) -> None:
        self.folder, self.path = folder, folder / LEDGER
        self.table: dict[str, Any] = {"title": study.title, "quick": study.quick, "runs": {}}
        self.known: dict[str, Any] = {}
        if self.path.is_file() and not fresh:
            before = files.read_json(self.path)
            if before["title"] != study.title:
                raise UserError(
                    f"{folder}: holds another study, {before['title']!r}; name this file otherwise"
                )
            self.known = before["runs"]

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
        run = f"{job['arm']}-{job.get('task', '')}-s{job.get('seed', '')}-{key}"
        return self._keep(key, {"arm": job["arm"], "run": run, **facts})

    def _keep(self, key: str, entry: dict[str, Any]) -> Record:
        self.table["runs"][key] = entry
        files.write_json(self.path, self.table)
        return record_of(self.folder, entry)


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


def model_folder(job: Job) -> Path | None:
    name = job["config"].get("model", "")
    path = Path(name) / "model"
    return path if path.is_dir() else Path(name) if name else None


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
