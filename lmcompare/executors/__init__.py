"""Where a study's runs are made. An executor takes jobs (plain JSON) from a queue that may grow meanwhile, and yields
each with its answer as it ends. What a job needs besides, it finds in the runs folder."""

from collections import deque
from collections.abc import Iterator
from typing import Protocol

from lmcompare import signals
from lmcompare.errors import EXIT_PREEMPTED
from lmcompare.workers import Answer, Job, Watch

LOST = -1  # in place of an exit status: the process is gone, and nobody knows how far it came


def at_least(least: float, **settings: float | None) -> None:
    """Refuse what is below it; None is what nobody has said."""
    for name, value in settings.items():
        if value is not None and not value >= least:
            raise ValueError(f"{name}: {value} is too little; {least} is the least")


def cut_short(answer: Answer) -> bool:
    """Whether a run would go on if it began again: the machine that it was on was lost, or has asked it to end, and
    nobody has asked us."""
    return answer.status in (LOST, EXIT_PREEMPTED) and not signals.asked()


class Executor(Protocol):
    @property
    def at_once(self) -> int:
        """Runs at a time."""

    def threads(self, most: int) -> int:
        """For each of the jobs, where at most so many of them run beside one another."""

    def run(self, function: str, waiting: deque[Job], watch: Watch) -> Iterator[tuple[Job, Answer]]:
        """Call `module:function` for every job."""
