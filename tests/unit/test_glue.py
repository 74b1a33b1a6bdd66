"""The GLUE table: labels and splits of each task, what is refused, and the official counts."""

from collections import Counter
from pathlib import Path

import pytest

from lmcompare.errors import DataError, UserError
from lmcompare.registry import tasks
from lmcompare.tasks import facts
from lmcompare.tasks.checks import digest, inspect
from lmcompare.tasks.glue import ROWS
from lmcompare.types import Example, Task

NAMES = [row.name for row in ROWS]
SUBSETS = {("qqp", "train"): 21566, ("qqp", "dev"): 7598,
           ("mnli", "train"): 12811, ("mnli", "dev"): 9085}  # fmt: skip


def put(folder: Path, name: str, *rows: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("\n".join(rows) + "\n")
    return path


def task(name: str, data: Path, **settings: object) -> Task:
    return tasks.build({"name": name, **settings}, data)


def test_all_nine_tasks_are_registered() -> None:
    assert set(NAMES) <= set(tasks.names())
    assert len(NAMES) == 9
    assert all(tasks.about(name) for name in NAMES)


def test_cola_has_a_header_in_its_test_file_only(tmp_path: Path) -> None:
    put(tmp_path / "CoLA", "train.tsv", 'gj04\t1\t\t"He left.', 'gj04\t0\t*\tLeft "he.')
    put(tmp_path / "CoLA", "test.tsv", "index\tsentence", "0\tWho left?")
    cola = task("cola", tmp_path)
    assert cola.splits == ("train", "test")
    assert [(e.id, e.texts, e.label) for e in cola.load("train")] == [
        ("cola-train-0", ('"He left.',), "acceptable"),
        ("cola-train-1", ('Left "he.',), "unacceptable"),
    ]
    assert cola.load("test") == [Example(id="cola-test-0", texts=("Who left?",))]


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    header = "gold_label\tindex\tsentence2\tx\tsentence1"
    put(tmp_path / "glue" / "MNLI", "train.tsv", header, "neutral\t0\tB.\t\tA.")
    (example,) = task("mnli", tmp_path).load("train")
    assert example.texts == ("A.", "B.") and example.label == "neutral"


def test_the_official_file_goes_before_a_subset_and_the_source_says_which(tmp_path: Path) -> None:
    header = "question1\tquestion2\tis_duplicate"
    put(tmp_path / "QQP", "train_subset.tsv", header, "a\tb\t1")
    put(tmp_path / "QQP", "dev_subset.tsv", header, "a\tb\t0")
    put(tmp_path / "QQP", "dev.tsv", header, "c\td\t1")
    qqp = task("qqp", tmp_path / "QQP")
    assert qqp.source.endswith("QQP (train: train_subset.tsv, dev: dev.tsv)")
    assert [e.texts for e in qqp.load("dev")] == [("c", "d")]


def test_both_mnli_test_sets(tmp_path: Path) -> None:
    for name in ("dev_matched", "dev_mismatched"):
        put(tmp_path / "MNLI", f"{name}.tsv", "sentence1\tsentence2\tgold_label", "a\tb\tneutral")
    assert task("mnli", tmp_path).splits == ("dev", "dev_mismatched")
    assert task("mnli", tmp_path).load("dev_mismatched")[0].id == "mnli-dev_mismatched-0"


def test_a_limit_takes_the_first_rows(tmp_path: Path) -> None:
    put(tmp_path / "SST-2", "train.tsv", "sentence\tlabel", "a\t1", "b\t0", "c\t1")
    assert [e.label for e in task("sst2", tmp_path, limit=2).load("train")] == [
        "positive",
        "negative",
    ]
    with pytest.raises(UserError, match="at least 1"):
        task("sst2", tmp_path, limit=0)


def test_missing_data_says_where_it_looked_and_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data FOLDER"):
        tasks.build({"name": "rte"}, None)
    with pytest.raises(DataError) as caught:
        task("rte", tmp_path)
    assert str(tmp_path / "glue" / "RTE") in str(caught.value)
    put(tmp_path / "RTE", "dev.tsv", "sentence1\tsentence2\tlabel", "a\tb\tentailment")
    with pytest.raises(DataError, match=r"no train\.tsv or train_subset.tsv"):
        task("rte", tmp_path).load("train")
    with pytest.raises(DataError, match="did you mean 'dev'"):
        task("rte", tmp_path).load("devv")


def test_reading_waits_until_a_split_is_asked_for(tmp_path: Path) -> None:
    put(tmp_path / "RTE", "train.tsv", "sentence1\tsentence2\tlabel", "only one field")
    rte = task("rte", tmp_path)
    with pytest.raises(DataError, match=r"train\.tsv:2:"):
        rte.load("train")


def test_bad_rows_left_out_are_counted(tmp_path: Path) -> None:
    header = "sentence1\tsentence2\tlabel"
    put(tmp_path / "RTE", "train.tsv", header, "a\tb", "a\tb\tmaybe", "a\tb\tentailment")
    with pytest.warns(UserWarning, match="bad rows left out: 2; the first: .*train.tsv:2:"):
        found = task("rte", tmp_path, on_bad_row="skip").load("train")
    assert [e.id for e in found] == ["rte-train-2"]
    put(tmp_path / "RTE", "train.tsv", header, "a\tb\tmaybe")
    with pytest.raises(DataError, match="none of 1 is good"):
        task("rte", tmp_path, on_bad_row="skip").load("train")


def test_the_hash_stands_for_every_field_and_the_order() -> None:
    one = Example(id="1", texts=("a",), label="x")
    other = [
        Example(id="2", texts=("a",), label="x"),
        Example(id="1", texts=("b",), label="x"),
        Example(id="1", texts=("a", ""), label="x"),
        Example(id="1", texts=("a",)),
        Example(id="1", texts=("a",), label="x", options=("y",)),
    ]
    hashes = [digest([one, e]) for e in other] + [digest([e, one]) for e in other]
    assert len(set(hashes)) == 10
    assert digest(iter([one])) == digest([one])


def test_what_is_known_before_any_data_is_read() -> None:
    """The official numbers, once more from memory: 1,104 pairs are the diagnostic's."""
    totals = {name: sum(size or 0 for size in facts.of(name).splits.values()) for name in NAMES}
    assert totals == {
        "cola": 10_657, "sst2": 70_042, "mrpc": 5_801, "stsb": 8_628, "qqp": 795_241, "mnli": 431_992,
        "qnli": 115_669, "rte": 5_767, "wnli": 852,
    }  # fmt: skip
    for row in ROWS:
        known = facts.of(row.name)
        assert known.license and known.hub == f"nyu-mll/glue:{row.name}"
        assert known.unlabelled == tuple(split for split in row.files if split.startswith("test"))


@pytest.mark.parametrize("name", NAMES)
def test_real_glue_has_the_official_counts(shared: Path, name: str) -> None:
    real = task(name, shared)
    for split in real.splits:
        examples = real.load(split)
        subset = f"{split}: {split}_subset" in real.source or f"{split}_matched_s" in real.source
        assert len(examples) == (SUBSETS[name, split] if subset else facts.of(name).splits[split])
        labels = {example.label for example in examples}
        if split.startswith("test"):
            assert labels == {None}
        elif real.kind == "score":
            assert {0.0, 5.0} < labels
        else:
            assert labels == set(real.labels)


def test_real_class_shares_are_the_published_ones(shared: Path) -> None:
    """An exchange of the two labels would turn these around."""
    shares = {"cola": ("acceptable", 721), "wnli": ("not_entailment", 40)}
    for name, (label, count) in shares.items():
        assert Counter(e.label for e in task(name, shared).load("dev"))[label] == count
    train = Counter(e.label for e in task("mrpc", shared).load("train"))
    assert train["equivalent"] / sum(train.values()) == pytest.approx(0.674, abs=0.001)


def test_no_real_task_has_a_one_class_split(shared: Path) -> None:
    for name in ("cola", "rte", "wnli", "stsb"):
        real = task(name, shared)
        found = inspect({split: real.load(split) for split in real.splits}, real)
        assert not [what for what in found if "only (" in what or "blank" in what]
