"""Attention to the left in strips of queries: the same as in one piece, and with dropout."""

import pytest
import torch
import torch.nn.functional as F

from lmcompare.nn import STRIP, attend_left


def given(length: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, 3, length, 4, generator=generator).requires_grad_() for _ in range(3)]


@pytest.mark.parametrize("length", [1, STRIP, STRIP + 1, 2 * STRIP, 2 * STRIP + 44])
def test_strips_give_what_one_piece_gives(length: int) -> None:
    qkv = given(length)
    strips = attend_left(*qkv, dropout=1e-12)  # which drops nothing, but takes the way through the strips
    whole = F.scaled_dot_product_attention(*qkv, is_causal=True)
    torch.testing.assert_close(strips, whole)
    weight = torch.linspace(-1, 1, whole.numel()).view_as(whole)
    ours = torch.autograd.grad((strips * weight).sum(), qkv)
    theirs = torch.autograd.grad((whole * weight).sum(), qkv)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_every_strip_drops() -> None:
    """Values of 1 come out as 1 on average, and as something else in each place."""
    torch.manual_seed(1)
    q, k, v = given(3 * STRIP)
    out = attend_left(q, k, torch.ones_like(v), dropout=0.25)
    for strip in out.split(STRIP, dim=2):
        assert float(strip.mean()) == pytest.approx(1.0, abs=0.05)
        assert float((strip - 1.0).abs().gt(1e-3).float().mean()) > 0.95
