"""The tokenizer of any model of transformers, and how its model sees a task: which markers stand around one text and
around two is asked of the tokenizer itself."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal

from lmcompare.backends.piece_views import located, shortened, windows, words_in_a_row
from lmcompare.errors import DataError, ModelError
from lmcompare.text.pieces import Pieces
from lmcompare.types import Example, Task, View

NEITHER = 2  # the segment of a marker that belongs to no text, where only readers look at segments
SAMPLES = ("a", "the", "0")  # texts that most vocabularies have a piece for


@dataclass(frozen=True)
class Frame:
    """The markers before, between and after one or two texts; and the segments of all."""

    markers: list[list[int]]
    segments: list[list[int]]
    texts: list[int]

    @property
    def size(self) -> int:
        return sum(map(len, self.markers))

    def around(self, parts: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
        ids, segments = [*self.markers[0]], [*self.segments[0]]
        for n, part in enumerate(parts):
            ids += [*part, *self.markers[n + 1]]
            segments += [self.texts[n]] * len(part) + self.segments[n + 1]
        return ids, segments


class AutoPieces(Pieces):
    """A fast tokenizer of transformers. A word is cut as it is in running text, with a space before it."""

    def __init__(self, fast: Any, *, segments: int) -> None:
        tokenizer = fast.backend_tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()
        super().__init__(tokenizer)
        self.size = 1 + max(self.ids.values(), default=-1)
        self.pieces = [""] * self.size  # ids may have gaps
        for piece, i in self.ids.items():
            self.pieces[i] = piece
        named = [fast.sep_token_id, fast.eos_token_id, fast.bos_token_id, fast.cls_token_id]
        self.mark_id = next((i for i in named if i is not None), None)  # what may part two texts
        spare = self.mark_id or 0
        self.pad_id = spare if fast.pad_token_id is None else fast.pad_token_id
        self.unk_id = spare if fast.unk_token_id is None else fast.unk_token_id
        self.special_ids = frozenset(fast.all_special_ids)
        sample = self._sample()
        # Whether the model is told which text a token belongs to: where the tokenizer says it and the model can know.
        self.typed = 0 < max(fast(sample, sample).get("token_type_ids", [0])) < segments
        self.one, two = (asked(fast, sample, texts, self.typed) for texts in (1, 2))
        self.two = parted(two, self.mark_id)

    def _sample(self) -> str:
        """A text that has a piece."""
        for text in (*SAMPLES, *self.pieces):
            if set(self.encode(text)) - self.special_ids:
                return text
        raise ModelError("the tokenizer has no piece for any text")

    def encode_words(self, words: Sequence[str]) -> list[list[int]]:
        """Each word's pieces; a word that has none is unknown. What is before it on the line, up to the word's first
        character, is the word's: there the space stands that is a part of many a piece."""
        ids, spans = super().encode_offsets(" ".join(words))
        ends = [end + n for n, end in enumerate(accumulate(map(len, words)))]
        pieces: list[list[int]] = [[] for _ in words]
        word = 0
        for piece, (start, _) in zip(ids, spans, strict=True):
            while word < len(words) - 1 and ends[word] <= start:
                word += 1
            pieces[word].append(piece)
        return [found or [self.unk_id] for found in pieces]

    def encode_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids, and where each piece stands in the text, without the spaces around it."""
        ids, spans = super().encode_offsets(text)
        return ids, [bare(text, *span) for span in spans]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that decides which ids a view gets."""
        told = [self.tokenizer.to_str(), self.one, self.two, self.typed, self.pad_id, self.unk_id]
        return hashlib.sha256(repr(told).encode()).hexdigest()


def bare(text: str, start: int, end: int) -> tuple[int, int]:
    inside = text[start:end]
    if not inside.strip():
        return start, end
    return start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip())


def asked(fast: Any, text: str, texts: int, typed: bool) -> Frame:
    """What the tokenizer puts around so many texts. Where the model takes no segments, those of the view only say
    which text a token belongs to: the first marker behind a text closes it."""
    encoded = fast(*[text] * texts)
    ids, types = encoded["input_ids"], encoded["token_type_ids"] if typed else []
    markers: list[list[int]] = [[] for _ in range(texts + 1)]
    told: list[list[int]] = [[] for _ in range(texts + 1)]
    of_texts = list(range(texts))
    gap = 0
    for place, owner in enumerate(encoded.sequence_ids(0)):
        if owner is None:
            markers[gap].append(ids[place])
            own = max(0, gap - 1) if len(markers[gap]) == 1 else NEITHER
            told[gap].append(types[place] if typed else own)
        else:
            gap = owner + 1
            of_texts[owner] = types[place] if typed else owner
    return Frame(markers, told, of_texts)


def parted(two: Frame, mark: int | None) -> Frame | None:
    """A marker wherever the tokenizer puts none: two texts that touch cannot be told apart, and what stands for the
    view must not be a word of one of them. None where there is no such marker."""
    if all(two.markers):
        return two
    if mark is None:
        return None
    filled = [
        (gap, told) if gap else ([mark], [two.texts[max(0, n - 1)]])
        for n, (gap, told) in enumerate(zip(two.markers, two.segments, strict=True))
    ]
    return replace(two, markers=[gap for gap, _ in filled], segments=[told for _, told in filled])


@dataclass(frozen=True)
class Formatter:
    """Views of a task. A model that reads from the left answers from the last token of a view, or of a word, and sees
    a pair whose order means nothing in both orders."""

    words: AutoPieces
    causal: bool

    def views(self, task: Task, example: Example, length: int, stride: int | None) -> list[View]:
        if length < self.least(task):
            raise DataError(
                f"length {length} has no room for a view; {self.least(task)} tokens are the least"
            )
        encode = self.words.encode
        if task.kind == "tags":
            return [self._tagged(example, length)]
        if task.kind == "span":
            return self._windows(example, length, stride)
        if task.kind == "choice":
            context = encode(example.texts[0])
            return [
                self._fitted([context, encode(option)], length, n) for n, option in enumerate(example.options)
            ]
        parts = [encode(text) for text in example.texts]
        both = task.symmetric and self.causal and len(parts) == 2
        return [self._fitted(order, length, 0) for order in ([parts, parts[::-1]] if both else [parts])]

    def least(self, task: Task) -> int:
        texts = 2 if task.kind in ("choice", "span") else 1 if task.kind == "tags" else task.texts
        return self.frame(texts).size + texts

    def frame(self, texts: int) -> Frame:
        frame = self.words.one if texts == 1 else self.words.two
        if frame is None:
            raise ModelError("the tokenizer has no marker (sep_token or eos_token) that could part two texts")
        return frame

    def _view(self, frame: Frame, parts: Sequence[Sequence[int]], **facts: Any) -> View:
        ids, segments = frame.around(parts)
        if not ids:  # a text without a piece, and no marker around it
            ids, segments = [self.words.unk_id], [0]
        return View(ids, segments, pool=len(ids) - 1 if self.causal else 0, **facts)

    def _fitted(self, parts: list[list[int]], length: int, option: int) -> View:
        frame = self.frame(len(parts))
        kept = shortened(parts, length - frame.size)
        cut = sum(map(len, parts)) - sum(map(len, kept))
        return self._view(frame, kept, option=option, cut=cut)

    def _tagged(self, example: Example, length: int) -> View:
        frame = self.words.one
        at: Literal["first", "last"] = "last" if self.causal else "first"
        row = words_in_a_row(self.words.encode_words, example, length - frame.size, at=at)
        moved = len(frame.markers[0]) - 1  # a row counts with one marker before it
        places = [place + moved if place >= 0 else -1 for place in row.places]
        bounds = [(a + moved, b + moved) if a >= 0 else (-1, -1) for a, b in row.bounds]
        return self._view(frame, [row.ids], words=places, bounds=bounds, cut=row.cut)

    def _windows(self, example: Example, length: int, stride: int | None) -> list[View]:
        frame = self.frame(2)
        question, context = example.texts
        whole = self.words.encode(question)
        asked = whole[: (length - frame.size) // 2]
        before, between, after = (len(gap) for gap in frame.markers)
        room = length - len(asked) - frame.size
        views = []
        for ids, inside in windows(*located(self.words, context), room=room, stride=stride):
            outside = [(-1, -1)]
            spans = outside * (before + len(asked) + between) + inside + outside * after
            views.append(self._view(frame, [asked, ids], spans=spans, cut=len(whole) - len(asked)))
        return views
