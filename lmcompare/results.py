"""One folder a run. `run.json` says what it is, `log.jsonl` how it went, `predictions-*.jsonl` what it answered for
every example; `result.json` comes last, so a run that has one is finished. `events.jsonl` holds what may differ
between a run that was interrupted and one that was not: attempts, signals, warnings, seconds."""

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmcompare import config, cost, files, provenance
from lmcompare.errors import EXIT_BUG, Locked, ResourceError, Stopped, UserError

FORMAT = 1
NAME = re.compile(r"[A-Za-z0-9._-]{1,80}")


@dataclass(frozen=True)
class Record:
    """A run folder as read back."""

    path: Path
    run: str
    status: str  # finished | failed | unfinished
    config: dict[str, Any]
    result: dict[str, Any] | None
    failure: dict[str, Any] | None
    log: list[dict[str, Any]]
    # What else run.json says: kind, hashes, versions, commit.
    identity: dict[str, Any] = field(default_factory=dict)


class Run:
    """A run folder that this process holds the lock of; or, as a `follower`, one that another process writes."""

    def __init__(self, path: Path, *, follower: bool = False) -> None:
        self.path, self.name, self.follower = path, path.name, follower
        self.checkpoints, self.model = path / "checkpoints", path / "model"
        self.started = time.monotonic()
        events = list(read_lines(path / "events.jsonl"))
        self.attempt = 1 + sum(e["event"] == "start" for e in events)
        self.warnings: list[str] = [e["text"] for e in events if e["event"] == "warning"]
        self.meter = cost.Meter(events)

    def log(self, row: dict[str, Any]) -> None:
        append(self.path / "log.jsonl", row)

    def event(self, event: str, **facts: Any) -> None:
        if self.follower:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        append(
            self.path / "events.jsonl",
            {"event": event, "attempt": self.attempt, "time": now, **facts},
        )

    def warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)
            self.event("warning", text=sentence)

    def sync(self) -> None:
        """The log must be on disk before a checkpoint that stands for it."""
        if (self.path / "log.jsonl").is_file():
            files.sync(self.path / "log.jsonl")

    def machine(self, processes: int, threads: int, device: str) -> list[str]:
        """Note what computes; warnings where another number of threads or processes adds up in another order."""
        now = {"processes": processes, "threads": threads, "device": device}
        events = list(read_lines(self.path / "events.jsonl"))
        before = next((e["machine"] for e in reversed(events) if e["event"] == "machine"), now)
        self.event("machine", machine=now)
        self.meter.on(device, processes)
        changed = [
            f"not bit-identical to one uninterrupted run: {key} {before[key]} -> {now[key]}"
            for key in now
            if before[key] != now[key]
        ]
        for sentence in changed:
            self.warn(sentence)
        return changed

    def rewind(self, step: int, *, evaluated: bool) -> None:
        """Forget the log after the checkpoint that the run goes on from: those steps are made again, and so is the
        evaluation at the checkpoint's own step where it was not `evaluated` yet."""

        def stays(row: dict[str, Any]) -> bool:
            return row["step"] < step or (row["step"] == step and (evaluated or "split" not in row))

        rows = [row for row in read_lines(self.path / "log.jsonl") if stays(row)]
        files.write(self.path / "log.jsonl", "".join(line(row) for row in rows))

    def predictions(self, split: str, rows: Iterable[dict[str, Any]]) -> None:
        files.write(self.path / f"predictions-{split}.jsonl", "".join(line(row) for row in rows))

    def finish(self, result: dict[str, Any]) -> dict[str, Any]:
        """Write the result; from here on the run is finished."""
        seconds = time.monotonic() - self.started + self._seconds_before()
        full = {"format": FORMAT, "run": self.name, **result, "seconds": round(seconds, 3)}
        memory, unknown = provenance.MEMORY.peak()
        full |= {
            "warnings": self.warnings,
            "attempts": self.attempt,
            "peak_memory_mb": memory,
            "cost": {**self.meter.told(self.model, result.get("cost") or {}), "memory_reason": unknown},
        }
        self.event("end", **self._took())
        files.write_json(self.path / "result.json", full)
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        return full

    def fail(self, reason: str, status: int) -> None:
        if self.follower:
            return
        self.event("failed", reason=reason, status=status, **self._took())
        failure = {"format": FORMAT, "run": self.name, "reason": reason, "status": status}
        files.write_json(self.path / "failure.json", failure)

    def pause(self) -> None:
        self.event("paused", **self._took())

    def _took(self) -> dict[str, Any]:
        return {"seconds": round(time.monotonic() - self.started, 3), "cost": self.meter.took()}

    def _seconds_before(self) -> float:
        return sum(e.get("seconds", 0.0) for e in read_lines(self.path / "events.jsonl"))


@contextlib.contextmanager
def opened(
    path: Path,
    identity: dict[str, Any],
    *,
    force: bool = False,
    allow_change: bool = False,
    main: bool = True,
) -> Iterator[Run]:
    """Create or take up the run folder, alone: a second process is told who holds it. Of several processes of one
    run, only the `main` one writes."""
    if not main:
        yield Run(path, follower=True)
        return
    if not NAME.fullmatch(path.name) or path.name in (".", ".."):
        raise UserError(
            f"run name {path.name!r}: use 1 to 80 letters, digits, '.', '_' or '-', and no '..' in the path"
        )
    with files.disk(path):
        path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        files.sweep(path)
        if force or stillborn(path, identity):
            clear(path)
        previous = path / "run.json"
        if previous.is_file():
            same(files.read_json(previous), identity, path, allow_change)
        if not previous.is_file() or allow_change:
            files.write_json(
                previous, {**identity, "versions": provenance.versions(), "git": provenance.git_state()}
            )
        (path / "failure.json").unlink(missing_ok=True)
        (path / "checkpoints").mkdir(exist_ok=True)
        files.sweep(path / "checkpoints")
        mend(path / "events.jsonl")
        run = Run(path)
        run.event("start", pid=os.getpid(), host=socket.gethostname())
        with outcome(run):
            yield run


@contextlib.contextmanager
def outcome(run: Run) -> Iterator[None]:
    """A run that ends without a result says why: paused, failed by a cause that the user can mend, or a bug."""
    try:
        yield
    except Stopped:
        run.pause()
        raise
    except Exception as error:
        user = isinstance(error, UserError)
        with contextlib.suppress(ResourceError):  # the disk may be what failed
            run.fail(str(error) if user else f"bug: {error!r}", getattr(error, "status", EXIT_BUG))
        raise


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """The kernel drops the lock with its process, so none is ever stale."""
    with files.disk(path), open(path / "lock", "a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Locked(f"{path}: locked by {lock.read().strip() or 'another process'}") from None
        lock.seek(0)
        lock.truncate()
        lock.write(f"pid {os.getpid()} on host {socket.gethostname()}")
        lock.flush()
        yield


def root() -> Path:
    """Where runs are kept: LMC_RUNS, or runs/ in the current folder."""
    return Path(os.environ.get("LMC_RUNS", "runs"))


def place(out: Path | None, stem: str, identity: dict[str, Any]) -> Path:
    """The run's folder: the one that was asked for, or a name that says what it is and ends with its fingerprint."""
    if out is not None:
        return out
    return root() / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', stem)[:70]}-{config.fingerprint(identity)}"


def done(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a run that has finished already; one that stands for something else is a UserError."""
    if (result := finished(path)) is None:
        return None
    same(files.read_json(path / "run.json"), identity, path, allow_change=False)
    return result | {"already": True}


def stillborn(path: Path, identity: dict[str, Any]) -> bool:
    """Whether a run failed before its first step, and is now asked for otherwise: there is nothing to go on from."""
    if not (path / "failure.json").is_file() or any(True for _ in read_lines(path / "log.jsonl")):
        return False
    previous = path / "run.json"
    return previous.is_file() and bool(changes(files.read_json(previous), identity))


def clear(path: Path) -> None:
    for item in path.iterdir():
        if item.name != "lock":
            shutil.rmtree(item) if item.is_dir() else item.unlink()


def same(before: dict[str, Any], now: dict[str, Any], path: Path, allow_change: bool) -> None:
    """A run goes on only with the config and data that it began with."""
    if (changed := changes(before, now)) and not allow_change:
        raise UserError(
            f"{path}: this run began otherwise: {'; '.join(changed[:5])}. Give another --out, start afresh "
            "with --force, or go on regardless with --allow-change"
        )


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Where two identities part, but for what changes no outcome."""
    old, new = config.flatten(before), config.flatten(now)
    keys = sorted(k for k in new.keys() | old.keys() if not k.startswith(("versions.", "git.")))
    return [
        f"{k}: {old.get(k)!r} → {new.get(k)!r}"
        for k in keys
        if old.get(k) != new.get(k) and not k.endswith(config.OPERATIONAL)
    ]


def read(path: Path) -> Record:
    """Read a run folder back; a folder that is none is a UserError."""
    try:
        run = files.read_json(path / "run.json")
    except (OSError, ValueError):
        raise UserError(f"{path}: not a run folder (it has no readable run.json)") from None
    result, failure = (_maybe(path / name) for name in ("result.json", "failure.json"))
    status = "finished" if result else "failed" if failure else "unfinished"
    try:
        log = list(read_lines(path / "log.jsonl"))
    except ValueError:
        raise UserError(f"{path / 'log.jsonl'}: not readable as JSON lines") from None
    around = {key: value for key, value in run.items() if key != "config"}
    return Record(path, path.name, status, run["config"], result, failure, log, around)


def _maybe(path: Path) -> dict[str, Any] | None:
    try:
        return files.read_json(path) if path.is_file() else None
    except ValueError:
        raise UserError(f"{path}: not readable as JSON; --force makes the run again") from None


def finished(path: Path) -> dict[str, Any] | None:
    with files.disk(path):
        return _maybe(path / "result.json")


def line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def append(path: Path, row: dict[str, Any]) -> None:
    """One line more, or none: half a line would spoil the next one."""
    data = line(row).encode()
    with files.disk(path, len(data)), open(path, "ab", buffering=0) as file:
        files.stage("append", path)
        whole = file.seek(0, os.SEEK_END)
        try:
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(whole)
            raise


def mend(path: Path) -> None:
    """Cut off the half line of a writer that was killed."""
    if path.is_file() and (data := path.read_bytes()) and not data.endswith(b"\n"):
        files.write(path, data[: data.rfind(b"\n") + 1])


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """JSON lines; a last line that a killed writer left unfinished is not there."""
    if not path.is_file():
        return
    with open(path, encoding="utf-8") as file:
        for text in file:
            if text.endswith("\n"):
                yield json.loads(text)
