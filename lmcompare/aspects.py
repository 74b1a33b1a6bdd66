"""What the rows of a task should have alike, thing by thing, and the arms that have it otherwise than most."""

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmcompare.comparison import APART, TOLD, UNFAIR, Mark, TaskFacts
from lmcompare.config import flatten

if TYPE_CHECKING:
    from lmcompare.results import Record

# Of a task's table: what names it, where its files are (their hashes say what is in them), what changes no row.
SILENT = ("name", "called", "on_bad_row", "train", "dev", "test", "n_best")
# Settings that show the same examples otherwise: they change the hash of a split, and not what is asked.
SHOWN = ("context", "headers", "footers", "quotes")
SAME_DATA = "the same data for all, with --data, and the runs on it made again"

Cells = dict[str, list["Record"]]  # of one task: the finished runs of each arm
Facet = Callable[["Record"], Hashable]  # None where a run has none, or does not say


@dataclass(frozen=True)
class Aspect:
    what: str
    of: Facet
    reason: Callable[["Record", "Record"], str]  # of a row's run and of a usual one
    right: str
    level: str = UNFAIR
    axis: bool = True  # may be what the comparison is about


def uneven(task: str, cells: Cells, aspect: Aspect) -> Iterator[Mark]:
    """Arms that have a thing otherwise than most; where as many have it this way as that, the first are usual."""
    runs: dict[str, dict[Hashable, Record]] = {}
    for arm, records in cells.items():
        for record in records:
            if (value := aspect.of(record)) is not None:
                runs.setdefault(arm, {}).setdefault(value, record)
    counts = Counter(value for by_value in runs.values() for value in by_value)
    if len(counts) < 2 or (aspect.axis and is_axis(cells, aspect.of)):
        return
    usual, _ = counts.most_common(1)[0]
    pattern = next(by_value[usual] for by_value in runs.values() if usual in by_value)
    for arm, by_value in runs.items():
        odd = [record for value, record in by_value.items() if value != usual]
        for reason in dict.fromkeys(aspect.reason(record, pattern) for record in odd):
            yield Mark(arm, task, aspect.what, aspect.level, reason, aspect.right)


def is_axis(cells: Cells, of: Facet) -> bool:
    """Whether one way of working stands in several arms that differ in this: then it is what they are there to show."""
    values: dict[Hashable, dict[Hashable, str]] = {}
    for arm, records in cells.items():
        for record in records:
            if (value := of(record)) is not None:
                values.setdefault(way(record), {}).setdefault(value, arm)
    return any(len(set(by_value.values())) > 1 for by_value in values.values())


def way(record: "Record") -> Hashable:
    result = record.result or {}
    return (*(result.get(key) for key in ("kind", "backend", "weights")), str(record.config.get("model")))


def data(task: TaskFacts) -> Iterator[Aspect]:
    """The parts of the data, and how many of the training examples are learned from."""
    level = {"dev": TOLD, "train": UNFAIR, task.split: APART}
    for split in dict.fromkeys((task.split, "train", "dev")):

        def told(mine: "Record", usual: "Record", split: str = str(split)) -> str:
            return f"{split} is another version of the data{state(mine, split)}{state(usual, split, ' elsewhere')}"

        yield Aspect("data", hashed(split), told, SAME_DATA, level[split], axis=False)
    yield Aspect(
        "data",
        lambda r: None if (r.result or {}).get("data_hashes") else (r.result or {}).get("data_hash"),
        lambda mine, usual: "another version of the data",
        SAME_DATA,
        axis=False,
    )
    yield Aspect(
        "training examples",
        learned,
        lambda mine, usual: f"learned from {learned(mine):,} examples, others from {learned(usual):,}",
        "the same --set examples=N for all",
    )


def hashed(split: str | None) -> Facet:
    return lambda record: ((record.result or {}).get("data_hashes") or {}).get(split)


def alike(cells: Cells, of: Facet) -> Iterator[Cells]:
    """The runs, in groups that have a thing alike."""
    groups: dict[Hashable, Cells] = {}
    for arm, records in cells.items():
        for record in records:
            groups.setdefault(of(record), {}).setdefault(arm, []).append(record)
    yield from groups.values()


def shown(record: "Record") -> Hashable:
    table = table_of(record)
    return tuple(str(table.get(key)) for key in SHOWN)


def state(record: "Record", split: str, where: str = "") -> str:
    told = ((record.result or {}).get("data_state") or {}).get(split)
    return f", {told}{where}" if told not in (None, "unknown") else ""


def learned(record: "Record") -> Any:
    sizes = (record.result or {}).get("examples")
    return sizes.get("train") if isinstance(sizes, dict) else None


def settings(cells: Cells) -> Iterator[Aspect]:
    """What the task's own table says, key by key."""
    tables = [table_of(record) for records in cells.values() for record in records]
    for key in dict.fromkeys(key for table in tables for key in table):

        def value(record: "Record", key: str = key) -> Hashable:
            table = table_of(record)
            return json.dumps(table[key], sort_keys=True) if key in table else None

        def told(mine: "Record", usual: "Record", key: str = key) -> str:
            kept = f" (kept {key} give a post's group away)" if key in SHOWN[1:] else ""
            return f"task.{key} is {value(mine, key)}, elsewhere {value(usual, key)}{kept}"

        yield Aspect("task setting", value, told, f"the same --set task.{key}= for all")


def table_of(record: "Record") -> dict[str, Any]:
    table = record.config.get("task")
    flat = flatten(table) if isinstance(table, dict) else {}
    return {
        key: value for key, value in flat.items() if not (key in SILENT and isinstance(value, str | None))
    }


def machines() -> Iterator[Aspect]:
    """What computed, and which code."""
    yield Aspect(
        "precision",
        device,
        lambda mine, usual: f"computed on {device(mine)}; others on {device(usual)}",
        "the same device and --set training.precision= for all",
        TOLD,
    )
    yield Aspect(
        "version",
        version,
        lambda mine, usual: f"made and scored by {version(mine)}; others by {version(usual)}",
        "--force makes it again",
        TOLD,
        axis=False,
    )


def device(record: "Record") -> Hashable:
    result, training = record.result or {}, record.config.get("training") or {}
    if result.get("kind") == "baseline" or not result.get("device"):
        return None
    name = "cpu" if str(result["device"]).startswith("cpu") else str(result["device"])
    return f"{name}, precision {training.get('precision', 'auto')}"


def version(record: "Record") -> Hashable:
    known = (record.identity.get("versions") or {}).get("lmcompare")
    return known and f"lmcompare {known}, result format {(record.result or {}).get('format')}"
