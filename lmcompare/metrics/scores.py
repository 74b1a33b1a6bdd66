"""Metrics of scores: correlations."""

from collections.abc import Sequence

import numpy as np

from lmcompare import registry
from lmcompare.metrics.pairs import Labels, Undefined, paired


@registry.metrics.register("pearson")
def pearson(gold: Sequence[float], predicted: Sequence[float], labels: Labels) -> float:
    """Pearson's correlation of scores."""
    x, y = scores(gold, predicted)
    return correlation(x, y)


@registry.metrics.register("spearman")
def spearman(gold: Sequence[float], predicted: Sequence[float], labels: Labels) -> float:
    """Spearman's correlation: Pearson's of the ranks, ties sharing their mean rank."""
    x, y = scores(gold, predicted)
    return correlation(ranks(x), ranks(y))


def scores(gold: Sequence[float], predicted: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Both sides as arrays that vary."""
    paired(gold, predicted)
    sides = {"gold scores": np.asarray(gold, float), "predictions": np.asarray(predicted, float)}
    for side, values in sides.items():
        if not np.isfinite(values).all():
            count = int((~np.isfinite(values)).sum())
            raise Undefined(f"{count} of the {len(values)} {side} are nan or infinite")
        if values.min() == values.max():
            raise Undefined(f"constant: all {side} are {values[0]:g}")
    x, y = sides.values()
    return x, y


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    def centered(values: np.ndarray) -> np.ndarray:
        values = values / np.abs(values).max()  # so that no square overflows or vanishes
        away = values - values.mean()
        length = float(np.linalg.norm(away))
        if length < 1e-13:  # what is left of the values is rounding
            raise Undefined("constant: the scores differ by less than rounding")
        return away / length

    return float(np.clip(centered(x) @ centered(y), -1, 1))


def ranks(values: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]
