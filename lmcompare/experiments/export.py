"""`lmc export`: a finished run as a folder for others, or in a repository on the hub, with a card that says what is
known of it."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lmcompare import __version__, differences, files, hub, paired, results
from lmcompare.comparison import TaskFacts
from lmcompare.config import OPERATIONAL, flatten, task_name
from lmcompare.errors import ResourceError, UserError
from lmcompare.experiments import export_layout as layouts
from lmcompare.experiments.evaluate import finished
from lmcompare.metrics import lowest
from lmcompare.report import card
from lmcompare.report.card import Figure
from lmcompare.resampling import Sums
from lmcompare.results import Record
from lmcompare.tasks import facts

HUB = "hub:"
TOLD = "lmcompare.json"  # in every exported folder: the config and the result
OWN_TO_A_SEED = ("seed", "data_seed")


def export(
    run: str,
    to: str,
    *,
    beside: Sequence[str] = (),
    public: bool = False,
    force: bool = False,
    api: Any = None,  # what speaks to the hub
) -> dict[str, Any]:
    """The main path: the folder, or the repository, and what is in it. `beside`: runs of other seeds, for the card."""
    record = transferred(run)
    others = [transferred(name) for name in beside]
    check_alike(record, others)
    if not to.startswith(HUB):
        if public:
            raise UserError(
                f"--public: {to} is a folder; only what goes to hub:owner/name is public or private"
            )
        return told(record, to, *folder(record, others, Path(to), name=Path(to).name, force=force))
    repo = repository(to, api)
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / repo.rpartition("/")[2]
        layout, names = folder(record, others, made, name=repo, force=False)
        upload(made, repo, public=public, force=force, api=api)
        return told(record, to, layout, names)


def transferred(name: str) -> Record:
    """A finished run on a task, which has a head to hand on."""
    path = next((p for p in (Path(name), results.root() / name) if p.is_dir()), Path(name))
    record = finished(path)
    if "transfer" not in record.config:
        what = "a model that has no task yet" if "objective" in record.config else "no encoder"
        hint = (
            f"; its folder {path / 'model'} is in the Hugging Face layout already"
            if "objective" in record.config
            else ""
        )
        raise UserError(
            f"{record.run}: only a run that transfers to a task is exported, and this is {what}{hint}"
        )
    return record


def check_alike(record: Record, others: Sequence[Record]) -> None:
    """Other seeds speak for a run only where nothing but the seed is another."""
    seen = {(record.result or {})["seed"]}
    for other in others:
        mine, yours = (
            {k: v for k, v in flatten(one.config).items() if k not in OWN_TO_A_SEED}
            for one in (record, other)
        )
        odd = sorted(k for k in mine.keys() | yours.keys() if mine.get(k) != yours.get(k))
        odd = [key for key in odd if not key.endswith(OPERATIONAL)]
        first, second = record.result or {}, other.result or {}
        if first.get("data_hash") != second.get("data_hash"):
            odd.append("data_hash")
        starts = {first.get("start_hash"), second.get("start_hash")}
        # Random weights are each seed's own, and older results do not say what the checkpoint alone was.
        if record.config.get("weights") != "random" and None not in starts and len(starts) > 1:
            odd.append("start_hash")
        if odd:
            told = f"{', '.join(odd[:5])} differ{'s' if len(odd) == 1 else ''}"
            raise UserError(f"--with {other.path}: not another seed of {record.run}: {told}")
        if (seed := (other.result or {})["seed"]) in seen:
            raise UserError(f"--with {other.path}: seed {seed} is there already")
        seen.add(seed)


def folder(
    record: Record, others: Sequence[Record], final: Path, *, name: str, force: bool
) -> tuple[layouts.Layout, list[str]]:
    """Fill a folder, whole or not at all; one that holds something stays as it is without `force`."""
    if problem := files.damage(record.path / "model"):
        raise UserError(f"{record.path / 'model'}: {problem}")
    if final.exists() and not final.is_dir():
        raise UserError(f"--to {final}: a file of that name is there")
    if final.is_dir() and any(final.iterdir()):
        if not force:
            raise UserError(
                f"--to {final}: this folder is not empty; name another, or replace it with --force"
            )
        if not (final / TOLD).is_file():
            raise UserError(
                f"--to {final}: not a folder that `lmc export` wrote, so not even --force removes it"
            )
    with files.disk(final):
        final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{final.name}.", suffix=".tmp", dir=final.parent) as place:
        made = Path(place) / final.name
        made.mkdir()
        layout = layouts.write(record, made)
        versions = files.read_json(record.path / "run.json").get("versions", {})
        told = {"format": 1, "versions": versions, "config": record.config, "result": record.result}
        files.write_json(made / TOLD, layouts.nameless(told))
        files.write(made / "README.md", card.text(known(record, others, layout, name)))
        names = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
        with files.disk(final, files.size(made)):
            if final.is_dir():
                shutil.rmtree(final)
            shutil.move(made, final)
    return layout, names


def known(record: Record, others: Sequence[Record], layout: layouts.Layout, name: str) -> card.Known:
    """What the card says: nothing but what stands in the runs and in the facts of their task."""
    result = record.result or {}
    table = record.config["task"]
    published = facts.of(table["name"])
    clean = layouts.nameless(result)
    return card.Known(
        name=name,
        config=layouts.nameless(record.config),
        result=clean,
        task=task_name(table),
        about=published.about,
        license=published.license,
        dataset=published.hub if published.hub and published.hub in (result.get("data_source") or "") else "",
        figures=figures([record, *others]),
        seeds=sorted(one.result["seed"] for one in (record, *others) if one.result),
        base=layouts.base(result.get("model") or ""),
        architecture=layout.architecture,
        reason=layout.reason,
        needs=layout.needs,
        version=__version__,
    )


def figures(records: Sequence[Record]) -> list[Figure]:
    """Every metric of every split with its interval: over seeds and examples, or over the examples of one run."""
    first = records[0].result or {}
    found = []
    for split, metrics in first["metrics"].items():
        for metric, value in metrics.items():
            values = [(one.result or {})["metrics"].get(split, {}).get(metric) for one in records]
            sure = [v for v in values if v is not None]
            plain = Figure(split, metric, value, tuple(sure), first["examples"].get(split))
            found.append(with_interval(plain, records) if len(sure) == len(records) else plain)
    return found


def with_interval(figure: Figure, records: Sequence[Record]) -> Figure:
    """Where the figure lies, by the bootstrap that compares arms: against nothing."""
    if len(records) == 2:
        return replace(figure, reason="two seeds say too little of others")
    task = TaskFacts("", figure.metric, figure.split, None)
    try:
        kept = [differences.Kept(record, task) for record in records]
    except LookupError as error:
        return replace(figure, reason=str(error.args[0]))
    nothing = Sums(np.zeros((kept[0].prepared.size, 1)), lambda sums: 0.0 * sums[..., 0])
    found = paired.interval([one.prepared for one in kept], [nothing] * len(kept), key=figure.metric)
    if found is None or found.low is None or found.high is None:
        return replace(figure, reason=(found and found.reason) or "undefined for some of the answers")
    return replace(figure, low=max(lowest(figure.metric), found.low), high=min(1.0, found.high))


def repository(to: str, api: Any) -> str:
    """The name of a repository on the hub, where the hub can be asked."""
    repo = to.removeprefix(HUB)
    if repo.count("/") != 1 or not hub.ID.fullmatch(repo):
        raise UserError(f"--to {to}: write it as hub:owner/name")
    if api is None and (problem := hub.unreachable()):
        raise ResourceError(
            f"--to {to}: {problem}; export to a folder now, and upload that when there is a network"
        )
    return repo


def upload(made: Path, repo: str, *, public: bool, force: bool, api: Any = None) -> None:
    """Private unless it is to be public; what a repository holds already stays without `force`."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = api or HfApi()
    try:
        api.create_repo(repo, private=not public, exist_ok=True)
        there = sorted(set(api.list_repo_files(repo)) - {".gitattributes"})
        if there and not force:
            raise UserError(
                f"hub:{repo}: holds {len(there)} files already ({there[0]}); name another, or put these over them "
                "with --force"
            )
        api.upload_folder(repo_id=repo, folder_path=str(made), commit_message=f"lmc export {made.name}")
    except (HfHubHTTPError, OSError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ResourceError(f"hub:{repo}: the hub did not take it: {first}") from None


def told(record: Record, to: str, layout: layouts.Layout, names: list[str]) -> dict[str, Any]:
    return {
        "run": record.run,
        "to": to,
        "layout": layout.name,
        "architecture": layout.architecture or None,
        "reason": layout.reason or None,
        "needs": layout.needs or None,
        "files": names,
    }
