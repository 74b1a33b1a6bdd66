"""Any model of transformers as a backend: held equal to transformers itself, on tiny random models of five families."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModel,
    AutoTokenizer,
    FNetConfig,
)
from typer.testing import CliRunner

from lmcompare import models
from lmcompare.backends.auto import Auto
from lmcompare.backends.bert import Bert
from lmcompare.cli import app
from lmcompare.errors import DataError
from lmcompare.features_cache import FeatureCache
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.learner import TaskLearner
from lmcompare.types import Example, Task
from tests.contracts import auto_folders
from tests.contracts.test_backends import CPU, TASKS, all_of, how, loss_of, train

TEXTS, FAMILIES = auto_folders.TEXTS, list(auto_folders.FAMILIES)
WIDTHS = {"roberta": 12, "distilbert": 18, "electra": 16, "modernbert": 24, "gpt2": 20}
# RoBERTa's first two positions stand for padding.
LONGEST = {"roberta": 42, "distilbert": 47, "electra": 45, "modernbert": 50, "gpt2": 43}
ONE, TWO = (Task("t", "classify", ("accuracy",), lambda s: [], labels=("a", "b"), texts=n) for n in (1, 2))
SYMMETRIC = Task("t", "score", ("pearson",), lambda s: [], texts=2, symmetric=True)
TAGS = Task("t", "tags", ("entity_f1",), lambda s: [], labels=("O", "B-X"))
SPAN = Task("t", "span", ("span_f1",), lambda s: [], texts=2)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def folder(family: str) -> Path:
    return auto_folders.of(family)


@pytest.fixture
def auto(folder: Path) -> Auto:
    loaded = models.load("auto", str(folder))
    loaded.encoder.eval()
    return loaded


@torch.no_grad()
def theirs(folder: Path, rows: list[Any]) -> tuple[Any, Tensor, Tensor]:
    """What transformers makes of texts or pairs: its batch, its hidden states (B × T × L × D), and a vector each."""
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    firsts, seconds = zip(*[row if isinstance(row, tuple) else (row, None) for row in rows], strict=True)
    batch = tokenizer(
        list(firsts), None if seconds[0] is None else list(seconds), padding=True, return_tensors="pt"
    )
    told = model(**batch, output_hidden_states=True)
    if (pooled := getattr(told, "pooler_output", None)) is None:
        last = batch["attention_mask"].sum(1) - 1
        at = last if model.config.model_type == "gpt2" else torch.zeros_like(last)
        pooled = told.last_hidden_state[torch.arange(len(rows)), at]
    return batch, torch.stack(told.hidden_states, 2), pooled


def as_transformers(auto: Auto, pair: tuple[str, str]) -> Any:
    """A pair as transformers' tokenizer takes it; GPT-2's does not know pairs, so there it is one text with markers."""
    return "<|endoftext|>".join(["", *pair, ""]) if auto.causal else pair


@pytest.mark.parametrize("task", [ONE, TWO], ids=["one text", "two texts"])
@torch.no_grad()
def test_states_and_pooled_vectors_are_those_of_transformers(auto: Auto, folder: Path, task: Task) -> None:
    rows: list[Any] = TEXTS if task.texts == 1 else list(pairwise(TEXTS))
    examples = [Example(str(n), (row,) if task.texts == 1 else row) for n, row in enumerate(rows)]
    views = [auto.views(task, example, 40)[0] for example in examples]
    batch, x_BTLD, pooled_BD = theirs(
        folder, rows if task.texts == 1 else [as_transformers(auto, row) for row in rows]
    )
    assert [list(view.ids) for view in views] == [
        ids[mask.bool()].tolist()
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
    inputs = auto.stack(views)
    assert inputs.mask_BT is not None and inputs.mask_BT.long().equal(batch["attention_mask"])
    layers = auto.encoder(inputs)
    assert len(layers) == auto.depth + 1
    real = inputs.mask_BT
    torch.testing.assert_close(torch.stack(layers, 2)[real], x_BTLD[real], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(auto.encoder.pool(layers[-1], inputs.pool_B), pooled_BD, rtol=1e-5, atol=1e-5)


def test_what_is_found_out_of_each_family(auto: Auto, family: str) -> None:
    assert auto.width == WIDTHS[family] and auto.longest == LONGEST[family]
    assert auto.causal is (family == "gpt2")
    assert auto.encoder.pooled is (family == "roberta")
    assert auto.encoder.typed is (family == "electra")
    assert not auto.encoder.blurred
    assert not hasattr(auto, "left_to_right")
    assert len(auto.tied) == auto.tokenizer.size
    places = [auto.layer_of(name) for name in auto.encoder.state_dict()]
    assert places == sorted(places) and set(places) == set(range(auto.depth + 1))
    below = [name for name in auto.encoder.state_dict() if auto.layer_of(name) == 0]
    assert all("emb" in name or "wte" in name or "wpe" in name for name in below)
    above = [name for name in auto.encoder.state_dict() if auto.layer_of(name) == auto.depth]
    assert any("pooler" in name for name in above) is (family == "roberta")
    assert any("final_norm" in name or "ln_f" in name for name in above) is (family in ("modernbert", "gpt2"))


@torch.no_grad()
def test_padding_changes_nothing_and_the_longest_view_has_a_place(auto: Auto) -> None:
    longest = auto.views(ONE, Example("", (" ".join(TEXTS * 4),)), auto.longest)[0]
    views = [longest, *(auto.views(TWO, Example("", pair), 40)[0] for pair in pairwise(TEXTS))]
    assert len(longest.ids) == auto.longest and longest.cut > 0
    together = auto.encoder(auto.stack(views))
    for row, view in enumerate(views):
        for a, b in zip(together, auto.encoder(auto.stack([view])), strict=True):
            torch.testing.assert_close(a[row, : len(view.ids)], b[0], rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing_even_where_the_model_does_not_mask_it(tmp_path: Path) -> None:
    """FNet mixes tokens by a Fourier transform over all places."""
    sizes = {
        "hidden_size": 14,
        "num_hidden_layers": 2,
        "intermediate_size": 19,
        "max_position_embeddings": 40,
    }
    auto = Auto.load(auto_folders.another(tmp_path / "fnet", lambda v: FNetConfig(vocab_size=v, **sizes)))
    assert auto.encoder.blurred and auto.encoder.pooled
    auto.encoder.eval()
    test_padding_changes_nothing_and_the_longest_view_has_a_place(auto)
    views = [auto.views(ONE, Example("", (text,)), 30)[0] for text in TEXTS]
    auto.encoder(auto.stack(views))[-1].sum().backward()
    assert auto.tied.grad is not None


def spelled(auto: Auto, ids: Any) -> str:
    return " ".join(auto.tokenizer.pieces[i] for i in ids)


def test_the_markers_are_the_tokenizers_own() -> None:
    shown = {}
    for family in FAMILIES:
        auto = Auto.load(auto_folders.of(family))
        (pair,) = auto.views(TWO, Example("", ("a", "far")), 40)
        shown[family] = spelled(auto, pair.ids)
        inside = {n: [t for t, s in enumerate(pair.segments) if s == n] for n in (0, 1)}
        assert (
            spelled(auto, [pair.ids[t] for t in inside[0][1:-1]]) == "a"
        )  # as the readers of pairs cut it out
        assert auto.tokenizer.decode([pair.ids[t] for t in inside[1][:-1]]).replace(" ", "") == "far"
    assert shown["roberta"].startswith("<s> a </s> </s> ") and shown["roberta"].endswith(" </s>")
    for family in ("distilbert", "electra", "modernbert"):
        assert shown[family].startswith("[CLS] a [SEP] ") and shown[family].endswith(" [SEP]")
    end = "<|endoftext|>"
    assert shown["gpt2"].startswith(f"{end} a {end} ") and shown["gpt2"].endswith(f" {end}")


def test_two_texts_are_cut_at_the_longer_one_and_too_short_a_length_is_said(auto: Auto) -> None:
    long, short = " ".join(TEXTS), "a"
    frame = auto.tokenizer.two
    assert frame is not None
    for pair in ((long, short), (short, long), (long, long)):
        (view,) = auto.views(TWO, Example("", pair), 20)
        assert len(view.ids) == 20 and view.cut
        lengths = [len(auto.tokenizer.encode(text)) for text in pair]
        assert view.cut == sum(lengths) - (20 - frame.size)
    kept = [
        auto.views(TWO, Example("", pair), 20)[0].segments.count(0) for pair in ((short, long), (long, long))
    ]
    assert kept[0] < kept[1]  # the short one was left whole
    with pytest.raises(DataError, match="no room for a view"):
        auto.views(TWO, Example("", (long, short)), frame.size + 1)


def test_a_text_without_any_piece_still_is_a_view(auto: Auto) -> None:
    for task, texts in ((ONE, ("",)), (TWO, ("", ""))):
        (view,) = auto.views(task, Example("", texts), 20)
        assert len(view.ids) >= 1
        assert torch.isfinite(auto.encoder(auto.stack([view]))[-1]).all()


def test_a_symmetric_pair_is_seen_in_both_orders_by_who_reads_from_the_left(auto: Auto) -> None:
    views = auto.views(SYMMETRIC, Example("", (TEXTS[0], TEXTS[1])), 40)
    assert len(views) == (2 if auto.causal else 1)
    assert len({tuple(view.ids) for view in views}) == len(views)


def test_a_choice_has_a_view_an_option(auto: Auto) -> None:
    task = Task("t", "choice", ("accuracy",), lambda s: [])
    views = auto.views(task, Example("", (TEXTS[0],), options=tuple(TEXTS[1:])), 40)
    pairs = [auto.views(TWO, Example("", (TEXTS[0], option)), 40)[0] for option in TEXTS[1:]]
    assert [view.ids for view in views] == [pair.ids for pair in pairs]
    assert [view.option for view in views] == [0, 1, 2]


WORDS = ("the", "cat", "\u200b", "sat,", "", "naïve", "far")


def test_a_tag_stands_at_the_piece_that_speaks_for_its_word(auto: Auto, folder: Path) -> None:
    (view,) = auto.views(TAGS, Example("", (), words=WORDS), 42)
    assert len(view.words) == len(view.bounds) == len(WORDS)
    frame = auto.tokenizer.one
    assert view.bounds[0][0] == len(frame.markers[0])
    assert view.bounds[-1][1] == len(view.ids) - len(frame.markers[1])
    assert all(a[1] == b[0] for a, b in pairwise(view.bounds))
    for word, place, (begin, end) in zip(WORDS, view.words, view.bounds, strict=True):
        assert place == (end - 1 if auto.causal else begin)
        if word and word.isalpha() and word.isascii():
            assert auto.tokenizer.decode(view.ids[begin:end]).replace(" ", "").replace("#", "") == word
    # As in running text, but for words that have no piece.
    plain = tuple(word for word in WORDS if word.isalpha())
    (view,) = auto.views(TAGS, Example("", (), words=plain), 42)
    assert list(view.ids) == AutoTokenizer.from_pretrained(folder)(" ".join(plain))["input_ids"]


def test_a_word_that_is_cut_off_has_no_place(auto: Auto) -> None:
    words = tuple(" ".join(TEXTS).split())
    (view,) = auto.views(TAGS, Example("", (), words=words), 16)
    assert len(view.ids) == 16 and view.cut > 0
    assert view.words[0] >= 0 and view.words[-1] == -1 and view.bounds[-1] == (-1, -1)
    assert max(view.words) < 16 - len(auto.tokenizer.one.markers[1])


CONTEXT = "the  cat sat on the mat — naïve 🐱 日本 and the dog ran far"


def two_thirds(auto: Auto, example: Example) -> int:
    """A length for which the example takes several windows."""
    (whole,) = auto.views(SPAN, example, 1000)
    return 2 * len(whole.ids) // 3


@pytest.mark.parametrize("stride", [None, 3])
def test_windows_give_back_the_context_and_hold_every_answer(auto: Auto, stride: int | None) -> None:
    answer = CONTEXT.index("dog")
    label = ((answer, answer + 3),)
    example = Example("q", ("who ran", CONTEXT), label)
    length = two_thirds(auto, example)
    views = auto.views(SPAN, example, length, stride=stride)
    assert len(views) > 1 and all(len(view.ids) <= length for view in views)
    covered = set()
    for view in views:
        assert len(view.spans) == len(view.ids)
        assert view.spans[view.pool] == (-1, -1)  # what says "not here" is no word of the context
        inside = [span for span in view.spans if span[0] >= 0]
        assert all(a[0] <= b[0] for a, b in pairwise(inside))
        assert all(CONTEXT[s:e] == CONTEXT[s:e].strip() or not CONTEXT[s:e].strip() for s, e in inside)
        covered |= {place for s, e in inside for place in range(s, e)}
    assert {n for n, c in enumerate(CONTEXT) if not c.isspace()} <= covered
    batch = Dataset(auto, SPAN, [example], length=length).batch(np.array([0]))
    assert batch.labels["inside_B"].any()
    for view, ends, found in zip(batch.views, batch.labels["ends_B2"], batch.labels["inside_B"], strict=True):
        if found:
            assert CONTEXT[view.spans[ends[0]][0] : view.spans[ends[1]][1]] == "dog"


def test_a_shorter_stride_makes_more_windows(auto: Auto) -> None:
    example = Example("q", ("who ran", CONTEXT))
    length = two_thirds(auto, example)
    assert len(auto.views(SPAN, example, length, stride=2)) > len(auto.views(SPAN, example, length))


@pytest.mark.parametrize("kind", ["two texts", "tags"])
def test_finetuning_learns(auto: Auto, kind: str) -> None:
    task, examples = TASKS[kind]
    made = TaskLearner(auto, task, how("finetune"))
    made.draw(5)
    dataset = Dataset(auto, task, examples, length=24)
    made.learn_from(dataset)
    before = float(loss_of(made, dataset).detach())
    train(made, dataset, steps=20)
    assert float(loss_of(made, dataset).detach()) < 0.8 * before
    assert len(made.answers(dataset, all_of(dataset), CPU)) == len(examples)


def test_features_are_frozen_and_read_once(auto: Auto) -> None:
    task, examples = TASKS["one text"]
    views = Dataset(auto, task, examples, length=24).views
    auto.encoder.train()
    first = FeatureCache(auto).layers(views).values
    assert not auto.encoder.training
    kept = np.array(first)
    for row, n in enumerate(FeatureCache(auto).layers(views).starts[:-1]):
        x_TLD = torch.stack([x[0] for x in auto.encoder(auto.stack([views[row]]))], 1).detach().numpy()
        np.testing.assert_allclose(kept[n : n + len(x_TLD)], x_TLD, rtol=1e-4, atol=1e-5)
    made = TaskLearner(auto, task, how("features", "linear"))
    made.draw(5)
    dataset = Dataset(auto, task, examples, length=24)
    made.learn_from(dataset)
    before = auto.fingerprint
    train(made, dataset)
    assert auto.fingerprint == before and made.body.layer_mix() is not None


def test_a_bert_folder_gives_what_our_own_bert_gives(tmp_path: Path) -> None:
    bert = Bert(train_wordpiece(TEXTS, size=60, min_frequency=1), layers=2, width=12, heads=3, positions=40)
    bert.draw(3)
    bert.save(tmp_path)
    assert models.family(str(tmp_path)) == "bert"
    auto = Auto.load(tmp_path)
    bert.encoder.eval()
    auto.encoder.eval()
    for kind, (task, examples) in TASKS.items():
        for example in examples:
            ours, others = bert.views(task, example, 20), auto.views(task, example, 20)
            assert [(v.ids, v.segments, v.pool, v.words) for v in ours] == [
                (v.ids, v.segments, v.pool, v.words) for v in others
            ], kind
            inputs = bert.stack(ours)
            layers = list(zip(bert.encoder(inputs), auto.encoder(auto.stack(others)), strict=True))
            real = torch.ones_like(inputs.ids_BT).bool() if inputs.mask_BT is None else inputs.mask_BT
            for a, b in layers:
                torch.testing.assert_close(a[real], b[real], rtol=1e-4, atol=1e-5)
            pooled = [
                x.pool(y, inputs.pool_B)
                for x, y in zip((bert.encoder, auto.encoder), layers[-1], strict=True)
            ]
            torch.testing.assert_close(*pooled, rtol=1e-4, atol=1e-5)


def test_the_command_line_takes_it(tmp_path: Path) -> None:
    small = ["task.train=24", "training.epochs=1", "length=40", "training.batch=12"]
    sets = [part for value in small for part in ("--set", value)]
    for command, family in (("finetune", "roberta"), ("features", "gpt2")):
        run = tmp_path / command
        given = [
            command,
            "auto",
            "--task",
            "micro.sentiment",
            "--model",
            str(auto_folders.of(family)),
            *sets,
            "--out",
            str(run),
        ]
        result = CliRunner().invoke(app, [*given, "--json"])
        assert result.exit_code == 0, result.output + repr(result.exception)
        told = json.loads(result.stdout)
        assert told["backend"] == "auto" and set(told["metrics"]) == {"dev", "test"}
        again = CliRunner().invoke(app, ["eval", str(run), "--json"])
        assert again.exit_code == 0, again.output + repr(again.exception)
        assert json.loads(again.stdout)["metrics"] == pytest.approx(told["metrics"]["test"])
