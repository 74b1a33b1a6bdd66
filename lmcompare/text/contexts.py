"""What a language model that looks a few words back is asked: every word of a sentence and its end, and the words
before it in the same sentence."""

import numpy as np

from lmcompare.text.shards import Shards
from lmcompare.text.words import Words


def stretches(shards: Shards, documents: np.ndarray, length: int) -> np.ndarray:
    """Documents cut into even pieces of at most `length` words: first and last token, N × 2."""
    first = shards.sentences[shards.documents[documents]]
    sizes = shards.sentences[shards.documents[documents + 1]] - first
    pieces = -(-sizes // length)
    first, sizes, number = (np.repeat(x, pieces) for x in (first, sizes, pieces))
    place = spans(np.stack([np.zeros_like(pieces), pieces], 1))
    return np.stack([first + sizes * place // number, first + sizes * (place + 1) // number], 1)


def spans(rows: np.ndarray) -> np.ndarray:
    """All whole numbers from a row's first to before its last, row after row."""
    sizes = rows[:, 1] - rows[:, 0]
    return np.repeat(rows[:, 0] - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())


def asked(
    shards: Shards, rows: np.ndarray, tokenizer: Words, before: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Each predicted word of the stretches, and the words 1, 2, ... `before` places in front of it: the sentence's
    start where there is none. Where a stretch ends a sentence, the end is predicted too, after all words."""
    tokens = spans(rows)
    sentence = np.searchsorted(shards.sentences, tokens, side="right") - 1
    ends = np.flatnonzero(tokens + 1 == shards.sentences[sentence + 1])
    slots = np.concatenate([tokens, tokens[ends] + 1])
    first = shards.sentences[np.concatenate([sentence, sentence[ends]])]
    ids = tokenizer.targets(shards.tokens[tokens].astype(np.int32))
    targets = np.concatenate([ids, np.full(len(ends), tokenizer.end_id, dtype=np.int32)])
    contexts = []
    for back in range(1, before + 1):
        inside = slots - back >= first
        found = tokenizer.targets(shards.tokens[np.where(inside, slots - back, 0)].astype(np.int32))
        contexts.append(np.where(inside, found, np.int32(tokenizer.start_id)))
    return targets, contexts
