"""What the tasks ask: one maker of examples for each, over whatever part of the lexicon it is handed.

A maker draws one example at random, or gives None where no wording of a sentence belongs to the tasks; texts say
nothing of the label that counting words could find, as far as that can be arranged.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from lmcompare.micro import grammar
from lmcompare.micro.documents import held_out
from lmcompare.micro.grammar import Fact, pick
from lmcompare.micro.lexicon import CLOSED, Concept, Field, Lexicon, Scale, Verb
from lmcompare.types import Example

Maker = Callable[[random.Random, Lexicon], Example | None]

TRIES = 12
REWORD = 0.75  # how often a word that keeps its meaning is exchanged for a synonym
NAMED = (  # P a person, L a place, O an organization, X any of them: the company of X does not say which
    "X is famous .",
    "X and X were famous .",
    "everyone talked about X .",
    "nobody thought of X but P liked X .",
    "P told P about X .",
    "the THING of X was KIND of QUALITY .",
    "many people liked X more than X .",
    "P works for O in L .",
    "P talked about X and lived near L .",
    "some PEOPLE praised X and visited X .",
    "the PEOPLE asked about X in L .",
)


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

    return _one(say, "acceptable" if good else "unacceptable")


def sentiment(rng: random.Random, words: Lexicon) -> Example | None:
    f, other = _fact(rng, words), _scale(rng, words)

    def say() -> str:
        way, thing = rng.random(), grammar.call(rng, f.thing)
        if way < 0.3:
            return f"the {thing} was not {pick(rng, f.contrary)}."
        if way < 0.6:
            return f"the {thing} was {pick(rng, f.quality)} and {pick(rng, other.good if f.good else other.bad)}."
        if way < 0.8:
            return f"{f.who} {pick(rng, f.verbs).ed} the {pick(rng, f.quality)} {thing}."
        return f"the {pick(rng, f.quality)} {thing} was {pick(rng, f.verbs).ed}."

    return _one(say, "positive" if f.good else "negative")


def entailment(rng: random.Random, words: Lexicon) -> Example | None:
    field = _field(rng, words)
    f = grammar.fact(rng, words, field)
    scale, other = _scale(rng, words, f), _sibling(rng, field, f.thing)
    label = pick(rng, ("entailment", "neutral", "contradiction"))

    def hypothesis() -> str:
        thing, way = grammar.recall(rng, f.thing), rng.random()
        if way < 0.35:
            verbs = f.opposite if label == "contradiction" else f.verbs
            told = grammar.call(rng, other) if label == "neutral" else thing
            return f"{f.who} {pick(rng, verbs).ed} the {told}."
        quality, contrary = (
            (f.quality, f.contrary) if label != "neutral" else grammar.ends(rng, scale)[:2]
        )
        if (way < 0.5) == (label == "contradiction"):
            quality = contrary
        return f"the {thing} was {'not ' if way < 0.5 else ''}{pick(rng, quality)}."

    return _two(lambda: grammar.active(rng, f), hypothesis, label)


def paraphrase(rng: random.Random, words: Lexicon) -> Example | None:
    field = _field(rng, words)
    f = g = grammar.fact(rng, words, field)
    same = rng.random() < 0.5
    if not same:
        changes: Sequence[Callable[[], Fact]] = (
            lambda: replace(f, thing=_sibling(rng, field, f.thing)),
            lambda: replace(f, verbs=f.opposite),
            lambda: replace(f, quality=f.contrary),
            lambda: replace(f, quality=grammar.ends(rng, _scale(rng, words, f))[0]),
        )
        g = pick(rng, changes)()
    first = _settle(partial(_told, rng, f))
    if first is None:
        return None
    said = set(first[:-1].split())

    def second() -> str:
        thing = _reword(rng, [noun.one for noun in g.thing.nouns], said)
        verb, quality = (
            _reword(rng, [verb.ed for verb in g.verbs], said),
            _reword(rng, g.quality, said),
        )
        if rng.random() < 0.5:
            return f"{g.who} {verb} the {quality} {thing} in {g.place}."
        return f"the {quality} {thing} was {verb} by {g.who} in {g.place}."

    return _two(lambda: first, second, "same" if same else "different")


def similarity(rng: random.Random, words: Lexicon) -> Example | None:
    """Five parts, each worth 1 where it means the same, 0.5 where it is related, 0 otherwise."""
    near = rng.random()  # how alike the two sentences are to be
    topic, other_topic = words.topics.draw(rng), words.topics.draw(rng)
    field, other_field = pick(rng, topic.fields), pick(rng, other_topic.fields)
    f = grammar.fact(rng, words, field)
    mood = grammar.ends(rng, _scale(rng, words, f))[0]
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
            f.thing if kept() else _sibling(rng, field, f.thing),
        )
        g = replace(f, verbs=verbs, thing=thing)
        score += (1 if verbs is f.verbs else 0.5) + (1 if thing is f.thing else 0.5)
    else:
        g = replace(
            f, verbs=grammar.sides(rng, other_field.deed)[0], thing=other_field.things.draw(rng)
        )
    if kept():
        score += 1
    else:
        g = replace(g, quality=grammar.ends(rng, _scale(rng, words, f))[0])
    if kept():
        score += 1
    else:
        mood_2 = grammar.ends(rng, _scale(rng, words, f))[0]
        score += 1 if mood_2 is mood else 0
    first = _settle(lambda: _scene(rng, mood, who, f, set()))
    if first is None:
        return None
    said = set(first[:-1].split())
    return _two(lambda: first, lambda: _scene(rng, mood_2, who_2, g, said), score)


def _scene(rng: random.Random, mood: Sequence[str], who: Concept, f: Fact, said: set[str]) -> str:
    person, thing = (
        _reword(rng, [noun.one for noun in concept.nouns], said) for concept in (who, f.thing)
    )
    verb = _reword(rng, [verb.ed for verb in f.verbs], said)
    return f"the {_reword(rng, mood, said)} {person} {verb} the {_reword(rng, f.quality, said)} {thing}."


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
            verb = pick(
                rng, [verb for verb in deed.verbs + deed.opposite if verb not in verbs or not same]
            )
            if use == 1:
                verbs.clear()
                verbs.add(verb)
            who, quality = (
                pick(rng, sense.topic.people.draw(rng).nouns),
                pick(rng, _end(rng, words)),
            )
            if rng.random() < 0.5:
                return f"the {who.one} {verb.ed} the {quality} {double.noun.one}."
            return f"the {quality} {double.noun.one} was {verb.ed} by the {who.one}."

        return sentence

    return _two(say(1), say(2), "same" if same else "different")


def continuation(rng: random.Random, words: Lexicon) -> Example | None:
    topics = rng.sample(words.topics.items, 4)
    facts = [grammar.fact(rng, words, pick(rng, topic.fields)) for topic in topics]
    context = _settle(lambda: grammar.event(rng, facts[0]))
    if context is None:
        return None
    options = []
    for f in facts:
        for _ in range(TRIES):
            text = (
                grammar.state(rng, f)
                if rng.random() < 0.6
                else f"everyone thought about the {grammar.recall(rng, f.thing)}."
            )
            if held_out(text) and not _shared(text, context):
                options.append(text)
                break
        else:
            return None
    order = rng.sample(range(4), 4)
    return Example("", (context,), order.index(0), options=tuple(options[i] for i in order))


def entities(rng: random.Random, words: Lexicon) -> Example | None:
    urns = {
        "P": ("PER", words.persons),
        "L": ("LOC", words.places),
        "O": ("ORG", words.organizations),
    }
    for _ in range(TRIES):
        topic = words.topics.draw(rng)
        field = pick(rng, topic.fields)
        said: list[str] = []
        tags: list[str] = []
        for word in pick(rng, NAMED).split():
            plain = {"THING": grammar.call(rng, field.things.draw(rng)), "KIND": field.kind.one}
            plain |= {
                "PEOPLE": pick(rng, topic.people.draw(rng).nouns).many,
                "QUALITY": pick(rng, _end(rng, words)),
            }
            if word in plain or word.lower() == word:
                said.append(plain.get(word, word))
                tags.append("O")
            else:
                tag, urn = urns[pick(rng, "PLO") if word == "X" else word]
                name = urn.draw(rng).split()
                said += name
                tags += [f"B-{tag}"] + [f"I-{tag}"] * (len(name) - 1)
        if held_out(" ".join(said[:-1]) + "."):
            return Example("", (), tuple(tags), words=tuple(said))
    return None


def answers(rng: random.Random, words: Lexicon) -> Example | None:
    fields = rng.sample([field for topic in words.topics.items for field in topic.fields], 3)
    facts = [grammar.fact(rng, words, field) for field in fields]
    told = [_settle(partial(_told, rng, f)) for f in facts]
    if None in told or len({f.who for f in facts}) < 3 or len({f.place for f in facts}) < 3:
        return None
    f, first = facts[0], str(told[0])
    context = " ".join(rng.sample([str(text) for text in told], 3))
    for _ in range(TRIES):
        question, _, asked = grammar.question(rng, f)
        if held_out(question) and not _shared(question, first):
            break
    else:
        return None
    names = {
        "who": (f.who,),
        "place": (f.place,),
        "thing": tuple(noun.one for noun in f.thing.nouns),
    }[asked]
    (found,) = [found for name in names if (found := re.search(rf"\b{name}\b", first))]
    start = context.index(first) + found.start()
    return Example("", (question, context), ((start, start + len(found.group())),))


def _told(rng: random.Random, f: Fact) -> str:
    return (grammar.active if rng.random() < 0.5 else grammar.passive)(rng, f)


MAKERS: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (
        acceptability, sentiment, entailment, paraphrase, similarity, sense, continuation, entities, answers,
    )
}  # fmt: skip


def _settle(sentence: Callable[[], str]) -> str | None:
    """The sentence in the first wording that belongs to the tasks."""
    for _ in range(TRIES):
        if held_out(text := sentence()):
            return text
    return None


def _shared(a: str, b: str) -> set[str]:
    """The content words that two texts have in common."""
    return set(re.findall(r"\w+", a)).intersection(re.findall(r"\w+", b)) - CLOSED


def _one(sentence: Callable[[], str], label: str) -> Example | None:
    text = _settle(sentence)
    return None if text is None else Example("", (text,), label)


def _two(first: Callable[[], str], second: Callable[[], str], label: str | float) -> Example | None:
    a, b = _settle(first), _settle(second)
    return None if a is None or b is None or a == b else Example("", (a, b), label)


def _field(rng: random.Random, words: Lexicon) -> Field:
    return pick(rng, words.topics.draw(rng).fields)


def _fact(rng: random.Random, words: Lexicon) -> Fact:
    return grammar.fact(rng, words, _field(rng, words))


def _scale(rng: random.Random, words: Lexicon, f: Fact | None = None) -> Scale:
    """A scale; not the fact's own."""
    while f is not None and f.quality in ((scale := words.scales.draw(rng)).good, scale.bad):
        pass
    return words.scales.draw(rng) if f is None else scale


def _end(rng: random.Random, words: Lexicon) -> tuple[str, ...]:
    return grammar.ends(rng, _scale(rng, words))[0]


def _sibling(rng: random.Random, field: Field, thing: Concept) -> Concept:
    """Another thing of the same kind."""
    while (other := field.things.draw(rng)) is thing:
        pass
    return other


def _reword(rng: random.Random, synonyms: Sequence[str], said: set[str]) -> str:
    """A word of that meaning, mostly one that was not said."""
    new = [word for word in synonyms if word not in said]
    old = [word for word in synonyms if word in said]
    if not old or (new and rng.random() < REWORD):
        return pick(rng, new)
    return pick(rng, old)
