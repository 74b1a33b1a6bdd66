"""What readers are asked for, what they are given, and what they make of texts without a word; the spans of backends
that read the question in a view of its own."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lmcompare import config, readers, registry
from lmcompare.errors import UserError
from lmcompare.readers import layers as parts
from lmcompare.transfer import pairing
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.features import fitting
from lmcompare.transfer.learner import TaskLearner
from lmcompare.transfer.spans import windows
from lmcompare.types import Example, Task, View
from tests.contracts.backends_of_tests import LikeElmo, LikeGpt
from tests.contracts.test_backends import BACKENDS, CPU, SMALL, TASKS, all_of, how, learner, train

SPAN = TASKS["span"][0]


def random(*shape: int, seed: int = 4) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def built(name: str, kind: str, extra: int = 0) -> Any:
    made = registry.readers.build(SMALL.get(name, {}) | {"name": name}, 6, extra, TASKS[kind][0]).eval()
    parts.draw(made, torch.Generator().manual_seed(1))
    return made


# What fits what


@pytest.mark.parametrize(
    ("name", "kind", "fit"),
    [
        ("esim", "tags", "bilstm, crf, linear"),
        ("bidaf", "two texts", "bilstm, esim, linear"),
        ("crf", "one text", "bcn, bilstm, linear"),
        ("bcn", "choice", "bilstm, esim, linear"),
        ("esim", "one text", "bcn, bilstm, linear"),
        ("crf", "span", "bidaf, bilstm, linear"),
    ],
)
def test_a_reader_that_does_not_fit_names_those_that_do(name: str, kind: str, fit: str) -> None:
    asked = readers.form(TASKS[kind][0])
    with pytest.raises(
        UserError, match=rf"'{name}' does not read tasks of the kind {asked} .*; these do: {fit}$"
    ):
        fitting({"name": name}, TASKS[kind][0], 6, 0)


def test_every_form_of_task_has_a_reader_of_its_own_and_the_plain_ones() -> None:
    serving = {
        form: {
            name
            for name in registry.readers.names()
            if form in getattr(registry.readers.get(name), "serves", ())
        }
        for form in readers.FORMS
    }
    assert all({"bilstm", "linear"} < names for names in serving.values())


def test_settings_are_checked() -> None:
    for spec in (
        {"name": "bilstm", "hidden": 0},
        {"name": "bcn", "maxout_dropout": [0.1]},
        {"name": "esim", "depth": 2},
    ):
        with pytest.raises(UserError, match=r"transfer\.reader"):
            fitting(spec, TASKS["one text"][0] if spec["name"] != "esim" else TASKS["two texts"][0], 6, 0)
    with pytest.raises(UserError, match="pool"):
        fitting({"name": "bilstm", "pool": "last"}, TASKS["tags"][0], 6, 0)


PAPERS = {
    "ner-crf": "tags",
    "ner-bert-table7": "tags",
    "snli-esim": "two texts",
    "sst5-bcn": "one text",
    "squad-bidaf": "span",
}


@pytest.mark.parametrize("preset", PAPERS)
def test_the_networks_of_the_papers_are_built_over_any_backend(preset: str) -> None:
    """In their own sizes, over four layers or more."""
    spec = registry.transfers.check(config.read_table(preset, "features")["transfer"])
    task, examples = TASKS[PAPERS[preset]]
    for backend in (LikeElmo(depth=3), LikeGpt(depth=3)):
        if backend.name == "like-gpt" and task.kind in ("tags", "span"):
            continue
        backend.draw(1)
        made = TaskLearner(backend, task, spec)
        made.draw(1)
        dataset = Dataset(backend, task, examples[:2], length=24)
        made.learn_from(dataset)
        losses = made.losses(made.batch(np.arange(2), 0))
        assert all(bool(loss.isfinite()) for loss in losses.values())


# Pools and starts


@pytest.mark.parametrize("pool", ["max", "mean", "attention", "ends"])
def test_the_pools_of_a_bilstm(pool: str) -> None:
    x, mask = random(2, 4, 6), torch.tensor([[True] * 4, [True, True, False, False]])
    made = registry.readers.build({"name": "bilstm", "hidden": 5, "pool": pool}, 6, 0, TASKS["one text"][0])
    parts.draw(made, torch.Generator().manual_seed(1))
    states, pooled = made(x, mask)
    for b, length in enumerate((4, 2)):
        real = states[b, :length]
        expected = {"max": real.amax(0), "mean": real.mean(0), "ends": torch.cat([real[-1, :5], real[0, 5:]])}
        if pool == "attention":
            expected[pool] = (made.attention.score(real).softmax(0) * real).sum(0)
        torch.testing.assert_close(pooled[b], expected[pool])


@pytest.mark.parametrize("name", registry.readers.names())
def test_the_same_seed_draws_the_same_reader(name: str) -> None:
    kind = next(
        k for k, (task, _) in TASKS.items() if readers.form(task) in registry.readers.get(name).serves
    )  # type: ignore[attr-defined]
    first, second = built(name, kind), built(name, kind)
    assert all(a.equal(b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    for key, p in first.named_parameters():
        if "bias_hh_l" in key:  # an LSTM that has seen nothing keeps what it has
            H = len(p) // 4
            assert p[H : 2 * H].eq(1).all() and not p[:H].any() and not p[2 * H :].any()
        elif p.ndim >= 2:
            assert float(p.detach().std()) == pytest.approx(p.shape[-1] ** -0.5, rel=0.5)
        elif "carries" in key:
            assert p.eq(1).all()


def test_dropout_that_is_the_same_at_every_token() -> None:
    drop = parts.SameDropout(0.5)
    torch.manual_seed(1)
    y = drop(torch.ones(3, 5, 40))
    assert y.eq(y[:, :1]).all() and {0.0, 2.0} == set(y.unique().tolist())
    assert not y[0].equal(y[1])
    drop.eval()
    assert drop(torch.ones(2, 3, 4)).eq(1).all()


# Texts without a word


@pytest.mark.parametrize(("name", "kind"), [("esim", "two texts"), ("bidaf", "span")])
def test_a_pair_with_an_empty_text_is_read(name: str, kind: str) -> None:
    made, one = built(name, kind, extra=2), torch.tensor([[False] * 3, [True, False, False], [True] * 3])
    other = torch.tensor([[True] * 4, [False] * 4, [True, True, False, False]])
    a, b = random(3, 3, 6).requires_grad_(), random(3, 4, 6, seed=5).requires_grad_()
    found = made((a, one, random(3, 3, 2)), (b, other, random(3, 4, 2)))
    assert found.isfinite().all()
    found.square().sum().backward()
    for x, mask in ((a, one), (b, other)):
        assert x.grad is not None and x.grad.isfinite().all()
        assert not x.grad[~mask].any()
    assert all(p.grad is None or p.grad.isfinite().all() for p in made.parameters())


@pytest.mark.parametrize("name", ["bilstm", "bcn", "linear"])
def test_a_view_without_a_token_is_read(name: str) -> None:
    made = built(name, "one text")
    x, mask = random(2, 3, 6).requires_grad_(), torch.tensor([[False] * 3, [True] * 3])
    _, pooled = made(x, mask)
    pooled.square().sum().backward()
    assert pooled.isfinite().all() and x.grad is not None and x.grad.isfinite().all()


# The two texts of a pair, in any backend's views


def sides(name: str, task: Task, example: Example) -> list[list[list[int]]]:
    """The token ids of both texts of every pair, as a pair reader is given them."""
    backend = BACKENDS[name]()
    batch = Dataset(backend, task, [example], length=30).batch(np.arange(1))
    ids = torch.zeros(*batch.inputs.ids_BT.shape, 1)
    for row, view in zip(ids, batch.views, strict=True):  # ELMo's own are rows of what is spelled
        row[: len(view.ids), 0] = torch.tensor(view.ids)
    first, second, group_P = pairing.two_sides(batch, CPU)
    assert len(group_P) == len(first.view_P) == len(second.view_P)
    return [
        [side.take(ids)[p, side.mask_PT[p], 0].long().tolist() for p in range(len(group_P))]
        for side in (first, second)
    ]


@pytest.mark.parametrize("name", BACKENDS)
def test_two_texts_come_without_markers(name: str) -> None:
    encode = BACKENDS[name]().tokenizer.encode
    example = Example("1", ("the cat sat on the mat", "a dog"), "a")
    a, b = (encode(text) for text in example.texts)
    assert sides(name, TASKS["two texts"][0], example) == [[a], [b]]
    both = [[a, b], [b, a]] if "gpt" in name else [[a], [b]]
    assert sides(name, TASKS["symmetric score"][0], replace(example, label=1.0)) == both
    choice = Example("2", ("the cat sat",), 0, options=("on the mat", "a dog"))
    x, o, p = (encode(text) for text in (*choice.texts, *choice.options))
    assert sides(name, TASKS["choice"][0], choice) == [[x, x], [o, p]]


@pytest.mark.parametrize("name", ["bert", "gpt", "like-elmo"])
def test_a_question_and_the_windows_of_its_context(name: str) -> None:
    encode = BACKENDS[name]().tokenizer.encode
    question, context = "who sat", " ".join(["the cat sat on the mat and the dog ran"] * 4)
    first, second = sides(name, SPAN, Example("1", (question, context), ((0, 3),)))
    assert len(first) == len(second) > 1
    assert all(ids == encode(question) for ids in first)
    assert second[0] == encode(context)[: len(second[0])]
    assert second[-1] == encode(context)[-len(second[-1]) :]


def test_views_that_do_not_say_where_the_second_text_begins() -> None:
    with pytest.raises(UserError, match="do not say where the second one begins"):
        pairing.text(View([1, 2, 3], [0, 0, 0]), 1)


def test_both_orders_of_a_symmetric_pair_are_added() -> None:
    backend, made, _ = learner("like-gpt", "symmetric score", "features", "esim")
    made.eval()
    task, examples = TASKS["symmetric score"]
    turned = [Example(e.id, e.texts[::-1], e.label) for e in examples]
    there, back = ([a["prediction"] for a in said(backend, made, task, rows)] for rows in (examples, turned))
    assert there == pytest.approx(back, abs=1e-5)


def said(backend: Any, made: TaskLearner, task: Task, examples: list[Example]) -> list[dict[str, Any]]:
    dataset = Dataset(backend, task, examples, length=24)
    made.body.watch(dataset)
    return made.answers(dataset, all_of(dataset), CPU)


# Spans: question and context in views of their own

LONG = "near the mat a dog ran far and the cat sat on the mat then a dog saw the far cat"


def spans_of(mode: str, reader: str, length: int = 6) -> tuple[Any, TaskLearner, Dataset]:
    """Five words are asked for in one context of several windows: the first word of a window among them."""
    backend = BACKENDS["like-elmo"]()
    backend.draw(3)
    made = TaskLearner(backend, SPAN, how(mode, reader))
    made.draw(5)
    rows = []
    for n, word in enumerate(("near", "ran", "sat", "then", "saw")):
        start = LONG.index(word)
        rows.append(Example(str(n), (f"where {word}", LONG), ((start, start + len(word)),)))
    dataset = Dataset(backend, SPAN, rows, length=length)
    made.learn_from(dataset)
    return backend, made, dataset


MODES = [("finetune", ""), ("features", "bilstm"), ("features", "linear"), ("features", "bidaf")]


@pytest.mark.parametrize(("mode", "reader"), MODES)
def test_answers_are_found_in_windows_and_questions_never_answer(mode: str, reader: str) -> None:
    _, made, dataset = spans_of(mode, reader)
    batch = dataset.batch(all_of(dataset))
    chosen = windows(batch)
    assert 2 * len(chosen) == len(batch.views)
    assert made.counts(batch) == {"task": len(chosen)}
    places = [made.head._places(batch.views[b].spans) for b in chosen]
    for (start, end), spans, b in zip(made.head._ends(batch).tolist(), places, chosen, strict=True):
        example = batch.examples[int(batch.owner_B[b])]
        wanted = example.label[0]
        if (start, end) == (0, 0):
            assert wanted not in spans
        else:
            assert (spans[start][0], spans[end][1]) == wanted
    assert any(start == 1 for start, _ in made.head._ends(batch).tolist())  # a window's very first token
    train(made, dataset, 120)
    right = [a["prediction"] in a["label"] for a in made.answers(dataset, all_of(dataset), CPU)]
    assert sum(right) >= (3 if reader == "linear" else 4)


@pytest.mark.parametrize(("mode", "reader"), MODES)
def test_the_answer_hangs_on_the_question(mode: str, reader: str) -> None:
    backend, made, dataset = spans_of(mode, reader, length=30)
    train(made, dataset, 60)
    asked = [Example("x", (f"where {word}", LONG), None) for word in ("near", "then")]
    found = [a["prediction"] for a in said(backend, made, SPAN, asked)]
    assert found[0] != found[1]


def test_no_place_competes_in_the_view_of_a_question() -> None:
    _, made, dataset = spans_of("finetune", "")
    made.eval()
    batch = dataset.batch(all_of(dataset))
    logits = made(batch, dataset)
    assert len(logits) == len(windows(batch))
    masked = made.head._masked(logits, batch)
    for w, b in enumerate(windows(batch)):
        assert int((masked[w, :, 0] > -1e4).sum()) == 1 + len(batch.views[b].ids)


def test_one_view_readers_of_spans_keep_the_place_of_their_first_token() -> None:
    """[CLS] stands for "not in this window" where question and context share a view."""
    _, made, dataset = learner("bert", "span", "features", "bilstm")
    assert made.head.absent is None
    batch = dataset.batch(all_of(dataset))
    assert windows(batch) == list(range(len(batch.views)))
    assert made.head._ends(batch).equal(batch.labels["ends_B2"])
    _, made, dataset = learner("bert", "span", "features", "bidaf")
    batch = dataset.batch(all_of(dataset))
    for b, (start, end) in enumerate(made.head._ends(batch).tolist()):
        spans = made.head._places(batch.views[b].spans)
        assert (spans[start][0], spans[end][1]) == batch.examples[b].label[0]


@pytest.mark.parametrize("layers", [1, 2])
def test_the_states_are_those_of_a_packed_sequence(layers: int) -> None:
    """Whatever stands behind a text, in both directions, with the gradients."""
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    torch.manual_seed(0)
    lstm, lengths = parts.bilstm(7, 5, layers), torch.tensor([9, 1, 4, 8])
    x, mask = torch.randn(4, 9, 7, requires_grad=True), torch.arange(9)[None] < lengths[:, None]
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected = pad_packed_sequence(lstm(packed)[0], batch_first=True)[0]
    found = parts.contextual(lstm, x, mask)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    wanted = torch.autograd.grad(expected.square().sum(), [x, *lstm.parameters()])
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), [x, *lstm.parameters()]), wanted, strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
