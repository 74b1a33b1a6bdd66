"""A vector for every word and layer, from any backend: words in, L × W × D out.

All that is asked of a backend is how it reads words that carry tags: its view says where each word's pieces begin and
end. A line with more pieces than the model has positions is read in windows that overlap by half; a word's vectors
are those of the window in which it stands farthest from an edge that hides a part of the line from it. To a model that
reads from the left, that is the left edge alone.
"""
# ruff: noqa: TID253

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch

from lmcompare import signals
from lmcompare.errors import DataError
from lmcompare.types import Example, Task, View

Pieces = Literal["first", "mean", "last"]
BATCH = 32  # views an encoder sees at a time
TOKENS = 16_384  # and tokens, so that a few endless lines do not fill the memory
HELD = 64 << 20  # bytes of vectors that wait for the lines before them
LINE = 512  # bytes that a line takes beside its vectors
TASK = Task("words", "tags", (), lambda split: [])
UNCUT = 1 << 40


@dataclass(frozen=True)
class Window:
    """Words `first` to `last` of a line in one view, of which `kept` get their vectors from it."""

    view: View
    bounds: np.ndarray  # where each of its words begins in the view, and where the last one ends
    first: int
    kept: range  # counted from the line's first word


class WordVectors:
    """A backend, and which of a word's pieces speak for it: by default the one that carries its tag in training, the
    first, or the last where the model has not seen the word before it."""

    def __init__(
        self, backend: Any, *, pieces: Pieces | None = None, layers: Sequence[int] | None = None
    ) -> None:
        self.backend = backend
        self.from_left: bool = getattr(backend, "causal", False)
        self.pieces: Pieces = pieces or ("last" if self.from_left else "first")
        self.layers = list(range(backend.depth + 1)) if layers is None else list(layers)
        self.windowed = 0  # lines that were longer than the model's positions

    def stream(self, lines: Iterable[Sequence[str]], *, batch: int = BATCH) -> Iterator[np.ndarray]:
        """L × W × D for each line, in their order. Lines of like length share a batch; only as many are held back for
        that as some memory allows."""
        pool: list[Sequence[str]] = []
        size = 0
        for words in lines:
            pool.append(words)
            size += len(words) * len(self.layers) * self.backend.width * 4 + LINE
            if size >= HELD:
                yield from self.pool(pool, batch)
                pool, size = [], 0
        yield from self.pool(pool, batch)

    def pool(self, lines: Sequence[Sequence[str]], batch: int) -> list[np.ndarray]:
        windows = [self.windows(words) for words in lines]
        todo = [(line, window) for line, found in enumerate(windows) for window in found]
        todo.sort(key=lambda pair: len(pair[1].view.ids))
        out = [np.zeros((len(self.layers), len(words), self.backend.width), np.float32) for words in lines]
        while todo:
            signals.check()
            size = fitting([len(window.view.ids) for _, window in todo[:batch]])
            self._encode(todo[:size], out)
            del todo[:size]
        return out

    def in_order(self, lines: Iterable[Sequence[str]], *, batch: int) -> Iterator[np.ndarray]:
        """The same for an encoder whose states go on from batch to batch: line i is row i modulo `batch`. A line
        without words is not read, so it takes no row."""
        waiting: list[Sequence[str]] = []
        for words in lines:
            waiting.append(words)
            if sum(map(bool, waiting)) == batch:
                yield from self._together(waiting)
                waiting = []
        yield from self._together(waiting)

    def _together(self, lines: Sequence[Sequence[str]]) -> list[np.ndarray]:
        signals.check()
        out = [np.zeros((len(self.layers), len(words), self.backend.width), np.float32) for words in lines]
        todo = [(n, window) for n, words in enumerate(lines) for window in self.windows(words)]
        if len(todo) > sum(map(bool, lines)):
            raise DataError("a line is longer than the model's positions; states that go on need whole lines")
        if todo:
            self._encode(todo, out)
        return out

    @torch.no_grad()
    def _encode(self, todo: Sequence[tuple[int, Window]], out: Sequence[np.ndarray]) -> None:
        encoder = self.backend.encoder
        inputs = self.backend.stack([window.view for _, window in todo])
        if (parameter := next(encoder.parameters(), None)) is not None:
            inputs = inputs.to(parameter.device)
        layers = encoder(inputs)
        x_LBTD = torch.stack([layers[n] for n in self.layers]).float().cpu().numpy()
        for b, (line, window) in enumerate(todo):
            x_LWD = spoken(x_LBTD[:, b], window.bounds, self.pieces)
            kept = slice(window.kept.start, window.kept.stop)
            out[line][:, kept] = x_LWD[:, kept.start - window.first : kept.stop - window.first]

    def windows(self, words: Sequence[str]) -> list[Window]:
        """One view for a line that fits; else as many as it takes."""
        if not words:
            return []
        whole = self._view(words, UNCUT)
        bounds = bounds_of(whole)
        room = self.backend.longest - (len(whole.ids) - int(bounds[-1] - bounds[0]))
        spans = cuts(bounds, room)
        if spans is None:
            long = int(np.diff(bounds).argmax())
            raise DataError(
                f"the word {words[long][:40]!r} alone has more pieces than the model's {room} places"
            )
        self.windowed += len(spans) > 1
        found = []
        for (first, last), kept in zip(spans, shares(spans, from_left=self.from_left), strict=True):
            view = whole if len(spans) == 1 else self._view(words[first:last], self.backend.longest)
            found.append(Window(view, bounds_of(view), first, kept))
        return found

    def _view(self, words: Sequence[str], length: int) -> View:
        (view,) = self.backend.views(TASK, Example("", (), words=tuple(words)), length)
        return view


def bounds_of(view: View) -> np.ndarray:
    """Where each word begins, and where the last one ends. Words stand in a row, so a gap shows that a backend has
    several pieces a word and does not say where they are."""
    tokens = view.bounds or [(place, place + 1) for place in view.words]
    if any(before[1] != after[0] for before, after in pairwise(tokens)):
        raise ValueError("a view's words are not side by side; with several tokens a word it needs `bounds`")
    return np.array([tokens[0][0], *(end for _, end in tokens)])


def spoken(x_LTD: np.ndarray, bounds: np.ndarray, pieces: Pieces) -> np.ndarray:
    """L × W × D: a vector a word, of the vectors of its pieces."""
    begins, ends = bounds[:-1], bounds[1:]
    if pieces == "first":
        return x_LTD[:, begins]
    if pieces == "last":
        return x_LTD[:, ends - 1]
    return np.add.reduceat(x_LTD[:, : ends[-1]], begins, axis=1) / (ends - begins)[:, None]


def fitting(lengths: Sequence[int]) -> int:
    """How many of these views, shortest first, make a batch."""
    return max(1, sum((n + 1) * length <= TOKENS for n, length in enumerate(lengths)))


def cuts(bounds: np.ndarray, room: int) -> list[tuple[int, int]] | None:
    """Runs of words that fit into `room` pieces, each from about the middle of the one before; None where a single
    word does not fit."""
    count, first = len(bounds) - 1, 0
    spans: list[tuple[int, int]] = []
    while not spans or spans[-1][1] < count:
        last = int(np.searchsorted(bounds, bounds[first] + room, side="right")) - 1
        if last <= first:
            return None
        spans.append((first, last))
        middle = int(np.searchsorted(bounds, (bounds[first] + bounds[last]) / 2))
        first = min(max(first + 1, middle), last)
    return spans


def shares(spans: Sequence[tuple[int, int]], *, from_left: bool = False) -> list[range]:
    """Which words each window answers for: two neighbors meet in the middle of what they share; for a model that
    reads from the left, at its end, for there the earlier window always knows more."""
    meets = [before[1] if from_left else (after[0] + before[1] + 1) // 2 for before, after in pairwise(spans)]
    borders = [spans[0][0], *meets, spans[-1][1]]
    return [range(a, b) for a, b in pairwise(borders)]
