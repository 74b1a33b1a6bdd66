"""Several machines through Ray. They share the file system that the runs folder is on, and have the same Python
environment; the folders that a command names are relative to the one that it was given in."""

import os
import signal
import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from lmcompare import registry, signals, workers
from lmcompare.errors import EXIT_BUG, ResourceError, UserError
from lmcompare.executors import LOST, at_least, cut_short
from lmcompare.workers import Answer, Job, Watch

PATIENCE = 60.0  # seconds in which runs that were asked to end may save
CALL = 10.0  # seconds in which a cluster answers


@registry.executors.register("ray")
class Ray:
    """The machines of a Ray cluster (the extra `ray`): `address` names it; without one, a cluster on this machine."""

    def __init__(
        self,
        *,
        address: str = "",
        cpus: int = 1,  # of a run
        gpus: float = 0.0,
        at_once: int | None = None,
        retries: int = 3,  # how often a run starts again whose process or machine was lost, or asked it to end
    ) -> None:
        at_least(1, cpus=cpus, at_once=at_once)
        at_least(0, gpus=gpus, retries=retries)
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(f"gpus: {gpus}; a part of one GPU, or whole ones")
        try:
            import ray
        except ImportError:
            raise UserError(
                "executor 'ray': Ray is not installed; it comes with the extra: pip install 'lmcompare[ray]'"
            ) from None
        self.ray: Any = ray
        self.address, self.cpus, self.gpus = address, cpus, gpus
        self.most, self.retries, self.ours = at_once, retries, False

    @property
    def at_once(self) -> int:
        """As many runs as the cluster has room for at this moment; one waits for a machine where there is none."""
        self._connect()
        has = self.ray.cluster_resources()
        room = [has.get("CPU", 0) / self.cpus]
        room += [has.get("GPU", 0) / self.gpus] if self.gpus else []
        return max(1, int(min([*room, self.most or room[0]])))

    def threads(self, most: int) -> int:
        return self.cpus

    def run(self, function: str, waiting: deque[Job], watch: Watch) -> Iterator[tuple[Job, Answer]]:
        self._connect()
        if asked := self._too_much():
            watch.note(f"{asked}; a run begins once one has joined it")
        # Ray itself would start a lost run again without a word.
        how = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": 0}
        task, around = self.ray.remote(**how)(workers.call_elsewhere), workers.surroundings()
        running: dict[Any, tuple[Job, int]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.at_once and not signals.asked():
                    job = waiting.popleft()
                    running[task.remote(function, job, around)] = (job, 0)
                    watch.began(job)
                for ended in self.ray.wait(list(running), timeout=0.5)[0] if running else ():
                    job, lost = running.pop(ended)
                    answer = self._answer(ended)
                    if lost < self.retries and cut_short(answer):
                        watch.note(
                            f"{job['arm']}: {answer.reason}; its run starts again, from its last checkpoint"
                        )
                        running[task.remote(function, job, around)] = (job, lost + 1)
                        continue
                    yield job, Answer(None, answer.reason, EXIT_BUG) if answer.status == LOST else answer
                if signals.asked():
                    self._stop(running)
                    raise signals.stopped()
        finally:
            self._leave(running)

    def _answer(self, ended: Any) -> Answer:
        try:
            return Answer(**self.ray.get(ended))
        except self.ray.exceptions.RayTaskError as error:  # such as a machine without lmcompare
            return Answer(None, f"bug: {str(error).strip().splitlines()[-1]}", EXIT_BUG)
        except self.ray.exceptions.RayError as error:
            return Answer(None, f"a process of the cluster was lost ({type(error).__name__})", LOST)

    def _connect(self) -> None:
        if self.ray.is_initialized():
            return
        # Ray reports its use to its makers, and takes SIGTERM for itself.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._answers()
        before = signal.getsignal(signal.SIGTERM)
        told: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        # "local" is a new one, also where another is at work on this machine.
        here = {"address": "local", "num_cpus": workers.cores()}
        told |= {"address": self.address} if self.address else here
        try:
            self.ray.init(**told)
        except (ConnectionError, RuntimeError, ValueError) as error:
            first = str(error).strip().partition("\n")[0]
            raise ResourceError(
                f"executor 'ray': no cluster at {self.address or 'this machine'}: {first}"
            ) from None
        finally:
            signal.signal(signal.SIGTERM, before)
        self.ours = True
        if not self.address and (asked := self._too_much()):
            self._leave({})
            raise ResourceError(f"executor 'ray': {asked}; --address names another")

    def _answers(self) -> None:
        """Ray waits a minute for a cluster that is not there, and then sends its own process SIGTERM."""
        host, _, port = self.address.rpartition("://")[2].rpartition(":")
        if not (host and port.isdigit()):
            return
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=CALL).close()
        except (OSError, OverflowError) as error:
            raise ResourceError(f"executor 'ray': no cluster at {self.address}: {error}") from None

    def _too_much(self) -> str:
        """What a run is to have, where no machine of the cluster has as much at this moment."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        has = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        if any(all(one.get(kind, 0) >= count for kind, count in wanted.items()) for one in has):
            return ""
        told = " and ".join(
            f"{count:g} {kind}{'s' * (count != 1)}" for kind, count in wanted.items() if count
        )
        return f"a run is to have {told}, and no machine of the cluster has as much"

    def _stop(self, running: dict[Any, Any]) -> None:
        """Each is asked to save; Ray passes that on as Ctrl-C, which a run knows."""
        for task in running:
            self.ray.cancel(task, force=False)
        left, deadline = list(running), time.monotonic() + PATIENCE
        while left and time.monotonic() < deadline:
            _, left = self.ray.wait(left, num_returns=len(left), timeout=1.0)

    def _leave(self, running: dict[Any, Any]) -> None:
        for task in running:
            self.ray.cancel(task, force=True)
        if self.ours:
            self.ray.shutdown()
            self.ours = False
