"""What a model was trained on goes where the model goes, and stands in every result that starts from it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lmcompare import config as configs
from lmcompare import files, lineage, results
from lmcompare.backends.bert import Bert
from lmcompare.config import Multitask, Transfer
from lmcompare.errors import ModelError
from lmcompare.experiments import compare
from lmcompare.experiments.multitask import multitask
from lmcompare.experiments.transfer import transfer
from lmcompare.progress import Progress
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.transfer.learner import TaskLearner

PAIR = ("micro.sense", "micro.similarity")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of which nothing is known."""
    from lmcompare import micro

    sentences = [s for document in micro.world(0).documents(60) for s in document]
    folder = tmp_path_factory.mktemp("plain")
    made = Bert(train_wordpiece(sentences, size=300), layers=2, width=16, heads=2, positions=64)
    made.draw(1)
    made.save(folder)
    return folder


def table(model: Path | str, mode: str = "finetune", rate: float = 3e-3, **more: Any) -> dict[str, Any]:
    return {
        "backend": "bert",
        "model": str(model),
        "transfer": {"name": mode},
        "length": 64,
        "optimizer": {"name": "adamw", "rate": rate, "decay": 0.0},
        "schedule": {"name": "constant"},
        "training": {"batch": 8, "steps": 2, "log_every": 1},
        **more,
    }


def run(out: Path, model: Path | str, task: str, **more: Any) -> dict[str, Any]:
    config = configs.resolve(Transfer, table(model, **more) | {"task": {"name": task, "train": 16}})
    return transfer(config, progress=Progress(), out=out)


@pytest.fixture(scope="module")
def taught(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned a task from the plain folder."""
    out = tmp_path_factory.mktemp("runs") / "first"
    assert run(out, plain, "micro.sentiment")["lineage"] == []
    return out


FIRST = {"did": "finetune", "task": "micro.sentiment", "run": "first"}


def test_a_task_that_starts_from_another_says_so(taught: Path, plain: Path, tmp_path: Path) -> None:
    told = run(tmp_path / "second", taught, "micro.sense")
    assert told["lineage"] == [FIRST] == lineage.read(taught / "model" / lineage.FILE)
    third = run(tmp_path / "third", tmp_path / "second", "micro.paraphrase", mode="features")
    assert third["lineage"] == [FIRST, {"did": "finetune", "task": "micro.sense", "run": "second"}]
    run(tmp_path / "plain", plain, "micro.sense")
    names = [str(tmp_path / name) for name in ("second", "plain", "third")]
    assert compare.of_runs(names).arms == (
        "bert finetune, from micro.sentiment",
        "bert finetune",
        "bert features, from micro.sentiment, then micro.sense",
    )


def test_in_a_study_too(taught: Path, plain: Path, tmp_path: Path) -> None:
    """The study names its arms, and never knows what a model that it is given has learned."""
    run(tmp_path / "second", taught, "micro.sense")
    run(tmp_path / "plain", plain, "micro.sense")
    kept = {"a": {"arm": "tuned", "run": "second"}, "b": {"arm": "tuned", "run": "plain"}}
    lost = {"arm": "tuned", "run": "lost", "reason": "no memory", "status": 5}
    config = table(taught, seed=2) | {"task": {"name": "micro.sense"}}
    ledger = {"title": "t", "quick": False, "runs": {**kept, "c": lost | {"config": config}}}
    files.write_json(tmp_path / "study.json", ledger)
    told = compare.of_runs([str(tmp_path)])
    assert told.arms == ("tuned, from micro.sentiment", "tuned")
    assert [(cell.n, cell.failed) for cell in told.cells] == [(1, 1), (1, 0)]


@pytest.mark.slow
def test_and_where_the_study_makes_its_runs(
    taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMC_RUNS", str(tmp_path / "runs"))
    file = tmp_path / "small.toml"
    file.write_text(
        'title = "t"\ntasks = ["micro.sense"]\nseeds = [1]\n'
        f'[models.m]\nbackend = "bert"\nmodel = "{taught}"\nconfig = "bert-micro"\n'
        '[[arms]]\nname = "floor"\nbaseline = "bow"\n'
        '[[arms]]\nname = "tuned"\nmode = "finetune"\nmodel = "m"\n'
        "set = { length = 64, task = { train = 16 }, training = { steps = 2 } }\n"
    )
    told = compare.compare([str(file)], [], jobs=1, data=None, note=lambda sentence: None)
    assert told.arms == ("floor", "tuned, from micro.sentiment")
    assert compare.of_runs([str(tmp_path / "runs" / "small")]).arms == told.arms


def test_its_head_is_a_fresh_one_and_its_encoder_is_not(taught: Path, plain: Path, tmp_path: Path) -> None:
    """A rate that moves nothing: what the run ends with is what it began with."""
    run(tmp_path / "same", taught, "micro.sentiment", rate=1e-12)
    head = load_file(tmp_path / "same" / "model" / "task.safetensors")
    trained = load_file(taught / "model" / "task.safetensors")
    config = Transfer.model_validate(results.read(taught).config)
    task = results.read(taught).config["task"]
    from lmcompare.experiments.task_data import read_task

    drawn = TaskLearner(Bert.load(plain), read_task(task, None).task, config.transfer)
    drawn.draw(config.seed)
    fresh = drawn.own_state()
    assert head.keys() == fresh.keys() == trained.keys()
    for name, tensor in head.items():
        torch.testing.assert_close(tensor, fresh[name], atol=1e-9, rtol=0)
    assert any((trained[name] - tensor).abs().max() > 1e-4 for name, tensor in head.items())
    start, end = (Bert.load(r / "model").encoder.state_dict() for r in (taught, tmp_path / "same"))
    assert all((start[k] - end[k]).abs().max() < 1e-9 for k in start)
    first = Bert.load(plain).encoder.state_dict()
    assert any((start[k] - first[k]).abs().max() > 1e-4 for k in start)


def test_it_goes_along_when_the_folder_is_copied(taught: Path, tmp_path: Path) -> None:
    away = tmp_path / "elsewhere"
    shutil.copytree(taught / "model", away)
    for name in ("task.json", "task.safetensors", files.MANIFEST):
        (away / name).unlink()
    assert run(tmp_path / "run", away, "micro.sense")["lineage"] == [FIRST]
    from transformers import AutoModel

    assert AutoModel.from_pretrained(away).config.hidden_size == 16  # others pass over the file


def test_our_own_folder_misses_it_when_it_is_gone(taught: Path, tmp_path: Path) -> None:
    shutil.copytree(taught / "model", tmp_path / "model")
    (tmp_path / "model" / lineage.FILE).unlink()
    with pytest.raises(ModelError, match=r"lineage\.json is missing"):
        run(tmp_path / "run", tmp_path / "model", "micro.sense")


def test_a_random_start_has_none(taught: Path, tmp_path: Path) -> None:
    told = run(tmp_path / "drawn", taught, "micro.sense", weights="random")
    assert told["lineage"] == []
    assert compare.of_runs([str(tmp_path / "drawn")]).arms == ("bert finetune, random start",)
    assert lineage.read(tmp_path / "drawn" / "model" / lineage.FILE) == [
        {"did": "finetune", "task": "micro.sense", "run": "drawn"}
    ]


def test_a_run_from_before_lineages_is_known_by_its_config(taught: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(taught, old)
    (old / "model" / lineage.FILE).unlink()
    manifest = json.loads((old / "model" / files.MANIFEST).read_text())
    del manifest["sha256"][lineage.FILE]
    (old / "model" / files.MANIFEST).write_text(json.dumps(manifest))
    record = json.loads((old / "run.json").read_text())
    record["config"]["model"] = "runs/gone-long-ago"
    (old / "run.json").write_text(json.dumps(record))
    assert run(tmp_path / "next", old, "micro.sense")["lineage"] == [FIRST | {"run": "old"}]


def test_a_run_that_has_no_result_yet_is_named_too(taught: Path, tmp_path: Path) -> None:
    class Trips(Progress):
        def update(self, done: int, *, loss: float | None = None, tokens: int = 0) -> None:
            raise RuntimeError("the lights went out")

    config = configs.resolve(Transfer, table(taught) | {"task": {"name": "micro.sense", "train": 16}})
    with pytest.raises(RuntimeError):
        transfer(config, progress=Trips(), out=tmp_path / "broken")
    assert compare.of_runs([str(tmp_path / "broken")]).arms == ("bert finetune, from micro.sentiment",)
    shutil.copytree(tmp_path / "broken", tmp_path / "orphan")
    record = json.loads((tmp_path / "orphan" / "run.json").read_text())
    record["config"]["model"] = "nobody/knows-it"  # no hub is ever asked for a table
    (tmp_path / "orphan" / "run.json").write_text(json.dumps(record))
    assert compare.of_runs([str(tmp_path / "orphan")]).arms == ("bert finetune",)


def test_several_tasks_are_one_step(plain: Path, taught: Path, tmp_path: Path) -> None:
    tasks = [{"name": name, "train": 16} for name in PAIR]
    config = configs.resolve(Multitask, table(taught) | {"tasks": tasks})
    told = multitask(config, progress=Progress(), out=tmp_path / "both")
    assert told["lineage"] == [FIRST]
    parts = compare.of_runs([str(tmp_path / "both")])
    assert parts.arms == ("bert finetune, from micro.sentiment, with 1 other task",)
    after = run(tmp_path / "after", tmp_path / "both", "micro.paraphrase")
    assert after["lineage"][1:] == [{"did": "multitask", "tasks": list(PAIR), "run": "both"}]
    arms = compare.of_runs([str(tmp_path / "after")]).arms
    assert arms == ("bert finetune, from micro.sentiment, then micro.sense + micro.similarity",)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"steps": 3}', '{"steps": [1]}', '{"steps": [{"task": "mnli"}]}', "\xff"]
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / lineage.FILE
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError) as caught:
        lineage.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_step_names_a_corpus_without_its_place(tmp_path: Path) -> None:
    at = {"objective": {}, "corpus": {"path": "/somewhere/of/mine/books/"}}
    assert lineage.step(at, "r") == {"did": "pretrain", "corpus": "books", "run": "r"}
    at["corpus"] = {"path": "task:sst2"}
    steps = [lineage.step(at, "r")]
    assert steps == [{"did": "pretrain", "corpus": "task:sst2", "run": "r"}]
    assert lineage.taught(steps) == []
    lineage.write(tmp_path, steps)
    assert lineage.read(tmp_path / lineage.FILE) == steps


def test_word_vectors_in_a_file_have_none(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("the 0.1 0.2\n")
    assert lineage.before({"model": str(path)}) == []


def test_two_seeds_of_one_checkpoint_have_one_start() -> None:
    """What a seed draws beside it, as GPT's markers are, makes another hash of all weights."""
    seeds = [{"weights": "pretrained", "start_hash": "a", "model_hash": f"a{seed}"} for seed in (1, 2)]
    assert lineage.one_start(*seeds)
    assert not lineage.one_start(seeds[0], {**seeds[1], "start_hash": "b"})
    drawn = [{"weights": "random", "start_hash": None, "model_hash": f"r{seed}"} for seed in (1, 2)]
    assert lineage.one_start(*drawn) and not lineage.one_start(seeds[0], drawn[0])
    old = [{"weights": "pretrained", "model_hash": value} for value in "aab"]
    assert lineage.one_start(*old[:2]) and not lineage.one_start(*old[1:])
