"""A suite's result as lines for a person: points, with Matthews' and the other correlations times 100 like the rest."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from lmcompare.report.figures import counted, points, printable, spread
from lmcompare.report.text import columns

HEADS = ("task", "figure", "mean", "median", "best", "majority", "runs")


def suite_lines(result: dict[str, Any]) -> Iterator[str]:
    """The table, the averages, and then all that a reader must know before using them."""
    start = f", {result['weights']} weights" if result["weights"] != "pretrained" else ""
    told = f"{result['title']}: {result['backend']} {result['mode']}{start} of {result['model']}"
    yield printable(f"{told}, {counted(len(result['seeds']), 'seed')}")
    rows = [row for task in result["tasks"] for row in task_rows(task)]
    if rows:
        yield from columns(list(HEADS), [{head: head for head in HEADS}, *rows])
        yield f"Points on {splits(result['tasks'])}: mean over seeds ± sample standard deviation, median and best seed."
    yield from average_lines(result)
    yield from missing_lines(result["missing"])
    for failed in result["failed"]:
        yield printable(f"failed: {failed['task']}, seed {failed['seed']}: {failed['reason']}")
    for sentence in result["notes"]:
        yield printable(f"note: {sentence}")
    yield f"runs: {result['folder']}"


def task_rows(task: dict[str, Any]) -> Iterator[dict[str, str]]:
    """A row a figure, and one for the task's score where that is a mean of several."""
    name = ", from ".join([task["task"], " and ".join(task["start"])]) if task["start"] else task["task"]
    shown = list(task["figures"].items())
    if len(shown) > 1:
        shown.append(("their mean", task["score"]))
    shown = shown or [("no result", task["score"])]
    for number, (figure, found) in enumerate(shown):
        first = number == 0
        yield {
            "task": printable(name) if first else "",
            "figure": figure,
            "mean": spread(found["mean"], found["sd"]),
            "median": points(found["median"]),
            "best": points(found["best"]),
            "majority": points(task["floor"]) if figure in of_majority(task) else "",
            "runs": ", ".join(standing(task)) if first else "",
        }


def standing(task: dict[str, Any]) -> list[str]:
    """How many runs a figure stands on, and what became of the others."""
    found = [str(task["runs"])]
    if task["failed"]:
        found.append(f"{task['failed']} failed")
    if task["degenerate"]:
        undefined = f" ({task['undefined']} undefined)" if task["undefined"] else ""
        found.append(f"{task['degenerate']} at or below majority{undefined}")
    return found


def average_lines(result: dict[str, Any]) -> Iterator[str]:
    told = dict[str, None]()
    for average in result["averages"]:
        yield printable(average_line(result["title"], average, result["tasks"], told))
        told |= dict.fromkeys(average["short"])


def missing_lines(missing: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """A line for each cause, with all the tasks that have it."""
    causes: dict[str, list[str]] = {}
    for row in missing:
        cause = row["reason"].replace(f"`lmc show {row['task']}`", "`lmc show TASK`")
        causes.setdefault(cause, []).append(row["task"])
    for cause, tasks in causes.items():
        if len(tasks) == 1:
            cause = cause.replace("`lmc show TASK`", f"`lmc show {tasks[0]}`")
        yield printable(f"missing: {', '.join(tasks)}: {cause}")


def average_line(
    title: str, average: dict[str, Any], tasks: list[dict[str, Any]], told: Collection[str] = ()
) -> str:
    """By its name where it is whole; else what it is over, and that it is not the suite's score, with the reasons that
    were not `told` before."""
    figure, over = spread(average["mean"], average["sd"]), counted(average["of"], "task")
    name = ", with ".join([average["name"], *taught(average, tasks)])
    if average["complete"]:
        return f"{title} score on {splits(tasks)}, {name}: {figure} over {over}"
    new = [reason for reason in average["short"] if reason not in told]
    above = ["reasons named above"] if len(new) < len(average["short"]) else []
    short = "; ".join([*new, *above])
    return f"mean over {len(average['tasks'])} of {over} ({name}): {figure}, not the {title} score: {short}"


def taught(average: dict[str, Any], tasks: list[dict[str, Any]]) -> list[str]:
    """What of an average did not start from the bare model."""
    starts: dict[str, list[str]] = {}
    for task in tasks:
        if task["task"] in average["tasks"] and task["start"]:
            starts.setdefault(" and ".join(task["start"]), []).append(task["task"])
    return [f"{', '.join(names)} from {start}" for start, names in starts.items()]


def splits(tasks: list[dict[str, Any]]) -> str:
    return " and ".join(sorted({task["split"] for task in tasks if task["split"]})) or "no split"


def of_majority(task: dict[str, Any]) -> tuple[str, str]:
    """The names under which the figure may stand that the majority's is of."""
    return task["metric"], f"{task['split']}.{task['metric']}"
