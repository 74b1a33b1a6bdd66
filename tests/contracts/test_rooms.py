"""What every objective, tokenizer, metric, task and baseline promises, because it is registered."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmcompare import evaluation, registry
from lmcompare.errors import DataError
from lmcompare.text import shards
from tests.contracts.test_backends import TASKS, bert

SENTENCES = ["the cat sat on the mat.", "a dog ran far away.", "the dog saw the cat.", "we sat near the mat."]
PERFECT: dict[str, tuple[list[Any], list[Any], tuple[str, ...]]] = {
    "pearson": ([1.0, 2.0, 4.0], [1.0, 2.0, 4.0], ()),
    "spearman": ([1.0, 2.0, 4.0], [1.0, 2.0, 9.0], ()),
    "entity_f1": ([("O", "B-X")], [("O", "B-X")], ("O", "B-X")),
    "span_f1": ([("the cat",)], ["cat"], ()),
    "exact_match": ([("the cat",)], ["cat"], ()),
}
CLASSES = (["a", "b", "a"], ["a", "b", "a"], ("a", "b"))


@pytest.mark.parametrize("name", registry.metrics.names())
def test_a_perfect_answer_scores_one_and_an_empty_one_nothing(name: str) -> None:
    gold, answers, labels = PERFECT.get(name, CLASSES)
    metric = registry.metrics.get(name)
    assert metric(gold, answers, labels) == pytest.approx(1.0)
    from lmcompare import metrics

    values, reasons = metrics.evaluate([name], [], [], labels)
    assert values == {name: None}
    assert reasons[name]


@pytest.mark.parametrize("name", registry.tokenizers.names())
def test_tokenizers_learn_the_same_and_come_back_from_a_folder(name: str, tmp_path: Path) -> None:
    first, second = (registry.tokenizers.build({"name": name, "size": 60}, SENTENCES * 3) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    first.save(tmp_path)
    again = registry.loader(registry.tokenizers.get(name))(tmp_path)
    assert again.fingerprint == first.fingerprint
    assert again.encode_many(SENTENCES) == [first.encode(s) for s in SENTENCES]
    ids, spans = first.encode_offsets(SENTENCES[0])
    assert ids == first.encode(SENTENCES[0])
    assert "".join(SENTENCES[0][s:e] for s, e in spans) == SENTENCES[0].replace(" ", "")


@pytest.mark.parametrize("name", registry.tasks.names())
def test_tasks_have_labels_of_their_kind_or_say_where_they_looked(name: str) -> None:
    if not name.startswith("micro."):
        with pytest.raises(DataError):
            registry.tasks.build({"name": name}, Path("nowhere"))
        return
    task = registry.tasks.build({"name": name, "train": 20}, None)
    examples = task.load("train")
    assert len(examples) == 20 and set(task.metrics) <= set(registry.metrics.names())
    for example in examples:
        if task.kind == "classify":
            assert example.label in task.labels and len(example.texts) == task.texts
        elif task.kind == "tags":
            assert len(example.label) == len(example.words) and set(example.label) <= set(task.labels)
        elif task.kind == "choice":
            assert 0 <= example.label < len(example.options)
        elif task.kind == "span":
            assert all(example.texts[1][s:e].strip() for s, e in example.label)
        else:
            assert isinstance(example.label, float) and len(example.texts) == task.texts


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("name", registry.baselines.names())
def test_baselines_answer_every_kind_of_task_the_same_way_twice(name: str, kind: str) -> None:
    task, examples = TASKS[kind]
    told = []
    for _ in range(2):
        model = registry.baselines.build({"name": name}, task)
        model.fit(examples, 1)
        told.append(model.predict(examples))
    assert told[0] == told[1]
    assert len(told[0]) == len(examples)
    rows = [
        {"id": e.id, "label": evaluation.gold(e), "prediction": p}
        for e, p in zip(examples, told[0], strict=True)
    ]
    assert set(evaluation.score(task, rows)[0]) == set(task.metrics)


@pytest.mark.parametrize("name", registry.objectives.names())
def test_objectives_hide_the_same_for_the_same_key_and_learn(name: str, tmp_path: Path) -> None:
    backend = bert()
    backend.draw(1)
    objective = registry.objectives.build({"name": name, "length": 24}, backend)
    objective.draw(2)
    documents = [SENTENCES[n:] + SENTENCES[:n] for n in range(4)] * 6
    tokens = shards.build(documents, backend.tokenizer, tmp_path / "tokens")
    objective.prepare(tokens, 0.2, 3, lambda: None)
    assert len(objective.lengths) > 10
    some, more = np.arange(4), np.arange(8)
    first, again, later = objective.batch(some, 0), objective.batch(some, 0), objective.batch(some, 1)
    assert first.inputs.ids_BT.equal(again.inputs.ids_BT)
    assert not first.inputs.ids_BT.equal(later.inputs.ids_BT)
    wide = objective.batch(more, 0)
    T = first.inputs.ids_BT.shape[1]
    assert wide.inputs.ids_BT[:4, :T].equal(first.inputs.ids_BT)  # batch mates change no mask
    optimizer = registry.optimizers.build({"name": "adamw", "rate": 5e-3}, objective.named_parameters())
    totals = []
    for _ in range(15):
        counts, losses = objective.counts(wide), objective.losses(wide)
        assert set(losses) == set(counts) == set(objective.weights)
        total = sum(objective.weights[k] * losses[k] / counts[k] for k in losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.8 * totals[0]
