"""Small charts as SVG. Places are in percent, so that a chart takes its room's width while its dots
stay round and its text keeps its size. Colors are the style sheet's, which has two schemes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

COLORS = 10  # as many as the style sheet names; from the next arm on they come again, dashed and hollow


@dataclass(frozen=True)
class Scale:
    """A range of values, and the round values in it that are written at the axis."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> str:
        """Percent from the low end."""
        return f"{100 * (value - self.low) / (self.high - self.low):.2f}"


@dataclass(frozen=True)
class LogScale:
    """Likewise, for sizes: steps of the same length are the same factor."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> str:
        """Percent from the low end."""
        return f"{100 * math.log(value / self.low) / math.log(self.high / self.low):.2f}"


Axis = Scale | LogScale


@dataclass(frozen=True)
class Line:
    points: Sequence[tuple[int, float]]
    color: int
    title: str
    dots: bool = False  # where the points are few, and far apart
    arm: int | None = None  # whose line steps back when another arm is chosen


def scale(values: Iterable[float], about: int = 4) -> Scale:
    """Round numbers at both ends, around all the values."""
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Scale(first * step, last * step, tuple(i * step for i in range(first, last + 1)))


def log_scale(sizes: Iterable[int], apart: float = 9) -> LogScale:
    """From the least to the largest size; those are written that leave some percent between them."""
    known = sorted(set(sizes)) or [1]
    low, high = (known[0], known[-1]) if len(known) > 1 else (known[0] / 2, known[0] * 2)
    whole = LogScale(low, high, ())
    ticks: list[float] = []
    # From the right, because the whole of the data is what must be read.
    for size in reversed(known):
        if not ticks or float(whole.place(ticks[-1])) - float(whole.place(size)) >= apart:
            ticks.append(size)
    return LogScale(low, high, tuple(reversed(ticks)))


def step_scale(steps: Iterable[int]) -> Scale:
    """From zero to the last step, with round numbers between."""
    last = max(steps, default=0) or 1
    round_ones = scale([0, last], about=3)
    return Scale(0, last, tuple(tick for tick in round_ones.ticks if tick <= last))


def share_scale(values: Iterable[float]) -> Scale:
    """From zero, or as far below it as the figures go, to one: the same for all tasks."""
    lowest = min([0.0, *values])
    low = -0.25 * math.ceil(-lowest / 0.25 - 1e-9)
    return Scale(low, 1.0, tuple(i / 4 for i in range(round(4 * low), 5)))


def color(index: int) -> str:
    """The classes that give a mark its color."""
    return f"c{index % COLORS}" + (" again" if index >= COLORS else "")


def strip(
    values: Sequence[tuple[float, str]],
    *,
    mean: float | None,
    floor: float | None,
    on: Scale,
    index: int,
    label: str,
    bar: bool = False,
) -> Markup:
    """A row of titled dots, a tick or a bar for their mean, a dashed line for the floor."""
    parts = grid(on)
    if floor is not None:
        x = on.place(floor)
        parts.append(Markup('<line class="floor" x1="{0}%" x2="{0}%" y1="0" y2="100%"/>').format(x))
    if mean is not None and bar:
        start, end = sorted((float(on.place(0.0)), float(on.place(mean))))
        box = Markup('<rect class="bar" x="{}%" width="{:.2f}%" y="20%" height="60%" rx="2"/>')
        parts.append(box.format(start, end - start))
    if mean is not None:
        x = on.place(mean)
        parts.append(Markup('<line class="mean" x1="{0}%" x2="{0}%" y1="14%" y2="86%"/>').format(x))
    dot = Markup('<circle class="dot" cx="{}%" cy="50%" r="3.5"><title>{}</title></circle>')
    parts += [dot.format(on.place(value), title) for value, title in values]
    svg = Markup('<svg class="strip {}" role="img" aria-label="{}">{}</svg>')
    return svg.format(color(index), label, Markup("").join(parts))


def whisker(
    low: float | None, middle: float, high: float | None, *, on: Scale, index: int, label: str
) -> Markup:
    """A figure with the interval that it lies in, where there is one."""
    parts = grid(on)
    if low is not None and high is not None:
        line = Markup('<line class="whisker" x1="{}%" x2="{}%" y1="50%" y2="50%"/>')
        parts.append(line.format(on.place(low), on.place(high)))
    dot = Markup('<circle class="dot" cx="{}%" cy="50%" r="3.5"><title>{}</title></circle>')
    parts.append(dot.format(on.place(middle), label))
    svg = Markup('<svg class="strip {}" role="img" aria-label="{}">{}</svg>')
    return svg.format(color(index), label, Markup("").join(parts))


def grid(on: Scale) -> list[Markup]:
    """Faint lines at the ticks, as high as the row."""
    line = Markup('<line class="{}" x1="{}%" x2="{}%" y1="0" y2="100%"/>')
    return [line.format("zero" if t == 0 else "grid", on.place(t), on.place(t)) for t in on.ticks]


def axis(on: Scale, *, factor: float = 100) -> Markup:
    """The ticks' numbers below a column of strips."""
    return Markup('<svg class="axis" aria-hidden="true">{}</svg>').format(labels(on, factor))


def labels(on: Axis, factor: float) -> Markup:
    """Numbers along x: those at the ends stay inside, and of many every other one is left out."""
    text = Markup('<text x="{}%" y="12" text-anchor="{}">{}</text>')
    ends = {on.low: "start", on.high: "end"}
    zero = on.ticks.index(0.0) if 0.0 in on.ticks else 0
    shown = [t for i, t in enumerate(on.ticks) if len(on.ticks) < 6 or (i - zero) % 2 == 0]
    return Markup("").join(text.format(on.place(t), ends.get(t, "middle"), number(t * factor)) for t in shown)


def plot(lines: Sequence[Line], *, x: Axis, y: Scale, label: str, factor: float = 1) -> Markup:
    """Lines over steps: numbers at the left and below, the lines in a square that is stretched."""
    width = Markup('<line class="{}" x1="0" x2="100" y1="{y}" y2="{y}"/>')
    rules = [width.format("zero" if t == 0 else "grid", y=f"{100 - float(y.place(t)):.2f}") for t in y.ticks]
    drawn = [curve(line, x, y) for line in lines]
    left = Markup('<text x="100%" y="{}%" dy="0.32em" text-anchor="end">{}</text>')
    numbers = [left.format(f"{100 - float(y.place(t)):.2f}", number(t * factor)) for t in y.ticks]
    joined = Markup("").join
    return Markup(
        '<div class="plot" role="img" aria-label="{}"><svg class="ys" aria-hidden="true">{}</svg>'
        '<svg class="lines" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{}'
        '</svg><svg class="xs" aria-hidden="true">{}</svg></div>'
    ).format(label, joined(numbers), joined([*rules, *drawn]), labels(x, 1))


def curve(line: Line, x: Axis, y: Scale) -> Markup:
    """A path; dots, and a point that is alone, are strokes of no length with round ends."""
    places = [f"{x.place(a)} {100 - float(y.place(b)):.2f}" for a, b in line.points]
    dots = line.dots or len(places) == 1
    path = "".join(f"M{place}h0" for place in places) if dots else "M" + "L".join(places)
    arm = Markup(' data-arm="{}"').format(line.arm) if line.arm is not None else ""
    mark = Markup('<path class="line {}{}"{} d="{}"><title>{}</title></path>')
    return mark.format(color(line.color), " dots" if dots else "", arm, path, line.title)


def number(value: float) -> str:
    """Axis numbers: no more digits than they need."""
    text = f"{value:,.10g}" if abs(value) < 1e15 else f"{value:.3g}"
    return text.replace("-", "−")
