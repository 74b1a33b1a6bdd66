"""The loss whose gradients are made on the way forward: what happens to them on the way back."""

import pytest
import torch
import torch.nn.functional as F

from lmcompare import softmax


def made() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(5, 3, requires_grad=True), torch.randn(7, 3, requires_grad=True), torch.arange(5)


def test_a_weight_of_the_loss_is_that_of_its_gradients() -> None:
    x, weight, target = made()
    ours = torch.autograd.grad(-2.5 * softmax.cross_entropy(x, weight, None, target), (x, weight))
    plain = F.cross_entropy(x @ weight.t(), target, reduction="sum")
    theirs = torch.autograd.grad(-2.5 * plain, (x, weight))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_a_graph_kept_for_a_second_pass_is_refused_not_scaled_twice() -> None:
    x, weight, target = made()
    loss = softmax.cross_entropy(x, weight, None, target)
    (3.0 * loss).backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace"):
        loss.backward()
