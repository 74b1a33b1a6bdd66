"""A task network on top of a fine-tuned encoder, as Devlin et al. 2019 (§5.1) put a BiLSTM on a left-to-right model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcompare import readers, registry
from lmcompare.errors import UserError
from lmcompare.transfer.learner import ENCODER, TaskLearner
from tests.contracts.test_backends import (
    BACKENDS,
    CPU,
    SMALL,
    TASKS,
    all_of,
    how,
    learner,
    loss_of,
    same,
    train,
)
from tests.smoke.test_cli import TINY, folder, lmc, sets

__all__ = ["folder"]


def single(kind: str) -> list[str]:
    """The readers that read one sequence of states and serve such a task."""
    form = readers.form(TASKS[kind][0])
    found: dict[str, Any] = {name: registry.readers.get(name) for name in registry.readers.names()}
    return [name for name, reader in found.items() if form in reader.serves and not reader.pairs]


GRID = [
    (backend, kind, reader)
    for backend in BACKENDS
    for kind in TASKS
    for reader in single(kind)
    if (backend != "like-gpt" or kind not in ("tags", "span")) and (reader == "bilstm" or backend == "bert")
]


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """As a file of predictions has it."""
    return json.loads(json.dumps(answer))


@pytest.mark.parametrize(("name", "kind", "reader"), GRID)
def test_reader_and_encoder_learn_together(name: str, kind: str, reader: str) -> None:
    backend, made, dataset = learner(name, kind, "finetune", reader)
    made.eval()
    before = float(loss_of(made, dataset).detach())
    encoder = [p.clone() for p in backend.encoder.parameters()]
    own = {n: p.detach().clone() for n, p in made.body.reader.named_parameters()}
    train(made, dataset, 24)
    assert float(loss_of(made, dataset).detach()) < before
    assert not all(old.equal(new) for old, new in zip(encoder, backend.encoder.parameters(), strict=True))
    assert not any(own[n].equal(p) for n, p in made.body.reader.named_parameters())
    answers = made.answers(dataset, all_of(dataset), CPU)
    assert [a["id"] for a in answers] == [e.id for e in dataset.examples]
    for n, expected in enumerate(answers):
        assert same(plain(made.answers(dataset, np.array([n]), CPU)[0]), plain(expected))


@pytest.mark.parametrize(("kind", "reader"), [("tags", "crf"), ("one text", "bcn"), ("two texts", "bilstm")])
def test_encoder_and_own_parts_make_the_whole_again(kind: str, reader: str) -> None:
    """As a finished run keeps them: the encoder in its folder, reader and head beside it."""
    backend, made, dataset = learner("bert", kind, "finetune", reader)
    train(made, dataset, 3)
    own = made.own_state()
    assert any(name.startswith("body.reader.") for name in own)
    assert not any(name.startswith(ENCODER) for name in own)
    again = TaskLearner(backend, made.task, how("finetune", reader))
    missing, unexpected = again.load_state_dict(own, strict=False)
    assert not unexpected and all(name.startswith(ENCODER) for name in missing)
    again.eval()
    assert again.answers(dataset, all_of(dataset), CPU) == made.answers(dataset, all_of(dataset), CPU)


def test_the_reader_is_drawn_from_the_seed() -> None:
    made = learner("bert", "tags", "finetune", "bilstm")[1]
    first = {name: value.clone() for name, value in made.own_state().items()}
    made.draw(5)
    assert all(value.equal(first[name]) for name, value in made.own_state().items())
    made.draw(6)
    drawn = [n for n, value in made.own_state().items() if not value.equal(first[n])]
    assert any(name.startswith("body.reader.lstm.weight") for name in drawn)


def test_without_a_reader_nothing_is_new() -> None:
    """Runs from before it have the same weights and the same config but for a key that is absent."""
    made = learner("bert", "one text", "finetune")[1]
    assert made.body.reader is None
    assert set(made.own_state()) == {"head.linear.weight", "head.linear.bias"}
    assert registry.transfers.check({"name": "finetune"})["reader"] is None


def test_the_language_model_s_own_loss_stays_on_the_encoder() -> None:
    losses = []
    for reader in ("", "bilstm"):
        _, made, dataset = learner("gpt", "one text", "finetune", reader, {"aux_lm": 0.5})
        made.eval()
        losses.append(made.losses(made.batch(all_of(dataset), 0))["lm"].detach())
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize(
    ("kind", "reader", "fit"),
    [
        ("two texts", "esim", "bilstm, linear"),
        ("choice", "esim", "bilstm, linear"),
        ("span", "bidaf", "bilstm, linear"),
        ("one text", "crf", "bcn, bilstm, linear"),
    ],
)
def test_readers_that_cannot_stand_there_are_refused(kind: str, reader: str, fit: str) -> None:
    sentence = rf"'{reader}' does not read tasks of the kind {kind} on top of a fine-tuned encoder .*: {fit}$"
    with pytest.raises(UserError, match=sentence):
        learner("bert", kind, "finetune", reader)
    with pytest.raises(UserError, match=r"transfer\.reader"):
        learner("bert", kind, "finetune", "", {"reader": {"name": "bilstn"}})
    assert SMALL[reader]


@pytest.mark.slow
def test_a_run_is_saved_evaluated_and_slower_below(folder: Path) -> None:
    """The whole way: two BiLSTM layers on top, BERT's own Adam, and lower layers that learn more slowly."""
    model, out = folder / "model", folder / "tuned"
    lmc(
        "pretrain",
        "bert",
        "--corpus",
        folder / "text.txt",
        "--out",
        model,
        *sets(TINY),
        *sets(["backend.layers=2"]),
    )
    words = [
        "task.train=32", "training.epochs=1", "length=48", "training.log_every=1", "optimizer.name=bert_adam",
        "optimizer.rate=1e-3", "optimizer.layer_decay=0.1", "optimizer.decay=0.0", "redraw_top=1",
        "transfer.reader.name=bilstm", "transfer.reader.hidden=8", "transfer.reader.layers=2",
    ]  # fmt: skip
    common = ["--task", "micro.entities", "--model", model, "--config", "bert-micro"]
    told = json.loads(lmc("finetune", "bert", *common, "--out", out, *sets(words), "--json"))
    again = json.loads(lmc("eval", out, "--split", "test", "--json"))
    assert again["metrics"] == told["metrics"]["test"]
    kept = [json.loads(line) for line in (out / "predictions-test.jsonl").read_text().splitlines()]
    assert again["predictions"] == kept
    from safetensors.torch import load_file

    old, new = (load_file(run / "model" / "model.safetensors") for run in (model, out))
    moved = {
        part: float((old[name] - new[name]).abs().max())
        for part, name in (
            ("layer 1", "bert.encoder.layer.0.attention.output.dense.weight"),
            ("embeddings", "bert.embeddings.position_embeddings.weight"),
        )
    }
    assert 0 < 3 * moved["embeddings"] < moved["layer 1"]
    assert "body.reader.lstm.weight_ih_l1" in load_file(out / "model" / "task.safetensors")
