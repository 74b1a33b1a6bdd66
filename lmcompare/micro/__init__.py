"""The embedded suite: a small English-like world, its documents to learn from, and what tasks ask about it."""

import functools
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from lmcompare.errors import UserError, unknown
from lmcompare.micro import documents, grammar
from lmcompare.micro.lexicon import Lexicon, lexicon
from lmcompare.micro.passages import answers, continuation, entities
from lmcompare.micro.questions import (
    acceptability,
    entailment,
    paraphrase,
    sense,
    sentiment,
    similarity,
)  # fmt: skip
from lmcompare.types import Example

Maker = Callable[[random.Random, Lexicon], Example | None]
MAKERS: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (
        acceptability, sentiment, entailment, paraphrase, similarity, sense, continuation, entities, answers,
    )
}  # fmt: skip
SPLITS = ("train", "dev", "test")
TAUGHT = 0.28  # the share of the lexicon that labelled training examples show
PATIENCE = 4000  # draws for one more example before a split counts as exhausted


class World:
    """One world: the same seed makes the same words, documents and examples everywhere."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.words: Lexicon = lexicon(seed)
        self.taught: Lexicon = self.words.part(TAUGHT, f"taught/{seed}")

    def documents(self, count: int, seed: int = 0) -> Iterator[list[str]]:
        """Documents as lists of sentences; document i is the same however many are asked for."""
        return documents.documents(self.words, count, f"documents/{self.seed}/{seed}")

    def examples(self, task: str, split: str, count: int) -> list[Example]:
        """Examples of one split; no two are alike, and no two splits share one."""
        if task not in MAKERS:
            raise UserError(unknown("embedded task", task, MAKERS))
        if split not in SPLITS:
            raise UserError(unknown("split", split, SPLITS, f"micro.{task}"))
        rng = random.Random(f"{self.seed}/{task}/{split}")
        words = self.taught if split == "train" else self.words
        found: dict[tuple[object, ...], Example] = {}
        misses = 0
        while len(found) < count:
            example = MAKERS[task](rng, words)
            if example is None or (key := _content(example)) in found or _split(key) != split:
                misses += 1
                if misses > PATIENCE * (len(found) + 1):
                    raise UserError(f"micro.{task}: {split} has {len(found)} examples at most, not {count}")
                continue
            found[key] = replace(example, id=f"{split}-{len(found)}")
        return list(found.values())

    def probe(self, count: int = 300, seed: int = 0) -> list[tuple[str, str, str, str]]:
        """What a model of this world should know: (what of, a text with one ___, a fitting word, a wrong one)."""
        rng = random.Random(f"probe/{self.seed}/{seed}")
        return [grammar.riddle(rng, self.words) for _ in range(count)]


@functools.cache
def world(seed: int = 0) -> World:
    """The world of that seed, made once."""
    return World(seed)


def _content(example: Example) -> tuple[object, ...]:
    return (*example.texts, *sorted(example.options), *example.words)


def _split(key: tuple[object, ...]) -> str:
    return SPLITS[zlib.crc32("\n".join(map(str, key)).encode()) // documents.HELD_OUT % 3]
