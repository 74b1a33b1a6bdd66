"""Metrics: worked by hand, equal to scikit-learn and scipy, undefined where they must be."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lmcompare import registry
from lmcompare.errors import UserError
from lmcompare.metrics import Undefined, entities, evaluate, majority

AB = ("no", "yes")
ABC = ("a", "b", "c")


def metric(name: str, gold: Any, predicted: Any, labels: Any = AB) -> float:
    return registry.metrics.get(name)(gold, predicted, labels)


def test_all_are_registered_and_say_what_they_are() -> None:
    names = {"accuracy", "f1", "macro_f1", "matthews", "pearson", "spearman"}
    names |= {"entity_f1", "span_f1", "exact_match"}
    assert names <= set(registry.metrics.names())
    assert all(registry.metrics.about(name) for name in names)


# --- classes ------------------------------------------------------------------------------------


def test_classes_by_hand() -> None:
    gold = ["yes", "yes", "yes", "no", "no", "no", "no", "no"]
    told = ["yes", "yes", "no", "yes", "no", "no", "no", "no"]
    assert metric("accuracy", gold, told) == 6 / 8
    assert metric("f1", gold, told) == 2 * 2 / (3 + 3)
    assert metric("f1", gold, told, ("yes", "no")) == 2 * 4 / (5 + 5)
    assert metric("macro_f1", gold, told) == pytest.approx((2 / 3 + 4 / 5) / 2)
    # (TP TN − FP FN) / √(3 · 3 · 5 · 5)
    assert metric("matthews", gold, told) == pytest.approx((2 * 4 - 1 * 1) / 15)
    assert metric("accuracy", [0, 2, 1], [0, 1, 1], ()) == 2 / 3  # choice


def test_f1_is_for_two_classes() -> None:
    with pytest.raises(UserError, match="macro_f1"):
        metric("f1", ["a"], ["a"], ABC)
    assert metric("f1", ["yes"], ["no"]) == 0.0  # a miss is a result


classes = st.lists(st.tuples(st.sampled_from(ABC), st.sampled_from(ABC)), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(classes)
def test_classes_against_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    from sklearn import metrics as theirs

    gold, told = map(list, zip(*pairs, strict=True))
    assert metric("accuracy", gold, told, ABC) == pytest.approx(theirs.accuracy_score(gold, told))
    expected = theirs.f1_score(gold, told, average="macro", zero_division=0)
    if len(set(gold)) > 1:
        assert metric("macro_f1", gold, told, ABC) == pytest.approx(expected)
    else:
        with pytest.raises(Undefined, match="one class: all gold labels are"):
            metric("macro_f1", gold, told, ABC)
    if len(set(gold)) > 1 and len(set(told)) > 1:
        expected = theirs.matthews_corrcoef(gold, told)
        assert metric("matthews", gold, told, ABC) == pytest.approx(expected, abs=1e-12)
    else:
        with pytest.raises(Undefined, match="one class"):
            metric("matthews", gold, told, ABC)
    two = [["yes" if label == "a" else "no" for label in side] for side in (gold, told)]
    if "yes" in two[0] + two[1]:
        expected = theirs.f1_score(*two, pos_label="yes", zero_division=0)
        assert metric("f1", *two) == pytest.approx(expected)


# --- scores -------------------------------------------------------------------------------------


def test_correlations_by_hand() -> None:
    assert metric("pearson", [1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert metric("pearson", [1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert metric("pearson", [0, 0, 1, 1], [0, 1, 0, 1]) == pytest.approx(0)
    assert metric("pearson", [1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)
    assert metric("spearman", [1, 2, 3, 4], [1, 10, 100, 1000]) == pytest.approx(1)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / √(4.5 · 5)
    assert metric("spearman", [1, 2, 2, 9], [1, 2, 3, 4]) == pytest.approx(math.sqrt(0.9))
    assert metric("pearson", [1, 2, 3], [1e300, 2e300, 3e300]) == pytest.approx(1)
    assert metric("pearson", [1, 2, 3], [1e-300, 2e-300, 3e-300]) == pytest.approx(1)


numbers = st.lists(
    st.tuples(st.integers(-20, 20).map(lambda n: n / 4), st.floats(-1e6, 1e6)),
    min_size=3,
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(numbers)
def test_correlations_against_scipy(pairs: list[tuple[float, float]]) -> None:
    from scipy import stats

    gold, told = (np.array(side) for side in zip(*pairs, strict=True))
    assume(np.ptp(gold) > 0 and np.ptp(told) > 1e-6 * np.abs(told).max())
    expected = stats.pearsonr(gold, told).statistic
    assert metric("pearson", gold, told) == pytest.approx(expected, abs=1e-8)
    expected = stats.spearmanr(gold, told).statistic
    assert metric("spearman", gold, told) == pytest.approx(expected, abs=1e-10)


# --- tags ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O", []),
        ("B-P I-P O", [("P", 0, 2)]),
        ("I-P I-P O I-L", [("P", 0, 2), ("L", 3, 4)]),  # I- without B- starts an entity
        ("B-P B-P I-P", [("P", 0, 1), ("P", 1, 3)]),
        ("B-P I-L I-L", [("P", 0, 1), ("L", 1, 3)]),  # another type starts another entity
        ("O B-P", [("P", 1, 2)]),
        ("B-A-B I-A-B", [("A-B", 0, 2)]),
        ("", []),
    ],
)
def test_entities(tags: str, expected: list[tuple[str, int, int]]) -> None:
    assert list(entities(tags.split())) == expected


def test_entity_f1_by_hand() -> None:
    gold = [("B-P", "I-P", "O", "B-L"), ("O", "B-P")]
    told = [("B-P", "I-P", "O", "B-P"), ("B-L", "B-P")]
    # 3 gold, 4 told, 2 right: the first P and the last one
    assert metric("entity_f1", gold, told) == pytest.approx(4 / 7)
    assert metric("entity_f1", gold, [("B-P", "O", "O", "O"), ("O", "O")]) == 0.0  # borders differ
    assert metric("accuracy", gold, told) == 4 / 6  # words
    with pytest.raises(UserError, match="'PER' is no BIO tag"):
        metric("entity_f1", [("PER",)], [("O",)])
    with pytest.raises(ValueError, match="words"):
        metric("entity_f1", [("O", "O")], [("O",)])


tag = st.sampled_from(["O", "B-P", "I-P", "B-L", "I-L"])
sentence = st.integers(1, 8).flatmap(
    lambda n: st.tuples(*[st.lists(tag, min_size=n, max_size=n).map(tuple)] * 2)
)


def conll(tags: tuple[str, ...]) -> set[tuple[str, int, int]]:
    """Entities by another road: where does each word's entity start, and where does it end?"""
    types = ["" if tag == "O" else tag[2:] for tag in tags]
    starts = [
        i for i, tag in enumerate(tags) if types[i] and (tag[0] == "B" or i == 0 or types[i - 1] != types[i])
    ]
    found = set()
    for start in starts:
        end = start + 1
        while end < len(tags) and types[end] == types[start] and end not in starts:
            end += 1
        found.add((types[start], start, end))
    return found


@settings(max_examples=200, deadline=None)
@given(st.lists(sentence, min_size=1, max_size=5))
def test_entity_f1_by_another_road(pairs: list[tuple[tuple[str, ...], tuple[str, ...]]]) -> None:
    gold, told = map(list, zip(*pairs, strict=True))
    true = {(i, e) for i, tags in enumerate(gold) for e in conll(tags)}
    said = {(i, e) for i, tags in enumerate(told) for e in conll(tags)}
    assume(true or said)
    expected = 2 * len(true & said) / (len(true) + len(said))
    assert metric("entity_f1", gold, told) == pytest.approx(expected)


# --- spans --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "told", "match", "f1"),
    [
        (("The Cat!",), "cat", 1, 1),
        (("a cat",), "an  CAT.", 1, 1),
        (("black cat",), "cat", 0, 2 / 3),
        (("black cat", "cat"), "cat", 1, 1),  # the best of the answers
        (("cat cat dog",), "cat dog dog", 0, 4 / 6),  # a word counts as often as it stands
        (("cat",), "dog", 0, 0),
        (("cat",), "", 0, 0),
        (("U.S.A.",), "usa", 1, 1),
        (("theater",), "ater", 0, 0),  # an article is a whole word
        (("the",), "a", 1, 0),  # nothing is left: equal, but no word in common
    ],
)
def test_spans(answers: tuple[str, ...], told: str, match: float, f1: float) -> None:
    assert metric("exact_match", [answers], [told]) == match
    assert metric("span_f1", [answers], [told]) == pytest.approx(f1)


def test_spans_are_averaged_over_questions() -> None:
    gold, told = [("cat",), ("black cat",), ("dog",)], ["cat", "cat", "cow"]
    assert metric("exact_match", gold, told) == pytest.approx(1 / 3)
    assert metric("span_f1", gold, told) == pytest.approx((1 + 2 / 3) / 3)


# --- undefined ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gold", "told", "reason"),
    [
        ("matthews", ["yes", "yes"], ["yes", "no"], "one class: all gold labels are 'yes'"),
        ("matthews", ["yes", "no"], ["no", "no"], "one class: all predictions are 'no'"),
        ("matthews", ["yes"], ["yes"], "one class"),
        ("f1", ["no", "no"], ["no", "no"], "one class"),
        ("macro_f1", ["yes", "yes"], ["yes", "yes"], "one class: all gold labels are 'yes'"),
        ("macro_f1", ["yes", "yes"], ["yes", "no"], "one class: all gold labels are 'yes'"),
        ("pearson", [1.0, 2.0], [3.0, 3.0], "constant: all predictions are 3"),
        ("spearman", [1.0, 2.0], [3.0, 3.0], "constant: all predictions are 3"),
        ("pearson", [2.0, 2.0], [1.0, 3.0], "constant: all gold scores are 2"),
        ("pearson", [1.0, 2.0], [math.nan, 3.0], "1 of the 2 predictions are nan or infinite"),
        ("spearman", [1.0, 2.0], [math.nan, math.nan], "2 of the 2 predictions"),
        ("spearman", [1.0, math.inf], [1.0, 2.0], "1 of the 2 gold scores"),
        ("pearson", [1.0], [2.0], "constant"),
        ("pearson", [1.0, 2.0], [1.0, 1.0 + 2e-16], "rounding"),
        ("entity_f1", [("O",)], [("O",)], "no entity"),
        ("span_f1", [("cat",), ()], ["cat", "dog"], "1 of the 2 examples have no gold answer"),
        ("exact_match", [("",)], [""], "no gold answer"),
        ("accuracy", [None, "yes"], ["yes", "yes"], "labels are missing"),
    ],
)
def test_undefined(name: str, gold: list[Any], told: list[Any], reason: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values, reasons = evaluate([name], gold, told, AB)
    assert values == {name: None}
    assert reason in reasons[name]


@pytest.mark.parametrize("name", registry.metrics.names())
def test_nothing_to_measure(name: str) -> None:
    assert evaluate([name], [], [], AB) == ({name: None}, {name: "no examples"})
    with pytest.raises(ValueError, match="gold labels"):
        evaluate([name], ["yes"], [], AB)


def test_evaluate_keeps_what_is_defined() -> None:
    values, reasons = evaluate(["accuracy", "matthews"], ["no", "yes"], ["no", "no"], AB)
    assert values == {"accuracy": 0.5, "matthews": None}
    assert list(reasons) == ["matthews"]
    with pytest.raises(UserError, match="did you mean 'accuracy'"):
        evaluate(["acuracy"], ["no"], ["no"], AB)


# --- properties of every metric -----------------------------------------------------------------

MAKERS: dict[str, st.SearchStrategy[Any]] = {
    "class": st.tuples(st.sampled_from(AB), st.sampled_from(AB)),
    "number": st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
    "tags": sentence,
    "text": st.tuples(
        st.lists(st.text("ab c", min_size=1), min_size=1, max_size=3).map(tuple), st.text("ab c")
    ),
}
SHAPES = {
    "accuracy": "class", "f1": "class", "macro_f1": "class", "matthews": "class", "r3": "class",
    "pearson": "number", "spearman": "number", "entity_f1": "tags", "role_f1": "tags",
    "span_f1": "text", "exact_match": "text",
    "answer_f1": "text", "answer_match": "text", "answerable_f1": "text", "answerable_match": "text",
    "unanswerable_match": "text",
}  # fmt: skip


@pytest.mark.parametrize("name", registry.metrics.names())
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_order_range_and_perfection(name: str, data: st.DataObject) -> None:
    pairs = data.draw(st.lists(MAKERS[SHAPES[name]], min_size=2, max_size=12))
    gold, told = map(list, zip(*pairs, strict=True))
    value = evaluate([name], gold, told, AB)[0][name]
    shuffled = data.draw(st.permutations(pairs))
    turned, told_again = map(list, zip(*shuffled, strict=True))
    again = evaluate([name], turned, told_again, AB)[0][name]
    assert (value is None) == (again is None)
    if value is not None and again is not None:
        assert type(value) is float and -1 <= value <= 1
        assert again == pytest.approx(value, abs=1e-9)
    perfect = [answers[0] for answers in gold] if SHAPES[name] == "text" else gold
    best = evaluate([name], gold, perfect, AB)[0][name]
    if SHAPES[name] == "text":  # blank answers and bare articles have no word in common
        assume(all(set(answers[0].split()) - {"a"} for answers in gold))
    assert best is None or best == pytest.approx(1)


# --- the trivial predictor ----------------------------------------------------------------------


def test_majority() -> None:
    train = ["yes", "yes", "no", None]
    gold = ["yes", "no", "no", "no"]
    assert majority("classify", "accuracy", train, gold, AB) == 0.25
    assert majority("classify", "f1", train, gold, AB) == pytest.approx(2 / 5)
    assert majority("classify", "matthews", train, gold, AB) is None
    assert majority("classify", "accuracy", ["yes", "no"], gold, AB) == 0.75  # a tie: the first
    assert majority("classify", "accuracy", [], gold, AB) is None
    assert majority("score", "pearson", [1.0, 2.0], [1.0, 3.0], ()) is None
    tags = [("O", "B-P"), ("O", "O")]
    assert majority("tags", "entity_f1", tags, tags, ("B-P", "I-P", "O")) == 0.0
    assert majority("tags", "accuracy", tags, tags, ("B-P", "I-P", "O")) == 0.75
    assert majority("tags", "accuracy", [("N", "V", "N")], [("N", "V")], ("N", "V")) == 0.5
    assert majority("choice", "accuracy", [0, 1], [1, 1], (), options=[2, 4]) == 0.375
    assert majority("choice", "accuracy", [0, 1], [1, 1], ()) is None
    assert majority("span", "span_f1", [((0, 1),)], [("cat",)], ()) is None
