"""The page that `lmc serve` shows: it asks for what has changed every two seconds, and changes that alone."""

from pathlib import Path

from markupsafe import Markup

from lmcompare import __version__
from lmcompare.report.page import source_hash
from lmcompare.report.templates import pages

HERE = Path(__file__).parent / "parts"


def render(folder: str) -> str:
    """The page without any run: these come as JSON, and are set as text."""
    script, style = ((HERE / name).read_text(encoding="utf-8") for name in ("live.js", "live.css"))
    return (
        pages(HERE)
        .get_template("live.html.j2")
        .render(
            folder=folder,
            version=__version__,
            script=Markup(script),
            script_hash=source_hash(script),
            style=Markup(style),
            style_hash=source_hash(style),
        )
    )
