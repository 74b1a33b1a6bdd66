"""Where a study's runs are made, as a command line says it."""

from collections.abc import Callable, Sequence

from lmcompare import config as configs
from lmcompare import registry
from lmcompare.config import Table
from lmcompare.errors import UserError
from lmcompare.executors import Executor
from lmcompare.executors.pools import visible

DEFAULT, GRAPHICS = "processes", "gpus"  # the second where there is a GPU
WORD = "executor"


def split(assignments: Sequence[str]) -> tuple[list[str], Table]:
    """Of every --set, those that speak of the study; and what the others say of the executor."""
    theirs = [text for text in assignments if text.partition("=")[0].strip().split(".")[0] == WORD]
    said = configs.assign({}, theirs).get(WORD, {})
    if not isinstance(said, dict) or "name" in said:
        raise UserError(f"--set {WORD}: --executor names it; its settings are --set {WORD}.x=")
    return [text for text in assignments if text not in theirs], said


def executor(
    name: str,
    settings: Table,
    *,
    address: str = "",
    jobs: int | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Executor:
    """The executor by its name, with what the command's own options say of it; without one, what suits this machine:
    as many runs as it has cores would crowd its GPUs."""
    if not name and (count := len(visible())):
        name = GRAPHICS
        note(f"one run a GPU at a time ({count} here); --executor {DEFAULT} lets more share one")
    name = name or DEFAULT
    known = registry.settings(registry.executors.get(name, "--executor"))
    options = {"address": ("--address", address or None), "at_once": ("--jobs", jobs)}
    given = {key: value for key, (_, value) in options.items() if value is not None}
    for key in given:
        if key not in known:
            raise UserError(f"{options[key][0]}: executor {name!r} takes none")
    made: Executor = registry.executors.build({"name": name, **settings, **given}, where=WORD)
    return made
