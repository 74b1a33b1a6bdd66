"""A published table beside ours, as lines for a person: figures first, then what they are cited for."""

import textwrap
from collections.abc import Iterator
from typing import Any

from lmcompare.report.figures import counted, points, printable, signed, spread

WIDE, LABEL = 80, 30
FORMS = {
    "full": "at the paper's size",
    "micro": "in its micro form, where only claims can be asked",
    "finished": "of a finished study",
}


def table_lines(listing: dict[str, Any]) -> Iterator[str]:
    """Two lines a table: what it is, and whose."""
    for row in listing["rows"]:
        yield f"{row['table']:<13}{row['title']}"
        asked = f"{counted(row['figures'], 'figure')}, {counted(row['claims'], 'claim')}"
        yield f"{'':<13}{row['source']}: {asked}; study {row['study']}"


def reproduced_lines(result: dict[str, Any]) -> Iterator[str]:
    yield printable(f"{result['title']}: {result['source']}")
    made = f"{result['table']} {FORMS[result['form']]}: {result['study']}, {counted(result['seeds'], 'seed')}"
    yield from folded(made)
    if result["note"] and result["cells"]:
        yield from folded(result["note"])
    if result["cells"]:
        yield ""
        yield from figures(result["cells"])
    if result["claims"]:
        yield ""
        for claim in result["claims"]:
            yield from claimed(claim)
    yield ""
    yield from folded(told(result))
    for sentence in result["left_out"]:
        yield from folded(sentence)
    for failed in result["failed"]:
        yield from folded(f"failed: {failed['run']} ({failed['arm']}): {failed['reason']}")
    yield printable(f"runs: {result['folder']}")


def figures(cells: list[dict[str, Any]]) -> Iterator[str]:
    """A line a figure."""
    yield line("", "paper", "here", "apart", "")
    for cell in cells:
        label = f"{cell['row']}, {cell['column']}" if cell["column"] != cell["row"] else cell["row"]
        *above, last = textwrap.wrap(printable(label), LABEL) or [""]
        yield from above
        bound = f"{cell['verdict']} (±{points(cell['tolerance'])})" if cell["verdict"] else "no figure"
        lost = f", {cell['without']} without" if cell["without"] else ""
        ours, apart = spread(cell["ours"], cell["sd"]), signed(cell["difference"])
        yield line(last, points(cell["paper"]), ours, apart, bound + lost)


def line(label: str, paper: str, ours: str, apart: str, rest: str) -> str:
    return f"{label:<{LABEL}} {paper:>6} {ours:>11} {apart:>6}  {rest}".rstrip()


def claimed(claim: dict[str, Any]) -> Iterator[str]:
    """What is said, and the figures for it below."""
    yield from folded(claim["says"], f"{claim['verdict'] or 'no figure':<10}", " " * 10)
    between = ""
    if claim["low"] is not None:
        doubt = "" if claim["sure"] else "; not sure"
        between = f" (95 %: {signed(claim['low'])} to {signed(claim['high'])}{doubt})"
    parts = [f"paper {signed(claim['paper'])}"] if claim["paper"] is not None else []
    parts.append(f"here {signed(claim['difference'])}{between}")
    if claim["tasks"] < claim["of"]:
        parts.append(f"over {claim['tasks']} of {counted(claim['of'], 'task')}")
    asked = f" ≥ {signed(claim['by'])}" if claim["by"] else ""
    yield from folded(f"{claim['more']} − {claim['than']}{asked}: {', '.join(parts)}", " " * 10)


def told(result: dict[str, Any]) -> str:
    """How many of each passed, of those that have a figure."""
    parts = []
    for key, good, words in (
        ("cells", "pass", "figures are within their tolerance"),
        ("claims", "holds", "claims hold"),
    ):
        found = [one["verdict"] for one in result[key]]
        known = [verdict for verdict in found if verdict]
        if found:
            nothing = f" ({len(found) - len(known)} without a figure)" if len(known) < len(found) else ""
            parts.append(f"{known.count(good)} of {len(known)} {words}{nothing}")
    return "; ".join(parts) + "."


def folded(text: str, first: str = "", rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        printable(text), WIDE, initial_indent=first, subsequent_indent=first if rest is None else rest
    )
