"""`lmc pretrain`: a corpus in, an encoder out."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from lmcompare import checkpoints, device, files, lineage, models, registry, results, signals
from lmcompare.checkpoints import State
from lmcompare.config import Pretrain, Table, dump
from lmcompare.errors import ModelError
from lmcompare.experiments import blueprint
from lmcompare.experiments.corpora import (
    Source,
    material,
    read_tokenizer,
    source,
    tokenize,
    vocabulary,
    vocabulary_of,
)
from lmcompare.progress import Progress
from lmcompare.text.material import Material
from lmcompare.training import Loop


def going_on(config: Pretrain, start: Any) -> Pretrain:
    """The config with what the model brings along: its network, but for the dropout."""
    network = {"name": start.name, **start.settings}
    network |= {k: config.backend[k] for k in ("dropout", "attention_dropout") if k in network}
    return config.model_copy(update={"backend": network})


def pretrain(
    config: Pretrain,
    *,
    progress: Progress,
    data: Path | None = None,
    out: Path | None = None,
    force: bool = False,
    allow_change: bool = False,
    asked: Table | None = None,
) -> dict[str, Any]:
    """The main path. Returns the run's result; a finished run is read back, not made again. `asked`: what the command
    line says of the tokenizer."""
    machine = device.machine(config.training.precision)
    progress = progress if machine.main else Progress()
    start = models.load(config.backend["name"], config.model, seed=config.seed) if config.model else None
    if start:
        config = going_on(config, start)
    config = config.model_copy(update={"tokenizer": vocabulary_of(config, start, asked)})
    parts = config.parts()
    # What cannot be built leaves no folder behind, and waits for no corpus.
    blueprint.objectives(parts, blueprint.network(config))
    text = source(config.corpus, data)
    identity = {"kind": config.kind, "config": dump(config), "data": text.hash}
    identity |= vocabulary(config.tokenizer)
    if start:
        identity["model"] = start.fingerprint
    history = lineage.before(dump(config))
    path = results.place(out, f"pretrain-{config.backend['name']}-{text.name}-s{config.seed}", identity)
    if not force and (done := results.done(path, identity)):
        return done
    with (
        signals.watched(),
        results.opened(path, identity, force=force, allow_change=allow_change, main=machine.main) as run,
    ):
        for sentence in run.machine(machine.world, machine.threads, str(machine.device)):
            progress.note(sentence)
        tokenizer = read_tokenizer(config, text, run.path / "tokenizer", progress, machine, start)
        tokens = tokenize(text, tokenizer, progress, machine)
        backend, objective = network(parts[0], tokenizer, start)
        blueprint.objectives(parts, backend)  # once more, with the words that the corpus has
        for sentence in backend.warnings:
            run.warn(sentence)
            progress.note(sentence)
        objective, state = in_phases(
            parts,
            objective,
            run=run,
            machine=machine,
            material=lambda part: material(tokens, part, text, tokenizer, progress),
            evaluate=partial(held_out, text=text, machine=machine),
            progress=progress,
        )
        if not machine.main:
            return {}
        with files.new_folder(run.model, {"run": run.name}) as folder:
            backend.save(folder, objective.heads())
            lineage.write(folder, [*history, lineage.step(dump(config), run.name)])
        figures = {"lineage": history, "model_hash": backend.fingerprint, "data_hash": text.hash}
        return run.finish(told(config, objective, run, machine, state) | figures)


def in_phases(
    parts: list[Pretrain],
    objective: Any,
    *,
    run: results.Run,
    machine: device.Machine,
    material: Callable[[Pretrain], Material],
    evaluate: Callable[..., dict[str, float | None]],
    progress: Progress,
) -> tuple[Any, State]:
    """Train every phase, from the one that the run has reached; the objective with the best weights of the last."""
    newest, state = checkpoints.latest(run.checkpoints)[0], None
    reached = checkpoints.phase(newest) if newest else 0
    for number, part in list(enumerate(parts))[reached:]:
        if number:
            progress.note(f"phase {number + 1} of {len(parts)}")
            objective = follow(objective, part)
        progress.note("cutting the corpus into instances")
        with machine.main_first():
            objective.prepare(material(part))
        loop = Loop(
            objective.to(machine.device),
            part.training,
            run=run,
            machine=machine,
            optimizer=part.optimizer,
            schedule=part.schedule,
            seed=part.order_seed,
            evaluate=partial(evaluate, objective, part.training.batch),
            progress=progress,
            before=state,
        )
        state = loop.fit()
    loop.load_best()
    return objective, loop.state


def follow(before: Any, part: Pretrain) -> Any:
    """The objective of a later phase, with all weights as the phase before it left them."""
    objective = registry.objectives.build(part.objective, before.backend)
    objective.load_state_dict(before.state_dict())
    return objective


def held_out(objective: Any, size: int, *, text: Source, machine: device.Machine) -> dict[str, float | None]:
    """The objective's figures on held-out text; for the micro suite also what the model knows of the world, because
    the loss alone hides for long whether it learns anything but the commonest words."""
    metrics = device.fitted(
        lambda size: objective.evaluate(size, machine.device, signals.check), size, any_of=machine.any
    )
    if text.world is None:
        return metrics
    told: dict[str, list[bool]] = {}
    for what, blank, right, wrong in text.world.probe():
        if (better := objective.prefers(blank, right, wrong)) is not None:
            told.setdefault(what, []).append(better)
    return metrics | {f"knows_{what}": sum(v) / len(v) for what, v in sorted(told.items())}


def network(config: Pretrain, tokenizer: Any, start: Any = None) -> tuple[Any, Any]:
    """Encoder and heads: drawn from the seed, or those of the model that the run goes on from."""
    backend = registry.backends.build(config.backend, tokenizer)
    if start:
        backend.encoder.load_state_dict(start.encoder.state_dict())
        backend.warnings += start.warnings
    else:
        backend.draw(config.seed)
    objective = registry.objectives.build(config.objective, backend)
    objective.draw(config.seed + 1)
    if start and objective.heads():
        try:
            objective.load_heads(load_file(models.find(config.model) / "model.safetensors"))
        except (ModelError, OSError) as error:
            backend.warnings.append(
                f"{config.model}: its heads cannot go on, so they are drawn afresh ({error})"
            )
    return backend, objective


def told(
    config: Pretrain, objective: Any, run: results.Run, machine: device.Machine, state: State
) -> dict[str, Any]:
    """What the result says: how good, how long, how large."""
    rows = results.read_lines(run.path / "log.jsonl")
    (dev,) = [row["metrics"] for row in rows if "split" in row and row["step"] == state.best_step]
    return {
        "kind": config.kind,
        "backend": config.backend["name"],
        "corpus": config.corpus.path,
        "seed": config.seed,
        "metrics": {"dev": dev},
        "examples": {"train": len(objective.rows), "dev": len(objective.held_rows)},
        "steps": state.step,
        "best_step": state.best_step,
        "stopped": state.stopped,
        "tokens": state.tokens,
        "device": machine.describe(),
        "threads": machine.threads,
        "parameters": {
            "total": parameters(objective),
            "trained": parameters(objective, trained=True),
        },
    }


def parameters(module: Any, *, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)
