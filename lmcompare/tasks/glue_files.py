"""GLUE's files and tables as rows: the official layout, what stands in where a file of it is absent, and the same sets
as `datasets` stores them."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lmcompare.errors import DataError, nearest
from lmcompare.tasks.stored import Stored, stored
from lmcompare.text.lines import fault
from lmcompare.text.tables import Row, read_tsv, stream_tsv
from lmcompare.types import Split

HUB = "nyu-mll/glue"
ONE_DEV = {"train": "train", "dev": "dev", "test": "test"}  # split → the file's name
LABELLED = ("train", "dev", "dev_mismatched")
# What `datasets` calls the splits.
STORED = {
    "train": ("train",),
    "dev": ("validation", "validation_matched"),
    "dev_mismatched": ("validation_mismatched",),
    "test": ("test", "test_matched"),
    "test_mismatched": ("test_mismatched",),
}
# MRPC as Microsoft gives it out: GLUE's dev set is those of its train file that dev_ids.tsv names.
ORIGINAL = {
    "train": "msr_paraphrase_train.txt",
    "dev": "msr_paraphrase_train.txt",
    "test": "msr_paraphrase_test.txt",
}
IDS = ("#1 ID", "#2 ID")
DEV_IDS = "dev_ids.tsv"
INDEX = "index"  # counts the rows of a test file


@dataclass(frozen=True, kw_only=True)
class Glue:
    """What sets one GLUE task apart."""

    name: str
    folder: str
    sizes: tuple[int, ...]  # rows of each of its files, as published
    texts: tuple[str, ...]  # columns
    label: str  # column; absent where a split is published without labels
    stored: tuple[str, ...] = ()  # the columns of the texts in `datasets`, where they have other names
    classes: Mapping[str, str] = field(default_factory=dict)  # as in the file → by name; none: a score
    metrics: tuple[str, ...]
    symmetric: bool = False
    files: Mapping[Split, str] = field(default_factory=ONE_DEV.copy)
    headless: tuple[str, ...] = ()  # the columns of train and dev, where they have no header
    original: bool = False  # its texts may lie there as they were before GLUE
    fluent: str = ""  # the class of good language
    prompt: str = ""  # what may follow a text, so that the next word tells its class
    label_words: Mapping[str, str] = field(default_factory=dict)  # that word, by class
    folds: Mapping[str, str] = field(default_factory=dict)  # what a finer label comes to
    # The server's names for the answers; none: folder.tsv.
    sheets: Mapping[Split, str] = field(default_factory=dict)
    overlap: Mapping[Split, int] = field(default_factory=dict)  # of train with other splits
    odd: str = ""  # what is known to be odd about its files
    license: str
    about: str


@dataclass(frozen=True)
class Part:
    """The rows of one split, wherever it lies; a bad one comes as its error, in its place."""

    told: str
    rows: Iterator[Row | DataError]
    texts: tuple[str, ...]
    label: str  # "": none
    named: bool  # classes stand by their names, as `datasets` has them
    fault: Callable[[Row, str, str], DataError]


@dataclass(frozen=True)
class Found:
    """Where a task's data was found, which splits it has, and how one is read."""

    source: str
    splits: tuple[Split, ...]
    part: Callable[[Split], Part]


def find(row: Glue, data: Path | None) -> Found:
    """The official layout first, then what `datasets` saved, then the hub."""
    looked = [] if data is None else places(row, data.expanduser())
    for folder in looked:
        names = {split: path.name for split in row.files if (path := file_of(row, folder, split))}
        if names:
            told = f"{folder} ({', '.join(f'{split}: {name}' for split, name in names.items())})"
            return Found(told, tuple(names), functools.partial(in_files, row, folder))
    if looked:
        local = (
            f"no {' or '.join(names_of(row, 'train'))} in {', '.join(map(str, looked))}; set --data (or LMC_DATA) to "
            "the folder that holds GLUE"
        )
    else:
        local = (
            "no data folder is set; give --data FOLDER (or LMC_DATA) where FOLDER, or FOLDER/glue, holds "
            f"{row.folder}/{row.files['train']}.tsv"
        )
    folders = (row.name, row.folder, f"glue/{row.name}", f"glue/{row.folder}")
    given = data.expanduser() if data else None
    tables = stored(
        given, folders, f"{HUB}:{row.name}", what=row.name, local=local,
        names={split: STORED[split] for split in row.files},
    )  # fmt: skip
    return Found(tables.told, tables.splits, functools.partial(in_store, row, tables))


def places(row: Glue, data: Path) -> list[Path]:
    """The task's folder in the data folder, in its `glue/`, or the data folder itself."""
    looked = [data / row.folder, *(data / whole / row.folder for whole in ("glue", "GLUE", "glue_data"))]
    return [*looked, data] if data.name == row.folder else looked


def names_of(row: Glue, split: Split) -> tuple[str, ...]:
    name = row.files.get(split, split)
    return f"{name}.tsv", f"{name}_subset.tsv"


def file_of(row: Glue, folder: Path, split: Split) -> Path | None:
    """The official file, else a subset of it, else the original that it was made from."""
    if split not in row.files:
        return None
    names = list(names_of(row, split))
    if row.original and (split == "test" or (folder / DEV_IDS).is_file()):
        names.append(ORIGINAL[split])
    return next((folder / name for name in names if (folder / name).is_file()), None)


def in_files(row: Glue, folder: Path, split: Split) -> Part:
    path = file_of(row, folder, split)
    if path is None:
        names = [name for name in row.files if file_of(row, folder, name)]
        raise DataError(
            f"{folder}: no {' or '.join(names_of(row, split))}, so {row.name} has no split {split!r}"
            f" here; {nearest(split, names)}"
        )
    headless = bool(row.headless) and split in LABELLED
    if headless:
        columns, rows = stream_tsv(path, columns=row.headless, header=False)
    else:
        wanted = (*row.texts, row.label) if split in LABELLED else row.texts
        columns, rows = stream_tsv(path, columns=wanted)
    rows = nonempty(path, rows, header=not headless)
    original = path.name in ORIGINAL.values()
    if original and split != "test":
        rows = of_split(folder, rows, split)
    # Its test file has the labels that GLUE's leaves out.
    label = row.label if row.label in columns and not (original and split == "test") else ""
    if not label and path.name == names_of(row, split)[0] and INDEX in columns:
        rows = in_order(path, rows)

    def wrong(line: Row, column: str, what: str) -> DataError:
        return fault(path, *line.place(column), what)

    return Part(str(path), rows, row.texts, label, False, wrong)


def nonempty(path: Path, rows: Iterator[Row | DataError], *, header: bool) -> Iterator[Row | DataError]:
    first = next(rows, None)
    if first is None:
        what = "there is a header but no row" if header else "the file is empty"
        raise fault(path, 1 + header, 1, f"{what}; it needs at least one row")
    yield first
    yield from rows


def in_order(path: Path, rows: Iterator[Row | DataError]) -> Iterator[Row | DataError]:
    """The server knows a test example by its number alone, so a row lost or moved would put all answers beside
    their questions."""
    before = -1
    for number, line in enumerate(rows):
        if isinstance(line, DataError):
            yield line
            continue
        index = line.values[INDEX]
        if number == 0 and index.isdecimal():
            before = int(index) - 1
        if index != str(before + 1 + number):
            what = f"index {index!r} where {before + 1 + number} is next: rows are lost or stand in another order"
            yield fault(path, *line.place(INDEX), f"{what}; fetch the file again")
        else:
            yield line


def of_split(folder: Path, rows: Iterator[Row | DataError], split: Split) -> Iterator[Row | DataError]:
    """Of MRPC's original train file the rows of GLUE's train or dev set. Nobody knows where a bad row belongs: it is
    told with those of train."""
    table = read_tsv(folder / DEV_IDS, columns=IDS, header=False)
    chosen = {tuple(line.values.values()) for line in table.rows}
    for line in rows:
        if isinstance(line, DataError):
            if split == "train":
                yield line
        elif (tuple(line.values[column] for column in IDS) in chosen) == (split == "dev"):
            yield line


def in_store(row: Glue, tables: Stored, split: Split) -> Part:
    texts = row.stored or row.texts
    return Part(tables.told, tables.rows(split, (*texts, "label")), texts, "label", True, tables.fault)
