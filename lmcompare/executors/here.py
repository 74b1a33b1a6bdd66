"""This process, one run after the other."""

import os
from collections import deque
from collections.abc import Iterator

from lmcompare import registry, signals, workers
from lmcompare.workers import Answer, Job, Watch


@registry.executors.register("here")
class Here:
    """This process, one run after the other: for debugging, and where no other may be started."""

    at_once = 1

    def __init__(self) -> None: ...

    def threads(self, most: int) -> int:
        return workers.cores()

    def run(self, function: str, waiting: deque[Job], watch: Watch) -> Iterator[tuple[Job, Answer]]:
        while waiting:
            if signals.asked():
                raise signals.stopped()
            job = waiting.popleft()
            watch.began(job)
            yield job, apart(function, job)
        signals.check()


def apart(function: str, job: Job) -> Answer:
    """The call, without what it leaves behind in this process."""
    import torch

    before, threads = dict(os.environ), torch.get_num_threads()
    try:
        return workers.call(function, job)
    finally:
        torch.set_num_threads(threads)
        os.environ.clear()
        os.environ.update(before)
