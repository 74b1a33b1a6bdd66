"""Folders of any model of transformers: saved as transformers loads them, drawn by a seed, refused in a sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoTokenizer,
    T5Config,
    ViTConfig,
)

from lmcompare import files, models
from lmcompare.backends.auto import Auto
from lmcompare.errors import ModelError, UserError
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.types import Example, Task
from tests.contracts import auto_folders

ONE, TWO = (Task("t", "classify", ("accuracy",), lambda s: [], labels=("a", "b"), texts=n) for n in (1, 2))


@pytest.fixture(params=auto_folders.FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def folder(family: str) -> Path:
    return auto_folders.of(family)


@pytest.fixture
def auto(folder: Path) -> Auto:
    loaded = models.load("auto", str(folder))
    loaded.encoder.eval()
    return loaded


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str], Path]:
    """A folder that a test may damage."""
    return lambda family: Path(shutil.copytree(auto_folders.of(family), tmp_path / f"copy-of-{family}"))


def test_what_is_saved_is_what_transformers_and_we_load(auto: Auto, tmp_path: Path) -> None:
    auto.draw(4)
    auto.save(tmp_path / "a")
    again = Auto.load(tmp_path / "a")
    assert again.fingerprint == auto.fingerprint and again.settings == auto.settings
    own, loaded = auto.encoder.model.state_dict(), AutoModel.from_pretrained(tmp_path / "a").state_dict()
    assert own.keys() == loaded.keys() and all(own[k].equal(loaded[k]) for k in own)
    ids = AutoTokenizer.from_pretrained(tmp_path / "a")(auto_folders.TEXTS[0])["input_ids"]
    assert ids == list(auto.views(ONE, Example("", (auto_folders.TEXTS[0],)), 40)[0].ids)
    again.save(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert files.sha256(path) == files.sha256(tmp_path / "b" / path.name)


def test_a_random_start_hangs_on_its_seed_alone(auto: Auto, folder: Path) -> None:
    before = torch.random.get_rng_state()
    prints = []
    for seed in (1, 1, 2):
        torch.rand(3)
        auto.draw(seed)
        prints.append(auto.fingerprint)
    assert prints[0] == prints[1] != prints[2]
    torch.random.set_rng_state(before)
    auto.draw(1)
    assert torch.random.get_rng_state().equal(before)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        fresh = AutoModel.from_config(AutoModel.from_pretrained(folder).config).state_dict()
    assert all(fresh[k].equal(v) for k, v in auto.encoder.model.state_dict().items())


def test_the_lowest_layers_can_be_kept(auto: Auto) -> None:
    before = {k: v.clone() for k, v in auto.encoder.state_dict().items()}
    models.redraw_above(auto, 1, 9)
    for name, tensor in auto.encoder.state_dict().items():
        if auto.layer_of(name) <= 1:
            assert tensor.equal(before[name])
        elif tensor.ndim == 2:
            assert not tensor.equal(before[name])


def test_layers_that_share_their_weights_cannot_be_told_apart(tmp_path: Path) -> None:
    sizes = {"embedding_size": 6, "hidden_size": 14, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = lambda v: AlbertConfig(vocab_size=v, intermediate_size=19, max_position_embeddings=40, **sizes)  # noqa: E731
    auto = Auto.load(auto_folders.another(tmp_path / "albert", config))
    assert auto.depth == 3 and auto.encoder.pooled
    with pytest.raises(UserError, match="do not stand in a row"):
        models.redraw_above(auto, 1, 9)


def test_the_family_is_seen_from_the_config(folder: Path) -> None:
    assert models.family(str(folder)) == "auto"


@pytest.mark.parametrize(
    ("family", "kept"), [("distilbert", ["vocab.txt"]), ("gpt2", ["vocab.json", "merges.txt"])]
)
def test_vocabulary_files_will_do(copied: Callable[[str], Path], family: str, kept: list[str]) -> None:
    folder = copied(family)
    whole = Auto.load(folder)
    rules = json.loads((folder / "tokenizer.json").read_text())["model"]
    if family == "gpt2":
        (folder / "vocab.json").write_text(json.dumps(rules["vocab"]))
        (folder / "merges.txt").write_text("\n".join(" ".join(pair) for pair in rules["merges"]))
    (folder / "tokenizer.json").unlink()
    again = Auto.load(folder)
    for task, texts in (
        (ONE, (auto_folders.TEXTS[0],)),
        (TWO, (auto_folders.TEXTS[0], auto_folders.TEXTS[1])),
    ):
        assert again.views(task, Example("", texts), 40) == whole.views(task, Example("", texts), 40)
    again.save(folder.parent / "saved")
    assert all((folder.parent / "saved" / name).is_file() for name in kept)


def test_a_folder_without_a_pooler_goes_without(copied: Callable[[str], Path]) -> None:
    folder = copied("roberta")
    change_weights(folder, lambda tensors: {k: v for k, v in tensors.items() if not k.startswith("pooler.")})
    auto, other = Auto.load(folder, seed=1), Auto.load(folder, seed=2)
    assert not auto.encoder.pooled and auto.fingerprint == other.fingerprint
    assert len(auto.warnings) == 1 and "has no pooler" in auto.warnings[0]
    inputs = auto.stack(auto.views(ONE, Example("", (auto_folders.TEXTS[0],)), 40))
    top = auto.encoder.eval()(inputs)[-1]
    assert auto.encoder.pool(top, inputs.pool_B).equal(top[:, 0])
    auto.draw(3)
    auto.save(folder.parent / "saved")
    assert Auto.load(folder.parent / "saved").fingerprint == auto.fingerprint


def test_a_model_with_a_head_and_a_prefix_loads(tmp_path: Path) -> None:
    """As checkpoints of language models are: every name of the encoder behind `roberta.`, and a head."""
    folder = Path(shutil.copytree(auto_folders.of("roberta"), tmp_path / "headed"))
    change_weights(
        folder,
        lambda tensors: {f"roberta.{k}": v for k, v in tensors.items()} | {"lm_head.bias": torch.zeros(284)},
    )
    headed, plain = Auto.load(folder), Auto.load(auto_folders.of("roberta"))
    assert headed.fingerprint == plain.fingerprint and not headed.warnings


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def change_json(path: Path, **told: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | told))


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def one_missing(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in tensors.items() if k != "encoder.layer.1.output.dense.weight"}


def one_wider(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return tensors | {"embeddings.LayerNorm.weight": torch.ones(13)}


DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (pickled, r"has no model\.safetensors; pytorch_model\.bin is a pickle, which could run code"),
    (cut_off, r"model\.safetensors: damaged"),
    (without_tokenizer, r"no tokenizer here that can be used; one of these is needed: tokenizer\.json"),
    (lambda f: (f / "config.json").unlink(), r"has no config\.json"),
    (lambda f: (f / "config.json").write_text("{"), "not readable as JSON"),
    (
        lambda f: (f / "config.json").write_text("{}"),
        "model_type is None, which this version of transformers",
    ),
    (
        lambda f: change_json(f / "config.json", model_type="nobert"),
        "model_type is 'nobert', which this version",
    ),
    (
        lambda f: change_json(f / "config.json", num_hidden_layers=2),
        "weights that config.json does not ask for",
    ),
    (lambda f: change_json(f / "config.json", num_hidden_layers=4), "weights of the encoder are missing"),
    (lambda f: change_json(f / "config.json", num_attention_heads=5), "transformers says"),
    (lambda f: change_json(f / "config.json", hidden_size="wide"), "transformers says"),
    (lambda f: change_json(f / "tokenizer_config.json", auto_map={"AutoTokenizer": "a.B"}), "never run"),
    (lambda f: (f / "tokenizer.json").write_text("{}"), "transformers says, as it reads the tokenizer"),
    (lambda f: change_weights(f, one_missing), "1 weights of the encoder are missing: encoder.layer.1"),
    (
        lambda f: change_weights(f, one_wider),
        r"LayerNorm.weight has the shape \[13\]; config.json asks for \[12\]",
    ),
]


@pytest.mark.parametrize("number", range(len(DAMAGE)))
def test_a_folder_that_cannot_be_used_is_refused_in_one_sentence(
    copied: Callable[[str], Path], number: int
) -> None:
    damage, sentence = DAMAGE[number]
    folder = copied("roberta")
    damage(folder)
    with pytest.raises(ModelError, match=sentence) as refused:
        Auto.load(folder)
    assert "\n" not in str(refused.value)


def test_models_that_do_not_read_text_alone_are_refused(tmp_path: Path) -> None:
    vit = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 9}
    t5 = {"d_model": 8, "d_kv": 4, "d_ff": 9, "num_layers": 2, "num_heads": 2}
    for name, config, sentence in (
        ("vit", lambda v: ViTConfig(image_size=8, patch_size=4, **vit), "does not read text"),
        ("t5", lambda v: T5Config(vocab_size=v, **t5), "an encoder and a decoder"),
    ):
        folder = auto_folders.another(tmp_path / name, config)
        with pytest.raises(ModelError, match=sentence):
            Auto.load(folder)
    with pytest.raises(ModelError, match="no backend is known"):
        models.family(str(tmp_path / "t5"))


def test_a_tokenizer_with_more_pieces_than_the_model_has_rows_is_refused(
    copied: Callable[[str], Path],
) -> None:
    folder = copied("roberta")
    change_json(folder / "config.json", vocab_size=280)
    change_weights(
        folder,
        lambda t: t | {"embeddings.word_embeddings.weight": t["embeddings.word_embeddings.weight"][:280]},
    )
    with pytest.raises(ModelError, match="the tokenizer has 284 pieces, the model 280"):
        Auto.load(folder)


def test_code_that_a_config_names_is_not_run(copied: Callable[[str], Path]) -> None:
    folder = copied("electra")
    plain = Auto.load(folder)
    (folder / "mine.py").write_text("open('ran', 'w')\n")
    change_json(folder / "config.json", auto_map={"AutoConfig": "mine.C", "AutoModel": "mine.M"})
    assert Auto.load(folder).fingerprint == plain.fingerprint
    assert not Path("ran").exists()


def test_it_is_not_for_pretraining() -> None:
    with pytest.raises(ValueError, match="pretrained already"):
        Auto(train_wordpiece(auto_folders.TEXTS, size=60, min_frequency=1))  # type: ignore[arg-type]
