"""A run over several tasks with one encoder: what it leaves behind, and how that stands beside runs on one task."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from lmcompare import config as configs
from lmcompare import lineage, models, results
from lmcompare.backends.bert import Bert
from lmcompare.config import Multitask, Transfer
from lmcompare.errors import UserError
from lmcompare.experiments import compare, evaluate, multitask
from lmcompare.experiments.task_data import read_task
from lmcompare.experiments.transfer import load_backend
from lmcompare.experiments.transfer import transfer as alone
from lmcompare.files import size
from lmcompare.progress import Progress
from lmcompare.text.wordpiece import train_wordpiece

ONE_A_KIND = ("sentiment", "similarity", "continuation", "entities", "answers")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT that has learned nothing, in a plain folder."""
    from lmcompare import micro

    sentences = [s for document in micro.world(0).documents(60) for s in document]
    folder = tmp_path_factory.mktemp("plain")
    made = Bert(train_wordpiece(sentences, size=300), layers=2, width=16, heads=2, positions=64)
    made.draw(1)
    made.save(folder)
    return folder


def table(model: Path, tasks: tuple[str, ...], train: int = 24, **more: Any) -> dict[str, Any]:
    return {
        "backend": "bert",
        "model": str(model),
        "tasks": [{"name": f"micro.{task}", "train": train} for task in tasks],
        "transfer": {"name": "finetune"},
        "length": 64,
        "optimizer": {"name": "adamw", "rate": 3e-3},
        "schedule": {"name": "linear"},
        "training": {"batch": 8, "epochs": 2, "log_every": 1, "checkpoint_every": 1},
        **more,
    }


def settings(model: Path, tasks: tuple[str, ...], **more: Any) -> Multitask:
    return configs.resolve(Multitask, table(model, tasks, **more))


class Trips(Progress):
    """Falls over at a step, as a machine does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def update(self, done: int, *, loss: float | None = None, tokens: int = 0) -> None:
        if done == self.step:
            raise RuntimeError("the lights went out")


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over a task of every kind."""
    out = tmp_path_factory.mktemp("runs") / "together"
    multitask.multitask(settings(model, ONE_A_KIND), progress=Progress(), out=out)
    return out


def kept(run: Path) -> dict[str, Any]:
    """All of a run that must not depend on its having been interrupted."""
    files = sorted([*run.rglob("*.safetensors"), *run.rglob("log.jsonl"), *run.rglob("predictions-*.jsonl")])
    facts: dict[str, Any] = {str(p.relative_to(run)): p.read_bytes() for p in files}
    for path in run.rglob("result.json"):
        table = json.loads(path.read_text())
        unlike = ("run", "seconds", "attempts", "warnings", "peak_memory_mb", "cost")
        facts[str(path.relative_to(run))] = {k: v for k, v in table.items() if k not in unlike}
    return facts


def test_the_run_and_a_run_a_task(whole: Path) -> None:
    told = results.read(whole).result or {}
    assert told["kind"] == "multitask" and told["tasks"] == [f"micro.{task}" for task in ONE_A_KIND]
    assert told["steps"] == 2 * 5 * 3  # epochs, tasks, batches of eight out of 24
    assert told["metrics"]["test"]["mean"] == told["primary"]["value"]
    assert not (whole / "checkpoints").exists() and (whole / "model" / "model.safetensors").is_file()
    for task in ONE_A_KIND:
        part = whole / "tasks" / f"micro.{task}"
        record = results.read(part)
        assert record.status == "finished" and record.result
        assert Transfer.model_validate(record.config).task["name"] == f"micro.{task}"
        assert not (part / "model" / "model.safetensors").exists(), "the encoder is saved once"
        split, value = record.result["primary"]["split"], record.result["primary"]["value"]
        metric = record.result["primary"]["metric"]
        assert told["metrics"][split][f"micro.{task}.{metric}"] == value
        assert evaluate.evaluate(part, "test")["metrics"] == record.result["metrics"]["test"]
        assert set(record.result["together"]) == {f"micro.{t}" for t in ONE_A_KIND if t != task}
        assert record.result["seconds"] <= told["seconds"]
        cost = record.result["cost"]
        assert cost["needed_bytes"] == cost["model_bytes"] + told["cost"]["model_bytes"], "the shared encoder"
    heads = sum(size(part / "model") for part in (whole / "tasks").iterdir())
    assert told["cost"]["needed_bytes"] == size(whole / "model") + heads


def test_a_part_says_what_a_run_alone_says(whole: Path, model: Path, tmp_path: Path) -> None:
    """The same keys and the same data, so that the two compare; and what it has besides."""
    single = alone(settings(model, ONE_A_KIND).alone(1), progress=Progress(), out=tmp_path / "alone")
    part = results.read(whole / "tasks" / "micro.similarity")
    assert part.result and set(part.result) - set(single) == {"together"} and set(single) <= set(part.result)
    for key in (
        "task",
        "task_kind",
        "examples",
        "majority",
        "data_hash",
        "model_hash",
        "start_hash",
        "parameters",
    ):
        assert part.result[key] == single[key]
    own = results.read(tmp_path / "alone").log
    assert {frozenset(row) for row in part.log} == {frozenset(row) for row in own}
    assert sum("losses" in row for row in part.log) == sum("losses" in row for row in own) == 6
    assert all(row["losses"].keys() == {"task"} for row in part.log if "losses" in row)


def test_the_best_step_has_the_best_mean_over_the_tasks(whole: Path) -> None:
    rows = [row for row in results.read(whole).log if "split" in row]
    firsts = [f"micro.{task}.{metric}" for task, metric in zip(ONE_A_KIND, first_metrics(), strict=True)]
    told = {}
    for row in rows:
        values = [row["metrics"][name] for name in firsts]
        mean = row["metrics"]["mean"]
        assert mean == (None if None in values else pytest.approx(fmean(values)))
        told[row["step"]] = mean
    best = (results.read(whole).result or {})["best_step"]
    figures = {step: mean for step, mean in told.items() if mean is not None}
    assert figures and best in figures and figures[best] == max(figures.values())


def first_metrics() -> list[str]:
    return [read_task({"name": f"micro.{task}", "train": 2}, None).task.metrics[0] for task in ONE_A_KIND]


def test_a_mean_that_lacks_a_task_is_none() -> None:
    assert multitask.mean([0.25, 0.75]) == 0.5
    assert multitask.mean([0.25, None]) is None


EARLY, LATE = (pytest.param(n, marks=pytest.mark.slow) for n in (1, 29))


@pytest.mark.parametrize("step", [EARLY, 17, LATE])
def test_a_run_that_fell_over_ends_with_the_same_bits(
    whole: Path, model: Path, tmp_path: Path, step: int
) -> None:
    out, config = tmp_path / "together", settings(model, ONE_A_KIND)
    with pytest.raises(RuntimeError, match="lights"):
        multitask.multitask(config, progress=Trips(step), out=out)
    assert not (out / "result.json").exists()
    multitask.multitask(config, progress=Progress(), out=out)
    assert kept(out) == kept(whole)
    assert (results.read(out / "tasks" / "micro.answers").result or {})["attempts"] == 2


def test_a_finished_run_is_read_back(whole: Path, model: Path) -> None:
    before = kept(whole)
    assert multitask.multitask(settings(model, ONE_A_KIND), progress=Progress(), out=whole)["already"]
    with pytest.raises(UserError, match="began otherwise"):
        multitask.multitask(settings(model, ONE_A_KIND, mixing=0.5), progress=Progress(), out=whole)
    assert kept(whole) == before


def test_every_task_is_learned(model: Path, tmp_path: Path) -> None:
    longer = {"batch": 8, "epochs": 12, "log_every": 1, "eval_every": 1000}
    pair = ("sentiment", "entities")
    quick = {"name": "adamw", "rate": 1e-2}
    config = settings(model, pair, training=longer, optimizer=quick)
    multitask.multitask(config, progress=Progress(), out=tmp_path / "run")
    for task in pair:
        log = results.read(tmp_path / "run" / "tasks" / f"micro.{task}").log
        losses = [row["losses"]["task"] for row in log if "losses" in row]
        assert len(losses) == 12 * 3 and fmean(losses[-6:]) < 0.8 * fmean(losses[:6])


def test_one_table_for_runs_together_and_alone(whole: Path, model: Path, tmp_path: Path) -> None:
    alone(settings(model, ONE_A_KIND).alone(0), progress=Progress(), out=tmp_path / "alone")
    parts = [str(p) for p in sorted((whole / "tasks").iterdir())]
    table = compare.of_runs([*parts, str(tmp_path / "alone")])
    assert table.arms == ("bert finetune, with 4 other tasks", "bert finetune")
    assert not table.pretraining and not table.notes
    both = [table.cell(arm, "micro.sentiment").n for arm in table.arms]
    assert both == [1, 1] and len(table.tasks) == 5
    assert compare.of_runs([str(whole), str(tmp_path / "alone")]).arms == table.arms
    with pytest.raises(UserError, match="a second run"):
        compare.of_runs([str(whole), *parts])


def test_other_companions_are_another_arm(whole: Path, model: Path, tmp_path: Path) -> None:
    pairs = {"one": ("sentiment", "sense"), "two": ("sentiment", "similarity")}
    for name, pair in pairs.items():
        multitask.multitask(settings(model, pair, train=8), progress=Progress(), out=tmp_path / name)
    arms = compare.of_runs([str(tmp_path / name) for name in pairs]).arms
    assert arms == (
        "bert finetune, with 1 other task, micro.sense+micro.sentiment",
        "bert finetune, with 1 other task, micro.sentiment+micro.similarity",
    )


def test_an_unfinished_run_counts_for_each_of_its_tasks(model: Path, tmp_path: Path) -> None:
    pair = ("sentiment", "sense")
    with pytest.raises(RuntimeError):
        multitask.multitask(settings(model, pair), progress=Trips(2), out=tmp_path / "run")
    table = compare.of_runs([str(tmp_path / "run")])
    assert table.arms == ("bert finetune, with 1 other task",)
    assert {f.task for f in table.failed} == {"micro.sentiment", "micro.sense"}


def test_mistakes_are_told_before_anything_is_made(model: Path, tmp_path: Path) -> None:
    wrong = {
        "trains none": settings(model, ("sentiment", "sense"), transfer={"name": "features"}),
        "given twice": settings(model, ("sentiment", "sense", "sentiment")),
    }
    for told, config in wrong.items():
        with pytest.raises(UserError, match=told):
            multitask.multitask(config, progress=Progress(), out=tmp_path / "run")
    with pytest.raises(UserError, match=r"tasks, number 1.*unknown key 'trian'"):
        tasks = [{"name": "micro.sense", "trian": 3}, {"name": "micro.sentiment"}]
        configs.resolve(Multitask, table(model, ()) | {"tasks": tasks})
    with pytest.raises(UserError, match="tasks"):
        settings(model, ("sentiment",))
    assert not (tmp_path / "run").exists()


def test_what_a_task_alone_would_be(model: Path) -> None:
    config = settings(model, ("sentiment", "sense"), seed=7, mixing=0.5)
    one = config.alone(1)
    assert one == configs.resolve(Transfer, configs.dump(one))
    assert (one.seed, one.task["name"], one.training) == (7, "micro.sense", config.training)
    assert isinstance(load_backend(one), Bert) and torch.is_tensor(load_backend(one).tied)


def test_the_model_of_a_part_is_that_of_the_whole(whole: Path) -> None:
    taken = whole / "tasks" / f"micro.{ONE_A_KIND[0]}"
    assert models.find(str(taken)) == models.find(str(whole)) == whole / "model"
    assert models.family(str(taken)) == "bert"
    (step,) = lineage.before({"model": str(taken)})
    assert step["did"] == "multitask" and len(step["tasks"]) == len(ONE_A_KIND)
