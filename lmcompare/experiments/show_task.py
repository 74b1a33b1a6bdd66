"""`lmc ls tasks` and `lmc show TASK`: what is known of the tasks, what was found of one, and an example of it as a
backend sees it."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from lmcompare import models, registry
from lmcompare.errors import Missing, UserError
from lmcompare.experiments.blueprint import Pieces
from lmcompare.experiments.task_data import TaskData, data_folder, read_task
from lmcompare.tasks import facts
from lmcompare.types import Example, Split, Task, View

LENGTH = 512  # tokens of the views that are shown
SHOWN = 8  # views of one example, and classes of a task, that are shown
COLUMNS = ["name", "kind", "where", "found", "gone", "splits", "metrics", "labels", "license", "hub", "about"]


def rows(data: Path | None) -> list[dict[str, Any]]:
    """A row for every task; its data is looked for, and neither read nor fetched."""
    found = []
    for name in registry.tasks.names():
        told = facts.of(name)
        where, here = facts.look(name, data_folder(data))
        place = "made here" if told.made else where, [*here], facts.gone(told, here)
        more = dict(told.splits), [*told.metrics], [*told.labels], told.license, told.hub, told.about
        found.append(dict(zip(COLUMNS, (name, told.kind, *place, *more), strict=True)))
    return found


def describe(
    table: dict[str, Any], data: Path | None, *, backend: str = "", model: str = ""
) -> dict[str, Any]:
    """A task's facts, its sizes beside those published, the balance of what it trains on, and one example as a backend
    sees it: with whole words in place of pieces, or as a model of it cuts them. Without its data, the facts alone."""
    told = facts.of(registry.tasks.meant(table)["name"])
    try:
        found = read_task(table, data, needed=())
    except Missing as error:
        return known(registry.tasks.meant(table)["name"], told, str(error))
    task = found.task
    part = "train" if "train" in found.splits else next(iter(found.splits))
    example = found.splits[part][0]
    reader = formatter(example, backend, model)
    views = reader.views(task, example, min(LENGTH, reader.longest))
    told_of: dict[str, Any] = {
        "task": task.name,
        "kind": task.kind,
        "about": task.about or told.about,
        "labels": list(task.labels),
        "metrics": list(task.metrics),
        "license": told.license,
        "source": task.source,
        "examples": found.sizes,
        "published": dict(told.splits),
        "state": dict(found.states),
        "balance": {part: balance(task, found.splits[part])},
        "warnings": found.warnings,
        "backend": reader.name,
    }
    away = facts.gone(told, found.splits)
    shown = [f"{reader.name} sees  {seen(reader, view)}" for view in views[:SHOWN]]
    if len(views) > SHOWN:
        shown.append(f"(and {len(views) - SHOWN:,} more such views)")
    absent = "not published" if told.cut.get(part, part) in told.unlabelled else "blank in this copy"
    answered = f"{' ' * len(reader.name)} answer {answer(task, example, absent)}"
    return told_of | {"text": [*lines(told_of, found, part, away), "", *shown, answered]}


def known(name: str, told: facts.Facts, why: str) -> dict[str, Any]:
    """What there is to tell of a task whose data is not here."""
    described: dict[str, Any] = {
        "task": name,
        "kind": told.kind,
        "about": told.about,
        "labels": [*told.labels],
        "metrics": [*told.metrics],
        "license": told.license,
        "published": dict(told.splits),
        "missing": why,
    }
    counts = [f"{split} {count:,}" if count else split for split, count in told.splits.items()]
    return described | {
        "text": [*head(described), f"published: {', '.join(counts)}", f"data: missing; {why}"]
    }


def head(told: dict[str, Any]) -> list[str]:
    keys = ("task", "kind", "about", "labels", "metrics", "license", "source")
    return [
        f"{key}: {', '.join(told[key]) if isinstance(told[key], list) else told[key]}"
        for key in keys
        if told.get(key)
    ]


def lines(told: dict[str, Any], found: TaskData, part: Split, away: Collection[Split]) -> list[str]:
    sizes = [f"{split}: {size(count, told, split)}" for split, count in found.sizes.items()]
    kept = {split: count for split, count in told["published"].items() if split in away and count}
    gone = [f"{split}: not here; {count:,} were published" for split, count in kept.items()]
    return [
        *head(told),
        *sizes,
        *gone,
        *balanced(told["balance"][part], part),
        *map("note: {}".format, found.warnings),
    ]


def size(count: int, told: dict[str, Any], split: Split) -> str:
    published, state = told["published"].get(split), told["state"].get(split, "unknown")
    beside = f" of {published:,}" if published is not None and count < published else ""
    return f"{count:,}{beside} examples" + (f" ({state})" if state != "unknown" else "")


def balance(task: Task, examples: Sequence[Example]) -> dict[str, float]:
    """How often each answer is the right one: classes, places among the options, tags, whether there is an answer; of
    scores their mean and their range."""
    labels: list[Any] = [example.label for example in examples if example.label is not None]
    if not labels:
        return {}
    if task.kind == "score":
        return {"mean": sum(labels) / len(labels), "least": min(labels), "most": max(labels)}
    if task.kind == "tags":
        return dict(Counter(tag for tags in labels for tag in tags).most_common())
    if task.kind == "choice":
        return dict(sorted(Counter(f"option {label + 1}" for label in labels).items()))
    if task.kind == "span":
        return dict(Counter("answered" if label else "without an answer" for label in labels))
    counts = Counter(labels)
    return {label: counts[label] for label in task.labels}


def balanced(counts: dict[str, float], part: Split) -> list[str]:
    if not counts:
        return [f"{part}: without labels"]
    if "mean" in counts:
        mean, least, most = counts["mean"], counts["least"], counts["most"]
        return [f"{part}: scores from {least:g} to {most:g}, {mean:.3g} on average"]
    total = sum(counts.values())
    told = [f"{label} {count:,} ({count / total:.1%})" for label, count in counts.items()]
    rest = [f"{len(told) - SHOWN} others"] if len(told) > SHOWN else []
    return [f"{part}: {', '.join([*told[:SHOWN], *rest])}"]


def formatter(example: Example, backend: str, model: str) -> Any:
    """A backend that formats the example: the named model, or a network without weights over its whole words."""
    import torch

    from lmcompare.text.words import SPECIALS, Words

    if model:
        return models.load(backend or models.family(model), model)
    name = backend or "bert"
    asked = registry.annotations(registry.backends.get(name)).get("tokenizer")
    if asked is None:
        raise UserError(f"{name}: how it formats a task is its model's own; give --model")
    words = Words(SPECIALS) if asked is Words else Pieces.of(example)
    with torch.device("meta"):
        return registry.backends.build({"name": name}, words)


def seen(backend: Any, view: View) -> str:
    """The tokens of a view."""
    words = backend.tokenizer
    form = words.form if hasattr(words, "form") else words.pieces.__getitem__
    return " ".join(map(form, view.ids))


def answer(task: Task, example: Example, absent: str = "blank in this copy") -> Any:
    from lmcompare.evaluation import gold

    told = gold(example)
    if told is None:
        return absent
    return example.options[told] if task.kind == "choice" else told
