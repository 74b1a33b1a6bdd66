"""F7, F8, F17 and what they rest on: several processes make one run, and only one `lmc` makes it at a time."""

import functools
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forge
import pytest
from test_checkpoints import stop_after
from test_multitask_runs import together, write_second_task
from world import STEPS, Place, Reference

from lmcompare.launch import free_port

WHOLE = ["--set", "backend.dropout=0.0", "--set", "backend.attention_dropout=0.0"]


def pair(words: list[Any], home: Path, setup: Any = None) -> list[forge.Child]:
    """Two processes of one run, as a launcher starts them."""
    port = str(free_port())
    address = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        forge.start(*words, home=home, setup=setup, env={**address, "RANK": str(rank), "LOCAL_RANK": "0"})
        for rank in (0, 1)
    ]


def wait_for_step(run: Path, step: int) -> None:
    deadline = time.monotonic() + forge.PATIENCE
    while not (run / "checkpoints" / f"step-{step:08d}").is_dir():
        assert time.monotonic() < deadline, "no step was saved"
        time.sleep(0.005)


@pytest.fixture(scope="session")
def paired(place: Place) -> Reference:
    """Two processes' run that nothing interrupted."""
    run = place.folder / "reference-pair"
    began = time.monotonic()
    for child in pair(place.pretrain(run), place.folder):
        ended = child.wait()
        assert ended.status == 0, ended.err
    return Reference(run, forge.outcome(run), time.monotonic() - began)


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=[] if n == 0 else [pytest.mark.full]) for n in range(5)]
)
def test_f7_one_of_two_dies(place: Place, paired: Reference, tmp_path: Path, number: int) -> None:
    run = tmp_path / "run"
    first, second = pair(place.pretrain(run), tmp_path)
    wait_for_step(run, 3 + 3 * number)
    assert second.kill()
    ended = first.wait(60.0)
    assert ended.status != 0
    assert second.wait().status == -9
    for child in pair(place.pretrain(run), tmp_path):
        ended = child.wait()
        assert ended.status == 0 and ended.clean, ended.err
    assert forge.outcome(run) == paired.outcome
    forge.no_gap(run, STEPS)


@pytest.mark.slow
def test_f7_both_are_asked_to_stop(place: Place, paired: Reference, tmp_path: Path) -> None:
    """A signal that one of them sees ends both at the same step."""
    run = tmp_path / "run"
    children = pair(place.pretrain(run), tmp_path, functools.partial(stop_after, 9))
    assert [child.wait().status for child in children] == [75, 75]
    for child in pair(place.pretrain(run), tmp_path):
        assert child.wait().status == 0
    assert forge.outcome(run) == paired.outcome


@pytest.mark.full
def test_f7_launcher(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    """--nproc itself: it ends with the status of the one that failed, and leaves nobody behind."""
    run = tmp_path / "run"
    words = place.pretrain(run, "--nproc", 2, "--set", "training.steps=20000")
    child = forge.start(*words, home=tmp_path)
    wait_for_step(run, 2)
    ranks = {rank_of(pid): pid for pid in children_of(child.process.pid)}
    os.kill(ranks["1"], 9)
    ended = child.wait(60.0)
    assert ended.status == 128 + 9
    assert not [pid for pid in ranks.values() if Path(f"/proc/{pid}").exists()]


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def rank_of(pid: int) -> str:
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(p.split("=", 1) for p in pairs if "=" in p)["RANK"]


@pytest.mark.slow
def test_effective_batch_is_the_same_however_it_is_split(place: Place, tmp_path: Path) -> None:
    """One process, two processes, and accumulation tell the same loss curve within 1e-5."""
    curves = {}
    for name, more in (("one", []), ("micro", ["--set", "training.micro=3"]), ("two", [])):
        run = tmp_path / name
        words = place.pretrain(run, *WHOLE, *more)
        children = pair(words, tmp_path) if name == "two" else [forge.start(*words, home=tmp_path)]
        for child in children:
            ended = child.wait()
            assert ended.status == 0, ended.err
        curves[name] = [row["loss"] for row in forge.rows(run) if "loss" in row]
    assert len(curves["one"]) == STEPS
    for name in ("micro", "two"):
        worst = max(abs(a - b) for a, b in zip(curves["one"], curves[name], strict=True))
        assert worst <= 1e-5, name


@pytest.mark.slow
@pytest.mark.parametrize("what", ["threads", pytest.param("processes", marks=pytest.mark.full)])
def test_f8_other_machine(place: Place, tmp_path: Path, what: str) -> None:
    """Going on with other threads or processes is said, and comes close."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert forge.lmc(*place.pretrain(whole, *WHOLE), home=tmp_path).status == 0
    words = place.pretrain(run, *WHOLE)
    stop = functools.partial(stop_after, 10)
    assert forge.lmc(*words, home=tmp_path, setup=stop).status == 75
    if what == "threads":
        children = [forge.start(*words, home=tmp_path, env={"OMP_NUM_THREADS": "2"})]
    else:
        children = pair(words, tmp_path)
    ended = [child.wait() for child in children]
    assert [e.status for e in ended] == [0] * len(ended), ended[0].err
    sentence = f"not bit-identical to one uninterrupted run: {what} 1 -> 2"
    assert sentence in ended[0].err
    assert any(sentence in row["text"] for row in forge.events(run, "warning"))
    result = forge.json.loads((run / "result.json").read_text())
    assert any(sentence in text for text in result["warnings"])
    for a, b in zip(forge.rows(whole), forge.rows(run), strict=True):
        if "loss" in a:
            assert abs(a["loss"] - b["loss"]) <= 1e-3


def hold(seconds: float) -> None:
    """Stay in the first step for a while."""
    from test_signals import before_call

    from lmcompare.objectives.mlm_nsp import MlmNsp

    before_call(MlmNsp, "losses", 1, functools.partial(time.sleep, seconds))


PAIRS = [pytest.param(n, marks=[] if n < 1 else [pytest.mark.full]) for n in range(20)]


@pytest.mark.slow
@pytest.mark.parametrize("number", PAIRS)
def test_f17_second_is_told_who_holds_the_run(
    place: Place, pretrained: Reference, tmp_path: Path, number: int
) -> None:
    run = tmp_path / "run"
    words = place.pretrain(run)
    first = forge.start(*words, home=tmp_path, setup=functools.partial(hold, 60.0))
    while not forge.events(run, "machine") if (run / "events.jsonl").is_file() else True:
        time.sleep(0.005)
    second = forge.lmc(*words, home=tmp_path)
    assert second.status == 2 and second.clean
    holder = re.search(r"locked by pid (\d+) on host (\S+)", second.err)
    assert holder and int(holder[1]) == first.process.pid and holder[2] == socket.gethostname()
    assert len(forge.events(run, "start")) == 1  # the second one wrote nothing
    assert first.kill()
    first.wait()
    third = forge.lmc(*words, home=tmp_path)  # the lock died with its holder
    assert third.status == 0 and third.clean, third.err
    assert forge.outcome(run) == pretrained.outcome


@pytest.mark.slow
def test_f17_at_the_same_moment(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = place.pretrain(run)
    children = [forge.start(*words, home=tmp_path, setup=functools.partial(hold, 3.0)) for _ in range(4)]
    ended = [child.wait() for child in children]
    assert sorted(e.status for e in ended) == [0, 2, 2, 2]
    assert all("locked by" in e.err for e in ended if e.status)
    assert forge.outcome(run) == pretrained.outcome
    assert len(forge.events(run, "start")) == 1


Change = Callable[[Place, Path], list[Any]]


def other_rate(place: Place, run: Path) -> list[Any]:
    return place.pretrain(run, "--set", "optimizer.rate=0.002")


def other_tokenizer(place: Place, run: Path) -> list[Any]:
    return place.pretrain(run, "--set", "tokenizer.size=119")


def other_text(place: Place, run: Path) -> list[Any]:
    words = place.pretrain(run)
    text = Path(words[3]).read_text(encoding="utf-8")
    changed = run.parent / "corpus.txt"
    changed.write_text(text.replace("teacher", "student", 1), encoding="utf-8")
    return [*words[:3], changed, *words[4:]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "field"),
    [(other_rate, "optimizer.rate"), (other_tokenizer, "tokenizer.size"), (other_text, "data")],
)
def test_f9_changed_meanwhile(place: Place, tmp_path: Path, change: Change, field: str) -> None:
    run = tmp_path / "run"
    stop = functools.partial(stop_after, 10)
    assert forge.lmc(*place.pretrain(run), home=tmp_path, setup=stop).status == 75
    words = change(place, run)
    refused = forge.lmc(*words, home=tmp_path)
    assert refused.status == 2 and refused.clean
    assert field in refused.err and "--allow-change" in refused.err and "--force" in refused.err
    allowed = forge.lmc(*words, "--allow-change", home=tmp_path)
    assert allowed.status == 0 and allowed.clean, allowed.err
    finished = forge.lmc(*place.pretrain(run), home=tmp_path)  # a finished run is held to it, too
    assert finished.status == 2 and field in finished.err


@pytest.mark.slow
def test_f9_another_model(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    other, run = tmp_path / "other", tmp_path / "run"
    assert forge.lmc(*place.pretrain(other, "--seed", 2), home=tmp_path).status == 0
    model = tmp_path / "model"
    model.symlink_to(pretrained.run)
    stop = functools.partial(stop_after, 10)
    words = place.transfer("finetune", model, run)
    assert forge.lmc(*words, home=tmp_path, setup=stop).status == 75
    model.unlink()
    model.symlink_to(other)  # the same name, other weights
    refused = forge.lmc(*words, home=tmp_path)
    assert refused.status == 2 and refused.clean and "model" in refused.err


def narrow_second(room: int) -> None:
    """The second process's GPU has no room for so many examples in an evaluation; the first one's has."""
    import torch

    from lmcompare.objectives.mlm_nsp import MlmNsp
    from lmcompare.transfer.learner import TaskLearner

    if os.environ["RANK"] == "0":
        return
    forward, answers = MlmNsp.forward, TaskLearner.answers

    def fits(rows: int) -> None:
        if rows > room:
            raise torch.OutOfMemoryError("no room on this pretended GPU")

    def seen(self: Any, batch: Any) -> Any:
        if not self.training:
            fits(len(batch.random_B))
        return forward(self, batch)

    def answered(self: Any, dataset: Any, chosen: Any, device: Any) -> Any:
        fits(len(chosen))
        return answers(self, dataset, chosen, device)

    MlmNsp.forward, TaskLearner.answers = seen, answered  # type: ignore[method-assign]


@pytest.mark.slow
def test_f22_one_of_two_has_less_room(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    """Both read fewer at a time in their evaluations, and neither waits for the other."""
    write_second_task(place.folder / "glue" / "CoLA")
    runs = {
        "pretrain": place.pretrain,
        "transfer": functools.partial(place.transfer, "finetune", pretrained.run),
        "together": functools.partial(together, place, pretrained.run),
    }
    for name, words in runs.items():
        for child in pair(words(tmp_path / f"{name}-wide"), tmp_path):
            assert child.wait().status == 0
        children = pair(words(tmp_path / name), tmp_path, functools.partial(narrow_second, 3))
        for child in children:
            ended = child.wait(60.0)
            assert ended.status == 0 and ended.clean, ended.err
        assert forge.outcome(tmp_path / name) == forge.outcome(tmp_path / f"{name}-wide"), name


def ask_second_to_stop() -> None:
    """A signal that one of two sees between two batches of an evaluation."""
    from test_signals import before_call

    from lmcompare.experiments import transfer
    from lmcompare.transfer.learner import TaskLearner

    transfer.EVALUATION_BATCH = 4
    if os.environ["RANK"] == "1":
        before_call(TaskLearner, "answers", 2, functools.partial(os.kill, os.getpid(), signal.SIGTERM))


@pytest.mark.slow
def test_f7_one_is_asked_to_stop_in_an_evaluation(
    place: Place, pretrained: Reference, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = place.transfer("finetune", pretrained.run, run)
    children = pair(words, tmp_path, ask_second_to_stop)
    assert [child.wait(60.0).status for child in children] == [75, 75]
    for child in pair(words, tmp_path):
        assert child.wait().status == 0
    forge.no_gap(run, STEPS)
