"""Arguments and options that more than one command takes."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="lmc",
    help="What does pretraining buy, and how should it be transferred?",
    epilog="Start with `lmc demo`. Results come as JSON with --json. Runs are kept in runs/ (or LMC_RUNS).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

Backend = Annotated[str, typer.Argument(help="Family of models; see `lmc ls backends`.")]
Config = Annotated[str, typer.Option("--config", help="Preset (see `lmc ls configs`) or TOML file.")]
Sets = Annotated[list[str], typer.Option("--set", metavar="A.B=C", help="Change one setting.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder; default: a name in runs/.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of local data; default: LMC_DATA.")]
Task = Annotated[str, typer.Option("--task", help="See `lmc ls tasks`; or a file of your own, or my.toml.")]
Text = Annotated[str, typer.Option("--text", help="Your own file: the column of the text.")]
Pair = Annotated[str, typer.Option("--pair", help="Your own file: the column of a second text.")]
Label = Annotated[str, typer.Option("--label", help="Your own file: the column of the label.")]
Kind = Annotated[str, typer.Option("--kind", help="Your own file: classify, score, choice, tags or span.")]
Model = Annotated[str, typer.Option("--model", help="A run, a folder, or a hub id.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Initial weights and order of the data.")]
Nproc = Annotated[int, typer.Option("--nproc", min=1, help="Processes on this machine.")]
Force = Annotated[bool, typer.Option("--force", help="Make the run again from nothing.")]
Change = Annotated[bool, typer.Option("--allow-change", help="Go on although config, data or model changed.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never ask the hub.")]


def of_file(text: str, pair: str, label: str, kind: str) -> list[str]:
    """What is said of a file of the user's own, as assignments like those of --set."""
    import json

    said = {"text": text, "pair": pair, "label": label, "kind": kind}
    return [f"task.{key}={json.dumps(value, ensure_ascii=False)}" for key, value in said.items() if value]
