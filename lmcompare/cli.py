"""The command line: parse, call one experiment, print. No science here, and nothing heavy is imported at the top."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from lmcompare import __version__, console
from lmcompare.console import progress, show, show_comparison

app = typer.Typer(
    name="lmc",
    help="What does pretraining buy, and how should it be transferred?",
    epilog="Start with `lmc demo`. Every result can be had with --json. Runs are kept in runs/ (or LMC_RUNS).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
cache_app = typer.Typer(
    help="What is computed once and used again: features and tokenized corpora."
)
app.add_typer(cache_app, name="cache")

Backend = Annotated[str, typer.Argument(help="Family of models; see `lmc ls backends`.")]
Config = Annotated[
    str, typer.Option("--config", help="Preset (see `lmc ls configs`) or TOML file.")
]
Sets = Annotated[list[str], typer.Option("--set", metavar="A.B=C", help="Change one setting.")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder; default: a name in runs/.")]
Data = Annotated[
    Path | None, typer.Option("--data", help="Folder of local data; default: LMC_DATA.")
]
Task = Annotated[str, typer.Option("--task", help="See `lmc ls tasks`.")]
Model = Annotated[str, typer.Option("--model", help="A run, a folder, or a hub id.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Initial weights and order of the data.")]
Nproc = Annotated[int, typer.Option("--nproc", min=1, help="Processes on this machine.")]
Force = Annotated[bool, typer.Option("--force", help="Make the run again from nothing.")]
Change = Annotated[
    bool, typer.Option("--allow-change", help="Go on although config, data or model changed.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never ask the hub.")]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    if debug:
        os.environ["LMC_DEBUG"] = "1"
    if version:
        print(__version__)
        raise typer.Exit


@app.command()
def pretrain(
    backend: Backend,
    corpus: Annotated[str, typer.Option(help='Text file, folder, or "micro".')] = "",
    config: Config = "",
    set_: Sets = [],  # noqa: B006
    seed: Seed = None,
    out: Out = None,
    nproc: Nproc = 1,
    force: Force = False,
    allow_change: Change = False,
    json_: Json = False,
) -> None:
    """Learn an encoder from unlabelled text.

    lmc pretrain bert --corpus books/ --config bert-mini --set training.steps=20000
    """
    from lmcompare import config as configs

    over: dict[str, Any] = {"backend": {"name": backend}}
    if corpus:
        over["corpus"] = {"path": corpus}
    table = compose("pretrain", config or f"{backend}-tiny", over, set_, seed)
    settings = configs.resolve(configs.Pretrain, table)
    console.spread(nproc)
    from lmcompare.experiments.pretrain import pretrain as experiment

    kept: dict[str, Any] = {"out": out, "force": force, "allow_change": allow_change}
    console.show_run(experiment(settings, progress=progress("pretrain"), **kept), json_)


@app.command()
def finetune(
    backend: Backend,
    task: Task,
    model: Model,
    config: Config = "",
    set_: Sets = [],  # noqa: B006
    random: Annotated[
        bool, typer.Option("--random", help="Draw fresh weights: the control.")
    ] = False,
    seed: Seed = None,
    data: Data = None,
    out: Out = None,
    nproc: Nproc = 1,
    force: Force = False,
    allow_change: Change = False,
    offline: Offline = False,
    json_: Json = False,
) -> None:
    """Train all weights of a pretrained encoder on a task.

    lmc finetune bert --task micro.sentiment --model runs/my-bert --config bert-micro
    """
    over: dict[str, Any] = {"weights": "random"} if random else {}
    table = compose("finetune", config or backend, over | {"backend": backend}, set_, seed)
    kept: dict[str, Any] = {"out": out, "force": force, "allow_change": allow_change}
    transfer(table, task, model, nproc, offline, json_, data=data, **kept)


@app.command()
def features(
    backend: Backend,
    task: Task,
    model: Model,
    config: Config = "",
    set_: Sets = [],  # noqa: B006
    seed: Seed = None,
    data: Data = None,
    out: Out = None,
    nproc: Nproc = 1,
    force: Force = False,
    allow_change: Change = False,
    offline: Offline = False,
    json_: Json = False,
) -> None:
    """Train a reader on the frozen layers of an encoder.

    lmc features bert --task sst2 --model runs/my-bert --set transfer.reader.hidden=128
    """
    table = compose("features", config or backend, {"backend": backend}, set_, seed)
    kept: dict[str, Any] = {"out": out, "force": force, "allow_change": allow_change}
    transfer(table, task, model, nproc, offline, json_, data=data, **kept)


def compose(
    room: str, name: str, over: dict[str, Any], set_: list[str], seed: int | None
) -> dict[str, Any]:
    """A preset, what the command line's own options say, and then every --set."""
    from lmcompare import config as configs

    table = configs.merge(configs.read_table(name, room), over)
    return configs.assign(table if seed is None else table | {"seed": seed}, set_)


def transfer(
    table: dict[str, Any],
    task: str,
    model: str,
    nproc: int,
    offline: bool,
    json_: bool,
    **kept: Any,
) -> None:
    """The two ways of using an encoder differ by their config alone."""
    from lmcompare import config as configs

    console.set_offline(offline)
    table = configs.merge({"task": {"name": task}, "model": model}, table)
    settings = configs.resolve(configs.Transfer, table)
    console.spread(nproc)
    from lmcompare.experiments.transfer import transfer as experiment

    console.show_run(experiment(settings, progress=progress(task), **kept), json_)


@app.command()
def baseline(
    name: Annotated[str, typer.Argument(help="See `lmc ls baselines`.")],
    task: Task,
    set_: Sets = [],  # noqa: B006
    seed: Seed = None,
    data: Data = None,
    out: Out = None,
    force: Force = False,
    allow_change: Change = False,
    json_: Json = False,
) -> None:
    """Train a classic model on a task: the honest floor.

    lmc baseline bow --task micro.sentiment
    """
    from lmcompare import config as configs

    table = configs.assign({"baseline": {"name": name}, "task": {"name": task}}, set_)
    settings = configs.resolve(configs.Baseline, table if seed is None else table | {"seed": seed})
    from lmcompare.experiments.baseline import baseline as experiment

    kept: dict[str, Any] = {"out": out, "force": force, "allow_change": allow_change}
    console.show_run(experiment(settings, progress=progress(task), data=data, **kept), json_)


@app.command("eval")
def eval_(
    run: Annotated[Path, typer.Argument(help="A finished run.")],
    split: Annotated[
        str | None, typer.Option(help="Default: the split that tables report.")
    ] = None,
    data: Data = None,
    json_: Json = False,
) -> None:
    """Answer a split again with the weights of a finished run.

    lmc eval runs/finetune-bert-micro.sentiment-s1-0123abcd --split dev
    """
    from lmcompare.experiments.evaluate import evaluate
    from lmcompare.report.text import evaluation_lines

    show(evaluate(run, split, data=data), evaluation_lines, json_)


@app.command()
def compare(
    what: Annotated[
        list[str], typer.Argument(metavar="RUN... | STUDY", help="Runs, or one study.")
    ],
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


@app.command("ls")
def ls(
    room: Annotated[
        str, typer.Argument(help="tasks, backends, configs, runs, ...; none: the rooms.")
    ] = "",
    json_: Json = False,
) -> None:
    """List what has a name: tasks, backends, objectives, readers, metrics, configs, runs.

    lmc ls tasks
    """
    from lmcompare.experiments.show import listing
    from lmcompare.report.text import table_lines

    show(listing(room), table_lines, json_)


@app.command("show")
def show_config(
    name: Annotated[str, typer.Argument(help="A preset, a TOML file, a run, or a task.")],
    set_: Sets = [],  # noqa: B006
    data: Data = None,
    json_: Json = False,
) -> None:
    """Print a config in full, its parameter count, and one example as the model will see it.

    lmc show bert-tiny
    lmc show micro.entailment
    """
    from lmcompare.experiments.show import describe
    from lmcompare.report.text import description_lines

    show(describe(name, set_, data), description_lines, json_)


@app.command()
def doctor(data: Data = None, offline: Offline = False, json_: Json = False) -> None:
    """Check this machine: versions, device, data, hub, disk."""
    from lmcompare.experiments.doctor import examine
    from lmcompare.report.text import doctor_lines

    console.set_offline(offline)
    show(examine(data), doctor_lines, json_)


@app.command()
def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer tasks, one seed, under two minutes.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Folder; default: runs/demo.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; default: cores.")] = None,
    force: Force = False,
    json_: Json = False,
) -> None:
    """The whole story on the embedded suite: pretrain, transfer both ways, compare, report."""
    from lmcompare.experiments import compare as experiment

    comparison, page = experiment.demo(
        quick=quick, out=out, jobs=jobs, force=force, note=progress("demo").note
    )
    show_comparison(comparison, page, json_)


@app.command()
def bench(
    what: Annotated[list[str], typer.Argument(help="pretrain, finetune; default: both.")] = [],  # noqa: B006
    repeats: Annotated[int, typer.Option(min=1, help="Timed steps a side.")] = 5,
    out: Annotated[Path | None, typer.Option("--out", help="Write the JSON here, too.")] = None,
    json_: Json = False,
) -> None:
    """How fast is this machine, beside the ordinary way? Ours and transformers' step by step in turn."""
    from lmcompare.experiments.bench import measure
    from lmcompare.report.text import bench_lines

    result = measure(what, repeats=repeats, note=progress("bench").note)
    if out:
        from lmcompare import files

        files.write_json(out, result)
    show(result, bench_lines, json_)


@cache_app.command("ls")
def cache_ls(json_: Json = False) -> None:
    """List the cache's entries and their sizes."""
    from lmcompare import cache
    from lmcompare.report.text import cache_lines

    show(cache.listing(), cache_lines, json_)


@cache_app.command("rm")
def cache_rm(
    names: Annotated[
        list[str], typer.Argument(help='Entries, a room ("features", "tokens"), or "all".')
    ],
    json_: Json = False,
) -> None:
    """Remove entries; they are computed again when they are needed."""
    from lmcompare import cache
    from lmcompare.report.text import cache_lines

    show(cache.remove(names), cache_lines, json_)


def main() -> None:
    """The `lmc` command."""
    console.guarded(app)
