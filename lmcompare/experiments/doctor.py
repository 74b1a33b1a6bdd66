"""`lmc doctor`: will it run here? Versions, device, data, hub, disk; nothing is changed."""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmcompare import cache, config, hub, provenance, registry, results
from lmcompare.backends import allennlp_process
from lmcompare.errors import UserError

LEAST_DISK = 2 << 30

Check = tuple[str, bool, str]


def examine(data: Path | None) -> dict[str, Any]:
    checks = [{"what": what, "ok": ok, "found": found} for what, ok, found in every_check(data)]
    return {"ok": all(c["ok"] for c in checks), "checks": checks}


def every_check(data: Path | None) -> Iterator[Check]:
    for name, version in provenance.versions().items():
        yield name, True, version
    yield from devices()
    yield local_data(data)
    problem = hub.unreachable()
    yield (
        "hub",
        True,
        "reachable" if problem is None else f"{problem}; runs and local folders work without it",
    )
    yield reference()
    yield from disks()
    yield (
        "presets",
        config.presets().is_dir(),
        f"{len(list(config.presets().rglob('*.toml')))} files",
    )


def devices() -> Iterator[Check]:
    import torch

    yield (
        "processor",
        True,
        f"{platform.machine()}, {os.cpu_count()} cores, torch uses {torch.get_num_threads()}",
    )
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory >> 30
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        yield (
            "gpu",
            True,
            f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}, {memory} GB, {bf16}",
        )
    else:
        yield "gpu", True, "none that torch can use; runs take the processor"


def local_data(data: Path | None) -> Check:
    """Which tasks can be read from the folder of local data."""
    given = data or (Path(os.environ["LMC_DATA"]) if os.environ.get("LMC_DATA") else None)
    if given is None:
        return "data", True, "no --data and no LMC_DATA; the micro suite needs none"
    if not given.is_dir():
        return "data", False, f"{given}: no such folder"
    found = []
    for name in registry.tasks.names():
        if name.startswith("micro."):
            continue
        try:
            task = registry.tasks.build({"name": name}, given)
            task.load(task.splits[-1])
        except UserError:
            continue
        found.append(name)
    return "data", bool(found), f"{given}: {', '.join(found) or 'no task that lmcompare knows'}"


def reference() -> Check:
    """The authors' own ELMo, which nothing else needs."""
    try:
        return "allennlp", True, allennlp_process.installed()
    except UserError as error:
        return "allennlp", True, f"{error}; only `elmo-allennlp` needs it"


def disks() -> Iterator[Check]:
    for what, folder in (("runs", results.root()), ("cache", cache.root())):
        there = folder
        while not there.exists():
            there = there.parent if there != there.parent else Path.cwd()
        free = shutil.disk_usage(there).free
        writable = os.access(there, os.W_OK)
        closed = "" if writable else ", not writable"
        yield (
            what,
            writable and free > LEAST_DISK,
            f"{folder.absolute()}, {free >> 30} GB free{closed}",
        )
