"""`lmc reproduce`: a published table beside what a study comes to here, figure by figure; and whether what the table is
cited for holds here, too. In its micro form only the latter is asked: figures of another world are no match."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from lmcompare import config as configs
from lmcompare import differences, files, models, results
from lmcompare import statistics as summary
from lmcompare.comparison import Comparison
from lmcompare.errors import DataError, ModelError, UserError
from lmcompare.experiments import compare, placing, studies, suite
from lmcompare.experiments.grid import Grid
from lmcompare.experiments.ledger import LEDGER, in_order, record_of
from lmcompare.experiments.published import Claim, Column, Form, Published, Row, read, tables
from lmcompare.results import Record

__all__ = ["reproduce", "tables"]

FORMAT = 1
FULL, MICRO, FINISHED = "full", "micro", "finished"
SLACK = 1e-9  # two figures in binary are never told apart below it

Rows = list[tuple[str, Record]]


def reproduce(
    name: str,
    *,
    micro: bool = False,
    of: Path | None = None,
    model: str = "",
    assignments: Sequence[str] = (),
    jobs: int | None = None,
    executor: str = "",
    address: str = "",
    data: Path | None = None,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Make what is missing of the table's study, or take a finished one, and hold it against the table."""
    table = read(name)
    if of is not None:
        if micro or model or assignments:
            raise UserError("--of: a finished study is as it is; leave --micro, --model and --set out")
        if jobs or executor or address:
            raise UserError("--of: nothing is made; leave --jobs, --executor and --address out")
        return judged(name, table, of, FINISHED, [])
    assignments, settings = placing.split(assignments)
    if micro:
        if model:
            raise UserError("--model: the micro form pretrains its own; leave --micro out, or the model")
        study, left = planned(table, table.micro, assignments), list[str]()
    else:
        study, left = named(planned(table, table.full, assignments, model))
    studies.check(study)
    for sentence in left:
        note(sentence)
    if not micro:
        for sentence in ready(name, study, data):
            note(sentence)
    folder = results.root() / f"reproduce-{Path(name).stem}{'-micro' * micro}"
    chosen = placing.executor(executor, settings, address=address, jobs=jobs, note=note)
    grid = Grid(study, folder, note=note, executor=chosen, data=data)
    compare.run_study(grid)
    return judged(name, table, folder, MICRO if micro else FULL, left)


def planned(table: Published, form: Form, assignments: Sequence[str], model: str = "") -> studies.Study:
    """The study in one of the table's forms."""
    over = form.study
    if model:
        if not form.model:
            raise UserError("--model: this table compares several; name each by --set models.NAME.model=...")
        over = configs.merge(over, {"models": {form.model: {"model": model, "pretrain": ""}}})
    study = studies.read(table.study, assignments, over)
    return studies.only(study, form.arms or [arm.name for arm in study.arms])


def named(study: studies.Study) -> tuple[studies.Study, list[str]]:
    """The study without the arms whose models nobody has named, and a sentence for each such model."""
    open_, left, kept = studies.unnamed(study), [], []
    for arm in study.arms:
        model = (study.models[arm.model].like or arm.model) if arm.model else ""
        if model in open_:
            left.append(f"left out: {arm.name}; --set models.{model}.model=... names a model for it")
        else:
            kept.append(arm.name)
    if not any(arm.model for arm in study.arms if arm.name in kept):
        raise UserError("; ".join(left))
    return studies.only(study, kept), left


def ready(name: str, study: studies.Study, data: Path | None) -> list[str]:
    """What is to be said before a long run begins; where something lacks, all of it in one error."""
    import torch

    lacks = no_data(study, data)
    without = bool(lacks)
    for model in dict.fromkeys(model.model for model in study.models.values() if model.model):
        try:
            models.find(model)
        except UserError as error:
            lacks.append(str(error))
    graphics = torch.cuda.is_available()
    if lacks:
        lines = [*lacks, *([] if graphics else ["a GPU: there is none here"])]
        told = "".join(f"\n  {line}" for line in lines)
        why = f"{name} at full size lacks:{told}\n`lmc reproduce {name} --micro` lacks nothing"
        raise DataError(why) if without else ModelError(why)
    return [] if graphics else ["no GPU here: at full size this takes days"]


def no_data(study: studies.Study, data: Path | None) -> list[str]:
    """The tasks without data, those with the same cause together."""
    causes: dict[str, list[str]] = {}
    for task in study.tasks:
        found = suite.look(task, study.by_task.get(task, {}), data)
        if isinstance(found, str):
            causes.setdefault(found.replace(f"show {task}`", "show TASK`"), []).append(task)
    return [
        f"data for {', '.join(tasks)}: {cause.replace('TASK`', f'{tasks[0]}`') if len(tasks) == 1 else cause}"
        for cause, tasks in causes.items()
    ]


def judged(name: str, table: Published, folder: Path, form: str, left: list[str]) -> dict[str, Any]:
    """The table beside a study's folder."""
    if not (folder / LEDGER).is_file():
        raise UserError(f"{folder}: holds no study; `lmc compare {table.study}` makes one")
    ledger = files.read_json(folder / LEDGER)
    found: Rows = [(entry["arm"], record_of(folder, entry)) for entry in ledger["runs"].values()]
    rows = [row for row in in_order(ledger, found) if summary.task_of(row[1]) is not None]
    arms = {arm for arm, _ in rows}
    tasks = list(dict.fromkeys(str(summary.task_of(record)) for _, record in rows))
    asked = [
        claim
        for claim in table.claims
        if {claim.more, claim.than} <= arms and (not claim.tasks or set(claim.tasks) & set(tasks))
    ]
    cells = [
        cell(row, column, table, rows)
        for row in table.rows
        for column in row.points
        if table.columns[column].task in tasks and row.arm in arms
    ]
    if not (cells or asked):
        raise UserError(f"{folder}: none of {name}'s arms is here; its study is {table.study}")
    claims: list[dict[str, Any]] = []
    if asked:
        pairs = list(dict.fromkeys((claim.more, claim.than) for claim in asked))
        together = summary.summarize(rows, title=table.title, compare=pairs)
        claims = [held(claim, table, together) for claim in asked]
    lost = [(arm, record) for arm, record in rows if record.status == "failed"]
    return {
        "format": FORMAT,
        "table": name,
        "title": table.title,
        "source": table.source,
        "note": table.note,
        "form": form,
        "study": ledger["title"] if form == FINISHED else table.study,
        "folder": str(folder),
        "tasks": tasks,
        "seeds": len({(record.config.get("seed"), record.config.get("data_seed")) for _, record in rows}),
        "cells": cells,
        "claims": claims,
        "left_out": left,
        "failed": [{"run": record.run, "arm": arm, "reason": reason(record)} for arm, record in lost],
    }


def reason(record: Record) -> str:
    return (record.failure or {}).get("reason") or "no reason is on record"


def cell(row: Row, name: str, table: Published, rows: Rows) -> dict[str, Any]:
    """One published figure beside ours, as shares."""
    column = table.columns[name]
    mine = [r for arm, r in rows if arm == row.arm and summary.task_of(r) == column.task]
    found = [figure(record, column) for record in mine]
    values = [value for value in found if value is not None]
    paper, tolerance = row.points[name] / 100, (column.tolerance or table.tolerance) / 100
    ours = fmean(values) if values else None
    apart = None if ours is None else ours - paper
    return {
        "row": row.name,
        "column": name,
        "arm": row.arm,
        "task": column.task,
        "split": column.split,
        "metric": column.metric,
        "paper": round(paper, 6),
        "ours": ours,
        "sd": stdev(values) if len(values) > 1 else None,
        "runs": len(values),
        "without": len(mine) - len(values),
        "difference": apart,
        "tolerance": round(tolerance, 6),
        "verdict": None if apart is None else "pass" if abs(apart) <= tolerance + SLACK else "fail",
    }


def figure(record: Record, column: Column) -> float | None:
    return ((record.result or {}).get("metrics") or {}).get(column.split, {}).get(column.metric)


def held(claim: Claim, table: Published, together: Comparison) -> dict[str, Any]:
    """Whether a claim holds here, and how sure that is."""
    pair = (claim.more, claim.than)
    names = [task.name for task in together.tasks if not claim.tasks or task.name in claim.tasks]
    known = [
        one
        for one in together.paired
        if (one.a, one.b) == pair and one.task in names and one.difference is not None
    ]
    low = high = None
    if len(known) == len(names):
        apart = [one.difference for one in known if one.difference is not None]
        low, high = (differences.bound(known, side) for side in ("low", "high"))
    else:  # answers that cannot be paired: the means alone
        cells = [[together.cell(arm, name).mean for arm in pair] for name in names]
        apart = [two[0] - two[1] for two in cells if two[0] is not None and two[1] is not None]
    difference = fmean(apart) if apart else None
    sure = None if low is None or high is None else met(claim, low) or not met(claim, high)
    return {
        "says": claim.says,
        "more": claim.more,
        "than": claim.than,
        "by": round(claim.by / 100, 6),
        "paper": published(claim, table),
        "difference": difference,
        "low": low,
        "high": high,
        "tasks": len(apart),
        "of": len(names),
        "verdict": None if difference is None else "holds" if met(claim, difference) else "fails",
        "sure": sure,
    }


def met(claim: Claim, difference: float) -> bool:
    """By as much as is claimed, or more; who is to be better, and no word of how much, must not be level."""
    return difference >= claim.by / 100 - SLACK if claim.by else difference > SLACK


def published(claim: Claim, table: Published) -> float | None:
    """The paper's own difference: over the columns in which it has both rows."""
    by_arm = {row.arm: row.points for row in table.rows}
    first, second = (by_arm.get(arm, {}) for arm in (claim.more, claim.than))
    apart = [
        first[name] - second[name]
        for name, column in table.columns.items()
        if name in first and name in second and (not claim.tasks or column.task in claim.tasks)
    ]
    return round(fmean(apart) / 100, 6) if apart else None
