"""Next-sentence pairs, cut from documents by the rules of the original data script (Devlin et al. 2019, §A.1–A.2).

An instance is two stretches of the flat token array, so a corpus's worth of them is five numbers a row. The rows of a
document are a function of the seed, the pass and the document alone, so blocks of documents may be cut anywhere."""

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lmcompare import files
from lmcompare.progress import clock
from lmcompare.text import growing, spread
from lmcompare.text.shards import SIZES, Shards, mapped, read

TRIES = 10  # to find another document for a random second half
BLOCK = 1 << 20  # tokens that are cut at a time
SLICE = 4096  # documents whose sizes are looked at together
ROWS, CHOSEN = "rows.bin", ".chosen.tmp"  # the second is for the workers only
EVERY = 10.0  # seconds between two notes of how far it is
Row = tuple[int, int, int, int, int]  # start and end of A, start and end of B, 1 where B is random


def make(
    shards: Shards,
    documents: np.ndarray,
    *,
    length: int,
    short_rate: float,
    passes: int,
    seed: int,
    random_rate: float = 0.5,
    check: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Instances (n × 5) from every document, `passes` times over, each time cut differently."""
    work = cutter(shards, documents, length=length, short_rate=short_rate, random_rate=random_rate, seed=seed)
    parts = []
    for _, block in blocks(shards, documents, passes):
        check()
        parts.append(np.frombuffer(work(block), dtype=SIZES))
    check()
    return np.concatenate([*parts, np.zeros(0, SIZES)]).reshape(-1, 5)


def instances(
    shards: Shards,
    documents: np.ndarray,
    folder: Path,
    *,
    length: int,
    short_rate: float,
    random_rate: float,
    passes: int,
    seed: int,
    workers: int,
    check: Callable[[], None] = lambda: None,
    note: Callable[[str], None] = lambda text: None,
) -> np.ndarray:
    """The rows of `make`, cut by so many processes and kept in the folder: a read-only array that is mapped from
    there. An unfinished folder is gone on with; a finished one is taken as it is."""
    settings = {"length": length, "short_rate": short_rate, "random_rate": random_rate, "seed": seed}
    facts = {"about": "next-sentence instances", "of": identity(shards, documents, passes, settings)}
    with growing.folder(folder, [ROWS], facts, check=check, note=note) as grown:
        if grown is not None and not grown.whole:
            _fill(grown, shards, documents, passes, settings, workers, check, note)
    return mapped(folder / ROWS).reshape(-1, 5)


def identity(shards: Shards, documents: np.ndarray, passes: int, settings: dict[str, Any]) -> str:
    """SHA-256 over all that decides about the rows."""
    digest = hashlib.sha256(json.dumps([passes, BLOCK, settings], sort_keys=True).encode())
    if shards.folder is not None:
        digest.update(json.dumps(files.read_json(shards.folder / files.MANIFEST)["sha256"]).encode())
    else:
        digest.update(shards.sentences.tobytes() + shards.documents.tobytes())
    digest.update(np.asarray(documents, dtype=SIZES).tobytes())
    return digest.hexdigest()


def _fill(
    grown: growing.Growing,
    shards: Shards,
    documents: np.ndarray,
    passes: int,
    settings: dict[str, Any],
    workers: int,
    check: Callable[[], None],
    note: Callable[[str], None],
) -> None:
    def hire() -> tuple[str, dict[str, Any]]:
        files.write(grown.folder / CHOSEN, np.asarray(documents, dtype=SIZES).tobytes())
        told = {"folder": str(shards.folder), "chosen": str(grown.folder / CHOSEN), **settings}
        return "lmcompare.text.pairs:cutter_from", told

    many = workers if shards.folder is not None else 1
    left = blocks(shards, documents, passes, skip=grown.done)
    total, began, spoke = passes * len(documents), time.monotonic(), time.monotonic()
    first: int | None = None
    with spread.ordered(
        left, cutter(shards, documents, **settings), hire, workers=many, check=check
    ) as answers:
        for done, rows in answers:
            grown.add(ROWS, rows)
            grown.block(1)
            first = done if first is None else first
            if time.monotonic() - spoke >= EVERY:
                spoke = time.monotonic()
                note(how_far(done, total, (done - first) / (spoke - began)))


def how_far(done: int, total: int, speed: float) -> str:
    left = f" · {clock((total - done) / speed)} left" if speed else ""
    return f"instances: {100 * done / total:.0f} % · {speed:,.0f} documents/s{left}"


def blocks(shards: Shards, documents: np.ndarray, passes: int, skip: int = 0) -> Iterator[tuple[int, bytes]]:
    """Pass, first and last place of documents that together hold about as many tokens as are cut at a time; before
    it how many documents are then done."""
    borders = [0]
    size = 0
    for begin in range(0, len(documents), SLICE):
        chosen = documents[begin : begin + SLICE]
        first, last = shards.documents[chosen], shards.documents[chosen + 1]
        for place, tokens in enumerate(
            (shards.sentences[last] - shards.sentences[first]).tolist(), begin + 1
        ):
            size += tokens
            if size >= BLOCK:
                borders.append(place)
                size = 0
    if borders[-1] < len(documents):
        borders.append(len(documents))
    number = 0
    for turn in range(passes):
        for begin, end in pairwise(borders):
            number += 1
            if number > skip:
                yield turn * len(documents) + end, json.dumps([turn, begin, end]).encode()


def cutter(
    shards: Shards,
    documents: np.ndarray,
    *,
    length: int,
    short_rate: float,
    random_rate: float,
    seed: int,
) -> spread.Work:
    """A block of documents to their rows."""
    cut = Cut(shards, documents, length - 3, short_rate, random_rate)

    def work(data: bytes) -> bytes:
        turn, begin, end = json.loads(data)
        rows: list[Row] = []
        for d in documents[begin:end].tolist():
            rows += cut.document(d, random.Random(f"{seed} {turn} {d}"))
        return np.array(rows, dtype=SIZES).tobytes()

    return work


def cutter_from(folder: str, chosen: str, **settings: Any) -> spread.Work:
    """The same in a worker."""
    return cutter(read(Path(folder)), mapped(Path(chosen)), **settings)


class Cut:
    """The rules, with what they need to know."""

    def __init__(
        self, shards: Shards, documents: np.ndarray, room: int, short_rate: float, random_rate: float
    ) -> None:
        self.shards, self.documents, self.room = shards, documents, room
        self.short_rate, self.random_rate = short_rate, random_rate

    def document(self, d: int, rng: random.Random) -> list[Row]:
        """One pass over a document, with one target of length: gather sentences up to it, then split them into A and
        B."""
        bounds = self.shards.document(d).tolist()
        last, first, i = len(bounds) - 2, 0, 0
        target = self.target(rng)
        rows = []
        while i <= last:
            if i < last and bounds[i + 1] - bounds[first] < target:
                i += 1
                continue
            gathered = i + 1 - first
            split = first + (rng.randint(1, gathered - 1) if gathered > 1 else 1)
            a = (bounds[first], bounds[split])
            if self.random_rate and (gathered == 1 or rng.random() < self.random_rate):
                b = self.elsewhere(d, target - (a[1] - a[0]), rng)
                is_random, i = 1, split  # the sentences that B would have taken are used again
            else:  # a sentence alone has nothing behind it, and B is empty
                b, is_random, i = (bounds[split], bounds[i + 1]), 0, i + 1
            rows.append((*fitted(a, b, self.room, rng), is_random))
            first = i
        return rows

    def target(self, rng: random.Random) -> int:
        return rng.randint(2, self.room) if rng.random() < self.short_rate else self.room

    def elsewhere(self, d: int, wanted: int, rng: random.Random) -> tuple[int, int]:
        """Sentences from a random place of another document, about as many tokens as are wanted."""
        for _ in range(TRIES):
            other = int(self.documents[rng.randrange(len(self.documents))])
            if other != d:
                break
        first, last = (int(n) for n in self.shards.documents[other : other + 2])
        start = first + rng.randrange(last - first)
        # A sentence has a token at least, so this many are enough.
        bounds = self.shards.sentences[start : min(start + max(1, wanted), last) + 1].tolist()
        end = 1
        while end < len(bounds) - 1 and bounds[end] - bounds[0] < wanted:
            end += 1
        return bounds[0], bounds[end]


def fitted(
    a: tuple[int, int], b: tuple[int, int], room: int, rng: random.Random
) -> tuple[int, int, int, int]:
    """Cut the longer of the two, a token at a time from its front or its back, until both fit."""
    (a0, a1), (b0, b1) = a, b
    while (a1 - a0) + (b1 - b0) > room:
        front = rng.random() < 0.5
        if a1 - a0 > b1 - b0:
            a0, a1 = (a0 + 1, a1) if front else (a0, a1 - 1)
        else:
            b0, b1 = (b0 + 1, b1) if front else (b0, b1 - 1)
    return a0, a1, b0, b1
