"""The left-to-right language model: which tokens stand in which window, and its loss against a plain, slow reading."""

import hashlib
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lmcompare import registry
from lmcompare.backends.bert import Bert
from lmcompare.backends.gpt import Gpt
from lmcompare.errors import DataError, UserError
from lmcompare.objectives import clm
from lmcompare.objectives.clm import BEFORE, Clm
from lmcompare.text import shards
from lmcompare.text.bpe import train_bpe
from lmcompare.text.material import Material
from lmcompare.text.running import Running
from lmcompare.text.shards import Shards
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.types import View

SENTENCES = ["the cat sat on the mat.", "a dog ran far away.", "the dog saw the cat.", "we sat near the mat."]
RARE = ["the fatter rats ate a zebra."]  # in many pieces
DOCUMENTS = [SENTENCES[n % 4 :] + RARE + SENTENCES[: n % 3] for n in range(14)]
CPU = torch.device("cpu")
NETWORKS = ("transformer", "lstm")


def tiny(network: str = "transformer", *, length: int = 6, positions: int = 16) -> Clm:
    tokenizer = train_bpe(SENTENCES * 2, size=60)
    shape = {"layers": 2, "width": 12, "heads": 3, "cells": 7, "positions": positions, "dropout": 0.0}
    gpt = Gpt(tokenizer, network=network, init_std=0.4, **shape)
    gpt.draw(1)
    return Clm(gpt, length=length)


def counted(sizes: list[int]) -> Shards:
    """Documents of so many tokens in which every token is another, so that each tells where it stood."""
    ends = np.cumsum([0, *sizes])
    return Shards(np.arange(ends[-1]), ends.astype(np.int64), np.arange(len(sizes) + 1))


def documents_of(tokens: Shards, numbers: np.ndarray) -> list[list[int]]:
    return [list(range(*tokens.sentences[[n, n + 1]])) for n in numbers]


SIZES = [int(n) for n in np.random.default_rng(1).integers(1, 30, 40)]


def prepared(sizes: list[int], *, holdout: float = 0.2, seed: int = 3, length: int = 6) -> Clm:
    objective = tiny(length=length)
    objective.prepare(Material(counted(sizes), holdout, seed))
    return objective


def epoch_text(objective: Clm, epoch: int) -> list[int]:
    """All targets of an epoch in the order of their windows; their inputs are looked at on the way."""
    text: list[int] = []
    for number in objective.rows:
        batch = objective.batch(np.array([number]), epoch)
        ids, targets = batch.inputs.ids_BT[0].tolist(), batch.targets_BT[0].tolist()
        assert ids[1:] == targets[:-1] and batch.inputs.mask_BT is None
        assert len(ids) == objective.length == batch.tokens and (not text or text[-1] == ids[0])
        text += targets
    return text


@pytest.mark.parametrize("length", [2, 6, 13])
def test_an_epoch_asks_for_every_token_once_but_for_less_than_a_window(length: int) -> None:
    objective, tokens = prepared(SIZES, length=length), counted(SIZES)
    train, _ = tokens.split(0.2)
    whole = {token for document in documents_of(tokens, train) for token in document}
    seen = epoch_text(objective, 0)
    assert len(set(seen)) == len(seen) == len(objective.rows) * length
    assert set(seen) < whole and len(whole) - len(seen) <= length
    assert objective.lengths.tolist() == [length] * len(objective.rows)
    order = np.concatenate(objective.order(batch=4, seed=3, epoch=0, buckets=True))
    assert sorted(order) == list(objective.rows)


def test_documents_stand_whole_and_in_another_order_in_every_epoch() -> None:
    objective, tokens = prepared(SIZES), counted(SIZES)
    train, _ = tokens.split(0.2)
    starts = {document[0]: document for document in documents_of(tokens, train)}
    texts = [epoch_text(objective, epoch) for epoch in (0, 1, 2, 0)]
    orders = []
    for text in texts:
        order = [token for token in text if token in starts]
        for start in order[:-1]:
            place = text.index(start)
            assert text[place : place + len(starts[start])] == starts[start]
        orders.append(order)
    assert texts[0] == texts[3] and len({tuple(order) for order in orders}) == 3
    assert sorted(orders[0])[:-2] != orders[0][:-2]
    assert epoch_text(prepared(SIZES, seed=4), 0) != texts[0]


def test_the_tokens_that_an_epoch_leaves_out_stand_at_either_end() -> None:
    objective = prepared([7] * 20, length=12)
    spare = (len(objective.train_text) - 1) % 12
    firsts = {epoch_text(objective, epoch)[0] % 7 for epoch in range(40)}  # the place in its document
    assert spare > 1 and firsts == {(1 + left_out) % 7 for left_out in range(spare + 1)}


def test_no_held_out_document_is_learned_from() -> None:
    objective, tokens = prepared(SIZES), counted(SIZES)
    _, held = tokens.split(0.2)
    apart = {token for document in documents_of(tokens, held) for token in document}
    assert len(held) > 3
    for epoch in range(4):
        inputs = [objective.batch(np.array([n]), epoch).inputs.ids_BT.flatten() for n in objective.rows]
        assert not apart & set(torch.cat(inputs).tolist()) and not apart & set(epoch_text(objective, epoch))


def test_held_out_text_is_asked_for_to_its_end() -> None:
    objective, tokens = prepared(SIZES), counted(SIZES)
    _, held = tokens.split(0.2)
    text = [token for document in documents_of(tokens, held) for token in document]
    batch = objective._batch(objective.held, objective.held_rows, 0)
    assert batch.targets_BT[batch.targets_BT >= 0].tolist() == text[1:]
    assert batch.tokens == len(text) - 1 and len(objective.held_rows) == -(-(len(text) - 1) // 6)
    assert np.array_equal(Running(tokens, held).take(np.arange(len(text))), text)


def of_text(network: str = "transformer", *, folder: Path, holdout: float = 0.3) -> tuple[Clm, Shards]:
    objective = tiny(network)
    tokens = shards.build(DOCUMENTS, objective.tokenizer, folder / "tokens")
    objective.prepare(Material(tokens, holdout, 1))
    objective.train(False)
    return objective, tokens


def surprise(objective: Clm, before: list[int], token: int) -> float:
    """−log p of one token, read afresh from those before it; special tokens have no share in it."""
    gpt, words = objective.backend, objective.tokenizer
    with torch.no_grad():
        layers = gpt.encoder(gpt.stack([View(before, [0] * len(before))]))
        logits = gpt.encoder.words.weight @ layers[-1][0, -1]
    return -float(logits[: words.size - 3].double().log_softmax(0)[token])


@pytest.mark.parametrize("network", NETWORKS)
def test_held_out_perplexity_is_that_of_a_slow_reading(network: str, tmp_path: Path) -> None:
    objective, tokens = of_text(network, folder=tmp_path)
    _, held = tokens.split(0.3)
    text = [int(t) for d in held for t in tokens.tokens[slice(*tokens.document(d)[[0, -1]])]]
    total, words = 0.0, 0
    for start in range(0, len(text) - 1, 6):
        window = text[start : start + 7]
        total += sum(surprise(objective, window[:t], window[t]) for t in range(1, len(window)))
        words += sum(objective.tokenizer.pieces[token].endswith("</w>") for token in window[1:])
    for size in (1, 3, 50):
        figures = objective.evaluate(size, CPU, lambda: None)
        assert figures["positions"] == len(text) - 1
        assert figures["perplexity"] == pytest.approx(math.exp(total / (len(text) - 1)), rel=1e-5)
        assert figures["word_perplexity"] == pytest.approx(math.exp(total / words), rel=1e-5)
    assert words < len(text) - 1 and figures["word_perplexity"] > figures["perplexity"]


def test_not_more_is_held_out_than_is_worth_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clm, "HELD_OUT", 15)
    objective, _ = of_text(folder=tmp_path)
    assert objective.evaluate(2, CPU, lambda: None)["positions"] == 18  # whole windows of 6


def test_the_softmax_leaves_out_the_three_special_tokens(tmp_path: Path) -> None:
    objective, _ = of_text(folder=tmp_path)
    batch, words = objective.batch(objective.rows[:4], 0), objective.encoder.words.weight
    losses = [objective.losses(batch)["lm"]]
    logits = objective.encoder(batch.inputs)[-1] @ words[:-3].t()
    plain = F.cross_entropy(logits.flatten(0, 1), batch.targets_BT.flatten(), reduction="sum")
    assert float(losses[0].detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
    (gradient,) = torch.autograd.grad(losses[0], words)
    assert not gradient[-3:].any() and gradient[:-3].any()
    with torch.no_grad():
        words[-3:] += 10.0
        assert float(objective.losses(batch)["lm"]) == pytest.approx(float(plain.detach()), rel=1e-6)
    assert objective.counts(batch) == {"lm": 24.0}


def digest(objective: Clm) -> str:
    """Of all batches of two epochs."""
    told = hashlib.sha256()
    for epoch in (0, 1):
        for chosen in objective.order(batch=4, seed=1, epoch=epoch, buckets=True):
            batch = objective.batch(chosen, epoch)
            told.update(batch.inputs.ids_BT.numpy().tobytes() + batch.targets_BT.numpy().tobytes())
    return told.hexdigest()


def test_another_process_reads_the_same_batches(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.unit.test_clm import digest, of_text; "
        "print(digest(of_text(folder=Path(sys.argv[1]))[0]))"
    )
    place = Path(__file__).resolve().parents[2]
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=place, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == digest(of_text(folder=tmp_path / "here")[0])


def test_too_little_text() -> None:
    with pytest.raises(DataError, match="has 5 tokens to learn from, less than a window of 6"):
        prepared([5, 9])
    assert len(prepared([7, 9]).rows) == 1
    with pytest.raises(DataError, match="has 6 tokens"):  # a window asks for the token behind it too
        prepared([6, 9])
    with pytest.raises(DataError, match="a corpus of 1 documents cannot be split"):
        prepared([90])
    with pytest.raises(DataError, match="held out have less than two tokens"):
        prepared([90, 1])
    objective = tiny()
    objective.prepare(Material(counted([5, 9]), 0.2, 1, held_out_only=True))
    assert objective.evaluate(4, CPU, lambda: None)["positions"] == 8


def test_what_it_cannot_train_is_refused() -> None:
    for length in (1, 17):
        with pytest.raises(UserError, match=f"objective.length: {length} is not from 2 to the model's 16"):
            tiny(length=length)
    bert = Bert(train_wordpiece(SENTENCES, size=60), layers=1, width=4, heads=1)
    with pytest.raises(UserError, match="left to right; bert does not"):
        Clm(bert)


def test_the_likelier_sentence_is_preferred(tmp_path: Path) -> None:
    objective, _ = of_text(folder=tmp_path)
    encode = objective.tokenizer.encode

    def cost(sentence: str) -> float:
        ids = [*encode(BEFORE), *encode(sentence)][:17]  # as many as there are places
        return sum(surprise(objective, ids[:t], ids[t]) for t in range(1, len(ids)))

    told = []
    words = [w for w in ("the", "cat", "sat", "dog", "a", "mat", "on") if len(encode(w)) == 1]
    assert len(words) > 4
    for blank in ("___ cat sat on the mat.", "the ___ sat.", "we saw the ___", "___", "the dog " * 9 + "___"):
        for right in words:
            for wrong in words:
                first, second = (cost(blank.replace("___", word)) for word in (right, wrong))
                if abs(first - second) > 1e-3:
                    told.append(objective.prefers(blank, right, wrong))
                    assert told[-1] == (first < second), (blank, right, wrong)
    assert set(told) == {True, False}
    assert objective.prefers("the ___ sat.", "cat", "zebra") is None
    assert objective.prefers("the ___ sat.", "", "cat") is None


@pytest.mark.parametrize("network", NETWORKS)
def test_a_few_steps_learn_a_text_that_repeats_itself(network: str, tmp_path: Path) -> None:
    objective = tiny(network)
    line = "the cat sat on the mat . a dog ran far away ."
    tokens = shards.build([[line] * 4] * 10, objective.tokenizer, tmp_path / "tokens")
    objective.prepare(Material(tokens, 0.2, 1))
    before = objective.evaluate(8, CPU, lambda: None)["perplexity"]
    optimizer = registry.optimizers.build({"name": "adamw", "rate": 2e-2}, objective.named_parameters())
    step = 0
    for epoch in range(6):
        for chosen in objective.order(batch=8, seed=1, epoch=epoch, buckets=True):
            batch = objective.batch(chosen, epoch)
            optimizer.zero_grad()
            (objective.losses(batch)["lm"] / batch.tokens).backward()
            optimizer.step()
            step += 1
    after = objective.evaluate(8, CPU, lambda: None)["perplexity"]
    assert before > 20 and after < 3, (before, after, step)
    assert objective.prefers("the ___ sat .", "cat", "dog")


def test_the_first_window_is_shown_in_words(tmp_path: Path) -> None:
    objective, _ = of_text(folder=tmp_path)
    batch = objective.batch(objective.rows[:2], 0)
    sees, tells = (line.split()[1:] for line in objective.shown(batch))
    assert len(sees) == len(tells) == 6 and sees[1:] == tells[:-1]
    assert [objective.tokenizer.ids[piece] for piece in tells] == batch.targets_BT[0].tolist()
    assert objective.heads() == {}
