"""F6: SIGTERM, SIGUSR1 and Ctrl-C save and end, wherever they come; a second Ctrl-C ends at once."""

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forge
import pytest
from world import Place, Reference

from lmcompare import checkpoints

SIGNALS = {"SIGTERM": 75, "SIGUSR1": 75, "SIGINT": 130}
MIDDLE = 12
RARELY = ["--set", "training.checkpoint_every=1000"]  # so that what is saved, the signal saved


def before_call(owner: Any, name: str, call: int, action: Callable[[], None]) -> None:
    """Do something just before the n-th call of a function."""
    whole, count = getattr(owner, name), 0

    @functools.wraps(whole)
    def watched(*given: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count == call:
            action()
        return whole(*given, **named)

    setattr(owner, name, watched)


def send(*names: str) -> None:
    for name in names:
        os.kill(os.getpid(), getattr(signal, name))


def in_training(step: int, *names: str) -> None:
    from lmcompare.objectives.mlm_nsp import MlmNsp

    before_call(MlmNsp, "losses", step, functools.partial(send, *names))


def in_evaluation(*names: str) -> None:
    from lmcompare.objectives.mlm_nsp import MlmNsp

    before_call(MlmNsp, "evaluate", 2, functools.partial(send, *names))


def in_tokenizing(*names: str) -> None:
    from lmcompare.text import shards

    before_call(shards, "_chunks", 1, functools.partial(send, *names))


def in_cutting(*names: str) -> None:
    from lmcompare.text import pairs

    before_call(pairs, "make", 1, functools.partial(send, *names))


def in_answers(*names: str) -> None:
    from lmcompare.training import Loop

    before_call(Loop, "load_best", 1, functools.partial(send, *names))


# where the signal comes → the step that must be saved by then; none: no training has begun
PLACES: dict[str, tuple[Callable[..., None], int | None]] = {
    "warm-up": (functools.partial(in_training, 2), 2),
    "train": (functools.partial(in_training, MIDDLE), MIDDLE),
    "eval": (in_evaluation, 14),
    "tokenizing": (in_tokenizing, None),
    "cutting": (in_cutting, None),
}


def cases() -> list[Any]:
    found = []
    for where in PLACES:
        for name in SIGNALS:
            quick = (where, name) in (
                ("train", "SIGTERM"),
                ("eval", "SIGUSR1"),
                ("cutting", "SIGINT"),
            )
            found.append(pytest.param(name, where, marks=[pytest.mark.slow] if quick else [pytest.mark.full]))
    return found


@pytest.mark.parametrize(("name", "where"), cases())
def test_f6_saved_and_resumed(
    place: Place, pretrained: Reference, tmp_path: Path, name: str, where: str
) -> None:
    hook, step = PLACES[where]
    run = tmp_path / "run"
    words = place.pretrain(run, *RARELY)
    ended = forge.lmc(*words, home=tmp_path, setup=functools.partial(hook, name))
    assert ended.status == SIGNALS[name] and ended.clean, ended.err
    assert "goes on" in ended.err
    found, _ = checkpoints.latest(run / "checkpoints")
    assert (found.name if found else None) == (f"step-{step:08d}" if step else None)
    assert forge.events(run, "paused")
    assert not (run / "failure.json").exists()
    again = forge.lmc(*words, home=tmp_path)
    assert again.status == 0 and again.clean, again.err
    assert forge.outcome(run) == pretrained.outcome


@pytest.mark.slow
@pytest.mark.parametrize("where", ["train", "answers"])
def test_f6_finetune(
    place: Place,
    pretrained: Reference,
    transferred: Callable[[str], Reference],
    tmp_path: Path,
    where: str,
) -> None:
    """In a transfer run; `answers` is after the last step, when only the test set is left."""
    run = tmp_path / "run"
    words = place.transfer("finetune", pretrained.run, run, *RARELY)
    hook = functools.partial(in_answers, "SIGTERM") if where == "answers" else in_task_training
    ended = forge.lmc(*words, home=tmp_path, setup=hook)
    assert ended.status == 75 and ended.clean, ended.err
    found, _ = checkpoints.latest(run / "checkpoints")
    expected = transferred("finetune").outcome["result"]["steps"] if where == "answers" else MIDDLE
    assert found is not None and found.name == f"step-{expected:08d}"
    assert forge.lmc(*words, home=tmp_path).status == 0
    assert forge.outcome(run) == transferred("finetune").outcome


def in_task_training() -> None:
    from lmcompare.transfer.learner import TaskLearner

    before_call(TaskLearner, "losses", MIDDLE, functools.partial(send, "SIGTERM"))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["train", "cutting"])
def test_f6_second_interrupt_ends_at_once(
    place: Place, pretrained: Reference, tmp_path: Path, where: str
) -> None:
    hook, _ = PLACES[where]
    run = tmp_path / "run"
    words = place.pretrain(run, *RARELY)
    ended = forge.lmc(*words, home=tmp_path, setup=functools.partial(hook, "SIGINT", "SIGINT"))
    assert ended.status == 130 and ended.clean
    assert "twice" in ended.err
    assert not checkpoints.steps(run / "checkpoints")  # there was no time to save
    assert forge.lmc(*words, home=tmp_path).status == 0
    assert forge.outcome(run) == pretrained.outcome


def test_f6_a_signal_and_then_an_interrupt_still_saves(
    place: Place, pretrained: Reference, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = place.pretrain(run, *RARELY)
    hook = functools.partial(in_training, MIDDLE, "SIGTERM", "SIGINT")
    assert forge.lmc(*words, home=tmp_path, setup=hook).status == 75
    assert checkpoints.steps(run / "checkpoints")[0].name == f"step-{MIDDLE:08d}"
