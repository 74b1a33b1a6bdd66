"""The whole command line once, on a corpus of a few lines: every command works, and its JSON has the README's keys."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lmcompare.cli import app

REPO = Path(__file__).resolve().parents[2]
TINY = [
    "backend.layers=1", "backend.width=16", "backend.heads=2", "backend.positions=64", "tokenizer.size=300",
    "training.steps=6", "training.batch=8", "training.micro=8", "training.eval_every=3", "objective.length=24",
]  # fmt: skip
SMALL = ["task.train=32", "training.epochs=1", "length=48"]

pytestmark = pytest.mark.slow


def documented() -> dict[str, set[str]]:
    """Keys by command, from the README's table."""
    rows = re.findall(
        r"^\| ((?:`[\w -]+`(?:, )?)+) \| ((?:`\w+` ?)+) \|$", (REPO / "README.md").read_text(), re.M
    )
    return {
        name: set(re.findall(r"`(\w+)`", keys))
        for names, keys in rows
        for name in re.findall(r"`([\w -]+)`", names)
    }


def lmc(*arguments: Any, status: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == status, result.output + repr(result.exception)
    return result.stdout


def sets(values: list[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def answer(*arguments: Any, row: str = "") -> dict[str, Any]:
    value = json.loads(lmc(*arguments, "--json"))
    command = row or str(arguments[0])
    assert set(value) - {"already"} == documented()[command], command
    return value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("smoke")
    lines = [
        f"the {a} {b} was {c}."
        for a in ("old", "new", "red")
        for b in ("cat", "dog")
        for c in ("here", "there")
    ]
    (place / "text.txt").write_text("\n\n".join("\n".join(lines[i : i + 4]) for i in range(9)) * 3)
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    out = folder / "model"
    lmc("pretrain", "bert", "--corpus", folder / "text.txt", "--out", out, *sets(TINY))
    return out


def test_readme_documents_every_command_with_json() -> None:
    assert len(documented()) == 24


def test_pretraining_again_says_so_and_does_nothing(folder: Path, model: Path) -> None:
    before = (model / "result.json").read_bytes()
    value = answer("pretrain", "bert", "--corpus", folder / "text.txt", "--out", model, *sets(TINY))
    assert value["already"] is True
    assert (model / "result.json").read_bytes() == before
    text = lmc("pretrain", "bert", "--corpus", folder / "text.txt", "--out", model, *sets(TINY))
    assert "finished already" in text


def test_both_transfers_and_the_floor_run_evaluate_and_compare(folder: Path, model: Path) -> None:
    common = ["--task", "micro.sentiment"]
    tuned, frozen, floor = (folder / name for name in ("tuned", "frozen", "floor"))
    a = answer("finetune", "bert", *common, "--model", model, "--out", tuned, *sets(SMALL))
    b = answer("features", "bert", *common, "--model", model, "--out", frozen, *sets(SMALL))
    c = answer("baseline", "bow", *common, "--out", floor, "--set", "task.train=32")
    assert a["layer_mix"] is None
    assert sum(b["layer_mix"]) == pytest.approx(1.0, abs=1e-4)
    assert len(b["layer_mix"]) == 2
    for out, value in ((tuned, a), (frozen, b)):
        again = answer("eval", out, "--split", "test")
        assert again["metrics"] == value["metrics"]["test"]
        kept = [json.loads(line) for line in (out / "predictions-test.jsonl").read_text().splitlines()]
        assert again["predictions"] == kept
        assert again["data_hashes"] == {"test": value["data_hashes"]["test"]}
        assert not any("was made with" in sentence for sentence in again["warnings"])
    comparison = answer("compare", tuned, frozen, floor)
    values = {cell["arm"]: cell["mean"] for cell in comparison["cells"]}
    assert values["bert finetune"] == a["primary"]["value"]
    assert values["baseline bow"] == c["primary"]["value"]
    page = folder / "page.html"
    answer("report", tuned, frozen, floor, "--out", page)
    assert "micro.sentiment" in page.read_text()
    assert "micro.sentiment" in lmc("compare", tuned, frozen, floor)
    assert "accuracy" in lmc("eval", tuned)


def test_what_is_kept_can_be_listed_and_removed(folder: Path, model: Path) -> None:
    lmc(
        "features",
        "bert",
        "--task",
        "micro.sentiment",
        "--model",
        model,
        "--out",
        folder / "f2",
        *sets(SMALL),
    )
    entries = json.loads(lmc("cache", "ls", "--json"))
    assert set(entries) == documented()["cache"]
    assert {e["room"] for e in entries["entries"]} == {"features"}
    assert len(entries["entries"]) == 3
    gone = json.loads(lmc("cache", "rm", "features", "--json"))
    assert len(gone["entries"]) == 3
    assert json.loads(lmc("cache", "ls", "--json"))["entries"] == []


@pytest.mark.parametrize("room", ["", "tasks", "backends", "metrics", "configs", "runs"])
def test_every_room_can_be_listed(room: str) -> None:
    value = answer("ls", *([room] if room else []))
    assert all(set(row) == set(value["columns"]) for row in value["rows"])
    if room == "backends":
        assert "bert" in lmc("ls", room)


@pytest.mark.parametrize("name", ["bert-tiny", "bert-micro", "micro.entailment", "micro.answers"])
def test_show_prints_config_size_and_an_example(name: str) -> None:
    text = lmc("show", name)
    if name == "bert-micro":
        assert "[CLS]" in text and "[MASK]" in text and "parameters" in text
    elif name.startswith("micro"):
        assert "[CLS]" in text and "[SEP]" in text
    else:
        assert "layers = 2" in text


def test_show_a_run(model: Path) -> None:
    assert "finished" in lmc("show", model)


def test_doctor_looks_at_everything() -> None:
    value = answer("doctor", "--offline")
    names = {check["what"] for check in value["checks"]}
    assert {"torch", "processor", "gpu", "data", "hub", "runs", "cache", "presets"} <= names
    assert "torch" in lmc("doctor", "--offline")


def test_a_saved_model_loads_in_transformers(model: Path) -> None:
    import transformers

    loaded = transformers.BertForPreTraining.from_pretrained(model / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model / "model")
    assert loaded.config.hidden_size == 16
    assert tokenizer("the old cat")["input_ids"][0] == tokenizer.cls_token_id


def test_every_kind_of_run_can_be_asked_again(folder: Path, model: Path) -> None:
    value = answer("eval", model)
    expected = json.loads((model / "result.json").read_text())["metrics"]["dev"]
    assert value["metrics"] == pytest.approx(expected, rel=1e-5)
    floor = folder / "floor-again"
    lmc("baseline", "bow", "--task", "micro.sense", "--out", floor, "--set", "task.train=32")
    told = json.loads((floor / "result.json").read_text())["metrics"]
    for split in ("dev", "test"):
        assert answer("eval", floor, "--split", split)["metrics"] == told[split]
