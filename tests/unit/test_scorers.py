"""Every figure against an independent one on 1,300 prediction sets: drawn, and drawn to hurt. None where, and only
where, the other divides by nothing.

Classes are held to scikit-learn, scores to scipy and to exact fractions, entities to seqeval and to conlleval's own
single pass. Answers have a file of their own: test_answer_scorers.py.
"""

import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from lmcompare import metrics

pytestmark = pytest.mark.slow

SETS = 1300


def ours(name: str, gold: Sequence[Any], told: Sequence[Any], labels: Sequence[str] = ()) -> float | None:
    """One figure; no warning of numpy's may come with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values, reasons = metrics.evaluate([name], gold, told, tuple(labels))
    assert (values[name] is None) == bool(reasons.get(name))
    return values[name]


# --- classes ------------------------------------------------------------------------------------


def class_sets(*, classes: int | None = None) -> Iterator[tuple[list[str], list[str], tuple[str, ...]]]:
    """Gold, predictions and labels; skewed, of one class, turned round, or with a class that gold never has."""
    rng = np.random.default_rng(61)
    for n in range(SETS):
        count = classes or int(rng.integers(2, 7))
        labels = tuple(f"{letter}{count}" for letter in "zyxwvu"[:count])  # their order is not the alphabet's
        size = int(rng.choice([3, 5, 9, 17, 30, 60])) if n % 40 else 1
        gold = rng.choice(count, size, p=rng.dirichlet([5.0] * count))
        told = rng.choice(count, size, p=rng.dirichlet([5.0] * count))
        kind = n % 30
        if kind == 0:
            told = np.where(rng.random(size) < 0.8, gold, told)
        elif kind == 1:
            told = np.full(size, told[0])
        elif kind == 2:
            gold = np.full(size, gold[0])
        elif kind == 3:
            told = count - 1 - gold
        elif kind == 4:
            gold, told = gold % max(2, count - 1), rng.permutation(gold)
        yield [labels[k] for k in gold], [labels[k] for k in told], labels


def r_of_k_classes(gold: list[str], told: list[str], labels: Sequence[str]) -> float | None:
    """Gorodkin's R_K: the correlation of two tables of zeros and ones, a column a class. In whole numbers."""
    tables = [np.array([[one == label for label in labels] for one in side], int) for side in (gold, told)]

    def covariance(a: np.ndarray, b: np.ndarray) -> Fraction:
        n = len(a)
        return Fraction(int(((n * a - a.sum(0)) * (n * b - b.sum(0))).sum()), n**3)

    return ratio(covariance(*tables), covariance(tables[0], tables[0]), covariance(tables[1], tables[1]))


def ratio(together: Fraction, first: Fraction, second: Fraction) -> float | None:
    """together / √(first · second), rounded once or twice."""
    if not first or not second:
        return None
    root = math.sqrt(together * together / (first * second))
    return root if together > 0 else -root


@pytest.mark.parametrize("classes", [2, None])
def test_f1_of_classes_is_scikit_learns(classes: int | None) -> None:
    from sklearn.metrics import f1_score

    undefined = 0
    for gold, told, labels in class_sets(classes=classes):
        each = f1_score(gold, told, labels=list(labels), average=None, zero_division=np.nan)
        seen = [value for label, value in zip(labels, each, strict=True) if label in {*gold, *told}]
        mean = pytest.approx(np.mean(seen), abs=1e-12) if len(set(gold)) > 1 else None
        assert ours("macro_f1", gold, told, labels) == mean
        if len(labels) == 2:
            expected = None if np.isnan(each[1]) else pytest.approx(each[1], abs=1e-12)
            assert ours("f1", gold, told, labels) == expected
            undefined += expected is None
    assert classes is None or 5 < undefined < SETS - 1000


@pytest.mark.parametrize("classes", [2, None])
def test_matthews_is_scikit_learns_and_its_definition(classes: int | None) -> None:
    """scikit-learn answers 0 where it would divide by nothing; there we have no value."""
    from sklearn.metrics import matthews_corrcoef

    undefined = 0
    for gold, told, labels in class_sets(classes=classes):
        value, exact = ours("matthews", gold, told, labels), r_of_k_classes(gold, told, labels)
        theirs = matthews_corrcoef(gold, told)
        assert classes == 2 or ours("r3", gold, told, labels) == value  # GLUE's name of it for three
        if exact is None:
            assert value is None and theirs == 0
            undefined += 1
        else:
            assert value == pytest.approx(exact, abs=1e-12) == pytest.approx(theirs, abs=1e-12)
    assert SETS / 20 < undefined < SETS - 1000


def test_accuracy_of_classes_of_choices_and_of_words() -> None:
    from sklearn.metrics import accuracy_score

    rng = np.random.default_rng(5)
    for named, said, labels in class_sets():
        assert ours("accuracy", named, said, labels) == pytest.approx(accuracy_score(named, said), abs=1e-15)
        gold, told = rng.integers(0, 4, (2, int(rng.integers(1, 9)))).tolist()
        expected = pytest.approx(accuracy_score(gold, told), abs=1e-15)
        assert ours("accuracy", gold, told) == expected
        sides = [tuple(map(str, part)) for part in np.array_split(gold, 3)]
        guesses = [tuple(map(str, part)) for part in np.array_split(told, 3)]
        assert ours("accuracy", sides, guesses) == expected


# --- scores -------------------------------------------------------------------------------------


def score_sets() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """With ties, constant or nearly so, huge, tiny, far from zero, with nan and infinities."""
    rng = np.random.default_rng(62)
    for n in range(SETS):
        size = int(rng.choice([2, 3, 4, 7, 12, 30])) if n % 40 else 1
        gold = rng.integers(0, 26, size) / 5
        told = rng.choice([0.0, 0.3, 1.0]) * gold + rng.normal(size=size)
        kind = n % 20
        if kind == 0:
            told = rng.integers(0, 3, size).astype(float)
        elif kind == 1:
            told = np.full(size, rng.choice([0.0, -0.0, 2.5, 0.1, 1e300]))
        elif kind == 2:
            told *= 10.0 ** rng.integers(290, 308)
        elif kind == 3:
            told *= 10.0 ** -rng.integers(290, 306)
        elif kind == 4:
            told += 10.0 ** rng.integers(3, 17)
        elif kind == 5:
            told[rng.integers(0, size)] = rng.choice([np.nan, np.inf, -np.inf])
        elif kind == 6:
            gold, told = -told, gold
        elif kind == 7:
            told[: size // 2] *= 1e12
        elif kind == 8:
            gold = np.full(size, 3.4)
        yield gold, told


def exact_pearson(x: np.ndarray, y: np.ndarray) -> float | None:
    """Pearson's correlation in whole fractions: no sum overflows, and nothing is rounded before the end."""
    first, second = [Fraction(value) for value in x.tolist()], [Fraction(value) for value in y.tolist()]
    away = [[value - sum(side) / len(side) for value in side] for side in (first, second)]
    xy, xx, yy = (
        sum(a * b for a, b in zip(away[i], away[j], strict=True)) for i, j in ((0, 1), (0, 0), (1, 1))
    )
    return ratio(xy, xx, yy)


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """By counting: how many are less, and half of the others that are as large."""
    less = (values[None] < values[:, None]).sum(1)
    same = (values[None] == values[:, None]).sum(1)
    return less + (same + 1) / 2


def scipys(function: Callable[..., Any], gold: np.ndarray, told: np.ndarray) -> tuple[float, bool]:
    """scipy's figure, and whether it warned."""
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        value = float(function(gold, told).statistic)
    return value, bool(raised)


def test_pearson_is_scipys_and_exact() -> None:
    """Undefined where scipy has no value; or, where what varies is rounding, at most where scipy warns."""
    from scipy import stats

    undefined = warned_only = 0
    for gold, told in score_sets():
        value = ours("pearson", gold, told)
        if not np.isfinite([gold, told]).all() or len(gold) == 1:
            assert value is None
            undefined += 1
            continue
        exact = exact_pearson(gold, told)
        theirs, warned = scipys(stats.pearsonr, gold, told)
        if exact is None or value is None:
            assert value is None and (warned or math.isnan(theirs))
            undefined += 1
        elif warned:
            warned_only += 1
            assert value == pytest.approx(exact, abs=1e-2)
        else:
            assert value == pytest.approx(exact, abs=1e-4) == pytest.approx(theirs, abs=2e-4)
            if np.ptp(told) > 1e-6 * np.abs(told).max():
                assert value == pytest.approx(exact, abs=1e-9) == pytest.approx(theirs, abs=1e-9)
    assert SETS / 10 < undefined < SETS - 1000 and warned_only < SETS / 50


def test_spearman_is_scipys_and_exact() -> None:
    """Infinities could be ranked, as scipy does; no model means them as an answer, so there is no figure."""
    from scipy import stats

    undefined = 0
    for gold, told in score_sets():
        value = ours("spearman", gold, told)
        if not np.isfinite([gold, told]).all() or len(gold) == 1:
            assert value is None
            undefined += 1
            continue
        exact = exact_pearson(mean_ranks(gold), mean_ranks(told))
        theirs, warned = scipys(stats.spearmanr, gold, told)
        if exact is None:
            assert value is None and (warned or math.isnan(theirs))
            undefined += 1
        else:
            assert value == pytest.approx(exact, abs=1e-12) == pytest.approx(theirs, abs=1e-9)
    assert SETS / 10 < undefined < SETS - 1000


# --- entities -----------------------------------------------------------------------------------

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
Sentences = list[tuple[str, ...]]


def tag_sets() -> Iterator[tuple[Sentences, Sentences]]:
    """A few sentences; predictions are drawn, or gold's with some tags changed, so that many are broken."""
    rng = random.Random(63)
    for n in range(SETS):
        gold, told = [], []
        for _ in range(rng.randint(1, 4)):
            size = rng.randint(1, 9)
            tags = rng.choices(TAGS, weights=[n % 4 + 1, 1, 2, 1, 1], k=size)
            changed = [rng.choice(TAGS) if rng.random() < 0.3 else tag for tag in tags]
            gold.append(tuple(tags))
            told.append(tuple(rng.choice([changed, tags, rng.choices(TAGS, k=size), ["O"] * size])))
        yield gold, told


def mended(tags: Sequence[str]) -> tuple[str, ...]:
    """Every entity begins with B-, as IOB2 has it."""
    found = list[str]()
    for tag in tags:
        last = found[-1] if found else "O"
        found.append(f"B-{tag[2:]}" if tag[0] == "I" and last[2:] != tag[2:] else tag)
    return tuple(found)


def conlleval(gold: Sentences, told: Sentences) -> float | None:
    """The shared task's script in its own manner: one pass down two columns. An entity is right if both columns begin
    it at one word with one type, and end it at one word. It ends before a B-, an O, or another type; it begins with a
    B-, after an O, or with another type."""
    right = true = said = 0
    for tags, guesses in zip(gold, told, strict=True):
        before = [("O", ""), ("O", "")]
        both = False  # the two columns have been in the same entity from its first word on
        for pair in [*zip(tags, guesses, strict=True), ("O", "O")]:
            now = [("O", "") if tag == "O" else (tag[0], tag[2:]) for tag in pair]
            changes = list(zip(before, now, strict=True))
            ends = [last[0] != "O" and (place in "BO" or last[1] != kind) for last, (place, kind) in changes]
            starts = [
                place == "B" or (place == "I" and (last[0] == "O" or last[1] != kind))
                for last, (place, kind) in changes
            ]
            if both and any(ends):
                right += all(ends)
                both = False
            if both and now[0][1] != now[1][1]:
                both = False
            both = both or (all(starts) and now[0][1] == now[1][1])
            true, said = true + starts[0], said + starts[1]
            before = now
    if not true + said:
        return None
    precision, recall = right / max(1, said), right / max(1, true)
    return 2 * precision * recall / (precision + recall) if right else 0.0


def theirs_of(gold: Sentences, told: Sentences, **mode: Any) -> float:
    seqeval = pytest.importorskip("seqeval.metrics", reason="needs seqeval, of the dev extra")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(seqeval.f1_score([*map(list, gold)], [*map(list, told)], zero_division=0, **mode))


def test_entity_f1_is_conllevals_whatever_is_broken() -> None:
    undefined = 0
    for gold, told in tag_sets():
        expected = conlleval(gold, told)
        undefined += expected is None
        assert ours("entity_f1", gold, told) == (expected and pytest.approx(expected, abs=1e-12))
    assert 5 < undefined < SETS / 10


def test_entity_f1_is_seqevals_default_whatever_is_broken() -> None:
    for gold, told in tag_sets():
        value = ours("entity_f1", gold, told)
        assert (value or 0.0) == pytest.approx(theirs_of(gold, told), abs=1e-12)


def test_entity_f1_is_seqevals_strict_mode_where_every_entity_begins_with_b() -> None:
    """Strict mode drops what an I- begins, as if it were not told. conlleval counts it, and so do we."""
    from importlib import import_module

    pytest.importorskip("seqeval", reason="needs seqeval, of the dev extra")
    strict = {"mode": "strict", "scheme": import_module("seqeval.scheme").IOB2}
    apart = 0
    for gold, told in tag_sets():
        if not any(tag != "O" for tags in (*gold, *told) for tag in tags):
            continue  # seqeval's strict mode does not take a set without an entity
        whole = [[*map(mended, side)] for side in (gold, told)]
        assert ours("entity_f1", *whole) == pytest.approx(theirs_of(*whole, **strict), abs=1e-12)
        broken = theirs_of(gold, told, **strict)
        apart += ours("entity_f1", gold, told) != pytest.approx(broken, abs=1e-12)
    assert apart > SETS / 4
    assert ours("entity_f1", [("B-PER", "I-PER")], [("I-PER", "I-PER")]) == 1.0
    assert theirs_of([("B-PER", "I-PER")], [("I-PER", "I-PER")], **strict) == 0.0
