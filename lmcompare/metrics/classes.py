"""Metrics of classes: accuracy, F1 and Matthews' correlation."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lmcompare import registry
from lmcompare.errors import UserError
from lmcompare.metrics.pairs import Labels, Undefined, paired


@registry.metrics.register("accuracy")
def accuracy(gold: Sequence[Any], predicted: Sequence[Any], labels: Labels) -> float:
    """Share of examples that are right; for tags, of words."""
    pairs = list(paired(gold, predicted))
    if isinstance(gold[0], tuple):
        pairs = [pair for tags, guesses in pairs for pair in paired(tags, guesses, "words")]
    return sum(label == guess for label, guess in pairs) / len(pairs)


@registry.metrics.register("f1")
def f1(gold: Sequence[str], predicted: Sequence[str], labels: Labels) -> float:
    """F1 of the second of two classes."""
    if len(labels) != 2:
        raise UserError(f"metric f1: needs two classes, found {len(labels)}; macro_f1 takes more")
    pairs = list(paired(gold, predicted))
    value = class_f1(pairs, labels[1])
    if value is None:
        raise Undefined(f"one class: no {labels[1]!r} in gold or predictions")
    return value


@registry.metrics.register("macro_f1")
def macro_f1(gold: Sequence[str], predicted: Sequence[str], labels: Labels) -> float:
    """Mean F1 of the classes that occur in gold or predictions."""
    pairs = list(paired(gold, predicted))
    if len(set(gold)) == 1:  # it would be 1 for whoever always says the same
        raise Undefined(f"one class: all gold labels are {gold[0]!r}")
    values = [class_f1(pairs, label) for label in sorted({*gold, *predicted})]
    return math.fsum(value for value in values if value is not None) / len(values)


def class_f1(pairs: Sequence[tuple[str, str]], positive: str) -> float | None:
    hits = sum(label == guess == positive for label, guess in pairs)
    total = sum((label == positive) + (guess == positive) for label, guess in pairs)
    return 2 * hits / total if total else None


@registry.metrics.register("matthews")
def matthews(gold: Sequence[str], predicted: Sequence[str], labels: Labels) -> float:
    """Matthews' correlation, for two classes or more."""
    pairs = list(paired(gold, predicted))
    for side, found in (("gold labels", gold), ("predictions", predicted)):
        if len(set(found)) == 1:
            raise Undefined(f"one class: all {side} are {found[0]!r}")
    n, hits = len(pairs), sum(label == guess for label, guess in pairs)
    true, told = Counter(gold), Counter(predicted)
    # Whole numbers up to the root, so that the order of the examples cannot show.
    together = n * hits - sum(true[label] * told[label] for label in true)
    spread = n * n - sum(count * count for count in true.values())
    told_spread = n * n - sum(count * count for count in told.values())
    return together / math.sqrt(spread * told_spread)


@registry.metrics.register("r3")
def r3(gold: Sequence[str], predicted: Sequence[str], labels: Labels) -> float:
    """Matthews' correlation of three classes (Gorodkin's R3), the figure of GLUE's diagnostic set."""
    return matthews(gold, predicted, labels)
