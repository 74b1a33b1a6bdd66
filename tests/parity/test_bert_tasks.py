"""Our BERT under its task heads against the classes of `transformers`: logits, losses and the gradients of every
weight, on random tiny weights that went through our own folder, with sizes that are all different numbers."""

import copy
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn

from lmcompare.backends.bert import Bert
from lmcompare.text.wordpiece import WordPiece, train_wordpiece
from lmcompare.transfer.dataset import Batch, Dataset
from lmcompare.transfer.learner import TaskLearner
from lmcompare.types import Example, Task

LAYERS, WIDTH, HEADS, INNER, POSITIONS = 3, 20, 5, 28, 37
BOUND = 1e-5  # of the largest number beside it
WORDS = [f"{a}{b}{c}" for a in "bdfg" for b in "aeiou" for c in "klmn"]
SUITED = {
    "classify": ("BertForSequenceClassification", "classifier"),
    "score": ("BertForSequenceClassification", "classifier"),
    "choice": ("BertForMultipleChoice", "classifier"),
    "tags": ("BertForTokenClassification", "classifier"),
    "span": ("BertForQuestionAnswering", "qa_outputs"),
}


@pytest.fixture(scope="module")
def tokenizer() -> WordPiece:
    return train_wordpiece([" ".join(WORDS)] * 3, size=71)


@pytest.fixture
def bert(tokenizer: WordPiece) -> Bert:
    shape = {"layers": LAYERS, "width": WIDTH, "heads": HEADS, "inner": INNER, "positions": POSITIONS}
    made = Bert(tokenizer, dropout=0.0, **shape)
    spread(made.encoder)
    return made


@torch.no_grad()
def spread(module: nn.Module, seed: int = 1) -> None:
    """Weights that are all far enough from 0, or 1 for the norms, that one in another's place is seen."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in sorted(module.named_parameters()):
        p.normal_(float("norm" in name and name.endswith("weight")), 0.2, generator=generator)


def text(seed: int, words: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


def prepared(bert: Bert, task: Task, rows: list[Example], *, length: int) -> tuple[TaskLearner, Batch]:
    """The learner, and all rows in one batch; some of its views are padded."""
    learner = TaskLearner(bert, task, {"name": "finetune", "dropout": 0.0})
    spread(learner.head, seed=2)
    dataset = Dataset(bert, task, rows, length=length)
    learner.learn_from(dataset)
    batch = dataset.batch(np.arange(len(rows)))
    assert batch.inputs.mask_BT is not None and len(set(batch.inputs.mask_BT.sum(1).tolist())) > 2
    return learner, batch


def theirs(learner: TaskLearner, bert: Bert, folder: Path, **more: Any) -> Any:
    """The same encoder through our folder, and the same head."""
    kind, head = SUITED[learner.task.kind]
    bert.save(folder)
    logging.getLogger("transformers").setLevel(logging.ERROR)  # the pooler is not every class's
    model = getattr(transformers, kind).from_pretrained(folder, attn_implementation="eager", **more)
    getattr(model, head).load_state_dict(learner.head.linear.state_dict())
    return model.eval()


def told(batch: Batch) -> dict[str, Tensor]:
    assert batch.inputs.mask_BT is not None
    segments, mask = batch.inputs.segments_BT, batch.inputs.mask_BT.long()
    return {"input_ids": batch.inputs.ids_BT, "token_type_ids": segments, "attention_mask": mask}


def close(a: Tensor, b: Tensor, *, floor: float = 1e-6, what: str = "") -> None:
    scale = max(b.detach().abs().max().item(), floor)
    assert a.shape == b.shape and (a - b).abs().max().item() < BOUND * scale, what


def same_gradients(learner: TaskLearner, bert: Bert, model: Any, folder: Path) -> None:
    """Our gradients take the place of the weights and go through the folder, which gives them their names. Where a
    gradient is small, or nothing but rounding (a key's bias), it is measured by a quarter of the largest of all."""
    head = SUITED[learner.task.kind][1]
    shell = copy.deepcopy(bert)
    with torch.no_grad():
        for p, own in zip(shell.encoder.parameters(), bert.encoder.parameters(), strict=True):
            p.copy_(torch.zeros_like(own) if own.grad is None else own.grad)
    shell.save(folder)
    ours = load_file(folder / "model.safetensors")
    ours |= {f"{head}.{k}": p.grad for k, p in learner.head.linear.named_parameters()}
    expected = {name: p.grad for name, p in model.named_parameters()}
    largest = max(g.abs().max().item() for g in expected.values() if g is not None)
    for name, gradient in expected.items():
        mine = ours.pop(name)
        close(mine, torch.zeros_like(mine) if gradient is None else gradient, floor=largest / 4, what=name)
    assert not any(rest.any() for rest in ours.values())  # a pooler that the class has not


def learned(learner: TaskLearner, batch: Batch) -> tuple[Tensor, Tensor]:
    """Our logits, and the mean loss with its gradients."""
    loss = learner.losses(batch)["task"] / learner.counts(batch)["task"]
    loss.backward()
    with torch.no_grad():
        return learner(batch, learner.dataset), loss.detach()


@pytest.mark.parametrize("count", [1, 2], ids=["one text", "two texts"])
def test_sequence_classification(bert: Bert, tmp_path: Path, count: int) -> None:
    labels = ("neutral", "entailment", "contradiction")
    task = Task("t", "classify", ("accuracy",), lambda split: [], labels=labels, texts=count)
    rows = [
        Example(str(n), tuple(text(10 * n + k, 2 + n + 3 * k) for k in range(count)), labels[n % 3])
        for n in range(7)
    ]
    learner, batch = prepared(bert, task, rows, length=23)
    model = theirs(learner, bert, tmp_path / "model", num_labels=3)
    output = model(**told(batch), labels=batch.labels["class_N"])
    logits, loss = learned(learner, batch)
    close(logits, output.logits)
    close(loss, output.loss)
    output.loss.backward()
    same_gradients(learner, bert, model, tmp_path / "gradients")
    answers = learner.head.answers(logits, batch)
    assert [a["prediction"] for a in answers] == [labels[k] for k in output.logits.argmax(-1)]


@pytest.mark.parametrize("scores", [(-1.0, 1.0, 1.0, -1.0), (0.5, 4.75, 3.0, 2.0)], ids=["plain", "scaled"])
def test_regression(bert: Bert, tmp_path: Path, scores: tuple[float, ...]) -> None:
    """Ours learns in units of the labels' spread: theirs is asked for the same."""
    task = Task("t", "score", ("pearson",), lambda split: [], texts=2)
    rows = [Example(str(n), (text(n, 2 + n), text(20 + n, 5)), score) for n, score in enumerate(scores)]
    learner, batch = prepared(bert, task, rows, length=29)
    center, spread_of = float(np.mean(scores)), float(np.std(scores))
    assert (center, spread_of) == (0.0, 1.0) or spread_of > 1.2
    model = theirs(learner, bert, tmp_path / "model", num_labels=1)
    output = model(**told(batch), labels=(torch.tensor(scores) - center) / spread_of)
    logits, loss = learned(learner, batch)
    close(logits, output.logits)
    close(loss, output.loss)
    output.loss.backward()
    same_gradients(learner, bert, model, tmp_path / "gradients")
    predicted = [a["prediction"] for a in learner.head.answers(logits, batch)]
    assert predicted == pytest.approx((output.logits[:, 0] * spread_of + center).tolist(), abs=1e-5)


def test_token_classification(bert: Bert, tmp_path: Path) -> None:
    labels = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    task = Task("t", "tags", ("entity_f1",), lambda split: [], labels=labels)
    rows = []
    for n in range(6):
        words = (*text(n, 2 + n).split(), "bakdel")  # the last one in several pieces
        rows.append(Example(str(n), (), tuple(labels[(n + k) % 5] for k in range(len(words))), words=words))
    learner, batch = prepared(bert, task, rows, length=19)
    tags = batch.labels["tag_BT"]
    real = batch.inputs.mask_BT
    assert real is not None and 0 < (tags >= 0).sum() < real.sum() - 2 * len(rows)
    model = theirs(learner, bert, tmp_path / "model", num_labels=5)
    output = model(**told(batch), labels=tags)
    logits, loss = learned(learner, batch)
    close(logits[real], output.logits[real])
    close(loss, output.loss)
    output.loss.backward()
    same_gradients(learner, bert, model, tmp_path / "gradients")


@pytest.mark.parametrize("options", [(3, 3, 3, 3), (2, 4, 1, 3)], ids=["as many", "more or fewer"])
def test_multiple_choice(bert: Bert, tmp_path: Path, options: tuple[int, ...]) -> None:
    """Theirs takes as many options for each example: where ours have more or fewer, it is asked for them in turn."""
    task = Task("t", "choice", ("accuracy",), lambda split: [])
    rows = [
        Example(
            str(n),
            (text(n, 3 + n),),
            n % count,
            options=tuple(text(50 + 7 * n + k, 1 + 2 * k) for k in range(count)),
        )
        for n, count in enumerate(options)
    ]
    learner, batch = prepared(bert, task, rows, length=31)
    model = theirs(learner, bert, tmp_path / "model")
    logits, loss = learned(learner, batch)
    right, inputs, total = batch.labels["right_N"], told(batch), torch.zeros(())
    if len(set(options)) == 1:
        cut = {k: v.view(len(rows), options[0], -1) for k, v in inputs.items()}
        output = model(**cut, labels=right)
        close(logits[:, 0], output.logits.flatten())
        total = output.loss
    else:
        ends = np.cumsum([0, *options])
        for n, count in enumerate(options):
            own = {k: v[None, ends[n] : ends[n] + count] for k, v in inputs.items()}
            output = model(**own, labels=right[n : n + 1])
            close(logits[ends[n] : ends[n] + count, 0], output.logits[0])
            total = total + output.loss / len(rows)
    close(loss, total)
    total.backward()
    same_gradients(learner, bert, model, tmp_path / "gradients")


def test_question_answering(bert: Bert, tmp_path: Path) -> None:
    """Only the context's tokens and [CLS] compete with us, all places with them: their logits are the same, and with
    ours masked out so are loss and gradients."""
    task = Task("t", "span", ("span_f1",), lambda split: [], texts=2)
    rows = []
    for n, words in enumerate((4, 30, 17)):  # one window, several, several
        context = text(n, words).split()
        begin = len(" ".join(context[: words // 2])) + 1
        end = begin + len(" ".join(context[words // 2 : words // 2 + 2]))
        rows.append(Example(str(n), (text(40 + n, 2 + n), " ".join(context)), ((begin, end),)))
    learner, batch = prepared(bert, task, rows, length=27)
    ends, found = batch.labels["ends_B2"], batch.labels["inside_B"]
    assert found.any() and not found.all() and not ends[~found].any()
    model = theirs(learner, bert, tmp_path / "model")
    output = model(**told(batch), start_positions=ends[:, 0], end_positions=ends[:, 1])
    logits, loss = learned(learner, batch)
    real = batch.inputs.mask_BT
    assert real is not None
    both = torch.stack([output.start_logits, output.end_logits], -1)
    close(logits[real], both[real])
    competes = torch.zeros_like(real)
    for b, view in enumerate(batch.views):
        competes[b, [0, *(t for t, (start, _) in enumerate(view.spans) if start >= 0)]] = True
    assert (competes & ~real).sum() == 0 < (real & ~competes).sum()
    asked = both.masked_fill(~competes[..., None], float("-inf"))
    expected = (F.cross_entropy(asked[..., 0], ends[:, 0]) + F.cross_entropy(asked[..., 1], ends[:, 1])) / 2
    close(loss, expected)
    assert not torch.isclose(output.loss, expected, rtol=1e-3)  # the mask does something
    expected.backward()
    same_gradients(learner, bert, model, tmp_path / "gradients")
