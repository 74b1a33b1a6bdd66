"""A run folder as tables take it: nothing here needs what makes runs, so that a report begins at once."""

from dataclasses import replace
from pathlib import Path

from lmcompare import results
from lmcompare.config import Multitask, dump, task_name
from lmcompare.models import PARTS
from lmcompare.results import Record


def records(path: Path) -> list[Record]:
    """A run as tables take it: one over several tasks is a run a task, and until it is finished they share its fate."""
    record = results.read(path)
    if "tasks" not in record.config:
        return [record]
    if record.status == "finished":
        return [results.read(found.parent) for found in sorted((path / PARTS).glob("*/run.json"))]
    config = Multitask.model_validate(record.config)
    names = [task_name(task) for task in config.tasks]
    return [
        replace(record, config=dump(config.alone(n)) | {"together": names[:n] + names[n + 1 :]}, log=[])
        for n in range(len(names))
    ]
