"""`lmc explain` for a person: what made a number, from the number down to the machine; and what two runs differ in."""

import shutil
from collections.abc import Iterator
from typing import Any

from lmcompare.config import OPERATIONAL
from lmcompare.progress import clock
from lmcompare.report.figures import points, signed
from lmcompare.report.text import figures, wrapped

WIDE = 12  # columns of a heading
LONG = 110  # of a value that is told on one line
HEADS = {
    "data": "Data",
    "model": "Model",
    "learning": "Learning",
    "chance": "Seeds",
    "machine": "Machine and code (the last digits may hang on it)",
    "operational": "Keeping the run (changes no answer)",
}
NUMBER = {
    "nothing": "Nothing that made the number differs.",
    "machine": "Nothing that was asked for differs; the machine or the code does, so the number may differ a little.",
    "chance": "Nothing that was asked for differs but chance: they are two draws of one thing.",
    "makes": "What differs makes the number.",
}


def explained_lines(told: dict[str, Any]) -> Iterator[str]:
    yield from headed(told)
    parts = {
        "number": number,
        "model": encoder,
        "data": data,
        "example": example,
        "learning": learning,
        "machine": machine,
        "time": time,
    }
    for name, part in parts.items():
        for place, (head, text) in enumerate(part(told)):
            yield from folded(f"{'' if place else name:<9} {head:<{WIDE}} {text}", 10 + WIDE + 1)
    for sentence in told["warnings"]:
        yield from folded(f"note: {sentence}", 2)
    yield ""
    yield "To make it again:"
    yield f"  {told['command']['line']}"
    for note in told["command"]["notes"]:
        yield f"  ({note})"


def folded(line: str, indent: int) -> list[str]:
    """As wide as the terminal; in a narrow one what goes on below begins further left."""
    width = shutil.get_terminal_size((120, 24)).columns
    return wrapped(line, max(width, 20), indent if width > 2 * indent else 2)


def headed(told: dict[str, Any]) -> Iterator[str]:
    kind = {"pretrain": "pretraining", "finetune": "fine-tuning", "multitask": "fine-tuning on several tasks"}
    part = f", part of {told['part_of']}" if told["part_of"] else ""
    yield f"{told['run']}: {kind.get(told['kind'], told['kind'])}, {told['status']}{part}"
    if told["why"]:
        yield f"no figure: {told['why']}"


Rows = Iterator[tuple[str, str]]


def number(told: dict[str, Any]) -> Rows:
    figure = told["figure"]
    if figure["value"] is not None:
        yield "figure", f"{figure['metric']} {points(figure['value'])} on {figure['split']}"
    if figure["definition"]:
        yield "which is", figure["definition"]
    if figure["value"] is not None and figure["majority"] is not None:
        yield "floor", f"{points(figure['majority'])} without looking at the examples"
    for split, metrics in figure["metrics"].items():
        yield split, figures(metrics, figure["undefined"].get(split, {}))
    if figure["chosen_on"] and figure["best_step"] is not None:
        best = f"step {figure['best_step']:,} of {figure['steps']:,} was best on {figure['chosen_on']}"
        same = figure["chosen_on"] == figure["split"]
        yield (
            "chosen",
            best + (", the split that is reported: it looks a little better than it is" if same else ""),
        )


def encoder(told: dict[str, Any]) -> Rows:
    model = told["model"]
    name = f" {model['name']}" if model["name"] else ""
    start = ", random start" if model["weights"] == "random" else ""
    yield "model", f"{model['backend']}{name}{start}"
    for key, value in model["redrawn"].items():
        yield "", f"{key} = {value}"
    if model["network"]:
        yield "network", settings({k: v for k, v in model["network"].items() if k != "name"})
    if parameters := model["parameters"]:
        yield "size", f"{parameters['total']:,} parameters, {parameters['trained']:,} of them trained"
    if model["hash"]:
        yield "hash", str(model["hash"])[:16]
    for step in model["lineage"]:
        yield "learned", past(step)
    if model["weights"] == "pretrained" and not model["lineage"]:
        yield "learned", "nothing is on record of what these weights were trained on"
    if model["layer_mix"]:
        yield "layer mix", " ".join(f"{share:.3f}" for share in model["layer_mix"]) + ", embeddings first"


def past(step: dict[str, Any]) -> str:
    on = step.get("corpus") or step.get("task") or " + ".join(step.get("tasks") or ())
    known = [
        f"{step['steps']:,} steps" if step.get("steps") else "",
        f"{step['tokens']:,} tokens" if step.get("tokens") else "",
        *(
            figures({k: v for k, v in metrics.items() if v is not None}, {})
            for metrics in (step.get("metrics") or {}).values()
        ),
    ]
    return "; ".join(filter(None, [f"{step['did']} on {on} ({step.get('run')})", *known]))


def data(told: dict[str, Any]) -> Rows:
    found = told["data"]
    task = " + ".join(found["task"]) if isinstance(found["task"], list) else found["task"]
    if task:
        yield "task", f"{task}, {found['kind']}" if found["kind"] else task
    if found["source"]:
        yield "source" if task else "corpus", str(found["source"])
    if isinstance(found["settings"], dict):
        rest = {k: v for k, v in found["settings"].items() if k not in ("name", "path") and v is not None}
        if rest:
            yield "settings", settings(rest)
    for split, size in found["examples"].items():
        yield split, part_of(found, split, size)
    if found["few"]:
        yield "few", f"only {found['few']:,} of the training examples, the same in every run"
    if found["hash"] and not found["hashes"] and not isinstance(found["hash"], dict):
        yield "hash", str(found["hash"])[:16]
    if found["labels"]:
        yield "labels", ", ".join(map(str, found["labels"]))
    if found["length"]:
        stride = f", windows {found['stride']} apart" if found["stride"] else ""
        yield "length", f"at most {found['length']} tokens a view{stride}"


def part_of(found: dict[str, Any], split: str, size: Any) -> str:
    """A split; of several tasks, each one's splits."""
    if isinstance(size, dict):
        return ", ".join(f"{part} {count:,}" for part, count in size.items())
    cut, digest, state = (found[key].get(split) for key in ("truncated", "hashes", "state"))
    facts = [f"{size:,} examples"]
    facts += [state] if state not in (None, "unknown") else []
    facts += [f"hash {digest[:8]}"] if digest else []
    facts += [f"{cut:,} of them cut at {found['length']} tokens"] if cut else []
    return ", ".join(facts)


def example(told: dict[str, Any]) -> Rows:
    found = told["example"]
    if found is None:
        return
    if found["why"]:
        yield "reads", f"(cannot be shown: {found['why']})"
        return
    more = f" (the first of {found['views']} views)" if found["views"] > 1 else ""
    yield "reads", f"{found['seen']}{more}"
    yield "right is", "not known" if found["gold"] is None else str(found["gold"])
    if found["answer"] is not None:
        yield "it said", str(found["answer"])


def learning(told: dict[str, Any]) -> Rows:
    kept = [name.removeprefix("training.") for name in (*OPERATIONAL, "training.log_every")]
    for head, table in told["learning"].items():
        if isinstance(table, dict):
            table = {key: item for key, item in table.items() if head != "training" or key not in kept}
        yield head, settings(table) if isinstance(table, dict) else str(table)
    seeds = told["seeds"]
    if seeds["weights"] is not None:
        yield "seeds", f"{seeds['weights']} for the weights, {seeds['order']} for the order of the data"


def machine(told: dict[str, Any]) -> Rows:
    found, code = told["machine"], told["code"]
    if found["device"]:
        processes = found["processes"] or 1
        spread = f", {processes} processes" if processes > 1 else ""
        precision = f", {found['precision']}" if found["precision"] else ""
        memory = f", {found['peak_memory_mb']} MB" if found["peak_memory_mb"] else ""
        yield "device", f"{found['device']}{spread}{precision}{memory}"
    if code["versions"]:
        yield "versions", ", ".join(f"{name} {version}" for name, version in code["versions"].items())
    if code["git"]:
        changed = ", with changes that are in no commit" if code["git"].get("changed") else ""
        yield "commit", f"{code['git'].get('commit', '')[:12]}{changed}"


def time(told: dict[str, Any]) -> Rows:
    found = told["time"]
    if found["seconds"] is not None:
        yield "time", f"{clock(found['seconds'])}, begun {found['began']}"
    if len(found["attempts"]) > 1 or told["status"] != "finished":
        for attempt in found["attempts"]:
            how = {"end": "ended", None: "ended without a word"}.get(attempt["ended"], attempt["ended"])
            took = f" after {clock(attempt['seconds'])}" if attempt.get("seconds") is not None else ""
            yield f"attempt {attempt['attempt']}", f"{attempt['began']}: {how}{took}"


def settings(table: dict[str, Any]) -> str:
    """A table on one line, its name first."""
    told = [f"{key} {value(item)}" for key, item in table.items() if key != "name" and item not in (None, "")]
    return ", ".join([*([str(table["name"])] if "name" in table else []), *told])


def value(item: Any) -> str:
    if isinstance(item, dict):
        return f"({settings(item)})"
    if isinstance(item, float):
        return f"{item:g}"
    text = str(item).lower() if isinstance(item, bool) else str(item)
    return text if len(text) <= LONG else text[:LONG] + "…"


def differing_lines(told: dict[str, Any]) -> Iterator[str]:
    """Two runs side by side: figures, what differs by group, the verdict, and their answers."""
    for name in ("a", "b"):
        side = told[name]
        done = (
            f"{side['metric']} {points(side['value'])} on {side['split']}"
            if side["value"] is not None
            else ""
        )
        yield f"{name}  {side['run']}: " + (done or side["why"] or side["status"])
    for group, head in HEADS.items():
        rows = [row for row in told["differences"] if row["group"] == group]
        if rows:
            yield ""
            yield head
            yield from group_lines(rows, other_kind="kind" in (row["key"] for row in told["differences"]))
    yield ""
    yield NUMBER[told["number"]]
    values = [told[name]["value"] for name in ("a", "b")]
    if told["number"] == "nothing" and None not in values and values[0] != values[1]:
        yield "And yet the figures differ: the device computes otherwise from time to time, or a file was changed."
    yield from agreement(told["answers"])


def group_lines(rows: list[dict[str, Any]], *, other_kind: bool) -> Iterator[str]:
    """Of two kinds of run, what only one of them can have is counted and not listed."""
    listed = [row for row in rows if not other_kind or None not in (row["a"], row["b"])]
    wide = max((len(row["key"]) for row in listed), default=0)
    for row in listed:
        yield from folded(f"  {row['key']:<{wide}}  {short(row['a'])} → {short(row['b'])}", wide + 4)
    for name, other in (("a", "b"), ("b", "a")):
        if count := sum(row[other] is None for row in rows if row not in listed):
            yield f"  {count} setting{'s' * (count != 1)} that {name} alone has"


def agreement(answers: dict[str, Any]) -> Iterator[str]:
    if answers["why"]:
        yield f"Their answers cannot be held against each other: {answers['why']}."
    if answers.get("examples") is None:
        return
    if answers["agree"] is not None:
        yield (
            f"They agree on {answers['agree']:,} of {answers['examples']:,} answers to {answers['split']}; "
            f"a alone is right on {answers['a_right']:,.0f}, b alone on {answers['b_right']:,.0f}."
        )
    if answers["difference"] is not None:
        between = ""
        if answers["low"] is not None:
            between = f" (95 % over new examples: {signed(answers['low'])} to {signed(answers['high'])})"
        p = answers["p"]
        chance = "" if p is None else ", p < 0.001" if p < 0.001 else f", p = {p:.3f}"
        yield f"a − b: {signed(answers['difference'])} points of {answers['metric']}{between}{chance}."


def short(item: Any) -> str:
    if item in (None, ""):
        return "–"
    text = str(item)
    whole = len(text) >= 32 and all(sign in "0123456789abcdef" for sign in text)
    return text[:12] if whole else value(item)
