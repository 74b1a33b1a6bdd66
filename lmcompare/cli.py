"""The command line: `lmc`."""

import os
from typing import Annotated

import typer

from lmcompare import __version__, console
from lmcompare.commands import ask, explain, look, reproduce, runs, share, studies, suites, vectors
from lmcompare.commands.options import app

__all__ = [
    "app",
    "ask",
    "explain",
    "look",
    "main",
    "reproduce",
    "runs",
    "share",
    "studies",
    "suites",
    "vectors",
]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    if debug:
        os.environ["LMC_DEBUG"] = "1"
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """The `lmc` command."""
    console.guarded(app)
