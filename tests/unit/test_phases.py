"""How long a pretraining is, and in what parts: budgets in steps, tokens and minutes; phases with schedules of their
own."""

import time
from pathlib import Path
from typing import Any

import pytest

from lmcompare import budget, results
from lmcompare import config as configs
from lmcompare.checkpoints import State
from lmcompare.errors import UserError
from lmcompare.experiments.pretrain import pretrain
from lmcompare.progress import Progress

TEXT = "\n\n".join(
    "\n".join(f"the {a} {b} the {c} ." for a in ("cat", "dog", "bird") for b in ("saw", "met"))
    for c in ("mat", "tree", "house", "river", "road", "hill") * 4
)
TABLE: dict[str, Any] = {
    "backend": {"name": "bert", "layers": 1, "width": 8, "heads": 2, "positions": 32, "dropout": 0.0},
    "tokenizer": {"name": "wordpiece", "size": 60, "min_frequency": 1},
    "objective": {"name": "mlm_nsp", "length": 24, "passes": 1},
    "optimizer": {"name": "adamw", "rate": 1e-2},
    "schedule": {"name": "linear", "warmup": 0.25},
    "training": {"batch": 4, "log_every": 1},
}


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, **tables: Any) -> tuple[dict[str, Any], list[Any]]:
    monkeypatch.setenv("LMC_CACHE", str(folder / "cache"))
    (folder / "corpus.txt").write_text(TEXT)
    table = configs.merge(TABLE, {"corpus": {"path": str(folder / "corpus.txt")}, **tables})
    result = pretrain(configs.resolve(configs.Pretrain, table), progress=Progress(), out=folder / "run")
    return result, [row for row in results.read_lines(folder / "run" / "log.jsonl") if "loss" in row]


def test_a_budget_in_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the first step that reaches it, and the rate has come down to nearly nothing by then."""
    result, rows = run(tmp_path, monkeypatch, training={"tokens": 2000, "steps": 3, "epochs": 1.0})
    assert result["stopped"] == "tokens" and 2000 <= result["tokens"] < 2000 + 4 * 24
    assert len(rows) == result["steps"] > 15
    rates = [row["rate"] for row in rows]
    assert max(rates) > 9e-3 and rates[-1] < 1e-3 and rates[0] < 2e-3


def test_a_budget_in_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    result, rows = run(tmp_path, monkeypatch, training={"minutes": 0.03, "eval_every": 1000})
    assert result["stopped"] == "minutes"
    assert 1.8 < time.monotonic() - began < 60  # 1.8 seconds of training, and what is around it
    rates = [row["rate"] for row in rows]
    top = rates.index(max(rates))
    assert 0 < top < len(rates) - 1 and rates[-1] < 0.5 * max(rates)


def test_the_first_budget_that_is_set_counts() -> None:
    every = {"minutes": 0.5, "tokens": 70, "steps": 9, "epochs": 2.0}
    told = []
    for name in ("minutes", "tokens", "steps", "epochs"):
        told.append(budget.of(configs.Training(**every), per_epoch=5))
        every.pop(name)
    assert [(b.unit, b.total) for b in told] == [
        ("minutes", 30_000), ("tokens", 70), ("steps", 9), ("steps", 10)
    ]  # fmt: skip
    assert budget.of(configs.Training(), per_epoch=5).total == 5
    state = State(step=12, began=9, tokens=100, began_tokens=80, clock=7)
    assert [b.used(state) for b in told] == [7, 20, 3, 3]
    assert not told[1].over(state) and told[1].over(State(tokens=150, began_tokens=80))


def test_phases_have_schedules_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second goes on with the first one's weights, warms up again, and reads longer instances."""
    phases = (
        {"objective": {"length": 12}, "training": {"steps": 12}},
        {"training": {"steps": 8, "batch": 2}, "schedule": {"warmup": 0.5}},
    )
    result, rows = run(tmp_path, monkeypatch, phases=phases)
    assert [row["step"] for row in rows] == list(range(1, 21))
    rates = [row["rate"] for row in rows]
    assert rates.index(max(rates[:12])) == 2 and rates[11] < 2e-3  # of 12 steps, 3 warm up
    assert rates[12] == pytest.approx(1e-2 / 4) and rates[12 + 3] == max(rates[12:]) == pytest.approx(1e-2)
    assert result["steps"] == 20 and 12 < result["best_step"] <= 20
    first, second = rows[11]["loss"], rows[12]["loss"]
    assert second < rows[0]["loss"] - 0.3 * (rows[0]["loss"] - first)  # what was learned is still there


def test_phases_that_cannot_be(tmp_path: Path) -> None:
    table = configs.merge(TABLE, {"corpus": {"path": "x"}})
    for phases, told in (
        ([{"objective": {"name": "mlm"}}, {}], "one objective"),
        ([{"objective": {"lenght": 12}}], "did you mean 'length'"),
        ([{"backend": {"layers": 3}}], "unknown key"),
    ):
        with pytest.raises(UserError, match=told):
            configs.resolve(configs.Pretrain, {**table, "phases": phases}).parts()


def test_presets_with_phases_are_whole() -> None:
    table = configs.merge(configs.read_table("bert-base", "pretrain"), {"corpus": {"path": "x"}})
    first, second = configs.resolve(configs.Pretrain, table).parts()
    assert (first.objective["length"], second.objective["length"]) == (128, 512)
    assert (first.objective["most_masked"], second.objective["most_masked"]) == (20, 77)
    assert first.training.steps == 9 * (second.training.steps or 0)
