"""Metrics as functions of sums over the examples, so that a thousand resamples of them are one matrix product.

Every example gives a row of parts; a resample weighs the rows; and the metric is a function of the weighted sums: the
share of right answers, a correlation from sums of products, F1 from sums of counts. Ranks are no such sum, so for
Spearman's correlation every resample is ranked anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lmcompare import registry
from lmcompare.metrics import Undefined
from lmcompare.metrics.answers import f1_or_empty, match_or_empty, overlap, plain
from lmcompare.metrics.tags import entity_counts, role_counts

Labels = Sequence[str]
Parts = Callable[[Sequence[Any], Sequence[Any], Labels], np.ndarray]  # gold, predictions, labels → N × K
Value = Callable[[np.ndarray], np.ndarray]  # sums … × K → …; nan where the metric is undefined


@dataclass(frozen=True)
class Sums:
    """One arm's answers to a set of examples, ready to be weighed."""

    parts_NK: np.ndarray
    value: Value

    @property
    def size(self) -> int:
        return len(self.parts_NK)

    def weighed(self, weights_BN: np.ndarray) -> np.ndarray:
        return self.value(weights_BN @ self.parts_NK)


@dataclass(frozen=True)
class Ranked:
    """Scores whose ranks are made anew in every resample."""

    gold_N: np.ndarray
    told_N: np.ndarray

    @property
    def size(self) -> int:
        return len(self.gold_N)

    def weighed(self, weights_BN: np.ndarray) -> np.ndarray:
        first, second = (weighted_ranks(side, weights_BN) for side in (self.gold_N, self.told_N))
        ones = np.ones_like(first)
        sides = (ones, first, second, first * first, second * second, first * second)
        return correlation(np.stack([np.einsum("bn,bn->b", weights_BN, side) for side in sides], -1))


Prepared = Sums | Ranked


def prepare(metric: str, gold: Sequence[Any], told: Sequence[Any], labels: Labels) -> Prepared:
    """The metric over these answers, as something that can be weighed."""
    if metric == "spearman":
        return Ranked(np.asarray(gold, float), np.asarray(told, float))
    if metric not in FORMS:
        registry.metrics.get(metric)  # one that nobody knows says so
        raise Undefined(f"{metric} is no sum over examples")
    parts, value = FORMS[metric]
    return Sums(parts(gold, told, labels), value)


# --- what each example gives ---------------------------------------------------------------------


def hits(gold: Sequence[Any], told: Sequence[Any], labels: Labels) -> np.ndarray:
    if gold and isinstance(gold[0], tuple):
        rows = [(sum(map(_same, a, b)), len(a)) for a, b in zip(gold, told, strict=True)]
    else:
        rows = [(a == b, 1) for a, b in zip(gold, told, strict=True)]
    return np.asarray(rows, float).reshape(len(gold), 2)


def _same(a: Any, b: Any) -> bool:
    return bool(a == b)


def positives(gold: Sequence[Any], told: Sequence[Any], labels: Labels) -> np.ndarray:
    """Right positives, and positives of either side."""
    true, said = (np.asarray([x == labels[1] for x in side], float) for side in (gold, told))
    return np.stack([true * said, true + said], -1)


def table(gold: Sequence[Any], told: Sequence[Any], labels: Labels) -> np.ndarray:
    """The cell of the table of gold against prediction that the example falls into."""
    names = {name: i for i, name in enumerate(dict.fromkeys([*labels, *gold, *told]))}
    cells = np.zeros((len(gold), len(names) ** 2))
    cells[range(len(gold)), [names[a] * len(names) + names[b] for a, b in zip(gold, told, strict=True)]] = 1
    return cells


def products(gold: Sequence[Any], told: Sequence[Any], labels: Labels) -> np.ndarray:
    def scaled(side: Sequence[Any]) -> np.ndarray:
        values = np.asarray(side, float)
        away = values - values.mean()
        return away / (np.abs(away).max() or 1.0)

    x, y = scaled(gold), scaled(told)
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], -1)


def counted(counts: Callable[[Any, Any], tuple[int, int]]) -> Parts:
    """What was found, and what either side has, example by example."""

    def parts(gold: Sequence[Any], told: Sequence[Any], labels: Labels) -> np.ndarray:
        rows = [counts(a, b) for a, b in zip(gold, told, strict=True)]
        return np.asarray(rows, float).reshape(len(gold), 2)

    return parts


def each(score: Callable[[Any, Any], float], counts: Callable[[Any], bool] = lambda answers: True) -> Parts:
    """A score an example, of those that count."""

    def parts(gold: Sequence[Any], told: Sequence[Any], labels: Labels) -> np.ndarray:
        rows = [(score(a, b), 1.0) if counts(a) else (0.0, 0.0) for a, b in zip(gold, told, strict=True)]
        return np.asarray(rows, float).reshape(len(gold), 2)

    return parts


def best_match(answers: Sequence[str], guess: str) -> float:
    return max(float(plain(answer) == plain(guess)) for answer in answers)


def best_overlap(answers: Sequence[str], guess: str) -> float:
    return max(overlap(plain(answer).split(), plain(guess).split()) for answer in answers)


# --- from sums to the figure -----------------------------------------------------------------------


def share(sums: np.ndarray) -> np.ndarray:
    return _divided(sums[..., 0], sums[..., 1])


def twice(sums: np.ndarray) -> np.ndarray:
    """F1: twice the hits, of what either side has."""
    return _divided(2 * sums[..., 0], sums[..., 1])


def square(sums: np.ndarray) -> np.ndarray:
    classes = round(sums.shape[-1] ** 0.5)
    return sums.reshape(*sums.shape[:-1], classes, classes)


def agreement(sums: np.ndarray) -> np.ndarray:
    """Matthews' correlation from the table."""
    cells = square(sums)
    n, right = cells.sum((-1, -2)), np.trace(cells, axis1=-2, axis2=-1)
    true, said = cells.sum(-1), cells.sum(-2)
    spread = (n * n - (true * true).sum(-1)) * (n * n - (said * said).sum(-1))
    return _divided(n * right - (true * said).sum(-1), np.sqrt(np.maximum(spread, 0)))


def mean_f1(sums: np.ndarray) -> np.ndarray:
    """The mean of the classes' F1, of those that occur on either side; none where all gold is of one class."""
    cells = square(sums)
    both = cells.sum(-1) + cells.sum(-2)
    right = np.diagonal(cells, axis1=-2, axis2=-1)
    each_class = np.where(both > 0, 2 * right / np.maximum(both, 1e-300), 0.0)
    value = _divided(each_class.sum(-1), (both > 0).sum(-1))
    return np.where((cells.sum(-1) > 0).sum(-1) > 1, value, np.nan)


def correlation(sums: np.ndarray) -> np.ndarray:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    spread = (n * xx - x * x) * (n * yy - y * y)
    tiny = 1e-12 * n**4  # what is left of constants is rounding
    return _divided(n * xy - x * y, np.where(spread > tiny * 1e-12, np.sqrt(np.maximum(spread, 0)), 0.0))


def _divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b > 0, a / np.where(b > 0, b, 1), np.nan)


def weighted_ranks(values_N: np.ndarray, weights_BN: np.ndarray) -> np.ndarray:
    """In each resample the rank of each value, ties sharing their mean rank."""
    _, place, counts = np.unique(values_N, return_inverse=True, return_counts=True)
    weights = np.zeros((len(weights_BN), len(counts)))
    order = np.argsort(place, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    weights = np.add.reduceat(weights_BN[:, order], starts, axis=1)
    ranks = np.cumsum(weights, 1) - (weights - 1) / 2
    return ranks[:, place]


FORMS: dict[str, tuple[Parts, Value]] = {
    "accuracy": (hits, share),
    "f1": (positives, twice),
    "macro_f1": (table, mean_f1),
    "matthews": (table, agreement),
    "r3": (table, agreement),
    "pearson": (products, correlation),
    "entity_f1": (counted(entity_counts), twice),
    "role_f1": (counted(role_counts), twice),
    "exact_match": (each(best_match), share),
    "span_f1": (each(best_overlap), share),
    "answer_f1": (each(f1_or_empty), share),
    "answer_match": (each(match_or_empty), share),
    "answerable_f1": (each(f1_or_empty, bool), share),
    "answerable_match": (each(match_or_empty, bool), share),
    "unanswerable_match": (each(match_or_empty, lambda answers: not answers), share),
}
