"""Words and contexts cut into pieces, for backends whose views hold pieces of words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lmcompare.errors import UserError

Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Row:
    """Words side by side, where each stands in a view that has one token before them."""

    ids: list[int]  # of the pieces that there was room for
    places: list[int]  # of the piece that speaks for each word (−1: cut off)
    bounds: list[tuple[int, int]]  # where each word's pieces begin and end; (−1, −1) where some are cut off
    cut: int


def words_in_a_row(pieces: Sequence[Sequence[int]], room: int, *, at: Literal["first", "last"]) -> Row:
    """What speaks for a word is its first piece, or its last: before it, who reads from the left has not seen it."""
    flat: list[int] = []
    places, bounds = [], []
    for word in pieces:
        begin = 1 + len(flat)
        flat += word
        end = 1 + len(flat)
        place = begin if at == "first" else end - 1
        places.append(place if place <= room else -1)
        bounds.append((begin, end) if end - 1 <= room else (-1, -1))
    return Row(flat[:room], places, bounds, max(0, len(flat) - room))


def located(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """The pieces of a text, and where each stands. What a tokenizer drops inside a word (accents with a character of
    their own, say) belongs to the piece before it: an answer ends with it, too."""
    ids, spans = tokenizer.encode_offsets(text)
    following = [*(start for start, _ in spans[1:]), len(text)]
    kept = []
    for (start, end), after in zip(spans, following, strict=False):
        while end < after and not text[end].isspace():
            end += 1
        kept.append((start, end))
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
