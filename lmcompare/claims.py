"""Who makes which run, and where it is once it is made: a small file a run, known by all that decides its outcome,
beside the studies of a runs folder. Whoever holds its lock makes the run; the others wait, or do something else. The
locks are flock's, which the kernel drops with their process: none is ever stale. Over NFS they hold from Linux 2.6.12
on, unless the folder is mounted with `nolock` or `local_lock`."""

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from lmcompare import files, results, signals
from lmcompare.errors import Locked

FOLDER = ".claims"  # in the runs folder
SIZE = 1024  # bytes of a claim: it is written over in one go, so that no kill leaves half of it
WAIT = 0.1  # seconds from one look to the next


class Claim:
    """What is known of a run by whoever holds it."""

    def __init__(self, file: IO[bytes], root: Path) -> None:
        self.file, self.root = file, root
        row = read(file)
        self.run: str | None = row.get("run")
        self.failure: dict[str, Any] = row.get("failure") or {}  # of whoever held it last

    def made(self) -> Path | None:
        """The folder of the run that has finished already."""
        path = self.root / self.run if self.run else None
        return path if path is not None and results.finished(path) is not None else None

    def tell(self, run: Path) -> None:
        """Say where the run is that stands for it from now on."""
        self.run = os.path.relpath(run, self.root)
        sign(self.file, {"run": self.run})

    def fail(self, reason: str, status: int) -> None:
        """Say so to those who wait for it: they need not find out for themselves."""
        row = {"run": self.run, "failure": {"reason": reason, "status": status}}
        over = len(packed(row)) - SIZE
        while over > 0 and reason:
            # A sign has up to six bytes there, so this many at least are too many.
            reason = reason[: -(over // 6 + 1)]
            row["failure"] = {"reason": f"{reason} …", "status": status}
            over = len(packed(row)) - SIZE
        sign(self.file, row)

    def begin(self) -> None:
        """Why it failed before says nothing any more."""
        self.failure = {}
        sign(self.file, {"run": self.run})


@contextlib.contextmanager
def claimed(root: Path, key: str, *, wait: bool = False) -> Iterator[Claim]:
    """Hold a run. One that another process holds is waited for, or told as Locked."""
    folder = root / FOLDER
    with files.disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with files.disk(folder / key), opened(folder / key) as file:
        if not lock(file, wait=wait):
            raise Locked(f"held by {read(file).get('by', 'another process')}")
        claim = Claim(file, root)
        # Whoever waits for it still finds why it failed: the first of them does not make it.
        sign(file, {"run": claim.run, **({"failure": claim.failure} if claim.failure else {})})
        yield claim


def made(root: Path, key: str) -> Path | None:
    """The same without holding it: the folder of the run that has finished."""
    path = root / FOLDER / key
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return Claim(file, root).made()


class Presence:
    """That somebody is at work in a folder, as others see it."""

    def __init__(self, folder: Path, file: IO[bytes]) -> None:
        self.folder, self.file = folder, file

    @contextlib.contextmanager
    def alone(self, *, last: bool = False) -> Iterator[bool]:
        """Whether nobody else is at work here; within this block nobody begins or ends. With `last` we are gone after
        it, so that of two who end at once the second is alone."""
        # A lock that is changed is let go of in between, so only one changes its own at a time.
        with held(self.folder / ".gate"):
            free = lock(self.file, wait=False)
            fcntl.flock(self.file, fcntl.LOCK_SH)
            if free:
                sign(self.file, {})
            yield free
            if last:
                fcntl.flock(self.file, fcntl.LOCK_UN)

    def other(self) -> str:
        """Who came first."""
        return read(self.file).get("by", "another process")


@contextlib.contextmanager
def at_work(folder: Path) -> Iterator[Presence]:
    with files.disk(folder), opened(folder / "lock") as file:
        yield Presence(folder, file)


def opened(path: Path) -> IO[bytes]:
    """To be read, written over, and locked, whether it is there or not."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)


def read(file: IO[bytes]) -> dict[str, Any]:
    """What is written there; what cannot be read says nothing, and is written over."""
    try:
        row = json.loads(os.pread(file.fileno(), SIZE, 0).strip(b" \0"))
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def sign(file: IO[bytes], row: Mapping[str, Any]) -> None:
    os.pwrite(file.fileno(), packed(row).ljust(SIZE), 0)


def packed(row: Mapping[str, Any]) -> bytes:
    """The row, with who writes it."""
    row = {**row, "by": f"pid {os.getpid()} on host {socket.gethostname()}"}
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "replace")


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Alone for a moment, over all processes: whoever comes second waits."""
    with files.disk(path), opened(path) as file:
        lock(file, wait=True)
        yield


def lock(file: IO[bytes], *, wait: bool) -> bool:
    """Whether it is ours now; a signal ends the waiting."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if not wait:
                return False
        signals.check()
        time.sleep(WAIT)


def name(identity: Mapping[str, Any]) -> str:
    """What a run is known by: longer than what its folder ends with, since it is never held against the run itself."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:20]
