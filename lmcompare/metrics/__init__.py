"""Metrics: gold and predicted labels to one number, or the reason why there is none.

All lie in [0, 1], correlations in [−1, 1]. Where a figure would rest on a division by nothing, the
metric raises `Undefined`: a made-up 0.0 would look like a result.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lmcompare import registry
from lmcompare.metrics.answers import f1_or_empty
from lmcompare.metrics.pairs import Labels, Undefined
from lmcompare.metrics.tags import entities
from lmcompare.types import Kind

__all__ = [
    "Labels",
    "Undefined",
    "entities",
    "evaluate",
    "f1_or_empty",
    "lowest",
    "majority",
    "most_frequent",
]

CORRELATIONS = ("matthews", "pearson", "r3", "spearman")


def lowest(metric: str) -> float:
    """The least that it can be."""
    return -1.0 if metric in CORRELATIONS else 0.0


def evaluate(
    names: Sequence[str], gold: Sequence[Any], predicted: Sequence[Any], labels: Labels
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Every named metric, None where it is undefined; and the reasons for these."""
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name in names:
        metric = registry.metrics.get(name)
        try:
            if any(label is None for label in gold):
                raise Undefined("labels are missing")
            values[name] = metric(gold, predicted, labels)
        except Undefined as reason:
            values[name], reasons[name] = None, str(reason)
    return values, reasons


def majority(
    kind: Kind,
    metric: str,
    train_labels: Sequence[Any],
    gold: Sequence[Any],
    labels: Labels,
    *,
    options: Sequence[int] = (),
) -> float | None:
    """What a predictor reaches that never looks at its input; None where that is undefined.

    It says the most frequent class of the training part, its mean score, or O for every word. For
    choice it guesses, and `options` tells how many there are in each example; a span has no such
    predictor.
    """
    seen = [label for label in train_labels if label is not None]
    if kind == "choice":
        guess = metric == "accuracy" and bool(options)
        return math.fsum(1 / n for n in options) / len(options) if guess else None
    if kind == "span" or not seen:
        return None
    if kind == "score":
        predicted: list[Any] = [math.fsum(seen) / len(seen)] * len(gold)
    elif kind == "tags":
        tag = "O" if "O" in labels else most_frequent([t for tags in seen for t in tags], labels)
        predicted = [(tag,) * len(tags) for tags in gold]
    else:
        predicted = [most_frequent(seen, labels)] * len(gold)
    return evaluate([metric], gold, predicted, labels)[0][metric]


def most_frequent(seen: Sequence[Any], labels: Labels) -> Any:
    """A tie goes to the label that stands first in the task's own order."""
    counts = Counter(seen)
    order = {label: i for i, label in enumerate(labels)}
    return min(counts, key=lambda label: (-counts[label], order.get(label, len(order)), str(label)))
