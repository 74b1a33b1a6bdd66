"""A vector a word and layer: what any backend answers, and the files that hold it."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from lmcompare import files, models, registry, signals, word_vectors
from lmcompare.errors import DataError, ModelError, ResourceError, Stopped, UserError
from lmcompare.experiments import extract as experiment
from lmcompare.progress import Progress
from lmcompare.text.bpe import train_bpe
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.text.words import train_words
from lmcompare.word_vectors import WordVectors
from tests.contracts.backends_of_tests import LikeElmo

TEXTS = ["the cat sat on the mat", "a dog ran far", "the dog saw the cat and the mat", "unbelievable mats"]
LINES = [text.split() for text in TEXTS]


def bert(positions: int = 40, pieces: int = 45) -> Any:
    tokenizer = train_wordpiece(TEXTS, size=pieces, min_frequency=1)
    shape = {"layers": 2, "width": 12, "heads": 2, "positions": positions, "init_std": 0.3}
    return drawn(registry.backends.build({"name": "bert", **shape}, tokenizer))


def gpt(positions: int = 40, pieces: int = 45, network: str = "transformer") -> Any:
    tokenizer = train_bpe(TEXTS, size=pieces, min_frequency=1)
    shape = {"layers": 2, "width": 12, "heads": 2, "cells": 9, "positions": positions, "init_std": 0.3}
    return drawn(registry.backends.build({"name": "gpt", "network": network, **shape}, tokenizer))


def gpt_lstm(positions: int = 40, pieces: int = 45) -> Any:
    return gpt(positions, pieces, "lstm")


def elmo() -> Any:
    shape = {"cells": 7, "projection": 5, "characters": 3, "filters": [[1, 4], [3, 6]], "dropout": 0.0}
    return drawn(registry.backends.build({"name": "elmo", **shape}, train_words(TEXTS[:3])))


def static() -> Any:
    return drawn(registry.backends.build({"name": "static", "width": 6}, train_words(TEXTS[:3])))


def drawn(backend: Any) -> Any:
    backend.draw(3)
    backend.encoder.eval()
    return backend


IN_PIECES = {"bert": bert, "gpt": gpt, "gpt-lstm": gpt_lstm}
WHOLE_WORDS = {"elmo": elmo, "static": static, "like-elmo": lambda: drawn(LikeElmo())}
BACKENDS = IN_PIECES | WHOLE_WORDS


def run(model: Path, text: Path, out: Path, **how: Any) -> dict[str, Any]:
    return experiment.extract(str(model), text, out, progress=Progress(), **how)


@pytest.fixture(params=["bert", "gpt", "elmo", "static"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    backend = BACKENDS[request.param]()
    backend.save(tmp_path / request.param)
    return tmp_path / request.param


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("the cat sat .\n\nDogs  saw\tthe mat\nthe cat sat .\n   \nfar\n")
    return path


@pytest.mark.parametrize("name", WHOLE_WORDS)
@pytest.mark.parametrize("pieces", [None, "first", "mean", "last"])
def test_whole_words_have_the_vectors_that_the_encoder_gives_a_line_alone(name: str, pieces: Any) -> None:
    backend = BACKENDS[name]()
    for words, x_LWD in zip(LINES, WordVectors(backend, pieces=pieces).stream(LINES), strict=True):
        (view,) = backend.views(word_vectors.TASK, word_vectors.Example("", (), words=tuple(words)), 99)
        alone = torch.stack(backend.encoder(backend.stack([view])))[:, 0].detach().numpy()
        assert x_LWD.shape == (backend.depth + 1, len(words), backend.width)
        np.testing.assert_allclose(x_LWD, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BACKENDS)
def test_batch_pool_and_order_change_no_vector(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, lines = BACKENDS[name](), [*LINES, [], *LINES[::-1]]
    expected = list(WordVectors(backend).stream(lines, batch=64))
    assert [x.shape[1] for x in expected] == [len(words) for words in lines]
    monkeypatch.setattr(word_vectors, "HELD", 1500)
    monkeypatch.setattr(word_vectors, "TOKENS", 13)
    for batch in (1, 3):
        for a, b in zip(expected, WordVectors(backend).stream(iter(lines), batch=batch), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_only_a_pool_of_lines_is_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_vectors, "HELD", 4 * 3 * 12 * 4 + 2 * word_vectors.LINE)
    taken = 0

    def endless() -> Iterator[list[str]]:
        nonlocal taken
        while True:
            taken += 1
            yield ["the", "cat"]

    made = WordVectors(bert()).stream(endless())
    for _ in range(6):
        next(made)
    assert taken <= 8


def test_states_that_go_on_are_rows_in_the_order_of_the_file() -> None:
    backend, lines = elmo(), [*LINES, [], *LINES]
    experiment.remember(backend, "elmo")
    made = list(WordVectors(backend).in_order(lines, batch=2))
    other = elmo()
    other.encoder.stateful = True
    full = [words for words in lines if words]
    expected = []
    for n in range(0, len(full), 2):
        views = [
            other.views(word_vectors.TASK, word_vectors.Example("", (), words=tuple(w)), 99)[0]
            for w in full[n : n + 2]
        ]
        with torch.no_grad():
            x_LBTD = torch.stack(other.encoder(other.stack(views))).numpy()
        expected += [x_LBTD[:, b, : len(view.ids)] for b, view in enumerate(views)]
    assert made[4].shape == (3, 0, 10)
    for a, b in zip([x for x in made if x.size], expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    stateless = list(WordVectors(elmo()).stream(lines))
    assert not np.allclose(made[5], stateless[5], atol=1e-3)


def test_all_formats_hold_the_same(model: Path, text: Path, tmp_path: Path) -> None:
    import pyarrow

    outs = {end: tmp_path / f"out.{end}" for end in ("hdf5", "h5", "npz", "arrow")}
    told = [run(model, text, out) for out in outs.values()]
    assert {(t["lines"], t["empty"], t["words"]) for t in told} == {(6, 2, 13)}
    depth, width = len(told[0]["layers"]), told[0]["width"]
    packed = np.load(outs["npz"])
    assert packed.files == [str(n) for n in range(6)]
    with pyarrow.memory_map(str(outs["arrow"])) as source:
        table = pyarrow.ipc.open_file(source).read_all().to_pylist()
    assert [row["line"] for row in table] == list(range(6))
    assert [row["words"] for row in table][:3] == [
        ["the", "cat", "sat", "."],
        [],
        ["Dogs", "saw", "the", "mat"],
    ]
    for end in ("hdf5", "h5"):
        with h5py.File(outs[end]) as file:
            assert set(file) == {*map(str, range(6)), "sentence_to_index"}
            assert file["1"].shape == (depth, 0, width) == file["4"].shape
            for n in range(6):
                ours = file[str(n)][...]
                assert ours.dtype == np.float32 and ours.shape[0] == depth and ours.shape[2] == width
                np.testing.assert_array_equal(ours, packed[str(n)])
                nested = np.array(table[n]["layers"], np.float32).reshape(ours.shape)
                np.testing.assert_array_equal(ours, nested)
            index = json.loads(file["sentence_to_index"][0])
    assert index == {"the cat sat .": "0", "Dogs  saw\tthe mat": "2", "far": "5"}
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".tmp")]


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True])
def test_datasets_reads_the_arrow_file(text: Path, tmp_path: Path, half: bool) -> None:
    import datasets

    static().save(tmp_path / "m")
    for end in ("arrow", "npz"):
        run(tmp_path / "m", text, tmp_path / f"o.{end}", half=half)
    packed = np.load(tmp_path / "o.npz")
    cache = str(tmp_path / "cache")
    (rows,) = datasets.load_dataset("arrow", data_files=str(tmp_path / "o.arrow"), cache_dir=cache).values()
    assert rows["line"] == list(range(6))
    for n, row in enumerate(rows):
        nested = np.array(row["layers"], packed[str(n)].dtype).reshape(packed[str(n)].shape)
        np.testing.assert_array_equal(packed[str(n)], nested)


def test_layers_halves_and_splitting(text: Path, tmp_path: Path) -> None:
    bert().save(tmp_path / "m")
    run(tmp_path / "m", text, tmp_path / "all.npz")
    told = run(tmp_path / "m", text, tmp_path / "some.npz", layers="-1,0", half=True)
    assert told["layers"] == [2, 0] and told["dtype"] == "float16"
    whole, some = np.load(tmp_path / "all.npz"), np.load(tmp_path / "some.npz")
    assert some["0"].dtype == np.float16
    np.testing.assert_array_equal(some["2"], whole["2"][[2, 0]].astype(np.float16))
    text.write_text("we don't sit.\n")
    assert run(tmp_path / "m", text, tmp_path / "split.npz", split=True)["words"] == 5
    assert run(tmp_path / "m", text, tmp_path / "plain.npz")["words"] == 3


@pytest.mark.parametrize(
    ("how", "content", "error", "words"),
    [
        ({"out": "o.txt"}, None, UserError, "its ending says the format, one of .hdf5"),
        ({"out": "there.npz"}, None, UserError, "is there already; --force"),
        ({"out": "folder.npz"}, None, UserError, "a folder"),
        ({"out": "t.npz", "text": "t.npz", "force": True}, None, UserError, "this is the text itself"),
        ({"layers": "3"}, None, UserError, "numbers from -3 to 2"),
        ({"layers": "top"}, None, UserError, "numbers from -3 to 2"),
        ({"stateful": True}, None, UserError, "'bert' keeps no state"),
        ({}, b"", DataError, "empty"),
        ({}, b"the cat\nthe \xff\n", DataError, "t.npz:2:5: byte 12"),
        ({"text": "none.txt"}, None, DataError, "no such file"),
        ({"backend": "brt"}, None, UserError, "did you mean 'bert'"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    tmp_path: Path, how: dict[str, Any], content: bytes | None, error: type[UserError], words: str
) -> None:
    bert().save(tmp_path / "m")
    (tmp_path / "t.npz").write_bytes(b"the cat\n" if content is None else content)
    (tmp_path / "there.npz").write_bytes(b"old")
    (tmp_path / "folder.npz").mkdir()
    before = sorted(tmp_path.iterdir())
    names = {"text": "t.npz", "out": "o.npz", **how}
    rest = {k: v for k, v in how.items() if k not in ("text", "out")}
    with pytest.raises(error, match=words.replace("(", r"\(")) as found:
        run(tmp_path / "m", tmp_path / names["text"], tmp_path / names["out"], **rest)
    assert type(found.value) is error
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "there.npz").read_bytes() == b"old"


@pytest.mark.parametrize("end", ["hdf5", "npz", "arrow"])
@pytest.mark.parametrize("stage", ["write", "fsync", "rename"])
def test_a_full_disk_leaves_what_was_there(text: Path, tmp_path: Path, end: str, stage: str) -> None:
    static().save(tmp_path / "m")
    out = tmp_path / f"out.{end}"
    out.write_bytes(b"old")

    def full(name: str, path: Path) -> None:
        if name == stage:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    files.STAGES.append(full)
    try:
        with pytest.raises(ResourceError, match="no space left on the disk; nothing of it is kept"):
            run(tmp_path / "m", text, out, force=True)
    finally:
        files.STAGES.remove(full)
    assert out.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["m", out.name, text.name])
    run(tmp_path / "m", text, out, force=True)
    assert out.read_bytes() != b"old"


def test_what_the_disk_cannot_hold_is_refused_at_once(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    static().save(tmp_path / "m")
    size = 13 * 6 * 4
    usage = namedtuple("usage", "total used free")
    for free in (size - 1, size):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=free: usage(0, 0, free))
        if free < size:
            with pytest.raises(ResourceError, match="0 MB are needed, 0 MB are free on its disk"):
                run(tmp_path / "m", text, tmp_path / "o.npz")
            assert not (tmp_path / "o.npz").exists()
        else:
            assert run(tmp_path / "m", text, tmp_path / "o.npz")["words"] == 13


@pytest.mark.slow
@pytest.mark.parametrize("end", ["hdf5", "npz", "arrow"])
def test_a_file_that_stops_growing_is_one_sentence_and_no_crash(text: Path, tmp_path: Path, end: str) -> None:
    """The system's own limit on the size of files stands for the full disk; HDF5's own files crash at exit then."""
    static().save(tmp_path / "m")
    text.write_text("the cat sat on the mat\n" * 3000)
    code = (
        "import resource, signal, sys, errno, os; from lmcompare import files; from lmcompare.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); files.FULL = (*files.FULL, errno.EFBIG)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); main()"
    )
    out = tmp_path / f"o.{end}"
    asked = ["extract", str(tmp_path / "m"), "--text", str(text), "--out", str(out)]
    ended = subprocess.run([sys.executable, "-c", code, *asked], capture_output=True, text=True)
    assert ended.returncode == 5, ended.stderr[-2000:]
    assert "no space left on the disk; nothing of it is kept" in ended.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "text.txt"]


@pytest.mark.parametrize("end", ["hdf5", "npz", "arrow"])
def test_a_signal_ends_it_and_leaves_nothing(
    text: Path, tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    static().save(tmp_path / "m")
    monkeypatch.setattr(word_vectors, "HELD", 1)
    seen = 0

    class Counting(Progress):
        def update(self, done: int, *, loss: float | None = None, tokens: int = 0) -> None:
            nonlocal seen
            seen = done
            if done == 3:
                signals._note(15, None)

    try:
        with pytest.raises(Stopped):
            experiment.extract(str(tmp_path / "m"), text, tmp_path / f"o.{end}", progress=Counting())
    finally:
        signals._asked.clear()
    assert seen == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "text.txt"]


def test_the_family_of_a_model_is_seen_from_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bert", "gpt", "elmo", "static"):
        BACKENDS[name]().save(tmp_path / name)
        assert models.family(str(tmp_path / name)) == name
    released = tmp_path / "released"
    released.mkdir()
    (released / "options.json").write_text("{}")
    with pytest.raises(ModelError, match=r"options\.json with an .hdf5 file"):
        models.family(str(released))
    (released / "weights.hdf5").touch()
    assert models.family(str(released)) == "elmo"
    (tmp_path / "v.txt").write_text("the 1 2\n")
    assert models.family(str(tmp_path / "v.txt")) == "static"
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(ModelError, match=r"config\.json says 't5'.*--backend"):
        models.family(str(odd))
    monkeypatch.setenv("LMC_RUNS", str(tmp_path / "runs"))
    for name, config in (
        ("a", {"backend": {"name": "elmo"}}),
        ("b", {"backend": "bert"}),
        ("c", {"baseline": {}}),
    ):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps({"config": config}))
    assert models.family("a") == "elmo" and models.family(str(tmp_path / "runs" / "b")) == "bert"
    with pytest.raises(ModelError, match="holds no encoder"):
        models.family("c")
    with pytest.raises(ModelError, match="no such run or folder"):
        models.family("./nowhere")
