"""BERT's own Adam (google-research/bert, optimization.py): no bias correction, so that the first steps are larger."""
# ruff: noqa: TID253

import math

import torch

from lmcompare.optimizers.groups import Height, Named, grouped
from lmcompare.registry import optimizers


@optimizers.register("bert_adam")
def bert_adam(
    named: Named,
    height: Height | None = None,
    *,
    rate: float = 1e-4,
    embedding_rate: float | None = None,  # of what ends in words.weight: word embeddings, biLM softmax
    layer_decay: float = 1.0,  # below 1, a layer learns at this share of the rate of the one above it
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-6,
    decay: float = 0.01,
) -> torch.optim.Optimizer:
    """Adam as BERT was trained: no bias correction; decay on matrices only, times the rate."""
    table = grouped(
        named, height, rate=rate, decay=decay, embedding_rate=embedding_rate, layer_decay=layer_decay
    )
    made = torch.optim.AdamW(table, lr=rate, betas=betas, eps=epsilon, fused=True)
    # torch divides by 1 − β^step. After infinitely many steps that is 1, and what is left is the original's rule:
    # so the count begins there and never leaves, and one pass over the weights does it all.
    for group in made.param_groups:
        for p in group["params"]:
            step = torch.full((), math.inf, dtype=torch.float32, device=p.device)
            made.state[p] = {"step": step, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
    return made
