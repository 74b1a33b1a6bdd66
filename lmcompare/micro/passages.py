"""What the tasks ask about more than one sentence, or about every word: continuation, entities, answers."""

import random
import re
from functools import partial

from lmcompare.micro import grammar, wording
from lmcompare.micro.documents import held_out
from lmcompare.micro.grammar import pick
from lmcompare.micro.lexicon import Lexicon
from lmcompare.types import Example

FACTS = 2  # in the context of a question
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


def continuation(rng: random.Random, words: Lexicon) -> Example | None:
    topics = rng.sample(words.topics.items, 4)
    facts = [grammar.fact(rng, words, pick(rng, topic.fields)) for topic in topics]
    context = wording.settle(lambda: grammar.event(rng, facts[0]))
    if context is None:
        return None
    options = []
    for f in facts:
        for _ in range(wording.TRIES):
            text = (
                grammar.state(rng, f)
                if rng.random() < 0.6
                else f"everyone thought about the {grammar.recall(rng, f.thing)}."
            )
            if held_out(text) and text not in options and not wording.shared(text, context):
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
    for _ in range(wording.TRIES):
        topic = words.topics.draw(rng)
        field = pick(rng, topic.fields)
        said: list[str] = []
        tags: list[str] = []
        for word in pick(rng, NAMED).split():
            plain = {"THING": grammar.call(rng, field.things.draw(rng)), "KIND": field.kind.one}
            plain |= {
                "PEOPLE": pick(rng, topic.people.draw(rng).nouns).many,
                "QUALITY": pick(rng, wording.end(rng, words)),
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
    fields = rng.sample([field for topic in words.topics.items for field in topic.fields], FACTS)
    facts = [grammar.fact(rng, words, field) for field in fields]
    told = [wording.settle(partial(wording.told, rng, f)) for f in facts]
    if None in told or len({f.who for f in facts}) < FACTS or len({f.place for f in facts}) < FACTS:
        return None
    f, first = facts[0], str(told[0])
    context = " ".join(rng.sample([str(text) for text in told], FACTS))
    for _ in range(wording.TRIES):
        question, _, asked = grammar.question(rng, f)
        if held_out(question) and not wording.shared(question, first):
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
