"""Blocks of work spread over processes, with the answers in the order of the blocks: what comes out is the same
whatever their number.

A worker is a plain Python process between two pipes, without torch. It ends when the pipe that feeds it closes, so
none outlives the process that it works for, however that one ends."""

import contextlib
import importlib
import json
import os
import select
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, cycle, islice
from typing import Any, TypeVar

from lmcompare.errors import ResourceError

Work = Callable[[bytes], bytes]
Hire = Callable[[], tuple[str, dict[str, Any]]]  # "module:function", and what it is told to make the work
T = TypeVar("T")

FEW = 8  # blocks; with fewer, it is not worth starting processes
HEAD = struct.Struct("<cQ")  # kind and length of what follows
ANSWER, BUG, MEMORY = b"+", b"!", b"m"
TURN = 0.2  # seconds between two looks at whether a signal asks for the end
ALONE = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}


@contextlib.contextmanager
def ordered(
    blocks: Iterable[tuple[T, bytes]],
    work: Work,
    hire: Hire,
    *,
    workers: int,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Iterator[tuple[T, bytes]]]:
    """Each block's first half with what the work makes of its second: here, or in so many processes that make
    themselves the same work. The processes are gone when the block ends."""
    stream = iter(blocks)
    first = list(islice(stream, FEW)) if workers > 1 else []
    if len(first) < FEW:
        yield ((what, _checked(work, data, check)) for what, data in chain(first, stream))
        return
    hired: list[Worker] = []
    try:
        function, told = hire()
        hired += [Worker(function, told) for _ in range(workers)]
        yield _in_turn(hired, chain(first, stream), check)
    finally:
        for worker in hired:
            worker.dismiss()


def _checked(work: Work, data: bytes, check: Callable[[], None]) -> bytes:
    check()
    return work(data)


def _in_turn(
    hired: "list[Worker]", blocks: Iterator[tuple[T, bytes]], check: Callable[[], None]
) -> Iterator[tuple[T, bytes]]:
    """Worker after worker gets one block and is asked for its answer before it gets the next."""
    busy: list[tuple[Worker, T]] = []
    for worker, (what, data) in zip(cycle(hired), blocks, strict=False):
        check()
        ready = None
        if len(busy) == len(hired):
            before, asked = busy.pop(0)
            ready = (asked, before.answer(check))
        worker.give(data, check)
        busy.append((worker, what))
        if ready:
            yield ready
    for worker, what in busy:
        yield what, worker.answer(check)


class Worker:
    """A process that answers blocks, one at a time."""

    def __init__(self, function: str, told: dict[str, Any]) -> None:
        # -P: a random.py in the folder that the command is given in must not pass for the standard one.
        words = [sys.executable, "-P", "-m", "lmcompare.text.spread", function, json.dumps(told)]
        # In a session of its own: Ctrl-C at the terminal is for the process that it works for.
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | ALONE,
            start_new_session=True,
            bufsize=0,
        )
        self.poll = select.poll()
        assert self.process.stdin and self.process.stdout
        self.source, self.sink = self.process.stdout.fileno(), self.process.stdin.fileno()
        self.poll.register(self.source, select.POLLIN)

    def give(self, data: bytes, check: Callable[[], None]) -> None:
        """It has nothing else to do, so it reads all of it."""
        try:
            for part in (HEAD.pack(ANSWER, len(data)), data):
                view = memoryview(part)
                while view:
                    view = view[os.write(self.sink, view) :]
        except BrokenPipeError:
            self._gone(check)

    def answer(self, check: Callable[[], None]) -> bytes:
        kind, length = HEAD.unpack(self._read(HEAD.size, check))
        data = self._read(length, check)
        if kind == MEMORY:
            raise MemoryError("in a process that cuts the corpus")
        if kind == BUG:
            raise RuntimeError(f"in a process that cuts the corpus:\n{data.decode(errors='replace')}")
        return data

    def dismiss(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def _read(self, length: int, check: Callable[[], None]) -> bytes:
        parts = []
        while length:
            while not self.poll.poll(1000 * TURN):
                check()
            data = os.read(self.source, min(length, 1 << 20))
            if not data:
                self._gone(check)
            parts.append(data)
            length -= len(data)
        return b"".join(parts)

    def _gone(self, check: Callable[[], None]) -> None:
        status = self.process.wait()
        check()
        if status < 0:
            raise ResourceError(
                f"a process that cuts the corpus was killed by signal {-status}; out of memory? The same command "
                "goes on from its last mark (corpus.workers=1 needs the least memory)"
            )
        raise ResourceError(
            f"a process that cuts the corpus ended with status {status}; what it said itself stands above. The same "
            "command goes on from its last mark (corpus.workers=1 starts no such process)"
        )


def serve() -> None:
    """The worker's side: make the work, then an answer for every block until there are no more."""
    # What a library prints must not get between the answers.
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):
        try:
            module, _, function = sys.argv[1].partition(":")
            work: Work = getattr(importlib.import_module(module), function)(**json.loads(sys.argv[2]))
            while len(head := source.read(HEAD.size)) == HEAD.size:
                answer = work(source.read(HEAD.unpack(head)[1]))
                sink.write(HEAD.pack(ANSWER, len(answer)) + answer)
                sink.flush()
        except MemoryError:
            sink.write(HEAD.pack(MEMORY, 0))
            sink.flush()
        except Exception:
            told = traceback.format_exc().encode(errors="replace")
            sink.write(HEAD.pack(BUG, len(told)) + told)
            sink.flush()
    # At once: whatever is still in a buffer has no reader.
    os._exit(0)


if __name__ == "__main__":
    serve()
