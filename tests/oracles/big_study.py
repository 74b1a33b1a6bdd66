"""A study's folder as large as anyone's: run folders written by hand, with answers to the embedded suite's examples.

python -m tests.oracles.big_study FOLDER
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

from lmcompare import evaluation, registry
from lmcompare.types import Example, Task

NAMES = ("acceptability", "sentiment", "entailment", "paraphrase", "similarity", "sense", "continuation", "entities",
         "answers")  # fmt: skip
MADE_UP = Task(
    name="made.up", kind="classify", metrics=("accuracy",), labels=("no", "yes"), report="test",
    load=lambda split: [Example(f"{split}-{i}", (f"text {i}",), ("no", "yes")[i % 2]) for i in range(500)],
)  # fmt: skip
BACKENDS = ("bert", "gpt", "elmo")
WAYS = (
    ("random", "finetune", "random", 0.6),
    ("features", "features", "pretrained", 0.8),
    ("tuned", "finetune", "pretrained", 0.83),
)
ARMS = [("bag of words", "bow", "baseline", None, 0.55)]
ARMS += [(f"{backend} {name}", backend, *way) for backend in BACKENDS for name, *way in WAYS]


def write(folder: Path, *, seeds: int = 5) -> int:
    """Ten arms on ten tasks, and their list; returns how many runs there are."""
    tasks = [registry.tasks.build({"name": f"micro.{name}"}, None) for name in NAMES] + [MADE_UP]
    entries = {}
    for task in tasks:
        examples = task.load("test")
        for arm, *facts in ARMS:
            for seed in range(1, seeds + 1):
                run = f"{arm}-{task.name}-s{seed}".replace(" ", "-")
                write_run(folder / run, task, examples, seed, *facts)
                entries[run] = {"arm": arm, "run": run}
    ledger = {"title": "a big study", "quick": False, "runs": entries}
    (folder / "study.json").write_text(json.dumps(ledger))
    return len(entries)


def write_run(
    path: Path,
    task: Task,
    examples: list[Example],
    seed: int,
    backend: str,
    kind: str,
    weights: str | None,
    skill: float,
) -> None:
    chance = random.Random(str(path.name))
    rows = [answered(task, example, chance, skill) for example in examples]
    values, undefined = evaluation.score(task, rows)
    metric = task.metrics[0]
    config = {
        "task": {"name": task.name},
        "seed": seed,
        "backend": backend,
        "training": {"epochs": 3, "batch": 32},
    }
    curve = [
        {"step": step, "split": "dev", "metrics": {metric: (values[metric] or 0.0) * step / 400}}
        for step in range(20, 401, 20)
    ]
    losses = [{"step": step, "loss": 1 / step, "losses": {}} for step in range(1, 401)]
    result = {
        "format": 1, "run": path.name, "kind": kind, "backend": backend, "weights": weights, "task": task.name,
        "task_kind": task.kind, "seed": seed, "labels": list(task.labels),
        "primary": {"metric": metric, "split": "test", "value": values[metric]},
        "metrics": {"test": values}, "undefined": {"test": undefined} if undefined else {},
        "majority": {"metric": metric, "value": None if task.kind in ("span", "score") else 0.4},
        "examples": {"train": 400, "test": len(rows)}, "seconds": 60.5, "tokens": 123456, "warnings": [],
        "layer_mix": [0.2, 0.3, 0.5] if kind == "features" else None, "data_hash": task.name,
    }  # fmt: skip
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps({"kind": kind, "config": config}))
    (path / "result.json").write_text(json.dumps(result))
    lines(path / "log.jsonl", sorted([*losses, *curve], key=lambda row: row["step"]))
    lines(path / "predictions-test.jsonl", rows)


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def answered(task: Task, example: Example, chance: random.Random, skill: float) -> dict[str, Any]:
    """Right as often as the skill says; else another answer of the same kind."""
    gold = evaluation.gold(example)
    told = gold[0] if task.kind == "span" else gold
    if task.kind == "score":
        told = gold + chance.gauss(0, 3 * (1 - skill))
    elif chance.random() > skill:
        told = other(task, example, gold, chance)
    return {"id": example.id, "label": gold, "prediction": told, "scores": None}


def other(task: Task, example: Example, gold: Any, chance: random.Random) -> Any:
    if task.kind == "choice":
        return (gold + chance.randrange(1, len(example.options))) % len(example.options)
    if task.kind == "tags":
        return [tag if chance.random() < 0.7 else "O" for tag in gold]
    if task.kind == "span":
        return " ".join(example.texts[1].split()[: chance.randrange(1, 4)])
    return chance.choice([label for label in task.labels if label != gold])


if __name__ == "__main__":
    print(write(Path(sys.argv[1])), "runs")
