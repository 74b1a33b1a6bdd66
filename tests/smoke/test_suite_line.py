"""`lmc run-suite` once over: on the embedded suite, on a GLUE of a few rows, and killed in its middle."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lmcompare import micro
from lmcompare.backends.bert import Bert
from lmcompare.cli import app
from lmcompare.errors import DataError, UserError
from lmcompare.text.wordpiece import train_wordpiece

pytestmark = pytest.mark.slow

KEYS = {
    "format", "suite", "title", "backend", "mode", "model", "weights", "config", "by_task", "seeds", "from_mnli",
    "folder", "tasks", "averages", "missing", "failed", "runs", "notes",
}  # fmt: skip
SMALL = ["training.steps=3", "length=32", "training.batch=4"]
SENTENCES = (
    "the cat sat here.",
    "a dog ran home.",
    "the old cat slept.",
    "no dog was there.",
    "she saw a red cat.",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sentences = [s for document in micro.world(0).documents(60) for s in document]
    folder = tmp_path_factory.mktemp("model")
    made = Bert(train_wordpiece(sentences, size=300), layers=1, width=16, heads=2, positions=64)
    made.draw(1)
    made.save(folder)
    return folder


@pytest.fixture(scope="module")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CoLA, MNLI with both development sets, and RTE; eleven training rows each."""
    folder = tmp_path_factory.mktemp("glue")

    def put(task: str, split: str, rows: list[list[str]]) -> None:
        (folder / task).mkdir(exist_ok=True)
        (folder / task / f"{split}.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))

    def pairs(labels: tuple[str, ...], column: str, count: int, start: int) -> list[list[str]]:
        rows = [["sentence1", "sentence2", column]]
        for n in range(start, start + count):
            first, second = SENTENCES[n % 5], SENTENCES[(n // 5) % 5]
            rows.append([f"{first} {n}", second, labels[n % len(labels)]])
        return rows

    mnli, rte = ("entailment", "neutral", "contradiction"), ("entailment", "not_entailment")
    for number, split in enumerate(("train", "dev_matched", "dev_mismatched")):
        put("MNLI", split, pairs(mnli, "gold_label", 11, 20 * number))
    for number, split in enumerate(("train", "dev")):
        put("RTE", split, pairs(rte, "label", 11, 20 * number))
        put(
            "CoLA",
            split,
            [["x", str(n % 2), "", f"{SENTENCES[n % 5]} {n}"] for n in range(20 * number, 20 * number + 11)],
        )
    return folder


def words(*arguments: Any, sets: list[str] = SMALL) -> list[str]:
    return ["run-suite", *map(str, arguments), *(part for one in sets for part in ("--set", one))]


def lmc(*arguments: Any, status: int = 0, **more: Any) -> str:
    result = CliRunner().invoke(app, words(*arguments, **more))
    assert result.exit_code == status, result.output + repr(result.exception)
    return result.stdout


def refused(*arguments: Any, **more: Any) -> UserError:
    error = CliRunner().invoke(app, words(*arguments, **more)).exception
    assert isinstance(error, UserError)
    return error


def test_the_embedded_suite(model: Path, tmp_path: Path) -> None:
    given = [
        "micro",
        "--backend",
        "bert",
        "--mode",
        "features",
        "--model",
        model,
        "--seeds",
        2,
        "--out",
        tmp_path / "out",
    ]
    some = [
        *SMALL,
        'tasks=["micro.sense","micro.similarity"]',
        "task.train=16",
        "by_task.micro.sense.length=24",
    ]
    told = json.loads(lmc(*given, "--json", sets=some))
    assert set(told) == KEYS
    assert [told["by_task"][task]["length"] for task in ("micro.sense", "micro.similarity")] == [24, 32]
    # In the suite's own order, however they were asked for.
    assert [task["task"] for task in told["tasks"]] == ["micro.similarity", "micro.sense"]
    assert told["averages"][0]["of"] == 9 and not told["averages"][0]["complete"]
    assert json.loads((tmp_path / "out" / "suite.json").read_text()) == told
    sense = told["tasks"][1]
    for run in told["runs"][2:]:
        result = json.loads((tmp_path / "out" / run / "result.json").read_text())
        assert sense["by_seed"][str(result["seed"])] == result["primary"]["value"]
        config = json.loads((tmp_path / "out" / run / "run.json").read_text())["config"]
        assert config["transfer"]["reader"]["hidden"] == 64  # of the preset bert-micro
    assert set(sense["by_seed"]) == {"1", "2"} and sense["runs"] == 2


def test_a_narrower_call_loses_nothing(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ["micro", "--backend", "bert", "--mode", "features", "--model", model, "--out", out, "--json"]
    some = [*SMALL, "task.train=16"]
    both, one = ('tasks=["micro.sense","micro.similarity"]', 'tasks=["micro.sense"]')
    wide = json.loads(lmc(*given, "--seeds", 2, sets=[*some, both]))
    times = {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")}
    narrow = json.loads(lmc(*given, "--seeds", 1, sets=[*some, one]))
    assert narrow == wide == json.loads((out / "suite.json").read_text()) and len(times) == 4
    assert len(json.loads((out / "study.json").read_text())["runs"]) == 4
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/result.json")} == times
    forced = json.loads(lmc(*given, "--seeds", 1, "--force", sets=[*some, one]))
    assert forced["tasks"] == wide["tasks"]
    # What was made in another way does not count with it, here or in a comparison.
    other = json.loads(lmc(*given, "--seeds", 1, sets=[*some, one, "by_task.micro.sense.length=24"]))
    similarity, sense = other["tasks"]
    assert (sense["runs"], similarity["runs"]) == (1, 2) and similarity == wide["tasks"][0]
    assert other["notes"][0].startswith("micro.sense: 1 of the runs in the folder left out")
    assert len(json.loads((out / "study.json").read_text())["runs"]) == 4
    told = CliRunner().invoke(app, ["compare", str(out), "--json"])
    assert told.exit_code == 0, told.output
    table = json.loads(told.stdout)
    assert table["title"].endswith(": first metrics only, not the suite's average")
    assert {run["run"] for run in table["runs"]} == set(other["runs"])
    assert any("mean over 2 of 9 tasks" in note for note in table["notes"])


def test_from_mnli_is_made_first_and_marked(model: Path, glue: Path, tmp_path: Path) -> None:
    given = [
        "glue",
        "--backend",
        "bert",
        "--mode",
        "finetune",
        "--model",
        model,
        "--data",
        glue,
        "--seeds",
        2,
    ]
    out = tmp_path / "out"
    few = [*SMALL, "examples=12"]  # more than there are
    told = json.loads(lmc(*given, "--from-mnli", "--out", out, "--json", sets=few))
    assert [task["task"] for task in told["tasks"]] == ["cola", "mnli", "rte"]
    assert {row["task"] for row in told["missing"]} == {"sst2", "mrpc", "stsb", "qqp", "qnli", "wnli"}
    assert told["from_mnli"] == ["rte"]
    runs = {
        (r["task"], r["seed"]): r
        for r in (json.loads((out / n / "result.json").read_text()) for n in told["runs"])
    }
    for seed in (1, 2):
        assert runs["rte", seed]["lineage"] == [
            {"did": "finetune", "task": "mnli", "run": runs["mnli", seed]["run"]}
        ]
        assert runs["cola", seed]["lineage"] == []
        assert runs["rte", seed]["model_hash"] != runs["cola", seed]["model_hash"]
    mnli = told["tasks"][1]
    assert set(mnli["figures"]) == {"dev.accuracy", "dev_mismatched.accuracy"}
    both = [runs["mnli", 1]["metrics"][split]["accuracy"] for split in ("dev", "dev_mismatched")]
    assert mnli["by_seed"]["1"] == pytest.approx(sum(both) / 2)
    shown = lmc(*given, "--from-mnli", "--out", out, sets=few)
    assert "rte, from mnli" in shown  # CoLA may get no value from so little
    assert re.search(r"mean over [23] of 9 tasks \(board, with rte from mnli\): ", shown)
    assert "not the GLUE score" in shown and "missing: sst2, mrpc, stsb, qqp, qnli, wnli: none in " in shown
    assert "rte has 11 training examples, and learns from all of them" in shown
    plain = json.loads(lmc(*given, "--seeds", 1, "--json"))
    assert plain["tasks"][2]["start"] == [] and plain["folder"] != told["folder"]
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "RTE").symlink_to(glue / "RTE")
    without = [*given[:-3], alone, "--seeds", 1]
    error = refused(*without, "--from-mnli")
    assert isinstance(error, DataError) and "no MNLI to start from" in str(error)


def test_a_run_that_fails_is_counted_and_shows_in_the_status(model: Path, glue: Path, tmp_path: Path) -> None:
    broken = tmp_path / "glue"
    broken.mkdir()
    for task in ("CoLA", "RTE", "MNLI"):
        (broken / task).symlink_to(glue / task)
    (broken / "MNLI").unlink()
    (broken / "MNLI").mkdir()
    for name in ("dev_matched.tsv", "dev_mismatched.tsv"):
        (broken / "MNLI" / name).write_bytes((glue / "MNLI" / name).read_bytes())
    (broken / "MNLI" / "train.tsv").write_text("sentence1\tsentence2\tgold_label\nonly one field\n")
    given = [
        "glue",
        "--backend",
        "bert",
        "--mode",
        "finetune",
        "--model",
        model,
        "--data",
        broken,
        "--seeds",
        1,
    ]
    told = json.loads(lmc(*given, "--from-mnli", "--json", "--out", tmp_path / "out", status=1))
    assert [row["task"] for row in told["failed"]] == ["mnli", "rte"]
    assert (
        "train.tsv:2" in told["failed"][0]["reason"]
        and "which it starts from, failed" in told["failed"][1]["reason"]
    )
    assert [(task["runs"], task["failed"]) for task in told["tasks"]] == [(1, 0), (1, 1), (1, 1)]


def test_killed_and_called_again_it_makes_only_what_is_missing(
    model: Path, glue: Path, tmp_path: Path
) -> None:
    def command(out: Path) -> list[str]:
        given = ["glue", "--backend", "bert", "--mode", "finetune", "--model", model, "--data", glue]
        longer = ["training.steps=12", "training.eval_every=6", *SMALL[1:]]
        return words(*given, "--seeds", 1, "--from-mnli", "--out", out, sets=longer)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert CliRunner().invoke(app, command(whole)).exit_code == 0
    child = subprocess.Popen(
        [sys.executable, "-m", "lmcompare", *command(killed)],
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={**os.environ, "LMC_RUNS": str(tmp_path)},
    )  # fmt: skip
    while child.poll() is None and len(list(killed.glob("*/result.json"))) < 1:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    made = {path: path.stat().st_mtime_ns for path in killed.glob("*/result.json")}
    assert 1 <= len(made) < 3
    result = CliRunner().invoke(app, command(killed))
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())
    ours, theirs = (json.loads((folder / "suite.json").read_text()) for folder in (killed, whole))
    for key in ("tasks", "averages", "failed", "missing", "notes", "by_task"):
        assert ours[key] == theirs[key]
    for name in theirs["runs"]:
        twin = next(run for run in ours["runs"] if run.rpartition("-")[0] == name.rpartition("-")[0])
        for split in (whole / name).glob("predictions-*.jsonl"):
            assert (killed / twin / split.name).read_bytes() == split.read_bytes()
