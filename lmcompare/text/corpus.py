"""Unlabelled text to documents, lists of sentences; only one of them is in memory at a time. `raw` reads the files in
order, and `sentences_of`, which takes longer, can be had of another process for each document.

.txt            the original BERT's form (a sentence a line, an empty line between documents), or
                running text: then the file is one document, its lines wrapped or a paragraph each
.jsonl          an object a line, a document each, with its text in the field "text"
.parquet .arrow a row a document, and so for a folder that `datasets` has saved
a folder        the files above in it, at any depth, in the order of their names

`sentences`: "lines" takes each line for a sentence, "split" splits running text by the rules of
sentences.py. "auto" splits everything but a .txt whose first lines look like sentences: at least
half of them end like one and at most a quarter hold more than one. A text with almost no sentence
ends cannot be split, so its lines are kept too.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from lmcompare.errors import DataError, ResourceError, UserError, nearest, unknown
from lmcompare.text.jsonlines import objects
from lmcompare.text.lines import fault, lines, regular_file
from lmcompare.text.sentences import ended, paragraphs, split

Sentences = Literal["auto", "lines", "split"]
Document = str | list[str]  # running text, which is still to be split, or sentences
Read = Callable[[int], None]  # is told how many of the corpus's bytes have been read
ENDINGS = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz", ".parquet", ".arrow")
SAMPLE = 2000  # lines that decide about a .txt
LONGEST_DOCUMENT = 4 << 20  # characters of a .txt; the rest is the next document
RARE = 60  # words without a sentence end: not a text that can be split
ROWS = 256  # of a table that are read at a time
BLOCK = 1 << 19  # characters that are given to a process at a time


def documents(path: Path, *, sentences: Sentences = "auto", field: str = "text") -> Iterator[list[str]]:
    """The documents of a file or folder, one after the other, none of them empty."""
    return _at_least_one(path, cut(raw(path, sentences=sentences, field=field)))


def raw(
    path: Path,
    *,
    sentences: Sentences = "auto",
    field: str = "text",
    read: Read = lambda size: None,
) -> Iterator[Document]:
    """The same documents before the running ones are split into sentences; some may be empty."""
    if sentences not in ("auto", "lines", "split"):
        raise UserError(unknown("value", sentences, ("auto", "lines", "split"), "sentences"))
    return _in_files(parts(path), sentences, field, read)


def cut(documents: Iterable[Document]) -> Iterator[list[str]]:
    """Documents that are not empty, as sentences."""
    return (document for document in map(sentences_of, documents) if document)


def sentences_of(document: Document) -> list[str]:
    if isinstance(document, list):
        return document
    return [sentence for paragraph in paragraphs(document.split("\n")) for sentence in split(paragraph)]


def parts(path: Path) -> list[Path]:
    """The files of a corpus, or the folder that `datasets` has saved."""
    return [path] if _saved_by_datasets(path) else corpus_files(path)


def size(path: Path) -> int:
    """Bytes of a part of a corpus: of a file, or of the files of a saved folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def blocks(
    documents: Iterable[Document], check: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, bytes]]:
    """How many documents, and these as JSON: about half a million characters at a time."""
    block, characters = list[Document](), 0
    for document in documents:
        check()
        block.append(document)
        # An empty one counts too: there may be very many.
        characters += 1 + (len(document) if isinstance(document, str) else sum(map(len, document)))
        if characters >= BLOCK:
            yield len(block), json.dumps(block, ensure_ascii=False).encode("utf-8", "surrogatepass")
            block, characters = [], 0
    if block:
        yield len(block), json.dumps(block, ensure_ascii=False).encode("utf-8", "surrogatepass")


def splitter() -> Callable[[bytes], bytes]:
    """A block of documents to all of their sentences, as JSON: what a process is told to do."""

    def work(data: bytes) -> bytes:
        found = [sentence for document in json.loads(data) for sentence in sentences_of(document)]
        return json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogatepass")

    return work


def corpus_files(path: Path) -> list[Path]:
    """The files that a path stands for, sorted by their names within it."""
    if not path.is_dir():
        if not regular_file(path).name.endswith(ENDINGS):
            raise DataError(f"{path}: not a corpus by its name; it must end in {', '.join(ENDINGS)}")
        return [path]
    inside = [
        Path(folder, name)
        for folder, _, names in os.walk(path, onerror=_not_listed)
        for name in names
        if name.endswith(ENDINGS)
    ]
    if not inside:
        raise DataError(f"{path}: no text in this folder; files must end in {', '.join(ENDINGS)}")
    return sorted(inside, key=lambda file: file.relative_to(path).as_posix())


def fingerprint(path: Path) -> str:
    """SHA-256 over the names and bytes of the corpus's files."""
    files = parts(path)
    if _saved_by_datasets(path):
        files = sorted(file for file in path.rglob("*") if file.is_file())
    whole = hashlib.sha256()
    for file in files:
        name = file.relative_to(path).as_posix() if file != path else file.name
        with regular_file(file).open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{name}\0{content}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _not_listed(error: OSError) -> None:
    raise ResourceError(f"{error.filename}: cannot be listed ({error.strerror})") from error


def _at_least_one(path: Path, found: Iterator[list[str]]) -> Iterator[list[str]]:
    first = next(found, None)
    if first is None:
        raise DataError(f"{path}: no sentence in this corpus; is it the right file or folder?")
    yield first
    yield from found


def _in_files(files: list[Path], sentences: Sentences, field: str, read: Read) -> Iterator[Document]:
    before = 0
    for file in files:
        whole = size(file)

        def within(now: int, before: int = before, whole: int = whole) -> None:
            read(before + min(now, whole))

        yield from _in_file(file, sentences, field, within)
        before += whole
        read(before)


def _in_file(path: Path, sentences: Sentences, field: str, read: Read) -> Iterator[Document]:
    if path.is_dir():
        yield from (_as_told(text, sentences) for text in _saved_texts(path, field, read))
    elif path.name.endswith((".txt", ".txt.gz")):
        yield from _in_txt(path, sentences, read)
    elif path.name.endswith((".jsonl", ".jsonl.gz")):
        yield from (_as_told(text, sentences) for text in _jsonl_texts(path, field, read))
    else:
        yield from (_as_told(text, sentences) for text in _arrow_texts(path, field, read))


def _as_told(text: str, sentences: Sentences) -> Document:
    if sentences == "lines":
        return [bare for line in text.split("\n") if (bare := line.strip())]
    return text


def _in_txt(path: Path, sentences: Sentences, read: Read) -> Iterator[Document]:
    source: Iterator[str] = (line for _, line in lines(path, read=read))
    if sentences == "auto":
        sample = list(islice(source, SAMPLE))
        sentences = "lines" if looks_like_sentences(sample) else "split"
        source = chain(sample, source)
    document, characters = list[str](), 0
    for line in source:
        document.append(line)
        characters += len(line)
        border = sentences == "lines" and not line.strip()
        if border or characters > LONGEST_DOCUMENT:
            yield _as_told("\n".join(document), sentences)
            document, characters = [], 0
    yield _as_told("\n".join(document), sentences)


def looks_like_sentences(sample: Iterable[str]) -> bool:
    """Whether each line is a sentence, not a paragraph or a piece of one; the rule stands above."""
    full = [bare for line in sample if (bare := line.strip())]
    if not full:
        return True
    closed = sum(map(ended, full))
    if closed >= 0.5 * len(full):
        return sum(len(split(line)) > 1 for line in full) <= 0.25 * len(full)
    pieces = [piece for paragraph in paragraphs(full) for piece in split(paragraph)]
    ends = sum(map(ended, pieces))
    return ends * RARE < sum(len(line.split()) for line in full)


def _jsonl_texts(path: Path, field: str, read: Read) -> Iterator[str]:
    for item in objects(path, (field,), read=read):
        if isinstance(item, DataError):
            raise item
        number, values = item
        if not isinstance(values[field], str):
            what = f"key {field!r} holds no text but {type(values[field]).__name__}"
            raise fault(path, number, 1, f"{what}; a document's text is expected")
        yield values[field]


def _saved_by_datasets(path: Path) -> bool:
    return any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))


def _saved_texts(path: Path, field: str, read: Read) -> Iterator[str]:
    """The texts of a folder made by `save_to_disk`; of several splits, the one called train."""
    from datasets import DatasetDict, load_from_disk
    from datasets.exceptions import DatasetsError

    try:
        saved: Any = load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError, DatasetsError) as error:
        raise DataError(f"{path}: `datasets` cannot load this folder ({error})") from error
    if isinstance(saved, DatasetDict):
        if "train" not in saved:
            raise DataError(f"{path}: no split 'train'; {nearest('train', saved)}")
        saved = saved["train"]
    whole = size(path)
    yield from column(saved, field, str(path), lambda share: read(int(share * whole)))


def column(table: Any, field: str, where: str, read: Callable[[float], None]) -> Iterator[str]:
    """A column of a table of `datasets`, which stays on the disk; `read` is told the share that has been read."""
    _check_column(where, table.column_names, field)
    index = 0
    for batch in table.select_columns([field]).with_format("arrow").iter(ROWS):
        for value in batch.column(field).to_pylist():
            yield _text(where, index, value)
            index += 1
        read(index / len(table))


def _arrow_texts(path: Path, field: str, read: Read) -> Iterator[str]:
    import pyarrow

    try:
        names, batches = _batches(path, read)
        _check_column(path, names, field)
        index = 0
        for batch in batches:
            for value in batch.column(names.index(field)).to_pylist():
                yield _text(path, index, value)
                index += 1
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        message = str(error).partition("\n")[0]
        raise DataError(f"{path}: not a whole {path.suffix[1:]} file ({message})") from error


def _batches(path: Path, read: Read) -> tuple[list[str], Iterator[Any]]:
    """Column names, and record batches read as they are asked for."""
    import pyarrow
    import pyarrow.parquet

    whole = size(path)

    def told(batches: Iterable[Any], share: Callable[[int], float]) -> Iterator[Any]:
        for number, batch in enumerate(batches):
            read(int(share(number) * whole))
            yield batch

    if path.suffix == ".parquet":
        parquet = pyarrow.parquet.ParquetFile(path)
        rows = max(1, parquet.metadata.num_rows)
        found = told(parquet.iter_batches(batch_size=ROWS), lambda number: number * ROWS / rows)
        return list(parquet.schema_arrow.names), found
    source = pyarrow.memory_map(str(path))
    if source.read(6) == b"ARROW1":  # the file format; `datasets` writes the stream format
        source.seek(0)
        file = pyarrow.ipc.open_file(source)
        many = file.num_record_batches
        return file.schema.names, told(map(file.get_batch, range(many)), lambda number: number / many)
    source.seek(0)
    stream = pyarrow.ipc.open_stream(source)
    return stream.schema.names, told(stream, lambda number: source.tell() / whole)


def _check_column(where: object, names: list[str], field: str) -> None:
    if field not in names:
        raise DataError(f"{where}: no column {field!r}; {nearest(field, names)}")


def _text(where: object, index: int, value: Any) -> str:
    if not isinstance(value, str):
        kind = "nothing" if value is None else type(value).__name__
        raise DataError(f"{where}: row {index:,} holds {kind} where a document's text is expected")
    return value
