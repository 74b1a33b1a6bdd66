"""Sentences about pairs of arms whose answers to the same examples were held against each other."""

import math
from collections.abc import Sequence
from dataclasses import replace

from lmcompare.comparison import Comparison, Contest, Paired
from lmcompare.report.figures import counted, points

CHANCE = ", which may be chance"


def beaten(comparison: Comparison, contest: Contest) -> str:
    """Who beats whom on how many tasks, by how much on average, and where they are equal."""
    two = {contest.a, contest.b}
    known = [one for one in comparison.paired if {one.a, one.b} == two and one.difference is not None]
    if len(known) == 1:
        return alone(known[0])
    counts, on = (contest.wins, contest.losses), places(comparison, contest)
    over = f"on average{doubtful(contest.low, contest.high)}"
    told = tally(contest.a, contest.b, counts, contest.difference or 0.0, on, over)
    equal = [one for one in known if one.verdict == "equal"]
    return f"{told}{level([one.task for one in equal], equal)}{left_open(contest.open, 'task')}."


def level(tasks: Sequence[str], equal: Sequence[Paired]) -> str:
    return f"; on {listed(tasks)} they are equal within {within(equal)}" if equal else ""


def left_open(count: int, what: str) -> str:
    return f"; {counted(count, what)} {'is' if count == 1 else 'are'} open" if count else ""


def alone(one: Paired) -> str:
    """The same of a pair that shares a single task."""
    ahead = one.difference or 0.0
    first, second = (one.a, one.b) if ahead >= 0 else (one.b, one.a)
    if one.verdict == "equal":
        return f"On {one.task}, {first} and {second} are equal within {within([one])}."
    size = counted_points(points(abs(ahead)))
    if one.verdict == "open":
        return f"On {one.task}, {first} is {size} ahead of {second}, which may be chance."
    return f"{first} beats {second} on {one.task} by {size}."


def tally(a: str, b: str, counts: tuple[int, int], ahead: float, places: str, over: str) -> str:
    """Whoever wins more often is named first; `ahead` is what a has on b."""
    (won, lost), size = counts, points(abs(ahead))
    if lost > won or (lost == won and ahead < 0):
        a, b, won, lost, ahead = b, a, lost, won, -ahead
    lies = "ahead" if ahead > 0 else "behind"
    if not won:
        apart = f"they are level {over.removesuffix(CHANCE)}"
        if size != "0.0":
            apart = f"{a} is {counted_points(size)} {lies} {over}"
        return f"{a} and {b} are told apart on none of {places}; {apart}"
    if size == "0.0":
        size, over = "level", over.removesuffix(CHANCE)
    else:
        size = f"{counted_points(size)} {lies}"
    return f"{a} beats {b} on {won} of {places}{f' and loses on {lost}' if lost else ''}: {size} {over}"


def listed(names: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def within(equal: Sequence[Paired]) -> str:
    """The end of their intervals that lies furthest from zero, rounded away from it."""
    far = max(max(abs(one.low or 0.0), abs(one.high or 0.0)) for one in equal)
    return counted_points(f"{math.ceil(1000 * far - 1e-6) / 10:.1f}")


def places(comparison: Comparison, contest: Contest) -> str:
    """On how many tasks the two were held against each other; of all tasks nothing more is said."""
    told = counted(contest.tasks, "task")
    if contest.tasks == len(comparison.tasks):
        return told
    cells = [
        [comparison.cell(arm, task.name).mean for arm in (contest.a, contest.b)] for task in comparison.tasks
    ]
    both = sum(None not in pair for pair in cells)
    return f"{told} {'that both have' if both == contest.tasks else 'whose answers could be held against each other'}"


def contest_of(comparison: Comparison, a: str, b: str) -> Contest | None:
    """Of these two arms, in that order, where some of their answers were held against each other."""
    for contest in comparison.contests:
        if contest.tasks and {contest.a, contest.b} == {a, b}:
            return contest if contest.a == a else turned(contest)
    return None


def turned(contest: Contest) -> Contest:
    """The same, seen from the other arm."""
    ends = (None if end is None else -end for end in (contest.difference, contest.high, contest.low))
    difference, low, high = ends
    return replace(
        contest, a=contest.b, b=contest.a, wins=contest.losses, losses=contest.wins,
        difference=difference, low=low, high=high,
    )  # fmt: skip


def doubtful(low: float | None, high: float | None) -> str:
    """What is added to a difference whose interval holds zero."""
    return CHANCE if low is not None and high is not None and low <= 0 <= high else ""


def counted_points(size: str) -> str:
    return f"{size} point{'' if size == '1.0' else 's'}"
