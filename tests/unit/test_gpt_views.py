"""How GPT's views are put together, spelled out in pieces, and what no padding, batch mate or order may change.

A piece that does not end its word is shown with a + behind it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lmcompare import registry
from lmcompare.backends.gpt import Gpt
from lmcompare.errors import DataError
from lmcompare.text.bpe import SPECIALS, UNK, Bpe, gpt_tokenizer
from lmcompare.transfer.dataset import Batch, Dataset
from lmcompare.transfer.learner import TaskLearner
from lmcompare.transfer.pairing import two_sides
from lmcompare.types import Example, Kind, Task, View

SPELLED = ("the", "a", "cat", "sat", "on", "mat", "dog s", "dog", "walk ing", "un walk ed", "who", "?", ".")
SPELLED += ("_", "class ify", "start", "delimiter")
WORDS = [word.replace(" ", "") for word in SPELLED]
CPU = torch.device("cpu")


def bpe_of(spelled: Sequence[str]) -> Bpe:
    """A tokenizer that cuts every one of these words where it has a space."""
    merges: list[tuple[str, str]] = []
    ends = [f"{word}</w>" for word in spelled]
    for piece in (piece for word in ends for piece in word.split(" ")):
        characters = [*piece.removesuffix("</w>")]
        characters[-1] += "</w>" if piece.endswith("</w>") else ""
        left = characters[0]
        for right in characters[1:]:
            merges.append((left, right))
            left += right
    letters = sorted({c + end for word in spelled for c in word.replace(" ", "") for end in ("", "</w>")})
    vocabulary = dict.fromkeys([UNK, *letters, *(a + b for a, b in merges), *SPECIALS])
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    return Bpe(gpt_tokenizer(ids, list(dict.fromkeys(merges)), lowercase=True))


def make(network: str = "transformer") -> Gpt:
    shape = {"layers": 2, "width": 12, "heads": 3, "positions": 40, "cells": 7, "dropout": 0.0}
    gpt = Gpt(bpe_of(SPELLED), network=network, init_std=0.3, **shape)
    gpt.draw(1)
    gpt.encoder.eval()
    return gpt


GPT = make()
NETWORKS = {"transformer": GPT, "lstm": make("lstm")}


def task(kind: Kind, **more: Any) -> Task:
    return Task("t", kind, ("accuracy",), lambda split: [], **more)


ONE = task("classify", labels=("no", "yes"))
TWO = task("classify", labels=("no", "yes"), texts=2)
SYMMETRIC = task("score", texts=2, symmetric=True)
CHOICE, TAGS, SPAN = task("choice"), task("tags", labels=("O", "B-X")), task("span", texts=2)


def piece(i: int) -> str:
    text = GPT.tokenizer.pieces[i]
    return text.removesuffix("</w>") if text.endswith("</w>") or text in (*SPECIALS, UNK) else f"{text}+"


def shown(ids: Sequence[int]) -> str:
    return " ".join(map(piece, ids))


def told(of: Task, length: int, *texts: str, **more: Any) -> list[str]:
    return [shown(view.ids) for view in GPT.views(of, Example("1", texts, **more), length)]


def test_every_word_is_cut_as_it_is_spelled() -> None:
    for word in SPELLED:
        ends = word.split(" ")
        assert shown(GPT.tokenizer.encode(word.replace(" ", ""))) == "+ ".join(ends)


def test_one_text() -> None:
    (view,) = GPT.views(ONE, Example("1", ("The dogs sat.",)), 9)
    assert shown(view.ids) == "_start_ the dog+ s sat . _classify_"
    assert (view.pool, view.cut, list(view.segments)) == (6, 0, [0] * 7)
    (view,) = GPT.views(ONE, Example("1", ("The dogs sat.",)), 5)
    assert shown(view.ids) == "_start_ the dog+ s _classify_" and (view.pool, view.cut) == (4, 2)
    assert told(ONE, 5, "") == ["_start_ _classify_"]
    assert told(ONE, 7, "The dogs sat.") == ["_start_ the dog+ s sat . _classify_"]  # it fits exactly


def test_two_texts() -> None:
    pair = ("a cat sat", "the dogs")
    assert told(TWO, 20, *pair) == ["_start_ a cat sat _delimiter_ the dog+ s _classify_"]
    for length in (7, 8):  # a single place that is left over stays empty
        (view,) = GPT.views(TWO, Example("1", pair), length)
        assert shown(view.ids) == "_start_ a cat _delimiter_ the dog+ _classify_"
        assert (view.pool, view.cut, list(view.segments)) == (6, 2, [0, 0, 0, 0, 1, 1, 1])
    (view,) = GPT.views(TWO, Example("1", ("a cat sat on the mat", "who")), 11)
    assert (
        shown(view.ids) == "_start_ a cat sat on _delimiter_ who _classify_"
    )  # and so does what one half spares
    assert view.cut == 2
    assert told(TWO, 5, "", "") == ["_start_ _delimiter_ _classify_"]


def test_a_symmetric_pair_stands_in_both_orders() -> None:
    views = GPT.views(SYMMETRIC, Example("1", ("a cat sat", "the dogs")), 9)
    assert [shown(view.ids) for view in views] == [
        "_start_ a cat sat _delimiter_ the dog+ s _classify_",
        "_start_ the dog+ s _delimiter_ a cat sat _classify_",
    ]
    assert [(v.option, v.part, v.pool, v.cut) for v in views] == [(0, 0, 8, 0)] * 2


def test_every_option_stands_after_the_context() -> None:
    example = Example("1", ("the dogs walked on",), options=("a cat", "", "on the mat ."))
    views = GPT.views(CHOICE, example, 11)
    assert [shown(view.ids) for view in views] == [
        "_start_ the dog+ s walk+ _delimiter_ a cat _classify_",
        "_start_ the dog+ s walk+ _delimiter_ _classify_",
        "_start_ the dog+ s walk+ _delimiter_ on the mat . _classify_",
    ]
    assert [view.option for view in views] == [0, 1, 2]
    left_out = len(GPT.tokenizer.encode("walked on")) - 1
    assert [view.cut for view in views] == [left_out] * 3


def test_a_tag_stands_at_the_last_piece_of_its_word() -> None:
    words = ("The", "unwalked", "dogs", "", "sat")
    (view,) = GPT.views(TAGS, Example("1", (), words=words), 20)
    assert shown(view.ids) == f"_start_ the un+ walk+ ed dog+ s {UNK} sat _classify_"
    assert [piece(view.ids[t]) for t in view.words] == ["the", "ed", "s", UNK, "sat"]
    assert list(view.words) == [1, 4, 6, 7, 8] and (view.pool, view.cut) == (9, 0)
    (view,) = GPT.views(TAGS, Example("1", (), words=words), 7)
    assert (
        shown(view.ids) == "_start_ the un+ walk+ ed dog+ _classify_"
    )  # a word that is cut in two is cut off
    assert list(view.words) == [1, 4, -1, -1, -1] and (view.pool, view.cut) == (6, 3)


CONTEXT = "the cat sat on the dogs. a mat"


def test_windows_of_a_context_overlap_by_half() -> None:
    views = GPT.views(SPAN, Example("1", ("who sat?", CONTEXT)), 10)
    assert [shown(view.ids) for view in views] == [
        "_start_ who sat ? _delimiter_ the cat sat on _classify_",
        "_start_ who sat ? _delimiter_ sat on the dog+ _classify_",
        "_start_ who sat ? _delimiter_ the dog+ s . _classify_",
        "_start_ who sat ? _delimiter_ s . a mat _classify_",
    ]
    assert all(view.pool == 9 and list(view.segments) == [0] * 5 + [1] * 5 for view in views)
    for view in views:
        assert [t for t, (start, _) in enumerate(view.spans) if start >= 0] == [5, 6, 7, 8]
        read = [CONTEXT[start:end] for start, end in view.spans[5:9]]
        assert [piece(i).removesuffix("+") for i in view.ids[5:9]] == read
    assert told(SPAN, 10, "who sat on the mat?", "a cat . .")[:2] == [
        "_start_ who sat on _delimiter_ a cat . . _classify_"
    ]
    assert told(SPAN, 9, "who sat?", "") == ["_start_ who sat ? _delimiter_ _classify_"]


def test_what_a_question_loses_is_counted() -> None:
    views = GPT.views(SPAN, Example("1", ("who sat on the mat?", CONTEXT)), 10)
    assert shown(views[0].ids) == "_start_ who sat on _delimiter_ the cat sat on _classify_"
    assert [view.cut for view in views] == [3] * len(views)


LENGTHS = st.integers(5, 40)
TEXTS = st.lists(st.sampled_from([*WORDS, "Zz", "_classify_", "_start_ _delimiter_"]), max_size=30).map(
    " ".join
)


def all_views(texts: list[str], length: int) -> list[tuple[Task, View]]:
    first, second, third = texts
    examples = [
        (ONE, Example("1", (first,))),
        (TWO, Example("2", (first, second))),
        (SYMMETRIC, Example("3", (first, second))),
        (CHOICE, Example("4", (first,), options=(second, third))),
        (TAGS, Example("5", (), words=tuple(third.split(" ")))),
        (SPAN, Example("6", (second, first))),
    ]
    return [(of, view) for of, example in examples for view in GPT.views(of, example, length)]


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, min_size=3, max_size=3), LENGTHS)
def test_what_every_view_keeps(texts: list[str], length: int) -> None:
    words = GPT.tokenizer
    for of, view in all_views(texts, length):
        ids = list(view.ids)
        assert len(ids) <= length and len(view.segments) == len(ids)
        assert ids[0] == words.start_id and ids[-1] == words.extract_id and view.pool == len(ids) - 1
        between = [i for i in ids[1:-1] if i in words.special_ids]
        assert between == ([words.delimiter_id] if of in (TWO, SYMMETRIC, CHOICE, SPAN) else [])
        assert not view.spans or len(view.spans) == len(ids)
        if of in (TWO, SYMMETRIC, CHOICE):
            middle = ids.index(words.delimiter_id)
            assert max(middle - 1, len(ids) - middle - 2) <= (length - 3) // 2


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS, LENGTHS)
def test_no_piece_of_a_context_is_left_out(question: str, context: str, length: int) -> None:
    views = GPT.views(SPAN, Example("1", (question, context)), length)
    ids, spans = GPT.tokenizer.encode_offsets(context)
    found = {}
    for view in views:
        asked = view.ids[1 : list(view.ids).index(GPT.tokenizer.delimiter_id)]
        assert list(asked) == GPT.tokenizer.encode(question)[: (length - 3) // 2]
        found |= {span: i for i, span in zip(view.ids, view.spans, strict=True) if span != (-1, -1)}
    assert found == dict(zip(spans, ids, strict=True))
    assert len(views) == 1 or all(a.ids != b.ids or a.spans != b.spans for a, b in pairwise(views))


@pytest.mark.parametrize("length", [6, 64, 512])
def test_each_half_has_the_room_of_the_release(length: int) -> None:
    long = "cat " * 600
    (view,) = GPT.views(TWO, Example("1", (long, long)), length)
    room = length // 2 - 2
    assert view.ids[1 : 1 + room] == view.ids[2 + room : 2 + 2 * room] == GPT.tokenizer.encode(long)[:room]
    assert len(view.ids) == 2 * room + 3 and view.cut == 2 * (600 - room)


def test_lengths_that_are_too_small_or_too_large() -> None:
    for of, texts, more in (
        (ONE, ("a",), {}),
        (TWO, ("a", "a"), {}),
        (SPAN, ("a", "a"), {}),
        (CHOICE, ("a",), {"options": ("a",)}),
        (TAGS, (), {"words": ("a",)}),
    ):
        with pytest.raises(DataError, match="length 4 has no room for a view; 5 tokens are the least"):
            GPT.views(of, Example("1", texts, **more), 4)
    whole = Gpt(GPT.tokenizer, layers=1, width=4, heads=1)
    long = [Example("1", ("cat " * 999,)), Example("2", ("",))]
    assert Dataset(whole, ONE, long, length=512).lengths.tolist() == [512, 2]
    with pytest.raises(DataError, match="length 513 is more than the 512 positions"):
        Dataset(whole, ONE, long, length=513)


def test_the_name_of_a_special_token_in_a_text_is_ordinary_text() -> None:
    texts = [f"a {special} cat" for special in SPECIALS]
    assert told(ONE, 40, texts[2]) == ["_start_ a _ class+ ify _ cat _classify_"]
    assert all(i not in GPT.tokenizer.special_ids for text in texts for i in GPT.tokenizer.encode(text))
    (view,) = GPT.views(TAGS, Example("1", (), words=("_classify_",)), 20)
    assert shown(view.ids) == "_start_ _ class+ ify _ _classify_" and list(view.words) == [4]


def states(gpt: Gpt, views: list[View]) -> list[Tensor]:
    """Every layer of every view, its real tokens only: T × L × D."""
    with torch.no_grad():
        layers_BTLD = torch.stack(gpt.encoder(gpt.stack(views)), 2)
    return [layers_BTLD[b, : len(view.ids)] for b, view in enumerate(views)]


@pytest.mark.parametrize("network", NETWORKS)
def test_neither_padding_nor_batch_mates_nor_what_follows_change_a_state(network: str) -> None:
    gpt = NETWORKS[network]
    texts = ("a cat sat", "the unwalked dogs sat on the mat .", "who", "")
    views = [gpt.views(ONE, Example("1", (text,)), 20)[0] for text in texts]
    assert gpt.stack(views).mask_BT is not None
    for view, together in zip(views, states(gpt, views), strict=True):
        (alone,) = states(gpt, [view])
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
        longer = View([*view.ids, 3, 4, 5], [0] * (len(view.ids) + 3))
        torch.testing.assert_close(states(gpt, [longer])[0][:-3], alone, rtol=1e-5, atol=1e-6)
    padded = gpt.stack(views)
    padded.ids_BT[~padded.mask_BT] = 7
    with torch.no_grad():
        other = gpt.encoder(padded)[-1]
    for b, together in enumerate(states(gpt, views)):
        assert torch.equal(other[b, : len(together)], together[:, -1])
    turned = View([view.ids[0], 9, *view.ids[2:]], view.segments)
    assert not torch.allclose(
        states(gpt, [turned])[0][-1], states(gpt, [view])[0][-1]
    )  # but what precedes does


def learner(of: Task, gpt: Gpt = GPT) -> TaskLearner:
    made = TaskLearner(gpt, of, registry.transfers.check({"name": "finetune", "aux_lm": 0.5}))
    made.draw(2)
    return made.eval()


def answers(made: TaskLearner, rows: list[Example]) -> list[dict[str, Any]]:
    return made.answers(Dataset(GPT, made.task, rows, length=20), np.arange(len(rows)), CPU)


@pytest.mark.parametrize("kind", ["score", "classify"])
def test_the_order_of_a_symmetric_pair_never_changes_an_answer(kind: Kind) -> None:
    labels = ("no", "yes") if kind == "classify" else ()
    chance = np.random.default_rng(0)
    texts = [tuple(" ".join(chance.choice(WORDS, chance.integers(0, 12))) for _ in "ab") for _ in range(30)]
    rows, turned = ([Example(str(n), t[::way]) for n, t in enumerate(texts)] for way in (1, -1))
    found = []
    for symmetric in (True, False):
        made = learner(task(kind, labels=labels, texts=2, symmetric=symmetric))
        with torch.no_grad():
            made.head.linear.weight.mul_(50)
        pairs = zip(answers(made, rows), answers(made, turned), strict=True)
        number = "prediction" if kind == "score" else "scores"
        found.append(max(float(np.abs(np.subtract(a[number], b[number])).max()) for a, b in pairs))
    assert found[0] < 1e-5 < 1e-2 < found[1]


def test_a_reader_of_pairs_gets_the_words_of_each_side() -> None:
    rows = [Example("1", ("a cat", "the dogs sat")), Example("2", ("", "who")), Example("3", ("who ?", ""))]
    batch = Dataset(GPT, SYMMETRIC, rows, length=20).batch(np.arange(3))
    first, second, group = two_sides(batch, CPU)
    expected = [("a cat", "the dog+ s sat"), ("", "who"), ("who ?", "")]
    assert group.tolist() == [0, 0, 1, 1, 2, 2]
    read = [(of_side(batch, first, p), of_side(batch, second, p)) for p in range(6)]
    assert read == [pair[::way] for pair in expected for way in (1, -1)]
    spans = Dataset(GPT, SPAN, [Example("1", ("who sat ?", CONTEXT))], length=10)
    batch = spans.batch(np.arange(1))
    first, second, _ = two_sides(batch, CPU)
    assert [of_side(batch, first, p) for p in range(4)] == ["who sat ?"] * 4
    assert of_side(batch, second, 1) == "sat on the dog+"


def of_side(batch: Batch, side: Any, p: int) -> str:
    places = side.place_PT[p][side.mask_PT[p]]
    return shown(batch.inputs.ids_BT[side.view_P[p], places].tolist())


def asked() -> tuple[Batch, TaskLearner]:
    start = CONTEXT.index("dogs")
    rows = [Example("1", ("who sat?", CONTEXT), ((start, start + 4),))]
    return Dataset(GPT, SPAN, rows, length=10).batch(np.arange(1)), learner(SPAN)


def test_a_window_without_the_answer_points_at_the_extract_token() -> None:
    batch, made = asked()
    ends = batch.labels["ends_B2"]
    assert ends.tolist() == [[9, 9], [9, 9], [6, 7], [9, 9]]  # half of "dogs" is not "dogs"
    logits = torch.randn(4, 10, 2, generator=torch.Generator().manual_seed(1))
    expected = 0.0
    for w in range(4):
        for side in (0, 1):  # the question, its delimiter and the start cannot be chosen
            told = logits[w, 5:, side].log_softmax(0)
            expected -= float(told[int(ends[w, side]) - 5]) / 2
    assert float(made.head.loss(logits, batch)) == pytest.approx(expected, rel=1e-5)
    assert made.head.count(batch) == 4


def test_a_window_that_is_sure_to_hold_nothing_leaves_the_answer_to_the_others() -> None:
    batch, made = asked()
    logits = torch.zeros(4, 10, 2)
    logits[0, 5] = 8.0  # "the"
    logits[2, 6, 0] = logits[2, 7, 1] = 5.0  # "dog", "s"
    assert made.head.answers(logits, batch)[0]["prediction"] == "the"
    logits[0, 9] = 20.0  # "not here"
    assert made.head.answers(logits, batch)[0]["prediction"] == "dogs"


def test_an_answer_never_comes_from_outside_the_context() -> None:
    batch, made = asked()
    generator = torch.Generator().manual_seed(5)
    for _ in range(50):
        logits = torch.randn(4, 10, 2, generator=generator)
        logits[:, :5] += 100.0
        logits[:, 9] += 100.0
        found = made.head.answers(logits, batch)[0]["prediction"]
        assert found and found in CONTEXT
    empty = Dataset(GPT, SPAN, [Example("1", ("who sat?", ""), ())], length=10).batch(np.arange(1))
    assert made.head.answers(torch.randn(1, 6, 2), empty)[0]["prediction"] == ""
