"""What is odd about a task's data, in words; and the hash that stands for it in a run."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from types import MappingProxyType

from lmcompare.errors import DataError
from lmcompare.types import Example, Split, Task

# What few tasks have: absent, it leaves the hash of an example as it was before there was such a thing.
RARE = ("before", "after", "groups")
KEYS = sorted(field.name for field in fields(Example))
# What has no value where all gold labels are the same.
VALUELESS = ("matthews", "r3", "macro_f1", "pearson", "spearman")


def digest(examples: Iterable[Example]) -> str:
    """SHA-256 of the examples as canonical JSON, a line each: their order counts."""
    return digests({"": examples})[0]


def digests(splits: Mapping[Split, Iterable[Example]]) -> tuple[str, dict[Split, str]]:
    """The digest of all splits, one behind the other, and that of each."""
    whole, parts = hashlib.sha256(), dict[Split, str]()
    for split, examples in splits.items():
        part = hashlib.sha256()
        for line in _lines(examples):
            whole.update(line)
            part.update(line)
        parts[split] = part.hexdigest()
    return whole.hexdigest(), parts


def _lines(examples: Iterable[Example]) -> Iterator[bytes]:
    write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    for example in examples:
        told = {key: getattr(example, key) for key in KEYS}
        yield write({key: value for key, value in told.items() if value or key not in RARE}).encode() + b"\n"


def inspect(
    splits: Mapping[Split, list[Example]], task: Task, overlap: Mapping[Split, int] = MappingProxyType({})
) -> list[str]:
    """Warnings, one a finding. A split without a single example is an error. `overlap`: training examples that stand in
    another split as the task was published."""
    for split, examples in splits.items():
        if not examples:
            raise DataError(f"{task.source or task.name}: split {split!r} of {task.name} is empty")
    found = list[str]()
    for split, examples in splits.items():
        found += [f"{task.name}: {split}: {what}" for what in _alone(examples, task)]
    if "train" in splits:
        for split in splits:
            if split != "train":
                found += _against_train(splits["train"], splits[split], split, task, overlap.get(split))
    return found


def _alone(examples: list[Example], task: Task) -> list[str]:
    """What can be seen in one split."""
    found = list[str]()
    if len(examples) == 1:
        found.append("a single example")
    if empty := sum(_empty(example) for example in examples):
        found.append(f"{empty:,} of {len(examples):,} examples have an empty or blank text")
    seen = Counter(_key(example, task) for example in examples)
    if doubles := len(examples) - len(seen):
        found.append(f"{doubles:,} of {len(examples):,} examples repeat another one")
    same_id = len(examples) - len({example.id for example in examples})
    if same_id:
        found.append(f"{same_id:,} ids stand for more than one example")
    labels = [example.label for example in examples if example.label is not None]
    if 0 < len(labels) < len(examples):
        found.append(f"{len(examples) - len(labels):,} of {len(examples):,} examples have no label")
    if labels and task.kind in ("classify", "score") and len(set(labels)) == 1:
        kind = "one class" if task.kind == "classify" else "one score"
        none = " and ".join(name for name in task.metrics if name in VALUELESS)
        found.append(f"{kind} only ({labels[0]!r}){none and f', so no value of {none} here'}")
    return found


def _against_train(
    train: list[Example], examples: list[Example], split: Split, task: Task, published: int | None
) -> list[str]:
    found = list[str]()
    inside = {_key(example, task) for example in examples}
    # That a text is blank in both tells nothing.
    if leaked := sum(_key(example, task) in inside for example in train if not _blank(example)):
        found.append(
            f"{task.name}: {leaked:,} of {len(train):,} train examples stand in {split} with the "
            f"same text ({'leakage, as published' if leaked == published else 'leakage'})"
        )
    if task.kind in ("classify", "tags"):
        ours, theirs = _labels(train), _labels(examples)
        if theirs and (only := sorted(ours - theirs)):
            found.append(f"{task.name}: labels of train that {split} lacks: {', '.join(only)}")
        if only := sorted(theirs - ours):
            found.append(f"{task.name}: labels of {split} that train lacks: {', '.join(only)}")
    return found


def _labels(examples: list[Example]) -> set[str]:
    found = set[str]()
    for example in examples:
        if isinstance(example.label, tuple):
            found.update(map(str, example.label))
        elif example.label is not None:
            found.add(str(example.label))
    return found


def _empty(example: Example) -> bool:
    texts = (*example.texts, *example.options, *example.words)
    return not texts or not all(text.strip() for text in texts)


def _blank(example: Example) -> bool:
    return not any(text.strip() for text in (*example.texts, *example.options, *example.words))


def _key(example: Example, task: Task) -> tuple[tuple[str, ...], ...]:
    """The texts without regard to case, white space or, where the task has none, order."""
    texts = [same_text(text) for text in example.texts]
    if task.symmetric:
        texts.sort()
    return (
        tuple(texts),
        tuple(map(same_text, example.options)),
        tuple(map(same_text, example.words)),
    )


def same_text(text: str) -> str:
    """A text as it counts where texts are held against each other: without regard to case and white space."""
    return " ".join(text.casefold().split())
