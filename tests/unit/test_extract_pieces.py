"""Words in several pieces: which of a word's vectors is its own, and how lines beyond the positions are read.

What is expected trusts no view's bounds: each word's pieces are laid out again from the tokenizer, and the encoder is
asked directly.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lmcompare import word_vectors
from lmcompare.errors import DataError
from lmcompare.types import Example, View
from lmcompare.word_vectors import WordVectors, bounds_of, cuts, shares
from tests.unit.test_extract import IN_PIECES, LINES, bert, gpt, gpt_lstm, run, static

OWN = {"bert": "first", "gpt": "last", "gpt-lstm": "last"}
LONG = [("the cat saw a dog and the unbelievable mat " * 4).split(), ("mats unbelievable a " * 7).split()]
ROOM = 22  # pieces of a line that a model of 24 positions sees at once


def by_hand(backend: Any, words: Sequence[str]) -> list[np.ndarray]:
    """For each word the vectors of all its pieces, L × pieces × D."""
    pieces = backend.tokenizer.encode_words(words)
    ids, segments = backend.sequence([[piece for word in pieces for piece in word]])
    with torch.no_grad():
        layers = backend.encoder(backend.stack([View(ids, segments)]))
    x_LTD = torch.stack(layers)[:, 0].numpy()
    ends = np.cumsum([1, *map(len, pieces)])  # one token stands before the first word
    return [x_LTD[:, begin:end] for begin, end in pairwise(ends)]


def spoken(x_LTD: np.ndarray, pieces: str) -> np.ndarray:
    return {"first": x_LTD[:, 0], "mean": x_LTD.mean(1), "last": x_LTD[:, -1]}[pieces]


@pytest.mark.parametrize("name", IN_PIECES)
def test_a_word_in_pieces_has_the_first_ones_vector_or_the_last_ones_or_their_mean(name: str) -> None:
    backend = IN_PIECES[name]()
    words = [by_hand(backend, words) for words in LINES]
    assert {x_LTD.shape[1] for line in words for x_LTD in line} > {1, 2, 3}
    for pieces in ("first", "mean", "last"):
        made = list(WordVectors(backend, pieces=pieces).stream(LINES))  # type: ignore[arg-type]
        for x_LWD, line in zip(made, words, strict=True):
            expected = np.stack([spoken(x_LTD, pieces) for x_LTD in line], 1)
            np.testing.assert_allclose(x_LWD, expected, rtol=1e-4, atol=1e-5)
    x_LTD = max((x for line in words for x in line), key=lambda x: x.shape[1])
    three = [spoken(x_LTD, pieces)[-1] for pieces in ("first", "mean", "last")]
    assert min(np.abs(a - b).max() for a, b in (three[:2], three[1:], three[::2])) > 1e-2


@pytest.mark.parametrize("name", IN_PIECES)
def test_left_to_itself_a_word_has_the_vector_that_its_tag_is_read_from(name: str) -> None:
    backend = IN_PIECES[name]()
    vectors = WordVectors(backend)
    assert vectors.pieces == OWN[name]
    for words, x_LWD in zip(LINES, vectors.stream(LINES), strict=True):
        (view,) = backend.views(word_vectors.TASK, Example("", (), words=tuple(words)), 40)
        with torch.no_grad():
            x_LTD = torch.stack(backend.encoder(backend.stack([view])))[:, 0].numpy()
        np.testing.assert_allclose(x_LWD, x_LTD[:, list(view.words)], rtol=1e-4, atol=1e-5)


def test_the_file_is_told_which_piece_it_holds(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("unbelievable mats\n")
    for name, make in (("bert", bert), ("gpt", gpt), ("static", static)):
        make().save(tmp_path / name)
        told = run(tmp_path / name, tmp_path / "t.txt", tmp_path / f"{name}.npz")
        assert told["pieces"] == OWN.get(name, "first")
        asked = run(tmp_path / name, tmp_path / "t.txt", tmp_path / f"{name}-2.npz", pieces="last")
        assert asked["pieces"] == "last"
        same = np.array_equal(*(np.load(tmp_path / f"{name}{end}.npz")["0"] for end in ("", "-2")))
        assert same == (name != "bert")


@pytest.mark.parametrize("name", IN_PIECES)
def test_a_word_that_is_cut_has_no_bounds(name: str) -> None:
    backend, words = IN_PIECES[name](), ("the", "unbelievable", "cat")
    sizes = list(map(len, backend.tokenizer.encode_words(words)))
    assert sizes[1] > 2
    (whole,) = backend.views(word_vectors.TASK, Example("", (), words=words), 40)
    ends = np.cumsum([1, *sizes])
    assert list(whole.bounds) == list(pairwise(ends)) and bounds_of(whole).tolist() == ends.tolist()
    for length in range(5, int(ends[-1]) + 2):
        (view,) = backend.views(word_vectors.TASK, Example("", (), words=words), length)
        assert len(view.ids) <= length
        inside = [end < length for end in ends[1:]]  # of `length` places the last one is not a word's
        assert [bounds == (-1, -1) for bounds in view.bounds] == [not whole for whole in inside]
        if OWN[name] == "last":
            assert [place >= 0 for place in view.words] == inside
        else:
            assert [place >= 0 for place in view.words] == [begin < length - 1 for begin in ends[:-1]]


def test_a_backend_that_does_not_say_where_pieces_are_is_found_out() -> None:
    assert bounds_of(View([5, 6, 7], [0] * 3, words=[0, 1, 2])).tolist() == [0, 1, 2, 3]
    for places in ([1, 3, 4], [2, 3, 5]):
        with pytest.raises(ValueError, match="it needs `bounds`"):
            bounds_of(View([0] * 7, [0] * 7, words=places))


SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=60).map(lambda sizes: np.cumsum([1, *sizes]))


@given(SIZES, st.integers(6, 20), st.booleans())
def test_windows_fit_and_answer_for_every_word_once(bounds: np.ndarray, room: int, from_left: bool) -> None:
    spans = cuts(bounds, room)
    assert spans is not None
    assert all(first < last and bounds[last] - bounds[first] <= room for first, last in spans)
    kept = shares(spans, from_left=from_left)
    assert [word for part in kept for word in part] == list(range(len(bounds) - 1))
    for part, (first, last) in zip(kept, spans, strict=True):
        assert all(first <= word < last for word in part)


def test_a_word_is_read_where_it_stands_farthest_from_a_cut() -> None:
    spans = cuts(np.arange(1, 32), 10)  # thirty words of a piece each
    assert spans == [(0, 10), (5, 15), (10, 20), (15, 25), (20, 30)]
    ends = [[(part.start, part.stop) for part in shares(spans, from_left=left)] for left in (False, True)]
    assert ends[0] == [(0, 8), (8, 13), (13, 18), (18, 23), (23, 30)]
    assert ends[1] == [(0, 10), (10, 15), (15, 20), (20, 25), (25, 30)]
    assert cuts(np.array([1, 3, 9]), 5) is None


@pytest.mark.parametrize("pieces", ["first", "mean", "last"])
@pytest.mark.parametrize("name", IN_PIECES)
def test_a_line_beyond_the_positions_is_read_in_windows(name: str, pieces: Any) -> None:
    backend = IN_PIECES[name](positions=ROOM + 2)
    vectors = WordVectors(backend, pieces=pieces)
    for words, x_LWD in zip(LONG, vectors.stream(LONG), strict=True):
        sizes = list(map(len, backend.tokenizer.encode_words(words)))
        spans = cuts(np.cumsum([1, *sizes]), ROOM)
        assert spans is not None and len(spans) > 3 and max(sizes) > 3
        expected = np.full_like(x_LWD, np.nan)
        for (first, last), kept in zip(spans, shares(spans, from_left=OWN[name] == "last"), strict=True):
            window = by_hand(backend, words[first:last])
            for word in kept:
                expected[:, word] = spoken(window[word - first], pieces)
        np.testing.assert_allclose(x_LWD, expected, rtol=1e-4, atol=1e-5)
    assert vectors.windowed == len(LONG)


@pytest.mark.parametrize("make", [gpt, gpt_lstm])
def test_who_reads_from_the_left_misses_nothing_in_the_first_window(make: Any) -> None:
    """A model with room for the whole line has the same vectors there, up to the window's very end."""
    words = LONG[0]
    narrow, wide = make(positions=ROOM + 2), make(positions=200)
    wide.encoder.blocks.load_state_dict(narrow.encoder.blocks.state_dict())
    wide.encoder.words.load_state_dict(narrow.encoder.words.state_dict())
    if narrow.encoder.positions is not None:
        with torch.no_grad():
            wide.encoder.positions.weight[: ROOM + 2] = narrow.encoder.positions.weight
    (x_LWD,), (whole_LWD,) = (WordVectors(backend).stream([words]) for backend in (narrow, wide))
    ends = np.cumsum(list(map(len, narrow.tokenizer.encode_words(words))))
    fit = int((ends <= ROOM).sum())
    assert fit > 3
    np.testing.assert_allclose(x_LWD[:, :fit], whole_LWD[:, :fit], rtol=1e-4, atol=1e-5)
    assert not np.allclose(x_LWD[-1, fit], whole_LWD[-1, fit], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", IN_PIECES)
def test_a_word_beyond_the_positions_is_named(name: str) -> None:
    with pytest.raises(DataError, match="'unbelievable' alone has more pieces than the model's 3 places"):
        list(WordVectors(IN_PIECES[name](positions=5)).stream([["the", "unbelievable"]]))
