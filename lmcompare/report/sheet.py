"""A sheet of plain SVG: the page's charts taken apart, and set anew with their colors and places written out, so that
any program shows them."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmcompare.report.figures import printable

CSS = Path(__file__).parent / "page.css"
FONT = "Helvetica, Arial, sans-serif"
SIDE = 16.0  # pixels around
# By the class that a mark has on the page: what the style sheet says there. `c` is the color of the mark's arm.
MARKS: dict[str, dict[str, str]] = {
    "grid": {"stroke": "grid"},
    "zero": {"stroke": "zero"},
    "floor": {"stroke": "floor", "stroke-width": "1.4", "stroke-dasharray": "3 3"},
    "bar": {"fill": "c", "fill-opacity": "0.24"},
    "mean": {"stroke": "c", "stroke-width": "2.5"},
    "dot": {"fill": "c", "fill-opacity": "0.72", "stroke": "card", "stroke-width": "0.8"},
    "whisker": {"stroke": "c", "stroke-width": "2", "stroke-opacity": "0.55"},
    "joins": {"stroke": "ink", "stroke-width": "4", "stroke-opacity": "0.75", "stroke-linecap": "round"},
    "line": {"fill": "none", "stroke": "c", "stroke-width": "1.5", "stroke-opacity": "0.9",
             "stroke-linejoin": "round", "stroke-linecap": "round"},
    "dots": {"stroke-width": "5"},
    "again": {"stroke-dasharray": "5 4"},
    "hollow": {"fill": "card", "fill-opacity": "1", "stroke": "c", "stroke-width": "2"},
    "front": {"fill": "none", "stroke": "zero", "stroke-width": "2"},
    "best": {"fill-opacity": "1", "stroke": "ink", "stroke-width": "1.5"},
    "lead": {"stroke": "c", "stroke-width": "1", "stroke-opacity": "0.6"},
}  # fmt: skip
ACROSS, DOWN = ("x", "x1", "x2", "cx", "width"), ("y", "y1", "y2", "cy", "height")


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float


@dataclass
class Sheet:
    """What has been drawn so far."""

    colors: dict[str, str]
    marks: list[ET.Element] = field(default_factory=list)
    wide: float = 0.0
    high: float = 0.0

    def add(self, tag: str, **attributes: Any) -> ET.Element:
        mark = ET.Element(tag, {k.replace("_", "-"): told(v) for k, v in attributes.items()})
        self.marks.append(mark)
        return mark

    def text(self, x: float, y: float, text: str, *, size: float = 12, **more: Any) -> None:
        shown = {"font_family": FONT, "font_size": size, "fill": self.colors["ink"], **more}
        self.add("text", x=x, y=y, **shown).text = printable(text)
        self.wide, self.high = (
            max(self.wide, x if more.get("text_anchor") else x + 6 * len(text)),
            max(self.high, y),
        )

    def svg(self) -> str:
        width, height = self.wide + SIDE, self.high + SIDE
        root = ET.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "width": told(width),
                "height": told(height),
                "viewBox": f"0 0 {told(width)} {told(height)}",
            },
        )
        ET.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
        root.extend(self.marks)
        ET.indent(root)
        return ET.tostring(root, encoding="unicode") + "\n"


def told(value: Any) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def palette() -> dict[str, str]:
    """The style sheet's light colors, by their names there."""
    first = CSS.read_text(encoding="utf-8").partition("}")[0]
    return dict(re.findall(r"--([a-z0-9-]+):\s*(#[0-9a-fA-F]{6})", first))


def place(sheet: Sheet, chart: str, box: Box) -> None:
    """A chart of the page into a box: its places, in percent there, become pixels; a plot's numbers stand around."""
    if not chart:
        return
    whole = ET.fromstring(str(chart))
    around = {
        "ys": Box(box.x - 36, box.y, 32, box.height),
        "xs": Box(box.x, box.y + box.height, box.width, 16),
    }
    for svg in [whole] if whole.tag == "svg" else whole:
        classes = svg.get("class", "").split()
        inside = next((around[c] for c in classes if c in around), box)
        stretched = 100.0 if "lines" in classes else 0.0
        for mark in svg:
            moved(sheet, mark, inside, classes, stretched)
    sheet.wide, sheet.high = max(sheet.wide, box.x + box.width), max(sheet.high, box.y + box.height)


def moved(sheet: Sheet, mark: ET.Element, box: Box, around: Sequence[str], stretched: float) -> None:
    """One mark, with its place and its style written out."""
    if mark.tag == "svg":  # a place of its own, from which the marks in it count
        origin = Box(
            at(mark.get("x", "0"), box.x, box.width, 0), at(mark.get("y", "0"), box.y, box.height, 0), 0, 0
        )
        for inner in mark:
            moved(sheet, inner, origin, mark.get("class", "").split(), 0.0)
        return
    classes = mark.get("class", "").split()
    kept = {"r": mark.get("r"), "rx": mark.get("rx"), "text-anchor": mark.get("text-anchor")}
    found = {key: value for key, value in kept.items() if value}
    for key in ACROSS:
        if (value := mark.get(key)) is not None:
            found[key] = told(at(value, 0.0 if key == "width" else box.x, box.width, stretched))
    for key in DOWN:
        if (value := mark.get(key)) is not None:
            found[key] = told(at(value, 0.0 if key == "height" else box.y, box.height, stretched))
    if mark.tag == "circle":
        found = {"cx": told(box.x), "cy": told(box.y)} | found
    if path := mark.get("d"):
        found["d"] = along(path, box)
    found |= style(sheet.colors, classes, [*classes, *around])
    if mark.tag == "text":
        found |= {"font-family": FONT, "font-size": "11", "fill": sheet.colors["soft"]}
        found["y"] = told(float(found["y"]) + (3.5 if mark.get("dy") else 0.0))
    drawn = ET.Element(mark.tag, found)
    drawn.text = mark.text
    drawn.extend(child for child in mark if child.tag == "title")
    sheet.marks.append(drawn)
    sheet.high = max(sheet.high, float(found.get("y", 0)) if mark.tag == "text" else 0.0)


def at(value: str, start: float, size: float, stretched: float) -> float:
    """Pixels, from percent, from pixels, or from a square that is stretched."""
    if value.endswith("%"):
        return start + size * float(value[:-1]) / 100
    return start + (float(value) * size / stretched if stretched else float(value))


def along(path: str, box: Box) -> str:
    """A path in a square of 100, in pixels; a dot is a stroke of no length, and stays one."""

    def across(value: str) -> str:
        return told(box.x + float(value) * box.width / 100)

    def down(value: str) -> str:
        return told(box.y + float(value) * box.height / 100)

    whole = {"M": (across, down), "L": (across, down), "H": (across,), "V": (down,)}
    parts = []
    for letter, values in re.findall(r"([MLHVh])([^MLHVh]*)", path):
        moves = whole.get(letter)
        numbers = values.split()
        parts.append(
            letter + (" ".join(f(v) for f, v in zip(moves, numbers, strict=True)) if moves else values)
        )
    return "".join(parts)


def style(colors: dict[str, str], classes: Sequence[str], around: Sequence[str]) -> dict[str, str]:
    own = next((c for c in around if re.fullmatch(r"c\d", c)), "c0")
    hollow = ["hollow"] if "dot" in classes and "again" in around else []
    found = {key: value for c in (*classes, *hollow) for key, value in MARKS.get(c, {}).items()}
    names = {**colors, "c": colors[own]}
    return {
        key: names.get(value, value) if key in ("fill", "stroke") else value for key, value in found.items()
    }
