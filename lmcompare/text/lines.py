r"""Bytes to lines of text, strictly and in bounded memory.

What counts as a line: text up to `\n` or `\r\n`, and nothing else, so U+2028, U+0085 and form feeds
stay in the text. A lone `\r` is text as well, except in the first line: there it means a file with
old Mac line ends, which would otherwise be read as one long line. UTF-8 with or without a byte
order mark and UTF-16 with one are read; `.gz` is unpacked on the way. Archives are refused, never
unpacked, so nothing in them can be written anywhere.
"""

import codecs
import gzip
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from lmcompare.errors import DataError, ResourceError

CHUNK = 1 << 20  # bytes read at a time
LONGEST = 64 << 20  # characters in a line (or in a CSV record): more is not text
# A .gz that grows beyond both is a bomb: text shrinks 3 to 10 times.
UNPACKED, RATIO = 64 << 20, 200
GZIP = b"\x1f\x8b"
ENCODINGS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
ARCHIVES = {
    b"PK\x03\x04": "a zip archive",
    b"\xfd7zXZ\0": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"BZh91AY": "a bzip2 file",
    b"PAR1": "a parquet file",
}


def fault(path: Path, line: int, column: int, what: str) -> DataError:
    """The form of every message about what a file holds."""
    return DataError(f"{path}:{line}:{column}: {what}")


def lines(
    path: Path,
    *,
    keep_cr: bool = False,
    read: Callable[[int], None] = lambda size: None,
    encoding: str = "utf-8",
) -> Iterator[tuple[int, str]]:
    r"""Numbered lines without their `\n` (and without the `\r` before it, unless kept). `read` is told how many of
    the file's bytes have been read, now and then. A byte order mark overrules the encoding."""
    number, parts, size = 1, list[str](), 0
    for text in _decoded(path, read, encoding):
        *ended, rest = text.split("\n")
        for piece in ended:
            if parts:
                piece = "".join((*parts, piece))
                parts, size = [], 0
            yield number, _without_cr(path, number, piece, keep_cr)
            number += 1
        parts.append(rest)
        size += len(rest)
        if size > LONGEST:
            raise fault(path, number, 1, f"a line of more than {LONGEST:,} characters; break it into lines")
    if last := "".join(parts):
        yield number, _without_cr(path, number, last, keep_cr)


def whole(path: Path, *, encoding: str = "utf-8") -> str:
    """The text of a file that is one text, with its line ends as they are."""
    return "".join(_decoded(path, lambda size: None, encoding))


def regular_file(path: Path) -> Path:
    """The path, if it names a file that can be read."""
    try:
        mode = path.stat().st_mode
    except PermissionError as error:
        raise ResourceError(f"{path}: not permitted to look at it; check its folder") from error
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise DataError(f"{path}: {reason}; check the path") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise DataError(f"{path}: {kind}; give the path of a file")
    return path


def _without_cr(path: Path, number: int, line: str, keep_cr: bool) -> str:
    bare = line[:-1] if line.endswith("\r") else line
    if number == 1 and "\r" in bare:
        raise fault(
            path, 1, bare.index("\r") + 1, "a carriage return without a newline after it (old Mac "
            "line ends?); end each line with a newline"
        )  # fmt: skip
    return line if keep_cr else bare


def _opened(path: Path) -> tuple[BinaryIO, bool]:
    """The file, and whether its bytes are packed by gzip."""
    regular_file(path)
    try:
        stream = path.open("rb")
    except PermissionError as error:
        raise ResourceError(f"{path}: not permitted to read it; check its mode") from error
    packed = stream.read(2) == GZIP
    stream.seek(0)
    if not packed and path.suffix == ".gz":
        stream.close()
        raise fault(path, 1, 1, "the name ends in .gz but it is not gzip; rename it or pack it")
    return stream, packed


def _chunks(path: Path, read: Callable[[int], None]) -> Iterator[bytes]:
    """The unpacked bytes; what cannot be unpacked, or grows beyond reason, is refused."""
    file, packed = _opened(path)
    stream = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
    size, allowed = 0, max(UNPACKED, RATIO * path.stat().st_size)
    # Both: what unpacks a file never closes it.
    with file, stream:
        while True:
            try:
                data = stream.read(CHUNK)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                what = f"the gzip data is damaged or cut off after {size:,} unpacked bytes"
                raise fault(path, 1, 1, f"{what} ({error}); fetch it again") from error
            if not size:
                _refuse_archive(path, data)
            size += len(data)
            if packed and size > allowed:
                raise fault(
                    path, 1, 1, f"unpacks to over {size:,} bytes, more than {RATIO} times its own "
                    "size; unpack it by hand if that is meant"
                )  # fmt: skip
            if not data:
                return
            read(file.tell())
            yield data


def _refuse_archive(path: Path, head: bytes) -> None:
    kinds = [kind for magic, kind in ARCHIVES.items() if head.startswith(magic)]
    if head[257:262] == b"ustar":
        kinds.append("a tar archive")
    if kinds:
        raise fault(path, 1, 1, f"this is {kinds[0]}, not text; unpack it first")


def _decoded(path: Path, read: Callable[[int], None], encoding: str) -> Iterator[str]:
    """Text a chunk; the first byte that is no text is named with its offset, line and column."""
    line, column, offset = 1, 1, 0  # of what comes next
    decoder: codecs.IncrementalDecoder = codecs.getincrementaldecoder(encoding)("strict")
    for number, data in enumerate(_ended(_chunks(path, read))):
        if number == 0:
            for mark, name in ENCODINGS.items():
                if data.startswith(mark):
                    data, offset, encoding = data[len(mark) :], len(mark), name
                    decoder = codecs.getincrementaldecoder(name)("strict")
        begin = offset - len(decoder.getstate()[0])  # a character may be cut by the chunk's end
        try:
            text = decoder.decode(data, not data)
        except UnicodeDecodeError as error:
            good = error.object[: error.start].decode(encoding)
            raise fault(
                path, *_after(good, line, column),
                f"byte {begin + error.start:,} (0x{error.object[error.start]:02x}) is not valid "
                f"{encoding.upper()}; save the file as UTF-8",
            ) from None  # fmt: skip
        if "\0" in text:
            good = text[: text.index("\0")]
            at = begin + len(good.encode(encoding))
            raise fault(
                path, *_after(good, line, column),
                f"byte {at:,} is NUL, so this is not text; remove it or save the file as UTF-8",
            )  # fmt: skip
        offset += len(data)
        line, column = _after(text, line, column)
        yield text


def _ended(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks and an empty one, which tells a decoder that there is no more."""
    yield from chunks
    yield b""


def _after(text: str, line: int, column: int) -> tuple[int, int]:
    """Line and column after the text, for one that begins at these."""
    if newlines := text.count("\n"):
        return line + newlines, len(text) - text.rindex("\n")
    return line, column + len(text)
