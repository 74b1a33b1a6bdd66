"""The comparison as one HTML file: no network, no script needed to read it, both color schemes."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lmcompare import __version__, config, files
from lmcompare.comparison import Comparison
from lmcompare.report import sections
from lmcompare.report.headline import QUICK, headline
from lmcompare.report.templates import pages

HERE = Path(__file__).parent


def write(comparison: Comparison, path: Path) -> None:
    """Replace the page at `path` in one step; the folder is made where it is missing."""
    page = render(comparison)
    with files.disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, page.encode("utf-8", "replace"))


def render(comparison: Comparison) -> str:
    """The page's text. Every value goes through the template's escaping."""
    first, *others = headline(comparison)
    script = (HERE / "page.js").read_text(encoding="utf-8")
    filled = sections.all_of(comparison)
    torn = filled["torn"]
    return (
        pages(HERE)
        .get_template("page.html.j2")
        .render(
            comparison=comparison,
            version=__version__,
            quick=QUICK if comparison.quick else "",
            first=re.sub(r"(\d) (points?)\b", "\\1\u00a0\\2", first),  # kept on one line
            others=others,
            style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
            script=Markup(script),
            script_hash=source_hash(script),
            data=Markup(embedded(comparison.to_json())),
            settings=grouped(comparison),
            torn_data=Markup(embedded(torn["data"])) if torn else "",
            **filled,
        )
    )


def source_hash(script: str) -> str:
    """The page's policy lets exactly this script run, whatever else may get into the page."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def embedded(data: Any) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def grouped(comparison: Comparison) -> list[dict[str, Any]]:
    """By arm: what all of its runs share, said once, and what is each run's own."""
    arm_of = {run.run: run.arm for run in comparison.runs}
    arm_of |= {run.run: run.arm for run in comparison.pretraining}
    by_arm: dict[str, dict[str, dict[str, str]]] = {}
    for run, table in comparison.settings:
        flat = {key: json.dumps(value, ensure_ascii=False) for key, value in config.flatten(table).items()}
        by_arm.setdefault(arm_of.get(run, ""), {})[run] = flat
    out = []
    for arm, runs in by_arm.items():
        first, *rest = runs.values()
        shared = {k: v for k, v in first.items() if all(flat.get(k) == v for flat in rest)}
        own = {run: [(k, v) for k, v in flat.items() if k not in shared] for run, flat in runs.items()}
        out.append({"arm": arm, "count": len(runs), "shared": list(shared.items()), "own": own})
    return out
