"""GLUE's diagnostic set AX (Wang et al. 2019, §4): pairs written for what it takes to understand them. Nothing is
trained on it: a run on MNLI answers it, and is told by category how well.

Three forms are about. diagnostic-full.tsv has the three labels and the categories; SuperGLUE's AX-b.jsonl the same
pairs and categories with two labels; the one in GLUE's own layout neither, for it is there to be handed in.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmcompare.errors import DataError
from lmcompare.tasks import facts
from lmcompare.tasks.facts import Facts
from lmcompare.tasks.glue import NLI, NOT_ENTAILED, PAIR, Sheet
from lmcompare.tasks.glue_files import HUB, in_order
from lmcompare.tasks.kept import at_least_one, kept
from lmcompare.tasks.stored import stored
from lmcompare.text.lines import fault
from lmcompare.text.tables import OnBadRow, Row, read_jsonl, stream_tsv
from lmcompare.types import Example, Split, Task

FACTS = Facts(
    kind="classify",
    about="Does one sentence entail another, by what it takes to tell? (GLUE's diagnostic set)",
    metrics=("r3", "accuracy"),
    splits={"test": 1104},
    license="none stated",
    labels=NLI,
    hub=f"{HUB}:ax",
)
SHEET = Sheet(file="AX.tsv", task="ax", split="test", words={name: name for name in NLI}, by=("mnli", "ax"))
FOLDERS = ("diagnostic", "diagnostics", "AX", "AX-b", "MNLI")
CATEGORIES = ("Lexical Semantics", "Predicate-Argument Structure", "Logic", "Knowledge")
TWO = ("entailment", "not_entailment")
UNLABELLED = " (unlabelled)"
Rows = Iterator[Row | DataError]


@dataclass(frozen=True, kw_only=True)
class Form:
    """One of the files that hold these pairs."""

    file: str
    texts: tuple[str, str]
    label: str = ""  # column; none: unlabelled
    labels: tuple[str, ...] = NLI
    categories: Mapping[str, str] = field(default_factory=dict)  # columns by category
    note: str = ""  # what a result says of it
    read: Callable[[Path, tuple[str, ...], OnBadRow], Rows]


def _tsv(path: Path, columns: tuple[str, ...], on_bad_row: OnBadRow) -> Rows:
    return stream_tsv(path, columns=columns)[1]


def _counted(path: Path, columns: tuple[str, ...], on_bad_row: OnBadRow) -> Rows:
    return in_order(path, stream_tsv(path, columns=("index", *columns))[1])


def _jsonl(path: Path, columns: tuple[str, ...], on_bad_row: OnBadRow) -> Rows:
    table = read_jsonl(path, columns=columns, on_bad_row=on_bad_row)
    yield from table.rows
    yield from map(DataError, table.skipped)


FORMS = (  # the one that tells most first
    Form(
        file="diagnostic-full.tsv", texts=("Premise", "Hypothesis"), label="Label",
        categories={name: name for name in CATEGORIES}, read=_tsv,
    ),
    Form(
        file="AX-b.jsonl", texts=PAIR, label="label", labels=TWO,
        categories={name: name.lower().replace(" ", "-") for name in CATEGORIES},
        note=" (with SuperGLUE's two labels)", read=_jsonl,
    ),
    Form(file="diagnostic.tsv", texts=PAIR, note=UNLABELLED, read=_counted),
    Form(file="AX.tsv", texts=PAIR, note=UNLABELLED, read=_counted),
)  # fmt: skip


@facts.task("ax", FACTS)
def ax(data: Path | None, *, limit: int | None = None, on_bad_row: OnBadRow = "error") -> Task:
    at_least_one("ax", limit)
    looked = [] if data is None else places(data.expanduser())
    there = ((form, place / form.file) for form in FORMS for place in looked)
    form, path = next(((form, path) for form, path in there if path.is_file()), (None, None))
    if form is None or path is None:
        return unlabelled(data, looked, limit)
    two = form.labels == TWO
    return made(
        lambda: load(form, path, limit=limit, on_bad_row=on_bad_row),
        f"{path}{form.note}",
        labels=form.labels,
        # Two classes have an older name for the same figure.
        metrics=tuple("matthews" if two and name == "r3" else name for name in FACTS.metrics),
        folds=NOT_ENTAILED if two else {},
    )


def unlabelled(data: Path | None, looked: list[Path], limit: int | None) -> Task:
    """The pairs as `datasets` has them."""
    names = " or ".join(form.file for form in FORMS)
    local = (
        f"no {names} in {', '.join(map(str, looked)) or 'a data folder'}; give --data FOLDER (or LMC_DATA)"
    )
    given = data.expanduser() if data else None
    tables = stored(given, ("ax", "glue/ax"), FACTS.hub, what="ax", local=local, names={"test": ("test",)})

    def read() -> list[Example]:
        rows = list(tables.rows("test", ("premise", "hypothesis")))[:limit]
        return [Example(f"ax-test-{n}", tuple(line.values.values())) for n, line in enumerate(rows)]

    return made(read, f"{tables.told}{UNLABELLED}", labels=FACTS.labels, metrics=FACTS.metrics)


def made(read: Callable[[], list[Example]], source: str, **told: Any) -> Task:
    def part(split: Split) -> list[Example]:
        if split != "test":
            raise DataError(
                f"ax: no split {split!r}: nothing is trained on it; a run on MNLI answers it: lmc eval RUN --task ax"
            )
        return read()

    return Task(
        name="ax", kind=FACTS.kind, load=part, texts=2, splits=("test",), report="test", about=FACTS.about,
        source=source, **told,
    )  # fmt: skip


def places(data: Path) -> list[Path]:
    roots = [data, *(data / whole for whole in ("glue", "GLUE", "glue_data"))]
    return [place for root in roots for place in (*(root / name for name in FOLDERS), root)]


def load(form: Form, path: Path, *, limit: int | None, on_bad_row: OnBadRow) -> list[Example]:
    wanted = (*form.texts, *([form.label] if form.label else []))
    if form.file.endswith(".tsv"):
        wanted = (*wanted, *form.categories.values())
    found = (
        _example(form, path, number, line) for number, line in enumerate(form.read(path, wanted, on_bad_row))
    )
    return kept(found, on_bad_row=on_bad_row, limit=limit, nothing=f"{path}: there is a header but no row")


def _example(form: Form, path: Path, number: int, line: Row | DataError) -> Example | DataError:
    if isinstance(line, DataError):
        return line
    if str(line.values.get("idx", number)) != str(number):
        what = f"idx {line.values['idx']!r} where {number} is next: rows are lost or stand in another order"
        return fault(path, *line.place("idx"), f"{what}; fetch the file again")
    cells = {category: line.values.get(column, "") for category, column in form.categories.items()}
    texts = {column: line.values[column] for column in form.texts}
    for column, value in [*texts.items(), *((form.categories[c], v) for c, v in cells.items())]:
        if not isinstance(value, str):
            return fault(path, *line.place(column), f"{column} {value!r} is not a text")
    label = line.values[form.label] if form.label else None
    if form.label and label not in form.labels:
        what = f"{label!r} is not a label (ax has {', '.join(form.labels)})"
        return fault(path, *line.place(form.label), what)
    return Example(f"ax-test-{number}", tuple(texts.values()), label, groups=tuple(groups(cells)))


def groups(cells: Mapping[str, str]) -> Iterator[str]:
    """A category, and what of it: a pair may belong to several."""
    for category, cell in cells.items():
        if tags := [tag.strip() for tag in cell.split(";") if tag.strip()]:
            yield category
            yield from dict.fromkeys(f"{category}: {tag}" for tag in tags)
