"""Metrics of answers that are texts, as SQuAD 1.1 and 2.0 count them."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lmcompare import registry
from lmcompare.metrics.pairs import Labels, Undefined, mean, paired

PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")


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
