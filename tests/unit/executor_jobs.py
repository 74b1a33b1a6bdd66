"""What the executors are tried on, in whatever process: it tells what it sees, and may fail, die or take its time."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from lmcompare import provenance, signals
from lmcompare.errors import UserError


def hold(job: dict[str, Any]) -> tuple[int | None, str | None]:
    """Have so many megabytes for a moment; what the process says of its memory then."""
    held = b"x" * (job["megabytes"] << 20)
    del held
    return provenance.MEMORY.peak()


def tell(job: dict[str, Any]) -> dict[str, Any]:
    import torch

    os.environ.update(job.get("environment", {}))
    with signals.watched():
        if job.get("stopped") and not Path(job["stopped"]).exists():
            if not job.get("always"):
                Path(job["stopped"]).touch()
            os.kill(os.getpid(), signal.SIGTERM)  # as a cluster does that wants its machine back
            signals.check()
        deadline = time.monotonic() + job.get("sleep", 0.0)
        while time.monotonic() < deadline or not Path(job.get("until", "/")).exists():
            signals.check()
            time.sleep(0.02)
    if job.get("fail") == "user":
        raise UserError(f"job {job['number']} is not well")
    if job.get("fail") == "bug":
        raise ValueError("a bug")
    if job.get("die") and not Path(job["die"]).exists():
        Path(job["die"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {
        "number": job["number"],
        "threads": torch.get_num_threads(),
        "folder": os.getcwd(),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }
