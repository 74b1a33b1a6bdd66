"""`lmc finetune` and `lmc features`: a model and a task in, a score out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lmcompare import device, evaluation, files, lineage, models, results, signals
from lmcompare.checkpoints import State
from lmcompare.config import Transfer, Use, dump
from lmcompare.cost import Timing
from lmcompare.errors import UserError
from lmcompare.experiments.pretrain import parameters
from lmcompare.experiments.spent import spent, watch
from lmcompare.experiments.task_data import TaskData, figures, read_task
from lmcompare.progress import Progress
from lmcompare.results import Run
from lmcompare.training import Loop
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.learner import TaskLearner
from lmcompare.types import Example, Prediction, Task

EVALUATION_BATCH = 64
REDRAW = {"transfer_layers": models.redraw_above, "redraw_top": models.redraw_top}  # by the config's key


def transfer(
    config: Transfer,
    *,
    progress: Progress,
    out: Path | None = None,
    data: Path | None = None,
    force: bool = False,
    allow_change: bool = False,
) -> dict[str, Any]:
    """The main path. Returns the run's result; a finished run is read back, not made again."""
    machine = device.machine(config.training.precision)
    progress = progress if machine.main else Progress()
    mode, found = config.transfer["name"], read_task(config.task, data).few(config.examples)
    backend, begun = load_start(config)
    if mode == "finetune" and (why := getattr(backend, "frozen", "")):
        raise UserError(f"{config.backend}: {why}")
    identity = {"kind": mode, "config": dump(config), "data": found.hash, "model": backend.fingerprint}
    history = lineage.before(dump(config))
    start = "-random" if config.weights == "random" else ""
    path = results.place(out, f"{mode}-{config.backend}{start}-{found.task.name}-s{config.seed}", identity)
    if not force and (done := results.done(path, identity)):
        return done
    # What cannot be built leaves no folder behind.
    learner = TaskLearner(backend, found.task, config.transfer)
    learner.draw(config.seed)
    with (
        signals.watched(),
        results.opened(path, identity, force=force, allow_change=allow_change, main=machine.main) as run,
    ):
        changed = run.machine(machine.world, machine.threads, str(machine.device))
        for sentence in [*changed, *found.warnings, *backend.warnings]:
            run.warn(sentence)
            progress.note(sentence)
        backend.encoder.to(machine.device)
        learner.to(machine.device)
        watch(run.meter, config, learner)
        datasets = prepare(config, backend, found)
        learner.learn_from(datasets["train"])
        loop = Loop(
            learner,
            config.training,
            run=run,
            machine=machine,
            optimizer=config.optimizer,
            schedule=config.schedule,
            seed=config.order_seed,
            evaluate=lambda: held_out(learner, datasets["dev"], machine),
            progress=progress,
        )
        state = loop.fit()
        loop.load_best()
        if not machine.main:
            return {}
        if found.task.unanswerable:  # when to give no answer is chosen on the development set
            learner.head.settle(answers_to(learner, datasets["dev"], machine))
        facts = answer(learner, found, datasets, run, machine)
        by_now = [*history, lineage.step(dump(config), run.name)]
        keep(run, backend, learner, trained=by_now if mode == "finetune" else None)
        facts |= told(config, backend, learner, machine, state) | {"lineage": history, "start_hash": begun}
        return run.finish(facts | {"model_hash": identity["model"], "data_hash": found.hash})


def told(
    config: Transfer, backend: Any, learner: TaskLearner, machine: device.Machine, state: State
) -> dict[str, Any]:
    """What the result says beside its figures: with what, how long, how large."""
    mode = config.transfer["name"]
    frozen = 0 if mode == "finetune" else getattr(backend, "size", 0) or parameters(backend.encoder)
    trained = parameters(learner, trained=True)
    at_output = learner.body.layer_mix_output()
    return {
        "kind": mode,
        "backend": config.backend,
        "model": config.model,
        "weights": config.weights,
        "transfer_layers": config.transfer_layers,
        "task": learner.task.name,
        "task_kind": learner.task.kind,
        "seed": config.seed,
        "steps": state.step,
        "best_step": state.best_step,
        "stopped": state.stopped,
        "tokens": state.tokens,
        "device": machine.describe(),
        "threads": machine.threads,
        "parameters": {"total": parameters(learner) + frozen, "trained": trained},
        "layer_mix": learner.body.layer_mix(),
        **({"layer_mix_output": at_output} if at_output else {}),
        **({"null_threshold": float(learner.head.threshold)} if learner.task.unanswerable else {}),
    }


def load_backend(config: Transfer) -> Any:
    """The pretrained encoder; or the same network with all weights, or those of its upper layers, drawn afresh."""
    check_start(config)
    return drawn(config, models.load(config.backend, config.model, seed=config.seed))


def load_start(config: Transfer) -> tuple[Any, str | None]:
    """The same, and the hash of its checkpoint as all seeds have it; None where nothing is left of that."""
    check_start(config)
    backend = models.load(config.backend, config.model, seed=config.seed)
    begun = None if config.weights == "random" else models.start_hash(backend)
    return drawn(config, backend), begun


def check_start(config: Transfer) -> None:
    """Whether one thing alone is said of what is drawn."""
    asked = [key for key in REDRAW if getattr(config, key) is not None]
    if asked and config.weights == "random":
        raise UserError(
            f"{asked[0]}: with random weights every layer is drawn afresh anyway; leave one of the two out"
        )
    if len(asked) > 1:
        raise UserError(
            "redraw_top: transfer_layers says already which layers are drawn; leave one of the two out"
        )


def drawn(config: Transfer, backend: Any) -> Any:
    if config.weights == "random":
        backend.draw(config.seed)
    for key, redraw in REDRAW.items():
        if (layers := getattr(config, key)) is not None:
            redraw(backend, layers, config.seed)
    return backend


def prepare(config: Use, backend: Any, found: TaskData) -> dict[str, Dataset]:
    datasets = {}
    for split, examples in found.splits.items():
        signals.check()
        datasets[split] = formatted(config, backend, found.task, examples)
    return datasets


def formatted(config: Use, backend: Any, task: Task, examples: Sequence[Example]) -> Dataset:
    """Examples as the backend reads them, in views of at most the config's length and the model's positions."""
    return Dataset(backend, task, examples, length=min(config.length, backend.longest), stride=config.stride)


def held_out(learner: TaskLearner, dataset: Dataset, machine: device.Machine) -> dict[str, float | None]:
    """The figures by which the best step is chosen: every process makes them, and all at the same turn."""
    predictions = answers_to(learner, dataset, machine, any_of=machine.any)
    return evaluation.score(learner.task, predictions)[0]


def answers_to(
    learner: TaskLearner,
    dataset: Dataset,
    machine: device.Machine,
    *,
    any_of: Callable[[bool], bool] = bool,
    timing: Timing | None = None,
) -> list[Prediction]:
    return evaluation.predict(
        learner,
        dataset,
        size=EVALUATION_BATCH,
        device=machine.device,
        check=signals.check,
        any_of=any_of,
        timing=timing,
    )


def answer(
    learner: TaskLearner,
    found: TaskData,
    datasets: dict[str, Dataset],
    run: Run,
    machine: device.Machine,
) -> dict[str, Any]:
    """Predictions of every split but the training one, kept example by example, and their metrics, and how
    long an answer takes."""
    metrics, undefined, groups, cut = {}, {}, {}, {}
    timing = Timing()
    for split, dataset in datasets.items():
        if dataset.cut:
            cut[split] = dataset.cut
        if split == "train":
            continue
        predictions = answers_to(learner, dataset, machine, timing=timing)
        run.predictions(split, predictions)
        metrics[split], undefined[split] = evaluation.score(found.task, predictions)
        groups[split] = evaluation.by_group(found.task, dataset.examples, predictions)
    cost = spent(learner, datasets, timing, machine)
    return figures(found, metrics, undefined, groups) | {"truncated": cut, "cost": cost}


def keep(run: Run, backend: Any, learner: TaskLearner, *, trained: list[lineage.Step] | None) -> None:
    """run/model: the head; and where the encoder was trained, that too, with all that it was trained on by now."""
    with files.new_folder(run.model, {"run": run.name}) as folder:
        if trained is not None:
            backend.save(folder)
            lineage.write(folder, trained)
        files.save_tensors(learner.own_state(), folder / "task.safetensors")
        task = learner.task  # the order of the labels is the order of the head's rows
        facts = {"name": task.name, "kind": task.kind, "labels": list(task.labels)}
        files.write_json(folder / "task.json", facts)
