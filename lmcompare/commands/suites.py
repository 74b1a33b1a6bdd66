"""All tasks of a suite at once."""

from typing import Annotated

import typer

from lmcompare import console
from lmcompare.commands.options import Config, Data, Force, Json, Model, Offline, Out, Sets, app
from lmcompare.console import complain, progress, show
from lmcompare.errors import EXIT_BUG


@app.command("run-suite")
def run_suite(
    suite: Annotated[str, typer.Argument(help="glue, micro, or a TOML file; see `lmc ls configs`.")],
    backend: Annotated[str, typer.Option("--backend", help="Family of models; see `lmc ls backends`.")],
    mode: Annotated[str, typer.Option("--mode", help="finetune or features.")],
    model: Model,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many seeds a task, from 1 on.")] = 5,
    from_mnli: Annotated[
        bool, typer.Option("--from-mnli", help="MRPC, RTE and STS-B start from the suite's MNLI run.")
    ] = False,
    config: Config = "",
    set_: Sets = [],  # noqa: B006
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; default: cores.")] = None,
    data: Data = None,
    out: Out = None,
    force: Force = False,
    offline: Offline = False,
    json_: Json = False,
) -> None:
    """Make every run of a suite that is not there yet, and print its table and averages. A --set is said to all runs;
    one of by_task.TASK.x to a task's own.

    lmc run-suite glue --backend bert --mode finetune --model runs/my-bert --set by_task.rte.training.epochs=20
    """
    from lmcompare.experiments import suite as experiment
    from lmcompare.report.suite import suite_lines

    console.set_offline(offline)
    asked = experiment.Asked(
        suite=suite, backend=backend, mode=mode, model=model, seeds=seeds, config=config,
        assignments=tuple(set_), from_mnli=from_mnli,
    )  # fmt: skip
    found = experiment.run_suite(asked, data=data, out=out, jobs=jobs, force=force, note=progress(suite).note)
    show(found, suite_lines, json_)
    if found["failed"]:
        raise SystemExit(complain(f"{len(found['failed'])} of the runs failed", EXIT_BUG))
