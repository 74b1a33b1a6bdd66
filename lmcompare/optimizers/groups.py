"""Which weights learn at which rate, and which of them decay: decided here for every optimizer."""
# ruff: noqa: TID253

from collections.abc import Callable, Iterable
from typing import Any

import torch

Named = Iterable[tuple[str, torch.nn.Parameter]]
Height = Callable[[str], int]  # how many layers below the head a weight stands; the head's own stand at 0


def grouped(
    named: Named,
    height: Height | None,
    *,
    rate: float,
    decay: float,
    embedding_rate: float | None = None,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """Groups as torch takes them, in the order in which they are met. Matrices alone decay, not biases and norms
    (Devlin et al. 2019, §A.2); a weight h layers below the head learns at its rate × layer_decay^h."""
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay {layer_decay} is not above 0 and at most 1")
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    heights = set()
    for name, p in named:
        if not p.requires_grad:
            continue
        word = embedding_rate is not None and name.endswith("words.weight")
        own = embedding_rate if word and embedding_rate is not None else rate
        if layer_decay < 1 and height is not None:
            below = height(name)
            heights.add(below)
            own *= layer_decay**below
        groups.setdefault((own, decay if p.ndim >= 2 else 0.0), []).append(p)
    if layer_decay < 1 and not any(heights):
        raise ValueError(
            f"layer_decay {layer_decay} changes nothing here: no weight that learns stands below a head, as the "
            "encoder's do in fine-tuning"
        )
    return [{"params": ps, "lr": r, "weight_decay": d} for (r, d), ps in groups.items()]
