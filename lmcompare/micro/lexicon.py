"""The words of the small world and what holds between them: who is called what, what is a kind of what, what does what.

Content words are pseudo-words made from English-like syllables and inflected as English words are, so that no
knowledge of a real language can help: whatever a model knows of them it has read in the world's own documents.
"""

import bisect
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

TOPICS, SCALES = 12, 22
FIELDS, PEOPLE = 3, 4  # in each topic
CONCEPTS = 6  # in each field
PERSONS, PLACES, ORGANIZATIONS = 90, 60, 60
SYNONYMS = 2  # words for one concept or one deed
ADJECTIVES = 2  # words for one end of a scale
DOUBLES = 2  # words with a second sense, in each field
ZIPF = 0.9  # how much commoner the first of a class is than the last

T = TypeVar("T")

ONSETS = (
    "b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sc sk sl sm sn sp st str t th tr v w"
).split()
NUCLEI = ["a", "a", "e", "e", "i", "i", "o", "o", "u", "u", "ai", "ea", "ee", "oa", "oo", "ou"]
CODAS = (
    "b ck d ft g k l lb ld lf lk lm lt m mp n nd ng nk nt p r rb rd rg rk rm rn rp rt sk sp st t"
).split()
CLOSED = frozenset(
    (
        "a about afraid alas all and angry are asked at bad because but by complained cried did "
        "do does every everyone famous feared for from glad good had happily happy has have her "
        "here him house in is it kind known laughed lived liked luckily made many met more near "
        "nobody not of office one or perhaps people praised proud sad sadly saw see sing smiled "
        "sold some sorry sort talked than that the their there these they this thought to told "
        "twice very visited was well were what when where which who with work works yes no wept"
    ).split()
)


@dataclass(frozen=True, slots=True)
class Noun:
    one: str
    many: str


@dataclass(frozen=True, slots=True)
class Verb:
    base: str
    s: str
    ed: str
    ing: str


@dataclass(frozen=True, slots=True, eq=False)
class Concept:
    """Something that one or more nouns stand for; `kind` is the more general word."""

    nouns: tuple[Noun, ...]
    kind: Noun


@dataclass(frozen=True, slots=True, eq=False)
class Deed:
    """What may be done to the things of a field, and what undoes it: synonyms on either side."""

    verbs: tuple[Verb, ...]
    opposite: tuple[Verb, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """Things of one kind, with the deeds that take them as objects."""

    kind: Noun
    things: "Urn[Concept]"
    deed: Deed


@dataclass(frozen=True, slots=True, eq=False)
class Topic:
    people: "Urn[Concept]"
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Adjectives for the two ends of one quality; the good end is welcome, the bad end is not."""

    good: tuple[str, ...]
    bad: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Sense:
    """One of the two meanings of a noun, with the company it keeps."""

    topic: Topic
    field: Field


@dataclass(frozen=True, slots=True, eq=False)
class Double:
    noun: Noun
    senses: tuple[Sense, Sense]


class Urn(Generic[T]):
    """Items drawn by Zipf's law: the first is the commonest."""

    def __init__(self, items: Sequence[T], exponent: float = ZIPF) -> None:
        self.items = tuple(items)
        weights = [(rank + 1) ** -exponent for rank in range(len(self.items))]
        self._bounds = [bound / sum(weights) for bound in itertools.accumulate(weights)][:-1]

    def draw(self, rng: random.Random) -> T:
        return self.items[bisect.bisect(self._bounds, rng.random())]

    def part(self, share: float, rng: random.Random) -> "Urn[T]":
        """An urn with a share of the items, common and rare ones alike."""
        return Urn([self.items[i] for i in _some(len(self.items), share, rng)])


@dataclass(frozen=True, slots=True)
class Lexicon:
    topics: Urn[Topic]
    scales: Urn[Scale]
    persons: Urn[str]
    places: Urn[str]
    organizations: Urn[str]
    doubles: Urn[Double]

    def part(self, share: float, seed: str) -> "Lexicon":
        """The share of the lexicon that labelled training examples are allowed to show."""
        rng = random.Random(seed)
        topics = []
        for topic in self.topics.items:
            kept = _some(len(topic.fields), share, rng)
            fields = tuple(topic.fields[i] for i in kept)
            topics.append(replace(topic, people=topic.people.part(share, rng), fields=fields))
        rest = (self.scales, self.persons, self.places, self.organizations, self.doubles)
        return Lexicon(Urn(topics), *(urn.part(share, rng) for urn in rest))  # type: ignore[arg-type]


class Coiner:
    """Makes words that have not been used yet."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.used = set(CLOSED)

    def stem(self, syllables: int = 1) -> str:
        parts = [self.rng.choice(ONSETS) + self.rng.choice(NUCLEI) for _ in range(syllables)]
        return "".join(parts) + self.rng.choice(CODAS)

    def word(self, *, long: float = 0.3) -> str:
        while not self._free(word := self.stem(1 + (self.rng.random() < long))):
            pass
        return word

    def noun(self) -> Noun:
        while True:
            one = self.stem(1 + (self.rng.random() < 0.3))
            many = one + ("en" if self.rng.random() < 0.1 else "s")  # one noun in ten is irregular
            if self._free(one, many):
                return Noun(one, many)

    def verb(self) -> Verb:
        while True:
            base = self.stem(1 + (self.rng.random() < 0.2))
            ed = base + ("t" if base[-1] in "lmnp" and self.rng.random() < 0.4 else "ed")
            forms = (base, base + "s", ed, base + "ing")
            if self._free(*forms):
                return Verb(*forms)

    def name(self, *, double: float) -> str:
        words = [self.word(long=0.9)] + ([self.word(long=0.6)] if self.rng.random() < double else [])
        return " ".join(words)

    def _free(self, *words: str) -> bool:
        if len(set(words)) < len(words) or self.used.intersection(words):
            return False
        self.used.update(words)
        return True


def lexicon(seed: int) -> Lexicon:
    """The whole lexicon of one world."""
    coiner = Coiner(random.Random(f"lexicon/{seed}"))
    second = _second_senses(coiner)
    topics = []
    for t in range(TOPICS):
        role = coiner.noun()
        people = Urn([_concept(coiner, role) for _ in range(PEOPLE)])
        topics.append(Topic(people, tuple(_field(coiner, second[t * FIELDS + f]) for f in range(FIELDS))))
    scales = [Scale(_adjectives(coiner), _adjectives(coiner)) for _ in range(SCALES)]
    return Lexicon(
        topics=Urn(topics),
        scales=Urn(scales),
        persons=Urn([coiner.name(double=0.2) for _ in range(PERSONS)]),
        places=Urn([coiner.name(double=0.2) for _ in range(PLACES)]),
        organizations=Urn([coiner.name(double=0.2) for _ in range(ORGANIZATIONS)]),
        doubles=Urn(_doubles(topics)),
    )


def _field(coiner: Coiner, doubles: Sequence[Noun]) -> Field:
    kind = coiner.noun()
    things = [_concept(coiner, kind) for _ in range(CONCEPTS)]
    for place, noun in enumerate(doubles):
        things.insert(2 * place + 1, Concept((noun,), kind))  # common enough for both senses to be met
    verbs = [tuple(coiner.verb() for _ in range(SYNONYMS)) for _ in range(2)]
    return Field(kind, Urn(things), Deed(*verbs))


def _concept(coiner: Coiner, kind: Noun) -> Concept:
    return Concept(tuple(coiner.noun() for _ in range(SYNONYMS)), kind)


def _adjectives(coiner: Coiner) -> tuple[str, ...]:
    return tuple(coiner.word() for _ in range(ADJECTIVES))


def _second_senses(coiner: Coiner) -> list[list[Noun]]:
    """For every field its nouns of two senses; the two fields of one noun lie in different topics."""
    fields = TOPICS * FIELDS
    given: list[list[Noun]] = [[] for _ in range(fields)]
    for turn in range(DOUBLES):
        half = fields // 2
        for f in range(half):
            noun = coiner.noun()
            given[f].append(noun)
            given[half + (f + turn * FIELDS) % half].append(noun)
    return given


def _doubles(topics: Sequence[Topic]) -> list[Double]:
    met: dict[Noun, Sense] = {}
    found = []
    for topic in topics:
        for field in topic.fields:
            for noun in (noun for concept in field.things.items for noun in concept.nouns):
                sense = Sense(topic, field)
                if noun in met:
                    found.append(Double(noun, (met[noun], sense)))
                met[noun] = sense
    return found


def _some(count: int, share: float, rng: random.Random) -> list[int]:
    return sorted(rng.sample(range(count), max(1, round(share * count))))
