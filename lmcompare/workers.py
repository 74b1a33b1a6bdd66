"""Jobs in processes of their own, some at a time: one that dies takes nothing else with it. The processes are forked
from a server that has the heavy imports behind it, so that a job starts in milliseconds."""

import importlib
import json
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from lmcompare import provenance, signals
from lmcompare.errors import EXIT_BUG, Stopped, UserError

Job = dict[str, Any]  # plain JSON; `threads` says how many it may have
# What a process that is started elsewhere takes along of the environment: no token, since it may be written to a file.
CARRIED = ("HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM")


@dataclass(frozen=True)
class Answer:
    """What a job returned, or why it did not."""

    value: Any = None
    reason: str = ""
    status: int = 0


@dataclass(frozen=True)
class Watch:
    """What whoever has jobs made hears meanwhile, and where what they need may be kept."""

    began: Callable[[Job], None]
    note: Callable[[str], None]
    folder: Path


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    function: str,
    waiting: deque[Job],
    *,
    slots: Sequence[Mapping[str, str]],
    preload: list[str],
    watch: Watch,
) -> Iterator[tuple[Job, Answer]]:
    """Call `module:function` for every job that waits, as many at a time as there are slots, each with the environment
    that its process has; yields jobs and answers as they end. More may be put in the queue meanwhile."""
    # Else a module's name among the user's own files would stand before the library's.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload)
    running: dict[Connection, tuple[Job, Any, int]] = {}
    free = deque(range(len(slots)))
    try:
        while waiting or running:
            while waiting and free and not signals.asked():
                job, slot = waiting.popleft(), free.popleft()
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_child, args=(function, job, dict(slots[slot]), theirs))
                process.start()
                theirs.close()
                running[ours] = (job, process, slot)
                watch.began(job)
            for pipe in wait(list(running), timeout=0.2):
                job, process, slot = running.pop(pipe)  # type: ignore[call-overload]
                free.append(slot)
                yield job, _collect(pipe, process)  # type: ignore[arg-type]
            if signals.asked():
                _pass_on([process for _, process, _ in running.values()])
                if not running:
                    raise signals.stopped()
    finally:
        for _, process, _ in running.values():
            process.terminate()


def _pass_on(processes: list[Any]) -> None:
    for process in processes:
        if process.is_alive():
            os.kill(process.pid, signal.SIGTERM)


def _collect(pipe: Connection, process: Any) -> Answer:
    try:
        answer = Answer(**json.loads(pipe.recv_bytes()))
    except EOFError:
        process.join()
        answer = Answer(None, f"the process died with exit status {process.exitcode}", EXIT_BUG)
    process.join()
    pipe.close()
    return answer


def _child(function: str, job: Job, environment: dict[str, str], pipe: Connection) -> None:
    """In the new process: call the function, send back what it says."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environment)
    answer = call(function, job)
    pipe.send_bytes(json.dumps(vars(answer)).encode())
    pipe.close()


def _end_with_parent() -> None:
    """A job whose caller was killed would go on unseen, and hold the lock of its run against the next call."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(EXIT_BUG)


def call(function: str, job: Job) -> Answer:
    """`module:function` on a job, in this process, with as many threads as the job may have."""
    import torch

    provenance.MEMORY.begin()
    module, _, name = function.partition(":")
    callee: Callable[[Job], Any] = getattr(importlib.import_module(module), name)
    if job.get("threads"):
        torch.set_num_threads(job["threads"])
    try:
        return Answer(callee(job))
    except (UserError, Stopped) as error:
        return Answer(None, str(error), error.status)
    except Exception as error:
        import traceback

        traceback.print_exc()
        return Answer(None, f"bug: {error!r}", EXIT_BUG)


def surroundings() -> dict[str, Any]:
    """What a process on another machine must know of this one: the folder that paths are relative to, on a file system
    that both have, and our own settings."""
    told = {k: v for k, v in os.environ.items() if k.startswith("LMC_") or k in CARRIED}
    return {"folder": os.getcwd(), "environment": told}


def call_elsewhere(function: str, job: Job, around: dict[str, Any]) -> dict[str, Any]:
    """The same in a process that somebody else started, perhaps on another machine; the answer as plain JSON."""
    os.chdir(around["folder"])
    os.environ.update(around["environment"])
    return vars(call(function, job))
