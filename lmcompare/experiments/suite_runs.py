"""The runs that lie in a suite's folder since an earlier call, of other tasks or of more seeds: they count with those
that were asked for now, where they were made in the same way."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lmcompare import config as configs
from lmcompare import files, lineage
from lmcompare.config import OPERATIONAL, flatten
from lmcompare.experiments.grid import LEDGER, record_of
from lmcompare.results import Record

Result = dict[str, Any]


def task_of(record: Record) -> str:
    return configs.task_name(record.config["task"])


def earlier(
    folder: Path, arm: str, made: Sequence[Record], tasks: Iterable[str]
) -> tuple[list[Record], list[str]]:
    """Those of these tasks that the folder's ledger has beside what was `made` now; and in words what is left out."""
    ours, found, odd = {record.run for record in made}, list[Record](), dict[str, int]()
    for entry in files.read_json(folder / LEDGER)["runs"].values():
        if entry["arm"] != arm or entry["run"] in ours:
            continue
        record = record_of(folder, entry)
        if (task := task_of(record)) not in tasks:
            continue
        if alike(record, made):
            found.append(record)
        else:
            odd[task] = odd.get(task, 0) + 1
    return found, [
        f"{task}: {count} of the runs in the folder left out, made with another model, other settings or other data"
        for task, count in odd.items()
    ]


def alike(record: Record, made: Sequence[Record]) -> bool:
    """Whether it was made as these were: with their model; and where they have its task, as they learned it."""
    if record.result is None:  # it failed: named as such, and in no mean
        return True
    mine, results = record.result, [(one, one.result) for one in made if one.result]
    if not taught(mine) and not all(lineage.one_start(r, mine) for _, r in results if not taught(r)):
        return False
    twins = [(one, result) for one, result in results if task_of(one) == task_of(record)]
    return all(
        settings(one) == settings(record) and result["data_hash"] == mine["data_hash"]
        for one, result in twins
    )


def taught(result: Result) -> bool:
    """Whether its encoder had learned another task, so that it was no longer the suite's model."""
    return bool(lineage.taught(result.get("lineage") or []))


def settings(record: Record) -> dict[str, Any]:
    """What makes up a run, but for its seed and for where its model lies."""
    flat = flatten(record.config)
    return {key: value for key, value in flat.items() if key not in ("seed", "model", *OPERATIONAL)}
