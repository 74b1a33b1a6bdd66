"""Where runs are made: each executor does what every one promises, on jobs that only tell what they saw."""

import importlib.util
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmcompare import registry, signals, workers
from lmcompare.errors import EXIT_BUG, ResourceError, Stopped, UserError
from lmcompare.executors.pools import Pool
from lmcompare.experiments import placing
from tests.conftest import REPO

TOLD = "tests.unit.executor_jobs:tell"
# What an executor needs to be tried on this machine, and the settings with which it is.
SETTINGS: dict[str, dict[str, Any]] = {
    "here": {},
    "processes": {"at_once": 2},
    "ray": {"at_once": 2},
    "slurm": {"cluster": "local", "at_once": 2},
}
NEEDS = {"ray": "ray", "slurm": "submitit"}


@pytest.fixture(autouse=True)
def found_elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The jobs of these tests are no part of the package, and a process that somebody else starts must find them."""
    path = [str(REPO), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    with signals.watched():  # a signal that a test before this one was sent is over
        yield


def names() -> list[Any]:
    found = []
    for name in registry.executors.names():
        if name != "gpus":  # a pool like `processes`; what it sets is tested on its own
            absent = name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None
            why = f"the extra {name!r} is not installed" if absent else ""
            found.append(pytest.param(name, marks=[pytest.mark.skipif(absent, reason=why), pytest.mark.slow]))
    return found


def job(number: int, **more: Any) -> dict[str, Any]:
    return {"number": number, "threads": 1, "arm": f"arm {number}", **more}


def made(name: str, folder: Path, jobs: list[dict[str, Any]]) -> tuple[list[Any], list[str]]:
    """All answers; what the first job has said lets another one begin."""
    executor = registry.executors.build({"name": name, **SETTINGS[name]})
    waiting, began, answers = deque(jobs), list[int](), []
    watch = workers.Watch(lambda job: began.append(job["number"]), lambda text: None, folder)
    for one, answer in executor.run(TOLD, waiting, watch):
        answers.append((one["number"], answer))
        if one["number"] == 1:
            waiting.append(job(99))
    return answers, began


@pytest.mark.parametrize("name", names())
def test_every_job_is_answered_once(name: str, tmp_path: Path) -> None:
    before = os.environ["LMC_RUNS"]
    jobs = [job(1), job(2, fail="user"), job(3, fail="bug"), job(4, environment={"LMC_RUNS": "elsewhere"})]
    answers, began = made(name, tmp_path, jobs)
    assert sorted(number for number, _ in answers) == [1, 2, 3, 4, 99] == sorted(began)
    told = dict(answers)
    assert told[1].value["threads"] == 1 and told[1].value["folder"] == os.getcwd()
    assert (told[2].value, told[2].status) == (None, UserError.status) and "job 2 is not well" in told[
        2
    ].reason
    assert (told[3].value, told[3].status) == (None, EXIT_BUG) and "bug: ValueError" in told[3].reason
    assert told[99].value["number"] == 99
    assert os.environ["LMC_RUNS"] == before


@pytest.mark.parametrize("name", names())
def test_a_job_whose_process_dies_takes_nothing_else_with_it(name: str, tmp_path: Path) -> None:
    if name == "here":
        pytest.skip("there is one process only")
    flag = tmp_path / "died"
    answers, _ = made(name, tmp_path, [job(2, die=str(flag)), job(3), job(4)])
    told = dict(answers)
    assert told[3].value["number"] == 3 and told[4].value["number"] == 4
    if name == "ray":  # it starts again elsewhere
        assert told[2].value["number"] == 2 and flag.is_file()
    else:
        assert told[2].value is None and told[2].status == EXIT_BUG and told[2].reason


@pytest.mark.parametrize("name", [one for one in names() if one.values[0] in NEEDS])
def test_a_job_that_the_cluster_has_stopped_begins_again(name: str, tmp_path: Path) -> None:
    executor = registry.executors.build({"name": name, **SETTINGS[name], "retries": 1})
    jobs = [
        job(2, stopped=str(tmp_path / "flag")),
        job(3, stopped=str(tmp_path / "none"), always=True),
        job(4),
    ]
    notes = list[str]()
    watch = workers.Watch(lambda job: None, notes.append, tmp_path)
    told = {one["number"]: answer for one, answer in executor.run(TOLD, deque(jobs), watch)}
    assert told[2].value["number"] == 2 and told[4].value["number"] == 4
    assert (told[3].value, told[3].status) == (None, 75)
    again = [f"arm {n}: stopped by SIGTERM; its run starts again, from its last checkpoint" for n in (2, 3)]
    assert sorted(notes) == again


@pytest.mark.parametrize("name", [one for one in names() if one.values[0] == "slurm"])
def test_two_calls_in_one_folder_keep_their_answers(name: str, tmp_path: Path) -> None:
    """The one that ends first leaves the other's alone, and nothing of its own."""
    answers: dict[int, workers.Answer] = {}

    def call(number: int, **more: Any) -> None:
        executor = registry.executors.build({"name": name, **SETTINGS[name]})
        watch = workers.Watch(lambda job: None, lambda text: None, tmp_path)
        for one, answer in executor.run(TOLD, deque([job(number, **more)]), watch):
            answers[one["number"]] = answer

    flag = tmp_path / "flag"
    slow = threading.Thread(target=call, args=(1,), kwargs={"until": str(flag)})
    slow.start()
    call(2)
    assert list(answers) == [2]
    flag.touch()
    slow.join()
    assert answers[1].value["number"] == 1 and answers[2].value["number"] == 2
    assert list(tmp_path.iterdir()) == [flag]


@pytest.mark.parametrize("name", names())
def test_a_signal_ends_it_once_what_runs_has_ended(name: str, tmp_path: Path) -> None:
    executor = registry.executors.build({"name": name, **SETTINGS[name]})
    waiting = deque([job(n, sleep=1.5) for n in range(6)])
    watch = workers.Watch(lambda job: None, lambda text: None, tmp_path)
    with signals.watched(), pytest.raises(Stopped) as caught:
        assert executor.at_once <= 2  # by now a cluster is found
        began = time.monotonic()
        threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
        for _ in executor.run(TOLD, waiting, watch):
            pass
    assert caught.value.status == 75
    assert len(waiting) >= 2 and time.monotonic() - began < 60


@pytest.mark.slow
def test_one_slot_after_the_other_has_its_own_environment(tmp_path: Path) -> None:
    pool = Pool([{"CUDA_VISIBLE_DEVICES": "GPU-a"}, {"CUDA_VISIBLE_DEVICES": "GPU-b"}])
    watch = workers.Watch(lambda job: None, lambda text: None, tmp_path)
    found = [answer.value for _, answer in pool.run(TOLD, deque(job(n, sleep=0.3) for n in range(4)), watch)]
    assert sorted(one["visible"] for one in found) == ["GPU-a", "GPU-a", "GPU-b", "GPU-b"]


def test_gpus_are_counted_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from lmcompare.executors import pools

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ResourceError, match=r"executor 'gpus': torch sees no GPU here.*--executor processes"):
        registry.executors.build({"name": "gpus"})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert pools.visible() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-c")
    assert registry.executors.build({"name": "gpus"}).slots == [
        {"CUDA_VISIBLE_DEVICES": "5"},
        {"CUDA_VISIBLE_DEVICES": "GPU-c"},
    ]


@pytest.mark.parametrize("name", NEEDS)
def test_an_extra_that_is_not_there_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, NEEDS[name], None)
    with pytest.raises(UserError, match=rf"executor '{name}'.*pip install 'lmcompare\[{name}\]'"):
        registry.executors.build({"name": name})


@pytest.mark.parametrize(
    "name, settings",
    [
        ("processes", {"at_once": -1}),
        ("processes", {"at_once": 0}),
        ("gpus", {"at_once": -1}),
        ("ray", {"at_once": 0}),
        ("ray", {"cpus": 0}),
        ("ray", {"gpus": -0.5}),
        ("ray", {"gpus": float("nan")}),
        ("ray", {"gpus": 1.5}),
        ("ray", {"retries": -1}),
        ("slurm", {"at_once": -2}),
        ("slurm", {"cpus": 0}),
        ("slurm", {"gpus": -1}),
        ("slurm", {"minutes": 0}),
        ("slurm", {"memory_gb": 0.0}),
        ("slurm", {"retries": -1}),
    ],
)
def test_a_setting_out_of_its_range_is_refused(name: str, settings: dict[str, Any]) -> None:
    (key,) = settings
    with pytest.raises(UserError, match=rf"executor \({name}\): {key}: "):
        placing.executor(name, settings)


def test_where_there_is_a_gpu_each_takes_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    notes = list[str]()
    assert not isinstance(placing.executor("", {}, note=notes.append).slots[0], str) and not notes
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert placing.executor("", {}, note=notes.append).slots == [{"CUDA_VISIBLE_DEVICES": n} for n in "01"]
    assert notes == ["one run a GPU at a time (2 here); --executor processes lets more share one"]
    assert placing.executor("processes", {}, jobs=3, note=notes.append).slots == [{}] * 3 and len(notes) == 1


def test_what_the_command_line_says_of_an_executor() -> None:
    said = ["seeds=[1]", "executor.at_once=3", "executor.cluster=local"]
    study, settings = placing.split(said)
    assert study == ["seeds=[1]"] and settings == {"at_once": 3, "cluster": "local"}
    assert placing.executor("", {}, jobs=3).at_once == 3
    assert placing.executor("here", {}).at_once == 1
    for name, more, told in [
        ("pool", {}, "--executor: unknown executor 'pool'"),
        ("here", {"jobs": 2}, "--jobs: executor 'here' takes none"),
        ("", {"address": "10.0.0.1:6379"}, "--address: executor 'processes' takes none"),
    ]:
        with pytest.raises(UserError, match=told):
            placing.executor(name, {}, **more)
    with pytest.raises(UserError, match="unknown key 'at_onc'; did you mean 'at_once'"):
        placing.executor("processes", {"at_onc": 2})
    with pytest.raises(UserError, match="--executor names it"):
        placing.split(["executor=ray"])
