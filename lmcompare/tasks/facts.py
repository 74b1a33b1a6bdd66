"""What is known of a task before any of its data is read: `lmc ls tasks` shows it, and the checks hold data to it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lmcompare import hub, registry
from lmcompare.errors import UserError
from lmcompare.types import Kind, Split, Task

Builder = Callable[..., Task]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A task as it was published."""

    kind: Kind
    about: str
    metrics: tuple[str, ...]
    # Those published, and how many examples each has; None: no one official number.
    splits: Mapping[Split, int | None]
    license: str  # in a few words; "none stated" where the authors say nothing
    labels: tuple[str, ...] = ()
    hub: str = ""  # its id for `datasets`, with :config behind it where it needs one
    made: bool = False  # by the program itself, so it is everywhere and the same
    unlabelled: tuple[Split, ...] = ()  # published without labels
    # Splits that nobody published, each with the one that it is cut from ("dev" from "train", or all from "all").
    cut: Mapping[Split, Split] = field(default_factory=dict)
    # Training examples whose texts stand in another published split: known, and no mistake of the copy.
    overlap: Mapping[Split, int] = field(default_factory=dict)


_known: dict[str, Facts] = {}


def task(name: str, facts: Facts) -> Callable[[Builder], Builder]:
    """Decorator: the builder makes the task of this name, of which these are the facts."""

    def add(builder: Builder) -> Builder:
        builder.__doc__ = facts.about
        _known[name] = facts
        return registry.tasks.register(name)(builder)

    return add


def of(name: str) -> Facts:
    """The facts of a registered task."""
    registry.tasks.get(name)
    return _known[registry.tasks.meant({"name": name})["name"]]


def where(name: str, data: Path | None) -> str:
    """Where its data is: local (or made here), in the cache of `datasets`, on the hub, missing; or the user's own."""
    return look(name, data)[0]


def look(name: str, data: Path | None) -> tuple[str, tuple[Split, ...]]:
    """Where its data is, and the splits that were found there."""
    told = of(name)
    if not told.splits:
        return "yours", ()
    try:
        with hub.shut():  # to look is not to fetch
            return "local", tuple(registry.tasks.build({"name": name}, data).splits)
    except UserError:
        return "missing" if not told.hub else "cached" if hub.cached(told.hub) else "hub", ()


def gone(told: Facts, found: Collection[Split]) -> list[Split]:
    """The published splits, and those cut from one, of which nothing was found."""
    here = {told.cut.get(split, split) for split in found} | {*found}
    return [split for split in dict.fromkeys((*told.splits, *told.cut)) if split not in here]
