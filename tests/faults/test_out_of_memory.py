"""F22: where a GPU has no room for a pass, passes get smaller and the batch stays as it is; a single example too large
ends the run with status 5."""

import functools
import os
import signal
from pathlib import Path
from typing import Any

import forge
import pytest
import torch
from world import STEPS, Place, Reference

NO_DROPOUT = ("--set", "backend.dropout=0.0")


def narrow(room: int, after: int = 0) -> None:
    """No room for more than so many examples at a time, once so many passes have been made."""
    from lmcompare.objectives.mlm_nsp import MlmNsp

    made = 0

    def fits(rows: int) -> None:
        nonlocal made
        made += 1
        if rows > room and made > after:
            raise torch.OutOfMemoryError("no room on this pretended GPU")

    losses, forward = MlmNsp.losses, MlmNsp.forward

    def smaller(self: Any, batch: Any) -> Any:
        fits(len(batch.random_B))
        return losses(self, batch)

    def seen(self: Any, batch: Any) -> Any:
        if not self.training:
            fits(len(batch.random_B))
        return forward(self, batch)

    MlmNsp.losses, MlmNsp.forward = smaller, seen  # type: ignore[method-assign]


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in forge.rows(run) if "loss" in row]


@pytest.mark.slow
@pytest.mark.parametrize(("room", "after"), [(4, 0), (3, 5), (1, 6)])
def test_f22_passes_get_smaller_and_the_batch_stays(
    place: Place, tmp_path: Path, room: int, after: int
) -> None:
    """The batch of 8 goes on in passes of 4, 2 or 1: the losses are those of a run with room for all."""
    whole = forge.lmc(*place.pretrain(tmp_path / "whole", *NO_DROPOUT), home=tmp_path)
    assert whole.status == 0, whole.err
    run = tmp_path / "narrow"
    setup = functools.partial(narrow, room, after)
    ended = forge.lmc(*place.pretrain(run, *NO_DROPOUT), home=tmp_path, setup=setup)
    assert ended.status == 0 and ended.clean, ended.err
    assert len(losses(run)) == STEPS
    assert losses(run) == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)
    told = [(event["micro"], event["step"]) for event in forge.events(run, "out of memory")]
    sizes = [4, 2, 1][: {4: 1, 3: 2, 1: 3}[room]]
    assert [size for size, _ in told] == sizes and {step for _, step in told} == {after}
    assert "the batch is the same" in (run / "result.json").read_text()


@pytest.mark.slow
def test_f22_what_was_learned_of_the_memory_survives_a_kill(place: Place, tmp_path: Path) -> None:
    """The checkpoint knows the smaller pass, so the next attempt does not run into the wall again."""
    run = tmp_path / "run"
    setup = functools.partial(narrow, 2)
    ended = forge.lmc(
        *place.pretrain(run, *NO_DROPOUT), home=tmp_path, setup=functools.partial(stop_at, setup)
    )
    assert ended.status == 75, ended.err
    again = forge.lmc(*place.pretrain(run, *NO_DROPOUT), home=tmp_path, setup=setup)
    assert again.status == 0, again.err
    assert len(forge.events(run, "out of memory")) == 2  # to 4 and to 2, both in the first attempt


def stop_at(setup: Any) -> None:
    """As a preempting scheduler does it, in the middle of the run."""
    from lmcompare.objectives.mlm_nsp import MlmNsp

    setup()
    inner, count = MlmNsp.losses, 0

    def losses(self: Any, batch: Any) -> Any:
        nonlocal count
        count += 1
        if count == 20:
            os.kill(os.getpid(), signal.SIGTERM)
        return inner(self, batch)

    MlmNsp.losses = losses  # type: ignore[method-assign]


@pytest.mark.slow
def test_f22_a_single_example_too_large_ends_the_run(place: Place, tmp_path: Path) -> None:
    run = tmp_path / "run"
    setup = functools.partial(narrow, 0)
    ended = forge.lmc(*place.pretrain(run, *NO_DROPOUT), home=tmp_path, setup=setup)
    assert ended.status == 5 and ended.clean, ended.err
    assert "memory" in ended.err
    assert [event["micro"] for event in forge.events(run, "out of memory")] == [4, 2, 1]


@pytest.mark.slow
def test_f22_evaluation_reads_fewer_at_a_time(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    """Answers do not depend on how many examples are read at a time; only the evaluation gets smaller."""
    words = place.transfer("finetune", pretrained.run, tmp_path / "whole")
    assert forge.lmc(*words, home=tmp_path).status == 0
    run = tmp_path / "narrow"
    words = place.transfer("finetune", pretrained.run, run)
    ended = forge.lmc(*words, home=tmp_path, setup=functools.partial(narrow_answers, 9))
    assert ended.status == 0 and ended.clean, ended.err
    assert forge.outcome(run) == forge.outcome(tmp_path / "whole")


def narrow_answers(room: int) -> None:
    from lmcompare.transfer.learner import TaskLearner

    whole = TaskLearner.answers

    def answers(self: Any, dataset: Any, chosen: Any, device: Any) -> Any:
        if len(chosen) > room:
            raise torch.OutOfMemoryError("no room on this pretended GPU")
        return whole(self, dataset, chosen, device)

    TaskLearner.answers = answers  # type: ignore[method-assign]
