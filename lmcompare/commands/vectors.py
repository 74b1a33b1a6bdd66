"""Look at what an encoder makes of words: all their vectors in a file, or the nearest uses of one; and write a model in
another layout."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lmcompare import console
from lmcompare.commands.options import Data, Json, Offline, app
from lmcompare.console import progress, show
from lmcompare.errors import Stopped

Model = Annotated[str, typer.Argument(help="A run, a folder, or a hub id.")]
Family = Annotated[str, typer.Option("--backend", help="Family of the model; default: what its files say.")]


class Pieces(StrEnum):
    first = "first"
    mean = "mean"
    last = "last"


@app.command()
def extract(
    model: Model,
    text: Annotated[Path, typer.Option(help="A sentence a line, its words apart by blanks.")],
    out: Annotated[Path, typer.Option(help="The file to write: .hdf5 as ELMo's authors do, .npz or .arrow.")],
    backend: Family = "",
    split: Annotated[bool, typer.Option("--split", help="Split the lines into words by our rules.")] = False,
    layers: Annotated[str, typer.Option(help="all, or numbers: 0 the words, -1 the top, as in 0,2.")] = "all",
    pieces: Annotated[
        Pieces | None,
        typer.Option(
            help="Of a word in pieces: the first, the mean, or the last. Default: first; last where the model reads "
            "from the left."
        ),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="16 bits a number.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="Lines at a time.")] = 32,
    stateful: Annotated[
        bool,
        typer.Option(
            "--stateful", help="ELMo: states go on from line i to line i + batch, as in the original."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over the file.")] = False,
    offline: Offline = False,
    json_: Json = False,
) -> None:
    """Write the vectors of every word and layer of a text.

    lmc extract runs/my-elmo --text sentences.txt --out vectors.hdf5
    """
    from lmcompare.report.text import extract_lines

    console.set_offline(offline)
    from lmcompare.experiments.extract import extract as experiment

    how: dict[str, Any] = {
        "layers": layers,
        "pieces": pieces and pieces.value,
        "half": half,
        "batch": batch,
        "stateful": stateful,
    }
    try:
        result = experiment(
            model, text, out, backend=backend, split=split, force=force, progress=progress("extract"), **how
        )
    except Stopped as stop:
        raise SystemExit(console.complain(f"{stop}; nothing was written", stop.status)) from None
    show(result, extract_lines, json_)


@app.command()
def neighbors(
    model: Model,
    word: Annotated[str, typer.Option(help="The word.")],
    context: Annotated[str, typer.Option(help="A sentence that holds it.")],
    nth: Annotated[int, typer.Option(min=1, help="Which, where the sentence holds it more than once.")] = 1,
    corpus: Annotated[
        str, typer.Option(help='Where to look: text file, folder, or "micro". Default: the run\'s.')
    ] = "",
    sentences: Annotated[
        int, typer.Option(min=1, help="So many sentences with the word are compared.")
    ] = 2000,
    top: Annotated[int, typer.Option(min=1, help="So many neighbors are shown.")] = 10,
    layer: Annotated[str, typer.Option(help="top, mix (the mean of all), or a number.")] = "top",
    backend: Family = "",
    seed: Annotated[int, typer.Option(min=0, help="Which sentences are drawn.")] = 1,
    data: Data = None,
    offline: Offline = False,
    json_: Json = False,
) -> None:
    """Find the uses of a word that are nearest to the one in a sentence, and its nearest words beside them.

    lmc neighbors runs/my-elmo --word play --context "they saw the play at the theater" --corpus books/
    """
    from lmcompare.report.text import neighbors_lines

    console.set_offline(offline)
    from lmcompare.experiments.neighbors import neighbors as experiment

    where: dict[str, Any] = {
        "corpus": corpus,
        "sentences": sentences,
        "seed": seed,
        "backend": backend,
        "data": data,
    }
    try:
        result = experiment(
            model,
            word=word,
            context=context,
            nth=nth,
            top=top,
            layer=layer,
            progress=progress("neighbors"),
            **where,
        )
    except Stopped as stop:
        raise SystemExit(console.complain(str(stop), stop.status)) from None
    show(result, neighbors_lines, json_)


class Layout(StrEnum):
    release = "release"
    own = "own"


@app.command()
def convert(
    model: Model,
    out: Annotated[Path, typer.Option(help="The folder to make.")],
    to: Annotated[
        Layout, typer.Option(help="release: options.json and HDF5. own: config.json and safetensors.")
    ] = Layout.release,
    json_: Json = False,
) -> None:
    """Write an ELMo in its authors' layout, or theirs in ours; every weight stays the same bit for bit.

    lmc convert runs/my-elmo --to release --out my-elmo-hdf5
    """
    from lmcompare.experiments.convert import convert as experiment
    from lmcompare.report.text import convert_lines

    show(experiment(model, to.value, out), convert_lines, json_)
