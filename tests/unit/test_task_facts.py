"""What is told of tasks: the listing, where their data is found, and an example as every family of models sees it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lmcompare import hub, registry
from lmcompare.cli import app
from lmcompare.errors import DataError, UserError
from lmcompare.experiments import show, show_task
from lmcompare.experiments.task_data import read_task
from lmcompare.report.text import sizes, task_lines
from lmcompare.tasks import checks, facts
from lmcompare.types import Example, Task

ONE_A_KIND = ("micro.sentiment", "micro.similarity", "micro.continuation", "micro.entities", "micro.answers")
FORMATTERS = ("bert", "gpt", "elmo", "static")


def lmc(*words: str) -> str:
    ended = CliRunner().invoke(app, list(words))
    assert ended.exit_code == 0, ended.output + repr(ended.exception)
    return ended.stdout


@pytest.mark.parametrize("name", registry.tasks.names())
def test_every_task_has_its_facts(name: str) -> None:
    told = facts.of(name)
    assert told.about == registry.tasks.about(name) and len(told.about) > 8
    if facts.where(name, None) == "yours":
        return
    assert told.license and told.metrics and told.splits
    assert set(told.metrics) <= set(registry.metrics.names())
    assert set(told.cut.values()) <= set(told.splits)
    assert set(told.overlap) | set(told.unlabelled) <= {*told.splits, *told.cut}
    assert bool(told.labels) <= (told.kind in ("classify", "tags"))
    assert not set(told.overlap) & set(told.cut)  # what we cut was not published
    assert not told.hub or hub.ID.fullmatch(told.hub.partition(":")[0])


@pytest.mark.parametrize("name", [name for name in registry.tasks.names() if name.startswith("micro.")])
def test_the_embedded_tasks_are_what_their_facts_say(name: str) -> None:
    told, found = facts.of(name), read_task({"name": name}, None)
    task = found.task
    assert found.sizes == told.splits and (task.kind, task.labels) == (told.kind, told.labels)
    assert (task.metrics, task.about, told.made) == (told.metrics, told.about, True)


def small_rte(data: Path) -> Path:
    (data / "RTE").mkdir(parents=True)
    row = "1\tthe old cat sat\ta cat was old\tentailment"
    for split in ("train", "dev"):
        text = f"index\tsentence1\tsentence2\tlabel\n{row}\n{row.replace('sat', 'ran')}\n"
        (data / "RTE" / f"{split}.tsv").write_text(text, encoding="utf-8")
    return data


def test_where_a_task_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert facts.where("micro.sense", None) == "local"
    assert facts.where("rte", small_rte(tmp_path)) == "local"
    assert facts.where("rte", None) == facts.where("rte", tmp_path / "nowhere") == "hub"
    from datasets import config

    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "cache" / facts.of("rte").hub.partition(":")[0].replace("/", "___")).mkdir(parents=True)
    assert facts.where("rte", None) == "cached"
    monkeypatch.setitem(facts._known, "rte", replace(facts.of("rte"), hub=""))
    assert facts.where("rte", None) == "missing"


def test_to_look_is_not_to_fetch() -> None:
    with hub.shut(), pytest.raises(DataError, match="no file or folder here; give a file"):
        hub.load("owner/name", None, what="x", local="give a file")


# --- the listing --------------------------------------------------------------------------------


def test_the_listing_tells_all_that_is_known(tmp_path: Path) -> None:
    listing = json.loads(lmc("ls", "tasks", "--json", "--data", str(small_rte(tmp_path))))
    rows = {row["name"]: row for row in listing["rows"]}
    assert set(rows) == set(registry.tasks.names())
    assert all(list(row) == listing["columns"] for row in rows.values())
    assert rows["rte"]["where"] == "local" and rows["rte"]["splits"] == {
        "train": 2490,
        "dev": 277,
        "test": 3000,
    }
    assert rows["rte"]["found"] == ["train", "dev"] and rows["rte"]["gone"] == ["test"]
    assert rows["cola"]["found"] == []
    shown = " ".join(task_lines(listing["rows"], 160))
    assert "local, no test" in shown and "published: train / dev / test" in shown
    assert rows["micro.sense"]["where"] == "made here" and rows["cola"]["where"] != "local"
    assert rows["mnli"]["kind"] == "classify" and rows["mnli"]["metrics"] == ["accuracy"]


@pytest.mark.parametrize("width", [40, 80, 100, 160])
def test_the_listing_fits_the_terminal(width: int) -> None:
    lines = list(task_lines(show_task.rows(None), width))
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for name in registry.tasks.names():
        told = facts.of(name)
        assert name in text
        assert f"{told.about} Metrics: {', '.join(told.metrics)}. License: {told.license}." in text
    if width >= 100:
        assert "392,702 / 9,815 + 9,832 / 9,796 + 9,847 Does" in text


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        ({"train": 5452, "test": 500}, "5,452 / – / 500"),
        ({"train": 9, "dev": None, "dev_mismatched": 3}, "9 / ? + 3 / –"),
        ({"all": 10000}, "10,000 in all"),
        ({}, ""),
    ],
)
def test_sizes_in_short(splits: dict[str, int | None], told: str) -> None:
    assert sizes(splits) == told


# --- one task -----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", FORMATTERS)
@pytest.mark.parametrize("name", ONE_A_KIND)
def test_an_example_of_every_kind_as_every_backend_sees_it(name: str, backend: str) -> None:
    told = show.describe(name, ["task.train=20"], None, backend=backend)
    text = "\n".join(told["text"])
    assert told["backend"] == backend and f"{backend} sees" in text
    marks = {"bert": ("[CLS]", "[SEP]"), "gpt": ("_start_", "_classify_")}.get(backend, ())
    assert all(mark in text for mark in marks)
    if backend != "gpt":
        assert "_start_" not in text
    (example, *_) = read_task({"name": name, "train": 20}, None).splits["train"]
    words = (
        " ".join((*example.texts, *example.options, *example.words))
        .replace(".", " ")
        .replace("?", " ")
        .split()
    )
    assert words and all(word in text for word in words)


def test_two_texts_stand_as_the_backend_puts_them() -> None:
    def seen(backend: str, name: str = "micro.paraphrase") -> list[str]:
        text = show.describe(name, ["task.train=20"], None, backend=backend)["text"]
        return [line for line in text if line.startswith(f"{backend} sees")]

    assert len(seen("bert")) == 1 and seen("bert")[0].count("[SEP]") == 2
    assert len(seen("gpt")) == 2 and all(line.count("_delimiter_") == 1 for line in seen("gpt"))
    assert len(seen("elmo")) == 2  # each text in a view of its own
    assert len(seen("gpt", "micro.entailment")) == 1  # its order means something


def test_what_has_no_form_of_its_own_asks_for_a_model() -> None:
    for name in ("auto", "elmo-allennlp"):
        with pytest.raises(UserError, match=f"{name}: .*give --model"):
            show.describe("micro.sense", [], None, backend=name)
    with pytest.raises(UserError, match="did you mean 'bert'"):
        show.describe("micro.sense", [], None, backend="brt")


def test_a_model_shows_its_own_pieces(tmp_path: Path) -> None:
    from lmcompare.text.wordpiece import train_wordpiece

    shape = {"name": "bert", "layers": 1, "width": 8, "heads": 2, "positions": 64}
    made = registry.backends.build(
        shape, train_wordpiece(["so it was seen again"] * 3, size=40, min_frequency=1)
    )
    made.draw(1)
    made.save(tmp_path)
    told = show.describe("micro.sense", ["task.train=20"], None, model=str(tmp_path))
    assert "##" in "".join(told["text"]) or "[UNK]" in "".join(told["text"])


def test_a_preset_takes_no_backend_and_a_task_no_other_settings() -> None:
    with pytest.raises(UserError, match="--backend and --model say how an example of a task"):
        show.describe("bert-tiny", [], None, backend="gpt")
    with pytest.raises(UserError, match=r"of a task, only what begins with task\. can be set"):
        show.describe("micro.sense", ["seed=3"], None)
    with pytest.raises(UserError, match="unknown key 'trian'"):
        show.describe("micro.sense", ["task.trian=3"], None)


def test_sizes_stand_beside_those_published(tmp_path: Path) -> None:
    told = show.describe("rte", [], small_rte(tmp_path))
    assert told["examples"] == {"train": 2, "dev": 2} and told["published"]["train"] == 2490
    assert told["state"] == {"train": "part", "dev": "part"}
    assert "train: 2 of 2,490 examples (part)" in told["text"]
    assert "test: not here; 3,000 were published" in told["text"]
    assert "train: entailment 2 (100.0%), not_entailment 0 (0.0%)" in told["text"]
    printed = lmc("show", "rte", "--data", str(tmp_path), "--backend", "gpt")
    assert "_start_ the old cat sat _delimiter_ a cat was old _classify_" in printed


def test_what_was_cut_is_not_missed(tmp_path: Path) -> None:
    known = facts.of("subj")
    assert facts.gone(known, ("train", "dev", "test")) == []
    assert facts.gone(facts.of("20newsgroups"), ("test",)) == ["train", "dev"]
    assert facts.gone(facts.of("xquad"), ("test",)) == ["train", "dev"]
    (tmp_path / "subj").mkdir()
    for name in ("objective", "subjective"):
        rows = "".join(f"{name} sentence number {n} .\n" for n in range(20))
        (tmp_path / "subj" / f"subj.{name}").write_text(rows)
    assert not any("not here" in line for line in show.describe("subj", [], tmp_path)["text"])


def test_without_its_data_a_task_tells_what_is_known(tmp_path: Path) -> None:
    text = lmc("show", "rte", "--data", str(tmp_path))
    assert "kind: classify\n" in text and f"license: {facts.of('rte').license}\n" in text
    assert "published: train 2,490, dev 277, test 3,000\n" in text
    assert "data: missing; rte: no file or folder here" in text and str(tmp_path) in text
    for name in ("srl", "storycloze", "squad"):
        assert "data: missing; " in lmc("show", name)
    (small_rte(tmp_path) / "RTE" / "train.tsv").write_text("index\tsentence1\tsentence2\tlabel\n1\ta\n")
    with pytest.raises(DataError, match=r"train\.tsv:2"):  # what is here and broken is no missing data
        show.describe("rte", [], tmp_path)


def test_more_rows_than_were_published_are_not_so_many_of_them() -> None:
    told = {"published": {"train": 2490}, "state": {"train": "other"}}
    assert show_task.size(2491, told, "train") == "2,491 examples (other)"
    assert show_task.size(2489, told, "train") == "2,489 of 2,490 examples (other)"


@pytest.mark.parametrize(("published", "says"), [(True, "not published"), (False, "blank in this copy")])
def test_an_answer_that_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: bool, says: str
) -> None:
    row = "1\tthe old cat sat\ta cat was old\n"
    (tmp_path / "RTE").mkdir()
    (tmp_path / "RTE" / "test.tsv").write_text(f"index\tsentence1\tsentence2\n{row}")
    if not published:
        monkeypatch.setitem(facts._known, "rte", replace(facts.of("rte"), unlabelled=()))
    assert show.describe("rte", [], tmp_path)["text"][-1].endswith(f"answer {says}")


def test_xquad_speaks_for_itself(tmp_path: Path) -> None:
    asked = {"id": "1", "question": "Who sat?", "answers": [{"text": "cat", "answer_start": 2}]}
    data = {"data": [{"title": "t", "paragraphs": [{"context": "A cat sat.", "qas": [asked]}]}]}
    (tmp_path / "xquad.en.json").write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"^xquad: its train split is SQuAD's, which is not here: squad: "):
        registry.tasks.build({"name": "xquad"}, tmp_path).load("train")


BALANCES: dict[str, tuple[dict[str, Any], list[Any], str]] = {
    "classify": ({"labels": ("a", "b")}, ["a", "a", "b", None], "train: a 2 (66.7%), b 1 (33.3%)"),
    "score": ({}, [1.0, 2.0, 4.5], "train: scores from 1 to 4.5, 2.5 on average"),
    "choice": ({}, [0, 2, 2, 2], "train: option 1 1 (25.0%), option 3 3 (75.0%)"),
    "tags": ({}, [("O", "B-X"), ("O", "O")], "train: O 3 (75.0%), B-X 1 (25.0%)"),
    "span": ({}, [((0, 1),), ()], "train: answered 1 (50.0%), without an answer 1 (50.0%)"),
}


@pytest.mark.parametrize("kind", BALANCES)
def test_balance(kind: Any) -> None:
    more, labels, told = BALANCES[kind]
    task = Task("t", kind, ("accuracy",), lambda split: [], **more)
    examples = [Example(str(n), ("x",), label) for n, label in enumerate(labels)]
    assert show_task.balanced(show_task.balance(task, examples), "train") == [told]
    assert show_task.balanced(show_task.balance(task, [Example("1", ("x",))]), "test") == [
        "test: without labels"
    ]


# --- what is known to be odd --------------------------------------------------------------------


def test_an_overlap_that_was_published_is_said_to_be() -> None:
    task = Task("t", "classify", ("accuracy",), lambda split: [], labels=("a", "b"))
    train = [Example(str(n), (f"text {n}",), "ab"[n % 2]) for n in range(6)]
    splits = {"train": train, "dev": [replace(e, id=f"d{e.id}") for e in train[:2]]}
    (told,) = checks.inspect(splits, task)
    assert told.endswith("2 of 6 train examples stand in dev with the same text (leakage)")
    (told,) = checks.inspect(splits, task, {"dev": 2})
    assert told.endswith("(leakage, as published)")
    (told,) = checks.inspect(splits, task, {"dev": 1})
    assert told.endswith("(leakage)")


def test_the_digest_of_all_splits_is_that_of_their_examples_in_a_row() -> None:
    one, other = [Example("1", ("a",), "x")], [Example("2", ("b",), "x", groups=("g",))]
    whole, parts = checks.digests({"train": one, "dev": other})
    assert whole == checks.digest([*one, *other])
    assert parts == {"train": checks.digest(one), "dev": checks.digest(other)}
    assert checks.digest(other) != checks.digest([replace(other[0], groups=())])
