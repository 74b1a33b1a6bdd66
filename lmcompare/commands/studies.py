"""Put runs side by side: compare, report, and the demo."""

from pathlib import Path
from typing import Annotated

import typer

from lmcompare.commands.options import (
    Data,
    Force,
    Json,
    Sets,
    app,
)
from lmcompare.console import progress, show_comparison


@app.command()
def compare(
    what: Annotated[list[str], typer.Argument(metavar="RUN... | STUDY", help="Runs, or one study.")],
    set_: Sets = [],  # noqa: B006
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; default: cores.")] = None,
    page: Annotated[Path | None, typer.Option(help="Write the report page here, too.")] = None,
    data: Data = None,
    json_: Json = False,
) -> None:
    """Compare finished runs, or make what a study lacks and compare that.

    lmc compare runs/finetune-* runs/features-*
    lmc compare configs/studies/demo.toml
    """
    from lmcompare.experiments import compare as experiment

    comparison = experiment.compare(what, set_, jobs=jobs, data=data, note=progress("compare").note)
    show_comparison(comparison, page, json_)


@app.command()
def report(
    runs: Annotated[list[str], typer.Argument(help="Runs; default: all in runs/.")] = [],  # noqa: B006
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("report.html"),
    json_: Json = False,
) -> None:
    """Write one self-contained HTML page about runs.

    lmc report runs/* --out report.html
    """
    from lmcompare.experiments import compare as experiment

    show_comparison(experiment.of_runs(runs), out, json_)


@app.command()
def demo(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer tasks, one seed, under two minutes.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Folder; default: runs/demo.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; default: cores.")] = None,
    force: Force = False,
    json_: Json = False,
) -> None:
    """The whole story on the embedded suite: pretrain, transfer both ways, compare, report.

    lmc demo --quick
    """
    from lmcompare.experiments import compare as experiment

    comparison, page = experiment.demo(
        quick=quick, out=out, jobs=jobs, force=force, note=progress("demo").note
    )
    show_comparison(comparison, page, json_)
