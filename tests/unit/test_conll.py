"""CoNLL-2003's layouts: sentences, tags from IOB1, documents, and what is no such file."""

import gzip
import warnings
from pathlib import Path
from typing import Any

import pytest

from lmcompare import registry
from lmcompare.errors import DataError, UserError
from lmcompare.metrics import entities
from lmcompare.tasks import checks, facts
from lmcompare.tasks.conll import LABELS, bio
from lmcompare.types import Example, Task

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
TEXT = """-DOCSTART- -X- -X- O

Ann NNP I-NP I-PER
Lee NNP I-NP I-PER
Bob NNP I-NP B-PER
met VB I-VP O
Rome NNP I-NP I-LOC

-DOCSTART- -X- O O

It PRP I-NP O
"""


def test_reads_its_own_layout(tmp_path: Path) -> None:
    (tmp_path / "eng.train").write_text(TEXT)
    first, second = registry.tasks.build({"name": "conll2003"}, tmp_path).load("train")
    assert first.words == ("Ann", "Lee", "Bob", "met", "Rome")
    assert first.label == ("B-PER", "I-PER", "B-PER", "O", "B-LOC")
    assert (second.words, second.label) == (("It",), ("O",))


def test_bio_keeps_the_entities() -> None:
    for tags in (("I-PER", "I-LOC", "B-LOC", "I-LOC"), ("B-PER", "I-PER", "O", "I-ORG"), ("O",)):
        assert list(entities(bio(tags))) == list(entities(tags))
        assert bio(bio(tags)) == bio(tags)


@pytest.mark.parametrize(
    ("line", "said"), [("Ann NNP I-PER", ":2:1: 3 columns"), ("Ann N I I-XYZ", "'I-XYZ' is no tag")]
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "eng.train").write_text(f"a b c O\n{line}\n")
    with pytest.raises(DataError, match=said):
        registry.tasks.build({"name": "conll2003"}, tmp_path).load("train")


def task(folder: Path, **settings: Any) -> Task:
    return registry.tasks.build({"name": "conll2003", **settings}, folder)


def four(text: str) -> str:
    """Words and tags with the two columns between them."""
    return "".join(f"{' N I '.join(line.split())}\n" if line.strip() else "\n" for line in text.split("\n"))


def test_copies_with_common_names_and_two_or_four_columns(tmp_path: Path) -> None:
    two = "-DOCSTART- O\n\nAnn B-PER\nLee I-PER\nran O\n\nRome B-LOC\n"
    (tmp_path / "train.txt").write_text(two)
    with pytest.raises(DataError, match=r"^conll2003: .*looked for eng\.train, or train\.txt and valid\.txt"):
        task(tmp_path)  # any set may have a train.txt
    (tmp_path / "valid.txt.gz").write_bytes(gzip.compress(four(two).encode()))
    found = task(tmp_path)
    assert found.splits == ("train", "dev")
    for split in found.splits:
        first, second = found.load(split)
        assert (first.words, first.label) == (("Ann", "Lee", "ran"), ("B-PER", "I-PER", "O"))
        assert (second.id, second.label) == (f"conll2003-{split}-2", ("B-LOC",))
    assert len(task(tmp_path, limit=1).load("train")) == 1
    with pytest.raises(DataError, match="no split 'test' here"):
        found.load("test")


def test_columns_do_not_change_within_a_file(tmp_path: Path) -> None:
    (tmp_path / "eng.train").write_text("Ann I-PER\nLee NNP I-NP I-PER\n")
    with pytest.raises(DataError, match=r"eng\.train:2:1: 4 columns; word and tag are 2"):
        task(tmp_path).load("train")
    (tmp_path / "eng.train").write_text("Ann\n")
    with pytest.raises(
        DataError, match=r"eng\.train:1:1: 1 columns; word, part of speech, chunk and entity are 4"
    ):
        task(tmp_path).load("train")
    (tmp_path / "eng.train").write_text("-DOCSTART- -X- O O\n\n")
    with pytest.raises(DataError, match="train holds no sentence"):
        task(tmp_path).load("train")


def test_a_bad_sentence_is_left_out_whole_and_counted(tmp_path: Path) -> None:
    (tmp_path / "eng.train").write_text("-DOCSTART- O\n\nAnn I-PER\n\nBob I-XYZ\nran O\n\nRome I-LOC\n")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        first, second = task(tmp_path, on_bad_row="skip", context="document").load("train")
    assert "bad rows left out: 1" in str(told[0].message) and ":5:5: 'I-XYZ' is no tag" in str(
        told[0].message
    )
    assert (first.words, first.after) == (("Ann",), ("Rome",)) and second.id == "conll2003-train-3"


# --- documents ----------------------------------------------------------------------------------


def test_with_its_document_a_sentence_has_all_words_around_it(tmp_path: Path) -> None:
    (tmp_path / "eng.train").write_text(TEXT + "\nran VB I-VP O\n")
    bare, around = task(tmp_path).load("train"), task(tmp_path, context="document").load("train")
    assert [(e.before, e.after) for e in around] == [((), ()), ((), ("ran",)), (("It",), ())]
    assert [Example(e.id, (), e.label, words=e.words) for e in around] == bare
    assert checks.digest(around) != checks.digest(bare)
    short = task(tmp_path, context="document", limit=2).load("train")
    assert short == around[:2]  # what a limit cuts off is context still


def test_without_borders_there_are_no_documents(tmp_path: Path) -> None:
    (tmp_path / "eng.train").write_text("Ann I-PER\n")
    with pytest.raises(DataError, match=r"train: no -DOCSTART- line.*task\.context=sentence"):
        task(tmp_path, context="document").load("train")
    with pytest.raises(UserError, match="context"):
        task(tmp_path, context="paragraph")


# --- tables of `datasets` -----------------------------------------------------------------------


def saved(folder: Path, rows: list[tuple[list[str], list[Any]]], names: list[str] | None) -> None:
    datasets = pytest.importorskip("datasets")
    kind = datasets.ClassLabel(names=names) if names else datasets.Value("string")
    features = datasets.Features(
        {"tokens": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(kind)}
    )
    columns = {"tokens": [words for words, _ in rows], "ner_tags": [tags for _, tags in rows]}
    table = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict({"train": table, "validation": table}).save_to_disk(folder)


def test_tables_name_their_tags_in_any_order(tmp_path: Path) -> None:
    names = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC"]
    assert set(names) == set(LABELS) and names != list(LABELS)
    saved(tmp_path / "conll2003", [(["Ann", "in", "Rome"], [1, 0, 5]), ([], [])], names)
    found = task(tmp_path)
    assert found.splits == ("train", "dev") and str(tmp_path) in found.source
    assert [e.label for e in found.load("dev")] == [("B-PER", "O", "B-LOC")]
    with pytest.raises(DataError, match="no -DOCSTART- line"):
        task(tmp_path, context="document").load("train")


@pytest.mark.parametrize(
    ("tags", "said"), [(["B-PER"], "is no list of 2 tags"), (["O", "B-TIME"], "'B-TIME' is no tag of PER")]
)
def test_a_bad_row_of_a_table_is_named(tmp_path: Path, tags: list[str], said: str) -> None:
    saved(tmp_path / "conll2003", [(["-DOCSTART-"], ["O"]), (["Ann", "ran"], tags)], None)
    with pytest.raises(DataError, match=f"row 2, ner_tags: .*{said}"):
        task(tmp_path).load("train")


# --- the real files -----------------------------------------------------------------------------


def test_the_official_counts() -> None:
    if not REAL.is_dir():
        pytest.skip("CoNLL-2003 is not here (../shared/data)")
    counts = {"train": (14041, 203621), "dev": (3250, 51362), "test": (3453, 46435)}
    documents = {"train": 946, "dev": 216, "test": 231}
    bare, around = task(REAL), task(REAL, context="document")
    for split, (sentences, words) in counts.items():
        examples = bare.load(split)
        assert (len(examples), sum(len(e.words) for e in examples)) == (sentences, words)
        assert len(examples) == facts.of("conll2003").splits[split]
        wide = around.load(split)
        assert [(e.words, e.label) for e in wide] == [(e.words, e.label) for e in examples]
        whole = [e.before + e.words + e.after for e in wide]
        assert sum(len(all_) for all_, e in zip(whole, wide, strict=True) if not e.before) == words
        assert sum(not e.before for e in wide) == documents[split]
