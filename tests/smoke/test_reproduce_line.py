"""`lmc reproduce` on the command line: the list, a micro form with a model of two steps, and its exit status."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lmcompare.cli import app

KEYS = {
    "format", "table", "title", "source", "note", "form", "study", "folder", "tasks", "seeds", "cells", "claims",
    "left_out", "failed",
}  # fmt: skip
TINY = [
    'tasks=["micro.entities"]',
    "seeds=[1]",
    "set.training.steps=2",
    "set.task.train=16",
    "models.bert.set.training.steps=2",
    "models.bert.set.corpus.documents=60",
    "models.bert.set.tokenizer.size=600",
]


def lmc(*arguments: Any, status: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == status, result.output + repr(result.exception)
    return result


def test_the_tables_are_listed() -> None:
    text = lmc("reproduce").stdout
    assert "bert-table7" in text and "Devlin et al. 2019, Table 7" in text
    assert set(json.loads(lmc("reproduce", "--json").stdout)) == {"room", "columns", "rows"}


@pytest.mark.slow
def test_a_micro_form_asks_the_claims_and_is_there_the_second_time(tmp_path: Path) -> None:
    sets = [part for value in TINY for part in ("--set", value)]
    command = ["reproduce", "bert-table7", "--micro", "--jobs", "2", *sets]
    found = json.loads(lmc(*command, "--json").stdout)
    assert set(found) == KEYS and found["form"] == "micro" and not found["cells"]
    assert len(found["claims"]) == 4 and all(claim["verdict"] for claim in found["claims"])
    assert all(claim["low"] is not None for claim in found["claims"]), "their answers are kept, and paired"
    again = json.loads(lmc("reproduce", "bert-table7", "--of", found["folder"], "--json").stdout)
    assert again["claims"] == found["claims"] and again["form"] == "finished"
    held = all(claim["verdict"] == "holds" for claim in found["claims"])
    strict = lmc("reproduce", "bert-table7", "--of", found["folder"], "--strict", status=0 if held else 1)
    assert "of 4 claims hold." in strict.stdout
    assert max(map(len, strict.stdout.splitlines())) <= 80 or found["folder"] in strict.stdout
