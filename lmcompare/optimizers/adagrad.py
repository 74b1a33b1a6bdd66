"""Adagrad (Duchi et al. 2011): a rate of its own for every weight, which only falls."""
# ruff: noqa: TID253

from collections.abc import Iterable

import torch

from lmcompare.registry import optimizers


@optimizers.register("adagrad")
def adagrad(
    named: Iterable[tuple[str, torch.nn.Parameter]],
    *,
    rate: float = 0.2,
    initial: float = 1.0,  # where the sums of squares begin
    epsilon: float = 1e-10,
    decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Adagrad, as ELMo's biLM was trained (rate 0.2, sums from 1)."""
    trained = [p for _, p in named if p.requires_grad]
    return torch.optim.Adagrad(
        trained, lr=rate, initial_accumulator_value=initial, eps=epsilon, weight_decay=decay
    )
