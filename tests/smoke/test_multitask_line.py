"""The commands around several tasks once: together, asked again, one from another's checkpoint, in one table."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lmcompare import models
from lmcompare.cli import app
from lmcompare.errors import UserError
from tests.smoke.test_cli import TINY, answer, folder, lmc, sets

__all__ = ["folder"]
pytestmark = pytest.mark.slow

ROW = "finetune --task A --task B"
TASKS = ("micro.sense", "micro.similarity", "micro.entities")
SMALL = ["task.train=24", "training.epochs=1", "length=48"]


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    out = folder / "bert-together"
    lmc("pretrain", "bert", "--corpus", folder / "text.txt", "--out", out, *sets(TINY))
    return out


@pytest.fixture(scope="module")
def together(model: Path) -> Path:
    out = model.with_name("together")
    words = [word for task in TASKS for word in ("--task", task)]
    told = answer(
        "finetune", "bert", *words, "--model", model, "--config", "bert-multitask", "--out", out, *sets(SMALL),
        row=ROW,
    )  # fmt: skip
    assert told["tasks"] == list(TASKS) and told["steps"] == 3
    assert told["lineage"] == [{"did": "pretrain", "corpus": "text.txt", "run": "bert-together"}]
    return out


def test_it_is_asked_again_and_shown(together: Path) -> None:
    for task in TASKS:
        part = together / "tasks" / task
        kept = json.loads((part / "result.json").read_text())
        assert answer("eval", part, "--split", "test")["metrics"] == kept["metrics"]["test"]
        assert "finished" in lmc("show", part)
    shown = lmc("show", together)
    assert "finished" in shown and "micro.entities" in shown
    words = [word for task in TASKS for word in ("--task", task)]
    common = ["--model", together.with_name("bert-together"), "--config", "bert-multitask", "--out", together]
    text = lmc("finetune", "bert", *words, *common, *sets(SMALL))
    assert "finished already" in text and "micro.entities.entity_f1" in text
    error = CliRunner().invoke(app, ["eval", str(together)]).exception
    assert isinstance(error, UserError) and "tasks/micro.sense" in str(error)


def test_one_table_and_no_mistaking_who_started_where(model: Path, together: Path) -> None:
    def tuned(start: Path, name: str, task: str = "micro.sense") -> dict[str, Any]:
        out = model.with_name(name)
        return answer(
            "finetune", "bert", "--task", task, "--model", start, "--out", out, *sets(SMALL), row="finetune"
        )

    tuned(model, "alone")
    first = tuned(model, "first", "micro.paraphrase")
    assert tuned(model.with_name("first"), "second")["lineage"] == [
        *first["lineage"],
        {"did": "finetune", "task": "micro.paraphrase", "run": "first"},
    ]
    tuned(together, "after")
    runs = [together, *(model.with_name(name) for name in ("alone", "second", "after"))]
    arms = answer("compare", *runs)["arms"]
    assert [arm.split(", ")[1:2] for arm in arms] == [
        ["with 2 other tasks"],
        [],
        ["from micro.paraphrase"],
        ["from micro.sense + micro.similarity + micro.entities"],
    ]
    assert models.family(str(together)) == "bert"


def test_the_encoder_of_the_run_is_a_model_like_any_other(together: Path) -> None:
    import transformers

    assert transformers.AutoModel.from_pretrained(together / "model").config.hidden_size == 16


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--task", "micro.sense", "--task", "micro.sense"], "given twice"),
        (["--task", "micro.sense", "--task", "micro.nonsense"], "unknown task 'micro.nonsense'"),
        (["--task", "micro.sense", "--task", "micro.similarity", "--set", "mixing=2"], "mixing"),
        (["--task", "micro.sense", "--set", "mixing=0.5"], "unknown key 'mixing'"),
    ],
)
def test_mistakes_are_one_sentence(model: Path, words: list[str], told: str) -> None:
    error = CliRunner().invoke(app, ["finetune", "bert", *words, "--model", str(model)]).exception
    assert isinstance(error, UserError) and told in str(error)
