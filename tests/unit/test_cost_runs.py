"""What real runs say of their cost: features before and after their layers are kept, tuning, the floor, `eval`."""

from pathlib import Path
from typing import Any

import pytest

from lmcompare import config as configs
from lmcompare import files, micro, results
from lmcompare.backends.bert import Bert
from lmcompare.config import Baseline, Transfer
from lmcompare.experiments.baseline import baseline
from lmcompare.experiments.compare import of_runs
from lmcompare.experiments.evaluate import evaluate
from lmcompare.experiments.transfer import transfer
from lmcompare.progress import Progress
from lmcompare.statistics import summarize
from lmcompare.text.wordpiece import train_wordpiece

pytestmark = pytest.mark.slow

Result = dict[str, Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Features twice over the same layers, fine-tuning, and the floor, on a network that has learned nothing."""
    place = tmp_path_factory.mktemp("runs")
    sentences = [s for document in micro.world(0).documents(60) for s in document]
    made = Bert(train_wordpiece(sentences, size=300), layers=1, width=16, heads=2, positions=64)
    made.draw(1)
    made.save(place / "plain")
    patch = pytest.MonkeyPatch()
    patch.setenv("LMC_CACHE", str(place / "cache"))

    def run(name: str, mode: str, seed: int) -> Result:
        table = {
            "backend": "bert",
            "model": str(place / "plain"),
            "task": {"name": "micro.sentiment", "train": 32},
            "transfer": {"name": mode},
            "length": 48,
            "seed": seed,
            "optimizer": {"name": "adamw", "rate": 3e-3},
            "schedule": {"name": "linear"},
            "training": {"batch": 8, "epochs": 1},
        }
        settings = configs.resolve(Transfer, table)
        return transfer(settings, progress=Progress(), out=place / name)

    found = {
        "first": run("first", "features", 1),
        "second": run("second", "features", 2),
        "tuned": run("tuned", "finetune", 1),
    }
    task = {"name": "micro.sentiment", "train": 32}
    floor = configs.resolve(Baseline, {"baseline": {"name": "bow"}, "task": task})
    found["floor"] = baseline(floor, progress=Progress(), out=place / "floor")
    for result in found.values():
        result["path"] = place / result["run"]
    found["cache"] = {"path": place / "cache"}
    yield found
    patch.undo()


def test_layers_are_computed_once_and_the_second_run_knows_how_long_it_took(runs: dict[str, Result]) -> None:
    first, second = (runs[name]["cost"]["features"] for name in ("first", "second"))
    assert first["computed_seconds"] > 0 and second["computed_seconds"] == 0
    assert first["seconds"] == second["seconds"] > 0
    assert first["bytes"] == second["bytes"] == files.size(runs["cache"]["path"] / "features")
    assert runs["tuned"]["cost"]["features"] is None


def test_an_answer_is_timed_and_costs_more_where_its_layers_are_computed(runs: dict[str, Result]) -> None:
    for name in ("first", "second", "tuned"):
        result = runs[name]
        told = result["cost"]["inference"]
        assert told["milliseconds"] > 0 and told["batch"] == 64 and told["batches"] > 0
        held = sum(count for split, count in result["examples"].items() if split != "train")
        assert 0 < told["examples"] < held  # a first batch of each split is left out
    for name in ("first", "second"):
        told = runs[name]["cost"]["inference"]
        assert told["cold_milliseconds"] > told["milliseconds"]
    assert runs["tuned"]["cost"]["inference"]["cold_milliseconds"] is None
    assert runs["floor"]["cost"]["inference"]["milliseconds"] > 0


def test_disk_is_that_of_what_the_run_keeps(runs: dict[str, Result]) -> None:
    for name in ("first", "tuned"):
        assert runs[name]["cost"]["model_bytes"] == files.size(runs[name]["path"] / "model")
    assert runs["floor"]["cost"]["model_bytes"] is None
    encoder = files.size(runs["first"]["path"].parent / "plain")
    tuned, frozen = (runs[name]["cost"] for name in ("tuned", "first"))
    assert tuned["needed_bytes"] == tuned["model_bytes"] > encoder / 2
    assert frozen["needed_bytes"] == frozen["model_bytes"] + encoder
    assert runs["floor"]["cost"]["needed_bytes"] is None


def test_energy_is_a_reading_or_a_reason(runs: dict[str, Result]) -> None:
    for name in ("first", "tuned", "floor"):
        told = runs[name]["cost"]["energy"]
        assert (told["joules"] is None) != (told["reason"] is None)
        assert bool(told["of"]) == (told["joules"] is not None)
        assert runs[name]["cost"]["lost_attempts"] == 0


def test_layers_of_a_cache_that_does_not_say_or_of_another_machine_have_no_cold_time(
    runs: dict[str, Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from lmcompare.experiments.spent import layers_seconds

    assert layers_seconds([{"seconds": 1.0, "on": "cpu"}, {}], "cpu")[0] is None
    seconds, reason = layers_seconds([{"seconds": 1.0, "on": "a GPU"}], "cpu")
    assert seconds is None and "a GPU" in str(reason)
    assert layers_seconds([{"seconds": 1.0, "on": "cpu"}, {"seconds": 2.0, "on": "cpu"}], "cpu") == (
        3.0,
        None,
    )


def test_an_evaluation_tells_what_an_answer_takes(runs: dict[str, Result]) -> None:
    told = evaluate(runs["tuned"]["path"], "test")
    assert told["inference"]["milliseconds"] > 0
    assert evaluate(runs["floor"]["path"], "test")["inference"] is None  # it keeps its answers


def test_a_comparison_has_it_an_arm(runs: dict[str, Result]) -> None:
    found = of_runs([str(runs[name]["path"]) for name in ("first", "second", "tuned", "floor")])
    rows = {row.arm: row for row in found.costs}
    assert rows["bert features"].runs == 2
    first, second = (runs[name] for name in ("first", "second"))
    mean = (first["seconds"] + second["seconds"]) / 2
    assert rows["bert features"].figures["seconds"].mean == pytest.approx(mean)
    cached = mean - first["cost"]["features"]["computed_seconds"] / 2
    assert rows["bert features"].figures["seconds_cached"].mean == pytest.approx(cached, abs=2e-3)
    assert rows["bert finetune"].figures["trained"].mean == runs["tuned"]["parameters"]["trained"]
    assert rows["baseline bow"].figures["trained"].mean is None
    assert "costs" in found.to_json()


def test_a_run_that_was_killed_has_no_time_in_the_means(runs: dict[str, Result]) -> None:
    record = results.read(runs["tuned"]["path"])
    assert record.result is not None
    record.result["cost"]["lost_attempts"] = 1
    found = summarize([("tuned", record)], title="t")
    assert found.costs[0].figures["seconds"].mean is None
    assert found.costs[0].figures["milliseconds"].mean is not None
    assert found.runs[0].seconds is not None  # what its own result says stays
