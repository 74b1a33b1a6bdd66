"""The feed-forward language model against its equation, and as a distribution over words."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcompare import registry
from lmcompare.errors import ModelError, UserError
from lmcompare.text import shards
from lmcompare.text.material import Material
from lmcompare.text.words import Words, train_words

TEXT = [["a b c", "b a"], ["c c a b"], ["b"], ["a a c b", "c"], ["b c a"]] * 4


def objective(folder: Path, *, size: int = 100, **settings: Any) -> Any:
    tokenizer = train_words((s for d in TEXT for s in d), size=size)
    backend = registry.backends.build({"name": "static", "width": 3, "init_std": 0.8}, tokenizer)
    backend.draw(1)
    made = registry.objectives.build({"name": "feedforward", "hidden": 5, "context": 2, **settings}, backend)
    made.draw(2)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in made.softmax.parameters():
            p.normal_(0.0, 0.5, generator=generator)
    made.prepare(Material(shards.build(TEXT, tokenizer, folder / "t"), 0.2, 3))
    return made


@pytest.mark.parametrize("direct", [False, True])
def test_the_figures_are_those_of_the_equation_word_by_word(direct: bool, tmp_path: Path) -> None:
    made = objective(tmp_path, direct=direct, size=5)
    C, tokens = made.encoder.words.weight.double(), made.shards
    H, d = made.hidden.weight.double(), made.hidden.bias.double()
    UW, b = made.softmax.weight.double(), made.softmax.bias.double()
    loss, positions = 0.0, 0
    _, held = tokens.split(0.2)
    for document in held:
        for start, end in itertools.pairwise(tokens.document(document)):
            ids = made.tokenizer.targets(tokens.tokens[start:end].astype(np.int64)).tolist()
            padded = [Words.start_id] * 2 + ids + [Words.end_id]
            for at in range(2, len(padded)):
                x = torch.cat([C[padded[at - 1]], C[padded[at - 2]]])
                seen = torch.tanh(d + H @ x)
                y = b + UW @ (torch.cat([seen, x]) if direct else seen)
                loss -= float(y.log_softmax(0)[padded[at]].detach())
                positions += 1
    figures = made.evaluate(3, torch.device("cpu"), lambda: None)
    assert figures["positions"] == positions
    assert figures["perplexity"] == pytest.approx(np.exp(loss / positions), rel=1e-5)
    before = figures
    made.prepare(Material(tokens, 0.2, 99, held_out_only=True))
    assert made.evaluate(64, torch.device("cpu"), lambda: None) == pytest.approx(before)


def test_it_learns_and_its_table_with_it(tmp_path: Path) -> None:
    made = objective(tmp_path)
    table = made.encoder.words.weight.detach().clone()
    optimizer = registry.optimizers.build(
        {"name": "adamw", "rate": 3e-2, "decay": 0.0}, made.named_parameters()
    )
    first = made.evaluate(64, torch.device("cpu"), lambda: None)["perplexity"]
    for _ in range(60):
        batch = made.batch(np.arange(len(made.rows)), 0)
        optimizer.zero_grad()
        (made.losses(batch)["feedforward"] / made.counts(batch)["feedforward"]).backward()
        optimizer.step()
    assert made.evaluate(64, torch.device("cpu"), lambda: None)["perplexity"] < 0.7 * first
    moved = (made.encoder.words.weight.detach() - table).abs().sum(1) > 0
    assert moved[[0, 3, 4, 5]].all()  # the sentence's start, and every word
    assert made.prefers("c c a ___", "b", "a") is True
    assert made.prefers("c c a ___", "a", "b") is False
    assert made.prefers("c c ___ b", "a", "never") is None


def test_heads_go_with_the_model_and_come_back(tmp_path: Path) -> None:
    made, other = objective(tmp_path, direct=True), objective(tmp_path, direct=True)
    other.draw(9)
    assert not any(name.startswith("words") for name in made.heads())
    other.load_heads({k: v.clone() for k, v in made.heads().items()})
    assert all(other.heads()[k].equal(v) for k, v in made.heads().items())
    with pytest.raises(ModelError, match="missing or does not fit"):
        objective(tmp_path).load_heads(made.heads())


def test_settings_below_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 1"):
        objective(tmp_path, context=0)
