"""What of a finished run goes into a folder for others: the layout of `transformers` where it has a class with the same
head, else our own, which `lmc` reads."""
# ruff: noqa: TID253

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from lmcompare import files, hub, models, results
from lmcompare.backends import folders
from lmcompare.config import Transfer
from lmcompare.results import Record

# By kind of task: the class of `transformers` with the same head, the head's name in it, and whether it stands on the
# pooler.
CLASSES = {
    "classify": ("BertForSequenceClassification", "classifier", True),
    "score": ("BertForSequenceClassification", "classifier", True),
    "choice": ("BertForMultipleChoice", "classifier", True),
    "tags": ("BertForTokenClassification", "classifier", False),
    "span": ("BertForQuestionAnswering", "qa_outputs", False),
}
HEAD = ("head.linear.weight", "head.linear.bias")
BESIDE = {"score": {"head.center", "head.spread"}, "span": {"head.threshold"}}  # what a head may know besides
OURS = ("task.safetensors", "task.json", files.MANIFEST, "config.json", "model.safetensors")
ENCODER = "encoder"  # in our own layout: the frozen one that a reader was trained on
PATH = re.compile(
    r"(?<![\w./~-])~?/(?:[^\s/,;:()'\"]+/)+"
)  # the folders of a path, but not those of an address


@dataclass(frozen=True)
class Layout:
    """What a folder has become."""

    name: str  # transformers or lmcompare
    architecture: str  # the class of `transformers`; "": it has none
    reason: str = ""  # why it has none
    needs: str = ""  # what is not in the folder, and must be had besides


def write(record: Record, folder: Path) -> Layout:
    """Everything but the card."""
    config = Transfer.model_validate(record.config)
    own = load_file(record.path / "model" / "task.safetensors")
    told = files.read_json(record.path / "model" / "task.json")
    source = models.encoder_of(record.path)
    if reason := against(config, source, told["kind"], own):
        return ours(record, config, folder, reason)
    architecture, head, pooled = CLASSES[told["kind"]]
    table = folders.read_json(source / "config.json")
    tensors = load_file(source / "model.safetensors")
    if not pooled:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("bert.pooler.")}
    tensors |= {f"{head}.{name.rpartition('.')[2]}": tensor for name, tensor in scaled(own).items()}
    table |= {"architectures": [architecture], "classifier_dropout": config.transfer["dropout"]}
    folders.write(folder, table | labels(told), tensors)
    beside(source, folder)
    return Layout("transformers", architecture)


def against(config: Transfer, source: Path, kind: str, own: Mapping[str, Tensor]) -> str:
    """Why no class of `transformers` answers as this run does; "" where one does."""
    if config.transfer["name"] != "finetune":
        return "its encoder is frozen, and what answers is a reader of lmcompare's"
    if config.backend != "bert":
        return f"its head on {config.backend} is one that lmcompare alone has"
    if config.transfer.get("reader"):
        return "a task network of lmcompare's stands between encoder and head"
    if folders.read_json(source / "config.json").get("is_decoder"):
        return "it reads from the left, and the last token answers"
    if strange := sorted(own.keys() - {*HEAD} - BESIDE.get(kind, set())):
        return f"its head has {', '.join(strange)}, for which transformers has no place"
    return ""


def scaled(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The head's two tensors; that of a score in the units of the labels."""
    found = {name: own[name] for name in HEAD}
    if "head.center" not in own:
        return found
    weight, bias = (found[name] * own["head.spread"] for name in HEAD)
    return dict(zip(HEAD, (weight, bias + own["head.center"]), strict=True))


def labels(told: Mapping[str, Any]) -> dict[str, Any]:
    """The head's rows by name, as config.json says them."""
    if told["kind"] == "score":
        return {"id2label": {"0": "score"}, "label2id": {"score": 0}, "problem_type": "regression"}
    if not told["labels"] or told["kind"] not in ("classify", "tags"):
        return {}
    names = {str(k): name for k, name in enumerate(told["labels"])}
    known: dict[str, Any] = {"id2label": names, "label2id": {name: int(k) for k, name in names.items()}}
    return known | ({"problem_type": "single_label_classification"} if told["kind"] == "classify" else {})


def beside(source: Path, folder: Path) -> None:
    """The tokenizer's files, and what the weights were trained on."""
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name not in OURS:
            shutil.copyfile(path, folder / path.name)


def ours(record: Record, config: Transfer, folder: Path, reason: str) -> Layout:
    """A run folder without its log and answers: `lmc eval` takes it, and `--model` where it has an encoder."""
    tuned, needs = config.transfer["name"] == "finetune", ""
    # One of several tasks has its encoder in the folder of the run that they share.
    sources = [models.encoder_of(record.path)] if tuned else []
    with files.new_folder(folder / "model", {"run": record.run}) as partial:
        for source in dict.fromkeys([*sources, record.path / "model"]):
            for path in sorted(source.iterdir()):
                if path.is_file() and path.name != files.MANIFEST:
                    shutil.copyfile(path, partial / path.name)
    if not tuned and (found := models.find(config.model)).is_dir():
        # Without the modes of its files: a folder for others may be read by them.
        shutil.copytree(found, folder / ENCODER, copy_function=shutil.copyfile)
    elif not tuned:
        needs = f"the word vectors {found.name}, on which its reader stands"
    told = files.read_json(record.path / "run.json")
    files.write_json(folder / "run.json", nameless({k: v for k, v in told.items() if k != "git"}))
    files.write_json(folder / "result.json", nameless(record.result))
    return Layout("lmcompare", "", reason, needs)


def nameless(value: Any, key: str = "") -> Any:
    """The same without the folders of this machine: their names are nobody else's business, and of no use elsewhere."""
    if isinstance(value, dict):
        return {key: nameless(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [nameless(item, key) for item in value]
    if not isinstance(value, str):
        return value
    return of_model(value) if key == "model" else PATH.sub("", value)


def of_model(name: str) -> str:
    """A hub id as it is; of a run or a folder the last part of its name."""
    return name if base(name) else Path(name).name


def base(name: str) -> str:
    """The hub id of a model that was not made here; "" where it is none."""
    here = models.run_of(name) or Path(name).exists() or name.startswith(f"{results.root().name}/")
    return name if name and not here and hub.ID.fullmatch(name) else ""
