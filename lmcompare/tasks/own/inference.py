"""What a user's file is: of which kind its task is, and which columns hold what, where nobody has said so.

Only what can hardly be meant otherwise is taken without a word of the user's, and it is always told.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmcompare.errors import DataError, UserError
from lmcompare.text import tables
from lmcompare.text.lines import fault
from lmcompare.text.tables import OnBadRow, Table
from lmcompare.types import Kind

TAGGED = (".conll", ".bio", ".iob", ".iob2")  # names of files with a word a line
QUESTIONS = ".json"  # of files in SQuAD's form
MANY = 100  # classes: more of them, and they are scores or no labels at all

# By role and kind, the names of columns that are taken without being named.
PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
)
NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "classify": {
        "text": ("text", "sentence", "review"),
        "label": ("label", "class", "category", "gold_label"),
    },
    "score": {"text": ("text", "sentence", "review"), "label": ("label", "score")},
    "choice": {"text": ("context", "text", "question"), "label": ("label", "answer")},
    "tags": {"text": ("words", "tokens", "text"), "label": ("tags", "ner_tags", "labels", "label")},
    "span": {"text": ("question",), "pair": ("context",), "label": ("answers", "answer")},
}
LISTED = ("options", "choices", "endings")  # one column with all options
OPTION = re.compile(r"(?:option|choice|ending|answer)_?(?:[0-9]|[a-e])", re.IGNORECASE)
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")  # a number with a decimal comma
SURELY = 0.9  # so many numbers among the labels, and the others are mistakes
LETTERS = 60  # of a name or a value in a sentence


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a user's rows become examples; empty where the file has to tell."""

    name: str
    kind: Kind | None
    columns: tuple[str, ...]  # of a file without a header
    text: str
    pair: str
    label: str
    options: tuple[str, ...]
    first: int
    labels: tuple[str, ...]
    unanswerable: bool | None
    limit: int | None
    on_bad_row: OnBadRow


def told(form: Form, path: Path) -> Form:
    """The form with what the file's name, its columns and its first row tell. The kind may stay open: whether labels
    are classes or scores, only they can tell."""
    suffix = _suffix(path)
    if suffix == QUESTIONS:
        return _only(form, "span", path, "in SQuAD's form; rows of JSON are a .jsonl file")
    if suffix not in tables.ENDINGS and (suffix in TAGGED or form.kind == "tags"):
        return _only(form, "tags", path, "a word a line")
    if suffix not in tables.ENDINGS:
        known = ", ".join([*tables.ENDINGS, QUESTIONS, *TAGGED])
        raise DataError(
            f"{path}: not a file of examples by its name, which should end in {known}; where it has a word and its "
            "tag a line, say so with --kind tags (task.kind)"
        )
    names, values = _first(form, path)
    form = _with_options(form, names, values)
    kind = form.kind or _kind(form, names, values)
    return _with_columns(replace(form, kind=kind), names, path)


def _only(form: Form, kind: Kind, path: Path, what: str) -> Form:
    if form.kind not in (None, kind):
        raise UserError(f"{path}: {form.kind} cannot be read from this kind of file ({what})")
    return replace(form, kind=kind)


def _first(form: Form, path: Path) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """The names of the columns, and the first good row."""
    names, rows = tables.stream_table(path, columns=form.columns or None, header=not form.columns)
    if odd := tables.other_separator(path, names):
        raise fault(path, 1, 1, odd)
    bad = None
    for row in rows:
        if not isinstance(row, DataError):
            return names or tuple(row.values), row.values
        if form.on_bad_row == "error":
            raise row
        bad = bad or row
    if bad:
        raise bad
    if not names:
        raise fault(path, 1, 1, "the file is empty; it needs at least one row")
    return names, {}  # the reader says that there is a header and no row


def _with_options(form: Form, names: Sequence[str], values: Mapping[str, Any]) -> Form:
    if form.options or form.kind not in (None, "choice"):
        return form
    listed = [n for n in names if n.casefold() in LISTED and isinstance(values.get(n), list)]
    several = [n for n in names if OPTION.fullmatch(n) and isinstance(values.get(n), str)]
    found = listed if len(listed) == 1 else several
    return replace(form, options=tuple(found)) if listed or len(several) > 1 else form


def _kind(form: Form, names: Sequence[str], values: Mapping[str, Any]) -> Kind | None:
    if form.options:
        return "choice"
    folded = {name.casefold() for name in names}
    if {"question", "context"} <= folded and folded & {"answers", "answer"} and not form.text:
        return "span"
    text = form.text or next((n for n in names if n.casefold() in NAMES["tags"]["text"]), "")
    return "tags" if isinstance(values.get(text), list) else None


def _with_columns(form: Form, names: Sequence[str], path: Path) -> Form:
    """The columns that nobody named, by their names."""
    known = NAMES[form.kind or "classify"]
    if form.kind is None:
        known = {
            role: tuple(dict.fromkeys((*NAMES["classify"][role], *NAMES["score"][role]))) for role in known
        }
    folded = {name.casefold(): name for name in names}
    text, pair = form.text, form.pair
    if form.kind in (None, "classify", "score") and not text and not pair:
        text, pair = next(((folded[a], folded[b]) for a, b in PAIRS if a in folded and b in folded), ("", ""))
    if form.kind == "choice" and not form.options:
        raise UserError(
            f"{path}: which columns hold the options? {_has(names)}; say so with "
            """--set 'task.options=["COLUMN", "COLUMN"]'"""
        )
    text = text or _one(known["text"], names, path, "text")
    if "pair" in known:
        pair = pair or _one(known["pair"], names, path, "pair")
    return replace(form, text=text, pair=pair, label=form.label or _one(known["label"], names, path, "label"))


def _one(known: Sequence[str], names: Sequence[str], path: Path, role: str) -> str:
    found = [name for name in names if name.casefold() in known]
    if len(found) == 1:
        return found[0]
    several = f"{' and '.join(map(repr, found))} could be it; " if found else ""
    if not found and _suffix(path) in (".csv", ".tsv") and tables.looks_like_data(names):
        what = f"line 1 does not look like a header ({tables.shown(names)}); add one, or name all columns"
        raise fault(path, 1, 1, f"""{what}, as in --set 'task.columns=["text", "label"]'""")
    raise UserError(
        f"{path}: which column is the {role}? {several}{_has(names)}; say it with --{role} COLUMN"
    )


def _has(names: Iterable[str]) -> str:
    return f"the file has {', '.join(repr(name[:LETTERS]) for name in list(names)[:20])}"


def by_labels(form: Form, table: Table) -> Kind:
    """Classes or scores? Numbers are scores where one of them has a fraction that is not zero. A few others among them
    are mistakes, and no reason to take all for classes."""
    told = [(row, v) for row in table.rows if (v := row.values.get(form.label)) not in (None, "")]
    read = [(row, value, _number(value)) for row, value in told]
    others = [(row, value) for row, value, number in read if number is None]
    meant = [number for _, value, number in read if number is not None] + [
        float(value.replace(",", "."))
        for _, value in others
        if isinstance(value, str) and COMMA.fullmatch(value)
    ]
    if told and len(meant) >= SURELY * len(told) and not all(map(float.is_integer, meant)):
        if others and form.on_bad_row == "error":
            numbers = len(told) - len(others)
            most = (
                f"though {numbers:,} of {len(told):,} labels are"
                if numbers
                else "though the labels look like scores"
            )
            what = f"{no_number(others[0][1])}, {most}; mend it, or say --kind classify (task.kind)"
            raise table.fault(others[0][0], form.label, what)
        return "score"
    different = len({str(value) for _, value in told})
    if different > MANY and different > len(told) / 2:
        raise UserError(
            f"{table.path}: the column {form.label!r} has {different:,} values in {len(told):,} rows; is it a score "
            "(--kind score), classes after all (--kind classify), or is the label another column (--label COLUMN)?"
        )
    return "classify"


def _number(value: Any) -> float | None:
    """A label's value where it is a finite number."""
    if isinstance(value, bool) or not NUMBER.fullmatch(str(value)):
        return None
    return number if math.isfinite(number := float(str(value))) else None


def no_number(value: Any) -> str:
    """What is wrong with a score that is no number."""
    text = str(value)
    what = "finite number" if NUMBER.fullmatch(text) else "number"
    more = " (write a point where it has a decimal comma)" if COMMA.fullmatch(text) else ""
    return f"{text[:LETTERS]!r} is not a {what}{more}"


def is_table(path: Path) -> bool:
    return _suffix(path) in tables.ENDINGS


def is_named_so(path: Path) -> bool:
    """Whether a file's name ends like those of files of examples."""
    return _suffix(path) in (*tables.ENDINGS, *TAGGED, QUESTIONS)


def _suffix(path: Path) -> str:
    return path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
