"""Who makes which run: what a claim says stays readable whatever a failure's reason is, and those who wait for a run
that has failed are told so."""

import fcntl
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from lmcompare import claims
from lmcompare.errors import Locked, UserError
from lmcompare.experiments import jobs

REASONS = ["短い" * 500, "\0" * 900, "é" * 700, '"\\' * 600, "\udc80" * 400, "short"]


@pytest.mark.parametrize("reason", REASONS, ids=range(len(REASONS)))
def test_a_failure_is_kept_whatever_its_reason(tmp_path: Path, reason: str) -> None:
    with claims.claimed(tmp_path, "key") as claim:
        claim.fail(reason, 3)
    assert (tmp_path / claims.FOLDER / "key").stat().st_size == claims.SIZE
    with claims.claimed(tmp_path, "key") as claim:
        told = claim.failure["reason"].removesuffix(" …")
        assert claim.failure["status"] == 3
        assert len(told) >= 100 or told == reason
        assert reason.encode("utf-8", "replace").decode().startswith(told)
        claim.tell(tmp_path / "run")
    with claims.claimed(tmp_path, "key") as claim:
        assert claim.run == "run" and not claim.failure


@pytest.mark.parametrize("text", [b'{"run": "half', b"\xff\xfe", b"[1]", b""])
def test_a_claim_that_cannot_be_read_says_nothing(tmp_path: Path, text: bytes) -> None:
    (tmp_path / claims.FOLDER).mkdir()
    (tmp_path / claims.FOLDER / "key").write_bytes(text)
    assert claims.made(tmp_path, "key") is None
    with claims.claimed(tmp_path, "key") as claim:
        assert claim.run is None and not claim.failure


def asked(root: Path, *, wait: bool) -> dict[str, Any]:
    """A baseline that cannot be made: no such file."""
    task = {"name": "own", "train": str(root / "none.csv")}
    config = {"baseline": {"name": "bow"}, "task": task}
    places = {"runs": str(root), "claims": str(root), "share": "key", "data": None}
    return {"kind": "baseline", "arm": "a", "config": config, "force": False, "wait": wait, **places}


def test_all_who_wait_for_a_run_are_told_why_it_failed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv"):
        jobs.work(asked(tmp_path, wait=False))
    for _ in range(2):  # the first that waits leaves it to the next
        told = jobs.work(asked(tmp_path, wait=True))
        assert "none.csv" in told["reason"] and told["status"] == 3
    # A new call makes it again; while it does so, nobody is told of what was before.
    with claims.claimed(tmp_path, "key") as claim:
        assert claim.failure
        claim.begin()
    with claims.claimed(tmp_path, "key") as claim:
        assert not claim.failure


def test_a_run_that_is_held_is_told_as_such(tmp_path: Path) -> None:
    again = claims.claimed(tmp_path, "key")
    with claims.claimed(tmp_path, "key"), pytest.raises(Locked, match="held by pid"), again:
        pass


def test_of_two_who_end_at_once_the_second_is_alone(tmp_path: Path) -> None:
    """The first has looked, and is not gone yet."""
    looked, found = threading.Event(), list[bool]()

    def first() -> None:
        with claims.at_work(tmp_path) as presence:
            with presence.alone(last=True) as alone:
                found.append(alone)
            looked.set()
            time.sleep(0.5)

    with claims.at_work(tmp_path) as presence:
        fcntl.flock(presence.file, fcntl.LOCK_SH)
        thread = threading.Thread(target=first)
        thread.start()
        looked.wait(10)
        with presence.alone(last=True) as alone:
            found.append(alone)
        thread.join()
    assert found == [False, True]
