"""Bad files of data: one clear sentence with its place, or the text untouched."""

import gzip
import io
import json
import re
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmcompare.errors import DataError
from lmcompare.registry import tasks
from lmcompare.text.corpus import documents
from lmcompare.text.lines import lines
from lmcompare.text.tables import Table, read_csv, read_jsonl, read_tsv

Reader = Callable[..., Table]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path, place: str, says: str, read: Callable[[], object]) -> None:
    """The message starts with file:line:column and says what was seen."""
    with pytest.raises(DataError) as caught:
        read()
    message = str(caught.value)
    assert message.startswith(f"{path}:{place}: "), message
    assert re.search(says, message), message
    assert "\n" not in message and len(message) < 600
    assert caught.value.status == 3


def texts(table: Table) -> list[str]:
    return [row.values["text"] for row in table.rows]


# F26: the shape of the file


@pytest.mark.parametrize("read", [read_tsv, read_csv, read_jsonl])
def test_f26_empty_file(tmp_path: Path, read: Reader) -> None:
    path = write(tmp_path / "a", b"")
    refused(path, "1:1", "empty", lambda: read(path))


@pytest.mark.parametrize("read", [read_tsv, read_csv])
def test_f26_header_only(tmp_path: Path, read: Reader) -> None:
    path = write(tmp_path / "a", "text\n")
    refused(path, "2:1", "header but no row", lambda: read(path))


@pytest.mark.parametrize(("read", "sep"), [(read_tsv, "\t"), (read_csv, ",")])
def test_f26_columns(tmp_path: Path, read: Reader, sep: str) -> None:
    path = write(tmp_path / "a", f"sentense{sep}label\nx{sep}1\n")
    says = "no column 'sentence'; did you mean 'sentense'"
    refused(path, "1:1", says, lambda: read(path, columns=("sentence", "label")))
    path = write(tmp_path / "b", f"text{sep}label{sep}text\nx{sep}1{sep}y\n")
    refused(path, "1:12", "column 'text' stands twice", lambda: read(path))
    path = write(tmp_path / "c", f"label{sep}text\n1{sep}x\n")
    assert read(path, columns=("text", "label")).rows[0].values == {"text": "x", "label": "1"}


# F27: bytes and line ends


@pytest.mark.parametrize("read", [read_tsv, read_csv])
@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbftext\nz\xc3\xa9\ny\n",
        "text\nz\u00e9\ny\n".encode("utf-16"),
        b"\xfe\xff" + "text\r\nz\u00e9\r\ny\r\n".encode("utf-16-be"),
        b"text\r\nz\xc3\xa9\r\ny\r\n",
        b"text\nz\xc3\xa9\ny",
    ],
    ids=["bom-utf8", "bom-utf16", "bom-utf16-be-crlf", "crlf", "no-newline-at-end"],
)
def test_f27_accepted(tmp_path: Path, read: Reader, content: bytes) -> None:
    assert texts(read(write(tmp_path / "a", content))) == ["z\u00e9", "y"]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\r"])
def test_f27_marks_that_end_no_line_stay_in_the_text(tmp_path: Path, mark: str) -> None:
    kept = f"one{mark}two"
    for read in (read_tsv, read_csv):
        assert texts(read(write(tmp_path / "a", f"text\n{kept}\nx\n"))) == [kept, "x"]
    row = json.dumps({"text": kept}, ensure_ascii=False)
    assert texts(read_jsonl(write(tmp_path / "b", f"{row}\n"))) == [kept]


def test_f27_old_mac_line_ends_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a", b"text\tlabel\rx\t1\ry\t0\r")
    refused(path, "1:11", "carriage return", lambda: read_tsv(path))


@pytest.mark.parametrize("read", [read_tsv, read_csv, read_jsonl])
@pytest.mark.parametrize(
    ("content", "place", "says"),
    [
        (b"text\nab\0c\n", "2:3", "byte 7 is NUL"),
        ("text\nab\u00e9".encode() + b"\xff\n", "2:4", r"byte 9 \(0xff\) is not valid UTF-8"),
        (b"text\ncaf\xe9 au lait\n", "2:4", r"byte 8 \(0xe9\)"),
        (b"text\nx\xe2\x82", "2:2", r"byte 6 \(0xe2\)"),
        (b"\xff\xfet\0e\0x\0t\0\n\0a\0\0\xd8b\0\n\0", "2:2", "not valid UTF-16"),
    ],
    ids=["nul", "invalid", "latin-1", "cut-at-the-end", "half-a-pair-utf16"],
)
def test_f27_refused_with_the_offset(
    tmp_path: Path, read: Reader, content: bytes, place: str, says: str
) -> None:
    path = write(tmp_path / "a", content)
    refused(path, place, says, lambda: list(lines(path)))
    with pytest.raises(DataError):
        read(path)


# F28: quotes in GLUE's TSV


@pytest.mark.parametrize(
    "rows",
    [['a "stray quote', "x", "y"], ['" opens here', "x", 'closes here "']],
    ids=["stray", "balanced-over-lines"],
)
def test_f28_rows_are_lines(tmp_path: Path, rows: list[str]) -> None:
    path = write(tmp_path / "a", "\n".join(["text\tlabel", *(f"{row}\t1" for row in rows)]) + "\n")
    table = read_tsv(path)
    assert len(table.rows) == path.read_text().count("\n") - 1
    assert texts(table) == rows


# F29: text that looks like something else


@pytest.mark.parametrize("text", ["NA", "null", "None", "nan", "", "007", "true"])
def test_f29_text_is_never_converted(tmp_path: Path, text: str) -> None:
    assert texts(read_tsv(write(tmp_path / "a", f"text\tn\n{text}\t1\n"))) == [text]
    assert texts(read_csv(write(tmp_path / "b", f"text,n\n{text},1\n"))) == [text]
    assert texts(read_csv(write(tmp_path / "c", f'text,n\n"{text}",1\n'))) == [text]
    assert texts(read_jsonl(write(tmp_path / "d", json.dumps({"text": text})))) == [text]
    rows = ["sentence\tlabel", f"{text}\t1"]
    (tmp_path / "SST-2").mkdir()
    write(tmp_path / "SST-2" / "train.tsv", "\n".join(rows))
    (example,) = tasks.build({"name": "sst2"}, tmp_path).load("train")
    assert example.texts == (text,)


# F30: fields too many, too few


@pytest.mark.parametrize(("read", "sep"), [(read_tsv, "\t"), (read_csv, ",")])
@pytest.mark.parametrize("everywhere", [False, True], ids=["one-row", "every-row"])
@pytest.mark.parametrize("fields", [1, 3], ids=["missing", "extra"])
def test_f30_fields(tmp_path: Path, read: Reader, sep: str, everywhere: bool, fields: int) -> None:
    good, bad = sep.join("xy"), sep.join("pqr"[:fields])
    rows = [bad] * 3 if everywhere else [good, bad, good]
    path = write(tmp_path / "a", "\n".join([sep.join(("text", "label")), *rows]) + "\n")
    place = f"{2 if everywhere else 3}:{3 if fields == 1 else 5}"
    refused(path, place, f"{fields} fields where 2 are expected", lambda: read(path))
    if everywhere:
        refused(path, place, "no row of 3 is good", lambda: read(path, on_bad_row="skip"))
    else:
        table = read(path, on_bad_row="skip")
        assert (len(table.rows), len(table.skipped)) == (2, 1)


# F34: long and empty texts (the readers' side)


@pytest.mark.parametrize("text", ["", "  \u00a0 "], ids=["empty", "blank"])
def test_f34_empty_and_blank_texts_are_kept(tmp_path: Path, text: str) -> None:
    assert texts(read_tsv(write(tmp_path / "a", f"n\ttext\n1\t{text}\n"))) == [text]


@pytest.mark.parametrize("text", ["x" * 10_000_000, "a " * 1_000_000], ids=["10-MB-word", "1M-tokens"])
@pytest.mark.parametrize("ending", ["tsv", "csv", "jsonl", "txt"])
def test_f34_long_texts_are_read_whole_and_soon(tmp_path: Path, text: str, ending: str) -> None:
    heads = {"tsv": ("text\tn\n", "\t1\n"), "csv": ('text,n\n"', '",1\n'),
             "jsonl": ('{"text": "', '"}\n'), "txt": ("", "\n")}  # fmt: skip
    before, after = heads[ending]
    path = write(tmp_path / f"a.{ending}", before + text + after)
    begin = time.perf_counter()
    if ending == "txt":
        assert list(documents(path)) == [[text.strip()]]
    else:
        read = {"tsv": read_tsv, "csv": read_csv, "jsonl": read_jsonl}[ending]
        assert texts(read(path)) == [text]
    assert time.perf_counter() - begin < 3


# F37: JSON Lines


@pytest.mark.parametrize(
    ("line", "place", "says"),
    [
        ('{"text": "cut o', "2:10", "not a whole JSON object"),
        ('{"text": "a", "text": "b"}', "2:1", "key 'text' stands twice"),
        ('{"text": 7}', "2:1", "'text' is a number here but text in line 1"),
        ('{"text": ' + "[" * 100_000 + "]" * 100_000 + "}", "2:73", "nested more than 64 deep"),
        ('{"text": ' + '{"a":' * 100_000, "2:325", "nested more than 64 deep"),
    ],
    ids=["cut-off", "duplicate-key", "type-drift", "deep-lists", "deep-objects"],
)
def test_f37_json_lines(tmp_path: Path, line: str, place: str, says: str) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"text": "good"}}\n{line}\n')
    begin = time.perf_counter()
    refused(path, place, says, lambda: read_jsonl(path))
    refused(path, place, says, lambda: list(documents(path)))
    assert len(read_jsonl(path, on_bad_row="skip").skipped) == 1
    assert time.perf_counter() - begin < 2


# F38: archives; nothing is ever unpacked to disk


def zipped(name: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, "text\nx\n")
    return packed.getvalue()


def tarred(name: str, kind: bytes, packed: bool) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz" if packed else "w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gzip.compress(b"text\n" + bytes(range(97, 123)) * 999)[:-20], "damaged or cut off"),
        (gzip.compress(b"text\nx\n")[:-8] + b"\0" * 8, "damaged or cut off"),
        (zipped("../outside.tsv"), "a zip archive"),
        (tarred("/outside.tsv", tarfile.REGTYPE, False), "a tar archive"),
        (tarred("../outside.tsv", tarfile.SYMTYPE, True), "a tar archive"),
        (tarred("outside.tsv", tarfile.CHRTYPE, True), "a tar archive"),
    ],
    ids=["cut-gz", "bad-checksum", "zip-dotdot", "tar-absolute", "tar-symlink", "tar-device"],
)
def test_f38_archives(tmp_path: Path, content: bytes, says: str) -> None:
    inside = tmp_path / "data"
    inside.mkdir()
    path = write(inside / "a.tsv", content)
    refused(path, "1:1", says, lambda: read_tsv(path))
    assert [p.name for p in tmp_path.rglob("*")] == ["data", "a.tsv"]


@pytest.mark.parametrize("line", [b"a" * 65535 + b"\n", b"a"], ids=["lines", "one-line"])
def test_f38_a_bomb_is_stopped_early(tmp_path: Path, line: bytes) -> None:
    member = gzip.compress(line * ((64 << 20) // len(line)))
    path = write(tmp_path / "a.txt.gz", member * 16)
    assert path.stat().st_size < 2 << 20  # and 1 GiB unpacked
    begin = time.perf_counter()
    with pytest.raises(DataError, match=r"times its own size|a line of more than"):
        for _ in lines(path):
            pass
    assert time.perf_counter() - begin < 10


# F39: any bytes at all

PIECES = st.sampled_from(
    [b'"', b",", b"\t", b"\n", b"\r", b"\r\n", b"{", b"}", b"[", b'":', b"\\u", b"\xff", b"\0",
     b"\xfe\xff", b"\xef\xbb\xbf", b"\x1f\x8b\x08", b"PK\x03\x04", b"text", b"1e999", b"NaN"]
)  # fmt: skip
ANY = st.one_of(
    st.binary(max_size=400),
    st.lists(st.one_of(PIECES, st.binary(max_size=4)), max_size=60).map(b"".join),
    st.lists(PIECES, max_size=40).map(lambda parts: gzip.compress(b"".join(parts))[:-3]),
    st.text(max_size=80).map(lambda text: text.encode("utf-16", "replace")),
)


def corpus_of(ending: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        return list(documents(path.rename(path.with_name(f"a{ending}"))))

    return read


READERS = {
    "tsv": read_tsv,
    "csv": read_csv,
    "jsonl": read_jsonl,
    "corpus-txt": corpus_of(".txt"),
    "corpus-jsonl": corpus_of(".jsonl"),
    "corpus-parquet": corpus_of(".parquet"),
    "corpus-arrow": corpus_of(".arrow"),
}


def any_bytes(tmp_path: Path, read: Callable[[Path], object], count: int) -> None:
    @settings(
        max_examples=count, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(ANY)
    def holds(content: bytes) -> None:
        path = write(tmp_path / "a", content)
        begin = time.perf_counter()
        try:
            read(path)
        except DataError as error:
            assert str(error).startswith(str(tmp_path))
        assert time.perf_counter() - begin < 1

    holds()


@pytest.mark.parametrize("name", READERS)
def test_f39_any_bytes(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a", b"x")
    if name in ("corpus-parquet", "corpus-arrow"):
        pytest.importorskip("pyarrow.parquet")  # its import is not part of the reading's second
    any_bytes(tmp_path, READERS[name], 50)


@pytest.mark.full
@pytest.mark.parametrize("name", READERS)
def test_f39_any_bytes_2000(tmp_path: Path, name: str) -> None:
    if name in ("corpus-parquet", "corpus-arrow"):
        pytest.importorskip("pyarrow.parquet")
    any_bytes(tmp_path, READERS[name], 2000)
