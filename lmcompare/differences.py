"""Which pairs of arms are asked for, and what their answers to the same examples say of each."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeVar

from lmcompare import disagreements, files, paired, registry, results
from lmcompare.comparison import (
    APART,
    Cell,
    Contest,
    Disagreement,
    Draw,
    Mark,
    Paired,
    Ranks,
    RunFacts,
    TaskFacts,
)
from lmcompare.evaluation import whole
from lmcompare.metrics import Undefined
from lmcompare.resampling import Prepared, prepare
from lmcompare.tasks import facts as published

if TYPE_CHECKING:
    from lmcompare.results import Record

T = TypeVar("T")
Pair = tuple[str, str]
Role = tuple[str | None, str | None, str | None]  # backend, kind of run, and where its weights come from
STATIC = "static"  # the backend with one vector a word
FEW = 4  # so many arms are all compared with each other


def roles(runs: Iterable[RunFacts], arms: Sequence[str]) -> dict[Role, str]:
    """The arms whose finished runs are all of one role, where no other arm has the same."""
    seen: dict[str, set[Role]] = {arm: set() for arm in arms}
    for run in runs:
        if run.kind:
            seen[run.arm].add((run.backend, run.kind, run.weights))
    found: dict[Role, list[str]] = {}
    for arm in arms:
        if len(seen[arm]) == 1:
            found.setdefault(next(iter(seen[arm])), []).append(arm)
    return {role: several[0] for role, several in found.items() if len(several) == 1}


def controlled(arms: Mapping[Role, str]) -> list[Pair]:
    """Pretrained arms with their random start, fine-tuned ones first."""
    found = [
        (kind != "finetune", arm, arms[backend, kind, "random"])
        for (backend, kind, weights), arm in arms.items()
        if weights == "pretrained" and (backend, kind, "random") in arms
    ]
    return [(arm, random) for _, arm, random in sorted(found, key=lambda entry: entry[0])]


def ways(arms: Mapping[Role, str]) -> list[Pair]:
    """Both ways of using one backend's pretrained weights: fine-tuned, and as features."""
    return [
        (arms[backend, "finetune", "pretrained"], arm)
        for (backend, kind, weights), arm in arms.items()
        if (kind, weights) == ("features", "pretrained") and (backend, "finetune", "pretrained") in arms
    ]


def in_context(arms: Mapping[Role, str]) -> list[Pair]:
    """Frozen features that depend on the context, each with the arm of one vector a word."""
    static = arms.get((STATIC, "features", "pretrained"))
    wanted = ("features", "pretrained")
    return [
        (arm, static) for (b, *way), arm in arms.items() if static and b != STATIC and tuple(way) == wanted
    ]


def asked(runs: Iterable[RunFacts], arms: Sequence[str]) -> list[Pair]:
    """Where a study states no comparison: those that the roles of its arms suggest; else all, of a few."""
    found = roles(runs, arms)
    pairs = [*controlled(found), *ways(found), *in_context(found)]
    if not pairs and len(arms) <= FEW:
        pairs = [(a, b) for i, a in enumerate(arms) for b in arms[:i]]
    return list(dict.fromkeys(pairs))


def orderless(runs: Iterable[RunFacts]) -> set[str]:
    """Arms without an order of the data: baselines."""
    kinds: dict[str, set[str]] = {}
    for run in runs:
        if run.kind:
            kinds.setdefault(run.arm, set()).add(run.kind)
    return {arm for arm, several in kinds.items() if several == {"baseline"}}


def matched(
    ours: Mapping[Draw, T], theirs: Mapping[Draw, T], floors: tuple[bool, bool]
) -> dict[Draw, tuple[T, T]]:
    """What two arms have of the same seeds and orders. `floors`: which of them has no order, so that what it has of a
    seed stands for every order."""
    found = {}
    for draw in theirs if floors[0] else ours:
        mine, other = ((draw[0], None) if floor else draw for floor in floors)
        if mine in ours and other in theirs:
            found[draw] = (ours[mine], theirs[other])
    return found


def of_pairs(
    pairs: Sequence[Pair],
    tasks: Sequence[TaskFacts],
    rows: Sequence[tuple[str, "Record"]],
    runs: Sequence[RunFacts],
    margin: float | None,
    marks: Iterable[Mark] = (),
) -> tuple[tuple[Paired, ...], tuple[Disagreement, ...]]:
    """Task by task for each pair, p-values corrected over its tasks; and the examples on which they disagree. An arm
    that `marks` set apart on a task is held against nobody there."""
    kept: dict[Pair, dict[Draw, Record]] = {}
    for (arm, record), facts in zip(rows, runs, strict=True):
        if facts.value is not None:
            kept.setdefault((arm, facts.task), {})[facts.seed, facts.data_seed] = record
    apart = {(mark.arm, mark.task): mark.reason for mark in marks if mark.level == APART}
    floors = orderless(runs)
    out: list[Paired] = []
    torn: list[Disagreement] = []
    read = Answers()
    by_task: dict[str, list[Paired]] = {}
    for task in tasks:
        for a, b in pairs:
            places = [(arm, task.name) for arm in (a, b)]
            first, second = (kept.get(place, {}) for place in places)
            both = matched(first, second, (a in floors, b in floors))
            two = [[records[side] for records in both.values()] for side in (0, 1)]
            if why := [f"{apart[place]} ({place[0]})" for place in places if place in apart]:
                reason = f"cannot fairly be compared: {'; '.join(why)}"
                found = Paired(a, b, task.name, 0, reason=reason)
            else:
                found = on_task(a, b, task, two[0], two[1], margin, read, [*both])
            by_task.setdefault(f"{a}\0{b}", []).append(found)
            if found.difference is not None:
                ours, theirs = ([read.of(record, task) for record in records] for records in two)
                torn.append(_torn(a, b, task, ours, theirs))
        read.clear()
    for several in by_task.values():
        corrected = paired.holm([one.p for one in several])
        for one, p in zip(several, corrected, strict=True):
            out.append(replace(one, p_holm=p, verdict=paired.corrected(one.verdict, p)))
    return tuple(out), tuple(torn)


def on_task(
    a: str, b: str, task: TaskFacts, ours: list["Record"], theirs: list["Record"], margin: float | None,
    read: "Answers", draws: Sequence[Draw] = (),
) -> Paired:  # fmt: skip
    """One pair on one task; where there is nothing to pair, the reason. `draws`: the seeds of each pair of runs."""
    groups = paired.drawn_together(draws)
    nothing = Paired(a, b, task.name, len(set(groups)) or len(ours))
    if not ours:
        return replace(nothing, reason="no seed of both has a value")
    try:
        first, second = ([read.of(record, task) for record in records] for records in (ours, theirs))
    except LookupError as error:
        return replace(nothing, reason=str(error.args[0]))
    if len({tuple(one.ids) for one in (*first, *second)}) > 1:
        return replace(nothing, reason="they answered different examples")
    if any(one.gold != first[0].gold for one in (*first, *second)):
        return replace(nothing, reason="the right answers are not the same: another version of the data")
    left, right = ([one.prepared for one in several] for several in (first, second))
    key = f"{task.name}\0{a}\0{b}"
    found = paired.interval(left, right, groups=groups, key=key)
    if found is None:
        return replace(nothing, reason=f"{task.metric} is undefined for some of the answers")
    flips = None
    if (mark := first[0].right) is not None:
        told = [[one.told for one in several] for several in (first, second)]
        flips = paired.flips(first[0].gold, told[0], told[1], mark)
    return Paired(
        a=a,
        b=b,
        task=task.name,
        difference=found.difference,
        low=found.low,
        high=found.high,
        p=_chance(task, first, second, groups, key),
        p_holm=None,
        a_right=flips.a_right if flips else None,
        b_right=flips.b_right if flips else None,
        differ=flips.differ if flips else None,
        examples=found.examples,
        seeds=found.seeds,
        verdict=paired.verdict(found, margin),
        reason=found.reason,
    )


def _torn(a: str, b: str, task: TaskFacts, first: list["Kept"], second: list["Kept"]) -> Disagreement:
    one, (ours, theirs) = first[0], ([kept.told for kept in several] for several in (first, second))
    return disagreements.between(a, b, task.name, one.ids, one.gold, ours, theirs, one.right)


def _chance(
    task: TaskFacts, first: list["Kept"], second: list["Kept"], groups: Sequence[Any], key: str
) -> float | None:
    """The p-value: McNemar's exact one where there is one seed and an answer is right or wrong, else by permutation."""
    (one, *more), other = first, second[0]
    if task.metric == "accuracy" and not more and not isinstance(one.gold[0], tuple):
        return paired.mcnemar(one.gold, one.told, other.told)
    ours, theirs = ([kept.prepared for kept in several] for several in (first, second))
    return paired.permutation(ours, theirs, groups=groups, key=key)


class Kept:
    """A run's answers to the split that tables report."""

    def __init__(self, record: "Record", task: TaskFacts) -> None:
        path = record.path / f"predictions-{task.split}.jsonl"
        if not path.is_file():
            raise LookupError(f"{record.run}: no answers to {task.split} are kept")
        rows = sorted(results.read_lines(path), key=lambda row: str(row["id"]))
        self.ids = [str(row["id"]) for row in rows]
        self.gold = [whole(row["label"]) for row in rows]
        self.told = [whole(row["prediction"]) for row in rows]
        labels = labels_of(record)
        if task.metric == "f1" and len(labels) != 2:
            raise LookupError(f"{record.run}: does not say which of its classes is the positive one")
        try:
            self.prepared: Prepared = prepare(str(task.metric), self.gold, self.told, labels)
        except Undefined as reason:
            raise LookupError(str(reason)) from None
        self.right = rightness(record)


class Answers:
    """Answers that have been read, for as long as their task is at hand."""

    def __init__(self) -> None:
        self._read: dict[Path, Kept] = {}

    def of(self, record: "Record", task: TaskFacts) -> Kept:
        if record.path not in self._read:
            self._read[record.path] = Kept(record, task)
        return self._read[record.path]

    def clear(self) -> None:
        self._read.clear()


def labels_of(record: "Record") -> tuple[str, ...]:
    """The task's labels in its own order, as the result has them, or beside the model, or as the task was published."""
    told = (record.result or {}).get("labels")
    path = record.path / "model" / "task.json"
    if told is None and path.is_file():
        told = files.read_json(path)["labels"]
    table = record.config.get("task")
    name = table.get("name") if isinstance(table, dict) else table
    if told is None and name in registry.tasks.names():
        told = published.of(str(name)).labels
    return tuple(told or ())


def rightness(record: "Record") -> Callable[[Any, Any], bool] | None:
    """When an answer counts as right; a score is never simply right."""
    kind = (record.result or {}).get("task_kind")
    if kind == "score":
        return None
    if kind == "span":
        from lmcompare.metrics.answers import match_or_empty

        return lambda gold, told: bool(match_or_empty(gold, told))
    return lambda gold, told: bool(gold == told)


def contests(found: Sequence[Paired]) -> tuple[Contest, ...]:
    """Each pair over its tasks. The bounds of the mean: those of the tasks, as of independent figures."""
    pairs: dict[Pair, list[Paired]] = {}
    for one in found:
        pairs.setdefault((one.a, one.b), []).append(one)
    out = []
    for (a, b), several in pairs.items():
        known = [one for one in several if one.difference is not None]
        low, high = (bound(known, side) for side in ("low", "high"))
        said = [one.verdict for one in known]
        out.append(
            Contest(
                a=a,
                b=b,
                tasks=len(known),
                wins=said.count("win"),
                losses=said.count("loss"),
                equal=said.count("equal"),
                open=said.count("open"),
                difference=fmean(one.difference or 0.0 for one in known) if known else None,
                low=low,
                high=high,
            )
        )
    return tuple(out)


def bound(known: Sequence[Paired], side: str) -> float | None:
    """Of the mean over the tasks; None where a task has none."""
    ends = [(one.difference or 0.0, getattr(one, side)) for one in known]
    if not ends or any(end is None for _, end in ends):
        return None
    away = math.hypot(*(end - middle for middle, end in ends)) / len(ends)
    return fmean(middle for middle, _ in ends) + (away if side == "high" else -away)


def ranks(arms: Sequence[str], tasks: Sequence[TaskFacts], cells: Mapping[Pair, Cell]) -> Ranks | None:
    """Mean ranks over the tasks on which every arm has a figure; none for two arms or fewer, or a single task."""
    rows = [[cells[arm, task.name].mean for arm in arms] for task in tasks]
    full = [[value for value in row if value is not None] for row in rows if None not in row]
    if len(arms) < 3 or len(full) < 2:
        return None
    means = paired.average_ranks(full)
    ordered = sorted(zip(arms, means, strict=True), key=lambda entry: entry[1])
    return Ranks(tuple(ordered), len(full), paired.critical_difference(len(arms), len(full)))
