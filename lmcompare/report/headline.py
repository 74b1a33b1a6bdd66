"""The outcome in a few plain sentences, every number of them computed from the comparison."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import fmean

from lmcompare.comparison import Comparison, Contest, Difference, Mean
from lmcompare.differences import Pair, Role, controlled, in_context, roles, ways
from lmcompare.guard import LACKS
from lmcompare.report.contested import (
    beaten,
    contest_of,
    counted_points,
    doubtful,
    left_open,
    level,
    tally,
)
from lmcompare.report.cost import cheaper, quicker
from lmcompare.report.figures import counted, points, signed

QUICK = "Quick run: little training, few seeds. It shows that everything works; it is not a finding."
SPOKEN = 4  # pairs of arms in sentences; of more, the page and the terminal have a line each


def headline(comparison: Comparison) -> list[str]:
    """The first sentence is the outcome; the others qualify it."""
    if not comparison.arms:
        nothing = f"{counted(len(comparison.pretraining), 'pretraining run')}, and no task yet."
        return [nothing, *losses(comparison)]
    found = roles(comparison.runs, comparison.arms)
    said = worths(comparison, found) if controlled(found) else contest_first(comparison, found)
    # What a pair costs may stand in the sentence on what it reaches.
    times = [sentence for pair in ways(found) for sentence in cheaper(comparison, *pair)]
    return [*said, *(one for one in times if one[:-1] not in said[0]), *losses(comparison)]


def worths(comparison: Comparison, arms: dict[Role, str]) -> list[str]:
    """What pretraining is worth, where arms with and without it are there; then how it is best used."""
    (tuned, random), *others = controlled(arms)
    return [
        worth(comparison, tuned, random),
        *by_seed(between(comparison, tuned, random)),
        *(another(comparison, *pair) for pair in others),
        *used(comparison, arms),
    ]


def contest_first(comparison: Comparison, arms: dict[Role, str]) -> list[str]:
    """Else: features or fine-tuning, where both are there, and what it costs; else who beats whom, answer by answer;
    else who leads."""
    two = ways(arms)
    spoken = [*two, *in_context(arms)]
    said = used(comparison, arms)
    if two and contest_of(comparison, *two[0]):
        cost = quicker(comparison, two) if len(two) > 1 else cheaper(comparison, *two[0])
        said[0] = "; ".join(sentence.removesuffix(".") for sentence in (said[0], *cost)) + "."
    others = [c for c in comparison.contests if c.tasks and not among((c.a, c.b), spoken)]
    if len(others) <= SPOKEN:
        said += [beaten(comparison, contest) for contest in others]
        spoken += [(contest.a, contest.b) for contest in others]
    # A sentence that only says what an arm without any network reaches is no outcome.
    led = leader(comparison, spoken)
    return [*led, *said] if not spoken else [*said, *led]


def used(comparison: Comparison, arms: dict[Role, str]) -> list[str]:
    """Each way of using what was pretrained against the other, and against what needs no context, or no network."""
    return [
        *between_ways(comparison, ways(arms)),
        *(held_or_not(comparison, *pair) for pair in ways(arms)),
        *(above_static(comparison, arm, static) for arm, static in in_context(arms)),
        *(
            f"With no network at all ({arm}): {points(mean.mean)} points."
            for (_, kind, _), arm in arms.items()
            if kind == "baseline" and (mean := mean_of(comparison, arm)).mean is not None
        ),
    ]


def among(pair: Pair, pairs: Iterable[Pair]) -> bool:
    """In either order."""
    return any(set(pair) == set(other) for other in pairs)


def between_ways(comparison: Comparison, pairs: Sequence[Pair]) -> list[str]:
    """Fine-tuning against features over all models that were used both ways."""
    known = [contest for pair in pairs if (contest := contest_of(comparison, *pair))]
    if len(known) < 2:
        return []
    won, lost, places = (sum(getattr(one, what) for one in known) for what in ("wins", "losses", "tasks"))
    ahead = fmean(contest.difference or 0.0 for contest in known)
    # The models answered the same examples: their intervals are taken to move together, which makes the mean's wide.
    ends = [[one.low for one in known], [one.high for one in known]]
    low, high = (None if None in side else fmean(end for end in side if end is not None) for side in ends)
    of, over = f"{places} pairs of a model and a task", f"on average over {len(known)} models"
    told = tally("fine-tuning", "feature extraction", (won, lost), ahead, of, over + doubtful(low, high))
    mine = [one for one in comparison.paired if one.difference is not None and among((one.a, one.b), pairs)]
    equal = [t.name for t in comparison.tasks
             if {one.verdict for one in mine if one.task == t.name} == {"equal"}]  # fmt: skip
    alike = level(equal, [one for one in mine if one.task in equal])
    left = left_open(sum(contest.open for contest in known), "pair")
    return [f"{told[0].upper()}{told[1:]}{alike}{left}."]


def held_or_not(comparison: Comparison, tuned: str, features: str) -> str:
    """Both ways of one model: by their answers where those are kept, else by their means."""
    contest = contest_of(comparison, tuned, features)
    return beaten(comparison, contest) if contest else way(comparison, tuned, features)


def worth(comparison: Comparison, tuned: str, random: str) -> str:
    found = apart(comparison, tuned, random)
    if found.difference is None:
        return f"What pretraining is worth cannot be told: no task has a value for both {tuned} and {random}."
    size, over = points(abs(found.difference)), f"on average over {share(found, comparison)}"
    if size == "0.0":
        return f"Pretraining makes no difference to {tuned} (0.0 points), {over}."
    ends = (found.low, found.high) if found.difference > 0 else (less(found.high), less(found.low))
    within = "" if None in ends else f" (95 %: {points(ends[0])} to {points(ends[1])})"
    size = counted_points(size)
    verb = f"costs {tuned} {size}" if found.difference < 0 else f"is worth {size} to {tuned}"
    return f"Pretraining {verb}, {over}{within}{doubtful(found.low, found.high)}."


def less(value: float | None) -> float | None:
    return None if value is None else -value


def another(comparison: Comparison, tuned: str, random: str) -> str:
    found = apart(comparison, tuned, random)
    if found.difference is None:
        return f"{tuned} and {random} share no task with a value."
    lies = "behind" if found.difference < 0 else "ahead of"
    return f"{tuned} is {counted_points(points(abs(found.difference)))} {lies} {random}{ending(found, comparison)}."


def above_static(comparison: Comparison, arm: str, static: str) -> str:
    """What context is worth: one vector a word is named as what it is, whatever its arm is called."""
    found = apart(comparison, arm, static)
    if found.difference is None:
        return f"{arm} and {static} share no task with a value."
    plain = "plain word vectors" + (f" ({static})" if static.lower() != "word vectors" else "")
    size, end = counted_points(points(abs(found.difference))), ending(found, comparison)
    if found.difference < 0:
        return f"{plain[0].upper()}{plain[1:]} are {size} ahead of {arm}{end}."
    return f"{arm} is {size} ahead of {plain}{end}."


def apart(comparison: Comparison, a: str, b: str) -> Contest:
    """`a` minus `b`: of their answers to the same examples where those are kept, else of their means."""
    if contest := contest_of(comparison, a, b):
        return contest
    found = between(comparison, a, b)
    return Contest(a, b, found.tasks, 0, 0, 0, 0, found.mean, None, None)


def ending(found: Contest, comparison: Comparison) -> str:
    """On how many tasks, where not on all; and whether it may be chance."""
    over = f" over {share(found, comparison)}" if found.tasks != len(comparison.tasks) else ""
    return over + doubtful(found.low, found.high)


def way(comparison: Comparison, tuned: str, features: str) -> str:
    difference = between(comparison, tuned, features)
    if difference.mean is None:
        return f"{tuned} and {features} share no task with a value, so neither is ahead."
    size, over = points(abs(difference.mean)), share(difference, comparison)
    if size == "0.0":
        return f"{tuned} and {features} are level over {over}."
    if difference.mean > 0:
        return f"{tuned} is {counted_points(size)} ahead of {features} over {over}."
    return f"{features} is {counted_points(size)} ahead of {tuned} over {over}."


def leader(comparison: Comparison, spoken: Sequence[Pair] = ()) -> list[str]:
    """For any set of arms: who has the highest mean, and by how much. Of two that were held against each other the
    answers tell more, if it is not said already: their means may stand on other seeds."""
    ranked = sorted(
        ((mean.mean, mean.arm) for mean in comparison.means if mean.mean is not None), reverse=True
    )
    over = counted(len(comparison.tasks), "task")
    if not ranked:
        return [f"No arm has a value for every one of {over}, so none is ranked."]
    best, arm = ranked[0]
    if len(comparison.arms) == 1:
        return [f"{arm}: {points(best)} points on average over {over}."]
    unranked = len(comparison.arms) - len(ranked)
    left = f" ({counted(unranked, 'arm')} without a value for every task not ranked)" if unranked else ""
    if len(ranked) == 1:
        return [f"{arm} reaches {points(best)} points on average over {over}{left}."]
    behind, second = ranked[1]
    if among((arm, second), spoken):
        return []
    if contest := contest_of(comparison, arm, second):
        return [beaten(comparison, contest)]
    if not same_seeds(comparison, arm, second):
        reached = f"{points(best)} points on average over {over}"
        return [f"{arm} reaches {reached}, {second} {points(behind)}, each with seeds of its own{left}."]
    if points(best - behind) == "0.0":
        return [f"{arm} and {second} are level at {points(best)} points over {over}{left}."]
    return [
        f"{arm} leads with {points(best)} points on average over {over}, "
        f"{points(best - behind)} ahead of {second}{left}."
    ]


def same_seeds(comparison: Comparison, a: str, b: str) -> bool:
    """Whether the values of two arms are of the same seeds on every task."""
    draws = [
        [
            {(value.seed, value.data_seed) for value in comparison.cell(arm, task.name).values}
            for arm in (a, b)
        ]
        for task in comparison.tasks
    ]
    return all(mine == others for mine, others in draws)


def losses(comparison: Comparison) -> list[str]:
    """Runs without a value are said, not only left out."""
    total = len(comparison.runs)
    lacking = sum((run.undefined or "").startswith(LACKS) for run in comparison.runs)
    counts = {
        "failed": sum(cell.failed for cell in comparison.cells),
        "did not finish": sum(cell.unfinished for cell in comparison.cells),
        "ended with an undefined figure": sum(cell.undefined for cell in comparison.cells) - lacking,
        f"{'has' if lacking == 1 else 'have'} no figure of this kind": lacking,
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    return (
        [f"Of {counted(total, 'run')}, {', '.join(parts)}: they have no value and enter no mean."]
        if parts
        else []
    )


def between(comparison: Comparison, a: str, b: str) -> Difference:
    """`a` minus `b`, whichever of the two came first."""
    for found in comparison.differences:
        if (found.a, found.b) == (a, b):
            return found
        if (found.a, found.b) == (b, a):
            mean = None if found.mean is None else -found.mean
            flipped = tuple(replace(v, value=-v.value) for v in found.per_seed)
            return Difference(a, b, mean, flipped, found.n, found.tasks)
    raise KeyError((a, b))


def mean_of(comparison: Comparison, arm: str) -> Mean:
    return next(mean for mean in comparison.means if mean.arm == arm)


def share(difference: Difference | Contest, comparison: Comparison) -> str:
    """How many tasks a difference stands on; all of them, or so many of them."""
    total = counted(len(comparison.tasks), "task")
    return total if difference.tasks == len(comparison.tasks) else f"{difference.tasks} of {total}"


def by_seed(difference: Difference) -> list[str]:
    """How far the seeds are apart: one sentence, where there are seeds to tell."""
    values = sorted(value.value for value in difference.per_seed)
    if len(values) < 2:
        return ["One seed only, so chance cannot be told from effect."] if values else []
    return [
        f"{len(values)} seeds of {difference.a} and of {difference.b} have every task; by seed the difference is "
        f"{signed(values[0])} to {signed(values[-1])}."
    ]
