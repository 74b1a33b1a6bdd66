"""The strict readers: what is accepted, what each row holds, and where a message points."""

import csv
import gc
import gzip
import io
import os
import warnings
from pathlib import Path

import pytest

from lmcompare.errors import DataError, UserError
from lmcompare.text import lines as line_reader
from lmcompare.text.lines import lines
from lmcompare.text.tables import Table, read_csv, read_jsonl, read_table, read_tsv


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def values(table: Table) -> list[tuple[object, ...]]:
    return [tuple(row.values.values()) for row in table.rows]


def test_tsv_rows_by_name_with_their_lines(tmp_path: Path) -> None:
    table = read_tsv(write(tmp_path / "a.tsv", "label\ttext\n1\tone\n0\ttwo  \n"))
    assert table.columns == ("label", "text")
    assert [row.line for row in table.rows] == [2, 3]
    assert table.rows[1].values == {"label": "0", "text": "two  "}
    assert table.skipped == ()


def test_tsv_without_a_header_takes_the_names_given(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "x\t1\ny\t2\n")
    table = read_tsv(path, columns=("text", "label"), header=False)
    assert values(table) == [("x", "1"), ("y", "2")]
    assert table.rows[0].line == 1


def test_a_header_of_one_column_may_hold_any_separator_where_nothing_is_missed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "text, as it stands\nx\n")
    assert read_tsv(path, columns=["text, as it stands"]).columns == read_tsv(path).columns
    with pytest.raises(DataError, match=r"a\.tsv:1:1: the header is a single field with a comma in it"):
        read_tsv(path, columns=["text"])
    with pytest.raises(DataError, match=r"b\.txt:1:1: no column 'text'"):
        read_tsv(write(tmp_path / "b.txt", "a,b\nx\n"), columns=["text"])


def test_a_first_line_of_data_is_not_taken_for_a_header(tmp_path: Path) -> None:
    rows = write(tmp_path / "a.tsv", "a text of some words\t1\tx\ty\n")
    with pytest.raises(DataError, match=r"line 1 does not look like a header \('a text .*', '1', 'x', …\)"):
        read_tsv(rows, columns=["text", "label"])
    with pytest.raises(DataError, match="no column 'txt'; known: label, what was said in it"):
        read_tsv(write(tmp_path / "b.tsv", "label\twhat was said in it\n"), columns=["label", "txt"])


def test_a_value_is_found_again_by_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "a\tb\tc\nxx\tyyy\tz\n")
    table = read_tsv(path)
    assert str(table.fault(table.rows[0], "c", "odd")) == f"{path}:2:8: odd"


def test_csv_as_the_standard_library_reads_it(tmp_path: Path) -> None:
    rows = [
        ["text", "note"],
        ["plain", "a, b"],
        ['say "yes"', ""],
        ["two\nlines", "x"],
        ["\r\n", '"'],
        ["", "last\u2028one"],
    ]
    kept = io.StringIO(newline="")
    csv.writer(kept, lineterminator="\r\n").writerows(rows)
    table = read_csv(write(tmp_path / "a.csv", kept.getvalue()))
    assert values(table) == [tuple(row) for row in rows[1:]]
    assert [row.line for row in table.rows] == [2, 3, 4, 6, 8]


def test_csv_places_count_lines_within_quotes(tmp_path: Path) -> None:
    table = read_csv(write(tmp_path / "a.csv", 'a,b,c\n"one\ntwo",x,"y"\n'))
    assert table.rows[0].place("a") == (2, 1)
    assert table.rows[0].place("b") == (3, 6)
    assert table.rows[0].place("c") == (3, 8)


@pytest.mark.parametrize(
    ("row", "place", "says"),
    [
        ('5" disk,1', "2:2:", "not quoted"),
        ('"a" b,1', "2:4:", "after a closing quote"),
        ('"never closed,1', "2:1:", "never ends"),
    ],
)
def test_csv_quotes_that_break_the_rules(tmp_path: Path, row: str, place: str, says: str) -> None:
    path = write(tmp_path / "a.csv", f"a,b\n{row}\nx,y\n")
    with pytest.raises(DataError, match=says) as caught:
        read_csv(path)
    assert str(caught.value).startswith(f"{path}:{place}")


def test_a_stray_quote_in_csv_costs_one_row_when_skipping(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'a,b\n5" disk,1\nx,y\n"p\nq",r\n')
    table = read_csv(path, on_bad_row="skip")
    assert values(table) == [("x", "y"), ("p\nq", "r")]
    assert len(table.skipped) == 1


def test_jsonl_values_keep_their_types(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"t": "007", "n": 1, "l": null}\n{"n": 2.5, "t": "NA"}\n')
    table = read_jsonl(path, columns=("t",))
    assert table.columns == ("t", "n", "l")
    assert table.rows[0].values == {"t": "007", "n": 1, "l": None}
    assert table.rows[1].values == {"n": 2.5, "t": "NA"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[1]", "a list where an object"),
        ("3", "a number where an object"),
        ("", "empty line"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 1e999}', "too large"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"a": ' + "9" * 5000 + "}", "digits"),
        ('{"b": "x"}', "no key 'a'"),
        ('{"a": "x"} {"a": "y"}', "extra data"),
    ],
)
def test_json_that_is_no_row(tmp_path: Path, line: str, says: str) -> None:
    path = write(tmp_path / "a.jsonl", line + "\n")
    with pytest.raises(DataError, match=says) as caught:
        read_jsonl(path, columns=("a",))
    assert str(caught.value).startswith(f"{path}:1:")


def test_skipped_rows_are_named_and_a_limit_stops_early(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "a\tb\n1\t2\nbad\n3\t4\n5\t6\n")
    table = read_tsv(path, on_bad_row="skip")
    assert values(table) == [("1", "2"), ("3", "4"), ("5", "6")]
    assert len(table.skipped) == 1 and table.skipped[0].startswith(f"{path}:3:")
    assert values(read_tsv(path, limit=1)) == [("1", "2")]  # the bad row lies beyond it
    with pytest.raises(UserError, match="did you mean 'skip'"):
        read_tsv(path, on_bad_row="skipp")  # type: ignore[arg-type]


def test_a_file_of_bad_rows_only_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "a\tb\nx\ny\n")
    with pytest.raises(DataError, match="no row of 2 is good"):
        read_tsv(path, on_bad_row="skip")


def test_the_name_says_the_format_and_gzip_is_seen_by_its_bytes(tmp_path: Path) -> None:
    packed = gzip.compress(b"a\tb\nx\ty\n", mtime=0)
    assert values(read_table(write(tmp_path / "a.tsv.gz", packed))) == [("x", "y")]
    assert values(read_tsv(write(tmp_path / "b.tsv", packed))) == [("x", "y")]
    with pytest.raises(DataError, match="not gzip"):
        read_table(write(tmp_path / "c.tsv.gz", "a\tb\nx\ty\n"))
    with pytest.raises(DataError, match=r"must end in \.tsv"):
        read_table(write(tmp_path / "d.xlsx", "a"))


def test_no_such_file_a_folder_a_device_and_a_loop_are_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (tmp_path / "none.tsv", tmp_path, Path(os.devnull), loop):
        with pytest.raises(DataError) as caught:
            read_tsv(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_lines_do_not_depend_on_the_size_of_a_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "é\r\nzwei ☂\r\n\r\nvier\u2028x\ny\rz"
    expected = [(1, "é"), (2, "zwei ☂"), (3, ""), (4, "vier\u2028x"), (5, "y\rz")]
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path = write(tmp_path / encoding, text.encode(encoding))
        for size in (4, 5, 7, 1 << 20):
            monkeypatch.setattr(line_reader, "CHUNK", size)
            assert list(lines(path)) == expected


def test_a_bad_byte_is_placed_whatever_the_size_of_a_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.txt", "é\nab".encode() + b"\xe2\x82" + b"c\n")
    for size in (4, 5, 6, 7, 1 << 20):
        monkeypatch.setattr(line_reader, "CHUNK", size)
        with pytest.raises(DataError) as caught:
            list(lines(path))
        assert str(caught.value).startswith(f"{path}:2:3: byte 5 (0xe2)")


def test_a_line_beyond_all_measure_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_reader, "LONGEST", 1 << 20)
    with pytest.raises(DataError, match=r":1:1: a line of more than"):
        list(lines(write(tmp_path / "a.txt", "x" * (3 << 20))))


def test_a_packed_file_is_closed_when_it_is_read_or_left(tmp_path: Path) -> None:
    path = tmp_path / "rows.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\n"))
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        assert [line for _, line in lines(path)] == ["one", "two"]
        left = lines(path)
        assert next(left) == (1, "one")
        left.close()
        gc.collect()
    assert not raised
