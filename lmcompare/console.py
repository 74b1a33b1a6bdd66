"""What every command does beside its work: print a result as text or JSON, and turn errors into one sentence and an
exit status."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from lmcompare import files
from lmcompare.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_RESOURCE,
    Stopped,
    UserError,
)
from lmcompare.progress import Meter, meter

EXIT_PIPE = 141


def progress(title: str) -> Meter:
    return meter(title)


def say(text: str) -> None:
    print(text)


def show(result: Any, lines: Callable[[Any], Iterable[str]], as_json: bool) -> None:
    """A result on stdout: JSON with documented keys, or lines for a person."""
    if as_json:
        say(json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False))
        return
    for line in lines(result):
        say(line)


def show_run(result: dict[str, Any], as_json: bool, meter: Meter) -> None:
    from lmcompare.report.text import run_lines

    if result:  # only the first of several processes has one
        show(result, partial(run_lines, noted=meter.noted), as_json)


def show_comparison(comparison: Any, page: Path | None, as_json: bool, *, browse: bool = False) -> None:
    """A comparison as a table or as JSON, and as a page where one is asked for, in the browser if that is wanted.
    Failed runs show in the status."""
    from lmcompare.report import page as pages
    from lmcompare.report import table

    if page:
        pages.write(comparison, page)
    if as_json:
        say(json.dumps(comparison.to_json(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        table.print_table(comparison)
        if page:
            say(f"\nThe whole story: {page}")
    if page and browse and not opened(page):
        print(f"no browser can be opened here; open {page.resolve()}", file=sys.stderr)
    if comparison.failed:
        raise SystemExit(complain(f"{len(comparison.failed)} of the runs failed", EXIT_BUG))


def opened(page: Path) -> bool:
    """Show the page in the browser. Without a display there is none, or one that would take the terminal over."""
    import webbrowser

    windows = sys.platform in ("win32", "darwin")
    if not (windows or any(os.environ.get(key) for key in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))):
        return False
    return webbrowser.open(page.resolve().as_uri())


def spread(processes: int) -> None:
    """With --nproc, this process only starts the others."""
    if processes > 1 and "RANK" not in os.environ:
        from lmcompare.launch import launch

        raise SystemExit(launch(processes, sys.argv[1:]))


def set_offline(offline: bool) -> None:
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"


def guarded(app: Callable[..., Any]) -> None:
    """Run the command line; every error that a person can mend is one sentence on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a C locale must not break on a dash
            stream.reconfigure(errors="replace")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where it is seen that nobody reads
    except BrokenPipeError:
        close_quietly()
        raise SystemExit(EXIT_PIPE) from None
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):  # Typer's own answer to it is 1
            raise
        close_quietly()
        raise SystemExit(EXIT_PIPE) from None
    except Stopped as stop:
        raise SystemExit(
            complain(f"{stop}; the run was saved: the same command goes on", stop.status)
        ) from None
    except UserError as error:
        raise SystemExit(complain(str(error), error.status)) from None
    except KeyboardInterrupt:
        raise SystemExit(complain("interrupted", EXIT_INTERRUPTED)) from None
    except OSError as error:
        if error.errno not in (*files.FULL, *files.CLOSED, *files.ODD):
            raise
        why = f"{error.filename or 'a file'}: {(error.strerror or '').lower()}"
        raise SystemExit(complain(why, EXIT_RESOURCE)) from None
    except Exception as error:
        if out_of_memory(error):
            raise SystemExit(complain(f"out of memory: {first_line(error)}", EXIT_RESOURCE)) from None
        raise


def complain(sentence: str, status: int) -> int:
    if os.environ.get("LMC_DEBUG"):
        import traceback

        traceback.print_exc()
    print(f"error: {sentence}" if status not in (75, 130) else sentence, file=sys.stderr)
    return status


def out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or "no more memory could be had"


def close_quietly() -> None:
    """The reader of our output is gone; nothing may complain about it at exit."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
