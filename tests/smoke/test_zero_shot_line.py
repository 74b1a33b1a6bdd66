"""`lmc eval --zero-shot` on a GPT of a few steps: what a person sees, the JSON keys, the refusals."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lmcompare.cli import app
from lmcompare.errors import UserError
from tests.smoke.test_cli import TINY, answer, documented, folder, lmc, sets

__all__ = ["folder"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    out = folder / "gpt"
    lmc("pretrain", "gpt", "--corpus", folder / "text.txt", "--out", out, *sets(TINY))
    return out


@pytest.mark.parametrize(
    ("task", "metric", "told"),
    [
        ("micro.acceptability", "matthews", "zero-shot: good where the mean log-probability of a token is -"),
        (
            "micro.sentiment",
            "accuracy",
            "the text and 'everyone was': 'sad' for negative, 'glad' for positive",
        ),
        ("micro.continuation", "accuracy", "zero-shot: the option with the highest mean log-probability"),
    ],
)
def test_a_model_that_was_taught_no_task_answers(model: Path, task: str, metric: str, told: str) -> None:
    value = json.loads(lmc("eval", model, "--zero-shot", "--task", task, "--split", "dev", "--json"))
    assert set(value) == documented()["eval"] | {"zero_shot"}
    assert (value["run"], value["task"], value["split"], value["examples"]) == ("gpt", task, "dev", 200)
    assert set(value["data_hashes"]) == {"dev"} and value["data_state"] == {}  # it is made here
    assert set(value["predictions"][0]) == {"id", "label", "prediction", "scores"}
    assert metric in value["metrics"]
    text = lmc("eval", model, "--zero-shot", "--task", task, "--split", "dev")
    assert text.startswith("gpt on dev, 200 examples\n" + metric) and told in text
    cut = value["zero_shot"]["truncated"]
    assert (f"note: longer than the model's positions: {cut} examples\n" in text) == (cut > 0)
    assert cut == 0 or task == "micro.continuation"  # a context and an option, almost letter by letter
    assert ("without looking: accuracy" in text) == (metric == "accuracy")


def test_the_folder_alone_answers_the_same(model: Path) -> None:
    asked = ("--zero-shot", "--task", "micro.sentiment", "--json")
    of_run, of_folder = (json.loads(lmc("eval", place, *asked)) for place in (model, model / "model"))
    assert of_folder | {"run": "gpt"} == of_run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--zero-shot",), "--zero-shot needs a --task"),
        (("--zero-shot", "--task", "cola", "--submission", "out.zip"), "--zero-shot needs a --task"),
        (("--task", "micro.sentiment"), "was taught no task; --zero-shot asks it micro.sentiment"),
        (("--backend", "gpt"), "--backend goes with --zero-shot alone"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_bare_model_is_asked_by_zero_shot_alone(
    model: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = CliRunner().invoke(app, ["eval", str(model), *arguments])
    assert isinstance(result.exception, UserError) and message in str(result.exception)


def test_without_it_the_run_answers_as_before(model: Path) -> None:
    value = answer("eval", model)
    expected = json.loads((model / "result.json").read_text())["metrics"]["dev"]
    assert value["metrics"] == pytest.approx(expected, rel=1e-5)
