"""Bad files of one's own, through every reader: one sentence with file, line and column, and nothing lost."""

import io
import json
import re
import time
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from lmcompare.errors import DataError
from lmcompare.experiments.task_data import read_task
from tests.faults.test_data import write

SAID = {"text": "text", "label": "label", "kind": "classify"}
TABLES = ("csv", "tsv", "jsonl", "parquet")
Rows = list[dict[str, Any]]


def packed(rows: Rows, **more: Any) -> bytes:
    made = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, **more), made)
    return made.getvalue()


def content(ending: str, rows: Rows) -> bytes:
    if ending == "parquet":
        return packed(rows)
    if ending == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    mark = {"csv": ",", "tsv": "\t"}[ending]
    told = [list(rows[0]), *([str("" if v is None else v) for v in row.values()] for row in rows)]
    return "".join(mark.join(line) + "\n" for line in told).encode()


def load(path: Path, **said: Any) -> Any:
    return read_task({"name": str(path), **{**SAID, **said}}, None)


def refused(path: Path, place: str, says: str, **said: Any) -> None:
    begin = time.process_time()
    with pytest.raises(DataError) as caught:
        load(path, **said)
    message = str(caught.value)
    assert message.startswith((f"{path}:{place}: ", f"{path}:{place} (question ")), message
    assert re.search(says, message), message
    assert "\n" not in message and len(message) < 600 and caught.value.status == 3
    assert time.process_time() - begin < 2


def labelled(*labels: Any) -> Rows:
    return [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)]


# F26: the shape of the file


@pytest.mark.parametrize(
    ("ending", "says"),
    [
        *((ending, "empty") for ending in ("csv", "tsv", "jsonl", "json", "conll")),
        ("parquet", "not a whole Parquet file"),
    ],
)
def test_f26_empty_files(tmp_path: Path, ending: str, says: str) -> None:
    path = write(tmp_path / f"a.{ending}", b"")
    refused(path, "1:1", says, kind=None, text="", label="")
    toml = write(tmp_path / "a.toml", b"")
    with pytest.raises(DataError, match=rf"{toml}:1:1: no key 'train'"):
        load(toml)


@pytest.mark.parametrize("ending", TABLES)
def test_f26_columns(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a.{ending}", content(ending, labelled("a", "b")))
    refused(path, "1:1", "no (column|key) 'txt'; did you mean 'text'", text="txt")
    refused(path, "1:1", "no (column|key) 'lable'; did you mean 'label'", label="lable")
    turned = [{"label": r["label"], "more": 1, "text": r["text"]} for r in labelled(*"abab" * 5)]
    found = load(write(tmp_path / f"b.{ending}", content(ending, turned)))
    assert {e.label for e in found.splits["train"]} == {"a", "b"}


@pytest.mark.parametrize("said", [SAID, {"kind": None, "text": "", "label": ""}])
@pytest.mark.parametrize(
    ("ending", "mark", "says"),
    [
        ("csv", ";", "with a semicolon in it .* save it with commas"),
        ("csv", "\t", r"with a tab in it .* let its name end in \.tsv"),
        ("tsv", ",", r"with a comma in it .* let its name end in \.csv"),
        ("tsv", ";", "with a semicolon in it .* save it with tabs"),
    ],
)
def test_f26_another_separator(
    tmp_path: Path, ending: str, mark: str, says: str, said: dict[str, Any]
) -> None:
    rows = content("tsv", labelled(*"ab" * 10)).decode().replace("\t", mark)
    refused(write(tmp_path / f"a.{ending}", rows), "1:1", f"the header is a single field {says}", **said)


def test_f26_no_header(tmp_path: Path) -> None:
    rows = "".join(f"this is the text {n},{'ab'[n % 2]},{'long ' * 20}\n" for n in range(20))
    path = write(tmp_path / "a.csv", rows)
    says = (
        r"line 1 does not look like a header \('this is the text 0', 'a', 'long long long long long long …'\)"
    )
    refused(path, "1:1", f"{says}; no column 'text': add a line")
    refused(path, "1:1", rf"{says}; add one, .*task\.columns=\[", kind=None, text="", label="")
    assert load(path, columns=["text", "label", "more"]).task.labels == ("a", "b")


def test_f26_a_parquet_file_without_rows_or_with_a_column_twice(tmp_path: Path) -> None:
    schema = pyarrow.schema([("text", pyarrow.string()), ("label", pyarrow.string())])
    refused(write(tmp_path / "a.parquet", packed([], schema=schema)), "1:1", "at least one row")
    column = pyarrow.array(["x"])
    made = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table([column] * 3, names=["text", "label", "text"]), made)
    refused(write(tmp_path / "b.parquet", made.getvalue()), "1:3", "column 'text' stands twice")
    made = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({}), made)
    refused(write(tmp_path / "c.parquet", made.getvalue()), "1:1", "the file has no columns")


# F27: bytes and line ends


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "conll", "json", "toml"])
@pytest.mark.parametrize(
    ("bad", "says"),
    [(b"ab\0", r"byte \d+ is NUL"), (b"\xc3\xa9\xff", r"byte \d+ \(0xff\) is not valid UTF-8")],
)
def test_f27_no_text(tmp_path: Path, ending: str, bad: bytes, says: str) -> None:
    rows = content("csv" if ending not in TABLES else ending, labelled("a", "b"))
    path = write(tmp_path / f"a.{ending}", rows + bad)
    refused(
        path,
        r"PLACE".replace("PLACE", f"{rows.count(10) + 1}:{3 if bad[2:] == bytes(1) else 2}"),
        says,
        kind=None,
    )


MARKS = ["\u2028", "\u0085", "\x0b", "\x1c", "\u00a0", "\ufeff"]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("ending", TABLES)
def test_f27_odd_characters_stay_in_texts_and_labels(tmp_path: Path, ending: str, mark: str) -> None:
    rows = [{"text": f"a{mark}b {n}", "label": f"c{mark}d{n % 2}"} for n in range(20)]
    found = load(write(tmp_path / f"a.{ending}", content(ending, rows)))
    examples = [e for part in found.splits.values() for e in part]
    assert {(e.texts[0], e.label) for e in examples} == {(r["text"], r["label"]) for r in rows}


@pytest.mark.parametrize("mark", MARKS[:-1])
def test_f27_odd_characters_stay_in_words(tmp_path: Path, mark: str) -> None:
    path = write(tmp_path / "a.conll", "".join(f"a{mark}b O\r\nc{n} B-x\r\n\r\n" for n in range(20)))
    found = load(path, kind="tags", text="", label="")
    assert {e.words[0] for e in found.splits["train"]} == {f"a{mark}b"}
    assert found.task.labels == ("O", "B-x")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "conll", "toml"])
def test_f27_marks_of_byte_order_are_read_over(tmp_path: Path, ending: str, encoding: str) -> None:
    rows = write(tmp_path / "rows.csv", content("csv", labelled(*"ab" * 10)))
    told = {
        "toml": f'train = "{rows.name}"\n',
        "conll": "".join(f"é{n} O\n\n" for n in range(20)),
    }
    text = told.get(ending) or content(ending, labelled(*"ab" * 10)).decode()
    path = write(tmp_path / f"a.{ending}", text.replace("\n", "\r\n").encode(encoding))
    said = {"kind": "tags", "text": "", "label": ""} if ending == "conll" else {}
    assert sum(load(path, **said).sizes.values()) == 20


# F29: text that looks like something else


@pytest.mark.parametrize("text", ["NA", "null", "None", "nan", "007", "true", "1e5", ""])
@pytest.mark.parametrize("ending", TABLES)
def test_f29_texts_and_labels_are_never_converted(tmp_path: Path, ending: str, text: str) -> None:
    rows = [{"text": text, "label": text or "x"}, *labelled(*"yz" * 9)]
    found = load(write(tmp_path / f"a.{ending}", content(ending, rows)))
    examples = [e for part in found.splits.values() for e in part]
    assert ((text,), text or "x") in [(e.texts, e.label) for e in examples]
    assert text in ("", *found.task.labels)


@pytest.mark.parametrize("word", ["NA", "null", "007", "-DOCSTART", "#", "O"])
def test_f29_words_and_tags_are_never_converted(tmp_path: Path, word: str) -> None:
    path = write(tmp_path / "a.conll", "".join(f"{word}\tNA\nx{n}\tO\n\n" for n in range(20)))
    found = load(path, kind="tags", text="", label="")
    assert {e.words[0] for e in found.splits["train"]} == {word} and "NA" in found.task.labels


# F30: fields and columns too many, too few


@pytest.mark.parametrize(
    ("line", "place", "says"),
    [
        ("one", "3:1", "one column alone"),
        ("one O x", "3:7", "3 columns where the lines before have 2"),
        ("one\t", "3:5", "column 2 is empty"),
        ("\tO", "3:1", "column 1 is empty"),
    ],
)
def test_f30_columns_of_words(tmp_path: Path, line: str, place: str, says: str) -> None:
    good = "".join(f"x{n} O\n\n" for n in range(20))
    path = write(tmp_path / "a.conll", f"a O\nb O\n{line}\nc O\n\n{good}")
    refused(path, place, says, kind="tags", text="", label="")
    found = load(path, kind="tags", text="", label="", on_bad_row="skip")
    assert sum(found.sizes.values()) == 20
    assert f"bad rows left out: 1; the first: {path}:{place}" in found.warnings[0]


def test_f30_columns_that_are_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", "a O\n")
    refused(path, "1:1", "'3' is not one of the 2 columns", kind="tags", text="3", label="")
    refused(path, "1:1", "'tag' is not one of the 2 columns", kind="tags", text="", label="tag")


# F31: labels


@pytest.mark.parametrize("ending", TABLES)
@pytest.mark.parametrize("kind", ["classify", "score"])
def test_f31_labels_that_are_missing(tmp_path: Path, ending: str, kind: str) -> None:
    values = ["1", "2"] if ending in ("csv", "tsv") else [1, 2]
    path = write(tmp_path / f"a.{ending}", content(ending, labelled(*values, None, *values * 9)))
    place = {"jsonl": "3:1", "parquet": "3:2"}.get(ending, "4:8")
    refused(path, place, r"the label is missing \('label'\)", kind=kind)
    found = load(path, kind=kind, on_bad_row="skip")
    assert sum(found.sizes.values()) == 20 and "bad rows left out: 1" in found.warnings[0]
    assert load(path, kind=kind, on_bad_row="skip", test=str(path)).sizes["test"] == 21


@pytest.mark.parametrize("ending", TABLES)
def test_f31_labels_spelled_in_two_ways(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a.{ending}", content(ending, labelled("good", "bad", "Good", *["bad"] * 20)))
    line = 1 if ending in ("jsonl", "parquet") else 2
    place = {"jsonl": "3:1", "parquet": "3:2"}.get(ending, "4:8")
    refused(path, place, f"'Good' is spelled 'good' in line {line}; spell them alike, or list both")
    assert load(path, labels=["Good", "good", "bad"]).task.labels == ("Good", "good", "bad")


@pytest.mark.parametrize("again", ["1.0", "01", "1e0", "+1"])
def test_f31_one_number_written_in_two_ways(tmp_path: Path, again: str) -> None:
    path = write(tmp_path / "a.csv", content("csv", labelled("1", "0", again, *["0"] * 20)))
    refused(path, "4:8", f"'{re.escape(again)}' is spelled '1' in line 2; spell them alike, or list both")
    assert load(path, labels=["1", again, "0"]).task.labels == ("1", again, "0")
    far = str(2**53)
    found = load(write(tmp_path / "b.csv", content("csv", labelled(*[far, f"{2**53 + 1}", "1e400"] * 9))))
    assert len(found.task.labels) == 3


@pytest.mark.parametrize("label", ["4,5", "1e999", "nan", "inf", "half", "\u0663"])
def test_f31_scores_that_are_none(tmp_path: Path, label: str) -> None:
    for ending, place in (("tsv", "3:8"), ("jsonl", "2:1"), ("parquet", "2:2")):
        path = write(tmp_path / f"a.{ending}", content(ending, labelled("1.5", label)))
        refused(path, place, "is not a (finite )?number", kind="score")


@pytest.mark.parametrize("label", ["3", "-1", "D", "yes", "1.0"])
def test_f31_choices_that_name_no_option(tmp_path: Path, label: str) -> None:
    rows = [{"text": "x", "a": "one", "b": "two", "c": "three", "label": gold} for gold in ("0", label)]
    path = write(tmp_path / "a.tsv", content("tsv", rows))
    refused(
        path,
        "3:17",
        "names none of 3 options; they are counted from 0",
        kind="choice",
        options=["a", "b", "c"],
    )


def test_f31_tags_that_do_not_fit_their_words(tmp_path: Path) -> None:
    rows = [{"words": ["a", "b"], "tags": ["O", "O"]}, {"words": ["a", "b"], "tags": ["O"]}]
    said = {"kind": "tags", "text": "words", "label": "tags"}
    for ending, place in (("jsonl", "2:1"), ("parquet", "2:2")):
        refused(write(tmp_path / f"a.{ending}", content(ending, rows)), place, "1 tags for 2 words", **said)
    conll = write(tmp_path / "a.conll", "a O\n\nb B-x\nc B-y\n")
    refused(
        conll,
        "4:3",
        "'B-y' is not a label; did you mean 'B-x'",
        kind="tags",
        text="",
        label="",
        labels=["O", "B-x"],
    )


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"text": ["b"], "answer_start": [0]}, "'b' does not stand at answer_start 0"),
        ({"text": ["b", "a"], "answer_start": [0]}, "not equally long"),
        ([{"text": "a"}], "no key 'answer_start'"),
        ([{"text": "a", "answer_start": "0"}], "is text where a whole number"),
        (["a"], "text where an object"),
        ("z", "stands nowhere in the context"),
        (None, "answers"),
    ],
)
def test_f31_answers_that_do_not_stand_in_their_context(tmp_path: Path, answers: Any, says: str) -> None:
    good = {"question": "q", "context": "a b", "answers": answers}
    path = write(tmp_path / "a.jsonl", content("jsonl", [good]))
    refused(path, "1:1", says, kind="span", text="question", pair="context", label="answers")


# What a text cannot be


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (7, "a number in 'text'"),
        (None, "null in 'text'"),
        (True, "true or false in 'text'"),
        (["x"], "a list in"),
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_f37_texts_that_are_none(tmp_path: Path, ending: str, value: Any, says: str) -> None:
    path = write(tmp_path / f"a.{ending}", content(ending, [{"label": "a", "text": value}] * 3))
    refused(path, "1:1" if ending == "jsonl" else "1:2", says)


def test_f37_parquet_labels_of_every_plain_type(tmp_path: Path) -> None:
    for values, names in (([1, 2], ("1", "2")), ([True, False], ("false", "true")), (["x", "y"], ("x", "y"))):
        found = load(write(tmp_path / "a.parquet", packed(labelled(*values * 10))))
        assert found.task.labels == names
    coded = pyarrow.table(
        {"text": [f"t{n}" for n in range(20)], "label": pyarrow.array(["a", "b"] * 10).dictionary_encode()}
    )
    made = io.BytesIO()
    pyarrow.parquet.write_table(coded, made)
    assert load(write(tmp_path / "b.parquet", made.getvalue())).task.labels == ("a", "b")
    odd = {"text": ["x"], "label": pyarrow.array([0], pyarrow.timestamp("s"))}
    made = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(odd), made)
    refused(write(tmp_path / "c.parquet", made.getvalue()), "1:2", "column 'label' holds timestamp")
    made = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array([b"\xff"]), "label": ["x"]}), made)
    refused(write(tmp_path / "d.parquet", made.getvalue()), "1:1", "column 'text' holds binary")


def test_f37_parquet_text_that_is_no_text_is_named_by_its_row(tmp_path: Path) -> None:
    rows = labelled(*"ab" * 5)
    refused(
        write(tmp_path / "a.parquet", packed([*rows, {"text": "a\0", "label": "a"}])),
        "11:1",
        "a NUL in 'text'",
    )
    bad = packed([*rows, {"text": "QQQQ", "label": "a"}]).replace(b"QQQQ", b"Q\xff\xffQ")
    refused(write(tmp_path / "b.parquet", bad), r"1:1", "not a whole Parquet file")


def test_f37_a_task_file_that_is_none(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", content("csv", labelled(*"ab" * 10)))
    for text, place, says in (
        ('train = "a.csv"\nlable = "label"\n', "2:1", "unknown key 'lable'; did you mean 'label'"),
        ('train = "a.csv"\n[labels]\na = 1\n', "2:1", "labels: "),
        ('train = "a.csv"\nlimit = true\n', "2:1", "limit: True is not a number"),
        ('train = "a.csv"\nkind = "sort"\n', "2:1", "kind: 'sort'"),
        ('train = "a.csv\n', "1:15", "not readable as TOML: unterminated string"),
        ('train = "a.csv"\ntrain = "b.csv"\n', "2:16", "cannot overwrite a value"),
        ("train = " + "[" * 100_000, "1:1", "nested far deeper"),
        ("limit = " + "9" * 5000, "1:1", "not readable as TOML"),
        ('name = "../x"\ntrain = "a.csv"\n', "1:1", "name '../x': use 1 to 60"),
        ('train = "a.csv"\nname = 7\n', "2:1", "name: 7"),
        ('train = "a.csv"\nmetrics = ["acc"]\n', "2:1", "unknown metric 'acc'; did you mean 'accuracy'"),
    ):
        refused(write(tmp_path / "my.toml", text), place, says)
    write(tmp_path / "my.toml", 'train = "none.csv"\n')
    with pytest.raises(DataError, match=rf"{tmp_path}/none\.csv: no such file"):
        load(tmp_path / "my.toml")
