"""Examples on which two arms disagree: how many in which direction, and the strongest of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from lmcompare.comparison import Disagreement, Torn

MOST = 20  # of a task and direction are kept
DIRECTIONS = ("a", "b", "both")  # a is right and b is not; the other way round; both wrong, and differently

Answers = Sequence[Any]
Found = tuple[float, Torn]  # how strong, and what


def between(
    a: str,
    b: str,
    task: str,
    ids: Sequence[str],
    gold: Answers,
    ours: Sequence[Answers],
    theirs: Sequence[Answers],
    right: Callable[[Any, Any], bool] | None,
) -> Disagreement:
    """`ours` and `theirs`: what a and b answered, a row a seed, in pairs. `right` says whether an answer is, given the
    gold; None: answers are numbers, and the nearer one is the better."""
    found: dict[str, list[Found]] = {direction: [] for direction in DIRECTIONS}
    for place, (name, label) in enumerate(zip(ids, gold, strict=True)):
        left, other = ([row[place] for row in rows] for rows in (ours, theirs))
        if left == other:
            continue
        one = nearer(name, label, left, other) if right is None else torn(name, label, left, other, right)
        if one is not None:
            found[one[1].direction].append(one)
    counts = {direction: len(several) for direction, several in found.items()}
    shown = [one for several in found.values() for _, one in strongest(several)]
    return Disagreement(a, b, task, len(ours), counts, tuple(shown))


def torn(
    name: str, gold: Any, left: Answers, other: Answers, right: Callable[[Any, Any], bool]
) -> Found | None:
    """Who is right in more seeds; or, where none ever is, in how many seeds the answers differ. None: neither."""
    marks = [sum(right(gold, answer) for answer in answers) for answers in (left, other)]
    ahead = marks[0] - marks[1]
    if not ahead and any(marks):
        return None
    strength = abs(ahead) or sum(x != y for x, y in zip(left, other, strict=True))
    direction = "a" if ahead > 0 else "b" if ahead < 0 else "both"
    return strength, Torn(name, direction, gold, counted(left), counted(other), marks[0], marks[1])


def nearer(name: str, gold: float, left: Answers, other: Answers) -> Found | None:
    """Whose numbers are nearer to the gold one, on average over seeds, and by how much."""
    ahead = fmean(abs(y - gold) - abs(x - gold) for x, y in zip(left, other, strict=True))
    if not ahead:
        return None
    told = [tuple((answer, 1) for answer in answers) for answers in (left, other)]
    return abs(ahead), Torn(name, "a" if ahead > 0 else "b", gold, told[0], told[1], None, None)


def counted(answers: Answers) -> tuple[tuple[Any, int], ...]:
    """Each answer with the number of seeds that gave it, the most frequent first."""
    return tuple(Counter(answers).most_common())


def strongest(found: Sequence[Found]) -> list[Found]:
    """Equally strong ones stay in the order of the examples: the same list every time."""
    return sorted(found, key=lambda one: -one[0])[:MOST]
