"""The commands around ELMo once, on a corpus of a few lines: training, both modes, the LMs that came before."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lmcompare.cli import app
from lmcompare.errors import UserError
from tests.smoke.test_cli import answer, lmc, sets

BILM = [
    "backend.cells=10", "backend.projection=6", "backend.characters=4", "backend.filters=[[1, 4], [2, 6]]",
    "backend.highways=1", "training.steps=6", "training.batch=4", "training.eval_every=3", "objective.unroll=5",
]  # fmt: skip
SMALL = ["task.train=32", "training.epochs=1", "length=48"]
COMMON = ["--task", "micro.sense", "--seed", "1"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("elmo")
    lines = [
        f"the {a} {b} was {c}."
        for a in ("old", "new", "red")
        for b in ("cat", "dog")
        for c in ("here", "far")
    ]
    path = place / "text.txt"
    path.write_text("\n\n".join("\n".join(lines[i : i + 4]) for i in range(9)) * 3)
    return path


@pytest.fixture(scope="module")
def model(text: Path) -> Path:
    out = text.with_name("model")
    told = answer("pretrain", "elmo", "--corpus", text, "--out", out, *sets(BILM))
    dev = told["metrics"]["dev"]
    assert dev["positions"] > 10 and dev["forward_perplexity"] > 1 and dev["backward_perplexity"] > 1
    return out


def test_both_modes_and_the_answers_again(model: Path, text: Path) -> None:
    for command in ("features", "finetune"):
        out = text.with_name(command)
        told = answer(
            command, "elmo", *COMMON, "--model", model, "--config", "elmo-micro", "--out", out, *sets(SMALL)
        )
        again = answer("eval", out, "--split", "test")
        assert again["metrics"] == told["metrics"]["test"]
    assert answer("eval", model)["metrics"]["positions"] > 10


def test_the_way_of_the_mix_and_the_states(model: Path, text: Path) -> None:
    def features(name: str, *settings: str) -> dict[str, Any]:
        out = text.with_name(name)
        common = ["features", "elmo", *COMMON, "--model", model, "--config", "elmo-micro", "--out", out]
        return answer_or_more(*common, *sets([*SMALL, *settings]))

    both = features("both", "transfer.place=both")
    assert len(both["layer_mix"]) == len(both["layer_mix_output"]) == 3
    assert features("last", "transfer.layers=last", "transfer.mix_decay=0.0")["layer_mix"] is None
    assert features("stateful", "transfer.stateful=true")["primary"]["value"] is not None
    out = text.with_name("wrong")
    words = ["features", "elmo", *COMMON, "--model", model, "--config", "elmo-micro", "--out", out]
    assert "these do: bilstm" in refused(*words, *sets([*SMALL, "transfer.reader.name=bidaf"]))


def refused(*arguments: Any) -> str:
    error = CliRunner().invoke(app, [str(a) for a in arguments]).exception
    assert isinstance(error, UserError)
    return str(error)


def answer_or_more(*arguments: Any) -> dict[str, Any]:
    """A result that may have keys beside those of every run."""
    return json.loads(lmc(*arguments, "--json"))


def test_going_on_with_the_text_of_a_task(model: Path, text: Path) -> None:
    out = text.with_name("adapted")
    told = answer(
        "pretrain", "elmo", "--model", model, "--corpus", "task:micro.sentiment", "--out", out, *sets(BILM)
    )
    assert told["corpus"] == "task:micro.sentiment"
    fresh = text.with_name("fresh")
    alone = answer("pretrain", "elmo", "--corpus", "task:micro.sentiment", "--out", fresh, *sets(BILM))
    assert told["parameters"] != alone["parameters"]  # its softmax is that of the words it knew


def test_what_came_before(text: Path) -> None:
    counted = answer("baseline", "kneser-ney", "--corpus", text, row="baseline --corpus")
    few = ["training.epochs=1", "training.batch=4", "backend.width=8"]
    for config in ("feedforward-micro", "static-micro"):
        out = text.with_name(config)
        told = answer("pretrain", "static", "--config", config, "--corpus", text, "--out", out, *sets(few))
        if config == "feedforward-micro":
            assert told["metrics"]["dev"]["positions"] == counted["metrics"]["dev"]["positions"]
    out = text.with_name("static-features")
    words = ["--model", text.with_name("static-micro"), "--config", "static-micro", "--out", out]
    answer("features", "static", *COMMON, *words, *sets(SMALL))


def test_convert(model: Path, text: Path) -> None:
    told = answer("convert", model, "--out", text.with_name("released"))
    assert told["files"] == ["options.json", "weights.hdf5"]
    assert "exists already" in refused("convert", model, "--out", text.with_name("released"))
