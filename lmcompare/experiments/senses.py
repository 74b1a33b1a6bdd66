"""Which sense a word of the small world has, told by the company that it keeps: the two senses of a noun lie in
different topics, and a document keeps to one of them."""

from collections import Counter
from collections.abc import Iterable, Iterator

from lmcompare.micro.lexicon import Concept, Double, Lexicon, Topic


class Senses:
    """The two senses of a noun, numbered as the lexicon has them."""

    def __init__(self, words: Lexicon, double: Double) -> None:
        self.names = [f"a kind of {sense.field.kind.one}" for sense in double.senses]
        homes: dict[str, set[int]] = {}
        for number, topic in enumerate(words.topics.items):
            for form in forms(topic):
                homes.setdefault(form, set()).add(number)
        topics = list(words.topics.items)
        places = [topics.index(sense.topic) for sense in double.senses]
        self.marks = {
            form: places.index(*home)
            for form, home in homes.items()
            if len(home) == 1 and home <= set(places)
        }

    def of_word(self, form: str) -> int | None:
        """The sense whose topic this other word belongs to; None for a word of both, of neither, or of no topic."""
        return self.marks.get(form)

    def of_text(self, words: Iterable[str]) -> int | None:
        """The sense that most of the words speak for; None where none does, or as many for either."""
        told = Counter(self.marks[form] for form in words if form in self.marks).most_common()
        return told[0][0] if told and (len(told) == 1 or told[0][1] > told[1][1]) else None


def senses_of(words: Lexicon, form: str) -> Senses | None:
    """None for a word with one sense."""
    for double in words.doubles.items:
        if form in (double.noun.one, double.noun.many):
            return Senses(words, double)
    return None


def forms(topic: Topic) -> Iterator[str]:
    """Every form of every word that belongs to the topic."""

    def nouns(concepts: Iterable[Concept]) -> Iterator[str]:
        for noun in {noun for concept in concepts for noun in (*concept.nouns, concept.kind)}:
            yield from (noun.one, noun.many)

    yield from nouns(topic.people.items)
    for field in topic.fields:
        yield from nouns(field.things.items)
        for verb in (*field.deed.verbs, *field.deed.opposite):
            yield from (verb.base, verb.s, verb.ed, verb.ing)
