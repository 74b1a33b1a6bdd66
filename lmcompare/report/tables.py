"""The table as files: CSV for programs, LaTeX and Markdown for papers and notes."""

import csv
import io
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from lmcompare import files
from lmcompare.comparison import MEASURES, Comparison, Mean
from lmcompare.report import marks
from lmcompare.report.figures import NOTHING, cell_notes, printable, spread, usual_count

# What LaTeX reads as an order, as it is to be printed.
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "−": "$-$", "–": "--", "±": r"$\pm$", "→": r"$\to$", "×": r"$\times$",
    "�": "?", "†": r"$\dagger$", "‡": r"$\ddagger$", "°": r"$^\circ$",
    "\u00a0": "~",
}  # fmt: skip
LATEX_ORDER = re.compile(r"\\[a-z]+(\{\})?|[\\{}$&]")  # what takes no room on the page
LEAST_WIDTH = 60  # signs in a line of notes
MARKDOWN = re.compile(r"([\\`*_\[\]<>|#])")

Escape = Callable[[str], str]


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """All of them into a folder, each in one step; what had the same name is replaced."""
    contents = {
        "results.csv": in_csv(result_rows(comparison)),
        "seeds.csv": in_csv(seed_rows(comparison)),
        "differences.csv": in_csv(difference_rows(comparison)),
        "costs.csv": in_csv(cost_rows(comparison)),
        "results.tex": latex(comparison),
        "results.md": markdown(comparison),
    }
    with files.disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        files.write(folder / name, content.encode("utf-8", "replace"))
    return [folder / name for name in contents]


# --- for programs ----------------------------------------------------------------------------------


def in_csv(rows: Iterable[dict[str, Any]]) -> str:
    """Figures as shares with all their digits; an empty field where there is none."""
    found = list(rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(found[0]), lineterminator="\n", extrasaction="raise")
    writer.writeheader()
    writer.writerows(row for row in found if any(value is not None for value in row.values()))
    return out.getvalue()


def result_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """A row a cell. The interval is of the mean over seeds, by Student's t, from two seeds on."""
    facts = {task.name: task for task in comparison.tasks}
    rows = []
    for cell in comparison.cells:
        task = facts[cell.task]
        rows.append(
            {
                "arm": cell.arm, "task": cell.task, "metric": task.metric, "split": task.split, "n": cell.n,
                "mean": cell.mean, "sd": cell.sd, "low": cell.low, "high": cell.high,
                "median": cell.median, "best": cell.best, "degenerate": cell.degenerate, "failed": cell.failed,
                "unfinished": cell.unfinished, "undefined": cell.undefined, "majority": task.majority,
                "marks": "; ".join(mark.what for mark in comparison.marked(cell.arm, cell.task)),
            }
        )  # fmt: skip
    return rows or [dict.fromkeys(("arm", "task", "metric", "split", "n", "mean", "sd", "low", "high"))]


def seed_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """A row a run: those without a value too, with what became of them."""
    facts = {task.name: task for task in comparison.tasks}
    rows = [
        {
            "arm": run.arm, "task": run.task, "metric": facts[run.task].metric, "split": facts[run.task].split,
            "seed": run.seed, "data_seed": run.data_seed, "value": run.value,
            "status": "undefined" if run.undefined else run.status,
            "seconds": run.seconds, "tokens": run.tokens, "run": run.run,
        }
        for run in comparison.runs
    ]  # fmt: skip
    return rows or [dict.fromkeys(("arm", "task", "metric", "split", "seed", "value", "status", "run"))]


def difference_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """A row a pair of arms and task, from their answers to the same examples."""
    keys = ("a", "b", "task", "seeds", "examples", "difference", "low", "high", "p", "p_holm",
            "a_right", "b_right", "differ", "verdict", "reason")  # fmt: skip
    return [{key: getattr(one, key) for key in keys} for one in comparison.paired] or [dict.fromkeys(keys)]


def cost_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """A row an arm: what its finished runs took on average, as far as that was measured."""
    rows = []
    for cost in comparison.costs:
        means = {key: cost.figures[key].mean if key in cost.figures else None for key in MEASURES}
        by_unit = {unit(key): mean for key, mean in means.items()}
        rows.append({"arm": cost.arm, "runs": cost.runs, **by_unit, "devices": "; ".join(cost.devices)})
    return rows or [dict.fromkeys(("arm", "runs", *map(unit, MEASURES), "devices"))]


def unit(measure: str) -> str:
    """Memory is counted in units of 1,048,576 bytes, whatever its key in results is called."""
    return f"{measure.removesuffix('_mb')}_mib" if measure.endswith("_mb") else measure


# --- for people ------------------------------------------------------------------------------------


def latex(comparison: Comparison) -> str:
    """A tabular with booktabs, to be read in with \\input."""
    lines = [
        f"% {printable(comparison.title)}",
        r"% needs \usepackage{booktabs}; wider than the page? \resizebox{\textwidth}{!}{\input{results}}",
        rf"\begin{{tabular}}{{l{'r' * len(comparison.arms)}}}",
        r"\toprule",
        " & ".join(["task", *map(in_latex, comparison.arms)]) + r" \\",
        r"\midrule",
    ]
    strong = r"\textbf{{{}}}".format
    for name, values in body(comparison, in_latex, strong):
        lines.append(" & ".join([name, *values]) + r" \\")
    if len(comparison.tasks) > 1:
        lines.append(r"\midrule")
        lines.append(" & ".join(["mean", *mean_row(comparison, in_latex, strong)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", *footnotes(comparison, lines), r"\end{tabular}"]) + "\n"


def footnotes(comparison: Comparison, table: Sequence[str]) -> Iterable[str]:
    """What the table stands on and what its signs mean, below its last rule: in lines about as wide as its rows, so
    that they stretch no column."""
    across = max(LEAST_WIDTH, *(len(LATEX_ORDER.sub("", row)) for row in table if row.endswith(r"\\")))
    for remark in remarks(comparison):
        for line in textwrap.wrap(printable(remark), across, break_long_words=False):
            yield rf"\multicolumn{{{1 + len(comparison.arms)}}}{{l}}{{\footnotesize {in_latex(line)}}} \\"


def markdown(comparison: Comparison) -> str:
    """A table as GitHub reads it, and below it what it stands on."""
    head = ["task", *map(in_markdown, comparison.arms)]
    lines = [
        f"**{in_markdown(comparison.title)}**",
        "",
        f"| {' | '.join(head)} |",
        f"|---|{'---:|' * len(comparison.arms)}",
    ]
    for name, values in body(comparison, in_markdown, "**{}**".format):
        lines.append(f"| {' | '.join([name, *values])} |")
    if len(comparison.tasks) > 1:
        lines.append(f"| {' | '.join(['mean', *mean_row(comparison, in_markdown, '**{}**'.format)])} |")
    return "\n".join([*lines, "", *(f"{in_markdown(line)}  " for line in remarks(comparison))]) + "\n"


def body(comparison: Comparison, escape: Escape, strong: Escape) -> Iterable[tuple[str, list[str]]]:
    """A row a task; the highest mean of a row stands out, which says nothing about chance."""
    usual = usual_count(comparison)
    for task in comparison.tasks:
        cells = [comparison.cell(arm, task.name) for arm in comparison.arms]
        best = comparison.best(task.name)
        values = []
        for cell in cells:
            sign = marks.signs(comparison, cell.arm, cell.task)
            value = shown(cell.mean, cell.sd, cell_notes(cell, usual), escape, sign)
            top = len(cells) > 1 and cell.mean is not None and cell.mean == best
            values.append(strong(value) if top else value)
        yield escape(f"{task.name} ({task.metric})" if task.metric else task.name), values


def mean_row(comparison: Comparison, escape: Escape, strong: Escape) -> Iterable[str]:
    """Likewise below the tasks."""
    top = comparison.best_mean() if len(comparison.means) > 1 else None
    for mean in comparison.means:
        value = shown(mean.mean, mean.sd, star(mean), escape)
        yield strong(value) if top is not None and mean.mean == top else value


def shown(mean: float | None, sd: float | None, notes: Sequence[str], escape: Escape, sign: str = "") -> str:
    figure = " ".join(filter(None, [spread(mean, sd), sign]))
    return escape(f"{figure} ({', '.join(notes)})" if notes else figure)


def star(mean: Mean) -> list[str]:
    return ["see below"] if mean.reason and mean.mean is not None else []


def remarks(comparison: Comparison) -> list[str]:
    """What a reader of the table must know."""
    splits = " and ".join(sorted({task.split for task in comparison.tasks if task.split}))
    of = f" on {splits}" if splits else ""
    found = [
        f"Points{of}: the figure times 100, mean over seeds ± sample standard deviation; {NOTHING}: no value."
    ]
    if len(comparison.tasks) > 1:
        found += [f"mean of {mean.arm}: {mean.reason}" for mean in comparison.means if mean.reason]
    return [*found, *marks.lines(comparison), *comparison.notes]


def in_latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in printable(text))


def in_markdown(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", printable(text))
