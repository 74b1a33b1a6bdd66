"""Activations by name. The two GELUs are kept apart: OpenAI's and Google's released code use the tanh form."""
# ruff: noqa: TID253

import torch
import torch.nn.functional as F

from lmcompare.registry import activations


@activations.register("gelu")
def gelu(x: torch.Tensor) -> torch.Tensor:
    """x·Φ(x), exact."""
    return F.gelu(x)


@activations.register("gelu_tanh")
def gelu_tanh(x: torch.Tensor) -> torch.Tensor:
    """x·Φ(x) by its tanh approximation."""
    return F.gelu(x, approximate="tanh")


@activations.register("relu")
def relu(x: torch.Tensor) -> torch.Tensor:
    """max(x, 0)."""
    return F.relu(x)


@activations.register("silu")
def silu(x: torch.Tensor) -> torch.Tensor:
    """x·sigmoid(x), also called Swish."""
    return F.silu(x)


@activations.register("tanh")
def tanh(x: torch.Tensor) -> torch.Tensor:
    """(eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)."""
    return torch.tanh(x)
