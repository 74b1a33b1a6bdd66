"""Two arms on the same examples: how far apart are they, how sure is that, and how many answers changed?

Both levels at which chance enters are drawn anew: the examples, the same for both arms and all seeds, and the seeds, in
pairs. Over few seeds a bootstrap alone says too little: it divides by S where S − 1 is meant, and knows no Student. So
its spread is corrected for both; what seeds and examples share is counted once. The simulation that shows the interval
to cover what it should stands in the tests.

Where seeds and orders of the data are crossed, the runs of one seed are not drawn apart: a seed counts once, with the
mean over its orders. So the interval is for new seeds under these orders; how much other orders would move both arms
apart is not in it. Of a single seed the orders are what is drawn, and it is for new orders under that seed.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np

from lmcompare import randomness
from lmcompare.resampling import Prepared, Ranked, Sums

DRAWS = 2000
LEVEL = 0.95
CHUNK = 1 << 24  # numbers in a matrix of weights
ENOUGH = 0.9  # of the draws must give a figure, or there is no interval

Answers = Sequence[Any]


@dataclass(frozen=True)
class Interval:
    """A difference (a − b) and where it lies; no bounds where they cannot be told, and then the reason."""

    difference: float
    low: float | None
    high: float | None
    seeds: int
    examples: int
    reason: str | None = None


@dataclass(frozen=True)
class Flips:
    """Answers that changed, a seed: those that a alone has right, those that b alone has right, and all that differ."""

    a_right: float
    b_right: float
    differ: float
    examples: int


def drawn_together(draws: Sequence[tuple[Hashable, Hashable]]) -> list[Hashable]:
    """What chance drew for each run, given the seeds of its weights and of its data's order (see above)."""
    several = len({seed for seed, _ in draws}) > 1
    return [draw[0] if several else draw for draw in draws]


def averaged(values: Sequence[float], draws: Sequence[tuple[Hashable, Hashable]]) -> list[float]:
    """A figure for each seed: the mean over its orders."""
    if not values:
        return []
    return [float(value) for value in np.asarray(values, float) @ _shares(drawn_together(draws))]


def _shares(groups: Sequence[Hashable]) -> np.ndarray:
    """What each run counts in the mean of each group: a row a run, a column a group."""
    names = list(dict.fromkeys(groups))
    member_RS = np.array([[group == name for name in names] for group in groups], float)
    return member_RS / member_RS.sum(0)


def interval(
    a: Sequence[Prepared],
    b: Sequence[Prepared],
    *,
    groups: Sequence[Hashable] = (),
    draws: int = DRAWS,
    level: float = LEVEL,
    key: Any = 0,
) -> Interval | None:
    """The difference of the arms' figures on the same examples, seed by seed in pairs; None where one is undefined.
    `groups`: which runs are of one seed; absent: every run has its own."""
    share_RS = _shares(groups or range(len(a)))
    size, seeds = a[0].size, share_RS.shape[1]

    def apart(weights_BN: np.ndarray) -> np.ndarray:
        ours, theirs = (np.stack([arm.weighed(weights_BN) for arm in arms], -1) for arms in (a, b))
        return np.asarray((ours - theirs) @ share_RS)

    told_S = apart(np.ones((1, size)))[0]
    if not np.isfinite(told_S).all():
        return None
    difference = float(told_S.mean())
    chance = np.random.default_rng(randomness.number("interval", size, seeds, key))
    drawn_BS = _by_chunks(apart, chance, draws, size)
    drawn_BS = drawn_BS[np.isfinite(drawn_BS).all(1)]
    if size < 2 or len(drawn_BS) < ENOUGH * draws:
        why = "a single example" if size < 2 else "in too many resamples the metric is undefined"
        return Interval(difference, None, None, seeds, size, why)
    away_B = _both_levels(drawn_BS, chance) - difference
    low, high = np.quantile(away_B, [(1 - level) / 2, (1 + level) / 2])
    stretch = _stretch(told_S, drawn_BS, away_B, size, level)
    alone = "one seed: the spread over seeds is unknown" if seeds == 1 else None
    # The far side of the bootstrap's own distribution bounds the near side of the truth (the basic interval).
    bounds = difference - float(high) * stretch, difference - float(low) * stretch
    return Interval(difference, *bounds, seeds, size, alone)


def student(values: Sequence[float], level: float = LEVEL) -> tuple[float | None, float | None]:
    """Where the mean over more seeds lies, by Student's t: nothing is said of other examples."""
    if len(values) < 2:
        return None, None
    from scipy import stats

    middle, spread = fmean(values), stdev(values)
    away = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * spread / math.sqrt(len(values))
    return middle - away, middle + away


def _by_chunks(
    apart: Callable[[np.ndarray], np.ndarray], chance: np.random.Generator, draws: int, size: int
) -> np.ndarray:
    """The arms' difference by draw and seed, over examples drawn with replacement."""
    rows = max(1, CHUNK // size)
    found = []
    for begin in range(0, draws, rows):
        count = min(rows, draws - begin)
        places = chance.integers(size, size=(count, size)) + size * np.arange(count)[:, None]
        weights = np.bincount(places.ravel(), minlength=count * size).reshape(count, size)
        found.append(apart(weights.astype(float)))
    return np.concatenate(found)


def _both_levels(drawn_BS: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """The mean over seeds that are drawn with replacement as well, each draw's own."""
    draws, seeds = drawn_BS.shape
    chosen = chance.integers(seeds, size=(draws, seeds))
    return np.take_along_axis(drawn_BS, chosen, 1).mean(1)


def _stretch(told_S: np.ndarray, drawn_BS: np.ndarray, away_B: np.ndarray, size: int, level: float) -> float:
    """How much wider than the bootstrap's the interval must be."""
    from scipy import stats

    drawn = float(away_B.std(ddof=1))
    if drawn == 0:
        return 1.0
    seeds = len(told_S)
    of_examples = float(drawn_BS.mean(1).var(ddof=1))
    of_seeds = shared = 0.0
    if seeds > 1:
        of_seeds = float(told_S.var(ddof=1)) / seeds
        # What a seed does to single examples is in the spread over examples and in that over seeds.
        own = drawn_BS - drawn_BS.mean(1, keepdims=True)
        shared = float(own.var(0, ddof=1).sum()) / (seeds - 1) / seeds
    whole = max(of_examples + of_seeds - shared, of_examples, of_seeds)
    # Satterthwaite's degrees of freedom, with all of the spread over seeds: where it looks small over three of them, it
    # may have been chance. So the interval is a little wide (98 % in place of 95) where seeds do not matter at all.
    parts = [(of_examples, size - 1), (of_seeds, max(seeds - 1, 1))]
    freedom = whole**2 / sum(part**2 / df for part, df in parts) if whole else math.inf
    tail = (1 + level) / 2
    return math.sqrt(whole) / drawn * float(stats.t.ppf(tail, freedom) / stats.norm.ppf(tail))


def permutation(
    a: Sequence[Prepared],
    b: Sequence[Prepared],
    *,
    groups: Sequence[Hashable] = (),
    draws: int = DRAWS,
    key: Any = 0,
) -> float | None:
    """How often a difference as large comes by chance, were the arms' answers to each example exchangeable (all seeds
    of an example at once): a p-value for these seeds, over examples. None where the figure is undefined."""
    size = a[0].size
    share_R = _shares(groups or range(len(a))).mean(1)
    chance = np.random.default_rng(randomness.number("permutation", size, len(a), key))
    observed: float | None = None
    beyond = known = 0
    rows = max(1, CHUNK // size)
    for begin in range(-1, draws, rows):  # the draw before the first swaps nothing: the difference as it is
        count = min(rows, draws - begin)
        swap_BN = (chance.random((count, size)) < 0.5).astype(float)
        if begin < 0:
            swap_BN[0] = 0
        apart_B = share_R @ np.stack([_swapped(x, y, swap_BN) for x, y in zip(a, b, strict=True)])
        if observed is None:
            observed = float(apart_B[0])
            if math.isnan(observed):
                return None
        found = apart_B[np.isfinite(apart_B)]
        known += len(found)
        beyond += int((np.abs(found) >= abs(observed) * (1 - 1e-12)).sum())
    return beyond / known


def _swapped(a: Prepared, b: Prepared, swap_BN: np.ndarray) -> np.ndarray:
    """The difference where a's and b's answers to the marked examples change places."""
    if isinstance(a, Sums) and isinstance(b, Sums):
        moved = swap_BN @ (b.parts_NK - a.parts_NK)
        ours, theirs = a.parts_NK.sum(0) + moved, b.parts_NK.sum(0) - moved
        return np.asarray(a.value(ours) - b.value(theirs))
    assert isinstance(a, Ranked) and isinstance(b, Ranked)
    pairs = ((np.where(swap, b.told_N, a.told_N), np.where(swap, a.told_N, b.told_N)) for swap in swap_BN > 0)
    ones = np.ones((1, a.size))
    apart = [Ranked(a.gold_N, x).weighed(ones) - Ranked(b.gold_N, y).weighed(ones) for x, y in pairs]
    return np.concatenate(apart)


def mcnemar(gold: Answers, a: Answers, b: Answers) -> float:
    """The exact test of McNemar (1947): do a and b alone have the same number of examples right?"""
    from scipy import stats

    marks = list(zip(gold, a, b, strict=True))
    only_a = sum(x == g != y for g, x, y in marks)
    only_b = sum(y == g != x for g, x, y in marks)
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def flips(
    gold: Answers, a: Sequence[Answers], b: Sequence[Answers], right: Callable[[Any, Any], bool]
) -> Flips:
    """Means over the pairs of seeds; `right` says whether an answer is, given the gold."""
    counts = []
    for ours, theirs in zip(a, b, strict=True):
        marks = [(right(g, x), right(g, y), x != y) for g, x, y in zip(gold, ours, theirs, strict=True)]
        counts.append(
            [sum(x > y for x, y, _ in marks), sum(y > x for x, y, _ in marks), sum(d for *_, d in marks)]
        )
    a_right, b_right, differ = (fmean(column) for column in zip(*counts, strict=True))
    return Flips(a_right, b_right, differ, len(gold))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) step-down correction of p-values; those that are not there count for nothing."""
    known = sorted((p, i) for i, p in enumerate(values) if p is not None)
    out: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        out[i] = highest
    return out


def verdict(found: Interval, margin: float | None) -> str:
    """win, loss, equal (the whole interval within the stated margin), or open."""
    if found.low is None or found.high is None:
        return "open"
    if margin is not None and -margin <= found.low and found.high <= margin:
        return "equal"
    return "win" if found.low > 0 else "loss" if found.high < 0 else "open"


def corrected(verdict: str, p: float | None) -> str:
    """A win or a loss must be sure of these seeds too, over all tasks that were tested: its p is the corrected one."""
    return "open" if verdict in ("win", "loss") and p is not None and not sure(p) else verdict


def sure(p: float | None) -> bool:
    return p is not None and p <= 1 - LEVEL


def average_ranks(rows: Sequence[Sequence[float]]) -> list[float]:
    """Of each arm over the tasks (a row a task, a figure an arm): 1 is the best, ties share their mean rank."""
    from scipy import stats

    ranked = [stats.rankdata([-value for value in row]) for row in rows]
    return [float(mean) for mean in np.mean(ranked, axis=0)]


def critical_difference(arms: int, tasks: int, level: float = LEVEL) -> float:
    """How far apart average ranks must be (Nemenyi 1963, after Demšar 2006, §3.2.2)."""
    from scipy import stats

    spread = float(stats.studentized_range.ppf(level, arms, np.inf)) / math.sqrt(2)
    return spread * math.sqrt(arms * (arms + 1) / (6 * tasks))
