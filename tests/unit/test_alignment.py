"""From words and characters to tokens and back, on odd Unicode: nothing is shifted, nothing is lost, one tag a word.

What is expected is laid out again from the tokenizer, word by word and character by character; no view's own figures
are trusted.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lmcompare import registry
from lmcompare.backends.piece_views import located
from lmcompare.text.bpe import train_bpe
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.text.words import train_words
from lmcompare.transfer.dataset import Batch, Dataset
from lmcompare.transfer.pairing import Given
from lmcompare.transfer.spans import best_spans, distinct
from lmcompare.transfer.tags import Tags
from lmcompare.types import Example, Task, View
from tests.contracts import auto_folders

pytestmark = pytest.mark.slow

TEXTS = [
    "the cat sat on the mat with the unbelievable naïve café owner Zoë",
    "cafe\u0301 über Αθήνα's σοφός привет ﬁne İstanbul straße ½ Ⅷ 1,000 €",
    "東京 in 日本語のテキスト 한국어 שלום عربي नमस्ते 😀 👩‍👩‍👧 e\u0301a\u0308 un\u00adbelievable",
]
ODD = (
    "\u0301", "\u0308x", "e\u0301\u0323", "\u00ad", "\u00adcat", "ca\u00adt", "\u200b", "\u200bcat", "cat\u200d",
    "\ufeff", "\ufeffthe", "\u202ecat\u202c", "\x07", "c\x07at", "\x85", "\x1c", "a\x1cb", "\u00a0", "ca\u00a0t",
    "\u2028", "\ufe0f", "\U000e0001", "\ue000", "\ufffd", "\ufffdat", "👩‍👩‍👧", "👍🏽", "🇯🇵", "한국어",
    "\u1112\u1161\u11ab", "東京", "東cat京", "שלום", "عَرَبِي", "नमस्ते",
    "ﬁne", "İ", "ı", "ΐ", "Σ", "ς", "ß", "ẞ", "Ⅷ", "½", "ǆ", "ａｂ", "𝔘",
    "—", "...", "don't", "[SEP]", "[UNK]", "<unk>", "_start_", "##cat", "cat</w>", "x" * 120, "ab" * 60, "é" * 70, "",
)  # fmt: skip
BLANKS = (" ", "  ", "\t", "\n", "\u00a0", "\u2028", "\u3000", " \u200b", "")
LABELS = tuple("ABCDEFG")
CPU = torch.device("cpu")

plain = st.sampled_from([word for text in TEXTS for word in text.split()])
word = st.one_of(st.sampled_from(ODD), plain, st.text(max_size=8))
lines_of_words = st.lists(word, min_size=1, max_size=14)
contexts = st.lists(st.tuples(word, st.sampled_from(BLANKS)), min_size=1, max_size=14).map(
    lambda parts: "".join(text + blank for text, blank in parts)
)
SMALL = {"layers": 1, "width": 12, "heads": 2, "positions": 64, "init_std": 0.3}
STATED = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def of_pieces(name: str, *, lowercase: bool, **more: Any) -> Any:
    train: Any = train_wordpiece if name == "bert" else train_bpe
    tokenizer = train(TEXTS * 2, size=260, min_frequency=1, lowercase=lowercase)
    return registry.backends.build({"name": name, **SMALL, **more}, tokenizer)


def of_words(name: str, **more: Any) -> Any:
    return registry.backends.build({"name": name, **more}, train_words(TEXTS))


def of_bytes(family: str) -> Any:
    return registry.loader(registry.backends.get("auto"))(auto_folders.of(family))


ELMO = {"layers": 1, "cells": 7, "projection": 5, "characters": 3, "filters": [[1, 4], [3, 6]]}
PIECES: dict[str, tuple[Callable[[], Any], str]] = {  # and which piece speaks for a word
    "bert": (lambda: of_pieces("bert", lowercase=True), "first"),
    "bert-cased": (lambda: of_pieces("bert", lowercase=False), "first"),
    "bert-causal": (lambda: of_pieces("bert", lowercase=True, causal=True), "last"),
    "gpt": (lambda: of_pieces("gpt", lowercase=True), "last"),
    "gpt-cased": (lambda: of_pieces("gpt", lowercase=False), "last"),
    "auto": (lambda: of_bytes("roberta"), "first"),
    "auto-gpt2": (lambda: of_bytes("gpt2"), "last"),
}
WHOLE = {"elmo": lambda: of_words("elmo", **ELMO), "static": lambda: of_words("static", width=6)}
OURS = ("bert", "bert-cased", "gpt", "gpt-cased")  # whose pieces are WordPiece's or BPE's


@cache
def backend(name: str) -> Any:
    return WHOLE[name]() if name in WHOLE else PIECES[name][0]()


def pieces_of(name: str, words: Sequence[str]) -> list[list[int]]:
    """Each word's pieces, cut alone; where the space before a word is a part of it, in its line."""
    tokenizer = backend(name).tokenizer
    if name.startswith("auto"):
        found = tokenizer.encode_words(words)
        held = [i for ids in found for i in ids if i != tokenizer.unk_id]
        line = [i for i in tokenizer.encode(" ".join(words)) if i != tokenizer.unk_id]
        assert held == line  # none is lost, none turned round
        return found
    return [tokenizer.encode(one) or [tokenizer.unk_id] for one in words]


# --- words to tokens and back -------------------------------------------------------------------


def tagged(words: Sequence[str], shift: int = 0) -> Example:
    tags = tuple(LABELS[(n + shift) % len(LABELS)] for n in range(len(words)))
    return Example(f"{shift}-{len(words)}", (), tags, words=tuple(words))


TAGS = Task("t", "tags", ("accuracy",), lambda split: [], labels=LABELS)


@pytest.mark.parametrize("name", PIECES)
@STATED
@given(words=lines_of_words, length=st.integers(5, 40))
@example(words=["\u0301", "cat", "", "\x07", "x" * 120, "cat"], length=12)
@example(words=["\u200b"], length=5)
@example(words=["a\u00a0b", "\u2028", "c d e f", "the"], length=9)
def test_a_word_has_one_place_and_its_own_pieces(name: str, words: list[str], length: int) -> None:
    made, at = backend(name), PIECES[name][1]
    (view,) = made.views(TAGS, tagged(words), length)
    pieces = pieces_of(name, words)
    before, after = markers(made)
    last = len(view.ids) - after  # where the room ends
    assert len(view.ids) <= length
    assert last - before == min(sum(map(len, pieces)), length - before - after)
    assert view.cut == sum(map(len, pieces)) - (last - before)
    assert len(view.words) == len(view.bounds) == len(words)
    begin = before
    for ids, place, bounds in zip(pieces, view.words, view.bounds, strict=True):
        end = begin + len(ids)
        speaks = begin if at == "first" else end - 1
        assert place == (speaks if speaks < last else -1)
        assert bounds == ((begin, end) if end <= last else (-1, -1))
        if bounds[0] >= 0:
            assert list(view.ids[slice(*bounds)]) == ids
        begin = end
    held = [place for place in view.words if place >= 0]
    assert held == sorted(set(held)) == list(view.words[: len(held)])  # what is cut off is the end


def markers(made: Any) -> tuple[int, int]:
    """How many tokens stand before a line of words, and behind it."""
    if not hasattr(made.tokenizer, "one"):
        return 1, 1
    before, after = made.tokenizer.one.markers
    return len(before), len(after)


@pytest.mark.parametrize("name", WHOLE)
@STATED
@given(words=lines_of_words, length=st.integers(1, 12))
def test_a_whole_word_is_its_own_token(name: str, words: list[str], length: int) -> None:
    made = backend(name)
    (view,) = made.views(TAGS, tagged(words), length)
    kept = min(length, len(words))
    assert list(view.words) == [*range(kept), *[-1] * (len(words) - kept)]
    assert not view.bounds and view.cut == len(words) - kept
    assert [made.tokenizer.form(i) for i in view.ids] == words[:kept]


@pytest.mark.parametrize("name", [*PIECES, *WHOLE])
@settings(STATED, max_examples=40)
@given(first=lines_of_words, second=lines_of_words, length=st.integers(5, 30))
@example(first=["\u0301"], second=["cat"] * 14, length=8)
def test_tags_come_back_to_their_words(name: str, first: list[str], second: list[str], length: int) -> None:
    """The head is shown what the loss was shown: the tag where a word's token stands, another tag everywhere else.
    What it answers is the gold tag of every word that was not cut off, and O, one tag a word."""
    rows = [tagged(first), tagged(second, 3)]
    batch = Dataset(backend(name), TAGS, rows, length=length).batch(np.arange(2))
    tag_BT = batch.labels["tag_BT"]
    assert int((tag_BT >= 0).sum()) == sum(place >= 0 for view in batch.views for place in view.words)
    logits = torch.nn.functional.one_hot(tag_BT.clamp(min=0), len(LABELS)).float()
    logits[tag_BT < 0] = torch.tensor([0.0, 0, 9, 0, 0, 0, 0])  # louder, and never to be heard
    head = Tags(TAGS, Given(len(LABELS), finished=True), dropout=0.0)
    for row, view, answer in zip(rows, batch.views, head.answers(logits, batch), strict=True):
        label: Any = row.label
        cut = [place < 0 for place in view.words]
        assert answer["prediction"] == ["O" if gone else tag for tag, gone in zip(label, cut, strict=True)]
        assert len(answer["prediction"]) == len(row.words)


# --- characters to tokens and back --------------------------------------------------------------

SPAN = Task("t", "span", ("span_f1",), lambda split: [], texts=2)


def held(name: str, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """The tokens of a context and the characters of each, as the backend's windows have them."""
    made = backend(name)
    return made.tokenizer.encode_offsets(text) if name in WHOLE else located(made.tokenizer, text)


def smallest(spans: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int] | None:
    """From where to where the tokens reach that hold any character of these."""
    touched = [span for span in spans if span[0] < end and span[1] > start]
    return (min(s for s, _ in touched), max(e for _, e in touched)) if touched else None


@pytest.mark.parametrize("name", OURS)
@settings(STATED, max_examples=200)
@given(text=contexts)
@example(text="\u200bcat e\u0301\u0323x ca\u00adt 한국어")
@example(text="the [SEP] \u0301 <unk> x")
def test_a_piece_stands_where_its_characters_do(name: str, text: str) -> None:
    """The characters of its place, cleaned alone, are the piece. Where one character becomes several pieces (한 is
    three letters without its accents), each of them is among what that character becomes."""
    tokenizer = backend(name).tokenizer
    ids, spans = held(name, text)
    clean = tokenizer.tokenizer.normalizer.normalize_str
    assert ids == tokenizer.encode(text)
    for i, (start, end) in zip(ids, spans, strict=True):
        piece, stood = tokenizer.pieces[i], "".join(clean(text[start:end]).split())
        assert 0 <= start < end <= len(text)
        if i == tokenizer.unk_id or piece in ("[SEP]", "[UNK]", "<unk>"):
            continue
        spelled = piece.removeprefix("##").removesuffix("</w>") if piece != "##" else piece
        shared = spans.count((start, end)) > 1 or any(len(clean(c)) > 1 for c in text[start:end])
        assert spelled == stood or (shared and spelled in stood)
    for (start, end), (later, last) in pairwise(spans):
        assert start <= later and end <= last  # never turned round
        assert end <= later or (end - later == 1 and len(clean(text[later])) > 1)
    seen = {n for span in spans for n in range(*span)}
    lost = [c for n, c in enumerate(text) if n not in seen and not c.isspace() and clean(c).strip()]
    assert not lost


@st.composite
def asked(draw: st.DrawFn) -> tuple[str, int, int]:
    """A context and a stretch of it: from word to word, or from any character to any other."""
    text = draw(contexts.filter(lambda text: bool(text.strip())))
    visible = [n for n, c in enumerate(text) if not c.isspace()]
    start, last = sorted((draw(st.sampled_from(visible)), draw(st.sampled_from(visible))))
    if draw(st.booleans()):
        while start and not text[start - 1].isspace():
            start -= 1
        while last + 1 < len(text) and not text[last + 1].isspace():
            last += 1
    return text, start, last + 1


def told_by(batch: Batch) -> list[tuple[View, tuple[int, int], bool]]:
    """Each window, what the loss points at, and whether it is the answer."""
    ends, inside = batch.labels["ends_B2"].tolist(), batch.labels["inside_B"].tolist()
    rows = zip(batch.views, ends, inside, strict=True)
    return [(view, (a, b), found) for view, (a, b), found in rows]


@pytest.mark.parametrize("name", [*PIECES, *WHOLE])
@settings(STATED, max_examples=100)
@given(case=asked(), length=st.sampled_from([16, 24, 40]), stride=st.sampled_from([None, 2]))
@example(case=("the \u200bcat sat", 4, 8), length=24, stride=None)
@example(case=("the \u0301cat sat", 4, 8), length=24, stride=None)
@example(case=("the cat\u00ad sat", 4, 8), length=24, stride=None)
@example(case=("in 東京, İstanbul 👩‍👩‍👧 cafe\u0301", 3, 27), length=24, stride=2)
def test_an_answer_inside_a_window_comes_back(
    name: str, case: tuple[str, int, int], length: int, stride: int | None
) -> None:
    """What a window holds whole comes back as the smallest run of tokens around it. It is the same string where the
    answer's borders are borders of tokens, else more at the ends by what the border tokens hold: never less, and
    never shifted."""
    text, start, end = case
    spans = held(name, text)[1]
    around = smallest(spans, start, end)
    rows = [Example("1", ("who?", text), ((start, end),))]
    batch = Dataset(backend(name), SPAN, rows, length=length, stride=stride).batch(np.arange(1))
    for view, (first, last), found in told_by(batch):
        if found:
            assert around is not None and first <= last
            assert (view.spans[first][0], view.spans[last][1]) == around
            assert around[0] <= start and end <= around[1]
            said = text[slice(*around)]
            exact = start in {s for s, _ in spans} and end in {e for _, e in spans}
            assert said == text[start:end] if exact else text[start:end] in said
            assert comes_out(text, view, first, last) == said.strip()
        elif view.part == batch.parts - 1 and around is not None:
            touching = [span for span in spans if span[0] < end and span[1] > start]
            whole = all(span in view.spans for span in touching)
            assert not whole or begins_or_ends_with_nothing(text, spans, start, end)


def begins_or_ends_with_nothing(text: str, spans: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    """Whether a tokenizer leaves nothing of the first word of these, or of the last, so that no token stands there."""
    ends = [word for word in stretches(text) if word[0] <= start < word[1] or word[0] < end <= word[1]]
    return any(smallest(spans, *word) is None for word in ends)


def comes_out(text: str, view: View, first: int, last: int) -> str:
    """What the head would answer if it were sure of these two tokens."""
    logits = np.full((len(view.ids), 2), -9.0)
    logits[first, 0] = logits[last, 1] = 9.0
    (best,) = best_spans(logits, view.spans, most=1, longest=len(view.ids))
    return str(distinct(text, [best], 1)[0][0])


@pytest.mark.parametrize("name", [*PIECES, *WHOLE])
@settings(STATED, max_examples=100)
@given(text=contexts, data=st.data())
@example(text="the \u200bcat sat", data=None)
@example(text="\ufeffthe cat\u200d sat \u0301", data=None)
def test_a_word_between_two_spaces_comes_back_as_the_same_string(name: str, text: str, data: Any) -> None:
    """Whatever the tokenizer drops of it: soft hyphens, marks of direction, accents that stand alone. So does a run of
    words. Only a word of which nothing is left has no token."""
    spans = held(name, text)[1]
    words = [word for word in stretches(text) if smallest(spans, *word) is not None]
    if data is not None and words:
        a, b = sorted(data.draw(st.lists(st.sampled_from(words), min_size=2, max_size=2)))
        words = [*words, (a[0], b[1])]
    for start, end in words:
        if not (reaches_over(spans, start) or reaches_over(spans, end)):
            assert smallest(spans, start, end) == (start, end)


def stretches(text: str) -> list[tuple[int, int]]:
    """Where each stretch without white space begins and ends."""
    return [match.span() for match in re.finditer(r"\S+", text)]


def reaches_over(spans: Sequence[tuple[int, int]], border: int) -> bool:
    """Python's white space has control characters that BERT's cleaning drops: two words beside one are one to it."""
    return any(start < border < end for start, end in spans)


def test_the_odd_characters_are_what_they_are_meant_to_be() -> None:
    kinds = {unicodedata.category(c) for text in ODD for c in text}
    assert {"Mn", "Cf", "Cc", "Co", "Zs", "Zl", "So", "Lo", "Nl", "No", "Sk"} <= kinds
