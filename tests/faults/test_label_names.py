"""F32 beside what test_models.py asks of a task whose labels stand in another order: the same of the model. Its labels
go by their names, in whatever order its folder lists them, and strange ones are refused."""

import functools
import itertools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import forge
import pytest
from safetensors.torch import load_file, save_file
from world import Place, Reference

from lmcompare import files, registry
from lmcompare.backends.bert import Bert
from lmcompare.errors import ModelError
from lmcompare.experiments.evaluate import evaluate
from lmcompare.tasks import facts
from lmcompare.tasks.facts import Facts
from lmcompare.types import Example, Task

LABELS = {
    "classify": ("entailment", "neutral", "contradiction"),  # as MNLI lists them
    "tags": ("O", "B-PER", "B-LOC"),
}
METRICS = {"classify": "accuracy", "tags": "entity_f1"}
TASK = "faults.names"
ORDERS = list(itertools.permutations(range(3)))
Run = Callable[[str], Path]


def examples(kind: str, split: str) -> list[Example]:
    """What the second word says is the label, of the whole or of that word."""
    rows = []
    for n in range(48 if split == "train" else 24):
        words = ("the", ("cold", "warm", "kind")[n % 3], "house", "was", str(n % 5))
        label = LABELS[kind][n % 3]
        if kind == "tags":
            rows.append(Example(f"{split}-{n}", (), ("O", label, "O", "O", "O"), words=words))
        else:
            rows.append(Example(f"{split}-{n}", (" ".join(words),), label))
    return rows


def made(kind: Any, labels: Sequence[str]) -> Callable[..., Task]:
    def build(data: Path | None) -> Task:
        load = functools.partial(examples, kind)
        return Task(TASK, kind, (METRICS[kind],), load, labels=tuple(labels), splits=("train", "dev"))

    return build


def told(kind: Any) -> Facts:
    sizes = {"train": 48, "dev": 24}
    return Facts(kind=kind, about="Three.", metrics=(METRICS[kind],), splits=sizes, license="made here")


def add_task(kind: str) -> None:
    facts.task(TASK, told(kind))(made(kind, LABELS[kind]))


@pytest.fixture(scope="session")
def trained(place: Place, pretrained: Reference) -> Run:
    """The run of a kind of task, made when it is first asked for."""

    def get(kind: str) -> Path:
        run = place.folder / f"names-{kind}"
        if not run.exists():
            words = ["finetune", "bert", "--task", TASK, "--model", pretrained.run, "--out", run]
            words += ["--config", place.folder / "finetune.toml", "--set", "training.steps=120"]
            words += ["--set", "optimizer.rate=1e-2"]
            ended = forge.lmc(*words, home=place.folder, setup=functools.partial(add_task, kind))
            assert ended.status == 0, ended.err
        return run

    return get


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Sequence[str]], None]:
    """The task in this process, for one test."""
    registry.tasks.names()

    def add(kind: str, labels: Sequence[str]) -> None:
        monkeypatch.setitem(registry.tasks._entries, TASK, made(kind, labels))
        monkeypatch.setitem(facts._known, TASK, told(kind))

    return add


def told_as(run: Path, copy: Path, names: Sequence[str], rows: Sequence[int]) -> Path:
    """The run with other names in its model's folder, and these rows of its head for them."""
    shutil.copytree(run, copy)
    model = copy / "model"
    head = load_file(model / "task.safetensors")
    for name in ("head.linear.weight", "head.linear.bias"):
        head[name] = head[name][list(rows)].contiguous()
    save_file(head, model / "task.safetensors")
    files.write_json(model / "task.json", files.read_json(model / "task.json") | {"labels": list(names)})
    manifest = files.read_json(model / files.MANIFEST)
    manifest["sha256"] |= {name: files.sha256(model / name) for name in ("task.safetensors", "task.json")}
    files.write_json(model / files.MANIFEST, manifest)
    return copy


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "-".join(map(str, order)))
def test_f32_a_model_may_list_its_labels_in_any_order(
    trained: Run, known: Any, tmp_path: Path, kind: str, order: tuple[int, ...]
) -> None:
    run = trained(kind)
    known(kind, LABELS[kind])
    expected = evaluate(run, "dev")
    figure = expected["metrics"][METRICS[kind]]
    assert figure > (0.6 if kind == "classify" else 0.9)  # else a mixed-up order would not be seen
    other = told_as(run, tmp_path / "run", [LABELS[kind][n] for n in order], order)
    for labels in (LABELS[kind], LABELS[kind][::-1]):  # the task's own order changes nothing either
        known(kind, labels)
        found = evaluate(other, "dev")
        assert found["metrics"] == expected["metrics"]
        pairs = zip(found["predictions"], expected["predictions"], strict=True)
        assert all(mine["prediction"] == theirs["prediction"] for mine, theirs in pairs)


@pytest.mark.parametrize("kind", LABELS)
def test_f32_an_order_that_is_not_the_heads_is_seen(
    trained: Run, known: Any, tmp_path: Path, kind: str
) -> None:
    """What the test above would find if names were not what rows go by."""
    run = trained(kind)
    known(kind, LABELS[kind])
    mixed = told_as(run, tmp_path / "run", LABELS[kind], (1, 2, 0))
    assert evaluate(mixed, "dev")["metrics"][METRICS[kind]] < 0.5


@pytest.mark.parametrize("kind", LABELS)
def test_f32_a_name_that_the_task_has_not_is_refused(
    trained: Run, known: Any, tmp_path: Path, kind: str
) -> None:
    first, second, third = LABELS[kind]
    known(kind, LABELS[kind])
    strange = told_as(trained(kind), tmp_path / "run", (first, second, "LABEL_2"), (0, 1, 2))
    with pytest.raises(ModelError) as caught:
        evaluate(strange, "dev")
    assert "LABEL_2" in str(caught.value) and third in str(caught.value) and str(strange) in str(caught.value)


def test_f32_a_published_classifier_gives_its_encoder_whatever_its_labels_are(
    pretrained: Reference, tmp_path: Path
) -> None:
    """Its own head is another task's: six orders of id2label are one and the same start."""
    import transformers

    source = pretrained.run / "model"
    names = LABELS["classify"]
    found = set()
    for number, order in enumerate(ORDERS):
        id2label = {n: names[k] for n, k in enumerate(order)}
        model = transformers.BertForSequenceClassification.from_pretrained(
            source, id2label=id2label, label2id={v: k for k, v in id2label.items()}
        )
        folder = tmp_path / str(number)
        model.save_pretrained(folder)
        for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
            shutil.copy(source / name, folder)
        assert files.read_json(folder / "config.json")["id2label"]["0"] == names[order[0]]
        bert = Bert.load(folder)
        assert not bert.warnings
        found.add(bert.fingerprint)
    assert found == {Bert.load(source).fingerprint}
