"""Bad examples: labels, scores and splits that are not what they should be, each with its place."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lmcompare.errors import DataError
from lmcompare.registry import tasks
from lmcompare.tasks.checks import inspect
from lmcompare.types import Example, Task


def refused(folder: Path, name: str, place: str, says: str) -> None:
    """Loading the task's train split names the file, line and column, and what was seen."""
    task = tasks.build({"name": name}, folder.parent)
    with pytest.raises(DataError, match=says) as caught:
        task.load("train")
    assert re.match(rf"{re.escape(str(folder))}/train\.tsv:{place}: ", str(caught.value))
    assert caught.value.status == 3


def write(folder: Path, split: str, *rows: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{split}.tsv").write_text("\n".join(rows) + "\n")


# F31: labels


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("maybe", r"'maybe' is not a label \(rte has entailment, not_entailment\)"),
        ("", "label is missing"),
        ("1.0", "'1.0' is not a label"),
        ("Entailment", "did you mean 'entailment'"),
    ],
    ids=["unknown", "missing", "float", "case"],
)
def test_f31_labels(tmp_path: Path, label: str, says: str) -> None:
    header = "sentence1\tsentence2\tlabel"
    write(tmp_path / "RTE", "train", header, "ab\tcd\tentailment", f"ab\tcd\t{label}")
    refused(tmp_path / "RTE", "rte", "3:7", says)


def test_f31_a_test_split_may_have_no_labels(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / "RTE", split, "sentence1\tsentence2", "ab\tcd")
    rte = tasks.build({"name": "rte"}, tmp_path)
    assert [example.label for example in rte.load("test")] == [None]
    refused(tmp_path / "RTE", "rte", "1:1", "no column 'label'")


# F32 (the data's side), F33, F36: what is odd, in words


def classify(symmetric: bool = False) -> Task:
    labels = ("no", "yes")
    return Task("t", "classify", ("accuracy",), lambda split: [], labels, symmetric=symmetric)


def rows(*pairs: tuple[str, str | None]) -> list[Example]:
    return [Example(str(i), (text,), label) for i, (text, label) in enumerate(pairs)]


BOTH = rows(("a", "no"), ("b", "yes"))


def test_f32_label_sets_that_differ() -> None:
    found = inspect({"train": BOTH, "dev": rows(("c", "no"), ("d", "maybe"))}, classify())
    assert "t: labels of train that dev lacks: yes" in found
    assert "t: labels of dev that train lacks: maybe" in found


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_f33_one_class(split: str) -> None:
    splits = {"train": BOTH, "dev": rows(("c", "no"), ("d", "yes"))}
    splits[split] = rows(("p", "no"), ("q", "no"))
    found = inspect(splits, classify())
    assert f"t: {split}: one class only ('no')" in found
    measured = replace(classify(), metrics=("accuracy", "macro_f1", "matthews"))
    told = f"t: {split}: one class only ('no'), so no value of macro_f1 and matthews here"
    assert told in inspect(splits, measured)


def test_f33_sets_of_one_row_and_of_duplicates() -> None:
    found = inspect({"train": rows(*[("Same  text", "yes")] * 4), "dev": BOTH[:1]}, classify())
    assert "t: train: 3 of 4 examples repeat another one" in found
    assert "t: dev: a single example" in found


def test_f33_an_empty_split_is_an_error_and_a_sound_task_has_no_warning() -> None:
    with pytest.raises(DataError, match="split 'dev' of t is empty"):
        inspect({"train": BOTH, "dev": []}, classify())
    assert inspect({"train": BOTH, "dev": rows(("c", "yes"), ("d", "no"))}, classify()) == []
    assert inspect({"train": BOTH, "test": rows(("c", None))}, classify())[0].endswith("single example")


def test_f36_train_rows_inside_dev_and_test() -> None:
    train = rows(("The  cat", "no"), ("the cat", "yes"), ("a dog", "yes"))
    dev = rows(("THE CAT ", "no"), ("a bird", "yes"))
    found = inspect({"train": train, "dev": dev, "test": rows(("A dog", None))}, classify())
    assert "t: 2 of 3 train examples stand in dev with the same text (leakage)" in found
    assert "t: 1 of 3 train examples stand in test with the same text (leakage)" in found
    pair = [Example("1", ("a", "b"), "no"), Example("2", ("c", "d"), "yes")]
    turned = [Example("3", ("b", "a"), "no"), Example("4", ("e", "f"), "yes")]
    assert inspect({"train": pair, "dev": turned}, classify()) == []
    (leak,) = inspect({"train": pair, "dev": turned}, classify(symmetric=True))
    assert leak.startswith("t: 1 of 2 train examples stand in dev")


# F34: empty texts, counted


@pytest.mark.parametrize("text", ["", "  \u00a0 "], ids=["empty", "blank"])
def test_f34_empty_and_blank_texts_are_counted(text: str) -> None:
    found = inspect({"train": rows((text, "no"), ("b", "yes"))}, classify())
    assert found == ["t: train: 1 of 2 examples have an empty or blank text"]


# F35: scores (the data's side)


@pytest.mark.parametrize(
    "score", ["5.01", "-0.1", "nan", "inf", "", "4,5", "1e0", "\u0663"],
)  # fmt: skip
def test_f35_scores_out_of_range_or_no_numbers(tmp_path: Path, score: str) -> None:
    header = "sentence1\tsentence2\tscore"
    write(tmp_path / "STS-B", "train", header, "a\tb\t5.000", f"a\tb\t{score}")
    refused(tmp_path / "STS-B", "stsb", "3:5", "not a number from 0 to 5")


def test_f35_constant_scores_are_named() -> None:
    same = [Example("1", ("a", "b"), 2.5), Example("2", ("c", "d"), 2.5)]
    (found,) = inspect({"dev": same}, Task("t", "score", ("pearson",), lambda split: [], texts=2))
    assert "one score only (2.5)" in found
