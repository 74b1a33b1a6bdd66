"""SLURM's machines through submitit, as job arrays. They share the file system that the runs folder is on. submitit
writes each call to a file of its own, which its own process on the other machine reads (the folder is closed to
others); what comes back is plain JSON, and nothing of submitit's is read here."""

import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lmcompare import files, registry, signals, workers
from lmcompare.errors import EXIT_BUG, ResourceError, UserError
from lmcompare.executors import at_least, cut_short
from lmcompare.workers import Answer, Job, Watch

FOLDER = ".slurm-"  # in the study's: what its name begins with, since each call has one of its own
GRACE = 10.0  # seconds that a file may take from one machine to another
MOST = 256  # runs at a time, where nobody says how many


@dataclass
class Sent:
    """A job on its way."""

    job: Job
    ticket: Any  # submitit's
    answer: Path
    times: int = 0  # it was sent before, and asked to end
    ended: float | None = None  # since when SLURM has called it over, though there is no answer yet


class Call:
    """What the other machine does: make the run, and write the answer. Where its time is up or another takes its place,
    SLURM queues it once more, and the run goes on from its last checkpoint."""

    def __call__(self, function: str, job: Job, around: dict[str, Any], answer: str) -> None:
        files.write_json(Path(answer), workers.call_elsewhere(function, job, around))

    def checkpoint(self, *told: Any) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(Call(), *told)


@registry.executors.register("slurm")
class Slurm:
    """SLURM's machines, as job arrays (the extra `slurm`); with `cluster="local"` this one, to see what it would do."""

    def __init__(
        self,
        *,
        cluster: Literal["slurm", "local"] = "slurm",
        partition: str = "",
        minutes: int = 240,  # of a run; one that takes longer is queued again, three times at most
        cpus: int = 1,
        gpus: int = 0,
        memory_gb: float | None = None,
        at_once: int | None = None,
        retries: int = 3,  # how often a run starts again whose machine asked it to end
    ) -> None:
        at_least(1, minutes=minutes, cpus=cpus, at_once=at_once)
        at_least(0, gpus=gpus, retries=retries)
        at_least(0.1, memory_gb=memory_gb)
        try:
            import submitit
        except ImportError:
            raise UserError(
                "executor 'slurm': submitit is not installed; it comes with the extra: pip install 'lmcompare[slurm]'"
            ) from None
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise ResourceError(
                "executor 'slurm': this machine has no sbatch; give the command where jobs are handed in "
                "(--set executor.cluster=local tries it here)"
            )
        self.submitit: Any = submitit
        self.cluster, self.cpus, self.retries = cluster, cpus, retries
        self.at_once = at_once or (MOST if cluster == "slurm" else workers.cores())
        self.settings: dict[str, Any] = {"name": "lmc", "timeout_min": minutes, "gpus_per_node": gpus}
        if cluster == "slurm":
            self.settings |= {"cpus_per_task": cpus, "slurm_array_parallelism": self.at_once}
            self.settings |= {"slurm_partition": partition} if partition else {}
            self.settings |= {"mem_gb": memory_gb} if memory_gb else {}

    def threads(self, most: int) -> int:
        return self.cpus

    def run(self, function: str, waiting: deque[Job], watch: Watch) -> Iterator[tuple[Job, Answer]]:
        watch.folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=FOLDER, dir=watch.folder)).resolve()
        executor = self.submitit.AutoExecutor(folder=folder / "%j", cluster=self.cluster)
        executor.update_parameters(**self.settings)
        sent, tickets, silent = list[Sent](), list[Any](), False
        try:
            while waiting or sent:
                room = self.at_once - len(sent)
                jobs = [waiting.popleft() for _ in range(0 if signals.asked() else min(room, len(waiting)))]
                sent += self._send(executor, function, jobs, folder)
                for job in jobs:
                    watch.began(job)
                for one in [one for one in sent if over(one)]:
                    sent.remove(one)
                    tickets.append(one.ticket)
                    answer = answer_of(one)
                    silent |= not one.answer.is_file()
                    if one.times < self.retries and cut_short(answer):
                        watch.note(
                            f"{one.job['arm']}: {answer.reason}; its run starts again, from its last checkpoint"
                        )
                        sent += self._send(executor, function, [one.job], folder, one.times + 1)
                        continue
                    yield one.job, answer
                if signals.asked():
                    raise signals.stopped()
                if sent:
                    time.sleep(0.5)
            if not silent:  # else it has what SLURM's job wrote before it ended
                remove(folder, tickets)
        finally:
            for one in sent:  # SLURM asks each to end, and its run saves
                one.ticket.cancel(check=False)

    def _send(
        self, executor: Any, function: str, jobs: list[Job], folder: Path, times: int = 0
    ) -> list[Sent]:
        """The jobs as one array."""
        if not jobs:
            return []
        stamp = f"{time.time_ns():x}"
        answers = [folder / f"{stamp}-{number}.json" for number in range(len(jobs))]
        around = workers.surroundings()
        tickets = executor.map_array(
            Call(), [function] * len(jobs), jobs, [around] * len(jobs), list(map(str, answers))
        )
        return [Sent(*each, times) for each in zip(jobs, tickets, answers, strict=True)]


def remove(folder: Path, tickets: list[Any]) -> None:
    """With its answer written, a job still has a moment to go, in which it writes there."""
    deadline = time.monotonic() + GRACE
    while folder.exists() and time.monotonic() < deadline:
        if all(ticket.done() for ticket in tickets):
            shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


def over(one: Sent) -> bool:
    """Whether its answer is there, or none will come."""
    if one.answer.is_file():
        return True
    if one.ended is None and one.ticket.done():
        one.ended = time.monotonic()
    return one.ended is not None and time.monotonic() - one.ended > GRACE


def answer_of(one: Sent) -> Answer:
    if one.answer.is_file():
        return Answer(**files.read_json(one.answer))
    return Answer(
        None,
        f"SLURM's job {one.ticket.job_id} ended without an answer ({one.ticket.state}); see {one.ticket.paths.stderr}",
        EXIT_BUG,
    )
