"""The reference backend: what it refuses, where its interpreter is looked for, how a hang is told from work, and, where
`make allennlp` was run, that the worker answers what the goldens say."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lmcompare import registry
from lmcompare.backends import allennlp_process
from lmcompare.backends.allennlp import AllenNlp
from lmcompare.backends.allennlp_process import (
    PYTHON,
    TIMEOUT,
    Process,
    Watch,
    installed,
    interpreter,
    patience,
)
from lmcompare.errors import ModelError, ResourceError, UserError
from lmcompare.experiments import doctor
from lmcompare.text.words import SPECIALS, Words
from lmcompare.types import View

pytestmark = pytest.mark.slow

GOLDENS = Path(__file__).resolve().parents[1] / "goldens"


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> AllenNlp:
    """Never asked anything, so that any program will do as its interpreter."""
    monkeypatch.setenv(PYTHON, sys.executable)
    return AllenNlp.load(GOLDENS / "elmo")


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> AllenNlp:
    monkeypatch.delenv(TIMEOUT, raising=False)
    try:
        installed()
    except ResourceError as error:
        pytest.skip(f"needs the authors' package: {error}")
    return AllenNlp.load(GOLDENS / "elmo")


def layers(backend: AllenNlp, sentences: list[list[str]]) -> np.ndarray:
    ids = [backend.tokenizer.encode_words(words) for words in sentences]
    with torch.no_grad():
        given = backend.encoder(backend.stack([View(row, [0] * len(row)) for row in ids]))
    return torch.stack(given).numpy()


# --- What is refused


def test_it_is_read_only(theirs: AllenNlp) -> None:
    inputs = theirs.stack([View([1, 2], [0, 0])])
    with pytest.raises(UserError, match="lmc features"):
        theirs.encoder(inputs)  # gradients are asked for, and there can be none
    with pytest.raises(UserError, match="lmc features"):
        theirs.draw(1)
    with pytest.raises(UserError, match="lmc features"):  # what `lmc pretrain` would do
        registry.backends.build({"name": "elmo-allennlp"}, Words(SPECIALS))
    assert theirs.encoder.process is None  # and nothing was started for it


@pytest.mark.parametrize("missing", ["options.json", "weights.hdf5"])
def test_a_folder_without_its_two_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str
) -> None:
    monkeypatch.setenv(PYTHON, sys.executable)
    for name in {"options.json", "weights.hdf5"} - {missing}:
        (tmp_path / name).write_bytes((GOLDENS / "elmo" / name).read_bytes())
    with pytest.raises(ModelError, match=missing.partition(".")[2]):
        AllenNlp.load(tmp_path)


def test_its_sizes_and_its_fingerprint(theirs: AllenNlp, tmp_path: Path) -> None:
    assert (theirs.depth, theirs.width, theirs.parts) == (2, 20, 2)
    again = AllenNlp.load(GOLDENS / "elmo")
    assert again.fingerprint == theirs.fingerprint
    assert AllenNlp.load(GOLDENS / "elmo_deeper").fingerprint != theirs.fingerprint
    again.encoder.stateful = True
    assert again.fingerprint != theirs.fingerprint
    for path in (GOLDENS / "elmo").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert AllenNlp.load(tmp_path).fingerprint == theirs.fingerprint
    weights = bytearray((tmp_path / "weights.hdf5").read_bytes())
    weights[-200] ^= 1
    (tmp_path / "weights.hdf5").write_bytes(weights)
    assert AllenNlp.load(tmp_path).fingerprint != theirs.fingerprint


# --- Where it is looked for


def test_the_interpreter_is_found_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here, beside = tmp_path / "here", tmp_path / "checkout"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv(PYTHON, raising=False)
    monkeypatch.setattr(
        allennlp_process, "__file__", str(beside / "lmcompare" / "backends" / "allennlp_process.py")
    )
    with pytest.raises(ResourceError, match="make allennlp") as caught:
        interpreter()
    assert caught.value.status == 5
    told = doctor.reference()
    assert told[1] and "not installed" in told[2] and "make allennlp" in told[2]
    for folder in (beside, here):
        python = folder / ".venv-allennlp" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.symlink_to(sys.executable)
        assert interpreter() == str(python)
    monkeypatch.setenv(PYTHON, sys.executable)
    assert interpreter() == sys.executable
    monkeypatch.setenv(PYTHON, "no-such-python")
    with pytest.raises(ResourceError, match="no-such-python"):
        interpreter()


def test_an_interpreter_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours has none: the doctor sees it, and so does the worker."""
    monkeypatch.setenv(PYTHON, sys.executable)
    with pytest.raises(ResourceError, match="holds no allennlp"):
        installed()
    with pytest.raises(ResourceError, match="failed while starting: ModuleNotFoundError"):
        Process()


@pytest.mark.parametrize("given", ["soon", "0", "-3", "inf", "nan"])
def test_a_limit_that_is_none(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv(TIMEOUT, given)
    with pytest.raises(UserError, match="not a number of seconds"):
        patience()


# --- A hang, and work


def started(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


def looked(watch: Watch, seconds: float) -> str:
    """What the watch says within this time."""
    ends = time.monotonic() + seconds
    try:
        while time.monotonic() < ends:
            watch.look()
            time.sleep(0.02)
    except TimeoutError as late:
        return str(late)
    return ""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, which this system has not")
def test_a_process_that_sleeps_hangs_and_one_that_computes_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allennlp_process, "IDLE", 0.5)
    monkeypatch.setattr(allennlp_process, "LOOK", 0.1)
    # a child's work counts too: the interpreter may be a script that starts another
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    sleeping, busy = started("import time; time.sleep(60)"), started(child)
    try:
        time.sleep(0.5)
        assert "did nothing" in looked(Watch(sleeping.pid, 60.0, None), 3.0)
        assert looked(Watch(busy.pid, 60.0, None), 1.5) == ""
        assert "gave no answer" in looked(Watch(busy.pid, 60.0, 0.3), 20.0)  # of the processor's time
        assert "gave no answer" in looked(Watch(busy.pid, 0.3, None), 3.0)
    finally:
        allennlp_process.slain(sleeping)
        allennlp_process.slain(busy)


# --- The real one


@pytest.mark.slow
def test_the_worker_answers_what_the_goldens_say(real: AllenNlp) -> None:
    golden = np.load(GOLDENS / "elmo.npz")
    told = json.loads((GOLDENS / "elmo" / "sentences.json").read_text(encoding="utf-8"))
    sentences = told["sentences"]
    np.testing.assert_allclose(layers(real, sentences), golden["outputs/layers"], atol=1e-6)
    again = layers(real, sentences[::-1])[
        :, ::-1
    ]  # no state goes on, and the order of a batch is nothing to it
    np.testing.assert_allclose(again, golden["outputs/layers"], atol=1e-6)
    real.encoder.stateful = True
    for _ in range(2):
        real.encoder.forget()
        for n, rows in enumerate(told["stateful"]):
            found = layers(real, [sentences[row] for row in rows])
            np.testing.assert_allclose(found, golden[f"outputs/stateful_{n}"], atol=1e-6)


@pytest.mark.slow
def test_what_the_package_says_of_bad_weights_is_passed_on(real: AllenNlp, tmp_path: Path) -> None:
    options = json.loads((GOLDENS / "elmo" / "options.json").read_text(encoding="utf-8"))
    options["lstm"]["use_skip_connections"] = False
    (tmp_path / "options.json").write_text(json.dumps(options), encoding="utf-8")
    (tmp_path / "weights.hdf5").write_bytes((GOLDENS / "elmo" / "weights.hdf5").read_bytes())
    with pytest.raises(ModelError, match="residual connections") as caught:
        layers(AllenNlp.load(tmp_path), [["a"]])
    assert str(tmp_path) in str(caught.value)


# --- The goldens


def test_the_goldens_are_small_and_explained() -> None:
    files = [path for path in GOLDENS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
    readme = (GOLDENS / "README.md").read_text(encoding="utf-8")
    for path in GOLDENS.glob("*.npz"):
        assert f"`{path.name}`" in readme
        arrays = np.load(path)
        assert any("outputs/" in name for name in arrays)
        assert all(np.isfinite(arrays[name]).all() for name in arrays if arrays[name].dtype.kind == "f")
