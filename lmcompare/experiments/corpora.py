"""What a run reads: its corpus, the vocabulary learned from it, and its token ids, kept for the next run."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcompare import cache, device, files, registry, signals, workers
from lmcompare.config import Corpus, Counted, Pretrain, Table, fingerprint
from lmcompare.errors import DataError, UserError
from lmcompare.experiments import hub_corpus
from lmcompare.experiments.task_data import read_task
from lmcompare.progress import Progress, clock
from lmcompare.text import corpus, shards, spread
from lmcompare.text.material import Material
from lmcompare.text.words import SPECIALS


@dataclass(frozen=True)
class Source:
    """An unlabelled corpus: a way to read it again and again, and its content's hash."""

    name: str
    documents: Callable[[], Iterator[list[str]]]
    hash: str
    world: Any = None  # the micro suite's generator, which knows what is hidden in its text
    # The same, not yet cut into sentences.
    raw: Callable[[corpus.Read], Iterator[corpus.Document]] | None = None
    size: int = 0  # bytes that `raw` reads, where that is known
    workers: int = 1  # processes that cut and tokenize it

    def stream(self, read: corpus.Read) -> Iterator[corpus.Document]:
        return self.raw(read) if self.raw else iter(self.documents())


def source(settings: Corpus, data: Path | None = None) -> Source:
    if not settings.path:
        raise UserError("corpus.path: no corpus given; use --corpus PATH, or --corpus micro")
    if settings.path.startswith("task:"):
        return task_texts(settings.path.removeprefix("task:"), data)
    many = settings.workers or workers.cores()
    if settings.path == "micro":
        from lmcompare import micro

        world = micro.world(settings.world)
        digest = f"micro-{files.code_hash(Path(micro.__file__).parent)}-{settings.world}-{settings.documents}"
        return Source("micro", lambda: world.documents(settings.documents), digest, world, workers=many)
    path, field = Path(settings.path), settings.field
    if not path.exists() and hub_corpus.is_id(settings.path):
        table = hub_corpus.load(settings.path, settings.split)
        return Source(
            hub_corpus.short(settings.path),
            lambda: corpus.cut(hub_corpus.texts(table, settings.path, field)),
            hub_corpus.identity(table, settings.path, settings.split, field),
            raw=lambda read: hub_corpus.texts(table, settings.path, field, read),
            size=table.data.nbytes,
            workers=many,
        )
    digest = corpus.fingerprint(path) + (f"-{field}" if field != "text" else "")
    return Source(
        path.name.partition(".")[0],
        lambda: corpus.documents(path, field=field),
        digest,
        raw=lambda read: corpus.raw(path, field=field, read=read),
        size=sum(map(corpus.size, corpus.parts(path))),
        workers=many,
    )


def task_texts(name: str, data: Path | None) -> Source:
    """A task's training texts without their labels, each example a document."""
    found = read_task({"name": name}, data)
    documents = [
        [text for text in (*e.texts, *e.options, " ".join(e.words)) if text.strip()]
        for e in found.splits["train"]
    ]
    return Source(name, lambda: iter([d for d in documents if d]), f"texts-{found.hash}")


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
        learned = start.tokenizer.extended(sentences(text, progress)) if start else None
        learned = learned or registry.tokenizers.build(config.tokenizer, sentences(text, progress))
        with files.new_folder(folder) as partial:
            learned.save(partial)
    machine.wait()
    return registry.loader(kind)(folder)


def vocabulary(tokenizer: Table) -> dict[str, str]:
    """What a run's identity says of a vocabulary that it is given by its path: what is in it, whatever its name."""
    if not tokenizer.get("path"):
        return {}
    return {"vocabulary": registry.tokenizers.build(tokenizer, iter(())).fingerprint}


def vocabulary_of(config: Pretrain, start: Any = None, asked: Table | None = None) -> Table:
    """What a config says of its vocabulary, where one is there already with what is in that. A model that is gone on
    from, `start`, keeps its own: `asked`, what the command line says of it, must not want another."""
    table, words = config.tokenizer, start and start.tokenizer
    given = registry.tokenizers.build(table, iter(())) if table.get("path") else None
    size = getattr(words, "vocabulary", words.size) if start else 0
    # The released ELMo comes without the words that it predicted, only with their markers: it learns them here.
    if size <= len(SPECIALS):
        return table | ({"size": given.size} if given else {})
    if not isinstance(words, registry.annotations(registry.tokenizers.get(table["name"]))["return"]):
        raise UserError(
            f"tokenizer.name: {table['name']!r} is not how {config.model} cuts words; leave it out"
        )
    if given and given.fingerprint != words.fingerprint:
        raise UserError(
            f"tokenizer.path: {table['path']} is not the vocabulary of {config.model}, which keeps its own; leave it "
            "out"
        )
    has = {"name": table["name"], "size": size, "lowercase": words.lowercase}
    for key in sorted((asked or {}).keys() - {"path"}):
        if has.get(key) != (asked or {})[key]:
            told = f", where it is {has[key]!r}" if key in has else ""
            raise UserError(f"tokenizer.{key}: {config.model} keeps its own vocabulary{told}; leave it out")
    return registry.tokenizers.check(has, "tokenizer")


def sentences(text: Source, progress: Progress) -> Iterator[str]:
    """Every sentence of a corpus, to learn its words from."""
    found = False
    with (
        reading(text, progress, "learning the vocabulary") as (documents, seen),
        spread.ordered(
            corpus.blocks(documents, signals.check),
            corpus.splitter(),
            lambda: ("lmcompare.text.corpus:splitter", {}),
            workers=text.workers,
            check=signals.check,
        ) as answers,
    ):
        for _, answer in answers:
            cut = json.loads(answer)
            found = found or bool(cut)
            yield from cut
            seen(0)
    if not found:
        raise DataError(f"{text.name}: no sentence in this corpus; is it the right file or folder?")


@contextlib.contextmanager
def reading(
    text: Source, progress: Progress, what: str
) -> Iterator[tuple[Iterator[corpus.Document], Callable[[int], None]]]:
    """The corpus from its beginning, and whom to tell when tokens of it are done. Where it is known how large it is,
    the progress counts megabytes of its files."""
    progress.note(what)
    place, first, begun, total = 0, None, 0.0, -(-text.size >> 20)

    def read(size: int) -> None:
        nonlocal place
        place = size

    def seen(tokens: int) -> None:
        nonlocal first, begun
        done = min(place >> 20, total - 1)
        if total > 1 and first is None:  # what an earlier call had done has only been skipped
            first, begun = done, time.monotonic()
            progress.start(total, done)
        if total > 1:
            progress.update(done, tokens=tokens)

    try:
        yield text.stream(read), seen
        if first is not None:
            took = time.monotonic() - begun
            progress.note(
                f"{what}: {total:,} MB in {clock(took)}, {(total - first) / max(took, 0.1):.1f} MB/s"
            )
    finally:
        progress.stop()


def material(
    tokens: shards.Shards, config: Pretrain, text: Source, tokenizer: Any, progress: Progress
) -> Material:
    """The tokenized corpus as an objective takes it; what is cut from it is kept for the next run, too."""
    return Material(
        tokens,
        config.corpus.holdout,
        config.order_seed,
        folder=cache.root() / "instances" / known_as(text, tokenizer),
        workers=text.workers,
        check=signals.check,
        note=progress.note,
    )


def known_as(text: Source, tokenizer: Any) -> str:
    """A corpus in the pieces of a tokenizer."""
    return f"{text.name}-{fingerprint({'text': text.hash, 'tokenizer': tokenizer.fingerprint})}"


def tokenize(text: Source, tokenizer: Any, progress: Progress, machine: device.Machine) -> shards.Shards:
    """The corpus as token ids, kept in the cache for the next run over the same text."""
    folder = cache.root() / "tokens" / known_as(text, tokenizer)
    if machine.main:
        with reading(text, progress, "tokenizing the corpus") as (documents, seen):
            many, note = text.workers, progress.note
            shards.build(documents, tokenizer, folder, signals.check, workers=many, note=note, seen=seen)
    machine.wait()
    return shards.read(folder)
