"""`--nproc N`: the same command in N processes of this machine, one rank each. The processes find each other as
under torchrun (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT), so torchrun may start them just as well; this launcher
exists because it keeps our exit statuses, passes signals on, and ends everybody when one dies."""

import os
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

from lmcompare.errors import EXIT_RESOURCE

GRACE = 20.0  # seconds for the others to save and end


def launch(processes: int, arguments: list[str]) -> int:
    """Run `lmc` with these arguments in every process; the exit status of the first that failed."""
    port = str(free_port())
    children = []
    for rank in range(processes):
        places = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes))}
        # -P: a random.py in the folder that the command is given in must not pass for the standard one.
        command = [sys.executable, "-P", "-m", "lmcompare", *arguments]
        children.append(subprocess.Popen(command, env=threads | os.environ | places | address))

    def pass_on(number: int, _frame: FrameType | None) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    watched = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, pass_on) for number in watched}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)  # the terminal tells the children
    try:
        return wait(children)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait(children: list[subprocess.Popen[bytes]]) -> int:
    """Until all have ended; once one has failed, the others get some grace and are then killed."""
    first: int | None = None
    deadline = float("inf")
    while any(child.poll() is None for child in children):
        failed = [child.returncode for child in children if child.returncode]
        if failed and first is None:
            first, deadline = cause(failed), time.monotonic() + GRACE
            for child in children:
                if child.poll() is None:
                    child.terminate()
        if time.monotonic() > deadline:
            for child in children:
                if child.poll() is None:
                    child.kill()
        time.sleep(0.05)
    codes = [child.returncode for child in children if child.returncode]
    code = first if first is not None else (cause(codes) if codes else 0)
    return 128 - code if code < 0 else code


def cause(codes: list[int]) -> int:
    """Of several that failed together: a death by signal, else what is more than the loss of the others."""
    return min(codes, key=lambda code: (code >= 0, code == EXIT_RESOURCE))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
