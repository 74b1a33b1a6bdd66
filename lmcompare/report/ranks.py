"""The page's part on average ranks: which arms do the tasks tell apart? (The diagram after Demšar 2006, §3.2.4.)"""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from lmcompare.comparison import Comparison, Ranks
from lmcompare.report import charts
from lmcompare.report.charts import Scale
from lmcompare.report.figures import counted


def ranks(comparison: Comparison, colors: dict[str, int]) -> dict[str, Any] | None:
    """A row an arm, the best first, and a bar for every group that is not told apart."""
    found = comparison.ranks
    if found is None:
        return None
    on = Scale(1, len(found.ranks), tuple(float(rank) for rank in range(1, len(found.ranks) + 1)))
    rows = [
        {"arm": arm, "index": colors[arm], "rank": f"{rank:.2f}", "svg": mark(arm, rank, on, colors[arm])}
        for arm, rank in found.ranks
    ]
    bars = [
        {"count": counted(last - first + 1, "arm"), "svg": bar(found, first, last, on)}
        for first, last in joined([rank for _, rank in found.ranks], found.critical)
    ]
    return {"rows": rows, "bars": bars, "axis": charts.axis(on, factor=1), "told": told(found, len(bars))}


def joined(ranks: Sequence[float], critical: float) -> list[tuple[int, int]]:
    """First and last place of every group of sorted ranks that lie closer than `critical`; none lies within another."""
    groups: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(place for place, other in enumerate(ranks) if other - rank < critical)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups


def mark(arm: str, rank: float, on: Scale, index: int) -> Markup:
    title = f"{arm}: average rank {rank:.2f}"
    return charts.strip([(rank, title)], mean=None, floor=None, on=on, index=index, label=title)


def bar(found: Ranks, first: int, last: int, on: Scale) -> Markup:
    names = [arm for arm, _ in found.ranks[first : last + 1]]
    low, high = found.ranks[first][1], found.ranks[last][1]
    line = Markup('<line class="joins" x1="{}%" x2="{}%" y1="50%" y2="50%"/>')
    svg = Markup('<svg class="strip" role="img" aria-label="{}">{}{}</svg>')
    drawn = line.format(on.place(low), on.place(high))
    return svg.format(f"not told apart: {', '.join(names)}", Markup("").join(charts.grid(on)), drawn)


def told(found: Ranks, bars: int) -> str:
    """What the picture is, and how little it may stand on."""
    tasks = counted(found.tasks, "task")
    arms = len(found.ranks)
    text = (
        f"Each arm's rank among the {arms}, 1 the best, averaged over the {tasks} on which all of them have a figure "
        f"(the mean over seeds). Nemenyi's test at 5 % tells ranks apart that differ by {found.critical:.2f} or more"
    )
    if found.critical > arms - 1:
        return f"{text}: over so few tasks, none can."
    return f"{text}; a bar joins arms that it does not." if bars else f"{text}: here, all of them."
