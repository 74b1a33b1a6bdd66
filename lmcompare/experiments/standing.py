"""How a run stands that has no figure: why, and what to do about it."""

import os
import socket
from typing import Any

from lmcompare import results
from lmcompare.results import Record

ENDED = {
    1: "a bug",
    2: "a mistake in what was asked",
    3: "the data",
    4: "the model or a checkpoint",
    5: "memory, disk or permission",
    6: "it diverged",
}  # by exit status


def why(record: Record) -> str | None:
    """Why there is no figure, and what to do about it."""
    if record.failure:
        status = record.failure.get("status")
        cause = f" (exit status {status}: {ENDED[status]})" if status in ENDED else ""
        return f"it failed: {record.failure.get('reason') or 'no reason is on record'}{cause}"
    if record.status == "unfinished":
        events = list(results.read_lines(record.path / "events.jsonl"))
        last: dict[str, Any] = next(
            (row for row in reversed(events) if row["event"] in ("start", "paused", "end")), {}
        )
        at = f" after step {record.log[-1]['step']:,} of its log" if record.log else " before its first step"
        begun: dict[str, Any] = next((row for row in reversed(events) if row["event"] == "start"), {})
        who = f"pid {begun.get('pid')} on host {begun.get('host')}"
        if last.get("event") == "paused":
            return f"it was stopped{at}; the same command goes on from its last checkpoint"
        if lives(begun):
            return f"it is being made now, by {who}{at.replace(' after', ', after').replace(' before', ', before')}"
        return (
            f"it ended without a word{at}, as a process does that is killed ({who}); the same command goes on"
        )
    primary = (record.result or {}).get("primary") or {}
    if primary and primary.get("value") is None:
        undefined = ((record.result or {}).get("undefined") or {}).get(primary["split"]) or {}
        return (
            f"{primary['metric']} is undefined: {undefined.get(primary['metric'], 'no reason is on record')}"
        )
    return None


def lives(begun: dict[str, Any]) -> bool:
    """Whether the process that began a run is there still, as far as can be seen from this machine."""
    if begun.get("host") != socket.gethostname() or not begun.get("pid"):
        return False
    try:
        os.kill(begun["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
