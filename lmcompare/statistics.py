"""What a set of runs says together: means over seeds, differences between arms, what is missing.
A run without a value is counted and named; no mean is silent about standing on fewer tasks."""

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from lmcompare import differences, lineage
from lmcompare.comparison import (
    Cell,
    Comparison,
    Curve,
    Difference,
    Failed,
    Mean,
    PretrainingFacts,
    RunFacts,
    SeedValue,
    TaskFacts,
    Value,
)
from lmcompare.config import fingerprint, task_name
from lmcompare.errors import UserError

if TYPE_CHECKING:
    from lmcompare.results import Record

MOST_POINTS = 400  # of a curve: more than a chart has pixels only makes the page heavy

Row = tuple[str, "Record"]  # the arm's name and a run of it


def summarize(
    rows: Sequence[Row],
    *,
    title: str,
    quick: bool = False,
    compare: Sequence[tuple[str, str]] = (),
    margin: float | None = None,
) -> Comparison:
    """Put runs beside each other; arms and tasks in the order in which they first appear. `compare`: the pairs of arms
    whose answers are held against each other; none: those that the arms' roles suggest."""
    transfers = _by_data([row for row in rows if task_of(row[1]) is not None])
    _each_once(transfers)
    arms = tuple(dict.fromkeys(arm for arm, _ in transfers))
    names = tuple(dict.fromkeys(str(task_of(record)) for _, record in transfers))
    tasks = tuple(_task_facts(name, _of_task(transfers, name)) for name in names)
    metrics = {task.name: task.metric for task in tasks}
    runs = tuple(_run_facts(arm, record, metrics[str(task_of(record))]) for arm, record in transfers)
    groups: dict[tuple[str, str], list[RunFacts]] = {(a, t): [] for t in names for a in arms}
    for run in runs:
        groups[run.arm, run.task].append(run)
    cells = {key: _cell(*key, group) for key, group in groups.items()}
    pairs = [pair for pair in compare if set(pair) <= set(arms)] or differences.asked(runs, arms)
    paired = differences.of_pairs(pairs, tasks, transfers, runs, margin)
    return Comparison(
        title=title,
        quick=quick,
        arms=arms,
        tasks=tasks,
        cells=tuple(cells.values()),
        means=tuple(_mean(arm, [cells[arm, name] for name in names]) for arm in arms),
        differences=tuple(
            _difference(a, b, [(cells[a, name], cells[b, name]) for name in names])
            for i, a in enumerate(arms)
            for b in arms[:i]
        ),
        paired=paired,
        contests=differences.contests(paired),
        ranks=differences.ranks(arms, tasks, cells),
        margin=margin,
        failed=tuple(_failed(arm, r) for arm, r in rows if r.status == "failed"),
        runs=runs,
        pretraining=tuple(_pretraining(arm, r) for arm, r in rows if task_of(r) is None),
        notes=tuple(note for name in names for note in _notes(name, _of_task(transfers, name))),
        settings=tuple((record.run, record.config) for _, record in rows),
    )


def task_of(record: "Record") -> str | None:
    """The task's name; None for a pretraining run."""
    if record.result and "task" in record.result:
        return record.result["task"]
    task = record.config.get("task")
    return task_name(task) if isinstance(task, dict) else task


def _by_data(rows: Sequence[Row]) -> list[Row]:
    """No mean over different data: where runs of an arm saw different versions of a task, each is an arm of its own."""
    seen: dict[tuple[str, str | None], set[str]] = {}
    for arm, record in rows:
        if version := _version(record):
            seen.setdefault((arm, task_of(record)), set()).add(version)
    torn = {arm for (arm, _), versions in seen.items() if len(versions) > 1}
    return [
        (f"{arm}, {_told_data(record)}" if arm in torn and _version(record) else arm, record)
        for arm, record in rows
    ]


def _version(record: "Record") -> str:
    """Of the data behind a run's figure: the training part and the split that is reported."""
    result = record.result or {}
    hashes, split = result.get("data_hashes") or {}, (result.get("primary") or {}).get("split")
    both = {str(part): hashes[part] for part in ("train", split) if part in hashes}
    return fingerprint(both) if both else str(result.get("data_hash") or "")


def _told_data(record: "Record") -> str:
    states = ((record.result or {}).get("data_state") or {}).items()
    odd = [f"{split} {state}" for split, state in states if state not in ("official", "unknown")]
    return f"data {_version(record)[:6]}" + (f" ({', '.join(odd)})" if odd else "")


def _of_task(rows: Iterable[Row], task: str) -> list["Record"]:
    return [record for _, record in rows if task_of(record) == task]


def _seed(record: "Record") -> int | None:
    return (record.result or {}).get("seed", record.config.get("seed"))


def _each_once(rows: Sequence[Row]) -> None:
    """Two values for one arm, task and seed could not be paired, and would count a seed twice."""
    seen: dict[tuple[str, str | None, int | None], str] = {}
    for arm, record in rows:
        if record.status != "finished":
            continue
        key = (arm, task_of(record), _seed(record))
        if key in seen:
            raise UserError(
                f"{record.run}: a second run of {arm!r} on {key[1]} with seed {key[2]}, "
                f"beside {seen[key]}; leave one out or give them different arms"
            )
        seen[key] = record.run


def _task_facts(name: str, records: Sequence["Record"]) -> TaskFacts:
    results = [record.result for record in records if record.result]
    found = dict.fromkeys((r["primary"]["metric"], r["primary"]["split"]) for r in results)
    if len(found) > 1:
        shown = ", ".join(f"{metric} on {split}" for metric, split in found)
        raise UserError(f"{name}: these runs report different figures ({shown}); compare runs that share one")
    metric, split = next(iter(found), (None, None))
    floors = {r["majority"]["value"] for r in results if (r.get("majority") or {}).get("metric") == metric}
    return TaskFacts(name, metric, split, _finite(floors.pop()) if len(floors) == 1 else None)


def _notes(name: str, records: Sequence["Record"]) -> list[str]:
    hashes = {record.result.get("data_hash") for record in records if record.result}
    if len(hashes) < 2:
        return []
    return [f"{name}: these runs used {len(hashes)} different versions of the data"]


def _run_facts(arm: str, record: "Record", metric: str | None) -> RunFacts:
    result = record.result or {}
    primary = result.get("primary") or {}
    value = _finite(primary.get("value"))
    why = None
    if record.status == "finished" and value is None:
        why = ((result.get("undefined") or {}).get(primary.get("split")) or {}).get(
            metric, "no reason is on record"
        )
    mix = result.get("layer_mix")
    return RunFacts(
        run=record.run,
        arm=arm,
        task=str(task_of(record)),
        seed=_seed(record),
        status=record.status,
        kind=result.get("kind"),
        backend=result.get("backend"),
        weights="taught" if lineage.taught(result.get("lineage") or []) else result.get("weights"),
        value=value,
        undefined=why,
        seconds=_finite(result.get("seconds")),
        tokens=result.get("tokens"),
        curve=_curve(
            (row["step"], row["metrics"].get(metric)) for row in record.log if row.get("split") == "dev"
        ),
        layer_mix=tuple(mix) if mix else None,
        warnings=tuple(result.get("warnings") or ()),
    )


def _cell(arm: str, task: str, runs: Sequence[RunFacts]) -> Cell:
    values = tuple(Value(run.seed, run.value, run.run) for run in runs if run.value is not None)
    mean, sd = _spread([value.value for value in values])
    status = [run.status for run in runs]
    return Cell(
        arm=arm,
        task=task,
        n=len(values),
        failed=status.count("failed"),
        unfinished=status.count("unfinished"),
        undefined=status.count("finished") - len(values),
        mean=mean,
        sd=sd,
        values=values,
    )


def _mean(arm: str, cells: Sequence[Cell]) -> Mean:
    filled = [cell for cell in cells if cell.mean is not None]
    if len(filled) < len(cells):
        empty = [cell.task for cell in cells if cell.mean is None]
        more = f" and {len(empty) - 3} more" if len(empty) > 3 else ""
        reason = f"no value for {', '.join(empty[:3])}{more}"
        return Mean(arm, None, None, 0, len(filled), (), reason)
    tables = [{value.seed: value.value for value in cell.values} for cell in cells]
    per_seed = _per_seed(tables)
    lost = sum(cell.failed + cell.unfinished + cell.undefined for cell in cells)
    reasons = [f"{lost} run{'s' * (lost != 1)} without a value left out"] if lost else []
    if any(len(table) > len(per_seed) for table in tables):
        reasons.append(f"only {len(per_seed)} of its seeds cover{'s' * (len(per_seed) == 1)} every task")
    mean = fmean(cell.mean for cell in filled if cell.mean is not None)
    sd = _spread([value.value for value in per_seed])[1]
    return Mean(arm, mean, sd, len(per_seed), len(cells), per_seed, "; ".join(reasons) or None)


def _difference(a: str, b: str, pairs: Sequence[tuple[Cell, Cell]]) -> Difference:
    both = [(x, y) for x, y in pairs if x.mean is not None and y.mean is not None]
    tables = []
    for x, y in both:
        other = {value.seed: value.value for value in y.values}
        tables.append({v.seed: v.value - other[v.seed] for v in x.values if v.seed in other})
    per_seed = _per_seed(tables)
    means = [x.mean - y.mean for x, y in both if x.mean is not None and y.mean is not None]
    return Difference(a, b, fmean(means) if means else None, per_seed, len(per_seed), len(both))


def _per_seed(tables: Sequence[dict[int | None, float]]) -> tuple[SeedValue, ...]:
    """The mean over the tables for each seed that is in all of them."""
    shared = [seed for seed in (tables[0] if tables else {}) if all(seed in table for table in tables)]
    return tuple(SeedValue(seed, fmean(table[seed] for table in tables)) for seed in shared)


def _failed(arm: str, record: "Record") -> Failed:
    reason = (record.failure or {}).get("reason") or "no reason is on record"
    step = (record.failure or {}).get("step")
    where = f" (step {step})" if step is not None else ""
    return Failed(record.run, arm, task_of(record), _seed(record), f"{reason}{where}")


def _pretraining(arm: str, record: "Record") -> PretrainingFacts:
    result = record.result or {}
    dev = [row for row in record.log if row.get("split") == "dev"]
    names = dict.fromkeys(name for row in dev for name in row["metrics"])
    metrics = (result.get("metrics") or {}).get("dev") or {}
    return PretrainingFacts(
        run=record.run,
        arm=arm,
        seed=_seed(record),
        status=record.status,
        metrics={name: _finite(value) for name, value in metrics.items()},
        train=_curve((row["step"], row["loss"]) for row in record.log if "loss" in row),
        dev={name: _curve((row["step"], row["metrics"].get(name)) for row in dev) for name in names},
        seconds=_finite(result.get("seconds")),
        tokens=result.get("tokens"),
        warnings=tuple(result.get("warnings") or ()),
    )


def _curve(points: Iterable[tuple[int, Any]]) -> Curve:
    """The finite points; of a very long curve every n-th and the last."""
    finite = [(step, value) for step, raw in points if (value := _finite(raw)) is not None]
    stride = math.ceil(len(finite) / MOST_POINTS)
    return tuple(p for i, p in enumerate(finite) if i % stride == 0 or i == len(finite) - 1)


def _spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    return (fmean(values) if values else None), (stdev(values) if len(values) > 1 else None)


def _finite(value: Any) -> float | None:
    """A number, or None: NaN and infinity are no figures, and JSON has no word for them."""
    return float(value) if value is not None and math.isfinite(value) else None
