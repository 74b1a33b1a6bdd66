"""Named dots by cost and score, and the front of those that no other beats. As in the other charts places are in
percent; a name stands some pixels from its dot, where it meets no other at any width that the page shows names at."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lmcompare.report.charts import Axis, LogScale, color, number, scale

WIDTHS = (500, 640, 820, 1040)  # of the plot in pixels: the page leaves the names out below
LEAST, MOST, LINE = 280, 900, 18  # its height in pixels, and that of a name
LETTER = 6.6  # a wide one, in pixels
LONGEST = 34  # letters of a name in the plot; the table has it whole
BESIDE = 9  # pixels from a dot to its name
SPAN = 20  # from such a factor on an axis is logarithmic


@dataclass(frozen=True)
class Spot:
    name: str
    x: float
    y: float
    color: int
    title: str
    front: bool


@dataclass(frozen=True)
class Label:
    """A name's place beside its dot, in pixels; `left`: it ends there, else it begins there."""

    dx: float
    dy: float
    left: bool


NEAR = (Label(4, -14.0, False), Label(4, -14.0, True), Label(4, 14.0, False), Label(4, 14.0, True))
Piece = tuple[float, float, float, float]  # of the front, from a place to a place, as shares of the plot


def axis(values: Sequence[float]) -> Axis:
    """From zero on; logarithmic where the values span much, and none of them is zero."""
    low, high = min(values), max(values)
    if low <= 0 or high / low < SPAN:
        return scale([0.0, high])
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first < 3 else (1,)
    every = [10.0**power * step for power in range(first, last + 1) for step in steps]
    below = max(tick for tick in every if tick <= low * (1 + 1e-9))
    above = min(tick for tick in every if tick >= high * (1 - 1e-9))
    return LogScale(below, above, tuple(tick for tick in every if below <= tick <= above))


def plot(
    spots: Sequence[Spot], best: Sequence[tuple[float, float]], *, told: Callable[[float], str], label: str
) -> Markup:
    """The whole chart; `best`: cost and score of those on the front, the cheapest first."""
    x, y = axis([spot.x for spot in spots]), scale([spot.y for spot in spots])
    high = min(MOST, max(LEAST, 24 * len(spots)))
    places = [(float(x.place(spot.x)) / 100, 1 - float(y.place(spot.y)) / 100) for spot in spots]
    corners = [(float(x.place(cost)), 100 - float(y.place(score))) for cost, score in best]
    words = [short(spot.name) for spot in spots]
    names = labels(places, words, high, [spot.front for spot in spots], pieces(corners))
    joined = Markup("").join
    rule = Markup('<line class="grid" x1="0" x2="100" y1="{0:.2f}" y2="{0:.2f}"/>')
    post = Markup('<line class="grid" x1="{0:.2f}" x2="{0:.2f}" y1="0" y2="100"/>')
    rules = [rule.format(100 - float(y.place(tick))) for tick in y.ticks]
    posts = [post.format(float(x.place(tick))) for tick in x.ticks]
    left = Markup('<text x="100%" y="{:.2f}%" dy="0.32em" text-anchor="end">{}</text>')
    beside = [left.format(100 - float(y.place(tick)), number(tick)) for tick in y.ticks]
    marks = [mark(spot, place, name) for spot, place, name in zip(spots, places, names, strict=True)]
    return Markup(
        '<div class="plot scatter" role="img" aria-label="{}" style="--high: {}px"><svg class="ys" aria-hidden="true">'
        '{}</svg><svg class="lines" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{}{}</svg>'
        '<svg class="marks" aria-hidden="true">{}</svg><svg class="xs" aria-hidden="true">{}</svg></div>'
    ).format(
        label,
        high,
        joined(beside),
        joined([*rules, *posts]),
        stairs(corners),
        joined(marks),
        below(x, told),
    )


def stairs(corners: Sequence[tuple[float, float]]) -> Markup:
    """What can be had for so much: it rises at each arm of the front, and goes on from the last one."""
    path = ""
    for across, down in corners:
        path += f"H{across:.2f}V{down:.2f}" if path else f"M{across:.2f} {down:.2f}"
    return Markup('<path class="front" d="{}"/>').format(f"{path}H100") if path else Markup("")


def pieces(corners: Sequence[tuple[float, float]]) -> list[Piece]:
    """The same line by its straight parts: to the right of each corner, and up to the next one."""
    found: list[Piece] = []
    if not corners:
        return found
    for (across, down), (after, above) in zip(corners, [*corners[1:], (100.0, corners[-1][1])], strict=True):
        found.append((across / 100, down / 100, after / 100, down / 100))
        found.append((after / 100, above / 100, after / 100, down / 100))
    return found


def mark(spot: Spot, place: tuple[float, float], name: Label | None) -> Markup:
    """A dot, and its name with a line to it where that stands apart. The dot is the origin of both."""
    dot = Markup('<circle class="dot{}" r="{}"><title>{}</title></circle>').format(
        " best" if spot.front else "", 6 if spot.front else 4.5, spot.title
    )
    text = Markup("")
    if name is not None:
        x = -name.dx if name.left else name.dx
        anchor = "end" if name.left else "start"
        if abs(name.dy) >= LINE:
            lead = Markup('<line class="lead" x1="0" y1="0" x2="{:.1f}" y2="{:.1f}"/>')
            text += lead.format(x * 0.8, name.dy)
        word = Markup('<text x="{:.1f}" y="{:.1f}" dy="0.32em" text-anchor="{}">{}</text>')
        text += word.format(x, name.dy, anchor, short(spot.name))
    box = Markup('<svg x="{:.2f}%" y="{:.2f}%" class="mark {}" data-arm="{}">{}{}</svg>')
    return box.format(100 * place[0], 100 * place[1], color(spot.color), spot.color, text, dot)


def below(x: Axis, told: Callable[[float], str]) -> Markup:
    """The costs along the axis: those at the ends stay inside, and of many some are left out."""
    every = math.ceil(len(x.ticks) / 5)
    text = Markup('<text x="{:.2f}%" y="12" text-anchor="{}">{}</text>')
    shown = [(float(x.place(tick)), told(tick)) for tick in x.ticks[::every]]
    return Markup("").join(
        text.format(at, "start" if at < 1 else "end" if at > 99 else "middle", words) for at, words in shown
    )


def short(name: str) -> str:
    """A long name by its beginning and its end, which is where names of settings differ."""
    return name if len(name) <= LONGEST else f"{name[:16]}…{name[-16:]}"


def labels(
    places: Sequence[tuple[float, float]],
    names: Sequence[str],
    high: float,
    best: Sequence[bool] = (),
    line: Sequence[Piece] = (),
) -> list[Label | None]:
    """Beside every dot a place for its name that is free; none where there is none. The upper dots choose first; the
    `best` ones take one above or below the line of the front that begins at them, and the line itself runs through a
    name only where there is no other place for it."""
    taken: list[tuple[int, Label]] = []
    found: list[Label | None] = [None] * len(names)
    for number_ in sorted(range(len(names)), key=lambda n: (places[n][1], places[n][0])):
        y = places[number_][1] * high
        near = [
            label for label in NEAR if best and best[number_] and LINE / 2 < y + label.dy < high - LINE / 2
        ]
        for label in (*near, *candidates(y, high)):
            if not all(free(number_, label, taken, places, names, high, width) for width in WIDTHS):
                continue
            found[number_] = found[number_] or label
            if not crossed(places[number_], label, names[number_], high, line):
                found[number_] = label
                break
        if chosen := found[number_]:
            taken.append((number_, chosen))
    return found


def crossed(place: tuple[float, float], label: Label, name: str, high: float, line: Sequence[Piece]) -> bool:
    """Whether the front runs through a name at any of the widths."""
    for width in WIDTHS if line else ():
        left, top, right, bottom = box(place, label, name, high, width)
        for x1, y1, x2, y2 in line:
            beside = right <= x1 * width - 1 or x2 * width + 1 <= left
            if not (beside or bottom <= y1 * high or y2 * high <= top):
                return True
    return False


def candidates(y: float, high: float) -> Iterator[Label]:
    """The nearest first, on either side, up and down."""
    for step in range(int(high // LINE)):
        for dy in dict.fromkeys((step * LINE, -step * LINE)):
            if 0 <= y + dy <= high:
                dx = BESIDE if step == 0 else BESIDE + 5
                yield Label(dx, float(dy), False)
                yield Label(dx, float(dy), True)


def free(
    number_: int,
    label: Label,
    taken: Sequence[tuple[int, Label]],
    places: Sequence[tuple[float, float]],
    names: Sequence[str],
    high: float,
    width: float,
) -> bool:
    """Whether a name meets no dot, no other name and no edge on a plot of this width."""
    left, top, right, bottom = box(places[number_], label, names[number_], high, width)
    if left < 0 or right > width:
        return False
    others = [box(places[n], other, names[n], high, width) for n, other in taken]
    others += [
        (x * width - 7, y * high - 7, x * width + 7, y * high + 7)
        for n, (x, y) in enumerate(places)
        if n != number_
    ]
    return all(right <= l or r <= left or bottom <= t or b <= top for l, t, r, b in others)


def box(
    place: tuple[float, float], label: Label, name: str, high: float, width: float
) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a name in pixels."""
    x, y = place[0] * width, place[1] * high + label.dy
    long = LETTER * len(name) + 2
    start = x - label.dx - long if label.left else x + label.dx
    return start, y - LINE / 2, start + long, y + LINE / 2
