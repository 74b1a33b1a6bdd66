"""What a suite's runs come to: a score for each task as its board counts it, and the averages over the tasks.

Shares throughout, never points. Nothing stands in for a run without a value: it is counted, and it is in no mean."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, Any

from lmcompare import lineage

if TYPE_CHECKING:
    from lmcompare.results import Record

Result = Mapping[str, Any]
# Where the most frequent answer has no value, an answer that never looks at its example still has one by definition.
UNRELATED = {"matthews": 0.0, "pearson": 0.0, "spearman": 0.0}


@dataclass(frozen=True)
class Spread:
    """Values of several seeds."""

    n: int
    mean: float | None
    sd: float | None  # sample standard deviation, from two values on
    median: float | None
    best: float | None


@dataclass(frozen=True)
class TaskScore:
    """One task over all its seeds. `degenerate` counts finished runs that are no better than the floor, or have no
    value (`undefined`, which are among them)."""

    task: str
    metric: str | None  # its first one, by which a run is degenerate or not
    split: str | None
    figures: dict[str, Spread]  # what counts, by name
    absent: tuple[str, ...]  # what counts and is not here, since its split is not
    score: Spread  # of each run's mean over its figures
    by_seed: dict[int, float]
    runs: int
    failed: int
    degenerate: int
    undefined: int
    majority: float | None  # what the most frequent answer gets by the metric
    floor: float | None  # that, or what an answer unrelated to its example gets
    start: tuple[str, ...]  # tasks that the encoder had been taught before


@dataclass(frozen=True)
class Average:
    """A mean over tasks. It is `complete`, and only then the suite's, where no task of it is missing or falls short."""

    name: str
    complete: bool
    tasks: tuple[str, ...]  # over which
    of: int  # how many a complete one has
    mean: float | None
    sd: float | None  # of the seeds that every task has
    by_seed: dict[int, float]
    short: tuple[str, ...]  # why it is not complete


def task_score(task: str, records: Sequence["Record"], counts: Sequence[str]) -> TaskScore:
    """`counts`: the figures whose mean is the task's score, as "metric" or "split.metric"; none: its first metric."""
    results = [record.result for record in records if record.result]
    primary = results[0]["primary"] if results else {"metric": None, "split": None}
    names = list(counts) or [str(result["primary"]["metric"]) for result in results[:1]]
    tables = [{name: figure(result, name) for name in names if has(result, name)} for result in results]
    there = [name for name in names if any(name in table for table in tables)]
    by_seed = {
        result["seed"]: value
        for result, table in zip(results, tables, strict=True)
        if (value := whole(table)) is not None
    }
    majority, floor = floors(results)
    firsts = [finite(result["primary"]["value"]) for result in results]
    starts = dict.fromkeys(tuple(lineage.taught(result.get("lineage") or [])) for result in results)
    return TaskScore(
        task=task,
        metric=primary["metric"],
        split=primary["split"],
        figures={name: spread([table.get(name) for table in tables]) for name in there},
        absent=tuple(name for name in names if name not in there),
        score=spread(list(by_seed.values())),
        by_seed=by_seed,
        runs=len(records),
        failed=len(records) - len(results),
        degenerate=sum(v is None or (floor is not None and v <= floor) for v in firsts),
        undefined=firsts.count(None),
        majority=majority,
        floor=floor,
        start=tuple(dict.fromkeys(name for start in starts for name in start)),
    )


def average(
    name: str,
    tasks: Sequence[TaskScore],
    *,
    counted: Sequence[str],
    short: Mapping[str, Sequence[str]],
) -> Average:
    """The mean over the tasks that are `counted`; `short` tells, by task, why what is there is not the whole of it."""
    mine = {task.task: task for task in tasks if task.task in counted and task.score.mean is not None}
    reasons = [why for task in counted for why in short.get(task, ())]
    reasons += [
        f"{task.task}: no run has a value" for task in tasks if task.task in counted and task.task not in mine
    ]
    reasons += [
        f"{task.task} without {', '.join(task.absent)}"
        for task in mine.values()
        if task.absent and task.figures
    ]
    first, *others = mine.values() or (None,)
    seeds = [s for s in first.by_seed if all(s in task.by_seed for task in others if task)] if first else []
    by_seed = {seed: fmean(task.by_seed[seed] for task in mine.values()) for seed in seeds}
    means = [task.score.mean for task in mine.values() if task.score.mean is not None]
    return Average(
        name=name,
        complete=not reasons and len(mine) == len(counted),
        tasks=tuple(mine),
        of=len(counted),
        mean=fmean(means) if means else None,
        sd=spread(list(by_seed.values())).sd,
        by_seed=by_seed,
        short=tuple(reasons),
    )


def spread(values: Sequence[float | None]) -> Spread:
    """Of those that are there."""
    found = [value for value in values if value is not None]
    if not found:
        return Spread(0, None, None, None, None)
    return Spread(
        len(found), fmean(found), stdev(found) if len(found) > 1 else None, median(found), max(found)
    )


def has(result: Result, name: str) -> bool:
    """Whether the run was asked for this figure at all, whatever came of it."""
    split, metric = place(result, name)
    return metric in result["metrics"].get(split, {})


def figure(result: Result, name: str) -> float | None:
    split, metric = place(result, name)
    return finite(result["metrics"][split][metric])


def place(result: Result, name: str) -> tuple[str, str]:
    split, _, metric = name.rpartition(".")
    return split or result["primary"]["split"], metric


def whole(table: Mapping[str, float | None]) -> float | None:
    """A run's score: the mean of its figures, where each has a value."""
    values = [value for value in table.values() if value is not None]
    return fmean(values) if values and len(values) == len(table) else None


def floors(results: Sequence[Result]) -> tuple[float | None, float | None]:
    """What the most frequent answer gets, as all runs tell it; and what counts as no better than not looking."""
    told = {finite((result.get("majority") or {}).get("value")) for result in results}
    majority = told.pop() if len(told) == 1 else None
    unrelated = UNRELATED.get(results[0]["primary"]["metric"]) if results else None
    return majority, unrelated if majority is None else majority


def finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
