"""What arms cost beside what they reach: every run's own cost as its result has it, means of an arm, and which arms no
other one beats. The pretraining of a model is no run's own: it stands beside, once, however many runs share it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lmcompare.comparison import MEASURES, ArmCost, CostFigure, RunCost, RunFacts

if TYPE_CHECKING:
    from lmcompare.results import Record

Point = tuple[float | None, float | None]  # cost, quality


def run_cost(result: Mapping[str, Any]) -> RunCost:
    """Of a result, which may be older than these figures, or empty."""
    told = result.get("cost") or {}
    energy, layers, answers = (told.get(key) or {} for key in ("energy", "features", "inference"))
    sizes = result.get("parameters") or {}
    # An attempt that was killed took time that nobody counted; an old result of several does not say.
    whole = told["lost_attempts"] == 0 if told else result.get("attempts", 1) == 1
    seconds = result.get("seconds") if whole else None
    here, device = layers.get("computed_seconds"), result.get("device")
    if device == "cpu" and result.get("threads"):  # as those say it that use torch
        device = f"cpu, {result['threads']} threads"
    # Older results say what a run keeps alone, which is all where it has tuned an encoder of its own.
    own = None if result.get("together") else told.get("model_bytes")
    return RunCost(
        device=device,
        seconds=seconds,
        seconds_cached=None if seconds is None or here is None else max(0.0, round(seconds - here, 3)),
        milliseconds=answers.get("milliseconds"),
        cold_milliseconds=answers.get("cold_milliseconds"),
        tokens=result.get("tokens"),
        trained=sizes.get("trained"),
        total=sizes.get("total"),
        memory_mb=result.get("peak_memory_mb"),
        gpu_memory_mb=told.get("gpu_memory_mb"),
        model_bytes=told.get("model_bytes"),
        needed_bytes=told.get("needed_bytes", own if result.get("kind") == "finetune" else None),
        features_bytes=layers.get("bytes"),
        joules=energy.get("joules"),
        joules_of=tuple(energy.get("of") or ()),
        joules_reason=energy.get("reason"),
        memory_reason=told.get("memory_reason"),
    )


def arm_costs(
    arms: Sequence[str],
    tasks: Sequence[str],
    runs: Sequence[RunFacts],
    records: Sequence["Record"],
    pretraining: Sequence[str],
) -> tuple[ArmCost, ...]:
    """An arm a row; `pretraining`: the runs that a model may come from, where they are at hand."""
    out = []
    for arm in arms:
        mine = [(run, r) for run, r in zip(runs, records, strict=True) if run.arm == arm and r.result]
        behind = {name for _, record in mine for name in models_of(record)}
        devices = dict.fromkeys(run.cost.device for run, _ in mine if run.cost.device)
        out.append(
            ArmCost(
                arm=arm,
                runs=len(mine),
                figures={name: figure(name, tasks, [run for run, _ in mine]) for name in MEASURES},
                devices=tuple(devices),
                pretraining=tuple(name for name in pretraining if name in behind),
            )
        )
    return tuple(out)


def figure(name: str, tasks: Sequence[str], runs: Sequence[RunFacts]) -> CostFigure:
    """The mean over the tasks of the mean over each one's runs; none where a task has no run that tells."""
    by_task: dict[str, list[float]] = {task: [] for task in tasks}
    for run in runs:
        if (value := getattr(run.cost, name)) is not None:
            by_task[run.task].append(value)
    full = bool(by_task) and all(by_task.values())
    mean = fmean(fmean(values) for values in by_task.values()) if full else None
    return CostFigure(mean, sum(map(len, by_task.values())))


def models_of(record: "Record") -> set[str]:
    """The runs that the weights went through, by name, before this one."""
    if record.config.get("weights") == "random":
        return set()
    steps = (record.result or {}).get("lineage") or []
    return {str(step.get("run")) for step in steps} | {Path(str(record.config.get("model") or "")).name}


def front(points: Sequence[Point]) -> list[int]:
    """Which points no other beats, the cheapest first: none is better at the same cost, or as good for less. Equal
    points stand on it together; one without a figure never does."""
    known = [
        (cost, -quality, number)
        for number, (cost, quality) in enumerate(points)
        if cost is not None and quality is not None
    ]
    found: list[tuple[float, float, int]] = []
    for cost, worse, number in sorted(known):
        if not found or worse < found[-1][1] or (cost, worse) == found[-1][:2]:
            found.append((cost, worse, number))
    return [number for _, _, number in found]


def ratio(a: str, b: str, runs: Sequence[RunFacts], names: tuple[str, str]) -> tuple[float, float] | None:
    """What a run of each of two arms costs on average over the tasks on which both tell it, each by its own measure;
    nothing where they computed on different devices."""
    two = [[run for run in runs if run.arm == arm] for arm in (a, b)]
    if len({run.cost.device for several in two for run in several if run.status == "finished"}) != 1:
        return None
    values: list[dict[str, list[float]]] = [{}, {}]
    for several, name, table in zip(two, names, values, strict=True):
        for run in several:
            if (value := getattr(run.cost, name)) is not None:
                table.setdefault(run.task, []).append(value)
    both = [task for task in values[0] if task in values[1]]
    if not both:
        return None
    first, second = (fmean(fmean(table[task]) for task in both) for table in values)
    return first, second
