"""Sentences one after another, as a language model with a memory reads them: in rows that go on from window to
window. Of every sentence each word and its end are predicted; the backward reader sees each sentence mirrored."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lmcompare.text.shards import Shards
from lmcompare.text.words import Words


def sentences_of(shards: Shards, documents: np.ndarray) -> np.ndarray:
    """The numbers of the documents' sentences, in this order of documents."""
    first, counts = shards.documents[documents], np.diff(shards.documents)[documents]
    before = np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(first, counts) + np.arange(counts.sum()) - before


@dataclass(frozen=True)
class Streams:
    """`order` are sentences; row r reads the positions from starts[r] up to ends[r] of them."""

    shards: Shards
    order: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    @cached_property
    def borders(self) -> np.ndarray:
        """Where each sentence ends, in positions: one for every word and one for the end."""
        lengths = self.shards.sentences[self.order + 1] - self.shards.sentences[self.order] + 1
        return np.cumsum(lengths)

    def windows(self, unroll: int) -> int:
        return int(-(-(self.ends - self.starts).max() // unroll))

    def window(self, rows: np.ndarray, number: int, unroll: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and targets, each directions × rows × unroll; targets are −1 beyond the end of a row."""
        at_BT = self.starts[rows][:, None] + number * unroll + np.arange(unroll)[None]
        inside_BT = at_BT < self.ends[rows][:, None]
        at_BT = np.minimum(at_BT, self.borders[-1] - 1)
        place_BT = np.searchsorted(self.borders, at_BT, side="right")
        sentence_BT = self.order[place_BT]
        first_BT = self.shards.sentences[sentence_BT].astype(np.int64)
        words_BT = self.shards.sentences[sentence_BT + 1] - first_BT
        done_BT = at_BT - (self.borders[place_BT] - words_BT - 1)  # words of the sentence already read

        def word(offset_BT: np.ndarray, mark: int, marked_BT: np.ndarray) -> np.ndarray:
            safe_BT = np.clip(first_BT + offset_BT, 0, len(self.shards.tokens) - 1)
            return np.where(marked_BT, mark, self.shards.tokens[safe_BT].astype(np.int64))

        begun, ended = done_BT == 0, done_BT == words_BT
        inputs = [
            word(done_BT - 1, Words.start_id, begun),
            word(words_BT - done_BT, Words.end_id, begun),
        ]
        targets = [
            word(done_BT, Words.end_id, ended),
            word(words_BT - 1 - done_BT, Words.start_id, ended),
        ]
        return np.stack(inputs), np.where(inside_BT, np.stack(targets), -1)


def even(shards: Shards, order: np.ndarray, rows: int, unroll: int) -> Streams:
    """For training: rows of the same length, whole windows only; the few positions that are left over are not read."""
    total = int((shards.sentences[order + 1] - shards.sentences[order] + 1).sum())
    rows = max(1, min(rows, total // unroll))
    length = max(1, total // rows // unroll) * unroll
    starts = np.arange(rows) * length
    return Streams(shards, order, starts, np.minimum(starts + length, total))


def whole(shards: Shards, order: np.ndarray, rows: int) -> Streams:
    """For held-out figures: every position once, and no row begins inside a sentence."""
    borders = np.cumsum(shards.sentences[order + 1] - shards.sentences[order] + 1)
    cuts = np.searchsorted(borders, borders[-1] * np.arange(1, rows) / rows)
    edges = np.unique(np.concatenate([[0], borders[cuts], [borders[-1]]]))
    return Streams(shards, order, edges[:-1], edges[1:])
