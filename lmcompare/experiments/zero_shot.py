"""`lmc eval --zero-shot`: what a language model answers that nobody has taught the task (Radford et al. 2018, §5).

Its probabilities of texts are made into answers in three ways: a text that is likely enough is good language; of some
words that could follow a text, the likelier one tells its label; of several options the likeliest is the right one.
"""
# ruff: noqa: TID253

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmcompare import device, evaluation, lineage, metrics, models, registry
from lmcompare.errors import DataError, ModelError, UserError
from lmcompare.experiments.task_data import TaskData, read_task
from lmcompare.experiments.transfer import EVALUATION_BATCH
from lmcompare.objectives.clm import BEFORE
from lmcompare.softmax import CELLS, ROWS
from lmcompare.transfer import output
from lmcompare.types import Example, Task, View

CHOSEN_ON = 2000  # training examples, at most, that a threshold is chosen on

Asked = tuple[list[int], list[int]]  # tokens that are given, and tokens whose probability is asked for


@dataclass(frozen=True)
class Answered:
    """Answers and scores in the order of the examples."""

    answers: list[Any]
    scores: list[Any]
    cut: int  # examples that are longer than the model's positions
    how: dict[str, Any]


def zero_shot(
    model: str, task: str, split: str | None = None, *, backend: str = "", data: Path | None = None
) -> dict[str, Any]:
    """Answer a split with a language model as it is. The result has the keys of every evaluation, and how it was
    done."""
    found = read_task({"name": task}, data)
    way = heuristic(found.task)
    split = split or found.task.report
    if split not in found.splits:
        raise UserError(f"{task}: no split {split!r}; it has {', '.join(found.task.splits)}")
    if way == "threshold" and split == "train":
        raise UserError(f"{task}: the threshold is chosen on train, so its figure there would be no test")
    lm = language_model(backend or models.family(model), model)
    answered = HEURISTICS[way](lm, found, split)
    of_run = (Path(model) / "run.json").is_file()
    facts = {"run": Path(model).resolve().name if of_run else model, "task": found.task.name, "split": split}
    how = {"heuristic": way, "backend": lm.name, "threshold": None, "chosen_on": None, "prompt": None}
    how |= {"words": None, **answered.how, "truncated": answered.cut}
    return facts | told(found, split, answered, how | {"warnings": lm.warnings})


def told(found: TaskData, split: str, answered: Answered, how: dict[str, Any]) -> dict[str, Any]:
    """The figures, and beside them that of an answer which never looks at its text."""
    task, examples = found.task, found.splits[split]
    rows = [output.row(*row) for row in zip(examples, answered.answers, answered.scores, strict=True)]
    values, undefined = evaluation.score(task, rows)
    floor = evaluation.trivial(task, found.splits["train"], examples)
    return {
        "examples": len(examples),
        "metrics": values,
        "undefined": undefined,
        "data_hashes": {split: found.hashes[split]},
        "data_state": {split: found.states[split]} if split in found.states else {},
        "warnings": found.warnings,
        "inference": None,
        "predictions": rows,
        "zero_shot": how | {"majority": {"metric": task.metrics[0], "value": floor}},
    }


def heuristic(task: Task) -> str:
    """Which of the three ways fits the task, by its own facts."""
    if task.kind == "choice":
        return "options"
    if task.label_words:
        return "words"
    if task.fluent:
        return "threshold"
    raise UserError(
        f"{task.name}: no zero-shot heuristic fits this task of kind {task.kind}; there is one for choice, for "
        "sentiment (classify, with a word for each label, as in sst2) and for acceptability (classify, with a label "
        "for good language, as in cola)"
    )


def language_model(family: str, model: str) -> Any:
    """The backend with its weights, where it is one that reads from left to right."""
    if not predicts(family):
        those = " or ".join(name for name in registry.backends.names() if predicts(name))
        raise UserError(
            f"{model}: {family} has no left-to-right language model to say how likely a text is; {those} has one"
        )
    lm = models.load(family, model)
    if tasks := lineage.taught(lineage.before({"model": model})):
        lm.warnings.append(
            f"this model was taught {', then '.join(tasks)} already, so nothing here is without training"
        )
    lm.encoder.to(device.machine("float32").device).train(False)
    return lm


def predicts(family: str) -> bool:
    """Whether a backend tells the next token from those before it."""
    return getattr(registry.backends.get(family), "left_to_right", False)


def by_threshold(lm: Any, found: TaskData, split: str) -> Answered:
    """Acceptability: good language is what has a high mean log-probability of its tokens. How high is seen from the
    training examples alone, spread evenly over the file, which may be in some order."""
    task, examples, train = found.task, found.splits[split], found.splits["train"]
    at = np.linspace(0, len(train) - 1, min(len(train), CHOSEN_ON)).round().astype(int)
    chosen_on = [train[i] for i in at]
    (known, _), (scores, cut) = (sentence_scores(lm, part) for part in (chosen_on, examples))
    threshold, value = best_threshold(task, known, [e.label for e in chosen_on])
    told = {"split": "train", "examples": len(chosen_on), "metric": task.metrics[0], "value": value}
    answers = above(task, scores, threshold)
    return Answered(answers, rounded(scores), cut, {"threshold": threshold, "chosen_on": told})


def sentence_scores(lm: Any, examples: Sequence[Example]) -> tuple[np.ndarray, int]:
    """The mean log-probability of each text's tokens, and how many texts are cut."""
    before = lm.tokenizer.encode(BEFORE)
    asked = [(before, ids) for ids in encode(lm, [e.texts[0] for e in examples])]
    totals_N, cut_N = log_probabilities(lm, asked)
    return totals_N / [len(ids) for _, ids in asked], int(cut_N.sum())


def above(task: Task, scores: np.ndarray, threshold: float) -> list[str]:
    """The label for good language, or the other one of the two."""
    (other,) = set(task.labels) - {task.fluent}
    return [task.fluent if good else other for good in (scores >= threshold).tolist()]


def best_threshold(task: Task, scores: np.ndarray, labels: Sequence[Any]) -> tuple[float, float]:
    """The threshold with the best figure, halfway between two scores; the lowest of several that are as good."""
    name, distinct = task.metrics[0], np.unique(scores)
    best: tuple[float, float] | None = None
    reason = "all its texts are equally likely"
    for threshold in ((distinct[:-1] + distinct[1:]) / 2).tolist():
        values, reasons = metrics.evaluate([name], labels, above(task, scores, threshold), task.labels)
        value, reason = values[name], reasons.get(name, "")
        if value is not None and (best is None or value > best[1]):
            best = threshold, value
    if best is None:
        raise DataError(f"{task.name}: no threshold can be chosen on train: {reason}")
    return best


def by_words(lm: Any, found: TaskData, split: str) -> Answered:
    """Sentiment: the prompt follows the text, and of the labels' words the likelier one answers; of two that are
    equally likely, that of the first label."""
    task, examples = found.task, found.splits[split]
    before, words = lm.tokenizer.encode(BEFORE), [task.label_words[label] for label in task.labels]
    pieces = [lm.tokenizer.encode(word) for word in words]
    if strange := [w for w, ids in zip(words, pieces, strict=True) if not ids or lm.tokenizer.unk_id in ids]:
        raise ModelError(f"{task.name}: the model's vocabulary cannot spell {' or '.join(strange)}")
    contexts = [before + ids for ids in encode(lm, [f"{e.texts[0]} {task.prompt}" for e in examples])]
    totals_M, cut_M = log_probabilities(lm, [(context, ids) for context in contexts for ids in pieces])
    totals_NC, cut_NC = (a.reshape(len(examples), len(words)) for a in (totals_M, cut_M))
    shares_NC = np.exp(totals_NC - np.logaddexp.reduce(totals_NC, axis=1, keepdims=True))
    answers = [task.labels[k] for k in totals_NC.argmax(1)]
    how = {"prompt": task.prompt, "words": dict(task.label_words)}
    return Answered(answers, [rounded(shares) for shares in shares_NC], int(cut_NC.any(1).sum()), how)


def by_options(lm: Any, found: TaskData, split: str) -> Answered:
    """Choice: the option whose tokens have the highest mean log-probability after the context; of several that are
    equally likely, the first."""
    examples, before = found.splits[split], lm.tokenizer.encode(BEFORE)
    contexts = [before + ids for ids in encode(lm, [e.texts[0] for e in examples])]
    options = [encode(lm, e.options) for e in examples]
    asked = [(c, ids) for c, some in zip(contexts, options, strict=True) for ids in some]
    totals_M, cut_M = log_probabilities(lm, asked)
    ends = np.cumsum([len(some) for some in options])[:-1]
    means = np.split(totals_M / [len(ids) for _, ids in asked], ends)
    answers = [int(values.argmax()) for values in means]
    return Answered(
        answers, [rounded(v) for v in means], sum(bool(c.any()) for c in np.split(cut_M, ends)), {}
    )


HEURISTICS: dict[str, Callable[[Any, TaskData, str], Answered]] = {
    "threshold": by_threshold,
    "words": by_words,
    "options": by_options,
}


def encode(lm: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text; one without any is read as something unknown."""
    return [ids or [lm.tokenizer.unk_id] for ids in lm.tokenizer.encode_many(list(texts))]


def rounded(values: np.ndarray) -> list[float]:
    return [round(value, 6) for value in values.tolist()]


@torch.no_grad()
def log_probabilities(
    lm: Any, asked: Sequence[Asked], *, size: int = EVALUATION_BATCH
) -> tuple[np.ndarray, np.ndarray]:
    """The log-probability of each answer's tokens after its context, as a sum; and whether the two together are longer
    than what the model can read at once."""
    rows = [(n, *row) for n, pair in enumerate(asked) for row in windows(*pair, lm.longest)]
    order = np.argsort([len(ids) for _, ids, _ in rows], kind="stable")
    totals_N = np.zeros(len(asked))
    for chosen in np.split(order, range(size, len(order), size)):
        batch = [rows[i] for i in chosen]
        owners = np.repeat([n for n, _, _ in batch], [count for _, _, count in batch])
        told_M = token_log_probabilities(lm, [(ids, count) for _, ids, count in batch])
        np.add.at(totals_N, owners, told_M.double().cpu().numpy())
    if not np.isfinite(totals_N).all():
        raise ModelError("the model's weights are broken: its probabilities are not numbers")
    cut_N = np.array([len(context) + len(answer) > lm.longest + 1 for context, answer in asked])
    return totals_N, cut_N


def windows(context: list[int], answer: list[int], longest: int) -> Iterator[tuple[list[int], int]]:
    """What is read, and how many of its last tokens are asked for: all of the answer at once, with as much of the
    context's end as there is room for. An answer without room is asked for in parts, each after what precedes it."""
    ids = context + answer
    step = len(answer) if len(answer) <= longest else max(1, longest // 2)
    for start in range(len(context), len(ids), step):
        end = min(start + step, len(ids))
        yield ids[max(0, end - longest - 1) : end], end - start


def token_log_probabilities(lm: Any, rows: Sequence[tuple[list[int], int]]) -> Tensor:
    """The log-probability of the last tokens of each row, `count` of them. No text holds a special token, so none
    takes a share; logits live for some positions at a time."""
    views = [View(ids[:-1], [0] * (len(ids) - 1)) for ids, _ in rows]
    where, plain_VD = lm.tied.device, lm.tied[: lm.tokenizer.plain]
    places = [
        (b, t) for b, (ids, count) in enumerate(rows) for t in range(len(ids) - 1 - count, len(ids) - 1)
    ]
    row_M, at_M = torch.tensor(places, device=where).T
    target_M = torch.tensor([i for ids, count in rows for i in ids[-count:]], device=where)
    top_MD = lm.encoder(lm.stack(views).to(where))[-1][row_M, at_M]
    part = max(ROWS, CELLS // len(plain_VD))
    told = [
        (x_PD @ plain_VD.T).float().log_softmax(-1).gather(1, target_P[:, None])[:, 0]
        for x_PD, target_P in zip(top_MD.split(part), target_M.split(part), strict=True)
    ]
    return torch.cat(told)
