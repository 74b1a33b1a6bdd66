"""Next-sentence pairs, cut from documents by the rules of the original data script (Devlin et al. 2019, §A.1–A.2).

An instance is two stretches of the flat token array, so a corpus's worth of them is five numbers a row."""

import random
from collections.abc import Callable

import numpy as np

from lmcompare.text.shards import Shards

TRIES = 10  # to find another document for a random second half
Row = tuple[int, int, int, int, int]  # start and end of A, start and end of B, 1 where B is random


def make(
    shards: Shards,
    documents: np.ndarray,
    *,
    length: int,
    short_rate: float,
    passes: int,
    seed: int,
    check: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Instances (n × 5) from every document, `passes` times over, each time cut differently."""
    rows: list[Row] = []
    for number in range(passes):
        for place, d in enumerate(documents):
            if place % 1000 == 0:
                check()
            rng = random.Random(f"{seed} {number} {d}")
            rows += _cut(shards, documents, int(d), length - 3, short_rate, rng)
    return np.array(rows, dtype=np.int64).reshape(-1, 5)


def _cut(
    shards: Shards, documents: np.ndarray, d: int, room: int, short_rate: float, rng: random.Random
) -> list[Row]:
    """One pass over a document: gather sentences up to the target, then split them into A and B."""
    bounds = shards.document(d).tolist()
    last, first, i = len(bounds) - 2, 0, 0
    target = _target(room, short_rate, rng)
    rows = []
    while i <= last:
        if i < last and bounds[i + 1] - bounds[first] < target:
            i += 1
            continue
        gathered = i + 1 - first
        split = first + (rng.randint(1, gathered - 1) if gathered > 1 else 1)
        a = (bounds[first], bounds[split])
        if gathered == 1 or rng.random() < 0.5:
            b = _elsewhere(shards, documents, d, target - (a[1] - a[0]), rng)
            is_random, i = 1, split  # the sentences that B would have taken are used again
        else:
            b, is_random, i = (bounds[split], bounds[i + 1]), 0, i + 1
        rows.append((*_fit(a, b, room, rng), is_random))
        first, target = i, _target(room, short_rate, rng)
    return rows


def _target(room: int, short_rate: float, rng: random.Random) -> int:
    return rng.randint(2, room) if rng.random() < short_rate else room


def _elsewhere(
    shards: Shards, documents: np.ndarray, d: int, wanted: int, rng: random.Random
) -> tuple[int, int]:
    """Sentences from a random place of another document, about as many tokens as are wanted."""
    for _ in range(TRIES):
        other = int(documents[rng.randrange(len(documents))])
        if other != d:
            break
    bounds = shards.document(other).tolist()
    start = rng.randrange(len(bounds) - 1)
    end = start + 1
    while end < len(bounds) - 1 and bounds[end] - bounds[start] < wanted:
        end += 1
    return bounds[start], bounds[end]


def _fit(a: tuple[int, int], b: tuple[int, int], room: int, rng: random.Random) -> tuple[int, int, int, int]:
    """Cut the longer of the two, a token at a time from its front or its back, until both fit."""
    (a0, a1), (b0, b1) = a, b
    while (a1 - a0) + (b1 - b0) > room:
        front = rng.random() < 0.5
        if a1 - a0 > b1 - b0:
            a0, a1 = (a0 + 1, a1) if front else (a0, a1 - 1)
        else:
            b0, b1 = (b0 + 1, b1) if front else (b0, b1 - 1)
    return a0, a1, b0, b1
