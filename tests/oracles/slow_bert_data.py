"""BERT's training data made slowly: the published rules (Devlin et al. 2019, §A.1 and A.2, and what the release
added) read once more, in lists and loops, with a generator of its own and nothing of the package.
`tests/unit/test_pretraining_data.py` holds the fast data maker against it.

python tests/oracles/slow_bert_data.py TEXT [--length 128]   # some instances of a text, a sentence a line

A token is anything: a document is a list of sentences, a sentence a list of tokens.
"""

import argparse
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

Token = Hashable
Document = Sequence[Sequence[Token]]
CLS, SEP, MASK = "[CLS]", "[SEP]", "[MASK]"
TRIES = 10  # to find a document that is not the present one


class Dice:
    """A 64-bit shift-register generator (Marsaglia 2003, with Vigna's multiplier): plain, and nobody else's."""

    def __init__(self, seed: int) -> None:
        self.state = (seed * 0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03) % 2**64 or 1
        for _ in range(8):
            self.share()

    def share(self) -> float:
        """A number from 0 up to 1."""
        x = self.state
        x ^= x >> 12
        x ^= (x << 25) % 2**64
        x ^= x >> 27
        self.state = x
        return (x * 0x2545F4914F6CDD1D % 2**64) / 2**64

    def between(self, lowest: int, highest: int) -> int:
        """A whole number, both ends possible."""
        return lowest + int(self.share() * (highest - lowest + 1))


@dataclass
class Instance:
    first: list[Token]
    second: list[Token]
    random_next: bool
    document: int
    put_back: int = 0  # sentences that were gathered and are used again


def instances(
    documents: Sequence[Document],
    dice: Dice,
    *,
    length: int,
    short_rate: float = 0.1,
    random_rate: float = 0.5,
    dupe_factor: int = 1,
    target_for: str = "document",  # how long a target length holds: "document" or "chunk"
) -> list[Instance]:
    """All documents, `dupe_factor` times over."""
    made = []
    for _ in range(dupe_factor):
        for number in range(len(documents)):
            made += one_document(documents, number, dice, length - 3, short_rate, random_rate, target_for)
    return made


def one_document(
    documents: Sequence[Document],
    number: int,
    dice: Dice,
    room: int,
    short_rate: float,
    random_rate: float,
    target_for: str,
) -> list[Instance]:
    """`room` is what [CLS] and two [SEP] leave of the length."""
    left = list(documents[number])
    target = draw_target(dice, room, short_rate)
    made = []
    while left:
        chunk = [left.pop(0)]
        while left and tokens_in(chunk) < target:
            chunk.append(left.pop(0))
        first_sentences = chunk[: dice.between(1, len(chunk) - 1)] if len(chunk) > 1 else chunk
        rest = chunk[len(first_sentences) :]
        first = flat(first_sentences)
        if random_rate == 0:
            new = Instance(first, flat(rest), False, number)
        elif len(chunk) == 1 or dice.share() < random_rate:
            second = from_elsewhere(documents, number, dice, target - len(first))
            new = Instance(first, second, True, number, put_back=len(rest))
            left = rest + left
        else:
            new = Instance(first, flat(rest), False, number)
        shorten(new.first, new.second, room, dice)
        made.append(new)
        if target_for == "chunk":
            target = draw_target(dice, room, short_rate)
    return made


def draw_target(dice: Dice, room: int, short_rate: float) -> int:
    return dice.between(2, room) if dice.share() < short_rate else room


def from_elsewhere(documents: Sequence[Document], number: int, dice: Dice, wanted: int) -> list[Token]:
    """Sentences from a random place of another document until there are as many tokens as are wanted."""
    for _ in range(TRIES):
        other = dice.between(0, len(documents) - 1)
        if other != number:
            break
    taken: list[Token] = []
    for sentence in documents[other][dice.between(0, len(documents[other]) - 1) :]:
        taken += sentence
        if len(taken) >= wanted:
            break
    return taken


def shorten(first: list[Token], second: list[Token], room: int, dice: Dice) -> None:
    """A token at a time from the longer of the two (the second where they are even), from its front or its back."""
    while len(first) + len(second) > room:
        longer = first if len(first) > len(second) else second
        longer.pop(0 if dice.share() < 0.5 else -1)


def tokens_in(sentences: Document) -> int:
    return sum(len(sentence) for sentence in sentences)


def flat(sentences: Document) -> list[Token]:
    return [token for sentence in sentences for token in sentence]


@dataclass
class Masked:
    shown: list[Token]
    places: list[int]
    hidden: list[Token]  # what stood there


def mask(
    tokens: Sequence[Token],
    dice: Dice,
    vocabulary: Sequence[Token],
    *,
    rate: float = 0.15,
    most: int | None = 20,
    strategy: tuple[float, float, float] = (0.8, 0.1, 0.1),  # masked, kept, random
    whole_words: bool = False,
) -> Masked:
    """The tokens of an instance, [CLS] and [SEP] among them, with some hidden."""
    wanted = max(1, round(len(tokens) * rate))
    wanted = wanted if most is None else min(most, wanted)
    groups = groups_of(tokens, whole_words)
    places: list[int] = []
    while groups and len(places) < wanted:
        group = groups.pop(dice.between(0, len(groups) - 1))
        if len(places) + len(group) <= wanted:
            places += group
    shown = list(tokens)
    for place in places:
        lot = dice.share()
        if lot < strategy[0]:
            shown[place] = MASK
        elif lot >= strategy[0] + strategy[1]:
            shown[place] = vocabulary[dice.between(0, len(vocabulary) - 1)]
    places.sort()
    return Masked(shown, places, [tokens[place] for place in places])


def groups_of(tokens: Sequence[Token], whole_words: bool) -> list[list[int]]:
    """What is hidden together: a token, or all pieces of a word. A word does not go on across a [SEP]."""
    groups: list[list[int]] = []
    for place, token in enumerate(tokens):
        if token in (CLS, SEP):
            continue
        goes_on = whole_words and str(token).startswith("##") and tokens[place - 1] not in (CLS, SEP)
        if goes_on:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def dressed(instance: Instance) -> list[Token]:
    """As the model reads it."""
    first = [CLS, *instance.first, SEP]
    return [*first, *instance.second, SEP] if instance.second else first


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("text", type=Path)
    asked.add_argument("--length", type=int, default=128)
    told = asked.parse_args()
    blocks = told.text.read_text(encoding="utf-8").split("\n\n")
    documents = [[line.split() for line in block.splitlines() if line.split()] for block in blocks]
    documents = [document for document in documents if document]
    words = sorted({str(word) for document in documents for word in flat(document)})
    dice = Dice(1)
    for instance in instances(documents, dice, length=told.length)[:10]:
        seen = mask(dressed(instance), dice, [CLS, SEP, MASK, *words])
        print("random next" if instance.random_next else "next", *seen.shown, sep=" ")


if __name__ == "__main__":
    main()
