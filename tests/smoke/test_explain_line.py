"""`lmc explain` over real runs of every kind: its command makes the same run again, its JSON has the README's keys."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.smoke.test_cli import TINY, documented, lmc, sets

SMALL = ["task.train=24", "training.epochs=1", "length=40"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("explain")
    lines = [f"the {a} dog was {b}." for a in ("old", "new", "red", "big") for b in ("here", "there", "gone")]
    (place / "text.txt").write_text("\n\n".join("\n".join(lines[i : i + 4]) for i in range(8)) * 3)
    lmc("pretrain", "bert", "--corpus", place / "text.txt", "--out", place / "model", *sets(TINY))
    return place / "model"


def explained(*runs: Any) -> dict[str, Any]:
    value = json.loads(lmc("explain", *runs, "--json"))
    assert set(value) == documented()["explain A B" if len(runs) == 2 else "explain"]
    return dict(value)


def made_again(told: dict[str, Any], out: Path) -> dict[str, Any]:
    first, *words = shlex.split(told["command"]["line"])
    assert first == "lmc" and told["command"]["exact"]
    return dict(json.loads(lmc(*words, "--out", out, "--json")))


def test_a_pretraining_is_explained(model: Path) -> None:
    told = explained(model)
    assert told["kind"] == "pretrain" and told["figure"]["metrics"]["dev"] and told["example"] is None
    assert made_again(told, model)["already"] is True
    text = lmc("explain", model)
    assert "pretraining, finished" in text and "network" in text and "layers 1" in text


@pytest.mark.parametrize("mode", ["finetune", "features"])
def test_a_transfer_is_explained_down_to_an_example(model: Path, tmp_path: Path, mode: str) -> None:
    out = tmp_path / "run"
    words = (
        mode,
        "bert",
        "--task",
        "micro.entailment",
        "--model",
        model,
        "--config",
        "bert-micro",
        *sets(SMALL),
    )
    result = json.loads(lmc(*words, "--seed", 2, "--out", out, "--json"))
    told = explained(out)
    assert told["figure"]["value"] == result["primary"]["value"] and told["seeds"] == {
        "weights": 2,
        "order": 2,
    }
    (step,) = told["model"]["lineage"]
    assert step["did"] == "pretrain" and step["run"] == "model" and step["steps"] == 6
    seen = told["example"]
    first = json.loads((out / "predictions-test.jsonl").read_text().splitlines()[0])
    assert seen["seen"].startswith("[CLS] ") and seen["seen"].count("[SEP]") == 2
    assert (seen["id"], seen["gold"], seen["answer"]) == (first["id"], first["label"], first["prediction"])
    assert told["command"]["settings"] == {"task.train": 24, "training.epochs": 1.0, "length": 40}
    assert made_again(told, out)["already"] is True
    text = " ".join(lmc("explain", out).split())
    for words in (
        "pretrain on text.txt (model)",
        "6 steps",
        "reads [CLS]",
        "adamw",
        "2 for the weights",
        "float32",
    ):
        assert words in text, words
    other = tmp_path / "other"
    assert made_again(told, other)["metrics"] == result["metrics"]
    both = explained(out, other)
    assert both["number"] == "nothing" and both["answers"]["agree"] == both["answers"]["examples"]


def test_one_of_several_tasks_is_part_of_its_run(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "several"
    tasks = ("--task", "micro.sentiment", "--task", "micro.entailment")
    lmc("finetune", "bert", *tasks, "--model", model, "--config", "bert-micro", "--out", out, *sets(SMALL))
    whole = explained(out)
    assert whole["kind"] == "multitask" and whole["data"]["task"] == ["micro.sentiment", "micro.entailment"]
    assert made_again(whole, out)["already"] is True
    part = explained(out / "tasks" / "micro.entailment")
    assert part["part_of"] == "several" and part["command"] == whole["command"]
    assert part["example"]["seen"].startswith("[CLS]") and part["figure"]["metric"] == "accuracy"
    assert "fine-tuning on several tasks, finished" in lmc("explain", out)


def test_a_page_and_a_table_of_runs_that_are_not_alike(model: Path, tmp_path: Path) -> None:
    """Two arms that cannot fairly be compared: one is shown a quarter of the text."""
    runs = []
    for name, mode, length in (("long", "finetune", 40), ("short", "features", 8)):
        small = [*SMALL[:2], f"length={length}"]
        common = (
            "--task",
            "micro.entailment",
            "--model",
            model,
            "--config",
            "bert-micro",
            "--out",
            tmp_path / name,
        )
        lmc(mode, "bert", *common, *sets(small))
        runs.append(tmp_path / name)
    (mark,) = [m for m in json.loads(lmc("compare", *runs, "--json"))["marks"] if m["what"] == "truncation"]
    assert mark["arm"] == "bert features" and mark["level"] == "unfair" and "at 8 tokens" in mark["reason"]
    assert "†" in lmc("compare", *runs)
    lmc("report", *runs, "--out", tmp_path / "page.html")
    assert "Not quite alike" in (tmp_path / "page.html").read_text()
