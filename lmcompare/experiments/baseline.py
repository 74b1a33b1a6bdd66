"""`lmc baseline`: a classic model on the same splits, kept as a run like the others."""

from pathlib import Path
from typing import Any

from lmcompare import evaluation, registry, results, signals
from lmcompare.config import Baseline, dump
from lmcompare.experiments.task_data import figures, read_task
from lmcompare.progress import Progress


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
        for split, examples in found.splits.items():
            signals.check()
            if split == "train":
                continue
            rows = [
                {"id": e.id, "label": evaluation.gold(e), "prediction": plain(p), "scores": None}
                for e, p in zip(examples, model.predict(examples), strict=True)
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
            }
        )


def plain(value: Any) -> Any:
    """A prediction as JSON takes it."""
    if isinstance(value, tuple):
        return list(value)
    return value.item() if hasattr(value, "item") else value
