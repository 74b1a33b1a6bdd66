"""Semantic roles: who did what to whom? (Carreras & Màrquez 2005; Pradhan et al. 2012). An example is a predicate in
its sentence, with a tag a word, from files in the columns of CoNLL-2005 or CoNLL-2012.

Columns are set apart by white space, a word a line, sentences by an empty line, and lines that begin with # are none.

- CoNLL-2012 (the name ends in _conll): document, part, number, word, part of speech, parse, lemma, frame, sense,
  speaker, entities, then one column for each predicate of the sentence, then coreference.
- CoNLL-2005 (any other name): the word first, any columns between, then the predicates' lemmas with - at all other
  words, then one column for each predicate: the words and the props of the shared task, side by side.

In a predicate's column `(A0*` begins a role, `*)` ends one, `(A1*)` is one of a single word, and `*` continues what is
open. V is the predicate itself.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lmcompare.errors import DataError, Missing, nearest
from lmcompare.metrics.tags import MARK
from lmcompare.tasks import facts
from lmcompare.tasks.facts import Facts
from lmcompare.tasks.kept import at_least_one, kept
from lmcompare.text.lines import fault, lines
from lmcompare.text.tables import OnBadRow
from lmcompare.types import Example, Split, Task

FACTS = Facts(
    kind="tags",
    about="Which words fill which role of the marked predicate? From CoNLL-2005's or CoNLL-2012's columns.",
    metrics=("role_f1",),
    splits={"train": None, "dev": None, "test": None},
    license="by that of the treebank: LDC",
)
# The predicate stands between two words of its own. So no backend needs to know of predicates, and all see the same: a
# mark that is read like any word and is in every vocabulary (treebanks write brackets as -LRB-), on both sides, so that
# who reads from the left has seen it before the predicate. The marks have a tag of their own, which says to the metric
# that these words are not the sentence's.
OPEN, CLOSE = "[", "]"
CELL = re.compile(r"(?:\(([^()*\s]+))?\*(\))?")
NAMES = {
    "train": ("train", "training"),
    "dev": ("dev", "devel", "development", "valid"),
    "test": ("test", "test.wsj", "conll-2012-test"),
}
FOLDERS = ("srl", "conll2005", "conll2012", "conll-2012")
FIRST_2012, WORD_2012 = 11, 3  # the column of the first predicate, and that of the word


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    text: str
    cells: list[str]

    def place(self, column: int) -> int:
        """The character at which a cell begins."""
        return [match.start() for match in re.finditer(r"\S+", self.text)][column] + 1


@facts.task("srl", FACTS)
def srl(
    data: Path | None,
    *,
    train: str = "",  # a file, or a folder of them
    dev: str = "",
    test: str = "",
    limit: int | None = None,
    on_bad_row: OnBadRow = "error",
) -> Task:
    at_least_one("srl", limit)
    found = _found(data, {"train": train, "dev": dev, "test": test})
    read = {split: [item for path in paths for item in predicates(path)] for split, paths in found.items()}
    labels = _labels(item for items in read.values() for item in items)

    def load(split: Split) -> list[Example]:
        if split not in read:
            raise DataError(f"srl has no split {split!r} here; {nearest(split, read)}")
        named = (_named(item, f"srl-{split}-{n}") for n, item in enumerate(read[split], 1))
        nothing = f"{found[split][0]}: holds no predicate"
        return kept(named, on_bad_row=on_bad_row, limit=limit, nothing=nothing)

    source = ", ".join(f"{split}: {_told(paths)}" for split, paths in found.items())
    return Task(
        "srl",
        FACTS.kind,
        FACTS.metrics,
        load,
        labels=labels,
        splits=tuple(read),
        about=FACTS.about,
        source=source,
    )


def _labels(found: Iterator[Example | DataError]) -> tuple[str, ...]:
    """From all parts: what a rare role of dev is called must be known to be counted as missed."""
    tags = {tag for item in found if isinstance(item, Example) for tag in item.label or ()}  # type: ignore[union-attr]
    roles = sorted({str(tag)[2:] for tag in tags} - {"", "V", MARK[2:]})
    return ("O", MARK, *(f"{place}-{role}" for role in ("V", *roles) for place in "BI"))


def _named(item: Example | DataError, name: str) -> Example | DataError:
    return item if isinstance(item, DataError) else replace(item, id=name)


# --- where the files are ------------------------------------------------------------------------


def _found(data: Path | None, given: dict[Split, str]) -> dict[Split, list[Path]]:
    files = {split: _listed(Path(path).expanduser()) for split, path in given.items() if path}
    places = [] if data is None else [data.expanduser(), *(data.expanduser() / name for name in FOLDERS)]
    for split, names in NAMES.items():
        known = (place / name for place in places for name in names)
        if split not in files and (paths := next(filter(None, map(_of_name, known)), None)):
            files[split] = paths
        if split not in files and split != "test":
            looked = f"in {', '.join(map(str, places))}" if places else "no data folder is set"
            raise Missing(
                f"srl: looked for {split}.conll, or a folder {split}/ of _conll files ({looked}); give --data FOLDER "
                f"(or LMC_DATA) that holds them, or --set task.{split}=PATH"
            )
    return {split: files[split] for split in NAMES if split in files}


def _of_name(path: Path) -> list[Path]:
    """NAME.conll, gzipped or not, or the files of the folder NAME."""
    for end in (".conll", ".conll.gz"):
        if (file := path.with_name(path.name + end)).is_file():
            return [file]
    return sorted(path.rglob("*gold_conll")) or sorted(path.rglob("*_conll")) if path.is_dir() else []


def _listed(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob("*gold_conll")) or sorted([*path.rglob("*_conll"), *path.rglob("*.conll*")])
    if not found:
        raise DataError(f"{path}: no file here whose name ends in _conll or .conll")
    return found


def _told(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{len(paths)} files, the first {paths[0]}"


# --- what they hold -----------------------------------------------------------------------------


def predicates(path: Path) -> Iterator[Example | DataError]:
    """An example a predicate, without a name yet. A sentence with a bad line is one bad row."""
    name = path.name.removesuffix(".gz")
    lemmas: int | None = None  # CoNLL-2005: the column, once a sentence has told it
    for block in blocks(path):
        try:
            _same_width(path, block)
            if name.endswith("_conll"):
                word, columns = WORD_2012, range(FIRST_2012, len(block[0].cells) - 1)
            else:
                lemmas = _lemmas(path, block, lemmas)
                word, columns = 0, range(lemmas + 1, len(block[0].cells))
            found = [marked([line.cells[word] for line in block], *_roles(path, block, c)) for c in columns]
        except DataError as error:
            yield error
            continue
        yield from found


def blocks(path: Path) -> Iterator[list[Line]]:
    """The lines of each sentence."""
    block: list[Line] = []
    for number, text in lines(path):
        if cells := text.split():
            if not text.startswith("#"):
                block.append(Line(number, text, cells))
        elif block:
            yield block
            block = []
    if block:
        yield block


def _same_width(path: Path, block: list[Line]) -> None:
    width = len(block[0].cells)
    least = FIRST_2012 + 1 if path.name.removesuffix(".gz").endswith("_conll") else 2
    if width < least:
        raise fault(path, block[0].number, 1, f"{width} columns; {least} are the fewest")
    for line in block:
        if len(line.cells) != width:
            raise fault(
                path, line.number, 1, f"{len(line.cells)} columns where the sentence began with {width}"
            )


def _lemmas(path: Path, block: list[Line], known: int | None) -> int:
    """The column of the predicates: behind it is one for each of them, in which V begins at its word."""
    width = len(block[0].cells)
    for column in range(width - 1, 0, -1) if known is None else [known]:
        at = [n for n, line in enumerate(block) if line.cells[column] != "-"] if column < width else []
        if len(at) == width - 1 - column and all(
            block[n].cells[column + 1 + k].startswith("(V*") for k, n in enumerate(at)
        ):
            return column
    raise fault(
        path, block[0].number, 1, "no column with the sentence's predicates, and behind it one for each of them "
        "with (V*) at its word, as in CoNLL-2005; CoNLL-2012's files end in _conll"
    )  # fmt: skip


def _roles(path: Path, block: list[Line], column: int) -> tuple[list[str], int, int]:
    """The tags of one predicate's column, and from where to where the predicate goes."""
    tags, inside = list[str](), ""
    for line in block:
        cell = line.cells[column]
        match = CELL.fullmatch(cell)
        wrong = "" if match else "is no role; (A0*, *, *) and (A0*) are"
        if match and match[1] and inside:
            wrong = f"begins a role inside of {inside}"
        if match and match[2] and not (match[1] or inside):
            wrong = "ends a role where none is open"
        if match is None or wrong:
            raise fault(path, line.number, line.place(column), f"{cell!r} {wrong}")
        tags.append(f"B-{match[1]}" if match[1] else f"I-{inside}" if inside else "O")
        inside = "" if match[2] else match[1] or inside
    if inside:
        raise fault(path, block[-1].number, block[-1].place(column), f"{inside} is still open at the end")
    if "B-V" not in tags:
        raise fault(
            path, block[0].number, block[0].place(column), "no (V*) in this column: whose roles are these?"
        )
    start = tags.index("B-V")
    end = next((n for n in range(start + 1, len(tags)) if tags[n] != "I-V"), len(tags))
    return tags, start, end


def marked(words: list[str], tags: list[str], start: int, end: int) -> Example:
    return Example(
        "",
        (),
        (*tags[:start], MARK, *tags[start:end], MARK, *tags[end:]),
        words=(*words[:start], OPEN, *words[start:end], CLOSE, *words[end:]),
    )
