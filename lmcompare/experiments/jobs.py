"""One job of a study, in a process of its own: a table in, the place of the finished run out."""

import os
import time
from pathlib import Path
from typing import Any

from lmcompare import claims, signals
from lmcompare.errors import EXIT_BUG, Locked, Stopped, UserError
from lmcompare.experiments import studies
from lmcompare.experiments.baseline import baseline
from lmcompare.experiments.pretrain import pretrain
from lmcompare.experiments.transfer import transfer
from lmcompare.progress import Lines, Progress


def work(job: dict[str, Any]) -> dict[str, Any]:
    """The run's folder, and whether it was made now. One that another process makes is waited for where the job says
    so, and why it failed there is told; else it is told who makes it."""
    with signals.watched():
        while True:
            try:
                with claims.claimed(Path(job["claims"]), job["share"], wait=job["wait"]) as claim:
                    if job["wait"] and claim.failure:
                        return dict(claim.failure)
                    return taken(job, claim)
            except Locked as error:  # by a claim, or in the run's own folder by somebody's hand
                if not job["wait"]:
                    return {"locked": str(error)}
            signals.check()
            time.sleep(claims.WAIT)


def taken(job: dict[str, Any], claim: claims.Claim) -> dict[str, Any]:
    """Make the run, unless it is there."""
    found = None if job["force"] else claim.made()
    if (
        found is not None and job["kind"] != "pretrain"
    ):  # which looks by itself whether its corpus has changed
        return {"run": str(found), "made": False}
    claim.begin()
    try:
        result = make(job, found.parent if found else Path(job["runs"]))
    except (Locked, Stopped):
        raise
    except Exception as error:
        user = isinstance(error, UserError)
        claim.fail(str(error) if user else f"bug: {error!r}", getattr(error, "status", EXIT_BUG))
        raise
    path = Path(os.environ["LMC_RUNS"]) / result["run"]
    claim.tell(path)
    return {"run": str(path), "made": "already" not in result}


def make(job: dict[str, Any], runs: Path) -> dict[str, Any]:
    os.environ["LMC_RUNS"] = str(runs)
    data = Path(job["data"]) if job["data"] else None
    settings, how = studies.settings(job), {"data": data, "force": job["force"]}
    if job["kind"] == "pretrain":
        return pretrain(settings, progress=Lines(job["arm"]), **how)
    if job["kind"] == "baseline":
        return baseline(settings, progress=Progress(), **how)
    return transfer(settings, progress=Progress(), **how)
