"""Sets of labelled texts as they were published: where they are found, how their rows become examples, and what is held
out where nobody published a split.

A set is one `Published`. It is looked for as files in any of its layouts, then as saved by `datasets`, then on the hub.

Examples are held out by a fixed rule. Each text has a rank, a number drawn by its characters but for case and white
space, and of each class the first so many by rank are taken. So they are the same ones wherever a copy comes from and
however it is sorted or spaced; and texts that are the same are never parted.
"""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path

from lmcompare import randomness
from lmcompare.errors import DataError, Skipped, UserError, nearest
from lmcompare.tasks.facts import Facts
from lmcompare.tasks.kept import at_least_one, kept, no_label
from lmcompare.tasks.layouts import Item, Items, Layout, Part, items
from lmcompare.tasks.stored import Stored, stored
from lmcompare.text.tables import OnBadRow
from lmcompare.types import Example, Split, Task

FEW = 12  # so many labels are listed in a message

Ranked = list[tuple[int, Example]]


@dataclass(frozen=True, kw_only=True)
class Published:
    """What sets one set apart."""

    name: str
    facts: Facts
    classes: Mapping[str, str]  # as it is written in any of the sources → by name
    folders: tuple[str, ...]  # of the data folder
    layouts: tuple[Layout, ...]  # of files whose names tell the set
    bare: tuple[Layout, ...] = ()  # of files that only their folder's name tells: train.tsv and such
    # In `datasets`: the texts and the label, in any of these forms.
    columns: tuple[tuple[tuple[str, ...], str], ...]
    wanted: str  # in a message: files that would do
    no_label: str = ""  # stands where the annotators agreed on none: such a row is no example
    by_class: bool = False  # published class after class: its examples go in the order of their ranks


@dataclass(frozen=True)
class Found:
    """Where a set was found, and its splits there."""

    told: str
    parts: Mapping[Split, Part]
    local: bool = True  # as files of ours to read, not a table of `datasets`


def find(form: Published, data: Path | None) -> Found:
    """The set in the data folder, or what `datasets` has of it."""
    data = data.expanduser() if data else None
    places = [data, *(data / folder for folder in form.folders)] if data else []
    own = {Path(folder).name for folder in form.folders}
    for place in places:
        for layout in (*form.layouts, *(form.bare if place.name in own else ())):
            if parts := layout(place):
                told = ", ".join(f"{split}: {part.told}" for split, part in parts.items())
                return Found(f"{place} ({told})", parts)
    looked = f"none in {', '.join(map(str, places))}" if places else "no data folder is set"
    local = (
        f"give --data FOLDER (or LMC_DATA) that holds {form.wanted} ({looked}), or what `datasets` saved of "
        f"{form.facts.hub}"
    )
    held = stored(data, form.folders, form.facts.hub, what=form.name, local=local)
    return Found(held.told, _tables(form, held), local=False)


def _tables(form: Published, held: Stored) -> dict[Split, Part]:
    """The splits of a stored set; one that was published whole is put together again."""
    if "all" not in form.facts.splits:
        return {split: Part(split, held.told, partial(_rows, form, held, split)) for split in held.splits}
    every = [partial(_rows, form, held, split, f"{split}-") for split in held.splits]
    return {"all": Part("all", held.told, lambda: chain.from_iterable(part() for part in every))}


def _rows(form: Published, held: Stored, split: Split, prefix: str = "") -> Items:
    there = set(held.tables[split].column_names)
    fitting = (known for known in form.columns if there.issuperset((*known[0], known[1])))
    texts, label = next(fitting, form.columns[0])
    return items(held.rows(split, (*texts, label)), held.fault, texts, label, prefix=prefix)


def make(
    form: Published, found: Found, *, limit: int | None, on_bad_row: OnBadRow, holdout: float = 0.0,
    change: Callable[[str], str] | None = None, drawn: Callable[[str], str] | None = None, remark: str = "",
) -> Task:  # fmt: skip
    """The task. `holdout` is the share that goes into each split that nobody published; `change` is done to every text
    after the drawing, which goes by what `drawn` makes of it."""
    facts, cut = form.facts, form.facts.cut
    at_least_one(form.name, limit)
    if cut and not 0 < holdout < 0.5:
        raise UserError(
            f"{form.name}: holdout {holdout:g} is no share to hold out; above 0 and below 0.5 it is"
        )
    splits = tuple(split for split in ("train", "dev", "test") if cut.get(split, split) in found.parts)

    @cache  # two splits may be cut from one; the examples are the same objects
    def ranked(base: Split) -> Ranked:
        most = None if cut else limit
        return read(form, base, found.parts[base], limit=most, on_bad_row=on_bad_row, drawn=drawn)

    def load(split: Split) -> list[Example]:
        if split not in splits:
            raise DataError(
                f"{found.told}: {form.name} has no split {split!r} here; {nearest(split, splits)}"
            )
        mine = drawn_for(split, ranked(cut.get(split, split)), cut, holdout)
        if form.by_class:
            mine = sorted(mine, key=lambda one: (one[0], one[1].id))
        shown = [example for _, example in mine[:limit]]
        return [replace(one, texts=tuple(map(change, one.texts))) for one in shown] if change else shown

    made = [f"{split} cut from {base}" for split, base in cut.items() if split in splits]
    rule = f"{', '.join(made)} by a fixed rule, holdout {holdout:g}" if made else ""
    return Task(
        name=form.name,
        kind=facts.kind,
        metrics=facts.metrics,
        load=load,
        labels=facts.labels,
        texts=len(form.columns[0][0]),
        splits=splits,
        about=facts.about,
        source="; ".join(filter(None, [found.told, rule, remark])),
    )


def read(
    form: Published, split: Split, part: Part, *, limit: int | None = None, on_bad_row: OnBadRow = "error",
    drawn: Callable[[str], str] | None = None,
) -> Ranked:  # fmt: skip
    """The examples of a published split, with their ranks where anything is drawn by them: of what `drawn` makes of the
    texts, and of the texts themselves where that leaves nothing."""
    without = 0

    def found() -> Iterator[Example | DataError]:
        nonlocal without
        for item in part.items():
            example = item if isinstance(item, DataError) else _example(form, split, item)
            if example is None:
                without += 1
            else:
                yield example

    nothing = f"{part.place}: holds no example; fetch it again"
    good = kept(found(), on_bad_row=on_bad_row, limit=limit, nothing=nothing)
    if without:
        told = (
            f"{form.name}: {split}: {without:,} rows left out, on whose label their annotators did not agree"
        )
        warnings.warn(told, Skipped, stacklevel=3)
    if not form.facts.cut:
        return [(0, one) for one in good]
    return [(rank_of(seen(one.texts, drawn), one.id), one) for one in good]


def seen(texts: tuple[str, ...], drawn: Callable[[str], str] | None) -> tuple[str, ...]:
    left = texts if drawn is None else tuple(map(drawn, texts))
    return left if any(text.strip() for text in left) else texts


def _example(form: Published, split: Split, item: Item) -> Example | DataError | None:
    """None for a row that is no example."""
    text = "" if item.label is None else str(item.label)
    if text in form.classes:
        return Example(f"{form.name}-{split}-{item.id}", item.texts, form.classes[text])
    if form.no_label and text in ("", form.no_label):
        return None
    known = (
        f" has {', '.join(form.classes)}" if len(form.classes) <= FEW else f": {nearest(text, form.classes)}"
    )
    return item.fault(f"{no_label(text, form.classes)} ({form.name}{known})")


def rank_of(texts: Sequence[str], otherwise: str) -> int:
    """A number drawn by the characters of the texts; by the other name where they are blank."""
    characters = ["".join(text.casefold().split()) for text in texts]
    return randomness.number("held out", *(characters if any(characters) else [otherwise]))


def drawn_for(split: Split, ranked: Ranked, cut: Mapping[Split, Split], share: float) -> Ranked:
    """What of a published split belongs to one that is cut from it; train is what the others leave."""
    base, rest, left = cut.get(split, split), ranked, 1.0
    for name in (name for name, origin in cut.items() if origin == base and name != "train"):
        ranks = _first_by_rank(rest, share / left)
        if name == split:
            return [one for one in rest if one[0] in ranks]
        rest, left = [one for one in rest if one[0] not in ranks], left - share
    return rest


def _first_by_rank(ranked: Ranked, share: float) -> set[int]:
    """The ranks of this share of every class, of one example of it at least."""
    by_class = defaultdict[object, list[int]](list)
    for rank, example in ranked:
        by_class[example.label].append(rank)
    found = set[int]()
    for ranks in by_class.values():
        found.update(sorted(ranks)[: max(1, round(share * len(ranks)))])
    return found
