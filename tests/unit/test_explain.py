"""What `lmc explain` says of runs of every kind and state: baselines that are made here, and folders made by hand."""

import json
import os
import shlex
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lmcompare import config as configs
from lmcompare import files, results
from lmcompare.cli import app
from lmcompare.errors import UserError
from lmcompare.experiments import again
from lmcompare.experiments.explain import explain, find
from lmcompare.experiments.what_differs import group, what_differs
from lmcompare.report.explained import differing_lines, explained_lines
from lmcompare.results import Record


def lmc(*words: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == status, result.output + repr(result.exception)
    return result.stdout


def floor(*more: str) -> dict[str, Any]:
    words = ("baseline", "bow", "--task", "micro.sentiment", "--set", "task.train=32", *more, "--json")
    return dict(json.loads(lmc(*words)))


def by_hand(folder: Path, *events: dict[str, Any], failure: dict[str, Any] | None = None) -> Path:
    """A transfer run that has no result."""
    folder.mkdir(parents=True)
    table = configs.read_table("bert-micro", "finetune")
    given = {"backend": "bert", "model": "runs/gone", "task": {"name": "micro.sentiment"}}
    config = configs.dump(configs.resolve(configs.Transfer, configs.merge(table, given)))
    files.write_json(folder / "run.json", {"kind": "finetune", "config": config, "data": "d", "model": "m"})
    start = {"event": "start", "attempt": 1, "time": "2026-01-01T00:00:00Z", "pid": 1, "host": "elsewhere"}
    for event in (start, *events):
        results.append(folder / "events.jsonl", {**start, **event})
    results.append(folder / "log.jsonl", {"step": 1200, "loss": 0.5})
    if failure:
        files.write_json(folder / "failure.json", failure)
    return folder


def said(name: Path | str) -> str:
    """As one line, however it is folded."""
    return " ".join(" ".join(explained_lines(explain(str(name)))).split())


def test_a_baseline_says_all_that_made_it() -> None:
    made = floor("--set", "baseline.ngrams=1")
    told = explain(made["run"])
    assert told["figure"]["value"] == made["primary"]["value"] and told["figure"]["majority"] is not None
    assert told["figure"]["definition"] == "Share of examples that are right; for tags, of words."
    assert told["data"]["hashes"] == made["data_hashes"] and told["seeds"] == {"weights": 1, "order": 1}
    assert told["code"]["versions"]["lmcompare"] and told["time"]["attempts"][0]["ended"] == "end"
    text = said(made["run"])
    for words in (
        "baseline, finished",
        "accuracy",
        "without looking",
        "train 32",
        "32 examples",
        "commit",
        "versions",
    ):
        assert words in text, words
    assert "None" not in text and "{" not in text


def test_the_line_makes_the_same_run_again() -> None:
    made = floor("--set", "baseline.ngrams=1", "--seed", "3")
    told = explain(made["run"])["command"]
    assert told["settings"] == {"task.train": 32, "baseline.ngrams": 1} and told["exact"]
    first, *words = shlex.split(told["line"])
    again_made = json.loads(lmc(*words, "--json"))
    assert first == "lmc" and again_made["already"] is True and again_made["run"] == made["run"]


def record_of(model: type[configs.Frozen], table: dict[str, Any]) -> Record:
    config = configs.dump(configs.resolve(model, table))
    return Record(Path("gone"), "gone", "finished", config, None, None, [])


@pytest.mark.parametrize(
    ("preset", "set_", "settings"),
    [
        ("bert-micro", [], {}),
        ("bert", ["optimizer.rate=3e-4"], {"optimizer.rate": 3e-4}),
        ("bert-squad", ["training.epochs=1"], {"training.epochs": 1.0}),
        ("bert-micro", ["training.steps=5", "length=24"], {"training.steps": 5, "length": 24}),
        ("bert", ["transfer.reader.name=linear"], {"transfer.reader.name": "linear"}),
        ("bert", ["weights=random", "data_seed=4"], {"data_seed": 4}),
    ],
)
def test_the_nearest_preset_and_what_departs_from_it(
    preset: str, set_: list[str], settings: dict[str, Any]
) -> None:
    task = {"name": "squad" if preset == "bert-squad" else "micro.sentiment"}
    given = {"backend": "bert", "model": "a run", "task": task, "seed": 7}
    table = configs.assign(configs.merge(configs.read_table(preset, "finetune"), given), set_)
    told = again.command(record_of(configs.Transfer, table))
    assert told["exact"] and told["settings"] == settings
    words = shlex.split(told["line"])
    assert words[:7] == ["lmc", "finetune", "bert", "--model", "a run", "--seed", "7"]
    assert ("--config" in words) == (preset != "bert") and ("--random" in words) == ("weights=random" in set_)


@pytest.mark.parametrize("preset", ["bert-micro", "elmo-micro", "gpt-tiny", "bert-base", "static-micro"])
def test_a_pretraining_is_named_by_its_preset(preset: str) -> None:
    table = configs.merge(configs.read_table(preset, "pretrain"), {"corpus": {"path": "my texts"}})
    told = again.command(record_of(configs.Pretrain, table))
    assert told["exact"] and told["settings"] == {}
    words = shlex.split(told["line"])
    usual = preset.endswith("-tiny")
    assert words[:5] == ["lmc", "pretrain", preset.split("-")[0], "--corpus", "my texts"]
    assert usual or words[-2:] == ["--config", preset]


def test_several_tasks_are_named_one_by_one() -> None:
    table = configs.read_table("bert", "finetune") | {"backend": "bert", "model": "m"}
    both = record_of(configs.Multitask, table | {"tasks": [{"name": "rte"}, {"name": "mrpc"}]})
    assert again.command(both)["line"].endswith("--task rte --task mrpc")


def test_what_no_preset_can_say_comes_from_a_file() -> None:
    """Every preset says how long it trains, and there is no word to take that back."""
    table = configs.read_table("bert", "finetune") | {
        "backend": "bert",
        "model": "m",
        "task": {"name": "rte"},
    }
    table["training"] = {"batch": 32}
    told = again.command(record_of(configs.Transfer, table))
    assert not told["exact"] and told["line"].endswith("--config run.toml") and "lmc show" in told["notes"][0]


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    failure = {"reason": "the loss was not finite for 3 steps", "status": 6}
    path = by_hand(tmp_path / "r", {"event": "failed", "seconds": 61.0}, failure=failure)
    text = said(path)
    assert "r: fine-tuning, failed" in text
    assert "it failed: the loss was not finite for 3 steps (exit status 6: it diverged)" in text
    assert "failed after 1:01" in text and "cannot be shown: model 'runs/gone'" in text
    assert "lmc finetune bert --model runs/gone --seed 1 --task micro.sentiment --config bert-micro" in text


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], "it ended without a word after step 1,200 of its log"),
        (
            [{"event": "paused", "seconds": 3.0}],
            "it was stopped after step 1,200 of its log; the same command goes on",
        ),
        ([{"host": socket.gethostname(), "pid": os.getpid()}], "it is being made now, by pid"),
        ([{"host": socket.gethostname(), "pid": 2**22 - 3}], "it ended without a word"),
    ],
)
def test_an_unfinished_run_says_how_it_stands(tmp_path: Path, events: list[Any], words: str) -> None:
    assert words in said(by_hand(tmp_path / "r", *events))


def test_a_run_in_a_folder_of_runs_is_found_by_its_name() -> None:
    made, runs = floor(), results.root()
    study = runs / "some-study"
    study.mkdir()
    (runs / made["run"]).rename(study / made["run"])
    assert find(made["run"]).path == study / made["run"]
    shutil.copytree(study, runs / "another")
    with pytest.raises(UserError, match=r"2 runs are called .*another/.*, .*some-study/"):
        find(made["run"])


def test_a_folder_that_is_no_run_says_what_it_is(tmp_path: Path) -> None:
    made = floor()
    runs = results.root()
    with pytest.raises(
        UserError, match=rf"a folder of runs with 1 run; name one of them, such as .*{made['run']}"
    ):
        find(str(runs))
    with pytest.raises(UserError, match=f"did you mean '{made['run']}'"):
        find(made["run"][:-2])
    with pytest.raises(UserError, match="not a run folder"):
        find(str(tmp_path))
    (runs / made["run"] / "result.json").write_text("{")
    with pytest.raises(UserError, match="not readable as JSON"):
        find(made["run"])
    assert "one run, or two" in CliRunner().invoke(app, ["explain", "a", "b", "c"]).exception.args[0]  # type: ignore[union-attr]


def test_a_studys_failed_run_without_a_folder(tmp_path: Path) -> None:
    config = {"task": {"name": "micro.sense"}, "baseline": {"name": "bow"}, "examples": None, "seed": 2}
    entry = {"arm": "a", "run": "a-sense-s2-0", "reason": "its model failed", "status": 2, "config": config}
    folder = results.root() / "study"
    folder.mkdir(parents=True)
    files.write_json(folder / "study.json", {"title": "t", "quick": False, "runs": {"0": entry}})
    assert "it failed: its model failed" in said("a-sense-s2-0")


def test_two_runs_that_differ_in_nothing(tmp_path: Path) -> None:
    one, two = floor("--out", str(tmp_path / "one")), floor("--out", str(tmp_path / "two"))
    told = what_differs(str(tmp_path / "one"), str(tmp_path / "two"))
    assert told["number"] == "nothing" and one["primary"] == two["primary"]
    assert {row["group"] for row in told["differences"]} <= {"operational"}
    assert told["answers"]["agree"] == told["answers"]["examples"] == one["examples"]["test"]
    text = "\n".join(differing_lines(told))
    assert (
        "Nothing that made the number differs." in text and "They agree on 400 of 400 answers to test" in text
    )
    assert "a − b: 0.0 points of accuracy" in text


def test_what_differs_is_grouped_and_the_answers_are_counted(tmp_path: Path) -> None:
    one = floor("--out", str(tmp_path / "one"))
    two = floor("--out", str(tmp_path / "two"), "--set", "task.train=400", "--seed", "2")
    told = what_differs(str(tmp_path / "one"), str(tmp_path / "two"))
    groups: dict[str, set[str]] = {}
    for entry in told["differences"]:
        groups.setdefault(entry["group"], set()).add(entry["key"])
    assert {"task.train", "examples.train", "data.hash of train"} <= groups["data"]
    assert groups["chance"] == {"seed"} and "model" not in groups and told["number"] == "makes"
    rows = [list(results.read_lines(tmp_path / name / "predictions-test.jsonl")) for name in ("one", "two")]
    same = sum(x["prediction"] == y["prediction"] for x, y in zip(*rows, strict=True))
    answers = told["answers"]
    assert answers["agree"] == same < 400
    assert answers["difference"] == pytest.approx(one["primary"]["value"] - two["primary"]["value"])
    assert answers["low"] <= answers["difference"] <= answers["high"]
    text = "\n".join(differing_lines(told))
    assert "What differs makes the number." in text and f"They agree on {same} of 400" in text


def test_answers_to_other_tasks_are_not_held_against_each_other(tmp_path: Path) -> None:
    floor("--out", str(tmp_path / "one"))
    lmc("baseline", "bow", "--task", "micro.sense", "--set", "task.train=32", "--out", str(tmp_path / "two"))
    told = what_differs(str(tmp_path / "one"), str(tmp_path / "two"))
    assert told["answers"]["why"] == "they are not about one task (micro.sentiment and micro.sense)"
    unfinished = what_differs(str(tmp_path / "one"), str(by_hand(tmp_path / "three")))
    assert unfinished["answers"]["why"] == "three has no result" and unfinished["b"]["value"] is None
    assert "Their answers cannot be held against each other" in "\n".join(differing_lines(unfinished))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("training.epochs", "learning"), ("training.keep", "operational"), ("training.micro", "operational"),
        ("training.precision", "machine"), ("versions.torch", "machine"), ("seed", "chance"),
        ("task.limit", "data"), ("data.hash of test", "data"), ("length", "data"), ("model hash", "model"),
        ("backend.layers", "model"), ("objective.name", "learning"), ("corpus.workers", "operational"),
        ("corpus.path", "data"), ("transfer.layers", "learning"), ("transfer_layers", "model"),
    ],
)  # fmt: skip
def test_every_setting_has_its_group(key: str, expected: str) -> None:
    assert group(key) == expected
