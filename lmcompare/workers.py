"""Jobs in processes of their own, some at a time: one that dies takes nothing else with it. The processes are forked
from a server that has the heavy imports behind it, so that a job starts in milliseconds."""

import importlib
import json
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from lmcompare import signals
from lmcompare.errors import EXIT_BUG, Stopped, UserError

Job = dict[str, Any]  # plain JSON
Waiting = tuple[Job, int]  # a job, and the threads that it may have


@dataclass(frozen=True)
class Answer:
    """What a job returned, or why it did not."""

    value: Any = None
    reason: str = ""
    status: int = 0


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    function: str, waiting: deque[Waiting], *, at_once: int, preload: list[str]
) -> Iterator[tuple[Job, Answer]]:
    """Call `module:function` for every job that waits; yields jobs and answers as they end. More may be put in the
    queue meanwhile."""
    # Else a module's name among the user's own files would stand before the library's.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload)
    running: dict[Connection, tuple[Job, Any]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once and not signals.asked():
                job, threads = waiting.popleft()
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_child, args=(function, job, threads, theirs))
                process.start()
                theirs.close()
                running[ours] = (job, process)
            for pipe in wait(list(running), timeout=0.2):
                job, process = running.pop(pipe)  # type: ignore[call-overload]
                yield job, _collect(pipe, process)  # type: ignore[arg-type]
            if signals.asked():
                _pass_on(running)
                if not running:
                    raise signals.stopped()
    finally:
        for _, process in running.values():
            process.terminate()


def _pass_on(running: dict[Connection, tuple[Job, Any]]) -> None:
    for _, process in running.values():
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


def _child(function: str, job: Job, threads: int, pipe: Connection) -> None:
    """In the new process: call the function, send back what it says."""
    import torch

    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    answer = _call(function, job)
    pipe.send_bytes(json.dumps(vars(answer)).encode())
    pipe.close()


def _end_with_parent() -> None:
    """A job whose caller was killed would go on unseen, and hold the lock of its run against the next call."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(EXIT_BUG)


def _call(function: str, job: Job) -> Answer:
    module, _, name = function.partition(":")
    callee: Callable[[Job], Any] = getattr(importlib.import_module(module), name)
    try:
        return Answer(callee(job))
    except (UserError, Stopped) as error:
        return Answer(None, str(error), error.status)
    except Exception as error:
        import traceback

        traceback.print_exc()
        return Answer(None, f"bug: {error!r}", EXIT_BUG)
