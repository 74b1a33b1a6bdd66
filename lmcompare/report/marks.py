"""Rows that are not quite like the others: a sign at the cell, and what it stands for below, once for all of them."""

from collections.abc import Iterator
from typing import Any

from lmcompare.comparison import APART, TOLD, UNFAIR, Comparison, Mark

SIGNS = {APART: "‡", UNFAIR: "†", TOLD: "°"}  # by level, the gravest first
MEANT = {
    APART: "left out of means, differences and ranks",
    UNFAIR: "it counts, but cannot fairly be compared",
    TOLD: "good to know",
}


def signs(comparison: Comparison, arm: str, task: str) -> str:
    """One sign a level."""
    levels = {mark.level for mark in comparison.marked(arm, task)}
    return "".join(sign for level, sign in SIGNS.items() if level in levels)


def signed_spread(comparison: Comparison, arm: str, task: str, text: str) -> str:
    found = signs(comparison, arm, task)
    return f"{text} {found}" if found else text


def chips(comparison: Comparison, arm: str, task: str) -> list[dict[str, str]]:
    """What a cell of the page carries, a thing once."""
    marks = sorted(comparison.marked(arm, task), key=lambda mark: [*SIGNS].index(mark.level))
    by_what: dict[str, list[Mark]] = {}
    for mark in marks:
        by_what.setdefault(mark.what, []).append(mark)
    return [
        {
            "sign": SIGNS[several[0].level],
            "what": what,
            "reason": "; ".join(mark.reason for mark in several),
            "level": several[0].level,
        }
        for what, several in by_what.items()
    ]


def grouped(comparison: Comparison) -> list[dict[str, Any]]:
    """A row a reason, the gravest first: which rows it is about, and what would be right."""
    rows: dict[tuple[str, str, str, str], dict[str, list[str]]] = {}
    for level in SIGNS:
        for mark in (mark for mark in comparison.marks if mark.level == level):
            key = (level, mark.what, mark.reason, mark.right)
            rows.setdefault(key, {}).setdefault(mark.arm, []).append(mark.task)
    return [
        {
            "sign": SIGNS[level],
            "level": level,
            "what": what,
            "reason": reason,
            "right": right,
            "where": [place(arm, tasks, comparison) for arm, tasks in arms.items()],
        }
        for (level, what, reason, right), arms in rows.items()
    ]


def place(arm: str, tasks: list[str], comparison: Comparison) -> str:
    if len(tasks) == len(comparison.tasks) > 1:
        return f"{arm}, all tasks"
    more = f" and {len(tasks) - 4} more" if len(tasks) > 4 else ""
    return f"{arm} on {', '.join(tasks[:4])}{more}"


def lines(comparison: Comparison) -> Iterator[str]:
    """For a terminal."""
    for row in grouped(comparison):
        fair = f" To be fair: {row['right']}." if row["right"] and row["level"] != TOLD else ""
        yield f"{row['sign']} {'; '.join(row['where'])}: {row['reason']}.{fair}"
    if levels := [level for level in SIGNS if any(mark.level == level for mark in comparison.marks)]:
        yield "; ".join(f"{SIGNS[level]} {MEANT[level]}" for level in levels) + "."


def alike(comparison: Comparison) -> dict[str, Any] | None:
    """The page's part; None where nothing is to be said."""
    rows = grouped(comparison)
    meant = [
        {"sign": SIGNS[level], "said": MEANT[level]}
        for level in SIGNS
        if any(r["level"] == level for r in rows)
    ]
    return {"rows": rows, "meant": meant} if rows else None
