"""F2, F42: a biLM killed at any moment ends with the same bits, its states included; and damaged weights are named."""

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import forge
import h5py
import numpy as np
import pytest
from safetensors.torch import load_file
from test_kill import trial
from world import STEPS, Place, Reference, finished

GOLDEN = Path(__file__).resolve().parents[1] / "goldens" / "elmo"
KILLS, QUICK = 25, 3
BILM = f"""
[backend]
name = "elmo"
cells = 12
projection = 8
characters = 4
filters = [[1, 4], [3, 8]]
highways = 1
[tokenizer]
name = "words"
[objective]
name = "bilm"
unroll = 5
full_softmax = 10
negatives = 12
[optimizer]
name = "adagrad"
rate = 0.1
[schedule]
name = "constant"
[training]
steps = {STEPS}
batch = 6
micro = 4
log_every = 1
eval_every = 7
checkpoint_every = 1
keep = 2
"""


def bilm(place: Place, out: Path, *more: Any) -> list[Any]:
    config = place.folder / "bilm.toml"
    config.write_text(BILM, encoding="utf-8")
    return [
        "pretrain",
        "elmo",
        "--corpus",
        place.folder / "corpus.txt",
        "--config",
        config,
        "--out",
        out,
        *more,
    ]


@pytest.fixture(scope="module")
def uninterrupted(place: Place) -> Reference:
    run = place.folder / "reference-bilm"
    return finished(bilm(place, run), run, place.folder)


MARKS = [pytest.mark.slow if n < QUICK else pytest.mark.full for n in range(KILLS)]


@pytest.mark.parametrize("number", [pytest.param(n, marks=mark) for n, mark in enumerate(MARKS)])
def test_f2_pretrain_elmo(place: Place, uninterrupted: Reference, tmp_path: Path, number: int) -> None:
    trial(lambda run: bilm(place, run), uninterrupted, tmp_path, f"f2 {number}", 1 + number % 2)


@pytest.mark.slow
def test_f2_the_states_are_in_the_checkpoint_and_matter(place: Place, tmp_path: Path) -> None:
    """And they differ from zero, so that a run that went on without them would end otherwise."""
    run = tmp_path / "run"
    child = forge.start(*bilm(place, run), home=tmp_path)
    while len(found := sorted(run.glob("checkpoints/step-*/manifest.json"))) < 2:
        time.sleep(0.005)
    child.kill()
    child.wait()
    newest = max(p.parent for p in run.glob("checkpoints/step-*/manifest.json"))
    assert found
    carried = {k: v for k, v in load_file(newest / "model.safetensors").items() if k.startswith("carried:")}
    assert len(carried) == 2 * 2 * 2
    assert all(bool(v.any()) for v in carried.values())
    assert {len(v) for v in carried.values()} == {6}


@pytest.mark.slow
def test_f2_two_processes_share_the_states(place: Place, uninterrupted: Reference, tmp_path: Path) -> None:
    """Every process has some of the rows; what they compute is what one process does, but for the dropout."""
    told = []
    for name, more in (("one", []), ("two", ["--nproc", "2"])):
        run = tmp_path / name
        ended = forge.lmc(*bilm(place, run, "--set", "backend.dropout=0.0", *more), home=tmp_path)
        assert ended.status == 0, ended.err
        told.append([row["loss"] for row in forge.rows(run) if "split" not in row])
    np.testing.assert_allclose(told[0], told[1], rtol=1e-4)


def refused(folder: Path, home: Path) -> str:
    out = home / "out.npz"
    text = home / "text.txt"
    text.write_text("the cat sat\n", encoding="utf-8")
    ended = forge.lmc("extract", folder, "--text", text, "--out", out, home=home)
    assert ended.status == 4 and ended.clean, ended.err
    assert not out.exists()
    return ended.err


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "elmo"))


def test_f42_missing_dataset(copied: Path, tmp_path: Path) -> None:
    with h5py.File(copied / "weights.hdf5", "r+") as file:
        del file["CNN_proj/W_proj"]
    assert "CNN_proj/W_proj is missing" in refused(copied, tmp_path)


def test_f42_wrong_shape(copied: Path, tmp_path: Path) -> None:
    with h5py.File(copied / "weights.hdf5", "r+") as file:
        whole = file["RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/W_P_0"][...]
        del file["RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/W_P_0"]
        file["RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/W_P_0"] = whole[:-1]
    assert re.search(r"directions\.1\.1\.weight_out has the shape", refused(copied, tmp_path))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_f42_truncated(copied: Path, tmp_path: Path, share: float) -> None:
    path = copied / "weights.hdf5"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "weights.hdf5" in refused(copied, tmp_path)


@pytest.mark.parametrize(
    ("room", "key", "value", "said"),
    [
        ("lstm", "dim", 13, "shape"),
        ("lstm", "n_layers", 3, "missing"),
        ("lstm", "projection_dim", "many", "projection"),
        ("char_cnn", "n_highway", 9, "missing"),
        ("char_cnn", "n_characters", 300, "300 characters"),
        ("char_cnn", "filters", [[1, 2]], "shape|does not ask for"),
        ("char_cnn", "activation", "maxout", "maxout"),
    ],
)
def test_f42_options_of_another_model(
    copied: Path, tmp_path: Path, room: str, key: str, value: Any, said: str
) -> None:
    path = copied / "options.json"
    options = json.loads(path.read_text(encoding="utf-8"))
    options[room][key] = value
    path.write_text(json.dumps(options), encoding="utf-8")
    assert re.search(said, refused(copied, tmp_path))


def test_f42_options_that_are_none(copied: Path, tmp_path: Path) -> None:
    (copied / "options.json").write_text('{"lstm": 3', encoding="utf-8")
    assert "options.json" in refused(copied, tmp_path)
    (copied / "options.json").write_text("{}", encoding="utf-8")
    assert "not the options of a character biLM" in refused(copied, tmp_path)
