"""F1, F3, F5: a run killed at any moment, any number of times, ends with the same bits."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forge
import pytest
from world import STEPS, Place, Reference

LEAST, MOST = 0.05, 0.95  # parts of an uninterrupted run's time between which the kill falls


def killed_then_done(arguments: list[Any], home: Path, delays: list[float]) -> int:
    """Start, kill after each delay, and let the last start run to its end; how often the kill came in time."""
    killed = 0
    for delay in delays:
        child = forge.start(*arguments, home=home)
        time.sleep(delay)
        killed += child.kill()
        status = child.wait().status
        assert status in (0, -9), child.said("err")
    ended = forge.lmc(*arguments, home=home)
    assert ended.status == 0 and ended.clean, ended.err
    return killed


def trial(
    arguments: Callable[[Path], list[Any]],
    reference: Reference,
    folder: Path,
    seed: str,
    kills: int,
) -> None:
    """Kills at random moments; where the run was too quick to be killed, sooner and once more."""
    chance = random.Random(seed)
    most = MOST
    for attempt in range(6):
        run = folder / f"run{attempt}"
        delays = [chance.uniform(LEAST, most) * reference.seconds / kills for _ in range(kills)]
        killed = killed_then_done(arguments(run), folder, delays)
        assert forge.outcome(run) == reference.outcome
        forge.no_gap(run, STEPS)
        assert not forge.partials(run)
        if killed == kills:
            return
        most *= 0.7
    pytest.fail("never killed in time")


def pretraining(place: Place, reference: Reference, folder: Path, seed: str, kills: int) -> None:
    trial(place.pretrain, reference, folder, seed, kills)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_f1_pretrain_killed_once(
    place: Place, pretrained: Reference, tmp_path: Path, number: int
) -> None:
    pretraining(place, pretrained, tmp_path, f"f1 {number}", 1)


@pytest.mark.full
@pytest.mark.parametrize("number", range(5, 50))
def test_f1_pretrain_killed_once_more(
    place: Place, pretrained: Reference, tmp_path: Path, number: int
) -> None:
    pretraining(place, pretrained, tmp_path, f"f1 {number}", 1)
