"""SNLI and SciTail: every layout gives the same examples, what has no label is counted, what is wrong is named."""

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lmcompare import hub
from lmcompare.errors import DataError, Skipped, UserError
from lmcompare.registry import tasks
from lmcompare.tasks import facts
from lmcompare.types import Example, Task

datasets = pytest.importorskip("datasets")
PAIRS = [
    ("A man sleeps.", "A man is awake.", "contradiction"),
    ('"Two" dogs', "Animals", "entailment"),
    ("A boy runs.", "He is late.", "neutral"),
]
NAMES = ["entailment", "neutral", "contradiction"]
EXPECTED = [Example(f"snli-train-{n}", pair[:2], pair[2]) for n, pair in enumerate(PAIRS)]


def put(folder: Path, name: str, *rows: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    text = "".join(f"{row}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


def task(name: str, data: Path | None, **settings: object) -> Task:
    return tasks.build({"name": name, **settings}, data)


def as_object(first: str, second: str, label: str) -> str:
    return json.dumps({"annotator_labels": [label], "gold_label": label, "pairID": "3r1n",
                       "sentence1": first, "sentence2": second})  # fmt: skip


def objects(data: Path) -> None:
    put(data / "snli_1.0", "snli_1.0_train.jsonl", *(as_object(*pair) for pair in PAIRS))


def columns(data: Path) -> None:
    rows = (f"{label}\t( A )\t{first}\t{second}\tid" for first, second, label in PAIRS)
    put(data, "snli_1.0_train.txt", "gold_label\tsentence1_parse\tsentence1\tsentence2\tpairID", *rows)


def table(data: Path) -> None:
    rows = ("\t".join(pair) for pair in PAIRS)
    put(data / "nli" / "snli", "train_subset.tsv.gz", "sentence1\tsentence2\tgold_label", *rows)


def saved(data: Path) -> None:
    kinds = datasets.Features(
        premise=datasets.Value("string"),
        hypothesis=datasets.Value("string"),
        label=datasets.ClassLabel(names=NAMES),
    )
    rows = [{"premise": a, "hypothesis": b, "label": NAMES.index(label)} for a, b, label in PAIRS]
    datasets.DatasetDict(train=datasets.Dataset.from_list(rows, features=kinds)).save_to_disk(data / "snli")


@pytest.mark.parametrize("lay", [objects, columns, table, saved])
def test_every_layout_of_snli_gives_the_same_examples(tmp_path: Path, lay: Callable[[Path], None]) -> None:
    lay(tmp_path)
    snli = task("snli", tmp_path)
    assert snli.splits == ("train",) and snli.texts == 2 and not snli.symmetric
    assert snli.load("train") == EXPECTED
    assert task("snli", tmp_path, limit=1).load("train") == EXPECTED[:1]
    assert str(tmp_path) in snli.source
    with pytest.raises(DataError, match="has no split 'dev' here"):
        snli.load("dev")


def test_the_authors_files_go_before_others_and_a_stranger_s_table_is_not_taken(tmp_path: Path) -> None:
    put(tmp_path, "train.tsv", "sentence1\tsentence2\tgold_label", "of\tanother set\tneutral")
    with pytest.raises(DataError, match=r"snli_1\.0_train"):
        task("snli", tmp_path)
    table(tmp_path)
    assert "train_subset.tsv.gz" in task("snli", tmp_path).source
    assert "train_subset.tsv.gz" in task("snli", tmp_path / "nli" / "snli").source
    objects(tmp_path)
    assert "snli_1.0_train.jsonl" in task("snli", tmp_path).source


@pytest.mark.parametrize("form", ["jsonl", "txt", "saved"])
def test_pairs_without_a_label_are_left_out_and_counted(tmp_path: Path, form: str) -> None:
    if form == "jsonl":
        put(tmp_path, "snli_1.0_dev.jsonl", as_object("a", "b", "-"), as_object(*PAIRS[0]))
    elif form == "txt":
        put(tmp_path, "snli_1.0_dev.txt", "gold_label\tsentence1\tsentence2", "-\ta\tb", "neutral\ta\tc")
    else:
        kinds = datasets.Features(
            premise=datasets.Value("string"),
            hypothesis=datasets.Value("string"),
            label=datasets.ClassLabel(names=NAMES),
        )
        held = datasets.Dataset.from_dict(
            {"premise": ["a", "a"], "hypothesis": ["b", "c"], "label": [-1, 1]}, features=kinds
        )
        datasets.DatasetDict(validation=held).save_to_disk(tmp_path)
    with pytest.warns(Skipped, match="snli: dev: 1 rows left out") as raised:
        (example,) = task("snli", tmp_path).load("dev")
    assert example.id == "snli-dev-1" and len(raised) == 1


@pytest.mark.parametrize(
    ("name", "rows", "says"),
    [
        ("snli_1.0_train.jsonl", ["{"], r":1:2: not a whole JSON object"),
        (
            "snli_1.0_train.jsonl",
            ['{"sentence1": "a", "gold_label": "neutral"}'],
            r":1:1: no key 'sentence2'",
        ),
        (
            "snli_1.0_train.jsonl",
            [as_object("a", "b", "Neutral")],
            r":1:1: 'Neutral' .* did you mean 'neutral'",
        ),
        ("snli_1.0_train.jsonl", [], "holds no example"),
        ("snli_1.0_train.txt", ["gold_label\tsentence2", "neutral\ta"], r":1:1: no column 'sentence1'"),
        ("snli_1.0_train.txt", ["gold_label\tsentence1\tsentence2", "neutral\ta"], r":2:11: 2 fields"),
        ("snli_1.0_train.txt", ["gold_label\tsentence1\tsentence2", "maybe\ta\tb"], r":2:1: 'maybe' is not"),
        ("snli_1.0_train.txt", ["gold_label\tsentence1\tsentence2"], "holds no example"),
        ("snli_1.0_train.txt", [], r":1:1: the file is empty"),
        ("scitail_1.0_train.tsv", ["a\tb"], r":1:5: 2 fields"),
        (
            "scitail_1.0_train.tsv",
            ["a\tb\tcontradiction"],
            r":1:5: 'contradiction' is not a label \(scitail has",
        ),
        ("scitail_1.0_train.tsv", ["a\tb\t"], r":1:5: the label is missing"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, name: str, rows: list[str], says: str) -> None:
    path = put(tmp_path, name, *rows)
    with pytest.raises(DataError, match=says) as caught:
        task(name.partition("_")[0], tmp_path).load("train")
    assert str(caught.value).startswith(str(path))


def test_bad_rows_are_skipped_where_that_is_asked_for(tmp_path: Path) -> None:
    put(tmp_path, "snli_1.0_train.jsonl", "{", as_object(*PAIRS[0]), as_object("a", "b", "x"))
    with pytest.warns(Skipped, match="bad rows left out: 2; the first: .*train.jsonl:1:2"):
        found = task("snli", tmp_path, on_bad_row="skip").load("train")
    assert [example.id for example in found] == ["snli-train-1"]
    with pytest.raises(UserError, match="at least 1"):
        task("snli", tmp_path, limit=0)


def test_both_layouts_of_scitail_give_the_same_classes(tmp_path: Path) -> None:
    put(
        tmp_path / "SciTailV1.1" / "tsv_format",
        "scitail_1.0_dev.tsv",
        'It "is"\tIt was\tentails',
        "c\td\tneutral",
    )
    put(tmp_path / "snli_format", "scitail_1.0_dev.txt", as_object('It "is"', "It was", "entailment"),
        as_object("c", "d", "neutral"))  # fmt: skip
    first = task("scitail", tmp_path)
    assert "tsv_format" in first.source
    assert first.load("dev") == task("scitail", tmp_path / "snli_format").load("dev")
    assert [example.label for example in first.load("dev")] == ["entailment", "neutral"]


def test_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data as it lies there, and the real loader; only where it lies is changed."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows = {"premise": ["a", "c"], "hypothesis": ["b", "d"], "label": ["entails", "neutral"]}
    for split in ("train", "validation", "test"):
        folder = tmp_path / "there" / "tsv_format"
        folder.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_dict(rows).to_parquet(folder / f"{split}-00000-of-00001.parquet")
    real, asked = hub.load, list[str]()

    def moved(name: str, *given: object, **settings: str) -> object:
        asked.append(name)
        return real(str(tmp_path / "there" / "tsv_format"), None, **settings)

    monkeypatch.setattr(hub, "load", moved)
    scitail = task("scitail", None)
    assert scitail.splits == ("train", "dev", "test") and scitail.source == "hub: allenai/scitail:tsv_format"
    assert scitail.load("dev")[0] == Example("scitail-dev-0", ("a", "b"), "entailment")
    assert asked == [facts.of("scitail").hub]


def test_a_set_that_is_nowhere_tells_all_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    with pytest.raises(DataError) as caught:
        task("snli", tmp_path)
    for words in ("snli: ", str(tmp_path / "cache"), "offline", "--data", "snli_1.0_train.jsonl",
                  str(tmp_path / "nli" / "snli"), "stanfordnlp/snli"):  # fmt: skip
        assert words in str(caught.value)
    with pytest.raises(DataError, match="no data folder is set"):
        task("scitail", None)


@pytest.mark.parametrize(("name", "train"), [("snli", 19999), ("scitail", None)])
def test_real_sets_have_the_published_counts(shared: Path, name: str, train: int | None) -> None:
    real, known = task(name, shared), facts.of(name)
    splits = {split: real.load(split) for split in real.splits}
    assert {split: len(found) for split, found in splits.items()} == {
        **({"train": train} if train else {}),  # a part of the published one
        **{split: known.splits[split] for split in ("dev", "test")},
    }
    for found in splits.values():
        assert {example.label for example in found} == set(known.labels)
        assert len({example.id for example in found}) == len(found)
    shares = {"snli": ("entailment", 3329), "scitail": ("entailment", 657)}
    label, count = shares[name]
    assert Counter(example.label for example in splits["dev"])[label] == count
