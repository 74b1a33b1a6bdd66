"""What the tasks ask: one maker of examples for each, over whatever part of the lexicon it is handed.

A maker draws one example at random, or gives None where no wording of a sentence belongs to the tasks; texts say
nothing of the label that counting words could find, as far as that can be arranged.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from lmcompare.micro import grammar, wording
from lmcompare.micro.grammar import Fact, pick
from lmcompare.micro.lexicon import Concept, Lexicon, Verb
from lmcompare.types import Example

Maker = Callable[[random.Random, Lexicon], Example | None]


def acceptability(rng: random.Random, words: Lexicon) -> Example | None:
    topic = words.topics.draw(rng)
    field = pick(rng, topic.fields)
    while (other := words.topics.draw(rng)) is topic:
        pass
    stranger = pick(rng, pick(rng, other.fields).things.draw(rng).nouns)
    good = rng.random() < 0.5

    def say() -> str:
        slots = grammar.habit(rng, topic, field, stranger)
        return grammar.right(slots) if good else grammar.wrong(rng, slots)

    return wording.one(say, "acceptable" if good else "unacceptable")


def sentiment(rng: random.Random, words: Lexicon) -> Example | None:
    f, other = wording.fact(rng, words), wording.scale(rng, words)

    def say() -> str:
        way, thing = rng.random(), grammar.call(rng, f.thing)
        if way < 0.3:
            return f"the {thing} was not {pick(rng, f.contrary)}."
        if way < 0.6:
            return f"the {thing} was {pick(rng, f.quality)} and {pick(rng, other.good if f.good else other.bad)}."
        if way < 0.8:
            return f"{f.who} {pick(rng, f.verbs).ed} the {pick(rng, f.quality)} {thing}."
        return f"the {pick(rng, f.quality)} {thing} was {pick(rng, f.verbs).ed}."

    return wording.one(say, "positive" if f.good else "negative")


def entailment(rng: random.Random, words: Lexicon) -> Example | None:
    field = wording.field(rng, words)
    f = grammar.fact(rng, words, field)
    scale, other = wording.scale(rng, words, f), wording.sibling(rng, field, f.thing)
    label = pick(rng, ("entailment", "neutral", "contradiction"))
    good, bad = (f.quality, f.contrary) if label != "neutral" else grammar.end(scale, f.good)

    def hypothesis() -> str:
        thing, way = grammar.recall(rng, f.thing), rng.random()
        if way < 0.15:
            verbs = f.opposite if label == "contradiction" else f.verbs
            told = grammar.call(rng, other) if label == "neutral" else thing
            return f"{f.who} {pick(rng, verbs).ed} the {told}."
        denied = way < 0.25
        quality = bad if denied != (label == "contradiction") else good
        return f"the {thing} was {'not ' if denied else ''}{pick(rng, quality)}."

    return wording.two(lambda: grammar.active(rng, f), hypothesis, label)


def paraphrase(rng: random.Random, words: Lexicon) -> Example | None:
    field = wording.field(rng, words)
    f = g = grammar.fact(rng, words, field)
    same = rng.random() < 0.5
    if not same:
        changes: Sequence[Callable[[], Fact]] = (
            lambda: replace(f, thing=wording.sibling(rng, field, f.thing)),
            lambda: replace(f, verbs=f.opposite),
            lambda: replace(f, quality=f.contrary),
            lambda: replace(f, quality=f.contrary),
            lambda: replace(f, quality=grammar.ends(rng, wording.scale(rng, words, f))[0]),
        )
        g = pick(rng, changes)()
    first = wording.settle(partial(wording.told, rng, f))
    if first is None:
        return None
    said = set(first[:-1].split())

    def second() -> str:
        thing = wording.reword(rng, [noun.one for noun in g.thing.nouns], said)
        verb, quality = (
            wording.reword(rng, [verb.ed for verb in g.verbs], said),
            wording.reword(rng, g.quality, said),
        )
        if rng.random() < 0.5:
            return f"{g.who} {verb} the {quality} {thing} in {g.place}."
        return f"the {quality} {thing} was {verb} by {g.who} in {g.place}."

    return wording.two(lambda: first, second, "same" if same else "different")


def similarity(rng: random.Random, words: Lexicon) -> Example | None:
    """Five parts, each worth 1 where it means the same, 0.5 where it is related, 0 otherwise."""
    near = rng.random()  # how alike the two sentences are to be
    topic, other_topic = words.topics.draw(rng), words.topics.draw(rng)
    field, other_field = pick(rng, topic.fields), pick(rng, other_topic.fields)
    f = grammar.fact(rng, words, field)
    mood = grammar.ends(rng, wording.scale(rng, words, f))[0]
    who, score = topic.people.draw(rng), 0.0
    who_2, mood_2, g = who, mood, f

    def kept() -> bool:
        return rng.random() < near

    if kept():
        score += 1
    else:
        who_2 = (topic if (related := kept()) else other_topic).people.draw(rng)
        score += 1 if who_2 is who else 0.5 if related or other_topic is topic else 0
    if kept() or other_field is field:
        verbs, thing = (
            f.verbs if kept() else f.opposite,
            f.thing if kept() else wording.sibling(rng, field, f.thing),
        )
        g = replace(f, verbs=verbs, thing=thing)
        score += (1 if verbs is f.verbs else 0.5) + (1 if thing is f.thing else 0.5)
    else:
        g = replace(f, verbs=grammar.sides(rng, other_field.deed)[0], thing=other_field.things.draw(rng))
    if kept():
        score += 1
    else:
        g = replace(g, quality=grammar.ends(rng, wording.scale(rng, words, f))[0])
    if kept():
        score += 1
    else:
        mood_2 = grammar.ends(rng, wording.scale(rng, words, f))[0]
        score += 1 if mood_2 is mood else 0
    first = wording.settle(lambda: _scene(rng, mood, who, f, set()))
    if first is None:
        return None
    said = set(first[:-1].split())
    return wording.two(lambda: first, lambda: _scene(rng, mood_2, who_2, g, said), score)


def _scene(rng: random.Random, mood: Sequence[str], who: Concept, f: Fact, said: set[str]) -> str:
    person, thing = (
        wording.reword(rng, [noun.one for noun in concept.nouns], said) for concept in (who, f.thing)
    )
    verb = wording.reword(rng, [verb.ed for verb in f.verbs], said)
    return f"the {wording.reword(rng, mood, said)} {person} {verb} the {wording.reword(rng, f.quality, said)} {thing}."


def sense(rng: random.Random, words: Lexicon) -> Example | None:
    double = words.doubles.draw(rng)
    same = rng.random() < 0.5
    one = pick(rng, double.senses)
    two = one if same else next(sense for sense in double.senses if sense is not one)
    verbs: set[Verb] = set()

    def say(use: object) -> Callable[[], str]:
        def sentence() -> str:
            sense = one if use == 1 else two
            deed = sense.field.deed
            verb = pick(rng, [verb for verb in deed.verbs + deed.opposite if verb not in verbs or not same])
            if use == 1:
                verbs.clear()
                verbs.add(verb)
            who, quality = (
                pick(rng, sense.topic.people.draw(rng).nouns),
                pick(rng, wording.end(rng, words)),
            )
            if rng.random() < 0.5:
                return f"the {who.one} {verb.ed} the {quality} {double.noun.one}."
            return f"the {quality} {double.noun.one} was {verb.ed} by the {who.one}."

        return sentence

    return wording.two(say(1), say(2), "same" if same else "different")
