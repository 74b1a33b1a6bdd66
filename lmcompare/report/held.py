"""The page's part on pairs of arms whose answers were held against each other, task by task."""

from typing import Any

from lmcompare.comparison import Comparison, Contest, Paired
from lmcompare.paired import sure
from lmcompare.report import charts
from lmcompare.report.figures import counted, points, signed, task_name

WORDS = {"win": "ahead", "loss": "behind", "equal": "equal", "open": "open"}


def held(comparison: Comparison) -> list[dict[str, Any]]:
    """A card a pair: every task's difference in its interval, the whole first."""
    return [card(contest, comparison) for contest in comparison.contests if contest.tasks]


def card(contest: Contest, comparison: Comparison) -> dict[str, Any]:
    mine = [one for one in comparison.paired if (one.a, one.b) == (contest.a, contest.b)]
    shown: list[Paired | Contest] = [*mine, contest]
    ends = [v for one in shown for v in (one.low, one.difference, one.high) if v is not None]
    on = charts.scale([0.0, *(100 * value for value in ends)])
    index = comparison.arms.index(contest.a)
    rows = [row(one, on, index) for one in mine]
    if len(mine) > 1:
        rows.insert(0, whole(contest, on, index))
    return {"a": contest.a, "b": contest.b, "rows": rows, "axis": charts.axis(on, factor=1)}


def whole(contest: Contest, on: charts.Scale, index: int) -> dict[str, Any]:
    counts = [
        (contest.wins, "ahead"), (contest.losses, "behind"), (contest.equal, "equal"), (contest.open, "open"),
    ]  # fmt: skip
    return {
        "name": {"prefix": "", "rest": f"mean of {counted(contest.tasks, 'task')}", "full": ""},
        "svg": drawn(contest, on, index, "mean"),
        "figure": signed(contest.difference),
        "between": between(contest),
        "facts": ", ".join(f"{count} {word}" for count, word in counts if count),
    }


def row(one: Paired, on: charts.Scale, index: int) -> dict[str, Any]:
    facts = [told(one)] if one.difference is not None else []
    if one.p_holm is not None:
        facts.append("p < 0.001" if one.p_holm < 0.001 else f"p = {one.p_holm:.3f}")
    if one.a_right is not None and one.b_right is not None:
        facts.append(
            f"only {one.a} right: {one.a_right:,.0f}, only {one.b}: {one.b_right:,.0f}, of {one.examples:,}"
        )
    if one.reason:
        facts.append(one.reason)
    return {
        "name": task_name(one.task),
        "svg": drawn(one, on, index, one.task),
        "figure": signed(one.difference),
        "between": between(one),
        "facts": " · ".join(facts),
    }


def told(one: Paired) -> str:
    """The verdict; and where it is open for new seeds alone, that."""
    held_here = one.verdict == "open" and one.seeds > 1 and sure(one.p_holm)
    return "sure for these seeds, open for new ones" if held_here else WORDS[one.verdict]


def drawn(one: Paired | Contest, on: charts.Scale, index: int, what: str) -> Any:
    if one.difference is None:
        return ""
    low, high = (None if end is None else 100 * end for end in (one.low, one.high))
    told = f"{what}, {one.a} minus {one.b}: {signed(one.difference)}" + (between(one) and f", {between(one)}")
    return charts.whisker(low, 100 * one.difference, high, on=on, index=index, label=told)


def between(one: Paired | Contest) -> str:
    if one.low is None or one.high is None:
        return ""
    return f"{points(one.low)} to {points(one.high)}"
