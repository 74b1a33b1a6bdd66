"""Words and contexts cut into pieces, for backends whose views hold pieces of words."""

from collections.abc import Iterator, Sequence
from typing import Literal

Spans = Sequence[tuple[int, int]]


def words_in_a_row(
    pieces: Sequence[Sequence[int]], room: int, *, at: Literal["first", "last"]
) -> tuple[list[int], list[int], int]:
    """The pieces that there is room for, the place of each word among them (−1: cut off), and how many were cut. A
    word's place is that of its first piece, or of its last: before it, who reads from the left has not seen it."""
    flat: list[int] = []
    places = []
    for word in pieces:
        place = len(flat) if at == "first" else len(flat) + len(word) - 1
        places.append(place if place < room else -1)
        flat += word
    return flat[:room], places, max(0, len(flat) - room)


def windows(
    ids: Sequence[int], spans: Spans, *, room: int
) -> Iterator[tuple[list[int], list[tuple[int, int]]]]:
    """A long context in windows of `room` pieces, each half a window further on."""
    room = max(1, room)
    stride = max(1, room // 2)
    for start in range(0, max(1, len(ids) - room + stride), stride):
        yield list(ids[start : start + room]), list(spans[start : start + room])
