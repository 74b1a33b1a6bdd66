"""The outcome in a few plain sentences, every number of them computed from the comparison."""

from lmcompare.comparison import Comparison, Contest, Difference, Mean
from lmcompare.differences import controlled, in_context, roles, ways
from lmcompare.report.figures import counted, points, signed

QUICK = "Quick run: little training, few seeds. It shows that everything works; it is not a finding."


def headline(comparison: Comparison) -> list[str]:
    """The first sentence is the outcome; the others qualify it."""
    arms = roles(comparison.runs, comparison.arms)
    pairs = controlled(arms)
    sentences = []
    if pairs:
        tuned, random = pairs[0]
        sentences.append(worth(comparison, tuned, random))
        sentences += by_seed(between(comparison, tuned, random))
        sentences += [another(comparison, *pair) for pair in pairs[1:]]
        sentences += [way(comparison, *pair) for pair in ways(arms)]
        sentences += [above_static(comparison, arm, static) for arm, static in in_context(arms)]
        sentences += [
            f"With no network at all ({arm}): {points(mean.mean)} points."
            for (_, kind, _), arm in arms.items()
            if kind == "baseline" and (mean := mean_of(comparison, arm)).mean is not None
        ]
    elif comparison.arms:
        sentences.append(leader(comparison))
    else:
        sentences.append(f"{counted(len(comparison.pretraining), 'pretraining run')}, and no task yet.")
    return [*sentences, *losses(comparison)]


def worth(comparison: Comparison, tuned: str, random: str) -> str:
    difference = between(comparison, tuned, random)
    if difference.mean is None:
        return f"What pretraining is worth cannot be told: no task has a value for both {tuned} and {random}."
    size = points(abs(difference.mean))
    over = f"on average over {share(difference, comparison)}"
    if size == "0.0":
        return f"Pretraining makes no difference (0.0 points) {over}."
    verb = "costs" if difference.mean < 0 else "is worth"
    return f"Pretraining {verb} {counted_points(size)} {over}."


def another(comparison: Comparison, tuned: str, random: str) -> str:
    difference = between(comparison, tuned, random)
    if difference.mean is None:
        return f"{tuned} and {random} share no task with a value."
    lies = "behind" if difference.mean < 0 else "ahead of"
    return f"{tuned} is {counted_points(points(abs(difference.mean)))} {lies} {random}."


def above_static(comparison: Comparison, arm: str, static: str) -> str:
    difference = between(comparison, arm, static)
    if difference.mean is None:
        return f"{arm} and {static} share no task with a value."
    lies = "behind" if difference.mean < 0 else "ahead of"
    size = counted_points(points(abs(difference.mean)))
    return f"In context against one vector a word: {arm} is {size} {lies} {static}."


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


def leader(comparison: Comparison) -> str:
    """For any set of arms: who has the highest mean, and by how much."""
    ranked = sorted(
        ((mean.mean, mean.arm) for mean in comparison.means if mean.mean is not None), reverse=True
    )
    over = counted(len(comparison.tasks), "task")
    if not ranked:
        return f"No arm has a value for every one of {over}, so none is ranked."
    best, arm = ranked[0]
    if len(comparison.arms) == 1:
        return f"{arm}: {points(best)} points on average over {over}."
    unranked = len(comparison.arms) - len(ranked)
    left = f" ({counted(unranked, 'arm')} without a value for every task not ranked)" if unranked else ""
    if len(ranked) == 1:
        return f"{arm} reaches {points(best)} points on average over {over}{left}."
    behind, second = ranked[1]
    if points(best - behind) == "0.0":
        return f"{arm} and {second} are level at {points(best)} points over {over}{left}."
    return (
        f"{arm} leads with {points(best)} points on average over {over}, "
        f"{points(best - behind)} ahead of {second}{left}."
    )


def losses(comparison: Comparison) -> list[str]:
    """Runs without a value are said, not only left out."""
    total = len(comparison.runs)
    counts = {
        "failed": sum(cell.failed for cell in comparison.cells),
        "did not finish": sum(cell.unfinished for cell in comparison.cells),
        "ended with an undefined figure": sum(cell.undefined for cell in comparison.cells),
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
            flipped = tuple(type(v)(v.seed, -v.value) for v in found.per_seed)
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
        f"{len(values)} seeds have every task with and without pretraining; by seed the difference "
        f"is {signed(values[0])} to {signed(values[-1])}."
    ]


def counted_points(size: str) -> str:
    return f"{size} point{'' if size == '1.0' else 's'}"
