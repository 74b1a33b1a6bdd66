"""F20, F21, F24: a step that is not finite moves no weight and is never averaged away; seeds decide everything."""

import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forge
import pytest
from safetensors.torch import load_file
from world import STEPS, Place, Reference

from lmcompare import checkpoints


def spoil(steps: list[int], how: str) -> None:
    """Make the loss of some steps not finite, or only its gradient, or far too large."""
    from lmcompare.objectives.mlm_nsp import MlmNsp

    whole, count = MlmNsp.losses, 0

    def losses(self: Any, batch: Any) -> dict[str, Any]:
        nonlocal count
        count += 1
        found = whole(self, batch)
        if count in steps and how == "gradient":
            found["mlm"].register_hook(lambda gradient: gradient * math.nan)
        elif count in steps:
            found["mlm"] = found["mlm"] * {"nan": math.nan, "inf": math.inf, "spike": 60.0}[how]
        return found

    MlmNsp.losses = losses  # type: ignore[method-assign]


def weights(folder: Path, step: int) -> str:
    return forge.sha256(folder / "checkpoints" / f"step-{step:08d}" / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["nan", pytest.param("inf", marks=pytest.mark.full), "gradient"])
def test_f20_ends_after_three_in_a_row(place: Place, tmp_path: Path, how: str) -> None:
    run = tmp_path / "run"
    words = place.pretrain(run, "--set", "training.keep=6")
    spoiled = functools.partial(spoil, [9, 10, 11, 12], how)
    ended = forge.lmc(*words, home=tmp_path, setup=spoiled)
    assert ended.status == 6 and ended.clean, ended.err
    assert "step 11" in ended.err and "3 steps in a row" in ended.err
    assert weights(run, 8) == weights(run, 9) == weights(run, 10) != weights(run, 7)
    newest, _ = checkpoints.latest(run / "checkpoints")
    assert newest is not None
    tensors = load_file(newest / "model.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    log = forge.rows(run)
    what = "gradient" if how == "gradient" else "loss"
    assert [(row["step"], row["nonfinite"]) for row in log if "nonfinite" in row] == [
        (9, what), (10, what), (11, what)
    ]  # fmt: skip
    assert not [row for row in log if row["step"] in (9, 10, 11) and "loss" in row]
    failure = json.loads((run / "failure.json").read_text())
    assert failure["status"] == 6 and not (run / "result.json").exists()


@pytest.mark.slow
def test_f20_a_single_bad_step_is_left_out(place: Place, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ended = forge.lmc(*place.pretrain(run), home=tmp_path, setup=functools.partial(spoil, [9, 13], "nan"))
    assert ended.status == 0 and ended.clean, ended.err
    log = forge.rows(run)
    assert [row["step"] for row in log if "nonfinite" in row] == [9, 13]
    assert [row["step"] for row in log if "split" not in row] == list(range(1, STEPS + 1))


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, pytest.param(7, marks=pytest.mark.full)])
def test_f20_a_rate_far_too_high(place: Place, tmp_path: Path, every: int) -> None:
    """No injection: the weights are thrown so far that the network itself is not finite any more."""
    run = tmp_path / "run"
    wild = ["--set", "optimizer.rate=1e38", "--set", f"training.eval_every={every}"]
    ended = forge.lmc(*place.pretrain(run, *wild), home=tmp_path)
    assert ended.status == 6 and ended.clean, ended.err
    assert "optimizer.rate" in ended.err
    assert not (run / "result.json").exists()


@pytest.mark.slow
def test_f21_spike_is_told(place: Place, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ended = forge.lmc(*place.pretrain(run), home=tmp_path, setup=functools.partial(spoil, [15], "spike"))
    assert ended.status == 0 and ended.clean
    found = [row["text"] for row in forge.events(run, "warning")]
    assert len(found) == 1 and "step 15" in found[0]
    assert found[0] in json.loads((run / "result.json").read_text())["warnings"]


def test_f21_no_spike_no_warning(pretrained: Reference) -> None:
    assert not forge.events(pretrained.run, "warning")


@pytest.mark.slow
@pytest.mark.parametrize(
    "mode",
    ["pretrain", *(pytest.param(m, marks=pytest.mark.full) for m in ("finetune", "features"))],
)
def test_f24_seed_decides(
    place: Place,
    pretrained: Reference,
    transferred: Callable[[str], Reference],
    tmp_path: Path,
    mode: str,
) -> None:
    reference = pretrained if mode == "pretrain" else transferred(mode)
    found = {}
    for name, more in (("again", []), ("other", ["--seed", 2])):
        run = tmp_path / name
        if mode == "pretrain":
            words = place.pretrain(run, *more)
        else:
            words = place.transfer(mode, pretrained.run, run, *more)
        ended = forge.lmc(*words, home=tmp_path)
        assert ended.status == 0, ended.err
        found[name] = forge.outcome(run)
    assert found["again"] == reference.outcome
    for key in (k for k in reference.outcome if k.endswith((".safetensors", "log.jsonl"))):
        assert found["other"][key] != reference.outcome[key]
