"""`lmc explain RUN`: everything that made a number, from the run's own folder; and `lmc explain A B`."""

import difflib
from pathlib import Path
from typing import Any

from lmcompare import files, lineage, models, registry, results
from lmcompare.config import Transfer
from lmcompare.errors import UserError
from lmcompare.evaluation import gold
from lmcompare.experiments import again
from lmcompare.experiments.grid import LEDGER, record_of
from lmcompare.experiments.show_task import answer, seen
from lmcompare.experiments.standing import why
from lmcompare.experiments.task_data import data_folder, loaded
from lmcompare.experiments.transfer import formatted, load_backend
from lmcompare.results import Record

SHORT = 60  # tokens of a view that are shown


def explain(name: str, data: Path | None = None) -> dict[str, Any]:
    """What was asked, with what it was made, what came out, and what that is worth."""
    record = find(name)
    whole = whole_of(record)
    return {
        "run": record.run,
        "path": str(record.path),
        "status": record.status,
        "kind": kind(record),
        "why": why(record),
        "part_of": whole.run if whole is not record else None,
        "command": again.command(whole),
        "figure": figure(record),
        "model": model(record),
        "data": data_of(record),
        "example": example(record, data),
        "learning": {key: record.config.get(key) for key in LEARNING if record.config.get(key)},
        "seeds": seeds(record.config),
        "machine": machine(record),
        "code": {"versions": record.identity.get("versions") or {}, "git": record.identity.get("git")},
        "time": time(record),
        "warnings": (record.result or {}).get("warnings") or said(record, "warning", "text"),
        "config": record.config,
    }


LEARNING = (
    "objective",
    "phases",
    "transfer",
    "mixing",
    "baseline",
    "ngrams",
    "optimizer",
    "schedule",
    "training",
)


def find(name: str) -> Record:
    """The run of a path or a name; of a folder that is none, what it is."""
    places = [Path(name), results.root() / name]
    for path in places:
        if (path / "run.json").is_file():
            return results.read(path)
    for path in places:
        if path.is_dir():
            raise UserError(no_run(path))
    for ledger in sorted(results.root().glob(f"*/{LEDGER}")):
        for entry in files.read_json(ledger)["runs"].values():
            if "reason" in entry and entry["run"] == Path(name).name:
                return record_of(ledger.parent, entry)
    known = sorted(path.parent for path in results.root().glob("**/run.json"))
    same = [path for path in known if path.name == name]
    if len(same) == 1:
        return results.read(same[0])
    if same:
        raise UserError(
            f"explain: {len(same)} runs are called {name!r}; name one of {', '.join(map(str, same))}"
        )
    close = difflib.get_close_matches(Path(name).name, [path.name for path in known], n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "`lmc ls runs` says which there are"
    raise UserError(f"explain: no run {name!r}; {hint}")


def no_run(path: Path) -> str:
    inside = sorted(found.parent for found in path.glob("*/run.json"))
    if not inside:
        return f"{path}: not a run folder (it has no run.json)"
    what = "a study's folder" if (path / LEDGER).is_file() else "a folder of runs"
    count = f"{len(inside)} run{'s' * (len(inside) != 1)}"
    return f"{path}: {what} with {count}; name one of them, such as {inside[0]}, or compare them with `lmc compare`"


def whole_of(record: Record) -> Record:
    """The run itself; of one of several tasks, the run that learned them all."""
    above = record.path.resolve().parent
    if above.name == models.PARTS and (above.parent / "run.json").is_file():
        return results.read(record.path.parent.parent)
    return record


def kind(record: Record) -> str:
    told = (record.result or {}).get("kind") or record.identity.get("kind")
    if told:
        return str(told)
    transfer = record.config.get("transfer") or {}
    return str(transfer.get("name") or ("pretrain" if "objective" in record.config else "baseline"))


def figure(record: Record) -> dict[str, Any]:
    """The number, what it means, and what would be reached without looking."""
    result = record.result or {}
    primary, majority = result.get("primary") or {}, result.get("majority") or {}
    metric = str(primary.get("metric"))
    known = metric in registry.metrics.names()
    looks = [row["split"] for row in record.log if "split" in row]
    return {
        "metric": primary.get("metric"),
        "split": primary.get("split"),
        "value": primary.get("value"),
        "definition": registry.metrics.about(metric) if known else None,
        "majority": majority.get("value") if majority.get("metric") == metric else None,
        "metrics": result.get("metrics") or {},
        "undefined": result.get("undefined") or {},
        "steps": result.get("steps"),
        "best_step": result.get("best_step"),
        "stopped": result.get("stopped"),
        "chosen_on": looks[0] if len(looks) > 1 else None,
    }


def model(record: Record) -> dict[str, Any]:
    """The encoder, or what stands in its place, and all that it had learned before."""
    config, result = record.config, record.result or {}
    backend = config.get("backend")
    steps = result.get("lineage")
    if steps is None:
        steps = lineage.before(config, only_here=True) if backend else []
    return {
        "backend": backend["name"] if isinstance(backend, dict) else backend or result.get("backend"),
        "network": backend if isinstance(backend, dict) else None,
        "name": config.get("model") or None,
        "weights": config.get("weights"),
        "redrawn": {k: config[k] for k in ("transfer_layers", "redraw_top") if config.get(k) is not None},
        "hash": result.get("model_hash") or record.identity.get("model"),
        "parameters": result.get("parameters"),
        "layer_mix": result.get("layer_mix"),
        "lineage": [told(step, record) for step in steps],
    }


def told(step: dict[str, Any], record: Record) -> dict[str, Any]:
    """A step of a model's past; where its run lies at hand, also how long that was and how well it ended."""
    places = [
        Path(str(record.config.get("model") or "")),
        results.root() / step["run"],
        record.path.parent / step["run"],
    ]
    for path in places:
        if path.name == step["run"] and (path / "run.json").is_file():
            result = results.read(path).result or {}
            facts = {
                k: result.get(k) for k in ("backend", "steps", "tokens", "seconds", "primary", "metrics")
            }
            return {**step, **facts}
    return dict(step)


def data_of(record: Record) -> dict[str, Any]:
    config, result = record.config, record.result or {}
    return {
        "task": result.get("task") or result.get("tasks"),
        "kind": result.get("task_kind"),
        "settings": config.get("task") or config.get("tasks") or config.get("corpus"),
        "source": result.get("data_source") or result.get("corpus"),
        "hash": result.get("data_hash") or record.identity.get("data"),
        "hashes": result.get("data_hashes") or {},
        "state": result.get("data_state") or {},
        "examples": result.get("examples") or {},
        "few": config.get("examples"),
        "labels": result.get("labels"),
        "length": config.get("length"),
        "stride": config.get("stride"),
        "truncated": result.get("truncated") or {},
    }


def example(record: Record, data: Path | None) -> dict[str, Any] | None:
    """The first example of the reported split as the backend reads it, and what the run said; or why there is none."""
    config = record.config
    if "transfer" not in config or "task" not in config:
        return None
    try:
        task = registry.tasks.build(config["task"], data_folder(data))
        split = ((record.result or {}).get("primary") or {}).get("split") or task.report
        first = loaded(task, [split])[0][split][0]
        settings = Transfer.model_validate({k: v for k, v in config.items() if k in Transfer.model_fields})
        backend = encoder(record, settings)
        views = formatted(settings, backend, task, [first]).views
    except UserError as error:
        return {"why": str(error)}
    words = seen(backend, views[0]).split(" ")
    shown = " ".join(words[:SHORT]) + (f" … ({len(words)} tokens)" if len(words) > SHORT else "")
    rows = results.read_lines(record.path / f"predictions-{split}.jsonl")
    mine = next((row["prediction"] for row in rows if str(row["id"]) == first.id), None)
    right = answer(task, first) if gold(first) is not None else None
    if task.kind == "choice" and mine is not None:
        mine = first.options[mine]
    return {
        "why": None,
        "split": split,
        "id": first.id,
        "views": len(views),
        "seen": shown,
        "gold": right,
        "answer": mine,
    }


def encoder(record: Record, config: Transfer) -> Any:
    """What reads the examples: the encoder that the run has kept, else the one that it began with."""
    kept = models.encoder_of(record.path)
    if config.transfer["name"] == "finetune" and (kept / "config.json").is_file():
        return registry.loader(registry.backends.get(config.backend))(kept)
    return load_backend(config)


def seeds(config: dict[str, Any]) -> dict[str, Any]:
    seed, order = config.get("seed"), config.get("data_seed")
    return {"weights": seed, "order": seed if order is None else order}


def machine(record: Record) -> dict[str, Any]:
    result, known = record.result or {}, again.machine(record)
    asked = (record.config.get("training") or {}).get("precision")
    device = result.get("device") or known.get("device")
    # On a processor "auto" is float32; on a GPU it hangs on what that can do, which no run notes.
    precision = "float32" if asked == "auto" and str(device).startswith("cpu") else asked
    return {
        "device": device,
        "precision": precision,
        "threads": result.get("threads") or known.get("threads"),
        "processes": known.get("processes"),
        "peak_memory_mb": result.get("peak_memory_mb"),
    }


def time(record: Record) -> dict[str, Any]:
    """How long it took, and every attempt with how it ended."""
    events = list(results.read_lines(record.path / "events.jsonl"))
    attempts: dict[int, dict[str, Any]] = {}
    for row in events:
        mine = attempts.setdefault(
            row["attempt"], {"attempt": row["attempt"], "began": row["time"], "ended": None}
        )
        if row["event"] in ("end", "failed", "paused"):
            mine |= {"ended": row["event"], "seconds": row.get("seconds"), "reason": row.get("reason")}
    seconds = (record.result or {}).get("seconds")
    return {
        "seconds": seconds,
        "began": events[0]["time"] if events else None,
        "attempts": [*attempts.values()],
    }


def said(record: Record, event: str, key: str) -> list[str]:
    return [row[key] for row in results.read_lines(record.path / "events.jsonl") if row["event"] == event]
