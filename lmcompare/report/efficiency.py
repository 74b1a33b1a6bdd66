"""The page's part on labels: arms that differ in the number of their training examples alone are one curve."""

from statistics import fmean
from typing import Any

from lmcompare.comparison import Comparison, RunFacts, told_draw
from lmcompare.report import charts
from lmcompare.report.charts import Line
from lmcompare.report.figures import counted, points, task_facts

Sizes = dict[int, list[RunFacts]]  # by the number of training examples, the runs that have a value


def efficiency(comparison: Comparison) -> dict[str, Any] | None:
    """A card a task, and one for their mean; None where no series has two sizes on one task."""
    found = by_size(comparison)
    names = [name for name, tasks in found.items() if any(len(sizes) > 1 for sizes in tasks.values())]
    if not names:
        return None
    every = [found[name][task] for name in names for task in found[name]]
    x = charts.log_scale(size for sizes in every for size in sizes)
    y = charts.share_scale(run.value or 0.0 for sizes in every for runs in sizes.values() for run in runs)
    cards = []
    if whole := mean_lines(comparison, found, names):
        name = {"prefix": "", "rest": f"mean of {counted(len(comparison.tasks), 'task')}", "full": ""}
        cards.append({"task": name, "metric": "points", "svg": drawn(whole, x, y, "mean over the tasks")})
    for task in comparison.tasks:
        lines = [
            line for i, name in enumerate(names) for line in of_task(found[name].get(task.name, {}), i, name)
        ]
        if lines:
            facts = task_facts(task)
            cards.append({"task": facts, "metric": facts["metric"], "svg": drawn(lines, x, y, task.name)})
    series = [{"name": name, "color": charts.color(index)} for index, name in enumerate(names)]
    return {"cards": cards, "series": series}


def by_size(comparison: Comparison) -> dict[str, dict[str, Sizes]]:
    """By series and task."""
    found: dict[str, dict[str, Sizes]] = {}
    for run in comparison.runs:
        if run.train and run.value is not None:
            sizes = found.setdefault(run.series, {}).setdefault(run.task, {})
            sizes.setdefault(run.train, []).append(run)
    return found


def of_task(sizes: Sizes, color: int, name: str) -> list[Line]:
    """The means over seeds as a line, the seeds as dots."""
    if not sizes:
        return []
    means = [(size, fmean(run.value or 0.0 for run in sizes[size])) for size in sorted(sizes)]
    ends = ", ".join(f"{size:,}: {points(value)}" for size, value in means)
    dots = [
        Line(
            [(size, run.value or 0.0)],
            color,
            f"{name}, {size:,} examples, {told_draw(run)}: {points(run.value)}",
        )
        for size, runs in sizes.items()
        for run in runs
    ]
    return [Line(means, color, f"{name}: {ends}"), *dots] if len(means) > 1 else dots


def mean_lines(comparison: Comparison, found: dict[str, dict[str, Sizes]], names: list[str]) -> list[Line]:
    """Over the tasks, at the sizes that each of them has; nothing for a single task."""
    tasks = [task.name for task in comparison.tasks]
    lines = []
    for color, name in enumerate(names):
        of = [found[name].get(task, {}) for task in tasks]
        shared = sorted(size for size in of[0] if all(size in sizes for sizes in of))
        means = [
            (size, fmean(fmean(run.value or 0.0 for run in sizes[size]) for sizes in of)) for size in shared
        ]
        if len(tasks) > 1 and len(means) > 1:
            ends = ", ".join(f"{size:,}: {points(value)}" for size, value in means)
            title = f"{name}: {ends}"
            lines += [Line(means, color, title), Line(means, color, title, dots=True)]
    return lines


def drawn(lines: list[Line], x: charts.LogScale, y: charts.Scale, what: str) -> Any:
    label = f"{what}, points over training examples. " + "; ".join(
        line.title for line in lines if len(line.points) > 1 and not line.dots
    )
    return charts.plot(lines, x=x, y=y, label=label, factor=100)
