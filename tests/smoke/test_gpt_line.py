"""The commands around GPT once, on a corpus of a few lines: both networks, both modes, the paper's controls."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lmcompare.cli import app
from lmcompare.errors import UserError
from lmcompare.experiments import studies
from tests.smoke.test_cli import TINY, answer, folder, lmc, sets

__all__ = ["folder"]
pytestmark = pytest.mark.slow

SMALL = ["task.train=32", "training.epochs=1", "length=48", "training.log_every=1"]
COMMON = ["--task", "micro.sense", "--seed", "1", "--config", "gpt-micro"]
NETWORKS = {"transformer": [], "lstm": ["backend.network=lstm", "backend.layers=1", "backend.cells=12"]}


@pytest.fixture(scope="module", params=NETWORKS)
def model(folder: Path, request: pytest.FixtureRequest) -> Path:
    out = folder / f"gpt-{request.param}"
    words = [*sets(TINY), *sets(NETWORKS[request.param])]
    told = answer("pretrain", "gpt", "--corpus", folder / "text.txt", "--out", out, *words)
    dev = told["metrics"]["dev"]
    assert dev["word_perplexity"] >= dev["perplexity"] > 1
    return out


def finetune(model: Path, name: str, *more: Any) -> dict[str, Any]:
    out = model.with_name(f"{model.name}-{name}")
    return answer("finetune", "gpt", *COMMON, "--model", model, "--out", out, *sets(SMALL), *more)


def test_the_two_losses_are_reported_apart(model: Path) -> None:
    told = finetune(model, "tuned")
    log = model.with_name(f"{model.name}-tuned") / "log.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines() if "losses" in line]
    for row in rows:
        assert set(row["losses"]) == {"task", "lm"}
        assert row["loss"] == pytest.approx(row["losses"]["task"] + 0.5 * row["losses"]["lm"], abs=1e-4)
    again = answer("eval", model.with_name(f"{model.name}-tuned"), "--split", "test")
    assert again["metrics"] == told["metrics"]["test"]
    finetune(model, "alone", "--set", "transfer.aux_lm=0")
    log = model.with_name(f"{model.name}-alone") / "log.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines() if "losses" in line]
    assert all(set(row["losses"]) == {"task"} for row in rows)


def test_some_layers_only_or_none(model: Path) -> None:
    kept = finetune(model, "kept", "--transfer-layers", "0")
    assert (kept["transfer_layers"], kept["weights"]) == (0, "pretrained")
    drawn = finetune(model, "drawn", "--random")
    assert (drawn["transfer_layers"], drawn["weights"]) == (None, "random")
    hashes = {finetune(model, "tuned")["model_hash"], kept["model_hash"], drawn["model_hash"]}
    assert len(hashes) == 3
    # Each seed draws its own marker tokens; the checkpoint behind them is one.
    other = finetune(model, "seed", "--seed", "2")
    assert other["model_hash"] not in hashes
    assert other["start_hash"] == kept["start_hash"] == finetune(model, "tuned")["start_hash"]
    assert drawn["start_hash"] is None
    words = ["finetune", "gpt", *COMMON, "--model", model, "--transfer-layers", "9"]
    error = CliRunner().invoke(app, [str(word) for word in words]).exception
    assert isinstance(error, UserError) and "9 is more than the" in str(error)


def test_features_vectors_and_the_corpus_again(model: Path) -> None:
    out = model.with_name(f"{model.name}-features")
    told = answer("features", "gpt", *COMMON, "--model", model, "--out", out, *sets(SMALL[:3]))
    assert len(told["layer_mix"]) == 2
    sentences = model.with_name("sentences.txt")
    sentences.write_text("the old cat\na new dog ran\n")
    answer("extract", model, "--text", sentences, "--out", model.with_name(f"{model.name}.npz"))
    assert answer("eval", model)["metrics"]["positions"] > 10
    adapted = [
        "--model",
        model,
        "--corpus",
        "task:micro.sentiment",
        "--out",
        model.with_name(f"{model.name}-on"),
    ]
    answer("pretrain", "gpt", *adapted, *sets([s for s in TINY if s.startswith(("training", "objective"))]))


def test_bert_has_no_second_loss(folder: Path) -> None:
    bert = folder / "bert-for-gpt"
    lmc("pretrain", "bert", "--corpus", folder / "text.txt", "--out", bert, *sets(TINY))
    words = ["finetune", "bert", "--task", "micro.sense", "--model", bert, "--set", "transfer.aux_lm=0.5"]
    error = CliRunner().invoke(app, [str(word) for word in words]).exception
    assert isinstance(error, UserError) and "does not read from left to right; gpt does" in str(error)


def test_the_ablation_takes_other_models_tasks_and_presets() -> None:
    chosen = ["models.gpt.config=gpt", "models.gpt.pretrain=", "models.gpt.model=runs/some", 'tasks=["cola"]']
    study = studies.read("gpt-ablation", chosen)
    jobs = studies.jobs(study, {"gpt": "runs/some", "lstm": "runs/other"})
    assert {job["config"]["optimizer"]["rate"] for job in jobs if job["arm"] == "GPT"} == {6.25e-5}
    arms = {job["arm"]: job["config"] for job in jobs}
    assert arms["no auxiliary LM"]["transfer"]["aux_lm"] == 0
    assert arms["no pretraining"]["weights"] == "random" and arms["LSTM"]["model"] == "runs/other"
