"""Answers that are a piece of a long context: windows hold all of it, places give back its text, the best of all
windows answers, and a threshold says when none does."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcompare import config, metrics, registry
from lmcompare.backends.bert import Bert
from lmcompare.backends.gpt import Gpt
from lmcompare.backends.piece_views import located, windows
from lmcompare.errors import UserError
from lmcompare.experiments.evaluate import evaluate
from lmcompare.experiments.transfer import transfer
from lmcompare.progress import Progress
from lmcompare.text.bpe import train_bpe
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.text.words import train_words
from lmcompare.transfer import spans as heads
from lmcompare.transfer.dataset import Batch, Dataset
from lmcompare.transfer.learner import TaskLearner
from lmcompare.transfer.spans import best_spans, best_threshold, distinct
from lmcompare.types import Example, Prediction, Task
from tests.oracles import slow_squad_scorer
from tests.unit.test_squad import put

SPAN = Task("t", "span", ("span_f1",), lambda split: [], texts=2)
OPEN = replace(SPAN, unanswerable=True, metrics=("answer_f1", "unanswerable_match"))
ODD = (
    "Zoë\u2028met  the naïve cafe\u0301 owner 😀 in 東京, in May  1920.\tΑθήνα's 👩‍👩‍👧 family (née Müller)  paid "
    "1,000 €; Ⅷ ﬁne\u00a0words, ½ of them 한국어 and 日本語のテキスト — “quoted” … the\u00adend of İstanbul"
)
CPU = torch.device("cpu")


def bert(positions: int = 64) -> Bert:
    tokenizer = train_wordpiece([ODD], size=150, min_frequency=1)
    made = Bert(tokenizer, layers=1, width=12, heads=2, positions=positions, init_std=0.3, dropout=0.0)
    made.draw(1)
    return made


def gpt() -> Gpt:
    return Gpt(train_bpe([ODD], size=150, min_frequency=1), layers=1, width=12, heads=2, positions=64)


def static() -> Any:
    return registry.backends.build({"name": "static", "width": 12}, train_words([ODD]))


BACKENDS = {"bert": bert, "gpt": gpt, "static": static}


# --- windows and places -------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 60), st.integers(1, 20), st.one_of(st.none(), st.integers(1, 30)))
def test_windows_hold_every_piece_and_none_says_nothing_new(
    count: int, room: int, stride: int | None
) -> None:
    spans = [(n, n + 1) for n in range(count)]
    if stride and stride >= room and count > room:
        with pytest.raises(UserError, match=f"stride {stride}: .* room for {room} tokens"):
            list(windows(range(count), spans, room=room, stride=stride))
        return
    found = list(windows(range(count), spans, room=room, stride=stride))
    step = min(room, stride or max(1, room // 2))
    assert [ids[0] for ids, _ in found if ids] == [n * step for n in range(len(found)) if count]
    assert {i for ids, _ in found for i in ids} == set(range(count))
    assert all(len(ids) <= room and inside == [(i, i + 1) for i in ids] for ids, inside in found)
    assert len(found) == 1 or found[-2][0][-1] < count - 1  # the one before the last did not reach the end
    longest = room - step + 1  # an answer of so many pieces is whole in some window, wherever it stands
    for start in range(max(0, count - longest + 1)):
        assert any(start in ids and start + longest - 1 in ids for ids, _ in found)


def answers_of(text: str) -> list[tuple[int, int]]:
    """Every word, and some runs of words, as characters."""
    found, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        found.append((at, at + len(word)))
        at += len(word)
    return found + [(a[0], b[1]) for a, b in zip(found, found[2:], strict=False)]


@pytest.mark.parametrize("stride", [None, 3, 8])
@pytest.mark.parametrize("name", BACKENDS)
def test_an_answer_is_found_whichever_window_holds_it(name: str, stride: int | None) -> None:
    """Offsets give back the text with accents, emoji, CJK, and double spaces."""
    backend = BACKENDS[name]()
    length = 14 if name == "static" else 28
    for start, end in answers_of(ODD):
        dataset = Dataset(
            backend, SPAN, [Example("1", ("who?", ODD), ((start, end),))], length=length, stride=stride
        )
        batch = dataset.batch(np.arange(1))
        held = batch.labels["inside_B"].tolist()
        for view, (first, last), inside in zip(
            batch.views, batch.labels["ends_B2"].tolist(), held, strict=True
        ):
            whole = whole_in(view.spans, places(backend), start, end)
            assert inside == whole
            if inside:
                said = ODD[view.spans[first][0] : view.spans[last][1]]
                assert ODD[start:end] in said and " " not in said.replace(ODD[start:end], "")
        assert stride != 3 or any(held)


def places(backend: Any) -> list[tuple[int, int]]:
    tokenizer = backend.tokenizer
    return (tokenizer.encode_offsets(ODD) if backend.parts == 2 else located(tokenizer, ODD))[1]


def whole_in(
    spans: Sequence[tuple[int, int]], every: Sequence[tuple[int, int]], start: int, end: int
) -> bool:
    wanted = [span for span in every if span[0] < end and span[1] > start]
    return bool(wanted) and all(span in spans for span in wanted)


def test_white_space_at_the_ends_of_an_answer_is_no_matter() -> None:
    backend, start = bert(), ODD.index("May")
    for answer in ((start, start + 10), (start - 1, start + 11)):
        assert ODD[slice(*answer)].strip() == "May  1920."
        batch = Dataset(backend, SPAN, [Example("1", ("when?", ODD), (answer,))], length=64).batch(
            np.arange(1)
        )
        told = [
            ODD[view.spans[s][0] : view.spans[e][1]]
            for view, (s, e) in zip(batch.views, batch.labels["ends_B2"].tolist(), strict=True)
            if s
        ]
        assert told and set(told) == {"May  1920."}


def test_a_stride_is_for_spans_and_shorter_than_a_window() -> None:
    backend = bert()
    with pytest.raises(UserError, match=r"stride 28: .* less than the length 28"):
        Dataset(backend, SPAN, [], length=28, stride=28)
    one = Task("t", "classify", ("accuracy",), lambda split: [], labels=("a", "b"))
    with pytest.raises(UserError, match="stride 4: t is a task of the kind classify; that is for spans"):
        Dataset(backend, one, [], length=28, stride=4)


@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_a_stride_leaves_no_answer_between_two_windows(name: str) -> None:
    """A long question takes so much of the window that the stride, less than the length, is more than the rest."""
    asked = Example("1", ("who " * 9, ODD), ((0, 3),))
    with pytest.raises(UserError, match=r"stride 20: .* room for 1\d tokens .* set stride below 1\d"):
        Dataset(BACKENDS[name](), SPAN, [asked], length=28, stride=20)
    assert len(Dataset(BACKENDS[name](), SPAN, [asked], length=28, stride=9).views) > 1


# --- the best answers ---------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 25), st.integers(1, 30), st.integers(1, 12), st.integers(0, 10**6))
def test_the_best_pairs_are_those_of_trying_all(count: int, most: int, longest: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count + 3, 2)).astype(np.float32)
    spans = [(-1, -1), (-1, -1), *((3 * n, 3 * n + 2) for n in range(count)), (-1, -1)]
    every = sorted(
        (
            (float(logits[a, 0] + logits[b, 1]), (spans[a][0], spans[b][1]))
            for a in range(2, count + 2)
            for b in range(a, min(a + longest, count + 2))
        ),
        reverse=True,
    )[:most]
    assert best_spans(logits, spans, most=most, longest=longest) == every


def test_nothing_is_best_where_there_is_no_context() -> None:
    assert best_spans(np.zeros((2, 2)), [(-1, -1), (-1, -1)], most=20, longest=30) == []
    assert best_spans(np.zeros((2, 2)), [(-1, -1), (0, 0)], most=20, longest=30) == []


def test_the_same_text_of_two_windows_counts_once_with_its_better_score() -> None:
    found = [(-2.0, (0, 3)), (-1.0, (4, 7)), (-0.5, (8, 11)), (-3.0, (0, 7))]
    assert distinct("cat cat dog", found, 20) == [["dog", -0.5], ["cat", -1.0], ["cat cat", -3.0]]
    assert distinct("cat cat dog", found, 2) == [["dog", -0.5], ["cat", -1.0]]
    assert distinct("cat dog", [(-1.0, (3, 7)), (-2.0, (4, 7)), (-3.0, (3, 4))], 20) == [["dog", -1.0]]


def asked(task: Task) -> tuple[Batch, TaskLearner]:
    made = TaskLearner(bert(), task, registry.transfers.check({"name": "finetune"}))
    rows = [Example("1", ("who?", ODD), ((0, 3),)), Example("2", ("when?", ODD), ())]
    return Dataset(bert(), task, rows, length=28, stride=8).batch(np.arange(2)), made


def test_a_prediction_keeps_the_best_answers_and_the_least_doubt_of_all_windows() -> None:
    batch, made = asked(replace(OPEN, n_best=5, longest_answer=4))
    logits = torch.randn(len(batch.views), 28, 2, generator=torch.Generator().manual_seed(2))
    told = made.head.answers(logits, batch)
    table = made.head._masked(logits, batch).log_softmax(1)
    for n, row in enumerate(told):
        of = [b for b, owner in enumerate(batch.owner_B.tolist()) if owner == n]
        assert len(of) > 3
        assert row["scores"]["null"] == pytest.approx(min(float(table[b, 0].sum()) for b in of), abs=1e-5)
        best: dict[str, float] = {}
        for b in of:
            spans = batch.views[b].spans
            for s, e in itertools.product(range(28), range(28)):
                if s <= e < min(len(spans), s + 4) and min(spans[s][0], spans[e][0]) >= 0:
                    text, score = ODD[spans[s][0] : spans[e][1]], float(table[b, s, 0] + table[b, e, 1])
                    best[text] = max(score, best.get(text, -math.inf))
        expected = sorted(best.items(), key=lambda item: -item[1])[:5]
        kept = row["scores"]["best"]
        assert [score for _, score in kept] == pytest.approx([score for _, score in expected], abs=1e-5)
        assert {text for text, _ in kept} == {text for text, _ in expected}
        assert row["prediction"] == (kept[0][0] if row["scores"]["null"] <= kept[0][1] else "")


def test_only_a_task_that_allows_it_gives_no_answer() -> None:
    for task, empty in ((SPAN, False), (OPEN, True)):
        batch, made = asked(task)
        logits = torch.zeros(len(batch.views), 28, 2)
        logits[:, 0] = 9.0  # [CLS]: "not in this window"
        assert [row["prediction"] == "" for row in made.head.answers(logits, batch)] == [empty, empty]
        assert ("head.threshold" in made.own_state()) == empty
    made.head.threshold.fill_(100.0)
    assert all(row["prediction"] for row in made.head.answers(logits, batch))


# --- the threshold ------------------------------------------------------------------------------


def rows(seed: int, count: int = 60, digits: int = 1) -> list[Prediction]:
    """Doubts with many ties, answers of which some are right, questions of which some have none."""
    rng, made = random.Random(seed), []
    for n in range(count):
        label = rng.choice([[], ["the cat"], ["a black cat", "dog"], ["the"]])
        best = [[rng.choice(["cat", "dog", "the", "black"]), -1.0]] if rng.random() < 0.95 else []
        null = round(rng.gauss(0.5 if not label else -0.5, 1), digits) - 1.0
        made.append({"id": str(n), "label": label, "prediction": "", "scores": {"null": null, "best": best}})
    return made


def answered(predictions: Sequence[Prediction], threshold: float) -> float:
    """The official F1 where each question with more doubt than the threshold is left without an answer."""
    told = [
        "" if heads.doubt(row["scores"]) > threshold else row["scores"]["best"][0][0] for row in predictions
    ]
    return slow_squad_scorer.second([row["label"] for row in predictions], told)["answer_f1"]


@pytest.mark.parametrize("seed", range(30))
def test_no_threshold_is_better(seed: int) -> None:
    made = rows(seed, digits=seed % 3)
    doubts = [heads.doubt(row["scores"]) for row in made if row["scores"]["best"]]
    every = [min(doubts) - 9, *doubts, max(doubts) + 9, 0.0]
    best, found = max(answered(made, at) for at in every), best_threshold(made)
    assert answered(made, found) == pytest.approx(best, abs=1e-12)
    assert found not in doubts  # so that rounding turns no answer
    lower = [
        at for at in every if at < found and sum(d <= at for d in doubts) < sum(d <= found for d in doubts)
    ]
    assert all(answered(made, at) < best + 1e-12 for at in lower)


def published(predictions: Sequence[Prediction]) -> float:
    """The published search: begin with no answer at all, answer one question more each time, the surest first."""
    order = sorted(
        (row for row in predictions if row["scores"]["best"]), key=lambda r: heads.doubt(r["scores"])
    )
    score = best = float(sum(not row["label"] for row in predictions))
    for row in order:
        text = row["scores"]["best"][0][0]
        one = slow_squad_scorer.second([row["label"]], [text])["answer_f1"]
        score += one if row["label"] else (-1.0 if text else 0.0)
        best = max(best, score)
    return best / len(predictions)


@pytest.mark.parametrize("seed", range(10))
def test_the_best_figure_is_that_of_the_published_search(seed: int) -> None:
    """Where no two doubts are the same, no answer is an article alone (for which that search counts on two ways), and
    every question has a best answer."""
    made = [row for row in rows(seed, digits=12) if row["scores"]["best"] and row["label"] != ["the"]]
    made = [row for row in made if row["scores"]["best"][0][0] != "the"]
    told = [
        "" if heads.doubt(r["scores"]) > best_threshold(made) else r["scores"]["best"][0][0] for r in made
    ]
    found = metrics.evaluate(["answer_f1"], [row["label"] for row in made], told, ())[0]["answer_f1"]
    assert found == pytest.approx(published(made), abs=1e-12)


def test_a_threshold_beyond_all_doubts() -> None:
    row = {"id": "1", "label": ["cat"], "prediction": "", "scores": {"null": 5.0, "best": [["cat", 1.0]]}}
    assert best_threshold([row]) == 5.0  # 4 and one more
    assert best_threshold([row | {"label": []}]) == 3.0
    assert best_threshold([row | {"scores": {"null": 0.0, "best": []}}]) == 0.0


# --- a whole run --------------------------------------------------------------------------------


def questions(seed: int, count: int) -> dict[str, Any]:
    """Who is where, in a few sentences; of every three questions one asks for somebody who is not there."""
    rng, qas = random.Random(seed), []
    people, places = ["ann", "bob", "cleo", "dan", "eve"], ["rome", "oslo", "lima", "cairo"]
    for n in range(count):
        here = rng.sample(people, 3)
        told = [(who, rng.choice(places)) for who in here]
        context = " ".join(f"{who} is in {place} ." for who, place in told)
        who, place = told[n % 3] if n % 3 else (next(p for p in people if p not in here), "")
        answers = (
            [{"text": place, "answer_start": context.index(f"{who} is in") + len(who) + 7}] if place else []
        )
        asked = {"id": f"{seed}-{n}", "question": f"where is {who} ?", "answers": answers}
        qas.append({"context": context, "qas": [{**asked, "is_impossible": not answers}]})
    return {"data": [{"paragraphs": qas}]}


def test_a_run_on_squad2_chooses_its_threshold_and_keeps_it(tmp_path: Path) -> None:
    train, dev = (put(tmp_path / f"{n}.json", questions(n, count)) for n, count in ((1, 90), (2, 30)))
    context = [p["context"] for p in questions(1, 60)["data"][0]["paragraphs"]]
    made = Bert(train_wordpiece([*context, "where ?"], size=60, min_frequency=1), layers=1, width=16, heads=2)
    made.draw(1)
    made.save(tmp_path / "model")
    given = {
        "backend": "bert",
        "model": str(tmp_path / "model"),
        "task": {"name": "squad2", "train": str(train), "dev": str(dev), "test": str(dev), "n_best": 3},
        "length": 18,
        "stride": 4,
        "training": {"epochs": 2, "batch": 16},
        "optimizer": {"name": "adamw", "rate": 3e-3},
    }
    table = config.merge(config.read_table("bert-squad2", "finetune"), given)
    settings = config.resolve(config.Transfer, table)
    assert settings.task["longest_answer"] == 30 and settings.stride == 4
    result = transfer(settings, progress=Progress(), out=tmp_path / "run")
    assert result["primary"]["metric"] == "answer_f1"
    again = evaluate(tmp_path / "run", "dev")
    assert again["metrics"] == result["metrics"]["dev"] == result["metrics"]["test"]
    predictions = again["predictions"]
    assert result["null_threshold"] == best_threshold(predictions) != 0.0
    assert all(1 <= len(row["scores"]["best"]) <= 3 for row in predictions)
    for row in predictions:
        empty = heads.doubt(row["scores"]) > result["null_threshold"]
        assert row["prediction"] == ("" if empty else row["scores"]["best"][0][0])
    golds, told = ([row[key] for row in predictions] for key in ("label", "prediction"))
    assert again["metrics"]["answer_f1"] == pytest.approx(slow_squad_scorer.second(golds, told)["answer_f1"])
    assert again["metrics"]["answer_f1"] >= answered(
        predictions, 0.0
    )  # what training's own evaluations go by
