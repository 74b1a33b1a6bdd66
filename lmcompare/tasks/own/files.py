"""A user's files as the splits of a task: each is read once, and what they do not say themselves is found out from the
training part, and told."""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lmcompare.errors import DataError, Inferred, Skipped, UserError, nearest
from lmcompare.tasks.own import cutting, inference
from lmcompare.tasks.own.inference import Form
from lmcompare.tasks.own.reading import Reading, of_columns, of_questions, of_table
from lmcompare.text import tables
from lmcompare.text.tables import Table
from lmcompare.types import Example, Split

SHOWN = 6  # classes in a sentence
NOTABLE = 0.02  # a share that is so far from the one asked for is told as it is
BIO = ("B-", "I-")
SAY_KIND = "--kind, --text, --pair, --label (or --set task.kind=, ...)"
SAY_SPLIT = "--set task.dev=FILE, task.dev_share=, task.test_share="


@dataclass(frozen=True)
class Part:
    """The examples of a split, and what is to be said of them."""

    examples: list[Example]
    skipped: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()

    def told(self) -> list[Example]:
        if self.skipped:
            what = f"bad rows left out: {len(self.skipped):,}; the first: {self.skipped[0]}"
            warnings.warn(what, Skipped, stacklevel=4)
        for sentence in self.noted:
            warnings.warn(sentence, Inferred, stacklevel=4)
        return self.examples


class Files:
    """The files of a task. What is inferred stands in `form`, which is whole once the training file is read."""

    def __init__(
        self, asked: Form, files: Mapping[Split, Path], shares: Mapping[Split, float], *, symmetric: bool
    ) -> None:
        self.files = dict(files)
        self.form = inference.told(asked, files["train"])
        train = self._read("train")
        if not asked.labels and self.form.kind in ("classify", "tags"):
            self.form = replace(self.form, labels=ordered(_labels(train.examples)))
        if asked.unanswerable is None and self.form.kind == "span":
            self.form = replace(self.form, unanswerable=any(e.label == () for e in train.examples))
        self.parts = {"train": train}
        taken, made = self._taken_as(asked), ""
        if shares:
            kind = self.form.kind
            assert kind is not None
            where = str(files["train"])
            label = self.form.label
            found = cutting.cut(train.examples, shares, kind, symmetric=symmetric, where=where, label=label)
            self.parts = {split: Part(examples) for split, examples in found.items()}
            made = self._made(shares)
        self._check_classes()
        notes = [
            taken and f"{taken}; say otherwise with {SAY_KIND}",
            made and f"{made}; say otherwise with {SAY_SPLIT}",
            self._balance(),
        ]
        self.parts["train"] = Part(
            self.parts["train"].examples, train.skipped, tuple(f"{self.form.name}: {n}" for n in notes if n)
        )
        listed = ", ".join(f"{split}: {path}" for split, path in files.items())
        self.told = "; ".join([listed, *filter(None, (taken, made))])

    @property
    def splits(self) -> tuple[Split, ...]:
        return tuple(split for split in ("train", "dev", "test") if split in {*self.parts, *self.files})

    def load(self, split: Split) -> list[Example]:
        if split not in self.splits:
            known = nearest(split, self.splits)
            raise DataError(f"{self.form.name}: no split {split!r}; {known} (task.{split}=FILE gives one)")
        if split not in self.parts:
            self.parts[split] = self._read(split)
        return self.parts[split].told()

    def _read(self, split: Split) -> Part:
        path = self.files[split]
        reading = Reading(self.form, path, split, self.form.labels)
        if path.name.removesuffix(".gz").endswith(inference.QUESTIONS):
            return self._good(of_questions(reading), path)
        if self.form.kind == "tags" and not inference.is_table(path):
            return self._good(of_columns(reading), path)
        table = self._table(split)
        if self.form.kind is None:
            self.form = replace(self.form, kind=inference.by_labels(self.form, table))
            reading = replace(reading, form=self.form)
        return self._good(of_table(reading, table), path, table.skipped)

    def _table(self, split: Split) -> Table:
        """The rows with the columns that are needed; a test part may lack the labels."""
        form, path = self.form, self.files[split]
        needed = [name for name in (form.text, form.pair, *form.options) if name]
        if split != "test":
            needed.append(form.label)
        if form.columns:
            if strange := [name for name in needed if name not in form.columns]:
                raise UserError(f"{form.name}: no column {strange[0]!r}; {nearest(strange[0], form.columns)}")
            wanted: Sequence[str] = form.columns
        else:
            names, _ = tables.stream_table(path)
            more = [name for name in (form.label, "answer_start") if name in names]
            wanted = tuple(dict.fromkeys((*needed, *more)))
        return tables.read_table(
            path, columns=wanted, header=not form.columns, on_bad_row=form.on_bad_row, limit=form.limit
        )

    def _good(self, found: Iterable[Example | DataError], path: Path, skipped: Sequence[str] = ()) -> Part:
        """The good examples, as many as the limit lets through; a bad one stops the reading, or is left out."""
        good, bad = list[Example](), list(skipped)
        for item in found:
            if isinstance(item, Example):
                good.append(item)
                if len(good) == self.form.limit:
                    break
            elif self.form.on_bad_row == "error":
                raise item
            else:
                bad.append(str(item))
        if not good and bad:
            raise DataError(f"{bad[0]} (and no row of {len(bad):,} is good)")
        if not good:
            raise DataError(f"{path}:1:1: the file is empty; it needs at least one example")
        return Part(good, tuple(bad))

    def _taken_as(self, asked: Form) -> str:
        """What nobody said, in a sentence."""
        form = self.form
        roles = [("text", form.text), ("pair", form.pair), ("label", form.label)]
        said = {"text": asked.text, "pair": asked.pair, "label": asked.label}
        found = [f"{role} {column!r}" for role, column in roles if column and not said[role]]
        found += [f"options {', '.join(map(repr, form.options))}"] if form.options != asked.options else []
        if asked.kind is None:
            found.insert(0, f"kind {form.kind}")
        return f"inferred: {', '.join(found)}" if found else ""

    def _made(self, shares: Mapping[Split, float]) -> str:
        """How what was not split was split; of few rows, or of rows with the same texts, not quite as asked."""
        asked = {"train": 1 - sum(shares.values()), **shares}
        sizes = {split: len(self.parts[split].examples) for split in asked}
        made = {split: size / sum(sizes.values()) for split, size in sizes.items()}
        met = all(abs(made[split] - asked[split]) < NOTABLE for split in asked)
        percent = "/".join(f"{100 * share:g}" for share in asked.values())
        counts = ", ".join(f"{split} {size:,}" for split, size in sizes.items())
        if not met:
            counts += f"; {percent} % could not be met"
            percent = "/".join(f"{100 * share:.3g}" for share in made.values())
        return f"split made: {percent} % ({counts}), by content, the same with every seed"

    def _check_classes(self) -> None:
        labels = {example.label for example in self.parts["train"].examples}
        if self.form.kind == "classify" and len(labels) == 1:
            raise DataError(
                f"{self.files['train']}: one class only in train ({labels.pop()!r}), so there is nothing to learn; "
                f"is {self.form.label!r} the label (--label COLUMN)?"
            )

    def _balance(self) -> str:
        if self.form.kind != "classify":
            return ""
        counts = Counter(str(example.label) for example in self.parts["train"].examples)
        whole = counts.total()
        told = [f"{name} {count:,} ({100 * count / whole:.1f} %)" for name, count in counts.most_common()]
        if len(told) > SHOWN:
            told = [*told[: SHOWN - 2], f"{len(told) - SHOWN + 1:,} more", told[-1]]
        return f"classes of train: {', '.join(told)}"


def _labels(examples: Iterable[Example]) -> set[str]:
    found = set[str]()
    for example in examples:
        found.update(map(str, example.label) if isinstance(example.label, tuple) else [str(example.label)])
    return found


def ordered(labels: Iterable[str]) -> tuple[str, ...]:
    """Whole numbers by size; others by name, tags by what they tag, and O before all."""
    names = sorted(labels)
    if all(name.isdecimal() and name.isascii() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    if "O" in names or any(name.startswith(BIO) for name in names):
        return tuple(sorted(names, key=lambda n: (n != "O", n[2:] if n.startswith(BIO) else n, n)))
    return tuple(names)
