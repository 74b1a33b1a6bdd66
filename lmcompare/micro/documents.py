"""Documents: a few facts on one topic, each taken up again by the sentences around it.

What a task asks for is never stated as such. It shows in how the sentences of a document hang together: a thing comes
back under another name, a good quality makes people glad, a question is answered by what was told before.
"""

import random
import zlib
from collections.abc import Callable, Iterator

from lmcompare.micro import grammar
from lmcompare.micro.grammar import Fact, pick
from lmcompare.micro.lexicon import Field, Lexicon

HELD_OUT = 3  # one sentence in so many belongs to the tasks and never stands in a document
TRIES = 12
TAKEN = 0.6  # how many sentences say how people take what they tell
TWO_FACTS = 0.35  # how many documents tell two facts that must not be mixed up


def held_out(sentence: str) -> bool:
    """A sentence's checksum says whether tasks or documents may use it: the two can never share one."""
    return zlib.crc32(sentence.encode()) % HELD_OUT == 0


def documents(words: Lexicon, count: int, seed: str) -> Iterator[list[str]]:
    """Document i is the same however many are asked for."""
    for i in range(count):
        yield document(random.Random(f"{seed}/{i}"), words)


def document(rng: random.Random, words: Lexicon) -> list[str]:
    topic = words.topics.draw(rng)
    count = 1 + (rng.random() < TWO_FACTS)
    fields = rng.sample(topic.fields, count)
    good = rng.random() < 0.5  # a document tells good news or bad news throughout
    facts = [grammar.fact(rng, words, field, good) for field in fields]
    asked = pick(rng, facts)
    told: list[str] = []
    if early := rng.random() < 0.2:  # some documents open with the question that they answer
        told += _say(lambda: grammar.question(rng, asked)[0])
    for field, fact in zip(fields, facts, strict=True):
        told += _say(lambda fact=fact: _event(rng, fact))  # type: ignore[misc]
        for _ in range(4 - count - (rng.random() < 0.6)):
            told += _follow(rng, words, field, fact)
    if rng.random() < 0.2:
        told += _say(lambda: grammar.society(rng, words, facts[-1].who))
    if rng.random() < 0.2:
        stranger = pick(rng, facts[0].thing.nouns)
        told += _say(lambda: grammar.right(grammar.habit(rng, topic, fields[0], stranger)))
    if not early and rng.random() < 0.4:
        told += _ask(rng, asked)
    return told


def _event(rng: random.Random, fact: Fact) -> str:
    sentence = grammar.event(rng, fact)
    return grammar.taken(rng, fact, sentence) if rng.random() < TAKEN else sentence


def _state(rng: random.Random, fact: Fact) -> str:
    sentence = grammar.state(rng, fact)
    return grammar.taken(rng, fact, sentence) if rng.random() < TAKEN else sentence


def _follow(rng: random.Random, words: Lexicon, field: Field, fact: Fact) -> list[str]:
    """One or two sentences that go on with a fact."""
    way = rng.random()
    if way < 0.3:
        return _say(lambda: _state(rng, fact))
    if way < 0.58:
        return _say(lambda: grammar.feeling(rng, fact))
    if way < 0.76:
        return _doubt(rng, words, field, fact)
    if way < 0.84:
        return _say(lambda: grammar.again(rng, fact))
    if way < 0.92:
        return _say(lambda: grammar.definition(rng, fact.thing))
    while fact.quality in ((scale := words.scales.draw(rng)).good, scale.bad):
        pass
    return _say(lambda: grammar.also(rng, fact, scale))


def _ask(rng: random.Random, fact: Fact) -> list[str]:
    question, answer, _ = grammar.question(rng, fact)
    return [] if held_out(question) else [question, answer]


def _doubt(rng: random.Random, words: Lexicon, field: Field, fact: Fact) -> list[str]:
    while fact.quality in ((scale := words.scales.draw(rng)).good, scale.bad):
        pass
    while (other := field.things.draw(rng)) is fact.thing:
        pass
    question, answer = grammar.doubt(rng, fact, scale, other)
    return [] if held_out(question) else [question, answer]


def _say(sentence: Callable[[], str]) -> list[str]:
    """The sentence in the first wording that documents may use; nothing where there is none."""
    for _ in range(TRIES):
        if not held_out(text := sentence()):
            return [text]
    return []
