"""GLUE's nine tasks (Wang et al. 2019): a task is one row of the table below; the diagnostic set is in diagnostic.py.

Files are read as they are published: tab-separated, without quoting, text untouched. A file named `..._subset.tsv`
stands in where the official one is absent; the task's `source` names those found.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lmcompare.errors import DataError
from lmcompare.tasks import facts
from lmcompare.tasks.facts import Facts
from lmcompare.tasks.glue_files import HUB, LABELLED, Glue, Part, find
from lmcompare.tasks.kept import at_least_one, kept, no_label
from lmcompare.text.tables import OnBadRow, Row
from lmcompare.types import Example, Label, Split, Task

SCORE = re.compile(r"[0-9]+(\.[0-9]+)?")
BEST = 5.0  # STS-B: from 0 to 5
TWO_DEVS = {
    "train": "train",
    "dev": "dev_matched",
    "dev_mismatched": "dev_mismatched",
    "test": "test_matched",
    "test_mismatched": "test_mismatched",
}
PAIR = ("sentence1", "sentence2")
NLI = ("entailment", "neutral", "contradiction")
NOT_ENTAILED = {"neutral": "not_entailment", "contradiction": "not_entailment"}
ROWS = (
    Glue(
        name="cola", folder="CoLA", sizes=(8551, 1043, 1063), texts=("sentence",), label="label",
        classes={"0": "unacceptable", "1": "acceptable"}, metrics=("matthews", "accuracy"),
        headless=("source", "label", "mark", "sentence"), fluent="acceptable", overlap={"dev": 16, "test": 19},
        license="texts of published linguistics works; research use", about="Is the sentence English?",
    ),
    Glue(
        name="sst2", folder="SST-2", sizes=(67349, 872, 1821), texts=("sentence",), label="label",
        classes={"0": "negative", "1": "positive"}, metrics=("accuracy",),
        prompt="very", label_words={"negative": "negative", "positive": "positive"},  # GPT's authors, §5
        overlap={"test": 2},
        license="none stated", about="Sentiment of a movie review's phrase.",
    ),
    Glue(
        name="mrpc", folder="MRPC", sizes=(3668, 408, 1725), texts=("#1 String", "#2 String"), label="Quality",
        stored=PAIR, classes={"0": "not_equivalent", "1": "equivalent"}, metrics=("f1", "accuracy"),
        symmetric=True, original=True, license="Microsoft Research's, research use",
        about="Do two sentences from the news say the same?",
    ),
    Glue(
        name="stsb", folder="STS-B", sizes=(5749, 1500, 1379), texts=PAIR, label="score",
        metrics=("pearson", "spearman"), symmetric=True, overlap={"dev": 11, "test": 17},
        license="scores CC BY-SA 4.0, texts under several terms",
        about="How similar are two sentences, from 0 to 5?",
    ),
    Glue(
        name="qqp", folder="QQP", sizes=(363846, 40430, 390965), texts=("question1", "question2"),
        label="is_duplicate", classes={"0": "not_duplicate", "1": "duplicate"}, metrics=("f1", "accuracy"),
        symmetric=True, license="Quora's terms, non-commercial",
        odd="in the first edition of QQP some questions are broken over two lines; --set task.on_bad_row=skip leaves "
        "those out, as the usual loaders do, and counts them",
        about="Do two Quora questions ask the same?",
    ),
    Glue(
        name="mnli", folder="MNLI", sizes=(392702, 9815, 9832, 9796, 9847), texts=PAIR, label="gold_label",
        stored=("premise", "hypothesis"), classes={name: name for name in NLI}, metrics=("accuracy",),
        files=TWO_DEVS, sheets={"test": "MNLI-m.tsv", "test_mismatched": "MNLI-mm.tsv"},
        license="OANC's, some fiction CC BY or CC BY-SA", about="Does a premise entail a hypothesis?",
    ),
    Glue(
        name="qnli", folder="QNLI", sizes=(104743, 5463, 5463), texts=("question", "sentence"), label="label",
        classes={name: name for name in ("entailment", "not_entailment")}, metrics=("accuracy",),
        license="CC BY-SA 4.0", about="Does the sentence answer the question?",
    ),
    Glue(
        name="rte", folder="RTE", sizes=(2490, 277, 3000), texts=PAIR, label="label",
        classes={name: name for name in ("entailment", "not_entailment")}, metrics=("accuracy",),
        folds=NOT_ENTAILED, license="none stated", about="Does a short text entail a sentence?",
    ),
    Glue(
        name="wnli", folder="WNLI", sizes=(635, 71, 146), texts=PAIR, label="label",
        classes={"0": "not_entailment", "1": "entailment"}, metrics=("accuracy",), license="CC BY 4.0",
        about="Is the pronoun resolved rightly? (its dev set is adversarial to its train set)",
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One of the files that GLUE's server takes."""

    file: str
    task: str
    split: Split
    words: dict[str, str]  # what the server calls each label; none: a score
    by: tuple[str, ...]  # the tasks whose runs answer it


SHEETS = tuple(
    Sheet(
        file=file, task=row.name, split=split, words={name: word for word, name in row.classes.items()},
        by=(row.name,),
    )
    for row in ROWS
    for split, file in (row.sheets or {"test": f"{row.folder}.tsv"}).items()
)  # fmt: skip


def load(
    row: Glue, part: Part, split: Split, *, limit: int | None = None, on_bad_row: OnBadRow = "error"
) -> list[Example]:
    """The examples of a split, read row by row; its first ones only, where there is a limit."""
    found = (_example(row, part, split, number, line) for number, line in enumerate(part.rows))
    return kept(found, on_bad_row=on_bad_row, limit=limit, nothing=f"{part.told}: {split} has no row")


def _example(row: Glue, part: Part, split: Split, number: int, line: Row | DataError) -> Example | DataError:
    if isinstance(line, DataError):
        return DataError(f"{line} ({row.odd})") if row.odd else line
    for column in part.texts:
        if not isinstance(line.values[column], str):  # only tables of `datasets` have such
            return part.fault(line, column, f"{line.values[column]!r} is not a text")
    texts = tuple(line.values[column] for column in part.texts)
    told = _stored if part.named else _written
    try:
        label = told(row, part, split, line) if part.label else None
    except DataError as error:
        return error
    return Example(f"{row.name}-{split}-{number}", texts, label)


def _written(row: Glue, part: Part, split: Split, line: Row) -> Label:
    """The label as it stands in a file."""
    text = line.values[part.label]
    if not row.classes:
        if SCORE.fullmatch(text) and (score := float(text)) <= BEST:
            return score
        what = f"{part.label} {text!r} is not a number from 0 to {BEST:g}; mend or remove the row"
        raise part.fault(line, part.label, what)
    if text in row.classes:
        return row.classes[text]
    what = f"{no_label(text, row.classes)} ({row.name} has {', '.join(row.classes)})"
    raise part.fault(line, part.label, what)


def _stored(row: Glue, part: Part, split: Split, line: Row) -> Label | None:
    """The label as `datasets` has it: a class by its name or its number, a score; −1 where there is none."""
    value = line.values[part.label]
    if split not in LABELLED and (value is None or value == -1):
        return None
    if not row.classes:
        if isinstance(value, int | float) and 0 <= value <= BEST:
            return round(float(value), 3)  # 32 bits there, three digits in the file
        raise part.fault(line, part.label, f"{value!r} is not a number from 0 to {BEST:g}")
    if value in row.classes.values():
        return str(value)
    if str(value) in row.classes:
        return row.classes[str(value)]
    raise part.fault(
        line, part.label, f"{value!r} is not a label ({row.name} has {', '.join(row.classes.values())})"
    )


def facts_of(row: Glue) -> Facts:
    return Facts(
        kind="classify" if row.classes else "score",
        about=row.about,
        metrics=row.metrics,
        splits=dict(zip(row.files, row.sizes, strict=True)),
        license=row.license,
        labels=tuple(row.classes.values()),
        hub=f"{HUB}:{row.name}",
        unlabelled=tuple(split for split in row.files if split not in LABELLED),
        overlap=row.overlap,
    )


def _builder(row: Glue, known: Facts) -> Callable[..., Task]:
    def build(data: Path | None, *, limit: int | None = None, on_bad_row: OnBadRow = "error") -> Task:
        at_least_one(row.name, limit)
        found = find(row, data)
        return Task(
            name=row.name,
            kind=known.kind,
            metrics=known.metrics,
            load=lambda split: load(row, found.part(split), split, limit=limit, on_bad_row=on_bad_row),
            labels=known.labels,
            texts=len(row.texts),
            symmetric=row.symmetric,
            fluent=row.fluent,
            prompt=row.prompt,
            label_words=row.label_words,
            folds=row.folds,
            splits=found.splits,
            about=known.about,
            source=found.source,
        )

    return build


for _row in ROWS:
    facts.task(_row.name, facts_of(_row))(_builder(_row, facts_of(_row)))
