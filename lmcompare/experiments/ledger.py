"""A study's list of its runs, in its folder: what is finished is not even looked at by the next call. Several calls of
one study may work at once, each on what the others have not begun; all write the same list."""

import contextlib
import os
from pathlib import Path
from typing import Any

from lmcompare import claims, files, results, workers
from lmcompare.config import dump, fingerprint, task_name
from lmcompare.errors import UserError
from lmcompare.experiments import studies
from lmcompare.results import Record

LEDGER = "study.json"  # in a study's folder: which of its runs are finished
GATE = ".ledger"


class Ledger:
    """A key holds the whole config, the code that makes the embedded suite, and what the local data and models look
    like: what has changed is made again. `before` has what an earlier call made and this one has not asked for."""

    def __init__(
        self,
        folder: Path,
        study: studies.Study,
        *,
        fresh: bool = False,
        keep: bool = False,
        beside: str | None = None,  # who is at work on the same study already
    ) -> None:
        self.folder, self.path = folder, folder / LEDGER
        self.told: dict[str, dict[str, Any]] = {}  # what this call has to say, and has not written yet
        mine = facts(study)
        before = self._read()
        if before is not None:
            check(before, mine, folder, beside=beside, fresh=fresh)
        runs = {} if before is None else {**before.get("before", {}), **before["runs"]}
        self.known = {} if fresh else runs
        if beside:
            return
        kept = {key: entry for key, entry in runs.items() if keep and stays(folder, entry, study)}
        self.table: dict[str, Any] = {**mine, "runs": kept, "before": self.known}
        self._write(self.table)

    def record(self, key: str) -> Record | None:
        """A run that is there already."""
        entry = self.known.get(key)
        if entry is None or not whole(self.folder, entry):
            return None
        self.told[key] = entry
        return record_of(self.folder, entry)

    def add(self, key: str, arm: str, run: Path) -> Record:
        return self._keep(key, {"arm": arm, "run": os.path.relpath(run, self.folder)})

    def failed(self, key: str, job: dict[str, Any], answer: workers.Answer) -> Record:
        """A run that has no result is kept in the list as failed, with its reason."""
        told = {"reason": answer.reason, "status": answer.status, "config": job["config"]}
        run = f"{job['arm']}-{Path(job.get('task', '')).name}-s{job.get('seed', '')}-{key}"
        return self._keep(key, {"arm": job["arm"], "run": run, **told})

    def flush(self) -> None:
        """Write what this call has to say, beside what others have said."""
        if self.told:
            with claims.held(self.folder / GATE):
                table = self._read()
                assert table is not None
                table["runs"] |= self.told
                self._write(table)
            self.told = {}

    def close(self, *, alone: bool) -> None:
        """At the end of a whole call: what nobody has asked for is forgotten, unless another call is at work."""
        self.flush()
        if alone and (table := self._read()) is not None and table.pop("before", None) is not None:
            self._write(table)

    def _keep(self, key: str, entry: dict[str, Any]) -> Record:
        self.told[key] = entry
        self.flush()
        return record_of(self.folder, entry)

    def _read(self) -> dict[str, Any] | None:
        return files.read_json(self.path) if self.path.is_file() else None

    def _write(self, table: dict[str, Any]) -> None:
        files.write_json(self.path, table)


def facts(study: studies.Study) -> dict[str, Any]:
    """What a study says of itself to those who read its folder."""
    told = {"quick": study.quick, "compare": study.compare, "margin": study.margin}
    series = {arm.name: arm.series for arm in study.arms if arm.series}
    first = [f"pretraining {name}" for name, model in study.models.items() if model.pretrain]
    order = {"tasks": study.tasks, "arms": [*first, *(arm.name for arm in study.arms)]}
    return {"title": study.title, **told, **order, "series": series, "study": fingerprint(dump(study))}


def in_order(table: dict[str, Any], rows: list[tuple[str, Record]]) -> list[tuple[str, Record]]:
    """Arms with their runs as the study has them, whichever was finished first."""
    arms, tasks = (table.get(key, []) for key in ("arms", "tasks"))

    def spot(row: tuple[str, Record]) -> tuple[int, ...]:
        task = row[1].config.get("task")
        name = task_name(task) if isinstance(task, dict) else ""
        draw = [row[1].config.get(key) or 0 for key in ("seed", "data_seed")]
        places = [
            (names.index(one) if one in names else len(names))
            for names, one in ((tasks, name), (arms, row[0]))
        ]
        return (bool(name), *places, *draw)

    return sorted(rows, key=spot)


def check(
    before: dict[str, Any], mine: dict[str, Any], folder: Path, *, beside: str | None, fresh: bool
) -> None:
    """Whether the folder is this study's; and where another call is at work there, whether both want the same."""
    if before["title"] != mine["title"]:
        raise UserError(f"{folder}: holds another study, {before['title']!r}; name this file otherwise")
    if not beside:
        return
    if before.get("study") != mine["study"]:
        raise UserError(
            f"{folder}: {beside} makes this study with other settings; wait for it, or name this file otherwise"
        )
    if fresh:
        raise UserError(f"{folder}: {beside} makes this study; --force would take its runs from under it")


def known(folder: Path) -> dict[str, dict[str, Any]]:
    """The entries of a folder's list by key, without touching it."""
    table = files.read_json(folder / LEDGER) if (folder / LEDGER).is_file() else {"runs": {}}
    return {**table.get("before", {}), **table["runs"]}


def stays(folder: Path, entry: dict[str, Any], study: studies.Study) -> bool:
    """Whether a run on the list is there, and none that the study asks for itself."""
    if "reason" not in entry and not whole(folder, entry):
        return False
    config = record_of(folder, entry).config
    ours = entry["arm"] in [arm.name for arm in study.arms]
    return not (ours and task_name(config["task"]) in study.tasks and config["seed"] in study.seeds)


def whole(folder: Path, entry: dict[str, Any]) -> bool:
    """Whether it stands for a finished run that is still there and can be read."""
    with contextlib.suppress(UserError):
        return "reason" not in entry and record_of(folder, entry).result is not None
    return False


def place(folder: Path, entry: dict[str, Any]) -> Path:
    """Where a run is: in the study's folder, or in that of another study which has made the same."""
    return Path(os.path.normpath(folder / entry["run"]))


def record_of(folder: Path, entry: dict[str, Any]) -> Record:
    if "reason" not in entry:
        return results.read(place(folder, entry))
    failure = {"reason": entry["reason"], "status": entry["status"]}
    return Record(folder / entry["run"], entry["run"], "failed", entry["config"], None, failure, [])
