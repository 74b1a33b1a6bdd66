"""Two kinds of error: a UserError says in one message what is wrong, where, and what would be right; the rest are
bugs."""

import difflib
from collections.abc import Iterable

EXIT_BUG, EXIT_USAGE, EXIT_DATA, EXIT_MODEL, EXIT_RESOURCE, EXIT_DIVERGED = 1, 2, 3, 4, 5, 6
EXIT_PREEMPTED, EXIT_INTERRUPTED = 75, 130


class UserError(Exception):
    """Something that the user can put right. Exits with `status`, without a traceback."""

    status = EXIT_USAGE


class DataError(UserError):
    """A file of examples or of text is not what it should be; the message starts with file:line:column."""

    status = EXIT_DATA


class Locked(UserError):
    """Another process is at work on it."""


class Missing(DataError):
    """A task has no data at all in any of the places where it is looked for."""


class ModelError(UserError):
    """A model folder, checkpoint or hub id cannot be used."""

    status = EXIT_MODEL


class ResourceError(UserError):
    """Out of disk, out of memory, or not permitted."""

    status = EXIT_RESOURCE


class Diverged(UserError):
    """The loss or the gradients were not finite for too many steps."""

    status = EXIT_DIVERGED


class Skipped(UserWarning):
    """What was left out of the data, where that was asked for; a result tells it."""


class Inferred(Skipped):
    """What was made of data that does not say it itself; a result tells it likewise."""


class Stopped(Exception):
    """A signal asked for the end; the run was saved and can be resumed."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known name, or all of them where none is near."""
    names = sorted(known)
    if close := difflib.get_close_matches(name, names, n=1, cutoff=0.5):
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else "none is known"


def unknown(what: str, name: str, known: Iterable[str], where: str = "") -> str:
    """One sentence for an unknown name of any kind."""
    place = f"{where}: " if where else ""
    return f"{place}unknown {what} {name!r}; {nearest(name, known)}"
