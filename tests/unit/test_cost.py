"""What a run takes: counters that go round, attempts that were killed, answers that are timed."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lmcompare import cost, provenance, workers
from lmcompare.cost import Counter, Meter, Timing


def zone(root: Path, name: str, says: str, joules: float, circle: float = 1000.0) -> Path:
    """A counter as Linux shows it: a folder of small files, in millionths."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{says}\n")
    (folder / "energy_uj").write_text(f"{joules * 1e6:.0f}\n")
    (folder / "max_energy_range_uj").write_text(f"{circle * 1e6:.0f}\n")
    return folder / "energy_uj"


def told(meter: Meter, tmp_path: Path, **measured: Any) -> dict[str, Any]:
    return meter.told(tmp_path / "no model", measured)


def test_packages_are_counted_and_neither_their_parts_nor_the_whole(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    zone(tmp_path, "intel-rapl:0:0", "core", 3)
    zone(tmp_path, "intel-rapl:1", "psys", 9)
    zone(tmp_path, "intel-rapl:2", "package-1", 7)
    assert [counter.name for counter in cost.packages(tmp_path)] == ["package-0", "package-1"]


def test_what_is_used_between_the_looks(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 100)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 10)
    meter = Meter([], tmp_path)
    first.write_text("112500000")
    second.write_text("14000000")
    found = told(meter, tmp_path)["energy"]
    assert found == {"joules": 16.5, "of": ["package-0", "package-1"], "reason": None}


def test_a_counter_that_goes_round_is_followed(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:0", "package-0", 990)
    meter = Meter([], tmp_path)
    for joules in (15, 400, 20):
        path.write_text(str(joules * 10**6))
        meter.look()
    assert meter.took()["joules"] == pytest.approx(25 + 385 + 620)


def test_one_that_nobody_looked_at_for_long_is_given_up() -> None:
    values = iter([0.0, 700.0])
    counter = Counter("package-0", lambda: next(values), circle=1000.0)
    counter.at -= 1.5  # a thousand watts for so long are more than a round
    counter.look()
    assert "may have gone round" in counter.reason


def test_a_counter_without_a_round_must_not_fall(tmp_path: Path) -> None:
    values = iter([50.0, 20.0])
    counter = Counter("gpu", lambda: next(values))
    counter.look()
    assert "set back" in counter.reason


def test_a_counter_that_is_gone_leaves_no_figure(tmp_path: Path) -> None:
    path = zone(tmp_path, "intel-rapl:1", "package-1", 5)
    meter = Meter([], tmp_path)
    path.unlink()
    found = told(meter, tmp_path)["energy"]
    assert found["joules"] is None and found["reason"].startswith("package-1: ")


def test_a_long_run_is_looked_at_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "LOOK_SECONDS", 0.005)
    path = zone(tmp_path, "intel-rapl:0", "package-0", 5)
    meter = Meter([], tmp_path)
    path.write_text("8000000")
    ends = time.monotonic() + 5
    while meter.counters[0].joules < 3 and time.monotonic() < ends:
        time.sleep(0.005)
    assert meter.counters[0].joules == pytest.approx(3)
    meter.took()


def test_without_a_counter_there_is_a_reason_and_no_figure(tmp_path: Path) -> None:
    assert told(Meter([], tmp_path / "none"), tmp_path)["energy"] == {
        "joules": None,
        "of": [],
        "reason": cost.NO_COUNTER,
    }


def test_the_processor_s_energy_alone_is_no_figure_of_a_run_on_another_device(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    meter = Meter([], tmp_path)
    meter.on("mps", 1)
    found = told(meter, tmp_path)["energy"]
    assert found["joules"] is None and found["reason"] == "it computed on mps, whose energy cannot be read"
    meter = Meter([], tmp_path)
    meter.on("cpu", 1)
    assert told(meter, tmp_path)["energy"]["joules"] is not None


def test_a_gpu_without_a_counter_leaves_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no GPU: with torch's few answers about one made up."""
    import torch

    facts = SimpleNamespace(name="A GPU", uuid="abc")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: facts)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 << 20)
    monkeypatch.setattr(cost, "nvml_counter", lambda uuid: None)
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    meter = Meter([], tmp_path)
    meter.on("cuda:0", 1)
    found = told(meter, tmp_path)
    assert found["energy"]["joules"] is None and "computed on A GPU" in found["energy"]["reason"]
    assert found["gpu_memory_mb"] == 3
    monkeypatch.setattr(cost, "nvml_counter", lambda uuid: lambda: 0.0)
    meter = Meter([], tmp_path)
    meter.on("cuda:0", 1)
    found = told(meter, tmp_path)["energy"]
    assert found["joules"] == 0 and found["of"] == ["package-0", "A GPU"]


HOLD = "tests.unit.executor_jobs:hold"


def test_a_job_s_memory_is_its_own_where_several_share_a_process() -> None:
    """As by the executor `here`, and in the processes that Ray uses again."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("needs Linux's /proc/self/clear_refs")
    large, small = (workers.call(HOLD, {"megabytes": n}).value for n in (400, 1))
    assert large[0] - small[0] > 350


def test_where_it_cannot_be_set_back_only_the_first_job_has_a_figure(tmp_path: Path) -> None:
    memory = provenance.Memory(tmp_path / "no proc here")
    assert memory.peak()[0] is not None
    memory.begin()
    assert memory.peak()[0] is not None and memory.peak()[1] is None
    memory.begin()
    figure, reason = memory.peak()
    assert figure is None and "other runs before it" in str(reason)


def attempt(how: str, **facts: Any) -> list[dict[str, Any]]:
    """The events of an attempt that ended so; a killed one has no end."""
    return [{"event": "start"}, *([{"event": how, **facts}] if how != "killed" else [])]


TOOK = {"joules": 4.0, "reason": None, "gpu_memory_mb": 7, "features_seconds": 2.5}


def test_earlier_attempts_are_added(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    meter = Meter([*attempt("paused", cost=TOOK), *attempt("failed", cost=TOOK)], tmp_path)
    meter.filled = {tmp_path: 1.0}
    found = told(meter, tmp_path, features={"bytes": 3})
    assert found["energy"]["joules"] == 8.0
    assert found["features"] == {"bytes": 3, "computed_seconds": 6.0}
    assert (found["lost_attempts"], found["gpu_memory_mb"]) == (0, 7)


@pytest.mark.parametrize(
    ("events", "lost"), [(attempt("killed"), 1), (attempt("paused", seconds=3.0), 0)], ids=["killed", "old"]
)
def test_what_an_attempt_did_not_say_is_not_made_up(
    tmp_path: Path, events: list[dict[str, Any]], lost: int
) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 5)
    found = told(Meter(events, tmp_path), tmp_path, features={"bytes": 3})
    assert found["energy"]["joules"] is None and "earlier attempt" in found["energy"]["reason"]
    assert found["features"]["computed_seconds"] is None
    assert found["lost_attempts"] == lost


LIBRARY = """
#include <string.h>
static unsigned long long joules = 5000;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByUUID(const char *name, void **device) {
  if (strcmp(name, "GPU-abc")) return 6;
  *device = (void *)0x700000001;
  return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) {
  if (device != (void *)0x700000001) return 2;
  *energy = joules += 0x100000000;
  return 0;
}
"""


def test_a_gpu_s_counter_is_asked_by_its_name(tmp_path: Path) -> None:
    """Against a library with NVML's signatures: pointers and counts that do not fit into 32 bits."""
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("needs a C compiler")
    source, library = tmp_path / "nvml.c", tmp_path / "libnvml.so"
    source.write_text(LIBRARY)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    read = cost.nvml_counter("abc", str(library))
    assert read is not None
    counter = Counter("gpu", read)
    counter.look()
    assert counter.joules == pytest.approx(0x100000000 / 1e3)
    assert cost.nvml_counter("other", str(library)) is None
    assert cost.nvml_counter("abc", str(tmp_path / "none.so")) is None
    assert cost.nvml_counter("") is None


def test_the_first_batch_of_each_split_is_left_out() -> None:
    timing = Timing()
    timing.add([(64, 9.0), (64, 0.64), (64, 0.128), (32, 0.064)], 64)
    timing.add([(64, 9.0), (64, 0.192)], 64)
    assert timing.told() == {
        "milliseconds": 2.5,  # of 10, 2, 2 and 3
        "reason": None,
        "batch": 64,
        "batches": 4,
        "examples": 224,
    }


def test_a_single_batch_tells_nothing() -> None:
    timing = Timing()
    timing.add([(9, 0.5)], 64)
    found = timing.told()
    assert found["milliseconds"] is None and "second batch" in found["reason"]
