"""Rows that cannot fairly be compared: each unlikeness by itself, alone among rows that are alike."""

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from lmcompare import config as configs
from lmcompare.comparison import APART, TOLD, UNFAIR, Comparison, Mark
from lmcompare.report.page import render
from lmcompare.report.table import print_table
from lmcompare.statistics import summarize
from tests.fake_runs import Row, failed, finished

HASHES = {"train": "t", "dev": "d", "test": "e"}
SIZES = {"train": 400, "dev": 100, "test": 200}


def row(arm: str, seed: int = 1, value: float | None = 0.5, task: str = "x", **more: Any) -> Row:
    """A run with all that the guard looks at; `config` and `identity` are laid over the record's own."""
    over, identity, log = (more.pop(key, None) for key in ("config", "identity", "log"))
    facts = {
        "data_hashes": HASHES,
        "examples": SIZES,
        "truncated": {},
        "device": "cpu, 1 threads",
        "model_hash": "m",
    }
    arm, record = finished(arm, task, seed, value, **{**facts, **more})
    table = {
        "backend": "bert",
        "model": "runs/one",
        "length": 64,
        "training": {"precision": "auto", "epochs": 3.0},
    }
    return arm, replace(
        record,
        config=configs.merge(configs.merge(record.config, table), over or {}),
        identity=identity or {"versions": {"lmcompare": "0.1.0"}},
        log=record.log if log is None else log,
    )


def of(*rows: Row) -> Comparison:
    return summarize(list(rows), title="t")


def against(**more: Any) -> list[Mark]:
    """The marks, where a third arm is unlike two that are alike; all of them must be its own."""
    kind = {"backend": "gpt"} if "config" not in more else {}
    found = of(row("a", kind="baseline"), row("b"), row("c", **{**kind, **more})).marks
    assert {mark.arm for mark in found} <= {"c"}, found
    return list(found)


def told(marks: list[Mark]) -> list[tuple[str, str]]:
    return [(mark.what, mark.level) for mark in marks]


def test_rows_that_are_alike_carry_no_mark() -> None:
    assert against() == []
    # What an arm is and how it learns is its own business.
    own = {
        "backend": "elmo",
        "model": "runs/two",
        "transfer": {"name": "features"},
        "optimizer": {"rate": 1.0},
    }
    assert against(config=own, backend="elmo", model_hash="other", kind="features") == []


@pytest.mark.parametrize(
    ("more", "what", "level", "reason"),
    [
        ({"data_hashes": {**HASHES, "test": "E"}}, "data", APART, "test is another version of the data"),
        ({"data_hashes": {**HASHES, "train": "T"}}, "data", UNFAIR, "train is another version of the data"),
        ({"data_hashes": {**HASHES, "dev": "D"}}, "data", TOLD, "dev is another version of the data"),
        (
            {"examples": {**SIZES, "train": 100}},
            "training examples",
            UNFAIR,
            "from 100 examples, others from 400",
        ),
        ({"truncated": {"test": 30}}, "truncation", UNFAIR, "15% of test is cut at 64 tokens"),
        ({"device": "NVIDIA H200"}, "precision", TOLD, "computed on NVIDIA H200"),
        ({"identity": {"versions": {"lmcompare": "0.0.9"}}}, "version", TOLD, "by lmcompare 0.0.9"),
        (
            {"warnings": ["not bit-identical to one uninterrupted run: threads 2 -> 1"]},
            "resumed",
            TOLD,
            "threads 2",
        ),
        ({"config": {"task": {"context": "document"}}}, "task setting", UNFAIR, "task.context"),
    ],
)
def test_each_unlikeness_has_its_mark(more: dict[str, Any], what: str, level: str, reason: str) -> None:
    if what == "task setting":
        usual = {"task": {"context": "sentence"}}
        found = list(
            of(row("a", config=usual), row("b", config=usual), row("c", **more, backend="gpt")).marks
        )
    else:
        found = against(**more)
    assert told(found) == [(what, level)]
    assert reason in found[0].reason and found[0].right


def test_a_hash_that_is_of_the_published_data_says_so() -> None:
    odd = {"data_hashes": {**HASHES, "test": "E"}, "data_state": {"test": "relabelled"}}
    (mark,) = against(**odd)
    assert mark.reason == "test is another version of the data, relabelled"


def test_a_few_cut_examples_are_no_reason() -> None:
    assert against(truncated={"test": 2}, config={"length": 32}) == []


def test_what_the_comparison_is_about_is_not_marked() -> None:
    """Two arms of one way of working that learn from other amounts: that is what they are there to show."""
    few = {"examples": {**SIZES, "train": 100}}
    assert of(row("a"), row("a, examples=100", **few)).marks == ()
    short = {"truncated": {"test": 90}, "config": {"length": 16}}
    assert of(row("a"), row("a, length=16", **short)).marks == ()
    # Never so with data: the same task is not the same there.
    assert told(list(of(row("a"), row("b", data_hashes={**HASHES, "test": "E"})).marks)) == [("data", APART)]


def test_what_follows_from_a_setting_is_not_said_twice() -> None:
    few = {
        "config": {"task": {"limit": 9}},
        "examples": {**SIZES, "train": 9},
        "data_hashes": {**HASHES, "train": "T"},
    }
    usual = {"config": {"task": {"limit": None}}}
    found = list(of(row("a", **usual), row("b", **usual), row("c", backend="gpt", **few)).marks)
    assert told(found) == [("task setting", UNFAIR)] and found[0].reason == "task.limit is 9, elsewhere null"


def test_header_stripping_and_context_explain_another_hash() -> None:
    kept = {"config": {"task": {"headers": True}}, "data_hashes": {key: f"{key}+" for key in HASHES}}
    bare = {"config": {"task": {"headers": False}}}
    found = list(
        of(row("a", **bare), row("b", backend="elmo", **bare), row("c", backend="gpt", **kept)).marks
    )
    assert told(found) == [("task setting", UNFAIR)]
    assert found[0].reason == "task.headers is true, elsewhere false (kept headers give a post's group away)"


def test_another_version_of_the_split_enters_no_mean() -> None:
    other = {"data_hashes": {**HASHES, "test": "E"}}
    rows = [row(arm, task=task, value=0.5) for arm in ("a", "b", "c") for task in ("x", "y")]
    rows += [row("d", task="x", value=0.99, **other), row("d", task="y", value=0.6)]
    found = of(*rows)
    assert found.cell("d", "x").mean == 0.99 and found.best("x") == 0.5
    means = {mean.arm: mean for mean in found.means}
    assert means["a"].mean == 0.5 and means["d"].mean is None
    assert means["d"].reason == "no value for x that could be compared"
    between = next(d for d in found.differences if (d.a, d.b) == ("d", "a"))
    assert between.mean == pytest.approx(0.1) and between.tasks == 1


def test_another_figure_is_never_mixed_in() -> None:
    found = of(row("a", value=0.5), row("b", value=0.6), row("c", value=0.9, metric="f1"))
    assert found.tasks[0].metric == "accuracy" and found.cell("c", "x").mean is None
    assert found.runs[2].undefined == "it has no accuracy on test, but f1 on test"
    assert told(list(found.marks)) == [("metric", APART)]
    # Which it has all the same, among its others.
    both = {"metrics": {"test": {"f1": 0.9, "accuracy": 0.7}}}
    found = of(row("a", value=0.5), row("b", value=0.6), row("c", value=0.9, metric="f1", **both))
    assert found.cell("c", "x").mean == 0.7 and told(list(found.marks)) == [("metric", TOLD)]


def test_another_split() -> None:
    found = of(row("a"), row("b"), row("c", value=0.9, split="dev"))
    assert found.tasks[0].split == "test" and found.cell("c", "x").mean is None
    assert [mark.what for mark in found.marks if mark.level == APART] == ["split"]


def test_one_name_for_two_checkpoints() -> None:
    found = list(of(row("a"), row("b", kind="features", model_hash="n")).marks)
    assert told(found) == [("start", UNFAIR)] and "runs/one held other weights" in found[0].reason
    two = row("b", kind="features", model_hash="n", config={"model": "runs/two"})
    (mark,) = of(row("a"), two).marks
    assert mark.reason == "starts from runs/two, and a from runs/one"
    assert of(row("a"), row("b", weights="random", model_hash="n")).marks == ()


def test_what_a_seed_draws_is_no_other_checkpoint() -> None:
    """GPT's marker tokens are drawn by each run's seed: the hash of all weights tells seeds apart, not checkpoints."""

    def runs(start: str | None, *arms: str, **more: Any) -> list[Row]:
        begun = {"start_hash": start} if start else {}
        return [
            row(arm, seed, backend="gpt", model_hash=f"{more.get('own', '')}{seed}", **begun)
            for arm in arms
            for seed in (1, 2)
        ]

    for start in ("s", None):
        assert of(*runs(start, "a", "b")).marks == ()
    # The checkpoint was made anew between the two: a new result says so by itself, an old one within a seed.
    for found in (
        of(*runs("s", "a"), *runs("t", "b", own="n")),
        of(*runs(None, "a"), *runs(None, "b", own="n")),
    ):
        assert told(list(found.marks)) == [("start", UNFAIR)] and found.marks[0].arm == "b"
    # Beside an old result, a new one is held to what both have.
    assert of(*runs("s", "a"), *runs(None, "b")).marks == ()


def test_old_runs_that_drew_some_layers_are_not_held_against_whole_ones() -> None:
    few = row("b", model_hash="n", config={"transfer_layers": 0})
    assert of(row("a"), few).marks == ()
    of_one = {"start_hash": "s"}
    assert (
        of(row("a", **of_one), row("b", **of_one, model_hash="n", config={"transfer_layers": 0})).marks == ()
    )


def test_a_model_that_was_taught_is_told() -> None:
    lineage = [
        {"did": "pretrain", "corpus": "c", "run": "p"},
        {"did": "finetune", "task": "mnli", "run": "q"},
    ]
    (mark,) = of(row("a"), row("b, from mnli", lineage=lineage, model_hash="n")).marks
    assert (mark.what, mark.level) == ("lineage", TOLD) and mark.reason.endswith("taught mnli")


def test_seeds_of_one_arm_share_their_settings() -> None:
    (mark,) = of(row("a"), row("a", 2, config={"training": {"epochs": 9.0}})).marks
    assert (mark.what, mark.level) == ("settings", UNFAIR)
    assert mark.reason == "its runs differ in training.epochs: 3.0, 9.0"


def test_unequal_seeds_are_counted_and_other_ones_named() -> None:
    rows = [row("a", seed) for seed in (1, 2, 3)] + [row("b", seed, backend="gpt") for seed in (1, 2)]
    (mark,) = of(*rows).marks
    assert (mark.arm, mark.what, mark.reason) == ("b", "seeds", "2 seeds, others have 3")
    (mark,) = of(*rows, row("b", 7, backend="gpt")).marks
    assert mark.reason.startswith("seeds 1, 2, 7, others 1, 2, 3")


def test_a_run_that_failed_is_no_seed_and_no_row() -> None:
    (mark,) = of(row("a"), row("a", 2), row("b", backend="gpt"), failed("b", "x", 2)).marks
    assert mark.reason == "1 seed, others have 2"


def test_the_step_chosen_on_the_reported_split_is_said_once() -> None:
    found = of(*(row(arm, task=task, split="dev") for arm in ("a", "b") for task in ("x", "y")))
    assert found.marks == ()
    assert [note for note in found.notes if "best step" in note] == [
        "x, y: the best step was chosen on dev, the split that is reported, so what was trained looks a little better "
        "than it is"
    ]
    once = row("b", split="dev", log=[{"step": 9, "split": "dev", "metrics": {}}])
    found = of(row("a", split="dev"), once)
    assert told(list(found.marks)) == [("choice", UNFAIR)] and not found.notes


def printed(comparison: Comparison, width: int) -> str:
    stream = io.StringIO()
    print_table(comparison, Console(file=stream, width=width))
    return stream.getvalue()


def test_the_terminal_has_a_sign_and_the_reason() -> None:
    other = {"data_hashes": {**HASHES, "test": "E"}}
    found = of(row("a"), row("b"), row("c", truncated={"test": 50}), row("d", value=0.99, **other))
    for width in (120, 30):
        text = " ".join(printed(found, width).split())
        assert "50.0 †" in text and "99.0 ‡" in text
        assert (
            "† c on x: 25% of test is cut at 64 tokens; of another arm's 0%. To be fair: a greater --set"
            in text
        )
        assert (
            "‡ left out of means, differences and ranks; † it counts, but cannot fairly be compared." in text
        )
    assert "†" not in printed(of(row("a"), row("b")), 80)


def test_the_page_and_the_json_have_them_all() -> None:
    nasty = "<script>alert(1)</script>"
    found = of(row("a"), row("b"), row(nasty, truncated={"test": 50}, backend="gpt"))
    page = render(found)
    assert "Not quite alike" in page and "25% of test is cut" in page and nasty not in page
    assert 'href="#alike"' in page and "Not quite alike" not in render(of(row("a"), row("b")))
    (mark,) = found.to_json()["marks"]
    assert set(mark) == {"arm", "task", "what", "level", "reason", "right"}
