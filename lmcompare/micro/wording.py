"""What the makers of examples share: sentences in a wording that belongs to the tasks, and pieces of the lexicon."""

import random
import re
from collections.abc import Callable, Sequence

from lmcompare.micro import grammar
from lmcompare.micro.documents import held_out
from lmcompare.micro.grammar import Fact, pick
from lmcompare.micro.lexicon import CLOSED, Concept, Field, Lexicon, Scale
from lmcompare.types import Example

TRIES = 12
REWORD = 0.75  # how often a word that keeps its meaning is exchanged for a synonym


def told(rng: random.Random, f: Fact) -> str:
    return (grammar.active if rng.random() < 0.5 else grammar.passive)(rng, f)


def settle(sentence: Callable[[], str]) -> str | None:
    """The sentence in the first wording that belongs to the tasks."""
    for _ in range(TRIES):
        if held_out(text := sentence()):
            return text
    return None


def shared(a: str, b: str) -> set[str]:
    """The content words that two texts have in common."""
    return set(re.findall(r"\w+", a)).intersection(re.findall(r"\w+", b)) - CLOSED


def one(sentence: Callable[[], str], label: str) -> Example | None:
    text = settle(sentence)
    return None if text is None else Example("", (text,), label)


def two(first: Callable[[], str], second: Callable[[], str], label: str | float) -> Example | None:
    a, b = settle(first), settle(second)
    return None if a is None or b is None or a == b else Example("", (a, b), label)


def field(rng: random.Random, words: Lexicon) -> Field:
    return pick(rng, words.topics.draw(rng).fields)


def fact(rng: random.Random, words: Lexicon) -> Fact:
    return grammar.fact(rng, words, field(rng, words))


def scale(rng: random.Random, words: Lexicon, f: Fact | None = None) -> Scale:
    """A scale; not the fact's own."""
    while f is not None and f.quality in ((scale := words.scales.draw(rng)).good, scale.bad):
        pass
    return words.scales.draw(rng) if f is None else scale


def end(rng: random.Random, words: Lexicon) -> tuple[str, ...]:
    return grammar.ends(rng, scale(rng, words))[0]


def sibling(rng: random.Random, field: Field, thing: Concept) -> Concept:
    """Another thing of the same kind."""
    while (other := field.things.draw(rng)) is thing:
        pass
    return other


def reword(rng: random.Random, synonyms: Sequence[str], said: set[str]) -> str:
    """A word of that meaning, mostly one that was not said."""
    new = [word for word in synonyms if word not in said]
    old = [word for word in synonyms if word in said]
    if not old or (new and rng.random() < REWORD):
        return pick(rng, new)
    return pick(rng, old)
