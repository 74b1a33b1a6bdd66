"""Questions whose answer is a piece of a context: SQuAD 1.1 (Rajpurkar et al. 2016) and 2.0 (2018), where a
question may have none, the English part of TyDi QA's gold passages (Clark et al. 2020), and of XQuAD (Artetxe et al.
2020); from the published files, any of that form, or tables of `datasets`.

An answer that is blank is not told. To train on or to measure by it would be to make one up: in train and dev such a
question is a bad row, in a test part its label is absent. Of TyDi QA there are copies whose development part is blank
from end to end: there it has no labels, and nothing is measured by it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from lmcompare.errors import DataError, UserError
from lmcompare.tasks import facts
from lmcompare.tasks.facts import Facts
from lmcompare.tasks.kept import at_least_one, kept
from lmcompare.tasks.squad_parts import Form, Found, Part, Parts, found_parts, held_out, told_apart
from lmcompare.text.questions import Question
from lmcompare.text.tables import OnBadRow
from lmcompare.types import Example, Split, Task

# Of TyDi QA's gold passages; the ids of its published files begin with the language.
OTHER_LANGUAGES = ("arabic", "bengali", "finnish", "indonesian", "korean", "russian", "swahili", "telugu")
ONE_ANSWER = ("span_f1", "exact_match")


def english(found: Found) -> Found:
    return (
        item for item in found
        if isinstance(item, DataError) or not item.id.startswith(tuple(f"{name}-" for name in OTHER_LANGUAGES))
    )  # fmt: skip


def _version(number: str) -> dict[Split, tuple[str, ...]]:
    return {split: (f"{split}-v{number}.json",) for split in ("train", "dev")}


SQUAD = Form(
    name="squad",
    facts=Facts(
        kind="span", about="Which words of a passage answer the question?", metrics=ONE_ANSWER,
        splits={"train": 87599, "dev": 10570}, license="CC BY-SA 4.0", hub="rajpurkar/squad",
    ),
    files=_version("1.1"), folders=("squad", "SQuAD", "qa"),
)  # fmt: skip
SQUAD2 = Form(
    name="squad2",
    facts=Facts(
        kind="span", about="Which words of a passage answer the question, if any does?",
        metrics=("answer_f1", "answer_match", "answerable_f1", "answerable_match", "unanswerable_match"),
        splits={"train": 130319, "dev": 11873}, license="CC BY-SA 4.0", hub="rajpurkar/squad_v2",
    ),
    files=_version("2.0"), folders=("squad2", "squad", "SQuAD", "qa"), unanswerable=True,
)  # fmt: skip
TYDIQA = Form(
    name="tydiqa",
    facts=Facts(
        kind="span", metrics=ONE_ANSWER,
        about="Which words of a Wikipedia passage answer the question? English, asked without seeing it.",
        splits={"train": 3696, "dev": 440}, license="Apache 2.0",
        hub="google-research-datasets/tydiqa:secondary_task",
    ),
    files={
        split: (f"tydiqa-goldp-v1.1-{split}.json", f"tydiqa.goldp.en.{split}.json", f"{split}.json")
        for split in ("train", "dev")
    },
    folders=("tydiqa_goldp_en", "qa/tydiqa_goldp_en", "tydiqa"), careless=True, only=english,
)  # fmt: skip
XQUAD = Form(
    name="xquad",
    facts=Facts(
        kind="span", metrics=ONE_ANSWER,
        about="SQuAD's questions that XQuAD translates, in English; to train on and choose by, the rest of SQuAD.",
        splits={"train": 87599, "dev": 10570 - 1190, "test": 1190}, license="CC BY-SA 4.0",
        hub="google/xquad:xquad.en", cut={"dev": "dev"},
    ),
    files={"test": ("xquad.en.json",)}, folders=("xquad", "xquad_en", "qa/xquad_en", "qa"),
    tables={"test": ("validation",)},
)  # fmt: skip


def around_xquad(data: Path | None, given: Mapping[Split, str]) -> tuple[Parts, DataError | None]:
    """XQuAD to be tested on, SQuAD to be trained on, and to choose by what of its development part is not in XQuAD;
    where there is no SQuAD, what is missing."""
    test = found_parts(XQUAD, data, {"test": given["test"]})
    try:
        rest = found_parts(SQUAD, data, {split: given[split] for split in ("train", "dev")})
    except DataError as error:
        return test, error

    def without() -> Found:
        tested = {item.id for item in test["test"].read() if isinstance(item, Question)}
        return (item for item in rest["dev"].read() if isinstance(item, DataError) or item.id not in tested)

    dev = Part(f"{rest['dev'].told} without XQuAD's questions", without)
    return {"train": rest["train"], "dev": dev, **test}, None


# --- what becomes of them -----------------------------------------------------------------------


def load(form: Form, part: Part, split: Split, *, limit: int | None, on_bad_row: OnBadRow) -> list[Example]:
    """The examples of a split; its first questions only, where there is a limit."""
    return kept(
        _examples(form, part, split),
        on_bad_row=on_bad_row,
        limit=limit,
        nothing=f"{part.told}: holds no question",
    )


def _examples(form: Form, part: Part, split: Split) -> Iterator[Example | DataError]:
    found: Iterable[Question | DataError] = part.read()
    blank = split == "test"
    if split == "dev" and form.careless:
        found = list(found)
        blank = all(isinstance(item, DataError) or item.answers is None for item in found)
    seen = set[str]()
    for item in found:
        try:
            yield _example(form, item, split, seen, blank)
        except DataError as error:
            yield error


def _example(form: Form, item: Question | DataError, split: Split, seen: set[str], blank: bool) -> Example:
    """A question as an example; what it cannot be one for is raised. `seen` are the ids so far, and `blank` says
    whether its answers may be."""
    if isinstance(item, DataError):
        raise item
    if item.answers is None and not blank:
        raise DataError(
            f"{item.where}: its answers are blank or missing, so there is nothing to learn from and nothing to "
            f"measure; give a file that tells them with --set task.{split}=PATH, or leave such questions out "
            "with --set task.on_bad_row=skip"
        )
    if item.answers == () and not form.unanswerable:
        raise DataError(
            f"{item.where}: it has no answer, and in {form.name} every question has one; take squad2"
        )
    # Predictions are told apart by the id of their question; to learn from a question needs no name.
    if split != "train" and item.id in seen:
        raise DataError(f"{item.where}: this id stands for another question already; rename one of them")
    seen.add(item.id)
    return Example(item.id, (item.text, item.context), item.answers)


def _builder(form: Form) -> Callable[..., Task]:
    def build(
        data: Path | None,
        *,
        train: str = "",  # a file in SQuAD's form in the place of the published one, gzipped or not
        dev: str = "",
        test: str = "",  # its answers may be absent
        holdout: float = 0.0,  # the share of the training contexts to choose by, in the place of the dev part
        limit: int | None = None,
        on_bad_row: OnBadRow = "error",
        longest_answer: int = 30,
        n_best: int = 20,
    ) -> Task:
        at_least_one(form.name, limit)
        if min(longest_answer, n_best) < 1:
            raise UserError(f"{form.name}: longest_answer and n_best must be at least 1")
        if not 0 <= holdout < 0.5:
            raise UserError(f"{form.name}: holdout {holdout:g} is no share below a half")
        folder = data.expanduser() if data else None
        given = {"train": train, "dev": dev, "test": test}
        absent: DataError | None = None
        if form is XQUAD:
            parts, absent = around_xquad(folder, given)
        else:
            parts = found_parts(form, folder, given)
        if form.careless:
            parts["train"] = told_apart(parts["train"])
        if holdout and "train" in parts:
            parts = held_out(parts, holdout)
        return Task(
            name=form.name,
            kind=form.facts.kind,
            metrics=form.facts.metrics,
            load=lambda split: load(
                form, part_of(form, parts, split, absent), split, limit=limit, on_bad_row=on_bad_row
            ),
            texts=2,
            unanswerable=form.unanswerable,
            longest_answer=longest_answer,
            n_best=n_best,
            splits=tuple(parts),
            report="test" if form is XQUAD else "dev",
            about=form.facts.about,
            source=", ".join(f"{split}: {part.told}" for split, part in parts.items()),
        )

    return build


def part_of(form: Form, parts: Parts, split: Split, absent: DataError | None) -> Part:
    if split in parts:
        return parts[split]
    if absent is not None and split in form.facts.splits:
        raise DataError(f"{form.name}: its {split} split is SQuAD's, which is not here: {absent}")
    raise DataError(f"{form.name} has no split {split!r} here; it has {', '.join(parts)}")


for _form in (SQUAD, SQUAD2, TYDIQA, XQUAD):
    facts.task(_form.name, _form.facts)(_builder(_form))
