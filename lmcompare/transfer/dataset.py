"""A split of a task as the network takes it: views, whose example each one is, and labels as numbers."""
# ruff: noqa: TID253

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmcompare.batches import Inputs
from lmcompare.errors import DataError, UserError
from lmcompare.types import Example, Task, View


@dataclass(frozen=True)
class Batch:
    inputs: Inputs
    examples: list[Example]
    views: list[View]
    owner_B: Tensor  # which example of the batch a view belongs to
    group_B: Tensor  # which answer a view speaks for: its example, or one option of it
    part_B: Tensor  # which of two texts a view holds, where a backend keeps them apart
    options_G: list[tuple[int, int]]  # example and option of each group
    labels: dict[str, Tensor]  # what the head compares with; empty where a split has no labels
    parts: int = 1  # 2: the backend reads two texts in views of their own

    @property
    def tokens(self) -> int:
        return self.inputs.tokens

    def to(self, device: torch.device) -> "Batch":
        labels = {k: v.to(device) for k, v in self.labels.items()}
        moved = {k: getattr(self, k).to(device) for k in ("owner_B", "group_B", "part_B")}
        return replace(self, inputs=self.inputs.to(device), labels=labels, **moved)


class Dataset:
    """One split, formatted by a backend."""

    def __init__(
        self,
        backend: Any,
        task: Task,
        examples: Sequence[Example],
        *,
        length: int,
        stride: int | None = None,  # span: tokens from window to window of a long context
    ) -> None:
        if length > backend.longest:
            raise DataError(f"length {length} is more than the {backend.longest} positions of the model")
        if stride is not None and (task.kind != "span" or stride >= length):
            why = f"it must be less than the length {length}" if task.kind == "span" else "that is for spans"
            raise UserError(f"stride {stride}: {task.name} is a task of the kind {task.kind}; {why}")
        self.backend, self.task, self.examples = backend, task, list(examples)
        per_example = [backend.views(task, example, length, stride=stride) for example in self.examples]
        if bare := [e.id for e, views in zip(self.examples, per_example, strict=True) if not views]:
            raise DataError(f"{task.name}: example {bare[0]} has nothing to read (a choice without options?)")
        self.views = [view for views in per_example for view in views]
        ends = np.cumsum([len(views) for views in per_example])
        self.starts = np.concatenate([[0], ends]).astype(int)
        self.lengths = np.array([max(len(v.ids) for v in views) for views in per_example])
        self.labelled = all(e.label is not None for e in self.examples)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def cut(self) -> int:
        """Examples that lost tokens to the maximal length."""
        owners = np.repeat(np.arange(len(self)), np.diff(self.starts))
        return len({int(o) for o, v in zip(owners, self.views, strict=True) if v.cut})

    def batch(self, chosen: np.ndarray) -> Batch:
        examples = [self.examples[i] for i in chosen]
        rows = [r for i in chosen for r in range(self.starts[i], self.starts[i + 1])]
        owners = [n for n, i in enumerate(chosen) for _ in range(self.starts[i], self.starts[i + 1])]
        views = [self.views[r] for r in rows]
        inputs = self.backend.stack(views, rows)
        labels = encode(self.task, examples, views, owners, inputs) if self.labelled else {}
        keys = [(owner, view.option) for owner, view in zip(owners, views, strict=True)]
        groups = {key: n for n, key in enumerate(dict.fromkeys(keys))}
        return Batch(
            inputs,
            examples,
            views,
            torch.tensor(owners),
            torch.tensor([groups[key] for key in keys]),
            torch.tensor([view.part for view in views]),
            list(groups),
            labels,
            self.backend.parts,
        )


def encode(
    task: Task, examples: list[Example], views: list[View], owners: list[int], inputs: Inputs
) -> dict[str, Tensor]:
    """Labels as the head of that kind of task wants them. −100 is what no loss counts."""
    if task.kind == "classify":
        number = {name: n for n, name in enumerate(task.labels)}
        return {"class_N": torch.tensor([number[str(e.label)] for e in examples])}
    if task.kind == "score":
        return {"score_N": torch.tensor([float(e.label) for e in examples])}  # type: ignore[arg-type]
    if task.kind == "choice":
        return {"right_N": torch.tensor([int(e.label) for e in examples])}  # type: ignore[arg-type]
    if task.kind == "tags":
        return {"tag_BT": _tags(task, examples, views, inputs.ids_BT.shape[1])}
    ends_B2, inside_B = _ends(examples, views, owners)
    return {"ends_B2": ends_B2, "inside_B": inside_B}


def _tags(task: Task, examples: list[Example], views: list[View], T: int) -> Tensor:
    """The tag at the token that speaks for its word: the first; the last where the model reads from the left."""
    number: dict[Any, int] = {name: n for n, name in enumerate(task.labels)}
    tag_BT = torch.full((len(views), T), -100)
    for b, (example, view) in enumerate(zip(examples, views, strict=True)):
        for tag, place in zip(example.label, view.words, strict=True):  # type: ignore[arg-type]
            if place >= 0:
                tag_BT[b, place] = number[tag]
    return tag_BT


def _ends(examples: list[Example], views: list[View], owners: list[int]) -> tuple[Tensor, Tensor]:
    """First and last token of the first answer, and whether the window holds it; else both point at the token that
    stands for the view."""
    ends = torch.tensor([[view.pool, view.pool] for view in views])
    found = torch.zeros(len(views), dtype=torch.bool)
    for b, (view, owner) in enumerate(zip(views, owners, strict=True)):
        answers: Any = examples[owner].label
        if not answers:
            continue
        start, end = tight(examples[owner].texts[1], *answers[0])
        inside = [t for t, (s, e) in enumerate(view.spans) if s >= 0 and s < end and e > start]
        whole = inside and view.spans[inside[0]][0] <= start and view.spans[inside[-1]][1] >= end
        if whole:
            ends[b] = torch.tensor([inside[0], inside[-1]])
            found[b] = True
    return ends, found


def tight(text: str, start: int, end: int) -> tuple[int, int]:
    """An answer without the white space at its ends, which no token holds."""
    answer = text[start:end]
    return start + len(answer) - len(answer.lstrip()), end - len(answer) + len(answer.rstrip())
