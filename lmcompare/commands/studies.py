"""Put runs side by side: compare, report, and the demo."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lmcompare.commands import share
from lmcompare.commands.options import (
    Data,
    Force,
    Json,
    Sets,
    app,
)
from lmcompare.console import progress, show, show_comparison


@app.command()
def compare(
    what: Annotated[list[str], typer.Argument(metavar="RUN... | STUDY", help="Runs, or one study.")],
    set_: Sets = [],  # noqa: B006
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; default: cores.")] = None,
    executor: Annotated[str, typer.Option("--executor", help="Where; see `lmc ls executors`.")] = "",
    address: Annotated[str, typer.Option("--address", help="Of a Ray cluster.")] = "",
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be made.")] = False,
    page: Annotated[Path | None, typer.Option(help="Write the report page here, too.")] = None,
    tables: share.Tables = None,
    figures: share.Figures = None,
    png: share.Png = False,
    data: Data = None,
    json_: Json = False,
) -> None:
    """Compare finished runs, or make what a study lacks and compare that.

    lmc compare runs/finetune-* runs/features-*
    lmc compare configs/studies/demo.toml --dry-run
    lmc compare demo --executor slurm --set executor.partition=long
    """
    from lmcompare.experiments import compare as experiment
    from lmcompare.experiments.disagreements import with_texts

    share.check(figures, png)
    how: dict[str, Any] = {"jobs": jobs, "executor": executor, "address": address}
    if dry:
        from lmcompare.report.plan import plan_lines

        return show(experiment.planned(what, set_, data=data, **how), plan_lines, json_)
    comparison = experiment.compare(what, set_, data=data, note=progress("compare").note, **how)
    share.write(comparison, tables, figures, png)
    if page:
        comparison = with_texts(comparison, data)
    show_comparison(comparison, page, json_)


@app.command()
def report(
    runs: Annotated[
        list[str], typer.Argument(metavar="[RUN... | STUDY]", help="Default: all in runs/.")
    ] = [],  # noqa: B006
    out: Annotated[Path, typer.Option("--out", help="The page to write.")] = Path("report.html"),
    tables: share.Tables = None,
    figures: share.Figures = None,
    png: share.Png = False,
    browse: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    data: Data = None,
    json_: Json = False,
) -> None:
    """Write one self-contained HTML page about runs, or about what there is of a study.

    lmc report runs/* --out report.html
    lmc report demo --open
    """
    from lmcompare.experiments import compare as experiment
    from lmcompare.experiments.disagreements import with_texts

    share.check(figures, png)
    comparison = experiment.of_runs(runs)
    share.write(comparison, tables, figures, png)
    show_comparison(with_texts(comparison, data), out, json_, browse=browse)


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
    from lmcompare.experiments.disagreements import with_texts

    comparison, page = experiment.demo(
        quick=quick, out=out, jobs=jobs, force=force, note=progress("demo").note
    )
    show_comparison(with_texts(comparison, None), page, json_)
