"""Cross-entropy over a large vocabulary in bounded memory: logits live for a few rows at a time and become their own
gradient in place, so a table of positions × words is never kept, nor filled more than once."""
# ruff: noqa: TID253

from typing import Any

import torch
from torch import Tensor

CELLS, ROWS = 1 << 20, 128  # logits at a time, but for the rows that make a product worth it


def cross_entropy(x_MD: Tensor, weight_VD: Tensor, bias_V: Tensor, target_M: Tensor) -> Tensor:
    """The sum over rows of −log softmax(x·Wᵀ + b) at the target."""
    with torch.autocast(x_MD.device.type, enabled=False):
        keep = torch.is_grad_enabled()
        return SummedCrossEntropy.apply(x_MD.float(), weight_VD, bias_V, target_M, None, keep)


def sampled_cross_entropy(
    x_MD: Tensor, weight_SD: Tensor, bias_S: Tensor, place_M: Tensor, right_M: Tensor
) -> Tensor:
    """The same where W holds some other words only and `right_M` is the target's logit; `place_M` says which of the
    others is the target itself and so does not count (−1: none)."""
    with torch.autocast(x_MD.device.type, enabled=False):
        keep = torch.is_grad_enabled()
        return SummedCrossEntropy.apply(x_MD.float(), weight_SD, bias_S, place_M, right_M.float(), keep)


class SummedCrossEntropy(torch.autograd.Function):
    """Gradients are made on the way forward, while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any,
        x_MD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor,
        target_M: Tensor,
        right_M: Tensor | None,
        keep: bool,
    ) -> Tensor:
        M, V = len(x_MD), len(weight_VD)
        total = x_MD.new_zeros(())
        size = max(1, min(M, max(ROWS, CELLS // V)))
        table = x_MD.new_empty(size, V)
        grads = [torch.zeros_like(t) for t in (x_MD, weight_VD, bias_V)] if keep else []
        drights = []
        for start in range(0, M, size):
            x, target = x_MD[start : start + size], target_M[start : start + size]
            logits = torch.addmm(bias_V, x, weight_VD.t(), out=table[: len(x)])
            rows = torch.arange(len(x), device=x.device)
            if right_M is None:
                right = logits[rows, target]
            else:
                right = right_M[start : start + size]
                rows, target = rows[target >= 0], target[target >= 0]
                logits[rows, target] = float("-inf")
            highest = logits.amax(1)
            if right_M is not None:
                highest = torch.maximum(highest, right)
            shares = logits.sub_(highest[:, None]).exp_()
            mass = shares.sum(1)
            if right_M is not None:
                mass = mass + (right - highest).exp()
            total = total + (highest + mass.log() - right).sum()
            if not keep:
                continue
            shares.div_(mass[:, None])
            if right_M is None:
                shares[rows, target] -= 1.0
            else:
                drights.append((right - highest).exp() / mass - 1.0)
            torch.mm(shares, weight_VD, out=grads[0][start : start + size])
            grads[1].addmm_(shares.t(), x)
            grads[2].add_(shares.sum(0))
        ctx.save_for_backward(*grads, *([torch.cat(drights)] if drights else []))
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        dx, dweight, dbias, *dright = (scale * grad for grad in ctx.saved_tensors)
        return dx, dweight, dbias, None, dright[0] if dright else None, None
