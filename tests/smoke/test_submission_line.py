"""`lmc eval` beyond a run's own task: a tiny MNLI run on the diagnostic set, and the files that are handed in."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lmcompare.cli import app
from lmcompare.errors import ModelError, UserError
from tests.smoke.test_cli import TINY, documented, folder, lmc, sets
from tests.unit.test_diagnostic import FULL, HEAD, TWO, put
from tests.unit.test_submission import mnli

__all__ = ["folder"]
pytestmark = pytest.mark.slow
FEW = ["training.epochs=1", "length=24"]


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    out = folder / "bert"
    lmc("pretrain", "bert", "--corpus", folder / "text.txt", "--out", out, *sets(TINY))
    return out


@pytest.fixture(scope="module")
def run(folder: Path, model: Path) -> Path:
    """Trained on twelve pairs; its answers are of no worth, but they are answers."""
    mnli(folder / "glue")
    out = folder / "mnli"
    lmc(
        "finetune",
        "bert",
        "--task",
        "mnli",
        "--data",
        folder / "glue",
        "--model",
        model,
        "--out",
        out,
        *sets(FEW),
    )
    return out


def test_the_diagnostic_set_by_category(folder: Path, run: Path) -> None:
    put(folder / "full" / "diagnostic-full.tsv", [HEAD, *FULL])
    asked = ("eval", run, "--task", "ax", "--data", folder / "full")
    value = json.loads(lmc(*asked, "--json"))
    assert set(value) == documented()["eval"] | {"by_group"}
    assert (value["task"], value["split"], value["examples"]) == ("ax", "test", 3)
    assert set(value["metrics"]) == {"r3", "accuracy"} and set(value["by_group"]["Logic"]) == {
        "examples", "metrics", "undefined",
    }  # fmt: skip
    lines = lmc(*asked).splitlines()
    assert lines[0] == "mnli on test, 3 examples (part)"
    assert "note: ax: test: 3 of 1,104 rows: the others are missing" in lines
    assert (value["data_state"], len(value["warnings"])) == ({"test": "part"}, 1)
    assert any(line.startswith("  Logic (2): r3 ") for line in lines)
    assert any(line.startswith("    Logic: Negation (2): r3 ") for line in lines)


def test_two_labels_are_made_of_three_and_the_result_says_so(folder: Path, run: Path) -> None:
    put(folder / "two" / "AX-b.jsonl", [json.dumps(row) for row in TWO])
    value = json.loads(lmc("eval", run, "--task", "ax", "--data", folder / "two", "--json"))
    given = {row["prediction"] for row in value["predictions"]}
    assert given <= {"entailment", "neutral", "contradiction"}
    assert set(value.get("folds", {})) == given - {"entailment"}
    assert {row["label"] for row in value["predictions"]} == {"entailment", "not_entailment"}
    right = sum(
        (r["prediction"] == "entailment") == (r["label"] == "entailment") for r in value["predictions"]
    )
    assert value["metrics"]["accuracy"] == pytest.approx(right / 3)
    assert set(value["metrics"]) == {"matthews", "accuracy"}


def test_a_run_answers_a_task_only_whose_labels_it_knows(folder: Path, model: Path, run: Path) -> None:
    result = CliRunner().invoke(app, ["eval", str(run), "--task", "micro.sentiment"])
    assert isinstance(result.exception, ModelError) and "not in both" in str(result.exception)
    put(
        folder / "rte" / "RTE" / "dev.tsv",
        ["sentence1\tsentence2\tlabel", "a\tb\tentailment", "c\td\tnot_entailment"],
    )
    value = json.loads(lmc("eval", run, "--task", "rte", "--data", folder / "rte", "--json"))
    assert (value["task"], value["split"], value["examples"]) == ("rte", "dev", 2)
    two = CliRunner().invoke(app, ["eval", str(run), str(run)])
    assert isinstance(two.exception, UserError) and "only for a --submission" in str(two.exception)


def test_an_mnli_run_hands_in_three_tables(folder: Path, run: Path) -> None:
    out = folder / "out.zip"
    value = json.loads(
        lmc("eval", run, "--split", "test", "--submission", out, "--data", folder / "glue", "--json")
    )
    assert set(value) == documented()["eval --submission"]
    assert [row["file"] for row in value["files"]] == ["MNLI-m.tsv", "MNLI-mm.tsv"]
    assert "AX.tsv" in value["missing"] and "diagnostic.tsv" in value["missing"]["AX.tsv"]
    put(
        folder / "glue" / "AX" / "AX.tsv",
        ["index\tsentence1\tsentence2", *(f"{n}\ta\tb" for n in range(1104))],
    )
    text = lmc("eval", run, "--task", "ax", "--submission", out, "--data", folder / "glue")
    assert text.startswith(
        "AX.tsv: 1,104 answers of mnli to test of ax\nas they were: MNLI-m.tsv (run mnli, model "
    )
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == ["MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"]
        assert [len(archive.read(name).splitlines()) for name in archive.namelist()] == [9797, 9848, 1105]


def test_squad2_and_how_much_likelier_no_answer_is(folder: Path, model: Path) -> None:
    def part(name: str) -> str:
        paragraphs: list[Any] = []
        for n in range(6):
            found = [{"text": "old cat", "answer_start": 4}] if n % 2 else []
            question = {
                "id": f"{name}{n}",
                "question": "who was here?",
                "answers": found,
                "is_impossible": n % 2 == 0,
            }
            paragraphs.append({"context": "the old cat was here.", "qas": [question]})
        text = json.dumps({"version": "v2.0", "data": [{"title": "x", "paragraphs": paragraphs}]})
        return str(put(folder / f"{name}.json", [text]))

    run, out = folder / "squad2", folder / "answers.json"
    files = [f"task.{name}={part(name)}" for name in ("train", "dev")]
    lmc("finetune", "bert", "--task", "squad2", "--model", model, "--out", run, *sets([*FEW, *files]))
    value = json.loads(lmc("eval", run, "--submission", out, "--json"))
    assert [row["file"] for row in value["files"]] == ["answers.json", "answers.null_odds.json"]
    told, odds = (json.loads(path.read_text()) for path in (out, folder / "answers.null_odds.json"))
    limit = json.loads((run / "result.json").read_text())["null_threshold"]
    assert list(told) == list(odds) == [f"dev{n}" for n in range(6)]
    assert all((told[name] == "") == (odds[name] > limit) for name in told)
    kept = [json.loads(line) for line in (run / "predictions-dev.jsonl").read_text().splitlines()]
    assert told == {row["id"]: row["prediction"] for row in kept}
