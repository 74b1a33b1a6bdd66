"""A run as a folder for others: `transformers` answers as the run did, or `lmc` does; the card says what is known."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from lmcompare import config as configs
from lmcompare import results
from lmcompare.backends.bert import Bert
from lmcompare.config import Multitask, Transfer
from lmcompare.errors import ResourceError, UserError
from lmcompare.experiments import evaluate, multitask
from lmcompare.experiments.export import check_alike, export, upload, with_interval
from lmcompare.experiments.export_layout import PATH, nameless
from lmcompare.experiments.transfer import formatted, transfer
from lmcompare.progress import Progress
from lmcompare.report.card import Figure, plain
from lmcompare.results import Record
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.transfer.learner import TaskLearner

KINDS = {
    "sentiment": "AutoModelForSequenceClassification",
    "similarity": "AutoModelForSequenceClassification",
    "continuation": "AutoModelForMultipleChoice",
    "entities": "AutoModelForTokenClassification",
    "answers": "AutoModelForQuestionAnswering",
}
LEARN: dict[str, Any] = {
    "length": 64,
    "optimizer": {"name": "adamw", "rate": 3e-3},
    "schedule": {"name": "linear"},
    "training": {"batch": 8, "steps": 4},
}
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT that has learned nothing, in a plain folder."""
    from lmcompare import micro

    sentences = [s for document in micro.world(0).documents(60) for s in document]
    folder = tmp_path_factory.mktemp("plain")
    made = Bert(train_wordpiece(sentences, size=300), layers=2, width=16, heads=2, positions=64)
    made.draw(1)
    made.save(folder)
    return folder


@pytest.fixture(scope="module")
def parts(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder for a task of every kind: their encoder is in the folder of the run that they share."""
    tasks = [{"name": f"micro.{task}", "train": 24} for task in KINDS]
    table = {
        "backend": "bert",
        "model": str(model),
        "transfer": {"name": "finetune"},
        "tasks": tasks,
        **LEARN,
    }
    out = tmp_path_factory.mktemp("several") / "run"
    multitask.multitask(configs.resolve(Multitask, table), progress=Progress(), out=out)
    return out / "tasks"


def made(model: Path, out: Path, *, seed: int = 1, way: str = "finetune", **transferred: Any) -> Path:
    """A run on sentiment."""
    table = {
        "backend": "bert", "model": str(model), "transfer": {"name": way, **transferred}, "seed": seed,
        "task": {"name": "micro.sentiment", "train": 24}, **LEARN,
    }  # fmt: skip
    transfer(configs.resolve(Transfer, table), progress=Progress(), out=out)
    return out


def of(parts: Path, task: str) -> Record:
    return results.read(next(parts.glob(f"*{task}*")))


def ours(record: Record) -> tuple[Any, Any, torch.Tensor]:
    """The run's own answers to a few examples, before they are named."""
    config, backend, weights = evaluate.restore(record)
    task = evaluate.as_trained(evaluate.task_of(record, "", None), record.path)
    learner = TaskLearner(backend, task, config.transfer)
    learner.load_state_dict(weights, strict=False)
    learner.eval()
    dataset = formatted(config, backend, task, task.load("dev")[:6])
    batch = dataset.batch(np.arange(6))
    with torch.no_grad():
        logits = learner(batch, dataset)
    if task.kind == "score":
        logits = logits * learner.head.spread + learner.head.center
    return task, batch, logits


@slow
@pytest.mark.parametrize("task", KINDS)
def test_transformers_answers_as_the_run_does(parts: Path, tmp_path: Path, task: str) -> None:
    import transformers

    told = export(str(of(parts, task).path), str(tmp_path / "out"))
    assert told["layout"] == "transformers" and told["needs"] is None
    loaded = getattr(transformers, KINDS[task]).from_pretrained(tmp_path / "out").eval()
    assert type(loaded).__name__ == told["architecture"]
    asked, batch, expected = ours(of(parts, task))
    inputs = {"input_ids": batch.inputs.ids_BT, "token_type_ids": batch.inputs.segments_BT}
    if (mask := batch.inputs.mask_BT) is not None:
        inputs["attention_mask"] = mask.long()
    if asked.kind == "choice":
        inputs = {name: tensor.reshape(6, -1, tensor.shape[-1]) for name, tensor in inputs.items()}
    with torch.no_grad():
        found = loaded(**inputs)
    logits = torch.stack([found.start_logits, found.end_logits], -1) if asked.kind == "span" else found.logits
    assert torch.allclose(logits.reshape(expected.shape), expected, atol=1e-5)
    if asked.kind in ("classify", "tags"):
        assert list(loaded.config.id2label.values()) == list(asked.labels)
        assert loaded.config.label2id == {name: k for k, name in enumerate(asked.labels)}


@slow
def test_the_tokenizer_cuts_texts_as_the_run_did(parts: Path, tmp_path: Path) -> None:
    import transformers

    record = of(parts, "sentiment")
    export(str(record.path), str(tmp_path / "out"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    asked, batch, _ = ours(record)
    texts = [example.texts[0] for example in asked.load("dev")[:6]]
    found = tokenizer(texts, padding=True, return_tensors="pt")
    assert torch.equal(found["input_ids"], batch.inputs.ids_BT)


@slow
@pytest.mark.parametrize("way", ["features", "finetune"])
def test_what_transformers_has_no_class_for_answers_by_lmc(model: Path, tmp_path: Path, way: str) -> None:
    """A reader brings its frozen encoder along: the folder of the model may be gone."""
    there = tmp_path / "model"
    shutil.copytree(model, there)
    run = made(there, tmp_path / "run", way=way, reader={"name": "bilstm", "hidden": 8})
    told = export(str(run), str(tmp_path / "out"))
    assert told["layout"] == "lmcompare" and "lmcompare's" in told["reason"]
    shutil.rmtree(there)
    shutil.move(run, tmp_path / "away")
    again = evaluate.evaluate(tmp_path / "out", "test")
    kept = list(results.read_lines(tmp_path / "away" / "predictions-test.jsonl"))
    assert again["predictions"] == kept
    card = (tmp_path / "out" / "README.md").read_text()
    assert "lmc eval out --split test" in card and "from transformers" not in card


@slow
def test_the_card_says_what_is_known_and_no_folder_of_this_machine(model: Path, tmp_path: Path) -> None:
    runs = [made(model, tmp_path / f"s{seed}", seed=seed) for seed in (1, 2, 3)]
    export(str(runs[0]), str(tmp_path / "out"), beside=[str(run) for run in runs[1:]])
    card = (tmp_path / "out" / "README.md").read_text()
    _, head, text = card.split("---\n", 2)
    told = yaml.safe_load(head)
    assert told["pipeline_tag"] == "text-classification" and told["library_name"] == "transformers"
    (index,) = told["model-index"]
    values = [json.loads((run / "result.json").read_text())["metrics"]["test"]["accuracy"] for run in runs]
    (metric,) = [
        m
        for r in index["results"]
        if r["dataset"]["split"] == "test"
        for m in r["metrics"]
        if m["type"] == "accuracy"
    ]
    assert metric["value"] == pytest.approx(sum(values) / 3, abs=1e-6)
    assert metric["name"] == "accuracy, mean of 3 seeds"
    assert "| accuracy | test |" in text and "± " in text and " to " in text
    assert "the seeds 1, 2, 3" in text and "`negative`, `positive`" in text
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file() and path.suffix in (".md", ".json"):
            assert str(tmp_path) not in path.read_text() and str(model) not in path.read_text(), path
    alone = export(str(runs[0]), str(tmp_path / "alone"))
    assert "README.md" in alone["files"] and "lmcompare.json" in alone["files"]
    text = (tmp_path / "alone" / "README.md").read_text()
    assert "over the examples of the split" in text and "of one seed" in text


@slow
def test_what_is_no_other_seed_is_not_counted_with_it(model: Path, tmp_path: Path) -> None:
    first, same = made(model, tmp_path / "a"), made(model, tmp_path / "b")
    other = made(model, tmp_path / "c", seed=2, dropout=0.3)
    with pytest.raises(UserError, match="seed 1 is there already"):
        export(str(first), str(tmp_path / "out"), beside=[str(same)])
    with pytest.raises(UserError, match=r"transfer\.dropout differs"):
        export(str(first), str(tmp_path / "out"), beside=[str(other)])
    assert not (tmp_path / "out").exists()


@slow
def test_what_is_there_stays_unless_an_export_wrote_it(model: Path, tmp_path: Path) -> None:
    run, out = made(model, tmp_path / "run"), tmp_path / "out"
    out.mkdir()
    (out / "letter.txt").write_text("dear all")
    for force in (False, True):
        with pytest.raises(UserError, match="--to"):
            export(str(run), str(out), force=force)
    assert (out / "letter.txt").read_text() == "dear all"
    (out / "letter.txt").unlink()
    export(str(run), str(out))
    with pytest.raises(UserError, match="not empty"):
        export(str(run), str(out))
    (out / "stale").touch()
    export(str(run), str(out), force=True)
    assert not (out / "stale").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]  # nothing half-made is left
    with pytest.raises(UserError, match="is a folder"):
        export(str(run), str(tmp_path / "new"), public=True)
    with pytest.raises(ResourceError, match="offline mode"):
        export(str(run), "hub:me/mine")
    with pytest.raises(UserError, match="hub:owner/name"):
        export(str(run), "hub:mine")


@pytest.fixture
def usual_mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@slow
@pytest.mark.parametrize("way", ["features", "finetune"])
def test_all_files_may_be_read_alike(model: Path, tmp_path: Path, usual_mask: None, way: str) -> None:
    there = tmp_path / "model"
    shutil.copytree(model, there)
    for path in there.iterdir():  # as an earlier version left them
        path.chmod(0o600)
    export(str(made(there, tmp_path / "run", way=way)), str(tmp_path / "out"))
    modes = {
        path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    assert "model.safetensors" in modes and set(modes.values()) == {0o644}


def other_seed(tmp_path: Path, seed: int, *, weights: str = "pretrained", **more: Any) -> Record:
    settings = {"weights": weights, "seed": seed, "model": "m"}
    path = tmp_path / f"s{seed}"
    facts = {"seed": seed, "data_hash": "d", **more}
    return Record(path, path.name, "finished", settings, facts, None, [])


def test_a_seed_is_known_by_the_checkpoint_before_its_seed_touched_it(tmp_path: Path) -> None:
    """GPT draws the markers of a task anew for every seed, so what is hashed after differs with it."""

    def check(first: dict[str, Any], second: dict[str, Any], **both: Any) -> None:
        one, two = (other_seed(tmp_path, n, **both, **more) for n, more in ((1, first), (2, second)))
        check_alike(one, [two])

    check({"model_hash": "a", "start_hash": "s"}, {"model_hash": "b", "start_hash": "s"})
    check({"model_hash": "a"}, {"model_hash": "b", "start_hash": "s"})
    check({"model_hash": "a", "start_hash": None}, {"model_hash": "b", "start_hash": None}, weights="random")
    check({"start_hash": "s"}, {"start_hash": "t"}, weights="random")
    with pytest.raises(UserError, match=r"of s1: start_hash differs$"):
        check({"start_hash": "s"}, {"start_hash": "t"})
    with pytest.raises(UserError, match=r"data_hash, start_hash differ$"):
        check({"start_hash": "s"}, {"start_hash": "t", "data_hash": "e"})


@pytest.mark.parametrize(("metric", "lowest"), [("accuracy", 0.0), ("f1", 0.0), ("matthews", -1.0)])
def test_an_interval_ends_where_the_metric_does(tmp_path: Path, metric: str, lowest: float) -> None:
    """Three seeds that lie as far apart as they can: the interval is wider than what there can be."""
    rights = ([1] * 24, [0] * 24, [1, 1, 0, 0] * 6)
    records = []
    for seed, right in enumerate(rights, 1):
        record = other_seed(tmp_path, seed, labels=["no", "yes"], task="t", task_kind="classify")
        record.path.mkdir()
        gold = ["no", "yes"] * 12
        told = [g if ok else {"no": "yes", "yes": "no"}[g] for g, ok in zip(gold, right, strict=True)]
        rows = [
            {"id": str(n), "label": g, "prediction": p}
            for n, (g, p) in enumerate(zip(gold, told, strict=True))
        ]
        (record.path / "predictions-dev.jsonl").write_text("".join(map(results.line, rows)))
        records.append(record)
    figure = Figure("dev", metric, 1.0, (1.0, 0.0, 0.5), 24)
    found = with_interval(figure, records)
    assert found.low == lowest and found.high == 1.0
    two = with_interval(figure, records[:2])
    assert two.low is two.high is None and "two seeds" in str(two.reason)
    assert with_interval(figure, records[:1]).reason is None


def test_a_run_without_a_task_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        export(str(tmp_path / "nothing"), str(tmp_path / "out"))


class Shelf:
    """The hub, as far as `upload` asks it: out of reach of every test."""

    def __init__(self, *there: str) -> None:
        self.files, self.private = [".gitattributes", *there], None

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
        self.private = private

    def list_repo_files(self, repo: str) -> list[str]:
        return self.files

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> None:
        self.files += sorted(path.name for path in Path(folder_path).iterdir())


def test_a_repository_is_private_and_what_it_holds_stays(tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    new = Shelf()
    upload(tmp_path, "me/mine", public=False, force=False, api=new)
    assert new.private is True and "README.md" in new.files
    full = Shelf("model.safetensors")
    with pytest.raises(UserError, match=r"holds 1 files already \(model.safetensors\)"):
        upload(tmp_path, "me/mine", public=True, force=False, api=full)
    upload(tmp_path, "me/mine", public=True, force=True, api=full)
    assert full.private is False and "README.md" in full.files


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/data/glue/CoLA (train: train.tsv)", "CoLA (train: train.tsv)"),
        ("train: ~/own/a.csv, dev: /x/y/b.csv", "train: a.csv, dev: b.csv"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("owner/name of the hub", "owner/name of the hub"),
    ],
)
def test_paths_lose_their_folders(text: str, clean: str) -> None:
    assert PATH.sub("", text) == clean
    assert nameless({"a": [text]}) == {"a": [clean]}


def test_names_are_no_markup() -> None:
    assert plain("<script>alert(1)</script>") == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert plain("[a](b) `c` | *d*\n# e") == "\\[a\\](b) \\`c\\` \\| \\*d\\* # e"
