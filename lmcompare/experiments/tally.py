"""How far a grid of runs is: on a terminal one line that moves below what is told of each run."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from lmcompare.progress import clock


class Tally:
    """Runs by what has become of them. Those that were there already say nothing of the time that is left."""

    def __init__(self, total: int) -> None:
        self.total, self.there, self.done, self.failed = total, 0, 0, 0
        self.running: set[Any] = set()
        self.began = time.monotonic()

    @property
    def settled(self) -> int:
        return self.there + self.done + self.failed

    def ended(self, key: Any, *, failed: bool = False, made: bool = True) -> None:
        self.running.discard(key)
        if failed:
            self.failed += 1
        elif made:
            self.done += 1
        else:
            self.there += 1

    def left(self) -> float | None:
        """Seconds, if the rest goes on as those did that were made now."""
        if not self.done:
            return None
        return (time.monotonic() - self.began) / (self.done + self.failed) * (self.total - self.settled)

    def short(self) -> str:
        """What a line about one run ends with."""
        failed = f", {self.failed} failed" if self.failed else ""
        seconds = self.left() if self.settled < self.total else None
        return failed + (f", {clock(seconds)} left" if seconds is not None else "")

    def text(self) -> str:
        counts = {"done": self.there + self.done, "failed": self.failed, "running": len(self.running)}
        counts["left"] = self.total - self.settled - len(self.running)
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count or word == "done")
        seconds = self.left()
        return f"{told} of {self.total} runs" + (f" · {clock(seconds)} left" if seconds is not None else "")

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        if not sys.stderr.isatty():
            yield
            return
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        console = Console(stderr=True)
        if console.is_dumb_terminal:
            yield
            return
        with Live(
            get_renderable=lambda: Text(self.text(), overflow="ellipsis", no_wrap=True),
            console=console,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,
        ):
            yield
