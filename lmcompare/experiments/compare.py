"""`lmc compare`, `lmc report` and `lmc demo`: put runs side by side, and make those that a study lacks."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lmcompare import files, lineage, results
from lmcompare import statistics as summary
from lmcompare.config import flatten
from lmcompare.errors import UserError
from lmcompare.experiments import placing, studies
from lmcompare.experiments.grid import LEDGER, Grid, record_of
from lmcompare.experiments.ledger import in_order
from lmcompare.experiments.records import records as records_in
from lmcompare.experiments.suite import SUMMARY
from lmcompare.guard import UNSAID
from lmcompare.report.suite import average_lines
from lmcompare.results import Record


def compare(
    what: list[str],
    assignments: list[str],
    *,
    jobs: int | None,
    data: Path | None,
    note: Callable[[str], None],
    executor: str = "",
    address: str = "",
) -> summary.Comparison:
    """Runs as they are; or a study, whose missing runs are made first."""
    if len(what) == 1 and studies.is_study(what[0]):
        how: dict[str, Any] = {"executor": executor, "address": address, "jobs": jobs}
        return run_study(grid_of(what[0], assignments, data=data, note=note, **how))
    said = {"--set": assignments, "--executor": executor, "--address": address, "--jobs": jobs}
    if unheard := [option for option, value in said.items() if value]:
        raise UserError(
            f"{', '.join(unheard)}: only a study's runs are made, and {', '.join(what)} is none; finished runs are "
            "as they are"
        )
    return of_runs(what)


def planned(
    what: list[str],
    assignments: list[str],
    *,
    jobs: int | None,
    data: Path | None,
    executor: str = "",
    address: str = "",
) -> dict[str, Any]:
    """What a study would make."""
    from lmcompare.experiments.plan import plan

    if len(what) != 1 or not studies.is_study(what[0]):
        raise UserError(f"--dry-run: it plans one study, and {', '.join(what)} is none")
    how: dict[str, Any] = {"executor": executor, "address": address, "jobs": jobs}
    return plan(grid_of(what[0], assignments, data=data, note=lambda text: None, **how))


def grid_of(
    name: str,
    assignments: list[str],
    *,
    jobs: int | None,
    data: Path | None,
    note: Callable[[str], None],
    executor: str = "",
    address: str = "",
) -> Grid:
    """A study as it was asked for, its folder, and where its runs are to be made."""
    said, settings = placing.split(assignments)
    study = studies.read(name, said)
    chosen = placing.executor(executor, settings, address=address, jobs=jobs, note=note)
    return Grid(study, results.root() / Path(name).stem, note=note, executor=chosen, data=data)


def demo(
    *, quick: bool, out: Path | None, jobs: int | None, force: bool, note: Callable[[str], None]
) -> tuple[summary.Comparison, Path]:
    """The main job on the embedded suite, and the page about it."""
    name = "demo-quick" if quick else "demo"
    folder = out or results.root() / name
    # Its models are so small that many share a GPU.
    pool = placing.executor(placing.DEFAULT, {}, jobs=jobs)
    grid = Grid(studies.read(name, []), folder, note=note, executor=pool, force=force)
    return run_study(grid), folder / "report.html"


def run_study(grid: Grid) -> summary.Comparison:
    """Pretrain what is to be pretrained, run every arm on every task with every seed, and sum up."""
    found, study = grid.run(), grid.study
    rows = [(arm + taught(record), record) for arm, record in found]
    comparison = summary.summarize(
        rows,
        title=study.title,
        quick=study.quick,
        compare=study.compare,
        margin=study.margin,
        series=told_series(found, {arm.name: arm.series for arm in study.arms}),
    )
    files.write_json(grid.folder / "comparison.json", comparison.to_json())
    return comparison


def of_runs(names: list[str]) -> summary.Comparison:
    """Compare run folders, or all runs of a study's folder; without names, the runs folder's own."""
    found = [place(name) for name in names] or [results.root()]
    if len(found) == 1 and (found[0] / LEDGER).is_file():
        return of_study(found[0])
    inside = [run for path in found for run in runs_in(path)]
    if not inside:
        made = sorted(path.parent for path in results.root().glob(f"*/{LEDGER}"))
        hint = f"name a study's folder, such as {made[-1]}" if made else "`lmc demo` makes some"
        raise UserError(f"{', '.join(map(str, found))}: no runs here; {hint}")
    read, odd = readable(records_in, inside)
    records = [record for some in read for record in some]
    rows = list(zip(arm_names(records), records, strict=True))
    return noted(summary.summarize(rows, title="Runs compared"), odd)


def place(name: str) -> Path:
    """The folder that is meant: as it is given, or in the runs folder; a study may be named, or its file given."""
    path = Path(name)
    if path.is_dir():
        return path
    folder = results.root() / (path.stem if studies.is_study(name) else path)
    if studies.is_study(name) and not (folder / LEDGER).is_file():
        raise UserError(f"{name}: no run of this study is in {folder} yet; `lmc compare {name}` makes them")
    return folder


def readable(read: Callable[[Any], Any], things: Iterable[Any]) -> tuple[list[Any], list[str]]:
    """What can be read back, and sentences about what cannot; where nothing can, the first of them is the error."""
    found, odd = list[Any](), list[str]()
    for thing in things:
        try:
            found.append(read(thing))
        except UserError as error:
            odd.append(f"left out: {error}")
    if odd and not found:
        raise UserError(odd[0].removeprefix("left out: "))
    return found, odd


def noted(comparison: summary.Comparison, notes: Iterable[str]) -> summary.Comparison:
    return replace(comparison, notes=(*comparison.notes, *notes))


def runs_in(path: Path) -> list[Path]:
    """The folder itself where it is a run, or is named as one; else the runs directly in it."""
    if (path / "run.json").is_file() or not path.is_dir():
        return [path]
    return sorted(p.parent for p in path.glob("*/run.json"))


def of_study(folder: Path) -> summary.Comparison:
    """A study's finished runs, under the names that the study gave its arms; and what their models had learned."""
    ledger = files.read_json(folder / LEDGER)
    entries, table = ledger["runs"].values(), folder / SUMMARY
    suite = files.read_json(table) if table.is_file() else None
    if suite is not None:  # what lies here besides was made in another way
        entries = [entry for entry in entries if entry["run"] in suite["runs"]]
    found, odd = readable(lambda entry: (entry["arm"], record_of(folder, entry)), entries)
    found = in_order(ledger, found)
    rows = [(arm + taught(record), record) for arm, record in found]
    comparison = summary.summarize(
        rows,
        title=ledger["title"],
        quick=ledger["quick"],
        compare=[(a, b) for a, b in ledger.get("compare", ())],
        margin=ledger.get("margin"),
        series=told_series(found, ledger.get("series", {})),
    )
    comparison = noted(comparison, odd)
    if suite is None:
        return comparison
    title = f"{suite['title']}: first metrics only, not the suite's average"
    return noted(replace(comparison, title=title), average_lines(suite))


def told_series(rows: list[tuple[str, Record]], series: dict[str, str]) -> dict[str, str]:
    """By an arm's name in the table, the series that the study has it in, where it says."""
    return {arm + taught(record): series[arm] for arm, record in rows if series.get(arm)}


def arm_names(records: list[Record]) -> list[str]:
    """What each run does with what, in words; the tasks that it was taught together, the model's name and the settings
    too, where words alone would not tell them apart."""
    names = [arm_name(record.config) + taught(record) for record in records]
    sets = ["+".join(sorted({*beside(r), str(summary.task_of(r))})) if beside(r) else "" for r in records]
    names = apart(names, sets, sets)
    models = [str(record.config.get("model", "")) for record in records]
    names = apart(names, models, [Path(model).name for model in models])
    # Which components first: the settings of two that have different names are not held against each other.
    names = otherwise(names, records, lambda key: key.endswith(".name"))
    return otherwise(names, records, lambda key: True)


def otherwise(names: list[str], records: list[Record], speaks: Callable[[str], bool]) -> list[str]:
    """Each name, with those settings in which runs of that name on one task are not alike."""
    flat = [
        {k: v for k, v in flatten(r.config).items() if k not in UNSAID and v is not None and speaks(k)}
        for r in records
    ]
    beside: dict[tuple[str, str | None], list[dict[str, Any]]] = {}
    for name, record, table in zip(names, records, flat, strict=True):
        if (task := summary.task_of(record)) is not None:  # else it is a pretraining, and stands in no mean
            beside.setdefault((name, task), []).append(table)
    differ: dict[str, set[str]] = {}
    for (name, _), tables in beside.items():
        keys = {key for table in tables for key in table}
        differ.setdefault(name, set()).update(
            key for key in keys if any(table.get(key) != tables[0].get(key) for table in tables)
        )
    return [
        ", ".join([name, *(f"{k}={told(v)}" for k, v in sorted(table.items()) if k in differ.get(name, ()))])
        for name, table in zip(names, flat, strict=True)
    ]


def told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def apart(names: list[str], details: list[str], shown: list[str]) -> list[str]:
    """Each name, with its detail where it stands for several of them."""
    used: dict[str, set[str]] = {}
    for name, detail in zip(names, details, strict=True):
        used.setdefault(name, set()).add(detail)
    return [
        f"{name}, {told}" if len(used[name]) > 1 and told else name
        for name, told in zip(names, shown, strict=True)
    ]


def taught(record: Record) -> str:
    """What sets a run apart whose encoder has learned other tasks: before its own, or along with it."""
    if "transfer" not in record.config:
        return ""
    told = (record.result or {}).get("lineage")
    steps = lineage.before(record.config, only_here=True) if told is None else told
    tasks, others = lineage.taught(steps), len(beside(record))
    return (f", from {', then '.join(tasks)}" if tasks else "") + (
        f", with {others} other task{'s' * (others > 1)}" if others else ""
    )


def beside(record: Record) -> list[str]:
    """The other tasks that the encoder learned along with this one."""
    return (record.result or record.config).get("together", [])


def arm_name(config: dict[str, Any]) -> str:
    if "baseline" in config:
        return f"baseline {config['baseline']['name']}"
    if "ngrams" in config:
        return f"counting {config['ngrams']['name']}"
    if "transfer" not in config:
        return f"pretraining {config['backend']['name']}"
    start = ", random start" if config["weights"] == "random" else ""
    return f"{config['backend']} {config['transfer']['name']}{start}"
