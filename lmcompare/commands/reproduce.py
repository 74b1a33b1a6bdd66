"""A published table beside ours."""

from pathlib import Path
from typing import Annotated

import typer

from lmcompare import console
from lmcompare.commands.options import Data, Json, Offline, Sets, app
from lmcompare.console import complain, progress, show
from lmcompare.errors import EXIT_BUG


@app.command()
def reproduce(
    table: Annotated[str, typer.Argument(metavar="[TABLE]", help="None: all that there are.")] = "",
    micro: Annotated[
        bool, typer.Option("--micro", help="On the embedded suite, in minutes: do the table's claims hold?")
    ] = False,
    of: Annotated[Path | None, typer.Option("--of", help="The folder of a finished study.")] = None,
    model: Annotated[str, typer.Option("--model", help="A run, a folder, or a hub id.")] = "",
    set_: Sets = [],  # noqa: B006
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; default: cores.")] = None,
    executor: Annotated[str, typer.Option("--executor", help="Where; see `lmc ls executors`.")] = "",
    address: Annotated[str, typer.Option("--address", help="Of a Ray cluster.")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 unless all of it holds.")] = False,
    data: Data = None,
    offline: Offline = False,
    json_: Json = False,
) -> None:
    """Make a paper's table here, and say of each figure and each claim whether it holds. At full size that takes the
    data, the model and a GPU.

    lmc reproduce bert-table7 --micro
    """
    from lmcompare.experiments import reproduce as experiment
    from lmcompare.report.reproduced import reproduced_lines, table_lines

    console.set_offline(offline)
    if not table:
        show(experiment.tables(), table_lines, json_)
        return
    found = experiment.reproduce(
        table,
        micro=micro,
        of=of,
        model=model,
        assignments=set_,
        jobs=jobs,
        executor=executor,
        address=address,
        data=data,
        note=progress(table).note,
    )
    show(found, reproduced_lines, json_)
    if found["failed"]:
        raise SystemExit(complain(f"{len(found['failed'])} of the runs failed", EXIT_BUG))
    verdicts = [one["verdict"] for one in (*found["cells"], *found["claims"])]
    if strict and (bad := len(verdicts) - verdicts.count("pass") - verdicts.count("holds")):
        raise SystemExit(complain(f"{bad} of {len(verdicts)} do not hold here", EXIT_BUG))
