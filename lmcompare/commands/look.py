"""Look around: what has a name, what a config comes to, what this machine can do."""

from pathlib import Path
from typing import Annotated

import typer

from lmcompare import console
from lmcompare.commands.options import (
    Data,
    Json,
    Offline,
    Sets,
    app,
)
from lmcompare.console import progress, show

cache_app = typer.Typer(help="What is computed once and used again: features and tokenized corpora.")
app.add_typer(cache_app, name="cache")


@app.command("ls")
def ls(
    room: Annotated[str, typer.Argument(help="tasks, backends, configs, runs, ...; none: the rooms.")] = "",
    data: Data = None,
    json_: Json = False,
) -> None:
    """List what has a name: tasks, backends, objectives, readers, metrics, configs, runs.

    lmc ls tasks --data glue/
    """
    from lmcompare.experiments.show import listing
    from lmcompare.report.text import table_lines

    show(listing(room, data), table_lines, json_)


@app.command("show")
def show_config(
    name: Annotated[str, typer.Argument(help="A preset, a TOML file, a run, or a task.")],
    backend: Annotated[
        str, typer.Option("--backend", help="Of a task: show an example as this family of models sees it.")
    ] = "",
    model: Annotated[
        str, typer.Option("--model", help="Of a task: show an example as this model cuts it into pieces.")
    ] = "",
    set_: Sets = [],  # noqa: B006
    data: Data = None,
    json_: Json = False,
) -> None:
    """Print a config in full, its parameter count, and one example as the model will see it.

    lmc show bert-tiny
    lmc show micro.entailment --backend gpt
    """
    from lmcompare.experiments.show import describe
    from lmcompare.report.text import description_lines

    show(describe(name, set_, data, backend=backend, model=model), description_lines, json_)


@app.command()
def doctor(data: Data = None, offline: Offline = False, json_: Json = False) -> None:
    """Check this machine: versions, device, data, hub, disk.

    lmc doctor --data glue/
    """
    from lmcompare.experiments.doctor import examine
    from lmcompare.report.text import doctor_lines

    console.set_offline(offline)
    show(examine(data), doctor_lines, json_)


@app.command()
def bench(
    what: Annotated[
        list[str],
        typer.Argument(
            help="pretrain, finetune, base-128, base-512 (for a GPU), gpt-pretrain, gpt-finetune, "
            "gpt-finetune-pairs; default: all that suit the machine."
        ),
    ] = [],  # noqa: B006
    repeats: Annotated[int, typer.Option(min=1, help="Timed steps a side.")] = 5,
    out: Annotated[Path | None, typer.Option("--out", help="Write the JSON here, too.")] = None,
    json_: Json = False,
) -> None:
    """How fast is this machine, beside the ordinary way? Ours and transformers' step by step in turn.

    lmc bench pretrain --repeats 9 --out bench.json
    """
    from lmcompare.experiments.bench import measure
    from lmcompare.report.text import bench_lines

    result = measure(what, repeats=repeats, note=progress("bench").note)
    if out:
        from lmcompare import files

        out.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(out, result)
    show(result, bench_lines, json_)


@cache_app.command("ls")
def cache_ls(json_: Json = False) -> None:
    """List the cache's entries and their sizes.

    lmc cache ls --json
    """
    from lmcompare import cache
    from lmcompare.report.text import cache_lines

    show(cache.listing(), cache_lines, json_)


@cache_app.command("rm")
def cache_rm(
    names: Annotated[
        list[str], typer.Argument(help='Entries, a room ("features", "tokens", "instances"), or "all".')
    ],
    json_: Json = False,
) -> None:
    """Remove entries; they are computed again when they are needed.

    lmc cache rm features
    """
    from lmcompare import cache
    from lmcompare.report.text import cache_lines

    show(cache.remove(names), cache_lines, json_)
