"""Running English text to sentences, by rules: no model, the same answer everywhere.

A sentence ends at `.`, `!`, `?` or an ellipsis, with the closing quotes and brackets after it, if
white space follows and then something that can begin a sentence. A full stop after an abbreviation,
an initial or a list's number does not end one. White space of any kind becomes one space.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

# The look-behind keeps a run of marks from being tried again from its second mark on: linear time.
END = re.compile(r"(?<![.!?…])([.!?…]++)([\"'”’´»)\]}]*+)\s")
OPENING = "\"'“‘«([{—–-_*`"
CLOSING = "\"'”’´»)]}_*"
MARKS = ".!?…"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Before a name or more of the same: never the end of a sentence.
NEVER = _words(
    "mr mrs ms messrs mm dr st ste prof capt col gen lt sgt maj cmdr adm rev revd hon rt pres gov "
    "sen rep mme mlle mdlle mdme mons esq vs v cf viz eg e.g i.e al vol vols b d ed eds trans "
    "approx ca c op dept univ mt ft hp gens brig cpl pvt supt insp det fr ven mgr"
)
NUMBERED = _words("no nos p pp fig figs ch sec art mar")  # the same, but only before a number
# May end one; it does if a word follows that begins sentences more often than names.
SOMETIMES = _words(
    "etc inc ltd co corp bros jr sr jan feb apr jun jul aug sept sep oct nov dec ave blvd rd "
    "a.m p.m ph.d b.a m.a m.d b.sc m.sc b.c a.d u.s u.k u.n e.u u.s.a u.s.s.r d.c n.y"
)
STARTERS = _words(
    "the a an it its he she they we you i his her their our my this that these those there in on "
    "at by for from with as and but or so if when while after before during since although though "
    "however what who why how no yes not all some most many one then now here to"
)


def split(text: str) -> list[str]:
    """The sentences of one paragraph, none of them empty."""
    text = " ".join(text.split())
    found, begin = list[str](), 0
    for match in END.finditer(text):
        if match.start() >= begin and _ends(text, begin, match):
            found.append(text[begin : match.end() - 1])
            begin = match.end()
    if begin < len(text):
        found.append(text[begin:])
    return found


def ended(line: str) -> bool:
    """Whether the line's last character, quotes and brackets aside, ends a sentence."""
    return line.rstrip().rstrip(CLOSING).rstrip().endswith(tuple(MARKS))


def paragraphs(lines: Iterable[str]) -> Iterator[str]:
    """Lines of running text to paragraphs; wrapped lines are joined, an empty line ends one."""
    block = list[str]()
    for line in lines:
        if bare := line.strip():
            block.append(bare)
        elif block:
            yield from _unwrapped(block)
            block = []
    yield from _unwrapped(block)


def _ends(text: str, begin: int, match: re.Match[str]) -> bool:
    following = text[match.end() : match.end() + 40].lstrip(OPENING + " ")
    first = following[:1]
    if not first or first.islower() or first in MARKS:
        return False
    marks = match[1]
    if marks != ".":  # "!", "?", an ellipsis
        return first.isalnum() or marks[-1] in "!?"
    if match[2]:  # a quote or bracket closes after the full stop
        return True
    word = text[max(begin, match.start() - 30) : match.start()].rpartition(" ")[2].lstrip(OPENING)
    if len(word) == 1 and word.isalpha() and word.isupper():
        return word == "I" and text[max(0, match.start() - 3) : match.start() - 1].strip().islower()
    lower = word.lower()
    if lower in NEVER:
        return False
    if lower in NUMBERED:
        return not first.isdigit()
    if lower in SOMETIMES or (word[1:2] == "." and word.isupper()):  # also J.R. Smith, acronyms
        after = re.match(r"[\w']+", following)
        return after is not None and after[0].lower() in STARTERS
    return not (word.isdigit() and match.start() - begin <= 3)  # "1. The first point"


def _unwrapped(block: list[str]) -> Iterator[str]:
    """A block without empty lines: a paragraph a line, or paragraphs wrapped to some width."""
    runs_on = [_runs_on(line, after) for line, after in pairwise(block)]
    wrapped = sum(runs_on) >= 0.3 * len(runs_on)
    full = 0.6 * sorted(map(len, block))[3 * len(block) // 4] if block else 0.0
    parts = list[str]()
    for index, line in enumerate(block):
        parts.append(line)
        last = index + 1 == len(block)
        # In wrapped text a short line is a heading or the end of a paragraph.
        if last or not (runs_on[index] or (wrapped and len(line) >= full)):
            yield "".join(parts)
            parts = []
        elif not line.endswith("-"):  # a word broken at its hyphen, or a dash
            parts.append(" ")


def _runs_on(line: str, after: str) -> bool:
    if ended(line):
        return line.endswith(".") and line.rpartition(" ")[2][:-1].lower() in NEVER  # "... and Mr."
    return after[0].islower()
