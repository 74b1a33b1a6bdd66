"""Adam with decoupled weight decay."""
# ruff: noqa: TID253

from collections.abc import Iterable

import torch

from lmcompare.registry import optimizers


@optimizers.register("adamw")
def adamw(
    named: Iterable[tuple[str, torch.nn.Parameter]],
    *,
    rate: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    decay: float = 0.01,
) -> torch.optim.Optimizer:
    """AdamW with bias correction; decay on matrices only, not on biases and norms (Devlin et al. 2019, §A.2)."""
    trained = [(name, p) for name, p in named if p.requires_grad]
    groups = [
        {"params": [p for _, p in trained if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for _, p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=epsilon, fused=True)
