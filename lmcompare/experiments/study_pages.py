"""The reports of the studies in a runs folder, for a server: made when they are asked for, and again when a study's
list of runs has changed. One that takes long is made anew beside, while the last one is shown."""

import threading
import time
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from lmcompare.errors import UserError
from lmcompare.experiments import compare
from lmcompare.experiments.disagreements import with_texts
from lmcompare.experiments.ledger import LEDGER
from lmcompare.experiments.overview import stamp
from lmcompare.report import page

QUICK = 1.0  # seconds: a page that was made in less is made while somebody waits
PAUSE = 60.0  # seconds from one making of a page to the next one beside
# What files raise that are damaged, or half of which is there.
DAMAGED = (OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class Made:
    body: bytes
    stamp: Any  # of the study's list as it was before
    at: float
    seconds: float  # that the making took


class StudyPages:
    """Every study's last page, and which ones are being made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kept: dict[str, Made] = {}
        self.begun: dict[str, float] = {}  # when the last making beside began
        self.troubles: dict[str, str] = {}
        self.busy: set[str] = set()
        self.making: dict[str, threading.Lock] = {}  # by study
        self.noting = threading.Lock()  # for these tables

    def page(self, name: str) -> bytes | None:
        """None where there is no such study."""
        folder = self.root / name
        if name not in {path.parent.name for path in self.root.glob(f"*/{LEDGER}")} or folder.is_symlink():
            return None
        last = self.kept.get(name)
        if last is None:
            with self._lock(name):
                # By another request, perhaps, while this one waited.
                last = self.kept.get(name) or self._make(name)
        if last.stamp == stamp(folder / LEDGER):
            return last.body
        if last.seconds < QUICK:
            with self._lock(name):
                return self._make(name).body
        return noted(last.body, f"This page was made {ago(time.monotonic() - last.at)}; {self._anew(name)}.")

    def _lock(self, name: str) -> threading.Lock:
        with self.noting:
            return self.making.setdefault(name, threading.Lock())

    def _make(self, name: str) -> Made:
        """With the study's lock held: of two who ask at once, one makes the page."""
        now, last, began = stamp(self.root / name / LEDGER), self.kept.get(name), time.monotonic()
        if last is not None and last.stamp == now:
            return last
        comparison = with_texts(compare.of_study(self.root / name), None)
        body = page.render(comparison).encode("utf-8", "replace")
        ended = time.monotonic()
        self.kept[name] = Made(body, now, ended, ended - began)
        return self.kept[name]

    def _anew(self, name: str) -> str:
        """See to a new page, unless one was begun a moment ago; and what is to be said of it."""
        with self.noting:
            now = time.monotonic()
            if name in self.busy:
                return "it is being made anew: load it again in a while"
            if now - self.begun.get(name, self.kept[name].at) >= PAUSE:
                self.busy.add(name)
                self.begun[name] = now
                threading.Thread(target=self._beside, args=(name,), daemon=True).start()
                return "it is being made anew: load it again in a while"
            if trouble := self.troubles.get(name):
                return f"it could not be made anew: {trouble}"
            return "runs have ended since, and it is made anew once a minute at most"

    def _beside(self, name: str) -> None:
        trouble = ""
        try:
            with self._lock(name):
                self._make(name)
        except (UserError, *DAMAGED) as error:
            trouble = f"{type(error).__name__}: {error}"
        finally:
            with self.noting:
                self.busy.discard(name)
                self.troubles[name] = trouble


def ago(seconds: float) -> str:
    return f"{int(seconds)} s ago" if seconds < 60 else f"{int(seconds // 60)} min ago"


def noted(body: bytes, sentence: str) -> bytes:
    """A page with a sentence at its top."""
    note = f'<p class="lead" role="status">{escape(sentence)}</p>'.encode("utf-8", "replace")
    return body.replace(b"<header>", b"<header>" + note, 1)
