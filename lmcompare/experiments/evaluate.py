"""`lmc eval`: a finished run answers a split again, or another task whose labels it knows."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from lmcompare import device, evaluation, files, models, registry, results
from lmcompare.config import Pretrain, Transfer
from lmcompare.cost import Timing
from lmcompare.errors import ModelError, UserError
from lmcompare.experiments import ngrams
from lmcompare.experiments.corpora import source, tokenize
from lmcompare.experiments.export_layout import ENCODER
from lmcompare.experiments.records import records
from lmcompare.experiments.task_data import compared, data_folder, loaded
from lmcompare.experiments.transfer import EVALUATION_BATCH, formatted, load_backend
from lmcompare.progress import Progress
from lmcompare.results import Record
from lmcompare.tasks import checks, facts, official
from lmcompare.text.material import Material
from lmcompare.transfer.learner import TaskLearner
from lmcompare.types import Example, Prediction, Split, Task


@dataclass(frozen=True)
class Asked:
    """A split of a task, as it is asked of a run."""

    task: Task
    split: Split
    examples: list[Example]
    warnings: list[str]
    hash: str = ""
    state: official.State | None = None  # beside what was published; None: the task is made here


Answer = Callable[[Asked], list[Prediction]]


def as_trained(task: Task, path: Path) -> Task:
    """The task with its labels in the order of training: they are matched by name, never by place. Where the run's
    labels are finer and the task says what they come to, they are the run's."""
    trained = files.read_json(path / "model" / "task.json")
    come_to = {task.folds.get(label, label) for label in trained["labels"]}
    strange = sorted(set(task.labels) ^ come_to)
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
        # A run that was handed on brings the encoder along that its reader was trained on.
        if (path / ENCODER).is_dir():
            config = config.model_copy(update={"model": str(path / ENCODER)})
        backend = load_backend(config)
        expected = files.read_json(path / "run.json")["model"]
        if backend.fingerprint != expected:
            raise ModelError(f"{config.model}: these are not the weights that {path.name} was trained on")
    return config, backend, load_file(path / "model" / "task.safetensors")


def finished(path: Path) -> Record:
    """A run that can be asked something."""
    record = results.read(path)
    if record.status != "finished":
        raise UserError(f"{path}: this run is {record.status}; there is nothing to evaluate yet")
    if "tasks" in record.config:
        whose = ", ".join(str(one.path) for one in records(path))
        raise UserError(f"{path}: its encoder learned several tasks; ask for one of them: {whose}")
    return record


def evaluate(path: Path, split: str | None, *, data: Path | None = None, task: str = "") -> dict[str, Any]:
    """Answer a split again, in the way of the run's kind."""
    record = finished(path)
    if "objective" in record.config or "ngrams" in record.config:
        if task:
            raise UserError(
                f"{record.run}: a run over a corpus was taught no task; --zero-shot asks it {task}"
            )
        if split not in (None, "dev"):
            raise UserError(f"{record.run}: a run over a corpus has the split dev alone, not {split!r}")
        return pretrained(record, data) if "objective" in record.config else counted(record, data)
    asked = ask(record, task, task_of(record, task, data), split)
    timing = Timing()
    rows = answering(record, timing)(asked)
    inference = None if "baseline" in record.config else timing.told()
    return scored(record, asked, rows) | {"inference": inference}


def table_of(record: Record, name: str) -> dict[str, Any]:
    """The run's own task with its settings, or another one as it is by default."""
    own: dict[str, Any] = record.config["task"]
    return own if name in ("", own["name"]) else {"name": name}


def task_of(record: Record, name: str, data: Path | None) -> Task:
    return registry.tasks.build(table_of(record, name), data_folder(data))


def ask(record: Record, name: str, task: Task, split: str | None) -> Asked:
    """One split of a task, held against what was published and what the run had; the others may be missing."""
    split = split or (task.report if task.report in task.splits else task.splits[0])
    if split not in task.splits:
        raise UserError(f"{task.name}: no split {split!r}; it has {', '.join(task.splits)} ({task.source})")
    table = dict(registry.tasks.meant(table_of(record, name)))
    cut = facts.of(table["name"]).cut
    # Of a published split that was cut in two, a part alone could not be told.
    parts = [other for other in task.splits if cut.get(other, other) == cut.get(split, split)]
    splits, notes = loaded(task, parts)
    odd, states = compared(task, table, splits)
    only = {split: splits[split]}
    notes += [*odd, *checks.inspect(only, task)]
    digest = checks.digest(splits[split])
    had = (record.result or {}).get("data_hashes", {}) if name in ("", record.config["task"]["name"]) else {}
    if digest != had.get(split, digest):
        notes.append(f"{task.name}: {split}: these are not the examples that {record.run} was made with")
    return Asked(task, split, splits[split], notes, digest, states.get(split))


def answering(record: Record, timing: Timing | None = None) -> Answer:
    """How a run answers: with its weights, which `timing` is told of; a baseline with the answers that it keeps."""
    if "baseline" in record.config:
        return lambda asked: kept(record, asked)
    config, backend, weights = restore(record)
    machine = device.machine(config.training.precision)
    backend.encoder.to(machine.device)

    def answer(asked: Asked) -> list[Prediction]:
        task = as_trained(asked.task, record.path)
        learner = TaskLearner(backend, task, config.transfer)
        missing, unexpected = learner.load_state_dict(weights, strict=False)
        if unexpected or any(not name.startswith("body.encoder.") for name in missing):
            raise ModelError(f"{record.path / 'model'}: task.safetensors does not fit the config of the run")
        learner.to(machine.device)
        # A label that the run does not know is nothing to its head.
        foreign = set(asked.task.labels) - set(task.labels)
        examples = [replace(e, label=None) for e in asked.examples] if foreign else asked.examples
        dataset = formatted(config, backend, task, examples)
        rows = evaluation.predict(
            learner, dataset, size=EVALUATION_BATCH, device=machine.device, timing=timing
        )
        pairs = zip(rows, asked.examples, strict=True)
        return [{**row, "label": evaluation.gold(e)} for row, e in pairs] if foreign else rows

    return answer


def kept(record: Record, asked: Asked) -> list[Prediction]:
    """A baseline's answers, which its run keeps for every split but the training one."""
    if asked.task.name != (record.result or {})["task"]:
        raise UserError(
            f"{record.run}: a baseline keeps its answers to its own task alone, not to {asked.task.name}"
        )
    path = record.path / f"predictions-{asked.split}.jsonl"
    if not path.is_file():
        raise UserError(f"{record.run}: no answers to {asked.split!r} are kept")
    predictions = list(results.read_lines(path))
    if [row["id"] for row in predictions] != [example.id for example in asked.examples]:
        raise UserError(
            f"{record.run}: it answered {len(predictions):,} other examples of {asked.split} than are in "
            f"{asked.task.source} now; make the run again"
        )
    return predictions


def scored(record: Record, asked: Asked, predictions: list[Prediction]) -> dict[str, Any]:
    """The figures of the answers, as the task's own labels; beside them those of each group of examples."""
    task = asked.task
    given = {row["prediction"] for row in predictions} if task.folds else set()
    folds = {label: other for label, other in task.folds.items() if label in given}
    plain = predictions
    if folds:
        plain = [row | {"prediction": folds.get(row["prediction"], row["prediction"])} for row in predictions]
    metrics, undefined = evaluation.score(task, plain)
    groups = evaluation.by_group(task, asked.examples, plain)
    result = told(record, asked.split, len(predictions), metrics, undefined, predictions)
    return result | {
        "task": task.name,
        "data_hashes": {asked.split: asked.hash},
        "data_state": {asked.split: asked.state} if asked.state else {},
        "warnings": asked.warnings,
        **({"by_group": groups} if groups else {}),
        **({"folds": folds} if folds else {}),
    }


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


def told(
    record: Record,
    split: str,
    examples: int,
    metrics: dict[str, Any],
    undefined: dict[str, str],
    predictions: list[Prediction],
) -> dict[str, Any]:
    """What every evaluation says; of a corpus, which `evaluate` takes only as it was, there is no more to say."""
    return {
        "run": record.run,
        "task": (record.result or {}).get("task"),
        "split": split,
        "examples": examples,
        "metrics": metrics,
        "undefined": undefined,
        "data_hashes": {},
        "data_state": {},
        "warnings": [],
        "inference": None,
        "predictions": predictions,
    }
