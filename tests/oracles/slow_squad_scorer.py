"""SQuAD's figures read off their definitions, question by question and character by character: slow, and sharing no
step with lmcompare's."""

from collections.abc import Sequence

MARKS = r"""!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"""
ARTICLES = ("a", "an", "the")


def words(text: str) -> list[str]:
    """What is left of an answer: in lower case, without ASCII's marks, then without articles, cut at white space.

    An article is one that touches no letter or digit of any alphabet. What else there is (a dash, a combining accent)
    stays where it stood, even where an article beside it goes."""
    kept = [c for c in text.lower() if c not in MARKS]
    left = ""
    run = ""
    for c in [*kept, " "]:
        if c.isalnum():
            run += c
            continue
        left += " " if run in ARTICLES else run
        left += c
        run = ""
    found, word = [], ""
    for c in left + " ":
        if not c.isspace():
            word += c
        elif word:
            found.append(word)
            word = ""
    return found


def same(answer: str, told: str) -> float:
    return 1.0 if words(answer) == words(told) else 0.0


def shared_words(answer: list[str], told: list[str]) -> int:
    """How many can be struck out on both sides, one against one."""
    left, count = list(answer), 0
    for word in told:
        if word in left:
            left.remove(word)
            count += 1
    return count


def first_f1(answer: str, told: str) -> float:
    """SQuAD 1.1: without a shared word it is 0, also where neither side has any."""
    true, said = words(answer), words(told)
    count = shared_words(true, said)
    if count == 0:
        return 0.0
    precision, recall = count / len(said), count / len(true)
    return 2 * precision * recall / (precision + recall)


def second_f1(answer: str, told: str) -> float:
    """SQuAD 2.0: where one side has no word, all or nothing."""
    if not words(answer) or not words(told):
        return same(answer, told)
    return first_f1(answer, told)


def first(golds: Sequence[Sequence[str]], told: Sequence[str]) -> dict[str, float]:
    """Version 1.1: every question has an answer, and the nearest one counts."""
    pairs = list(zip(golds, told, strict=True))
    return {
        "exact_match": average([max(same(answer, said) for answer in gold) for gold, said in pairs]),
        "span_f1": average([max(first_f1(answer, said) for answer in gold) for gold, said in pairs]),
    }


def second(golds: Sequence[Sequence[str]], told: Sequence[str]) -> dict[str, float | None]:
    """Version 2.0, over all questions and over those with and without an answer; None over none at all."""
    match, f1 = [], []
    for gold, said in zip(golds, told, strict=True):
        counted = [answer for answer in gold if words(answer)] or [""]
        match.append(max(same(answer, said) for answer in counted))
        f1.append(max(second_f1(answer, said) for answer in counted))
    with_one = [n for n, gold in enumerate(golds) if gold]
    without = [n for n, gold in enumerate(golds) if not gold]
    return {
        "answer_match": average(match),
        "answer_f1": average(f1),
        "answerable_match": average([match[n] for n in with_one]) if with_one else None,
        "answerable_f1": average([f1[n] for n in with_one]) if with_one else None,
        "unanswerable_match": average([match[n] for n in without]) if without else None,
    }


def average(values: Sequence[float]) -> float:
    return sum(values) / len(values)
