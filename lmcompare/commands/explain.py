"""Say what made a number, and in what two runs differ."""

from typing import Annotated

import typer

from lmcompare import console
from lmcompare.commands.options import Data, Json, Offline, app
from lmcompare.console import show


@app.command()
def explain(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN [RUN]", help="A run; or two, to see what differs.")
    ],
    data: Data = None,
    offline: Offline = False,
    json_: Json = False,
) -> None:
    """Say everything that made a run's number; or what differs between two runs, and whether that makes theirs.

    lmc explain runs/finetune-bert-micro.sentiment-s1-0123abcd
    lmc explain runs/my-cola-s1 runs/my-cola-s2
    """
    from lmcompare.errors import UserError
    from lmcompare.report.explained import differing_lines, explained_lines

    if len(runs) > 2:
        raise UserError(f"explain: one run, or two; {len(runs)} are for `lmc compare`")
    console.set_offline(offline)
    if len(runs) == 1:
        from lmcompare.experiments.explain import explain as experiment

        show(experiment(runs[0], data), explained_lines, json_)
        return
    from lmcompare.experiments.what_differs import what_differs

    show(what_differs(*runs), differing_lines, json_)
