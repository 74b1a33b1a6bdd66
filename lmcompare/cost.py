"""What a run takes beside time: energy and a GPU's memory as far as they can be read, disk, and how long an answer
takes. What cannot be read is None, with the reason; nothing here is an estimate."""

import ctypes
import functools
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmcompare import files

POWERCAP = Path("/sys/class/powercap")  # where Linux shows the energy counters of the processors
MOST_WATTS = 1000.0  # of one package: what a counter may have missed is judged by it
LOOK_SECONDS = 15.0  # a processor's counter goes round within minutes, so it is looked at in between
NO_COUNTER = "no energy counter can be read here: neither the processor's (powercap) nor a GPU's (NVML)"

Batches = Sequence[tuple[int, float]]  # how many examples, and the seconds that they took


class Counter:
    """A counter of joules that only goes up, from some beginning on; after `circle` joules it begins anew."""

    def __init__(self, name: str, read: Callable[[], float], circle: float | None = None) -> None:
        self.name, self.read, self.circle = name, read, circle
        self.joules, self.last, self.at, self.reason = 0.0, read(), time.monotonic(), ""

    def look(self) -> None:
        """Add what was used since the last look; a counter that may have gone round unseen is given up."""
        now = time.monotonic()
        try:
            value = self.read()
        except (OSError, ValueError) as error:
            self.reason = f"{self.name}: {error}"
            return
        passed = value - self.last
        if self.circle is not None and (now - self.at) * MOST_WATTS > self.circle:
            self.reason = f"{self.name}: nobody looked for {now - self.at:.0f} s, so it may have gone round"
        elif passed < 0 and self.circle is None:
            self.reason = f"{self.name}: the counter was set back"
        self.joules += passed if passed >= 0 else passed + (self.circle or 0.0)
        self.last, self.at = value, now


def packages(root: Path = POWERCAP) -> list[Counter]:
    """The processors' own counters (RAPL), of those that this user may read. They count whole packages: what runs
    beside a run is in them, too."""
    found = []
    for zone in sorted(root.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
            if not name.startswith("package"):  # the others are parts of one, or hold them all
                continue
            circle = float((zone / "max_energy_range_uj").read_text()) / 1e6
            found.append(Counter(name, functools.partial(microjoules, zone / "energy_uj"), circle))
        except (OSError, ValueError):
            continue
    return found


def microjoules(path: Path) -> float:
    return float(path.read_text()) / 1e6


def gpus(device: str, processes: int = 1) -> tuple[list[Counter], list[str]]:
    """The counters of the GPUs that a run computes on, and the names of those whose driver keeps none."""
    import torch

    one = torch.device(device).index or 0
    used = range(min(processes, torch.cuda.device_count())) if processes > 1 else [one]
    found, without = [], []
    for number in used:
        facts = torch.cuda.get_device_properties(number)
        if (read := nvml_counter(str(getattr(facts, "uuid", "")))) is not None:
            found.append(Counter(facts.name, read))
        else:
            without.append(facts.name)
    return found, without


@functools.cache
def nvml(name: str = "libnvidia-ml.so.1") -> Any:
    """NVIDIA's management library, which comes with the driver; None where there is none."""
    try:
        library = ctypes.CDLL(name)
    except OSError:
        return None
    return library if library.nvmlInit_v2() == 0 else None


def nvml_counter(uuid: str, library: str = "libnvidia-ml.so.1") -> Callable[[], float] | None:
    """Joules since the driver was loaded, of the GPU with this name."""
    if not uuid or (known := nvml(library)) is None:
        return None
    handle = ctypes.c_void_p()
    full = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
    if known.nvmlDeviceGetHandleByUUID(full.encode(), ctypes.byref(handle)) != 0:
        return None

    def read() -> float:
        millijoules = ctypes.c_ulonglong()
        if status := known.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)):
            raise OSError(f"NVML answers with status {status}")
        return millijoules.value / 1e3

    try:
        read()
    except OSError:
        return None
    return read


class Meter:
    """What a run uses from here on, beside what its earlier attempts said of themselves in its events."""

    def __init__(self, events: Iterable[Mapping[str, Any]] = (), root: Path = POWERCAP) -> None:
        rows = list(events)
        ended = [row for row in rows if row["event"] in ("paused", "failed", "end")]
        self.before = [row.get("cost") or {} for row in ended]
        # Killed: it could not say what it took.
        self.lost = sum(row["event"] == "start" for row in rows) - len(ended)
        self.counters = packages(root)
        # Devices that it computes on, and whose energy nobody counts.
        self.uncounted: list[str] = []
        # Seconds that went into layers of a frozen encoder, by their folder.
        self.filled: dict[Path, float] = {}
        self.beside = 0  # bytes on the disk, of an encoder that answers need and the run itself does not keep
        self.gpu = ""
        self._lock, self._over = threading.Lock(), threading.Event()
        if self.counters:
            threading.Thread(target=self._watch, daemon=True).start()

    def on(self, device: str, processes: int) -> None:
        """Where the run computes, as soon as that is known."""
        if not device.startswith("cuda"):
            self.uncounted = [] if device.startswith("cpu") else [device]
            return
        import torch

        self.gpu = device
        torch.cuda.reset_peak_memory_stats(device)
        counters, self.uncounted = gpus(device, processes)
        with self._lock:
            self.counters += counters

    def look(self) -> None:
        with self._lock:
            for counter in self.counters:
                counter.look()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.look()

    def took(self) -> dict[str, Any]:
        """What this attempt used; the events keep it for those that follow."""
        self._over.set()
        self.look()
        broken = [counter.reason for counter in self.counters if counter.reason]
        if self.counters and self.uncounted:  # the processor's alone would look like the whole
            broken.append(f"it computed on {' and '.join(self.uncounted)}, whose energy cannot be read")
        known = bool(self.counters) and not broken
        return {
            "joules": round(sum(counter.joules for counter in self.counters), 3) if known else None,
            "reason": "; ".join(broken) or (None if known else NO_COUNTER),
            "gpu_memory_mb": self._gpu_memory(),
            "features_seconds": round(sum(self.filled.values()), 3),
        }

    def _gpu_memory(self) -> int | None:
        """The most that this process has had in use at a time, in MB."""
        torch = sys.modules.get("torch")
        return int(torch.cuda.max_memory_allocated(self.gpu) >> 20) if self.gpu and torch else None

    def told(self, model: Path, measured: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a result about cost. `measured`: what the experiment itself has timed."""
        attempts = [*self.before, self.took()]
        memory = [one["gpu_memory_mb"] for one in attempts if one.get("gpu_memory_mb") is not None]
        size = files.size(model) if model.is_dir() else None
        features = measured.get("features")
        if features is not None:
            features = features | {"computed_seconds": self._total(attempts, "features_seconds")}
        return {
            "energy": {
                "joules": self._total(attempts, "joules"),
                "of": [counter.name for counter in self.counters],
                "reason": self._why(attempts),
            },
            "gpu_memory_mb": max(memory, default=None),
            "model_bytes": size,
            "needed_bytes": None if size is None else size + self.beside,
            "lost_attempts": self.lost,
            "features": features,
            "inference": measured.get("inference"),
        }

    def _total(self, attempts: Sequence[Mapping[str, Any]], key: str) -> float | None:
        """Over all attempts; None where one of them has no figure, or could not say."""
        values = [one.get(key) for one in attempts]
        known = [value for value in values if value is not None]
        return None if self.lost or len(known) < len(values) else round(sum(known), 3)

    def _why(self, attempts: Sequence[Mapping[str, Any]]) -> str | None:
        if self._total(attempts, "joules") is not None:
            return None
        if reason := attempts[-1]["reason"]:
            return str(reason)
        return "an earlier attempt of this run did not say what it used"


class Timing:
    """How long answers take, batch by batch. The first batch of each split is left out: it finds nothing warm."""

    def __init__(self) -> None:
        self.size = 0
        self.warm: list[tuple[int, float]] = []

    def add(self, batches: Batches, size: int) -> None:
        """All batches of a split, in the order of their answering."""
        self.size = max(self.size, size)
        self.warm += batches[1:]

    def told(self) -> dict[str, Any]:
        """Milliseconds an example: the median over the batches."""
        each = [1000 * seconds / examples for examples, seconds in self.warm if examples]
        return {
            "milliseconds": round(statistics.median(each), 5) if each else None,
            "reason": None if each else "no split has a second batch, and the first finds nothing warm",
            "batch": self.size,
            "batches": len(each),
            "examples": sum(examples for examples, _ in self.warm),
        }
