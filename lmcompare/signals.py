"""SIGTERM, SIGUSR1 and Ctrl-C ask a job to save and end. The handler only sets a flag; loops look at it. A second
Ctrl-C ends at once."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from lmcompare.errors import EXIT_INTERRUPTED, EXIT_PREEMPTED, Stopped

_asked: list[int] = []
_blocks: list[None] = []  # that we are in


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Within this block the signals are requests, not deaths. A block in a block forgets none of them."""
    if not _blocks:
        _asked.clear()
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, _note) for number in wanted}
    _blocks.append(None)
    try:
        yield
    finally:
        _blocks.pop()
        for number, handler in before.items():
            signal.signal(number, handler)


def asked() -> bool:
    return bool(_asked)


def check() -> None:
    """For loops that have nothing to save."""
    if _asked:
        raise stopped()


def stopped() -> Stopped:
    number = _asked[0] if _asked else signal.SIGTERM
    if number == signal.SIGINT:
        return Stopped("interrupted", EXIT_INTERRUPTED)
    return Stopped(f"stopped by {signal.Signals(number).name}", EXIT_PREEMPTED)


def _note(number: int, _frame: object) -> None:
    if number == signal.SIGINT and signal.SIGINT in _asked:
        sys.stderr.write("interrupted twice: ended without saving\n")
        sys.stderr.flush()
        os._exit(EXIT_INTERRUPTED)
    _asked.append(number)
