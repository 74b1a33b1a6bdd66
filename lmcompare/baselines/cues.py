"""What the bag of words sees: rows of cues for texts, options and words, and the table they fill.

A row is two lists: cues that are there or not, by name, and a fixed number of measures.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from lmcompare.types import Example, Task

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Row = tuple[list[str], list[float]]

WORD = re.compile(r"\w+|[^\w\s]")
ASKING = ("who", "whom", "whose", "when", "where", "why", "which", "what", "how")


def text_row(task: Task, example: Example, ngrams: int) -> Row:
    """One text: its words. Two: what they share and what only one has, and how much that is."""
    bags = [grams(text, ngrams) for text in example.texts]
    if len(bags) == 1:
        return bags[0], []
    a, b = (dict.fromkeys(bag) for bag in bags)
    shared = [f"both {w}" for w in a if w in b]
    left, right = ("one", "one") if task.symmetric else ("first", "second")
    cues = [f"{left} {w}" for w in a if w not in b] + [f"{right} {w}" for w in b if w not in a]
    first, second = overlap(example.texts[0], example.texts[1])
    if task.symmetric:
        first, second = symmetric(first, second)
    return [*shared, *cues], [*first, *second]


def symmetric(first: list[float], second: list[float]) -> tuple[list[float], list[float]]:
    """The same measures, whichever text came first."""
    return [min(x, y) for x, y in zip(first, second, strict=True)], [
        max(x, y) for x, y in zip(first, second, strict=True)
    ]


def option_rows(example: Example, ngrams: int) -> list[Row]:
    """One row an option: its words, those it shares with the context, and how much that is."""
    context = set(grams(" ".join(example.texts), ngrams))
    rows = []
    for option in example.options:
        bag = dict.fromkeys(grams(option, ngrams))
        cues = [*bag, *(f"both {w}" for w in bag if w in context)]
        inside, back = overlap(option, " ".join(example.texts))
        rows.append((cues, [*inside, *back]))
    return rows


def tag_rows(words: Sequence[str]) -> list[Row]:
    """One row a word: itself, its ends and shape, and its neighbors."""
    lower = ["<<", "<", *(w.lower() for w in words), ">", ">>"]
    shapes = ["<", *(shape(w) for w in words), ">"]
    rows: list[Row] = []
    for i, word in enumerate(words):
        before2, before, here, after, after2 = lower[i : i + 5]
        cues = [f"w {here}", f"W {word}", f"-1 {before}", f"+1 {after}", f"-2 {before2}"]
        cues += [f"+2 {after2}", f"-1,w {before} {here}", f"w,+1 {here} {after}"]
        cues += [f"end {here[-n:]}" for n in (2, 3, 4)] + [f"start {here[:n]}" for n in (2, 3, 4)]
        cues += [f"shape {shapes[i + 1]}", f"shapes {' '.join(shapes[i : i + 3])}"]
        cues += [f"-1 shape {shapes[i]}", f"+1 shape {shapes[i + 2]}"]
        rows.append((cues, []))
    return rows


def span_rows(question: str, words: Sequence[str]) -> list[Row]:
    """One row a word of the context: what was asked, the word, and the question's words near it."""
    asked = [w.lower() for w in WORD.findall(question)]
    at = next((i for i, w in enumerate(asked) if w in ASKING), len(asked))
    # "how many" and "how long" ask for different things
    kind = " ".join(asked[at : at + 2] if asked[at : at + 1] == ["how"] else asked[at : at + 1])
    content = {w for w in asked if len(w) > 3 and w not in ASKING}
    lower = ["<<", "<", *(w.lower() for w in words), ">", ">>"]
    shapes = ["<", *(shape(w) for w in words), ">"]
    hits = np.array([w in content for w in lower[2:-2]], float)
    total = np.concatenate([[0.0], np.cumsum(hits)])
    rows: list[Row] = []
    for i in range(len(words)):
        before2, before, here, after, after2 = lower[i : i + 5]
        cues = [f"w {here}", f"-1 {before}", f"+1 {after}", f"{kind}|w {here}"]
        cues += [f"{kind}|-1 {before}", f"{kind}|+1 {after}", f"{kind}|shape {shapes[i + 1]}"]
        cues += [f"{kind}|shapes {' '.join(shapes[i : i + 3])}", f"-2 {before2}", f"+2 {after2}"]
        cues += [f"asked {n}" for n in range(-2, 3) if lower[i + 2 + n] in content]
        near = [near_share(total, i, width) for width in (3, 8, 20)]
        rows.append((cues, near))
    return rows


def near_share(total: np.ndarray, place: int, width: int) -> float:
    """The share of the question's words in the context that stand at most `width` words away."""
    low, high = max(0, place - width), min(len(total) - 1, place + width + 1)
    return float((total[high] - total[low]) / (total[-1] or 1))


def grams(text: str, longest: int) -> list[str]:
    """The words, lower case, and the runs of up to `longest` of them."""
    words = [w.lower() for w in WORD.findall(text)]
    return [" ".join(words[i : i + n]) for n in range(1, longest + 1)
            for i in range(len(words) - n + 1)]  # fmt: skip


def overlap(a: str, b: str) -> tuple[list[float], list[float]]:
    """How much of one text is in the other, by words, pairs of words and numbers; both ways."""
    first: list[float] = []
    second: list[float] = []
    bags = [WORD.findall(text.lower()) for text in (a, b)]
    pairs = [list(pairwise(bag)) for bag in bags]
    numbers = [[w for w in bag if w[0].isdigit()] for bag in bags]
    for x, y in (map(set, bags), map(set, pairs), map(set, numbers)):
        shared = len(x & y)
        first.append(shared / len(x) if x else 1.0)
        second.append(shared / len(y) if y else 1.0)
    first.append(float(np.log1p(len(bags[0]))))
    second.append(float(np.log1p(len(bags[1]))))
    return first, second


def shape(word: str) -> str:
    """Xx0-: capitals, small letters, digits and signs, each run told once."""
    kinds = ("X" if c.isupper() else "x" if c.isalpha() else "0" if c.isdigit() else c for c in word)
    told = ""
    for c in kinds:
        told += "" if told.endswith(c) else c
    return told


class Table:
    """Columns for the cues that training rows name; others are not seen later.

    A cue needs to be in `least` training rows. `weigh` makes a rare cue count more (by the log of
    how rare it is) and every row as long as any other. The measures stand in columns of their own,
    on the scale of the training rows.
    """

    def __init__(self, *, weigh: bool, least: int = 1) -> None:
        self.weigh, self.least = weigh, least
        self.columns: dict[str, int] = {}

    def fit(self, rows: Iterable[Row]) -> "csr_matrix":
        rows = list(rows)
        seen = Counter(cue for cues, _ in rows for cue in dict.fromkeys(cues))
        counts = {cue: seen[cue] for cue in sorted(seen) if seen[cue] >= self.least}
        self.columns = {cue: i for i, cue in enumerate(counts)}
        held = np.array(list(counts.values()), float)
        self.weights = np.log((1 + len(rows)) / (1 + held)) + 1
        measures = np.array([row[1] for row in rows], float)
        self.middle, spread = measures.mean(0), measures.std(0)
        self.spread = np.where(spread > 0, spread, 1.0)
        return self.transform(rows)

    def transform(self, rows: Iterable[Row]) -> "csr_matrix":
        from scipy import sparse

        places, ends = array("q"), array("q", [0])
        measures = []
        for cues, told in rows:
            places.extend(sorted({self.columns[cue] for cue in cues if cue in self.columns}))
            ends.append(len(places))
            measures.append(told)
        indices, starts = np.array(places), np.array(ends)
        values = np.ones(len(indices))
        if self.weigh:
            values = self.weights[indices]
            length = np.sqrt(np.add.reduceat(np.append(values**2, 0.0), starts[:-1]))
            lengths = np.diff(starts)
            values = values / np.repeat(length, lengths)
        size = (len(starts) - 1, len(self.columns))
        words = sparse.csr_matrix((values, indices, starts), shape=size)
        if not len(self.middle):
            return words
        told_all = np.array(measures, float).reshape(-1, len(self.middle))
        scaled = (told_all - self.middle) / self.spread
        return sparse.hstack([words, sparse.csr_matrix(scaled)], format="csr")
