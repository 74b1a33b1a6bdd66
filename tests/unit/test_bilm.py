"""The biLM: which word stands where, sampled softmax, and the loss and its gradients against a plain, slow reading."""

import math
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lmcompare import softmax
from lmcompare.backends.elmo import Elmo
from lmcompare.objectives.bilm import BiLm
from lmcompare.objectives.sampling import log_uniform
from lmcompare.recurrent import FORGET, ProjectedLstm, Recurrence
from lmcompare.text import shards, streams
from lmcompare.text.material import Material
from lmcompare.text.words import END, START, Words, train_words

DOCUMENTS = [
    ["the cat sat .", "it was a naïve cat .", "far away !"],
    ["dogs ran .", "we saw the dogs and the cat sat ."],
    ["a cat ."],
    ["the end", "is near , they said ."],
] * 3


@pytest.fixture(scope="module")
def tokenizer() -> Words:
    return train_words((s for d in DOCUMENTS for s in d), size=14)


@pytest.fixture
def tokens(tokenizer: Words, tmp_path: Path) -> shards.Shards:
    return shards.build(DOCUMENTS, tokenizer, tmp_path / "tokens")


def tiny(tokenizer: Words, **more: Any) -> BiLm:
    shape = {"cells": 7, "projection": 5, "characters": 3, "filters": [[1, 4], [3, 6]], "highways": 1}
    elmo = Elmo(tokenizer, **{**shape, "cell_clip": 0.3, "clip": 0.2, "dropout": 0.0}, **more)
    elmo.draw(1)
    with torch.no_grad():
        for p in elmo.encoder.directions.parameters():
            p.mul_(3.0)  # so that both clips are felt
    objective = BiLm(elmo, unroll=4)
    objective.draw(2)
    return objective


def slow_direction(encoder: Any, which: int, x_TBP: Tensor) -> Tensor:
    """The top layer of one direction from zero states, a step at a time, with torch's own gradients."""
    for n, lstm in enumerate(encoder.directions[which]):
        h, c = lstm.zeros(x_TBP.shape[1])
        outputs = []
        for x in x_TBP:
            gates = x @ lstm.weight_in.t() + h @ lstm.weight_state.t() + lstm.bias
            i, f, o, g = gates.chunk(4, 1)
            c = f.add(FORGET).sigmoid() * c + i.sigmoid() * g.tanh()
            c = c.clamp(-lstm.cell_clip, lstm.cell_clip)
            h = ((o.sigmoid() * c.tanh()) @ lstm.weight_out.t()).clamp(-lstm.clip, lstm.clip)
            outputs.append(h)
        y_TBP = torch.stack(outputs)
        x_TBP = y_TBP + x_TBP if n else y_TBP
    return x_TBP


def slow_word(encoder: Any, spelled: Tensor) -> Tensor:
    """One word from all of its 50 characters."""
    words = encoder.words
    x_1EK = words.embedding(spelled.long()).t()[None]
    x = torch.cat([convolve(x_1EK).max(2).values for convolve in words.convolutions], 1).relu()
    for transform, carry in zip(words.transforms, words.carries, strict=True):
        gate = carry(x).sigmoid()
        x = gate * transform(x).relu() + (1 - gate) * x
    return words.projection(x)[0]


def slow_loss(objective: BiLm, batch: Any, tokenizer: Words) -> dict[str, Tensor]:
    encoder, inputs = objective.encoder, batch.inputs
    words = torch.stack([slow_word(encoder, row) for row in inputs.characters_UK])
    totals = {}
    for which, (name, ids_BT) in enumerate(zip(("forward", "backward"), inputs.ids_BT.chunk(2), strict=True)):
        top = slow_direction(encoder, which, words[ids_BT].transpose(0, 1))
        logits = objective.words(top).transpose(0, 1).flatten(0, 1)
        target = batch.targets[which].flatten()
        totals[name] = -logits.log_softmax(1)[torch.arange(len(target)), target].sum()
    return totals


def test_loss_and_gradients_against_a_slow_reading(tokenizer: Words, tokens: shards.Shards) -> None:
    objective = tiny(tokenizer)
    objective.prepare(Material(tokens, 0.2, 1))
    (first, *_) = objective.order(batch=3, seed=1, epoch=0, buckets=False)
    batch = objective.batch(first, 0)
    weights = list(objective.parameters())
    ours, theirs = objective.losses(batch), slow_loss(objective, batch, tokenizer)
    for name in ("forward", "backward"):
        assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-5)
        grads = [
            torch.autograd.grad(loss[name], weights, allow_unused=True, retain_graph=True)
            for loss in (ours, theirs)
        ]
        seen = 0
        for fast, slow in zip(*grads, strict=True):
            if slow is None:
                assert fast is None or not fast.any()
                continue
            assert float((fast - slow).abs().max()) <= 1e-5 * max(1.0, float(slow.abs().max()))
            seen += 1
        assert seen > 12


def test_states_go_on_from_window_to_window(tokenizer: Words, tokens: shards.Shards) -> None:
    """Two windows one after the other give the losses of one window twice as long."""
    short, long = tiny(tokenizer), tiny(tokenizer)
    long.unroll = 8
    totals = []
    for objective, windows in ((short, 2), (long, 1)):
        objective.prepare(Material(tokens, 0.2, 1))
        objective._plan(1, 1, 0)
        object.__setattr__(objective.plan, "streams", streams.even(tokens, objective.rows, 1, 8))
        total = 0.0
        for number in range(windows):
            losses = objective.losses(objective.batch(np.array([number]), 0))
            objective.carry(lambda tensor: tensor)
            total += float(losses["forward"] + losses["backward"])
        totals.append(total)
    assert totals[0] == pytest.approx(totals[1], rel=1e-6)


@pytest.mark.parametrize("clips", [(3.0, 3.0), (0.3, 0.1), (None, None)])
def test_the_recurrence_has_the_right_gradients(clips: tuple[float | None, float | None]) -> None:
    torch.manual_seed(0)
    lstm = ProjectedLstm(3, cells=5, projection=4, cell_clip=clips[0], clip=clips[1]).double()
    for p in lstm.parameters():
        p.data.normal_(0.0, 0.7)
    given = (torch.randn(4, 2, 3).double().requires_grad_(), *lstm.parameters())
    state = (torch.randn(2, 4).double() * 0.1, torch.randn(2, 5).double() * 0.2)

    def run(*x: Tensor) -> Tensor:
        return Recurrence.apply(*x, *state, lstm.cell_clip, lstm.clip)[0]

    assert torch.autograd.gradcheck(run, given)


def test_reading_without_gradients_is_the_same() -> None:
    lstm = ProjectedLstm(6, cells=9, projection=4, cell_clip=0.3, clip=0.1)
    lstm.draw(torch.Generator().manual_seed(3))
    x_TBD, state = torch.randn(5, 3, 6), (torch.randn(3, 4) * 0.1, torch.randn(3, 9) * 0.2)
    kept = lstm(x_TBD, state)
    with torch.no_grad():
        alone = lstm(x_TBD, state)
    for ours, theirs in zip(alone, kept, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


def unrolled(source: streams.Streams, unroll: int, tokenizer: Words) -> list[list[str]]:
    """What each row of each direction is asked for, in words."""
    rows = np.arange(len(source.starts))
    told: list[list[str]] = [[] for _ in range(2 * len(rows))]
    read: list[list[str]] = [[] for _ in range(2 * len(rows))]
    for number in range(source.windows(unroll)):
        inputs, targets = source.window(rows, number, unroll)
        for way in range(2):
            for row in rows:
                asked = targets[way, row] >= 0
                told[way * len(rows) + row] += [tokenizer.forms[i] for i in targets[way, row][asked]]
                read[way * len(rows) + row] += [tokenizer.forms[i] for i in inputs[way, row][asked]]
    for asked, given in zip(
        told, read, strict=True
    ):  # what was asked is what is read next, but for the marks
        for before, after in zip(asked, given[1:], strict=False):
            assert before == after or (before in (START, END) and after in (START, END))
    return told


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_held_out_rows_ask_for_every_word_and_every_end_once(
    tokenizer: Words, tokens: shards.Shards, rows: int
) -> None:
    order = np.arange(len(tokens.sentences) - 1)
    told = unrolled(streams.whole(tokens, order, rows), 3, tokenizer)
    words = [tokenizer.forms[i] for i in tokens.tokens]
    ahead, behind = told[: len(told) // 2], told[len(told) // 2 :]
    assert Counter(list(chain(*ahead))) == Counter(words) + Counter({END: len(order)})
    assert Counter(list(chain(*behind))) == Counter(words) + Counter({START: len(order)})
    texts = [s for document in DOCUMENTS for s in document]
    assert " ".join(list(chain(*ahead))) == " ".join(" ".join([t, END]) for t in texts)
    assert " ".join(list(chain(*behind))) == " ".join(" ".join([*t.split()[::-1], START]) for t in texts)


def test_training_rows_are_even_and_shuffled_by_document(tokenizer: Words, tokens: shards.Shards) -> None:
    objective = tiny(tokenizer)
    objective.prepare(Material(tokens, 0.2, 1))
    orders = [objective.order(batch=3, seed=1, epoch=e, buckets=False) for e in (0, 0, 1)]
    first = [objective.batch(orders[n][0], e) for n, e in ((0, 0), (1, 0))]
    assert first[0].targets.equal(first[1].targets)
    assert len(orders[0]) * 3 * 4 <= objective.lengths.sum()  # so it always ends
    objective.order(batch=3, seed=1, epoch=1, buckets=False)
    assert not objective.batch(orders[2][0], 1).targets.equal(first[0].targets)


def test_log_uniform_words_are_as_frequent_as_was_expected() -> None:
    drawn = np.zeros(50)
    for key in range(4000):
        negatives = log_uniform(8, 50, 7, key)
        assert len(set(negatives.words_S.tolist())) == 8
        drawn[negatives.words_S.numpy()] += 1
    tries = [log_uniform(8, 50, 7, key).expected_V.exp().numpy() for key in range(400)]
    assert np.abs(drawn / 4000 - np.mean(tries, axis=0)).max() < 0.05


def test_a_sampled_softmax_over_nearly_all_words_is_nearly_the_full_one() -> None:
    torch.manual_seed(3)
    linear = torch.nn.Linear(6, 40)
    x, target = torch.randn(30, 6), torch.randint(0, 40, (30,))
    negatives = log_uniform(40, 40, 1)
    even = torch.zeros_like(negatives.expected_V)
    sampled = type(negatives)(negatives.words_S, even).loss(x, target, linear)
    full = F.cross_entropy(linear(x), target, reduction="sum")
    assert float(sampled) == pytest.approx(float(full), rel=1e-5)


@pytest.mark.parametrize("cells", [20, 10_000])
def test_cross_entropy_in_pieces(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(softmax, "CELLS", cells)
    monkeypatch.setattr(softmax, "ROWS", 1)
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(size, requires_grad=True) for size in ((13, 5), (9, 5), (9,)))
    target = torch.randint(0, 9, (13,))
    ours = softmax.cross_entropy(x, weight, bias, target)
    theirs = F.cross_entropy(F.linear(x, weight, bias), target, reduction="sum")
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)
    for fast, slow in zip(
        *(torch.autograd.grad(2 * y, (x, weight, bias)) for y in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)


def test_sampled_cross_entropy_leaves_out_the_target_among_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(softmax, "CELLS", 20)
    monkeypatch.setattr(softmax, "ROWS", 1)
    torch.manual_seed(1)
    x, weight, bias = (torch.randn(size, requires_grad=True) for size in ((13, 5), (9, 5), (9,)))
    target, words = torch.randint(0, 9, (13,)), torch.tensor([3, 0, 7, 5])
    place = torch.tensor([words.tolist().index(t) if t in words else -1 for t in target.tolist()])
    right = (x * weight[target]).sum(-1) + bias[target]
    ours = softmax.sampled_cross_entropy(x, weight[words], bias[words], place, right)
    others = F.linear(x, weight[words], bias[words]).masked_fill(words[None] == target[:, None], -math.inf)
    theirs = F.cross_entropy(
        torch.cat([right[:, None], others], 1), torch.zeros_like(target), reduction="sum"
    )
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)
    given = (x, weight, bias)
    for fast, slow in zip(
        *(torch.autograd.grad(y, given, retain_graph=True) for y in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-5)


def test_held_out_perplexity_is_that_of_the_slow_reading(tokenizer: Words, tokens: shards.Shards) -> None:
    objective = tiny(tokenizer)
    objective.prepare(Material(tokens, 0.3, 1))
    objective.train(False)
    figures = objective.evaluate(2, torch.device("cpu"), lambda: None)
    source = streams.whole(tokens, objective.held_rows, 2)
    sums = {"forward": 0.0, "backward": 0.0}
    for row in range(len(source.starts)):  # a row as one long window
        length = int(source.ends[row] - source.starts[row])
        objective.unroll = length
        with torch.no_grad():
            for name, loss in slow_loss(
                objective, objective._batch(source, np.array([row]), 0), tokenizer
            ).items():
                sums[name] += float(loss)
    count = figures["positions"]
    assert count == int(
        (tokens.sentences[objective.held_rows + 1] - tokens.sentences[objective.held_rows] + 1).sum()
    )
    assert figures["forward_perplexity"] == pytest.approx(math.exp(sums["forward"] / count), rel=1e-4)
    assert figures["backward_perplexity"] == pytest.approx(math.exp(sums["backward"] / count), rel=1e-4)
    assert figures["perplexity"] == pytest.approx(math.exp(sum(sums.values()) / 2 / count), rel=1e-4)
