"""A task as every experiment takes it: its splits read, looked over and hashed; and how its figures are reported."""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lmcompare import evaluation, randomness, registry
from lmcompare.errors import DataError, Skipped, UserError
from lmcompare.tasks import checks, facts, official
from lmcompare.types import Example, Split, Task


@dataclass(frozen=True)
class TaskData:
    """A task with its splits read, looked over and hashed."""

    task: Task
    splits: dict[Split, list[Example]]
    warnings: list[str]
    hash: str  # of all splits
    hashes: Mapping[Split, str] = field(default_factory=dict)  # of each
    states: Mapping[Split, official.State] = field(default_factory=dict)  # each beside what was published

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


def read_task(
    table: dict[str, Any], data: Path | None, *, needed: Sequence[Split] = ("train", "dev")
) -> TaskData:
    """All splits of a task; `data`, or LMC_DATA, is where local files are. A split that is needed and missing says so
    itself; one that has no labels cannot serve."""
    table = dict(registry.tasks.meant(table))
    task = registry.tasks.build(table, data_folder(data))
    splits, told = loaded(task, (*needed, *task.splits))
    for split in needed:
        if splits[split] and all(example.label is None for example in splits[split]):
            cut = split == "dev" and "holdout" in registry.settings(registry.tasks.get(table["name"]))
            raise DataError(
                f"{task.name}: its {split} split has no labels here ({task.source}), so there is nothing to "
                f"{'learn from' if split == 'train' else 'choose the best step by'}; give one that has them"
                + (", or cut one from train: --set task.holdout=0.1" if cut else "")
            )
    odd, states = compared(task, table, splits)
    notes = [*told, *odd, *checks.inspect(splits, task, facts.of(table["name"]).overlap)]
    return TaskData(task, splits, notes, *checks.digests(splits), states)


def loaded(task: Task, wanted: Iterable[Split]) -> tuple[dict[Split, list[Example]], list[str]]:
    """Splits of a task, and what their reading had to say that belongs into a result."""
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", Skipped)
        splits = {split: task.load(split) for split in dict.fromkeys(wanted)}
    for other in (w for w in raised if not issubclass(w.category, Skipped)):
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    return splits, [str(w.message) for w in raised if issubclass(w.category, Skipped)]


def compared(
    task: Task, table: Mapping[str, Any], splits: Mapping[Split, list[Example]]
) -> tuple[list[str], dict[Split, official.State]]:
    """What is odd about the splits beside what was published, in sentences; and what each of them is."""
    verdicts = official.verdicts(task, table, splits)
    odd = [f"{task.name}: {split}: {odd}" for split, (_, odd) in verdicts.items() if odd]
    return odd, {split: state for split, (state, _) in verdicts.items()}


def figures(
    found: TaskData, metrics: dict[str, Any], undefined: dict[str, Any], groups: dict[str, Any]
) -> dict[str, Any]:
    """The part of a result that says how good it is; `groups`: by split, the figures of groups of examples."""
    task = found.task
    split = task.report if metrics.get(task.report) else "dev"
    name = task.metrics[0]
    floor = evaluation.trivial(task, found.splits["train"], found.splits[split])
    return {
        "primary": {"metric": name, "split": split, "value": metrics[split].get(name)},
        "metrics": {k: v for k, v in metrics.items() if v},
        "undefined": {k: v for k, v in undefined.items() if v},
        **({"by_group": told} if (told := {k: v for k, v in groups.items() if v}) else {}),
        "majority": {"metric": name, "value": floor},
        "labels": list(task.labels),
        "examples": found.sizes,
        "data_hash": found.hash,
        "data_hashes": dict(found.hashes),
        "data_source": task.source,
        "data_state": dict(found.states),
    }
