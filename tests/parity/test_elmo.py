"""Our ELMo against the embeddings that the original TensorFlow code computed, and against the authors' later code."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from lmcompare.backends import elmo_layout
from lmcompare.backends.elmo import Elmo
from lmcompare.nn import ScalarMix
from lmcompare.text.words import spelling
from lmcompare.types import Example, Task

REPO = Path(__file__).resolve().parents[2]
GOLDENS = REPO / "tests" / "goldens"
RELEASED = REPO.parent / "shared" / "data" / "parity"
TAGS = Task("t", "tags", ("entity_f1",), lambda split: [], labels=("O",))
RELATIVE = 1e-5


def layers(elmo: Elmo, sentences: list[list[str]]) -> list[np.ndarray]:
    """Layers × words × width of each sentence, all in one batch."""
    views = [elmo.views(TAGS, Example("0", (), words=tuple(words)), 1000)[0] for words in sentences]
    elmo.encoder.eval()
    with torch.no_grad():
        stacked = torch.stack(elmo.encoder(elmo.stack(views))).numpy()
    return [stacked[:, b, : len(words)] for b, words in enumerate(sentences)]


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference, in units of the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize(
    ("folder", "texts"),
    [
        ("elmo_allennlp", "elmo_allennlp/sentences.json"),
        ("elmo_bilm_tf/model", "elmo_bilm_tf/model/lm_embeddings_sentences.json"),
    ],
)
def test_what_tensorflow_computed_stateful_over_three_streams(folder: str, texts: str) -> None:
    if not RELEASED.is_dir():
        pytest.skip("the fixtures of the original release are not here (../shared/data/parity)")
    elmo = Elmo.load(RELEASED / folder)
    elmo.encoder.stateful = True
    streams = [[text.split() for text in stream] for stream in json.loads((RELEASED / texts).read_text())]
    files = [h5py.File(RELEASED / folder / f"lm_embeddings_{n}.hdf5") for n in range(3)]
    for n in range(len(streams[0])):
        for ours, file in zip(layers(elmo, [stream[n] for stream in streams]), files, strict=True):
            top = np.stack(np.split(ours[-1], 2, axis=-1))  # forward, backward
            assert apart(top, file[str(n)][...]) < RELATIVE


@pytest.fixture(scope="module")
def golden() -> Any:
    return np.load(GOLDENS / "elmo.npz")


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return json.loads((GOLDENS / "elmo" / "sentences.json").read_text(encoding="utf-8"))


def test_words_are_spelled_as_the_authors_spell_them(golden: Any, told: dict[str, Any]) -> None:
    for b, words in enumerate(told["sentences"]):
        for t, word in enumerate(words):
            np.testing.assert_array_equal(spelling(word), golden["inputs/characters"][b, t].astype(int) - 1)


@pytest.mark.parametrize("name", ["elmo", "elmo_deeper"])
def test_every_layer_of_every_sentence_stateless(name: str, told: dict[str, Any]) -> None:
    theirs = np.load(GOLDENS / f"{name}.npz")["outputs/layers"]
    elmo = Elmo.load(GOLDENS / name)
    for b, ours in enumerate(layers(elmo, told["sentences"])):
        for n in range(len(ours)):
            assert apart(ours[n], theirs[n, b, : ours.shape[1]]) < RELATIVE


def test_every_layer_stateful(golden: Any, told: dict[str, Any]) -> None:
    elmo = Elmo.load(GOLDENS / "elmo")
    elmo.encoder.stateful = True
    for number, batch in enumerate(told["stateful"]):
        theirs = golden[f"outputs/stateful_{number}"]
        for b, ours in enumerate(layers(elmo, [told["sentences"][n] for n in batch])):
            for n in range(len(ours)):
                assert apart(ours[n], theirs[n, b, : ours.shape[1]]) < RELATIVE
    elmo.encoder.forget()
    again = layers(elmo, [told["sentences"][n] for n in told["stateful"][0]])
    assert apart(again[0], golden["outputs/stateful_0"][:, 0, : again[0].shape[1]]) < RELATIVE


def test_without_residuals(golden: Any, told: dict[str, Any]) -> None:
    elmo = Elmo.load(GOLDENS / "elmo")
    elmo.encoder.residual = False
    for number, words in enumerate(told["sentences"]):
        assert apart(layers(elmo, [words])[0], golden[f"outputs/plain_{number}"]) < RELATIVE


def test_the_mix_of_its_layers(golden: Any, told: dict[str, Any]) -> None:
    mix = ScalarMix(layers=3)
    with torch.no_grad():
        mix.weights.copy_(torch.from_numpy(golden["inputs/mix"]))
    for b, ours in enumerate(layers(Elmo.load(GOLDENS / "elmo"), told["sentences"])):
        with torch.no_grad():
            mixed = mix(torch.from_numpy(ours.transpose(1, 0, 2))[None])[0].numpy()
        assert apart(mixed, golden["outputs/mixed"][b, : len(mixed)]) < RELATIVE


def test_to_the_released_format_and_back_without_loss(tmp_path: Path) -> None:
    elmo = Elmo.load(GOLDENS / "elmo")
    elmo_layout.write_release(elmo, tmp_path)
    with (
        h5py.File(GOLDENS / "elmo" / "weights.hdf5") as before,
        h5py.File(tmp_path / "weights.hdf5") as after,
    ):
        names: list[str] = []
        before.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert len(names) > 20
        for name in names:
            np.testing.assert_array_equal(before[name][...], after[name][...])
    elmo.save(tmp_path / "own")
    assert Elmo.load(tmp_path / "own").fingerprint == Elmo.load(tmp_path).fingerprint == elmo.fingerprint


def test_a_sentence_has_the_same_layers_whatever_ran_before() -> None:
    elmo = Elmo.load(GOLDENS / "elmo")
    first = layers(elmo, [["the", "cat"]])[0]
    layers(elmo, [["dogs", "ran"], ["far", "away", "!"]])
    np.testing.assert_array_equal(first, layers(elmo, [["the", "cat"]])[0])
