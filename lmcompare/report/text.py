"""Results as lines for a person."""

from collections.abc import Iterable, Iterator
from typing import Any

from lmcompare.progress import clock


def run_lines(result: dict[str, Any]) -> Iterator[str]:
    """A run: how good, how long, where."""
    if result.get("already"):
        yield f"{result['run']} is finished already; --force makes it again."
    for split, metrics in result["metrics"].items():
        undefined = result.get("undefined", {}).get(split, {})
        yield f"{split}: {figures(metrics, undefined)}"
    majority = result.get("majority") or {}
    if majority.get("value") is not None:
        yield f"without looking: {majority['metric']} {majority['value']:.4g}"
    if mix := result.get("layer_mix"):
        yield "layer mix, embeddings first: " + " ".join(f"{w:.3f}" for w in mix)
    for sentence in result.get("warnings", []):
        yield f"note: {sentence}"
    yield f"{result['run']}, {clock(result['seconds'])}, {result['peak_memory_mb']} MB"


def figures(metrics: dict[str, float | None], undefined: dict[str, str]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if value is not None else f"{name} undefined ({undefined.get(name, '')})"
        for name, value in metrics.items()
    )


def evaluation_lines(result: dict[str, Any]) -> Iterator[str]:
    yield f"{result['run']} on {result['split']}, {result['examples']} examples"
    yield figures(result["metrics"], result["undefined"]) or "this split has no labels"


def table_lines(listing: dict[str, Any]) -> Iterator[str]:
    """Columns as wide as their widest cell; the last one may run on."""
    yield from columns(listing["columns"], listing["rows"])


def columns(heads: list[str], rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    cells = [[str(row.get(head, "")) for head in heads] for row in rows]
    widths = [max(len(line[n]) for line in cells) if cells else 0 for n in range(len(heads))]
    for line in cells:
        padded = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        yield "  ".join([*padded, line[-1]]).rstrip()


def description_lines(facts: dict[str, Any]) -> Iterator[str]:
    yield from facts["text"]


def doctor_lines(facts: dict[str, Any]) -> Iterator[str]:
    for check in facts["checks"]:
        yield f"{'ok  ' if check['ok'] else 'look'}  {check['what']}: {check['found']}"


def bench_lines(result: dict[str, Any]) -> Iterator[str]:
    yield f"{result['device']}, {result['threads']} threads, {result['repeats']} repeats, medians"
    for row in result["rows"]:
        yield (
            f"{row['what']}: {row['ours']:,.0f} tokens/s, {row['theirs_name']} {row['theirs']:,.0f} tokens/s, "
            f"{row['ratio']:.2f} times as fast"
        )


def cache_lines(entries: dict[str, Any]) -> Iterator[str]:
    rows = [row | {"size": f"{row['bytes'] / 1e6:.1f} MB"} for row in entries["entries"]]
    yield from columns(["room", "name", "size", "about"], rows)
    total = sum(row["bytes"] for row in rows)
    yield f"{len(rows)} entries, {total / 1e6:.1f} MB, {entries['what']} {entries['root']}"
