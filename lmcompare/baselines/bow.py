"""Bag of words: linear models on word counts and simple cues, for every kind of task.

The honest floor: it knows only the words of the task's own training part. Whatever pretraining
buys has to show above it.
"""

import random
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lmcompare import registry
from lmcompare.errors import DataError, UserError
from lmcompare.types import Example, Task

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Row = tuple[list[str], list[float]]  # cues that are there or not, and a fixed number of measures
Answers = tuple[list[Any], list[list[float]]]  # predictions, and scores where the kind has them
Answer = Callable[[Sequence[Example]], Answers]

WORD = re.compile(r"\w+|[^\w\s]")
ASKING = ("who", "whom", "whose", "when", "where", "why", "which", "what", "how")
AROUND = 30  # span: words without an answer that are learned from, for each question
# Inverse regularization at strength 1: rows of length 1 (texts) need less of it than plain counts.
TEXT_C, PAIR_C, CUE_C = 10.0, 1.0, 1.0


@registry.baselines.register("bow")
def bow(task: Task, *, ngrams: int = 2, strength: float = 1.0) -> "Bow":
    """Linear models on words and runs of words; a higher strength fits the training part closer."""
    if ngrams < 1:
        raise UserError(f"baseline.ngrams: {ngrams} is below 1")
    if not strength > 0:
        raise UserError(f"baseline.strength: {strength} is not above 0")
    return Bow(task, ngrams=ngrams, strength=strength)


class Bow:
    def __init__(self, task: Task, *, ngrams: int = 2, strength: float = 1.0) -> None:
        self.task, self.ngrams, self.strength = task, ngrams, strength
        self._answer: Answer | None = None

    def fit(self, train: Sequence[Example], seed: int) -> None:
        labelled = [example for example in train if example.label is not None]
        if not labelled:
            raise DataError(f"{self.task.name}: no labelled example to learn from")
        learn = {
            "classify": learn_classes,
            "score": learn_scores,
            "choice": learn_choice,
            "tags": learn_tags,
            "span": learn_span,
        }[self.task.kind]
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):  # so that the answer does not hang on the number of cores
            self._answer = learn(self.task, labelled, self.ngrams, self.strength, seed)

    def predict(self, examples: Sequence[Example]) -> list[Any]:
        """By kind: class · number · option's index · tuple of tags · the answer's text."""
        return self._answers(examples)[0]

    def scores(self, examples: Sequence[Example]) -> list[list[float]]:
        """classify: a probability for each label · choice: for each option · others: nothing."""
        return self._answers(examples)[1]

    def _answers(self, examples: Sequence[Example]) -> Answers:
        if self._answer is None:
            raise RuntimeError("fit comes before predict")
        return self._answer(examples) if len(examples) else ([], [])


def learn_classes(
    task: Task, train: Sequence[Example], ngrams: int, strength: float, seed: int
) -> Answer:
    known = {label: i for i, label in enumerate(task.labels)}
    for example in train:
        if example.label not in known:
            raise DataError(f"{task.name}: example {example.id} has the unknown label "
                            f"{example.label!r}; known: {', '.join(task.labels)}")  # fmt: skip
    table = Table(weigh=True)
    x = table.fit(text_row(task, example, ngrams) for example in train)
    c = strength * (TEXT_C if task.texts == 1 else PAIR_C)
    found, weights, bias = classes(x, [known[example.label] for example in train], c)

    def answer(examples: Sequence[Example]) -> Answers:
        x = table.transform(text_row(task, example, ngrams) for example in examples)
        shares = np.zeros((len(examples), len(task.labels)))
        shares[:, found] = softmax(x @ weights.T + bias)
        return [task.labels[i] for i in shares.argmax(1)], shares.tolist()

    return answer


def learn_scores(
    task: Task, train: Sequence[Example], ngrams: int, strength: float, seed: int
) -> Answer:
    from sklearn.linear_model import Ridge

    table = Table(weigh=True)
    x = table.fit(text_row(task, example, ngrams) for example in train)
    y = np.array([example.label for example in train], float)
    model = Ridge(alpha=1 / strength, solver="sparse_cg").fit(x, y)

    def answer(examples: Sequence[Example]) -> Answers:
        x = table.transform(text_row(task, example, ngrams) for example in examples)
        return model.predict(x).clip(y.min(), y.max()).tolist(), []

    return answer


def learn_choice(
    task: Task, train: Sequence[Example], ngrams: int, strength: float, seed: int
) -> Answer:
    table = Table(weigh=True)
    x = table.fit(row for example in train for row in option_rows(example, ngrams))
    right = [int(i == e.label) for e in train for i in range(len(e.options))]
    found, weights, bias = classes(x, right, strength * PAIR_C)

    def answer(examples: Sequence[Example]) -> Answers:
        x = table.transform(row for example in examples for row in option_rows(example, ngrams))
        logits = (x @ weights.T + bias)[:, -1]  # the last class is "right"
        ends = np.cumsum([len(example.options) for example in examples])
        each = [softmax(part[None])[0] for part in np.split(logits, ends[:-1])]
        return [int(shares.argmax()) for shares in each], [shares.tolist() for shares in each]

    return answer


def learn_tags(
    task: Task, train: Sequence[Example], ngrams: int, strength: float, seed: int
) -> Answer:
    known = {tag: i for i, tag in enumerate(task.labels)}
    y: list[int] = []
    for example in train:
        tags = example.label
        if not isinstance(tags, tuple) or len(tags) != len(example.words):
            raise DataError(f"{task.name}: example {example.id} needs one tag a word")
        if unknown := set(tags) - set(known):
            raise DataError(f"{task.name}: example {example.id} has the unknown tag "
                            f"{min(map(str, unknown))!r}; known: {', '.join(known)}")  # fmt: skip
        y += [known[tag] for tag in tags]
    table = Table(weigh=False)
    x = table.fit(row for example in train for row in tag_rows(example.words))
    found, weights, bias = classes(x, y, strength * CUE_C)

    def answer(examples: Sequence[Example]) -> Answers:
        x = table.transform(row for example in examples for row in tag_rows(example.words))
        best = iter((x @ weights.T + bias).argmax(1).tolist())
        return [tuple(task.labels[found[next(best)]] for _ in e.words) for e in examples], []

    return answer


def learn_span(
    task: Task, train: Sequence[Example], ngrams: int, strength: float, seed: int
) -> Answer:
    chance = random.Random(seed)
    rows: list[Row] = []
    first: list[int] = []
    last: list[int] = []
    longest = 1
    for example in train:
        places = [m.span() for m in WORD.finditer(example.texts[1])]
        answers = [words_of(places, *answer) for answer in example.label]  # type: ignore[union-attr, misc]
        starts, ends = {a for a, _ in answers}, {b for _, b in answers}
        longest = max(longest, *(b - a + 1 for a, b in answers))
        all_rows = span_rows(example)
        others = [i for i in range(len(all_rows)) if i not in starts | ends]
        chosen = sorted({*chance.sample(others, min(AROUND, len(others))), *starts, *ends})
        rows += [all_rows[i] for i in chosen]
        first += [int(i in starts) for i in chosen]
        last += [int(i in ends) for i in chosen]
    table = Table(weigh=False)
    x = table.fit(rows)
    models = [classes(x, y, strength * CUE_C) for y in (first, last)]

    def answer(examples: Sequence[Example]) -> Answers:
        x = table.transform(row for example in examples for row in span_rows(example))
        start, end = ((x @ weights.T + bias)[:, -1] for _, weights, bias in models)
        texts, done = [], 0
        for example in examples:
            places = [m.span() for m in WORD.finditer(example.texts[1])]
            here = slice(done, done := done + len(places))
            texts.append(best_span(example.texts[1], places, start[here], end[here], longest))
        return texts, []

    return answer
