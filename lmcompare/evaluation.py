"""From a trained learner to a prediction for every example, and from predictions to metrics."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lmcompare import metrics
from lmcompare.cost import Timing
from lmcompare.types import Example, Prediction, Task

if TYPE_CHECKING:
    import torch

Values = tuple[dict[str, float | None], dict[str, str]]


def predict(
    learner: Any,
    dataset: Any,
    *,
    size: int,
    device: "torch.device",
    check: Callable[[], None] = lambda: None,
    any_of: Callable[[bool], bool] = bool,
    timing: Timing | None = None,
) -> list[Prediction]:
    """One prediction an example, in the order of the examples; batches of similar length, as large as memory allows.
    `any_of`: what any of the processes says that answer together; `check` is for each alone. `timing` is told how long
    each batch took."""
    from lmcompare.device import fitted

    learner.train(False)
    learner.body.watch(dataset)
    order = np.argsort(dataset.lengths, kind="stable")

    def by(size: int) -> list[Prediction]:
        rows: list[Any] = [None] * len(dataset)
        batches = []
        for chosen in np.split(order, range(size, len(order), size)):
            check()
            began = time.perf_counter()
            for i, row in zip(chosen, learner.answers(dataset, chosen, device), strict=True):
                rows[i] = row
            batches.append((len(chosen), time.perf_counter() - began))
        if timing is not None:
            timing.add(batches, size)
        return rows

    return fitted(by, size, any_of=any_of)


def score(task: Task, predictions: list[Prediction]) -> Values:
    """Every metric of the task, and why one has no value. Predictions without labels have no metrics."""
    if not predictions or any(row["label"] is None for row in predictions):
        return {}, {}
    labels = [whole(row["label"]) for row in predictions]
    answers = [whole(row["prediction"]) for row in predictions]
    return metrics.evaluate(task.metrics, labels, answers, task.labels)


def by_group(task: Task, examples: list[Example], predictions: list[Prediction]) -> dict[str, Any]:
    """The figures of each group that examples belong to, by its name: nothing where there are no groups or labels."""
    rows_of: dict[str, list[Prediction]] = {}
    for example, row in zip(examples, predictions, strict=True):
        for group in example.groups:
            rows_of.setdefault(group, []).append(row)
    told = {}
    for group in sorted(rows_of):
        values, undefined = score(task, rows_of[group])
        if values:
            told[group] = {"examples": len(rows_of[group]), "metrics": values, "undefined": undefined}
    return told


def whole(label: Any) -> Any:
    return tuple(label) if isinstance(label, list) else label


def trivial(task: Task, train: list[Example], examples: list[Example]) -> float | None:
    """What an answer that never looks at its example would score: the most frequent one of the training set."""
    if task.kind == "span" or any(e.label is None for e in examples):
        return None
    return metrics.majority(
        task.kind,
        task.metrics[0],
        [e.label for e in train],
        [e.label for e in examples],
        task.labels,
        options=[len(e.options) for e in examples],
    )


def gold(example: Example) -> Any:
    """The label as it stands in a prediction file: an answer's text instead of its place."""
    if isinstance(example.label, tuple) and example.label and isinstance(example.label[0], tuple):
        return [example.texts[1][start:end] for start, end in example.label]
    return list(example.label) if isinstance(example.label, tuple) else example.label
