"""One vector a word: which row a word gets, files of vectors, and what is refused."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from lmcompare import models, registry
from lmcompare.backends import static_files
from lmcompare.backends.static import Static
from lmcompare.cli import app
from lmcompare.errors import ModelError
from lmcompare.text.words import SPECIALS, train_words
from lmcompare.types import Example, Task, View

GLOVE = "the 0.5 -1 2e-1\n, 1 2 3\nCat -0.5 0 0.25\n"
TASK = Task("t", "classify", ("accuracy",), lambda split: [], labels=("a", "b"), texts=2)


def written(folder: Path, text: str | bytes, name: str = "vectors.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def vector(backend: Static, word: str) -> list[float]:
    (ids,) = [backend.tokenizer.encode_words([word])]
    inputs = backend.stack([View(ids, [0])])
    return backend.encoder(inputs)[0][0, 0].tolist()


def test_a_word_gets_its_own_row_or_its_lower_cases_or_the_unknown_words() -> None:
    tokenizer = train_words(
        ["the cat sat", "the cat", "the Rare"], size=5
    )  # three markers, then `the` and `cat`
    table = torch.arange(5.0)[:, None].expand(5, 2)
    found = {}
    for lower in (True, False):
        backend = registry.backends.build({"name": "static", "width": 2, "lower": lower}, tokenizer)
        with torch.no_grad():
            backend.tied.copy_(table)
        words = ["cat", "Cat", "CAT", "sat", "Rare", "never"]
        found[lower] = [vector(backend, word)[0] for word in words]
    assert found[True] == [4, 4, 4, 2, 2, 2]
    assert found[False] == [4, 2, 2, 2, 2, 2]


def test_a_view_is_the_mean_of_its_own_words_and_padding_has_no_say() -> None:
    backend = registry.backends.build({"name": "static", "width": 3}, train_words(["a b c d"]))
    backend.draw(1)
    views = backend.views(TASK, Example("1", ("a b c d", "b x")), 50)
    inputs = backend.stack(views)
    pooled = backend.encoder.pool(backend.encoder(inputs)[-1], inputs.pool_B)
    rows = backend.tied[[backend.tokenizer.number[w] for w in "abcd"]]
    torch.testing.assert_close(pooled[0], rows.mean(0))
    torch.testing.assert_close(pooled[1], (rows[1] + backend.tied[2]) / 2)


def test_saved_vectors_come_back_the_same(tmp_path: Path) -> None:
    backend = registry.backends.build({"name": "static", "width": 4, "lower": False}, train_words(["a b c"]))
    backend.draw(3)
    backend.save(tmp_path, {"head.weight": torch.ones(2)})
    again = Static.load(tmp_path)
    assert again.fingerprint == backend.fingerprint
    assert again.settings == backend.settings
    other = registry.backends.build({"name": "static", "width": 4, "lower": True}, backend.tokenizer)
    other.draw(3)
    assert other.fingerprint != backend.fingerprint
    again.draw(3)
    assert again.tied.equal(backend.tied)


@pytest.mark.parametrize("form", ["glove", "word2vec", "gzip", "windows", "trailing blanks"])
def test_files_of_vectors_are_read_in_every_common_form(form: str, tmp_path: Path) -> None:
    text = {"word2vec": "3 3\n" + GLOVE, "windows": GLOVE.replace("\n", "\r\n")}.get(form, GLOVE)
    text = GLOVE.replace("\n", " \n") if form == "trailing blanks" else text
    data = gzip.compress(text.encode()) if form == "gzip" else text.encode()
    path = written(tmp_path, data, "v.txt.gz" if form == "gzip" else "v.txt")
    backend = models.load("static", str(path))
    assert backend.tokenizer.forms == [*SPECIALS, "the", ",", "Cat"]
    assert backend.width == 3
    assert vector(backend, "the") == pytest.approx([0.5, -1, 0.2])
    assert vector(backend, "The") == vector(backend, "the")  # its lower-case form is there
    assert vector(backend, "cat") == vector(backend, "never")  # `Cat` is, but not `cat`
    assert vector(backend, "never") == pytest.approx([1 / 3, 1 / 3, 3.45 / 3])  # the mean
    assert any("mean" in sentence for sentence in backend.warnings)
    backend.save(tmp_path / "folder")
    assert models.load("static", str(tmp_path / "folder")).fingerprint == backend.fingerprint
    assert models.family(str(path)) == "static"


def test_a_file_may_bring_its_own_unknown_word_and_words_with_blanks(tmp_path: Path) -> None:
    found = static_files.read(written(tmp_path, "a 1 2\n<unk> 7 8\n</s> 5 6\n. . 3 4\n\u0085x 9 9\na 0 0\n"))
    assert found.words == ["a", ". .", "\u0085x"]
    assert found.table[:3].tolist() == [[0, 0], [5, 6], [7, 8]]
    assert found.table[3:].tolist() == [[1, 2], [3, 4], [9, 9]]  # of a word that comes twice, the first
    assert [s for s in found.warnings if "1 lines repeat" in s] and len(found.warnings) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 1 2\nb 1\n", r"vectors.txt:2: holds 2 fields; a word and 2 numbers"),
        ("a 1 2\nb 1 2 3\n", r"vectors.txt:2: holds 4 fields; a word and 2 numbers"),
        ("a 1 2\nb 1 x\n", r"vectors.txt:2: 'x' is not a number"),
        ("a 1 2\nb 1 nan\n", r"vectors.txt:2: a number of 'b' is not finite"),
        ("a 1 2\nb 1 1e99\n", r"vectors.txt:2: a number of 'b' is not finite"),
        ("a 1 2\n\nb 1 2\n", r"vectors.txt:2: holds 1 fields"),
        ("a 1 2\n 1 2\n", r"vectors.txt:2: begins with a blank"),
        ("a\tb\n", r"vectors.txt:1: holds 1 fields; a word and its numbers, with single blanks"),
        ("5 2\na 1 2\n", r"line 1 promises 5 words, but there are 1"),
        ("", r"holds no word vectors"),
        ("5 2\n", r"holds no word vectors"),
        (b"a 1 2\nb\xe9 1 2\n", r"vectors.txt:2:2: byte 7 \(0xe9\) is not valid UTF-8"),
        (b"PK\x03\x04zip", r"this is a zip archive"),
        (gzip.compress(b"a 1 2\n" * 999)[:20], r"gzip data is damaged or cut off"),
    ],
)
def test_a_broken_file_is_refused_in_one_sentence(text: str | bytes, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ModelError, match=said):
        models.load("static", str(path))


def test_a_broken_folder_is_refused_in_one_sentence(tmp_path: Path) -> None:
    backend = registry.backends.build({"name": "static", "width": 4}, train_words(["a b c"]))
    backend.save(tmp_path / "m")
    config = tmp_path / "m" / "config.json"
    config.write_text('{"model_type": "static", "width": 5, "lower": true}')
    with pytest.raises(ModelError, match=r"words\.weight has the shape \[6, 4\].* ask for \[6, 5\]"):
        Static.load(tmp_path / "m")
    config.write_text('{"model_type": "static", "width": true, "lower": true}')
    with pytest.raises(ModelError, match="width is a whole number"):
        Static.load(tmp_path / "m")
    config.write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="'bert'; the static backend reads 'static'"):
        Static.load(tmp_path / "m")
    (tmp_path / "none").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        Static.load(tmp_path / "none")
    with pytest.raises(ModelError, match="no such run or folder"):
        models.load("static", str(tmp_path / "nowhere.txt"))


def test_a_large_file_is_in_memory_little_more_than_once(tmp_path: Path) -> None:
    import tracemalloc

    rows, width = 4000, 100
    line = " ".join(["0.12345"] * width)
    path = written(tmp_path, "".join(f"w{n} {line}\n" for n in range(rows)))
    tracemalloc.start()
    found = static_files.read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.table.shape == (rows + 3, width)
    assert peak < 2.5 * found.table.nbytes + (4 << 20)  # and a piece of the file as text
    assert np.isfinite(found.table).all()


@pytest.mark.slow
def test_vectors_are_pretrained_used_and_asked_again_from_the_command_line(tmp_path: Path) -> None:
    def lmc(*arguments: str) -> dict[str, Any]:
        result = CliRunner().invoke(app, [*arguments, "--json"])
        assert result.exit_code == 0, result.output + repr(result.exception)
        return json.loads(result.stdout)

    runs = [str(tmp_path / name) for name in ("model", "tuned", "frozen")]
    small = ["--set", "corpus.documents=300", "--set", "backend.width=8", "--set", "training.steps=4"]
    made = lmc("pretrain", "static", "--config", "static-micro", "--out", runs[0], *small)
    assert lmc("eval", runs[0])["metrics"] == {k: made["metrics"]["dev"][k] for k in ("loss", "pairs")}
    task = ["--task", "micro.sentiment", "--set", "task.train=32", "--set", "training.epochs=1"]
    tuned = lmc("finetune", "static", *task, "--model", runs[0], "--config", "static-micro", "--out", runs[1])
    vectors = written(tmp_path, GLOVE)
    frozen = lmc(
        "features", "static", *task, "--model", str(vectors), "--config", "static-micro", "--out", runs[2]
    )
    assert any("mean of all vectors" in sentence for sentence in frozen["warnings"])
    for run, result in zip(runs[1:], (tuned, frozen), strict=True):
        assert lmc("eval", run, "--split", "test")["metrics"] == result["metrics"]["test"]
    vectors.write_text(GLOVE.replace("0.25", "0.75"))
    changed = CliRunner().invoke(app, ["eval", runs[2]])
    assert "not the weights" in str(changed.exception)
