"""The sentences on top about pairs of arms that were held answer by answer."""

from dataclasses import replace

import pytest

from lmcompare.comparison import Comparison, Contest, Paired
from lmcompare.differences import contests
from lmcompare.report.contested import beaten, listed, tally
from lmcompare.report.headline import between_ways, headline
from lmcompare.statistics import summarize
from tests.fake_runs import Row, finished

VERDICTS = {"win": 0.05, "loss": -0.05, "equal": 0.001, "open": 0.01}


def held(
    verdicts: list[str], pairs: tuple[tuple[str, str], ...] = (("tuned", "features"),), around: float = 0.0019
) -> Comparison:
    """Tasks t0, t1, … with these outcomes for every pair."""
    arms = dict.fromkeys(arm for pair in pairs for arm in pair)
    rows = [finished(arm, f"t{i}", 1, 0.5, kind=arm) for i in range(len(verdicts)) for arm in arms]
    paired = tuple(
        Paired(a, b, f"t{i}", 1, examples=9, difference=VERDICTS[said], verdict=said,
               low=VERDICTS[said] - around, high=VERDICTS[said] + around)
        for a, b in pairs
        for i, said in enumerate(verdicts)
    )  # fmt: skip
    return replace(summarize(rows, title="t"), paired=paired, contests=contests(paired))


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        (["win"] * 5 + ["equal"] * 2 + ["open"],
         "tuned beats features on 5 of 8 tasks: 3.3 points ahead on average; on t5 and t6 they are equal within "
         "0.3 points; 1 task is open."),
        (["loss"] * 2 + ["win"],
         "features beats tuned on 2 of 3 tasks and loses on 1: 1.7 points ahead on average."),
        (["open"] * 2,
         "tuned and features are told apart on none of 2 tasks; tuned is 1.0 point ahead on average; "
         "2 tasks are open."),
        (["win"], "tuned beats features on t0 by 5.0 points."),
        (["loss"], "features beats tuned on t0 by 5.0 points."),
        (["equal"], "On t0, tuned and features are equal within 0.3 points."),
        (["open"], "On t0, tuned is 1.0 point ahead of features, which may be chance."),
    ],
)  # fmt: skip
def test_who_beats_whom(verdicts: list[str], sentence: str) -> None:
    comparison = held(verdicts)
    assert beaten(comparison, comparison.contests[0]) == sentence
    assert headline(comparison)[0] == sentence


def test_the_mean_may_lie_the_other_way() -> None:
    assert tally("a", "b", (2, 1), -0.012, "4 tasks", "on average") == (
        "a beats b on 2 of 4 tasks and loses on 1: 1.2 points behind on average"
    )
    assert tally("a", "b", (1, 1), -0.012, "4 tasks", "on average").startswith("b beats a on 1 of 4 tasks")
    assert tally("a", "b", (1, 1), 0.0, "4 tasks", "on average").endswith("loses on 1: level on average")


def test_a_task_that_only_one_of_them_has_is_not_counted() -> None:
    comparison = held(["win"] * 3)
    first, second, third = comparison.paired
    paired = (first, replace(second, difference=None, low=None, high=None, reason="nothing to pair"), third)
    told = beaten(replace(comparison, paired=paired), contests(paired)[0])
    assert told == (
        "tuned beats features on 2 of 2 tasks whose answers could be held against each other: 5.0 points ahead on "
        "average."
    )
    # One that only one of them has is another matter.
    cells = tuple(
        replace(cell, mean=None) if (cell.arm, cell.task) == ("features", "t1") else cell
        for cell in comparison.cells
    )
    told = beaten(replace(comparison, paired=paired, cells=cells), contests(paired)[0])
    assert told == "tuned beats features on 2 of 2 tasks that both have: 5.0 points ahead on average."


def test_both_ways_over_several_models() -> None:
    pairs = (("a tuned", "a features"), ("b tuned", "b features"))
    comparison = held(["win", "loss", "loss"], pairs)
    assert between_ways(comparison, pairs) == [
        "Feature extraction beats fine-tuning on 4 of 6 pairs of a model and a task and loses on 2: "
        "1.7 points ahead on average over 2 models."
    ]
    assert between_ways(held(["win", "equal", "open"], pairs), pairs) == [
        "Fine-tuning beats feature extraction on 2 of 6 pairs of a model and a task: 2.0 points ahead on average over "
        "2 models; on t1 they are equal within 0.3 points; 2 pairs are open."
    ]
    doubted = between_ways(held(["win", "loss", "loss"], pairs, around=0.05), pairs)[0]
    assert doubted.endswith("on average over 2 models, which may be chance.")
    assert between_ways(comparison, pairs[:1]) == []


def test_many_pairs_are_not_all_put_into_sentences() -> None:
    pairs = tuple((f"a{i}", f"b{i}") for i in range(5))
    assert "beats" not in " ".join(headline(held(["win"], pairs)))
    assert " ".join(headline(held(["win"], pairs[:2]))).count("beats") == 2


def study(*arms: tuple[str, str, str, str, dict[str, float]], seeds: int = 2) -> list[Row]:
    """Arms (name, backend, kind, weights) with a value a task."""
    return [
        finished(name, task, seed, value + seed / 1000, kind=kind, backend=backend, weights=weights)
        for name, backend, kind, weights, tasks in arms
        for task, value in tasks.items()
        for seed in range(1, seeds + 1)
    ]


def against(comparison: Comparison, *found: tuple[str, str, float, float]) -> Comparison:
    """The pairs (a, b, difference, how far its interval goes), alike on every task."""
    paired = tuple(
        Paired(a, b, task.name, 2, examples=9, difference=size, low=size - far, high=size + far)
        for a, b, size, far in found
        for task in comparison.tasks
    )
    return replace(comparison, paired=paired, contests=contests(paired))


def test_what_pretraining_is_worth_names_who_has_it_and_how_sure_it_is() -> None:
    found = summarize(
        study(
            ("A tuned", "bert", "finetune", "pretrained", {"x": 0.8, "y": 0.7}),
            ("A random", "bert", "finetune", "random", {"x": 0.5, "y": 0.5}),
            ("B tuned", "gpt", "finetune", "pretrained", {"x": 0.6, "y": 0.6}),
            ("B random", "gpt", "finetune", "random", {"x": 0.5}),
            ("A read", "bert", "features", "pretrained", {"x": 0.6, "y": 0.6}),
            ("GloVe", "static", "features", "pretrained", {"x": 0.7, "y": 0.7}),
        ),
        title="t",
    )
    assert headline(found)[:5] == [
        "Pretraining is worth 25.0 points to A tuned, on average over 2 tasks.",
        "2 seeds of A tuned and of A random have every task; by seed the difference is +25.0 to +25.0.",
        "B tuned is 10.0 points ahead of B random over 1 of 2 tasks.",
        "A tuned is 15.0 points ahead of A read over 2 tasks.",
        "Plain word vectors (GloVe) are 10.0 points ahead of A read.",
    ]
    sure = against(found, ("A tuned", "A random", 0.2, 0.01), ("A read", "GloVe", 0.05, 0.1))
    assert headline(sure)[0] == (
        "Pretraining is worth 20.0 points to A tuned, on average over 2 tasks (95 %: 19.3 to 20.7)."
    )
    assert "A read is 5.0 points ahead of plain word vectors (GloVe), which may be chance." in headline(sure)
    worse = against(found, ("A random", "A tuned", 0.2, 0.4))
    assert headline(worse)[0] == (
        "Pretraining costs A tuned 20.0 points, on average over 2 tasks (95 %: −8.3 to 48.3), which may be chance."
    )


def test_without_random_starts_the_first_sentence_is_on_both_ways_and_their_cost() -> None:
    both = {"x": 0.8, "y": 0.7}
    arms = [(f"{model} {kind}", model, kind, "pretrained", both) for model in ("bert", "gpt")
            for kind in ("finetune", "features")]  # fmt: skip
    costs = {"finetune": 36.0, "features": 9.0}

    def told(several: list[tuple[str, str, str, str, dict[str, float]]]) -> list[str]:
        rows = study(*several, ("bow", "bow", "baseline", None, both))  # type: ignore[arg-type]
        for _, record in rows:
            assert record.result
            record.result.update(seconds=costs.get(record.result["kind"], 1.0), device="cpu, 1 threads")
        pairs = [(f"{m} finetune", f"{m} features", 0.05, 0.01) for m in ("bert", "gpt")][: len(several) // 2]
        paired = against(summarize(rows, title="t"), *pairs)
        won = tuple(replace(one, verdict="win") for one in paired.paired)
        return headline(replace(paired, paired=won, contests=contests(won)))

    first, *others = told(arms)
    assert first == (
        "Fine-tuning beats feature extraction on 4 of 4 pairs of a model and a task: 5.0 points ahead on average over "
        "2 models; feature extraction takes a quarter of the time of fine-tuning (9 s a run against 36 s)."
    )
    assert "gpt finetune beats gpt features on 2 of 2 tasks: 5.0 points ahead on average." in others
    first, *others = told(arms[:2])
    assert first == (
        "bert finetune beats bert features on 2 of 2 tasks: 5.0 points ahead on average; bert features takes a quarter "
        "of the time of bert finetune (9 s a run against 36 s)."
    )
    assert not [sentence for sentence in others if "takes" in sentence or "leads" in sentence]


def test_a_difference_that_may_be_chance_says_so() -> None:
    doubtful = held(["win", "loss"], around=0.06)
    assert "level on average" in beaten(doubtful, doubtful.contests[0])
    doubtful = held(["win", "open", "open"], around=0.06)
    assert beaten(doubtful, doubtful.contests[0]) == (
        "tuned beats features on 1 of 3 tasks: 2.3 points ahead on average, which may be chance; 2 tasks are open."
    )


def test_means_over_other_seeds_contradict_no_pairs() -> None:
    """The one that is ahead seed by seed has the lower mean: its further seeds were unlucky ones."""
    rows = [finished("a", "x", seed, 0.5) for seed in (1, 2)]
    rows += [finished("b", "x", seed, value) for seed, value in ((1, 0.52), (2, 0.52), (3, 0.2))]
    found = summarize(rows, title="t")
    assert headline(found)[0] == (
        "a reaches 50.0 points on average over 1 task, b 41.3, each with seeds of its own."
    )
    said = headline(against(found, ("b", "a", 0.02, 0.05)))
    assert said[0] == "On x, b is 2.0 points ahead of a, which may be chance."
    assert not [sentence for sentence in said if "leads" in sentence or "reaches" in sentence]


def test_a_run_with_another_figure_is_not_said_to_have_an_undefined_one() -> None:
    rows = [finished("a", "x", seed, 0.5) for seed in (1, 2)] + [finished("b", "x", 1, 0.5, metric="f1")]
    assert headline(summarize(rows, title="t"))[-1] == (
        "Of 3 runs, 1 has no figure of this kind: they have no value and enter no mean."
    )
    found = headline(summarize([*rows, finished("b", "x", 2, None)], title="t"))
    assert "1 ended with an undefined figure, 1 has no figure of this kind" in found[-1]


def test_lists_of_names() -> None:
    assert [listed(list("abc")[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


def test_contests_are_plain() -> None:
    assert isinstance(held(["win"]).contests[0], Contest)
