"""`lmc explain A B`: in what two runs differ, whether that makes their number, and how far their answers agree."""

from typing import Any

from lmcompare import differences, lineage
from lmcompare.comparison import TaskFacts
from lmcompare.config import OPERATIONAL, flatten
from lmcompare.experiments import again, explain
from lmcompare.experiments.standing import why
from lmcompare.results import Record
from lmcompare.statistics import task_of

# By group, what its settings begin with; what none of them claims is about learning.
GROUPS = {
    "data": ("task", "tasks", "corpus", "examples", "length", "stride", "data", "truncated", "split", "metric"),
    "model": (
        "backend", "model", "weights", "transfer_layers", "redraw_top", "tokenizer", "baseline", "ngrams",
        "taught", "kind",
    ),
    "chance": ("seed", "data_seed"),
    "machine": ("training.precision", "device", "threads", "processes", "versions", "commit"),
    "operational": (*OPERATIONAL, "training.log_every", "training.micro", "attempts", "seconds", "place"),
}  # fmt: skip
LEARNING = "learning"
# The first three make the number; chance does, in its way; the machine may in the last digits; the last one does not.
ORDER = ("data", "model", LEARNING, "chance", "machine", "operational")


def what_differs(a: str, b: str) -> dict[str, Any]:
    """Everything in which they differ, group by group; and their answers, held against each other."""
    one, other = explain.find(a), explain.find(b)
    tables = [facts(record) for record in (one, other)]
    found = [
        {"key": key, "group": group(key), "a": tables[0].get(key), "b": tables[1].get(key)}
        for key in dict.fromkeys((*tables[0], *tables[1]))
        if tables[0].get(key) != tables[1].get(key)
    ]
    if same_weights(one, other):
        for row in (row for row in found if row["key"] == "model"):
            row["group"] = "operational"
    groups = {row["group"] for row in found}
    asked = groups & {"data", "model", LEARNING}
    return {
        "a": side(one),
        "b": side(other),
        "differences": sorted(found, key=lambda row: ORDER.index(row["group"])),
        "number": "makes" if asked else next((g for g in ("chance", "machine") if g in groups), "nothing"),
        "answers": answers(one, other),
    }


def side(record: Record) -> dict[str, Any]:
    primary = (record.result or {}).get("primary") or {}
    told = {key: primary.get(key) for key in ("metric", "split", "value")}
    return {
        "run": record.run,
        "status": record.status,
        "why": why(record),
        "task": task_of(record),
        **told,
    }


def facts(record: Record) -> dict[str, Any]:
    """All that may differ, under names with dots: the config, and what the result and run.json add to it."""
    result, around = record.result or {}, record.identity
    table = flatten({k: v for k, v in record.config.items() if k != "together"})
    primary = result.get("primary") or {}
    hashes = result.get("data_hashes") or {"whole": result.get("data_hash") or around.get("data")}
    known = {
        "kind": explain.kind(record),
        "metric": primary.get("metric"),
        "split": primary.get("split"),
        "data": {f"hash of {split}": value for split, value in hashes.items()},
        "data state": result.get("data_state") or {},
        "examples": {**sizes(result.get("examples")), "asked": record.config.get("examples")},
        "truncated": result.get("truncated") or {},
        "model hash": result.get("model_hash") or around.get("model"),
        "taught": ", then ".join(lineage.taught(result.get("lineage") or [])) or None,
        "device": result.get("device"),
        "threads": result.get("threads"),
        "processes": again.machine(record).get("processes"),
        "versions": around.get("versions") or {},
        "commit": (around.get("git") or {}).get("commit"),
        "attempts": result.get("attempts"),
        "seconds": result.get("seconds"),
    }
    table.pop("examples", None)
    return {key: value for key, value in {**table, **flatten(known)}.items() if value is not None}


def sizes(told: Any) -> dict[str, Any]:
    return told if isinstance(told, dict) else {}


def group(key: str) -> str:
    def speaks(start: str) -> bool:
        return key == start or key.startswith((f"{start}.", f"{start} "))

    # A setting by its whole name goes before the table that it stands in.
    for name in ("operational", "machine", "chance", "data", "model"):
        if any(map(speaks, GROUPS[name])):
            return name
    return LEARNING


def same_weights(one: Record, other: Record) -> bool:
    hashes = [(record.result or {}).get("model_hash") for record in (one, other)]
    return hashes[0] is not None and hashes[0] == hashes[1]


def answers(one: Record, other: Record) -> dict[str, Any]:
    """How many answers to the same examples agree, and the difference with its interval; or why that cannot be said."""
    if not (one.result and other.result):
        lacking = [record.run for record in (one, other) if not record.result]
        return {"why": f"{' and '.join(lacking)} has no result"}
    tasks = [task_of(record) for record in (one, other)]
    if None in tasks or tasks[0] != tasks[1]:
        told = " and ".join(task or "none" for task in tasks)
        return {"why": f"they are not about one task ({told})"}
    firsts = [record.result.get("primary") or {} for record in (one, other) if record.result]
    metric, split = (firsts[0].get(key) for key in ("metric", "split"))
    if [first.get("split") for first in firsts] != [split, split]:
        return {"why": f"they report different splits ({split} and {firsts[1].get('split')})"}
    task = TaskFacts(str(tasks[0]), metric, split, None)
    found = differences.on_task("a", "b", task, [one], [other], None, differences.Answers())
    agree = None if found.differ is None else round(found.examples - found.differ)
    # Of two runs there is no telling how seeds would spread: that the interval says so goes without saying.
    alone = found.difference is not None and found.low is not None
    return {
        "why": None if alone else found.reason,
        "metric": metric,
        "split": split,
        "examples": found.examples or None,
        "agree": agree,
        "a_right": found.a_right,
        "b_right": found.b_right,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "p": found.p,
    }
