"""What a runs folder holds at this moment: every run with how far it is, every study. Asked again, it reads what has
changed and nothing else, and takes no lock, so that nobody who works there notices."""

import contextlib
import json
import os
import re
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmcompare import files
from lmcompare.config import task_name
from lmcompare.experiments.compare import arm_name
from lmcompare.experiments.ledger import LEDGER

MOST_POINTS = 60  # of a little curve
HELD = re.compile(r"pid (\d+) on host (\S+)")
WRITTEN = ("run.json", "result.json", "failure.json", "events.jsonl", "log.jsonl", "lock")

Facts = dict[str, Any]
Stamp = tuple[int, int, int]  # a file: which, when, how long


@dataclass
class Tail:
    """A growing file of JSON lines, read from where the last reading ended; from the start where it was replaced."""

    path: Path
    stamp: Stamp = (0, 0, 0)
    offset: int = 0
    rows: list[Facts] = field(default_factory=list)

    def read(self) -> list[Facts]:
        now = stamp(self.path)
        if now != self.stamp:
            if now[0] != self.stamp[0] or now[2] < self.offset:
                self.offset, self.rows = 0, []
            self.stamp = now
            self.rows += self._more() if now != (0, 0, 0) else []
        return self.rows

    def _more(self) -> Iterator[Facts]:
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            whole, end, _ = file.read().rpartition(b"\n")
        self.offset += len(whole) + len(end)
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):  # half a line of a writer that was killed, and mended since
                yield json.loads(line)


@dataclass
class Seen:
    """A run as it was found the last time."""

    path: Path
    stamps: tuple[Stamp, ...] = ()
    facts: Facts = field(default_factory=dict)
    version: int = 0
    log: Tail = field(init=False)
    events: Tail = field(init=False)

    def __post_init__(self) -> None:
        self.log, self.events = Tail(self.path / "log.jsonl"), Tail(self.path / "events.jsonl")


class Overview:
    """The folder's state, numbered: whoever knows one number is told what came after it."""

    def __init__(self, root: Path) -> None:
        self.root, self.version, self.known = root, 0, dict[str, Seen]()
        self.gone: dict[str, int] = {}
        self.began = secrets.token_hex(4)  # numbers of another beginning mean nothing here

    def look(self, since: int = 0) -> Facts:
        held, found = locks(), dict(folders(self.root))
        self.version += 1
        for name in [name for name in self.known if name not in found]:
            del self.known[name]
            self.gone[name] = self.version
        for name, path in found.items():
            self._update(name, path, held)
        runs = [seen.facts for seen in self.known.values() if seen.version > since]
        return {
            "began": self.began,
            "version": self.version,
            "runs": runs,
            "gone": [name for name, version in self.gone.items() if version > since and name not in found],
            "studies": [self.study(path) for path in sorted(self.root.glob(f"*/{LEDGER}"))],
            "counts": counted([seen.facts for seen in self.known.values()]),
        }

    def _update(self, name: str, path: Path, held: set[tuple[int, int]] | None) -> None:
        seen = self.known.setdefault(name, Seen(path))
        now = tuple(stamp(path / part) for part in WRITTEN)
        if now == seen.stamps and seen.facts["status"] != "running":
            return
        facts = told(name, seen, held)
        if facts != seen.facts:
            seen.facts, seen.version = facts, self.version
        seen.stamps = now

    def study(self, ledger: Path) -> Facts:
        """A study by its list of runs."""
        name = ledger.parent.name
        mine = [seen.facts["status"] for key, seen in self.known.items() if key.startswith(f"{name}/")]
        facts: Facts = {"name": name, "title": name, "running": mine.count("running")}
        try:
            table = files.read_json(ledger)
            entries = list(table["runs"].values())
            lost = sum("reason" in entry for entry in entries)
            facts |= {"title": table["title"], "finished": len(entries) - lost, "failed": lost}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            facts["reason"] = f"{LEDGER} cannot be read: {error}"
        return facts


def stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def folders(root: Path) -> Iterator[tuple[str, Path]]:
    """The runs in a folder and in the folders in it, by name. A link may lead anywhere, and is not followed."""
    for entry in sorted(inside(root), key=lambda entry: entry.name):
        path = Path(entry.path)
        if (path / "run.json").is_file():
            yield entry.name, path
            continue
        for inner in sorted(inside(path), key=lambda inner: inner.name):
            if os.path.isfile(os.path.join(inner.path, "run.json")):
                yield f"{entry.name}/{inner.name}", Path(inner.path)


def inside(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [e for e in entries if not e.name.startswith(".") and e.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def locks() -> set[tuple[int, int]] | None:
    """Every lock on a file that a process of this machine holds, as (process, file); None where that is not told."""
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    rows = [line.split() for line in lines]
    return {(int(r[4]), int(r[5].rpartition(":")[2])) for r in rows if len(r) > 5 and r[1] == "FLOCK"}


def holder(path: Path, held: set[tuple[int, int]] | None) -> str:
    """Who has a run open: "" where nobody does. To try the lock would be to take it."""
    try:
        lock = path / "lock"
        found = HELD.search(lock.read_text(encoding="utf-8"))
        number = lock.stat().st_ino
    except OSError:
        return ""
    if found is None or found[2] != socket.gethostname():
        return ""
    process = int(found[1])
    if held is not None:
        return found[0] if (process, number) in held else ""
    try:
        os.kill(process, 0)
    except OSError:
        return ""
    return found[0]


def told(name: str, seen: Seen, held: set[tuple[int, int]] | None) -> Facts:
    """A run as the page shows it; one whose files are damaged says so, and the others stand."""
    path = seen.path
    facts: Facts = {"name": name, "status": "unreadable", "what": "", "updated": updated(path)}
    try:
        config = files.read_json(path / "run.json")["config"]
        result, failure = (maybe(path / part) for part in ("result.json", "failure.json"))
        facts["what"] = what(config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return facts | {"reason": f"cannot be read: {error}"}
    working = "" if result else holder(path, held)
    facts["status"] = (
        "finished" if result else "running" if working else "failed" if failure else "unfinished"
    )
    facts |= curve(seen)
    if result:
        primary = result.get("primary") or {}
        dev = (result.get("metrics") or {}).get("dev") or {}
        figures = {primary["metric"]: primary["value"]} if primary else dict(list(dev.items())[:3])
        facts |= {"figures": figures, "split": primary.get("split", "dev"), "seconds": result.get("seconds")}
    elif failure and not working:
        facts["reason"] = str(failure.get("reason"))
    return facts


def curve(seen: Seen) -> Facts:
    """The training loss, how far it is, and the newest figures on held-out examples."""
    log, events = seen.log.read(), seen.events.read()
    losses = [(row["step"], row["loss"]) for row in log if "loss" in row]
    dev: Facts = next((row["metrics"] for row in reversed(log) if row.get("split") == "dev"), {})
    plan: Facts = next((row for row in reversed(events) if row.get("event") == "budget"), {})
    stride = max(1, -(-len(losses) // MOST_POINTS))
    step = log[-1]["step"] if log else None
    total = plan["total"] + plan["began"] if plan.get("unit") == "steps" else None
    return {
        "step": step,
        "total": total,
        "loss": losses[-1][1] if losses else None,
        "curve": [*losses[::stride], *(losses[-1:] if len(losses) % stride != 1 and stride > 1 else [])],
        "figures": dict(list(dev.items())[:3]),
        "split": "dev",
    }


def what(config: Facts) -> str:
    """What the run does, in words."""
    parts = [arm_name(config)]
    if isinstance(config.get("task"), dict):
        parts.append(task_name(config["task"]))
    if config.get("seed") is not None:
        parts.append(f"seed {config['seed']}")
    return " · ".join(parts)


def updated(path: Path) -> float:
    """When something last happened in a run, in seconds."""
    return max(stamp(path / part)[1] for part in WRITTEN) / 1e9


def maybe(path: Path) -> Any:
    return files.read_json(path) if path.is_file() else None


def counted(runs: list[Facts]) -> dict[str, int]:
    found: dict[str, int] = {}
    for run in runs:
        found[run["status"]] = found.get(run["status"], 0) + 1
    return found
