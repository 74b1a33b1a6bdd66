"""Zero-shot answers: probabilities against a slow reference, thresholds that see the training split alone, ties, and
refusals."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef

from lmcompare import registry
from lmcompare.backends.bert import Bert
from lmcompare.backends.gpt import Gpt
from lmcompare.errors import DataError, ModelError, UserError
from lmcompare.experiments import zero_shot as ways
from lmcompare.experiments.task_data import TaskData
from lmcompare.experiments.zero_shot import Asked, log_probabilities, windows, zero_shot
from lmcompare.micro import world
from lmcompare.micro.grammar import GLAD, SORRY
from lmcompare.objectives.clm import BEFORE
from lmcompare.tasks.glue import ROWS
from lmcompare.text.bpe import train_bpe
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.types import Example, Task

CORPUS = [
    "everyone was glad about the old cat. nobody saw the dog.",
    "everyone was sad about the new dog. the cat sat here.",
    "a positive word, a negative word, a very odd word; 0 or 1.",
] * 3
LONGEST = 11
SENTENCES = [
    "the cat sat.",
    "a dog",
    "everyone was very sad about the odd old cat here.",
    "dog.",
    "cat cat cat",
]
LABELS = ("bad", "good")


def gpt(network: str = "transformer", **more: Any) -> Gpt:
    """Dropout is on unless somebody turns it off; weights are large, so that the scores differ."""
    shape = {"layers": 2, "width": 12, "heads": 3, "positions": LONGEST, "cells": 7, "dropout": 0.3}
    backend = Gpt(
        train_bpe(CORPUS, size=80), network=network, init_std=0.5, embedding_std=1.0, **{**shape, **more}
    )
    backend.draw(1)
    return backend


@pytest.fixture(params=["transformer", "lstm"])
def lm(request: pytest.FixtureRequest) -> Gpt:
    backend = gpt(request.param)
    backend.encoder.train(False)
    return backend


@pytest.fixture
def transformer() -> Gpt:
    backend = gpt()
    backend.encoder.train(False)
    return backend


@torch.no_grad()
def slowly(lm: Gpt, ids: list[int], count: int) -> float:
    """One text at a time, all logits of all positions; what the last `count` tokens have together."""
    x_TD = lm.encoder.words.weight[torch.tensor(ids[:-1])]
    if lm.encoder.positions is not None:
        x_TD = x_TD + lm.encoder.positions.weight[: len(x_TD)]
    for block in lm.encoder.blocks:
        x_TD = block(x_TD[None], None)[0]
    logits_TV = x_TD @ lm.encoder.words.weight.T
    logits_TV[:, list(lm.tokenizer.special_ids)] = -torch.inf
    shares_TV = logits_TV.double().softmax(-1)
    return sum(float(shares_TV[t, ids[t + 1]].log()) for t in range(len(ids) - 1 - count, len(ids) - 1))


def pairs(lm: Gpt) -> list[Asked]:
    """Contexts and answers of many lengths, all of them within the model's positions."""
    texts = [lm.tokenizer.encode(text) for text in SENTENCES]
    asked = [(a, b) for a in texts for b in texts if len(a) + len(b) <= LONGEST + 1]
    assert len({len(a) + len(b) for a, b in asked}) > 4
    return asked


def test_scores_are_those_of_one_text_at_a_time(lm: Gpt) -> None:
    asked = pairs(lm)
    expected = [slowly(lm, a + b, len(b)) for a, b in asked]
    assert np.std(expected) > 1
    for size in (1, 3, 64):
        totals, cut = log_probabilities(lm, asked, size=size)
        assert totals == pytest.approx(expected, rel=1e-4)
        assert not cut.any()


def test_logits_in_parts_are_the_same(transformer: Gpt, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = log_probabilities(transformer, pairs(transformer))
    monkeypatch.setattr(ways, "ROWS", 3)
    monkeypatch.setattr(ways, "CELLS", 1)
    assert log_probabilities(transformer, pairs(transformer))[0] == pytest.approx(whole, rel=1e-5)


def test_neither_order_nor_batch_mates_change_a_score(lm: Gpt) -> None:
    asked = pairs(lm)
    totals, _ = log_probabilities(lm, asked, size=4)
    order = np.random.default_rng(1).permutation(len(asked))
    again, _ = log_probabilities(lm, [asked[i] for i in order], size=5)
    assert again == pytest.approx(totals[order], rel=1e-4)
    for n in (0, len(asked) - 1):
        assert log_probabilities(lm, [asked[n]])[0][0] == pytest.approx(totals[n], rel=1e-4)


def test_special_tokens_take_no_share(transformer: Gpt) -> None:
    before, _ = log_probabilities(transformer, pairs(transformer))
    with torch.no_grad():
        transformer.tied[transformer.tokenizer.plain :] = 50.0
    assert log_probabilities(transformer, pairs(transformer))[0] == pytest.approx(before, rel=1e-5)


def test_what_is_too_long_loses_the_beginning_of_its_context_and_never_its_answer(lm: Gpt) -> None:
    long, answer = lm.tokenizer.encode(" ".join(SENTENCES)), lm.tokenizer.encode("the cat sat.")
    assert len(long) > 2 * LONGEST
    room = LONGEST + 1 - len(answer)
    totals, cut = log_probabilities(lm, [(long, answer), (long[-room:], answer), (long[:1], long)])
    assert cut.tolist() == [True, False, True]
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)
    parts = [slowly(lm, ids, count) for ids, count in windows(long[:1], long, LONGEST)]
    assert len(parts) > 2 and totals[2] == pytest.approx(sum(parts), rel=1e-4)


@given(st.integers(1, 30), st.integers(1, 60), st.integers(2, 20))
def test_windows_ask_for_every_token_of_the_answer_once(context: int, answer: int, longest: int) -> None:
    ids = list(range(context + answer))
    rows = list(windows(ids[:context], ids[context:], longest))
    assert [i for row, count in rows for i in row[-count:]] == ids[context:]
    for row, count in rows:
        assert count < len(row) <= longest + 1  # something stands before what is asked
        assert row == ids[row[0] : row[-1] + 1]
        assert row[0] == max(0, row[-1] - longest)  # and as much of it as there is room for
    assert len(rows) == 1 or answer > longest


def acceptability(train: list[tuple[str, Any]], dev: list[tuple[str, Any]]) -> TaskData:
    task = Task("t", "classify", ("matthews",), lambda split: [], labels=LABELS, fluent="good")
    splits = {"train": train, "dev": dev}
    rows = {k: [Example(str(n), (x,), y) for n, (x, y) in enumerate(part)] for k, part in splits.items()}
    return TaskData(task, rows, [], "")


def labelled(labels: str) -> list[tuple[str, str]]:
    return [(text, LABELS[int(n)]) for text, n in zip(SENTENCES, labels, strict=True)]


def test_a_sentence_is_scored_by_the_mean_over_its_tokens(lm: Gpt) -> None:
    found = acceptability(labelled("01011"), labelled("00000"))
    answered = ways.by_threshold(lm, found, "dev")
    before = lm.tokenizer.encode(BEFORE)
    expected = []
    for text in SENTENCES:
        ids = lm.tokenizer.encode(text)
        totals, _ = log_probabilities(lm, [(before, ids)])
        expected.append(totals[0] / len(ids))
    assert answered.scores == pytest.approx(expected, abs=1e-5)
    assert answered.cut == sum(len(lm.tokenizer.encode(text)) > LONGEST for text in SENTENCES) == 1
    level = answered.how["threshold"]
    assert answered.answers == [LABELS[score >= level] for score in answered.scores]


def test_the_threshold_is_chosen_on_train_alone(transformer: Gpt) -> None:
    def chosen(train: str, dev: str) -> tuple[float, list[str]]:
        found = acceptability(labelled(train), labelled(dev))
        answered = ways.by_threshold(transformer, found, "dev")
        return answered.how["threshold"], answered.answers

    scores, _ = ways.sentence_scores(transformer, acceptability(labelled("00000"), []).splits["train"])
    ranks = scores.argsort().argsort()
    high, low = ("".join(str(int(rank >= least)) for rank in ranks) for least in (4, 1))
    assert chosen(high, "00000") == chosen(high, "11111") == chosen(high, low)
    assert chosen(low, high)[0] < chosen(high, high)[0]
    assert Counter(chosen(low, high)[1])["good"] == 4
    assert Counter(chosen(high, high)[1])["good"] == 1


@given(st.lists(st.tuples(st.integers(-6, 6), st.booleans()), min_size=2, max_size=30))
@example([(0, False), (1, True), (2, False), (3, True)])  # above 0 and above 2 are as good
def test_the_threshold_is_the_lowest_of_the_best(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 2 for score, _ in rows])
    truth = [good for _, good in rows]
    task, labels = acceptability([], []).task, [LABELS[good] for good in truth]
    if len(set(truth)) == 1 or len(set(scores)) == 1:
        with pytest.raises(
            DataError, match=r"no threshold can be chosen on train: (one class|all its texts)"
        ):
            ways.best_threshold(task, scores, labels)
        return
    threshold, value = ways.best_threshold(task, scores, labels)
    cuts = sorted(set(scores))[1:]
    figures = [matthews_corrcoef(truth, scores >= cut) for cut in cuts]
    assert value == pytest.approx(max(figures))
    best = next(cut for cut, figure in zip(cuts, figures, strict=True) if figure > max(figures) - 1e-12)
    assert threshold == (best + max(s for s in scores if s < best)) / 2


def test_a_large_training_split_is_looked_at_all_over(
    transformer: Gpt, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def spy(lm: Any, examples: list[Example]) -> tuple[np.ndarray, int]:
        seen.append([e.id for e in examples])
        return np.arange(len(examples)) * 1.0, 0

    monkeypatch.setattr(ways, "CHOSEN_ON", 5)
    monkeypatch.setattr(ways, "sentence_scores", spy)
    train = [("a cat", LABELS[n >= 60]) for n in range(101)]
    answered = ways.by_threshold(transformer, acceptability(train, labelled("01011")), "dev")
    assert seen[0] == ["0", "25", "50", "75", "100"]
    told = answered.how["chosen_on"]
    assert told == {"split": "train", "examples": 5, "metric": "matthews", "value": 1.0}
    assert answered.how["threshold"] == 2.5


def sentiment(words: dict[str, str], texts: list[str]) -> TaskData:
    task = Task(
        "t", "classify", ("accuracy",), lambda split: [], LABELS, prompt="everyone was", label_words=words
    )
    return TaskData(task, {"dev": [Example(text, (text,), "bad") for text in texts]}, [], "")


def test_the_likelier_word_after_the_prompt_answers(lm: Gpt) -> None:
    found = sentiment({"good": "glad", "bad": "sad"}, ["the cat.", "dog dog", "a"])
    answered = ways.by_words(lm, found, "dev")
    encode = lm.tokenizer.encode
    assert len(encode("glad")) != len(encode("sad")) or len(encode("sad")) > 1  # words are of some pieces
    for text, answer, shares in zip(
        ["the cat.", "dog dog", "a"], answered.answers, answered.scores, strict=True
    ):
        context = encode(f". {text} everyone was")
        both = [np.exp(slowly(lm, context + encode(word), len(encode(word)))) for word in ("sad", "glad")]
        assert shares == pytest.approx([share / sum(both) for share in both], abs=1e-3)
        assert answer == LABELS[int(np.argmax(both))]
    turned = ways.by_words(lm, sentiment({"good": "sad", "bad": "glad"}, ["the cat.", "dog dog", "a"]), "dev")
    assert [LABELS[1 - LABELS.index(label)] for label in turned.answers] == answered.answers


def test_equally_likely_words_and_options_go_to_the_first(transformer: Gpt) -> None:
    answered = ways.by_words(transformer, sentiment({"good": "glad", "bad": "glad"}, SENTENCES), "dev")
    assert set(answered.answers) == {"bad"} and answered.scores[0] == [0.5, 0.5]
    task = Task("t", "choice", ("accuracy",), lambda split: [])
    rows = [
        Example("1", ("the dog",), 0, options=("cat cat", "a", "a")),
        Example("2", ("dog",), 0, options=("a",) * 3),
    ]
    answered = ways.by_options(transformer, TaskData(task, {"dev": rows}, [], ""), "dev")
    assert answered.answers[1] == 0 and answered.answers[0] in (0, 1)
    assert answered.scores[0][1] == answered.scores[0][2]


def test_an_option_is_scored_by_its_own_tokens_after_the_context(lm: Gpt) -> None:
    task = Task("t", "choice", ("accuracy",), lambda split: [])
    options = [("cat.", "a dog sat here", "odd"), ("", "cat")]  # one of them says nothing: it is unknown
    rows = [Example(str(n), ("the dog",), 0, options=some) for n, some in enumerate(options)]
    answered = ways.by_options(lm, TaskData(task, {"dev": rows}, [], ""), "dev")
    context = lm.tokenizer.encode(". the dog")
    for some, told, answer in zip(options, answered.scores, answered.answers, strict=True):
        ids = [lm.tokenizer.encode(option) or [lm.tokenizer.unk_id] for option in some]
        means = [slowly(lm, context + own, len(own)) / len(own) for own in ids]
        assert told == pytest.approx(means, rel=1e-4)
        assert answer == int(np.argmax(means))
    assert answered.cut == 0
    longer = [replace(rows[0], texts=("the dog " * LONGEST,)), rows[1]]
    assert ways.by_options(lm, TaskData(task, {"dev": longer}, [], ""), "dev").cut == 1


def cola(folder: Path, train: str, dev: str) -> Path:
    place = folder / "CoLA"
    place.mkdir()
    for name, labels in (("train", train), ("dev", dev)):
        lines = [f"x\t{label}\t\t{SENTENCES[n]}" for n, label in enumerate(labels)]
        (place / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    lines = [f"{n}\t{text}" for n, text in enumerate(SENTENCES)]
    (place / "test.tsv").write_text("\n".join(["index\tsentence", *lines]) + "\n")
    return folder


def test_one_class_and_no_labels_give_no_figure(tmp_path: Path) -> None:
    model = tmp_path / "model"
    gpt().save(model)
    data = cola(tmp_path, "01011", "1111")
    result = zero_shot(str(model), "cola", data=data)
    assert result["split"] == "dev" and result["examples"] == len(result["predictions"]) == 4
    assert result["metrics"]["matthews"] is None and result["undefined"]["matthews"].startswith("one class")
    right = sum(row["prediction"] == "acceptable" for row in result["predictions"])
    assert result["metrics"]["accuracy"] == right / 4
    assert result["zero_shot"]["majority"] == {"metric": "matthews", "value": None}
    again = zero_shot(str(model), "cola", data=data)
    assert again == result  # dropout is off
    bare = zero_shot(str(model), "cola", "test", data=data)
    assert (bare["metrics"], bare["undefined"]) == ({}, {})
    assert bare["zero_shot"]["threshold"] == result["zero_shot"]["threshold"]
    assert {row["prediction"] for row in bare["predictions"]} <= {"acceptable", "unacceptable"}
    with pytest.raises(UserError, match="chosen on train, so its figure there would be no test"):
        zero_shot(str(model), "cola", "train", data=data)


def test_what_cannot_answer_says_so(tmp_path: Path) -> None:
    bert = Bert(train_wordpiece(CORPUS, size=80), layers=1, width=8, heads=2, positions=16)
    bert.draw(1)
    bert.save(tmp_path / "bert")
    with pytest.raises(UserError, match=r"bert has no left-to-right language model .*; gpt has one"):
        zero_shot(str(tmp_path / "bert"), "micro.sentiment")
    vectors = tmp_path / "some.vec"
    vectors.write_text("cat 0.1 0.2\n")
    with pytest.raises(UserError, match=r"static has no left-to-right language model .*; gpt has one"):
        zero_shot(str(vectors), "micro.sentiment")
    for task in ("micro.sense", "micro.similarity", "micro.answers", "micro.entities"):
        with pytest.raises(
            UserError, match=rf"{task}: no zero-shot heuristic .* choice, .* sentiment .* accept"
        ):
            zero_shot("nowhere", task)
    with pytest.raises(UserError, match=r"micro\.sentiment: no split 'tst'; it has train, dev, test"):
        zero_shot("nowhere", "micro.sentiment", "tst")
    with pytest.raises(ModelError, match="no such run or folder"):
        zero_shot("./nowhere", "micro.sentiment")


def test_words_that_the_model_cannot_spell_and_broken_weights_are_refused(transformer: Gpt) -> None:
    with pytest.raises(ModelError, match="t: the model's vocabulary cannot spell šžď"):
        ways.by_words(transformer, sentiment({"good": "šžď", "bad": "sad"}, ["a"]), "dev")
    with torch.no_grad():
        transformer.encoder.words.weight[3] = torch.nan
    with pytest.raises(ModelError, match="probabilities are not numbers"):
        log_probabilities(transformer, pairs(transformer))


def named(name: str) -> Callable[[], Any]:
    return lambda: registry.tasks.build({"name": name}, None)


@pytest.mark.parametrize(
    ("facts", "labels"),
    [pytest.param(row, set(row.classes.values()), id=row.name) for row in ROWS]
    + [
        pytest.param(task, set(task.labels), id=task.name)
        for task in (named(name)() for name in registry.tasks.names() if name.startswith("micro."))
    ],
)
def test_words_and_fluent_labels_are_labels_of_the_task(facts: Any, labels: set[str]) -> None:
    assert not facts.fluent or (facts.fluent in labels and len(labels) == 2)
    assert bool(facts.label_words) == bool(facts.prompt)
    assert not facts.label_words or set(facts.label_words) == labels


def test_in_the_small_world_a_mood_follows_the_prompt_and_nothing_else() -> None:
    task = named("micro.sentiment")()
    follows: Counter[str] = Counter()
    for document in world().documents(2000):
        words = " ".join(document).split()
        follows.update(
            words[n + 2] for n, pair in enumerate(pairwise(words)) if " ".join(pair) == task.prompt
        )
    assert set(follows) == {*GLAD, *SORRY} and min(follows.values()) > 20
    assert task.label_words["positive"] in GLAD and task.label_words["negative"] in SORRY
