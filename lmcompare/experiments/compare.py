"""`lmc compare`, `lmc report` and `lmc demo`: make what a study lacks, then put the runs side by side."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmcompare import files, results, signals, workers
from lmcompare import statistics as summary
from lmcompare.config import fingerprint
from lmcompare.errors import DataError, UserError
from lmcompare.experiments import studies
from lmcompare.results import Record

Note = Callable[[str], None]
WORKER = "lmcompare.experiments.jobs:work"
PRELOAD = ["lmcompare.experiments.jobs", "sklearn.linear_model", "sklearn.feature_extraction.text"]


def compare(
    what: list[str], assignments: list[str], *, jobs: int | None, data: Path | None, note: Note
) -> summary.Comparison:
    """Runs as they are; or a study, whose missing runs are made first."""
    if len(what) == 1 and studies.is_study(what[0]):
        study = studies.read(what[0], assignments)
        return run_study(
            study, results.root() / Path(what[0]).stem, jobs=jobs, data=data, note=note
        )
    return of_runs(what)


def of_runs(names: list[str]) -> summary.Comparison:
    """Compare run folders; without names, all that are in the runs folder."""
    paths = [Path(name) for name in names] or sorted(
        path.parent for path in results.root().glob("**/run.json")
    )
    if not paths:
        raise UserError(f"{results.root()}: holds no runs yet; `lmc demo` makes some")
    found = [path if path.is_dir() else results.root() / path for path in paths]
    records = [results.read(path) for path in found]
    return summary.summarize([(arm_name(record), record) for record in records], title="lmcompare")


def arm_name(record: Record) -> str:
    """What a run does with what, in words."""
    config = record.config
    if "baseline" in config:
        return f"baseline {config['baseline']['name']}"
    if "transfer" not in config:
        return f"pretraining {config['backend']['name']}"
    start = ", random start" if config["weights"] == "random" else ""
    return f"{config['backend']} {config['transfer']['name']}{start}"


def run_study(
    study: studies.Study,
    folder: Path,
    *,
    jobs: int | None,
    data: Path | None,
    note: Note,
    force: bool = False,
) -> summary.Comparison:
    """Pretrain what is to be pretrained, run every arm on every task with every seed, and sum up."""
    with files.disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    cores = os.cpu_count() or 1
    at_once = jobs or cores
    with signals.watched(), results.locked(folder):
        rows = []
        paths = {}
        for name, model in study.models.items():
            if not model.pretrain:
                paths[name] = model.model
                continue
            note(f"pretraining {name}")
            job = {"kind": "pretrain", "config": studies.pretraining_job(model)}
            record = perform([job], folder, 1, cores, data, note, force)[0]
            if record.status != "finished":
                raise DataError(
                    f"pretraining {name} failed: {(record.failure or {}).get('reason')}"
                )
            rows.append((f"pretraining {name}", record))
            paths[name] = str(record.path)
        planned = studies.jobs(study, paths)
        note(f"{len(planned)} runs, {at_once} at a time")
        records = perform(planned, folder, at_once, max(1, cores // at_once), data, note, force)
        rows += [(job["arm"], record) for job, record in zip(planned, records, strict=True)]
    comparison = summary.summarize(rows, title=study.title, quick=study.quick)
    files.write_json(folder / "comparison.json", comparison.to_json())
    return comparison


def perform(
    planned: list[dict[str, Any]],
    folder: Path,
    at_once: int,
    threads: int,
    data: Path | None,
    note: Note,
    force: bool,
) -> list[Record]:
    """The record of every job, in order; those that `study.json` knows as finished are not made again."""
    ledger = folder / "study.json"
    known: dict[str, str] = files.read_json(ledger) if ledger.is_file() and not force else {}
    keys = [fingerprint(job) for job in planned]
    records: dict[int, Record] = {}
    for number, key in enumerate(keys):
        if key in known and results.finished(folder / known[key]):
            records[number] = results.read(folder / known[key])
    missing = [number for number in range(len(planned)) if number not in records]
    tasks = [
        planned[n] | {"runs": str(folder), "data": str(data) if data else None, "force": force}
        for n in missing
    ]
    done = workers.run(WORKER, tasks, at_once=at_once, threads=threads, preload=PRELOAD)
    for count, (place, answer) in enumerate(done, 1):
        number = missing[place]
        job = planned[number]
        if answer.value:
            known[keys[number]] = answer.value
            files.write_json(ledger, known)
            records[number] = results.read(folder / answer.value)
        else:
            records[number] = not_made(job, keys[number], folder, answer)
        note(f"{count}/{len(missing)} · {told(job, records[number])}")
    return [records[number] for number in range(len(planned))]


def not_made(job: dict[str, Any], key: str, folder: Path, answer: workers.Answer) -> Record:
    """A run that has no result stands in the table as failed, with its reason."""
    failure = {"reason": answer.reason, "status": answer.status}
    name = f"{job.get('arm', job['kind'])}-{job.get('task', '')}-s{job.get('seed', '')}-{key}"
    return Record(folder / name, name, "failed", job["config"], None, failure, [])


def told(job: dict[str, Any], record: Record) -> str:
    words = " · ".join(str(job[k]) for k in ("arm", "task", "seed") if k in job) or job["kind"]
    if record.result is None:
        return f"{words}: failed ({(record.failure or {}).get('reason', '')})"
    primary = record.result.get("primary")
    if primary is None:
        return f"{words}: done"
    value = "undefined" if primary["value"] is None else f"{primary['value']:.3f}"
    return f"{words}: {primary['metric']} {value}"


def demo(
    *, quick: bool, out: Path | None, jobs: int | None, force: bool, note: Note
) -> tuple[summary.Comparison, Path]:
    """The main job on the embedded suite, and the page about it."""
    name = "demo-quick" if quick else "demo"
    folder = out or results.root() / name
    comparison = run_study(
        studies.read(name, []), folder, jobs=jobs, data=None, note=note, force=force
    )
    return comparison, folder / "report.html"
