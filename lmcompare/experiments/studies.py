"""A study is a file: models, arms (ways of using them), tasks and seeds. It is planned as a list of jobs."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from lmcompare import config as configs
from lmcompare import registry
from lmcompare.config import Frozen, Table
from lmcompare.errors import UserError, unknown
from lmcompare.experiments import axes as multiply

# What the table of each kind of job is.
KINDS: dict[str, type[Frozen]] = {
    "pretrain": configs.Pretrain,
    "baseline": configs.Baseline,
    "transfer": configs.Transfer,
}
MODES = ("features", "finetune")


class Model(Frozen):
    """A model that the study names: one to pretrain first, or one that is there."""

    backend: str
    pretrain: str = ""  # a preset of configs/pretrain, or a file
    model: str = ""  # a run, a folder or a hub id
    like: str = ""  # another of the study's models, whose weights these are
    config: str = ""  # preset of the arms that name none; absent: the backend's
    set: Table = Field(default_factory=dict)


class Arm(Frozen):
    """One column of the table: a way to answer the tasks."""

    name: str
    baseline: str = ""  # a classic model; or
    mode: str = ""  # one of MODES, of
    model: str = ""  # one of the study's models
    config: str = ""  # preset of configs/<mode>
    set: Table = Field(default_factory=dict)
    series: str = (
        ""  # arms that are one curve over the number of training examples share it; absent: by their names
    )


class Study(Frozen):
    title: str
    quick: bool = False
    tasks: list[str] = Field(min_length=1)
    seeds: list[int] = Field(
        min_length=1
    )  # of the initial weights, and of the data's order where that has none
    data_seeds: list[int] = Field(
        default_factory=list
    )  # of the data's order: each of these with each of the seeds
    models: dict[str, Model] = Field(default_factory=dict)
    arms: list[Arm] = Field(min_length=1)  # as `axes` has multiplied them
    axes: Table = Field(default_factory=dict)  # see axes.py
    exclude: list[Table] = Field(default_factory=list)  # combinations of their values that are no arms
    rename: dict[str, str] = Field(
        default_factory=dict
    )  # arms that they make, by the names that they give them
    set: Table = Field(default_factory=dict)  # settings of all runs, below those of single tasks and arms
    # Settings of a task's runs, below those of the arm; its `config` is a preset in the place of the arm's.
    by_task: dict[str, Table] = Field(default_factory=dict)
    # By task, another one: its runs start from what the run of the same arm and seed has learned there.
    starts: dict[str, str] = Field(default_factory=dict)
    # Arms held against each other, answer by answer; two series are, at each number of examples that both have.
    compare: list[tuple[str, str]] = Field(default_factory=list)
    margin: float | None = Field(default=None, gt=0)  # differences within it, as a share, are called equal


def read(name: str, assignments: Sequence[str], over: Mapping[str, Any] | None = None) -> Study:
    """A study by its name or file, with what lies `over` it, then what was said by --set, and all its arms."""
    table = configs.merge(configs.read_table(name, "studies"), over or {}, f"study {name}")
    table = multiply.multiplied(configs.assign(table, assignments), f"study {name}")
    study = configs.parse(Study, table, f"study {name}")
    for key, model in study.models.items():
        if model.like and (model.like not in study.models or study.models[model.like].like or model.pretrain):
            raise UserError(
                f"study {name}: model {key!r} is like {model.like!r}, which is no model with weights of its own"
            )
    for arm in study.arms:
        if bool(arm.baseline) == bool(arm.mode):
            raise UserError(f"study {name}: arm {arm.name!r} needs a baseline or a mode, and not both")
        if arm.mode and arm.mode not in MODES:
            raise UserError(unknown("mode", arm.mode, MODES, f"study {name}, arm {arm.name!r}"))
        if arm.mode and arm.model not in study.models:
            raise UserError(unknown("model", arm.model, study.models, f"study {name}, arm {arm.name!r}"))
    names = [arm.name for arm in study.arms]
    for pair in study.compare:
        for stranger in set(pair) - set(names):
            raise UserError(unknown("arm", stranger, names, f"study {name}, compare"))
    return study


def only(study: Study, arms: Sequence[str]) -> Study:
    """The study with these of its arms, and the models that they need."""
    names = [arm.name for arm in study.arms]
    for name in arms:
        if name not in names:
            raise UserError(unknown("arm", name, names, f"study {study.title!r}"))
    kept = [arm for arm in study.arms if arm.name in arms]
    used = {arm.model for arm in kept}
    used |= {study.models[name].like for name in used if name}
    over = {
        "arms": kept,
        "models": {name: model for name, model in study.models.items() if name in used},
        "compare": [pair for pair in study.compare if set(pair) <= set(arms)],
    }
    return study.model_copy(update=over)


def check(study: Study) -> None:
    """Every name and value of every run, before the first of them starts."""
    names = [arm.name for arm in study.arms]
    if twice := multiply.repeated(names):
        raise UserError(f"study {study.title!r}: two arms are named {twice!r}")
    for word in ("tasks", "seeds", "data_seeds"):
        if twice := multiply.repeated([str(one) for one in getattr(study, word)]):
            raise UserError(f"study {study.title!r}: {word}: {twice} stands there twice")
    for key, model in study.models.items():
        if model.pretrain:
            configs.resolve(configs.Pretrain, pretraining_job(model), f"model {key!r}").parts()
    check_tasks(study)
    for job in jobs(study, dict.fromkeys(study.models, "to be made")):
        settings(job, f"arm {job['arm']!r}")
        drawn = job["config"].get("weights") == "random"
        if drawn and job["kind"] == "transfer" and job["task"] in study.starts:
            raise UserError(
                f"study {study.title!r}: {job['task']} cannot start from {study.starts[job['task']]} with weights "
                "that are drawn afresh"
            )


def check_tasks(study: Study) -> None:
    """What is said of single tasks."""
    where = f"study {study.title!r}"
    for name in study.by_task:
        registry.tasks.get(name, f"{where}, by_task")
    for task, first in study.starts.items():
        for name in (task, first):
            if name not in study.tasks:
                raise UserError(unknown("task", name, study.tasks, f"{where}, starts"))
        if first in study.starts:
            raise UserError(
                f"{where}: {task} cannot start from {first}, which starts from another task itself"
            )
        if frozen := [arm.name for arm in study.arms if arm.mode == "features"]:
            raise UserError(
                f"{where}: {task} cannot start from {first} in arm {frozen[0]!r}: frozen features leave the encoder "
                "as it was"
            )


def check_models(study: Study) -> None:
    """Every model is there to be used, or is to be made; a study may leave one to be named by whoever runs it."""
    for key in unnamed(study):
        raise UserError(
            f"study {study.title!r}: which model is {key!r}? Name a run, a folder, or a hub id with "
            f"--set models.{key}.model=..."
        )


def unnamed(study: Study) -> list[str]:
    """The models that nobody has named yet."""
    return [key for key, model in study.models.items() if not (model.pretrain or model.model or model.like)]


def pretraining_job(model: Model) -> Table:
    return configs.merge(configs.read_table(model.pretrain, "pretrain"), model.set)


def jobs(study: Study, model_paths: dict[str, str]) -> list[Table]:
    """Every run that the study asks for, in plain JSON: arm, task, seed and the config table."""
    planned = []
    for task in study.tasks:
        for arm in study.arms:
            for draw in draws(study, arm):
                common = {"task": {"name": task}, **draw}
                own = configs.merge(study.set, study.by_task.get(task, {}), f"by_task.{task}")
                preset = own.pop("config", "")
                if arm.baseline:
                    kind, table = "baseline", {"baseline": {"name": arm.baseline}, **common}
                    # It takes the same examples, and knows nothing of how an encoder learns.
                    own = {key: value for key, value in own.items() if key in configs.Baseline.model_fields}
                else:
                    kind, model = "transfer", study.models[arm.model]
                    preset = preset or arm.config or model.config or model.backend
                    table = configs.read_table(preset, arm.mode)
                    chosen = {"backend": model.backend, "model": model_paths[model.like or arm.model]}
                    table = configs.merge(table, {**common, **chosen})
                table = configs.merge(table, own, f"by_task.{task}")
                table = configs.merge(table, arm.set, f"arm {arm.name!r}")
                planned.append({"kind": kind, "arm": arm.name, "task": task, **draw, "config": table})
    return planned


def settings(job: Table, where: str = "config") -> Any:
    """A job's config, as what makes runs of its kind takes it."""
    return configs.resolve(KINDS[job["kind"]], job["config"], where)


def draws(study: Study, arm: Arm) -> list[dict[str, int]]:
    """The seeds of each of an arm's runs on a task. A baseline has no order of its own."""
    if arm.baseline or not study.data_seeds:
        return [{"seed": seed} for seed in study.seeds]
    pairs = itertools.product(study.seeds, study.data_seeds)
    # One seed for both is what a run has anyway.
    return [{"seed": seed} | ({"data_seed": order} if order != seed else {}) for seed, order in pairs]


def is_study(name: str) -> bool:
    return name.endswith(".toml") or (
        name in configs.preset_names("studies") and not (Path(name) / "run.json").is_file()
    )
