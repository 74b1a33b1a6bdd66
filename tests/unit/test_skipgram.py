"""Skip-gram: who is paired with whom, the loss against sums by hand, and what is learned."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lmcompare import batches, registry
from lmcompare.errors import UserError
from lmcompare.text import shards
from lmcompare.text.material import Material
from lmcompare.text.words import Words, train_words

TEXT = [
    ["a b c d e f g", "h a b"],
    ["c c d e", "f g h a b c d e f g h a b c d e f g h"],
    ["b a"],
    ["d c b a"],
] * 5


def objective(folder: Path, documents: list[list[str]] = TEXT, width: int = 6, **settings: Any) -> Any:
    tokenizer = train_words(s for d in documents for s in d)
    backend = registry.backends.build({"name": "static", "width": width}, tokenizer)
    backend.draw(1)
    made = registry.objectives.build({"name": "skipgram", **settings}, backend)
    made.draw(2)
    made.prepare(Material(shards.build(documents, tokenizer, folder / "t"), 0.2, 3))
    return made


def pairs_of(batch: Any) -> list[tuple[int, int, int]]:
    T = batch.ids_BT.shape[1]
    return [(m // T**2, m // T % T, m % T) for m in batch.pairs_M.tolist()]


def test_pairs_are_words_of_one_sentence_within_the_first_ones_window(tmp_path: Path) -> None:
    made = objective(tmp_path, window=2, subsample=0.0, length=12)
    rows = made.rows
    assert (rows[:, 1] - rows[:, 0]).max() <= 12
    reaches = set()
    for epoch in range(4):
        batch = made.batch(np.arange(len(rows)), epoch)
        assert batch.tokens == (rows[:, 1] - rows[:, 0]).sum()
        pairs = pairs_of(batch)
        assert batch.near_BT.sum() == len(pairs)
        reach: dict[tuple[int, int], set[int]] = {}
        for row, word, near in pairs:
            at, other = rows[row, 0] + word, rows[row, 0] + near
            sentence = np.searchsorted(made.shards.sentences, [at, other], side="right")
            assert sentence[0] == sentence[1] and at != other
            assert other < rows[row, 1]
            reach.setdefault((row, word), set()).add(near - word)
        for (row, word), offsets in reach.items():
            far = max(map(abs, offsets))
            reaches.add(far)
            first, last = (made.shards.sentences[n] for n in sentence_of(made, rows[row, 0] + word))
            first, last = max(first, rows[row, 0]), min(last, rows[row, 1])
            inside = {d for d in range(-far, far + 1) if d and first <= rows[row, 0] + word + d < last}
            assert offsets == inside
    assert reaches == {1, 2}


def sentence_of(made: Any, token: int) -> tuple[int, int]:
    number = int(np.searchsorted(made.shards.sentences, token, side="right")) - 1
    return number, number + 1


def test_the_loss_is_the_papers_with_shared_negatives(tmp_path: Path) -> None:
    made = objective(tmp_path, negatives=3, shared=4, subsample=0.0)
    with torch.no_grad():
        made.near.weight.normal_(0.0, 0.3, generator=torch.Generator().manual_seed(5))
    batch = made.batch(np.arange(3), 0)
    v, u = made.encoder.words.weight, made.near.weight
    expected = torch.zeros(())
    for row, word, near in pairs_of(batch):
        mine = v[batch.ids_BT[row, word]]
        expected = expected - F.logsigmoid(mine @ u[batch.ids_BT[row, near]])
        for n in batch.negatives_BN[row]:
            expected = expected - 3 / 4 * F.logsigmoid(-(mine @ u[n]))
    torch.testing.assert_close(made.losses(batch)["skipgram"], expected, rtol=1e-5, atol=1e-5)
    assert made.counts(batch) == {"skipgram": len(pairs_of(batch))}


def test_negatives_come_by_the_power_of_the_counts_and_frequent_words_are_skipped(tmp_path: Path) -> None:
    documents = [["x " * 60 + "y " * 20 + "z"]] * 40
    made = objective(tmp_path, documents, shared=500, subsample=0.05, length=90)
    counts = made.counted[3:].astype(float)
    assert counts.tolist() == [60 * len(made.rows), 20 * len(made.rows), len(made.rows)]
    drawn = np.bincount(made.batch(np.arange(len(made.rows)), 0).negatives_BN.flatten(), minlength=6)
    expected = counts**0.75 / (counts**0.75).sum()
    assert drawn[:3].sum() == 0
    assert drawn[3:] / drawn.sum() == pytest.approx(expected, abs=0.01)
    epochs, kept = 20, np.zeros(6)
    for epoch in range(epochs):
        batch = made.batch(np.arange(len(made.rows)), epoch)
        kept += np.bincount(batch.ids_BT.flatten(), minlength=6)  # filling counts as word 0
    shares = kept[3:] / (epochs * counts)
    assert shares == pytest.approx(np.minimum(1, np.sqrt(0.05 / (counts / counts.sum()))), abs=0.02)


def test_batch_mates_change_nothing_and_epochs_do(tmp_path: Path) -> None:
    made = objective(tmp_path, subsample=0.05)
    alone = [float(made.losses(made.batch(np.array([n]), 1))["skipgram"].detach()) for n in range(6)]
    together = float(made.losses(made.batch(np.arange(6), 1))["skipgram"].detach())
    assert together == pytest.approx(sum(alone), rel=1e-5)
    first, again, later = (made.batch(np.arange(6), epoch) for epoch in (1, 1, 2))
    assert first.pairs_M.equal(again.pairs_M) and first.negatives_BN.equal(again.negatives_BN)
    assert not first.negatives_BN.equal(later.negatives_BN)
    figures = made.evaluate(2, torch.device("cpu"), lambda: None)
    assert figures == pytest.approx(made.evaluate(64, torch.device("cpu"), lambda: None))
    made.prepare(Material(made.shards, 0.2, 99, held_out_only=True))  # as `lmc eval` does
    assert figures == pytest.approx(made.evaluate(64, torch.device("cpu"), lambda: None))


def test_words_outside_the_vocabulary_are_one_word(tmp_path: Path) -> None:
    tokenizer = train_words((s for d in TEXT for s in d), size=6)
    backend = registry.backends.build({"name": "static", "width": 4}, tokenizer)
    made = registry.objectives.build({"name": "skipgram", "subsample": 0.0}, backend)
    made.prepare(Material(shards.build(TEXT, tokenizer, tmp_path / "t"), 0.2, 3))
    batch = made.batch(np.arange(len(made.rows)), 0)
    assert batch.ids_BT.max() < 6 and batch.negatives_BN.max() < 6
    assert made.counted[Words.unk_id] > 0


def test_a_backend_that_reads_its_context_is_refused() -> None:
    from tests.contracts.test_backends import bert

    for name in ("skipgram", "feedforward"):
        with pytest.raises(UserError, match="one vector a word"):
            registry.objectives.build({"name": name}, bert())


def kinds() -> dict[str, tuple[Any, ...]]:
    """Each word of the small world that has one kind: things of a field, its deeds, qualities, names."""
    from lmcompare import micro

    words, found = micro.world(0).words, dict[str, set[tuple[Any, ...]]]()
    for t, topic in enumerate(words.topics.items):
        for f, field in enumerate(topic.fields):
            for concept in field.things.items:
                for noun in concept.nouns:
                    for form in (noun.one, noun.many):
                        found.setdefault(form, set()).add(("thing", t, f))
            for verb in (*field.deed.verbs, *field.deed.opposite):
                for form in (verb.base, verb.s, verb.ed, verb.ing):
                    found.setdefault(form, set()).add(("deed", t, f))
    for scale in words.scales.items:
        for word in (*scale.good, *scale.bad):
            found.setdefault(word, set()).add(("quality",))
    for place in words.places.items:
        for word in place.split():
            found.setdefault(word, set()).add(("place",))
    return {word: next(iter(kind)) for word, kind in found.items() if len(kind) == 1}


def test_words_of_one_hidden_kind_come_to_lie_near_each_other(tmp_path: Path) -> None:
    """By chance two neighbors are of one kind once in forty times or less."""
    from lmcompare import micro

    made = objective(tmp_path, list(micro.world(0).documents(8000)), width=48, subsample=1e-3)
    optimizer = registry.optimizers.build(
        {"name": "adamw", "rate": 2e-2, "decay": 0.0}, made.named_parameters()
    )
    for epoch in range(4):
        for chosen in batches.epoch_order(made.lengths, batch=128, seed=1, epoch=epoch, buckets=True):
            batch = made.batch(chosen, epoch)
            optimizer.zero_grad()
            (made.losses(batch)["skipgram"] / len(batch.pairs_M)).backward()
            optimizer.step()
    known = {word: kind for word, kind in kinds().items() if word in made.tokenizer.number}
    rows = [made.tokenizer.number[word] for word in known]
    vectors = F.normalize(made.encoder.words.weight.detach()[rows])
    alike = (vectors @ vectors.t()).fill_diagonal_(-1.0)
    of = list(known.values())
    nearest = alike.topk(5).indices.tolist()
    share = np.mean([of[other] == of[word] for word, others in enumerate(nearest) for other in others])
    chance = np.mean([of[a] == of[b] for a in range(len(of)) for b in range(len(of)) if a != b])
    assert chance < 0.03
    assert share > 0.4
