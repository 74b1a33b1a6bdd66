"""Learning-rate schedules by name: (step, steps in all) → factor of the peak rate. Steps count from 0."""

import math

from lmcompare.registry import schedules


@schedules.register("constant")
def constant(step: int, steps: int, *, warmup: float = 0.0) -> float:
    """Rise over the first `warmup` share of the steps, then stay."""
    return _rise(step, steps, warmup)


@schedules.register("linear")
def linear(step: int, steps: int, *, warmup: float = 0.1) -> float:
    """Rise, then fall in a straight line to 0 (Devlin et al. 2019, §A.2)."""
    return _rise(step, steps, warmup) * _left(step, steps, warmup)


@schedules.register("cosine")
def cosine(step: int, steps: int, *, warmup: float = 0.1) -> float:
    """Rise, then fall along half a cosine to 0 (Radford et al. 2018, §4.1)."""
    fall = 0.5 * (1 - math.cos(math.pi * _left(step, steps, warmup)))
    return _rise(step, steps, warmup) * fall


def _rise(step: int, steps: int, warmup: float) -> float:
    rising = warmup * steps
    return min(1.0, (step + 1) / rising) if rising >= 1 else 1.0


def _left(step: int, steps: int, warmup: float) -> float:
    """1 until the warm-up is over, then down to 0 after the last step."""
    rising = warmup * steps
    return 1.0 if step < rising else max(0.0, (steps - step) / max(1.0, steps - rising))
