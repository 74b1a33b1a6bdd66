"""Every study that ships: its plan, what its comment says, and a tiny form of it to the end."""

import re
import tomllib
from pathlib import Path

import pytest

from lmcompare import config
from lmcompare.experiments import compare, studies
from lmcompare.experiments.grid import Grid

NAMES = config.preset_names("studies")
MADE = [name for name in NAMES if not studies.unnamed(studies.read(name, []))]
# Of each model that is pretrained: two steps on a handful of documents.
FEW = {
    "training": {"steps": 2, "batch": 2, "eval_every": 1000},
    "corpus": {"documents": 60},
}
# Of an axis with many values a few do.
LESS = {
    "sample-efficiency": ["axes.examples=[16]"],
    "elmo-layers": ['axes.transfer.place=["both"]'],
    "bert-masking": ['axes.model=["m80-10-10", "m100-0-0"]'],
}


def planned(name: str, sets: list[str]) -> studies.Study:
    study = studies.read(name, sets)
    studies.check(study)
    return study


@pytest.mark.parametrize("name", NAMES)
def test_every_study_plans_and_holds_its_own_arms_against_each_other(name: str) -> None:
    study = planned(name, [])
    table = config.read_table(name, "studies")
    jobs = studies.jobs(study, dict.fromkeys(study.models, "runs/some"))
    assert len({(job["arm"], job["task"], job["seed"]) for job in jobs}) == len(jobs)
    assert len(jobs) == len(study.arms) * len(study.tasks) * len(study.seeds)
    used = {arm.model for arm in study.arms} | {
        study.models[arm.model].like for arm in study.arms if arm.model
    }
    assert set(study.models) <= used, "a model that no arm uses would be pretrained for nothing"
    if "axes" in table:
        assert study.compare, "many arms, and none is held against another"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "demo-quick"])
def test_the_comment_s_command_points_it_elsewhere(name: str) -> None:
    path = config.presets() / "studies" / f"{name}.toml"
    head = re.match(r"(?:#.*\n)+", path.read_text(encoding="utf-8"))
    assert head, "a study says what it asks"
    sets = [quoted or plain for quoted, plain in re.findall(r"--set (?:'([^\n]+?)'|(\S+))", head[0])]
    of_study = [one for one in sets if one.partition("=")[0].partition(".")[0] in studies.Study.model_fields]
    planned(name, of_study)


@pytest.mark.full
@pytest.mark.parametrize("name", MADE)
def test_a_tiny_form_of_it_runs_to_the_end(name: str, tmp_path: Path) -> None:
    sets = ["seeds=[1]", *LESS.get(name, []), "compare=[]"]
    first = studies.read(name, sets)
    study = studies.read(name, [*sets, f'tasks=["{first.tasks[0]}"]'])
    study = studies.only(study, [arm.name for arm in study.arms])  # and no model that none of them needs
    models = {
        key: model.model_copy(update={"set": config.merge(model.set, tokenized(model.pretrain))})
        for key, model in study.models.items()
    }
    small = {"task": {"train": 16}, "training": {"steps": 2, "batch": 4}}
    arms = [
        arm.model_copy(update={"set": config.merge(tiny(arm.baseline, small), arm.set)}) for arm in study.arms
    ]
    study = study.model_copy(update={"models": models, "arms": arms, "set": {}})
    notes: list[str] = []
    comparison = compare.run_study(Grid(study, tmp_path / name, note=notes.append, at_once=2))
    assert not comparison.failed, comparison.failed
    assert set(comparison.arms) == {arm.name for arm in study.arms}
    assert all(run.status == "finished" for run in comparison.runs)


def tiny(baseline: str, small: dict) -> dict:
    return {"task": small["task"]} if baseline else small


def tokenized(preset: str) -> dict:
    if not preset:
        return {}
    table = tomllib.loads((config.presets() / "pretrain" / f"{preset}.toml").read_text(encoding="utf-8"))
    sized = "size" in table.get("tokenizer", {}) or "base" in table
    return {**FEW, **({"tokenizer": {"size": 600}} if sized else {})}
