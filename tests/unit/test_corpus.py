"""Sentences, paragraphs and documents: by hand, in every format, on real text where it is here."""

import gzip
import itertools
import json
import time
from pathlib import Path

import pytest

from lmcompare.errors import DataError, UserError
from lmcompare.text.corpus import documents, fingerprint, looks_like_sentences
from lmcompare.text.sentences import ended, paragraphs, split

RUNNING = """The lamp had gone out. Nobody, it seemed, had noticed
that the oil was low, and Mr.
Hale saw it last.

"Is there more?" she asked. He said
there was none!
"""


@pytest.mark.parametrize(
    "marked",
    [
        "It rained.|We went in.",
        "Mr. and Mrs. J. R. Low saw Dr. Ash at St. Ives.|They left.",
        "He works in the U.S. Senate.|She lives in the U.S.|He does not.",
        'He cried, "Stop!"|Nobody did.',
        '"Who is it?" said the man.|"Me."|She came in.',
        "(It was late.)|The door was shut.",
        "She waited...|Then she left.",
        "He waited ... and left.",
        "It cost 3.50 in 1999.|That was much.",
        "See No. 5 and vol. 2, e.g. Smith.|The answer was no.|Anna wept.",
        "1. The first point is this.|2. The second is that.",
        "Was it he or I?|It was I.|He knew.",
        "Acme Inc. Holdings grew.|It sold Bolt Inc.|The end.",
        "What?!|No way!",
        "“Yes.”|‘No.’|Dann Ähre.",
        "one without an end",
    ],
)
def test_sentences(marked: str) -> None:
    assert split(marked.replace("|", " ")) == marked.split("|")


def test_splitting_keeps_every_word_and_mends_white_space() -> None:
    text = " A  line.\nAnother\u2028one,\t here! \r\n"
    assert split(text) == ["A line.", "Another one, here!"]
    assert split("") == split(" \n\t ") == []


def test_where_a_line_ends_a_sentence() -> None:
    assert all(map(ended, ("So.", 'He said "no."', "(Why?)", "And …", "Yes! ")))
    assert not any(map(ended, ("So", "CHAPTER I", "and,", "")))


def test_wrapped_lines_are_joined_and_headings_are_not() -> None:
    wrapped = [
        "CHAPTER I",
        "The house stood on a hill, and from its upper windows a man could",
        "see the harbor, the mole and the light. It belonged to the old",
        "Captain, who never used it. He lived on the quay, in a mother-",
        "of-pearl world of his own.",
    ]
    heading, body = paragraphs(wrapped)
    assert heading == "CHAPTER I"
    assert "could see the harbor" in body and "old Captain" in body and "mother-of-pearl" in body


def test_a_paragraph_a_line_stays_one() -> None:
    lines = [
        "Early life.",
        "Born in 1900, he left school at ten.",
        "Works",
        "Three books. Much more.",
    ]
    assert list(paragraphs(lines)) == lines


@pytest.mark.parametrize(
    "text",
    [
        "a" * 2_000_000,
        ". " * 200_000,
        "." * 2_000_000,
        ".'" * 500_000,
        "A. " * 200_000,
        "word " * 400_000,
    ],
    ids=["letters", "spaced-dots", "dots", "dot-quotes", "initials", "words"],
)
def test_no_text_takes_more_than_linear_time(text: str) -> None:
    begin = time.perf_counter()
    assert "".join(split(text)).replace(" ", "") == text.replace(" ", "")
    assert time.perf_counter() - begin < 3


def test_one_sentence_a_line_with_empty_lines_between_documents(tmp_path: Path) -> None:
    path = tmp_path / "bert.txt"
    path.write_text("\nOne here. ok\nTwo here.\n\n\nThree here.\nFour here.\n")
    found = [["One here. ok", "Two here."], ["Three here.", "Four here."]]
    assert list(documents(path)) == found
    assert list(documents(path, sentences="lines")) == found


def test_running_text_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "novel.txt"
    path.write_text(RUNNING)
    assert list(documents(path)) == [
        [
            "The lamp had gone out.",
            "Nobody, it seemed, had noticed that the oil was low, and Mr. Hale saw it last.",
            '"Is there more?" she asked.',
            "He said there was none!",
        ]
    ]


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (["I came.", "I saw.", "I won."], True),
        (["the red cat sees a dog"] * 40, True),  # no sentence ends at all
        (["One. Two. Three.", "Four. Five."], False),
        (RUNNING.split("\n"), False),
        ([], True),
    ],
    ids=["sentences", "unmarked", "paragraphs", "wrapped", "nothing"],
)
def test_the_rule_for_text_files(lines: list[str], answer: bool) -> None:
    assert looks_like_sentences(lines) is answer


def test_json_lines_hold_a_document_each(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    rows = [{"text": "Title.\nOne. Two\nmore. Three!"}, {"text": " "}, {"text": "Last one"}]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    assert list(documents(path)) == [["Title.", "One.", "Two more.", "Three!"], ["Last one"]]
    with pytest.raises(DataError, match="no key 'body'; known: text"):
        list(documents(path, field="body"))


def test_a_document_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": 7}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:1:1: key 'text' holds no text but int"):
        list(documents(path))


def test_columnar_files_give_the_same_documents(tmp_path: Path) -> None:
    import pyarrow.parquet

    texts = ["One. Two.", "Three.\n\nFour."]
    table = pyarrow.table({"text": texts, "n": [1, 2]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pyarrow.ipc.new_file(tmp_path / "file.arrow", table.schema) as sink:
        sink.write(table)
    with pyarrow.ipc.new_stream(tmp_path / "stream.arrow", table.schema) as sink:
        sink.write(table)
    for name in ("a.parquet", "file.arrow", "stream.arrow"):
        assert list(documents(tmp_path / name)) == [["One.", "Two."], ["Three.", "Four."]]
        whole = (tmp_path / name).read_bytes()
        (tmp_path / f"cut-{name}").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match="not a whole"):
            list(documents(tmp_path / f"cut-{name}"))
    with pytest.raises(DataError, match="no column 'body'"):
        list(documents(tmp_path / "a.parquet", field="body"))


@pytest.mark.slow
def test_a_folder_that_datasets_has_saved(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    saved = datasets.Dataset.from_dict({"text": ["One. Two.", "Three."]})
    saved.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": saved}).save_to_disk(tmp_path / "many")
    for name in ("one", "many"):
        assert list(documents(tmp_path / name)) == [["One.", "Two."], ["Three."]]
        assert len(fingerprint(tmp_path / name)) == 64
    (tmp_path / "one" / "state.json").write_text("{")
    with pytest.raises(DataError, match="cannot load"):
        list(documents(tmp_path / "one"))


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.txt").write_text("From b one.\n")
    (tmp_path / "c.txt").write_text("From c.\n")
    (tmp_path / "a.jsonl").write_text('{"text": "From a."}\n')
    (tmp_path / "notes.md").write_text("Not text.\n")
    assert list(documents(tmp_path)) == [["From a."], ["From b one."], ["From c."]]


def test_the_fingerprint_follows_names_and_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "x" / "a.txt", tmp_path / "y" / "a.txt"
    for path in (first, second):
        path.parent.mkdir()
        path.write_text("Same.\n")
    seen = {fingerprint(first.parent)}
    assert fingerprint(second.parent) in seen
    assert fingerprint(first) == fingerprint(second)
    second.write_text("Same!\n")
    seen.add(fingerprint(second.parent))
    second.rename(second.with_name("b.txt"))
    seen.add(fingerprint(second.parent))
    assert len(seen) == 3


def test_a_missing_or_empty_corpus_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        documents(tmp_path / "none.txt")
    with pytest.raises(DataError, match="no text in this folder"):
        documents(tmp_path)
    with pytest.raises(DataError, match="must end in"):
        documents(Path(__file__))
    (tmp_path / "blank.txt").write_text(" \n\n \n")
    with pytest.raises(DataError, match="no sentence in this corpus"):
        next(documents(tmp_path / "blank.txt"))
    with pytest.raises(UserError, match="did you mean 'lines'"):
        documents(tmp_path / "blank.txt", sentences="line")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("enwiki2014/part-00.jsonl.gz", 15, 23),
        ("english_novels_100.jsonl.gz", 13, 23),
        ("eltec_eng_novels.jsonl.gz", 13, 26),
    ],
)
def test_real_text_gives_sentences_of_usual_length(
    shared: Path, name: str, least: float, most: float
) -> None:
    found = itertools.islice(documents(shared / "unlabelled" / name), 12)
    words = [len(sentence.split()) for document in found for sentence in document]
    assert least < sum(words) / len(words) < most
    assert max(words) < 600


def test_the_original_sample_text_has_three_documents(shared: Path) -> None:
    path = shared / "parity" / "bert_vocab" / "google_bert_sample_text.txt"
    if not path.is_file():
        pytest.skip("needs the sample text of the original BERT")
    expected = [block.split("\n") for block in path.read_text().strip().split("\n\n")]
    assert list(documents(path)) == [[s.strip() for s in block] for block in expected]
