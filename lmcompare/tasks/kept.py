"""The good examples of a split: a bad row stops the reading, or is left out and told."""

import warnings
from collections.abc import Iterable

from lmcompare.errors import DataError, Skipped, UserError, unknown
from lmcompare.text.tables import OnBadRow
from lmcompare.types import Example


def kept(
    found: Iterable[Example | DataError],
    *,
    on_bad_row: OnBadRow,
    limit: int | None,
    nothing: str,
    skipped: Iterable[str] = (),
) -> list[Example]:
    """The first good ones, as many as the limit lets through; `nothing` says what it means that there is none, and
    `skipped` what was left out before."""
    if on_bad_row not in ("error", "skip"):
        raise UserError(unknown("value", on_bad_row, ("error", "skip"), "on_bad_row"))
    good, bad = list[Example](), list(skipped)
    for item in found:
        if isinstance(item, Example):
            good.append(item)
            if len(good) == limit:
                break
        elif on_bad_row == "error":
            raise item
        else:
            bad.append(str(item))
    if not good and bad:
        raise DataError(f"{bad[0]} (and none of {len(bad):,} is good)")
    if not good:
        raise DataError(nothing)
    if bad:
        warnings.warn(f"bad rows left out: {len(bad):,}; the first: {bad[0]}", Skipped, stacklevel=3)
    return good


def at_least_one(name: str, limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise UserError(f"{name}: limit {limit} leaves no example; it must be at least 1")


def no_label(text: str, classes: Iterable[str]) -> str:
    """What is wrong with a label that is none of these."""
    if not text:
        return "the label is missing"
    if close := [name for name in classes if name.lower() == text.strip().lower()]:
        return f"{text!r} is not a label as it is spelled; did you mean {close[0]!r}?"
    return f"{text!r} is not a label"
