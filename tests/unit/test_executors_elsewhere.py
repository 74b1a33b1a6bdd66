"""Ray and SLURM for real: a study on a local cluster of two machines, one of whose processes is killed half-way, and on
submitit's own stand-in for SLURM."""

import contextlib
import importlib.util
import json
import os
import re
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmcompare import registry, results, signals
from lmcompare.errors import Stopped
from lmcompare.experiments import compare, studies
from lmcompare.experiments.grid import Grid
from lmcompare.workers import Watch

pytestmark = pytest.mark.slow

STUDY = """
title = "small"
seeds = [1, 2]
tasks = ["micro.sentiment"]
[models.bert]
backend = "bert"
pretrain = "bert-micro"
config = "bert-micro"
[models.bert.set]
backend = { layers = 1, width = 8, heads = 2 }
corpus = { documents = 60, workers = 1 }
tokenizer = { size = 600 }
training = { steps = 40, batch = 4, eval_every = 20 }
[[arms]]
name = "floor"
baseline = "bow"
[[arms]]
name = "tuned"
mode = "finetune"
model = "bert"
set = { task = { train = 400 }, training = { epochs = 8, checkpoint_every = 5 } }
"""


def needs(module: str, extra: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed; the extra {extra!r} brings it")


def made(folder: Path, executor: Any) -> tuple[dict[str, Any], list[str]]:
    """The study's comparison but for what hangs on the clock, and what was told meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    file, notes = folder / "small.toml", list[str]()
    file.write_text(STUDY, encoding="utf-8")
    # Where a model lies is a part of what a run is known by.
    with contextlib.chdir(folder):
        grid = Grid(studies.read(file.name, []), Path("runs"), note=notes.append, executor=executor)
        table = compare.run_study(grid).to_json()
    parts = ("cells", "means", "differences", "paired", "failed")
    return {part: table[part] for part in parts}, notes


def starts(folder: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for events in folder.rglob("events.jsonl"):
        rows = results.read_lines(events)
        found[events.parent.name] += sum(row["event"] == "start" for row in rows)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same study in processes of this machine, a thread each as on the cluster."""
    executor = registry.executors.build({"name": "processes", "at_once": 2})
    executor.threads = lambda most: 1
    return made(tmp_path_factory.mktemp("whole"), executor)[0]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two machines of one processor each, as far as Ray can tell; the second may be taken away."""
    needs("ray", "ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    room = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=room)
    found.second = found.add_node(num_cpus=1, object_store_memory=80_000_000)
    found.wait_for_nodes()
    yield found
    found.shutdown()


def on(cluster: Any) -> Any:
    return registry.executors.build({"name": "ray", "address": cluster.address})


def once_begun(folder: Path, act: Any) -> threading.Thread:
    """Do something as soon as a fine-tuning has saved a checkpoint."""

    def wait() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for run in folder.glob("finetune-*"):
                if list(run.glob("checkpoints/step-*")) and not (run / "result.json").exists():
                    act(run)
                    return
            time.sleep(0.005)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def kill(run: Path) -> None:
    rows = [row for row in results.read_lines(run / "events.jsonl") if row["event"] == "start"]
    os.kill(rows[-1]["pid"], signal.SIGKILL)


def test_a_study_on_a_cluster(cluster: Any, whole: dict[str, Any], tmp_path: Path) -> None:
    table, notes = made(tmp_path, on(cluster))
    assert table == whole
    assert "4 runs, 2 at a time" in notes
    assert set(starts(tmp_path).values()) == {1}


def test_a_process_of_the_cluster_is_killed_half_way(
    cluster: Any, whole: dict[str, Any], tmp_path: Path
) -> None:
    thread = once_begun(tmp_path / "runs", kill)
    table, notes = made(tmp_path, on(cluster))
    thread.join()
    assert table == whole  # nothing lost, nothing otherwise
    (told,) = [note for note in notes if "starts again" in note]
    assert "was lost" in told and "from its last checkpoint" in told
    assert sorted(starts(tmp_path).values()) == [1, 1, 1, 1, 2]  # nothing done twice but what was killed
    (run,) = [name for name, count in starts(tmp_path).items() if count == 2]
    log = [row["step"] for row in results.read_lines(tmp_path / "runs" / run / "log.jsonl") if "loss" in row]
    assert log == sorted(set(log))
    result = json.loads((tmp_path / "runs" / run / "result.json").read_text())
    assert result["attempts"] == 2


def test_a_machine_of_the_cluster_is_lost(cluster: Any, whole: dict[str, Any], tmp_path: Path) -> None:
    def unplug(_: Path) -> None:
        cluster.remove_node(cluster.second, allow_graceful=False)

    thread = once_begun(tmp_path / "runs", unplug)
    table, _ = made(tmp_path, on(cluster))
    thread.join()
    assert table == whole
    assert max(starts(tmp_path).values()) <= 2


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    needs("ray", "ray")
    from lmcompare.errors import ResourceError

    began = time.monotonic()
    for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "[::1]:1"):
        with pytest.raises(ResourceError, match=rf"no cluster at {re.escape(address)}"):
            made(tmp_path, registry.executors.build({"name": "ray", "address": address}))
    assert time.monotonic() - began < 30  # Ray itself waits a minute, and then ends the process


def test_more_than_a_machine_has_is_told(cluster: Any, tmp_path: Path) -> None:
    needs("ray", "ray")
    from lmcompare.errors import ResourceError

    more = registry.executors.build({"name": "ray", "address": cluster.address, "cpus": 2, "gpus": 1.0})
    notes = list[str]()

    def note(text: str) -> None:
        notes.append(text)
        os.kill(os.getpid(), signal.SIGTERM)  # else it waits for ever

    with signals.watched(), pytest.raises(Stopped):
        job = {"number": 1, "threads": 1, "arm": "a"}
        for _ in more.run(
            "tests.unit.executor_jobs:tell", deque([job]), Watch(lambda job: None, note, tmp_path)
        ):
            pass
    told = "a run is to have 2 CPUs and 1 GPU, and no machine of the cluster has as much; a run begins once one has"
    assert notes == [f"{told} joined it"]
    with pytest.raises(
        ResourceError, match="a run is to have 999 CPUs, and no machine of the cluster has as much"
    ):
        made(tmp_path, registry.executors.build({"name": "ray", "cpus": 999}))


def test_a_study_as_slurm_would_make_it(whole: dict[str, Any], tmp_path: Path) -> None:
    needs("submitit", "slurm")
    executor = registry.executors.build({"name": "slurm", "cluster": "local", "at_once": 2})
    table, _ = made(tmp_path, executor)
    assert table == whole
    assert set(starts(tmp_path).values()) == {1}
    assert not list((tmp_path / "runs").glob(".slurm*"))
