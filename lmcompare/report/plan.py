"""What a study would make, as lines for a person."""

from collections.abc import Iterator
from typing import Any

from lmcompare.progress import clock
from lmcompare.report.figures import counted

WIDEST = 40


def plan_lines(plan: dict[str, Any]) -> Iterator[str]:
    """The runs by arm, then what all of them come to."""
    yield f"{plan['study']}: {counted(plan['runs'], 'run')}, {plan['there']} there, {plan['missing']} to be made"
    arms = dict.fromkeys(row["arm"] for row in plan["rows"])
    width = min(WIDEST, max([len(arm) for arm in arms], default=0))
    yield ""
    yield f"{'':{width}}  {'runs':>5} {'there':>6} {'each':>9}"
    for arm in arms:
        rows = [row for row in plan["rows"] if row["arm"] == arm]
        runs, there = (sum(row[key] for row in rows) for key in ("runs", "there"))
        yield f"{arm[:width]:{width}}  {runs:5} {there:6} {each(rows):>9}  {evidence(rows)}".rstrip()
    if not plan["missing"]:
        return
    yield ""
    place = f"here, {plan['at_once']} at a time"
    seconds, without = plan["seconds"], plan["unknown_seconds"]
    told = "not known" if seconds is None else f"{least(without)} {clock(seconds)}"
    yield f"time: {told} ({place}){left(without)}"
    disk, without = plan["disk"], plan["unknown_disk"]
    told = "not known" if disk is None else f"{least(without)} {disk / 1e6:,.0f} MB"
    yield f"disk: {told}{left(without)}"


def least(without: list[str]) -> str:
    """What a sum is from which something is left out."""
    return "at least" if without else "about"


def each(rows: list[dict[str, Any]]) -> str:
    """Of a run, from the shortest task to the longest."""
    told = sorted(row["seconds"] for row in rows if row["seconds"] is not None)
    if not told:
        return "" if all(row["there"] == row["runs"] for row in rows) else "?"
    low, high = f"{told[0]:,.0f}", f"{told[-1]:,.0f}"
    return f"{low} s" if low == high else f"{low}–{high} s"


def evidence(rows: list[dict[str, Any]]) -> str:
    """What the seconds stand on."""
    kinds = dict.fromkeys(row["evidence"] for row in rows if row["evidence"])
    told = []
    for kind in kinds:
        mine = [row for row in rows if row["evidence"] == kind]
        count = sum(row["count"] for row in mine)
        what = f"{count} {kind}" if count else kind
        told.append(what if len(mine) == len(rows) else f"{what} ({len(mine)} of {len(rows)} tasks)")
    return ", ".join(told)


def left(names: list[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"; without what is not known: {shown}"
