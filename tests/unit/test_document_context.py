"""Words of the document around a sentence: they fill what it leaves free, nearest first and on both sides alike, and
nothing outside of the sentence is asked or scored."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lmcompare import registry
from lmcompare.backends.piece_views import around
from lmcompare.text.bpe import train_bpe
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.text.words import train_words
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.learner import TaskLearner
from lmcompare.types import Example, Task, View
from tests.contracts import auto_folders

TEXTS = ["one two three four five six seven eight nine ten", "Ann met Bob in the garden", "unheard of"]
WORDS = ("Ann", "met", "Bob")
BEFORE = ("one", "two", "three", "four", "five")
AFTER = ("six", "seven", "eight", "nine", "ten")
TAGS = ("B-PER", "O", "B-PER")
TASK = Task("names", "tags", ("entity_f1",), lambda split: [], labels=("O", "B-PER", "I-PER"))
SMALL = {"layers": 1, "width": 12, "heads": 2, "positions": 64, "init_std": 0.2}


def example(before: tuple[str, ...] = BEFORE, after: tuple[str, ...] = AFTER) -> Example:
    return Example("1", (), TAGS, words=WORDS, before=before, after=after)


def pieces(name: str, **more: Any) -> Any:
    tokenizer = (train_wordpiece if name == "bert" else train_bpe)(TEXTS * 3, size=80, min_frequency=1)
    return registry.backends.build({"name": name, **SMALL, **more}, tokenizer)


def elmo() -> Any:
    shape = {
        "layers": 1,
        "cells": 7,
        "projection": 5,
        "characters": 3,
        "filters": [[1, 4], [3, 6]],
        "highways": 1,
    }
    return registry.backends.build({"name": "elmo", **shape}, train_words(TEXTS))


def auto(family: str) -> Any:
    return registry.loader(registry.backends.get("auto"))(auto_folders.of(family))


BACKENDS: dict[str, Callable[[], Any]] = {
    "bert": lambda: pieces("bert"),
    "bert-causal": lambda: pieces("bert", causal=True),
    "gpt": lambda: pieces("gpt"),
    "elmo": elmo,
    "static": lambda: registry.backends.build({"name": "static", "width": 6}, train_words(TEXTS)),
    "auto": lambda: auto("roberta"),
    "auto-gpt2": lambda: auto("gpt2"),
}
every_backend = pytest.mark.parametrize("name", BACKENDS)


def view_of(backend: Any, one: Example, length: int) -> View:
    (view,) = backend.views(TASK, one, length)
    assert len(view.ids) <= length
    return view


def tokens_of(view: View) -> list[list[int]]:
    """The tokens of each word, as the view tells."""
    bounds = view.bounds or [(place, place + 1) for place in view.words]
    return [list(view.ids[start:end]) for start, end in bounds]


@every_backend
def test_the_sentences_own_words_are_told_wherever_they_stand(name: str) -> None:
    backend = BACKENDS[name]()
    whole = [view_of(backend, Example("2", (), words=(*BEFORE, *WORDS, *AFTER)), 64)]
    view = view_of(backend, example(), 64)
    assert list(view.ids) == list(whole[0].ids)  # all fits: the same tokens as of one long sentence
    assert list(view.words) == list(whole[0].words)[len(BEFORE) : len(BEFORE) + len(WORDS)]
    assert tokens_of(view) == tokens_of(whole[0])[len(BEFORE) : len(BEFORE) + len(WORDS)]
    assert len(view.words) == len(WORDS) and view.cut == 0


@every_backend
def test_without_a_document_all_is_as_it_was(name: str) -> None:
    backend = BACKENDS[name]()
    bare = example((), ())
    for length in (8, 64):
        assert view_of(backend, bare, length) == view_of(backend, Example("1", (), words=WORDS), length)


@every_backend
def test_a_sentence_is_never_cut_for_its_document(name: str) -> None:
    backend = BACKENDS[name]()
    bare = view_of(backend, example((), ()), 64)
    for length in range(5, len(bare.ids) + 8):
        view, alone = view_of(backend, example(), length), view_of(backend, example((), ()), length)
        assert view.cut == alone.cut
        assert [place >= 0 for place in view.words] == [place >= 0 for place in alone.words]
        if length <= len(bare.ids):
            assert view == alone


@every_backend
def test_what_is_around_comes_whole_word_by_word_from_both_sides(name: str) -> None:
    backend = BACKENDS[name]()
    tokens = tokens_of(view_of(backend, Example("2", (), words=(*BEFORE, *WORDS, *AFTER)), 64))
    before, after = tokens[: len(BEFORE)], tokens[len(BEFORE) + len(WORDS) :]
    bare = view_of(backend, example((), ()), 64)
    markers = len(bare.ids) - sum(map(len, tokens_of(bare)))
    sides = set()
    for length in range(len(bare.ids), len(bare.ids) + sum(map(len, tokens)) + 1):
        view = view_of(backend, example(), length)
        left, right = around(before, after, length - markers - sum(map(len, tokens_of(view))))
        if name.startswith("auto") and not left_of(
            view, backend
        ):  # whose first word lost the space before it
            left, right = around([], after, length - markers - sum(map(len, tokens_of(view))))
        assert left_of(view, backend) == left
        assert len(view.ids) == markers + len(left) + sum(map(len, tokens_of(view))) + len(right)
        sides.add((bool(left), bool(right)))
    assert (True, True) in sides and len(view.ids) == markers + sum(map(len, tokens))


def left_of(view: View, backend: Any) -> list[int]:
    """The tokens between the markers that begin a view and the first word of the sentence."""
    first = view.bounds[0][0] if view.bounds else view.words[0]
    marks = backend.views(TASK, Example("3", (), words=WORDS), 64)[0]
    return list(view.ids[marks.bounds[0][0] if marks.bounds else 0 : first])


def test_both_sides_get_the_same_and_one_side_what_the_other_leaves() -> None:
    def sizes(before: list[int], after: list[int], room: int) -> tuple[int, int]:
        left, right = around([[1] * n for n in before], [[2] * n for n in after], room)
        assert set(left) <= {1} and set(right) <= {2} and len(left) + len(right) <= room
        return len(left), len(right)

    assert sizes([1] * 9, [1] * 9, 6) == (3, 3)
    assert sizes([1] * 9, [1] * 9, 5) == (3, 2)
    assert sizes([1] * 2, [1] * 9, 8) == (2, 6)
    assert sizes([1] * 9, [], 4) == (4, 0)
    assert sizes([9, 1, 1], [1] * 9, 8) == (2, 6)  # no half word, and none beyond one that is too long
    assert sizes([3, 3, 3], [1] * 9, 8) == (3, 5)
    assert sizes([1], [1], 0) == sizes([], [], 5) == (0, 0)
    assert around([[1], [2], [3]], [[4], [5], [6]], 4) == ([2, 3], [4, 5])


@pytest.mark.parametrize("reader", ["", "bilstm", "crf"])
@every_backend
def test_only_the_sentence_is_learned_and_answered(name: str, reader: str) -> None:
    backend = BACKENDS[name]()
    if hasattr(backend, "draw") and not name.startswith("auto"):
        backend.draw(3)
    both = [example(), Example("2", (), TAGS[:2], words=WORDS[:2], before=BEFORE)]
    dataset = Dataset(backend, TASK, both, length=24)
    table = {"name": "features", "reader": {"name": reader}} if reader else {"name": "finetune"}
    learner = TaskLearner(backend, TASK, registry.transfers.check(table))
    learner.draw(5)
    learner.learn_from(dataset)
    learner.body.watch(dataset)
    batch = learner.batch(np.arange(2), 0)
    assert int((batch.labels["tag_BT"] >= 0).sum()) == 5
    assert torch.isfinite(learner.losses(batch)["task"])
    learner.train(False)
    answers = learner.answers(dataset, np.arange(2), torch.device("cpu"))
    assert [len(answer["prediction"]) for answer in answers] == [3, 2]
    assert answers[0]["label"] == list(TAGS)


def test_the_document_is_seen() -> None:
    """What stands around a word changes what is made of it."""
    backend = BACKENDS["bert"]()
    backend.draw(3)
    backend.encoder.eval()
    vectors = []
    for before in (BEFORE, BEFORE[::-1]):
        view = view_of(backend, example(before), 64)
        with torch.no_grad():
            vectors.append(backend.encoder(backend.stack([view]))[-1][0, view.words[1]])
    assert not torch.allclose(vectors[0], vectors[1])
