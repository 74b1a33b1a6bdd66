"""F3 over several tasks: a run killed at any moment, also while it writes its tasks' own folders, ends with the same
bits in all of them."""

import random
from pathlib import Path
from typing import Any

import forge
import pytest
from test_kill import trial
from world import STEPS, Place, Reference, finished, sentence

TASKS = ("sst2", "cola")
KILLS, QUICK = 15, 3


def together(place: Place, model: Path, out: Path) -> list[Any]:
    words = place.transfer("finetune", model, out)
    at = words.index("sst2")
    return [*words[: at + 1], "--task", "cola", *words[at + 1 :]]


def write_second_task(folder: Path) -> None:
    """A sentence is good language where its words stand in order."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(9)
    for split, count in (("train", 40), ("dev", 20)):
        lines = []
        for n in range(count):
            words = sentence(chance).split()
            if n % 2:
                words.reverse()
            lines.append(f"src\t{(n + 1) % 2}\t\t{' '.join(words)}")
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def uninterrupted(place: Place, pretrained: Reference) -> Reference:
    write_second_task(place.folder / "glue" / "CoLA")
    run = place.folder / "reference-together"
    return finished(together(place, pretrained.run, run), run, place.folder)


def parts(run: Path) -> dict[str, Any]:
    return {task: forge.outcome(run / "tasks" / task) for task in TASKS}


MARKS = [pytest.mark.slow if n < QUICK else pytest.mark.full for n in range(KILLS)]


@pytest.mark.parametrize("number", [pytest.param(n, marks=mark) for n, mark in enumerate(MARKS)])
def test_f3_several_tasks(
    place: Place, pretrained: Reference, uninterrupted: Reference, tmp_path: Path, number: int
) -> None:
    def arguments(run: Path) -> list[Any]:
        return together(place, pretrained.run, run)

    trial(arguments, uninterrupted, tmp_path, f"f3 together {number}", 1 + number % 2)
    for run in tmp_path.glob("run[0-9]"):
        assert parts(run) == parts(uninterrupted.run)


@pytest.mark.slow
def test_f3_the_tasks_are_no_copies_of_each_other(uninterrupted: Reference) -> None:
    told = parts(uninterrupted.run)
    assert told["sst2"]["log.jsonl"] != told["cola"]["log.jsonl"]
    steps = [
        {row["step"] for row in forge.rows(uninterrupted.run / "tasks" / task) if "losses" in row}
        for task in TASKS
    ]
    assert not steps[0] & steps[1] and sorted(steps[0] | steps[1]) == list(range(1, STEPS + 1))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["part", "result"])
def test_f3_killed_between_the_folders(
    place: Place, pretrained: Reference, uninterrupted: Reference, tmp_path: Path, stage: str
) -> None:
    """The second task's folder is begun, or all are written and only the whole run's result is not."""
    run, setup = tmp_path / "run", {"part": in_second_part, "result": before_the_result}[stage]
    words = together(place, pretrained.run, run)
    ended = forge.start(*words, home=tmp_path, setup=setup).wait()
    assert ended.status == -9 and not (run / "result.json").exists()
    assert (run / "tasks" / "sst2" / "result.json").exists()
    assert (run / "tasks" / "cola" / "result.json").exists() == (stage == "result")
    assert forge.lmc(*words, home=tmp_path).status == 0
    assert forge.outcome(run) == uninterrupted.outcome and parts(run) == parts(uninterrupted.run)
    assert not forge.partials(run)


def in_second_part() -> None:
    kill_at(lambda path: path.parent.name == "cola" and path.name.startswith("predictions-"))


def before_the_result() -> None:
    kill_at(lambda path: path.name == "result.json" and path.parent.parent.name != "tasks")


def kill_at(there: Any) -> None:
    import os
    import signal

    from lmcompare import files

    def hook(stage: str, path: Path) -> None:
        if stage == "write" and there(path):
            os.kill(os.getpid(), signal.SIGKILL)

    files.STAGES.append(hook)
