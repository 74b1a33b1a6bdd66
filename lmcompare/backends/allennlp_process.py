"""The worker process that holds the authors' package: where its interpreter is, how it is asked, and what is said when
it is missing, dies, hangs, or talks out of turn."""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from typing import IO, Any

from lmcompare import signals
from lmcompare.errors import ModelError, ResourceError, UserError

VERSION = "2.10.1"
WORKER = Path(__file__).with_name("allennlp_worker.py")
PYTHON, TIMEOUT = "LMC_ALLENNLP_PYTHON", "LMC_ALLENNLP_TIMEOUT"
ENVIRONMENT = Path(".venv-allennlp", "bin", "python")  # what `make allennlp` builds
START = 25.0  # seconds of the processor's time until it has imported the package (which takes about 6)
ANSWER = 600.0  # seconds for any answer
IDLE = 15.0  # seconds without any use of the processor: it hangs
LOOK = 0.5  # seconds between two looks at that
LINES = 4  # of its last ones, in an error
LONGEST = 1 << 20  # bytes of an answer; arrays come as files
BUILT = "`make allennlp` in a checkout builds it"


def interpreter() -> str:
    """The interpreter of the environment that holds the package."""
    if given := os.environ.get(PYTHON):
        if found := shutil.which(given):
            return found
        raise ResourceError(
            f"{PYTHON} is {given!r}: no such program; it names the Python that holds allennlp"
        )
    for place in (Path.cwd() / ENVIRONMENT, Path(__file__).parents[2] / ENVIRONMENT):
        if os.access(place, os.X_OK):
            return str(place)
    raise ResourceError(
        f"allennlp {VERSION} is not installed: no {ENVIRONMENT} in the current folder or beside lmcompare; {BUILT}, "
        f"or {PYTHON} names a Python that holds it"
    )


def installed() -> str:
    """The version of the package there, and where; a UserError where there is none."""
    python = interpreter()
    code = "from importlib.metadata import version; print(version('allennlp'))"
    try:
        ended = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=START)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ResourceError(f"{python} does not answer ({type(error).__name__}); {BUILT}") from None
    if ended.returncode:
        raise ResourceError(f"{python} holds no allennlp; {BUILT}")
    return f"{printable(ended.stdout)}, {python}"


def patience() -> float | None:
    """Seconds for any answer, where they are set."""
    given = os.environ.get(TIMEOUT)
    if not given:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UserError(f"{TIMEOUT} is {given!r}: not a number of seconds")
    return seconds


class Process:
    """One question, one answer. What the worker or its libraries print is kept for errors and never taken for an
    answer: those come through a pipe of their own. It ends with this process, or when it is forgotten."""

    def __init__(self) -> None:
        self.python, given = interpreter(), patience()
        self.limit = given or ANSWER
        self.folder = Path(tempfile.mkdtemp(prefix="lmc-allennlp-"))
        self.answers, theirs = os.pipe()
        self.rest = b""
        self.said: deque[bytes] = deque(maxlen=50)
        try:
            # -I: the worker's own folder holds a file of ours that is named like the package
            self.process = subprocess.Popen(
                [self.python, "-I", str(WORKER), str(self.folder), str(theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs,),
                start_new_session=True,  # Ctrl-C is for this process to deal with
            )
        except OSError as error:
            os.close(self.answers)
            shutil.rmtree(self.folder, ignore_errors=True)
            raise ResourceError(f"{self.python} cannot be started: {error.strerror}; {BUILT}") from None
        finally:
            os.close(theirs)
        self.listener = threading.Thread(target=_keep, args=(self.process.stdout, self.said), daemon=True)
        self.listener.start()
        self.close = weakref.finalize(self, _end, self.process, self.answers, self.folder)
        hello = self.ask("hello", "starting", {}, work=given or START, error=ResourceError)
        if (found := hello.get("allennlp")) != VERSION:
            self.close()
            raise ResourceError(f"{self.python} holds allennlp {found}; the reference is {VERSION}: {BUILT}")

    def ask(
        self,
        what: str,
        doing: str,
        facts: dict[str, Any],
        *,
        work: float | None = None,
        error: type[UserError] = ModelError,
    ) -> dict[str, Any]:
        """Its answer. After anything else it is ended: what it might still say would answer no question."""
        who = f"allennlp's worker ({self.python})"
        question = json.dumps({"do": what, **facts}).encode("ascii") + b"\n"
        good = False
        try:
            answer = self._exchange(question, work)
            if answer is None:
                raise error(f"{who} {self._ended()} while {doing}{self._heard()}")
            try:
                table = json.loads(answer)
                good = bool(table["ok"])
            except (ValueError, KeyError, TypeError):
                raise error(f"{who} answered no JSON while {doing}{self._heard()}") from None
            if not good:
                raise error(f"{who} failed while {doing}: {printable(str(table.get('error')))}")
            return table
        except TimeoutError as late:
            raise ResourceError(
                f"{who} {late} while {doing}; {TIMEOUT} sets how long an answer may take{self._heard()}"
            ) from None
        finally:
            if not good:
                self.close()

    def _exchange(self, question: bytes, work: float | None) -> bytes | None:
        """The line that it answers; None where it has ended. It may take so long, and use the processor so long."""
        watch, over = Watch(self.process.pid, self.limit, work), False
        assert self.process.stdin
        try:
            self.process.stdin.write(question)
            self.process.stdin.flush()
        except OSError:
            over = True
        poll = select.poll()
        poll.register(self.answers)
        while b"\n" not in self.rest:
            signals.check()
            if poll.poll(0 if over else 100):
                read = os.read(self.answers, 1 << 16)
                if not read or len(self.rest) > LONGEST:
                    return self.rest or None
                self.rest += read
                continue
            if over:  # looked once more after it had ended: its last words may be an answer
                return None
            over = self.process.poll() is not None
            watch.look()
        answer, _, self.rest = self.rest.partition(b"\n")
        return answer

    def _ended(self) -> str:
        try:
            code = self.process.wait(2)
        except subprocess.TimeoutExpired:
            return "closed its answers"
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit status {code}"

    def _heard(self) -> str:
        """The last lines that it printed."""
        if self.process.poll() is not None:
            self.listener.join(1)
        texts = [printable(line.decode("utf-8", "replace")) for line in list(self.said)]
        last = [text for text in texts if text and not text.startswith("Traceback")][-LINES:]
        return "; it said: " + " | ".join(last) if last else "; it said nothing"


def printable(text: str) -> str:
    """On one line, without control codes."""
    return "".join(c if c.isprintable() else " " for c in text).strip()[:300]


class Watch:
    """Tells a process that hangs from one that computes, however many others compute beside it."""

    def __init__(self, pid: int, limit: float, work: float | None) -> None:
        self.pid, self.limit, self.work = pid, limit, work
        self.begun = self.moved = self.seen = time.monotonic()
        self.first = self.last = spent(pid)

    def look(self) -> None:
        now = time.monotonic()
        if now - self.seen < LOOK:
            return
        self.seen, before, self.last = now, self.last, spent(self.pid)
        if before != self.last or self.last is None:  # None where it cannot be seen
            self.moved = now
        worked = now - self.begun if self.first is None or self.last is None else self.last - self.first
        if now - self.begun > self.limit or (self.work and worked > self.work):
            raise TimeoutError(f"gave no answer in {now - self.begun:.0f} s")
        if now - self.moved > IDLE:
            raise TimeoutError(f"did nothing for {IDLE:g} s")


def spent(session: int) -> float | None:
    """Seconds that a process and its children have used the processor; None where that cannot be seen."""
    ticks, found = 0, False
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # one that has just ended
            facts = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(facts[3]) == session:
                ticks, found = ticks + int(facts[11]) + int(facts[12]), True
    return ticks / os.sysconf("SC_CLK_TCK") if found else None


def _keep(stream: IO[bytes], said: deque[bytes]) -> None:
    with stream:
        while line := stream.readline(4096):
            said.append(line)


def _end(process: subprocess.Popen[bytes], answers: int, folder: Path) -> None:
    slain(process)
    assert process.stdin
    with contextlib.suppress(OSError):
        process.stdin.close()
    os.close(answers)
    shutil.rmtree(folder, ignore_errors=True)


def slain(process: subprocess.Popen[bytes]) -> None:
    """Ended, with what it started itself."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
