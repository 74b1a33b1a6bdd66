"""Unlabelled text to documents, lists of sentences; only one of them is in memory at a time.

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
import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from lmcompare.errors import DataError, ResourceError, UserError, nearest, unknown
from lmcompare.text.jsonlines import objects
from lmcompare.text.lines import fault, lines, regular_file
from lmcompare.text.sentences import ended, paragraphs, split

Sentences = Literal["auto", "lines", "split"]
ENDINGS = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz", ".parquet", ".arrow")
SAMPLE = 2000  # lines that decide about a .txt
LONGEST_DOCUMENT = 4 << 20  # characters of a .txt; the rest is the next document
RARE = 60  # words without a sentence end: not a text that can be split


def documents(path: Path, *, sentences: Sentences = "auto", field: str = "text") -> Iterator[list[str]]:
    """The documents of a file or folder, one after the other, none of them empty."""
    if sentences not in ("auto", "lines", "split"):
        raise UserError(unknown("value", sentences, ("auto", "lines", "split"), "sentences"))
    files = [path] if _saved_by_datasets(path) else corpus_files(path)
    found = chain.from_iterable(_in_file(file, sentences, field) for file in files)
    return _at_least_one(path, (document for document in found if document))


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
    if _saved_by_datasets(path):
        files = sorted(file for file in path.rglob("*") if file.is_file())
    else:
        files = corpus_files(path)
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


def _in_file(path: Path, sentences: Sentences, field: str) -> Iterator[list[str]]:
    if path.is_dir():
        yield from (_split(text, sentences) for text in _saved_texts(path, field))
    elif path.name.endswith((".txt", ".txt.gz")):
        yield from _in_txt(path, sentences)
    elif path.name.endswith((".jsonl", ".jsonl.gz")):
        yield from (_split(text, sentences) for text in _jsonl_texts(path, field))
    else:
        yield from (_split(text, sentences) for text in _arrow_texts(path, field))


def _split(text: str, sentences: Sentences) -> list[str]:
    found = text.split("\n")
    if sentences == "lines":
        return [bare for line in found if (bare := line.strip())]
    return [sentence for paragraph in paragraphs(found) for sentence in split(paragraph)]


def _in_txt(path: Path, sentences: Sentences) -> Iterator[list[str]]:
    source: Iterator[str] = (line for _, line in lines(path))
    if sentences == "auto":
        sample = list(islice(source, SAMPLE))
        sentences = "lines" if looks_like_sentences(sample) else "split"
        source = chain(sample, source)
    document, size = list[str](), 0
    for line in source:
        document.append(line)
        size += len(line)
        border = sentences == "lines" and not line.strip()
        if border or size > LONGEST_DOCUMENT:
            yield _split("\n".join(document), sentences)
            document, size = [], 0
    yield _split("\n".join(document), sentences)


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


def _jsonl_texts(path: Path, field: str) -> Iterator[str]:
    for item in objects(path, (field,)):
        if isinstance(item, DataError):
            raise item
        number, values = item
        if not isinstance(values[field], str):
            what = f"key {field!r} holds no text but {type(values[field]).__name__}"
            raise fault(path, number, 1, f"{what}; a document's text is expected")
        yield values[field]


def _saved_by_datasets(path: Path) -> bool:
    return any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))


def _saved_texts(path: Path, field: str) -> Iterator[str]:
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
    _check_column(path, saved.column_names, field)
    for index, row in enumerate(saved.select_columns([field])):
        yield _text(path, index, row[field])


def _arrow_texts(path: Path, field: str) -> Iterator[str]:
    import pyarrow

    try:
        names, batches = _batches(path)
        _check_column(path, names, field)
        index = 0
        for batch in batches:
            for value in batch.column(names.index(field)).to_pylist():
                yield _text(path, index, value)
                index += 1
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        message = str(error).partition("\n")[0]
        raise DataError(f"{path}: not a whole {path.suffix[1:]} file ({message})") from error


def _batches(path: Path) -> tuple[list[str], Iterator[Any]]:
    """Column names, and record batches read as they are asked for."""
    import pyarrow
    import pyarrow.parquet

    if path.suffix == ".parquet":
        parquet = pyarrow.parquet.ParquetFile(path)
        return list(parquet.schema_arrow.names), parquet.iter_batches(batch_size=256)
    source = pyarrow.memory_map(str(path))
    if source.read(6) == b"ARROW1":  # the file format; `datasets` writes the stream format
        source.seek(0)
        file = pyarrow.ipc.open_file(source)
        return file.schema.names, map(file.get_batch, range(file.num_record_batches))
    source.seek(0)
    stream = pyarrow.ipc.open_stream(source)
    return stream.schema.names, iter(stream)


def _check_column(path: Path, names: list[str], field: str) -> None:
    if field not in names:
        raise DataError(f"{path}: no column {field!r}; {nearest(field, names)}")


def _text(path: Path, index: int, value: Any) -> str:
    if not isinstance(value, str):
        kind = "nothing" if value is None else type(value).__name__
        raise DataError(f"{path}: row {index:,} holds {kind} where a document's text is expected")
    return value
