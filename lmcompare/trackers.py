"""A run's figures beside its log, in the tool that its people look at. The log stays the truth: a tracker is told what
stands in it, after an interruption too, and one that fails is left alone with a warning."""

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from lmcompare import config, files, results
from lmcompare.errors import UserError, unknown
from lmcompare.results import Run

VARIABLE = "LMC_TRACKER"  # what it says goes for every run that has no setting of its own
MARK = "tracker.json"  # in the run's folder: who it is to the tracker, and how far that has been told
PROJECT = "lmcompare"

Row = Mapping[str, Any]
Figures = dict[str, float]


class Tracker(Protocol):
    def put(self, split: str, step: int, figures: Figures) -> None: ...
    def close(self, *, ended: bool) -> None: ...


class Feed:
    """What the training loop tells. Whatever goes wrong with a tracker, the run goes on without it."""

    def __init__(self, name: str = "", tracker: Tracker | None = None, run: Run | None = None) -> None:
        self.name, self.tracker, self.run = name, tracker, run

    def row(self, row: Row) -> None:
        with self._going_on():
            if self.tracker is not None:
                self.tracker.put(row.get("split", "train"), row["step"], figures(row))

    def close(self, *, ended: bool) -> None:
        with self._going_on():
            if self.tracker is not None:
                self.tracker.close(ended=ended)

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.tracker = None
            warn(self.run, self.name, error)


def warn(run: Run | None, name: str, error: Exception) -> None:
    first = str(error).strip().partition("\n")[0] or type(error).__name__
    if run is not None:
        run.warn(f"{name} failed, and is told nothing more; log.jsonl has everything: {first}")


def opened(name: str, run: Run) -> Feed:
    """The tracker of this name, with all that the log holds by now; a silent one where none is asked for."""
    name = name or os.environ.get(VARIABLE, "")
    if not name or run.follower:
        return Feed()
    if name not in TRACKERS:
        raise UserError(unknown("tracker", name, TRACKERS, "training.tracker"))
    if importlib.util.find_spec(name) is None:
        raise UserError(
            f"training.tracker: {name} is not installed; `pip install 'lmcompare[{name}]'` adds it, and without the "
            f"setting (or {VARIABLE}) the run needs none"
        )
    try:
        feed = Feed(name, TRACKERS[name](run), run)
    except Exception as error:
        warn(run, name, error)
        return Feed()
    for row in results.read_lines(run.path / "log.jsonl"):
        feed.row(row)
    return feed


def figures(row: Row) -> Figures:
    """A line of the log as named numbers; a figure without a value is not there."""
    if "metrics" in row:
        return {f"{row['split']}/{key}": value for key, value in row["metrics"].items() if value is not None}
    if "nonfinite" in row:
        return {"train/nonfinite": 1.0}
    # A loss in several parts is told part by part as well.
    parts = row["losses"] if len(row["losses"]) > 1 else {}
    whole = {key: row[key] for key in ("loss", "rate", "grad_norm") if key in row}
    return {f"train/{key}": float(value) for key, value in {**whole, **parts}.items()}


class TensorBoard:
    """Event files in the run's folder. They are written anew at every start, from the log: so they hold what it holds,
    whatever was written before a kill."""

    def __init__(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = run.path / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        # The step from which one that is watching forgets what it has read.
        self.writer: Any = SummaryWriter(str(folder), purge_step=0, flush_secs=10)

    def put(self, split: str, step: int, figures: Figures) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)

    def close(self, *, ended: bool) -> None:
        self.writer.close()


class MLflow:
    """A run in the experiment `lmcompare` (or MLFLOW_EXPERIMENT_NAME), wherever MLFLOW_TRACKING_URI says. One that goes
    on asks how far each figure has been told."""

    def __init__(self, run: Run) -> None:
        from mlflow.tracking import MlflowClient

        self.client: Any = MlflowClient()
        self.last: dict[str, int] = {}
        known = mark(run.path).get("mlflow")
        if known is None:
            known = self._begin(run)
            keep_mark(run.path, {"mlflow": known})
        else:
            for name in self.client.get_run(known).data.metrics:
                self.last[name] = max(m.step for m in self.client.get_metric_history(known, name))
            self.client.update_run(known, status="RUNNING")
        self.id = known

    def _begin(self, run: Run) -> str:
        named = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self.client.get_experiment_by_name(named)
        experiment = found.experiment_id if found else self.client.create_experiment(named)
        begun = self.client.create_run(experiment, run_name=run.name).info.run_id
        for key, value in settings(run.path).items():
            self.client.log_param(begun, key, str(value)[:500])
        return str(begun)

    def put(self, split: str, step: int, figures: Figures) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        new = [Metric(k, v, now, step) for k, v in figures.items() if step > self.last.get(k, -1)]
        if new:
            self.client.log_batch(self.id, metrics=new)

    def close(self, *, ended: bool) -> None:
        self.client.set_terminated(self.id, "FINISHED" if ended else "KILLED")


class WeightsAndBiases:
    """A run of the project `lmcompare` (or WANDB_PROJECT), online or offline as WANDB_MODE says. The mark tells how far
    it has come; the same step told twice is one to the server."""

    def __init__(self, run: Run) -> None:
        import wandb

        self.path = run.path
        known = mark(run.path)
        self.id: str = known.get("wandb") or secrets.token_hex(4)
        self.last: dict[str, int] = dict(known.get("told", {}))
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        about = {"name": run.name, "config": settings(run.path), "dir": str(run.path)}
        self.run: Any = wandb.init(project=project, id=self.id, resume="allow", reinit="create_new", **about)
        self._remember()

    def put(self, split: str, step: int, figures: Figures) -> None:
        if step <= self.last.get(split, -1):
            return
        self.run.log(figures, step=step)
        self.last[split] = step
        self._remember()

    def close(self, *, ended: bool) -> None:
        self.run.finish(exit_code=0 if ended else 1)

    def _remember(self) -> None:
        keep_mark(self.path, {"wandb": self.id, "told": self.last})


def settings(path: Path) -> dict[str, Any]:
    """A run's config, flat, as far as it says anything."""
    flat = config.flatten(files.read_json(path / "run.json")["config"])
    return {key: value for key, value in flat.items() if value is not None}


def mark(path: Path) -> dict[str, Any]:
    try:
        return dict(files.read_json(path / MARK))
    except (OSError, ValueError):
        return {}


def keep_mark(path: Path, known: Mapping[str, Any]) -> None:
    """Whole or not at all, but not held to the disk: what a power cut takes from it is told again."""
    partial = path / f".{MARK}.tmp"
    partial.write_text(json.dumps({**mark(path), **known}), encoding="utf-8")
    os.replace(partial, path / MARK)


TRACKERS: dict[str, Callable[[Run], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WeightsAndBiases,
}
