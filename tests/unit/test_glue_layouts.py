"""GLUE wherever it lies: as the official script leaves it, saved by `datasets`, on the hub; and in bounded memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmcompare.errors import DataError
from lmcompare.registry import tasks
from lmcompare.tasks import glue_files
from lmcompare.types import Task

PAIRS = ["entailment\tA b.\tC d.", "neutral\tE f.\tG h."]
# By task: its official files, and its tables as `datasets` has them (columns, classes, rows by split).
LAYOUTS: dict[str, tuple[dict[str, list[str]], dict[str, list[Any]], dict[str, list[tuple[Any, ...]]]]] = {
    "cola": (
        {
            "train": ["x1\t1\t\tHe left.", "x1\t0\t*\tLeft he the."],
            "dev": ["x2\t1\t\tWho left?"],
            "test": ["index\tsentence", "0\tWe left.", "1\tLeft we."],
        },
        {"sentence": [], "label": ["unacceptable", "acceptable"]},
        {
            "train": [("He left.", 1), ("Left he the.", 0)],
            "validation": [("Who left?", 1)],
            "test": [("We left.", -1), ("Left we.", -1)],
        },
    ),
    "mrpc": (
        {
            "train": ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", '1\t7\t8\tHe said "a" .\tA , he said .'],
            "dev": ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", "0\t5\t6\tOne .\tTwo ."],
            "test": ["index\t#1 ID\t#2 ID\t#1 String\t#2 String", "0\t1\t2\tThree .\tFour ."],
        },
        {"sentence1": [], "sentence2": [], "label": ["not_equivalent", "equivalent"]},
        {
            "train": [('He said "a" .', "A , he said .", 1)],
            "validation": [("One .", "Two .", 0)],
            "test": [("Three .", "Four .", -1)],
        },
    ),
    "stsb": (
        {
            "train": ["index\tsentence1\tsentence2\tscore", "0\ta\tb\t3.800", "1\tc\td\t5.000"],
            "dev": ["index\tsentence1\tsentence2\tscore", "0\te\tf\t0.083"],
            "test": ["index\tsentence1\tsentence2", "0\tg\th"],
        },
        {"sentence1": [], "sentence2": [], "label": [None]},
        {
            "train": [("a", "b", 3.8), ("c", "d", 5.0)],
            "validation": [("e", "f", 0.083)],
            "test": [("g", "h", -1.0)],
        },
    ),
    "mnli": (
        {
            "train": ["gold_label\tsentence1\tsentence2", *PAIRS],
            "dev_matched": ["gold_label\tsentence1\tsentence2", PAIRS[0]],
            "dev_mismatched": ["gold_label\tsentence1\tsentence2", PAIRS[1]],
            "test_matched": ["index\tsentence1\tsentence2", "0\tA\tB"],
            "test_mismatched": ["index\tsentence1\tsentence2", "0\tC\tD"],
        },
        {"premise": [], "hypothesis": [], "label": ["entailment", "neutral", "contradiction"]},
        {
            "train": [("A b.", "C d.", 0), ("E f.", "G h.", 1)],
            "validation_matched": [("A b.", "C d.", 0)],
            "validation_mismatched": [("E f.", "G h.", 1)],
            "test_matched": [("A", "B", -1)],
            "test_mismatched": [("C", "D", -1)],
        },
    ),
}
FOLDERS = {"cola": "CoLA", "mrpc": "MRPC", "stsb": "STS-B", "mnli": "MNLI"}


def put(folder: Path, name: str, rows: list[str], *, before: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(before + "\n".join(rows) + "\n", encoding="utf-8")


def task(name: str, data: Path | None) -> Task:
    return tasks.build({"name": name}, data)


def official(name: str, data: Path) -> Task:
    for split, rows in LAYOUTS[name][0].items():
        put(data / FOLDERS[name], f"{split}.tsv", rows)
    return task(name, data)


def tables(name: str) -> Any:
    """The same rows as `datasets` holds them: classes are numbers with names, a score has 32 bits."""
    import datasets

    _, columns, rows = LAYOUTS[name]
    kinds = {
        column: datasets.Value("string") if not names
        else datasets.Value("float32") if names == [None] else datasets.ClassLabel(names=names)
        for column, names in columns.items()
    }  # fmt: skip
    features = datasets.Features({**kinds, "idx": datasets.Value("int32")})
    parts = {}
    for split, found in rows.items():
        values = {column: [row[n] for row in found] for n, column in enumerate(columns)}
        whole = {**values, "idx": list(range(len(found)))}
        parts[split] = datasets.Dataset.from_dict(whole, features=features)
    return datasets.DatasetDict(parts)


@pytest.mark.parametrize("name", LAYOUTS)
def test_saved_by_datasets_it_is_the_same(name: str, tmp_path: Path) -> None:
    local = official(name, tmp_path / "official")
    for place in (name, f"glue/{FOLDERS[name]}", "."):
        folder = tmp_path / place.replace("/", "-").replace(".", "whole")
        tables(name).save_to_disk(folder / place)
        saved = task(name, folder)
        assert saved.splits == local.splits and str(folder) in saved.source
        for split in local.splits:
            assert saved.load(split) == local.load(split)


def test_on_the_hub_it_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder as the hub has it: a card with a config a task, and Parquet files by split."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder, card = tmp_path / "hub", ["---", "configs:"]
    for name in LAYOUTS:
        card += [f"- config_name: {name}", "  data_files:"]
        for split, table in tables(name).items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            table.to_parquet(folder / name / f"{split}-00000-of-00001.parquet")
            card += [f"  - split: {split}", f"    path: {name}/{split}-*"]
    (folder / "README.md").write_text("\n".join([*card, "---", ""]))
    monkeypatch.setattr(glue_files, "HUB", str(folder))
    for name in LAYOUTS:
        local, fetched = official(name, tmp_path / "official"), task(name, None)
        assert fetched.source.startswith("hub: ") and fetched.splits == local.splits
        for split in local.splits:
            assert fetched.load(split) == local.load(split)


def test_a_class_without_a_name_is_told_by_its_number_and_a_strange_one_refused(tmp_path: Path) -> None:
    import datasets

    rows = {"sentence": ["Good.", "Bad."], "label": [1, 0]}
    datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows)}).save_to_disk(tmp_path / "sst2")
    assert [e.label for e in task("sst2", tmp_path).load("train")] == ["positive", "negative"]
    for label in (2, None, -1, "good"):
        column = [1, label] if not isinstance(label, str) else ["1", label]
        table = datasets.Dataset.from_dict({"sentence": ["Good.", "Bad."], "label": column})
        place = tmp_path / f"strange-{label}"
        datasets.DatasetDict({"train": table}).save_to_disk(place)
        with pytest.raises(DataError, match=f"row 2, label: {label!r} is not a label"):
            task("sst2", place).load("train")


HEAD = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
ROWS = ["1\t10\t11\ta\tb", "0\t12\t13\tc\td", "1\t14\t15\te\tf", "0\t16\t17\tg\th"]


def test_mrpc_as_it_was_before_glue_is_the_same(tmp_path: Path) -> None:
    """The dev set is what dev_ids.tsv names; Microsoft's files begin with a mark, and its test file has labels."""
    made, bare = tmp_path / "made" / "MRPC", tmp_path / "bare" / "MRPC"
    put(made, "train.tsv", [HEAD, ROWS[0], ROWS[3]])
    put(made, "dev.tsv", [HEAD, ROWS[1], ROWS[2]])
    put(made, "test.tsv", ["index\t#1 ID\t#2 ID\t#1 String\t#2 String", "0\t1\t2\tx\ty"])
    put(bare, "msr_paraphrase_train.txt", [HEAD, *ROWS], before="\ufeff")
    put(bare, "msr_paraphrase_test.txt", [HEAD, "1\t1\t2\tx\ty"], before="\ufeff")
    assert task("mrpc", bare.parent).splits == ("test",)
    put(bare, "dev_ids.tsv", ["14\t15", "12\t13"])
    one, other = task("mrpc", made.parent), task("mrpc", bare.parent)
    assert one.splits == other.splits == ("train", "dev", "test")
    assert "dev: msr_paraphrase_train.txt" in other.source
    for split in one.splits:
        assert one.load(split) == other.load(split)
    put(bare, "msr_paraphrase_train.txt", [HEAD, *ROWS, "1\t18\t19\tonly one"])
    assert len(task("mrpc", bare.parent).load("dev")) == 2
    with pytest.raises(DataError, match=r"msr_paraphrase_train\.txt:6:"):
        task("mrpc", bare.parent).load("train")


def test_a_test_file_with_rows_lost_or_moved_is_named(tmp_path: Path) -> None:
    head = "index\tsentence1\tsentence2"
    for rows, place in ((["0\ta\tb", "2\tc\td"], 3), (["1\ta\tb", "0\tc\td"], 3), (["x\ta\tb"], 2)):
        put(tmp_path / "RTE", "test.tsv", [head, *rows])
        with pytest.raises(DataError, match=rf"test\.tsv:{place}:1: index .* another order"):
            task("rte", tmp_path).load("test")


def test_qqp_says_what_is_odd_about_its_first_edition(tmp_path: Path) -> None:
    head = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate"
    put(tmp_path / "QQP", "train.tsv", [head, "0\t1\t2\ta\tb\t0", "1\t3\t4\tbroken", "over\tlines\t1"])
    with pytest.raises(DataError, match=r"train\.tsv:3:.* first edition .*on_bad_row=skip"):
        task("qqp", tmp_path).load("train")
    with pytest.warns(UserWarning, match="bad rows left out: 2"):
        found = tasks.build({"name": "qqp", "on_bad_row": "skip"}, tmp_path).load("train")
    assert [e.id for e in found] == ["qqp-train-0"]


def test_a_missing_split_is_named_and_the_others_are_there(shared: Path) -> None:
    qnli = task("qnli", shared / "glue")
    assert qnli.splits == ("dev", "test") and len(qnli.load("dev")) == 5463
    with pytest.raises(
        DataError, match=r"no train\.tsv or train_subset\.tsv, so qnli has no split 'train' here"
    ):
        qnli.load("train")
    with pytest.raises(DataError, match="mnli has no split 'dev_mismatched' here"):
        task("mnli", shared).load("dev_mismatched")


COLUMNS = (
    "index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse",
    "sentence2_parse", "sentence1", "sentence2", "label1", "gold_label",
)  # fmt: skip
MEASURED = """
import json, sys, time
from pathlib import Path
from lmcompare import registry
task = registry.tasks.build({"name": "mnli"}, Path(sys.argv[1]))
status = Path("/proc/self/status")  # what getrusage tells begins with the parent's peak
peak = lambda: int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
base, begun = peak(), time.perf_counter()
examples = task.load("train")
told = {"rows": len(examples), "base": base, "more": peak() - base, "seconds": time.perf_counter() - begun}
print(json.dumps(told | {"last": examples[-1].texts[1]}))
"""


@pytest.mark.slow
def test_mnli_in_full_layout_loads_in_bounded_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many rows as the published file, with parses as long as theirs: what is not needed does not stay."""
    if not Path("/proc/self/status").is_file():
        pytest.skip("needs /proc to measure a process's peak of memory")
    rows, labels = 392_702, ("entailment", "neutral", "contradiction")
    (tmp_path / "MNLI").mkdir()
    with open(tmp_path / "MNLI" / "train.tsv", "w", encoding="utf-8") as file:
        file.write("\t".join(COLUMNS) + "\n")
        for n in range(rows):
            premise = (
                f"This is the premise with the number {n}, " + "about as long as they are on the mean, " * 2
            )
            hypothesis = f"And hypothesis {n} is half as long as that is."
            parses = (
                f"( {premise} )",
                f"( {hypothesis} )",
                f"(ROOT {premise * 2})",
                f"(ROOT {hypothesis * 3})",
            )
            label = labels[n % 3]
            file.write(
                "\t".join((str(n), str(n), f"{n}n", "fiction", *parses, premise, hypothesis, label, label))
            )
            file.write("\n")
    words = [sys.executable, "-c", MEASURED, str(tmp_path)]
    told = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    with capsys.disabled():
        print(f"\nMNLI, {rows:,} rows of {len(COLUMNS)} columns: {told}")
    assert told["rows"] == rows and told["last"].startswith(f"And hypothesis {rows - 1} ")
    assert told["more"] < 600
