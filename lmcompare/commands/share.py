"""What leaves the tool: tables and figures as files, a model for others, the runs folder in a browser."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lmcompare import console
from lmcompare.commands.options import Json, Offline, app
from lmcompare.console import show

Tables = Annotated[
    Path | None, typer.Option("--tables", help="Folder for the tables: CSV, LaTeX (booktabs), Markdown.")
]
Figures = Annotated[
    Path | None, typer.Option("--figures", help="Folder for the page's figures as SVG files.")
]
Png = Annotated[bool, typer.Option("--png", help="With --figures: PNG too, by CairoSVG or Chromium.")]


def write(comparison: Any, tables: Path | None, figures: Path | None, png: bool) -> None:
    """The files that were asked for beside the page."""
    if tables:
        from lmcompare.report import tables as as_tables

        as_tables.write(comparison, tables)
    if figures:
        from lmcompare.report import drawn

        drawn.write(comparison, figures, png=png)


def check(figures: Path | None, png: bool) -> None:
    """What cannot be drawn is said before any run is made."""
    from lmcompare.errors import UserError

    if png and not figures:
        raise UserError("--png: a picture beside each figure; say where with --figures DIR")
    if png:
        from lmcompare.report import pictures

        pictures.maker()


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="A finished run on a task.")],
    to: Annotated[str, typer.Option("--to", help="A folder, or hub:owner/name.")],
    with_: Annotated[
        list[str],
        typer.Option("--with", metavar="RUN", help="The same with another seed, for the card's figures."),
    ] = [],  # noqa: B006
    public: Annotated[
        bool, typer.Option("--public", help="On the hub: for everybody. Default: private.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what an export wrote there before.")
    ] = False,
    offline: Offline = False,
    json_: Json = False,
) -> None:
    """Write a run as a folder that `transformers` loads, or `lmc` where it has no such head, with a model card.

    lmc export runs/my-cola --to my-cola-model
    lmc export runs/my-cola --with runs/my-cola-s2 --with runs/my-cola-s3 --to hub:me/my-cola
    """
    console.set_offline(offline)
    from lmcompare.experiments.export import export as experiment
    from lmcompare.report.card import export_lines

    show(experiment(run, to, beside=with_, public=public, force=force), export_lines, json_)


@app.command()
def serve(
    runs: Annotated[Path | None, typer.Argument(help="The folder with the runs; default: runs/.")] = None,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; default: this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8765,
    open_: Annotated[bool, typer.Option("--open", help="Open the browser, too.")] = False,
) -> None:
    """Show the runs folder in a browser while jobs run, with the reports of its studies. Ctrl-C ends it.

    lmc serve
    """
    from lmcompare import results
    from lmcompare.experiments.serve import serve as experiment

    folder = runs or results.root()

    def told(address: str, exposed: bool) -> None:
        console.say(f"{folder} at {address} (Ctrl-C ends it)")
        if exposed:
            console.say("note: everyone on the network who reaches this address can read these runs")
        if open_:
            import webbrowser

            webbrowser.open(address)

    experiment(folder, host=host, port=port, told=told)
