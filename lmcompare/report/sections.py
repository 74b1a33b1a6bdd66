"""What the page's template is filled with: plain text and charts, section by section."""

from collections import Counter
from statistics import fmean
from typing import Any

from lmcompare.comparison import Cell, Comparison, Mean, PretrainingFacts, RunFacts, told_draw
from lmcompare.paired import averaged, student
from lmcompare.progress import clock
from lmcompare.report import charts
from lmcompare.report.cost import costs
from lmcompare.report.curves import curves, final, pretraining
from lmcompare.report.disagreements import disagreements
from lmcompare.report.efficiency import efficiency
from lmcompare.report.figures import (
    cell_notes,
    counted,
    degenerate_note,
    points,
    signed,
    spread,
    task_facts,
    task_name,
    usual_count,
)
from lmcompare.report.held import held
from lmcompare.report.marks import alike, chips
from lmcompare.report.ranks import ranks

Section = list[dict[str, Any]]


def all_of(comparison: Comparison) -> dict[str, Any]:
    colors = {arm: index for index, arm in enumerate(comparison.arms)}
    return {
        "arms": [{"name": arm, "index": i, "color": charts.color(i)} for arm, i in colors.items()],
        "tallies": tallies(comparison),
        "summary": summary(comparison, colors),
        "table": table(comparison),
        "floor": floor(comparison),
        "intervals": any(cell.low is not None for cell in comparison.cells),
        "means": [mean_cell(mean, comparison) for mean in comparison.means],
        "alike": alike(comparison),
        "ranks": ranks(comparison, colors),
        "cost": costs(comparison, colors),
        "held": held(comparison),
        "torn": disagreements(comparison),
        "differences": differences(comparison),
        "strips": strips(comparison, colors),
        "efficiency": efficiency(comparison),
        "curves": curves(comparison, colors),
        "mixes": mixes(comparison),
        "pretraining": pretraining(comparison),
        "problems": problems(comparison),
        "runs": [run_row(run) for run in comparison.runs],
        "pretraining_runs": [pretraining_row(facts) for facts in comparison.pretraining],
    }


def tallies(comparison: Comparison) -> list[tuple[str, str]]:
    counts = Counter(run.status for run in comparison.runs)
    seeds = len({(run.seed, run.data_seed) for run in comparison.runs})
    sizes = [
        (len(comparison.tasks), "task"),
        (len(comparison.arms), "arm"),
        (seeds, "seed"),
        (len(comparison.runs), "run"),
        (len(comparison.pretraining), "pretraining run"),
    ]
    shown = [(f"{n:,}", counted(n, word).split(" ", 1)[1]) for n, word in sizes if n]
    return shown + [(f"{counts[s]:,}", s) for s in ("failed", "unfinished") if counts[s]]


def summary(comparison: Comparison, colors: dict[str, int]) -> dict[str, Any]:
    """The first picture: every arm's mean over the tasks."""
    on = charts.share_scale(m.mean for m in comparison.means if m.mean is not None)
    rows = []
    for mean in comparison.means:
        dots = [(v.value, f"{told_draw(v)}: {points(v.value)}") for v in mean.per_seed]
        row = charts.strip(
            dots,
            mean=mean.mean,
            floor=None,
            on=on,
            index=colors[mean.arm],
            label=f"{mean.arm}, mean over the tasks: {points(mean.mean)}; "
            + ", ".join(title for _, title in dots),
            bar=True,
        )
        rows.append({"arm": mean.arm, "svg": row, "mean": points(mean.mean), "reason": mean.reason})
    return {"rows": rows, "axis": charts.axis(on)}


def table(comparison: Comparison) -> Section:
    usual = usual_count(comparison)
    rows = []
    for task in comparison.tasks:
        cells = [comparison.cell(arm, task.name) for arm in comparison.arms]
        best = comparison.best(task.name)
        rows.append(
            {
                "task": task_facts(task),
                "floor": exact(task.majority),
                "cells": [
                    {
                        "arm": cell.arm,
                        "mean": points(cell.mean),
                        "sd": points(cell.sd) if cell.sd is not None else "",
                        "value": exact(cell.mean),
                        "between": between(cell),
                        "notes": [*cell_notes(cell, usual), *degenerate_note(cell)],
                        "marks": chips(comparison, cell.arm, task.name),
                        "best": len(cells) > 1 and cell.mean is not None and cell.mean == best,
                    }
                    for cell in cells
                ],
            }
        )
    return rows


def exact(value: float | None) -> str:
    """What a column is sorted by."""
    return "" if value is None else repr(value)


def between(cell: Cell) -> str:
    return "" if cell.low is None else f"{points(cell.low)} to {points(cell.high)}"


def mean_cell(mean: Mean, comparison: Comparison) -> dict[str, Any]:
    # Where runs are missing, the mean is not that of the seeds.
    by_seed = averaged([v.value for v in mean.per_seed], [(v.seed, v.data_seed) for v in mean.per_seed])
    low, high = (None, None) if mean.reason else student(by_seed)
    return {
        "arm": mean.arm,
        "mean": points(mean.mean),
        "sd": points(mean.sd) if mean.sd is not None else "",
        "between": "" if low is None else f"{points(low)} to {points(high)}",
        "reason": mean.reason,
        "best": len(comparison.means) > 1 and mean.mean is not None and mean.mean == comparison.best_mean(),
    }


def floor(comparison: Comparison) -> str:
    """The mean of what the most frequent answers get; a dash where one of the tasks has none, nothing where all."""
    known = [task.majority for task in comparison.tasks if task.majority is not None]
    if not known:
        return ""
    return points(fmean(known) if len(known) == len(comparison.tasks) else None)


def differences(comparison: Comparison) -> dict[str, Any]:
    """Arm minus arm, a dot a seed, around zero; the largest first."""
    known = [d for d in comparison.differences if d.mean is not None]
    values = [v.value for d in known for v in d.per_seed] + [d.mean for d in known if d.mean]
    on = charts.scale([0.0, *(100 * value for value in values)])
    total = len(comparison.tasks)
    rows = []
    for d in sorted(known, key=lambda d: -abs(d.mean or 0.0)):
        dots = [(100 * v.value, f"{told_draw(v)}: {signed(v.value)}") for v in d.per_seed]
        rows.append(
            {
                "a": d.a,
                "b": d.b,
                "mean": signed(d.mean),
                "seeds": " · ".join(signed(v.value) for v in d.per_seed),
                "tasks": f"{d.tasks} of {counted(total, 'task')}" if d.tasks < total else "",
                "svg": charts.strip(
                    dots,
                    mean=None if d.mean is None else 100 * d.mean,
                    floor=None,
                    on=on,
                    index=comparison.arms.index(d.a),
                    label=f"{d.a} minus {d.b}: " + (", ".join(t for _, t in dots) or "no pair"),
                ),
            }
        )
    return {"rows": rows, "axis": charts.axis(on, factor=1)}


def strips(comparison: Comparison, colors: dict[str, int]) -> dict[str, Any]:
    """Every seed of every arm, task by task, on one scale for all of them."""
    floors = [task.majority for task in comparison.tasks if task.majority is not None]
    values = [value.value for cell in comparison.cells for value in cell.values]
    on, usual = charts.share_scale([*floors, *values]), usual_count(comparison)
    cards = []
    for task in comparison.tasks:
        rows = []
        for arm in comparison.arms:
            cell = comparison.cell(arm, task.name)
            dots = [(v.value, f"{arm}, {told_draw(v)}: {points(v.value)}") for v in cell.values]
            label = f"{task.name}, {arm}: " + (", ".join(points(v) for v, _ in dots) or "no value")
            svg = charts.strip(
                dots, mean=cell.mean, floor=task.majority, on=on, index=colors[arm], label=label
            )
            figures, notes = spread(cell.mean, cell.sd), cell_notes(cell, usual)
            rows.append({"arm": arm, "svg": svg, "figures": figures, "notes": notes})
        cards.append({"task": task_facts(task), "rows": rows})
    return {"cards": cards, "axis": charts.axis(on)}


def mixes(comparison: Comparison) -> Section:
    """By arm and depth: every layer's mean share by task, shaded by how far from equal it is."""
    groups: dict[tuple[str, int], dict[str, list[RunFacts]]] = {}
    for run in comparison.runs:
        if run.layer_mix:
            tasks = groups.setdefault((run.arm, len(run.layer_mix)), {})
            tasks.setdefault(run.task, []).append(run)
    out = []
    for (arm, depth), tasks in groups.items():
        means = {
            task: [fmean(column) for column in zip(*(r.layer_mix or () for r in runs), strict=True)]
            for task, runs in tasks.items()
        }
        equal = 1 / depth
        # Full color is at least a tenth away: shares that hardly differ should not stand out.
        far = max([0.1, *(abs(share - equal) for row in means.values() for share in row)])
        rows = [
            {
                "task": task_name(task),
                "cells": [{"share": f"{s:.2f}", "shade": round((s - equal) / far, 3)} for s in row],
                "count": len(tasks[task]),
            }
            for task, row in means.items()
        ]
        layers = ["embeddings", *(f"layer {n}" for n in range(1, depth))]
        out.append({"arm": arm, "layers": layers, "rows": rows, "equal": f"{equal:.2f}"})
    return out


def problems(comparison: Comparison) -> Section:
    """All runs without a value, with the reason."""
    failed = [
        {
            "what": "failed",
            "run": f.run,
            "arm": f.arm,
            "task": f.task or "–",
            "seed": told_draw(f).removeprefix("seed "),
            "reason": f.reason,
        }
        for f in comparison.failed
    ]
    others = [
        {
            "what": "undefined" if run.undefined else "unfinished",
            "run": run.run,
            "arm": run.arm,
            "task": run.task,
            "seed": told_draw(run).removeprefix("seed "),
            "reason": run.undefined or "it has neither a result nor a failure on record",
        }
        for run in comparison.runs
        if run.undefined or run.status == "unfinished"
    ]
    return failed + others


def run_row(run: RunFacts) -> dict[str, Any]:
    return {
        "run": run.run,
        "arm": run.arm,
        "task": run.task,
        "seed": told_draw(run).removeprefix("seed "),
        "outcome": points(run.value)
        if run.value is not None
        else "undefined"
        if run.undefined
        else run.status,
        "seconds": clock(run.seconds) if run.seconds is not None else "–",
        "tokens": f"{run.tokens:,}" if run.tokens is not None else "–",
        "mix": " · ".join(f"{share:.2f}" for share in run.layer_mix or ()),
        "figures": "",
        "warnings": run.warnings,
    }


def pretraining_row(facts: PretrainingFacts) -> dict[str, Any]:
    shown = [f"{name.replace('_', ' ')} {final(name, facts)}" for name in facts.metrics]
    return {
        "run": facts.run,
        "arm": facts.arm,
        "task": "pretraining",
        "seed": facts.seed,
        "outcome": "–" if shown else facts.status,
        "figures": ", ".join(shown),
        "seconds": clock(facts.seconds) if facts.seconds is not None else "–",
        "tokens": f"{facts.tokens:,}" if facts.tokens is not None else "–",
        "mix": "",
        "warnings": facts.warnings,
    }
