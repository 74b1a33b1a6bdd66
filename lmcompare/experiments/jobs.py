"""One job of a study, in a process of its own: a table in, the name of the finished run out."""

import os
from pathlib import Path
from typing import Any

from lmcompare import config as configs
from lmcompare.experiments.baseline import baseline
from lmcompare.experiments.pretrain import pretrain
from lmcompare.experiments.transfer import transfer
from lmcompare.progress import Progress, meter


def work(job: dict[str, Any]) -> str:
    os.environ["LMC_RUNS"] = job["runs"]
    data = Path(job["data"]) if job["data"] else None
    if job["kind"] == "pretrain":
        settings = configs.resolve(configs.Pretrain, job["config"])
        return pretrain(settings, progress=meter("pretrain"), data=data, force=job["force"])["run"]
    if job["kind"] == "baseline":
        floor = configs.resolve(configs.Baseline, job["config"])
        return baseline(floor, progress=Progress(), data=data, force=job["force"])["run"]
    chosen = configs.resolve(configs.Transfer, job["config"])
    return transfer(chosen, progress=Progress(), data=data, force=job["force"])["run"]
