"""Adam with decoupled weight decay (Loshchilov & Hutter 2019) and the bias correction of Kingma & Ba 2015."""
# ruff: noqa: TID253

import torch

from lmcompare.optimizers.groups import Height, Named, grouped
from lmcompare.registry import optimizers


@optimizers.register("adamw")
def adamw(
    named: Named,
    height: Height | None = None,
    *,
    rate: float = 1e-4,
    embedding_rate: float | None = None,  # of what ends in words.weight: word embeddings, biLM softmax
    layer_decay: float = 1.0,  # below 1, a layer learns at this share of the rate of the one above it
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    decay: float = 0.01,
) -> torch.optim.Optimizer:
    """AdamW with bias correction; decay on matrices only, not on biases and norms (Devlin et al. 2019, §A.2)."""
    table = grouped(
        named, height, rate=rate, decay=decay, embedding_rate=embedding_rate, layer_decay=layer_decay
    )
    return torch.optim.AdamW(table, lr=rate, betas=betas, eps=epsilon, fused=True)
