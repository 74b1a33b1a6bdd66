"""`lmc baseline`: a classic model on the same splits, kept as a run like the others."""

import time
from pathlib import Path
from typing import Any

from lmcompare import evaluation, registry, results, signals
from lmcompare.config import Baseline, dump
from lmcompare.cost import Timing
from lmcompare.experiments.task_data import figures, read_task
from lmcompare.progress import Progress
from lmcompare.types import Example


def baseline(
    config: Baseline,
    *,
    progress: Progress,
    out: Path | None = None,
    data: Path | None = None,
    force: bool = False,
    allow_change: bool = False,
) -> dict[str, Any]:
    """The honest floor: a classic model on the same splits, kept as a run like the others."""
    found = read_task(config.task, data).few(config.examples)
    identity = {"kind": config.kind, "config": dump(config), "data": found.hash}
    path = results.place(out, f"{config.baseline['name']}-{found.task.name}-s{config.seed}", identity)
    if not force and (done := results.done(path, identity)):
        return done
    with (
        signals.watched(),
        results.opened(path, identity, force=force, allow_change=allow_change) as run,
    ):
        for sentence in found.warnings:
            run.warn(sentence)
            progress.note(sentence)
        model = registry.baselines.build(config.baseline, found.task)
        model.fit(found.splits["train"], config.seed)
        metrics, undefined, groups = {}, {}, {}
        timing = Timing()
        for split, examples in found.splits.items():
            signals.check()
            if split == "train":
                continue
            answers, *again = [timed(model, examples) for _ in range(2)]
            timing.add([(len(examples), seconds) for _, seconds in (answers, *again)], len(examples))
            rows = [
                {"id": e.id, "label": evaluation.gold(e), "prediction": plain(p), "scores": None}
                for e, p in zip(examples, answers[0], strict=True)
            ]
            run.predictions(split, rows)
            metrics[split], undefined[split] = evaluation.score(found.task, rows)
            groups[split] = evaluation.by_group(found.task, examples, rows)
        return run.finish(
            {
                "kind": config.kind,
                "backend": config.baseline["name"],
                "task": found.task.name,
                "task_kind": found.task.kind,
                "seed": config.seed,
                **figures(found, metrics, undefined, groups),
                "device": "cpu",
                "threads": 1,
                "cost": {"inference": timing.told()},
            }
        )


def timed(model: Any, examples: list[Example]) -> tuple[Any, float]:
    """Its answers to a split at once, and the seconds that they took."""
    began = time.perf_counter()
    return model.predict(examples), time.perf_counter() - began


def plain(value: Any) -> Any:
    """A prediction as JSON takes it."""
    if isinstance(value, tuple):
        return list(value)
    return value.item() if hasattr(value, "item") else value
