"""Which rows of a comparison cannot fairly stand beside the others, and why. What arms are and how they learn differs
on purpose; marked is what should be alike and is not: the figure, the data, how much of it is seen, the start. Where
one way of working stands in several arms with several values of such a thing, that is what the comparison is about.

Three levels. Apart: another figure, or another version of the split that it is of; it is shown, and enters no mean, no
difference between means and no rank. Unfair: it counts, and its reason must be read with it. Told: good to know."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from lmcompare import lineage
from lmcompare.aspects import Aspect, Cells, alike, data, is_axis, machines, settings, shown, uneven
from lmcompare.comparison import APART, TOLD, UNFAIR, Cell, Mark, TaskFacts
from lmcompare.config import OPERATIONAL, flatten

if TYPE_CHECKING:
    from lmcompare.results import Record

# Of a config, what a name of an arm never tells: what it says anyhow, what each run of it has of its own, and what
# changes no answer.
UNSAID = (
    "seed",
    "data_seed",
    "model",
    "task.name",
    "together",
    "training.log_every",
    "training.micro",
    *OPERATIONAL,
)
LACKS = "it has no "  # how the reason begins why a run has no figure of the kind in its row
REDRAWN = ("transfer_layers", "redraw_top")  # layers of a checkpoint that a run draws afresh
MORE = 0.01  # a share of the examples: where so many more are cut than elsewhere, it shows in a figure
ENOUGH = 4  # names in a list

Row = tuple[str, "Record"]


def all_marks(tasks: Sequence[TaskFacts], rows: Sequence[Row]) -> tuple[Mark, ...]:
    return tuple(mark for task in tasks for mark in marks(task, of_task(task, rows)))


def of_task(task: TaskFacts, rows: Sequence[Row]) -> list[Row]:
    """Its finished runs: of the others there is nothing to hold against each other."""
    return [(arm, record) for arm, record in rows if record.result and record.result.get("task") == task.name]


def marks(task: TaskFacts, rows: Sequence[Row]) -> list[Mark]:
    """All that is to be said against the rows of one task."""
    cells: Cells = {}
    for arm, record in rows:
        cells.setdefault(arm, []).append(record)
    found = [mark for arm, records in cells.items() for mark in figures(task, arm, records)]
    for group in alike(cells, shown):
        found += [mark for aspect in data(task) for mark in uneven(task.name, group, aspect)]
    for aspect in (*settings(cells), *machines()):
        found += uneven(task.name, cells, aspect)
    found = explained(found)
    found += [*cut(task, cells), *starts(task.name, cells), *taught(task.name, cells)]
    found += [*seeds(task.name, cells), *chosen(task, cells)]
    found += [mark for arm, records in cells.items() for mark in alone(task.name, arm, records)]
    return list(dict.fromkeys(found))


def explained(found: Sequence[Mark]) -> list[Mark]:
    """Without what only follows from a setting that is marked itself: another training part, or a smaller one."""
    arms = {mark.arm for mark in found if mark.what == "task setting"}
    follows = ("data", "training examples")
    return [m for m in found if not (m.arm in arms and m.what in follows and m.level != APART)]


def notes(tasks: Sequence[TaskFacts], rows: Sequence[Row]) -> tuple[str, ...]:
    """What a reader must know of whole tasks; what holds for all runs of some alike is said once."""
    found, on = [], dict[str, list[str]]()
    for task in tasks:
        records = [record for _, record in of_task(task, rows)]
        versions = {(record.result or {}).get("data_hash") for record in records}
        if len(versions) > 1:
            found.append(f"{task.name}: these runs used {len(versions)} different versions of the data")
        trained = list(filter(learns, records))
        if trained and all(chosen_on(record) == task.split for record in trained):
            on.setdefault(str(task.split), []).append(task.name)
    return *found, *(
        f"{listed(names)}: the best step was chosen on {split}, the split that is reported, so what was trained looks "
        "a little better than it is"
        for split, names in on.items()
    )


def counted(cells: Mapping[tuple[str, str], Cell], found: Iterable[Mark]) -> dict[tuple[str, str], Cell]:
    """The cells as means take them: those that are apart have nothing for them."""
    apart = {(mark.arm, mark.task) for mark in found if mark.level == APART}
    return {key: without(cell) if key in apart else cell for key, cell in cells.items()}


def without(cell: Cell) -> Cell:
    told = f"{cell.task} that could be compared"
    return replace(cell, task=told, n=0, mean=None, sd=None, low=None, high=None, values=())


def figure(result: Mapping[str, Any], metric: str | None, split: str | None) -> tuple[Any, str | None]:
    """A run's figure of the kind that stands in its task's row, be it its own first one or not; or why it has none."""
    first = result.get("primary") or {}
    why = ((result.get("undefined") or {}).get(split) or {}).get(metric)
    if (first.get("metric"), first.get("split")) == (metric, split):
        return first.get("value"), why
    known = (result.get("metrics") or {}).get(split) or {}
    if metric in known:
        return known[metric], why
    return None, f"{LACKS}{metric} on {split}, but {first.get('metric')} on {first.get('split')}"


def figures(task: TaskFacts, arm: str, records: Iterable["Record"]) -> Iterator[Mark]:
    """Runs that report something else than most do."""
    usual = f"{task.metric} on {task.split}"
    for record in records:
        result = record.result or {}
        first = result.get("primary") or {}
        own = f"{first.get('metric')} on {first.get('split')}"
        if own == usual:
            continue
        what = "metric" if first.get("metric") != task.metric else "split"
        if figure(result, task.metric, task.split)[0] is not None:
            yield Mark(arm, task.name, what, TOLD, f"reports {own}; shown is {usual}, which it has too", "")
        else:
            right = f"a run with the same {what} on the same data"
            yield Mark(arm, task.name, what, APART, f"reports {own}, and has no {usual}", right)


def cut(task: TaskFacts, cells: Cells) -> Iterator[Mark]:
    """Encoders to whose views many more of the examples are too long than to others'."""
    shares = {
        arm: [share for record in records if (share := lost(record, task.split)) is not None]
        for arm, records in cells.items()
    }
    most = {arm: max(several) for arm, several in shares.items() if several}
    least = min(most.values(), default=0.0)
    if is_axis(cells, lambda record: record.config.get("length")):
        return
    for arm, share in most.items():
        if share - least > MORE:
            length = cells[arm][0].config.get("length")
            reason = f"{share:.0%} of {task.split} is cut at {length} tokens; of another arm's {least:.0%}"
            yield Mark(arm, task.name, "truncation", UNFAIR, reason, "a greater --set length=")


def lost(record: "Record", split: str | None) -> float | None:
    """The share of a split's examples that lost tokens; nothing of a baseline, which reads all of everything."""
    result = record.result or {}
    told, sizes = result.get("truncated"), result.get("examples")
    if not isinstance(told, dict) or not isinstance(sizes, dict) or not sizes.get(split):
        return None
    return float(told.get(split, 0) / sizes[split])


def starts(task: str, cells: Cells) -> Iterator[Mark]:
    """Arms that pretend to one checkpoint and have several: under one name, or as two ways of using one backend's."""
    named: dict[tuple[Any, Any], Cells] = {}
    for arm, records in cells.items():
        for record in filter(only_read, records):
            key = (record.config.get("backend"), record.config.get("model"))
            named.setdefault(key, {}).setdefault(arm, []).append(record)
    for group in named.values():
        for part, same in held(group):
            yield from uneven(task, part, same)
    for backend in dict.fromkeys(backend for backend, _ in named):
        both = {arm: group[arm] for (name, _), group in named.items() if name == backend for arm in group}
        if sorted(str((r[0].result or {}).get("kind")) for r in both.values()) != ["features", "finetune"]:
            continue
        (one, usual), (arm, mine) = both.items()
        models = [str(records[0].config.get("model")) for records in (usual, mine)]
        copied = any(known(usual, key) & known(mine, key) for key in ("start_hash", "model_hash"))
        if models[0] != models[1] and not copied:
            reason = f"starts from {models[1]}, and {one} from {models[0]}"
            yield Mark(arm, task, "start", UNFAIR, reason, "the same --model for both")


def held(group: Cells) -> Iterator[tuple[Cells, Aspect]]:
    """By what it shows whether these runs had one checkpoint: by its hash as it was loaded. Old results have only the
    hash of all weights at the first step, those among them that a seed drew: where each seed has its own, only runs of
    one seed can be held against each other."""

    def by(key: str) -> Aspect:
        return Aspect(
            "start",
            lambda record: (record.result or {}).get(key),
            lambda mine, usual: f"{mine.config.get('model')} held other weights when this was made",
            "one checkpoint for all; --force makes a run again",
            axis=False,
        )

    if all(known([record], "start_hash") for record in chain(*group.values())):
        yield group, by("start_hash")
        return
    begun = by("model_hash")
    for part in alike(group, lambda record: tuple(record.config.get(key) for key in REDRAWN)):
        by_seed = list(alike(part, seed_of))
        hashes = [known(chain(*one.values()), "model_hash") for one in by_seed]
        shared = sum(map(len, hashes)) > len(set().union(*hashes))
        yield from ((one, begun) for one in ([part] if shared else by_seed))


def known(records: Iterable["Record"], key: str) -> set[Any]:
    """What these runs' results have under this key."""
    return {(record.result or {}).get(key) for record in records} - {None}


def only_read(record: "Record") -> bool:
    """Whether a run starts from weights that have read text and been taught nothing."""
    result = record.result or {}
    return result.get("weights") == "pretrained" and not lineage.taught(result.get("lineage") or [])


def taught(task: str, cells: Cells) -> Iterator[Mark]:
    """Arms whose model has learned other tasks before, beside some whose model has not."""
    found: dict[str, dict[str, None]] = {}
    for arm, records in cells.items():
        results = [record.result or {} for record in records]
        histories = [r.get("lineage") or [] for r in results if r.get("weights") == "pretrained"]
        found[arm] = dict.fromkeys(", then ".join(lineage.taught(history)) for history in histories)
    if len({name for names in found.values() for name in names}) > 1:
        for arm, names in found.items():
            for name in filter(None, names):
                reason = f"starts from a model that was taught {name}"
                yield Mark(arm, task, "lineage", TOLD, reason, "a model that has only read text")


def seeds(task: str, cells: Cells) -> Iterator[Mark]:
    """Arms with fewer seeds than others, or with other ones."""
    found = {arm: {draw(record) for record in records} for arm, records in cells.items()}
    most = max((len(known) for known in found.values()), default=0)
    usual = next((known for known in found.values() if len(known) == most), set())
    for arm, known in found.items():
        if len(known) < most:
            reason = f"{len(known)} seed{'s' * (len(known) != 1)}, others have {most}"
            yield Mark(arm, task, "seeds", TOLD, reason, "the runs of the missing seeds")
        elif known != usual:
            told, others = (", ".join(sorted(some)) for some in (known, usual))
            reason = f"seeds {told}, others {others}: where they differ, no two runs are a pair"
            yield Mark(arm, task, "seeds", TOLD, reason, "the same seeds for all")


def chosen(task: TaskFacts, cells: Cells) -> Iterator[Mark]:
    """Arms whose best step was chosen on the split that is reported, where that of other trained ones was not."""
    on = {
        arm: any(chosen_on(record) == task.split for record in records)
        for arm, records in cells.items()
        if any(map(learns, records))
    }
    for arm in (arm for arm, here in on.items() if here and not all(on.values())):
        reason = f"its best step was chosen on {task.split}, the split that is reported; others' was not"
        yield Mark(arm, task.name, "choice", UNFAIR, reason, "figures on a split that chose nothing")


def learns(record: "Record") -> bool:
    return record.result is not None and record.result.get("kind") != "baseline"


def chosen_on(record: "Record") -> str | None:
    """The split on which one of several steps was found the best."""
    looks = [row["split"] for row in record.log if "split" in row]
    return looks[0] if len(looks) > 1 else None


def alone(task: str, arm: str, records: Sequence["Record"]) -> Iterator[Mark]:
    """What is uneven within an arm: settings that its runs do not share, several starts, a machine that changed."""
    flat = [{k: v for k, v in flatten(record.config).items() if k not in UNSAID} for record in records]
    for key in dict.fromkeys(key for table in flat for key in table):
        values = dict.fromkeys(json.dumps(table.get(key), sort_keys=True) for table in flat)
        if len(values) > 1:
            reason = f"its runs differ in {key}: {', '.join(values)}"
            yield Mark(arm, task, "settings", UNFAIR, reason, "one setting for all seeds of an arm")
    models = {str(record.config.get("model")) for record in records if only_read(record)}
    if len(models) > 1:
        reason = f"its runs start from {len(models)} checkpoints, so they differ in more than their seeds"
        yield Mark(arm, task, "start", TOLD, reason, "one checkpoint, or as many pretrainings in every arm")
    said = [warning for record in records for warning in (record.result or {}).get("warnings") or ()]
    for warning in dict.fromkeys(said):
        if warning.startswith("not bit-identical"):
            right = "the same threads and processes in all attempts, or --force"
            yield Mark(arm, task, "resumed", TOLD, warning, right)


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - ENOUGH} more" if len(names) > ENOUGH else ""
    return ", ".join(names[:ENOUGH]) + more


def seed_of(record: "Record") -> Any:
    return (record.result or {}).get("seed")


def draw(record: "Record") -> str:
    """The seed of a run, and that of its data's order where it is another."""
    seed, order = seed_of(record), record.config.get("data_seed")
    return str(seed) if order in (None, seed) else f"{seed} with order {order}"
