"""SST-5, SUBJ, MR, TREC, AG News, IMDB: every layout, what is cut where nobody published a split, and the faults."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lmcompare.errors import DataError, Skipped
from lmcompare.registry import tasks
from lmcompare.tasks import facts
from lmcompare.tasks.checks import inspect
from lmcompare.tasks.sentences import SETS, TREC_COARSE, TREC_FINE
from lmcompare.types import Task

datasets = pytest.importorskip("datasets")
NAMES = [form.name for form in SETS] + ["trec"]


def put(path: Path, *rows: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{row}\n" for row in rows).encode(encoding)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def task(name: str, data: Path | None, **settings: object) -> Task:
    return tasks.build({"name": name, **settings}, data)


def told(made: Task, split: str) -> list[tuple[str, Any]]:
    return [(example.texts[0], example.label) for example in made.load(split)]


def save(folder: Path, names: list[str] | None = None, **splits: dict[str, list[Any]]) -> None:
    """As `datasets` saves it; `names` are those of a column of classes, "label"."""

    def table(rows: dict[str, list[Any]]) -> Any:
        made = datasets.Dataset.from_dict(rows)
        return made.cast_column("label", datasets.ClassLabel(names=names)) if names else made

    datasets.DatasetDict({name: table(rows) for name, rows in splits.items()}).save_to_disk(folder)


def opinions(count: int) -> dict[str, list[str]]:
    return {label: [f"{label} thought number {n} ." for n in range(count)] for label in ("plot", "view")}


def test_sst5_from_lines_from_trees_and_saved(tmp_path: Path) -> None:
    put(tmp_path / "sst" / "stsa.fine.train", "4 a fine -lrb- odd -rrb- film .", "0 bad")
    lines = told(task("sst5", tmp_path), "train")
    assert lines == [("a fine -lrb- odd -rrb- film .", "very_positive"), ("bad", "very_negative")]
    tree = "(4 (2 (2 a) (3 fine)) (2 (2 -lrb-) (2 (2 odd) (2 (2 -rrb-) (2 (2 film) (2 .))))))"
    put(tmp_path / "other" / "trees" / "train.txt", tree, "(0 bad)")
    assert told(task("sst5", tmp_path / "other"), "train") == lines
    assert told(task("sst5", tmp_path / "other" / "trees"), "train") == lines
    rows = {"text": ["a fine -lrb- odd -rrb- film .", "bad"], "label": [4, 0],
            "label_text": ["very positive", "very negative"]}  # fmt: skip
    save(tmp_path / "saved" / "sst5", train=rows, validation=rows)
    assert told(task("sst5", tmp_path / "saved"), "dev") == lines
    assert task("sst5", tmp_path / "saved").splits == ("train", "dev")


@pytest.mark.parametrize(
    "names", [("subj.objective", "subj.subjective"), ("plot.tok.gt9.5000", "quote.tok.gt9.5000")]
)
def test_subj_is_cut_by_a_rule_that_no_order_and_no_copy_changes(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    found = opinions(50)
    for name, rows in zip(names, found.values(), strict=True):
        put(tmp_path / "a" / name, *rows)
        put(tmp_path / "b" / "subj" / f"{name}.gz", *(row.upper().replace(" .", ".  ") for row in rows[::-1]))
    first, other = task("subj", tmp_path / "a"), task("subj", tmp_path / "b")
    assert first.splits == ("train", "dev", "test")
    parts = {split: told(first, split) for split in first.splits}
    assert {split: len(part) for split, part in parts.items()} == {"train": 80, "dev": 10, "test": 10}
    assert len({text for part in parts.values() for text, _ in part}) == 100
    for split, part in parts.items():
        assert Counter(label for _, label in part) == dict.fromkeys(first.labels, len(part) // 2)
        assert [(t.lower().replace(".  ", " ."), label) for t, label in told(other, split)] == part
    assert len({label for _, label in parts["train"][:20]}) == 2  # and not class after class
    assert (
        "train cut from all, dev cut from all, test cut from all by a fixed rule, holdout 0.1" in first.source
    )
    wider = task("subj", tmp_path / "a", holdout=0.2)
    assert [len(wider.load(split)) for split in wider.splits] == [60, 20, 20]
    assert {e.id for e in first.load("dev")} <= {e.id for e in wider.load("dev")}


def test_texts_that_are_the_same_are_never_parted(tmp_path: Path) -> None:
    found = opinions(40)
    doubled = [row for row in found["plot"] for _ in range(2)]
    put(tmp_path / "rt-polarity.neg", *doubled)
    put(tmp_path / "rt-polarity.pos", *found["view"], *found["plot"][:20])  # and some in both classes
    made = task("mr", tmp_path)
    splits = {split: made.load(split) for split in made.splits}
    assert sum(map(len, splits.values())) == 140
    assert not [what for what in inspect(splits, made) if "leakage" in what]
    assert not {e.texts for e in splits["dev"]} & {e.texts for e in splits["test"]}


def test_the_same_cut_from_a_copy_that_others_have_cut(tmp_path: Path) -> None:
    found = opinions(40)
    put(tmp_path / "files" / "rt-polarity.neg", *(f"{row} " for row in found["plot"]))
    put(tmp_path / "files" / "rt-polarity.pos", *found["view"])
    rows = [(row, label) for label, name in enumerate(found) for row in found[name]]
    thirds = {name: {"text": [r for r, _ in rows[n::3]], "label": [c for _, c in rows[n::3]]}
              for n, name in enumerate(("train", "validation", "test"))}  # fmt: skip
    save(tmp_path / "saved" / "mr", ["neg", "pos"], **thirds)
    files, saved = task("mr", tmp_path / "files"), task("mr", tmp_path / "saved")
    for split in files.splits:
        assert [(text.strip(), label) for text, label in told(files, split)] == told(saved, split)
    assert len({example.id for split in saved.splits for example in saved.load(split)}) == 80


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig"])
def test_old_files_are_read_as_they_are_encoded(tmp_path: Path, encoding: str) -> None:
    rows = [f"caf\xe9 number {n} , na\xefve \x97 clich\xe9s" for n in range(10)]
    put(tmp_path / "rt-polarity.neg", *rows, encoding=encoding)
    put(tmp_path / "rt-polarity.pos", *(f"fianc\xe9e {n}" for n in range(10)), encoding=encoding)
    made = task("mr", tmp_path)
    texts = {text for split in made.splits for text, _ in told(made, split)}
    assert {*rows, "fianc\xe9e 3"} <= texts


@pytest.mark.parametrize("official", [True, False])
def test_trec_by_coarse_and_by_fine_classes(tmp_path: Path, official: bool) -> None:
    names = ("train_5500.label", "TREC_10.label") if official else ("trec/train.txt", "trec/test.txt")
    rows = [f"{label} What is {n} in {label} ?" for label in TREC_FINE for n in range(10)]
    put(tmp_path / names[0], *rows, "LOC:city A sister\xf0city ?", encoding="latin-1")
    put(tmp_path / names[1], "NUM:dist How far is it ?")
    coarse, fine = task("trec", tmp_path), task("trec", tmp_path, fine=True)
    assert coarse.labels == TREC_COARSE and fine.labels == TREC_FINE and len(TREC_FINE) == 50
    assert told(coarse, "test") == [("How far is it ?", "NUM")]
    assert told(fine, "test") == [("How far is it ?", "NUM:dist")]
    assert {label for _, label in told(fine, "dev")} == set(TREC_FINE)  # of each class some
    assert len(coarse.load("dev")) == 50 and len(coarse.load("train")) == 451
    assert any("sister\xf0city" in text for text, _ in told(coarse, "train") + told(coarse, "dev"))
    assert coarse.load("train")[0].id in (
        "trec-train-0",
        "trec-train-1",
        "trec-train-2",
    )  # in the file's order


def test_trec_saved_by_either_name_of_its_columns(tmp_path: Path) -> None:
    rows = {"text": ["Who ?", "Where ?"], "label_original": ["HUM:ind", "LOC:other"], "label_coarse": [3, 5]}
    save(tmp_path / "a" / "trec", train=rows, test=rows)
    old = {"text": ["Who ?", "Where ?"], "label": [0, 1]}
    save(tmp_path / "b" / "trec", ["HUM:ind", "LOC:other"], train=old, test=old)
    renamed = datasets.load_from_disk(tmp_path / "b" / "trec").rename_column("label", "fine_label")
    renamed.save_to_disk(tmp_path / "c" / "trec")
    for folder in ("a", "c"):
        assert told(task("trec", tmp_path / folder), "test") == [("Who ?", "HUM"), ("Where ?", "LOC")]
        assert told(task("trec", tmp_path / folder, fine=True), "test")[0] == ("Who ?", "HUM:ind")
    with pytest.raises(DataError, match="no column 'label_original'"):
        task("trec", tmp_path / "b").load("test")


def test_agnews_joins_title_and_description(tmp_path: Path) -> None:
    rows = [f'"{n % 4 + 1}","Title {n}, ""so""","Text\\of {n}"' for n in range(40)]
    put(tmp_path / "ag_news_csv" / "train.csv", *rows)
    put(tmp_path / "ag_news_csv" / "test.csv", rows[3])
    made = task("agnews", tmp_path)
    assert told(made, "test") == [('Title 3, "so" Text\\of 3', "Sci/Tech")]
    assert len(made.load("dev")) == 4 and len(made.load("train")) == 36
    table = {"text": ['Title 3, "so" Text\\of 3'], "label": [3]}
    save(tmp_path / "b" / "ag_news", ["World", "Sports", "Business", "Sci/Tech"], train=table, test=table)
    assert task("agnews", tmp_path / "b").load("test") == made.load("test")
    put(tmp_path / "part" / "agnews" / "train_subset.csv.gz", *rows)
    assert task("agnews", tmp_path / "part").splits == ("train", "dev")


def test_imdb_from_folders_and_from_lines(tmp_path: Path) -> None:
    def review(label: str, n: int) -> str:
        return f"A {label} film.<br /><br />Number {n}."

    for split, count in (("train", 20), ("test", 3)):
        objects = []
        for label in ("neg", "pos"):
            for n in range(count):
                put(tmp_path / "a" / "aclImdb" / split / label / f"{n}_7.txt", review(label, n))
                told_as = {
                    "id": f"{label}/{n}_7",
                    "label": int(label == "pos"),
                    "text": f"{review(label, n)}\n",
                }
                objects.append(json.dumps(told_as))
        put(tmp_path / "b" / "imdb" / f"{split}.jsonl.gz", *objects)
    put(tmp_path / "a" / "aclImdb" / "train" / "unsup" / "0_0.txt", "No label.")
    put(tmp_path / "a" / "aclImdb" / "train" / "labeledBow.feat", "0:1")
    folders, lines = task("imdb", tmp_path / "a"), task("imdb", tmp_path / "b")
    assert folders.splits == lines.splits == ("train", "dev", "test")
    for split in lines.splits:
        assert folders.load(split) == lines.load(split)
    assert Counter(label for _, label in told(lines, "dev")) == {"negative": 2, "positive": 2}
    # Published class after class; the first few are of both all the same, and the text keeps its marks.
    assert {label for _, label in told(task("imdb", tmp_path / "a", limit=12), "train")} == {
        "negative",
        "positive",
    }
    assert all("<br />" in text for text, _ in told(lines, "test"))


@pytest.mark.parametrize(
    ("name", "path", "rows", "says"),
    [
        ("sst5", "stsa.fine.train", ["5 too good"], r":1:1: '5' is not a label \(sst5 has"),
        ("sst5", "stsa.fine.train", ["1 good", ""], r":2:1: an empty line"),
        ("sst5", "stsa.fine.train", ["1"], r":1:2: no text after the label"),
        ("sst5", "stsa.fine.train", [], "holds no example"),
        ("sst5", "trees/train.txt", ["(3 (2 a) (2 b)"], r":1:1: not a tree"),
        ("sst5", "trees/train.txt", ["3 a b"], r":1:1: not a tree"),
        ("sst5", "trees/train.txt", ["(9 (2 a) (2 b))"], r":1:2: '9' is not a label"),
        (
            "trec",
            "train_5500.label",
            ["LOC:city Where ?", "LOC:town Where ?"],
            r":2:1: 'LOC:town' .* did you mean",
        ),
        (
            "trec",
            "train_5500.label",
            ["loc:city Where ?"],
            r":1:1: .*as it is spelled; did you mean 'LOC:city'",
        ),
        (
            "agnews",
            "agnews/train.csv",
            ['"0","a","b"'],
            r":1:1: '0' is not a label \(agnews has 1, 2, 3, 4, W",
        ),
        ("agnews", "agnews/train.csv", ['"1","a"'], r":1:[0-9]+: 2 fields where 3"),
        ("agnews", "agnews/train.csv", ['"1","a","b'], r":1:1: .*never ends"),
        ("imdb", "imdb/train.jsonl", ['{"id": "a", "label": 2, "text": "x"}'], r":1:1: '2' is not a label"),
        ("imdb", "imdb/train.jsonl", ['{"id": "a", "label": 1}'], r":1:1: no key 'text'"),
        (
            "imdb",
            "imdb/train.jsonl",
            ['{"id": "a", "label": true, "text": "x"}'],
            r":1:1: 'True' is not a label",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    tmp_path: Path, name: str, path: str, rows: list[str], says: str
) -> None:
    bad = put(tmp_path / path, *rows)
    with pytest.raises(DataError, match=says) as caught:
        task(name, tmp_path).load("train")
    assert str(caught.value).startswith(str(bad))


def test_a_class_whose_file_or_folder_is_missing(tmp_path: Path) -> None:
    put(tmp_path / "rt-polarity.pos", "good")
    with pytest.raises(DataError, match=r"no rt-polarity.neg, so the class 'neg' is missing"):
        task("mr", tmp_path)
    put(tmp_path / "aclImdb" / "train" / "pos" / "0_9.txt", "good")
    with pytest.raises(DataError, match=r"train: no folder neg"):
        task("imdb", tmp_path)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    for label in ("neg", "pos"):
        for n in range(3):
            put(tmp_path / "aclImdb" / "train" / label / f"{n}_8.txt", f"{label} {n}")
    bad = tmp_path / "aclImdb" / "train" / "pos" / "1_8.txt"
    bad.write_bytes(b"go\0od")
    with pytest.raises(DataError, match=r"1_8.txt:1:3: byte 2 is NUL"):
        task("imdb", tmp_path).load("train")
    with pytest.warns(Skipped, match="bad rows left out: 1"):
        assert len(task("imdb", tmp_path, on_bad_row="skip").load("train")) == 3
    put(tmp_path / "subj.objective", "a")
    (tmp_path / "subj.subjective").write_bytes(b"a\xe9\n\0")
    with pytest.raises(DataError, match=r"subj.subjective:2:1: byte 3 is NUL"):
        task("subj", tmp_path).load("train")


def test_a_bad_value_in_a_saved_table_is_named_by_its_row(tmp_path: Path) -> None:
    save(tmp_path / "mr", train={"text": ["a", "b"], "label": ["pos", "good"]})
    with pytest.raises(DataError, match=r"mr: row 2, label: 'good' is not a label \(mr has"):
        task("mr", tmp_path).load("train")
    save(tmp_path / "sst5", train={"text": ["a", None], "label_text": ["neutral", "neutral"]})
    with pytest.raises(DataError, match=r"sst5: row 2, text: text None is no text"):
        task("sst5", tmp_path).load("train")


COUNTS = {  # of the copies here: what is cut is whole in sum
    "sst5": {"train": 8544, "dev": 1101, "test": 2210},
    "subj": {"train": 8000, "dev": 1000, "test": 1000},
    "mr": {"train": 8530, "dev": 1066, "test": 1066},
    "trec": {"train": 4906, "dev": 546, "test": 500},
    "agnews": {"train": 3600, "dev": 400, "test": 7600},  # train: 4,000 of 120,000
    "imdb": {"train": 22500, "dev": 2500, "test": 25000},
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "imdb" else name for name in NAMES]
)
def test_real_sets_have_the_published_counts_and_the_known_overlap(shared: Path, name: str) -> None:
    real, known = task(name, shared), facts.of(name)
    splits = {split: real.load(split) for split in real.splits}
    assert {split: len(found) for split, found in splits.items()} == COUNTS[name]
    for split, found in splits.items():
        assert {example.label for example in found} == set(known.labels)
        assert len({example.id for example in found}) == len(found)
        if split in known.splits and split != "train":
            assert len(found) == known.splits[split]
    if name != "agnews":
        parts = [split for split, base in known.cut.items() if base == "train"]
        whole = sum(len(splits[split]) for split in ("train", *parts)) if parts else len(splits["train"])
        assert whole == known.splits.get("train", 8530 if name == "mr" else 8000)
    leaks = [what for what in inspect(splits, real) if "leakage" in what]
    assert len(leaks) == len(known.overlap)
    for split, count in known.overlap.items():
        assert any(f": {count:,} of " in what and f"stand in {split} " in what for what in leaks)


def test_real_classes_are_the_published_ones(shared: Path) -> None:
    """An exchange of two labels would turn these around."""
    shown = {"sst5": ("very_negative", 139), "trec": ("ENTY", 125)}
    for name, (label, count) in shown.items():
        assert Counter(example.label for example in task(name, shared).load("dev"))[label] == count
    assert len({example.label for example in task("trec", shared, fine=True).load("train")}) == 50
    worst = next(e for e in task("imdb", shared).load("test") if e.id.endswith("_1"))  # a rating of 1 of 10
    assert worst.label == "negative"
