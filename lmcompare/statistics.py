"""What a set of runs says together: means over seeds, differences between arms, what is missing.
A run without a value is counted and named; no mean is silent about standing on fewer tasks."""

import math
import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, Any

from lmcompare import differences, frontier, guard, lineage
from lmcompare.comparison import (
    Cell,
    Comparison,
    Curve,
    Difference,
    Draw,
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
from lmcompare.paired import averaged, student

if TYPE_CHECKING:
    from lmcompare.results import Record

SAME = 1e-9  # what two figures in binary may be apart, and be the same
MOST_POINTS = 400  # of a curve: more than a chart has pixels only makes the page heavy

Row = tuple[str, "Record"]  # the arm's name and a run of it


def summarize(
    rows: Sequence[Row],
    *,
    title: str,
    quick: bool = False,
    compare: Sequence[tuple[str, str]] = (),
    margin: float | None = None,
    series: Mapping[str, str] | None = None,
) -> Comparison:
    """Put runs beside each other; arms and tasks in the order in which they first appear. `compare`: the pairs of arms
    whose answers are held against each other; none: those that the arms' roles suggest. `series`: which curve an arm
    is a point of, where its name does not tell."""
    transfers = _by_data([row for row in rows if task_of(row[1]) is not None])
    _each_once(transfers)
    arms = tuple(dict.fromkeys(arm for arm, _ in transfers))
    names = tuple(dict.fromkeys(str(task_of(record)) for _, record in transfers))
    tasks = tuple(_task_facts(name, _of_task(transfers, name)) for name in names)
    facts = {task.name: task for task in tasks}
    marks = guard.all_marks(tasks, transfers)
    curves = {arm: (series or {}).get(arm) or series_of(arm) for arm in arms}
    runs = tuple(
        _run_facts(arm, record, facts[str(task_of(record))], curves[arm]) for arm, record in transfers
    )
    groups: dict[tuple[str, str], list[RunFacts]] = {(a, t): [] for t in names for a in arms}
    for run in runs:
        groups[run.arm, run.task].append(run)
    cells = {key: _cell(*key, group, facts[key[1]].majority) for key, group in groups.items()}
    counted = guard.counted(cells, marks)
    pairs = [pair for pair in compare if set(pair) <= set(arms)] or differences.asked(runs, arms)
    paired, torn = differences.of_pairs(pairs, tasks, transfers, runs, margin, marks)
    floors = differences.orderless(runs)
    return Comparison(
        title=title,
        quick=quick,
        arms=arms,
        tasks=tasks,
        cells=tuple(cells.values()),
        means=tuple(_mean(arm, [counted[arm, name] for name in names]) for arm in arms),
        differences=tuple(
            _difference(a, b, [(counted[a, name], counted[b, name]) for name in names], floors)
            for i, a in enumerate(arms)
            for b in arms[:i]
        ),
        paired=paired,
        contests=differences.contests(paired),
        ranks=differences.ranks(arms, tasks, counted),
        margin=margin,
        costs=frontier.arm_costs(
            arms, names, runs, [r for _, r in transfers], [r.run for _, r in rows if task_of(r) is None]
        ),
        failed=tuple(_failed(arm, r) for arm, r in rows if r.status == "failed"),
        runs=runs,
        pretraining=tuple(_pretraining(arm, r) for arm, r in rows if task_of(r) is None),
        notes=guard.notes(tasks, transfers),
        settings=tuple((record.run, record.config) for _, record in rows),
        disagreements=torn,
        marks=marks,
    )


def task_of(record: "Record") -> str | None:
    """The task's name; None for a pretraining run."""
    if record.result and "task" in record.result:
        return record.result["task"]
    task = record.config.get("task")
    return task_name(task) if isinstance(task, dict) else task


def series_of(arm: str) -> str:
    """The arm without the number of examples that it learned from."""
    return re.sub(r", examples=\d+(?=,|$)", "", arm)


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


def _draw(record: "Record") -> Draw:
    """The seeds that a run was drawn with: that of its weights, and that of its data's order where it is another."""
    seed, order = _seed(record), record.config.get("data_seed")
    return seed, None if order == seed else order


def _drawn(cell: Cell) -> dict[Draw, float]:
    return {(value.seed, value.data_seed): value.value for value in cell.values}


def _each_once(rows: Sequence[Row]) -> None:
    """Two values for one arm, task and seed could not be paired, and would count a seed twice."""
    seen: dict[tuple[str, str | None, Draw], str] = {}
    for arm, record in rows:
        if record.status != "finished":
            continue
        key = (arm, task_of(record), _draw(record))
        if key in seen:
            told = " and order ".join(str(part) for part in key[2] if part is not None)
            raise UserError(
                f"{record.run}: a second run of {arm!r} on {key[1]} with seed {told}, "
                f"beside {seen[key]}; leave one out or give them different arms"
            )
        seen[key] = record.run


def _task_facts(name: str, records: Sequence["Record"]) -> TaskFacts:
    """The figure that most of the runs report is the task's; the first, where as many report another."""
    results = [record.result for record in records if record.result]
    found = Counter((r["primary"]["metric"], r["primary"]["split"]) for r in results).most_common(1)
    metric, split = found[0][0] if found else (None, None)
    same = [r["majority"] for r in results if r.get("majority") and r["primary"]["split"] == split]
    floors = {floor["value"] for floor in same if floor["metric"] == metric}
    return TaskFacts(name, metric, split, _finite(floors.pop()) if len(floors) == 1 else None)


def _run_facts(arm: str, record: "Record", task: TaskFacts, series: str) -> RunFacts:
    result = record.result or {}
    metric, (known, reason) = task.metric, guard.figure(result, task.metric, task.split)
    value, why = _finite(known), None
    if record.status == "finished" and value is None:
        why = reason or "no reason is on record"
    mix = result.get("layer_mix")
    return RunFacts(
        run=record.run,
        arm=arm,
        series=series,
        task=str(task_of(record)),
        seed=_seed(record),
        data_seed=_draw(record)[1],
        status=record.status,
        kind=result.get("kind"),
        backend=result.get("backend"),
        weights="taught" if lineage.taught(result.get("lineage") or []) else result.get("weights"),
        value=value,
        undefined=why,
        train=_learned_from(result),
        seconds=_finite(result.get("seconds")),
        tokens=result.get("tokens"),
        curve=_curve(
            (row["step"], row["metrics"].get(metric)) for row in record.log if row.get("split") == "dev"
        ),
        layer_mix=tuple(mix) if mix else None,
        warnings=tuple(result.get("warnings") or ()),
        cost=frontier.run_cost(result),
    )


def _cell(arm: str, task: str, runs: Sequence[RunFacts], majority: float | None) -> Cell:
    values = tuple(
        Value(run.seed, run.value, run.run, run.data_seed) for run in runs if run.value is not None
    )
    found = [value.value for value in values]
    by_seed = averaged(found, [(value.seed, value.data_seed) for value in values])
    low, high = student(by_seed)
    status = [run.status for run in runs]
    return Cell(
        arm=arm,
        task=task,
        n=len(values),
        failed=status.count("failed"),
        unfinished=status.count("unfinished"),
        undefined=status.count("finished") - len(values),
        mean=_spread(by_seed)[0],
        sd=_spread(found)[1],
        low=low,
        high=high,
        median=median(found) if found else None,
        best=max(found, default=None),
        degenerate=None if majority is None else sum(value <= majority + SAME for value in found),
        values=values,
    )


def _mean(arm: str, cells: Sequence[Cell]) -> Mean:
    filled = [cell for cell in cells if cell.mean is not None]
    if len(filled) < len(cells):
        empty = [cell.task for cell in cells if cell.mean is None]
        more = f" and {len(empty) - 3} more" if len(empty) > 3 else ""
        reason = f"no value for {', '.join(empty[:3])}{more}"
        return Mean(arm, None, None, 0, len(filled), (), reason)
    tables = [_drawn(cell) for cell in cells]
    per_seed = _per_seed(tables)
    lost = sum(cell.failed + cell.unfinished + cell.undefined for cell in cells)
    reasons = [f"{lost} run{'s' * (lost != 1)} without a value left out"] if lost else []
    if any(len(table) > len(per_seed) for table in tables):
        reasons.append(f"only {len(per_seed)} of its seeds cover{'s' * (len(per_seed) == 1)} every task")
    mean = fmean(cell.mean for cell in filled if cell.mean is not None)
    sd = _spread([value.value for value in per_seed])[1]
    return Mean(arm, mean, sd, len(per_seed), len(cells), per_seed, "; ".join(reasons) or None)


def _difference(a: str, b: str, pairs: Sequence[tuple[Cell, Cell]], floors: Container[str]) -> Difference:
    both = [(x, y) for x, y in pairs if x.mean is not None and y.mean is not None]
    tables = []
    for x, y in both:
        found = differences.matched(_drawn(x), _drawn(y), (a in floors, b in floors))
        tables.append({draw: ours - theirs for draw, (ours, theirs) in found.items()})
    per_seed = _per_seed(tables)
    means = [x.mean - y.mean for x, y in both if x.mean is not None and y.mean is not None]
    return Difference(a, b, fmean(means) if means else None, per_seed, len(per_seed), len(both))


def _per_seed(tables: Sequence[dict[Draw, float]]) -> tuple[SeedValue, ...]:
    """The mean over the tables for each seed that is in all of them."""
    shared = [draw for draw in (tables[0] if tables else {}) if all(draw in table for table in tables)]
    return tuple(SeedValue(draw[0], fmean(table[draw] for table in tables), draw[1]) for draw in shared)


def _failed(arm: str, record: "Record") -> Failed:
    reason = (record.failure or {}).get("reason") or "no reason is on record"
    step = (record.failure or {}).get("step")
    where = f" (step {step})" if step is not None else ""
    draw = _draw(record)
    return Failed(record.run, arm, task_of(record), draw[0], f"{reason}{where}", draw[1])


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
        cost=frontier.run_cost(result),
    )


def _curve(points: Iterable[tuple[int, Any]]) -> Curve:
    """The finite points; of a very long curve every n-th and the last."""
    finite = [(step, value) for step, raw in points if (value := _finite(raw)) is not None]
    stride = math.ceil(len(finite) / MOST_POINTS)
    return tuple(p for i, p in enumerate(finite) if i % stride == 0 or i == len(finite) - 1)


def _spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    return (fmean(values) if values else None), (stdev(values) if len(values) > 1 else None)


def _learned_from(result: Mapping[str, Any]) -> int | None:
    """How many training examples a run has seen; a run on several tasks, and an old one, do not say."""
    sizes = result.get("examples")
    return sizes.get("train") if isinstance(sizes, dict) else None


def _finite(value: Any) -> float | None:
    """A number, or None: NaN and infinity are no figures, and JSON has no word for them."""
    return float(value) if value is not None and math.isfinite(value) else None
