"""F4, F10 to F13, F16: at every moment of a save there is a whole checkpoint, and a damaged one is never used."""

import functools
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forge
import pytest
from world import STEPS, Place, Reference

from lmcompare import checkpoints, files

FILES = ("model.safetensors", "optimizer.safetensors", "state.json", "manifest.json")
KILLED_AT = 12  # the step whose save is cut short


def die_at(number: int, part: str, path: str) -> None:
    """Die by SIGKILL at the n-th stage of what is done with a path."""
    count = 0

    def hook(name: str, where: Path) -> None:
        nonlocal count
        if part in str(where) or (part == "*" and str(where).startswith(path)):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    files.STAGES.append(hook)


def stop_after(step: int) -> None:
    """Ask for the end as the scheduler of a cluster does, when this many steps are done."""
    from lmcompare.training import Loop

    whole = Loop._apply

    def apply(self: Any, *arguments: Any) -> None:
        whole(self, *arguments)
        if self.state.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    Loop._apply = apply  # type: ignore[method-assign]


def small(seed: int) -> tuple[Any, Any]:
    import torch

    torch.manual_seed(seed)
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return module, optimizer


def saves(folder: Path, steps: int, keep: int, stage: int, last: int) -> None:
    """Checkpoints 1 to `steps`; the process dies at a stage of the last one's save or of its rotation."""
    module, optimizer = small(0)
    for step in range(1, steps + 1):
        if step == last:
            die_at(stage, "*", str(folder))
        state = checkpoints.State(step=step)
        checkpoints.save(folder, state, checkpoints.trainable(module), optimizer, keep)


def in_child(function: Callable[..., None], *arguments: Any) -> int:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(forge.PRELOAD)
    process = context.Process(target=function, args=arguments)
    process.start()
    process.join(forge.PATIENCE)
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.slow
def test_f4_every_stage_of_a_save(tmp_path: Path) -> None:
    """Old or new, never neither: at each write, flush, rename and removal."""
    stage, ended = 0, -9
    while ended == -9:
        stage += 1
        folder = tmp_path / f"at-{stage}"
        folder.mkdir()
        ended = in_child(saves, folder, 4, 2, stage, 4)
        found, passed = checkpoints.latest(folder)
        assert found is not None and found.name in ("step-00000003", "step-00000004")
        assert not passed  # nothing half-written has a final name
        module, optimizer = small(1)
        assert checkpoints.restore(found, module, optimizer).step in (3, 4)
    assert ended == 0
    assert stage - 1 >= 14, "fewer stages than a save with a rotation has"


@pytest.mark.parametrize("number", range(10))
def test_f13_rotation_killed(tmp_path: Path, number: int) -> None:
    """Three are kept; the process dies in the midst of letting an older one go."""
    last = 4 + number // 2
    stages = record(tmp_path / "whole", last)
    at = [n for n, (name, _) in enumerate(stages, 1) if name == ("rename away", "rmtree")[number % 2]]
    folder = tmp_path / "cut"
    folder.mkdir()
    assert in_child(saves, folder, last, 3, at[-1], last) == -9
    whole = [path for path in checkpoints.steps(folder) if files.damage(path) is None]
    assert len(whole) >= 3 and whole[0].name == f"step-{last:08d}"
    assert len(whole) == len(checkpoints.steps(folder))
    files.sweep(folder)
    assert not forge.partials(folder)


def record(folder: Path, last: int) -> list[tuple[str, str]]:
    """The stages of the last of so many saves, as they come."""
    folder.mkdir()
    seen: list[tuple[str, str]] = []
    module, optimizer = small(0)
    for step in range(1, last + 1):
        if step == last:
            files.STAGES.append(lambda name, path: seen.append((name, path.name)))
        state = checkpoints.State(step=step)
        checkpoints.save(folder, state, checkpoints.trainable(module), optimizer, 3)
    files.STAGES.clear()
    return seen


@pytest.mark.full
@pytest.mark.parametrize("number", range(1, 19))
def test_f4_resumed_from_every_stage(
    place: Place, pretrained: Reference, tmp_path: Path, number: int
) -> None:
    """The same in a whole run: whatever stage of a save was cut, the run ends with the same bits."""
    part = f"step-{KILLED_AT:08d}" if number <= 14 else f"best-{14:08d}"
    at = number if number <= 14 else 2 * (number - 14)
    run = tmp_path / "run"
    cut = forge.lmc(*place.pretrain(run), home=tmp_path, setup=functools.partial(die_at, at, part, ""))
    assert cut.status == -9, cut.err
    found, passed = checkpoints.latest(run / "checkpoints")
    assert found is not None and not passed
    ended = forge.lmc(*place.pretrain(run), home=tmp_path)
    assert ended.status == 0 and ended.clean, ended.err
    assert forge.outcome(run) == pretrained.outcome
    forge.no_gap(run, STEPS)


@pytest.fixture(scope="session")
def paused(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped at step 12, with two checkpoints."""
    home = tmp_path_factory.mktemp("paused")
    run = home / "run"
    ended = forge.lmc(*place.pretrain(run), home=home, setup=functools.partial(stop_after, KILLED_AT))
    assert ended.status == 75, ended.err
    names = [path.name for path in checkpoints.steps(run / "checkpoints")]
    assert names == ["step-00000012", "step-00000011"]
    return run


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


DAMAGES = (truncate, empty, zero, flip, remove)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_f10_damage_is_seen(paused: Path, tmp_path: Path, damage: Callable[[Path], None], name: str) -> None:
    folder = tmp_path / "checkpoints"
    shutil.copytree(paused / "checkpoints", folder)
    damage(folder / "step-00000012" / name)
    found, passed = checkpoints.latest(folder)
    assert found == folder / "step-00000011"
    assert len(passed) == 1 and "step-00000012" in passed[0]
    assert name in passed[0] or (name == "manifest.json" and ".safetensors" in passed[0])


def damaged_pairs() -> list[Any]:
    pairs = [(damage, name) for damage in DAMAGES[:4] for name in FILES]
    quick = {(flip, "model.safetensors"), (truncate, "manifest.json")}
    marks = [pytest.mark.slow if pair in quick else pytest.mark.full for pair in pairs]
    return [pytest.param(*pair, marks=mark) for pair, mark in zip(pairs, marks, strict=True)]


@pytest.mark.parametrize(("damage", "name"), damaged_pairs())
def test_f10_previous_one_is_used(
    place: Place,
    pretrained: Reference,
    paused: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    name: str,
) -> None:
    run = tmp_path / "run"
    shutil.copytree(paused, run)
    damage(run / "checkpoints" / "step-00000012" / name)
    ended = forge.lmc(*place.pretrain(run), home=tmp_path)
    assert ended.status == 0 and ended.clean
    assert "step-00000012" in ended.err and "step 11" in ended.err
    assert any("step-00000012" in row["text"] for row in forge.events(run, "warning"))
    assert forge.outcome(run) == pretrained.outcome
    forge.no_gap(run, STEPS)


def test_f11_all_damaged(place: Place, paused: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(paused, run)
    for path in checkpoints.steps(run / "checkpoints"):
        flip(path / "model.safetensors")
    before = (run / "log.jsonl").read_bytes()
    ended = forge.lmc(*place.pretrain(run), home=tmp_path)
    assert ended.status == 4 and ended.clean
    assert "step-00000012" in ended.err and "step-00000011" in ended.err and "--force" in ended.err
    assert (run / "log.jsonl").read_bytes() == before  # nothing was begun from scratch
    assert not (run / "result.json").exists()


def die_before_answers() -> None:
    from lmcompare.training import Loop

    Loop.load_best = lambda self: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]


def test_f11_best_weights_lost(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    """The best step's weights give the answers: without them there are none."""
    run = tmp_path / "run"
    words = place.transfer("finetune", pretrained.run, run)
    assert forge.lmc(*words, home=tmp_path, setup=die_before_answers).status == -9
    for path in run.glob("checkpoints/best-*/model.safetensors"):
        flip(path)
    ended = forge.lmc(*words, home=tmp_path)
    assert ended.status == 4 and ended.clean, ended.err
    assert "best-" in ended.err and "--force" in ended.err
    assert not (run / "result.json").exists()
    assert forge.lmc(*words, "--force", home=tmp_path).status == 0


def test_f12_newer_format(place: Place, paused: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(paused, run)
    manifest = run / "checkpoints" / "step-00000012" / "manifest.json"
    table = json.loads(manifest.read_text()) | {"checkpoint": 99, "lmcompare": "99.1"}
    manifest.write_text(json.dumps(table))
    ended = forge.lmc(*place.pretrain(run), home=tmp_path)
    assert ended.status == 4 and ended.clean
    assert "made by lmcompare 99.1" in ended.err


def test_f16_temporary_folder_on_another_device(
    place: Place, paused: Path, pretrained: Reference, tmp_path: Path
) -> None:
    """What is renamed lies beside its target, so TMPDIR may be anywhere."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    folder = other / f"lmc-{os.getpid()}"
    folder.mkdir()
    run = tmp_path / "run"
    shutil.copytree(paused, run)
    try:
        ended = forge.lmc(*place.pretrain(run), home=tmp_path, env={"TMPDIR": str(folder)})
        assert not list(folder.iterdir())
    finally:
        shutil.rmtree(folder)
    assert ended.status == 0, ended.err
    assert forge.outcome(run) == pretrained.outcome
