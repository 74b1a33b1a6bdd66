"""Make one run: pretrain, transfer both ways, baselines."""

from typing import Annotated, Any

import typer

from lmcompare import console
from lmcompare.commands.options import (
    Backend,
    Change,
    Config,
    Data,
    Force,
    Json,
    Kind,
    Label,
    Model,
    Nproc,
    Offline,
    Out,
    Pair,
    Seed,
    Sets,
    Task,
    Text,
    app,
    of_file,
)
from lmcompare.console import progress


@app.command()
def pretrain(
    backend: Backend,
    corpus: Annotated[str, typer.Option(help='Text file, folder, hub id, "micro", or "task:NAME".')] = "",
    config: Config = "",
    model: Annotated[str, typer.Option(help="A run or folder to go on from.")] = "",
    set_: Sets = [],  # noqa: B006
    seed: Seed = None,
    data: Data = None,
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
    from lmcompare import registry

    over: dict[str, Any] = {"backend": {"name": backend}}
    if corpus:
        over["corpus"] = {"path": corpus}
    if model:
        over["model"] = model
    registry.backends.get(backend)  # a family that nobody knows is named before its presets are looked for
    if not config and f"{backend}-tiny" not in configs.preset_names("pretrain"):
        registry.backends.build({"name": backend}, None)  # one that cannot be pretrained says why
    table = compose("pretrain", config or f"{backend}-tiny", over, set_, seed)
    settings = configs.resolve(configs.Pretrain, table)
    console.spread(nproc)
    from lmcompare.experiments.pretrain import pretrain as experiment

    kept: dict[str, Any] = {"out": out, "force": force, "allow_change": allow_change}
    kept["asked"] = configs.assign({}, set_).get("tokenizer")
    meter = progress("pretrain")
    console.show_run(experiment(settings, progress=meter, data=data, **kept), json_, meter)


@app.command()
def finetune(
    backend: Backend,
    model: Model,
    task: Annotated[
        list[str],
        typer.Option("--task", help="See `lmc ls tasks`; or a file. Several: one encoder, a head each."),
    ] = [],  # noqa: B006
    text: Text = "",
    pair: Pair = "",
    label: Label = "",
    kind: Kind = "",
    config: Config = "",
    set_: Sets = [],  # noqa: B006
    random: Annotated[bool, typer.Option("--random", help="Draw fresh weights: the control.")] = False,
    transfer_layers: Annotated[
        int | None, typer.Option(min=0, help="Keep so many pretrained layers; draw those above.")
    ] = None,
    seed: Seed = None,
    data: Data = None,
    out: Out = None,
    nproc: Nproc = 1,
    force: Force = False,
    allow_change: Change = False,
    offline: Offline = False,
    json_: Json = False,
) -> None:
    """Train all weights of a pretrained encoder on a task, or on several at once.

    lmc finetune bert --task micro.sentiment --model runs/my-bert --config bert-micro
    lmc finetune bert --task rte --task mrpc --task cola --model runs/my-bert --config bert-multitask
    lmc finetune bert --task reviews.csv --text review --label stars --model runs/my-bert
    lmc finetune bert --model runs/my-bert --config my-tasks.toml  # with [[tasks]]
    """
    set_ = [*of_file(text, pair, label, kind), *set_]
    over: dict[str, Any] = {"weights": "random"} if random else {}
    over |= {} if transfer_layers is None else {"transfer_layers": transfer_layers}
    over |= {"backend": backend, "model": model}
    table = with_tasks(compose("finetune", config or backend, over, set_, seed), task, set_)
    kept: dict[str, Any] = {"out": out, "force": force, "allow_change": allow_change}
    transfer(table, nproc, offline, json_, data=data, **kept)


@app.command()
def features(
    backend: Backend,
    task: Task,
    model: Model,
    text: Text = "",
    pair: Pair = "",
    label: Label = "",
    kind: Kind = "",
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
    set_ = [*of_file(text, pair, label, kind), *set_]
    over = {"backend": backend, "task": {"name": task}, "model": model}
    table = compose("features", config or backend, over, set_, seed)
    kept: dict[str, Any] = {"out": out, "force": force, "allow_change": allow_change}
    transfer(table, nproc, offline, json_, data=data, **kept)


def compose(room: str, name: str, over: dict[str, Any], set_: list[str], seed: int | None) -> dict[str, Any]:
    """A preset, what the command line's own options say, and then every --set."""
    from lmcompare import config as configs

    table = configs.merge(configs.read_table(name, room), over)
    return configs.assign(table if seed is None else table | {"seed": seed}, set_)


def with_tasks(table: dict[str, Any], names: list[str], set_: list[str]) -> dict[str, Any]:
    """A composed table over the tasks that --task names, else over all of the config's own. A [task] with the name of
    another says nothing; what it says otherwise, and every --set task.x, is said to each task that knows x."""
    from lmcompare import config as configs
    from lmcompare.errors import UserError

    said = configs.assign({}, set_).get("task", {})
    shared, listed = table.pop("task", {}), table.pop("tasks", [])
    if not isinstance(shared, dict) or not isinstance(listed, list) or not all(map(named, listed)):
        raise UserError("config: [task] is a table, and every [[tasks]] one with a name")
    if names and "name" in said:
        raise UserError(f"--set task.name: --task names {names[0]} already; leave one of the two out")
    own, said, shared = shared.get("name"), nameless(said), nameless(shared)
    known = [one["name"] for one in listed] or ([own] if own else [])
    if listed and (strange := [name for name in names if name not in known]):
        raise UserError(f"--task {strange[0]}: the config's own tasks are {', '.join(known)}")
    if own and own not in (names or known):
        shared = said
    chosen = [one for name in names for one in listed if one["name"] == name] if names else listed
    chosen = chosen or [{"name": name} for name in names or known]
    if not chosen:
        raise UserError("no task given; name one with --task, or several (see `lmc ls tasks`)")
    if len(chosen) == 1:
        return table | {"task": configs.merge(configs.merge(shared, chosen[0]), said)}
    return table | {"tasks": [each(one, shared, said, chosen) for one in chosen]}


def named(one: Any) -> bool:
    return isinstance(one, dict) and "name" in one


def nameless(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != "name"}


def each(
    one: dict[str, Any], shared: dict[str, Any], said: dict[str, Any], together: list[dict[str, Any]]
) -> dict[str, Any]:
    """One of several tasks with what it knows of that which is said to all; what none of them knows is a mistake."""
    from lmcompare import config as configs
    from lmcompare import registry
    from lmcompare.errors import UserError, unknown

    known = {task["name"]: registry.settings(registry.tasks.get(task["name"], "task")) for task in together}
    every = {key for settings in known.values() for key in settings}
    if strange := sorted(shared.keys() - every):
        raise UserError(unknown("key", strange[0], every, f"task ({', '.join(known)})"))
    base, over = (
        {key: value for key, value in table.items() if key in known[one["name"]]} for table in (shared, said)
    )
    return configs.merge(configs.merge(base, one), over)


def transfer(table: dict[str, Any], nproc: int, offline: bool, json_: bool, **kept: Any) -> None:
    """The two ways of using an encoder differ by their config alone."""
    from lmcompare import config as configs

    console.set_offline(offline)
    if "tasks" in table:
        several = configs.resolve(configs.Multitask, table)
        console.spread(nproc)
        from lmcompare.experiments.multitask import multitask

        meter = progress(f"{len(several.tasks)} tasks")
        console.show_run(multitask(several, progress=meter, **kept), json_, meter)
        return
    settings = configs.resolve(configs.Transfer, table)
    console.spread(nproc)
    from lmcompare.experiments.transfer import transfer as experiment

    meter = progress(configs.task_name(settings.task))
    console.show_run(experiment(settings, progress=meter, **kept), json_, meter)


@app.command()
def baseline(
    name: Annotated[str, typer.Argument(help="See `lmc ls baselines` and `lmc ls ngrams`.")],
    task: Task = "",
    text: Text = "",
    pair: Pair = "",
    label: Label = "",
    kind: Kind = "",
    corpus: Annotated[str, typer.Option(help='For n-grams: text file, folder, or "micro".')] = "",
    like: Annotated[str, typer.Option(help="For n-grams: a run whose corpus, words and split to take.")] = "",
    set_: Sets = [],  # noqa: B006
    seed: Seed = None,
    data: Data = None,
    out: Out = None,
    force: Force = False,
    allow_change: Change = False,
    json_: Json = False,
) -> None:
    """Train a classic model on a task, or count n-grams of a corpus: the honest floor.

    lmc baseline bow --task micro.sentiment
    lmc baseline kneser-ney --corpus micro --set ngrams.order=4
    lmc baseline kneser-ney --like runs/my-elmo
    """
    from lmcompare import config as configs
    from lmcompare import registry
    from lmcompare.errors import UserError, unknown

    counted, others = registry.ngrams.names(), registry.baselines.names()
    if name not in (*counted, *others):
        raise UserError(unknown("baseline", name, [*counted, *others]))
    if (bool(task), bool(corpus) != bool(like)) != (name in others, name in counted):
        wanted = "--corpus or --like, and no --task" if name in counted else "--task, and no --corpus"
        raise UserError(f"baseline {name!r}: give it {wanted}")
    kept: dict[str, Any] = {"out": out, "force": force, "allow_change": allow_change}
    if name in counted:
        from lmcompare.experiments.ngrams import alike, count

        if seed is not None:
            raise UserError(f"--seed: {name} counts, and draws nothing; leave it out")
        over = {"tokenizer": {"name": "words"}, "corpus": {"path": corpus}} if corpus else alike(like)
        table = configs.assign({"ngrams": {"name": name}, **over}, set_)
        counting = configs.resolve(configs.Counted, table)
        meter = progress(name)
        console.show_run(count(counting, progress=meter, data=data, **kept), json_, meter)
        return
    from lmcompare.experiments.baseline import baseline as experiment

    set_ = [*of_file(text, pair, label, kind), *set_]
    table = configs.assign({"baseline": {"name": name}, "task": {"name": task}}, set_)
    settings = configs.resolve(configs.Baseline, table if seed is None else table | {"seed": seed})
    meter = progress(configs.task_name(settings.task))
    console.show_run(experiment(settings, progress=meter, data=data, **kept), json_, meter)
