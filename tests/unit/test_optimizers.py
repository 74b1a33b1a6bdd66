"""The optimizers against slow readings of their rules; which weights decay and at which rate each of them learns; and
that a checkpoint in between changes no bit."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcompare import checkpoints, registry
from lmcompare.checkpoints import State
from lmcompare.errors import UserError
from lmcompare.optimizers.groups import grouped
from tests.contracts.test_backends import BACKENDS, learner

RATES = [0.0, 0.01, 0.02, 0.03, 0.024, 0.018, 0.012, 0.006]
Values = dict[str, list[float]]
Step = tuple[float, Values]  # a rate, and a gradient of every weight


def small(seed: int = 0) -> torch.nn.Module:
    """Two matrices, a bias and a norm: three of the four kinds of weights are vectors."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 3, bias=False))
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape) * 0.3)
    return net


def gradients(net: torch.nn.Module, step: int) -> dict[str, torch.Tensor]:
    """Of very different sizes, as they are in training."""
    generator = torch.Generator().manual_seed(100 + step)
    return {
        name: torch.randn(p.shape, generator=generator) * 10.0 ** (step % 5 - 3)
        for name, p in net.named_parameters()
    }


def taken(net: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> Iterator[Step]:
    """Take steps as the loop does, and say what they were made of."""
    for step in steps:
        found = gradients(net, step)
        rate = RATES[step % len(RATES)]
        for group in optimizer.param_groups:
            group["lr"] = rate
        for name, p in net.named_parameters():
            p.grad = found[name].clone()
        optimizer.step()
        yield rate, {name: g.double().flatten().tolist() for name, g in found.items()}


def by_the_rule(
    start: Values, steps: list[Step], decays: set[str], corrected: bool, epsilon: float
) -> Values:
    """One number at a time, as the papers write it."""
    now = {name: list(values) for name, values in start.items()}
    for name, values in now.items():
        for i in range(len(values)):
            m = v = 0.0
            for t, (rate, found) in enumerate(steps, 1):
                g = found[name][i]
                m = 0.9 * m + 0.1 * g
                v = 0.999 * v + 0.001 * g * g
                up, down = (m / (1 - 0.9**t), v / (1 - 0.999**t)) if corrected else (m, v)
                update = up / (math.sqrt(down) + epsilon)
                if name in decays:
                    update += 0.01 * values[i]
                values[i] -= rate * update
    return now


def numbers(net: torch.nn.Module) -> Values:
    return {name: p.detach().double().flatten().tolist() for name, p in net.named_parameters()}


@pytest.mark.parametrize(
    ("name", "corrected", "epsilon"), [("bert_adam", False, 1e-6), ("adamw", True, 1e-8)]
)
def test_a_step_follows_the_published_rule(name: str, corrected: bool, epsilon: float) -> None:
    """BERT's Adam divides by no 1 − β^t; both take the decay of matrices out of the weights times the rate."""
    net = small()
    start = numbers(net)
    optimizer = registry.optimizers.build({"name": name, "decay": 0.01}, net.named_parameters())
    steps = list(taken(net, optimizer, range(40)))
    expected = by_the_rule(start, steps, {"0.weight", "2.weight"}, corrected, epsilon)
    for key, values in numbers(net).items():
        assert values == pytest.approx(expected[key], rel=2e-5, abs=2e-6), key
    wrong = by_the_rule(start, steps, set(start), corrected, epsilon)
    assert numbers(net)["1.weight"] != pytest.approx(wrong["1.weight"], rel=2e-5, abs=2e-6)


def test_without_the_correction_the_first_step_is_three_times_as_large() -> None:
    """(1 − β₁) / √(1 − β₂) = 3.16 rates, where the corrected one takes 1."""
    for name, size in (("bert_adam", 0.1 / math.sqrt(0.001)), ("adamw", 1.0)):
        net = small()
        before = {k: v.clone() for k, v in net.state_dict().items()}
        spec = {"name": name, "rate": 0.01, "decay": 0.0}
        optimizer = registry.optimizers.build(spec, net.named_parameters())
        for p in net.parameters():
            p.grad = torch.full_like(p, 0.7)
        optimizer.step()
        for key, value in net.state_dict().items():
            torch.testing.assert_close(
                before[key] - value, torch.full_like(value, 0.01 * size), rtol=1e-3, atol=0
            )


def test_the_corrected_one_is_that_of_torch() -> None:
    ours, theirs = small(), small()
    optimizer = registry.optimizers.build({"name": "adamw", "decay": 0.02}, ours.named_parameters())
    matrices = [p for p in theirs.parameters() if p.ndim == 2]
    rest = [p for p in theirs.parameters() if p.ndim < 2]
    table: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": 0.02},
        {"params": rest, "weight_decay": 0.0},
    ]
    plain = torch.optim.AdamW(table, betas=(0.9, 0.999), eps=1e-8, foreach=False, fused=False)
    for net, made in ((ours, optimizer), (theirs, plain)):
        assert len(list(taken(net, made, range(30)))) == 30
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", registry.optimizers.names())
def test_a_checkpoint_in_between_changes_no_bit(name: str, tmp_path: Path) -> None:
    whole, first, second = small(), small(), small(1)
    spec = {"name": name, "decay": 0.01}
    made = [registry.optimizers.build(spec, net.named_parameters()) for net in (whole, first, second)]
    assert len(list(taken(whole, made[0], range(20)))) == 20
    assert len(list(taken(first, made[1], range(9)))) == 9
    weights = checkpoints.trainable(first)
    path = checkpoints.save(tmp_path, State(step=9), weights, made[1], keep=1)
    assert checkpoints.restore(path, second, made[2]).step == 9
    assert len(list(taken(second, made[2], range(9, 20)))) == 11
    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        assert a.equal(b)


@pytest.mark.parametrize("name", registry.optimizers.names())
def test_a_weight_without_a_gradient_stays(name: str) -> None:
    """A pooler under a task with a tag a word, say: not even the decay moves it."""
    net = small()
    optimizer = registry.optimizers.build({"name": name, "rate": 0.1, "decay": 0.5}, net.named_parameters())
    before = net[2].weight.detach().clone()
    for step in range(3):
        for key, p in net.named_parameters():
            p.grad = None if key == "2.weight" else gradients(net, step)[key]
        optimizer.step()
    assert net[2].weight.equal(before)


WEIGHTS = {
    "encoder.words.weight": (9, 4), "encoder.blocks.0.up.weight": (4, 4), "encoder.blocks.0.up.bias": (4,),
    "encoder.blocks.1.up.weight": (4, 4), "encoder.blocks.1.norm.weight": (4,), "head.weight": (2, 4),
}  # fmt: skip
HEIGHTS = dict(zip(WEIGHTS, (3, 2, 2, 1, 1, 0), strict=True))


def rates(**settings: Any) -> tuple[dict[str, float], dict[str, float], list[dict[str, Any]]]:
    """Rate and decay of every weight."""
    named = {name: torch.nn.Parameter(torch.zeros(shape)) for name, shape in WEIGHTS.items()}
    table = grouped(named.items(), HEIGHTS.__getitem__, rate=0.1, **settings)
    of = {id(p): group for group in table for p in group["params"]}
    groups = {name: of[id(p)] for name, p in named.items()}
    return (
        {name: group["lr"] for name, group in groups.items()},
        {name: group["weight_decay"] for name, group in groups.items()},
        table,
    )


def test_matrices_alone_decay_and_nothing_else_is_told_apart() -> None:
    found, decays, table = rates(decay=0.3)
    assert set(found.values()) == {0.1}
    assert decays == {name: 0.3 if len(shape) == 2 else 0.0 for name, shape in WEIGHTS.items()}
    assert [len(group["params"]) for group in table] == [4, 2]
    assert len(rates(decay=0.0)[2]) == 1


def test_layers_learn_the_slower_the_lower_they_stand() -> None:
    found, decays, _ = rates(decay=0.3, layer_decay=0.8)
    assert found == pytest.approx({name: 0.1 * 0.8**h for name, h in HEIGHTS.items()})
    assert decays["encoder.blocks.1.norm.weight"] == 0.0
    found, _, _ = rates(decay=0.0, layer_decay=0.5, embedding_rate=2.0)
    assert found["encoder.words.weight"] == pytest.approx(2.0 * 0.5**3)
    assert found["encoder.blocks.0.up.weight"] == pytest.approx(0.1 * 0.5**2)


def test_a_frozen_weight_is_in_no_group() -> None:
    net = small()
    net[0].weight.requires_grad_(False)
    table = grouped(net.named_parameters(), None, rate=0.1, decay=0.1)
    assert sum(len(group["params"]) for group in table) == 4


@pytest.mark.parametrize("name", ["adamw", "bert_adam"])
def test_layer_decays_that_say_nothing_are_refused(name: str) -> None:
    net = small()
    for wrong in (0.0, -0.5, 1.5):
        with pytest.raises(UserError, match=rf"{name}.*layer_decay {wrong} is not above 0 and at most 1"):
            registry.optimizers.build({"name": name, "layer_decay": wrong}, net.named_parameters())
    for height in (None, lambda name: 0):
        with pytest.raises(UserError, match=r"layer_decay 0\.8 changes nothing here"):
            registry.optimizers.build({"name": name, "layer_decay": 0.8}, net.named_parameters(), height)


@pytest.mark.parametrize("name", [name for name in BACKENDS if not name.startswith("like-")])
def test_a_learner_knows_how_high_its_weights_stand(name: str) -> None:
    """Each layer one below the one above it, whatever the family calls its parts; reader and head at the top."""
    backend, made, _ = learner(name, "one text", "finetune", "", {"reader": {"name": "bilstm", "hidden": 5}})
    heights = {n: made.height(n) for n, _ in made.named_parameters()}
    assert {h for n, h in heights.items() if not n.startswith("body.encoder.")} == {0}
    inside = {n.removeprefix("body.encoder."): h for n, h in heights.items() if n.startswith("body.encoder.")}
    assert set(inside.values()) == set(range(1, backend.depth + 2))
    for n, h in inside.items():
        assert h == backend.depth + 1 - getattr(backend, "layer_of", lambda n: 0)(n), n
    words = [h for n, h in inside.items() if n.startswith(("words", "positions"))]
    assert set(words) <= {backend.depth + 1}
    frozen = learner(name, "one text", "features", "bilstm")[1]
    assert {frozen.height(n) for n, _ in frozen.named_parameters()} == {0}


def test_bert_s_pooler_learns_with_its_top_layer() -> None:
    _, made, _ = learner("bert", "one text", "finetune")
    optimizer = registry.optimizers.build(
        {"name": "bert_adam", "rate": 1.0, "layer_decay": 0.5}, made.named_parameters(), made.height
    )
    of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: of[id(p)] for name, p in made.named_parameters()}
    assert found["head.linear.weight"] == 1.0
    assert found["body.encoder.pooler.weight"] == found["body.encoder.blocks.1.up.weight"] == 0.5
    assert found["body.encoder.blocks.0.up.weight"] == 0.25
    assert found["body.encoder.embedding_norm.weight"] == found["body.encoder.words.weight"] == 0.125


def test_a_backend_that_cannot_tell_its_layers_is_named() -> None:
    _, made, _ = learner("like-gpt", "one text", "finetune")
    spec = {"name": "adamw", "layer_decay": 0.9}
    with pytest.raises(UserError, match=r"layer_decay: like-gpt does not tell which layer"):
        registry.optimizers.build(spec, made.named_parameters(), made.height)
    assert registry.optimizers.build({"name": "adamw"}, made.named_parameters(), made.height)
