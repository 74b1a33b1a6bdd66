"""The words that the rooms share.

Shape letters, as in `x_BTD`: B views in a batch · N examples in a batch · T tokens · D width · L layers (the
embedding output is layer 0) · H heads · V vocabulary · C classes · W words · M masked positions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["classify", "score", "choice", "tags", "span"]
Split = str  # "train", "dev", "test", or a task's own word

# By kind: the class's name · a number · the index of the right option · a tag a word · the answers as
# (start, end) characters of the context. None where a split is published without labels.
Label = str | float | int | tuple[str, ...] | tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a task: facts only, no formatting."""

    id: str
    texts: tuple[str, ...]  # one text or two · choice: (context,) · tags: () · span: (question, context)
    label: Label | None = None
    options: tuple[str, ...] = ()  # choice: what may follow the context
    words: tuple[str, ...] = ()  # tags: the words that carry the tags
    before: tuple[str, ...] = ()  # tags: the document's words before these, where a task gives its context
    after: tuple[str, ...] = ()  # tags: and those after them
    groups: tuple[str, ...] = ()  # what it belongs to, where figures are told by group as well


@dataclass(frozen=True, slots=True)
class Task:
    """A task is data: what kind it is, what its labels and metrics are, and where its examples come from."""

    name: str
    kind: Kind
    metrics: tuple[str, ...]  # names in the metric room; the first one is the task's figure in tables
    load: Callable[[Split], list[Example]]
    labels: tuple[str, ...] = ()  # classify: class names · tags: BIO tags
    texts: int = 1  # classify, score: one text or two
    symmetric: bool = False  # two texts whose order means nothing
    fluent: str = ""  # classify: the label of the texts that are good language
    prompt: str = ""  # classify: what may follow a text, so that the next word tells its label
    label_words: Mapping[str, str] = field(default_factory=dict)  # classify: that word, by label
    folds: Mapping[str, str] = field(default_factory=dict)  # classify: what a label of a finer task comes to
    unanswerable: bool = False  # span: a question may have no answer in its context
    longest_answer: int = 30  # span: the most tokens of an answer
    n_best: int = 20  # span: how many of the likeliest answers a prediction keeps
    splits: tuple[Split, ...] = ("train", "dev", "test")
    report: Split = "dev"  # the split whose figure stands in tables
    about: str = ""
    source: str = ""  # where the data was found


@dataclass(frozen=True, slots=True)
class View:
    """One sequence of tokens as an encoder sees it. An example becomes one or more of them."""

    ids: Sequence[int]
    segments: Sequence[int]
    pool: int = 0  # the position whose vector stands for the whole view
    part: int = 0  # which of two texts this is, where a backend keeps them apart
    option: int = 0  # choice: which option
    words: Sequence[int] = ()  # tags: position of the token that speaks for each word (−1: cut off)
    bounds: Sequence[tuple[int, int]] = ()  # tags: each word's tokens, from–to; (): a word is a token
    spans: Sequence[tuple[int, int]] = ()  # span: a token's characters in the context; (−1, −1) outside it
    cut: int = 0  # tokens lost to the maximal length


Prediction = dict[str, Any]  # {"id", "label", "prediction", "scores"}: one line of predictions-<split>.jsonl
