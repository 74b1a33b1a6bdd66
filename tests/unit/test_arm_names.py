"""What a comparison calls its columns: runs that differ in more than their seed never stand in one without a word."""

from pathlib import Path
from typing import Any

import pytest

from lmcompare import config as configs
from lmcompare import statistics
from lmcompare.experiments.compare import arm_names
from lmcompare.results import Record
from tests import fake_runs

BILSTM, CRF = {"name": "bilstm", "hidden": 64}, {"name": "crf", "hidden": 200, "scheme": "BIOUL"}


def run(on: str = "rte", seed: int = 1, value: float | None = 0.5, **over: Any) -> Record:
    table: dict[str, Any] = {
        "backend": "bert",
        "model": "runs/one",
        "weights": "pretrained",
        "transfer": {"name": "finetune", "reader": None},
        "task": {"name": on},
        "seed": seed,
        "training": {"epochs": 3.0, "log_every": 20, "micro": None},
    }
    made = fake_runs.finished("", on, seed, value, run=f"{on}-{seed}-{len(str(over))}")[1]
    return Record(
        Path(made.run), made.run, "finished", configs.merge(table, over), made.result, None, made.log
    )


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({"examples": 30}, "examples=30"),
        ({"redraw_top": 2}, "redraw_top=2"),
        ({"transfer_layers": 0}, "transfer_layers=0"),
        ({"transfer": {"reader": BILSTM}}, "transfer.reader.name=bilstm"),
        ({"length": 64, "examples": 30}, "examples=30, length=64"),
        ({"task": {"train": 32}}, "task.train=32"),
        ({"training": {"buckets": False}}, "training.buckets=false"),
    ],
)
def test_what_differs_is_said_and_nothing_else(over: dict[str, Any], told: str) -> None:
    plain, other = arm_names([run(), run(seed=2, **over)])
    assert plain == "bert finetune"
    assert other.removeprefix("bert finetune, ").split(", ") == told.split(", ")


def test_what_changes_no_answer_is_never_said() -> None:
    more = {"training": {"log_every": 1, "micro": 8, "keep": 9}, "data_seed": 7}
    assert arm_names([run(), run(seed=2, **more)]) == ["bert finetune"] * 2


def test_both_values_are_said_where_both_are_set() -> None:
    few, more = (run(seed=seed, training={"epochs": epochs}) for seed, epochs in ((1, 3.0), (2, 10.0)))
    assert arm_names([few, more]) == [
        "bert finetune, training.epochs=3.0",
        "bert finetune, training.epochs=10.0",
    ]


def test_components_are_told_apart_by_name_and_then_by_what_each_has() -> None:
    readers = [BILSTM, BILSTM | {"hidden": 128}, CRF]
    runs = [run(seed=n, transfer={"name": "features", "reader": reader}) for n, reader in enumerate(readers)]
    assert arm_names(runs) == [
        "bert features, transfer.reader.name=bilstm, transfer.reader.hidden=64",
        "bert features, transfer.reader.name=bilstm, transfer.reader.hidden=128",
        "bert features, transfer.reader.name=crf",
    ]


def test_tasks_may_have_settings_of_their_own() -> None:
    """A length that goes with the task is one arm; a difference within one task is named on all of them."""
    own = [run(), run("squad", length=384)]
    assert arm_names(own) == ["bert finetune"] * 2
    names = arm_names([*own, run(seed=2, examples=30), run("squad", seed=2, length=384, examples=30)])
    assert names == ["bert finetune"] * 2 + ["bert finetune, examples=30"] * 2


def test_no_mean_is_over_two_settings() -> None:
    records = [run(seed=1, value=0.9), run(seed=2, value=0.1, examples=30)]
    table = statistics.summarize(list(zip(arm_names(records), records, strict=True)), title="t")
    assert [(cell.n, cell.mean) for cell in table.cells] == [(1, 0.9), (1, 0.1)]


def test_models_are_named_before_their_settings() -> None:
    records = [run(), run(model="runs/two"), run(model="runs/two", seed=2, examples=30)]
    assert arm_names(records) == [
        "bert finetune, one",
        "bert finetune, two",
        "bert finetune, two, examples=30",
    ]
