"""The comparison on a terminal: tasks down and arms across, or task by task where it is narrow."""

import textwrap
from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lmcompare.comparison import Comparison, Contest, Mean, told_draw
from lmcompare.report.cost import cells, columns, warnings
from lmcompare.report.figures import (
    NOTHING,
    cell_notes,
    counted,
    points,
    printable,
    signed,
    spread,
    usual_count,
)
from lmcompare.report.headline import QUICK, headline, share
from lmcompare.report.marks import lines, signed_spread

MEAN = "mean"


def print_table(comparison: Comparison, console: Console | None = None) -> None:
    """Everything on the console, at any width: what does not fit is folded, never cut."""
    console = console or Console()
    words(console, comparison.title, "bold")
    if comparison.quick:
        words(console, QUICK, "yellow")
    if comparison.tasks:
        layouts = (grid(comparison, metrics=True), grid(comparison, metrics=False))
        fitting = (table for table in layouts if width(table, console) <= console.width)
        if table := next(fitting, None):
            console.print(table)
        else:
            print_folded(comparison, console)
        words(console, legend(comparison), "dim")
        print_costs(comparison, console)
    for line in remarks(comparison):
        words(console, line)
    for sentence in headline(comparison):
        words(console, sentence, "bold")


def words(console: Console, text: str, style: str = "") -> None:
    """One paragraph: no markup is read in it, and long words are folded."""
    console.print(Text(printable(text), style=style, overflow="fold"), highlight=False)


def width(table: Table, console: Console) -> int:
    unbounded = console.options.update(width=10_000)
    return Measurement.get(console, unbounded, table).maximum


def grid(comparison: Comparison, *, metrics: bool) -> Table:
    """`metrics`: in a column of their own; else below the task's name."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("task", no_wrap=True)
    if metrics:
        table.add_column("metric", no_wrap=True, style="dim")
    usual = usual_count(comparison)
    for arm in comparison.arms:
        table.add_column(heading(arm), justify="right", no_wrap=True)
    for task in comparison.tasks:
        metric = printable(task.metric or "no result")
        name = Text(printable(task.name))
        first = [name, Text(metric)] if metrics else [name.append(f"\n  {metric}", style="dim")]
        cells = [comparison.cell(arm, task.name) for arm in comparison.arms]
        best = comparison.best(task.name)
        figures = [
            figure(
                signed_spread(comparison, cell.arm, task.name, spread(cell.mean, cell.sd)),
                cell_notes(cell, usual),
                cell.mean is not None and cell.mean == best and len(cells) > 1,
            )
            for cell in cells
        ]
        table.add_row(*first, *figures)
    if len(comparison.tasks) > 1:
        table.add_section()
        top = comparison.best_mean() if len(comparison.arms) > 1 else None
        means = [
            figure(spread(mean.mean, mean.sd), mark(mean), top is not None and mean.mean == top)
            for mean in comparison.means
        ]
        table.add_row(Text(MEAN, style="bold"), *([Text("")] if metrics else []), *means)
    return table


def print_costs(comparison: Comparison, console: Console) -> None:
    """What a run of each arm takes: as a table where that fits, else a line an arm."""
    shown = [column for column in columns(comparison) if column.short]
    if not shown or len(comparison.arms) < 2:
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("a run, on average", no_wrap=True)
    for column in shown:
        table.add_column(column.short, justify="right", no_wrap=True)
    for row in comparison.costs:
        table.add_row(Text(printable(row.arm)), *cells(row, shown))
    console.print()
    if width(table, console) <= console.width:
        console.print(table)
    else:
        for row in comparison.costs:
            told = zip(shown, cells(row, shown), strict=True)
            line = ", ".join(f"{c.short} {cell}" for c, cell in told if cell != NOTHING)
            words(console, f"{row.arm}: {line}")
    for note in warnings(comparison):
        words(console, note, "dim")


def heading(arm: str) -> Text:
    """Folded between words to about the width of a figure."""
    lines = textwrap.wrap(printable(arm), 14, break_long_words=False) or [printable(arm)]
    return Text("\n".join(lines))


def figure(text: str, notes: list[str], best: bool) -> Text:
    """A note a line, so that a column stays narrow."""
    shown = Text(text, style="bold" if best else "")
    for note in notes:
        shown.append(f"\n({note})", style="yellow")
    return shown


def inline(text: str, notes: list[str]) -> str:
    return f"{text} ({', '.join(notes)})" if notes else text


def mark(mean: Mean) -> list[str]:
    """A mean that stands on fewer runs or tasks than it should is explained below the table."""
    return ["see below"] if mean.reason else []


def contested(contest: Contest, comparison: Comparison) -> str:
    """A pair of arms whose answers were held against each other: the mean, its interval, and how the tasks went."""
    between = "" if contest.low is None else f" (95 %: {signed(contest.low)} to {signed(contest.high)})"
    counts = [
        (contest.wins, "won"),
        (contest.losses, "lost"),
        (contest.equal, "equal"),
        (contest.open, "open"),
    ]
    went = ", ".join(f"{count} {word}" for count, word in counts if count)
    over = share(contest, comparison)
    return f"{contest.a} − {contest.b}: {signed(contest.difference)}{between} over {over}: {went}"


def print_folded(comparison: Comparison, console: Console) -> None:
    """Task by task, one line an arm; a name that is too long gets a line of its own."""
    usual = usual_count(comparison)
    for task in comparison.tasks:
        facts = f" ({task.metric})" if task.metric else ""
        words(console, f"{task.name}{facts}", "bold")
        for arm in comparison.arms:
            cell = comparison.cell(arm, task.name)
            text = signed_spread(comparison, arm, task.name, spread(cell.mean, cell.sd))
            print_pair(console, arm, inline(text, cell_notes(cell, usual)))
    if len(comparison.tasks) > 1:
        words(console, MEAN, "bold")
        for mean in comparison.means:
            print_pair(console, mean.arm, inline(spread(mean.mean, mean.sd), mark(mean)))


def print_pair(console: Console, name: str, text: str) -> None:
    name = printable(name)
    room = console.width - 2
    if len(name) + 2 + len(text) <= room:
        words(console, f"  {name}{text.rjust(room - len(name))}")
    else:
        console.print(Padding(Text(name, overflow="fold"), (0, 0, 0, 2)), highlight=False)
        padded = Text(text, justify="right", overflow="fold")
        console.print(Padding(padded, (0, 0, 0, 4)), highlight=False)


def legend(comparison: Comparison) -> str:
    """What the figures are."""
    splits = sorted({task.split for task in comparison.tasks if task.split})
    seeds = {(run.seed, run.data_seed) for run in comparison.runs}
    of = f" on {' and '.join(splits)}" if splits else ""
    spread_of = " ± sample standard deviation" if len(seeds) > 1 else ""
    return f"Points{of}: mean over {counted(len(seeds), 'seed')}{spread_of}."


def degenerate(comparison: Comparison) -> Iterator[str]:
    """Arms with runs that are no better than the most frequent answer: how many, and on which tasks."""
    for arm in comparison.arms:
        mine = [cell for cell in comparison.cells if cell.arm == arm and cell.degenerate is not None]
        found = {cell.task: cell.degenerate for cell in mine if cell.degenerate}
        if found:
            runs = counted(sum(cell.n for cell in mine), "run")
            on = ", ".join(f"{task} {count}" for task, count in found.items())
            yield f"degenerate (at or below majority): {arm}, {sum(found.values())} of {runs}: {on}"


def unheld(comparison: Comparison) -> Iterator[str]:
    """Why the answers of a pair could not be held against each other: task by task where some could, else once."""
    for contest in comparison.contests:
        mine = [one for one in comparison.paired if (one.a, one.b) == (contest.a, contest.b)]
        without = [one for one in mine if one.difference is None]
        for one in without if contest.tasks else without[:1]:
            on = one.task if contest.tasks else f"any task; of {one.task}"
            yield f"{one.a} − {one.b}, not held answer by answer on {on}: {one.reason}"


def remarks(comparison: Comparison) -> Iterator[str]:
    """Differences between arms, then everything that is missing, one line each."""
    held = {(contest.a, contest.b) for contest in comparison.contests if contest.tasks}
    yield from (contested(contest, comparison) for contest in comparison.contests if contest.tasks)
    yield from unheld(comparison)
    for d in comparison.differences:
        if d.mean is not None and not held & {(d.a, d.b), (d.b, d.a)}:
            yield f"{d.a} − {d.b}: {signed(d.mean)} over {share(d, comparison)}"
    yield from degenerate(comparison)
    for mean in comparison.means:
        if mean.reason and len(comparison.tasks) > 1:
            yield f"mean of {mean.arm}: {mean.reason}"
    for failed in comparison.failed:
        task = f"{failed.task}, " if failed.task else ""
        yield f"failed: {failed.run} ({failed.arm}, {task}{told_draw(failed)}): {failed.reason}"
    for run in comparison.runs:
        if run.undefined:
            yield f"undefined: {run.run} ({run.arm}, {run.task}, {told_draw(run)}): {run.undefined}"
    yield from lines(comparison)
    for note in comparison.notes:
        yield f"note: {note}"
    for facts in comparison.pretraining:
        shown = ", ".join(
            f"{name} {points(value) if name.endswith('accuracy') else f'{value:.4g}'}"
            for name, value in facts.metrics.items()
            if value is not None
        )
        yield f"pretraining {facts.run}: {shown or facts.status}"
