"""Paired differences: sums equal the metrics, tests equal scipy and cases worked by hand, and the interval covers."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lmcompare import metrics, paired, registry
from lmcompare.resampling import FORMS, prepare

AB = ("no", "yes")
ABC = ("a", "b", "c")
TAGS = ("O", "B-X", "I-X", "B-Y", "I-Y")


def interval(metric: str, gold: Any, a: Any, b: Any, labels: Any = (), **more: Any) -> paired.Interval | None:
    return paired.interval(*sides(metric, gold, a, b, labels), **more)


def permutation(metric: str, gold: Any, a: Any, b: Any, labels: Any = (), **more: Any) -> float | None:
    return paired.permutation(*sides(metric, gold, a, b, labels), **more)


def sides(metric: str, gold: Any, a: Any, b: Any, labels: Any) -> Any:
    return [[prepare(metric, gold, told, labels) for told in seeds] for seeds in (a, b)]


def answers_of(metric: str, size: int, seed: int) -> tuple[list[Any], list[Any], tuple[str, ...]]:
    """Gold and predictions of the kind that the metric takes, right about half of the time."""
    chance = np.random.default_rng(seed)

    def draw(names: tuple[str, ...]) -> list[str]:
        return [str(name) for name in chance.choice(names, size)]

    if metric in ("pearson", "spearman"):
        gold = chance.integers(0, 6, size).astype(float)
        return list(gold), list(np.round(gold + chance.normal(0, 2, size))), ()
    if metric in ("entity_f1", "role_f1"):
        rows = [[tuple(chance.choice(TAGS, 5).tolist()) for _ in range(size)] for _ in range(2)]
        return rows[0], [a if chance.random() < 0.3 else b for a, b in zip(*rows, strict=True)], TAGS
    if metric.startswith(("answer", "unanswer", "span", "exact")):
        words = ("the cat", "a dog ran", "dog", "cat sat", "far away")
        gold = [(word,) for word in draw(words)]
        if "answer" in metric:
            gold = [() if chance.random() < 0.3 else one for one in gold]
        told = [word if chance.random() < 0.8 else "" for word in draw(words)]
        return gold, told, ()
    labels = AB if metric == "f1" else ABC
    gold = draw(labels)
    return gold, [a if chance.random() < 0.4 else b for a, b in zip(gold, draw(labels), strict=True)], labels


@pytest.mark.parametrize("metric", sorted(FORMS.keys() | {"spearman"}))
def test_sums_are_the_metric_itself_for_any_resample(metric: str) -> None:
    gold, told, labels = answers_of(metric, 60, 1)
    chance = np.random.default_rng(2)
    weights = np.stack([np.ones(60, int), *chance.multinomial(60, np.full(60, 1 / 60), 20)])
    values = prepare(metric, gold, told, labels).weighed(weights.astype(float))
    for row, value in zip(weights, values, strict=True):
        chosen = np.repeat(np.arange(60), row)
        again = registry.metrics.get(metric)([gold[i] for i in chosen], [told[i] for i in chosen], labels)
        assert value == pytest.approx(again, abs=1e-9)


def test_every_metric_can_be_resampled() -> None:
    assert set(registry.metrics.names()) == FORMS.keys() | {"spearman"}


def test_undefined_is_nan_in_sums_too() -> None:
    same = ["no"] * 4
    assert np.isnan(prepare("matthews", same, ["no", "yes"] * 2, AB).weighed(np.ones((1, 4)))).all()
    assert np.isnan(prepare("f1", same, same, AB).weighed(np.ones((1, 4)))).all()
    for metric in ("pearson", "spearman"):
        assert np.isnan(prepare(metric, [1.0, 2.0], [3.0, 3.0], ()).weighed(np.ones((1, 2)))).all()
    assert interval("matthews", same, [same], [same], AB) is None
    assert permutation("matthews", same, [same], [same], AB) is None


def test_mcnemar_and_flips_by_hand() -> None:
    gold = ["yes"] * 10
    a = ["yes"] * 9 + ["no"]
    b = ["yes"] * 2 + ["no"] * 8
    # 7 of 7 changed for the better: 2 · (1/2)^7
    assert paired.mcnemar(gold, a, b) == pytest.approx(2 / 2**7)
    assert paired.mcnemar(gold, a, a) == 1.0
    found = paired.flips(gold, [a, b], [b, a], lambda g, x: bool(g == x))
    assert (found.a_right, found.b_right, found.differ) == (3.5, 3.5, 7.0)


def test_the_permutation_test_is_exact_in_the_long_run() -> None:
    """For accuracy with one seed the difference depends on the changed answers alone: a sign test."""
    gold = ["yes"] * 40
    a = ["yes"] * 30 + ["no"] * 10
    b = ["yes"] * 22 + ["no"] * 8 + ["yes"] * 2 + ["no"] * 8
    exact = stats.binomtest(8, 10).pvalue
    assert paired.mcnemar(gold, a, b) == pytest.approx(exact)
    assert permutation("accuracy", gold, [a], [b], AB, draws=20000) == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize("metric", ["accuracy", "pearson", "spearman", "macro_f1"])
def test_the_permutation_test_against_scipy(metric: str) -> None:
    gold, a, labels = answers_of(metric, 40, 3)
    b = answers_of(metric, 40, 4)[1]

    def apart(x: Any, y: Any, axis: int = -1) -> float:
        def value(told: Any) -> float:
            kind = float if metric in ("pearson", "spearman") else str
            return float(registry.metrics.get(metric)(gold, [kind(t) for t in told], labels))

        return value(x) - value(y)

    theirs = stats.permutation_test(
        (a, b), apart, permutation_type="samples", n_resamples=2000, vectorized=False, random_state=0
    )
    ours = permutation(metric, gold, [a], [b], labels, draws=4000)
    assert ours == pytest.approx(theirs.pvalue, abs=0.04)


def test_one_seed_is_the_bootstrap_over_examples() -> None:
    gold, a, labels = answers_of("accuracy", 200, 5)
    b = answers_of("accuracy", 200, 6)[1]
    found = interval("accuracy", gold, [a], [b], labels, draws=4000)
    assert found and found.low is not None and found.high is not None and "one seed" in (found.reason or "")
    right = np.array([[x == g, y == g] for g, x, y in zip(gold, a, b, strict=True)], float)
    theirs = stats.bootstrap((right[:, 0] - right[:, 1],), np.mean, method="basic", n_resamples=4000, rng=1)
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.015)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.015)


def test_same_key_same_bounds_and_other_signs_the_other_way_round() -> None:
    gold, a, labels = answers_of("matthews", 80, 7)
    b, c = answers_of("matthews", 80, 8)[1], answers_of("matthews", 80, 9)[1]
    first, again = (interval("matthews", gold, [a, b], [b, c], labels) for _ in range(2))
    turned = interval("matthews", gold, [b, c], [a, b], labels)
    assert first == again and first and turned
    assert first.difference == pytest.approx(-turned.difference)
    assert first.low is not None and turned.high is not None
    assert first.low == pytest.approx(-turned.high, abs=1e-9)


def test_holm_by_hand() -> None:
    assert paired.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    # 5 · 0.01, 4 · 0.02, 3 · 0.03; then 2 · 0.04 and 1 · 0.05 would be lower than the one before
    assert paired.holm([0.05, 0.04, 0.03, 0.02, 0.01]) == pytest.approx([0.09, 0.09, 0.09, 0.08, 0.05])
    assert paired.holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert paired.holm([0.2]) == [0.2]
    assert paired.holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert paired.holm([]) == []


def test_holm_is_bonferroni_closed() -> None:
    """A hypothesis falls where every set that it is in falls by Bonferroni: the rule's own reason, set by set."""
    chance = np.random.default_rng(14)
    for size in (1, 2, 3, 4, 5, 6):
        values = [float(p) for p in chance.random(size) ** 3]
        sets = [some for n in range(1, size + 1) for some in itertools.combinations(range(size), n)]
        expected = [
            max(min(1.0, len(some) * min(values[i] for i in some)) for some in sets if place in some)
            for place in range(size)
        ]
        assert paired.holm(values) == pytest.approx(expected)


def test_holm_and_mcnemar_are_those_of_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    values = [0.001, 0.2, 0.013, 0.04, 0.013]
    assert paired.holm(values) == pytest.approx(list(multitest.multipletests(values, method="holm")[1]))
    gold, a, b = ["yes"] * 20, ["yes"] * 12 + ["no"] * 8, ["no"] * 9 + ["yes"] * 5 + ["no"] * 6
    expected = tables.mcnemar([[3, 9], [2, 6]], exact=True).pvalue
    assert paired.mcnemar(gold, a, b) == pytest.approx(expected)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (1, 1), (3, 9), (9, 3), (0, 12), (40, 25), (7, 7)])
def test_mcnemar_is_the_sum_of_the_binomial_s_tails(only_a: int, only_b: int) -> None:
    gold = ["yes"] * (only_a + only_b + 4)
    a = ["yes"] * only_a + ["no"] * only_b + ["yes", "yes", "no", "no"]
    b = ["no"] * only_a + ["yes"] * only_b + ["yes", "yes", "no", "no"]
    changed, fewer = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(changed, k) for k in range(fewer + 1)) / 2**changed
    assert paired.mcnemar(gold, a, b) == pytest.approx(min(1.0, 2 * tail))
    assert paired.mcnemar(gold, a, b) == pytest.approx(stats.binomtest(only_a, changed).pvalue)


def test_verdicts() -> None:
    def one(low: float | None, high: float | None) -> paired.Interval:
        return paired.Interval(0.0, low, high, 3, 100)

    assert paired.verdict(one(0.01, 0.05), None) == "win"
    assert paired.verdict(one(-0.05, -0.01), None) == "loss"
    assert paired.verdict(one(-0.01, 0.02), None) == "open"
    assert paired.verdict(one(-0.01, 0.02), 0.02) == "equal"
    assert paired.verdict(one(0.001, 0.02), 0.02) == "equal"
    assert paired.verdict(one(None, None), 1.0) == "open"
    # Where there is a p, over all tasks that were tested, it has a say in it.
    for said, p, left in (
        ("win", 0.05, "win"),
        ("win", 0.14, "open"),
        ("loss", 0.051, "open"),
        ("loss", None, "loss"),
        ("equal", 0.9, "equal"),
        ("open", 0.001, "open"),
    ):
        assert paired.corrected(said, p) == left


def test_ranks_and_critical_difference_of_demsar() -> None:
    # Demšar 2006, §3.2.2: four classifiers on 14 data sets, q₀.₀₅ = 2.569.
    assert paired.critical_difference(4, 14) == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), abs=2e-3)
    assert paired.average_ranks([[0.9, 0.8, 0.7], [0.5, 0.6, 0.5]]) == [1.75, 1.5, 2.75]


# --- does the interval cover? ------------------------------------------------------------------------


def drawn(chance: np.random.Generator, seeds: int, examples: int, of_seeds: float, shift: float) -> Any:
    """Two arms with hard and easy examples, an arm's own way with each of them, and good and bad seeds."""
    hard_N = chance.normal(0, 1.5, examples)
    arms = []
    for arm in range(2):
        own_N = chance.normal(0, 0.7, examples)
        seed_S = chance.normal(0, of_seeds, (seeds, 1))
        logit_SN = 0.7 + shift * arm + hard_N + own_N + seed_S
        right_SN = chance.random((seeds, examples)) < 1 / (1 + np.exp(-logit_SN))
        arms.append([["yes" if right else "no" for right in row] for row in right_SN])
    return arms


def truth(of_seeds: float, shift: float) -> float:
    """The expected difference: the logistic function under the sum of the normal parts."""
    spread = math.sqrt(1.5**2 + 0.7**2 + of_seeds**2)
    places, weights = np.polynomial.hermite_e.hermegauss(80)

    def share(center: float) -> float:
        return float((weights / (1 + np.exp(-(center + spread * places)))).sum() / weights.sum())

    return share(0.7) - share(0.7 + shift)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "of_seeds", "shift"), [(3, 0.3, 0.4), (3, 0.6, 0.4), (5, 0.3, 0.0), (10, 0.6, 0.4)]
)
def test_the_interval_covers_the_truth_in_93_to_97_percent(seeds: int, of_seeds: float, shift: float) -> None:
    chance, examples, trials = np.random.default_rng(11), 120, 2000
    gold, expected, covered = ["yes"] * examples, truth(of_seeds, shift), 0
    for trial in range(trials):
        a, b = drawn(chance, seeds, examples, of_seeds, shift)
        found = interval("accuracy", gold, a, b, AB, draws=400, key=trial)
        assert found and found.low is not None and found.high is not None
        covered += found.low <= expected <= found.high
    assert 0.93 <= covered / trials <= 0.97


def crossed(chance: np.random.Generator, seeds: int, orders: int, examples: int) -> tuple[Any, float]:
    """Every seed with every order: a seed's own level, an order's, and what the two do together. Also the truth for
    these orders."""
    hard_N, arms, truths = chance.normal(0, 1.5, examples), [], []
    spread = math.sqrt(1.5**2 + 0.7**2 + 0.5**2 + 0.1**2)
    places, weights = np.polynomial.hermite_e.hermegauss(80)
    for arm in range(2):
        own_N, seed_S = chance.normal(0, 0.7, examples), chance.normal(0, 0.5, seeds)
        order_O, both_SO = chance.normal(0, 0.1, orders), chance.normal(0, 0.1, (seeds, orders))
        middle_SO = 0.7 + 0.4 * arm + seed_S[:, None] + order_O + both_SO
        logit_RN = middle_SO.reshape(-1, 1) + hard_N + own_N
        right_RN = chance.random(logit_RN.shape) < 1 / (1 + np.exp(-logit_RN))
        arms.append([["yes" if right else "no" for right in row] for row in right_RN])
        shares = [weights / (1 + np.exp(-(0.7 + 0.4 * arm + o + spread * places))) for o in order_O]
        truths.append(float(np.sum(shares) / weights.sum() / orders))
    return arms, truths[0] - truths[1]


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "orders"), [(3, 3), (3, 5)])
def test_the_interval_covers_where_seeds_and_orders_are_crossed(seeds: int, orders: int) -> None:
    chance, examples, trials = np.random.default_rng(15), 120, 600
    gold, covered = ["yes"] * examples, {"together": 0, "apart": 0}
    draws = [(seed, order) for seed in range(seeds) for order in range(orders)]
    groups = paired.drawn_together(draws)
    for trial in range(trials):
        (a, b), expected = crossed(chance, seeds, orders, examples)
        for name, some in (("together", groups), ("apart", draws)):
            found = interval("accuracy", gold, a, b, AB, groups=some, draws=300, key=trial)
            assert found and found.low is not None and found.high is not None
            covered[name] += found.low <= expected <= found.high
    # With three seeds that matter so much it is a little under: 0.926 to 0.931 in three times 1500.
    assert 0.9 <= covered["together"] / trials <= 0.975
    assert covered["apart"] / trials < 0.9, "as so many seeds, the runs would say too much"


def test_a_seed_stands_with_the_mean_over_its_orders() -> None:
    draws = [(1, None), (1, 8), (2, 7), (2, 8), (2, 9)]
    assert paired.averaged([0.1, 0.3, 0.5, 0.6, 0.7], draws) == pytest.approx([0.2, 0.6])
    assert paired.averaged([0.1, 0.3], [(1, None), (1, 8)]) == [0.1, 0.3]
    assert paired.averaged([], []) == []
    gold, a, labels = answers_of("accuracy", 60, 20)
    b, c, d = (answers_of("accuracy", 60, seed)[1] for seed in (21, 22, 23))
    once = interval("accuracy", gold, [a, b], [c, d], labels)
    again = interval("accuracy", gold, [a, a, b], [c, c, d], labels, groups=[1, 1, 2])
    assert once and again and once.seeds == again.seeds == 2
    assert [getattr(again, key) for key in ("difference", "low", "high")] == pytest.approx(
        [getattr(once, key) for key in ("difference", "low", "high")]
    )
    test = permutation("accuracy", gold, [a, a, b], [c, c, d], labels, groups=[1, 1, 2], draws=4000)
    assert test == pytest.approx(permutation("accuracy", gold, [a, b], [c, d], labels, draws=4000), abs=0.04)


def test_metrics_of_the_room_say_undefined_where_sums_say_nan() -> None:
    for metric in sorted(FORMS):
        gold, told, labels = answers_of(metric, 3, 12)
        value = metrics.evaluate([metric], gold, told, labels)[0][metric]
        summed = float(prepare(metric, gold, told, labels).weighed(np.ones((1, 3)))[0])
        assert (value is None) == math.isnan(summed)
