"""GLUE in its official layout (Wang et al. 2019): a task is one row of the table below.

Files are read as they are published: tab-separated, without quoting, text untouched. A file named
`..._subset.tsv` stands in where the official one is absent; the task's `source` names those found.
"""

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lmcompare.errors import DataError, Skipped, UserError, nearest
from lmcompare.registry import tasks
from lmcompare.text.tables import OnBadRow, Row, Table, read_tsv
from lmcompare.types import Example, Label, Split, Task

SCORE = re.compile(r"[0-9]+(\.[0-9]+)?")
BEST = 5.0  # STS-B: from 0 to 5
ONE_DEV = {"train": "train", "dev": "dev", "test": "test"}  # split → the file's name
TWO_DEVS = {
    "train": "train",
    "dev": "dev_matched",
    "dev_mismatched": "dev_mismatched",
    "test": "test_matched",
    "test_mismatched": "test_mismatched",
}


@dataclass(frozen=True, kw_only=True)
class Glue:
    """What sets one GLUE task apart."""

    name: str
    folder: str
    texts: tuple[str, ...]  # columns
    label: str  # column; absent where a split is published without labels
    classes: Mapping[str, str] = field(default_factory=dict)  # as in the file → by name; none: a score
    metrics: tuple[str, ...]
    symmetric: bool = False
    files: Mapping[Split, str] = field(default_factory=ONE_DEV.copy)
    headless: tuple[str, ...] = ()  # the columns of train and dev, where they have no header
    fluent: str = ""  # the class of good language
    prompt: str = ""  # what may follow a text, so that the next word tells its class
    label_words: Mapping[str, str] = field(default_factory=dict)  # that word, by class
    about: str


PAIR = ("sentence1", "sentence2")
ROWS = (
    Glue(
        name="cola", folder="CoLA", texts=("sentence",), label="label",
        classes={"0": "unacceptable", "1": "acceptable"}, metrics=("matthews", "accuracy"),
        headless=("source", "label", "mark", "sentence"), fluent="acceptable",
        about="Is the sentence English?",
    ),
    Glue(
        name="sst2", folder="SST-2", texts=("sentence",), label="label",
        classes={"0": "negative", "1": "positive"}, metrics=("accuracy",),
        prompt="very", label_words={"negative": "negative", "positive": "positive"},  # GPT's authors, §5
        about="Sentiment of a movie review's phrase.",
    ),
    Glue(
        name="mrpc", folder="MRPC", texts=("#1 String", "#2 String"), label="Quality",
        classes={"0": "not_equivalent", "1": "equivalent"}, metrics=("f1", "accuracy"),
        symmetric=True, about="Do two sentences from the news say the same?",
    ),
    Glue(
        name="stsb", folder="STS-B", texts=PAIR, label="score", metrics=("pearson", "spearman"),
        symmetric=True, about="How similar are two sentences, from 0 to 5?",
    ),
    Glue(
        name="qqp", folder="QQP", texts=("question1", "question2"), label="is_duplicate",
        classes={"0": "not_duplicate", "1": "duplicate"}, metrics=("f1", "accuracy"),
        symmetric=True, about="Do two Quora questions ask the same?",
    ),
    Glue(
        name="mnli", folder="MNLI", texts=PAIR, label="gold_label",
        classes={name: name for name in ("entailment", "neutral", "contradiction")},
        metrics=("accuracy",), files=TWO_DEVS, about="Does a premise entail a hypothesis?",
    ),
    Glue(
        name="qnli", folder="QNLI", texts=("question", "sentence"), label="label",
        classes={name: name for name in ("entailment", "not_entailment")},
        metrics=("accuracy",), about="Does the sentence answer the question?",
    ),
    Glue(
        name="rte", folder="RTE", texts=PAIR, label="label",
        classes={name: name for name in ("entailment", "not_entailment")},
        metrics=("accuracy",), about="Does a short text entail a sentence?",
    ),
    Glue(
        name="wnli", folder="WNLI", texts=PAIR, label="label",
        classes={"0": "not_entailment", "1": "entailment"}, metrics=("accuracy",),
        about="Is the pronoun resolved rightly? (its dev set is adversarial to its train set)",
    ),
)  # fmt: skip


def load(
    row: Glue, folder: Path, split: Split, *, limit: int | None = None,
    on_bad_row: OnBadRow = "error",
) -> list[Example]:  # fmt: skip
    """The examples of a split; its first rows only, where there is a limit."""
    path = _file(row, folder, split)
    if path is None:
        names = [name for name in row.files if _file(row, folder, name)]
        raise DataError(
            f"{folder}: no {' or '.join(_names(row, split))}, so {row.name} has no split {split!r}"
            f" here; {nearest(split, names)}"
        )
    headless = row.headless if split in ("train", "dev") else ()
    if headless:
        table = read_tsv(path, columns=headless, header=False, on_bad_row=on_bad_row, limit=limit)
    else:
        wanted = (*row.texts, row.label) if split in ("train", "dev") else row.texts
        table = read_tsv(path, columns=wanted, on_bad_row=on_bad_row, limit=limit)
    return _examples(row, table, split, on_bad_row, 2 - bool(headless))


def _examples(row: Glue, table: Table, split: Split, on_bad_row: OnBadRow, first: int) -> list[Example]:
    found, skipped = list[Example](), list(table.skipped)
    labelled = row.label in table.columns
    for line in table.rows:
        try:
            label = _label(row, table, line) if labelled else None
        except DataError as error:
            if on_bad_row == "error":
                raise
            skipped.append(str(error))
            continue
        texts = tuple(line.values[column] for column in row.texts)
        found.append(Example(id=f"{row.name}-{split}-{line.line - first}", texts=texts, label=label))
    if not found:
        raise DataError(f"{skipped[0]} (and no row of {len(skipped):,} is good)")
    if skipped:
        warnings.warn(f"bad rows left out: {len(skipped):,}; the first: {skipped[0]}", Skipped, stacklevel=3)
    return found


def _label(row: Glue, table: Table, line: Row) -> Label:
    text = line.values[row.label]
    if not row.classes:
        if SCORE.fullmatch(text) and (score := float(text)) <= BEST:
            return score
        what = f"{row.label} {text!r} is not a number from 0 to {BEST:g}; mend or remove the row"
        raise table.fault(line, row.label, what)
    if text in row.classes:
        return row.classes[text]
    known = ", ".join(row.classes)
    close = [name for name in row.classes if name.lower() == text.strip().lower()]
    if not text:
        hint = "the label is missing"
    elif close:
        hint = f"{text!r} is not a label as it is spelled; did you mean {close[0]!r}?"
    else:
        hint = f"{text!r} is not a label"
    raise table.fault(line, row.label, f"{hint} ({row.name} has {known})")


def _names(row: Glue, split: Split) -> tuple[str, ...]:
    name = row.files.get(split, split)
    return f"{name}.tsv", f"{name}_subset.tsv"


def _file(row: Glue, folder: Path, split: Split) -> Path | None:
    found = (folder / name for name in _names(row, split))
    return next((path for path in found if split in row.files and path.is_file()), None)


def _folder(row: Glue, data: Path | None) -> Path:
    """The task's folder in the data folder, in its `glue/`, or the data folder itself."""
    if data is None:
        raise DataError(
            f"{row.name}: no data folder is set; give --data FOLDER (or LMC_DATA) where FOLDER, or "
            f"FOLDER/glue, holds {row.folder}/{row.files['train']}.tsv"
        )
    data = data.expanduser()
    looked = [data / row.folder, data / "glue" / row.folder, data / "GLUE" / row.folder]
    if data.name == row.folder:
        looked.append(data)
    for folder in looked:
        if any(_file(row, folder, split) for split in row.files):
            return folder
    raise DataError(
        f"{row.name}: no {' or '.join(_names(row, 'train'))} in {', '.join(map(str, looked))}; set "
        "--data (or LMC_DATA) to the folder that holds GLUE"
    )


def _builder(row: Glue) -> Callable[..., Task]:
    def build(data: Path | None, *, limit: int | None = None, on_bad_row: OnBadRow = "error") -> Task:
        if limit is not None and limit < 1:
            raise UserError(f"{row.name}: limit {limit} leaves no example; it must be at least 1")
        folder = _folder(row, data)
        files = {split: path.name for split in row.files if (path := _file(row, folder, split))}
        return Task(
            name=row.name,
            kind="classify" if row.classes else "score",
            metrics=row.metrics,
            load=lambda split: load(row, folder, split, limit=limit, on_bad_row=on_bad_row),
            labels=tuple(row.classes.values()),
            texts=len(row.texts),
            symmetric=row.symmetric,
            fluent=row.fluent,
            prompt=row.prompt,
            label_words=row.label_words,
            splits=tuple(files),
            about=row.about,
            source=f"{folder} ({', '.join(f'{split}: {name}' for split, name in files.items())})",
        )

    build.__doc__ = row.about
    return build


for _row in ROWS:
    tasks.register(_row.name)(_builder(_row))
