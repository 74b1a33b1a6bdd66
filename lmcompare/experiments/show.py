"""`lmc ls` and `lmc show`: what has a name, and what a config comes to."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmcompare import config as configs
from lmcompare import registry, results
from lmcompare.errors import UserError, unknown
from lmcompare.experiments import blueprint, show_task, studies
from lmcompare.experiments.show_task import answer, seen
from lmcompare.tasks import own


def listing(room: str, data: Path | None = None) -> dict[str, Any]:
    """A table: what stands in a room of the house, in configs/, or in the runs folder."""
    if room == "tasks":
        return {"room": room, "columns": show_task.COLUMNS, "rows": show_task.rows(data)}
    if not room:
        names = [*registry.ROOMS, "configs", "runs"]
        return {"room": "rooms", "columns": ["name"], "rows": [{"name": name} for name in names]}
    if room == "configs":
        rows = [
            {"name": name, "for": folder.name}
            for folder in sorted(p for p in configs.presets().iterdir() if p.is_dir())
            for name in configs.preset_names(folder.name)
        ]
        return {"room": room, "columns": ["name", "for"], "rows": rows}
    if room == "runs":
        columns = ["run", "status", "task", "metric", "value"]
        return {"room": room, "columns": columns, "rows": list(run_rows())}
    if room not in registry.ROOMS:
        raise UserError(unknown("room", room, [*registry.ROOMS, "configs", "runs"]))
    things = registry.ROOMS[room]
    rows = [{"name": name, "about": things.about(name)} for name in things.names()]
    return {"room": room, "columns": ["name", "about"], "rows": rows}


def run_rows() -> Iterator[dict[str, Any]]:
    for path in sorted(results.root().glob("**/run.json")):
        record = results.read(path.parent)
        primary = (record.result or {}).get("primary") or {}
        value = primary.get("value")
        yield {
            "run": os.path.relpath(record.path, results.root()),
            "status": record.status,
            "task": (record.result or {}).get("task", ""),
            "metric": primary.get("metric", ""),
            "value": value if value is None else round(value, 4),
        }


def describe(
    name: str, assignments: list[str], data: Path | None, *, backend: str = "", model: str = ""
) -> dict[str, Any]:
    """A preset (by name, or as room/name where rooms share one), a file, a run, a study or a task, told in full; of a
    task an example as a backend sees it, or a model of it."""
    if (Path(name) / "run.json").is_file() or (results.root() / name / "run.json").is_file():
        path = Path(name) if (Path(name) / "run.json").is_file() else results.root() / name
        record = results.read(path)
        facts = {"run": record.run, "status": record.status, "config": record.config}
        return facts | {
            "result": record.result,
            "text": [f"# {record.status}", *toml(record.config)],
        }
    if name in registry.tasks.names() or own.is_file(name):
        return show_task.describe(task_table(name, assignments), data, backend=backend, model=model)
    if backend or model:
        raise UserError(f"show {name}: --backend and --model say how an example of a task is to be shown")
    is_file = name.endswith(".toml") and Path(name).is_file()
    given, _, short = (room_of(Path(name)), "", name) if is_file else name.rpartition("/")
    for room in ("pretrain", "finetune", "features"):
        if given in ("", room) and (is_file or short in configs.preset_names(room)):
            table = configs.assign(configs.read_table(short, room), assignments)
            return pretraining(table) if room == "pretrain" else using(table, room, data)
    if given in ("", "studies") and (is_file or short in configs.preset_names("studies")):
        return plan(short, assignments)
    known = [n for room in ("pretrain", "finetune", "features") for n in configs.preset_names(room)]
    raise UserError(unknown("config", name, [*known, *registry.tasks.names()]))


def task_table(name: str, assignments: list[str]) -> configs.Table:
    """The table of a task with the settings that --set gives it."""
    table = configs.assign({"task": {"name": name}}, assignments)
    if strange := sorted(key for key in table if key != "task"):
        raise UserError(f"show {name}: --set {strange[0]}: of a task, only what begins with task. can be set")
    return table["task"]


def room_of(path: Path) -> str:
    """A file with a corpus or an objective pretrains; one with a transfer uses a model."""
    table = configs.read_table(str(path), "pretrain")
    if "arms" in table:
        return "studies"
    if "transfer" not in table:
        return "pretrain"
    return str(table["transfer"].get("name", "finetune"))


def pretraining(table: configs.Table) -> dict[str, Any]:
    """Config, parameters by part, and an instance as the model sees it, cut from the config's own corpus."""
    from lmcompare.experiments.corpora import vocabulary_of

    config = configs.resolve(configs.Pretrain, table)
    config = config.model_copy(update={"tokenizer": vocabulary_of(config)})
    first, *_ = parts = config.parts()
    size, backend = config.tokenizer.get("size") or 0, blueprint.network(config)
    objective = blueprint.objectives(parts, backend)[0]
    encoder = sum(p.numel() for p in backend.encoder.parameters())
    total = sum(p.numel() for p in objective.parameters())
    counts = {"encoder": encoder, "heads": total - encoder, "total": total}
    if config.tokenizer["name"] == "words":
        note = [f"# at most: for a vocabulary of {size:,} words, which the corpus may not have"]
    else:
        note = []
    text = [*toml(configs.dump(config)), "", *note, *counted(counts), "", *instance(first)]
    return {"config": configs.dump(config), "parameters": counts, "text": text}


def instance(config: configs.Pretrain) -> list[str]:
    """The first training instance: learned from a little of the corpus, where the config names one."""
    if not config.corpus.path:
        return ["# give --set corpus.path=... to see one instance"]
    import itertools
    import tempfile

    import numpy as np

    from lmcompare.experiments.corpora import source
    from lmcompare.text import shards
    from lmcompare.text.material import Material

    documents = list(itertools.islice(source(config.corpus).documents(), 200))
    tokenizer = registry.tokenizers.build(config.tokenizer, (s for d in documents for s in d))
    backend = registry.backends.build(config.backend, tokenizer)
    objective = registry.objectives.build(config.objective, backend)
    with tempfile.TemporaryDirectory() as folder:
        tokens = shards.build(documents, tokenizer, Path(folder) / "tokens")
        objective.prepare(Material(tokens, config.corpus.holdout, config.seed))
        objective.order(batch=1, seed=config.seed, epoch=0, buckets=False)
        batch = objective.batch(np.array([0]), 0)
    return ["# one instance, with a vocabulary from the corpus's first documents", *objective.shown(batch)]


def using(table: configs.Table, room: str, data: Path | None) -> dict[str, Any]:
    """A transfer preset; with `--set model=... --set task.name=...` also its parameters and an example."""
    from lmcompare import models

    # A preset names no backend: the model does.
    backend = models.family(table["model"]) if table.get("model") else "bert"
    config = configs.parse(configs.Transfer, {"backend": backend, "task": {"name": ""}, **table})
    full = configs.dump(config)
    for key in ("transfer", "optimizer", "schedule"):
        full[key] = registry.ROOMS[configs.Transfer.rooms[key]].check(full[key], key)
    if config.model and config.task["name"]:
        return {"config": full, **in_use(config, full, data)}
    shown = {k: v for k, v in full.items() if k not in ("task", "model", "backend")}
    head = f"# for lmc {room}; with --set model=RUN --set task.name=TASK also parameters and an example"
    return {"config": shown, "text": [head, *toml(shown)]}


def in_use(config: configs.Transfer, full: configs.Table, data: Path | None) -> dict[str, Any]:
    from lmcompare.experiments.pretrain import parameters
    from lmcompare.experiments.task_data import read_task
    from lmcompare.experiments.transfer import formatted, load_backend
    from lmcompare.transfer.learner import TaskLearner

    found, backend = read_task(config.task, data), load_backend(config)
    learner = TaskLearner(backend, found.task, full["transfer"])
    trained = parameters(learner, trained=True)
    frozen = 0 if config.transfer["name"] == "finetune" else parameters(backend.encoder)
    counts = {"trained": trained, "total": parameters(learner) + frozen}
    example = found.splits["train"][0]
    views = formatted(config, backend, found.task, [example]).views
    shown = [f"sees    {seen(backend, view)}" for view in views]
    text = [*toml(full), "", *counted(counts), "", *shown, f"answer  {answer(found.task, example)}"]
    return {"parameters": counts, "text": text}


def plan(name: str, assignments: list[str]) -> dict[str, Any]:
    """A study: what it will run."""
    study = studies.read(name, assignments)
    studies.check(study)
    runs = len(studies.jobs(study, dict.fromkeys(study.models, "to be made")))
    orders = f" × {len(study.data_seeds)} orders of the data" if study.data_seeds else ""
    sizes = f"{len(study.tasks)} tasks × {len(study.arms)} arms × {len(study.seeds)} seeds{orders}"
    counts = f"# {sizes}: {runs} runs"
    lines = [f"{arm.name}: {arm.baseline or f'{arm.mode} of {arm.model}'}" for arm in study.arms]
    pretrained = [f"pretrains {key} first: {m.pretrain}" for key, m in study.models.items() if m.pretrain]
    return {
        "config": configs.dump(study),
        "runs": runs,
        "text": [study.title, counts, *pretrained, *lines, ", ".join(study.tasks)],
    }


def counted(parameters: dict[str, int]) -> list[str]:
    return [f"# {name}: {number:,} parameters" for name, number in parameters.items()]


def toml(table: dict[str, Any], prefix: str = "") -> list[str]:
    """A table as TOML, its own keys first."""
    import json

    def parts(value: Any) -> bool:
        return isinstance(value, list) and bool(value) and isinstance(value[0], dict)

    own = {k: v for k, v in table.items() if not isinstance(v, dict) and not parts(v) and v is not None}
    lines = [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in own.items()]
    for key, value in table.items():
        if isinstance(value, dict) and value:
            lines += ["", f"[{prefix}{key}]", *toml(value, f"{prefix}{key}.")]
        elif parts(value):
            for part in value:
                lines += ["", f"[[{prefix}{key}]]", *toml(part, f"{prefix}{key}.")]
    return lines
