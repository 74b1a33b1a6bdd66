"""`lmc eval`: a finished run answers a split again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from lmcompare import device, evaluation, files, models, registry, results
from lmcompare.config import Pretrain, Transfer
from lmcompare.errors import ModelError, UserError
from lmcompare.experiments import multitask, ngrams
from lmcompare.experiments.corpora import source, tokenize
from lmcompare.experiments.task_data import data_folder, read_task
from lmcompare.experiments.transfer import EVALUATION_BATCH, formatted, load_backend
from lmcompare.progress import Progress
from lmcompare.results import Record
from lmcompare.text.material import Material
from lmcompare.transfer.learner import TaskLearner
from lmcompare.types import Prediction, Task


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


def restore(record: Record) -> tuple[Transfer, Any, Any]:
    """Config, backend and weights of the learner's own parts of a finished transfer run."""
    path = record.path
    config = Transfer.model_validate(record.config)
    if problem := files.damage(path / "model"):
        raise ModelError(f"{path / 'model'}: {problem}")
    if config.transfer["name"] == "finetune":
        backend = registry.loader(registry.backends.get(config.backend))(models.encoder_of(path))
    else:
        backend = load_backend(config)
        expected = files.read_json(path / "run.json")["model"]
        if backend.fingerprint != expected:
            raise ModelError(f"{config.model}: these are not the weights that {path.name} was trained on")
    return config, backend, load_file(path / "model" / "task.safetensors")


def evaluate(path: Path, split: str | None, *, data: Path | None = None) -> dict[str, Any]:
    """Answer a split again, in the way of the run's kind."""
    record = results.read(path)
    if record.status != "finished":
        raise UserError(f"{path}: this run is {record.status}; there is nothing to evaluate yet")
    if "tasks" in record.config:
        whose = ", ".join(str(one.path) for one in multitask.records(path))
        raise UserError(f"{path}: its encoder learned several tasks; ask for one of them: {whose}")
    if "objective" in record.config or "ngrams" in record.config:
        if split not in (None, "dev"):
            raise UserError(f"{record.run}: a run over a corpus has the split dev alone, not {split!r}")
        return pretrained(record, data) if "objective" in record.config else counted(record, data)
    if "baseline" in record.config:
        return kept(record, split, data)
    return transferred(record, split, data)


def counted(record: Record, data: Path | None) -> dict[str, Any]:
    """The held-out figures of a counted model."""
    examples, metrics = ngrams.evaluate(record, data)
    return told(record, "dev", examples, metrics, {}, [])


def pretrained(record: Record, data: Path | None) -> dict[str, Any]:
    """The held-out figures of a pretraining run, from its saved model and its corpus."""
    config = Pretrain.model_validate(record.config)
    machine = device.machine(config.training.precision)
    text = source(config.corpus, data)
    if text.hash != files.read_json(record.path / "run.json")["data"]:
        raise UserError(f"{record.run}: the corpus {config.corpus.path} is not what it was")
    backend = registry.loader(registry.backends.get(config.backend["name"]))(record.path / "model")
    last = config.parts()[-1]
    objective = registry.objectives.build(last.objective, backend)
    objective.load_heads(load_file(record.path / "model" / "model.safetensors"))
    tokens = tokenize(text, backend.tokenizer, Progress(), machine)
    objective.prepare(Material(tokens, config.corpus.holdout, 0, held_out_only=True))
    objective.to(machine.device).train(False)
    metrics = objective.evaluate(last.training.batch, machine.device, lambda: None)
    return told(record, "dev", len(objective.held_rows), metrics, {}, [])


def kept(record: Record, split: str | None, data: Path | None) -> dict[str, Any]:
    """A baseline's answers, which its run keeps for every split but the training one."""
    split = split or (record.result or {})["primary"]["split"]
    task = registry.tasks.build(record.config["task"], data_folder(data))
    path = record.path / f"predictions-{split}.jsonl"
    if not path.is_file():
        raise UserError(f"{record.run}: no answers to {split!r} are kept")
    predictions = list(results.read_lines(path))
    return told(record, split, len(predictions), *evaluation.score(task, predictions), predictions)


def told(
    record: Record,
    split: str,
    examples: int,
    metrics: dict[str, Any],
    undefined: dict[str, str],
    predictions: list[Prediction],
) -> dict[str, Any]:
    return {
        "run": record.run,
        "task": (record.result or {}).get("task"),
        "split": split,
        "examples": examples,
        "metrics": metrics,
        "undefined": undefined,
        "predictions": predictions,
    }


def transferred(record: Record, split: str | None, data: Path | None) -> dict[str, Any]:
    """A task's answers, made again with the run's weights."""
    path = record.path
    config, backend, weights = restore(record)
    found = read_task(config.task, data)
    split = split or found.task.report
    if split not in found.splits:
        raise UserError(f"{found.task.name}: no split {split!r}; it has {', '.join(found.task.splits)}")
    machine = device.machine(config.training.precision)
    task = as_trained(found.task, path)
    learner = TaskLearner(backend, task, config.transfer)
    missing, unexpected = learner.load_state_dict(weights, strict=False)
    if unexpected or any(not name.startswith("body.encoder.") for name in missing):
        raise ModelError(f"{path / 'model'}: task.safetensors does not fit the config of the run")
    backend.encoder.to(machine.device)
    learner.to(machine.device)
    dataset = formatted(config, backend, task, found.splits[split])
    predictions = evaluation.predict(learner, dataset, size=EVALUATION_BATCH, device=machine.device)
    metrics, undefined = evaluation.score(task, predictions)
    return told(record, split, len(predictions), metrics, undefined, predictions)
