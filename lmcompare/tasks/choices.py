"""Which of several texts is right? SWAG (Zellers et al. 2018), RACE (Lai et al. 2017), the Story Cloze Test
(Mostafazadeh et al. 2016) and DREAM (Sun et al. 2019), from their published files or tables of `datasets`.

What is known stands in the context, with the question behind it where there is one, and what is asked about in the
options: `context question $ answer`, as GPT reads them (Radford et al. 2018, §3.3).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from lmcompare.errors import DataError, Missing, nearest
from lmcompare.tasks import choice_rows as rows
from lmcompare.tasks import facts
from lmcompare.tasks.choice_rows import Rows
from lmcompare.tasks.facts import Facts
from lmcompare.tasks.kept import at_least_one, kept
from lmcompare.tasks.stored import Stored, stored
from lmcompare.text.tables import OnBadRow
from lmcompare.types import Example, Split, Task

SWAG = Facts(
    kind="choice",
    about="Which of four endings goes on with what a video showed? Three were written by a model.",
    metrics=("accuracy",),
    splits={"train": 73546, "dev": 20006, "test": 20005},
    license="none stated",
    hub="allenai/swag:regular",
    unlabelled=("test",),
)
RACE = Facts(
    kind="choice",
    about="Which of four answers to a question on a passage is right? Chinese schools' English examinations.",
    metrics=("accuracy",),
    splits={"train": 87866, "dev": 4887, "test": 4934},
    license="research only, non-commercial",
    hub="ehovy/race:all",
)
STORYCLOZE = Facts(
    kind="choice",
    about="Which of two sentences ends a story of four?",
    metrics=("accuracy",),
    splits={"dev": 1871, "test": 1871},
    license="given out by its authors on request, research only",
    cut={"train": "dev", "dev": "dev"},
)
DREAM = Facts(
    kind="choice",
    about="Which of three answers to a question on a dialogue is right?",
    metrics=("accuracy",),
    splits={"train": 6116, "dev": 2040, "test": 2041},
    license="research only, non-commercial",
    hub="dataset-org/dream",
)

FILES = {"train": "train", "dev": "dev", "test": "test"}
SWAG_FILES = {**FILES, "dev": "val"}
SEED = 3535999445  # of the permutation by which GPT's authors cut the stories
LEVELS = ("middle", "high")

Read = Callable[[Split], Rows]


@dataclass(frozen=True)
class Source:
    """Where a set was found, its splits there, and how one is read."""

    told: str
    splits: tuple[Split, ...]
    read: Read


@facts.task("swag", SWAG)
def swag(data: Path | None, *, limit: int | None = None, on_bad_row: OnBadRow = "error") -> Task:
    wanted = ("sent1", "sent2", *rows.ENDINGS)

    def of_file(path: Path, split: Split) -> Rows:
        columns = wanted if split == "test" else (*wanted, "label")
        return rows.csv_rows(path, columns, rows.swag_row(split), on_bad_row)

    source = _files(data, ("swag", "SWAG", "mc/swag"), SWAG_FILES, ".csv", of_file)
    if source is None:
        held = _held("swag", SWAG, data, ("swag", "SWAG", "mc/swag"), "train.csv and val.csv")
        source = Source(
            held.told,
            held.splits,
            lambda split: rows.table_rows(held, split, wanted, "label", rows.swag_row(split)),
        )
    return _task("swag", SWAG, source, limit, on_bad_row)


@facts.task("dream", DREAM)
def dream(data: Path | None, *, limit: int | None = None, on_bad_row: OnBadRow = "error") -> Task:
    folders = ("dream", "DREAM", "mc/dream")
    source = _files(data, folders, FILES, ".json", lambda path, split: rows.dream_file(path))
    if source is None:
        held = _held("dream", DREAM, data, folders, "train.json and dev.json")
        source = Source(held.told, held.splits, lambda split: rows.dream_table(held, split))
    return _task("dream", DREAM, source, limit, on_bad_row)


@facts.task("race", RACE)
def race(
    data: Path | None,
    *,
    level: Literal["all", "middle", "high"] = "all",
    limit: int | None = None,
    on_bad_row: OnBadRow = "error",
) -> Task:
    levels = LEVELS if level == "all" else (level,)
    folders = ("RACE", "race", "mc/RACE", "mc/race")
    source = _race_folder(data, folders, levels)
    if source is None:
        held = _held("race", RACE, data, folders, "train/middle/ and train/high/")
        source = Source(held.told, held.splits, lambda split: rows.race_table(held, split, levels))
    return _task("race", RACE, source, limit, on_bad_row)


def _race_folder(data: Path | None, folders: Sequence[str], levels: Sequence[str]) -> Source | None:
    """A folder a split, in it one a level, in it a file a passage."""

    def read(folder: Path, split: Split) -> Rows:
        for level in levels:
            numbered = sorted((folder / split / level).glob("*.txt"), key=lambda p: (len(p.stem), p.stem))
            for path in numbered:
                yield from rows.race_file(path, level)

    for folder in _places(data, folders):
        splits = tuple(s for s in FILES if all((folder / s / level).is_dir() for level in levels))
        if "train" in splits:
            return Source(f"{folder} ({' and '.join(levels)})", splits, partial(read, folder))
    return None


@facts.task("storycloze", STORYCLOZE)
def storycloze(
    data: Path | None,
    *,
    edition: Literal["2016", "2018"] = "2016",  # the test part of 2018 is published without labels
    limit: int | None = None,
    on_bad_row: OnBadRow = "error",
) -> Task:
    names = {part: f"cloze_test_{part}__*{edition}*.csv" for part in ("val", "test")}
    columns = (*rows.SENTENCES, *rows.QUIZ)

    def read(folder: Path, split: Split) -> Rows:
        if split == "test":
            return rows.csv_rows(_only(folder, names["test"]), columns, rows.story_row("test"), on_bad_row)
        wanted = (*columns, "AnswerRightEnding")
        every = rows.csv_rows(_only(folder, names["val"]), wanted, rows.story_row("val"), on_bad_row)
        return _cut(list(every), dev=split == "dev")

    folders = ("storycloze", "StoryCloze", "ROCStories", "mc/storycloze")
    places = _places(data, folders)
    folder = next((place for place in places if any(place.glob(names["val"]))), None)
    if folder is None:
        told = _nowhere(places, names["val"], "which its authors give out on request")
        raise Missing(f"storycloze: {told}")
    test = ("test",) if any(folder.glob(names["test"])) else ()
    told = f"{folder}, train and dev cut from the {edition} validation part"
    return _task(
        "storycloze",
        STORYCLOZE,
        Source(told, ("train", "dev", *test), partial(read, folder)),
        limit,
        on_bad_row,
    )


def _cut(every: list[Example | DataError], *, dev: bool) -> Rows:
    """The stories were published to choose by and to be tested on, with none to train on. GPT's authors train on 1,497
    of the former and choose by 374: the same ones as here, if nothing is lacking."""
    order = np.random.RandomState(SEED).permutation(len(every))
    chosen = set(order[: len(every) // 5].tolist())
    return (item for n, item in enumerate(every) if (n in chosen) == dev)


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(f"{folder}: one file {pattern} is needed, and there is {names}")
    return found[0]


def _places(data: Path | None, folders: Sequence[str]) -> list[Path]:
    return [] if data is None else [data.expanduser(), *(data.expanduser() / name for name in folders)]


def _files(
    data: Path | None,
    folders: Sequence[str],
    names: Mapping[Split, str],
    end: str,
    read: Callable[[Path, Split], Rows],
) -> Source | None:
    """A file a split, gzipped or not; their names tell little, so training and development must both be there."""
    for folder in _places(data, folders):
        either = {
            split: (folder / f"{name}{end}", folder / f"{name}{end}.gz") for split, name in names.items()
        }
        found = {split: path for split, two in either.items() for path in two[::-1] if path.is_file()}
        if {"train", "dev"} <= set(found):
            paths = {split: found[split] for split in names if split in found}
            return Source(str(folder), tuple(paths), partial(_one_of, paths, read))
    return None


def _one_of(paths: Mapping[Split, Path], read: Callable[[Path, Split], Rows], split: Split) -> Rows:
    return read(paths[split], split)


def _held(name: str, known: Facts, data: Path | None, folders: Sequence[str], files: str) -> Stored:
    local = _nowhere(_places(data, folders), files, "or what `datasets` saved")
    return stored(data.expanduser() if data else None, folders, known.hub, what=name, local=local)


def _nowhere(places: Sequence[Path], files: str, remark: str) -> str:
    looked = f"in {', '.join(map(str, places))}" if places else "no data folder is set"
    return f"looked for {files} ({looked}): give --data FOLDER (or LMC_DATA) that holds them, {remark}"


def _task(name: str, known: Facts, source: Source, limit: int | None, on_bad_row: OnBadRow) -> Task:
    at_least_one(name, limit)

    def load(split: Split) -> list[Example]:
        if split not in source.splits:
            raise DataError(
                f"{source.told}: {name} has no split {split!r} here; {nearest(split, source.splits)}"
            )
        return kept(
            source.read(split),
            on_bad_row=on_bad_row,
            limit=limit,
            nothing=f"{source.told}: {split} holds no example",
        )

    return Task(
        name, known.kind, known.metrics, load, splits=source.splits, about=known.about, source=source.told
    )
