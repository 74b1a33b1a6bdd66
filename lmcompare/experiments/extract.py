"""`lmc extract`: a vector for every word and layer of a text, in one file."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lmcompare import device, models, signals, vector_files
from lmcompare.errors import DataError, UserError
from lmcompare.progress import Progress
from lmcompare.text.lines import lines as lines_of
from lmcompare.text.words import WORD
from lmcompare.word_vectors import BATCH, Pieces, WordVectors

Line = tuple[str, list[str]]  # as it stands in the file, and its words


def extract(
    model: str,
    text: Path,
    out: Path,
    *,
    backend: str = "",
    split: bool = False,
    layers: str = "all",
    pieces: Pieces | None = None,
    half: bool = False,
    batch: int = BATCH,
    stateful: bool = False,
    force: bool = False,
    progress: Progress,
) -> dict[str, Any]:
    """The main path: lines of words in, a file of vectors out, which is whole or not there."""
    began = time.monotonic()
    vector_files.format_of(out)
    dtype = np.dtype(np.float16 if half else np.float32)
    vacant(out, text, force)
    with signals.watched():
        total, size = count(text, split)  # and the whole file is known to be text before anything is computed
        family = backend or models.family(model)
        loaded = models.load(family, model)
        loaded.encoder.to(device.machine("float32").device).eval()
        vectors = WordVectors(loaded, pieces=pieces, layers=chosen(layers, loaded.depth))
        if stateful:
            remember(loaded, family)
        facts = {"lines": total, "empty": 0, "words": 0}
        read, ahead = itertools.tee(sentences(text, split))
        words = (words for _, words in ahead)
        made = vectors.in_order(words, batch=batch) if stateful else vectors.stream(words, batch=batch)
        vector_files.room_for(out, size * len(vectors.layers) * loaded.width * dtype.itemsize)
        progress.start(total)
        try:
            with vector_files.written(out, dtype) as file:
                for done, ((line, found), x_LWD) in enumerate(zip(read, made, strict=True), start=1):
                    file.add(line, found, x_LWD)
                    facts["words"] += len(found)
                    facts["empty"] += not found
                    progress.update(done, tokens=len(found))
        finally:
            progress.stop()
    return {
        "model": model,
        "backend": family,
        "text": str(text),
        "out": str(out),
        **facts,
        "layers": vectors.layers,
        "width": loaded.width,
        "dtype": dtype.name,
        "pieces": vectors.pieces,
        "stateful": stateful,
        "windowed": vectors.windowed,
        "seconds": round(time.monotonic() - began, 3),
        "warnings": list(loaded.warnings),
    }


def count(text: Path, split: bool) -> tuple[int, int]:
    """Lines and words."""
    number = words = 0
    for number, (_, found) in enumerate(sentences(text, split), start=1):
        words += len(found)
        if number % 10_000 == 0:
            signals.check()
    if not number:
        raise DataError(f"{text}: empty; a sentence a line is expected")
    return number, words


def sentences(text: Path, split: bool) -> Iterator[Line]:
    """A sentence a line; its words stand apart already, or are split as ELMo's words are."""
    for _, line in lines_of(text):
        yield line.strip(), WORD.findall(line) if split else line.split()


def chosen(layers: str, depth: int) -> list[int]:
    """Numbers of layers, the word itself being layer 0; negative ones count from the top."""
    if layers == "all":
        return list(range(depth + 1))
    try:
        numbers = [int(part) for part in layers.split(",")]
    except ValueError:
        numbers = []
    if not numbers or any(not -depth - 1 <= n <= depth for n in numbers):
        raise UserError(
            f"--layers {layers!r}: give 'all', or numbers from {-depth - 1} to {depth} with commas; layer 0 is the "
            "word itself, -1 the top"
        )
    return [n % (depth + 1) for n in numbers]


def remember(backend: Any, family: str) -> None:
    """From here on each row of a batch begins with the state that the row before it ended with."""
    if getattr(backend.encoder, "stateful", None) is None:
        raise UserError(f"--stateful: {family!r} keeps no state from sentence to sentence; 'elmo' does")
    backend.encoder.forget()
    backend.encoder.stateful = True


def vacant(out: Path, text: Path, force: bool) -> None:
    """Refuse to write over anything that was not meant."""
    if out.is_dir():
        raise UserError(f"--out {out}: a folder; give the name of a file")
    if not out.exists():
        return
    if text.exists() and out.samefile(text):
        raise UserError(f"--out {out}: this is the text itself")
    if not force:
        raise UserError(f"--out {out}: is there already; --force writes it again")
