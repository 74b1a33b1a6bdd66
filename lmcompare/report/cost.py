"""What the arms cost beside what they reach: the page's section, the terminal's lines, and the sentence about time."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from lmcompare.comparison import ArmCost, Comparison, RunFacts
from lmcompare.frontier import front, ratio
from lmcompare.report import charts, scatter
from lmcompare.report.figures import NOTHING, counted, points


@dataclass(frozen=True)
class Column:
    measure: str  # one of comparison.MEASURES
    name: str
    short: str  # on the terminal; "" where it has no room
    told: Callable[[float], str]


def three(value: float) -> str:
    """Three digits, and never an exponent."""
    if value == 0:
        return "0"
    text = f"{value:.3g}"
    if abs(value) >= 100:
        return f"{float(text):,.0f}"
    return f"{value:.9f}".rstrip("0").rstrip(".") if "e" in text else text


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{three(seconds)} s"
    return f"{three(seconds / 60)} min" if seconds < 7200 else f"{three(seconds / 3600)} h"


def scaled(value: float, units: tuple[str, ...], step: float = 1000) -> str:
    """In the unit that leaves a number before the point; none of them is skipped."""
    for unit in units[:-1]:
        if max(abs(value), float(f"{abs(value):.3g}")) < step:
            return f"{three(value)} {unit}".strip()
        value /= step
    return f"{three(value)} {units[-1]}"


def number(value: float) -> str:
    return scaled(value, ("", "k", "M", "G"))


def octets(value: float) -> str:
    return scaled(value, ("B", "kB", "MB", "GB", "TB"))


def mebibytes(value: float) -> str:
    """As memory is measured: 1,024 of a unit are one of the next."""
    return scaled(value, ("MiB", "GiB", "TiB"), 1024)


def milliseconds(value: float) -> str:
    return f"{three(value)} ms"


def joules(value: float) -> str:
    return scaled(value, ("J", "kJ", "MJ", "GJ"))


COLUMNS = (
    Column("seconds", "time", "time", duration),
    Column("seconds_cached", "time, layers cached", "cached", duration),
    Column("milliseconds", "an answer", "an answer", milliseconds),
    Column("cold_milliseconds", "an answer, layers computed", "", milliseconds),
    Column("trained", "trained parameters", "trained", number),
    Column("total", "all parameters", "", number),
    Column("tokens", "tokens seen", "", number),
    Column("memory_mb", "memory", "memory", mebibytes),
    Column("gpu_memory_mb", "GPU memory", "GPU", mebibytes),
    Column("needed_bytes", "disk to answer", "disk", octets),
    Column("model_bytes", "disk of its own", "", octets),
    Column("features_bytes", "disk of the layers", "layers", octets),
    Column("joules", "energy", "energy", joules),
)
CHOICES = (("seconds", "Time to train"), ("milliseconds", "Time an answer"), ("trained", "Trained parameters"),
           ("memory_mb", "Memory"))  # fmt: skip


def columns(comparison: Comparison) -> list[Column]:
    """Those that say something of an arm."""
    rows = comparison.costs
    return [c for c in COLUMNS if any(row.figures[c.measure].mean is not None for row in rows)]


def cells(row: ArmCost, shown: list[Column]) -> list[str]:
    means = [(column, row.figures[column.measure].mean) for column in shown]
    return [NOTHING if mean is None else column.told(mean) for column, mean in means]


def costs(comparison: Comparison, colors: dict[str, int]) -> dict[str, Any] | None:
    """The section; None where nothing was measured, or there is nothing to compare."""
    if not (shown := columns(comparison)) or len(comparison.arms) < 2:
        return None
    quality = {mean.arm: mean.mean for mean in comparison.means}
    charted = [chart(comparison, colors, *choice) for choice in CHOICES]
    return {
        "charts": [one for one in charted if one],
        "columns": [column.name for column in shown],
        "rows": [
            {
                "arm": row.arm,
                "color": charts.color(colors[row.arm]),
                "index": colors[row.arm],
                "mean": points(quality[row.arm]),
                "cells": cells(row, shown),
                "runs": row.runs,
            }
            for row in comparison.costs
        ],
        "notes": notes(comparison),
    }


def chart(comparison: Comparison, colors: dict[str, int], measure: str, name: str) -> dict[str, Any] | None:
    """The arms by one cost, with their front; None for fewer than two."""
    column = next(column for column in COLUMNS if column.measure == measure)
    quality = {mean.arm: mean.mean for mean in comparison.means}
    found = [(row.arm, row.figures[measure].mean, quality[row.arm]) for row in comparison.costs]
    known = [(arm, cost, mean) for arm, cost, mean in found if cost is not None and mean is not None]
    if len(known) < 2:
        return None
    best = front([(cost, mean) for _, cost, mean in known])
    spots = [
        scatter.Spot(arm, cost, 100 * mean, colors[arm], titled(arm, mean, column.told(cost)), n in best)
        for n, (arm, cost, mean) in enumerate(known)
    ]
    on_front = "; ".join(known[n][0] for n in best)
    absent = [arm for arm, cost, mean in found if cost is None or mean is None]
    return {
        "name": name,
        "svg": scatter.plot(
            spots,
            [(known[n][1], 100 * known[n][2]) for n in best],
            told=column.told,
            label=f"Mean score against {name.lower()}. On the front: {on_front}. "
            + "; ".join(spot.title for spot in spots),
        ),
        "front": on_front,
        "absent": "; ".join(absent),
    }


def titled(arm: str, mean: float, cost: str) -> str:
    return f"{arm}: {points(mean)} points, {cost}"


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know of these figures."""
    memory = reasons(run.cost.memory_reason for run in comparison.runs)
    return [
        *warnings(comparison),
        *(f"Memory of {counted(n, 'run')}: {reason}." for reason, n in memory.items()),
        *energy(comparison.runs),
    ]


def warnings(comparison: Comparison) -> list[str]:
    """Of these, without which the figures mislead: for a terminal, too."""
    out = [*shared_models(comparison)]
    devices = dict.fromkeys(device for row in comparison.costs for device in row.devices)
    if len(devices) > 1:
        out.append(f"Not all runs had the same device, so times are not alike: {', '.join(devices)}.")
    lost = [run for run in comparison.runs if run.status == "finished" and run.cost.seconds is None]
    if lost:
        out.append(
            f"{counted(len(lost), 'run')} of which an attempt was killed: its time is not known and enters no mean."
        )
    return out


def energy(runs: tuple[RunFacts, ...]) -> list[str]:
    """Whose it is, and why some runs have no figure for it, in the words of their results."""
    whose = reasons(
        " and ".join(run.cost.joules_of) for run in runs if run.cost.joules is not None and run.cost.joules_of
    )
    told = "whole packages and GPUs, with what ran beside"
    return [
        *(f"Energy of {counted(n, 'run')} is that of {of}: {told}." for of, n in whose.items()),
        *(
            f"Energy of {counted(n, 'run')}: {reason}."
            for reason, n in reasons(run.cost.joules_reason for run in runs).items()
        ),
    ]


def reasons(said: Iterable[str | None]) -> dict[str, int]:
    """Each with how often it was said."""
    return dict(Counter(reason for reason in said if reason))


def shared_models(comparison: Comparison) -> list[str]:
    """The pretraining behind the arms: told once, and in no arm's figures."""
    told = []
    for facts in comparison.pretraining:
        users = [row.arm for row in comparison.costs if facts.run in row.pretraining]
        if facts.seconds is None or not users:
            continue
        took = "a time that is not known" if facts.cost.seconds is None else duration(facts.cost.seconds)
        size = "" if facts.cost.total is None else f", {number(facts.cost.total)} parameters"
        told.append(f"{facts.run} ({took}{size}) for {' and '.join(users)}")
    return [f"Not in these figures, as it is done once: the pretraining {'; '.join(told)}."] if told else []


ORDINALS = (
    "third",
    "quarter",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
)
CLOSE = 0.1  # how far, in its own size, a share may lie from the fraction that it is called


def cheaper(comparison: Comparison, tuned: str, features: str) -> list[str]:
    """One sentence on the time of two ways to use the same weights, where both were measured."""
    return timed(comparison, [(tuned, features)], (tuned, features), " once its layers are cached")


def quicker(comparison: Comparison, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """The same of several models, each with as many runs as any other."""
    return timed(comparison, pairs, ("fine-tuning", "feature extraction"), " once the layers are cached")


def timed(
    comparison: Comparison, pairs: Sequence[tuple[str, str]], names: tuple[str, str], cached: str
) -> list[str]:
    for measure, once in (("seconds_cached", cached), ("seconds", "")):
        each = [ratio(features, tuned, comparison.runs, (measure, "seconds")) for tuned, features in pairs]
        known = [two for two in each if two and min(two) > 0]
        if len(known) == len(pairs):
            a, b = (fmean(side) for side in zip(*known, strict=True))
            if not once and abs(a / b - 1) <= CLOSE:
                continue
            told = f"({duration(a)} a run against {duration(b)})"
            return [f"{names[1]} takes {compared(a / b)} {names[0]}{once} {told}."]
    return []


def compared(share: float) -> str:
    """0.11 → a ninth of the time of"""
    if abs(share - 1) <= CLOSE:
        return "about as long as"
    if share > 1:
        return f"{three(round(share, 1))} times as long as"
    if abs(share - 0.5) <= CLOSE * share:
        return "half the time of"
    parts = round(1 / share)
    if 3 <= parts <= len(ORDINALS) + 2 and abs(share - 1 / parts) <= CLOSE * share:
        return f"a{'n' * (parts in (8, 11))} {ORDINALS[parts - 3]} of the time of"
    return (
        f"{max(1, round(100 * share))} % of the time of" if share >= 0.01 else "less than 1 % of the time of"
    )
