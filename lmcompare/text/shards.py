"""A tokenized corpus on disk, memory-mapped: one flat array of token ids, and where sentences and documents start."""

import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lmcompare import files, randomness
from lmcompare.errors import DataError
from lmcompare.text import corpus, growing, spread
from lmcompare.text.pieces import Pieces, id_type
from lmcompare.text.words import Words

TOKENS, SENTENCES, DOCUMENTS = FILES = ("tokens.bin", "sentences.bin", "documents.bin")
KIND = "kind.json"
TOKENIZER = ".tokenizer.tmp"  # for the workers; goes with the unfinished folder's other leftovers
SIZES = np.dtype(np.int64)  # of counts and places


@dataclass(frozen=True)
class Shards:
    """`tokens[sentences[s] : sentences[s + 1]]` is sentence s; document d holds sentences documents[d] up to
    documents[d + 1]."""

    tokens: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray
    folder: Path | None = None  # where they are mapped from

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
    documents: Iterable[corpus.Document],
    tokenizer: Pieces | Words,
    folder: Path,
    check: Callable[[], None] = lambda: None,
    *,
    workers: int = 1,
    note: Callable[[str], None] = lambda text: None,
    seen: Callable[[int], None] = lambda tokens: None,
) -> Shards:
    """Tokenize once, in memory of a few blocks. A finished folder is taken as it is, an unfinished one is gone on
    with: the documents must be the same ones. `seen` is told of every block's tokens."""
    facts = {"about": "tokenized corpus", "tokenizer": tokenizer.fingerprint}
    with growing.folder(folder, FILES, facts, check=check, note=note) as grown:
        if grown is not None and not grown.whole:
            _fill(grown, documents, tokenizer, check, workers, seen)
    return read(folder)


def read(folder: Path) -> Shards:
    kind = json.loads((folder / KIND).read_text())["dtype"]
    return Shards(
        mapped(folder / TOKENS, kind), mapped(folder / SENTENCES), mapped(folder / DOCUMENTS), folder
    )


def mapped(path: Path, kind: Any = SIZES) -> np.ndarray:
    """A file as an array that stays on the disk, as a plain one: slices of np.memmap are slow to make."""
    if not path.stat().st_size:
        return np.zeros(0, dtype=kind)
    return np.memmap(path, dtype=kind, mode="r").view(np.ndarray)


def _fill(
    grown: growing.Growing,
    documents: Iterable[corpus.Document],
    tokenizer: Any,
    check: Callable[[], None],
    workers: int,
    seen: Callable[[int], None],
) -> None:
    kind = id_type(tokenizer.size)
    files.write_json(grown.folder / KIND, {"dtype": kind.name})
    tokens = grown.sizes[TOKENS] // kind.itemsize
    sentences, counted = (grown.sizes[name] // SIZES.itemsize for name in (SENTENCES, DOCUMENTS))

    def hire() -> tuple[str, dict[str, Any]]:
        tokenizer.save(grown.folder / TOKENIZER)
        told = {"folder": str(grown.folder / TOKENIZER), "module": type(tokenizer).__module__}
        told |= {"name": type(tokenizer).__name__, "fingerprint": tokenizer.fingerprint}
        return "lmcompare.text.shards:encoder_from", told

    blocks = _chunks(documents, grown.done, check)
    with spread.ordered(blocks, encoder(tokenizer), hire, workers=workers, check=check) as answers:
        for many, answer in answers:
            per_document, per_sentence, ids = unpacked(answer)
            counted += len(per_document)
            grown.add(DOCUMENTS, starts(sentences, per_document).tobytes())
            grown.add(SENTENCES, starts(tokens, per_sentence).tobytes())
            grown.add(TOKENS, ids)
            sentences += len(per_sentence)
            tokens += int(per_sentence.sum())
            grown.block(many)
            seen(int(per_sentence.sum()))
    if not counted:
        raise DataError("the corpus holds no text at all")
    grown.add(DOCUMENTS, SIZES.type(sentences).tobytes())
    grown.add(SENTENCES, SIZES.type(tokens).tobytes())


def _chunks(
    documents: Iterable[corpus.Document], done: int, check: Callable[[], None]
) -> Iterator[tuple[int, bytes]]:
    """The documents that are not done yet, in blocks."""
    stream = iter(documents)
    while done > 0:
        check()
        skipped = sum(1 for _ in islice(stream, min(done, 1000)))
        if not skipped:
            raise DataError("the corpus holds fewer documents than when it was last read")
        done -= skipped
    yield from corpus.blocks(stream, check)


def starts(first: int, lengths: np.ndarray) -> np.ndarray:
    """Where each of these stretches begins, the first one at `first`."""
    return first + np.cumsum(lengths) - lengths


def encoder(tokenizer: Pieces | Words) -> spread.Work:
    """A block of documents to how many sentences each has, how many tokens each of these has, and the tokens; what
    has none is left out."""
    kind = id_type(tokenizer.size)

    def work(data: bytes) -> bytes:
        cut = [corpus.sentences_of(document) for document in json.loads(data)]
        flat, lengths = encoded(tokenizer, [sentence for document in cut for sentence in document])
        of_document = np.repeat(np.arange(len(cut)), [len(document) for document in cut])
        per_document = np.bincount(of_document[lengths > 0], minlength=len(cut))
        told = [per_document[per_document > 0], lengths[lengths > 0]]
        head = np.array([len(part) for part in told], dtype=SIZES)
        return b"".join(
            [part.astype(SIZES).tobytes() for part in (head, *told)] + [flat.astype(kind).tobytes()]
        )

    return work


def encoder_from(folder: str, module: str, name: str, fingerprint: str) -> spread.Work:
    """The same in a worker, with the tokenizer that was saved for it."""
    tokenizer = getattr(importlib.import_module(module), name).load(Path(folder))
    if tokenizer.fingerprint != fingerprint:
        raise RuntimeError(f"{folder}: the tokenizer does not come back from its folder as it was")
    return encoder(tokenizer)


def unpacked(answer: bytes) -> tuple[np.ndarray, np.ndarray, memoryview]:
    documents, sentences = np.frombuffer(answer, dtype=SIZES, count=2).tolist()
    whole = np.frombuffer(answer, dtype=SIZES, count=2 + documents + sentences)
    return whole[2 : 2 + documents], whole[2 + documents :], memoryview(answer)[whole.nbytes :]


def encoded(tokenizer: Any, sentences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """All their ids behind one another, and how many each has."""
    if hasattr(tokenizer, "encode_flat"):
        return tokenizer.encode_flat(sentences)
    ids = tokenizer.encode_many(sentences)
    lengths = np.array([len(one) for one in ids], dtype=SIZES)
    flat = np.fromiter((n for one in ids for n in one), SIZES, int(lengths.sum()))
    if flat.max(initial=0) >= tokenizer.size:  # as the numbers of words that are not in the list are
        raise DataError(
            "the corpus has words that the vocabulary, which lists all words of a corpus, does not"
        )
    return flat, lengths
