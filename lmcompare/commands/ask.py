"""Ask finished runs again: their figures on a split, another task with the same labels, files to hand in."""

from pathlib import Path
from typing import Annotated

import typer

from lmcompare import console
from lmcompare.commands.options import Data, Json, Offline, app
from lmcompare.console import show

Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...",
        help="A finished run; several with --submission; with --zero-shot also a folder, or a hub id.",
    ),
]
Split = Annotated[str | None, typer.Option(help="Default: the split that tables report.")]
Task = Annotated[
    str,
    typer.Option("--task", help="Another task than the run's, whose labels it knows; see `lmc ls tasks`."),
]
Submission = Annotated[
    Path | None,
    typer.Option(
        "--submission",
        help="Write the answers as GLUE's server takes them (.zip), or SQuAD's (.json). Of what is there already, "
        "that which the runs answer is replaced and the zip's other tables stay; FILE.json beside it says which run "
        "and model each is of.",
    ),
]
ZeroShot = Annotated[
    bool,
    typer.Option("--zero-shot", help="Ask a bare language model, which was taught no task, for a --task."),
]
Family = Annotated[
    str, typer.Option("--backend", help="With --zero-shot: the model's family; default: what its files say.")
]


@app.command("eval")
def eval_(
    runs: Runs,
    split: Split = None,
    task: Task = "",
    submission: Submission = None,
    zero_shot: ZeroShot = False,
    backend: Family = "",
    data: Data = None,
    offline: Offline = False,
    json_: Json = False,
) -> None:
    """Answer a split again with the weights of a finished run; or a task that the model was never taught.

    lmc eval runs/finetune-bert-micro.sentiment-s1-0123abcd --split dev
    lmc eval runs/my-mnli --task ax
    lmc eval runs/my-cola runs/my-mnli --split test --submission glue.zip
    lmc eval runs/my-gpt --zero-shot --task micro.acceptability
    """
    from lmcompare.errors import UserError
    from lmcompare.report.text import evaluation_lines, submission_lines

    if zero_shot and (not task or submission or len(runs) > 1):
        raise UserError("eval: --zero-shot needs a --task and one model, and hands nothing in")
    if backend and not zero_shot:
        raise UserError("eval: --backend goes with --zero-shot alone: a finished run knows its own")
    if len(runs) > 1 and not submission:
        raise UserError("eval: several runs answer together only for a --submission; give one")
    console.set_offline(offline)
    if submission:
        from lmcompare.experiments.submission import submit

        show(
            submit([Path(run) for run in runs], submission, split, task=task, data=data),
            submission_lines,
            json_,
        )
    elif zero_shot:
        from lmcompare.experiments.zero_shot import zero_shot as experiment

        show(experiment(runs[0], task, split, backend=backend, data=data), evaluation_lines, json_)
    else:
        from lmcompare.experiments.evaluate import evaluate

        show(evaluate(Path(runs[0]), split, data=data, task=task), evaluation_lines, json_)
