"""A tokenized corpus on disk, memory-mapped: one flat array of token ids, and where sentences and documents start."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from lmcompare import files, randomness
from lmcompare.errors import DataError
from lmcompare.text.pieces import Pieces
from lmcompare.text.words import Words

CHUNK = 256  # documents tokenized at a time


@dataclass(frozen=True)
class Shards:
    """`tokens[sentences[s] : sentences[s + 1]]` is sentence s; document d holds sentences documents[d] up to
    documents[d + 1]."""

    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray

    def __len__(self) -> int:
        return len(self.documents) - 1

    def document(self, d: int) -> np.ndarray:
        """Boundaries of the sentences of a document, one more than it has sentences."""
        return self.sentences[self.documents[d] : self.documents[d + 1] + 1]

    def split(self, holdout: float) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the documents to learn from and of those held out, the same for every run."""
        held = randomness.uniform(2018, np.arange(len(self))) < holdout
        if len(self) > 1 and not held.any():
            held[-1] = True
        if held.all() or not held.any():
            raise DataError(f"a corpus of {len(self)} documents cannot be split; two are the least")
        return np.flatnonzero(~held), np.flatnonzero(held)


def build(
    documents: Iterable[list[str]],
    tokenizer: Pieces | Words,
    folder: Path,
    check: Callable[[], None] = lambda: None,
) -> Shards:
    """Tokenize once; memory stays bounded by a chunk. A finished folder is taken as it is."""
    if not folder.is_dir() or files.damage(folder):
        with files.disk(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
        with files.new_folder(folder, {"about": "tokenized corpus"}, once=True) as partial:
            _write(documents, tokenizer, partial, check)
    return read(folder)


def read(folder: Path) -> Shards:
    kind = json.loads((folder / "kind.json").read_text())["dtype"]
    return Shards(
        np.memmap(folder / "tokens.bin", dtype=kind, mode="r"),
        np.fromfile(folder / "sentences.bin", dtype=np.int64),
        np.fromfile(folder / "documents.bin", dtype=np.int64),
    )


def _write(
    documents: Iterable[list[str]], tokenizer: Pieces | Words, folder: Path, check: Callable[[], None]
) -> None:
    kind = np.uint16 if tokenizer.size < 2**16 else np.int32
    tokens = sentences = counted = 0
    with (
        open(folder / "tokens.bin", "wb") as flat,
        open(folder / "sentences.bin", "wb") as sentence_file,
        open(folder / "documents.bin", "wb") as document_file,
    ):
        for chunk in _chunks(documents):
            check()
            encoded = iter(tokenizer.encode_many([s for document in chunk for s in document]))
            for document in chunk:
                kept = [ids for ids in islice(encoded, len(document)) if ids]
                if not kept:
                    continue
                counted += 1
                document_file.write(np.array([sentences], dtype=np.int64).tobytes())
                ends = tokens + np.cumsum([len(ids) for ids in kept])
                sentence_file.write(np.array([tokens, *ends[:-1]], dtype=np.int64).tobytes())
                flat.write(np.concatenate(kept).astype(kind).tobytes())
                sentences, tokens = sentences + len(kept), int(ends[-1])
        document_file.write(np.array([sentences], dtype=np.int64).tobytes())
        sentence_file.write(np.array([tokens], dtype=np.int64).tobytes())
    if not counted:
        raise DataError("the corpus holds no text at all")
    files.write_json(folder / "kind.json", {"dtype": np.dtype(kind).name})


def _chunks(documents: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    stream = iter(documents)
    while chunk := list(islice(stream, CHUNK)):
        yield chunk
