"""CoNLL-2003 (Tjong Kim Sang & De Meulder 2003): from its own files, a word a line with four columns, the entity last;
from files with a word and its tag a line; or from tables of `datasets`.

The files tag as IOB1 (B- only where two entities of a type touch) or as BIO; examples carry BIO, where every entity
begins with B-. The entities are the same, so conlleval's figure is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lmcompare.errors import DataError, nearest
from lmcompare.tasks import facts
from lmcompare.tasks.facts import Facts
from lmcompare.tasks.kept import at_least_one, kept
from lmcompare.tasks.stored import Stored, stored
from lmcompare.text.lines import fault, lines
from lmcompare.text.tables import OnBadRow
from lmcompare.types import Example, Split, Task

# The names of the shared task, and those that most copies have: these tell nothing of what they hold, so training and
# development must both be there.
LAYOUTS = (
    {"train": "eng.train", "dev": "eng.testa", "test": "eng.testb"},
    {"train": "train.txt", "dev": "valid.txt", "test": "test.txt"},
)
FOLDERS = ("conll2003", "ner/conll2003", "CoNLL-2003")
TYPES = ("PER", "LOC", "ORG", "MISC")
LABELS = ("O", *(f"{place}-{name}" for name in TYPES for place in "BI"))
DOCUMENT = "-DOCSTART-"
COLUMNS = {4: "word, part of speech, chunk and entity", 2: "word and tag"}
FACTS = Facts(
    kind="tags",
    about="Which words name persons, places, organizations and other things? News from Reuters.",
    metrics=("entity_f1",),
    splits={"train": 14041, "dev": 3250, "test": 3453},
    license="Reuters text: research only, by agreement with NIST",
    labels=LABELS,
    hub="eriktks/conll2003",
    overlap={"dev": 363, "test": 309},  # scores, datelines, and names alone
)

Context = Literal["sentence", "document"]


@dataclass(frozen=True, slots=True)
class Sentence:
    words: tuple[str, ...]
    tags: tuple[str, ...]
    document: int = 0  # which one it stands in; 0: before the first border


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sentence stands in its document."""

    document: list[str]  # its words
    start: int
    end: int


@facts.task("conll2003", FACTS)
def conll2003(
    data: Path | None,
    *,
    context: Context = "sentence",  # "document": the words around a sentence are seen, too (Devlin et al. 2019, §5.3)
    limit: int | None = None,
    on_bad_row: OnBadRow = "error",
) -> Task:
    at_least_one("conll2003", limit)
    told, splits, read = _found(data)

    def load(split: Split) -> list[Example]:
        if split not in splits:
            raise DataError(f"{told}: conll2003 has no split {split!r} here; {nearest(split, splits)}")
        found = list(read(split))
        return kept(
            _examples(found, split, context, f"{told}: {split}"),
            on_bad_row=on_bad_row,
            limit=limit,
            nothing=f"{told}: {split} holds no sentence",
        )

    return Task(
        "conll2003",
        FACTS.kind,
        FACTS.metrics,
        load,
        labels=LABELS,
        splits=splits,
        about=FACTS.about,
        source=told,
    )


Read = Callable[[Split], Iterator[Sentence | DataError]]


def _found(data: Path | None) -> tuple[str, tuple[Split, ...], Read]:
    """Where it was found, its splits there, and how one is read."""
    data = data.expanduser() if data else None
    places = [] if data is None else [data, *(data / folder for folder in FOLDERS)]
    for folder in places:
        if files := _files(folder):
            return str(folder), tuple(files), lambda split: sentences(files[split])
    looked = f"in {', '.join(map(str, places))}" if places else "no data folder is set"
    local = (
        f"looked for eng.train, or train.txt and valid.txt ({looked}): give --data FOLDER (or LMC_DATA) that holds "
        "the shared task's files or what `datasets` saved"
    )
    held = stored(data, FOLDERS, FACTS.hub, what="conll2003", local=local)
    return held.told, held.splits, lambda split: _of_table(held, split)


def _files(folder: Path) -> dict[Split, Path]:
    """The splits that lie in a folder, gzipped or not."""
    for layout in LAYOUTS:
        either = {split: (folder / name, folder / f"{name}.gz") for split, name in layout.items()}
        files = {split: path for split, two in either.items() for path in two[::-1] if path.is_file()}
        if "train" in files and (layout is LAYOUTS[0] or "dev" in files):
            return {split: files[split] for split in layout if split in files}
    return {}


def sentences(path: Path) -> Iterator[Sentence | DataError]:
    """An empty line ends a sentence, and a document's line is none. A sentence with a bad line is a bad one."""
    words: list[str] = []
    tags: list[str] = []
    bad: DataError | None = None
    document = width = 0
    for number, line in lines(path):
        columns = line.split()
        if columns and columns[0] != DOCUMENT:
            width = width or (len(columns) if len(columns) in COLUMNS else max(COLUMNS))
            words.append(columns[0])
            tags.append(columns[-1])
            bad = bad or _wrong(path, number, line, columns, width)
            continue
        if words:
            yield bad or Sentence(tuple(words), bio(tuple(tags)), document)
            words, tags, bad = [], [], None
        document += bool(columns)
    if words:
        yield bad or Sentence(tuple(words), bio(tuple(tags)), document)


def _wrong(path: Path, number: int, line: str, columns: list[str], width: int) -> DataError | None:
    """What is wrong with a line of so many columns, if anything is."""
    if len(columns) != width:
        return fault(path, number, 1, f"{len(columns)} columns; {COLUMNS[width]} are {width}")
    if not is_tag(columns[-1]):
        place = line.rindex(columns[-1]) + 1
        return fault(path, number, place, f"{columns[-1]!r} is no tag of {', '.join(TYPES)}")
    return None


def is_tag(tag: str) -> bool:
    return tag == "O" or (tag[:2] in ("B-", "I-") and tag[2:] in TYPES)


def _of_table(held: Stored, split: Split) -> Iterator[Sentence | DataError]:
    """Rows with lists of words and of tags. A row of a border alone is none, as in the files."""
    document = 0
    for row in held.rows(split, ("tokens", "ner_tags")):
        words, tags = row.values["tokens"], row.values["ner_tags"]
        if words and words[0] == DOCUMENT:
            document += 1
        elif wrong := _wrong_row(words, tags):
            yield held.fault(row, *wrong)
        elif words:
            yield Sentence(tuple(words), bio(tuple(tags)), document)


def _wrong_row(words: Any, tags: Any) -> tuple[str, str] | None:
    """The column, and what is wrong there."""
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return "tokens", f"{words!r} is no list of words"
    if not isinstance(tags, list) or len(tags) != len(words):
        return "ner_tags", f"{tags!r} is no list of {len(words)} tags"
    if strange := [tag for tag in tags if not (isinstance(tag, str) and is_tag(tag))]:
        return "ner_tags", f"{strange[0]!r} is no tag of {', '.join(TYPES)}"
    return None


def _examples(
    found: list[Sentence | DataError], split: Split, context: Context, where: str
) -> Iterator[Example | DataError]:
    around = _documents(found, where) if context == "document" else None
    for number, sentence in enumerate(found, 1):
        if isinstance(sentence, DataError):
            yield sentence
            continue
        example = Example(f"conll2003-{split}-{number}", (), sentence.tags, words=sentence.words)
        yield example if around is None else _within(example, around[number])


def _documents(found: list[Sentence | DataError], where: str) -> dict[int, Place]:
    """Of each good sentence, by its number."""
    documents: dict[int, list[str]] = {}
    places = {}
    for number, sentence in enumerate(found, 1):
        if isinstance(sentence, Sentence):
            document = documents.setdefault(sentence.document, [])
            places[number] = Place(document, len(document), len(document) + len(sentence.words))
            document += sentence.words
    if documents and not any(documents):
        raise DataError(
            f"{where}: no {DOCUMENT} line, so nothing tells where a document ends; take the shared task's own files, "
            "or set task.context=sentence"
        )
    return places


def _within(example: Example, place: Place) -> Example:
    before, after = tuple(place.document[: place.start]), tuple(place.document[place.end :])
    return Example(example.id, (), example.label, words=example.words, before=before, after=after)


def bio(tags: tuple[str, ...]) -> tuple[str, ...]:
    """IOB1, or BIO as it is, as BIO."""
    before = ("O", *tags)
    return tuple(
        "B" + tag[1:] if tag[0] == "I" and last[2:] != tag[2:] else tag
        for last, tag in zip(before, tags, strict=False)
    )
