"""Bag of words: linear models on word counts and simple cues, for every kind of task.

The honest floor: it knows only the words of the task's own training part. Whatever pretraining
buys has to show above it.
"""

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lmcompare import registry
from lmcompare.baselines.cues import WORD, Row, Table, option_rows, span_rows, tag_rows, text_row
from lmcompare.errors import DataError, UserError
from lmcompare.types import Example, Task

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Answers = tuple[list[Any], list[list[float]]]  # predictions, and scores where the kind has them
Answer = Callable[[Sequence[Example]], Answers]

AROUND = 30  # span: words without an answer that are learned from, for each question
USUAL = 0.9  # span: no answer is longer, in words, than this share of those learned from
# How close each kind of model fits at strength 1: the library's C, found on public dev sets.
TEXT_C, PAIR_C, CHOICE_C, CUE_C = 10.0, 2.0, 0.5, 1.0


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


def learn_classes(task: Task, train: Sequence[Example], ngrams: int, strength: float, seed: int) -> Answer:
    y = [index_of(example.label, example, task) for example in train]
    table = Table(weigh=True, least=task.texts)
    x = table.fit(text_row(task, example, ngrams) for example in train)
    c = strength * (TEXT_C if task.texts == 1 else PAIR_C)
    found, weights, bias = classes(x, y, c)

    def answer(examples: Sequence[Example]) -> Answers:
        x = table.transform(text_row(task, example, ngrams) for example in examples)
        shares = np.zeros((len(examples), len(task.labels)))
        shares[:, found] = softmax(x @ weights.T + bias)
        return [task.labels[i] for i in shares.argmax(1)], shares.tolist()

    return answer


def learn_scores(task: Task, train: Sequence[Example], ngrams: int, strength: float, seed: int) -> Answer:
    from sklearn.linear_model import Ridge

    table = Table(weigh=True, least=task.texts)
    x = table.fit(text_row(task, example, ngrams) for example in train)
    y = np.array([example.label for example in train], float)
    model = Ridge(alpha=1 / strength, solver="sparse_cg").fit(x, y)

    def answer(examples: Sequence[Example]) -> Answers:
        x = table.transform(text_row(task, example, ngrams) for example in examples)
        return model.predict(x).clip(y.min(), y.max()).tolist(), []

    return answer


def learn_choice(task: Task, train: Sequence[Example], ngrams: int, strength: float, seed: int) -> Answer:
    table = Table(weigh=True, least=2)
    x = table.fit(row for example in train for row in option_rows(example, ngrams))
    right = [int(i == e.label) for e in train for i in range(len(e.options))]
    _, weights, bias = classes(x, right, strength * CHOICE_C)

    def answer(examples: Sequence[Example]) -> Answers:
        x = table.transform(row for example in examples for row in option_rows(example, ngrams))
        logits = (x @ weights.T + bias)[:, -1]  # the last class is "right"
        ends = np.cumsum([len(example.options) for example in examples])
        each = [softmax(part[None])[0] for part in np.split(logits, ends[:-1])]
        return [int(shares.argmax()) for shares in each], [shares.tolist() for shares in each]

    return answer


def learn_tags(task: Task, train: Sequence[Example], ngrams: int, strength: float, seed: int) -> Answer:
    y: list[int] = []
    for example in train:
        tags = example.label
        if not isinstance(tags, tuple) or len(tags) != len(example.words):
            raise DataError(f"{task.name}: example {example.id} needs one tag a word")
        y += [index_of(tag, example, task) for tag in tags]
    if not y:
        raise DataError(f"{task.name}: no example of the training part has a word")
    table = Table(weigh=False, least=2)
    x = table.fit(row for example in train for row in tag_rows(example.words))
    found, weights, bias = classes(x, y, strength * CUE_C)

    def answer(examples: Sequence[Example]) -> Answers:
        x = table.transform(row for example in examples for row in tag_rows(example.words))
        best = iter((x @ weights.T + bias).argmax(1).tolist())
        return [tuple(task.labels[found[next(best)]] for _ in e.words) for e in examples], []

    return answer


def learn_span(task: Task, train: Sequence[Example], ngrams: int, strength: float, seed: int) -> Answer:
    chance = random.Random(seed)
    rows: list[Row] = []
    first: list[int] = []
    last: list[int] = []
    lengths: list[int] = []
    for example in train:
        words, places = words_at(example.texts[1])
        spans = cast(tuple[tuple[int, int], ...], example.label)
        answers = [found for s, e in spans if (found := covered(places, s, e))]
        starts, ends = {a for a, _ in answers}, {b for _, b in answers}
        lengths += [b - a + 1 for a, b in answers]
        others = sorted(set(range(len(words))) - starts - ends)
        chosen = sorted({*chance.sample(others, min(AROUND, len(others))), *starts, *ends})
        every = span_rows(example.texts[0], words)
        rows += [every[i] for i in chosen]
        first += [int(i in starts) for i in chosen]
        last += [int(i in ends) for i in chosen]
    if not rows:
        raise DataError(f"{task.name}: no context of the training part has a word")
    longest = int(np.quantile(lengths or [1], USUAL))
    table = Table(weigh=False, least=2)
    x = table.fit(rows)
    models = [classes(x, y, strength * CUE_C) for y in (first, last)]

    def answer(examples: Sequence[Example]) -> Answers:
        found = [words_at(example.texts[1]) for example in examples]
        x = table.transform(row for example, (words, _) in zip(examples, found, strict=True)
                            for row in span_rows(example.texts[0], words))  # fmt: skip
        start, end = ((x @ weights.T + bias)[:, -1] for _, weights, bias in models)
        texts, done = [], 0
        for example, (_, places) in zip(examples, found, strict=True):
            here = slice(done, done := done + len(places))
            texts.append(best_span(example.texts[1], places, start[here], end[here], longest))
        return texts, []

    return answer


def index_of(label: Any, example: Example, task: Task) -> int:
    if label not in task.labels:
        known = ", ".join(task.labels)
        raise DataError(f"{task.name}: example {example.id} has the unknown label {label!r}; known: {known}")
    return task.labels.index(label)


def words_at(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    found = list(WORD.finditer(text))
    return [m.group() for m in found], [m.span() for m in found]


def covered(places: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int] | None:
    """The first and the last word that the characters from start to end touch."""
    touched = [i for i, (s, e) in enumerate(places) if s < end and e > start]
    return (touched[0], touched[-1]) if touched else None


def best_span(
    text: str,
    places: Sequence[tuple[int, int]],
    start: np.ndarray,
    end: np.ndarray,
    longest: int,
) -> str:
    """The text of the best pair of a start and an end not before it; empty where no word is."""
    best, at = -np.inf, (0, 0)
    for extra in range(min(longest, len(places))):
        together = start[: len(places) - extra] + end[extra:]
        i = int(together.argmax())
        if together[i] > best:
            best, at = float(together[i]), (places[i][0], places[i + extra][1])
    return text[at[0] : at[1]]


def classes(x: "csr_matrix", y: Sequence[int], strength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logistic regression: the classes found, and for each its weights and its bias.

    With one class there is nothing to learn, and every answer is that class.
    """
    found = np.unique(y)
    if len(found) == 1:
        return found, np.zeros((1, x.shape[1])), np.zeros(1)
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=1000).fit(x, y)
    if len(found) == 2:  # the library tells only the second class's side
        zeros = np.zeros_like(model.coef_)
        return found, np.vstack([zeros, model.coef_]), np.append(0.0, model.intercept_)
    return found, model.coef_, model.intercept_


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)
