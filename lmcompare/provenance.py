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


def peak_memory() -> int:
    """Largest resident size of this process, in MB."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit)
