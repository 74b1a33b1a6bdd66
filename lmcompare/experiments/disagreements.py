"""The texts of the examples on which arms disagree: run folders keep ids and answers, the tasks' data has the rest."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lmcompare import evaluation, hub, registry
from lmcompare.comparison import Comparison, Disagreement
from lmcompare.config import fingerprint
from lmcompare.errors import UserError
from lmcompare.experiments.task_data import data_folder, loaded
from lmcompare.types import Example

Found = dict[str, Example] | str  # the examples by id, or why there are none


def with_texts(comparison: Comparison, data: Path | None) -> Comparison:
    """Texts where their task's data lies at hand, and where it is the data that the runs answered; nothing is fetched,
    and what is missing says so."""
    tables = {run: table.get("task") for run, table in comparison.settings}
    splits = {task.name: task.split for task in comparison.tasks}
    of = {(run.arm, run.task): tables.get(run.run) for run in comparison.runs if run.value is not None}
    read: dict[str, Found] = {}
    told = []
    for one in comparison.disagreements:
        table, split = of.get((one.a, one.task)), str(splits[one.task])
        key = fingerprint({"task": table, "split": split})
        if key not in read:
            read[key] = examples_of(table, split, data)
        told.append(filled(one, read[key]))
    return replace(comparison, disagreements=tuple(told))


def examples_of(table: Any, split: str, data: Path | None) -> Found:
    """The split as it lies here."""
    if not isinstance(table, dict):
        return "the run does not say which task it is"
    try:
        with hub.shut():
            task = registry.tasks.build(dict(registry.tasks.meant(table)), data_folder(data))
            splits, _ = loaded(task, [split])
    except UserError as error:
        return str(error)
    return {example.id: example for example in splits[split]}


def filled(one: Disagreement, found: Found) -> Disagreement:
    if isinstance(found, str):
        return replace(one, textless=found)
    texts = {torn.id: found[torn.id] for torn in one.shown if torn.id in found}
    same = all(
        evaluation.whole(evaluation.gold(texts[torn.id])) == torn.gold
        for torn in one.shown
        if torn.id in texts
    )
    if not same or len(texts) < len({torn.id for torn in one.shown}):
        return replace(one, textless="the data here is not what the runs answered")
    return replace(one, texts=texts)
