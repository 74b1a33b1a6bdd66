"""F32, F34, F40, F41: what a model folder may do to us, and what texts and labels may do to a model."""

import functools
import itertools
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forge
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from world import Place, Reference

import lmcompare
from lmcompare.backends.bert import Bert
from lmcompare.errors import ModelError
from lmcompare.transfer.dataset import Dataset
from lmcompare.types import Example, Task

pytestmark = pytest.mark.slow

NAMES = ("contradiction", "entailment", "neutral")
PACKAGE = Path(lmcompare.__file__).parent


# --- F32: labels are matched by name


def examples(split: str) -> list[Example]:
    """What the first word says is the label."""
    words = dict(zip(NAMES, ("cold", "warm", "kind"), strict=True))
    count = 48 if split == "train" else 24
    rows = [(NAMES[n % 3], f"the {words[NAMES[n % 3]]} house was {n % 5}") for n in range(count)]
    return [Example(f"{split}-{n}", (text,), label) for n, (label, text) in enumerate(rows)]


def add_task(labels: tuple[str, ...], kind: Any = "classify") -> None:
    """A task whose labels stand in this order; the data is always the same."""
    from lmcompare.tasks import facts

    sizes = {"train": 48, "dev": 24, "test": 24}
    told = facts.Facts(kind=kind, about="Three.", metrics=("accuracy",), splits=sizes, license="made here")

    @facts.task("faults.three", told)
    def three(data: Path | None) -> Task:
        return Task("faults.three", kind, ("accuracy",), examples, labels=labels)


@pytest.fixture(scope="session")
def three(place: Place, pretrained: Reference) -> Path:
    run = place.folder / "three"
    words = ["finetune", "bert", "--task", "faults.three", "--model", pretrained.run]
    words += [
        "--config",
        place.folder / "finetune.toml",
        "--set",
        "training.steps=120",
        "--set",
        "optimizer.rate=1e-2",
        "--out",
        run,
    ]
    ended = forge.lmc(*words, home=place.folder, setup=functools.partial(add_task, NAMES))
    assert ended.status == 0, ended.err
    return run


@pytest.mark.parametrize("order", list(itertools.permutations(NAMES)), ids="-".join)
def test_f32_order_of_labels(three: Path, tmp_path: Path, order: tuple[str, ...]) -> None:
    trained = json.loads((three / "result.json").read_text())["metrics"]["dev"]["accuracy"]
    assert trained > 0.6  # else an order that is mixed up could not be told from a right one
    words = ["eval", three, "--split", "dev", "--json"]
    ended = forge.lmc(*words, home=tmp_path, setup=functools.partial(add_task, order))
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["metrics"]["accuracy"] == trained


def test_f32_unknown_label(three: Path, tmp_path: Path) -> None:
    strange = functools.partial(add_task, ("contradiction", "entailment", "undecided"))
    ended = forge.lmc("eval", three, "--split", "dev", home=tmp_path, setup=strange)
    assert ended.status == 4 and ended.clean, ended.err
    assert "undecided" in ended.err and "neutral" in ended.err


# --- F34: texts of any length


@pytest.fixture(scope="module")
def bert(pretrained: Reference) -> Bert:
    return Bert.load(pretrained.run / "model")


HUGE = 10**6
TEXTS = {
    "513 tokens": ("warm " * 513, True),
    "a million tokens": ("warm " * HUGE, True),
    "empty": ("", False),
    "whitespace": (" \t\n\u00a0 ", False),
    "unknown only": ("\u4e00\u2603\U0001f600", False),
    "one word of 10 MB": ("x" * (10 << 20), False),  # no piece of the vocabulary: one [UNK]
}


NAMED_TEXTS = [
    pytest.param(name, marks=[pytest.mark.full] if len(text) >= HUGE else [])
    for name, (text, _) in TEXTS.items()
]


def split_of(bert: Bert, texts: tuple[str, ...], count: int) -> Dataset:
    task = Task("t", "classify", ("accuracy",), examples, labels=NAMES, texts=count)
    rows = [Example("odd", texts, "neutral"), Example("plain", ("a house",) * count, "neutral")]
    return Dataset(bert, task, rows, length=bert.longest)


@pytest.mark.parametrize("name", NAMED_TEXTS)
def test_f34_one_text(bert: Bert, name: str) -> None:
    text, cut = TEXTS[name]
    dataset = split_of(bert, (text,), 1)
    assert dataset.cut == int(cut)
    view = dataset.views[0]
    assert 2 <= len(view.ids) <= bert.longest
    kept = len(view.ids) - 2
    assert view.cut == (len(bert.tokenizer.encode(text)) - kept if cut else 0)
    batch = dataset.batch(all_of(dataset))
    assert bert.encoder.eval()(batch.inputs)[-1].isfinite().all()


def all_of(dataset: Dataset) -> np.ndarray:
    return np.arange(len(dataset))


@pytest.mark.parametrize("name", NAMED_TEXTS)
def test_f34_two_texts_longest_first(bert: Bert, name: str) -> None:
    text, cut = TEXTS[name]
    short = "the house was warm"
    dataset = split_of(bert, (short, text), 2)
    assert dataset.cut == int(cut)
    view = dataset.views[0]
    whole = bert.tokenizer.encode(short)
    assert list(view.ids[1 : 1 + len(whole)]) == whole  # the short one lost nothing
    assert len(view.ids) <= bert.longest
    batch = dataset.batch(all_of(dataset))
    assert bert.encoder.eval()(batch.inputs)[-1].isfinite().all()


@pytest.mark.slow
def test_f34_truncation_is_told(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    """Through the whole command, odd texts among the others."""
    data = tmp_path / "glue"
    shutil.copytree(place.folder / "glue", data)
    for split in ("train", "dev"):
        with open(data / "SST-2" / f"{split}.tsv", "a", encoding="utf-8") as file:
            for text in ("warm " * 513, "", " ", "\u4e00", "x" * (1 << 20)):
                file.write(f"{text}\t1\n")
    run = tmp_path / "run"
    words = place.transfer("finetune", pretrained.run, run, "--json")
    words[words.index("--data") + 1] = data
    ended = forge.lmc(*words, home=tmp_path)
    assert ended.status == 0 and ended.clean, ended.err
    result = json.loads(ended.out)
    assert result["truncated"] == {"train": 1, "dev": 1}
    assert result["examples"]["dev"] == 24 + 5
    assert len(forge.rows(run, "predictions-dev.jsonl")) == 24 + 5


# --- F40: folders that want to run code


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def copy_model(pretrained: Reference, folder: Path) -> Path:
    shutil.copytree(pretrained.run / "model", folder)
    (folder / "manifest.json").unlink()  # a folder as others write it
    return folder


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl", "model.joblib"])
@pytest.mark.parametrize("beside", [False, pytest.param(True, marks=pytest.mark.full)])
def test_f40_pickles_are_never_opened(
    place: Place, pretrained: Reference, tmp_path: Path, name: str, beside: bool
) -> None:
    """Not where they are all there is, and not where they lie beside good weights."""
    model, marker = copy_model(pretrained, tmp_path / "model"), tmp_path / "marker"
    (model / name).write_bytes(pickle.dumps(Evil(marker)))
    if not beside:
        (model / "model.safetensors").unlink()
    ended = forge.lmc(*place.transfer("finetune", model, tmp_path / "run"), home=tmp_path)
    assert not marker.exists()
    assert ended.clean, ended.err
    if beside:
        assert ended.status == 0
    else:
        assert ended.status == 4 and "model.safetensors" in ended.err and str(model) in ended.err
        assert name in ended.err and "pickle" in ended.err
    pickle.loads((model / name).read_bytes())  # noqa: S301 - it would have worked
    assert marker.exists()


CODE = "import os\nos.mkdir({marker!r})\nclass Config: ...\nclass Model: ...\n"


@pytest.mark.parametrize("kind", ["bert", "own-kind"])
def test_f40_code_in_the_folder_is_never_run(
    place: Place, pretrained: Reference, tmp_path: Path, kind: str
) -> None:
    model, marker = copy_model(pretrained, tmp_path / "model"), tmp_path / "marker"
    (model / "modeling_evil.py").write_text(CODE.format(marker=str(marker)))
    names = {"AutoConfig": "modeling_evil.Config", "AutoModel": "modeling_evil.Model"}
    for name in ("config.json", "tokenizer_config.json"):
        table = json.loads((model / name).read_text())
        table |= {"auto_map": names, "trust_remote_code": True}
        if name == "config.json":
            table["model_type"] = kind
        (model / name).write_text(json.dumps(table))
    (model / "README.md").write_text(
        "---\nlicense: {{ cycler.__init__.__globals__.os.mkdir('" + str(marker) + "') }}\n---\n"
    )
    run = tmp_path / "run"
    ended = forge.lmc(*place.transfer("finetune", model, run), home=tmp_path)
    assert ended.clean and not marker.exists()
    if kind == "bert":
        assert ended.status == 0, ended.err
        page = forge.lmc("report", run, "--out", tmp_path / "page.html", home=tmp_path)
        assert page.status == 0, page.err
    else:
        assert ended.status == 4 and "own-kind" in ended.err
    assert not marker.exists()


FORBIDDEN = re.compile(
    r"\btorch\.load\b|\bimport pickle\b|\bpickle\.|\bjoblib\.\w|\bimport joblib|weights_only|yaml\.load\b|\beval\(|"
    r"\bexec\(|trust_remote_code=True|allow_pickle=True|shell=True"
)


def test_f40_no_such_call_in_the_code() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN.search(line) and not re.search(r"encoder\S*\.eval\(|\.eval\(\)", line)
    ]
    assert not found
    assert FORBIDDEN.search("x = torch.load(path)") and FORBIDDEN.search("joblib.load(p)")


# --- F41: config and weights that do not fit


def edited(**changes: Any) -> Callable[[Path], None]:
    def edit(model: Path) -> None:
        table = json.loads((model / "config.json").read_text()) | changes
        (model / "config.json").write_text(json.dumps(table))

    return edit


def tensors(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edit(model: Path) -> None:
        found = load_file(model / "model.safetensors")
        change(found)
        save_file(found, model / "model.safetensors")

    return edit


def extra_layer(found: dict[str, Any]) -> None:
    for name in [name for name in found if ".layer.0." in name]:
        found[name.replace(".layer.0.", ".layer.1.")] = found[name].clone()


def raw(content: bytes) -> Callable[[Path], None]:
    return lambda model: (model / "model.safetensors").write_bytes(content) and None


QUERY = "bert.encoder.layer.0.attention.self.query.weight"
MISFITS: dict[str, tuple[Callable[[Path], None], str]] = {
    "vocabulary": (edited(vocab_size=5000), "words.weight"),
    "vocabulary too small": (edited(vocab_size=50), "pieces"),
    "hidden size": (edited(hidden_size=32), "[120, 32]"),
    "hidden size huge": (edited(hidden_size=2**40), "words.weight"),
    "heads": (edited(num_attention_heads=3), "heads"),
    "inner size": (edited(intermediate_size=48), "shape"),
    "positions": (edited(max_position_embeddings=64), "positions.weight"),
    "more layers": (edited(num_hidden_layers=2), "encoder.layer.1."),
    "missing key": (tensors(lambda found: found.pop(QUERY)), "layer.0.attention.self.query.weight"),
    "extra layer": (tensors(extra_layer), "encoder.layer.1."),
    "a word for a number": (edited(num_hidden_layers="two"), "num_hidden_layers"),
    "no layer": (edited(num_hidden_layers=0), "num_hidden_layers"),
    "unknown activation": (edited(hidden_act="gelo"), "gelo"),
    "another kind": (edited(model_type="gpt2"), "gpt2"),
    "config is no JSON": (lambda m: (m / "config.json").write_text("{") and None, "config.json"),
    "config is a list": (lambda m: (m / "config.json").write_text("[1]") and None, "config.json"),
    "no config": (lambda m: (m / "config.json").unlink(), "config.json"),
    "weights truncated": (
        lambda m: os.truncate(m / "model.safetensors", 4000), "model.safetensors"
    ),
    "weights empty": (raw(b""), "model.safetensors"),
    "header of 2^40 bytes": (raw((2**40).to_bytes(8, "little") + b"{}"), "model.safetensors"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_f41_config_and_weights_do_not_fit(pretrained: Reference, tmp_path: Path, name: str) -> None:
    change, told = MISFITS[name]
    model = copy_model(pretrained, tmp_path / "model")
    change(model)
    with pytest.raises(ModelError) as caught:
        Bert.load(model)
    assert told in str(caught.value) and str(model) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_f41_a_head_may_be_missing(pretrained: Reference, tmp_path: Path) -> None:
    """Only what lies outside the encoder; a pooler drawn at random is told."""
    model = copy_model(pretrained, tmp_path / "model")
    found = load_file(model / "model.safetensors")
    kept = {k: v for k, v in found.items() if "cls." not in k and "pooler" not in k}
    save_file(kept, model / "model.safetensors")
    bert = Bert.load(model)
    assert len(bert.warnings) == 1 and "pooler" in bert.warnings[0]


def test_f41_exit_status(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    model = copy_model(pretrained, tmp_path / "model")
    edited(num_hidden_layers=2)(model)
    ended = forge.lmc(*place.transfer("finetune", model, tmp_path / "run"), home=tmp_path)
    assert ended.status == 4 and ended.clean and "encoder.layer.1." in ended.err
    assert not (tmp_path / "run").exists()


def test_flipped_bit_in_a_model_of_ours(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    """safetensors loads it; the checksum does not let it pass."""
    run = tmp_path / "pretrained"
    shutil.copytree(pretrained.run, run)
    weights = run / "model" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-100] ^= 1
    weights.write_bytes(data)
    ended = forge.lmc(*place.transfer("finetune", run, tmp_path / "run"), home=tmp_path)
    assert ended.status == 4 and ended.clean and "checksum" in ended.err
