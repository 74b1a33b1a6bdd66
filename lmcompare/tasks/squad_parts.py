"""Where the questions of a set like SQuAD are: in files that were named, in those of the data folder, or in tables of
`datasets`; and what of them is held out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lmcompare import randomness
from lmcompare.errors import DataError
from lmcompare.tasks.facts import Facts
from lmcompare.tasks.stored import NAMES, Stored, stored
from lmcompare.text.questions import Question, question, questions
from lmcompare.types import Split

Found = Iterator[Question | DataError]


@dataclass(frozen=True, kw_only=True)
class Form:
    """What sets one edition apart."""

    name: str
    facts: Facts
    files: Mapping[Split, tuple[str, ...]]  # by the names of its authors, and of copies
    folders: tuple[str, ...]  # of the data folder
    tables: Mapping[Split, tuple[str, ...]] = field(default_factory=NAMES.copy)  # in `datasets`
    unanswerable: bool = False
    # The copies at hand number the training questions anew, and some alike; and a development part whose answers are
    # all blank is one without labels.
    careless: bool = False
    only: Callable[[Found], Found] = lambda found: found  # those of its questions that belong to it


@dataclass(frozen=True)
class Part:
    """Where a split is, and its questions."""

    told: str
    read: Callable[[], Found]


Parts = dict[Split, Part]


def found_parts(form: Form, data: Path | None, given: Mapping[Split, str]) -> Parts:
    """The files that were named, beside them those of the data folder, and for what these lack what `datasets` has."""
    folders = [] if data is None else list(dict.fromkeys([data, *(data / name for name in form.folders)]))
    parts = {split: _of_file(Path(path).expanduser(), form) for split, path in given.items() if path}
    lacking = [split for split in form.files if split not in parts]
    for split in lacking:
        looked = [
            folder / f"{name}{end}" for folder in folders for name in form.files[split] for end in ("", ".gz")
        ]
        if path := next((path for path in looked if path.is_file()), None):
            parts[split] = _of_file(path, form)
    if lacking := [split for split in lacking if split not in parts]:
        where = f"none in {', '.join(map(str, folders))}" if folders else "no data folder is set"
        local = (
            f"no {form.files[lacking[0]][0]} ({where}); give --data FOLDER (or LMC_DATA) that holds it, "
            f"or a file in SQuAD's form with --set task.{lacking[0]}=PATH"
        )
        held = stored(data, form.folders, form.facts.hub, what=form.name, local=local, names=form.tables)
        parts |= {split: _of_table(held, split, form) for split in held.splits if split not in parts}
        if lost := [split for split in lacking if split not in parts]:
            raise DataError(f"{form.name}: {held.told} has no split {lost[0]!r}; {local}")
    return {split: parts[split] for split in ("train", "dev", "test") if split in parts}


def _of_file(path: Path, form: Form) -> Part:
    return Part(str(path), lambda: form.only(questions(path)))


def _of_table(held: Stored, split: Split, form: Form) -> Part:
    return Part(f"{held.told} ({split})", lambda: form.only(_rows(held, split)))


def _rows(held: Stored, split: Split) -> Found:
    """Rows as the objects of a file."""
    for row in held.rows(split, ("id", "question", "context", "answers")):
        context, answers = row.values["context"], row.values["answers"]
        if not isinstance(context, str):
            yield held.fault(row, "context", f"{context!r} is no text")
            continue
        if isinstance(answers, dict):  # a list a key
            lists = [answers.get(key) or [] for key in ("text", "answer_start")]
            if len(lists[0]) != len(lists[1]):
                yield held.fault(row, "answers", f"{len(lists[0])} texts and {len(lists[1])} places")
                continue
            answers = [{"text": text, "answer_start": at} for text, at in zip(*lists, strict=True)]
        asked = {"id": row.values["id"], "question": row.values["question"]}
        told = {} if answers is None else {"answers": answers}
        yield question(asked | told, context, f"{held.told}: row {row.line}")


def told_apart(part: Part) -> Part:
    """With the number of the question behind an id that has stood before."""

    def read() -> Found:
        seen = set[str]()
        for number, item in enumerate(part.read()):
            if isinstance(item, Question):
                item = replace(item, id=f"{item.id}#{number}") if item.id in seen else item
                seen.add(item.id)
            yield item

    return Part(part.told, read)


def held_out(parts: Parts, share: float) -> Parts:
    """A share of the training contexts to choose by, drawn by their text alone; what was published for that is left to
    be answered, where there is no test part."""
    train = parts["train"]

    def side(chosen: bool) -> Part:
        where = "of the contexts" if chosen else "without these"
        return Part(f"{train.told}, {share:g} {where}", lambda: _drawn(train.read(), share, chosen))

    rest = parts.get("test", parts.get("dev"))
    return {"train": side(False), "dev": side(True), **({"test": rest} if rest else {})}


def _drawn(found: Found, share: float, chosen: bool) -> Found:
    for item in found:
        if isinstance(item, DataError):
            if not chosen:
                yield item
        elif (randomness.number("holdout", item.context) < share * 2**63) == chosen:
            yield item
