"""Words and contexts cut into pieces, for backends whose views hold pieces of words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lmcompare.errors import UserError
from lmcompare.types import Example

Spans = Sequence[tuple[int, int]]
Pieces = Sequence[Sequence[int]]  # of each word


@dataclass(frozen=True)
class Row:
    """Words side by side, where each stands in a view that has one token before them."""

    ids: list[int]  # of the pieces that there was room for, those of the words around them included
    places: list[int]  # of the piece that speaks for each word (−1: cut off)
    bounds: list[tuple[int, int]]  # where each word's pieces begin and end; (−1, −1) where some are cut off
    cut: int


def words_in_a_row(
    encode: Callable[[Sequence[str]], Pieces],
    example: Example,
    room: int,
    *,
    at: Literal["first", "last"],
) -> Row:
    """What speaks for a word is its first piece, or its last: before it, who reads from the left has not seen it. Words
    of the document stand around those of the example as far as these leave room, and nothing is asked of them."""
    before = example.before[-room:] if room > 0 else ()  # a word has a piece at least: no more can fit
    after = example.after[:room] if room > 0 else ()
    pieces = encode([*before, *example.words, *after])
    own = pieces[len(before) : len(before) + len(example.words)]
    left, right = around(pieces[: len(before)], pieces[len(before) + len(own) :], room - sum(map(len, own)))
    if before and not left:  # then the first word begins the line, and some tokenizers write it otherwise
        return words_in_a_row(encode, replace(example, before=()), room, at=at)
    flat = list(left)
    places, bounds = [], []
    for word in own:
        begin = 1 + len(flat)
        flat += word
        end = 1 + len(flat)
        place = begin if at == "first" else end - 1
        places.append(place if place <= room else -1)
        bounds.append((begin, end) if end - 1 <= room else (-1, -1))
    return Row([*flat[:room], *right], places, bounds, max(0, len(flat) - room))


def around(before: Pieces, after: Pieces, room: int) -> tuple[list[int], list[int]]:
    """Whole words on both sides, nearest first, as many pieces on the one as on the other; where one side has no more,
    or its next word is too long, the other takes what is left."""
    nearest = (before[::-1], after)
    taken, sizes, open_sides = [0, 0], [0, 0], [0, 1]
    while open_sides:
        side = min(open_sides, key=sizes.__getitem__)
        words = nearest[side]
        if taken[side] == len(words) or sum(sizes) + len(words[taken[side]]) > room:
            open_sides.remove(side)
            continue
        sizes[side] += len(words[taken[side]])
        taken[side] += 1
    left = [i for word in before[len(before) - taken[0] :] for i in word]
    return left, [i for word in after[: taken[1]] for i in word]


def located(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """The pieces of a text, and where each stands. What a tokenizer drops inside a word (accents with a character of
    their own, say) belongs to the piece before it, so that an answer ends with it, too; at a word's beginning, to the
    piece after it."""
    ids, spans = tokenizer.encode_offsets(text)
    following = [*(start for start, _ in spans[1:]), len(text)]
    kept, last = [], 0
    for (start, end), after in zip(spans, following, strict=False):
        while start > last and not text[start - 1].isspace():
            start -= 1
        while end < after and not text[end].isspace():
            end += 1
        kept.append((start, end))
        last = end
    return ids, kept


def windows(
    ids: Sequence[int], spans: Spans, *, room: int, stride: int | None = None
) -> Iterator[tuple[list[int], list[tuple[int, int]]]]:
    """A long context in windows of `room` pieces, each `stride` further on, or half a window; none is left out between
    two of them."""
    room = max(1, room)
    if stride is not None and stride >= room and len(ids) > room:
        raise UserError(
            f"stride {stride}: beside one of the questions a window has room for {room} tokens of the context, so "
            f"answers across the border of two windows would be in none; set stride below {room}, or a larger length"
        )
    stride = stride or max(1, room // 2)
    for start in range(0, max(1, len(ids) - room + stride), stride):
        yield list(ids[start : start + room]), list(spans[start : start + room])


def shortened(parts: Sequence[Sequence[int]], room: int) -> list[list[int]]:
    """One text or two that fit: from the end of the longer one until both are as long, then from both."""
    if len(parts) == 1:
        return [[*parts[0][:room]]]
    lengths = [len(part) for part in parts]
    first = min(lengths[0], max(room - room // 2, room - lengths[1]))
    return [[*parts[0][:first]], [*parts[1][: room - first]]]
