"""Files of vectors, a line of text each: HDF5 as ELMo's authors wrote it, numpy's .npz, and Arrow."""

import contextlib
import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lmcompare import files
from lmcompare.errors import ResourceError, UserError


class Writer(Protocol):
    """One format: lines come in their order, `close` after the last of them."""

    def add(self, text: str, words: Sequence[str], x_LWD: np.ndarray) -> None: ...

    def close(self) -> None: ...


def room_for(final: Path, size: int) -> None:
    """Refuse at once what the disk cannot hold, not after hours."""
    with files.disk(final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(final.parent).free) < size:
        raise ResourceError(f"{final}: {size >> 20:,} MB are needed, {free >> 20:,} MB are free on its disk")


@contextlib.contextmanager
def written(final: Path, dtype: np.dtype) -> Iterator[Writer]:
    """A file to add lines to; it gets its name when all of it is on the disk."""
    partial = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
    try:
        with files.disk(final):
            files.stage("write", final)
            file = format_of(final)(partial, dtype)
            try:
                yield file
            except BaseException:
                with contextlib.suppress(Exception):  # what failed first is told, not what closing says to it
                    file.close()
                raise
            file.close()
            files.sync(partial)
            files.stage("rename", final)
            os.replace(partial, final)
            files.sync(final.parent)
    except files.DiskFull:  # its own words are about runs
        raise ResourceError(f"{final}: no space left on the disk; nothing of it is kept") from None
    finally:
        partial.unlink(missing_ok=True)


class Hdf5:
    """As bilm writes it: the datasets "0", "1", ..., one a line, L × W × D; and `sentence_to_index`, a JSON object
    from a line to its number, which is its first one where a line occurs again."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        import h5py

        self.raw = open(path, "w+b")  # noqa: SIM115 - on a full disk, HDF5's own files cannot be closed and crash
        self.file, self.dtype = h5py.File(self.raw, "w"), dtype
        self.text = h5py.string_dtype()
        self.number: dict[str, str] = {}
        self.lines = 0

    def add(self, text: str, words: Sequence[str], x_LWD: np.ndarray) -> None:
        self.file.create_dataset(str(self.lines), data=x_LWD.astype(self.dtype, copy=False))
        if words:
            self.number.setdefault(text, str(self.lines))
        self.lines += 1

    def close(self) -> None:
        if self.file:
            try:
                index = self.file.create_dataset("sentence_to_index", (1,), dtype=self.text)
                index[0] = json.dumps(self.number)
            finally:
                self.file.close()
                self.raw.close()


class Npz:
    """numpy's own: the arrays "0", "1", ..., one a line, L × W × D."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self.file, self.dtype, self.lines = zipfile.ZipFile(path, "w"), dtype, 0

    def add(self, text: str, words: Sequence[str], x_LWD: np.ndarray) -> None:
        with self.file.open(f"{self.lines}.npy", "w", force_zip64=True) as entry:
            np.lib.format.write_array(entry, np.ascontiguousarray(x_LWD, self.dtype), allow_pickle=False)
        self.lines += 1

    def close(self) -> None:
        self.file.close()


class Arrow:
    """Arrow's file format, a row a line: `line` (from 0), `words`, and `layers`, lists L × W × D."""

    ROWS, SIZE = 256, 64 << 20  # a batch of records, whichever is full first

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        import pyarrow as pa

        self.pa, self.dtype, self.lines = pa, dtype, 0
        number = pa.float16() if dtype == np.float16 else pa.float32()
        layers = pa.list_(pa.list_(pa.list_(number)))
        columns = [("line", pa.int64()), ("words", pa.list_(pa.string())), ("layers", layers)]
        self.schema = pa.schema(columns)
        self.file = pa.ipc.new_file(str(path), self.schema)
        self.waiting: list[tuple[list[str], np.ndarray]] = []
        self.size = 0

    def add(self, text: str, words: Sequence[str], x_LWD: np.ndarray) -> None:
        self.waiting.append((list(words), x_LWD.astype(self.dtype, copy=False)))
        self.size += x_LWD.nbytes
        if len(self.waiting) == self.ROWS or self.size >= self.SIZE:
            self._write()

    def _write(self) -> None:
        pa, rows = self.pa, [x for _, x in self.waiting]
        flat = pa.array(np.concatenate([x.ravel() for x in rows]))
        by_word = self._lists([x.shape[2] for x in rows for _ in range(x.shape[0] * x.shape[1])], flat)
        by_layer = self._lists([x.shape[1] for x in rows for _ in range(x.shape[0])], by_word)
        columns = [
            pa.array(range(self.lines, self.lines + len(rows)), pa.int64()),
            pa.array([words for words, _ in self.waiting], pa.list_(pa.string())),
            self._lists([len(x) for x in rows], by_layer),
        ]
        self.file.write(pa.record_batch(columns, schema=self.schema))
        self.lines += len(rows)
        self.waiting, self.size = [], 0

    def _lists(self, sizes: list[int], values: Any) -> Any:
        return self.pa.ListArray.from_arrays(np.cumsum([0, *sizes], dtype=np.int32), values)

    def close(self) -> None:
        if self.waiting:
            self._write()
        self.file.close()


FORMATS: dict[str, Callable[[Path, np.dtype], Writer]] = {
    ".hdf5": Hdf5,
    ".h5": Hdf5,
    ".npz": Npz,
    ".arrow": Arrow,
}


def format_of(out: Path) -> Callable[[Path, np.dtype], Writer]:
    if out.suffix not in FORMATS:
        raise UserError(f"--out {out}: its ending says the format, one of {', '.join(FORMATS)}")
    return FORMATS[out.suffix]
