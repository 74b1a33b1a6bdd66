"""What every objective, tokenizer, metric and baseline promises, because it is registered."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcompare import evaluation, registry
from lmcompare.text import shards
from lmcompare.text.material import Material
from lmcompare.text.words import train_words
from tests.contracts.test_backends import TASKS, bert, gpt

SENTENCES = ["the cat sat on the mat.", "a dog ran far away.", "the dog saw the cat.", "we sat near the mat."]
PERFECT: dict[str, tuple[list[Any], list[Any], tuple[str, ...]]] = {
    "pearson": ([1.0, 2.0, 4.0], [1.0, 2.0, 4.0], ()),
    "spearman": ([1.0, 2.0, 4.0], [1.0, 2.0, 9.0], ()),
    "entity_f1": ([("O", "B-X")], [("O", "B-X")], ("O", "B-X")),
    "role_f1": ([("B-V", "B-A1")], [("O", "B-A1")], ("O", "B-V", "B-A1")),
    "span_f1": ([("the cat",)], ["cat"], ()),
    "exact_match": ([("the cat",)], ["cat"], ()),
    "answer_f1": ([("the cat",), ()], ["cat", ""], ()),
    "answer_match": ([("the cat",), ()], ["cat", ""], ()),
    "answerable_f1": ([("the cat",), ()], ["cat", "dog"], ()),
    "answerable_match": ([("the cat",), ()], ["cat", "dog"], ()),
    "unanswerable_match": ([("the cat",), ()], ["dog", ""], ()),
}
CLASSES = (["a", "b", "a"], ["a", "b", "a"], ("a", "b"))


@pytest.mark.parametrize("name", registry.metrics.names())
def test_a_perfect_answer_scores_one_and_an_empty_one_nothing(name: str) -> None:
    gold, answers, labels = PERFECT.get(name, CLASSES)
    metric = registry.metrics.get(name)
    assert metric(gold, answers, labels) == pytest.approx(1.0)
    from lmcompare import metrics

    values, reasons = metrics.evaluate([name], [], [], labels)
    assert values == {name: None}
    assert reasons[name]


@pytest.mark.parametrize("name", registry.tokenizers.names())
def test_tokenizers_learn_the_same_and_come_back_from_a_folder(name: str, tmp_path: Path) -> None:
    first, second = (registry.tokenizers.build({"name": name, "size": 60}, SENTENCES * 3) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    first.save(tmp_path)
    again = registry.loader(registry.tokenizers.get(name))(tmp_path)
    assert again.fingerprint == first.fingerprint
    assert again.encode_many(SENTENCES) == [first.encode(s) for s in SENTENCES]
    ids, spans = first.encode_offsets(SENTENCES[0])
    assert ids == first.encode(SENTENCES[0])
    assert "".join(SENTENCES[0][s:e] for s, e in spans) == SENTENCES[0].replace(" ", "")


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("name", registry.baselines.names())
def test_baselines_answer_every_kind_of_task_the_same_way_twice(name: str, kind: str) -> None:
    task, examples = TASKS[kind]
    told = []
    for _ in range(2):
        model = registry.baselines.build({"name": name}, task)
        model.fit(examples, 1)
        told.append(model.predict(examples))
    assert told[0] == told[1]
    assert len(told[0]) == len(examples)
    rows = [
        {"id": e.id, "label": evaluation.gold(e), "prediction": p}
        for e, p in zip(examples, told[0], strict=True)
    ]
    assert set(evaluation.score(task, rows)[0]) == set(task.metrics)


DOCUMENTS = [SENTENCES[n:] + SENTENCES[:n] for n in range(4)] * 6
TINY_ELMO = {
    "layers": 1,
    "cells": 12,
    "projection": 8,
    "characters": 4,
    "filters": [[1, 6], [2, 6]],
    "dropout": 0.0,
}
# What an objective pretrains, its settings here, and a rate at which it learns in a few steps.
PRETRAINING: dict[str, tuple[Callable[[], Any], dict[str, Any], float]] = {
    "mlm_nsp": (bert, {"length": 24}, 5e-3),
    "mlm": (bert, {"length": 24, "whole_words": True}, 5e-3),
    "ltr": (lambda: bert(causal=True), {"length": 24}, 5e-3),
    "clm": (gpt, {"length": 12}, 5e-3),
    "bilm": (lambda: of_words("elmo", **TINY_ELMO), {"unroll": 5}, 2e-2),
    "skipgram": (lambda: of_words("static", width=12), {"length": 24, "subsample": 0.0}, 5e-2),
    "feedforward": (lambda: of_words("static", width=12), {"length": 24}, 2e-2),
}


def of_words(name: str, **settings: Any) -> Any:
    return registry.backends.build({"name": name, **settings}, train_words(SENTENCES))


def tensors(batch: Any) -> list[torch.Tensor]:
    """All that a batch holds, in the order of its fields."""
    if isinstance(batch, torch.Tensor):
        return [batch]
    fields = vars(batch).values() if hasattr(batch, "__dataclass_fields__") else []
    return [tensor for value in fields for tensor in tensors(value)]


def epoch_of(objective: Any, epoch: int) -> list[torch.Tensor]:
    order = objective.order(batch=8, seed=3, epoch=epoch, buckets=True)
    return [tensor for chosen in order for tensor in tensors(objective.batch(chosen, epoch))]


@pytest.mark.parametrize("name", registry.objectives.names())
def test_objectives_ask_the_same_for_the_same_key_and_learn(name: str, tmp_path: Path) -> None:
    make, settings, rate = PRETRAINING[name]
    backend = make()
    backend.draw(1)
    objective = registry.objectives.build({"name": name, **settings}, backend)
    objective.draw(2)
    tokens = shards.build(DOCUMENTS, backend.tokenizer, tmp_path / "tokens")
    objective.prepare(Material(tokens, 0.2, 3))
    assert len(objective.lengths) > 10
    first, again, later = (epoch_of(objective, epoch) for epoch in (0, 0, 1))
    assert len(first) > 2 and all(a.equal(b) for a, b in zip(first, again, strict=True))
    assert any(not a.equal(b) for a, b in zip(first, later, strict=False))
    chosen = objective.order(batch=8, seed=3, epoch=0, buckets=True)[0]
    objective.train(False)
    whole, one, other = (
        {k: float(v.detach()) for k, v in objective.losses(objective.batch(part, 0)).items()}
        for part in (chosen, chosen[:3], chosen[3:])
    )
    assert {k: one[k] + other[k] for k in one} == pytest.approx(whole, rel=1e-4)  # batch mates change nothing
    wide = objective.batch(chosen, 0)
    optimizer = registry.optimizers.build({"name": "adamw", "rate": rate}, objective.named_parameters())
    totals = []
    for _ in range(15):
        counts, losses = objective.counts(wide), objective.losses(wide)
        assert set(losses) == set(counts) == set(objective.weights)
        total = sum(objective.weights[k] * losses[k] / counts[k] for k in losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.8 * totals[0]


@pytest.mark.parametrize("name", registry.ngrams.names())
def test_n_gram_models_are_distributions_and_come_back_from_a_folder(name: str, tmp_path: Path) -> None:
    tokenizer = train_words(SENTENCES)
    tokens = shards.build(DOCUMENTS, tokenizer, tmp_path / "tokens")
    train, held = tokens.split(0.2)
    model = registry.ngrams.build({"name": name}, tokenizer)
    model.fit(tokens, train, lambda: None)
    figures = model.evaluate(tokens, held, lambda: None)
    assert 1 < figures["perplexity"] < tokenizer.vocabulary
    places = [tokens.document(d) for d in held]
    assert figures["positions"] == sum(edges[-1] - edges[0] + len(edges) - 1 for edges in places)
    words = np.array([w for w in range(tokenizer.vocabulary) if w != tokenizer.start_id])
    for context in itertools.product(range(tokenizer.vocabulary), repeat=2):
        told = model.probabilities(words, [np.full(len(words), word) for word in context])
        assert told.min() > 0 and told.sum() == pytest.approx(1.0, abs=1e-9)
    model.save(tmp_path / "model")
    again = registry.loader(registry.ngrams.get(name))(tmp_path / "model")
    assert again.evaluate(tokens, held, lambda: None) == figures
