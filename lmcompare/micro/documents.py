"""Documents: a few facts on one topic, each taken up again by the sentences around it.

What a task asks for is never stated as such. It shows in how the sentences of a document hang together: a thing comes
back under another name, news is good or bad throughout, a question is answered by what was told before. A small model
learns from few tokens only what shows often, so every sentence carries more than one such clue.
"""

import random
import zlib
from collections.abc import Callable, Iterator

from lmcompare.micro import grammar
from lmcompare.micro.grammar import Fact, pick
from lmcompare.micro.lexicon import Lexicon, Scale, Topic

# One sentence in so many belongs to the tasks; only bare answers, as `no.`, may stand in documents too.
HELD_OUT = 3
TRIES = 12
SENTENCES = (5, 8)  # in a document
STRAY = 0.2  # how many documents tell of a second kind of thing


def held_out(sentence: str) -> bool:
    """A sentence's checksum says whether tasks or documents may use it: the two can never share one."""
    return zlib.crc32(sentence.encode()) % HELD_OUT == 0


def documents(words: Lexicon, count: int, seed: str) -> Iterator[list[str]]:
    """Document i is the same however many are asked for."""
    for i in range(count):
        yield document(random.Random(f"{seed}/{i}"), words)


def document(rng: random.Random, words: Lexicon) -> list[str]:
    """Two or three facts about one kind of thing, all good news or all bad, told and taken up in turn."""
    topic = words.topics.draw(rng)
    fields = rng.sample(topic.fields, 1 + (rng.random() < STRAY))
    good = rng.random() < 0.5
    facts = [grammar.fact(rng, words, pick(rng, fields), good) for _ in range(2 + (rng.random() < 0.5))]
    told: list[str] = []
    for fact in facts:
        told += _say(lambda fact=fact: _taken(rng, fact, grammar.event(rng, fact)))  # type: ignore[misc]
    length = rng.randint(*SENTENCES)
    while len(told) < length:
        told += _follow(rng, words, topic, pick(rng, facts))
    return told


def _taken(rng: random.Random, fact: Fact, sentence: str) -> str:
    return grammar.taken(rng, fact, sentence) if rng.random() < 0.4 else sentence


def _follow(rng: random.Random, words: Lexicon, topic: Topic, fact: Fact) -> list[str]:
    """One or two sentences that go on with a fact."""
    way = rng.random()
    if way < 0.22:
        return _say(lambda: _taken(rng, fact, grammar.state(rng, fact)))
    if way < 0.37:
        return _say(lambda: grammar.feeling(rng, fact))
    if way < 0.52:
        return _say(lambda: _taken(rng, fact, grammar.again(rng, fact)))
    if way < 0.6:
        return _say(lambda: grammar.definition(rng, fact.thing))
    if way < 0.68:
        return _say(lambda: grammar.also(rng, fact, _other_scale(rng, words, fact)))
    if way < 0.74:
        return _doubt(rng, words, fact)
    if way < 0.84:
        return _ask(rng, fact)
    if way < 0.92:
        return _say(lambda: grammar.society(rng, words, fact.who))
    stranger = pick(rng, fact.thing.nouns)
    return _say(lambda: grammar.right(grammar.habit(rng, topic, fact.field, stranger)))


def _ask(rng: random.Random, fact: Fact) -> list[str]:
    question, answer, _ = grammar.question(rng, fact)
    return [] if held_out(question) else [question, answer]


def _doubt(rng: random.Random, words: Lexicon, fact: Fact) -> list[str]:
    while (other := fact.field.things.draw(rng)) is fact.thing:
        pass
    question, answer = grammar.doubt(rng, fact, _other_scale(rng, words, fact), other)
    return [] if held_out(question) else [question, answer]


def _other_scale(rng: random.Random, words: Lexicon, fact: Fact) -> Scale:
    while fact.quality in ((scale := words.scales.draw(rng)).good, scale.bad):
        pass
    return scale


def _say(sentence: Callable[[], str]) -> list[str]:
    """The sentence in the first wording that documents may use; nothing where there is none."""
    for _ in range(TRIES):
        if not held_out(text := sentence()):
            return [text]
    return []
