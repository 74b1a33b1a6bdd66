"""Sentences: a fact about the world, and the many ways to tell it, take it up again, ask for it or deny it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from lmcompare.micro.lexicon import Concept, Deed, Field, Lexicon, Noun, Scale, Topic, Verb

GLAD = ["glad", "happy", "proud"]
SORRY = ["sorry", "sad", "angry"]
LUCKILY = ["luckily", "happily"]
SADLY = ["sadly", "alas"]
SMILED = ["smiled", "laughed"]
WEPT = ["wept", "cried", "complained"]

COMMON = 0.4  # how often the first of several synonyms is taken without looking at the others

T = TypeVar("T")
Slot = str | tuple[str, str]  # a word, or a right and a wrong one for the same place


@dataclass(frozen=True, slots=True)
class Fact:
    """Somebody did something to some thing of some quality somewhere."""

    who: str
    verbs: tuple[Verb, ...]
    opposite: tuple[Verb, ...]
    thing: Concept
    quality: tuple[str, ...]
    contrary: tuple[str, ...]
    good: bool
    place: str
    field: Field


def pick(rng: random.Random, items: Sequence[T]) -> T:
    return items[int(rng.random() * len(items))]


def say(rng: random.Random, synonyms: Sequence[T]) -> T:
    """One of several words for the same; the first is the commonest."""
    return synonyms[0] if rng.random() < COMMON else pick(rng, synonyms)


def fact(rng: random.Random, words: Lexicon, field: Field, good: bool | None = None) -> Fact:
    """A fact about a thing of the field; good or bad news, where that matters."""
    verbs, opposite = sides(rng, field.deed)
    scale = words.scales.draw(rng)
    good = rng.random() < 0.5 if good is None else good
    quality, contrary = (scale.good, scale.bad) if good else (scale.bad, scale.good)
    who, place = words.persons.draw(rng), words.places.draw(rng)
    return Fact(who, verbs, opposite, field.things.draw(rng), quality, contrary, good, place, field)


def sides(rng: random.Random, deed: Deed) -> tuple[tuple[Verb, ...], tuple[Verb, ...]]:
    return (deed.verbs, deed.opposite) if rng.random() < 0.5 else (deed.opposite, deed.verbs)


def ends(rng: random.Random, scale: Scale) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """A quality, its contrary, and whether the quality is the good end."""
    return (scale.good, scale.bad, True) if rng.random() < 0.5 else (scale.bad, scale.good, False)


def end(scale: Scale, good: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The good or the bad end of a scale, and the other one."""
    return (scale.good, scale.bad) if good else (scale.bad, scale.good)


def call(rng: random.Random, thing: Concept) -> str:
    """One of the thing's own nouns."""
    return say(rng, thing.nouns).one


def recall(rng: random.Random, thing: Concept) -> str:
    """A thing that is known already: its own nouns or the more general one."""
    return thing.kind.one if rng.random() < 0.2 else say(rng, thing.nouns).one


def event(rng: random.Random, f: Fact) -> str:
    """The fact, told for the first time."""
    verb, thing, quality = say(rng, f.verbs).ed, call(rng, f.thing), say(rng, f.quality)
    way = rng.random()
    if way < 0.3:
        return f"{f.who} {verb} the {quality} {thing} in {f.place}."
    if way < 0.4:
        return f"in {f.place} {f.who} {verb} the {quality} {thing}."
    if way < 0.5:
        return f"the {quality} {thing} was {verb} by {f.who} in {f.place}."
    if way < 0.75:
        return f"the {quality} {thing} was {verb} by {f.who}."
    return f"{f.who} {verb} the {quality} {thing}."


def taken(rng: random.Random, f: Fact, sentence: str) -> str:
    """The sentence, with a word for how people take it."""
    return f"{pick(rng, LUCKILY if f.good else SADLY)} {sentence}"


def active(rng: random.Random, f: Fact) -> str:
    return f"{f.who} {say(rng, f.verbs).ed} the {say(rng, f.quality)} {call(rng, f.thing)} in {f.place}."


def passive(rng: random.Random, f: Fact) -> str:
    return (
        f"the {say(rng, f.quality)} {call(rng, f.thing)} was {say(rng, f.verbs).ed} by {f.who} in {f.place}."
    )


def described(rng: random.Random, f: Fact) -> str:
    """The thing, mostly with its quality."""
    thing = recall(rng, f.thing)
    return f"{say(rng, f.quality)} {thing}" if rng.random() < 0.7 else thing


def again(rng: random.Random, f: Fact) -> str:
    """The same fact, in other words."""
    verb, thing = say(rng, f.verbs).ed, described(rng, f)
    return f"the {thing} was {verb} by {f.who}." if rng.random() < 0.5 else f"{f.who} {verb} the {thing}."


def state(rng: random.Random, f: Fact) -> str:
    """The thing's quality, in other words; or what it was not."""
    thing, quality = recall(rng, f.thing), say(rng, f.quality)
    way = rng.random()
    if way < 0.7:
        return f"the {thing} was {quality}."
    if way < 0.85:
        return f"the {thing} was not {say(rng, f.contrary)}."
    return f"the {thing} was not {say(rng, f.contrary)} but {quality}."


def also(rng: random.Random, f: Fact, scale: Scale) -> str:
    """Good things go together with `and`, a good and a bad one with `but`."""
    same = rng.random() < 0.8
    other = scale.good if f.good == same else scale.bad
    return (
        f"the {recall(rng, f.thing)} was {say(rng, f.quality)} {'and' if same else 'but'} {pick(rng, other)}."
    )


def feeling(rng: random.Random, f: Fact) -> str:
    """How people take it: what tells a good quality from a bad one."""
    way = rng.random()
    mood = pick(rng, GLAD if f.good else SORRY)
    if way < 0.6:
        return f"{f.who} was {mood} about the {described(rng, f)}."
    if way < 0.8:
        return f"everyone was {mood} about the {described(rng, f)}."
    return f"{f.who} {pick(rng, SMILED if f.good else WEPT)}."


def definition(rng: random.Random, thing: Concept) -> str:
    noun, kind = say(rng, thing.nouns), thing.kind
    way = rng.random()
    if way < 0.3:
        return f"a {noun.one} is a kind of {kind.one}."
    if way < 0.5:
        return f"every {noun.one} is a {kind.one}."
    if way < 0.7:
        return f"{noun.many} are {kind.many}."
    if way < 0.85:
        other = pick(rng, [other for other in thing.nouns if other is not noun] or thing.nouns)
        return f"a {noun.one} or {other.one} is some sort of {kind.one}."
    return f"many {kind.many} are {noun.many}."


def question(rng: random.Random, f: Fact) -> tuple[str, str, str]:
    """A question, an answer, and which part of the fact it asks for."""
    verb, thing = say(rng, f.verbs), recall(rng, f.thing)
    way = rng.random()
    if way < 0.35:
        return f"who {verb.ed} the {thing}?", f"{f.who}.", "who"
    if way < 0.7:
        return f"where was the {thing} {verb.ed}?", f"in {f.place}.", "place"
    if way < 0.85:
        return f"what was {say(rng, f.quality)}?", f"the {call(rng, f.thing)}.", "thing"
    return f"what did {f.who} {verb.base}?", f"the {call(rng, f.thing)}.", "thing"


def doubt(rng: random.Random, f: Fact, scale: Scale, other: Concept) -> tuple[str, str]:
    """A question that the fact answers with yes or with no, or leaves open."""
    answer = pick(rng, ("yes", "no", "perhaps"))
    thing = recall(rng, f.thing)
    if rng.random() < 0.6:
        left_open = scale.good if rng.random() < 0.5 else scale.bad
        adjectives = {"yes": f.quality, "no": f.contrary, "perhaps": left_open}[answer]
        return f"was the {thing} {pick(rng, adjectives)}?", f"{answer}."
    verbs = f.opposite if answer == "no" else f.verbs
    if answer == "perhaps":
        thing = call(rng, other)
    return f"did {f.who} {pick(rng, verbs).base} the {thing}?", f"{answer}."


def society(rng: random.Random, words: Lexicon, who: str) -> str:
    """Persons, places and organizations among themselves, mostly where the verb says which is which."""
    place, organization, other = (
        words.places.draw(rng),
        words.organizations.draw(rng),
        words.persons.draw(rng),
    )
    return pick(
        rng,
        (
            f"{who} works for {organization} in {place}.",
            f"{organization} has an office in {place}.",
            f"{who} lived near {place} with {other}.",
            f"{organization} asked {who} to work in {place}.",
            f"{who} and {other} talked about {organization}.",
            f"{who} visited {place}.",
            f"{who} told {other} about {place}.",
            f"the people of {place} praised {organization}.",
            f"{organization} and {words.organizations.draw(rng)} met in {place}.",
        ),
    )


def habit(rng: random.Random, topic: Topic, field: Field, stranger: Noun) -> list[Slot]:
    """What people of a topic do, with a wrong word at hand for most places; `stranger` does not fit the verb."""
    who = pick(rng, topic.people.draw(rng).nouns)
    verb, thing = (
        pick(rng, pick(rng, (field.deed.verbs, field.deed.opposite))),
        pick(rng, field.things.draw(rng).nouns),
    )
    way = rng.random()
    if way < 0.2:
        return ["the", (who.many, who.one), (verb.base, verb.ing), "the", (thing.one, stranger.one)]
    if way < 0.4:
        return ["a", (who.one, who.many), (verb.s, verb.base), "many", (thing.many, thing.one)]
    if way < 0.6:
        return [
            "this",
            (who.one, who.many),
            "is",
            (verb.ing, verb.base),
            "the",
            (thing.many, stranger.many),
        ]
    if way < 0.8:
        return [
            "these",
            (thing.many, stranger.many),
            "are",
            (verb.ed, verb.base),
            "by",
            "some",
            (who.many, who.one),
        ]
    return [
        "the",
        (who.many, verb.s),
        ("did", "were"),
        "not",
        (verb.base, verb.ed),
        "this",
        (thing.one, thing.many),
    ]


def right(slots: Sequence[Slot]) -> str:
    return " ".join(slot if isinstance(slot, str) else slot[0] for slot in slots) + "."


def wrong(rng: random.Random, slots: Sequence[Slot]) -> str:
    """The sentence with the wrong word in one place."""
    bad = pick(rng, [i for i, slot in enumerate(slots) if not isinstance(slot, str)])
    words = [slot if isinstance(slot, str) else slot[i == bad] for i, slot in enumerate(slots)]
    return " ".join(words) + "."


def riddle(rng: random.Random, words: Lexicon) -> tuple[str, str, str, str]:
    """A text with one blank, the word that fits and one that does not; and which knowledge tells them apart."""
    topic = words.topics.draw(rng)
    field = pick(rng, topic.fields)
    f, what = (
        fact(rng, words, field),
        pick(rng, ("polarity", "hypernym", "synonym", "agreement", "answer")),
    )
    told = active(rng, f)
    if what == "polarity":
        right_word, wrong_word = ("glad", "sad") if f.good else ("sad", "glad")
        return (
            what,
            f"{told} {f.who} was ___ about the {recall(rng, f.thing)}.",
            right_word,
            wrong_word,
        )
    if what == "hypernym":
        other = pick(rng, [other for other in topic.fields if other is not field])
        return (
            what,
            f"{told} a {call(rng, f.thing)} is a kind of ___.",
            field.kind.one,
            other.kind.one,
        )
    if what == "synonym":
        return (
            what,
            f"{told} the {recall(rng, f.thing)} was ___.",
            say(rng, f.quality),
            say(rng, f.contrary),
        )
    if what == "agreement":
        who, verb = pick(rng, topic.people.draw(rng).nouns), say(rng, f.verbs)
        return what, f"the ___ {verb.base} the {call(rng, f.thing)}.", who.many, who.one
    verb, answer = say(rng, f.verbs), pick(rng, ("yes", "no"))
    quality = f.quality if answer == "yes" else f.contrary
    return (
        what,
        f"{told} was the {recall(rng, f.thing)} {pick(rng, quality)}? ___.",
        answer,
        "no" if answer == "yes" else "yes",
    )
