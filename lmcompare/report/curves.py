"""Charts over steps: how the runs learned their tasks, and how pretraining went."""

from typing import Any

from markupsafe import Markup

from lmcompare.comparison import Comparison, PretrainingFacts, told_draw
from lmcompare.report import charts
from lmcompare.report.charts import Line
from lmcompare.report.figures import points, task_facts

Section = list[dict[str, Any]]


def curves(comparison: Comparison, colors: dict[str, int]) -> Section:
    """The development figure over the steps, every run a thin line."""
    shown = [run for run in comparison.runs if run.curve]
    y = charts.share_scale(value for run in shown for _, value in run.curve)
    cards = []
    for task in comparison.tasks:
        runs = [run for run in shown if run.task == task.name]
        if not runs:
            continue
        x = charts.step_scale(step for run in runs for step, _ in run.curve)
        lines = [Line(r.curve, colors[r.arm], f"{r.arm}, {told_draw(r)}", arm=colors[r.arm]) for r in runs]
        ends = "; ".join(f"{r.arm}, {told_draw(r)}: ends at {points(r.curve[-1][1])}" for r in runs)
        label = f"{task.name}, {task.metric} on the development split over steps. {ends}"
        cards.append(
            {
                "task": task_facts(task),
                "metric": f"{task.metric}, dev",
                "svg": charts.plot(lines, x=x, y=y, label=label, factor=100),
            }
        )
    return cards


def pretraining(comparison: Comparison) -> Section:
    """A card a figure: the loss with its training part, then every other held-out metric."""
    shown = [facts for facts in comparison.pretraining if facts.train or facts.dev]
    names = list(dict.fromkeys(["loss", *(name for facts in shown for name in facts.dev)]))
    cards = []
    for name in names if shown else []:
        share = name.endswith("accuracy")
        lines = []
        for index, facts in enumerate(shown, start=3):  # from the palette's blue on
            dev = facts.dev.get(name, ())
            if name == "loss" and facts.train:
                lines.append(Line(facts.train, index, f"{facts.run}: training loss"))
            if dev:
                lines.append(Line(dev, index, f"{facts.run}: {name}, held out", dots=name == "loss"))
            if dev and name != "loss":
                lines.append(Line(dev, index, f"{facts.run}: {name}, held out", dots=True))
        last = [f"{final(name, facts)}" for facts in shown if final(name, facts)]
        cards.append(
            {
                "name": name.replace("_", " "),
                "unit": "points" if share else "",
                "last": ", ".join(last),
                "svg": line_chart(lines, name, share),
            }
        )
    return cards


def final(name: str, facts: PretrainingFacts) -> str:
    value = facts.metrics.get(name)
    return "" if value is None else points(value) if name.endswith("accuracy") else f"{value:.3g}"


def line_chart(lines: list[Line], name: str, share: bool) -> Markup:
    every = [point for line in lines for point in line.points]
    y = (charts.share_scale if share else charts.scale)([0.0, *(value for _, value in every)])
    x = charts.step_scale(step for step, _ in every)
    return charts.plot(lines, x=x, y=y, label=f"{name} over steps", factor=100 if share else 1)
