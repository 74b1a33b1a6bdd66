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
    embedding_rate: float | None = None,  # of what ends in words.weight: word embeddings, biLM softmax
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    decay: float = 0.01,
) -> torch.optim.Optimizer:
    """AdamW with bias correction; decay on matrices only, not on biases and norms (Devlin et al. 2019, §A.2)."""
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, p in named:
        if p.requires_grad:
            word = embedding_rate is not None and name.endswith("words.weight")
            key = (embedding_rate or rate) if word else rate, decay if p.ndim >= 2 else 0.0
            groups.setdefault(key, []).append(p)
    table = [{"params": ps, "lr": r, "weight_decay": d} for (r, d), ps in groups.items()]
    return torch.optim.AdamW(table, lr=rate, betas=betas, eps=epsilon, fused=True)
