"""`lmc pretrain`: a corpus in, an encoder out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from lmcompare import cache, device, files, models, registry, results, signals
from lmcompare.checkpoints import State
from lmcompare.config import Corpus, Counted, Pretrain, dump, fingerprint
from lmcompare.errors import ModelError, UserError
from lmcompare.experiments.task_data import read_task
from lmcompare.progress import Progress
from lmcompare.text import shards
from lmcompare.training import Loop


@dataclass(frozen=True)
class Source:
    """An unlabelled corpus: a way to read it again and again, and its content's hash."""

    name: str
    documents: Callable[[], Iterator[list[str]]]
    hash: str
    world: Any = None  # the micro suite's generator, which knows what is hidden in its text


def source(settings: Corpus, data: Path | None = None) -> Source:
    if not settings.path:
        raise UserError("corpus.path: no corpus given; use --corpus PATH, or --corpus micro")
    if settings.path.startswith("task:"):
        return task_texts(settings.path.removeprefix("task:"), data)
    if settings.path == "micro":
        from lmcompare import micro

        world = micro.world(settings.world)
        digest = f"micro-{files.code_hash(Path(micro.__file__).parent)}-{settings.world}-{settings.documents}"
        return Source("micro", lambda: world.documents(settings.documents), digest, world)
    from lmcompare.text import corpus

    path = Path(settings.path)
    return Source(path.name.partition(".")[0], lambda: corpus.documents(path), corpus.fingerprint(path))


def task_texts(name: str, data: Path | None) -> Source:
    """A task's training texts without their labels, each example a document."""
    found = read_task({"name": name}, data)
    documents = [
        [text for text in (*e.texts, *e.options, " ".join(e.words)) if text.strip()]
        for e in found.splits["train"]
    ]
    return Source(name, lambda: iter([d for d in documents if d]), f"texts-{found.hash}")


def going_on(config: Pretrain, start: Any) -> Pretrain:
    """The config with what the model brings along: its network, but for the dropout, and its words."""
    network = {"name": start.name, **start.settings}
    network |= {k: config.backend[k] for k in ("dropout", "attention_dropout") if k in network}
    known = getattr(start.tokenizer, "vocabulary", start.tokenizer.size)
    words = registry.tokenizers.check({"name": config.tokenizer["name"], "size": known}, "tokenizer")
    return config.model_copy(
        update={"backend": network, "tokenizer": words if known > 3 else config.tokenizer}
    )


def pretrain(
    config: Pretrain,
    *,
    progress: Progress,
    data: Path | None = None,
    out: Path | None = None,
    force: bool = False,
    allow_change: bool = False,
) -> dict[str, Any]:
    """The main path. Returns the run's result; a finished run is read back, not made again."""
    machine = device.machine(config.training.precision)
    progress = progress if machine.main else Progress()
    text = source(config.corpus, data)
    start = models.load(config.backend["name"], config.model, seed=config.seed) if config.model else None
    if start:
        config = going_on(config, start)
    identity = {"kind": config.kind, "config": dump(config), "data": text.hash}
    if start:
        identity["model"] = start.fingerprint
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
        backend, objective = network(config, tokenizer, start)
        for sentence in backend.warnings:
            run.warn(sentence)
            progress.note(sentence)
        data_seed = config.seed if config.data_seed is None else config.data_seed
        progress.note("cutting the corpus into instances")
        objective.prepare(tokens, config.corpus.holdout, data_seed, signals.check)
        objective.to(machine.device)
        loop = Loop(
            objective,
            config.training,
            run=run,
            machine=machine,
            optimizer=config.optimizer,
            schedule=config.schedule,
            seed=data_seed,
            evaluate=lambda: held_out(objective, text, config.training.batch, machine),
            progress=progress,
        )
        state = loop.fit()
        loop.load_best()
        if not machine.main:
            return {}
        with files.new_folder(run.model, {"run": run.name}) as folder:
            backend.save(folder, objective.heads())
        figures = {"model_hash": backend.fingerprint, "data_hash": text.hash}
        return run.finish(told(config, objective, run, machine, state) | figures)


def held_out(objective: Any, text: Source, size: int, machine: device.Machine) -> dict[str, float | None]:
    """The objective's figures on held-out text; for the micro suite also what the model knows of the world, because
    the loss alone hides for long whether it learns anything but the commonest words."""
    metrics = objective.evaluate(size, machine.device, signals.together(machine.any))
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


def read_tokenizer(
    config: Pretrain | Counted,
    text: Source,
    folder: Path,
    progress: Progress,
    machine: device.Machine,
    start: Any = None,
) -> Any:
    """Learn the vocabulary from the corpus, once a run; a model that is gone on from has one already."""
    kind = registry.tokenizers.get(config.tokenizer["name"])
    if machine.main and not folder.is_dir():
        progress.note("learning the vocabulary")

        def sentences() -> Iterator[str]:
            for document in text.documents():
                signals.check()
                yield from document

        learned = start.tokenizer.extended(sentences()) if start else None
        learned = learned or registry.tokenizers.build(config.tokenizer, sentences())
        with files.new_folder(folder) as partial:
            learned.save(partial)
    machine.wait()
    return registry.loader(kind)(folder)


def tokenize(text: Source, tokenizer: Any, progress: Progress, machine: device.Machine) -> shards.Shards:
    """The corpus as token ids, kept in the cache for the next run over the same text."""
    key = fingerprint({"text": text.hash, "tokenizer": tokenizer.fingerprint})
    folder = cache.root() / "tokens" / f"{text.name}-{key}"
    if machine.main:
        progress.note("tokenizing the corpus")
        shards.build(text.documents(), tokenizer, folder, signals.check)
    machine.wait()
    return shards.read(folder)


def parameters(module: Any, *, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)
