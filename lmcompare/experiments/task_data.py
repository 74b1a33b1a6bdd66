"""A task as every experiment takes it: all splits read, looked over and hashed; and how its figures are reported."""

import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmcompare import evaluation, randomness, registry
from lmcompare.errors import Skipped, UserError
from lmcompare.tasks import checks
from lmcompare.types import Example, Task


@dataclass(frozen=True)
class TaskData:
    """A task with its splits read, looked over and hashed."""

    task: Task
    splits: dict[str, list[Example]]
    warnings: list[str]
    hash: str

    @property
    def sizes(self) -> dict[str, int]:
        return {split: len(examples) for split, examples in self.splits.items()}

    def few(self, examples: int | None) -> "TaskData":
        """With so many of the training examples, the same for every run and nested: fewer are among more."""
        train = self.splits["train"]
        if examples is None:
            return self
        if examples > len(train):
            raise UserError(
                f"examples: {self.task.name} has {len(train):,} training examples, not {examples:,}"
            )
        kept = sorted(randomness.permutation(len(train), 2018)[:examples].tolist())
        return replace(self, splits={**self.splits, "train": [train[i] for i in kept]})


def data_folder(given: Path | None) -> Path | None:
    """--data, or LMC_DATA."""
    return given or (Path(os.environ["LMC_DATA"]) if os.environ.get("LMC_DATA") else None)


def read_task(table: dict[str, Any], data: Path | None) -> TaskData:
    """All splits of a task; `data`, or LMC_DATA, is where local files are."""
    task = registry.tasks.build(table, data_folder(data))
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", Skipped)
        needed = dict.fromkeys(("train", "dev", *task.splits))  # a split that is missing says so itself
        splits = {split: task.load(split) for split in needed}
    for other in (w for w in raised if not issubclass(w.category, Skipped)):  # no part of a result
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    told = [str(w.message) for w in raised if issubclass(w.category, Skipped)]
    notes = [*told, *checks.inspect(splits, task)]
    return TaskData(task, splits, notes, checks.digest(e for part in splits.values() for e in part))


def figures(found: TaskData, metrics: dict[str, Any], undefined: dict[str, Any]) -> dict[str, Any]:
    """The part of a result that says how good it is."""
    task = found.task
    split = task.report if metrics.get(task.report) else "dev"
    name = task.metrics[0]
    floor = evaluation.trivial(task, found.splits["train"], found.splits[split])
    return {
        "primary": {"metric": name, "split": split, "value": metrics[split].get(name)},
        "metrics": {k: v for k, v in metrics.items() if v},
        "undefined": {k: v for k, v in undefined.items() if v},
        "majority": {"metric": name, "value": floor},
        "examples": found.sizes,
        "data_hash": found.hash,
        "data_source": task.source,
    }
