"""Several tasks and one encoder: whose turn it is, and what each turn teaches."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lmcompare.backends.bert import Bert
from lmcompare.batches import epoch_order
from lmcompare.experiments.task_data import read_task
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.learner import ENCODER, TaskLearner
from lmcompare.transfer.several import Several, shares

SIZES = {"sentiment": 37, "similarity": 23, "answers": 9}  # no two alike, no multiple of the batch
BATCH = 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT that has learned nothing, in a plain folder."""
    from lmcompare import micro

    sentences = [s for document in micro.world(0).documents(60) for s in document]
    folder = tmp_path_factory.mktemp("plain")
    made = Bert(train_wordpiece(sentences, size=300), layers=2, width=16, heads=2, positions=64)
    made.draw(1)
    made.save(folder)
    return folder


def learners(model: Path) -> list[TaskLearner]:
    backend, made = Bert.load(model), []
    for task, train in SIZES.items():
        found = read_task({"name": f"micro.{task}", "train": train}, None)
        one = TaskLearner(backend, found.task, {"name": "finetune", "dropout": 0.0})
        one.draw(3)
        one.learn_from(Dataset(backend, found.task, found.splits["train"], length=64))
        made.append(one)
    return made


@pytest.fixture(scope="module")
def several(model: Path) -> Several:
    return Several(learners(model), mixing=1.0)


def tasks_of(order: list[np.ndarray]) -> list[int]:
    ends = np.cumsum(list(SIZES.values()))
    told = [{int(np.searchsorted(ends, i, side="right")) for i in chosen} for chosen in order]
    assert all(len(which) == 1 for which in told), "a batch holds examples of one task"
    return [which.pop() for which in told]


def order(several: Several, epoch: int, seed: int = 5) -> list[np.ndarray]:
    return several.order(batch=BATCH, seed=seed, epoch=epoch, buckets=True)


def test_an_epoch_shows_every_example_once_and_the_tasks_mixed(several: Several) -> None:
    first = order(several, 0)
    assert sorted(np.concatenate(first)) == list(range(sum(SIZES.values())))
    turns = tasks_of(first)
    assert Counter(turns) == {n: -(-size // BATCH) for n, size in enumerate(SIZES.values())}
    assert sum(a != b for a, b in itertools.pairwise(turns)) > len(SIZES)  # not one after the other


def test_the_order_is_a_function_of_seed_and_epoch_alone(several: Several) -> None:
    def told(*key: int) -> list[list[int]]:
        return [chosen.tolist() for chosen in order(several, *key)]

    later = told(3)
    assert told(0) == told(0) and told(3) == later
    assert told(0) != later and told(0, 6) != told(0, 5)


def test_each_task_follows_its_own_order_as_in_a_run_on_it_alone(several: Several) -> None:
    start = 0
    for number, one in enumerate(several.learners):
        mixed = order(several, 2)
        mine = [c - start for c, n in zip(mixed, tasks_of(mixed), strict=True) if n == number]
        own = epoch_order(one.lengths, batch=BATCH, seed=5, epoch=2, buckets=True)
        assert sorted(map(list, mine)) == sorted(map(list, own))
        start += len(one.lengths)


@pytest.mark.parametrize(
    ("mixing", "expected"),
    [(1.0, [100, 9, 1]), (0.5, [79, 24, 8]), (0.0, [37, 37, 37])],  # 110 steps by 10 : 3 : 1, or in thirds
)
def test_mixing_levels_the_sizes(mixing: float, expected: list[int]) -> None:
    assert shares([100, 9, 1], mixing) == expected
    assert shares([10**6, 1], 1.0) == [10**6, 1]  # the smallest task keeps its turn


@pytest.mark.parametrize("mixing", [0.0, 0.5])
def test_a_levelled_task_goes_on_where_it_was(model: Path, mixing: float) -> None:
    """No example of a task is ever seen twice more often than another of it."""
    made = Several(learners(model), mixing=mixing)
    sizes = [-(-size // BATCH) for size in SIZES.values()]
    epochs = [order(made, epoch) for epoch in range(7)]
    assert {len(epoch) for epoch in epochs} == {sum(shares(sizes, mixing))}
    seen = Counter(int(i) for epoch in epochs for chosen in epoch for i in chosen)
    counts = np.array([seen[i] for i in range(sum(SIZES.values()))])
    for part in np.split(counts, np.cumsum(list(SIZES.values()))[:-1]):
        assert part.min() > 0 and part.max() - part.min() <= 1


def test_a_turn_is_a_step_of_that_task_alone(model: Path) -> None:
    """Losses, gradients and counts are those of the task's own learner; no other head hears of it."""
    single, made = learners(model), Several(learners(model), mixing=1.0)
    made.train(False)
    for chosen, number in zip(order(made, 0), tasks_of(order(made, 0)), strict=True):
        one = single[number].train(False)
        start = sum(list(SIZES.values())[:number])
        turn, batch = made.batch(chosen, 0), one.batch(chosen - start, 0)
        task = one.task.name
        assert made.counts(turn) == dict.fromkeys(made.weights, 0.0) | {task: one.counts(batch)["task"]}
        made.zero_grad(set_to_none=True)
        one.zero_grad(set_to_none=True)
        losses = made.losses(turn)
        sum(losses.values()).backward()
        own = one.losses(batch)["task"]
        own.backward()
        assert losses[task].equal(own) and turn.tokens == batch.tokens
        assert [k for k, loss in losses.items() if float(loss.detach())] == [task]
        grads = {n: p.grad for n, p in made.named_parameters() if p.grad is not None}
        expected = {
            name_in_several(n, number): p.grad for n, p in one.named_parameters() if p.grad is not None
        }
        assert grads.keys() == expected.keys()
        assert all(grads[k].equal(expected[k]) for k in grads)


def name_in_several(name: str, number: int) -> str:
    shared = name.startswith(ENCODER)
    return f"encoder.{name.removeprefix(ENCODER)}" if shared else f"learners.{number}.{name}"


def test_the_encoder_is_there_once_and_layers_keep_their_height(several: Several) -> None:
    names = [name for name, _ in several.named_parameters()]
    one = several.learners[0]
    for number, own in enumerate(several.learners):
        for name, _ in own.named_parameters():
            assert names.count(name_in_several(name, number)) == 1
            assert several.height(name_in_several(name, number)) == own.height(name)
    shared = [p for n, p in one.named_parameters() if n.startswith(ENCODER)]
    heads = [p for own in several.learners for n, p in own.named_parameters() if not n.startswith(ENCODER)]
    assert sum(p.numel() for p in several.parameters()) == sum(p.numel() for p in shared + heads)
    assert {several.height(n) for n in names} == {0, 1, 2, 3}
