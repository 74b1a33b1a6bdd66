"""`lmc eval RUN... --submission`: the files that a test's owners take, checked row by row before any is written.

GLUE's server takes one zip with eleven tables, which several runs fill; what no run answers is named and never made up.
SQuAD's takes one JSON object, the answer to each question by its id. What is there already is replaced where the runs
answer it, and beside it stands a trace: which run and model each file is of.
"""

import hashlib
import io
import json
import math
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmcompare import files
from lmcompare.config import task_name
from lmcompare.errors import DataError, UserError
from lmcompare.experiments import evaluate
from lmcompare.experiments.evaluate import Asked
from lmcompare.results import Record
from lmcompare.tasks import diagnostic, facts, glue, official
from lmcompare.tasks.glue import BEST, Sheet
from lmcompare.transfer.spans import doubt
from lmcompare.types import Example, Prediction

SHEETS = (*glue.SHEETS, diagnostic.SHEET)
HEADER = "index\tprediction"
WHEN = (1980, 1, 1, 0, 0, 0)  # the same answers are the same bytes
MODE = 0o644 << 16

TRACE = ("file", "run", "model", "task", "split", "rows", "data_hash", "sha256")

Result = dict[str, Any]


def submit(
    runs: Sequence[Path], out: Path, split: str | None, *, task: str = "", data: Path | None = None
) -> Result:
    """Answers of finished runs as the file that is asked for by its ending."""
    if out.suffix not in (".zip", ".json"):
        raise UserError(f"--submission {out}: GLUE's server takes a .zip, SQuAD's a .json; end the name so")
    records = [evaluate.finished(path) for path in runs]
    if bare := [record.run for record in records if "task" not in record.config]:
        raise UserError(f"{bare[0]}: a run over a corpus was taught no task, so it has nothing to hand in")
    if out.suffix == ".zip":
        return board(records, out, split, task=task, data=data)
    if len(records) > 1:
        raise UserError(f"--submission {out}: it holds the answers of one run; give one")
    return answers(records[0], out, split, task=task, data=data)


def board(records: Sequence[Record], out: Path, split: str | None, *, task: str, data: Path | None) -> Result:
    """GLUE's zip. One that is there already is added to: its tables stay where no run answers them anew."""
    before = earlier(out)
    traced = traces(out, before)
    pages: dict[str, str] = {}
    missing: dict[str, str] = {}
    notes: dict[str, None] = {}
    whose: dict[str, Record] = {}
    told: list[Result] = []
    for record in records:
        answer = None
        for sheet in wanted(record, task, split):
            asked = ask(record, sheet, data)
            if isinstance(asked, str):
                missing[sheet.file] = asked
                continue
            if (other := whose.setdefault(sheet.file, record)) is not record:
                raise UserError(
                    f"runs {other.path} and {record.path} both answer {sheet.file}; leave one out"
                )
            answer = answer or evaluate.answering(record)
            pages[sheet.file] = page(sheet, asked, answer(asked))
            told.append(traced_to(record, asked, sheet.file, pages[sheet.file], traced))
            notes |= dict.fromkeys(asked.warnings)
    if not pages:
        raise DataError("; ".join(f"{file}: {why}" for file, why in missing.items()))
    whole = before | pages
    kept = [traced[file] for file in before if file not in pages]
    written(out, {out: packed(whole)}, [*told, *kept])
    lacking = {sheet.file: f"no run on {sheet.by[0]}" for sheet in SHEETS} | missing
    gone = {file: why for file, why in lacking.items() if file not in whole}
    return {"submission": str(out), "files": told, "kept": kept, "missing": gone, "warnings": [*notes]}


def wanted(record: Record, task: str, split: str | None) -> list[Sheet]:
    """The tables that a run answers: all of its task, and of those that it answers as well."""
    name = task or task_name(record.config["task"])
    of_task = [sheet for sheet in SHEETS if name in sheet.by]
    if not of_task:
        known = ", ".join(dict.fromkeys(sheet.task for sheet in SHEETS))
        raise UserError(f"{record.run}: GLUE's server takes no answers to {name}; it takes those to {known}")
    chosen = [sheet for sheet in of_task if split in (None, "test", sheet.split)]
    if not chosen:
        raise UserError(f"--split {split}: GLUE's server takes answers to the test examples")
    return chosen


def ask(record: Record, sheet: Sheet, data: Path | None) -> Asked | str:
    """The examples of a table; or why they, or the run's answers, are missing where others may be there."""
    own = task_name(record.config["task"])
    if sheet.task != own and "baseline" in record.config:
        return f"{record.run} is a baseline, which keeps its answers to {own} alone"
    try:
        task = evaluate.task_of(record, sheet.task, data)
    except DataError as error:
        if sheet.task == own:
            raise
        return str(error)
    if sheet.split not in task.splits:
        return f"no {sheet.split} in {task.source}"
    return evaluate.ask(record, sheet.task, task, sheet.split)


def page(sheet: Sheet, asked: Asked, predictions: Sequence[Prediction]) -> str:
    """One table, where every row is a row of the published test file and every answer one that the server knows."""
    published = facts.of(sheet.task).splits[sheet.split]
    state, odd = official.compare(asked.examples, published, official.known(sheet.task).get(sheet.split))
    # Where labels came with the texts, their order is that of the file.
    if state not in ("official", "unknown", "relabelled"):
        raise DataError(
            f"{asked.task.source}: {sheet.split} of {sheet.task} is not the published one, so {sheet.file} cannot "
            f"be made of it: {odd}"
        )
    return table(sheet, asked.examples, predictions)


def table(sheet: Sheet, examples: Sequence[Example], predictions: Sequence[Prediction]) -> str:
    """The rows in the order of the examples, which are numbered as they stand in their file."""
    if len(predictions) != len(examples):
        raise DataError(f"{sheet.file}: {len(predictions):,} answers to {len(examples):,} examples")
    lines = [HEADER]
    for number, (example, row) in enumerate(zip(examples, predictions, strict=True)):
        if not row["id"] == example.id == f"{sheet.task}-{sheet.split}-{number}":
            raise DataError(
                f"{sheet.file}: row {number} is the example {example.id} and its answer one to {row['id']}; the test "
                "file has lost rows or they stand in another order"
            )
        lines.append(f"{number}\t{word(sheet, row)}")
    return "\n".join(lines) + "\n"


def word(sheet: Sheet, row: Prediction) -> str:
    """An answer as the server calls it; a score within its bounds, with three digits."""
    answer = row["prediction"]
    if sheet.words:
        if answer not in sheet.words:
            known = ", ".join(sheet.words)
            raise DataError(f"{sheet.file}: {row['id']} is answered {answer!r}, and the server knows {known}")
        return sheet.words[answer]
    if not math.isfinite(answer):
        raise DataError(f"{sheet.file}: {row['id']} is answered {answer}, which is no score")
    return f"{min(BEST, max(0.0, answer)):.3f}"


def packed(pages: Mapping[str, str]) -> bytes:
    """The zip, its tables in the order of the board."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for file in (sheet.file for sheet in SHEETS if sheet.file in pages):
            entry = zipfile.ZipInfo(file, WHEN)
            entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, MODE, 3
            archive.writestr(entry, pages[file])
    return stream.getvalue()


def earlier(out: Path) -> dict[str, str]:
    """The tables of a zip that is there already; one that is something else is left alone."""
    if not out.exists():
        return {}
    try:
        with zipfile.ZipFile(out) as archive:
            pages = {name: archive.read(name).decode() for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError):
        pages = {"": ""}
    if any(not plausible(file, text) for file, text in pages.items()):
        raise UserError(f"{out}: is there already, and no submission to add to; give another name")
    return pages


def plausible(file: str, text: str) -> bool:
    """Whether this is a table of ours with as many rows as the server wants."""
    sheet = next((sheet for sheet in SHEETS if sheet.file == file), None)
    if sheet is None:
        return False
    header, *rows = text.splitlines()
    numbers = [line.partition("\t")[0] for line in rows]
    return header == HEADER and numbers == [*map(str, range(facts.of(sheet.task).splits[sheet.split] or 0))]


def answers(record: Record, out: Path, split: str | None, *, task: str, data: Path | None) -> Result:
    """SQuAD's JSON; beside it, where a question may have no answer, how much likelier none is than the best one."""
    asked = evaluate.ask(record, task, evaluate.task_of(record, task, data), split)
    if asked.task.kind != "span":
        raise UserError(
            f"--submission {out}: {asked.task.name} is no task of answers in a text; a .json holds those"
        )
    rows = evaluate.answering(record)(asked)
    by_id = {row["id"]: row["prediction"] for row in rows}
    if [*by_id] != [example.id for example in asked.examples]:
        raise DataError(f"{asked.task.source}: two questions of {asked.split} have the same id")
    told: dict[Path, Any] = {out: by_id}
    odds = out.with_suffix(".null_odds.json")
    if asked.task.unanswerable and all(row["scores"] for row in rows):
        # Without any answer to compare with, none is as likely as can be; JSON has no infinity.
        told[odds] = {row["id"]: min(doubt(row["scores"]), sys.float_info.max) for row in rows}
    before = {path.name: answered(path) for path in (out, odds) if path.exists()}
    traced = traces(out, before)
    pages = {path: json.dumps(one, ensure_ascii=False, allow_nan=False) + "\n" for path, one in told.items()}
    rewritten = [traced_to(record, asked, path.name, text, traced) for path, text in pages.items()]
    kept = [row for row in traced.values() if row["file"] not in {path.name for path in pages}]
    written(out, pages, [*rewritten, *kept])
    told_of = {"submission": str(out), "files": rewritten, "kept": kept, "missing": {}}
    return told_of | {"warnings": asked.warnings}


def answered(path: Path) -> str:
    """The text of an answer file that is there already; one that is something else is left alone."""
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except (ValueError, OSError):
        content = None
    if not isinstance(content, dict) or not all(
        isinstance(one, str | int | float) for one in content.values()
    ):
        raise UserError(f"{path}: is there already, and no submission to replace; give another name")
    return text


def beside(out: Path) -> Path:
    return out.with_name(f"{out.name}.json")


def traces(out: Path, before: Mapping[str, str]) -> dict[str, Result]:
    """Of each file that is there already, which run and model it is of; None where nothing beside it tells, or what is
    told is of another content."""
    trace = beside(out)
    try:
        rows = {row["file"]: row for row in files.read_json(trace)["files"] if row.keys() == {*TRACE}}
    except FileNotFoundError:
        rows = {}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{trace}: is no list of whose answers {out.name} holds; take it away") from None
    blank = dict.fromkeys(TRACE)
    return {
        file: row if (row := rows.get(file, {})).get("sha256") == digest(text) else blank | {"file": file}
        for file, text in before.items()
    }


def traced_to(record: Record, asked: Asked, file: str, text: str, traced: Mapping[str, Result]) -> Result:
    """Which run and model a file is of, to which data; and those of what it replaces."""
    result = record.result or {}
    return {
        "file": file,
        "run": record.run,
        "model": result.get("model_hash") or result["backend"],
        "task": asked.task.name,
        "split": asked.split,
        "rows": len(asked.examples),
        "data_hash": asked.hash,
        "sha256": digest(text),
        "replaced": {key: old[key] for key in ("run", "model")} if (old := traced.get(file)) else None,
    }


def written(out: Path, contents: Mapping[Path, str | bytes], rows: Sequence[Result]) -> None:
    """The files, and their trace; where it is older than they are, it does not match and tells nothing."""
    for path, content in contents.items():
        files.write(path, content)
    told = [{key: row[key] for key in TRACE} for row in rows if row["run"] is not None]
    files.write_json(beside(out), {"format": 1, "files": told})


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
