"""Figures in TensorBoard, MLflow or Weights & Biases: those of the log, each once, whatever was interrupted; and no
tracker ever ends a run."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from lmcompare import config as configs
from lmcompare import results, trackers
from lmcompare.errors import UserError
from lmcompare.experiments.pretrain import pretrain
from lmcompare.progress import Progress
from lmcompare.results import Run

TRAIN = {"step": 1, "loss": 0.5, "losses": {"task": 0.5}, "rate": 1e-3, "grad_norm": 2.0}
DEV = {"step": 2, "split": "dev", "metrics": {"accuracy": 0.75, "matthews": None}}
WILD = {"step": 3, "nonfinite": "loss"}


def needs(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"needs {library}, not installed here (`pip install 'lmcompare[{library}]'`)")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    results.files.write_json(
        tmp_path / "run.json", {"config": {"seed": 1, "task": {"name": "x"}, "model": None}}
    )
    return Run(tmp_path)


def corpus(tmp_path: Path) -> dict[str, Any]:
    """A pretraining of six steps, with a line of the log a step."""
    path = tmp_path / "text.txt"
    lines = [
        f"the {a} {b} was {c}." for a in ("old", "new") for b in ("cat", "dog") for c in ("here", "there")
    ]
    path.write_text("\n\n".join("\n".join(lines[i : i + 4]) for i in range(5)) * 3)
    return {
        "backend": {"name": "bert", "layers": 1, "width": 16, "heads": 2, "positions": 64},
        "tokenizer": {"name": "wordpiece", "size": 200},
        "corpus": {"path": str(path), "holdout": 0.1},
        "objective": {"name": "mlm_nsp", "length": 24},
        "optimizer": {"name": "adamw", "rate": 1e-3},
        "schedule": {"name": "linear"},
        "training": {"steps": 6, "batch": 4, "log_every": 1, "eval_every": 3, "checkpoint_every": 2},
    }


class Trips(Progress):
    """Falls over at a step, as a machine does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def update(self, done: int, *, loss: float | None = None, tokens: int = 0) -> None:
        if done == self.step:
            raise RuntimeError("the lights went out")


def interrupted(tmp_path: Path, tracker: str) -> Path:
    """A run that was killed after its fifth step, whose last checkpoint is of the fourth, and then finished."""
    table = corpus(tmp_path)
    table["training"]["tracker"] = tracker
    settings, out = configs.resolve(configs.Pretrain, table), tmp_path / "run"
    with pytest.raises(RuntimeError, match="lights"):
        pretrain(settings, progress=Trips(5), out=out)
    result = pretrain(settings, progress=Progress(), out=out)
    assert not [sentence for sentence in result["warnings"] if "failed" in sentence]
    return out


def expected(out: Path) -> dict[str, list[tuple[int, float]]]:
    """What the log holds, by name."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in results.read_lines(out / "log.jsonl"):
        for name, value in trackers.figures(row).items():
            found.setdefault(name, []).append((row["step"], pytest.approx(value, rel=1e-5)))
    return found


def test_a_line_of_the_log_as_figures() -> None:
    assert trackers.figures(TRAIN) == {"train/loss": 0.5, "train/rate": 1e-3, "train/grad_norm": 2.0}
    two = TRAIN | {"losses": {"task": 0.4, "lm": 0.2}}
    assert trackers.figures(two)["train/lm"] == 0.2
    assert trackers.figures(DEV) == {"dev/accuracy": 0.75}
    assert trackers.figures(WILD) == {"train/nonfinite": 1.0}


def test_without_a_tracker_nothing_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(trackers.VARIABLE, raising=False)
    feed = trackers.opened("", run)
    feed.row(TRAIN)
    feed.close(ended=True)
    assert sorted(path.name for path in run.path.iterdir()) == ["run.json"]


def test_an_unknown_or_missing_tracker_is_said_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="unknown tracker 'tensorbord'; did you mean 'tensorboard'"):
        trackers.opened("tensorbord", run)
    monkeypatch.setenv(trackers.VARIABLE, "mlflo")
    with pytest.raises(UserError, match="did you mean 'mlflow'"):
        trackers.opened("", run)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # as on a machine that has none
    for name in trackers.TRACKERS:
        with pytest.raises(UserError, match=rf"pip install 'lmcompare\[{name}\]'"):
            trackers.opened(name, run)


class Broken:
    """A tracker whose server has gone."""

    def __init__(self, run: Run) -> None:
        self.told = 0

    def put(self, split: str, step: int, figures: dict[str, float]) -> None:
        self.told += 1
        if self.told > 1:
            raise ConnectionError("no server\nmore")

    def close(self, *, ended: bool) -> None:
        raise AssertionError("nobody closes what was let go")


def test_a_tracker_that_fails_never_ends_a_run(run: Run) -> None:
    feed = trackers.Feed("mlflow", Broken(run), run)
    for row in (TRAIN, DEV, WILD):
        feed.row(row)
    feed.close(ended=True)
    (warning,) = run.warnings
    assert warning == "mlflow failed, and is told nothing more; log.jsonl has everything: no server"


def test_the_setting_changes_no_outcome() -> None:
    assert configs.fingerprint({"config": {"training": {"steps": 1}}}) == configs.fingerprint(
        {"config": {"training": {"steps": 1, "tracker": "wandb"}}}
    )


@pytest.mark.slow
def test_tensorboard_has_what_the_log_has(tmp_path: Path) -> None:
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = interrupted(tmp_path, "tensorboard")
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    names = events.Tags()["scalars"]
    found = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in names}
    assert found == expected(out)
    assert len(found["train/loss"]) == 6 and len(list((out / "tensorboard").iterdir())) == 1


@pytest.mark.slow
def test_mlflow_has_what_the_log_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    from mlflow.tracking import MlflowClient

    out = interrupted(tmp_path, "mlflow")
    client = MlflowClient()
    experiment = client.get_experiment_by_name(trackers.PROJECT)
    assert experiment is not None
    (told,) = client.search_runs([experiment.experiment_id])
    assert told.info.status == "FINISHED" and told.data.params["backend.layers"] == "1"
    found = {
        name: [(metric.step, metric.value) for metric in client.get_metric_history(told.info.run_id, name)]
        for name in told.data.metrics
    }
    assert found == expected(out)


@pytest.mark.slow
def test_wandb_is_told_every_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    out = interrupted(tmp_path, "wandb")
    mark = trackers.mark(out)
    assert mark["told"] == {"train": 6, "dev": 6}
    attempts = sorted((out / "wandb").glob("offline-run-*"))
    assert len(attempts) == 2 and all(path.name.endswith(mark["wandb"]) for path in attempts)
