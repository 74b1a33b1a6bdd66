"""`lmc baseline --corpus`: a language model that is counted, on the documents that the trained ones learn from and
are measured on, kept as a run like the others."""

from pathlib import Path
from typing import Any

from lmcompare import device, files, registry, results, signals
from lmcompare.config import Counted, dump
from lmcompare.errors import ModelError, UserError
from lmcompare.experiments.corpora import read_tokenizer, source, tokenize, vocabulary
from lmcompare.progress import Progress
from lmcompare.results import Record


def alike(name: str) -> dict[str, Any]:
    """Corpus, held-out documents and words of a pretraining run: what its perplexity can be compared over."""
    path = next((p for p in (Path(name), results.root() / name) if (p / "run.json").is_file()), None)
    if path is None:
        raise UserError(f"--like {name!r}: no such run")
    config = results.read(path).config
    if config.get("tokenizer", {}).get("name") != "words":
        raise UserError(f"--like {name}: this run does not predict whole words")
    return {key: config[key] for key in ("corpus", "tokenizer")}


def count(
    config: Counted,
    *,
    progress: Progress,
    data: Path | None = None,
    out: Path | None = None,
    force: bool = False,
    allow_change: bool = False,
) -> dict[str, Any]:
    """The main path: count the training documents, ask about the held-out ones."""
    machine = device.machine(device="cpu")
    text = source(config.corpus, data)
    identity = {
        "kind": config.kind,
        "config": dump(config),
        "data": text.hash,
        **vocabulary(config.tokenizer),
    }
    path = results.place(out, f"{config.ngrams['name']}-{text.name}", identity)
    if not force and (done := results.done(path, identity)):
        return done
    with (
        signals.watched(),
        results.opened(path, identity, force=force, allow_change=allow_change) as run,
    ):
        tokenizer = read_tokenizer(config, text, run.path / "tokenizer", progress, machine)
        tokens = tokenize(text, tokenizer, progress, machine)
        train, held = tokens.split(config.corpus.holdout)
        model = registry.ngrams.build(config.ngrams, tokenizer)
        progress.note("counting")
        model.fit(tokens, train, signals.check)
        for sentence in model.warnings:
            run.warn(sentence)
            progress.note(sentence)
        metrics = model.evaluate(tokens, held, signals.check)
        with files.new_folder(run.model, {"run": run.name}) as folder:
            model.save(folder)
        return run.finish(
            {
                "kind": config.kind,
                "backend": config.ngrams["name"],
                "corpus": config.corpus.path,
                "metrics": {"dev": metrics},
                "examples": {"train": len(train), "dev": len(held)},
                "ngrams": [len(counts) for counts in model.counts],
                "device": "cpu",
                "threads": 1,
                "data_hash": text.hash,
            }
        )


def evaluate(record: Record, data: Path | None) -> tuple[int, dict[str, float]]:
    """How many held-out documents, and the figures on them, from the counts that the run keeps."""
    config = Counted.model_validate(record.config)
    text = source(config.corpus, data)
    if text.hash != files.read_json(record.path / "run.json")["data"]:
        raise UserError(f"{record.run}: the corpus {config.corpus.path} is not what it was")
    if problem := files.damage(record.path / "model"):
        raise ModelError(f"{record.path / 'model'}: {problem}")
    model = registry.loader(registry.ngrams.get(config.ngrams["name"]))(record.path / "model")
    tokens = tokenize(text, model.tokenizer, Progress(), device.machine(device="cpu"))
    _, held = tokens.split(config.corpus.holdout)
    return len(held), model.evaluate(tokens, held, lambda: None)
