"""Archives, bombs and bytes of any kind in the place of one's own data, through every reader."""

import io
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmcompare import registry
from lmcompare.errors import DataError, UserError
from lmcompare.text import tables
from lmcompare.text.columns import sentences
from tests.faults.test_data import ANY, tarred, write, zipped
from tests.faults.test_own_data import SAID, TABLES, content, labelled, load, packed, refused

# F38: archives, links, devices, bombs


@pytest.mark.parametrize("ending", ["csv", "jsonl", "conll", "json", "toml", "parquet"])
@pytest.mark.parametrize(
    "made", [zipped("../outside.csv"), tarred("/outside", b"0", False), tarred("../x", b"2", True)]
)
def test_f38_archives_are_no_data_and_nothing_is_unpacked(tmp_path: Path, ending: str, made: bytes) -> None:
    (tmp_path / "data").mkdir()
    path = write(tmp_path / "data" / f"a.{ending}", made)
    refused(path, "1:1", "archive, not text|not a whole Parquet file", kind=None, text="", label="")
    assert sorted(p.name for p in tmp_path.rglob("*")) == sorted(["data", path.name])


@pytest.mark.parametrize("ending", ["csv", "conll", "json", "toml", "parquet"])
def test_f38_links_folders_and_devices(tmp_path: Path, ending: str) -> None:
    loop, null, folder, pipe = (tmp_path / f"{name}.{ending}" for name in ("loop", "null", "folder", "pipe"))
    loop.symlink_to(loop)
    null.symlink_to(os.devnull)
    folder.mkdir()
    os.mkfifo(pipe)
    for path in (loop, null, folder, pipe):
        with pytest.raises(DataError) as caught:
            load(path, kind=None, text="", label="")
        assert str(caught.value).startswith(f"{path}: "), caught.value


def parquet_of(columns: dict[str, Any], **more: Any) -> bytes:
    made = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), made, **more)
    return made.getvalue()


def test_f38_parquet_bombs(tmp_path: Path) -> None:
    text = "x" * (1 << 20)
    labels = pyarrow.array(["a"] * 100_000)
    long = parquet_of({"text": [text] * 66, "label": labels[:66]}, compression="zstd", use_dictionary=False)
    same = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 100_000), [text])
    twin = parquet_of({"text": same, "label": labels}, compression="zstd")
    bare = parquet_of({"text": same, "label": labels}, compression="zstd", store_schema=False)
    nulls = parquet_of(
        {"text": pyarrow.nulls(30_000_000, pyarrow.string()), "label": pyarrow.nulls(30_000_000)}
    )
    for name, made in (("long", long), ("twin", twin), ("bare", bare), ("nulls", nulls)):
        path = write(tmp_path / f"{name}.parquet", made)
        assert path.stat().st_size < 1 << 20
        begin = time.process_time()
        with pytest.raises(DataError, match=r"times its own size|null in 'text'"):
            load(path)
        assert time.process_time() - begin < 3, name


def test_f38_deep_parquet(tmp_path: Path) -> None:
    kind: Any = pyarrow.string()
    for _ in range(600):
        kind = pyarrow.list_(kind)
    made = parquet_of({"text": pyarrow.array([None], kind), "label": ["x"]})
    refused(write(tmp_path / "deep.parquet", made), "1:1", "too deeply nested|null in 'text'")


def test_f38_damaged_parquet(tmp_path: Path) -> None:
    whole = packed(labelled(*"ab" * 500))
    damage = {
        "cut": whole[:-100], "head": whole[50:], "text": b"text,label\n", "magic": b"PAR1", "twice": b"PAR1PAR1",
        "footer": whole[:-8] + (1 << 31).to_bytes(4, "little") + b"PAR1",
        "encrypted": whole[:-4] + b"PARE",
    }  # fmt: skip
    for name, spoilt in damage.items():
        refused(write(tmp_path / f"{name}.parquet", spoilt), "1:1", "not a whole Parquet file")
    with pytest.raises(UserError, match="by its name"):
        load(write(tmp_path / "a.parquet.gz", b"x"))


# The file as it would be with each byte changed in turn. What ends the process must not end the tests.
CHANGED = """
import sys
from pathlib import Path
from lmcompare.errors import DataError
from lmcompare.text import parquet

path, begin, changes = Path(sys.argv[1]), int(sys.argv[2]), list(map(int, sys.argv[3:]))
whole = path.read_bytes()
for at in range(begin, len(whole)):
    for change in changes:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1:])
        print(at, change, flush=True)
        try:
            list(parquet.stream(path)[1])
        except DataError as error:
            assert str(error).startswith(f"{path}:"), error
print("all")
"""


def each_byte_changed(path: Path, made: bytes, begin: int, changes: list[int]) -> None:
    said = [str(write(path, made)), str(begin), *map(str, changes)]
    done = subprocess.run([sys.executable, "-c", CHANGED, *said], capture_output=True, text=True, check=False)
    last = done.stdout.splitlines()[-1:]
    assert done.returncode == 0 and last == ["all"], f"byte and change {last}: {done.stderr[-500:]}"


def test_f38_a_changed_byte_in_the_footer_of_a_parquet_file(tmp_path: Path) -> None:
    """The descriptions of columns in it once ended the process."""
    made = packed(labelled(*"ab" * 5))
    footer = len(made) - 8 - int.from_bytes(made[-8:-4], "little")
    each_byte_changed(tmp_path / "a.parquet", made, footer, [1])


@pytest.mark.full
def test_f38_any_changed_byte_in_a_parquet_file(tmp_path: Path) -> None:
    for name, size in (("a", 40), ("b", 3)):
        made = parquet_of(
            {"text": [f"t {n}" for n in range(40)], "label": ["x", "y"] * 20}, row_group_size=size
        )
        each_byte_changed(tmp_path / f"{name}.parquet", made, 0, [1, 2, 16, 127, 128, 255])


# F39: any bytes at all


def through(ending: str, **said: Any) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        return registry.tasks.build({"name": str(path.rename(path.with_suffix(f".{ending}"))), **said}, None)

    return read


READERS: dict[str, Callable[[Path], object]] = {
    "csv": through("csv", **SAID),
    "tsv": through("tsv", **{**SAID, "kind": "score"}),
    "jsonl": through("jsonl", **{**SAID, "kind": "span", "pair": "text"}),
    "jsonl-tags": through("jsonl", **{**SAID, "kind": "tags"}),
    "json": through("json"),
    "conll": through("conll"),
    "toml": through("toml"),
    "parquet": through("parquet", **SAID),
    "columns": lambda path: list(sentences(path)),
    "tables": lambda path: tables.read_parquet(path),
}
TEMPLATES = [content(ending, labelled("a", "b", "a")) for ending in TABLES] + [
    b"Ann B-x\nmet O\n\n",
    b'{"data": [{"paragraphs": []}]}',
    b'train = "a"\nlimit = 3\n[label_words]\na = "b"\n',
]


def spoiled(seed: int) -> bytes:
    """A good file with some of its bytes changed, taken out, or put in twice."""
    drawn = random.Random(seed)
    made = bytearray(drawn.choice(TEMPLATES))
    for _ in range(drawn.randint(1, 8)):
        at = drawn.randrange(len(made) + 1)
        what = drawn.randrange(4)
        if what == 0 and at < len(made):
            made[at] = drawn.randrange(256)
        elif what == 1:
            del made[at : at + drawn.randint(1, 9)]
        elif what == 2:
            made[at:at] = made[at : at + drawn.randint(1, 9)]
        elif at + 4 <= len(made):
            made[at : at + 4] = drawn.choice([b"\xff" * 4, b"\x80" * 4, b"\0" * 4, b"\x7f" * 4])
    return bytes(made)


def any_bytes(tmp_path: Path, name: str, count: int) -> None:
    pyarrow.parquet.read_schema(write(tmp_path / "warm.parquet", packed(labelled("a"))))

    @settings(
        max_examples=count, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.one_of(ANY, st.integers(0, 1 << 30).map(spoiled)))
    def holds(made: bytes) -> None:
        path = write(tmp_path / "a", made)
        begin = time.process_time()
        try:
            READERS[name](path)
        except UserError as error:
            assert isinstance(error, DataError) or name == "toml" or "which column" in str(error)
            assert str(tmp_path) in str(error) and "\n" not in str(error)
        assert time.process_time() - begin < 1

    holds()


@pytest.mark.parametrize("name", READERS)
def test_f39_any_bytes(tmp_path: Path, name: str) -> None:
    any_bytes(tmp_path, name, 200)


@pytest.mark.full
@pytest.mark.parametrize("name", READERS)
def test_f39_any_bytes_2000(tmp_path: Path, name: str) -> None:
    any_bytes(tmp_path, name, 2000)
