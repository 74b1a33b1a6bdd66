"""What stands around a run and may explain it: versions, the state of the code, memory."""

import platform
import resource
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from lmcompare import __version__


def versions() -> dict[str, str]:
    packages = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn", "safetensors")
    found = {name: metadata.version(name) for name in packages}
    return {"lmcompare": __version__, "python": platform.python_version(), **found}


@cache
def git_state() -> dict[str, Any] | None:
    """The commit that the code stands at, where it is a checkout."""
    package = Path(__file__).resolve().parent
    if not (package.parent / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}


class Memory:
    """The largest resident size of this process: of all its life, or since the last job began in it."""

    def __init__(self, proc: Path = Path("/proc/self")) -> None:
        self.proc, self.jobs, self.cleared = proc, 0, False

    def begin(self) -> None:
        """Forget what the jobs before this one held, where the system can: Linux counts anew from here."""
        self.jobs += 1
        try:
            (self.proc / "clear_refs").write_text("5")
            self.cleared = True
        except OSError:
            self.cleared = False

    def peak(self) -> tuple[int | None, str | None]:
        """In MB; or why it cannot be told."""
        if self.cleared:
            (line,) = [s for s in (self.proc / "status").read_text().splitlines() if s.startswith("VmHWM")]
            return int(line.split()[1]) >> 10, None
        if self.jobs > 1:
            return None, "its process had other runs before it, whose memory cannot be told from its own"
        unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit), None


MEMORY = Memory()  # of this process
