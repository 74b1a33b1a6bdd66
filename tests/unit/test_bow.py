"""The bag of words: it learns what words tell, for every kind of task, and says when it cannot."""

import random
import time
from pathlib import Path
from typing import Any, cast

import pytest

from lmcompare import registry
from lmcompare.baselines.bow import Bow, best_span, bow, covered
from lmcompare.baselines.cues import Table, grams, overlap, shape, tag_rows, text_row
from lmcompare.errors import DataError, UserError
from lmcompare.metrics import evaluate
from lmcompare.types import Example, Kind, Label, Task

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
NOUNS = ["boat", "lamp", "river", "stone", "garden", "window", "letter", "bridge"]
GOOD, BAD = ["fine", "lovely", "bright", "happy"], ["awful", "dull", "broken", "sad"]
PEOPLE = ["Ana", "Bo", "Cid", "Dora", "Emil", "Finn"]
TOWNS = ["Rome", "Oslo", "Lima", "Kyiv", "Bonn", "Riga"]


def task(kind: Kind, labels: tuple[str, ...] = (), texts: int = 1, symmetric: bool = False) -> Task:
    return Task("made-up", kind, ("accuracy",), lambda split: [], labels, texts, symmetric)


def classify(chance: random.Random) -> tuple[tuple[str, ...], Label]:
    good = chance.random() < 0.5
    return (f"the {chance.choice(NOUNS)} is {chance.choice(GOOD if good else BAD)}",), (
        "good" if good else "bad"
    )


def pair(chance: random.Random) -> tuple[tuple[str, ...], Label]:
    a, b = chance.sample(NOUNS, 3), chance.sample(NOUNS, 3)
    same = chance.random() < 0.5
    return (" ".join(a), " ".join(chance.sample(a, 3) if same else b)), "same" if same else "other"


def score(chance: random.Random) -> tuple[tuple[str, ...], Label]:
    words, kept = chance.sample(NOUNS, 4), chance.randrange(5)
    return (" ".join(words), " ".join(words[:kept] + ["x"] * (4 - kept))), float(kept)


def examples(kind: str, count: int, seed: int) -> list[Example]:
    chance = random.Random(seed)
    found = []
    for i in range(count):
        name = f"{seed}-{i}"
        if kind in MAKERS:
            texts, label = MAKERS[kind](chance)
            found.append(Example(name, texts, label))
        elif kind == "choice":
            right, word = chance.randrange(3), chance.choice(NOUNS)
            others = [w for w in NOUNS if w != word]
            options = tuple(word if n == right else chance.choice(others) for n in range(3))
            found.append(Example(name, (f"look at the {word}",), right, options))
        elif kind == "tags":
            words = ("Today", chance.choice(PEOPLE), "left", chance.choice(TOWNS), ".")
            found.append(Example(name, (), ("O", "B-P", "O", "B-L", "O"), (), words))
        else:
            person, year = chance.choice(PEOPLE), str(chance.randrange(1200, 1990))
            context = f"The {chance.choice(NOUNS)} was made by {person} in {year}, they say."
            question, answer = chance.choice([("Who made it?", person), ("When was it?", year)])
            at = context.index(answer)
            found.append(Example(name, (question, context), ((at, at + len(answer)),)))
    return found


MAKERS = {"classify": classify, "pair": pair, "score": score}
TASKS = {
    "classify": task("classify", ("bad", "good")),
    "pair": task("classify", ("other", "same"), 2, True),
    "score": task("score", (), 2, True),
    "choice": task("choice"),
    "tags": task("tags", ("O", "B-P", "B-L", "I-P", "I-L")),
    "span": task("span"),
}
METRIC = {"score": "pearson", "tags": "entity_f1", "span": "exact_match"}


def gold_of(rows: list[Example], kind: str) -> list[Any]:
    if kind != "span":
        return [row.label for row in rows]
    spans = [cast(tuple[tuple[int, int], ...], row.label) for row in rows]
    return [tuple(row.texts[1][s:e] for s, e in each) for row, each in zip(rows, spans, strict=True)]


def fitted(kind: str, train: list[Example], seed: int = 0) -> Bow:
    model = registry.baselines.build({"name": "bow"}, TASKS[kind])
    model.fit(train, seed)
    return model


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_learns_what_words_tell(kind: str) -> None:
    train, test = examples(kind, 150, 1), examples(kind, 80, 2)
    model = fitted(kind, train)
    predicted = model.predict(test)
    name = METRIC.get(kind, "accuracy")
    value = evaluate([name], gold_of(test, kind), predicted, TASKS[kind].labels)[0][name]
    assert value is not None and value > 0.9
    assert model.predict([]) == [] and model.scores([]) == []
    assert [model.predict([row])[0] for row in test[:5]] == predicted[:5]  # alone as in company
    assert fitted(kind, train).predict(test) == predicted  # nothing is left to chance


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_four_hundred_examples_take_less_than_two_seconds(kind: str) -> None:
    fitted(kind, examples(kind, 10, 3))  # imports
    start = time.perf_counter()
    fitted(kind, examples(kind, 400, 4)).predict(examples(kind, 400, 5))
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_odd_examples_get_an_answer(kind: str) -> None:
    model = fitted(kind, examples(kind, 40, 1))
    texts = 1 if kind in ("classify", "choice") else 2
    for text in ("", "  ", "☃", "unseen words only", "w" * 100_000):
        row = Example("odd", (text,) * texts, None, (text, text), (text, "b") if text else ())
        (answer,) = model.predict([row])
        if kind == "tags":
            assert len(answer) == len(row.words)
        elif kind == "span":
            assert answer in text
        elif kind == "choice":
            assert answer in (0, 1)
        elif kind == "score":
            assert 0 <= answer <= 4
        else:
            assert answer in TASKS[kind].labels


def test_symmetric_tasks_do_not_see_the_order() -> None:
    rows = examples("pair", 40, 1)
    turned = [Example(row.id, row.texts[::-1], row.label) for row in rows]
    for kind, each in (("pair", rows), ("score", examples("score", 40, 1))):
        model = fitted(kind, each)
        back = [Example(row.id, row.texts[::-1], row.label) for row in each]
        assert model.predict(back) == model.predict(each)
    assert fitted("pair", turned).scores(rows) == fitted("pair", rows).scores(rows)
    ordered = task("classify", ("other", "same"), 2)
    example = Example("1", ("red boat", "boat sinks"))
    assert "first red" in text_row(ordered, example, 1)[0]
    assert "second sinks" in text_row(ordered, example, 1)[0]


def test_scores_are_shares() -> None:
    model = fitted("classify", examples("classify", 60, 1))
    rows = examples("classify", 20, 2)
    for label, shares in zip(model.predict(rows), model.scores(rows), strict=True):
        assert sum(shares) == pytest.approx(1)
        assert label == ("bad", "good")[shares.index(max(shares))]
    choice = fitted("choice", examples("choice", 60, 1))
    two = Example("2", ("look at the boat",), None, ("boat", "lamp"))
    five = Example("5", ("look at the lamp",), None, ("x", "y", "z", "lamp", "boat"))
    assert [len(shares) for shares in choice.scores([two, five])] == [2, 5]
    assert choice.predict([two, five]) == [0, 3]


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_one_example_and_many_copies_of_it(kind: str) -> None:
    row = examples(kind, 1, 1)[0]
    for rows in ([row], [row] * 20):
        (answer,) = fitted(kind, rows).predict([row])
        if kind != "span":  # one class only: it is the answer
            assert answer == row.label
        else:
            assert answer == gold_of([row], kind)[0][0]


def test_a_third_class_that_is_never_seen() -> None:
    model = bow(task("classify", ("ugly", "bad", "good")))
    model.fit(examples("classify", 40, 1), 0)
    rows = examples("classify", 10, 2)
    assert all(shares[0] == 0 for shares in model.scores(rows))
    assert model.predict(rows) == [row.label for row in rows]


def test_refusals() -> None:
    rows = [Example("7", ("x",), None)]
    with pytest.raises(DataError, match="made-up: no labelled example"):
        fitted("classify", rows)
    with pytest.raises(DataError, match="example 7 has the unknown label 'fair'; known: bad, good"):
        fitted("classify", [Example("7", ("x",), "fair")])
    with pytest.raises(DataError, match="example 7 has the unknown label 'X'"):
        fitted("tags", [Example("7", (), ("O", "X"), (), ("a", "b"))])
    with pytest.raises(DataError, match="one tag a word"):
        fitted("tags", [Example("7", (), ("O",), (), ("a", "b"))])
    with pytest.raises(DataError, match="has a word"):
        fitted("tags", [Example("7", (), (), (), ())])
    with pytest.raises(DataError, match="has a word"):
        fitted("span", [Example("7", ("q", " "), ((0, 1),))])
    with pytest.raises(UserError, match="strength"):
        bow(TASKS["classify"], strength=0.0)
    with pytest.raises(UserError, match="ngrams"):
        bow(TASKS["classify"], ngrams=0)
    with pytest.raises(RuntimeError, match="fit"):
        bow(TASKS["classify"]).predict(rows)


def test_cues() -> None:
    assert grams("Not good.", 2) == ["not", "good", ".", "not good", "good ."]
    assert shape("McDonald-99") == "XxXx-0"
    assert len(tag_rows(["a", "b", "c"])) == 3 and tag_rows([]) == []
    first, second = overlap("a b c 7", "a b 8 9")
    assert first[:3] == [2 / 4, 1 / 3, 0.0] and second[:3] == [2 / 4, 1 / 3, 0.0]
    assert overlap("", "a")[0][:3] == [1.0, 1.0, 1.0]  # all of nothing is inside


def test_the_table_knows_training_cues_only() -> None:
    table = Table(weigh=True)
    x = table.fit([(["a", "b"], [1.0]), (["a"], [3.0])])
    assert x.shape == (2, 3)
    assert x.toarray()[:, 2].tolist() == [-1.0, 1.0]
    assert (x.toarray()[:, :2] ** 2).sum(1) == pytest.approx(1.0)
    rare, common = x.toarray()[0, 1], x.toarray()[0, 0]
    assert rare > common
    y = table.transform([(["new"], [2.0]), (["a", "new"], [5.0])]).toarray().tolist()
    assert y == [[0.0, 0.0, 0.0], [1.0, 0.0, 3.0]]
    assert Table(weigh=False, least=2).fit([(["a", "b"], []), (["a"], [])]).shape == (2, 1)


def test_spans() -> None:
    import numpy as np

    text, places = "one two six", [(0, 3), (4, 7), (8, 11)]
    assert covered(places, 4, 11) == (1, 2)
    assert covered(places, 5, 6) == (1, 1)
    assert covered(places, 3, 4) is None
    start, end = np.array([1.0, 0.0, 5.0]), np.array([9.0, 0.0, 1.0])
    assert best_span(text, places, start, end, 3) == "one"  # an end is never before its start
    assert best_span(text, places, start[::-1], end[::-1], 3) == "one two six"
    assert best_span(text, places, start[::-1], end[::-1], 2) == "six"
    assert best_span("", [], np.array([]), np.array([]), 3) == ""


def test_real_sentences_beat_the_majority() -> None:
    folder = SHARED / "data" / "glue" / "SST-2"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")

    def rows(name: str) -> list[Example]:
        lines = (folder / name).read_text(encoding="utf-8").rstrip("\n").split("\n")[1:]
        cells = [line.split("\t") for line in lines[:6000]]
        return [Example(str(i), (text,), label) for i, (text, label) in enumerate(cells)]

    model = bow(task("classify", ("0", "1")))
    model.fit(rows("train.tsv"), 0)
    dev = rows("dev.tsv")
    value = evaluate(["accuracy"], [r.label for r in dev], model.predict(dev), ("0", "1"))[0]
    assert value["accuracy"] is not None and value["accuracy"] > 0.7
