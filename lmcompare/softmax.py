"""Cross-entropy over a large vocabulary in bounded memory: logits live for a few rows at a time and become their own
gradient in place, so a table of positions × words is never kept, nor filled more than once."""
# ruff: noqa: TID253

from typing import Any

import torch
from torch import Tensor

CELLS, ROWS = 1 << 20, 192  # logits at a time, but for the rows that make a product worth it
CELLS_ON_GPU = 1 << 27


def cross_entropy(
    x_MD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    target_M: Tensor,
    share_M: Tensor | None = None,
) -> Tensor:
    """The sum over rows of −log softmax(x·Wᵀ + b) at the target, each row times its share where there are some."""
    return _apply(x_MD, weight_VD, bias_V, target_M, None, share_M)


def sampled_cross_entropy(
    x_MD: Tensor, weight_SD: Tensor, bias_S: Tensor, place_M: Tensor, right_M: Tensor
) -> Tensor:
    """The same where W holds some other words only and `right_M` is the target's logit; `place_M` says which of the
    others is the target itself and so does not count (−1: none)."""
    return _apply(x_MD, weight_SD, bias_S, place_M, right_M.float(), None)


def _apply(
    x_MD: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    target_M: Tensor,
    right_M: Tensor | None,
    share_M: Tensor | None,
) -> Tensor:
    """Under autocast the products are made in its precision; sums and exponentials never are."""
    device = x_MD.device.type
    kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
    with torch.autocast(device, enabled=False):
        keep = torch.is_grad_enabled()
        return SummedCrossEntropy.apply(x_MD, weight_VD, bias_V, target_M, right_M, share_M, kind, keep)


class SummedCrossEntropy(torch.autograd.Function):
    """Gradients are made on the way forward, while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any,
        x_MD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        target_M: Tensor,
        right_M: Tensor | None,
        share_M: Tensor | None,
        kind: torch.dtype,
        keep: bool,
    ) -> Tensor:
        M, V = len(x_MD), len(weight_VD)
        ctx.kind = x_MD.dtype
        x_MD, weight = x_MD.to(kind), weight_VD.to(kind)
        total = x_MD.new_zeros((), dtype=torch.float32)
        size = max(1, min(M, max(ROWS, (CELLS_ON_GPU if x_MD.is_cuda else CELLS) // V)))
        # A CPU's product writes a wide table faster column by column.
        table = x_MD.new_empty(size, V) if x_MD.is_cuda else x_MD.new_empty(V, size).t()
        dx_MD = torch.zeros_like(x_MD)
        dweight, dbias = (
            torch.zeros_like(t) if keep and t is not None else None for t in (weight_VD, bias_V)
        )
        drights = []
        for start in range(0, M, size):
            part = slice(start, start + size)
            x, target = x_MD[part], target_M[part]
            if bias_V is None:
                logits = torch.mm(x, weight.t(), out=table[: len(x)]).float()
            else:
                logits = torch.addmm(bias_V.to(kind), x, weight.t(), out=table[: len(x)]).float()
            losses, shares, dright = one_part(logits, target, None if right_M is None else right_M[part])
            if share_M is not None:
                losses = losses * share_M[part].float()
                shares.mul_(share_M[part].float()[:, None])
            total = total + losses.sum()
            if dweight is None:
                continue
            torch.mm(shares.to(kind), weight, out=dx_MD[part])
            if kind == torch.float32:
                dweight.addmm_(shares.t(), x)
            else:
                dweight += torch.mm(shares.to(kind).t(), x)
            if dbias is not None:
                dbias += shares.sum(0)
            if dright is not None:
                drights.append(dright)
        found = [dx_MD, dweight, dbias, torch.cat(drights) if drights else None]
        ctx.found = [t is not None for t in found]
        ctx.save_for_backward(*[t for t in found if t is not None])
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        # Scaled in place, since the copy would be as large as the weights; torch refuses a second pass over the graph.
        saved = iter(ctx.saved_tensors)
        dx, dweight, dbias, dright = (next(saved).mul_(scale) if there else None for there in ctx.found)
        return dx if dx is None else dx.to(ctx.kind), dweight, dbias, None, dright, None, None, None


def one_part(
    logits: Tensor, target_M: Tensor, right_M: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Losses of some rows, their gradients by the logits (in the logits' place), and those by the targets' own logits
    where these stand apart."""
    rows = torch.arange(len(logits), device=logits.device)
    if right_M is None:
        right = logits[rows, target_M]
        highest = logits.amax(1)
    else:
        right = right_M
        rows, target_M = rows[target_M >= 0], target_M[target_M >= 0]
        logits[rows, target_M] = float("-inf")
        highest = torch.maximum(logits.amax(1), right)
    shares = logits.sub_(highest[:, None]).exp_()
    mass = shares.sum(1)
    if right_M is not None:
        mass = mass + (right - highest).exp()
    losses = highest + mass.log() - right
    shares.div_(mass[:, None])
    if right_M is not None:
        return losses, shares, (right - highest).exp() / mass - 1.0
    shares[rows, target_M] -= 1.0
    return losses, shares, None
