"""The page's figures as files of their own, on white. What is drawn is what stands on the page."""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmcompare import files
from lmcompare.comparison import Comparison
from lmcompare.report import pictures, sections
from lmcompare.report.figures import printable
from lmcompare.report.sheet import SIDE, Box, Sheet, palette, place

ROW, FOLDED, HEAD, GAP = 24.0, 13.0, 26.0, 28.0  # pixels
NAMES, CHART, FIGURES, PLOT = 190.0, 300.0, 128.0, 130.0
WIDEST = 34  # characters of a name in a line
WIDE = 640.0  # of a chart with names in it, which have their places for this width too
HIGH = re.compile(r"--high: (\d+)px")


def write(comparison: Comparison, folder: Path, *, png: bool = False) -> list[Path]:
    """A file a figure, each in one step; with `png`, a picture beside each."""
    draw = pictures.maker() if png else None  # what cannot be had is said before anything is written
    with files.disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, text in figures(comparison).items():
        path = folder / f"{name}.svg"
        files.write(path, text.encode("utf-8", "replace"))
        made.append(path)
        if draw:
            files.write(path.with_suffix(".png"), draw(path))
            made.append(path.with_suffix(".png"))
    return made


def figures(comparison: Comparison) -> dict[str, str]:
    """Those that the comparison has anything to show in, by name."""
    page = sections.all_of(comparison)
    found: dict[str, Sheet | None] = {
        "means": of_means(page) if len(comparison.tasks) > 1 else None,
        "seeds": of_rows(page["strips"]["cards"], page["strips"]["axis"]),
        "learning-curves": of_plots(page["curves"], page["arms"]),
        "pretraining": of_plots(page["pretraining"], []),
    }
    for card in page["held"]:
        title = {"prefix": "", "rest": f"{card['a']} − {card['b']}"}
        rows = [
            {"arm": name(row["name"]), "figures": bounded(row["figure"], row["between"]), **row}
            for row in card["rows"]
        ]
        found[f"difference-{slug(card['a'])}-{slug(card['b'])}"] = of_rows(
            [{"task": title, "rows": rows}], card["axis"]
        )
    if ranks := page.get("ranks"):
        rows = [{"arm": row["arm"], "svg": row["svg"], "figures": row["rank"]} for row in ranks["rows"]]
        rows += [{"arm": "", "svg": bar["svg"], "figures": ""} for bar in ranks["bars"]]
        found["ranks"] = of_rows(
            [{"task": {"prefix": "", "rest": "average rank"}, "rows": rows}], ranks["axis"]
        )
    if efficiency := page.get("efficiency"):
        found["sample-efficiency"] = of_plots(efficiency["cards"], efficiency["keys"])
    for chart in (page.get("cost") or {}).get("charts", ()):
        found[f"cost-{slug(chart['name'])}"] = of_cost(chart)
    return {key: sheet.svg() for key, sheet in found.items() if sheet is not None}


def slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:40] or "arm"


def bounded(figure: str, between: str) -> str:
    return f"{figure} ({between})" if between else figure


def name(task: dict[str, str]) -> str:
    return task["prefix"] + task["rest"]


def of_means(page: dict[str, Any]) -> Sheet:
    rows = [{"arm": row["arm"], "svg": row["svg"], "figures": row["mean"]} for row in page["summary"]["rows"]]
    title = {"prefix": "", "rest": "mean over the tasks"}
    sheet = of_rows([{"task": title, "rows": rows}], page["summary"]["axis"])
    assert sheet is not None
    return sheet


def of_rows(cards: Sequence[dict[str, Any]], axis: str) -> Sheet | None:
    """Panels of rows: a name, a strip, a figure. Several panels stand in two columns."""
    if not cards:
        return None
    sheet = Sheet(palette())
    columns = 2 if len(cards) > 1 else 1
    ends = [SIDE] * columns
    for card in cards:
        column = ends.index(min(ends))
        x = SIDE + column * (NAMES + CHART + FIGURES + GAP)
        ends[column] = panel(sheet, card, axis, x, ends[column]) + GAP
    sheet.high = max(sheet.high, max(ends) - GAP)
    return sheet


def panel(sheet: Sheet, card: dict[str, Any], axis: str, x: float, y: float) -> float:
    """Where it ends."""
    sheet.text(x, y + 14, name(card["task"]), size=13, font_weight="bold")
    if metric := card["task"].get("metric"):
        sheet.text(x + 7.6 * len(name(card["task"])) + 10, y + 14, metric, size=11, fill=sheet.colors["soft"])
    y += HEAD
    for row in card["rows"]:
        lines = textwrap.wrap(printable(row["arm"]), WIDEST) or [""]
        height = max(ROW, FOLDED * len(lines) + 8)
        top = y + height / 2 - FOLDED * (len(lines) - 1) / 2 + 4
        for number, line in enumerate(lines):
            sheet.text(x, top + FOLDED * number, line, size=11)
        place(sheet, row["svg"], Box(x + NAMES, y, CHART, height))
        sheet.text(
            x + NAMES + CHART + FIGURES,
            y + height / 2 + 4,
            row["figures"].strip(),
            size=11,
            text_anchor="end",
        )
        y += height
    place(sheet, axis, Box(x + NAMES, y, CHART, 16))
    return y + 16


def of_plots(cards: Sequence[dict[str, Any]], keys: Sequence[dict[str, Any]]) -> Sheet | None:
    """Panels of lines over steps or sizes, three in a row, below the names of what the colors stand for."""
    if not cards:
        return None
    sheet = Sheet(palette())
    y = SIDE
    for number, key in enumerate(keys):
        left, top = SIDE + (number % 3) * (CHART + GAP + 36), y + 18 * (number // 3)
        style = (
            {"stroke_width": 3, "stroke_dasharray": "5 4"} if "again" in key["color"] else {"stroke_width": 3}
        )
        color = sheet.colors[key["color"].split()[0]]
        sheet.add("line", x1=left, x2=left + 20, y1=top + 8, y2=top + 8, stroke=color, **style)
        sheet.text(left + 26, top + 12, key["name"], size=11)
    y += 18 * -(-len(keys) // 3) + (8 if keys else 0)
    for number, card in enumerate(cards):
        x, top = SIDE + (number % 3) * (CHART + GAP + 36), y + (number // 3) * (HEAD + PLOT + 16 + GAP)
        title = name(card["task"]) if "task" in card else card["name"]
        sheet.text(x, top + 14, title, size=13, font_weight="bold")
        beside = card.get("metric") or card.get("unit") or ""
        sheet.text(x + 7.6 * len(title) + 10, top + 14, beside, size=11, fill=sheet.colors["soft"])
        place(sheet, card["svg"], Box(x + 36, top + HEAD, CHART, PLOT))
    return sheet


def of_cost(chart: dict[str, Any]) -> Sheet:
    """Arms as named dots, by what they reach and what they cost."""
    sheet = Sheet(palette())
    sheet.text(SIDE, SIDE + 14, f"mean score against {chart['name'].lower()}", size=13, font_weight="bold")
    found = HIGH.search(str(chart["svg"]))
    place(sheet, chart["svg"], Box(SIDE + 36, SIDE + HEAD, WIDE, float(found[1]) if found else WIDE / 2))
    return sheet
