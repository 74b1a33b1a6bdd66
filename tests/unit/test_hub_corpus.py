"""A corpus by its id on the hub: the real loader on a folder in the hub's layout, and clear words without a network."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmcompare import config
from lmcompare.errors import DataError
from lmcompare.experiments import corpora, hub_corpus
from lmcompare.text import corpus

datasets = pytest.importorskip("datasets")
TEXTS = ["One here. Two here.", "Three.\n\nFour.", "Five."]


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set as it lies on the hub: a card that names two configs, and Parquet files by split."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "some-texts"
    for name, rows in (("plain", TEXTS), ("other", ["Six."])):
        for split, extra in (("train", []), ("test", ["Held out."])):
            table = datasets.Dataset.from_dict(
                {"text": extra or rows, "body": ["Body."] * len(extra or rows)}
            )
            (folder / name).mkdir(parents=True, exist_ok=True)
            table.to_parquet(folder / name / f"{split}-00000-of-00001.parquet")
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n"
        + "".join(f"  - split: {split}\n    path: {name}/{split}-*\n" for split in ("train", "test"))
        for name in ("plain", "other")
    )
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    return folder


@pytest.mark.parametrize("offline", ["1", "0"])
def test_the_real_loader(layout: Path, offline: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    table = hub_corpus.load(f"{layout}:plain", "train")
    read: list[int] = []
    assert list(hub_corpus.texts(table, "x/y", "text", read.append)) == TEXTS
    assert read[-1] == table.data.nbytes
    assert table.cache_files  # so its rows stay on the disk
    assert list(corpus.cut(hub_corpus.texts(table, "x/y", "text"))) == [
        ["One here.", "Two here."],
        ["Three.", "Four."],
        ["Five."],
    ]
    told = {
        hub_corpus.identity(table, "a", "train", "text"),
        hub_corpus.identity(table, "a", "train", "body"),
    }
    other = hub_corpus.load(f"{layout}:other", "train")
    told |= {hub_corpus.identity(other, "a", "train", "text")}
    assert len(told) == 3
    again = hub_corpus.load(f"{layout}:plain", "train")
    assert hub_corpus.identity(again, "a", "train", "text") in told
    assert list(hub_corpus.texts(hub_corpus.load(f"{layout}:plain", "test"), "x", "text")) == ["Held out."]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"path": ""}, "Config name is missing"),
        ({"path": ":plian"}, "plian"),
        ({"path": ":plain", "split": "trian"}, "trian"),
        ({"path": ":plain", "field": "txet"}, "no column 'txet'; did you mean 'text'"),
    ],
)
def test_what_is_named_wrongly(layout: Path, more: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        table = hub_corpus.load(f"{layout}{more['path']}", more.get("split", "train"))
        list(hub_corpus.texts(table, "some/texts", more.get("field", "text")))
    assert "\n" not in str(caught.value)


def test_a_source_from_the_hub(layout: Path, monkeypatch: Any) -> None:
    """The way through the config; only where the data set lies is changed."""
    real = hub_corpus.load
    monkeypatch.setattr(
        hub_corpus, "load", lambda name, split: real(f"{layout}:{name.partition(':')[2]}", split)
    )
    text = corpora.source(config.Corpus(path="me/some-texts:plain"))
    assert text.name == "some-texts-plain"
    assert list(text.documents()) == [["One here.", "Two here."], ["Three.", "Four."], ["Five."]]
    assert list(text.stream(lambda size: None)) == TEXTS and text.size
    bodies = corpora.source(config.Corpus(path="me/some-texts:plain", field="body"))
    assert bodies.hash != text.hash and next(bodies.documents()) == ["Body."]


def test_what_exists_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wikitext").mkdir()
    (tmp_path / "wikitext" / "a.jsonl").write_text('{"text": "One.", "body": "Two."}\n')
    assert list(corpora.source(config.Corpus(path="wikitext")).documents()) == [["One."]]
    bodies = corpora.source(config.Corpus(path="wikitext", field="body"))
    assert list(bodies.documents()) == [["Two."]]
    assert bodies.hash != corpora.source(config.Corpus(path="wikitext")).hash
    for path in ("nothing.txt", "./nothing", "/nothing", "~/nothing", "a/b/c", "nothing/"):
        assert not hub_corpus.is_id(path)
        with pytest.raises(DataError, match="no such file"):
            corpora.source(config.Corpus(path=path))
    assert all(
        map(hub_corpus.is_id, ("wikitext", "Salesforce/wikitext", "Salesforce/wikitext:wikitext-2-raw-v1"))
    )


def processor(words: list[str], env: dict[str, str]) -> tuple[float, subprocess.CompletedProcess[str]]:
    """The seconds of the processor that a command takes, and how it ended."""
    before = os.times()
    ended = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)
    after = os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system, ended


@pytest.mark.slow
@pytest.mark.parametrize("offline", ["1", "0"])
def test_f43_unknown_to_the_cache_and_no_network(tmp_path: Path, offline: str) -> None:
    """Also where nothing says that there is no network: the hub's address leads nowhere."""
    places = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": offline, "LMC_RUNS": str(tmp_path)}
    places |= {"HF_ENDPOINT": "http://127.0.0.1:9"}
    words = [sys.executable, "-m", "lmcompare", "pretrain", "bert", "--corpus", "nobody/no-such-texts"]
    imports = [sys.executable, "-c", "import datasets, torch, transformers, sklearn"]
    bare, _ = processor(imports, os.environ | places)
    spent, ended = processor(words, os.environ | places)
    assert ended.returncode == 3 and "Traceback" not in ended.stderr
    (sentence,) = ended.stderr.strip().splitlines()
    assert sentence.startswith("error: corpus 'nobody/no-such-texts': no file or folder here")
    assert str(tmp_path / "hf") in sentence and "--corpus" in sentence and ".jsonl" in sentence
    assert ("offline" in sentence) == (offline == "1")
    # Imports are nearly all of it; a second of the processor is long on one machine and short on another.
    assert spent < 2 * bare + 2


def test_the_card_of_a_corpus_may_be_json_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "lines"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    assert list(hub_corpus.texts(hub_corpus.load(str(folder), "train"), "x", "text")) == TEXTS
