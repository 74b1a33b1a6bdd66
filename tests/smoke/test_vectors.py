"""`lmc extract` and `lmc neighbors` on a model of a few steps: what a person sees, the JSON keys, the exit status."""

import json
from pathlib import Path
from typing import Any

import h5py
import pytest
from typer.testing import CliRunner

from lmcompare.cli import app
from lmcompare.errors import UserError
from tests.smoke.test_cli import TINY, answer, folder, lmc, sets

__all__ = ["folder"]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    lmc("pretrain", "bert", "--corpus", folder / "text.txt", "--out", folder / "model", *sets(TINY))
    return folder / "model"


def refused(*arguments: Any) -> int:
    """The exit status that the error asks for."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert isinstance(result.exception, UserError), result.output
    return result.exception.status


def test_extract_writes_every_word_and_layer(folder: Path, model: Path) -> None:
    text, out = folder / "sentences.txt", folder / "vectors.hdf5"
    text.write_text("the old cat was here .\n\na dog\n")
    told = answer("extract", model, "--text", text, "--out", out)
    assert (told["backend"], told["lines"], told["empty"], told["words"]) == ("bert", 3, 1, 8)
    with h5py.File(out) as file:
        assert [file[name].shape for name in "012"] == [(2, 6, 16), (2, 0, 16), (2, 2, 16)]
        assert json.loads(file["sentence_to_index"][0])["a dog"] == "2"
    assert refused("extract", model, "--text", text, "--out", out) == 2
    shown = lmc(
        "extract",
        model,
        "--text",
        text,
        "--out",
        out,
        "--force",
        "--pieces",
        "mean",
        "--layers",
        "-1",
        "--half",
    )
    assert "3 lines (1 of them empty), 8 words; layers 1; 16 numbers a vector, float16" in shown
    assert "every line alone" in shown and str(out) in shown
    assert refused("extract", model, "--text", folder / "none.txt", "--out", folder / "o.npz") == 3
    assert refused("extract", folder, "--text", text, "--out", folder / "o.npz") == 4


def test_neighbors_shows_uses_and_words(folder: Path, model: Path) -> None:
    asked = ["neighbors", model, "--word", "cat", "--context", "the old cat was seen."]
    told = answer(*asked)
    assert told["corpus"] == "text" and told["word"] == "cat" and told["sentences"] >= 6
    assert all("cat" in row["sentence"] for row in told["nearest"])
    shown = lmc(*asked, "--top", "2")
    assert shown.startswith("the old [cat] was seen.\n")
    assert shown.count("[cat]") == 3 and "nearest words where a word has one vector" in shown
    world = answer(
        "neighbors", model, "--word", "the", "--context", "the", "--corpus", "micro", "--sentences", "5"
    )
    assert world["sentences"] == 5 and world["senses"] is None
    assert refused(*asked[:3], "dog", *asked[4:]) == 2
    assert refused("neighbors", model, "--word", "zebra", "--context", "a zebra") == 3
