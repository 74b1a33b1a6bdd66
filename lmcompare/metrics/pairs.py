"""Gold and prediction side by side, as every metric takes them."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

Labels = Sequence[str]


class Undefined(Exception):
    """This metric has no value here; the message says why."""


def mean(values: Iterable[float]) -> float:
    return math.fsum(found := list(values)) / len(found)


def paired(gold: Sequence[Any], predicted: Sequence[Any], what: str = "examples") -> Any:
    """The pairs of gold and prediction; an evaluation of nothing has no value."""
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold labels and {len(predicted)} predictions of {what}")
    if not len(gold) and what == "examples":
        raise Undefined("no examples")
    return zip(gold, predicted, strict=True)
