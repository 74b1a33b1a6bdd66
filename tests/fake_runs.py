"""Run records made by hand, for what reads them."""

from pathlib import Path
from typing import Any

from lmcompare.results import Record

Row = tuple[str, Record]


def finished(
    arm: str,
    task: str,
    seed: int,
    value: float | None,
    *,
    kind: str = "finetune",
    weights: str | None = "pretrained",
    metric: str = "accuracy",
    split: str = "test",
    run: str | None = None,
    **more: Any,
) -> Row:
    name = run or f"{arm}-{task}-s{seed}".replace(" ", "-")
    result = {
        "format": 1,
        "run": name,
        "kind": kind,
        "backend": "bert",
        "weights": weights,
        "task": task,
        "seed": seed,
        "primary": {"metric": metric, "split": split, "value": value},
        "undefined": {} if value is not None else {split: {metric: "one class only"}},
        "majority": {"metric": metric, "value": 0.5},
        "seconds": 61.25,
        "tokens": 12345,
        "layer_mix": None,
        "warnings": [],
        "data_hash": "d",
        **more,
    }
    log: list[dict[str, Any]] = [{"step": 1, "loss": 0.7, "losses": {}}]
    if value is not None and kind != "baseline":
        log += [
            {"step": step, "split": "dev", "metrics": {metric: value * step / 40}} for step in (10, 20, 40)
        ]
    return arm, Record(Path(name), name, "finished", config(task, seed, weights), result, None, log)


def failed(arm: str, task: str, seed: int, reason: str = "the loss was not finite") -> Row:
    name = f"{arm}-{task}-s{seed}".replace(" ", "-")
    failure = {"format": 1, "run": name, "reason": reason, "status": 6}
    return arm, Record(Path(name), name, "failed", config(task, seed, None), None, failure, [])


def unfinished(arm: str, task: str, seed: int) -> Row:
    name = f"{arm}-{task}-s{seed}"
    return arm, Record(Path(name), name, "unfinished", config(task, seed, None), None, None, [])


def pretrained(run: str = "pretrain-s1") -> Row:
    metrics = {"loss": 2.14, "mlm_accuracy": 0.612, "perplexity": 5.05}
    log = [{"step": step, "loss": 9 - step / 100, "losses": {}} for step in range(1, 600, 20)]
    log += [{"step": step, "split": "dev", "metrics": metrics} for step in (200, 400, 600)]
    result = {
        "kind": "pretrain",
        "seed": 1,
        "metrics": {"dev": metrics},
        "seconds": 9.0,
        "tokens": 7,
    }
    settings = {"backend": {"name": "bert", "layers": 2}, "seed": 1}
    return "pretraining", Record(Path(run), run, "finished", settings, result, None, log)


def config(task: str, seed: int, weights: str | None) -> dict[str, Any]:
    return {"task": {"name": task, "train": 400}, "seed": seed, "weights": weights}


def suite(arms: int = 4, tasks: int = 9, seeds: int = 3) -> list[Row]:
    """A whole study: the arms of the demo, as many more as asked for, and one pretraining run."""
    roles = [("baseline", None), ("finetune", "random"), ("features", "pretrained")]
    names = ["bag of words", "random start", "frozen features", "fine-tuned"]
    rows = [pretrained()]
    for a in range(arms):
        kind, weights = roles[a] if a < 3 else ("finetune", "pretrained")
        name = names[a] if a < 4 else f"arm {a}"
        for t in range(tasks):
            for seed in range(1, seeds + 1):
                value = 0.3 + 0.5 * a / arms + 0.017 * ((3 * t + 5 * seed + a) % 7)
                mix = [0.5 - 0.01 * seed, 0.3, 0.2 + 0.01 * seed] if kind == "features" else None
                facts = {"kind": kind, "weights": weights, "layer_mix": mix}
                rows.append(finished(name, f"micro.task{t}", seed, value, **facts))
    return rows
