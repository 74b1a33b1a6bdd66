"""Figures as people read them: points (a share times 100) with one decimal."""

from lmcompare.comparison import Cell, Comparison, TaskFacts

NOTHING = "–"


def points(value: float | None) -> str:
    """0.9123 → 91.2"""
    if value is None:
        return NOTHING
    text = f"{100 * value:.1f}"
    return "0.0" if text == "-0.0" else text.replace("-", "−")


def signed(value: float | None) -> str:
    """0.031 → +3.1"""
    text = points(value)
    return text if text in (NOTHING, "0.0") or text.startswith("−") else f"+{text}"


def spread(mean: float | None, sd: float | None) -> str:
    """A mean, and the standard deviation beside it where there is one."""
    return points(mean) if sd is None else f"{points(mean)} ± {points(sd)}"


def cell_notes(cell: Cell, usual: int) -> list[str]:
    """What stands behind a cell, where that is anything but the usual number of values."""
    parts = [f"n={cell.n}"] if cell.n not in (0, usual) else []
    for count, word in (
        (cell.failed, "failed"),
        (cell.unfinished, "unfinished"),
        (cell.undefined, "undefined"),
    ):
        parts += [f"{count} {word}"] if count else []
    return parts


def degenerate_note(cell: Cell) -> list[str]:
    """Runs that are no better than the most frequent answer."""
    return [f"{cell.degenerate} degenerate"] if cell.degenerate else []


def usual_count(comparison: Comparison) -> int:
    """How many values a complete cell has."""
    return max((cell.n for cell in comparison.cells), default=0)


def counted(number: int, word: str) -> str:
    """1 task, 2 tasks"""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Names come from the user: nothing in them may steer a terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


def task_name(name: str) -> dict[str, str]:
    """`micro.` is quieter than what follows it."""
    prefix, dot, rest = name.rpartition(".")
    return {"prefix": prefix + dot, "rest": rest, "full": name}


def task_facts(task: TaskFacts) -> dict[str, str]:
    metric = f"{task.metric}, {task.split}" if task.metric else "no run finished"
    majority = points(task.majority) if task.majority is not None else ""
    return {**task_name(task.name), "metric": metric, "majority": majority}
