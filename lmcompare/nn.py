"""Network parts that the backends share."""
# ruff: noqa: TID253

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIP = 128  # queries at a time where attention is made without a fused kernel


class Attention(nn.Module):
    """Multi-head self-attention with one matrix product for queries, keys and values."""

    def __init__(self, *, width: int, heads: int, dropout: float, causal: bool) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads, self.dropout, self.causal = heads, dropout, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_BTD: Tensor, mask_B11T: Tensor | None) -> Tensor:
        B, T, D = x_BTD.shape
        qkv = self.qkv(x_BTD).view(B, T, 3, self.heads, D // self.heads)
        q_BHTK, k_BHTK, v_BHTK = qkv.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        if self.causal and mask_B11T is None:
            mixed_BHTK = attend_left(q_BHTK, k_BHTK, v_BHTK, dropout)
        else:
            mask = mask_B11T
            if self.causal and mask is not None:
                mask = mask & torch.ones(T, T, dtype=torch.bool, device=mask.device).tril()  # (B, 1, T, T)
            mixed_BHTK = F.scaled_dot_product_attention(
                q_BHTK, k_BHTK, v_BHTK, attn_mask=mask, dropout_p=dropout
            )
        return self.out(mixed_BHTK.transpose(1, 2).reshape(B, T, D))


def attend_left(q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor, dropout: float) -> Tensor:
    """What each query makes of itself and what stands to its left. A CPU has no fused kernel with dropout; there the
    queries go in strips, each beside the keys that it may see, so that most of what the mask hides is never made."""
    T = q_BHTK.shape[2]
    if not dropout or T <= STRIP or q_BHTK.device.type != "cpu":
        return F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, dropout_p=dropout, is_causal=True)
    strips = []
    for start in range(0, T, STRIP):
        end = min(T, start + STRIP)
        seen = torch.ones(end - start, end, dtype=torch.bool).tril(start)
        strips.append(
            F.scaled_dot_product_attention(
                q_BHTK[:, :, start:end],
                k_BHTK[:, :, :end],
                v_BHTK[:, :, :end],
                attn_mask=seen,
                dropout_p=dropout,
            )
        )
    return torch.cat(strips, 2)


class Block(nn.Module):
    """Post-norm Transformer block: norm(x + attention), norm(x + feed-forward). `causal` is all that sets GPT's and
    BERT's apart (Vaswani et al. 2017, §3.1)."""

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        inner: int,
        activation: Callable[[Tensor], Tensor],
        dropout: float,
        attention_dropout: float,
        epsilon: float,
        causal: bool,
    ) -> None:
        super().__init__()
        self.attention = Attention(width=width, heads=heads, dropout=attention_dropout, causal=causal)
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, mask_B11T: Tensor | None) -> Tensor:
        x_BTD = self.attention_norm(x_BTD + self.dropout(self.attention(x_BTD, mask_B11T)))
        y_BTD = self.down(self.activation(self.up(x_BTD)))
        return self.norm(x_BTD + self.dropout(y_BTD))


class ScalarMix(nn.Module):
    """γ·Σ softmax(w)·h over the layers (Peters et al. 2018, eq. 1), each made alike in scale first where asked."""

    def __init__(self, *, layers: int, layer_norm: bool = False) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(()))
        self.layer_norm = layer_norm

    def shares(self) -> Tensor:
        return self.weights.softmax(0)

    def forward(self, layers_BTLD: Tensor, mask_BT: Tensor | None = None) -> Tensor:
        if self.layer_norm:
            layers_BTLD = standardized(layers_BTLD, mask_BT)
        return self.gamma * torch.einsum("l,btld->btd", self.shares(), layers_BTLD)


def standardized(layers_BTLD: Tensor, mask_BT: Tensor | None, *, epsilon: float = 1e-12) -> Tensor:
    """Mean 0 and variance 1 for each layer of a view, over all its tokens and dimensions at once (§3.2). The released
    code takes them over the whole batch, so that an answer hangs on its batch mates; a view stands alone here."""
    B, T, _, D = layers_BTLD.shape
    mask = layers_BTLD.new_ones(B, T) if mask_BT is None else mask_BT.to(layers_BTLD.dtype)
    mask_BT11 = mask[..., None, None]
    count_B111 = (mask_BT11.sum(1, keepdim=True) * D).clamp(min=1)
    mean_B1L1 = (layers_BTLD * mask_BT11).sum((1, 3), keepdim=True) / count_B111
    apart_BTLD = (layers_BTLD - mean_B1L1) * mask_BT11
    variance_B1L1 = apart_BTLD.square().sum((1, 3), keepdim=True) / count_B111
    return apart_BTLD / (variance_B1L1 + epsilon).sqrt()


@torch.no_grad()
def draw_weights(module: nn.Module, *, std: float, generator: torch.Generator) -> None:
    """Matrices from N(0, std), biases 0, norms 1, in the order of the names: the same seed gives the same weights."""
    for name, p in sorted(module.named_parameters()):
        if p.ndim >= 2:
            p.copy_(torch.empty(p.shape).normal_(0.0, std, generator=generator))
        elif "norm" in name and name.endswith("weight"):
            p.fill_(1.0)
        else:
            p.zero_()


def layer_number(name: str, stack: str) -> int:
    """Which layer of a stack a weight belongs to, from 1; 0 for what lies below the stack."""
    found = re.match(stack + r"\.(\d+)\.", name)
    return int(found[1]) + 1 if found else 0


@torch.no_grad()
def draw_embeddings(
    words: nn.Embedding,
    positions: nn.Embedding | None,
    settings: Mapping[str, Any],
    generator: torch.Generator,
) -> None:
    """Word and position embeddings as a Transformer's settings ask: as wide as the other matrices, or wider."""
    spread = settings["embedding_std"] or settings["init_std"]
    places = settings["position_std"] or spread
    words.weight.normal_(0.0, spread, generator=generator)
    if positions is None:
        return
    if settings["position_start"] == "waves":
        positions.weight.copy_(waves(*positions.weight.shape) * places * 2**0.5)
    else:
        positions.weight.normal_(0.0, places, generator=generator)


def mean_over_tokens(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    weights_BT1 = mask_BT[..., None].to(x_BTD.dtype)
    return (x_BTD * weights_BT1).sum(1) / weights_BT1.sum(1)


def waves(length: int, width: int) -> Tensor:
    """Sines and cosines of falling frequency, as Vaswani et al. 2017, §3.5; neighbors look alike from the start."""
    place_T1 = torch.arange(length)[:, None].float()
    rate_D = 10000.0 ** (-torch.arange(0, width, 2).float() / width)
    table_TD = torch.zeros(length, width)
    table_TD[:, 0::2] = torch.sin(place_T1 * rate_D)
    table_TD[:, 1::2] = torch.cos(place_T1 * rate_D[: width // 2])
    return table_TD
