"""Processes of this machine: so many at a time, or one a GPU."""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from lmcompare import registry, workers
from lmcompare.errors import ResourceError
from lmcompare.executors import at_least
from lmcompare.workers import Answer, Job, Watch

# What nearly every job imports, beside the module of its function.
HEAVY = ["torch._dynamo", "sklearn.linear_model", "sklearn.feature_extraction.text"]


class Pool:
    """A slot is what the environment of the process in it has beside ours."""

    def __init__(self, slots: Sequence[Mapping[str, str]]) -> None:
        self.slots, self.at_once = slots, len(slots)

    def threads(self, most: int) -> int:
        return max(1, workers.cores() // max(1, min(self.at_once, most)))

    def run(self, function: str, waiting: deque[Job], watch: Watch) -> Iterator[tuple[Job, Answer]]:
        preload = [function.partition(":")[0], *HEAVY]
        return workers.run(function, waiting, slots=self.slots, preload=preload, watch=watch)


@registry.executors.register("processes")
def processes(*, at_once: int | None = None) -> Pool:
    """A process a run on this machine, as many at a time as there are cores."""
    at_least(1, at_once=at_once)
    return Pool([{}] * (at_once or workers.cores()))


@registry.executors.register("gpus")
def gpus(*, at_once: int | None = None) -> Pool:
    """A process a GPU of this machine, each of which sees no other."""
    at_least(1, at_once=at_once)
    names = visible()
    if not names:
        raise ResourceError(
            "executor 'gpus': torch sees no GPU here (see `lmc doctor`); without one it is --executor processes"
        )
    return Pool([{"CUDA_VISIBLE_DEVICES": name} for name in names[:at_once]])


def visible() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA knows them by."""
    import torch

    count = torch.cuda.device_count()
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(n) for n in range(count)] if said is None else [name.strip() for name in said.split(",")]
    return names[:count]
