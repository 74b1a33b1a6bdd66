"""How far a job is: a bar on a terminal, plain lines elsewhere. Goes to stderr; results go to stdout."""

import sys
import time
from typing import Any


class Progress:
    """Silent; what tests and worker processes use."""

    def start(self, total: int, done: int = 0) -> None: ...

    def update(self, done: int, *, loss: float | None = None, tokens: int = 0) -> None: ...

    def note(self, text: str) -> None: ...

    def stop(self) -> None: ...


class Meter(Progress):
    """What both visible forms know: loss, speed and time left."""

    def __init__(self, title: str) -> None:
        self.title, self.total, self.tokens = title, 0, 0
        self.loss: float | None = None
        self.began, self.first = time.monotonic(), 0
        self.noted = set[str]()  # so that nothing is told twice

    def start(self, total: int, done: int = 0) -> None:
        self.total, self.first, self.began, self.tokens = total, done, time.monotonic(), 0

    def update(self, done: int, *, loss: float | None = None, tokens: int = 0) -> None:
        self.tokens += tokens
        if loss is not None:
            self.loss = loss if self.loss is None else 0.9 * self.loss + 0.1 * loss

    def note(self, text: str) -> None:
        self.noted.add(text)
        self.say(text if text.startswith(f"{self.title}: ") else f"{self.title}: {text}")

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def facts(self, done: int) -> str:
        passed = max(1e-9, time.monotonic() - self.began)
        left = passed / max(1, done - self.first) * (self.total - done)
        loss = f"loss {self.loss:.3f} · " if self.loss is not None else ""
        speed = f"{self.tokens / passed:,.0f} tokens/s · " if self.tokens else ""
        return f"{loss}{speed}{clock(left)} left"


class Lines(Meter):
    """A line every few seconds, without control codes."""

    every = 10.0

    def start(self, total: int, done: int = 0) -> None:
        super().start(total, done)
        self.spoke = time.monotonic()

    def update(self, done: int, *, loss: float | None = None, tokens: int = 0) -> None:
        super().update(done, loss=loss, tokens=tokens)
        if time.monotonic() - self.spoke >= self.every or done == self.total:
            self.spoke = time.monotonic()
            self.note(f"{done}/{self.total} · {self.facts(done)}")


class Bar(Meter):
    """One line that moves."""

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.bar: Any = None

    def start(self, total: int, done: int = 0) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as RichProgress

        super().start(total, done)
        columns = [TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn()]
        self.bar = RichProgress(*columns, TextColumn("{task.fields[facts]}"), console=Console(stderr=True))
        self.task = self.bar.add_task(self.title, total=total, completed=done, facts="")
        self.bar.start()

    def update(self, done: int, *, loss: float | None = None, tokens: int = 0) -> None:
        super().update(done, loss=loss, tokens=tokens)
        self.bar.update(self.task, completed=done, facts=self.facts(done))

    def say(self, line: str) -> None:
        if self.bar is not None:
            self.bar.console.print(line, highlight=False, markup=False)
        else:
            super().say(line)

    def stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def meter(title: str) -> Meter:
    """The form that fits stderr."""
    return Bar(title) if sys.stderr.isatty() else Lines(title)


def clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
