"""A folder that is filled block by block and may be killed at any moment: what stood in it at the last mark is on the
disk, and the next process goes on from there. When it is finished it is a folder with a manifest like any other.

While it grows it is called `.NAME.part`, so nothing half-written has a final name; only the process that holds
`.NAME.lock` writes, and a second one waits and finds it finished."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from lmcompare import files
from lmcompare.errors import ResourceError, UserError

MARK = "mark.json"
EVERY = 10.0  # seconds between marks


class Growing:
    """The unfinished folder, which this process alone writes: files that only grow, and how far they have come."""

    def __init__(self, folder: Path, names: Sequence[str], facts: dict[str, Any]) -> None:
        self.folder, self.facts = folder, facts
        files.sweep(folder)
        mark = last_mark(folder, names, facts)
        self.done: int = mark["done"]  # of whatever its maker counts
        self.whole: bool = mark["whole"]  # nothing is to be added, only the manifest is missing
        self.sizes: dict[str, int] = mark["sizes"]  # of the files when the last block was whole
        self.stack, self.open = contextlib.ExitStack(), dict[str, IO[bytes]]()
        for name, size in self.sizes.items():
            (folder / name).touch()
            os.truncate(folder / name, size)
            self.open[name] = self.stack.enter_context(open(folder / name, "ab"))  # noqa: SIM115
        self.marked = time.monotonic()

    def add(self, name: str, data: bytes | memoryview) -> None:
        self.open[name].write(data)

    def block(self, count: int) -> None:
        """So much more is done; now and then that is made sure of."""
        self.done += count
        self.sizes = {name: file.tell() for name, file in self.open.items()}
        if time.monotonic() - self.marked >= EVERY:
            self.mark()

    def mark(self) -> None:
        """From here the next process would go on."""
        for name, file in self.open.items():
            file.flush()
            files.sync(self.folder / name)
        state = {"facts": self.facts, "done": self.done, "whole": self.whole, "sizes": self.sizes}
        files.write_json(self.folder / MARK, state)
        self.marked = time.monotonic()

    def close(self) -> None:
        self.stack.close()

    def finish(self, final: Path) -> None:
        """The manifest, and the final name."""
        self.block(0)
        self.whole = True
        self.mark()
        self.close()
        files.sweep(self.folder)
        found = sorted(p for p in self.folder.rglob("*") if p.is_file() and p.name != MARK)
        hashes = {p.relative_to(self.folder).as_posix(): files.sha256(p) for p in found}
        files.write_json(self.folder / files.MANIFEST, {"format": 1, **self.facts, "sha256": hashes})
        (self.folder / MARK).unlink()
        files.sync(self.folder)
        give_name(self.folder, final)


@contextlib.contextmanager
def folder(
    final: Path,
    names: Sequence[str],
    facts: dict[str, Any],
    *,
    check: Callable[[], None] = lambda: None,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[Growing | None]:
    """The folder to go on filling, which is finished when the block ends; None where it is whole already. The files
    named grow; `facts` go into the manifest, and a folder with others is made afresh."""
    if is_whole(final, facts):
        yield None
        return
    with files.disk(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        with alone(final, check, note):
            partial = final.with_name(f".{final.name}.part")
            if not is_whole(final, facts) and is_whole(partial, facts):  # killed just before it got its name
                (partial / MARK).unlink(missing_ok=True)
                give_name(partial, final)
            if is_whole(final, facts):
                yield None
                return
            partial.mkdir(exist_ok=True)
            grown = Growing(partial, names, facts)
            with kept_or_removed(grown):
                yield grown
                grown.finish(final)


@contextlib.contextmanager
def kept_or_removed(grown: Growing) -> Iterator[None]:
    """What was interrupted, or lacked room, stays for the next try; what the user must mend first will be another."""
    try:
        yield
    except UserError as error:
        grown.close()
        if not isinstance(error, ResourceError):
            shutil.rmtree(grown.folder, ignore_errors=True)
        raise
    except OSError:
        raise
    except Exception:
        with contextlib.suppress(OSError, ResourceError):  # to save it is an extra
            grown.mark()
        raise
    finally:
        with contextlib.suppress(OSError):
            grown.close()


def is_whole(path: Path, facts: dict[str, Any]) -> bool:
    """Whether a finished folder is there, undamaged, and stands for these facts."""
    if not path.is_dir() or files.damage(path) is not None:
        return False
    manifest = files.read_json(path / files.MANIFEST)
    return all(manifest.get(key) == value for key, value in facts.items())


def give_name(partial: Path, final: Path) -> None:
    """The final name; a damaged folder that has it goes."""
    if final.is_dir():
        files.discard(final)
    files.stage("rename", final)
    os.replace(partial, final)
    files.sync(final.parent)


def last_mark(folder: Path, names: Sequence[str], facts: dict[str, Any]) -> dict[str, Any]:
    """How far a killed process had come; the beginning, where that cannot be known or was another matter."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        mark = files.read_json(folder / MARK)
        short = any((folder / name).stat().st_size < mark["sizes"][name] for name in names)
        if mark["facts"] == facts and mark["sizes"].keys() == set(names) and not short:
            return mark
    for item in folder.iterdir():
        shutil.rmtree(item) if item.is_dir() else item.unlink()
    return {"done": 0, "whole": False, "sizes": dict.fromkeys(names, 0)}


@contextlib.contextmanager
def alone(final: Path, check: Callable[[], None], note: Callable[[str], None]) -> Iterator[None]:
    """One process at a time; the kernel drops the lock with its process, so none is ever stale."""
    path = final.with_name(f".{final.name}.lock")
    while True:
        with open(path, "a", encoding="utf-8") as lock:
            wait_for(lock, final, check, note)
            if not is_at(path, lock):  # the one before has removed it
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def wait_for(lock: IO[str], final: Path, check: Callable[[], None], note: Callable[[str], None]) -> None:
    waiting = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not waiting:
                note(f"waiting for another process that makes {final.name}")
            waiting = True
            check()
            time.sleep(0.1)


def is_at(path: Path, lock: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False
