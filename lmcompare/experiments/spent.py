"""What a transfer's answers and its cached layers cost, for its result."""

from pathlib import Path
from typing import Any

from lmcompare import files, models
from lmcompare.config import Transfer
from lmcompare.cost import Meter, Timing
from lmcompare.device import Machine
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.learner import TaskLearner

Facts = dict[str, Any]


def spent(learner: TaskLearner, datasets: dict[str, Dataset], timing: Timing, machine: Machine) -> Facts:
    """`cold_milliseconds`: an answer with its layers computed first, where they are kept else."""
    inference = timing.told()
    if getattr(learner.body, "cache", None) is None:
        return {"inference": inference | {"cold_milliseconds": None, "cold_reason": None}, "features": None}
    folders = {split: learner.body.seen[id(d)].folder for split, d in datasets.items() if len(d)}
    known = {split: files.read_json(folder / files.MANIFEST) for split, folder in folders.items()}
    answered = [split for split in known if split != "train"]
    examples = sum(len(datasets[split]) for split in answered)
    once, reason = layers_seconds([known[split] for split in answered], machine.describe())
    warm = inference["milliseconds"]
    cold = None if once is None or warm is None else round(warm + 1000 * once / examples, 5)
    seconds, _ = layers_seconds(list(known.values()), machine.describe())
    return {
        "inference": inference | {"cold_milliseconds": cold, "cold_reason": reason or inference["reason"]},
        "features": {"bytes": sum(map(files.size, set(folders.values()))), "seconds": seconds},
    }


def watch(meter: Meter, config: Transfer, learner: TaskLearner) -> None:
    """Tell a run's meter what it cannot see: the layers that are computed, and a model that is only read."""
    meter.filled = computed(learner)
    meter.beside = 0 if config.transfer["name"] == "finetune" else frozen_bytes(config.model)


def computed(learner: TaskLearner) -> dict[Path, float]:
    """The layers that a run has computed itself so far, and their seconds; none where none are kept."""
    cache = getattr(learner.body, "cache", None)
    return {} if cache is None else cache.filled


def frozen_bytes(model: str) -> int:
    """The room on the disk of a model that is only read: a folder, or a file of word vectors."""
    found = models.find(model)
    return files.size(found) if found.is_dir() else found.stat().st_size


def layers_seconds(kept: list[Facts], machine: str) -> tuple[float | None, str | None]:
    """How long the layers of some splits took to compute, by whichever run did it; or why that cannot be told."""
    if not kept:
        return None, "nothing was answered"
    if any("seconds" not in one for one in kept):
        return None, "the cached layers do not say how long they took"
    if others := sorted({one["on"] for one in kept if one["on"] != machine}):
        return None, f"the cached layers were computed elsewhere: {', '.join(others)}"
    return round(sum(one["seconds"] for one in kept), 3), None
