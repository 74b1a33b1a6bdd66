"""What a model was trained on before a run took it up: a list of steps, in the model's own folder and in every result
that starts from it. So a model that has been taught a task never passes as one that has only read text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmcompare import files, models, results
from lmcompare.config import task_name
from lmcompare.errors import ModelError

FILE = "lineage.json"  # beside config.json: a folder that is copied away from its run takes it along
FORMAT = 1

# {"did": "pretrain", "corpus", "run"}, {"did": "finetune", "task", "run"}, {"did": "multitask", "tasks", "run"}
Step = dict[str, Any]


def before(config: Mapping[str, Any], *, only_here: bool = False) -> list[Step]:
    """The steps behind the weights that a run of this config starts from. There are none where the weights are drawn,
    and none are known of a folder that was not made here. `only_here`: never ask the hub, nor for a folder to exist."""
    name = str(config.get("model") or "")
    if not name or config.get("weights") == "random":
        return []
    folder = here(name) if only_here else models.find(name)
    if folder is not None and (folder / FILE).is_file():
        return read(folder / FILE)
    run = models.run_of(name)  # one that was made before lineages were written down says it by its config
    return [] if run is None else [*before(run.config, only_here=True), step(run.config, run.run)]


def here(name: str) -> Path | None:
    """The folder that a name stands for, where it is on this machine."""
    found = [path for path in (Path(name), results.root() / name) if path.is_dir()]
    inside = [path / "model" for path in found if (path / "run.json").is_file()]
    return next(iter([*inside, *found]), None)


def step(config: Mapping[str, Any], run: str) -> Step:
    """What a run of this config did to its model. Of a corpus only the name is told, and no path of any machine."""
    if "objective" in config:
        return {"did": "pretrain", "corpus": Path(config["corpus"]["path"]).name, "run": run}
    if "tasks" in config:
        return {"did": "multitask", "tasks": [task_name(task) for task in config["tasks"]], "run": run}
    return {"did": config["transfer"]["name"], "task": task_name(config["task"]), "run": run}


def write(folder: Path, steps: Sequence[Step]) -> None:
    """Beside a model: all that it has been trained on by now."""
    files.write_json(folder / FILE, {"format": FORMAT, "steps": list(steps)})


def read(path: Path) -> list[Step]:
    try:
        table = files.read_json(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not readable as JSON: {error}") from None
    steps = table.get("steps") if isinstance(table, dict) else None
    if not isinstance(steps, list) or not all(isinstance(s, dict) and s.get("did") for s in steps):
        raise ModelError(
            f'{path}: not a lineage, which is {{"format": {FORMAT}, "steps": [{{"did": …}}, …]}}; without this file '
            "the model counts as one of which nothing is known"
        )
    return steps


def taught(steps: Sequence[Step]) -> list[str]:
    """The tasks of each step that taught any, in their order."""
    found = [step.get("tasks") or [step.get("task")] for step in steps]
    return [" + ".join(map(str, tasks)) for tasks in found if tasks != [None]]


def one_start(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two results began with the same weights, but for what each seed drew: none were loaded, or those of one
    checkpoint. Older results do not say what the checkpoint alone was."""
    if one.get("weights") == other.get("weights") == "random":
        return True
    key = "start_hash" if one.get("start_hash") and other.get("start_hash") else "model_hash"
    return bool(one.get(key) == other.get(key))
