"""A study's grid of runs: which are there, which are missing, and the making of these, some at a time."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmcompare import files, results, signals, workers
from lmcompare.config import fingerprint
from lmcompare.errors import UserError
from lmcompare.experiments import studies
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
        self.cores = os.cpu_count() or 1
        self.at_once = at_once or self.cores

    def run(self) -> list[tuple[str, Record]]:
        """The record of every run that the study asks for, with the name of its arm."""
        with files.disk(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with signals.watched(), results.locked(self.folder):
            self.ledger = Ledger(self.folder, self.study, fresh=self.force)
            rows, paths = [], {}
            for name, model in self.study.models.items():
                paths[name] = model.model
                if model.pretrain:
                    record = self._pretrain(name, model)
                    rows.append((f"pretraining {name}", record))
                    paths[name] = str(record.path)
            planned = studies.jobs(self.study, paths)
            self.note(f"{len(planned)} runs, {self.at_once} at a time")
            records = self._perform(planned, at_once=self.at_once)
            return rows + [(job["arm"], record) for job, record in zip(planned, records, strict=True)]

    def _pretrain(self, name: str, model: studies.Model) -> Record:
        """Nothing else can begin before; so it gets all cores."""
        self.note(f"pretraining {name}")
        table = studies.pretraining_job(model)
        job = {"kind": "pretrain", "arm": f"pretraining {name}", "config": table}
        record = self._perform([job], at_once=1)[0]
        if record.result is None:
            failure = record.failure or {}
            error = UserError(f"pretraining {name} failed: {failure.get('reason')}")
            error.status = failure.get("status", error.status)
            raise error
        return record

    def _perform(self, planned: list[Job], *, at_once: int) -> list[Record]:
        """Every job's record, in order; those that the ledger knows as finished are not made again."""
        keys = [fingerprint(job) for job in planned]
        records = {n: self.ledger.record(key) for n, key in enumerate(keys)}
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
                records[n] = not_made(planned[n], keys[n], self.folder, answer)
            self.note(f"{count}/{len(missing)} · {told(planned[n], records[n])}")
        return [record for record in records.values() if record is not None]


class Ledger:
    """A study's list of its finished runs, so that a second call makes only what is missing."""

    def __init__(self, folder: Path, study: studies.Study, *, fresh: bool) -> None:
        self.folder, self.path = folder, folder / LEDGER
        self.table: dict[str, Any] = {"title": study.title, "quick": study.quick, "runs": {}}
        if self.path.is_file() and not fresh:
            self.table["runs"] = files.read_json(self.path)["runs"]

    def record(self, key: str) -> Record | None:
        entry = self.table["runs"].get(key)
        if entry is None or not results.finished(self.folder / entry["run"]):
            return None
        return results.read(self.folder / entry["run"])

    def add(self, key: str, arm: str, run: str) -> Record:
        self.table["runs"][key] = {"arm": arm, "run": run}
        files.write_json(self.path, self.table)
        return results.read(self.folder / run)


def not_made(job: Job, key: str, folder: Path, answer: workers.Answer) -> Record:
    """A run that has no result stands in the table as failed, with its reason."""
    failure = {"reason": answer.reason, "status": answer.status}
    name = f"{job['arm']}-{job.get('task', '')}-s{job.get('seed', '')}-{key}"
    return Record(folder / name, name, "failed", job["config"], None, failure, [])


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
