"""Questions whose answer is a piece of a context: SQuAD 1.1 (Rajpurkar et al. 2016) and 2.0 (2018), where a
question may have none; from the published files, or from any of that form.

An answer that is blank in the file is not told. To train on or to measure by it would be to make one up: in train and
dev such a question is a bad row, in a test part its label is absent.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lmcompare.errors import DataError, Skipped, UserError
from lmcompare.registry import tasks
from lmcompare.text.questions import Question, questions
from lmcompare.text.tables import OnBadRow
from lmcompare.types import Example, Split, Task


@dataclass(frozen=True, kw_only=True)
class Form:
    """What sets one edition apart."""

    name: str
    version: str  # in the names of its files
    unanswerable: bool
    metrics: tuple[str, ...]
    about: str


FORMS = (
    Form(
        name="squad", version="1.1", unanswerable=False, metrics=("span_f1", "exact_match"),
        about="Which words of a passage answer the question?",
    ),
    Form(
        name="squad2", version="2.0", unanswerable=True,
        metrics=(
            "answer_f1", "answer_match", "answerable_f1", "answerable_match", "unanswerable_match",
        ),
        about="Which words of a passage answer the question, if any does?",
    ),
)  # fmt: skip


def load(
    form: Form, path: Path, split: Split, *, limit: int | None = None, on_bad_row: OnBadRow = "error"
) -> list[Example]:
    """The examples of a split; its first questions only, where there is a limit."""
    found, skipped, seen = list[Example](), list[DataError](), set[str]()
    for question in questions(path):
        try:
            found.append(_example(form, question, split, seen))
        except DataError as error:
            if on_bad_row == "error":
                raise
            skipped.append(error)
        if len(found) == limit:
            break
    if not found:
        if skipped:
            raise DataError(f"{skipped[0]} (and no question of {len(skipped):,} is good)")
        raise DataError(f"{path}: holds no question")
    if skipped:
        warnings.warn(f"bad rows left out: {len(skipped):,}; the first: {skipped[0]}", Skipped, stacklevel=3)
    return found


def _example(form: Form, question: Question | DataError, split: Split, seen: set[str]) -> Example:
    """A question as an example; what it cannot be one for is raised. `seen` are the ids so far."""
    if isinstance(question, DataError):
        raise question
    if question.answers is None and split in ("train", "dev"):
        raise DataError(
            f"{question.where}: its answers are blank or missing, so there is nothing to learn from and nothing to "
            f"measure; give a file that tells them with --set task.{split}=PATH, or leave such questions out "
            "with --set task.on_bad_row=skip"
        )
    if question.answers == () and not form.unanswerable:
        raise DataError(
            f"{question.where}: it has no answer, and in {form.name} every question has one; take squad2"
        )
    # Predictions are told apart by the id of their question; to learn from a question needs no name.
    if split != "train" and question.id in seen:
        raise DataError(f"{question.where}: this id stands for another question already; rename one of them")
    seen.add(question.id)
    return Example(question.id, (question.text, question.context), question.answers)


def _files(form: Form, data: Path | None, given: dict[Split, str]) -> dict[Split, Path]:
    """Those that were named, and for training and development those of the data folder beside them."""
    files = {split: Path(path).expanduser() for split, path in given.items() if path}
    folders = [] if data is None else _folders(data.expanduser(), form)
    for split in ("train", "dev"):
        names = (f"{split}-v{form.version}.json", f"{split}-v{form.version}.json.gz")
        looked = [folder / name for folder in folders for name in names]
        if split not in files and (path := next((p for p in looked if p.is_file()), None)):
            files[split] = path
        if split not in files:
            where = f"none in {', '.join(map(str, folders))}" if folders else "no data folder is set"
            raise DataError(
                f"{form.name}: no {names[0]} ({where}); give --data FOLDER (or LMC_DATA) that holds it, or a "
                f"file in SQuAD's form with --set task.{split}=PATH"
            )
    return {split: files[split] for split in ("train", "dev", "test") if split in files}


def _folders(data: Path, form: Form) -> list[Path]:
    return list(dict.fromkeys([data, *(data / name for name in (form.name, "squad", "SQuAD", "qa"))]))


def _builder(form: Form) -> Callable[..., Task]:
    def build(
        data: Path | None,
        *,
        train: str = "",  # a file in SQuAD's form in the place of the published one, gzipped or not
        dev: str = "",
        test: str = "",  # its answers may be absent
        limit: int | None = None,
        on_bad_row: OnBadRow = "error",
        longest_answer: int = 30,
        n_best: int = 20,
    ) -> Task:
        if limit is not None and limit < 1:
            raise UserError(f"{form.name}: limit {limit} leaves no example; it must be at least 1")
        if min(longest_answer, n_best) < 1:
            raise UserError(f"{form.name}: longest_answer and n_best must be at least 1")
        files = _files(form, data, {"train": train, "dev": dev, "test": test})
        return Task(
            name=form.name,
            kind="span",
            metrics=form.metrics,
            load=lambda split: load(
                form, _file(form, files, split), split, limit=limit, on_bad_row=on_bad_row
            ),
            texts=2,
            unanswerable=form.unanswerable,
            longest_answer=longest_answer,
            n_best=n_best,
            splits=tuple(files),
            about=form.about,
            source=", ".join(f"{split}: {path}" for split, path in files.items()),
        )

    build.__doc__ = form.about
    return build


def _file(form: Form, files: dict[Split, Path], split: Split) -> Path:
    if split not in files:
        raise DataError(f"{form.name} has no split {split!r} here; it has {', '.join(files)}")
    return files[split]


for _form in FORMS:
    tasks.register(_form.name)(_builder(_form))
