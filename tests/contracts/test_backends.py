"""What every backend promises, and every way of using it: the newcomers of `backends_of_tests` included."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from lmcompare import config, readers, registry
from lmcompare.nn import draw_weights
from lmcompare.readers.layers import draw
from lmcompare.text.bpe import train_bpe
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.text.words import train_words
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.learner import TaskLearner
from lmcompare.types import Example, Task
from tests.contracts import auto_folders
from tests.contracts.backends_of_tests import LikeElmo, LikeGpt

TEXTS = [
    "the cat sat on the mat",
    "a dog ran far",
    "the dog saw the cat and the mat",
    "far and near we sat",
]


def bert(**settings: Any) -> Any:
    tokenizer = train_wordpiece(TEXTS, size=60, min_frequency=1)
    return registry.backends.build(
        {
            "name": "bert",
            "layers": 2,
            "width": 12,
            "heads": 2,
            "positions": 40,
            "dropout": 0.1,
            "init_std": 0.2,
            **settings,
        },
        tokenizer,
    )


CPU = torch.device("cpu")
SMALL: dict[str, dict[str, Any]] = {  # settings that make a reader quick
    "bilstm": {"hidden": 12},
    "crf": {"hidden": 9, "layers": 1},
    "esim": {"hidden": 11, "dropout": 0.1},
    "bcn": {"hidden": 7, "maxout": [10], "maxout_pool": 2, "maxout_dropout": [0.0], "dropout": 0.0},
    "bidaf": {"hidden": 8, "layers": 1},
}


def static() -> Any:
    more = " ".join(f"word{n}" for n in range(40))
    return registry.backends.build(
        {"name": "static", "width": 12, "init_std": 0.2}, train_words([*TEXTS, more])
    )


def elmo() -> Any:
    shape = {"cells": 10, "projection": 6, "characters": 4, "filters": [[1, 6], [2, 8]], "highways": 1}
    return registry.backends.build({"name": "elmo", **shape}, train_words(TEXTS))


def gpt(network: str = "transformer") -> Any:
    shape = {"layers": 2, "width": 12, "heads": 2, "positions": 40, "cells": 10, "init_std": 0.2}
    tokenizer = train_bpe(TEXTS, size=60, min_frequency=1)
    return registry.backends.build({"name": "gpt", "network": network, **shape}, tokenizer)


def auto(family: str) -> Any:
    return registry.loader(registry.backends.get("auto"))(auto_folders.of(family))


BACKENDS: dict[str, Callable[[], Any]] = {
    "auto": partial(auto, "roberta"),
    "auto-gpt2": partial(auto, "gpt2"),
    "bert": bert,
    "bert-causal": partial(bert, causal=True),
    "elmo": elmo,
    "gpt": gpt,
    "gpt-lstm": partial(gpt, "lstm"),
    "like-elmo": LikeElmo,
    "like-gpt": LikeGpt,
    "static": static,
}


def no_load(split: str) -> list[Example]:
    return []


def one(number: int) -> str:
    return TEXTS[number % len(TEXTS)]


def tagged(text: str) -> tuple[str, ...]:
    return tuple("O" if len(word) < 4 else "B-X" for word in text.split())


TASKS = {
    "one text": (
        Task("t", "classify", ("accuracy",), no_load, labels=("a", "b", "c")),
        [Example(str(n), (one(n),), "abc"[n % 3]) for n in range(6)],
    ),
    "two texts": (
        Task("t", "classify", ("accuracy",), no_load, labels=("a", "b"), texts=2),
        [Example(str(n), (one(n), one(n + 1)), "ab"[n % 2]) for n in range(6)],
    ),
    "symmetric score": (
        Task("t", "score", ("pearson",), no_load, texts=2, symmetric=True),
        [Example(str(n), (one(n), one(n + 1)), float(n % 4)) for n in range(6)],
    ),
    "choice": (
        Task("t", "choice", ("accuracy",), no_load),
        [Example(str(n), (one(n),), n % 3, options=tuple(TEXTS[: 3 + n % 2])) for n in range(6)],
    ),
    "tags": (
        Task("t", "tags", ("entity_f1",), no_load, labels=("O", "B-X")),
        [Example(str(n), (), tagged(one(n)), words=tuple(one(n).split())) for n in range(6)],
    ),
    "span": (
        Task("t", "span", ("span_f1",), no_load, texts=2),
        [Example(str(n), ("who sat", one(n)), ((0, one(n).index(" ")),)) for n in range(6)],
    ),
}  # fmt: skip
MODES = [
    (mode, reader)
    for mode in registry.transfers.names()
    for reader in (registry.readers.names() if mode == "features" else [""])
]
GRID = [
    (backend, kind, mode, reader)
    for backend in BACKENDS
    for kind, (task, _) in TASKS.items()
    for mode, reader in MODES
    if (not reader or readers.form(task) in getattr(registry.readers.get(reader), "serves", ()))
    and (backend != "like-gpt" or kind not in ("tags", "span"))
]


def how(mode: str, reader: str = "", settings: dict[str, Any] | None = None) -> dict[str, Any]:
    spec = {"name": mode} | ({"reader": SMALL.get(reader, {}) | {"name": reader}} if reader else {})
    return registry.transfers.check(config.merge(spec, settings or {}))


def learner(
    name: str, kind: str, mode: str, reader: str = "", settings: dict[str, Any] | None = None
) -> tuple[Any, TaskLearner, Dataset]:
    torch.manual_seed(0)
    backend = BACKENDS[name]()
    backend.draw(3)
    task, examples = TASKS[kind]
    made = TaskLearner(backend, task, how(mode, reader, settings))
    made.draw(5)
    dataset = Dataset(backend, task, examples, length=24)
    made.learn_from(dataset)
    return backend, made, dataset


def all_of(dataset: Dataset) -> np.ndarray:
    return np.arange(len(dataset))


@pytest.mark.parametrize("name", BACKENDS)
def test_an_encoder_returns_all_its_layers(name: str) -> None:
    backend, _, dataset = learner(name, "one text", "finetune")
    layers = backend.encoder(dataset.batch(all_of(dataset)).inputs)
    assert len(layers) == backend.depth + 1
    assert {tuple(x.shape) for x in layers} == {(6, layers[0].shape[1], backend.width)}


@pytest.mark.parametrize("name", BACKENDS)
def test_batch_mates_and_padding_never_change_a_state(name: str) -> None:
    backend, _, dataset = learner(name, "two texts", "finetune")
    backend.encoder.eval()
    together = backend.encoder(backend.stack(dataset.views))
    for row, view in enumerate(dataset.views):
        alone = backend.encoder(backend.stack([view]))
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[row, : len(view.ids)], b[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_causal_encoder_never_sees_the_future_and_others_do(name: str) -> None:
    backend, _, dataset = learner(name, "one text", "finetune")
    backend.encoder.eval()
    view, other = dataset.views[0], dataset.views[1]
    changed = replace(view, ids=[*view.ids[:-1], next(n for n in other.ids if n != view.ids[-1])])
    before, after = (backend.encoder(backend.stack([v]))[-1] for v in (view, changed))
    assert not torch.allclose(before[:, -1], after[:, -1], atol=1e-6)
    same = torch.allclose(before[:, :-1], after[:, :-1], atol=1e-6)
    assert same is (bool(getattr(backend, "causal", False)) or name == "static")


def loss_of(made: TaskLearner, dataset: Dataset) -> torch.Tensor:
    batch = made.batch(all_of(dataset), 0)
    losses, counts = made.losses(batch), made.counts(batch)
    assert set(losses) == set(counts) == set(made.weights)
    return torch.stack([made.weights[k] * losses[k] / counts[k] for k in losses]).sum()


def train(made: TaskLearner, dataset: Dataset, steps: int = 12) -> None:
    optimizer = registry.optimizers.build({"name": "adamw", "rate": 1e-2}, made.named_parameters())
    made.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(made, dataset).backward()
        optimizer.step()
    made.eval()


@pytest.mark.parametrize(("name", "kind", "mode", "reader"), GRID)
def test_every_cell_of_the_grid_learns(name: str, kind: str, mode: str, reader: str) -> None:
    """A few steps on a handful of examples bring the loss down; every example gets an answer, which does not hang
    on its batch mates and comes back with the weights."""
    backend, made, dataset = learner(name, kind, mode, reader)
    made.eval()
    before = float(loss_of(made, dataset).detach())
    frozen = [p.clone() for p in backend.encoder.parameters()]
    train(made, dataset)
    assert float(loss_of(made, dataset).detach()) < before
    kept = [old.equal(new) for old, new in zip(frozen, backend.encoder.parameters(), strict=True)]
    assert all(kept) if mode == "features" else not all(kept)
    answers = made.answers(dataset, all_of(dataset), CPU)
    assert [a["id"] for a in answers] == [e.id for e in dataset.examples]
    assert all(a["prediction"] is not None for a in answers)
    for n, expected in enumerate(answers):
        assert same(made.answers(dataset, np.array([n]), CPU)[0], expected)
    again = TaskLearner(backend, made.task, how(mode, reader))
    again.load_state_dict(made.state_dict())
    again.eval()
    again.body.watch(dataset)
    assert again.answers(dataset, all_of(dataset), CPU) == answers


def same(one: Any, other: Any) -> bool:
    """The same answer, its scores but for the last digits."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == pytest.approx(other, abs=2e-4) if isinstance(one, float) else one == other


@pytest.mark.parametrize("name", BACKENDS)
def test_features_train_no_weight_of_the_encoder(name: str) -> None:
    backend, made, dataset = learner(name, "one text", "features")
    ours = {id(p) for p in made.parameters()}
    assert not ours & {id(p) for p in backend.encoder.parameters()}
    before = [p.clone() for p in backend.encoder.parameters()]
    optimizer = registry.optimizers.build({"name": "adamw", "rate": 1e-1}, made.named_parameters())
    made.losses(made.batch(all_of(dataset), 0))["task"].backward()
    optimizer.step()
    for old, new in zip(before, backend.encoder.parameters(), strict=True):
        assert torch.equal(old, new)


@pytest.mark.parametrize("name", BACKENDS)
def test_finetuning_reaches_every_weight_that_an_answer_can_depend_on(name: str) -> None:
    _, made, dataset = learner(name, "two texts", "finetune")
    made.losses(made.batch(all_of(dataset), 0))["task"].backward()
    untouched = [n for n, p in made.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not untouched


@pytest.mark.parametrize("name", BACKENDS)
def test_the_order_of_a_symmetric_pair_is_only_asked_where_the_backend_says_so(name: str) -> None:
    backend, made, _ = learner(name, "symmetric score", "finetune")
    task, examples = TASKS["symmetric score"]
    made.eval()
    turned = [Example(e.id, e.texts[::-1], e.label) for e in examples]
    scores = []
    for rows in (examples, turned):
        dataset = Dataset(backend, task, rows, length=24)
        answers = made.answers(dataset, all_of(dataset), torch.device("cpu"))
        scores.append([a["prediction"] for a in answers])
    if name in ("auto-gpt2", "gpt", "gpt-lstm", "like-gpt"):
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert all(np.isfinite(scores).ravel())


@pytest.mark.parametrize("name", registry.readers.names())
def test_readers_ignore_padding(name: str) -> None:
    builder: Any = registry.readers.get(name)
    task = next(task for task, _ in TASKS.values() if readers.form(task) in builder.serves)
    reader = registry.readers.build({"name": name}, 6, 3, task).eval()
    draw(reader, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    x, extra = (torch.randn(3, 7, width, generator=generator) for width in (6, 3))
    mask = torch.arange(7)[None] < torch.tensor([7, 4, 1])[:, None]
    noisy, noise = (torch.where(mask[..., None], t, torch.full_like(t, 9.0)) for t in (x, extra))
    if reader.pairs:
        other = (x.flip(0), mask.flip(0), extra.flip(0))
        clean, dirty = (reader(side, other) for side in ((x, mask, extra), (noisy, mask, noise)))
        torch.testing.assert_close(clean, dirty)
        assert clean.shape[-1] == reader.width
        return
    states, pooled = reader(x, mask, extra)
    states2, pooled2 = reader(noisy, mask, noise)
    assert pooled.shape == (3, reader.width)
    torch.testing.assert_close(pooled, pooled2)
    if set(builder.serves) & {"tags", "span"}:
        assert states.shape == (3, 7, reader.width)
        torch.testing.assert_close(states[mask], states2[mask])


@pytest.mark.parametrize("name", registry.schedules.names())
def test_schedules_rise_to_one_and_never_leave_zero_to_one(name: str) -> None:
    curve = registry.schedules.get(name)
    values = [curve(step, 100, warmup=0.2) for step in range(100)]
    assert min(values) >= 0 and max(values) == pytest.approx(1.0)
    assert values[:20] == sorted(values[:20])


@pytest.mark.parametrize("name", registry.activations.names())
def test_activations_pass_gradcheck(name: str) -> None:
    x = (torch.linspace(-3, 3, 13, dtype=torch.float64) + 0.01).requires_grad_()
    assert torch.autograd.gradcheck(registry.activations.get(name), (x,))


@pytest.mark.parametrize("name", registry.optimizers.names())
def test_optimizers_go_downhill_and_come_back_from_a_checkpoint(name: str) -> None:
    from lmcompare import checkpoints

    def start() -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
        layer = torch.nn.Linear(3, 2)
        draw_weights(layer, std=0.5, generator=torch.Generator().manual_seed(4))
        return layer, registry.optimizers.build({"name": name, "rate": 0.05}, layer.named_parameters())

    def step(layer: torch.nn.Linear, optimizer: torch.optim.Optimizer) -> float:
        loss = (layer(torch.eye(3)) - 1).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    layer, optimizer = start()
    losses = [step(layer, optimizer) for _ in range(5)]
    assert losses[-1] < losses[0]
    weights = {k: v.clone() for k, v in layer.state_dict().items()}
    tensors, groups = checkpoints.pack_optimizer(optimizer)
    tensors = {k: v.clone() for k, v in tensors.items()}
    expected = [step(layer, optimizer) for _ in range(3)]
    again, other = start()
    again.load_state_dict(weights)
    checkpoints.unpack_optimizer(other, tensors, groups)
    assert [step(again, other) for _ in range(3)] == expected
