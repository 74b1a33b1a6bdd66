"""A task of the user's own, without code: a file with a text and its label in each row, or a TOML file that says which
files there are and what their columns mean. Where a task's name is asked for, the path of either will do."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from lmcompare import registry
from lmcompare.errors import DataError, UserError, unknown
from lmcompare.registry import Spec
from lmcompare.tasks import facts
from lmcompare.tasks.own import description, inference
from lmcompare.tasks.own.files import Files
from lmcompare.tasks.own.inference import Form
from lmcompare.text.tables import OnBadRow
from lmcompare.types import Kind, Split, Task

# Its kind and its metrics are those of the file.
FACTS = facts.Facts(
    kind="classify", about="your own file, or a TOML file about it: --task PATH", metrics=("accuracy",), splits={},
    license="yours",
)  # fmt: skip
# What can measure a kind of task.
MEASURES: Mapping[str, tuple[str, ...]] = {
    "classify": ("accuracy", "macro_f1", "f1", "matthews"),
    "score": ("pearson", "spearman"),
    "choice": ("accuracy",),
    "tags": ("entity_f1", "accuracy"),
    "span": ("span_f1", "exact_match"),
    "maybe": ("answer_f1", "answer_match", "answerable_f1", "answerable_match", "unanswerable_match"),
}
ONLY_ASKED = ("f1", "matthews")  # the first asks which class counts, the second is undefined for one class
LARGEST_SHARE = 0.5  # of what dev or test are cut from
# Settings that say something of some kinds only.
SUITS: Mapping[str, tuple[Kind, ...]] = {
    "pair": ("classify", "score", "span"), "options": ("choice",), "first": ("choice",), "labels": ("classify", "tags"),
    "symmetric": ("classify", "score"), "fluent": ("classify",), "prompt": ("classify",), "label_words": ("classify",),
    "unanswerable": ("span",),
}  # fmt: skip


@registry.tasks.otherwise
def meant(spec: Spec) -> Spec | None:
    """A path in the place of a task's name, as a table of this task; None for any other name."""
    path = Path(spec["name"]).expanduser()
    said = {key: value for key, value in spec.items() if key != "name"}
    if path.suffix == ".toml":
        return {"name": "own", **description.read(path, own), **said}
    if not path.is_file() and not inference.is_named_so(path):
        return None
    train = str(path.absolute()) if path.is_file() else str(path)
    return {"name": "own", "called": description.legal(path), "train": train, **said}


def is_file(name: str) -> bool:
    """Whether a name is that of a file of examples, or of one that describes a task."""
    path = Path(name).expanduser()
    if name in registry.tasks.names() or not path.is_file():
        return False
    return description.looks_like_a_task(path) if path.suffix == ".toml" else inference.is_named_so(path)


@facts.task("own", FACTS)
def own(
    data: Path | None,
    *,
    called: str = "",  # the task's name; absent: the file's
    kind: Kind | None = None,  # absent: what the file tells
    train: str = "",  # files; without one for dev, it is cut from train
    dev: str = "",
    test: str = "",
    columns: tuple[str, ...] = (),  # the names of all columns, of a text table that has no header
    text: str = "",  # columns; of words and tags in columns their numbers, from 1
    pair: str = "",  # a second text · span: the context
    label: str = "",
    options: tuple[str, ...] = (),  # choice: a column each, or one with a list
    first: int = 0,  # choice: the number of the first option
    # In the order that metrics and heads take; absent: those of train, sorted.
    labels: tuple[str | int, ...] = (),
    metrics: tuple[str, ...] = (),
    symmetric: bool = False,
    fluent: str = "",
    prompt: str = "",
    label_words: dict[str, str] | None = None,
    unanswerable: bool | None = None,  # span: a question may have no answer; absent: as train has it
    longest_answer: int = 30,
    n_best: int = 20,
    dev_share: float = 0.1,  # of the rows, where dev is cut
    test_share: float = 0.0,
    limit: int | None = None,
    on_bad_row: OnBadRow = "error",
) -> Task:
    given = {
        split: _found(path, data) for split, path in (("train", train), ("dev", dev), ("test", test)) if path
    }
    if "train" not in given:
        raise DataError(
            "own: no file is given; name one with --task FILE, or one that describes it: --task TASK.toml"
        )
    asked = Form(
        name=called or description.legal(given["train"]), kind=kind, columns=columns, text=text, pair=pair, label=label,
        options=options, first=first, labels=tuple(map(str, labels)), unanswerable=unanswerable, limit=limit,
        on_bad_row=on_bad_row,
    )  # fmt: skip
    shares = _shares(asked, given, dev_share, test_share)
    files = Files(asked, given, shares, symmetric=symmetric)
    form = files.form
    facts_said = {"fluent": fluent, "prompt": prompt, "label_words": label_words, "symmetric": symmetric}
    _suits(form, facts_said)
    if strange := sorted({*(label_words or {}), *([fluent] if fluent else [])} - {*form.labels}):
        raise UserError(unknown("label", strange[0], form.labels, form.name))
    kind, either = cast(Kind, form.kind), bool(form.unanswerable)
    return Task(
        name=form.name, kind=kind, metrics=_metrics(form, metrics), load=files.load, labels=form.labels,
        texts=2 if form.pair else 1, symmetric=symmetric, fluent=fluent, prompt=prompt, label_words=label_words or {},
        unanswerable=either, longest_answer=longest_answer, n_best=n_best, splits=files.splits, about=FACTS.about,
        source=files.told,
    )  # fmt: skip


def _found(name: str, data: Path | None) -> Path:
    """A file where its path says, else in the data folder."""
    path = Path(name).expanduser()
    folder = data.expanduser() if data else None
    looked = [path, *([folder / path, folder / path.name] if folder else [])]
    # One that is nowhere says so when it is read.
    return next((place for place in looked if place.exists()), path)


def _shares(asked: Form, given: Mapping[Split, Path], dev: float, test: float) -> dict[Split, float]:
    """How much of the training file is cut off for what has no file of its own."""
    if asked.limit is not None and asked.limit < 1:
        raise UserError(f"{asked.name}: limit {asked.limit} leaves no example; it must be at least 1")
    if test and "test" in given:
        raise UserError(
            f"{asked.name}: test_share cuts a test part, and test={given['test']} is one; leave one out"
        )
    if not 0 < dev <= LARGEST_SHARE or not 0 <= test <= LARGEST_SHARE:
        raise UserError(
            f"{asked.name}: dev_share lies above 0 and test_share at 0 or above, both at {LARGEST_SHARE} or below "
            f"(they are {dev:g} and {test:g})"
        )
    shares = {} if "dev" in given else {"dev": dev}
    shares |= {"test": test} if test else {}
    if sum(shares.values()) >= 1:
        raise UserError(
            f"{asked.name}: dev_share and test_share make 1 together, and leave nothing for train"
        )
    return shares


def _suits(form: Form, more: Mapping[str, Any]) -> None:
    """Settings that say nothing of this kind of task are a mistake."""
    said = {**vars(form), **more}
    for key, kinds in SUITS.items():
        if said[key] and form.kind not in kinds:
            raise UserError(
                f"{form.name}: {key} says nothing of {form.kind}; it is for {' and '.join(kinds)}"
            )


def _metrics(form: Form, asked: tuple[str, ...]) -> tuple[str, ...]:
    kind = cast(Kind, form.kind)
    fitting = MEASURES["maybe"] if kind == "span" and form.unanswerable else MEASURES[kind]
    if kind == "tags" and any(label != "O" and label[:2] not in ("B-", "I-") for label in form.labels):
        fitting = ("accuracy",)  # no entities
    if kind == "classify" and len(form.labels) != 2:
        fitting = tuple(name for name in fitting if name != "f1")
    if kind == "classify" and "f1" in asked and "f1" not in fitting:
        count = len(form.labels)
        raise UserError(
            f"{form.name}: metric f1 needs two classes, and there are {count}; macro_f1 takes more"
        )
    for name in asked:
        if name not in fitting:
            raise UserError(unknown("metric", name, fitting, f"{form.name} ({kind})"))
    return asked or tuple(name for name in fitting if name not in ONLY_ASKED)
