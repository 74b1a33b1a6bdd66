"""Metrics: gold and predicted labels to one number, or the reason why there is none.

All lie in [0, 1], correlations in [−1, 1]. Where a figure would rest on a division by nothing, the
metric raises `Undefined`: a made-up 0.0 would look like a result.
"""

import math
import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from lmcompare import registry
from lmcompare.errors import UserError
from lmcompare.types import Kind

Labels = Sequence[str]
PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")


class Undefined(Exception):
    """This metric has no value here; the message says why."""


def evaluate(
    names: Sequence[str], gold: Sequence[Any], predicted: Sequence[Any], labels: Labels
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Every named metric, None where it is undefined; and the reasons for these."""
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name in names:
        metric = registry.metrics.get(name)
        try:
            if any(label is None for label in gold):
                raise Undefined("labels are missing")
            values[name] = metric(gold, predicted, labels)
        except Undefined as reason:
            values[name], reasons[name] = None, str(reason)
    return values, reasons


def majority(
    kind: Kind,
    metric: str,
    train_labels: Sequence[Any],
    gold: Sequence[Any],
    labels: Labels,
    *,
    options: Sequence[int] = (),
) -> float | None:
    """What a predictor reaches that never looks at its input; None where that is undefined.

    It says the most frequent class of the training part, its mean score, or O for every word. For
    choice it guesses, and `options` tells how many there are in each example; a span has no such
    predictor.
    """
    seen = [label for label in train_labels if label is not None]
    if kind == "choice":
        guess = metric == "accuracy" and bool(options)
        return math.fsum(1 / n for n in options) / len(options) if guess else None
    if kind == "span" or not seen:
        return None
    if kind == "score":
        predicted: list[Any] = [math.fsum(seen) / len(seen)] * len(gold)
    elif kind == "tags":
        tag = "O" if "O" in labels else most_frequent([t for tags in seen for t in tags], labels)
        predicted = [(tag,) * len(tags) for tags in gold]
    else:
        predicted = [most_frequent(seen, labels)] * len(gold)
    return evaluate([metric], gold, predicted, labels)[0][metric]


def most_frequent(seen: Sequence[Any], labels: Labels) -> Any:
    """A tie goes to the label that stands first in the task's own order."""
    counts = Counter(seen)
    order = {label: i for i, label in enumerate(labels)}
    return min(counts, key=lambda label: (-counts[label], order.get(label, len(order)), str(label)))


@registry.metrics.register("accuracy")
def accuracy(gold: Sequence[Any], predicted: Sequence[Any], labels: Labels) -> float:
    """Share of examples that are right; for tags, of words."""
    pairs = list(paired(gold, predicted))
    if isinstance(gold[0], tuple):
        pairs = [pair for tags, guesses in pairs for pair in paired(tags, guesses, "words")]
    return sum(label == guess for label, guess in pairs) / len(pairs)


@registry.metrics.register("f1")
def f1(gold: Sequence[str], predicted: Sequence[str], labels: Labels) -> float:
    """F1 of the second of two classes."""
    if len(labels) != 2:
        raise UserError(f"metric f1: needs two classes, found {len(labels)}; macro_f1 takes more")
    pairs = list(paired(gold, predicted))
    value = class_f1(pairs, labels[1])
    if value is None:
        raise Undefined(f"one class: no {labels[1]!r} in gold or predictions")
    return value


@registry.metrics.register("macro_f1")
def macro_f1(gold: Sequence[str], predicted: Sequence[str], labels: Labels) -> float:
    """Mean F1 of the classes that occur in gold or predictions."""
    pairs = list(paired(gold, predicted))
    values = [class_f1(pairs, label) for label in sorted({*gold, *predicted})]
    return math.fsum(value for value in values if value is not None) / len(values)


def class_f1(pairs: Sequence[tuple[str, str]], positive: str) -> float | None:
    hits = sum(label == guess == positive for label, guess in pairs)
    total = sum((label == positive) + (guess == positive) for label, guess in pairs)
    return 2 * hits / total if total else None


@registry.metrics.register("matthews")
def matthews(gold: Sequence[str], predicted: Sequence[str], labels: Labels) -> float:
    """Matthews' correlation, for two classes or more."""
    pairs = list(paired(gold, predicted))
    for side, found in (("gold labels", gold), ("predictions", predicted)):
        if len(set(found)) == 1:
            raise Undefined(f"one class: all {side} are {found[0]!r}")
    n, hits = len(pairs), sum(label == guess for label, guess in pairs)
    true, told = Counter(gold), Counter(predicted)
    # Whole numbers up to the root, so that the order of the examples cannot show.
    together = n * hits - sum(true[label] * told[label] for label in true)
    spread = n * n - sum(count * count for count in true.values())
    told_spread = n * n - sum(count * count for count in told.values())
    return together / math.sqrt(spread * told_spread)


@registry.metrics.register("pearson")
def pearson(gold: Sequence[float], predicted: Sequence[float], labels: Labels) -> float:
    """Pearson's correlation of scores."""
    x, y = scores(gold, predicted)
    return correlation(x, y)


@registry.metrics.register("spearman")
def spearman(gold: Sequence[float], predicted: Sequence[float], labels: Labels) -> float:
    """Spearman's correlation: Pearson's of the ranks, ties sharing their mean rank."""
    x, y = scores(gold, predicted)
    return correlation(ranks(x), ranks(y))


def scores(gold: Sequence[float], predicted: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Both sides as arrays that vary."""
    paired(gold, predicted)
    sides = {"gold scores": np.asarray(gold, float), "predictions": np.asarray(predicted, float)}
    for side, values in sides.items():
        if not np.isfinite(values).all():
            count = int((~np.isfinite(values)).sum())
            raise Undefined(f"{count} of the {len(values)} {side} are nan or infinite")
        if values.min() == values.max():
            raise Undefined(f"constant: all {side} are {values[0]:g}")
    x, y = sides.values()
    return x, y


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    def centered(values: np.ndarray) -> np.ndarray:
        values = values / np.abs(values).max()  # so that no square overflows or vanishes
        away = values - values.mean()
        length = float(np.linalg.norm(away))
        if length < 1e-13:  # what is left of the values is rounding
            raise Undefined("constant: the scores differ by less than rounding")
        return away / length

    return float(np.clip(centered(x) @ centered(y), -1, 1))


def ranks(values: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


@registry.metrics.register("entity_f1")
def entity_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], labels: Labels) -> float:
    """F1 of whole entities in BIO tags: borders and type must agree, as conlleval counts."""
    hits = total = 0
    for tags, guesses in paired(gold, predicted):
        paired(tags, guesses, "words")
        true, told = set(entities(tags)), set(entities(guesses))
        hits += len(true & told)
        total += len(true) + len(told)
    if not total:
        raise Undefined("no entity in gold or predictions")
    return 2 * hits / total


def entities(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """(type, first word, word after the last). An I- that continues nothing starts an entity."""
    kind, start = "", 0
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, inside = tag.partition("-")
        if tag != "O" and (prefix not in ("B", "I") or not inside):
            raise UserError(f"metric entity_f1: {tag!r} is no BIO tag; O, B-type or I-type is")
        if kind and (prefix != "I" or inside != kind):
            yield kind, start, i
            kind = ""
        if inside and not kind:
            kind, start = inside, i


@registry.metrics.register("exact_match")
def exact_match(gold: Sequence[Sequence[str]], predicted: Sequence[str], labels: Labels) -> float:
    """Share of answers equal to one of the gold answers, after SQuAD 1.1's clean-up."""
    return best_of(gold, predicted, lambda answer, guess: float(plain(answer) == plain(guess)))


@registry.metrics.register("span_f1")
def span_f1(gold: Sequence[Sequence[str]], predicted: Sequence[str], labels: Labels) -> float:
    """Mean F1 of the answer's words against the nearest gold answer, as SQuAD 1.1 counts."""
    return best_of(
        gold, predicted, lambda answer, guess: overlap(plain(answer).split(), plain(guess).split())
    )


def overlap(true: list[str], told: list[str]) -> float:
    hits = (Counter(true) & Counter(told)).total()
    return 2 * hits / (len(true) + len(told)) if hits else 0.0


def plain(text: str) -> str:
    """Lower case, no ASCII punctuation, no English articles, single spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def best_of(gold: Sequence[Sequence[str]], predicted: Sequence[str], score: Any) -> float:
    pairs = list(paired(gold, predicted))
    if bare := sum(not any(answer.strip() for answer in answers) for answers, _ in pairs):
        raise Undefined(f"{bare} of the {len(pairs)} examples have no gold answer")
    return mean(max(score(a, guess) for a in answers) for answers, guess in pairs)


@registry.metrics.register("answer_f1")
def answer_f1(gold: Sequence[Sequence[str]], predicted: Sequence[str], labels: Labels) -> float:
    """Mean F1 where a question may have no answer, as SQuAD 2.0 counts: there only the empty one is right."""
    return mean(f1_or_empty(*pair) for pair in paired(gold, predicted))


@registry.metrics.register("answer_match")
def answer_match(gold: Sequence[Sequence[str]], predicted: Sequence[str], labels: Labels) -> float:
    """Share of answers that are right where a question may have none, as SQuAD 2.0 counts."""
    return mean(match_or_empty(*pair) for pair in paired(gold, predicted))


@registry.metrics.register("answerable_f1")
def answerable_f1(gold: Sequence[Sequence[str]], predicted: Sequence[str], labels: Labels) -> float:
    """SQuAD 2.0's F1 over the questions that have an answer."""
    return mean(f1_or_empty(*pair) for pair in those(gold, predicted, answered=True))


@registry.metrics.register("answerable_match")
def answerable_match(gold: Sequence[Sequence[str]], predicted: Sequence[str], labels: Labels) -> float:
    """SQuAD 2.0's exact match over the questions that have an answer."""
    return mean(match_or_empty(*pair) for pair in those(gold, predicted, answered=True))


@registry.metrics.register("unanswerable_match")
def unanswerable_match(gold: Sequence[Sequence[str]], predicted: Sequence[str], labels: Labels) -> float:
    """Share of the questions without an answer that were left without one."""
    return mean(match_or_empty(*pair) for pair in those(gold, predicted, answered=False))


def those(gold: Sequence[Sequence[str]], predicted: Sequence[str], *, answered: bool) -> list[Any]:
    """The pairs of questions that have an answer, or of those that have none."""
    found = [pair for pair in paired(gold, predicted) if bool(pair[0]) == answered]
    if not found:
        raise Undefined("no question has an answer" if answered else "every question has an answer")
    return found


def f1_or_empty(answers: Sequence[str], guess: str) -> float:
    told = plain(guess).split()
    return max(overlap(true, told) if told else float(not true) for true in map(str.split, left_of(answers)))


def match_or_empty(answers: Sequence[str], guess: str) -> float:
    return float(plain(guess) in left_of(answers))


def left_of(answers: Sequence[str]) -> list[str]:
    """The answers after the clean-up, but for those of which nothing is left; without any, the empty one."""
    return [text for text in map(plain, answers) if text] or [""]


def mean(values: Iterable[float]) -> float:
    return math.fsum(found := list(values)) / len(found)


def paired(gold: Sequence[Any], predicted: Sequence[Any], what: str = "examples") -> Any:
    """The pairs of gold and prediction; an evaluation of nothing has no value."""
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold labels and {len(predicted)} predictions of {what}")
    if not len(gold) and what == "examples":
        raise Undefined("no examples")
    return zip(gold, predicted, strict=True)
