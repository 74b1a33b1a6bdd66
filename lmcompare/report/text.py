"""Results as lines for a person."""

import shutil
import textwrap
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from lmcompare.progress import clock

BESIDE = 60  # columns that a text needs beside a table, not to stand below


def run_lines(result: dict[str, Any], *, noted: Collection[str] = ()) -> Iterator[str]:
    """A run: how good, how long, where. What was `noted` while it ran is not said again."""
    if result.get("already"):
        yield f"{result['run']} is finished already; --force makes it again."
    for split, metrics in result["metrics"].items():
        undefined = result.get("undefined", {}).get(split, {})
        yield f"{split}: {figures(metrics, undefined)}"
        yield from group_lines(result.get("by_group", {}).get(split, {}))
    majority = result.get("majority") or {}
    if majority.get("value") is not None:
        yield f"without looking: {majority['metric']} {majority['value']:.4g}"
    if mix := result.get("layer_mix"):
        yield "layer mix, embeddings first: " + " ".join(f"{w:.3f}" for w in mix)
    for sentence in result.get("warnings", []):
        if sentence not in noted:
            yield f"note: {sentence}"
    memory = f", {result['peak_memory_mb']} MB" if result["peak_memory_mb"] is not None else ""
    yield f"{result['run']}, {clock(result['seconds'])}{memory}"


def figures(metrics: dict[str, float | None], undefined: dict[str, str]) -> str:
    return ", ".join(
        f"{name} {shown(value)}" if value is not None else f"{name} undefined ({undefined.get(name, '')})"
        for name, value in metrics.items()
    )


def shown(value: float) -> str:
    """A count in full, any other figure with four digits."""
    return f"{value:,.0f}" if value >= 1e4 and value == int(value) else f"{value:.4g}"


def evaluation_lines(result: dict[str, Any]) -> Iterator[str]:
    state = result["data_state"].get(result["split"], "unknown")
    beside = f" ({state})" if state != "unknown" else ""
    yield f"{result['run']} on {result['split']}, {result['examples']} examples{beside}"
    yield figures(result["metrics"], result["undefined"]) or "this split has no labels"
    if folds := result.get("folds"):
        counted = ", ".join(f"{label} as {other}" for label, other in folds.items())
        yield f"note: the task's labels are fewer than the run's: {counted}"
    yield from group_lines(result.get("by_group", {}))
    if (timed := result.get("inference")) and timed["milliseconds"] is not None:
        yield f"an answer: {shown(timed['milliseconds'])} ms, in batches of {timed['batch']}"
    for sentence in result["warnings"]:
        yield f"note: {sentence}"
    if how := result.get("zero_shot"):
        yield from zero_shot_lines(how)


def group_lines(groups: dict[str, Any]) -> Iterator[str]:
    """A line for each group of examples; what belongs to another one stands below it."""
    for name, told in groups.items():
        inner = "    " if ": " in name else "  "
        yield f"{inner}{name} ({told['examples']:,}): {figures(told['metrics'], told['undefined'])}"


def submission_lines(result: dict[str, Any]) -> Iterator[str]:
    """What was written, by which run; and what is not there to hand in."""
    for row in result["files"]:
        old = row["replaced"]
        yield (
            f"{row['file']}: {row['rows']:,} answers of {row['run']} to {row['split']} of {row['task']}"
            + (f", in the place of those there ({whose(old)})" if old else "")
        )
    if result["kept"]:
        yield "as they were: " + ", ".join(f"{row['file']} ({whose(row)})" for row in result["kept"])
    for file, why in result["missing"].items():
        yield f"missing: {file}: {why}"
    for sentence in result["warnings"]:
        yield f"note: {sentence}"
    yield result["submission"]


def whose(row: dict[str, Any]) -> str:
    return f"run {row['run']}, model {row['model'][:8]}" if row["run"] else "of which run is not known"


def zero_shot_lines(how: dict[str, Any]) -> Iterator[str]:
    """What was made of a bare language model's probabilities, and what no look at the text would reach."""
    if how["heuristic"] == "threshold":
        on = how["chosen_on"]
        best = f"{on['metric']} {shown(on['value'])}"
        yield (
            f"zero-shot: good where the mean log-probability of a token is {how['threshold']:.4g} or more, which is "
            f"best on {on['examples']:,} examples of {on['split']} ({best})"
        )
    elif how["heuristic"] == "words":
        words = ", ".join(f"{word!r} for {label}" for label, word in how["words"].items())
        yield f"zero-shot: the likeliest word after the text and {how['prompt']!r}: {words}"
    else:
        yield "zero-shot: the option with the highest mean log-probability of a token"
    if (floor := how["majority"])["value"] is not None:
        yield f"without looking: {floor['metric']} {shown(floor['value'])}"
    if how["truncated"]:
        yield f"note: longer than the model's positions: {how['truncated']:,} examples"
    for sentence in how["warnings"]:
        yield f"note: {sentence}"


def table_lines(listing: dict[str, Any]) -> Iterator[str]:
    """Columns as wide as their widest cell; the last one may run on. Tasks have too much to tell for a line each."""
    if listing["room"] == "tasks":
        yield from task_lines(listing["rows"], shutil.get_terminal_size((100, 24)).columns)
    else:
        yield from columns(listing["columns"], listing["rows"])


def task_lines(rows: list[dict[str, Any]], width: int) -> Iterator[str]:
    """What each task is and where, and what it asks: beside it where the terminal is wide, else below."""
    heads = {"name": "task", "kind": "kind", "where": "data", "sizes": "published: train / dev / test"}
    told = [row | {"where": there(row), "sizes": sizes(row["splits"])} for row in rows]
    first, *lines = columns([*heads], [heads, *told])
    place = max(map(len, [first, *lines])) + 2
    yield first[:width]
    for line, row in zip(lines, rows, strict=True):
        text = f"{row['about']} Metrics: {', '.join(row['metrics'])}. License: {row['license']}."
        if width - place >= BESIDE:
            yield from wrapped(line.ljust(place) + text, width, place)
        else:
            yield from wrapped(line, width, 4)
            yield from wrapped(f"    {text}", width, 4)


def wrapped(line: str, width: int, indent: int) -> list[str]:
    """A line that goes on below, from that place on."""
    return textwrap.wrap(line, width, subsequent_indent=" " * indent, break_on_hyphens=False)


def there(row: dict[str, Any]) -> str:
    """Where the data is; and of what is here in parts only, which."""
    if row["where"] != "local" or not row["gone"]:
        return row["where"]
    return min(f"local: {', '.join(row['found'])}", f"local, no {', '.join(row['gone'])}", key=len)


def sizes(splits: dict[str, int | None]) -> str:
    """As published: the parts of one kind are added up in sight; a dash where there is none."""
    kinds = ("train", "dev", "test")
    told = {kind: [n for split, n in splits.items() if split.split("_")[0] == kind] for kind in kinds}
    shown = [" + ".join("?" if n is None else f"{n:,}" for n in told[kind]) or "–" for kind in kinds]
    others = [f"{n:,} in all" for split, n in splits.items() if split.split("_")[0] not in kinds and n]
    return ", ".join(others) or (" / ".join(shown) if splits else "")


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
            + (
                f"; {row['utilization']:.0%} of the rate of one matrix product"
                if "utilization" in row
                else ""
            )
        )


def cache_lines(entries: dict[str, Any]) -> Iterator[str]:
    rows = [row | {"size": f"{row['bytes'] / 1e6:.1f} MB"} for row in entries["entries"]]
    yield from columns(["room", "name", "size", "about"], rows)
    total = sum(row["bytes"] for row in rows)
    yield f"{len(rows)} entries, {total / 1e6:.1f} MB, {entries['what']} {entries['root']}"


def extract_lines(result: dict[str, Any]) -> Iterator[str]:
    """What was written, how it was made, how fast."""
    empty = f" ({result['empty']} of them empty)" if result["empty"] else ""
    layers = ", ".join(map(str, result["layers"]))
    yield (
        f"{result['lines']:,} lines{empty}, {result['words']:,} words; layers {layers}; "
        f"{result['width']} numbers a vector, {result['dtype']}"
    )
    yield f"{result['backend']}: {'the states go on from batch to batch' if result['stateful'] else 'every line alone'}"
    if result["windowed"]:
        yield f"note: longer than the model's positions, so read in windows: {result['windowed']:,} lines"
    for sentence in result["warnings"]:
        yield f"note: {sentence}"
    yield f"{result['out']}, {clock(result['seconds'])}, {result['words'] / max(result['seconds'], 1e-3):,.0f} words/s"


def neighbors_lines(result: dict[str, Any]) -> Iterator[str]:
    """The nearest uses of a word, and its nearest words where each has one vector."""
    layer = "the mean of all layers" if result["layer"] == "mix" else f"layer {result['layer']}"
    yield marked(result["context"], result["place"])
    yield ""
    yield (
        f"nearest uses by {layer} of {result['backend']}, in {result['sentences']:,} different sentences out of "
        f"{result['holding']:,} of {result['corpus']} that hold the word:"
    )
    for row in result["nearest"]:
        sense = f", sense {row['sense'] + 1}" if row["sense"] is not None else ""
        yield f"  {row['score']:.3f}  {marked(row['sentence'], row['place'])}  (document {row['document']}{sense})"
    if result["same_everywhere"]:
        yield "  Every use has the same vector: this model gives a word one vector, whatever stands around it."
    yield from sense_lines(result)
    yield ""
    yield (
        f"nearest words where a word has one vector: the mean over its uses ({result['uses']:,} of "
        f"{result['word']!r}; the others' in {result['drawn']:,} sentences of any kind):"
    )
    for row in result["words"]:
        sense = f"  (company of sense {row['sense'] + 1})" if row["sense"] is not None else ""
        yield f"  {row['score']:.3f}  {row['word']}{sense}"
    for sentence in result["warnings"]:
        yield f"note: {sentence}"


def sense_lines(result: dict[str, Any]) -> Iterator[str]:
    """The small world knows what its words mean: how many of the nearest uses mean the same."""
    if (senses := result["senses"]) is None:
        return
    first, second = senses["names"]
    yield f"  {result['word']!r} has two senses here: 1, {first}; 2, {second}."
    if senses["context"] is None:
        yield "  The sentence does not tell which of them it means."
    elif senses["same"] is None or senses["chance"] is None:
        yield "  What the uses mean cannot be told."
    else:
        yield (
            f"  The sentence means sense {senses['context'] + 1}; so do {senses['same']:.0%} of its nearest uses, and "
            f"{senses['chance']:.0%} of all uses."
        )


def marked(text: str, place: list[int]) -> str:
    """The sentence with its word in brackets."""
    start, end = place
    return f"{text[:start]}[{text[start:end]}]{text[end:]}"


def convert_lines(result: dict[str, Any]) -> Iterator[str]:
    yield f"{result['out']}: {', '.join(result['files'])} ({result['parameters']:,} parameters, the same bit for bit)"
    yield f"left out: {', '.join(result['left_out'])}"
