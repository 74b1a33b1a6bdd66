"""Kneser-Ney against a slow reference written from the formulas, against sums by hand, and as a run."""

import itertools
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from lmcompare import config as configs
from lmcompare import registry, results
from lmcompare.cli import app
from lmcompare.errors import ModelError, UserError
from lmcompare.experiments.evaluate import evaluate
from lmcompare.experiments.ngrams import count
from lmcompare.ngrams import USUAL, KneserNey
from lmcompare.progress import Progress
from lmcompare.text import shards
from lmcompare.text.contexts import asked, stretches
from lmcompare.text.shards import Shards
from lmcompare.text.words import Words, train_words

RHYME = """a b a c a b d . a b a b c . c a b . d a c a b . b b c a . a c . d d a b . c b a d . a b a c . c c a b .
a b d . b d a . a c d b . d . a a b c . b a b a . c d . a b . c a c . d b c a . b . a d d . c c b d a . d c .""".split(
    "."
)
LONG = [[s.strip() for s in RHYME[n : n + 3] if s.strip()] for n in range(0, len(RHYME), 3)]


def made(documents: list[list[str]], folder: Path, size: int = 100) -> tuple[Words, Shards]:
    tokenizer = train_words((s for d in documents for s in d), size=size)
    return tokenizer, shards.build(documents, tokenizer, folder)


def everything(tokens: Shards) -> np.ndarray:
    return np.arange(len(tokens))


class Slow:
    """Chen & Goodman 1999, §2.7 and §3, word for word, with dictionaries and recursion."""

    def __init__(self, sentences: list[list[int]], order: int, vocabulary: int, kind: str) -> None:
        self.events = vocabulary - 1
        longest: Counter[tuple[int, ...]] = Counter()
        for sentence in sentences:
            padded = [Words.start_id] * (order - 1) + sentence + [Words.end_id]
            for at in range(order - 1, len(padded)):
                longest[tuple(padded[at - order + 1 : at + 1])] += 1
        self.counts = {order: dict(longest)}
        for length in range(order - 1, 0, -1):  # different words in front
            self.counts[length] = dict(Counter(gram[1:] for gram in self.counts[length + 1]))
        self.lost = {length: self.discounts(list(c.values()), kind) for length, c in self.counts.items()}

    def discounts(self, counts: list[int], kind: str) -> list[float]:
        n = [0, *(counts.count(k) for k in (1, 2, 3, 4))]
        usual = [0.0, *(USUAL if kind == "modified" else [USUAL[0]] * 3)]
        try:
            y = n[1] / (n[1] + 2 * n[2])
            d = [1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
        except ZeroDivisionError:
            if kind == "modified" or not n[1] + n[2] or not n[1]:
                return usual
            d = []
        d = [y] * 3 if kind == "single" else d
        return [0.0, *d] if all(0 < x <= k for k, x in enumerate(d, 1)) else usual

    def probability(self, word: int, context: tuple[int, ...]) -> float:
        shorter = self.probability(word, context[1:]) if context else 1 / self.events
        counts, lost = self.counts[len(context) + 1], self.lost[len(context) + 1]
        after = {gram[-1]: c for gram, c in counts.items() if gram[:-1] == context}
        if not (total := sum(after.values())):
            return shorter
        given = sum(lost[min(c, 3)] for c in after.values())
        c = after.get(word, 0)
        return (c - lost[min(c, 3)]) / total + given / total * shorter


@pytest.mark.parametrize("kind", ["modified", "single"])
@pytest.mark.parametrize("order", [2, 3, 4, 5])
@pytest.mark.parametrize("size", [100, 6])
def test_every_probability_is_the_slow_references_and_they_sum_to_one(
    order: int, kind: str, size: int, tmp_path: Path
) -> None:
    tokenizer, tokens = made(LONG, tmp_path / "t", size)
    model = registry.ngrams.build({"name": "kneser-ney", "order": order, "discounts": kind}, tokenizer)
    model.fit(tokens, everything(tokens), lambda: None)
    V = tokenizer.vocabulary
    sentences = [
        tokenizer.targets(np.array(ids)).tolist()
        for ids in tokenizer.encode_many([s for d in LONG for s in d])
    ]
    slow = Slow(sentences, order, V, kind)
    if order == 3:
        assert model.lost[2].tolist() == pytest.approx(slow.lost[3])
    words = [w for w in range(V) if w != Words.start_id]
    all_contexts = list(itertools.product(range(V), repeat=order - 1))
    step = max(1, len(all_contexts) // 150)
    seen = [gram[:-1] for gram in slow.counts[order]][:60]
    for context in {*all_contexts[::step], *seen}:
        before = [np.full(len(words), w, dtype=np.int32) for w in reversed(context)]
        told = model.probabilities(np.array(words, dtype=np.int32), before)
        assert told.sum() == pytest.approx(1.0, abs=1e-9)
        assert told.min() > 0
        assert told.tolist() == pytest.approx([slow.probability(w, context) for w in words], rel=1e-12)


def test_a_case_worked_by_hand(tmp_path: Path) -> None:
    """Two sentences, "x y" and "x x y": bigrams <S>x 2, xy 2, xx 1, y</S> 2; left neighbors x 2, y 1, </S> 1."""
    tokenizer, tokens = made([["x y"], ["x x y"]], tmp_path / "t")
    assert tokenizer.forms == ["<S>", "</S>", "<UNK>", "x", "y"]
    model = KneserNey(tokenizer, order=2, discounts="single")
    model.fit(tokens, everything(tokens), lambda: None)
    # bigrams: n1 = 1, n2 = 3, so D = 1/7; single words: n1 = 2, n2 = 1, so D = 1/2
    assert model.lost[1].tolist() == pytest.approx([0, 1 / 7, 1 / 7, 1 / 7])
    assert model.lost[0].tolist() == pytest.approx([0, 1 / 2, 1 / 2, 1 / 2])
    alone_x = (2 - 1 / 2) / 4 + (3 / 2) / 4 * 1 / 4
    alone_end = (1 - 1 / 2) / 4 + (3 / 2) / 4 * 1 / 4
    alone_unknown = (3 / 2) / 4 * 1 / 4
    start, end, unknown, x, y = range(5)
    cases = [
        (x, start, (2 - 1 / 7) / 2 + 1 / 14 * alone_x),
        (x, x, (1 - 1 / 7) / 3 + 2 / 21 * alone_x),
        (end, x, 2 / 21 * alone_end),
        (unknown, y, 1 / 14 * alone_unknown),
        (x, unknown, alone_x),  # a context that was never seen
    ]
    for word, before, wanted in cases:
        told = model.probabilities(np.array([word]), [np.array([before])])
        assert told[0] == pytest.approx(wanted, rel=1e-12), (word, before)
    figures = model.evaluate(tokens, everything(tokens), lambda: None)
    told = model.probabilities(np.array([x, y, end, x, x, y, end]), [np.array([start, x, y, start, x, x, y])])
    assert figures["positions"] == 7
    assert figures["perplexity"] == pytest.approx(math.exp(-np.log(told).mean()))


def test_discounts_that_counts_cannot_give_are_the_usual_ones_and_that_is_said(tmp_path: Path) -> None:
    tokenizer, tokens = made([["x y"], ["x x y"]], tmp_path / "t")
    model = KneserNey(tokenizer, order=2)
    model.fit(tokens, everything(tokens), lambda: None)
    assert model.lost[1].tolist() == [0.0, *USUAL]
    assert any("2-grams" in sentence for sentence in model.warnings)


def test_what_is_asked_is_every_word_and_every_end_however_the_text_is_cut(tmp_path: Path) -> None:
    tokenizer, tokens = made(LONG, tmp_path / "t", 6)
    documents = everything(tokens)
    whole = asked(tokens, stretches(tokens, documents, 10_000), tokenizer, 3)
    expected: Counter[tuple[int, ...]] = Counter()
    for ids in tokenizer.encode_many([s for d in LONG for s in d]):
        padded = [Words.start_id] * 3 + tokenizer.targets(np.array(ids)).tolist() + [Words.end_id]
        for at in range(3, len(padded)):
            expected[tuple(padded[at - 3 : at + 1])] += 1
    for length in (1, 2, 7, 10_000):
        rows = stretches(tokens, documents, length)
        assert (rows[:, 1] - rows[:, 0]).max() <= length
        words, before = asked(tokens, rows, tokenizer, 3)
        assert Counter(zip(*(x.tolist() for x in before[::-1]), words.tolist(), strict=True)) == expected
    assert len(whole[0]) == len(tokens.tokens) + len(tokens.sentences) - 1


def test_saved_counts_answer_alike_and_broken_ones_say_so(tmp_path: Path) -> None:
    tokenizer, tokens = made(LONG, tmp_path / "t")
    model = KneserNey(tokenizer, order=4)
    model.fit(tokens, everything(tokens)[:5], lambda: None)
    model.save(tmp_path / "m")
    held = everything(tokens)[5:]
    again = KneserNey.load(tmp_path / "m")
    assert again.evaluate(tokens, held, lambda: None) == model.evaluate(tokens, held, lambda: None)
    (tmp_path / "m" / "counts.safetensors").write_bytes(b"short")
    with pytest.raises(ModelError, match="not a model of n-gram counts"):
        KneserNey.load(tmp_path / "m")


@pytest.mark.parametrize("order", [1, 6])
def test_orders_beyond_two_to_five_are_refused(order: int, tmp_path: Path) -> None:
    tokenizer, _ = made(LONG, tmp_path / "t")
    with pytest.raises(UserError, match="2 to 5"):
        registry.ngrams.build({"name": "kneser-ney", "order": order}, tokenizer)


def micro(**settings: Any) -> configs.Counted:
    corpus = {"path": "micro", "documents": 400}
    table = {"ngrams": {"name": "kneser-ney", **settings}, "tokenizer": {"name": "words"}, "corpus": corpus}
    return configs.resolve(configs.Counted, table)


def test_a_count_is_a_run_like_every_other(tmp_path: Path) -> None:
    first = count(micro(), progress=Progress(), out=tmp_path / "kn")
    assert first["kind"] == "ngrams"
    assert first["metrics"]["dev"]["perplexity"] < 60  # of 2,000 words
    assert first["examples"]["dev"] > 0 and first["data_hash"]
    again = count(micro(), progress=Progress(), out=tmp_path / "kn")
    assert again["already"] and again["metrics"] == first["metrics"]
    asked_again = evaluate(tmp_path / "kn", None)
    assert asked_again["metrics"] == first["metrics"]["dev"]
    assert json.loads((tmp_path / "kn" / "run.json").read_text())["config"]["ngrams"]["order"] == 3
    with pytest.raises(UserError, match=r"ngrams\.order"):
        count(micro(order=4), progress=Progress(), out=tmp_path / "kn")
    with pytest.raises(UserError, match="dev"):
        evaluate(tmp_path / "kn", "test")
    longer = count(micro(order=2), progress=Progress(), out=tmp_path / "kn2")
    assert longer["metrics"]["dev"]["perplexity"] > first["metrics"]["dev"]["perplexity"]
    assert results.read(tmp_path / "kn").status == "finished"


def lmc(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_the_command_counts_a_corpus_and_says_what_it_needs(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join("\n".join(f"{sentence} ." for sentence in document) for document in LONG * 3))
    given = [
        "baseline",
        "kneser-ney",
        "--corpus",
        str(text),
        "--set",
        "tokenizer.size=6",
        "--set",
        "ngrams.order=2",
    ]
    done = lmc(*given, "--out", str(tmp_path / "run"), "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["metrics"]["dev"].keys() == {"perplexity", "positions", "unknown"}
    assert result["ngrams"][0] == 5  # each word but the sentence's start
    assert lmc("eval", str(tmp_path / "run")).exit_code == 0
    assert "kneser-ney" in lmc("ls", "ngrams").stdout
    for arguments, said in (
        (["kneser-ney", "--task", "micro.sentiment"], "give it --corpus"),
        (["kneser-ney"], "give it --corpus"),
        (["bow", "--corpus", "micro"], "give it --task"),
        (["kneser", "--corpus", "micro"], "did you mean 'kneser-ney'?"),
        (["kneser-ney", "--corpus", "micro", "--seed", "3"], "draws nothing"),
        (["kneser-ney", "--corpus", "micro", "--set", "ngrams.ordre=3"], "did you mean 'order'?"),
    ):
        refused = lmc("baseline", *arguments)
        assert isinstance(refused.exception, UserError) and said in str(refused.exception), arguments
