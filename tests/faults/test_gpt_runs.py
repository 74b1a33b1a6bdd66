"""F2, F41: a GPT killed at any moment ends with the same bits; and a folder that does not fit is named, never filled up
with random weights in silence."""

import functools
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forge
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_kill import trial
from world import STEPS, Place, Reference, finished

from lmcompare.backends.gpt import Gpt
from lmcompare.errors import ModelError
from lmcompare.text.bpe import train_bpe

KILLS, QUICK = 25, 3
LAYERS, WIDTH, HEADS, POSITIONS, CELLS = 2, 12, 3, 17, 7
CLM = f"""
[backend]
name = "gpt"
layers = 1
width = 16
heads = 2
positions = 32
dropout = 0.1
[tokenizer]
name = "bpe"
size = 120
[objective]
name = "clm"
length = 12
[optimizer]
name = "adamw"
rate = 3e-3
[schedule]
name = "cosine"
warmup = 0.1
[training]
steps = {STEPS}
batch = 8
micro = 5
log_every = 1
eval_every = 7
checkpoint_every = 1
keep = 2
"""


def clm(place: Place, out: Path, *more: Any) -> list[Any]:
    config = place.folder / "clm.toml"
    config.write_text(CLM, encoding="utf-8")
    corpus = place.folder / "corpus.txt"
    return ["pretrain", "gpt", "--corpus", corpus, "--config", config, "--out", out, *more]


@pytest.fixture(scope="module")
def uninterrupted(place: Place) -> Reference:
    run = place.folder / "reference-clm"
    return finished(clm(place, run), run, place.folder)


MARKS = [pytest.mark.slow if n < QUICK else pytest.mark.full for n in range(KILLS)]


@pytest.mark.parametrize("number", [pytest.param(n, marks=mark) for n, mark in enumerate(MARKS)])
def test_f2_pretrain_gpt(place: Place, uninterrupted: Reference, tmp_path: Path, number: int) -> None:
    trial(lambda run: clm(place, run), uninterrupted, tmp_path, f"f2 gpt {number}", 1 + number % 2)


@pytest.mark.slow
def test_f2_the_reference_learns(uninterrupted: Reference) -> None:
    """One that stood still would prove nothing."""
    losses = [row["loss"] for row in forge.rows(uninterrupted.run) if "split" not in row]
    assert len(losses) == STEPS and losses[-1] < 0.9 * losses[0]


# --- F41: folders that do not fit


@functools.cache
def made(network: str) -> Gpt:
    shape = {"layers": LAYERS, "width": WIDTH, "heads": HEADS, "positions": POSITIONS}
    shape |= {"cells": CELLS} if network == "lstm" else {}
    gpt = Gpt(train_bpe(["the cat sat on the mat, the dog ran"] * 3, size=50), network=network, **shape)
    gpt.draw(1)
    return gpt


def edited(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        table = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(table))

    return edit


def setting(**changes: Any) -> Callable[[Path], None]:
    """Of an LSTM, whose settings are a table of their own."""

    def edit(folder: Path) -> None:
        settings = json.loads((folder / "config.json").read_text())["settings"]
        edited(settings=settings | changes)(folder)

    return edit


def tensors(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        found = load_file(folder / "model.safetensors")
        change(found)
        save_file(found, folder / "model.safetensors")

    return edit


def without(*names: str) -> Callable[[Path], None]:
    return tensors(lambda found: [found.pop(name) for name in names])


def copied(name: str, other: str) -> Callable[[Path], None]:
    return tensors(lambda found: found.update({other: found[name].clone()}))


def shorter(name: str) -> Callable[[Path], None]:
    return tensors(lambda found: found.update({name: found[name][:-1].clone()}))


def raw(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


QKV, WORDS = "transformer.h.0.attn.c_attn.weight", "transformer.tokens_embed.weight"
MISFITS: dict[str, tuple[Callable[[Path], None], str]] = {
    "vocabulary": (edited(vocab_size=5000), "vocab_size"),
    "vocabulary too small": (edited(vocab_size=20), "vocab_size"),
    "fewer words than pieces": (
        tensors(lambda f: f.update({WORDS: f[WORDS][:20].clone()})), "words.weight"
    ),
    "width": (edited(n_embd=24), ", 24]"),
    "width huge": (edited(n_embd=12 * 2**40), "words.weight"),
    "heads": (edited(n_head=5), "5 heads"),
    "heads are none": (edited(n_head=0), "n_head"),
    "positions": (edited(n_positions=64), "positions.weight"),
    "positions huge": (edited(n_positions=2**45), "positions.weight"),
    "more layers": (edited(n_layer=3), "h.2."),
    "fewer layers": (edited(n_layer=1), "h.1."),
    "many more layers": (edited(n_layer=10**5), "are missing: h."),
    "a word for a number": (edited(n_layer="two"), "n_layer"),
    "a rate that is none": (edited(resid_pdrop="some"), "resid_pdrop"),
    "an impossible rate": (edited(resid_pdrop=1.5), "resid_pdrop"),
    "unknown activation": (edited(afn="gelo"), "gelo"),
    "activation is a list": (edited(afn=["gelu"]), "afn"),
    "another kind": (edited(model_type="gpt2"), "gpt2"),
    "missing key": (without(QKV), "h.0.attn.c_attn.weight"),
    "missing words": (without(WORDS), "tokens_embed.weight"),
    "missing positions": (without("transformer.positions_embed.weight"), "positions_embed.weight"),
    "extra layer": (copied(QKV, "transformer.h.2.attn.c_attn.weight"), "h.2.attn.c_attn.weight"),
    "extra key": (copied(QKV, "transformer.h.0.attn.c_more.weight"), "h.0.attn.c_more.weight"),
    "shape": (shorter(QKV), "blocks.0.attention.qkv.weight"),
    "one dimension": (tensors(lambda f: f.update({QKV: f[QKV][0].clone()})), "blocks.0.attention.qkv.weight"),
    "config is no JSON": (raw("config.json", b"{"), "config.json"),
    "config is no text": (raw("config.json", b"\xff{}"), "config.json"),
    "config is a list": (raw("config.json", b"[1]"), "config.json"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "weights truncated": (
        lambda folder: os.truncate(folder / "model.safetensors", 4000), "model.safetensors"
    ),
    "weights empty": (raw("model.safetensors", b""), "model.safetensors"),
    "header of 2^40 bytes": (
        raw("model.safetensors", (2**40).to_bytes(8, "little") + b"{}"), "model.safetensors"
    ),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
    "weights as a pickle": (
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin") and None, "pickle"
    ),
    "our own table is no table": (edited(lmcompare=["waves"]), "lmcompare"),
    "our own table is wrong": (edited(lmcompare={"embedding_std": "wide"}), "embedding_std"),
}  # fmt: skip
IN, HIDDEN = "blocks.0.lstm.weight_ih_l0", "blocks.1.lstm.weight_hh_l0"
LSTM_MISFITS: dict[str, tuple[Callable[[Path], None], str]] = {
    "cells": (setting(cells=9), "lstm.weight_ih_l0"),
    "width": (setting(width=16), "words.weight"),
    "more layers": (setting(layers=3), "blocks.2."),
    "fewer layers": (setting(layers=1), "blocks.1."),
    "missing key": (without(HIDDEN), HIDDEN),
    "extra key": (copied(IN, "blocks.2.lstm.weight_ih_l0"), "blocks.2.lstm.weight_ih_l0"),
    "shape": (shorter(IN), IN),
    "a word for a number": (setting(cells="many"), "cells"),
    "no layer": (setting(layers=0), "blocks.0."),
    "unknown setting": (setting(cels=7), "cels"),
    "another network": (setting(network="gru"), "network"),
    "settings are a list": (edited(settings=[1]), "settings"),
    "vocabulary": (edited(vocab_size=5000), "vocab_size"),
}


def refused(folder: Path, told: str) -> None:
    with pytest.raises(ModelError) as caught:
        Gpt.load(folder)
    message = str(caught.value)
    assert told in message and str(folder) in message and "\n" not in message


@pytest.mark.parametrize("name", MISFITS)
def test_f41_config_and_weights_do_not_fit(tmp_path: Path, name: str) -> None:
    change, told = MISFITS[name]
    made("transformer").save(tmp_path)
    change(tmp_path)
    refused(tmp_path, told)


@pytest.mark.parametrize("name", LSTM_MISFITS)
def test_f41_an_lstm_that_does_not_fit(tmp_path: Path, name: str) -> None:
    change, told = LSTM_MISFITS[name]
    made("lstm").save(tmp_path)
    change(tmp_path)
    refused(tmp_path, told)


@pytest.mark.parametrize("network", ["transformer", "lstm"])
def test_f41_what_lies_outside_the_encoder_may_be_there_or_not(tmp_path: Path, network: str) -> None:
    gpt = made(network)
    gpt.save(tmp_path)
    again = Gpt.load(tmp_path)
    assert again.fingerprint == gpt.fingerprint and not again.warnings
    tensors(lambda found: found.update({"score.weight": torch.zeros(2, WIDTH)}))(tmp_path)
    assert Gpt.load(tmp_path).fingerprint == gpt.fingerprint


def test_f41_special_tokens_that_were_drawn_at_random_are_told(tmp_path: Path) -> None:
    """A language model as it was published knows nothing of them; all else is as it was."""
    gpt = made("transformer")
    gpt.save(tmp_path)
    tensors(lambda found: found.update({WORDS: found[WORDS][:-3].clone()}))(tmp_path)
    edited(vocab_size=gpt.tokenizer.plain)(tmp_path)
    table = json.loads((tmp_path / "config.json").read_text())
    del table["lmcompare"]  # what only our own folders have
    (tmp_path / "config.json").write_text(json.dumps(table))
    found = Gpt.load(tmp_path, seed=5)
    assert found.encoder.words.weight[:-3].equal(gpt.encoder.words.weight[:-3])
    assert not found.encoder.words.weight[-3:].equal(gpt.encoder.words.weight[-3:])
    assert len(found.warnings) == 1 and "_classify_" in found.warnings[0]


def test_every_fine_tuning_seed_draws_new_special_tokens(tmp_path: Path) -> None:
    """A bare language model of ours is saved without them, a fine-tuned one with them."""
    gpt = made("transformer")
    gpt.save(tmp_path / "bare", {})
    one, other = (Gpt.load(tmp_path / "bare", seed=seed) for seed in (1, 2))
    assert not one.warnings and not one.encoder.words.weight[-3:].equal(other.encoder.words.weight[-3:])
    for loaded in (one, other):
        assert loaded.encoder.words.weight[:-3].equal(gpt.encoder.words.weight[:-3])
    gpt.save(tmp_path / "tuned")
    assert Gpt.load(tmp_path / "tuned", seed=1).encoder.words.weight.equal(gpt.encoder.words.weight)


def write_release(folder: Path) -> None:
    """Two files of numbers and one of shapes, beside a vocabulary."""
    tokenizer = made("transformer").tokenizer
    shapes: list[list[int]] = [[POSITIONS, WIDTH], [tokenizer.plain, WIDTH]]
    for inner, outer in ((1, 3), (1, 1), (0, 1), (1, 4), (4, 1), (0, 1)) * LAYERS:
        matrix = [1, inner * WIDTH, outer * WIDTH] if inner else [WIDTH]
        shapes += [matrix, [outer * WIDTH]]
    count = sum(int(np.prod(shape)) for shape in shapes)
    flat = np.random.default_rng(1).normal(0.0, 0.1, count).astype(np.float32)
    for number, part in enumerate(np.split(flat, [100, 1000, 1001])):
        np.save(folder / f"params_{number}.npy", part)
    (folder / "params_shapes.json").write_text(json.dumps(shapes))
    tokenizer.save(folder / "own")
    shutil.move(folder / "own" / "merges.txt", folder / "vocab_40000.bpe")
    shutil.move(folder / "own" / "vocab.json", folder / "encoder_bpe_40000.json")


def gone(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def saved(name: str, array: Any) -> Callable[[Path], None]:
    return lambda folder: np.save(folder / name, array)


def shaped(change: Callable[[list[Any]], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        shapes = json.loads((folder / "params_shapes.json").read_text())
        changed = change(shapes)
        (folder / "params_shapes.json").write_text(json.dumps(shapes if changed is None else changed))

    return edit


def swapped(shapes: list[Any]) -> None:
    shapes[2] = [1, 3 * WIDTH, WIDTH]


RELEASES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a file in the middle is missing": (gone("params_1.npy"), r"params_\d.npy"),
    "the first file is missing": (gone("params_0.npy"), "params_0.npy"),
    "the last file is missing": (gone("params_3.npy"), "the arrays hold 1,001 numbers, .* asks for"),
    "a number too many": (saved("params_2.npy", np.zeros(2)), "the arrays hold"),
    "a file too many": (saved("params_4.npy", np.zeros(9)), "the arrays hold"),
    "a pickle": (saved("params_2.npy", np.array([{}], dtype=object)), "params_2.npy: .*pickle"),
    "not an array": (raw("params_2.npy", b"0 1 2 3"), "params_2.npy"),
    "truncated": (lambda folder: os.truncate(folder / "params_3.npy", 200), "params_3.npy"),
    "empty": (raw("params_2.npy", b""), "params_2.npy"),
    "words for numbers": (saved("params_2.npy", np.array(["a"])), "params_2.npy"),
    "a shape is gone": (shaped(lambda shapes: shapes[:-1]), "not a list of 2 \\+ 12 × layers shapes"),
    "a layer is gone": (shaped(lambda shapes: shapes[:-12]), "the arrays hold"),
    "shapes are a table": (shaped(lambda shapes: {"a": 1}), "params_shapes.json: not a list"),
    "shapes are words": (shaped(lambda shapes: ["a"] * len(shapes)), "params_shapes.json"),
    "shapes are flat": (shaped(lambda shapes: [int(np.prod(s)) for s in shapes]), "params_shapes.json"),
    "positions without a width": (
        shaped(lambda shapes: [[POSITIONS * WIDTH], *shapes[1:]]), "params_shapes.json"
    ),
    "a shape is turned": (shaped(swapped), "blocks.0.attention.qkv.weight has the shape"),
    "shapes are no JSON": (raw("params_shapes.json", b"[[1,"), "params_shapes.json"),
    "no merges": (gone("vocab_40000.bpe"), "vocab_40000.bpe"),
}  # fmt: skip


def test_f41_the_release_is_read_before_it_is_damaged(tmp_path: Path) -> None:
    write_release(tmp_path)
    assert Gpt.load(tmp_path).settings["positions"] == POSITIONS


@pytest.mark.parametrize("name", RELEASES)
def test_f41_a_release_that_does_not_fit(tmp_path: Path, name: str) -> None:
    change, told = RELEASES[name]
    write_release(tmp_path)
    change(tmp_path)
    with pytest.raises(ModelError) as caught:
        Gpt.load(tmp_path)
    message = str(caught.value)
    assert re.search(told, message) and str(tmp_path) in message and "\n" not in message


EXITS = {
    "transformer": ("missing key", MISFITS, lambda folder: made("transformer").save(folder)),
    "lstm": ("shape", LSTM_MISFITS, lambda folder: made("lstm").save(folder)),
    "release": ("a pickle", RELEASES, write_release),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXITS)
def test_f41_exit_status(tmp_path: Path, kind: str) -> None:
    name, misfits, write = EXITS[kind]
    change, told = misfits[name]
    folder, text, out = tmp_path / "model", tmp_path / "text.txt", tmp_path / "out.npz"
    folder.mkdir()
    text.write_text("the cat sat\n", encoding="utf-8")
    write(folder)
    words = ["extract", folder, "--text", text, "--out", out]
    whole = forge.lmc(*words, home=tmp_path)
    assert whole.status == 0, whole.err
    out.unlink()
    change(folder)
    ended = forge.lmc(*words, home=tmp_path)
    assert ended.status == 4 and ended.clean and re.search(told, ended.err), ended.err
    assert not out.exists()
