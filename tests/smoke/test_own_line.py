"""The commands around a file of one's own, once: straight from a CSV, from a TOML file, beside another task, in a
study, and asked again from another folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmcompare.errors import DataError, UserError
from tests.smoke.test_cli import TINY, folder, lmc, sets

__all__ = ["folder"]
pytestmark = pytest.mark.slow

COLUMNS = ["--text", "review", "--label", "stars"]
SMALL = sets(["training.epochs=1", "length=48"])


def told(*arguments: Any) -> Any:
    return json.loads(lmc(*arguments, "--json"))


@pytest.fixture(scope="module")
def reviews(folder: Path) -> Path:
    path = folder / "reviews.csv"
    rows = [
        f'"the {a} {b} was {c}, {n}",{"good" if c == "here" else "bad"}'
        for n, (a, b, c) in enumerate(
            (a, b, c)
            for a in ("old", "new", "red")
            for b in ("cat", "dog", "cats", "dogs")
            for c in ("here", "there")
        )
    ]
    path.write_text("\n".join(["review,stars", *rows, *rows]) + "\n")
    (folder / "my.toml").write_text(
        'name = "mine"\ntrain = "reviews.csv"\ntext = "review"\nlabel = "stars"\nlabels = ["good", "bad"]\n'
        "test_share = 0.25\n"
    )
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    out = folder / "model"
    lmc("pretrain", "bert", "--corpus", folder / "text.txt", "--out", out, *sets(TINY))
    return out


@pytest.fixture(scope="module")
def tuned(reviews: Path, model: Path) -> dict[str, Any]:
    out = reviews.with_name("tuned")
    return told("finetune", "bert", "--task", reviews, *COLUMNS, "--model", model, "--out", out, *SMALL)


def test_a_csv_is_all_it_takes(reviews: Path, model: Path, tuned: dict[str, Any]) -> None:
    assert (tuned["task"], tuned["task_kind"], tuned["primary"]["metric"]) == (
        "reviews",
        "classify",
        "accuracy",
    )
    assert tuned["examples"] == {"train": 44, "dev": 4}
    assert str(reviews) in tuned["data_source"] and "split made: 90/10 %" in tuned["data_source"]
    assert any(w.startswith("reviews: classes of train: good 22 (50.0 %), bad 22") for w in tuned["warnings"])
    labels = json.loads((reviews.with_name("tuned") / "model" / "task.json").read_text())["labels"]
    assert labels == ["bad", "good"]
    other = reviews.with_name("seeded")
    again = told(
        "finetune", "bert", "--task", reviews, *COLUMNS, "--model", model, "--out", other, "--seed", 7, *SMALL
    )
    assert again["data_hash"] == tuned["data_hash"] and again["run"] != tuned["run"]


def test_it_is_asked_again_from_another_folder(
    reviews: Path, tuned: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    again = told("eval", reviews.with_name("tuned"), "--split", "dev")
    assert again["metrics"] == tuned["metrics"]["dev"] and again["task"] == "reviews"


def test_runs_name_themselves_and_a_relative_path_will_do(
    reviews: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(reviews.parent)
    monkeypatch.setenv("LMC_RUNS", str(tmp_path / "runs"))
    floor = told("baseline", "bow", "--task", "reviews.csv", *COLUMNS)
    assert floor["run"].startswith("bow-reviews-s1-")
    assert told("baseline", "bow", "--task", "reviews.csv", *COLUMNS)["already"] is True
    other = reviews.read_text().replace("old cat", "odd cat")
    (tmp_path / "reviews.csv").write_text(other)
    monkeypatch.chdir(tmp_path)
    assert told("baseline", "bow", "--task", "reviews.csv", *COLUMNS)["run"] != floor["run"]
    frozen = told(
        "features",
        "bert",
        "--task",
        reviews.with_name("my.toml"),
        "--model",
        model,
        "--set",
        "task.limit=40",
        *SMALL,
    )
    assert frozen["task"] == "mine" and frozen["examples"] == {"train": 26, "dev": 4, "test": 10}
    assert frozen["run"].startswith("features-bert-mine-s1-")
    assert "mine" in lmc("compare", tmp_path / "runs" / frozen["run"])


def test_two_files_at_once_and_what_was_learned_goes_along(
    reviews: Path, model: Path, tuned: dict[str, Any]
) -> None:
    out = reviews.with_name("together")
    tasks = ["--task", reviews.with_name("my.toml"), "--task", reviews]
    both = told("finetune", "bert", *tasks, *COLUMNS, "--model", model, "--out", out, *SMALL)
    assert both["tasks"] == ["mine", "reviews"]
    assert (out / "tasks" / "mine" / "result.json").is_file()
    after = told(
        "finetune", "bert", "--task", "micro.sense", "--model", reviews.with_name("tuned"), *SMALL,
        "--set", "task.train=16", "--out", reviews.with_name("after"),
    )  # fmt: skip
    assert [step.get("task") for step in after["lineage"]] == [None, "reviews"]


def test_a_study_over_a_file(
    reviews: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "mystudy.toml"
    study.write_text(
        f'title = "Mine"\ntasks = ["{reviews.with_name("my.toml")}", "micro.sense"]\nseeds = [1]\n'
        f'[[arms]]\nname = "words"\nbaseline = "bow"\n'
    )
    monkeypatch.setenv("LMC_RUNS", str(tmp_path / "runs"))
    compared = told("compare", study)
    assert [task["name"] for task in compared["tasks"]] == ["mine", "micro.sense"]
    before = {run["run"] for run in compared["runs"]}
    assert {run["run"] for run in told("compare", study)["runs"]} == before
    text = reviews.read_text()
    try:
        reviews.write_text(text.replace("red dog", "big dog"))
        after = {run["run"] for run in told("compare", study)["runs"]}
    finally:
        reviews.write_text(text)
    assert len(before & after) == 1


def test_it_can_be_looked_at(reviews: Path) -> None:
    shown = told("show", reviews, *sets(["task.text=review", "task.label=stars"]))
    assert shown["task"] == "reviews" and shown["labels"] == ["bad", "good"]
    text = lmc("show", reviews.with_name("my.toml"))
    assert "mine" in text and "[CLS]" in text
    assert "own" in lmc("ls", "tasks")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--task", "reviews.csv"], "which column is the label"),
        (["--task", "reviews.csv", "--text", "revew", "--label", "stars"], "did you mean 'review'"),
        (["--task", "reviews.csv", *COLUMNS, "--kind", "scores"], "kind"),
        (["--task", "micro.sense", *COLUMNS], "unknown key 'text'|unknown key 'label'"),
        (["--task", "nothing.csv"], "no such file"),
        (["--task", "bad.toml"], r"bad\.toml:2:1: unknown key 'lable'"),
    ],
)
def test_mistakes_are_one_sentence(
    reviews: Path, words: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from lmcompare.cli import app

    monkeypatch.chdir(reviews.parent)
    (reviews.parent / "bad.toml").write_text('train = "reviews.csv"\nlable = "stars"\n')
    error = CliRunner().invoke(app, ["baseline", "bow", *words]).exception
    assert isinstance(error, UserError | DataError) and "\n" not in str(error)
    with pytest.raises(UserError, match=says):
        raise error
