"""The command that makes a run again: the preset nearest to its config, and a --set for whatever departs from it."""

import json
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcompare import config as configs
from lmcompare import results
from lmcompare.config import OPERATIONAL, Baseline, Counted, Frozen, Multitask, Pretrain, Table, Transfer
from lmcompare.errors import UserError
from lmcompare.results import Record

# What a model that a pretraining goes on from brings along, whatever the config says.
BROUGHT = ("backend.dropout", "backend.attention_dropout", "backend.name")


@dataclass(frozen=True)
class Way:
    """A command before any --set: its words, and the table that they come to."""

    words: list[str]
    table: Table
    model: type[Frozen]
    usual: bool = True  # it names no preset


def command(record: Record) -> dict[str, Any]:
    """The line, what it sets on top of its preset, and whether it comes to the same config."""
    notes, found = [], []
    for way in ways(record):
        if (said := departures(way, record.config)) is not None:
            found.append((len(said), not way.usual, way.words, said))
    if found:
        _, _, words, said = min(found, key=lambda entry: entry[:2])
    else:
        words, said = from_file(record), {}
        notes.append(
            f"no preset comes to this config: write it to a file first, with `lmc show {record.path} > run.toml`"
        )
    if (processes := machine(record).get("processes", 1)) > 1:
        words = [*words, "--nproc", str(processes)]
    sets = [part for key, value in said.items() for part in ("--set", f"{key}={plain(value)}")]
    source = str((record.result or {}).get("data_source") or "")
    if source and not source.startswith("made by") and Path(source.split(" (")[0]).is_absolute():
        notes.append(f"its data was read from {source}: name the folder with --data or LMC_DATA")
    return {"line": shlex.join([*words, *sets]), "settings": said, "exact": bool(found), "notes": notes}


def ways(record: Record) -> Iterator[Way]:
    """The commands that could have made a run, one a preset."""
    config = record.config
    if "baseline" in config:
        name, task, seed = config["baseline"]["name"], config["task"]["name"], config["seed"]
        words = ["lmc", "baseline", name, "--task", task, "--seed", str(seed)]
        yield Way(words, {"baseline": {"name": name}, "task": {"name": task}, "seed": seed}, Baseline)
    elif "ngrams" in config:
        name, corpus = config["ngrams"]["name"], config["corpus"]["path"]
        table = {"ngrams": {"name": name}, "tokenizer": {"name": "words"}, "corpus": {"path": corpus}}
        yield Way(["lmc", "baseline", name, "--corpus", corpus], table, Counted)
    elif "objective" in config:
        yield from pretrainings(config)
    else:
        yield from uses(config)


def pretrainings(config: Table) -> Iterator[Way]:
    backend, corpus, seed = config["backend"]["name"], config["corpus"]["path"], config["seed"]
    over: Table = {"backend": {"name": backend}, "corpus": {"path": corpus}, "seed": seed}
    words = ["lmc", "pretrain", backend, "--corpus", corpus, "--seed", str(seed)]
    if config.get("model"):
        brought = {k: v for k, v in config["backend"].items() if f"backend.{k}" not in BROUGHT}
        over |= {"model": config["model"], "backend": {"name": backend, **brought}}
        words += ["--model", config["model"]]
    for preset in configs.preset_names("pretrain"):
        table = configs.read_table(preset, "pretrain")
        if table.get("backend", {}).get("name") == backend:
            usual = preset == f"{backend}-tiny"
            named = [] if usual else ["--config", preset]
            yield Way([*words, *named], configs.merge(table, over), Pretrain, usual)


def uses(config: Table) -> Iterator[Way]:
    """Fine-tuning or features, on a task or on several."""
    mode, backend, seed = config["transfer"]["name"], config["backend"], config["seed"]
    tasks = [task["name"] for task in config.get("tasks") or [config["task"]]]
    over: Table = {"backend": backend, "model": config["model"], "seed": seed}
    words = ["lmc", mode, backend, "--model", config["model"], "--seed", str(seed)]
    if config.get("weights") == "random" and mode == "finetune":
        words, over = [*words, "--random"], {**over, "weights": "random"}
    several = "tasks" in config
    for preset in configs.preset_names(mode):
        table = configs.read_table(preset, mode)
        if "tasks" in table:
            continue
        own = table.pop("task", {})
        if several:
            over["tasks"] = [{"name": task} for task in tasks]
        elif own.get("name", tasks[0]) == tasks[0]:
            over["task"] = {**own, "name": tasks[0]}
        else:
            over["task"] = {"name": tasks[0]}
        named = [part for task in tasks for part in ("--task", task)]
        named += [] if preset == backend else ["--config", preset]
        yield Way(
            [*words, *named],
            configs.merge(table, over),
            Multitask if several else Transfer,
            preset == backend,
        )


def departures(way: Way, config: Table) -> Table | None:
    """What must be set for the config to come out: names first, because another component starts from nothing. None
    where it cannot: a preset may say something for which there is no word to take it back."""
    said: Table = {}
    for speaks in (lambda key: key.endswith(".name"), lambda key: True):
        if (now := resolved(way, said)) is None:
            return None
        said |= {
            key: value for key, value in missing(now, config).items() if speaks(key) and value is not None
        }
    now = resolved(way, said)
    return said if now is not None and not missing(now, config) else None


def resolved(way: Way, said: Table) -> Table | None:
    """The config in full; None where this preset's settings and these do not go together."""
    try:
        table = configs.assign(way.table, [f"{key}={toml(value)}" for key, value in said.items()])
        return configs.dump(configs.resolve(way.model, table))
    except UserError:
        return None


def missing(now: Table, config: Table) -> Table:
    """What is otherwise in the config; a setting that is younger than the run counts as it is by default."""
    have, want = configs.flatten(now), configs.flatten(config)
    brought = ("backend.",) if config.get("model") and "objective" in config else ()
    return {
        key: value
        for key, value in want.items()
        if have.get(key) != value
        and key not in OPERATIONAL
        and not (brought and key.startswith(brought) and key not in BROUGHT)
    }


def from_file(record: Record) -> list[str]:
    """A command that takes its whole config from a file."""
    config = record.config
    if "objective" in config:
        return ["lmc", "pretrain", config["backend"]["name"], "--config", "run.toml"]
    if "transfer" in config:
        mode, backend, model = config["transfer"]["name"], config["backend"], config["model"]
        task = ["--task", config["task"]["name"]] if "task" in config else []
        return ["lmc", mode, backend, *task, "--model", model, "--config", "run.toml"]
    return next(ways(record)).words


def machine(record: Record) -> Table:
    """What computed the run last."""
    told = [
        row["machine"]
        for row in results.read_lines(record.path / "events.jsonl")
        if row["event"] == "machine"
    ]
    return dict(told[-1]) if told else {}


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {toml(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def plain(value: Any) -> str:
    """A text without its quotes, where --set takes it for a text all the same."""
    if isinstance(value, str):
        try:
            tomllib.loads(f"value = {value}")
        except tomllib.TOMLDecodeError:
            return value
    return toml(value)
