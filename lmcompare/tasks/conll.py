"""CoNLL-2003 (Tjong Kim Sang & De Meulder 2003) from its own files: a word a line with four columns, the entity last.

The files tag as IOB1 (B- only where two entities of a type touch); examples carry BIO, where every entity begins with
B-. The entities are the same, so conlleval's figure is.
"""

from collections.abc import Iterator
from pathlib import Path

from lmcompare.errors import DataError, UserError
from lmcompare.registry import tasks
from lmcompare.text.lines import fault, lines
from lmcompare.types import Example, Split, Task

FILES = {"train": "eng.train", "dev": "eng.testa", "test": "eng.testb"}
TYPES = ("PER", "LOC", "ORG", "MISC")
LABELS = ("O", *(f"{place}-{name}" for name in TYPES for place in "BI"))
DOCUMENT = "-DOCSTART-"


@tasks.register("conll2003")
def conll2003(data: Path | None, *, limit: int | None = None) -> Task:
    """Which words name persons, places, organizations and other things, sentence by sentence?"""
    if limit is not None and limit < 1:
        raise UserError(f"conll2003: limit {limit} leaves no example; it must be at least 1")
    folder = _folder(data)

    def load(split: Split) -> list[Example]:
        path = _file(folder, split)
        if path is None:
            raise DataError(
                f"{folder}: no {FILES.get(split, split)}, so conll2003 has no split {split!r} here"
            )
        found = [
            Example(f"conll2003-{split}-{n}", (), bio(tags), words=words)
            for n, (words, tags) in enumerate(sentences(path), 1)
        ]
        if not found:
            raise DataError(f"{path}: holds no sentence")
        return found[:limit]

    about, splits = "names in news from Reuters", tuple(s for s in FILES if _file(folder, s))
    return Task(
        "conll2003",
        "tags",
        ("entity_f1",),
        load,
        labels=LABELS,
        splits=splits,
        about=about,
        source=str(folder),
    )


def sentences(path: Path) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Words and tags; an empty line ends a sentence, and a document's line is none."""
    words: list[str] = []
    tags: list[str] = []
    for number, line in lines(path):
        columns = line.split()
        if columns and columns[0] != DOCUMENT:
            if len(columns) != 4:
                raise fault(
                    path, number, 1, f"{len(columns)} columns; word, part of speech, chunk and entity are 4"
                )
            tag = columns[3]
            if tag != "O" and (tag[:2] not in ("B-", "I-") or tag[2:] not in TYPES):
                raise fault(path, number, line.rindex(tag) + 1, f"{tag!r} is no tag of {', '.join(TYPES)}")
            words.append(columns[0])
            tags.append(tag)
        elif words:
            yield tuple(words), tuple(tags)
            words, tags = [], []
    if words:
        yield tuple(words), tuple(tags)


def bio(tags: tuple[str, ...]) -> tuple[str, ...]:
    """IOB1, or BIO as it is, as BIO."""
    before = ("O", *tags)
    return tuple(
        "B" + tag[1:] if tag[0] == "I" and last[2:] != tag[2:] else tag
        for last, tag in zip(before, tags, strict=False)
    )


def _file(folder: Path, split: Split) -> Path | None:
    names = [FILES[split], f"{FILES[split]}.gz"] if split in FILES else []
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _folder(data: Path | None) -> Path:
    if data is None:
        raise DataError(
            "conll2003: no data folder is set; give --data FOLDER (or LMC_DATA) that holds eng.train"
        )
    data = data.expanduser()
    looked = [data, data / "conll2003", data / "ner" / "conll2003"]
    for folder in looked:
        if _file(folder, "train"):
            return folder
    raise DataError(f"conll2003: no eng.train in {', '.join(map(str, looked))}; set --data (or LMC_DATA)")
