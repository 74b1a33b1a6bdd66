"""Adagrad (Duchi et al. 2011): a rate of its own for every weight, which only falls."""
# ruff: noqa: TID253

import torch

from lmcompare.optimizers.groups import Height, Named, grouped
from lmcompare.registry import optimizers


@optimizers.register("adagrad")
def adagrad(
    named: Named,
    height: Height | None = None,
    *,
    rate: float = 0.2,
    initial: float = 1.0,  # where the sums of squares begin
    epsilon: float = 1e-10,
    decay: float = 0.0,  # of matrices, added to their gradient
) -> torch.optim.Optimizer:
    """Adagrad, as ELMo's biLM was trained (rate 0.2, sums from 1)."""
    table = grouped(named, height, rate=rate, decay=decay)
    return torch.optim.Adagrad(table, lr=rate, initial_accumulator_value=initial, eps=epsilon)
