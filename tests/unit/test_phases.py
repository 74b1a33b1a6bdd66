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
    result, rows = run(tmp_path, monkeypatch, training={"tokens": 2000})
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


def test_every_budget_is_a_number_of_units() -> None:
    every = {"minutes": 0.5, "tokens": 70, "steps": 9, "epochs": 2.0}
    told = [budget.of(configs.Training(**{name: size}), per_epoch=5) for name, size in every.items()]
    assert tuple(every) == configs.ONE_OF["training"]
    assert [(b.unit, b.total) for b in told] == [
        ("minutes", 30_000), ("tokens", 70), ("steps", 9), ("steps", 10)
    ]  # fmt: skip
    assert budget.of(configs.Training(), per_epoch=5).total == 5
    state = State(step=12, began=9, tokens=100, began_tokens=80, clock=7)
    assert [b.used(state) for b in told] == [7, 20, 3, 3]
    assert not told[1].over(state) and told[1].over(State(tokens=150, began_tokens=80))


def test_a_budget_takes_the_place_of_the_one_below(tmp_path: Path) -> None:
    """A preset's that of its base, the command line's that of the preset; never are there two."""

    def budgets(table: dict[str, Any]) -> dict[str, Any]:
        return {key: table["training"][key] for key in configs.one_of("training", table["training"])}

    assert budgets(configs.read_table("bert-minutes", "pretrain")) == {"minutes": 30}
    tiny = configs.read_table("bert-tiny", "pretrain")
    for sets, left in (
        (["training.minutes=2"], {"minutes": 2}),
        (["training.tokens=70", "training.batch=2"], {"tokens": 70}),
        (["training.batch=2"], {"steps": 10000}),
        (["training={batch=2}", "training.epochs=3"], {"epochs": 3}),
    ):
        assert budgets(configs.assign(tiny, sets)) == left
    told = configs.resolve(configs.Pretrain, configs.assign(tiny, ["training.minutes=2"])).training
    assert told.minutes == 2 and told.steps is None
    mine = tmp_path / "mine.toml"
    mine.write_text('base = "bert-tiny"\n[training]\nepochs = 2\n')
    assert budgets(configs.read_table(str(mine), "pretrain")) == {"epochs": 2}


def test_two_budgets_in_one_place_are_refused(tmp_path: Path) -> None:
    told = "training: minutes and steps shut each other out"
    for base in ("", 'base = "bert-tiny"\n'):
        mine = tmp_path / "mine.toml"
        mine.write_text(f"{base}[training]\nsteps = 2\nminutes = 1\n")
        with pytest.raises(UserError, match=rf"^{mine}: {told}"):
            configs.read_table(str(mine), "pretrain")
    with pytest.raises(UserError, match=f"^--set: {told}"):
        configs.assign({}, ["training.steps=2", "training.minutes=1"])


def test_what_is_set_at_once_hangs_on_no_order() -> None:
    """A component with another name starts from nothing, and keeps what is said of it before its name is."""
    tiny = configs.read_table("bert-tiny", "pretrain")
    sets = ["optimizer.decay=0.5", "optimizer.name=bert_adam", "optimizer={rate=2.0}"]
    for order in (sets, sets[::-1]):
        told = configs.assign(tiny, order)["optimizer"]
        assert told == {"name": "bert_adam", "decay": 0.5, "rate": 2.0}


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
    table, short = configs.merge(TABLE, {"corpus": {"path": "x"}}), {"training": {"steps": 2}}
    second = "^phases, number 2: "
    for phases, told in (
        ([{"objective": {"name": "mlm"}, **short}, short], "one objective"),
        ([short, {"objective": {"lenght": 12}, **short}], f"{second}objective .*did you mean 'length'"),
        (
            [short, {"objective": {"name": "mlmnsp"}, **short}],
            f"{second}objective.name: .*did you mean 'mlm_nsp'",
        ),
        ([short, {"schedule": {"warmup": "long"}, **short}], f"{second}schedule.warmup: 'long'"),
        ([short, {"backend": {"layers": 3}}], "unknown key"),
        ([short, {"training": {"batch": 2}}], f"{second}it needs a budget: training.minutes or "),
        (
            [short, {"training": {"steps": 2, "tokens": 3}}],
            f"{second}training: tokens and steps shut each other",
        ),
    ):
        with pytest.raises(UserError, match=told):
            configs.resolve(configs.Pretrain, {**table, "phases": phases}).parts()


def test_a_budget_of_the_whole_stands_beside_no_phases() -> None:
    base = configs.read_table("bert-base", "pretrain")
    for key, value in (("minutes", 600), ("tokens", 10**9), ("steps", 5), ("epochs", 1)):
        table = configs.assign(base, [f"training.{key}={value}"])
        with pytest.raises(UserError, match=rf"^training\.{key}: phases have budgets .* set phases=\[\] too"):
            configs.resolve(configs.Pretrain, table).parts()
        alone = configs.resolve(configs.Pretrain, configs.assign(table, ["phases=[]"])).parts()
        assert [getattr(part.training, key) for part in alone] == [value]


def test_presets_with_phases_are_whole() -> None:
    table = configs.merge(configs.read_table("bert-base", "pretrain"), {"corpus": {"path": "x"}})
    first, second = configs.resolve(configs.Pretrain, table).parts()
    assert (first.objective["length"], second.objective["length"]) == (128, 512)
    assert (first.objective["most_masked"], second.objective["most_masked"]) == (20, 77)
    assert first.training.steps == 9 * (second.training.steps or 0)
