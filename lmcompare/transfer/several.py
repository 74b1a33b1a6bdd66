"""Several tasks at once: one encoder, a head each, and every step a batch of one of them (Liu et al. 2019, §3)."""
# ruff: noqa: TID253

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lmcompare import batches, randomness
from lmcompare.transfer.dataset import Batch
from lmcompare.transfer.learner import ENCODER, TaskLearner

MEAN = "mean"  # over the tasks, of each one's first metric
OWN = "encoder."  # how the names of the shared weights begin


@dataclass(frozen=True)
class Turn:
    """A batch, and which task it is of."""

    number: int
    batch: Batch

    @property
    def tokens(self) -> int:
        return self.batch.tokens

    def to(self, device: torch.device) -> "Turn":
        return replace(self, batch=self.batch.to(device))


class Several(nn.Module):
    """The learners of the tasks as one. An example's number is its place in all training sets laid end to end."""

    metric = MEAN
    higher_is_better = True
    carried: ClassVar[dict[str, Tensor]] = {}

    def __init__(self, learners: Sequence[TaskLearner], *, mixing: float) -> None:
        super().__init__()
        self.mixing = mixing
        self.encoder = learners[0].body.encoder  # here first, so that its weights have one name for all tasks
        self.learners: Any = nn.ModuleList(learners)
        # Of each task's losses among all.
        self.names = [{key: name(one.task.name, key) for key in one.weights} for one in learners]
        self.weights = {
            names[key]: weight
            for one, names in zip(learners, self.names, strict=True)
            for key, weight in one.weights.items()
        }

    def order(self, *, batch: int, seed: int, epoch: int, buckets: bool) -> list[np.ndarray]:
        """The batches of one epoch, a function of (seed, epoch) alone. Each task's follow one another as in a run on
        it alone; a task that gets more or fewer than it has goes on in the next epoch where it was."""
        sizes = [batches.count(len(one.lengths), batch) for one in self.learners]
        mine: list[np.ndarray] = []
        for one, start, size, turns in zip(
            self.learners, self._starts(), sizes, shares(sizes, self.mixing), strict=True
        ):
            places = [divmod(n, size) for n in range(epoch * turns, (epoch + 1) * turns)]
            how = {"batch": batch, "seed": seed, "buckets": buckets}
            passes = {n: one.order(epoch=n, **how) for n in dict.fromkeys(n for n, _ in places)}
            mine += [start + passes[n][at] for n, at in places]
        return [mine[k] for k in randomness.permutation(len(mine), seed, epoch, 2)]

    def carry(self, total: Callable[[Tensor], Tensor]) -> None:
        """Nothing goes on from one batch to the next."""

    def batch(self, chosen: np.ndarray, epoch: int) -> Turn:
        number = int(np.searchsorted(self._starts(), chosen[0], side="right")) - 1
        return Turn(number, self.learners[number].batch(chosen - self._starts()[number], epoch))

    def counts(self, turn: Turn) -> dict[str, float]:
        own = self.learners[turn.number].counts(turn.batch)
        return dict.fromkeys(self.weights, 0.0) | self._named(turn, own)

    def losses(self, turn: Turn) -> dict[str, Tensor]:
        """Those of the batch's task; of the others there is nothing, so they are nought and have no gradient."""
        own = self._named(turn, self.learners[turn.number].losses(turn.batch))
        nought = next(iter(own.values())).new_zeros(())
        return dict.fromkeys(self.weights, nought) | own

    def height(self, name: str) -> int:
        """How many layers below its head a weight stands."""
        if name.startswith(OWN):
            return self.learners[0].height(ENCODER + name.removeprefix(OWN))
        number, _, rest = name.removeprefix("learners.").partition(".")
        return self.learners[int(number)].height(rest)

    def _named(self, turn: Turn, own: dict[str, Any]) -> dict[str, Any]:
        return {self.names[turn.number][key]: value for key, value in own.items()}

    def _starts(self) -> np.ndarray:
        """The number of each task's first example."""
        return np.cumsum([0, *(len(one.lengths) for one in self.learners)])[:-1]


def name(task: str, key: str) -> str:
    """Of a loss or a metric: a task's own loss is called as the task is."""
    return task if key == "task" else f"{task}.{key}"


def shares(sizes: Sequence[int], mixing: float) -> list[int]:
    """How many of an epoch's steps each task gets, where it has so many batches: together about as many as there are,
    each in proportion to its own number to the power of `mixing`, and at least one."""
    powers = [size**mixing for size in sizes]
    return [max(1, round(sum(sizes) * power / sum(powers))) for power in powers]
