"""Checkpoints that survive: written aside and renamed, checked by SHA-256 when read, no pickle anywhere."""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcompare import __version__, files
from lmcompare.errors import ModelError

if TYPE_CHECKING:
    import torch

FORMAT = 1
CARRIED = "carried:"  # before the name of a tensor that goes on from step to step, but is no weight


@dataclass
class State:
    """All that decides how a run goes on, besides the weights: nothing of it is in a random generator."""

    step: int = 0
    bad_steps: int = 0  # in a row, not finite
    best: float | None = None
    best_step: int = 0
    worse: int = 0  # evaluations since the best one
    evaluated: int = 0  # the last step that was evaluated
    average: float | None = None  # of the loss, over the last twenty steps or so
    tokens: int = 0
    stopped: str = ""  # why the run ended, once it has
    phase: int = 0  # which part of the plan it is in, and what it had done when that began
    began: int = 0
    began_tokens: int = 0
    clock: int = 0  # milliseconds of this phase, where its budget is in minutes
    micro: int | None = None  # examples a forward pass, once memory has not sufficed for more

    def next_phase(self) -> "State":
        """At the beginning of the next part of the plan: nothing is stopped, and no figure is the best one yet."""
        return State(
            step=self.step,
            evaluated=self.evaluated,
            tokens=self.tokens,
            phase=self.phase + 1,
            began=self.step,
            began_tokens=self.tokens,
        )


def save(
    folder: Path,
    state: State,
    weights: "dict[str, torch.Tensor]",
    optimizer: "torch.optim.Optimizer",
    keep: int,
    carried: "Mapping[str, torch.Tensor] | None" = None,
) -> Path:
    """Write checkpoints/step-N, then let the oldest beyond `keep` go."""
    final = folder / f"step-{state.step:08d}"
    facts = {"lmcompare": __version__, "checkpoint": FORMAT}
    tensors, groups = pack_optimizer(optimizer)
    if carried:
        weights = weights | {CARRIED + name: tensor for name, tensor in carried.items()}
    needed = sum(t.nbytes for t in [*weights.values(), *tensors.values()])
    with files.new_folder(final, facts, needed=needed) as partial:
        files.save_tensors(weights, partial / "model.safetensors")
        files.save_tensors(tensors, partial / "optimizer.safetensors")
        files.write_json(partial / "state.json", {"state": asdict(state), "groups": groups})
    for old in steps(folder)[keep:]:
        files.discard(old)
    return final


def steps(folder: Path) -> list[Path]:
    """Newest first."""
    found = [p for p in folder.glob("step-*") if re.fullmatch(r"step-\d{8}", p.name)]
    return sorted(found, reverse=True)


def best(folder: Path, step: int) -> Path:
    """Where the weights of the best step are kept; under its number, for a checkpoint may ask for an older one."""
    return folder / f"best-{step:08d}"


def let_go(folder: Path, best_step: int) -> None:
    """Remove the best weights that no checkpoint speaks of any more."""
    wanted = {best(folder, best_step)}
    for path in steps(folder):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # a damaged one
            wanted.add(best(folder, files.read_json(path / "state.json")["state"]["best_step"]))
    for path in sorted(folder.glob("best-*")):
        if path not in wanted:
            files.discard(path)


def latest(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that is whole, and one line about each damaged one that was passed over."""
    passed = []
    for path in steps(folder):
        if problem := files.damage(path):
            passed.append(f"{path}: {problem}; the checkpoint before it is taken")
            continue
        manifest = files.read_json(path / files.MANIFEST)
        if manifest.get("checkpoint", 0) > FORMAT:
            raise ModelError(
                f"{path}: made by lmcompare {manifest.get('lmcompare', '?')}, in a newer format than "
                f"lmcompare {__version__} reads; update lmcompare"
            )
        return path, passed
    if passed:
        raise ModelError(
            "every checkpoint of this run is damaged, so it cannot go on:\n  "
            + "\n  ".join(line.partition(";")[0] for line in passed)
            + "\n  start it again from nothing with --force"
        )
    return None, []


def phase(path: Path) -> int:
    """Which part of its plan a checkpoint is in."""
    return int(files.read_json(path / "state.json")["state"].get("phase", 0))


def restore(path: Path, module: "torch.nn.Module", optimizer: "torch.optim.Optimizer") -> State:
    from safetensors.torch import load_file

    table = files.read_json(path / "state.json")
    tensors = load_file(path / "model.safetensors")
    carried = {k: tensors.pop(k) for k in list(tensors) if k.startswith(CARRIED)}
    load_weights(module, tensors, path)
    take_up(module, {k.removeprefix(CARRIED): v for k, v in carried.items()}, path)
    unpack_optimizer(optimizer, load_file(path / "optimizer.safetensors"), table["groups"])
    known = {f.name for f in fields(State)}
    return State(**{k: v for k, v in table["state"].items() if k in known})


def take_up(module: Any, tensors: "dict[str, torch.Tensor]", where: Path) -> None:
    """What a learner carries from step to step, as it was."""
    own = getattr(module, "carried", {})
    if own.keys() != tensors.keys() or any(own[k].shape != v.shape for k, v in tensors.items()):
        raise ModelError(
            f"{where}: the states that it carries do not fit the batch and the model of the config"
        )
    for name, tensor in tensors.items():
        own[name].copy_(tensor)


def trainable(module: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """The weights that training changes, by name: what a checkpoint and a finished run must hold."""
    return {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}


def load_weights(module: "torch.nn.Module", tensors: "dict[str, torch.Tensor]", where: Path | str) -> None:
    """Copy weights in; every trainable name must be there with its shape, and no other."""
    import torch

    own = trainable(module)
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = [k for k in own.keys() & tensors.keys() if own[k].shape != tensors[k].shape]
    if missing or extra or shapes:
        raise ModelError(
            f"{where}: weights do not fit the model; missing: {missing[:5] or 'none'}, "
            f"unexpected: {extra[:5] or 'none'}, other shape: {sorted(shapes)[:5] or 'none'}"
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def pack_optimizer(
    optimizer: "torch.optim.Optimizer",
) -> "tuple[dict[str, torch.Tensor], list[dict[str, Any]]]":
    """An optimizer's state as named tensors and plain JSON."""
    import torch

    table = optimizer.state_dict()
    tensors = {
        f"{index}.{key}": torch.as_tensor(value).contiguous()
        for index, entry in table["state"].items()
        for key, value in entry.items()
        if value is not None
    }
    return tensors, table["param_groups"]


def unpack_optimizer(
    optimizer: "torch.optim.Optimizer",
    tensors: "dict[str, torch.Tensor]",
    groups: list[dict[str, Any]],
) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    now = optimizer.state_dict()["param_groups"]  # rates and decay are the config's, not the checkpoint's
    if [g["params"] for g in now] != [g["params"] for g in groups]:
        raise ModelError("the checkpoint's optimizer holds other groups of weights than the config makes")
    optimizer.load_state_dict({"state": state, "param_groups": now})
