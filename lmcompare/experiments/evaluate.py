"""`lmc eval`: a finished run answers a split again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lmcompare import device, evaluation, files, registry, results
from lmcompare.config import Transfer
from lmcompare.errors import ModelError, UserError
from lmcompare.experiments.task_data import read_task
from lmcompare.experiments.transfer import EVALUATION_BATCH, load_backend
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.learner import TaskLearner
from lmcompare.types import Task


def as_trained(task: Task, path: Path) -> Task:
    """The task with its labels in the order of training: they are matched by name, never by place."""
    trained = files.read_json(path / "model" / "task.json")
    strange = sorted(set(task.labels) ^ set(trained["labels"]))
    if strange or trained["kind"] != task.kind:
        raise ModelError(
            f"{path}: was trained on {trained['kind']} with the labels {', '.join(trained['labels'])}; "
            f"{task.name} is {task.kind} with {', '.join(task.labels)}"
            + (f"; not in both: {', '.join(strange)}" if strange else "")
        )
    return replace(task, labels=tuple(trained["labels"]))


def restore(path: Path) -> tuple[Transfer, Any, Any]:
    """Config, backend and weights of the learner's own parts of a finished transfer run."""
    from safetensors.torch import load_file

    record = results.read(path)
    if record.status != "finished":
        raise UserError(f"{path}: this run is {record.status}; there is nothing to evaluate yet")
    config = Transfer.model_validate(record.config)
    if problem := files.damage(path / "model"):
        raise ModelError(f"{path / 'model'}: {problem}")
    if config.transfer["name"] == "finetune":
        backend = registry.loader(registry.backends.get(config.backend))(path / "model")
    else:
        backend = load_backend(config)
        expected = files.read_json(path / "run.json")["model"]
        if backend.fingerprint != expected:
            raise ModelError(
                f"{config.model}: these are not the weights that {path.name} was trained on"
            )
    return config, backend, load_file(path / "model" / "task.safetensors")


def evaluate(path: Path, split: str | None, *, data: Path | None = None) -> dict[str, Any]:
    """Answer a split again with a finished run's weights."""
    config, backend, weights = restore(path)
    found = read_task(config.task, data)
    split = split or found.task.report
    if split not in found.splits:
        raise UserError(
            f"{found.task.name}: no split {split!r}; it has {', '.join(found.task.splits)}"
        )
    machine = device.machine(config.training.precision)
    task = as_trained(found.task, path)
    learner = TaskLearner(backend, task, config.transfer)
    missing, unexpected = learner.load_state_dict(weights, strict=False)
    if unexpected or any(not name.startswith("body.encoder.") for name in missing):
        raise ModelError(f"{path / 'model'}: task.safetensors does not fit the config of the run")
    backend.encoder.to(machine.device)
    learner.to(machine.device)
    dataset = Dataset(
        backend, task, found.splits[split], length=min(config.length, backend.longest)
    )
    predictions = evaluation.predict(learner, dataset, size=EVALUATION_BATCH, device=machine.device)
    metrics, undefined = evaluation.score(task, predictions)
    return {
        "run": path.name,
        "task": found.task.name,
        "split": split,
        "examples": len(predictions),
        "metrics": metrics,
        "undefined": undefined,
        "predictions": predictions,
    }
