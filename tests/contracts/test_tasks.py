"""What every task promises, because it is registered: its rows are what its facts say, every backend reads them, its
chance value is what chance scores, a perfect predictor gets 1, and train stands in no other split but as is known.

Tasks that are made here always run; the others where their data lies in ../shared/data. Without `slow`, only their
first rows are read.
"""

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcompare import evaluation, registry
from lmcompare.errors import DataError
from lmcompare.experiments.task_data import read_task
from lmcompare.metrics import evaluate
from lmcompare.tasks import facts
from lmcompare.text.bpe import train_bpe
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.text.words import train_words
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.learner import TaskLearner
from lmcompare.types import Example, Prediction, Task
from tests.contracts import auto_folders

FEW = 200  # rows that are read of each split
NAMES = registry.tasks.names()
TEXTS = ["the cat sat on the mat and a dog ran far, so we saw it: who was that? In 1920, they said (no)."]
SMALL = {"layers": 1, "width": 12, "heads": 2, "positions": 64, "init_std": 0.2}
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
Rows = dict[str, list[Example]]


# --- where the data is --------------------------------------------------------------------------
# Whose data lies in which folder of ../shared/data: where the folder is, the task must find it.
LIES_IN = {
    "ax": "glue/diagnostic", "cola": "glue/CoLA", "mnli": "glue/MNLI", "mrpc": "glue/MRPC", "qnli": "glue/QNLI",
    "qqp": "glue/QQP", "rte": "glue/RTE", "sst2": "glue/SST-2", "stsb": "glue/STS-B", "wnli": "glue/WNLI",
    "20newsgroups": "20newsgroups", "agnews": "agnews", "imdb": "imdb", "mr": "mr", "sst5": "sst", "subj": "subj",
    "trec": "trec", "snli": "nli/snli", "scitail": "nli/scitail", "conll2003": "ner/conll2003", "dream": "mc/dream",
    "tydiqa": "qa/tydiqa_goldp_en", "xquad": "qa/xquad_en",
}  # fmt: skip
# How the copy there is not what was published: SuperGLUE's labels of AX, two in the place of three; answers left blank.
OTHERWISE = ("ax",)
BLANK = {"tydiqa": ("dev",), "xquad": ("test",)}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """../shared/data, or an empty folder: what is made here needs none."""
    return SHARED if SHARED.is_dir() else tmp_path_factory.mktemp("empty")


@pytest.mark.parametrize(("name", "folder"), LIES_IN.items())
def test_what_lies_in_shared_data_is_found(name: str, folder: str) -> None:
    if not (SHARED / folder).is_dir():
        pytest.skip(f"{name}: needs ../shared/data/{folder}")
    assert facts.where(name, SHARED) == "local"


@cache
def folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def reviews() -> str:
    """A user's own file, for the task that is one."""
    path = Path(folder().name) / "reviews.csv"
    rows = [
        f"the cat number {n} is {'good' if n % 3 else 'bad'},{'good' if n % 3 else 'bad'}" for n in range(40)
    ]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return str(path)


def table(name: str, rows: int | None) -> dict[str, Any]:
    """The task as a config names it, with its first rows only where it can be asked for that."""
    if not facts.of(name).splits:
        return {"name": name, "train": reviews()}
    known = registry.settings(registry.tasks.get(name))
    counts = [key for key in ("limit", "train") if key in known and known[key].default != ""]  # else a path
    return {"name": name} | (dict.fromkeys(counts, rows) if rows else {})


@cache
def read(name: str, data: Path, rows: int | None) -> tuple[Task, Rows]:
    task = registry.tasks.build(table(name, rows), data)
    return task, {split: task.load(split)[:rows] for split in task.splits}


def here(name: str, data: Path, rows: int | None = FEW) -> tuple[Task, Rows]:
    """The task with its splits, or a word on why not."""
    if facts.where(name, data) not in ("local", "yours"):
        pytest.skip(f"{name}: its data is not in ../shared/data")
    return read(name, data, rows)


def labelled(rows: Rows) -> Rows:
    return {split: found for split, found in rows.items() if all(e.label is not None for e in found)}


@pytest.mark.parametrize("name", [name for name in NAMES if not facts.of(name).made])
def test_data_that_is_nowhere_is_looked_for_aloud(name: str, tmp_path: Path) -> None:
    for place in (tmp_path, None):
        with pytest.raises(DataError) as told:
            registry.tasks.build({"name": name}, place)
        assert name in str(told.value)
        assert any(way in str(told.value) for way in ("--data", "LMC_DATA", "--set task.", "--task"))
        assert not place or not facts.of(name).splits or str(tmp_path) in str(told.value)


# --- facts and rows -----------------------------------------------------------------------------


def fits(task: Task, example: Example) -> bool:
    """Whether a row is of its task's kind."""
    label: Any = example.label
    if task.kind == "tags":
        right = label is None or (len(label) == len(example.words) and set(label) <= set(task.labels))
        return right and bool(example.words) and not example.texts
    if task.kind == "choice":
        right = label is None or (type(label) is int and 0 <= label < len(example.options))
        return right and len(example.texts) == 1 and len(example.options) > 1
    if task.kind == "span":
        context = example.texts[1]
        right = label is None or all(context[a:b].strip() and 0 <= a < b <= len(context) for a, b in label)
        return right and len(example.texts) == 2 and (label != () or task.unanswerable)
    right = label in task.labels if task.kind == "classify" else isinstance(label, float)
    return (label is None or right) and len(example.texts) == task.texts


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_what_the_facts_say(name: str, data: Path) -> None:
    known = facts.of(name)
    task, rows = here(name, data)
    if known.splits and name not in OTHERWISE:
        assert (task.name, task.kind, task.metrics) == (name, known.kind, known.metrics)
        assert task.labels == known.labels or not known.labels  # else they come with the data
    assert task.about == known.about and task.source
    assert task.metrics and set(task.metrics) <= set(registry.metrics.names())
    assert rows and (set(rows) <= {*known.splits, *known.cut} or not known.splits)
    for split, found in rows.items():
        assert found and len({example.id for example in found}) == len(found)
        assert not [example.id for example in found if not fits(task, example)]
        told = sum(example.label is not None for example in found)
        bare = split in known.unlabelled or split in BLANK.get(name, ())
        assert told in (0, len(found)) and (told or bare), split


# --- every backend ------------------------------------------------------------------------------


def in_pieces(name: str) -> Any:
    train: Any = train_wordpiece if name == "bert" else train_bpe
    tokenizer = train(TEXTS * 3, size=110, min_frequency=1)
    return registry.backends.build({"name": name, **SMALL}, tokenizer)


def in_words(name: str, **shape: Any) -> Any:
    return registry.backends.build({"name": name, **shape}, train_words(TEXTS))


def in_bytes(family: str) -> Any:
    return registry.loader(registry.backends.get("auto"))(auto_folders.of(family))


ELMO = {"layers": 1, "cells": 7, "projection": 5, "characters": 3, "filters": [[1, 4], [3, 6]]}
BACKENDS: dict[str, Callable[[], Any]] = {
    "auto": partial(in_bytes, "roberta"),
    "auto-gpt2": partial(in_bytes, "gpt2"),
    "bert": partial(in_pieces, "bert"),
    "elmo": partial(in_words, "elmo", **ELMO),
    "gpt": partial(in_pieces, "gpt"),
    "static": partial(in_words, "static", width=6),
}


def test_every_backend_is_asked() -> None:
    assert {name.partition("-")[0] for name in BACKENDS} | {"elmo-allennlp"} == set(registry.backends.names())


@cache
def backend(name: str) -> Any:
    made = BACKENDS[name]()
    if hasattr(made, "draw") and name.partition("-")[0] != "auto":
        made.draw(3)
    return made


def size(example: Example) -> int:
    return sum(map(len, (*example.texts, *example.options, *example.words)))


def some_of(rows: Rows) -> list[Example]:
    """The first and the longest row, and two more, of a split that has labels."""
    (found, *_) = labelled(rows).values()
    longest = max(range(len(found)), key=lambda n: (size(found[n]), -n))
    chosen = dict.fromkeys([0, longest, 1, 2, 3])
    return [found[n] for n in chosen if n < len(found)][:4]


@pytest.mark.parametrize("backend_name", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_every_backend_reads_it(name: str, backend_name: str, data: Path) -> None:
    """Its first and its longest rows become views, a loss, and one answer each."""
    task, rows = here(name, data)
    if not labelled(rows):
        pytest.skip(f"{name}: no split of ../shared/data has labels")
    four, made = some_of(rows), backend(backend_name)
    dataset = Dataset(made, task, four, length=min(40, made.longest))
    learner = TaskLearner(made, task, registry.transfers.check({"name": "finetune"}))
    learner.draw(5)
    learner.learn_from(dataset)
    everyone = np.arange(len(four))
    batch = learner.batch(everyone, 0)
    losses, counts = learner.losses(batch), learner.counts(batch)
    assert counts["task"] > 0
    assert all(torch.isfinite(losses[part]).all() for part in losses)
    learner.train(False)
    answers = learner.answers(dataset, everyone, torch.device("cpu"))
    assert [answer["id"] for answer in answers] == [example.id for example in four]
    assert all(fits(task, answered(task, *pair)) for pair in zip(four, answers, strict=True))


def answered(task: Task, example: Example, answer: Prediction) -> Example:
    """The example with the prediction in its label's place; an answer to a question must stand in its context."""
    told = evaluation.whole(answer["prediction"])
    if task.kind == "span":
        start = example.texts[1].find(told)
        told = ((start, start + len(told)),) if told else None
    return Example(example.id, example.texts, told, example.options, example.words)


# --- chance, and all right ----------------------------------------------------------------------


def predictions(examples: Sequence[Example], told: Sequence[Any]) -> list[Prediction]:
    return [
        {"id": example.id, "label": evaluation.gold(example), "prediction": prediction}
        for example, prediction in zip(examples, told, strict=True)
    ]


def chance(task: Task, train: Sequence[Example], examples: Sequence[Example]) -> float | None:
    """What is scored by the answer that training shows most often, whatever the example; of options, by each in turn;
    of scores, by their mean; of tags, by none."""
    labels: list[Any] = [example.label for example in train]
    metric = task.metrics[0]
    if task.kind == "span":
        return None
    if task.kind == "choice":
        each = [
            [
                evaluate([metric], [example.label], [option], ())[0][metric]
                for option in range(len(example.options))
            ]
            for example in examples
        ]
        return float(np.mean([np.mean([value or 0.0 for value in values]) for values in each]))
    if task.kind == "score":
        told: list[Any] = [sum(labels) / len(labels)] * len(examples)
    elif task.kind == "tags":
        told = [["O"] * len(example.words) for example in examples]
    else:
        counts = Counter(labels)
        told = [max(task.labels, key=lambda label: counts[label])] * len(examples)
    return evaluation.score(task, predictions(examples, told))[0][metric]


@pytest.mark.parametrize("name", NAMES)
def test_chance_is_what_a_majority_scores(name: str, data: Path) -> None:
    task, rows = here(name, data)
    found = labelled(rows)
    if not found:
        pytest.skip(f"{name}: no split of ../shared/data has labels")
    train = found.get("train") or next(iter(found.values()))
    for examples in found.values():
        stated, scored = evaluation.trivial(task, train, examples), chance(task, train, examples)
        assert stated == (None if scored is None else pytest.approx(scored, abs=1e-12))
        assert stated is None or 0 <= stated < 1 or len({str(e.label) for e in examples}) == 1


def best_answer(task: Task, example: Example) -> Any:
    told = evaluation.gold(example)
    return (told[0] if told else "") if task.kind == "span" else told


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_predictor_gets_all(name: str, data: Path) -> None:
    task, rows = here(name, data)
    for examples in labelled(rows).values():
        told = [best_answer(task, example) for example in examples]
        values, reasons = evaluation.score(task, predictions(examples, told))
        assert set(values) == set(task.metrics)
        assert {name: value for name, value in values.items() if value is not None} == {
            name: pytest.approx(1.0) for name in values.keys() - reasons.keys()
        }
        assert values[task.metrics[0]] is not None or len({str(e.label) for e in examples}) == 1


# --- train and the rest -------------------------------------------------------------------------


def content(example: Example, task: Task) -> tuple[Any, ...]:
    """What is read of a row, without regard to case, white space or, where the task has none, order."""
    texts, options, words = (
        tuple(" ".join(text.casefold().split()) for text in part)
        for part in (example.texts, example.options, example.words)
    )
    return (tuple(sorted(texts)) if task.symmetric else texts, options, words)


def overlaps(task: Task, rows: Rows) -> dict[str, int]:
    """How many rows of train stand in each other split; those of which nothing is left stand for nothing."""
    said = [e for e in rows.get("train", []) if any(t.strip() for t in (*e.texts, *e.options, *e.words))]
    train = [content(example, task) for example in said]
    others = {split: {content(e, task) for e in found} for split, found in rows.items() if split != "train"}
    counts = {split: sum(one in inside for one in train) for split, inside in others.items()}
    return {split: count for split, count in counts.items() if count}


@pytest.mark.parametrize("name", NAMES)
def test_train_stands_in_no_other_split_but_as_is_known(name: str, data: Path) -> None:
    task, rows = here(name, data)
    known = facts.of(name).overlap
    assert not {split: n for split, n in overlaps(task, rows).items() if n > known.get(split, 0)}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_all_rows_are_what_the_facts_say(name: str, data: Path) -> None:
    """The overlap is exactly the known one where all splits have their official size."""
    task, rows = here(name, data, None)
    known = facts.of(name)
    for found in rows.values():
        assert len({example.id for example in found}) == len(found)
        assert not [example.id for example in found if not fits(task, example)]
    counts = overlaps(task, rows)
    if {split: len(found) for split, found in rows.items()} == dict(known.splits) or known.cut:
        assert counts == dict(known.overlap)
    else:
        assert not {split: n for split, n in counts.items() if n > known.overlap.get(split, 0)}
    read.cache_clear()


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("micro.")])
def test_what_an_experiment_reads_is_the_same_twice(name: str, tmp_path: Path) -> None:
    first, again = (read_task({"name": name, "train": 30}, tmp_path) for _ in range(2))
    assert first.hash == again.hash and first.splits == again.splits
