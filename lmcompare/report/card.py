"""A model card: what is known of a run that is handed on, and what is not. Every figure comes from the run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from lmcompare.progress import clock
from lmcompare.report.figures import NOTHING, points, printable, spread

HERE = Path(__file__).parent
# By kind of task: what the hub calls it, and the class of `transformers` that finds the right one.
KINDS = {
    "classify": ("text-classification", "AutoModelForSequenceClassification"),
    "score": ("text-classification", "AutoModelForSequenceClassification"),
    "choice": ("multiple-choice", "AutoModelForMultipleChoice"),
    "tags": ("token-classification", "AutoModelForTokenClassification"),
    "span": ("question-answering", "AutoModelForQuestionAnswering"),
}
METRICS = {
    "matthews": "matthews_correlation",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
}  # the hub's names
DID = {"pretrain": "pretrained on", "finetune": "fine-tuned on", "multitask": "taught together"}
# How a text is handed to the tokenizer, and the answer taken from the model.
ASKED = {
    "choice": '["the context"] * 2, ["one end", "another end"]',
    "span": '"a question", "the context that holds its answer"',
    "tags": '["The", "words", "of", "a", "sentence"], is_split_into_words=True',
}
ANSWER = {
    "choice": "logits = model(**{key: value[None] for key, value in inputs.items()}).logits",
    "span": "start, end = model(**inputs)[:2]",
}
MOST_LABELS = 40


@dataclass(frozen=True)
class Figure:
    """A metric of a split: the run's own value, those of all its seeds, and the interval that it lies in."""

    split: str
    metric: str
    value: float | None
    values: tuple[float, ...]
    examples: int | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None  # why there is no interval


@dataclass(frozen=True)
class Known:
    name: str
    config: dict[str, Any]
    result: dict[str, Any]
    task: str
    about: str
    license: str  # of the task's data
    dataset: str  # its id on the hub, where it came from there; else ""
    figures: list[Figure]
    seeds: list[int]
    base: str  # the hub id of the model that it began with; else ""
    architecture: str  # the class of `transformers`; else ""
    reason: str
    needs: str
    version: str


def text(known: Known) -> str:
    """README.md: a head for machines, and the rest for people."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE / "parts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = plain
    result, config = known.result, known.config
    return environment.get_template("card.md.j2").render(
        known=known,
        head=head(known),
        short=known.name.rpartition("/")[2],
        result=result,
        config=config,
        loader=KINDS[result["task_kind"]][1] if known.architecture else "",
        rows=[row(figure) for figure in known.figures],
        lineage=[told(step) for step in result.get("lineage") or []],
        labels=result.get("labels") or [],
        most=MOST_LABELS,
        settings=settings(known),
        limits=limits(known),
        asked=ASKED.get(result["task_kind"], '"a text"'),
        answer=ANSWER.get(result["task_kind"], "logits = model(**inputs).logits"),
    )


def head(known: Known) -> str:
    """The card's YAML, in the hub's words."""
    from huggingface_hub import EvalResult, ModelCardData

    kind = KINDS[known.result["task_kind"]][0]
    found = [
        EvalResult(
            task_type=kind,
            dataset_type=known.dataset.partition(":")[0] or known.task,
            dataset_name=known.task,
            dataset_split=figure.split,
            metric_type=METRICS.get(figure.metric, figure.metric),
            metric_value=round(fmean(figure.values), 6),
            metric_name=figure.metric
            + (f", mean of {len(figure.values)} seeds" if len(figure.values) > 1 else ""),
        )
        for figure in known.figures
        if figure.values
    ]
    more: dict[str, Any] = {"base_model": known.base} if known.base else {}
    more |= {"datasets": [known.dataset.partition(":")[0]]} if known.dataset else {}
    more |= {"model_name": known.name, "eval_results": found} if found else {}
    data = ModelCardData(
        library_name="transformers" if known.architecture else "lmcompare",
        pipeline_tag=kind,
        tags=["lmcompare", known.result["backend"], known.result["kind"]],
        metrics=list(dict.fromkeys(METRICS.get(f.metric, f.metric) for f in known.figures)),
        **more,
    )
    return data.to_yaml()


def row(figure: Figure) -> dict[str, str]:
    mean = fmean(figure.values) if figure.values else None
    sd = stdev(figure.values) if len(figure.values) > 1 else None
    sure = figure.low is not None and figure.high is not None
    return {
        "metric": figure.metric,
        "split": figure.split,
        "figure": spread(mean, sd),
        "own": points(figure.value),
        "between": f"{points(figure.low)} to {points(figure.high)}" if sure else figure.reason or NOTHING,
        "examples": f"{figure.examples:,}" if figure.examples is not None else NOTHING,
    }


def told(step: dict[str, Any]) -> str:
    """One step of what the weights were trained on."""
    what = step.get("corpus") or step.get("task") or ", ".join(step.get("tasks") or []) or "something unnamed"
    return f"{DID.get(step['did'], step['did'])} {plain(what)}"


def settings(known: Known) -> list[tuple[str, str]]:
    result, config = known.result, known.config
    optimizer, training = config["optimizer"], config["training"]
    length = f"{config['length']} tokens a text at most"
    pairs: list[tuple[str, Any]] = [
        (
            "steps",
            f"{result['steps']:,} of {training['batch']} examples; the best was {result['best_step']:,}",
        ),
        ("training examples", f"{result['examples']['train']:,}" if "train" in result["examples"] else None),
        ("length", length),
        (
            "optimizer",
            f"{optimizer['name']}, rate {optimizer['rate']:g}" if "rate" in optimizer else optimizer["name"],
        ),
        ("schedule", config["schedule"]["name"]),
        ("seed", result["seed"]),
        (
            "parameters",
            f"{result['parameters']['total']:,}, of which {result['parameters']['trained']:,} trained",
        ),
        ("time", f"{clock(result['seconds'])} on {result['device']}"),
    ]
    return [(key, plain(str(value))) for key, value in pairs if value is not None]


def limits(known: Known) -> list[str]:
    """What a user must know; nothing that was not looked at is claimed."""
    result = known.result
    found = [
        f"It was taught one task, {known.task}, and tested on its own splits alone. Nothing was measured on other "
        "texts, nor whether it treats groups of people alike.",
        "Its language is that of its training texts; none is on record.",
    ]
    if len(known.seeds) < 2:
        found.append("The figures are of one seed: how far another would be from it is not known.")
    else:
        seeds = ", ".join(map(str, known.seeds))
        found.append(
            f"The weights are those of seed {result['seed']}; the figures are over the seeds {seeds}."
        )
    majority = result.get("majority") or {}
    if majority.get("value") is not None:
        found.append(
            f"Always giving the commonest answer gets {points(majority['value'])} ({majority['metric']})."
        )
    for split, state in (result.get("data_state") or {}).items():
        if state not in ("official", "unknown"):
            found.append(f"The {split} split is not the published one: {state}.")
    if result.get("weights") == "random":
        found.append("It began with random weights: it is a control, with no pretraining behind it.")
    for split, cut in (result.get("truncated") or {}).items():
        found.append(f"{cut} of the {split} examples were longer than it reads, and were cut.")
    return [plain(sentence) for sentence in [*found, *(result.get("warnings") or [])]]


def plain(value: str) -> str:
    """Names come from the user: nothing in them may become markup."""
    shown = printable(" ".join(str(value).split()))
    for sign in "\\`*_[]<>|":
        shown = shown.replace(sign, f"\\{sign}" if sign not in "<>" else {"<": "&lt;", ">": "&gt;"}[sign])
    return shown


def export_lines(result: dict[str, Any]) -> Iterator[str]:
    """What was handed on, for the person who did."""
    if result["architecture"]:
        yield printable(f"{result['run']} as {result['architecture']}: {result['to']}")
    else:
        yield printable(f"{result['run']} in lmcompare's layout, because {result['reason']}: {result['to']}")
    if result["needs"]:
        yield printable(f"not in it: {result['needs']}")
    yield printable(f"{len(result['files'])} files; README.md says what is known of it")
