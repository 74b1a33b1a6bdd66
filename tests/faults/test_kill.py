"""F1, F3, F5: a run killed at any moment, any number of times, ends with the same bits."""

import os
import random
import subprocess
import sys
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


KILLS = {"f1": 50, "f3": 25, "f5": 10}
QUICK = {"f1": 5, "f3": 2, "f5": 1}


def numbers(row: str) -> list[Any]:
    """The first few in every `make test`, the rest in `make faults`."""
    marks = [pytest.mark.slow if n < QUICK[row] else pytest.mark.full for n in range(KILLS[row])]
    return [pytest.param(n, marks=mark) for n, mark in enumerate(marks)]


@pytest.mark.parametrize("number", numbers("f1"))
def test_f1_pretrain(place: Place, phased: Reference, tmp_path: Path, number: int) -> None:
    """The whole data recipe, and two phases."""
    trial(place.in_phases, phased, tmp_path, f"f1 {number}", 1)


@pytest.mark.parametrize("number", numbers("f3"))
def test_f3_finetune(
    place: Place,
    pretrained: Reference,
    transferred: Callable[[str], Reference],
    tmp_path: Path,
    number: int,
) -> None:
    """Evaluations and the keeping of the best weights take a large part of these runs."""

    def arguments(run: Path) -> list[Any]:
        return place.transfer("finetune", pretrained.run, run)

    trial(arguments, transferred("finetune"), tmp_path, f"f3 {number}", 1)


@pytest.mark.full
@pytest.mark.parametrize("number", range(5))
def test_f3_features(
    place: Place,
    pretrained: Reference,
    transferred: Callable[[str], Reference],
    tmp_path: Path,
    number: int,
) -> None:
    def arguments(run: Path) -> list[Any]:
        return place.transfer("features", pretrained.run, run)

    trial(arguments, transferred("features"), tmp_path, f"f3 features {number}", 1)


@pytest.mark.parametrize("number", numbers("f5"))
def test_f5_killed_twice_then_three_times(
    place: Place, pretrained: Reference, tmp_path: Path, number: int
) -> None:
    trial(place.pretrain, pretrained, tmp_path, f"f5 {number}", 2 + number % 2)


@pytest.mark.full
@pytest.mark.parametrize("number", range(2))
def test_f1_own_interpreter(place: Place, pretrained: Reference, tmp_path: Path, number: int) -> None:
    """The real command, killed as soon as it has saved a step or two."""
    run = tmp_path / "run"
    words = [sys.executable, "-m", "lmcompare", *map(str, place.pretrain(run))]
    places = {"LMC_RUNS": str(tmp_path / "runs"), "LMC_CACHE": str(tmp_path / "cache")}
    child = subprocess.Popen(words, env=os.environ | places, stderr=subprocess.DEVNULL)
    while child.poll() is None and len(list(run.glob("checkpoints/step-*"))) <= number:
        time.sleep(0.005)
    child.kill()
    assert child.wait() == -9
    subprocess.run(words, env=os.environ | places, check=True, capture_output=True, timeout=300)
    assert forge.outcome(run) == pretrained.outcome
    forge.no_gap(run, STEPS)
