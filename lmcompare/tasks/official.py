"""Is a split what was published? What is kept of the published rows, in official.toml, tells it: their order, their
texts, and their texts with their labels, so that a copy that differs is named for what it is.

White space is normalized and ids are left out, so it does not matter where a copy comes from. How many rows there are
stands in the task's Facts alone; for splits without digests that is all there is to compare.
"""

import functools
import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lmcompare import registry
from lmcompare.tasks import facts
from lmcompare.types import Example, Split, Task

State = Literal["official", "part", "reordered", "relabelled", "other", "unknown"]
Verdict = tuple[State, str]  # and in words what is odd about it, where that is worth a sentence

FILE = Path(__file__).with_name("official.toml")
STOPS = 8  # parts of a split, each of which adds its rows to the digest of the order
BUCKETS = 32  # into which rows fall by their texts: so many as differ tell how many rows do, at the least
# Settings that change how a task is read or shown, and not what its published rows hold.
NEUTRAL = ("name", "limit", "on_bad_row", "holdout", "context", "longest_answer", "n_best")


@dataclass(frozen=True)
class Known:
    """What is kept of one published split."""

    texts: str  # sums over the texts of each bucket, in hexadecimal
    labelled: str  # likewise over the texts with their labels
    order: tuple[str, ...] = ()  # of the rows up to each stop; (): it was published in no order
    # Classify: rows and the sum of their texts, by class.
    classes: Mapping[str, tuple[int, str]] | None = None


@dataclass(frozen=True)
class Trace:
    """What can be compared of the rows that were read."""

    texts_N: np.ndarray
    rows_N: np.ndarray  # texts and label
    labels: list[Any]

    @classmethod
    def of(cls, examples: Sequence[Example]) -> "Trace":
        texts_N, labels_N = _numbers(map(_content, examples)), _numbers(map(_told, examples))
        return cls(texts_N, _mixed(texts_N, labels_N), [e.label for e in examples])

    def known(self, *, ordered: bool = True, classes: bool = False) -> Known:
        return Known(
            _buckets(self.texts_N, self.texts_N),
            _buckets(self.rows_N, self.texts_N),
            tuple(self.order(len(self.rows_N))) if ordered else (),
            self.classes() if classes else None,
        )

    def order(self, published: int) -> Iterator[str]:
        """Digests of the rows up to each stop in so many, as far as there are rows."""
        whole, start = hashlib.sha256(), 0
        for stop in (-(-published * part // STOPS) for part in range(1, STOPS + 1)):
            if stop > len(self.rows_N):
                return
            whole.update(self.rows_N[start:stop].tobytes())
            start = stop
            yield whole.hexdigest()[:16]

    def without_labels(self) -> str:
        """What `labelled` would be, had none of the rows a label."""
        none_N = np.broadcast_to(_numbers(iter([""])), self.texts_N.shape)
        return _buckets(_mixed(self.texts_N, none_N), self.texts_N)

    def classes(self) -> dict[str, tuple[int, str]]:
        found = {}
        for label in sorted({str(label) for label in self.labels if label is not None}):
            chosen_N = self.texts_N[[str(other) == label for other in self.labels]]
            found[label] = (len(chosen_N), f"{int(chosen_N.sum(dtype=np.uint64)):016x}")
        return found


def verdicts(
    task: Task, table: Mapping[str, Any], splits: Mapping[Split, list[Example]]
) -> dict[Split, Verdict]:
    """Of every split that was read, with the task's table of settings; of a task that is made here, nothing."""
    table = registry.tasks.meant(table)
    name = table["name"]
    told = facts.of(name)
    if told.made:
        return {}
    if not _plain(table):
        return dict.fromkeys(splits, ("unknown", ""))
    found = dict[Split, Verdict](dict.fromkeys(splits, ("unknown", "")))
    for published, rows in told.splits.items():
        # What was cut from a published split stands for it, together with what is left of it.
        parts = [split for split in splits if told.cut.get(split, split) == published]
        if not parts:
            continue
        examples = [example for split in parts for example in splits[split]]
        whole = not any(split in told.cut for split in parts)
        subset = _subset(task.source, parts)
        state, odd = compare(examples, rows, known(name).get(published), whole=whole, subset=subset)
        asked = state == "part" and table.get("limit") is not None
        found |= dict.fromkeys(parts, (state, ""))
        found[parts[0]] = state, "" if asked else odd  # one sentence is enough
    return found


def compare(
    examples: Sequence[Example],
    rows: int | None,
    kept: Known | None,
    *,
    whole: bool = True,
    subset: bool = False,
) -> Verdict:
    """One published split of so many rows. Not `whole`: it was cut and drawn from, so its order is not to be seen."""
    count = len(examples)
    if rows is None:
        return "unknown", ""
    if count < rows:
        return "part", f"{count:,} of {rows:,} rows: {_part(examples, rows, kept if whole else None, subset)}"
    if count > rows:
        return "other", f"{count:,} rows, {count - rows:,} more than were published"
    if kept is None:
        return "unknown", ""
    trace = Trace.of(examples)
    if kept.order and whole and [*trace.order(rows)] == [*kept.order]:
        return "official", ""
    now = trace.known(ordered=False, classes=kept.classes is not None)
    if now.labelled == kept.labelled:
        if kept.order and whole:
            return "reordered", "the published rows, in another order"
        return "official", ""
    if now.texts == kept.texts:
        return "relabelled", f"the published texts, but {_relabelled(trace, now, kept)}"
    # A text in another's place is missing from one bucket and too many in another, or both in the same one.
    least = -(-_differing(now.texts, kept.texts) // 2)
    many = ", and perhaps all" if least == BUCKETS // 2 < rows else ""
    return "other", f"not the published texts: at least {least:,} of {rows:,} rows differ{many}"


@functools.cache
def known(name: str) -> dict[Split, Known]:
    """What is kept of a task's splits."""
    return {split: _read(table) for split, table in _file().get(name, {}).items()}


@functools.cache
def _file() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}


def _read(table: Mapping[str, Any]) -> Known:
    classes = {
        label: (int(count), total) for label, (count, total) in
        ((label, told.split()) for label, told in table.get("classes", {}).items())
    }  # fmt: skip
    return Known(table["texts"], table["labelled"], tuple(table.get("order", ())), classes or None)


def _plain(table: Mapping[str, Any]) -> bool:
    """Whether no setting asks for other rows than the published ones."""
    schema = registry.settings(registry.tasks.get(table["name"]))
    # A share held out is put together again with what it was cut from, where the facts say that it is cut.
    free = NEUTRAL if facts.of(table["name"]).cut else tuple(key for key in NEUTRAL if key != "holdout")
    return all(key in free or value == schema[key].default for key, value in table.items())


def _subset(source: str, splits: Sequence[Split]) -> bool:
    """Whether the file is a subset by its name, as the task's source tells it."""
    return any(re.search(rf"\b{split}: [^,)]*subset", source) for split in splits)


def _part(examples: Sequence[Example], rows: int, kept: Known | None, subset: bool) -> str:
    if subset:
        return "a subset by the name of its file"
    first = [*Trace.of(examples).order(rows)] if kept and kept.order else []
    if kept and first and first[-1] == kept.order[len(first) - 1]:
        return "it begins as the published one does, so the file is cut short"
    return "the others are missing"


def _relabelled(trace: Trace, now: Known, kept: Known) -> str:
    if all(label is None for label in trace.labels):
        return "without their labels"
    if trace.without_labels() == kept.labelled:
        return "with labels, where none were published"
    if now.classes and kept.classes and (other := _renamed(now.classes, kept.classes)):
        named = ", ".join(f"{theirs!r} is called {ours!r}" for theirs, ours in other.items())
        return f"with the names of classes exchanged: {named}"
    least = buckets = _differing(now.labelled, kept.labelled)
    if now.classes and kept.classes:
        labels = now.classes.keys() | kept.classes.keys()
        counts = [now.classes.get(c, (0, ""))[0] - kept.classes.get(c, (0, ""))[0] for c in labels]
        least = max(least, sum(count for count in counts if count > 0))
    many = ", and perhaps all" if buckets == BUCKETS and least < len(trace.labels) else ""
    return f"at least {least:,} of {len(trace.labels):,} rows under another label{many}"


def _renamed(
    now: Mapping[str, tuple[int, str]], kept: Mapping[str, tuple[int, str]]
) -> dict[str, str]:  # fmt: skip
    """Which class goes by which other's name, where each is whole under one name."""
    ours = {told: label for label, told in now.items()}
    if len(ours) != len(now) or sorted(ours) != sorted(kept.values()):
        return {}
    return {label: ours[told] for label, told in kept.items() if ours[told] != label}


def _content(example: Example) -> str:
    """The texts of a row; what parts them stands in none of them."""
    parts = (*example.texts, *example.options, *example.words)
    return " ".join(" \0 ".join(parts).split())


def _told(example: Example) -> str:
    label = example.label
    if label is None or isinstance(label, str):
        return label or ""
    if not isinstance(label, tuple):
        return f"{label:.3f}"  # a score that was kept in single precision is the same score
    if label and isinstance(label[0], tuple):
        answers = (example.texts[1][start:end] for start, end in label)
        return " \0 ".join(" ".join(answer.split()) for answer in answers)
    return " ".join(label)  # type: ignore[arg-type]


def _numbers(texts: Iterator[str]) -> np.ndarray:
    """A number of 64 bits for each text."""
    digests = (
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts
    )
    return np.frombuffer(b"".join(digests), "<u8")


def _mixed(first_N: np.ndarray, second_N: np.ndarray) -> np.ndarray:
    """One number for two, as splitmix64 spreads its bits: the sums over rows are to tell pairs apart."""
    x_N = first_N ^ (second_N * np.uint64(0x9E3779B97F4A7C15))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x_N = (x_N ^ (x_N >> np.uint64(shift))) * np.uint64(factor)
    return x_N ^ (x_N >> np.uint64(31))


def _buckets(numbers_N: np.ndarray, texts_N: np.ndarray) -> str:
    """The sum of the upper halves in each bucket: the same for every order of the rows."""
    sums = np.zeros(BUCKETS, np.uint64)
    np.add.at(sums, (texts_N % np.uint64(BUCKETS)).astype(np.intp), numbers_N >> np.uint64(32))
    return "".join(f"{int(total) & 0xFFFFFFFF:08x}" for total in sums)


def _differing(one: str, other: str) -> int:
    return sum(one[place : place + 8] != other[place : place + 8] for place in range(0, len(one), 8))
