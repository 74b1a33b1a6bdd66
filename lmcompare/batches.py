"""From examples to tensors: which examples make a batch, and how views are padded."""
# ruff: noqa: TID253

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lmcompare import randomness
from lmcompare.types import View

POOL = 32  # batches whose examples are sorted by length among themselves


@dataclass(frozen=True)
class Inputs:
    """What an encoder takes. The mask is absent where no view is padded."""

    ids_BT: Tensor
    segments_BT: Tensor
    mask_BT: Tensor | None
    pool_B: Tensor
    rows: Sequence[int] = ()  # which views of the set these are: the key into cached features

    @property
    def tokens(self) -> int:
        return int(self.ids_BT.numel() if self.mask_BT is None else self.mask_BT.sum())

    def to(self, device: torch.device) -> "Inputs":
        if device.type == "cpu":
            return self
        moved: dict[str, Any] = {
            k: v.to(device, non_blocking=True) for k, v in vars(self).items() if isinstance(v, Tensor)
        }
        return replace(self, **moved)


def stack(views: Sequence[View], *, pad: int, rows: Sequence[int] = ()) -> Inputs:
    """Pad views on the right to the longest of them."""
    lengths = [len(v.ids) for v in views]
    B, T = len(views), max(lengths)
    ids_BT = np.full((B, T), pad, dtype=np.int64)
    segments_BT = np.zeros((B, T), dtype=np.int64)
    for b, view in enumerate(views):
        ids_BT[b, : lengths[b]] = view.ids
        segments_BT[b, : lengths[b]] = view.segments
    mask_BT = None
    if min(lengths) < T:
        mask_BT = torch.from_numpy(np.arange(T)[None] < np.array(lengths)[:, None])
    pool_B = torch.tensor([v.pool for v in views])
    return Inputs(torch.from_numpy(ids_BT), torch.from_numpy(segments_BT), mask_BT, pool_B, rows)


def count(examples: int, batch: int) -> int:
    """Batches in an epoch; the last one may be smaller."""
    return -(-examples // batch)


def epoch_order(lengths: np.ndarray, *, batch: int, seed: int, epoch: int, buckets: bool) -> list[np.ndarray]:
    """The batches of one epoch, a function of (seed, epoch) alone. With buckets, every pool of shuffled examples is
    sorted by length before it is cut, so that little is padded; the batches are then shuffled again."""
    order = randomness.permutation(len(lengths), seed, epoch, 0)
    if buckets:
        pools = np.split(order, range(POOL * batch, len(order), POOL * batch))
        order = np.concatenate([p[np.argsort(lengths[p], kind="stable")] for p in pools])
    cuts = np.split(order, range(batch, len(order), batch))
    return [cuts[k] for k in randomness.permutation(len(cuts), seed, epoch, 1)]


class Independent:
    """A learner whose batches are any examples in any order, and from which nothing goes on to the next."""

    lengths: np.ndarray  # tokens an example
    carried: ClassVar[dict[str, Tensor]] = {}

    def order(self, *, batch: int, seed: int, epoch: int, buckets: bool) -> list[np.ndarray]:
        return epoch_order(self.lengths, batch=batch, seed=seed, epoch=epoch, buckets=buckets)

    def carry(self, total: Callable[[Tensor], Tensor]) -> None:
        """Nothing."""

    def height(self, name: str) -> int:
        """How many layers below a head a weight stands: none, where nothing is fine-tuned."""
        return 0


def shares(batch: np.ndarray, *, world: int, rank: int, micro: int | None) -> list[np.ndarray]:
    """This process's part of a batch, in pieces of at most `micro` examples."""
    mine = batch[rank::world]
    if micro is None or len(mine) <= micro:
        return [mine]
    return np.split(mine, range(micro, len(mine), micro))
