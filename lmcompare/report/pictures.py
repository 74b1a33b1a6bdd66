"""SVG as PNG, by what this machine has for it: CairoSVG, or a Chromium."""

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from lmcompare.errors import ResourceError, UserError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TWICE = 2  # pixels of the picture for one of the drawing
PATIENCE = 60.0  # seconds

Maker = Callable[[Path], bytes]  # from an SVG file


def maker() -> Maker:
    """The first way that there is."""
    if importlib.util.find_spec("cairosvg") is not None:
        return by_cairo
    if browser() is not None:
        return by_browser
    raise UserError(
        "--png: nothing here draws pictures from SVG: neither CairoSVG (`pip install 'lmcompare[figures]'`) nor a "
        f"Chromium ({', '.join(BROWSERS)} on the PATH, or CHROMIUM); without --png the figures are SVG alone"
    )


def browser() -> str | None:
    found = (shutil.which(name) for name in (os.environ.get("CHROMIUM") or "", *BROWSERS) if name)
    return next((path for path in found if path), None)


def by_cairo(path: Path) -> bytes:
    import cairosvg

    return bytes(cairosvg.svg2png(url=str(path), scale=TWICE))


def by_browser(path: Path) -> bytes:
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', path.read_text(encoding="utf-8"))
    width, height = (int(float(side) + 0.999) for side in size.groups()) if size else (800, 600)
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "picture.png"
        # Its sandbox does not start for the superuser.
        alone = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        command = [
            str(browser()), "--headless", *alone, "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={place}/user",
            f"--force-device-scale-factor={TWICE}", f"--window-size={width},{height}", f"--screenshot={out}",
            path.resolve().as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired:
            raise ResourceError(f"{path}: Chromium drew nothing within {PATIENCE:.0f} seconds") from None
        if not out.is_file():
            last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise ResourceError(f"{path}: Chromium drew nothing: {last[:200]}")
        return out.read_bytes()
