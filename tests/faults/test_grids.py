"""F18, F46 to F48: a whole grid killed at any moment, runs that fail in it, and several calls at once over one runs
folder. Every trial is the real command in processes of its own."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import forge
import pytest
from world import Place, Reference

from lmcompare.config import Baseline, resolve
from lmcompare.errors import UserError
from lmcompare.experiments import compare
from lmcompare.experiments.baseline import baseline
from lmcompare.progress import Progress

KILLS = 10
PATIENCE = 600.0
MODEL = """
[models.bert]
backend = "bert"
pretrain = "bert-micro"
config = "bert-micro"
[models.bert.set]
backend = { layers = 1, width = 8, heads = 2 }
corpus = { documents = 60, workers = 1 }
tokenizer = { size = 600 }
training = { steps = 60, batch = 4, eval_every = 30, checkpoint_every = 5 }
"""
QUICK = "task = { train = 48 }, training = { epochs = 2, checkpoint_every = 2 }"
TUNED = f'[[arms]]\nname = "tuned"\nmode = "finetune"\nmodel = "bert"\nset = {{ {QUICK} }}\n'
FROZEN = f'[[arms]]\nname = "frozen"\nmode = "features"\nmodel = "bert"\nset = {{ {QUICK} }}\n'
FLOOR = '[[arms]]\nname = "floor"\nbaseline = "bow"\nset = { task = { train = 48 } }\n'
RANDOM = TUNED.replace('"tuned"', '"drawn"').replace("set = {", 'set = { weights = "random",')


def study(path: Path, *arms: str, title: str = "small", seeds: int = 2) -> Path:
    """A pretraining, and these arms on two tasks with so many seeds."""
    head = f'title = "{title}"\nseeds = {list(range(1, seeds + 1))}\n'
    head += 'tasks = ["micro.sentiment", "micro.sense"]\ncompare = [["tuned", "frozen"]]\n'
    path.write_text(head + MODEL + "".join(arms), encoding="utf-8")
    return path


class Call:
    """`lmc compare` in a group of processes of its own."""

    def __init__(self, home: Path, *words: Any) -> None:
        self.home = home
        self.said = home / f"said-{random.SystemRandom().getrandbits(32):08x}"
        # Relative: where a model lies is a part of what a run is known by.
        places = {"LMC_RUNS": "runs", "LMC_CACHE": "cache"}
        command = [sys.executable, "-P", "-m", "lmcompare", "compare", *map(str, words), "--jobs", "2"]
        with open(self.said, "wb") as out:
            self.process = subprocess.Popen(
                command, cwd=home, env=os.environ | places, stdout=out, stderr=out, start_new_session=True
            )

    def text(self) -> str:
        return self.said.read_text(encoding="utf-8", errors="replace")

    def begun(self) -> bool:
        """Whether it came so far as to make a run, before it ended."""
        deadline, before = time.monotonic() + PATIENCE, written(self.home)
        while written(self.home) == before and self.process.poll() is None:
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.01)
        return self.process.poll() is None

    def kill(self) -> bool:
        alive = self.process.poll() is None
        if alive:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        return alive

    def wait(self) -> int:
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.kill()


def written(home: Path) -> int:
    """How much has happened in all runs so far."""
    return sum(path.stat().st_size for path in (home / "runs").glob("*/*/events.jsonl"))


def done(home: Path, *words: Any, status: int = 0) -> str:
    call = Call(home, *words)
    assert call.wait() == status, call.text()
    return call.text()


def numbers(home: Path, name: str) -> dict[str, Any]:
    """What a comparison says, but for what hangs on the clock."""
    table = json.loads((home / "runs" / name / "comparison.json").read_text(encoding="utf-8"))
    return bare(table)


def bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: bare(one) for key, one in value.items() if key not in UNLIKE}
    return [bare(one) for one in value] if isinstance(value, list) else value


# Notes: of how often a run was interrupted. A run's name hangs on where its model lies: with this study, or with
# another that has made it.
UNLIKE = ("run", "seconds", "cost", "costs", "warnings", "notes")


def starts(home: Path) -> Counter[str]:
    """How often each run of all studies was begun, by its name, which ends with what decides its outcome."""
    found: Counter[str] = Counter()
    for events in (home / "runs").glob("*/*/events.jsonl"):
        found[events.parent.name] += len(forge.events(events.parent, "start"))
    return found


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small study's home, made by a call that nothing interrupted."""
    home = tmp_path_factory.mktemp("whole")
    done(home, study(home / "small.toml", FLOOR, TUNED, FROZEN))
    return home


@pytest.mark.full
@pytest.mark.parametrize("kills", [KILLS])
def test_a_grid_killed_at_any_moment_ends_with_the_same_numbers(
    whole: Path, tmp_path: Path, kills: int
) -> None:
    chance, killed, number = random.Random(f"grid {kills}"), 0, 0
    while True:
        home = tmp_path / f"home{number}"
        home.mkdir(exist_ok=True)
        file = study(home / "small.toml", FLOOR, TUNED, FROZEN)
        if killed >= kills:
            break
        call = Call(home, file)
        call.begun()
        time.sleep(chance.uniform(0.0, 1.5))
        if call.kill():
            killed += 1
            continue
        assert call.process.returncode == 0, call.text()
        assert numbers(home, "small") == numbers(whole, "small")
        number += 1  # too quick to be killed: once more from nothing
        assert number < 2 * kills
    done(home, file)
    assert numbers(home, "small") == numbers(whole, "small")
    # What has no log, a bag of words, has no weights either.
    for run in (whole / "runs" / "small").glob("*/log.jsonl"):
        assert forge.outcome(home / "runs" / "small" / run.parent.name) == forge.outcome(run.parent)
    assert not forge.partials(home / "runs")


@pytest.mark.full
def test_two_calls_of_one_study_share_the_work(whole: Path, tmp_path: Path) -> None:
    file = study(tmp_path / "small.toml", FLOOR, TUNED, FROZEN)
    calls = [Call(tmp_path, file) for _ in range(2)]
    assert [call.wait() for call in calls] == [0, 0], "\n".join(call.text() for call in calls)
    assert any("makes this study, too" in call.text() for call in calls)
    assert set(starts(tmp_path).values()) == {1} and starts(tmp_path) == starts(whole)
    assert numbers(tmp_path, "small") == numbers(whole, "small")
    ledger = json.loads((tmp_path / "runs" / "small" / "study.json").read_text())
    assert len(ledger["runs"]) == 13 and "before" not in ledger


@pytest.mark.slow
def test_two_studies_make_what_both_want_once(whole: Path, tmp_path: Path) -> None:
    first = study(tmp_path / "small.toml", FLOOR, TUNED, FROZEN)
    # The same arm by another name, and one that only this study has.
    other = study(
        tmp_path / "other.toml", TUNED, RANDOM, FROZEN.replace('"frozen"', '"features"'), title="other"
    )
    other.write_text(other.read_text().replace('["tuned", "frozen"]', '["tuned", "features"]'))
    calls = [Call(tmp_path, file) for file in (first, other)]
    assert [call.wait() for call in calls] == [0, 0], "\n".join(call.text() for call in calls)
    assert set(starts(tmp_path).values()) == {1}
    assert len(starts(tmp_path)) == 13 + 4
    assert numbers(tmp_path, "small") == numbers(whole, "small")
    theirs = numbers(tmp_path, "other")
    assert [cell["n"] for cell in theirs["cells"]] == [2] * 6
    tuned = [cell["mean"] for cell in theirs["cells"] if cell["arm"] == "tuned"]
    assert tuned == [cell["mean"] for cell in numbers(whole, "small")["cells"] if cell["arm"] == "tuned"]
    before = starts(tmp_path)
    for file in (first, other):
        done(tmp_path, file)
    assert starts(tmp_path) == before


@pytest.mark.full
def test_another_call_with_other_settings_is_told_who_is_at_work(tmp_path: Path) -> None:
    file = study(tmp_path / "small.toml", TUNED, FROZEN)
    first = Call(tmp_path, file)
    assert first.begun()
    said = done(tmp_path, file, "--set", "seeds=[1]", status=2)
    assert f"pid {first.process.pid} on host" in said and "makes this study with other settings" in said
    first.kill()
    assert "with other settings" not in done(tmp_path, file, "--set", "seeds=[1]")


def twelve(path: Path) -> Path:
    """Twelve arms with one run each, one of which cannot learn."""
    arms = [FLOOR.replace('"floor"', '"arm 0"')]
    for n in range(1, 12):
        rate = "1e30" if n == 7 else f"{n}e-4"
        text = TUNED.replace('"tuned"', f'"arm {n}"').replace(
            "set = {", f"set = {{ optimizer = {{ rate = {rate} }},"
        )
        arms.append(text.replace("training = {", "training = { max_bad_steps = 1, clip = 1e30,"))
    text = study(path, *arms, seeds=1).read_text()
    text = text.replace(', "micro.sense"', "").replace('compare = [["tuned", "frozen"]]\n', "")
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.full
def test_f46_one_of_twelve_fails(tmp_path: Path) -> None:
    file = twelve(tmp_path / "twelve.toml")
    said = done(tmp_path, file, status=1)
    assert "1 of the runs failed" in said and "was not finite" in said
    table = numbers(tmp_path, "twelve")
    cells = {cell["arm"]: cell for cell in table["cells"]}
    assert [cells[f"arm {n}"]["n"] for n in range(12)] == [1] * 7 + [0] + [1] * 4
    assert cells["arm 7"]["failed"] == 1 and cells["arm 7"]["mean"] is None
    (failed,) = table["failed"]
    assert failed["arm"] == "arm 7" and "not finite" in failed["reason"]
    before = starts(tmp_path)
    assert set(before.values()) == {1}
    done(tmp_path, file, status=1)
    again = starts(tmp_path) - before
    assert list(again.values()) == [1]  # that one alone


@pytest.mark.slow
def test_f46_one_is_killed(whole: Path, tmp_path: Path) -> None:
    file = study(tmp_path / "small.toml", FLOOR, TUNED, FROZEN)
    call = Call(tmp_path, file)
    victim = next_start(tmp_path / "runs" / "small", "finetune-*")
    os.kill(forge.events(victim, "start")[-1]["pid"], signal.SIGKILL)
    assert call.wait() == 1, call.text()
    assert "failed (the process died with exit status -9)" in call.text()
    table = numbers(tmp_path, "small")
    assert len(table["failed"]) == 1 and sum(cell["n"] for cell in table["cells"]) == 11
    before = starts(tmp_path)
    done(tmp_path, file)
    assert list(starts(tmp_path) - before) == [victim.name]
    assert numbers(tmp_path, "small") == numbers(whole, "small")


def next_start(folder: Path, pattern: str) -> Path:
    """A run that has begun and not ended."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for events in folder.glob(f"{pattern}/events.jsonl"):
            ended = (events.parent / "result.json").exists()
            if not ended and events.read_text().count("\n") and forge.events(events.parent, "start"):
                return events.parent
        time.sleep(0.005)
    raise AssertionError("no run has begun")


@pytest.mark.slow
def test_f18_sixteen_runs_at_once_of_which_eight_are_killed(
    place: Place, pretrained: Reference, tmp_path: Path
) -> None:
    def words(home: Path, seed: int) -> list[Any]:
        return [*place.transfer("finetune", pretrained.run, home), "--seed", seed]

    runs, quiet = tmp_path / "runs", tmp_path / "quiet"
    children = [forge.start(*words(runs / f"s{seed}", seed), home=tmp_path) for seed in range(16)]
    chance, began = random.Random("f18"), time.monotonic()
    for child in children[:8]:
        time.sleep(chance.uniform(0.1, 0.4))
        child.kill()
    for child in children:
        assert child.wait().status in (0, -9), child.said("err")
    assert time.monotonic() - began < forge.PATIENCE
    ended = [run for run in runs.iterdir() if (run / "result.json").is_file()]
    assert len(ended) >= 8
    for run in ended:
        forge.no_gap(run, 24)
    for seed in range(8):
        assert forge.lmc(*words(runs / f"s{seed}", seed), home=tmp_path).status == 0
    for seed in (0, 3, 7, 12):
        assert forge.lmc(*words(quiet / f"s{seed}", seed), home=tmp_path).status == 0
        assert forge.outcome(runs / f"s{seed}") == forge.outcome(quiet / f"s{seed}")
    comparison = compare.of_runs([str(runs)])
    assert [cell.n for cell in comparison.cells] == [16]
    assert all("chosen on dev" in note for note in comparison.notes)  # no run is left out
    assert not forge.partials(runs)


def floors(root: Path, seeds: int) -> list[Path]:
    """Finished runs that take no time."""
    found = []
    for seed in range(seeds):
        table = {"baseline": {"name": "bow"}, "task": {"name": "micro.sentiment", "train": 16}, "seed": seed}
        out = root / f"floor-s{seed}"
        baseline(resolve(Baseline, table), progress=Progress(), out=out)
        found.append(out)
    return found


@pytest.mark.parametrize("name", ["result.json", "run.json", "log.jsonl"])
def test_f47_a_damaged_row_is_named_and_skipped(tmp_path: Path, name: str) -> None:
    runs = floors(tmp_path, 3)
    (runs[1] / name).write_text('{"format": 1, "metr\n', encoding="utf-8")
    comparison = compare.of_runs([str(tmp_path)])
    assert [cell.n for cell in comparison.cells] == [2]
    (note,) = [note for note in comparison.notes if "left out" in note]
    assert str(runs[1]) in note
    with pytest.raises(UserError, match="floor-s1"):
        compare.of_runs([str(runs[1])])


def test_f48_unequal_seeds_are_counted(tmp_path: Path) -> None:
    floors(tmp_path, 3)
    other = resolve(
        Baseline, {"baseline": {"name": "bow"}, "task": {"name": "micro.sense", "train": 16}, "seed": 0}
    )
    baseline(other, progress=Progress(), out=tmp_path / "sense")
    comparison = compare.of_runs([str(tmp_path)])
    assert sorted(cell.n for cell in comparison.cells) == [1, 3]
    (mean,) = comparison.means
    assert mean.n == 1 and [value.seed for value in mean.per_seed] == [0] and mean.reason
