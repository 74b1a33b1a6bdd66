"""GLUE's diagnostic set: its forms, its categories, and figures by group; three classes asked for two."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import matthews_corrcoef

from lmcompare import evaluation, registry
from lmcompare.config import Baseline
from lmcompare.errors import DataError, UserError
from lmcompare.experiments.baseline import baseline
from lmcompare.experiments.evaluate import Asked, ask, evaluate, scored
from lmcompare.experiments.task_data import read_task
from lmcompare.progress import Progress
from lmcompare.report.text import evaluation_lines
from lmcompare.tasks import facts
from lmcompare.types import Example, Task
from tests.fake_runs import finished

NLI = ("entailment", "neutral", "contradiction")
HEAD = "Lexical Semantics\tPredicate-Argument Structure\tLogic\tKnowledge\tDomain\tPremise\tHypothesis\tLabel"
FULL = [
    "\t\tNegation;Double negation\t\tNews\tA cat sat.\tNo cat sat.\tcontradiction",
    "Factivity\tCore args\t\t\t\tHe knew that.\tThat was.\tentailment",
    "\t\tNegation\tCommon sense\t\tA.\tB.\tneutral",
]
BARE = [
    "index\tsentence1\tsentence2",
    "0\tA cat sat.\tNo cat sat.",
    "1\tHe knew that.\tThat was.",
    "2\tA.\tB.",
]
TWO = [
    {"idx": "0", "label": "not_entailment", "sentence1": "A cat sat.", "sentence2": "No cat sat.",
     "logic": "Negation;Double negation"},
    {"idx": "1", "label": "entailment", "sentence1": "He knew that.", "sentence2": "That was.",
     "lexical-semantics": "Factivity", "predicate-argument-structure": "Core args"},
    {"idx": "2", "label": "not_entailment", "sentence1": "A.", "sentence2": "B.", "logic": "Negation",
     "knowledge": "Common sense", "domain": "News"},
]  # fmt: skip
GROUPS = [
    ("Logic", "Logic: Negation", "Logic: Double negation"),
    ("Lexical Semantics", "Lexical Semantics: Factivity",
     "Predicate-Argument Structure", "Predicate-Argument Structure: Core args"),
    ("Logic", "Logic: Negation", "Knowledge", "Knowledge: Common sense"),
]  # fmt: skip


def put(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def ax(data: Path | None, **settings: Any) -> Task:
    return registry.tasks.build({"name": "ax", **settings}, data)


def test_the_full_form_has_three_labels_and_categories(tmp_path: Path) -> None:
    put(tmp_path / "glue" / "diagnostic" / "diagnostic-full.tsv", [HEAD, *FULL])
    put(tmp_path / "glue" / "diagnostic" / "diagnostic.tsv", BARE)
    task = ax(tmp_path)
    assert (task.labels, task.metrics, task.splits, task.report) == (
        NLI,
        ("r3", "accuracy"),
        ("test",),
        "test",
    )
    found = task.load("test")
    assert [e.label for e in found] == ["contradiction", "entailment", "neutral"]
    assert [e.groups for e in found] == GROUPS
    assert [e.id for e in found] == ["ax-test-0", "ax-test-1", "ax-test-2"]
    assert found[0].texts == ("A cat sat.", "No cat sat.")
    assert len(ax(tmp_path, limit=2).load("test")) == 2
    for split in ("train", "dev"):
        with pytest.raises(DataError, match="a run on MNLI answers it: lmc eval RUN --task ax"):
            task.load(split)


def test_superglues_form_has_two_labels_and_says_so(tmp_path: Path) -> None:
    path = put(tmp_path / "diagnostic" / "AX-b.jsonl", [json.dumps(row) for row in TWO])
    put(tmp_path / "diagnostic" / "diagnostic.tsv", BARE)
    task = ax(tmp_path)
    assert (task.labels, task.metrics) == (("entailment", "not_entailment"), ("matthews", "accuracy"))
    assert task.source == f"{path} (with SuperGLUE's two labels)"
    assert [e.groups for e in task.load("test")] == GROUPS
    assert [e.label for e in task.load("test")] == ["not_entailment", "entailment", "not_entailment"]


@pytest.mark.parametrize("name", ["diagnostic/diagnostic.tsv", "AX/AX.tsv", "glue_data/AX/AX.tsv"])
def test_glues_own_form_has_neither(name: str, tmp_path: Path) -> None:
    put(tmp_path / name, BARE)
    task = ax(tmp_path)
    assert task.source.endswith("(unlabelled)") and task.labels == NLI
    assert all(e.label is None and not e.groups for e in task.load("test"))


def test_as_datasets_has_it(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    put(tmp_path / "glue" / "AX" / "AX.tsv", BARE)
    local = ax(tmp_path).load("test")
    features = datasets.Features(
        {"premise": datasets.Value("string"), "hypothesis": datasets.Value("string"),
         "label": datasets.ClassLabel(names=list(NLI)), "idx": datasets.Value("int32")}
    )  # fmt: skip
    rows = {
        "premise": [e.texts[0] for e in local], "hypothesis": [e.texts[1] for e in local],
        "label": [-1] * 3, "idx": [0, 1, 2],
    }  # fmt: skip
    table = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"test": table}).save_to_disk(tmp_path / "saved" / "ax")
    assert ax(tmp_path / "saved").load("test") == local


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("diagnostic-full.tsv", [HEAD, FULL[0], FULL[1].replace("entailment", "entails")],
         r"full\.tsv:3:\d+: 'entails' is not a label \(ax has entailment, neutral, contradiction\)"),
        ("diagnostic-full.tsv", [HEAD.replace("Knowledge", "Known"), *FULL], "no column 'Knowledge'"),
        ("diagnostic-full.tsv", [HEAD, FULL[0][2:]], r"full\.tsv:2:.*6 fields where 8"),
        ("diagnostic-full.tsv", [HEAD], "a header but no row"),
        ("diagnostic.tsv", [BARE[0], BARE[2]], None),
        ("diagnostic.tsv", [BARE[0], BARE[1], BARE[3]], r"diagnostic\.tsv:3:1: index '2' where 1 is next"),
        ("AX-b.jsonl", [json.dumps(TWO[1])], r"AX-b\.jsonl:1:1: idx '1' where 0 is next"),
        ("AX-b.jsonl", [json.dumps(TWO[0] | {"label": "neutral"})], "'neutral' is not a label"),
        ("AX-b.jsonl", [json.dumps(TWO[0] | {"sentence1": 7})], "sentence1 7 is not a text"),
        ("AX-b.jsonl", [json.dumps(TWO[0] | {"logic": ["x"]})], r"logic \['x'\] is not a text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(name: str, lines: list[str], message: str | None, tmp_path: Path) -> None:
    put(tmp_path / name, lines)
    if message is None:  # the first index may be any
        assert len(ax(tmp_path).load("test")) == 1
        return
    with pytest.raises(DataError, match=message):
        ax(tmp_path).load("test")


def test_without_any_it_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        ax(tmp_path)
    assert str(tmp_path / "glue" / "diagnostic") in str(caught.value) and "diagnostic-full.tsv" in str(
        caught.value
    )


def test_real_diagnostic_has_the_official_counts(shared: Path) -> None:
    found = ax(shared).load("test")
    assert len(found) == facts.of("ax").splits["test"] == 1104
    assert Counter(e.label for e in found) == {"not_entailment": 644, "entailment": 460}
    groups = Counter(group for e in found for group in e.groups)
    assert {name: count for name, count in groups.items() if ":" not in name} == {
        "Lexical Semantics": 368, "Predicate-Argument Structure": 424, "Logic": 364, "Knowledge": 284,
    }  # fmt: skip
    assert len(groups) == 37 and groups["Logic: Negation"] == 82
    for folder in (shared / "glue", shared / "glue" / "diagnostic"):
        assert ax(folder).load("test") == found


# --- figures --------------------------------------------------------------------------------------


def asked(
    labels: tuple[str, ...], folds: dict[str, str], rows: list[tuple[str, str, tuple[str, ...]]]
) -> Any:
    """(the label, the answer, its groups) as a task's split and predictions."""
    metrics = ("matthews", "accuracy") if folds else ("r3", "accuracy")
    task = Task(
        "ax", "classify", metrics, lambda split: [], labels=labels, texts=2, folds=folds, splits=("test",)
    )
    examples = [Example(f"ax-test-{n}", ("a", "b"), label, groups=g) for n, (label, _, g) in enumerate(rows)]
    predictions = [
        {"id": e.id, "label": e.label, "prediction": row[1], "scores": None}
        for e, row in zip(examples, rows, strict=True)
    ]
    return Asked(task, "test", examples, []), predictions


def test_r3_is_scikit_learns_and_every_group_is_scored_alone() -> None:
    draw = random.Random(11)
    rows = [
        (draw.choice(NLI), draw.choice(NLI), tuple(g for g in ("A", "A: x", "B") if draw.random() < 0.5))
        for _ in range(300)
    ]
    what, predictions = asked(NLI, {}, rows)
    result = scored(finished("bert", "mnli", 1, 0.5)[1], what, predictions)
    assert result["metrics"]["r3"] == pytest.approx(
        matthews_corrcoef(*zip(*[r[:2] for r in rows], strict=True))
    )
    assert list(result["by_group"]) == ["A", "A: x", "B"]
    for group, told in result["by_group"].items():
        inside = [r for r in rows if group in r[2]]
        gold, answers = zip(*[r[:2] for r in inside], strict=True)
        assert told["examples"] == len(inside)
        assert told["metrics"]["r3"] == pytest.approx(matthews_corrcoef(gold, answers))
        assert told["metrics"]["accuracy"] == pytest.approx(sum(map(str.__eq__, gold, answers)) / len(inside))
    assert "folds" not in result and result["task"] == "ax"


def test_three_classes_are_asked_for_two_and_the_answers_stay_as_they_were_given() -> None:
    folds = {"neutral": "not_entailment", "contradiction": "not_entailment"}
    rows = [
        ("not_entailment", "neutral", ("A",)),
        ("not_entailment", "entailment", ("A",)),
        ("entailment", "entailment", ("B",)),
        ("not_entailment", "neutral", ()),
    ]
    what, predictions = asked(("entailment", "not_entailment"), folds, rows)
    result = scored(finished("bert", "mnli", 1, 0.5)[1], what, predictions)
    assert result["metrics"]["accuracy"] == 0.75
    assert result["metrics"]["matthews"] == pytest.approx(matthews_corrcoef([0, 0, 1, 0], [0, 1, 1, 0]))
    assert result["folds"] == {"neutral": "not_entailment"}  # those that were answered
    assert [row["prediction"] for row in result["predictions"]] == [row[1] for row in rows]
    lines = list(evaluation_lines(result))
    assert lines[2:] == [
        "note: the task's labels are fewer than the run's: neutral as not_entailment",
        "  A (2): matthews undefined (one class: all gold labels are 'not_entailment'), accuracy 0.5",
        "  B (1): matthews undefined (one class: all gold labels are 'entailment'), accuracy 1",
    ]


def test_what_is_odd_about_the_data_is_told(tmp_path: Path) -> None:
    """As a run says of its own data; and where a run is asked what it was made with, whether it is that still."""

    def rte(*rows: str) -> Path:
        for split in ("train", "dev"):
            put(tmp_path / "RTE" / f"{split}.tsv", ["sentence1\tsentence2\tlabel", *rows])
        return tmp_path

    two = ("a\tb\tentailment", "c\td\tnot_entailment")
    config = Baseline(task={"name": "rte"}, baseline={"name": "bow"})
    baseline(config, progress=Progress(), out=tmp_path / "run", data=rte(*two))
    told = evaluate(tmp_path / "run", "dev", data=tmp_path)
    hashes = json.loads((tmp_path / "run" / "result.json").read_text())["data_hashes"]
    assert told["data_hashes"] == {"dev": hashes["dev"]} and told["data_state"] == {"dev": "part"}
    assert told["warnings"] == ["rte: dev: 2 of 277 rows: the others are missing"]
    lines = list(evaluation_lines(told))
    assert lines[0] == "run on dev, 2 examples (part)" and lines[-1] == f"note: {told['warnings'][0]}"
    relabelled = [row.replace("not_entailment", "entailment") for row in two]
    now = evaluate(tmp_path / "run", "dev", data=rte(*relabelled))["warnings"]
    assert any(sentence.startswith("rte: dev: one class only ('entailment')") for sentence in now)
    assert now[-1] == "rte: dev: these are not the examples that run was made with"


def test_a_part_of_what_was_published_whole_is_held_against_all_of_it(shared: Path) -> None:
    table = {"name": "20newsgroups"}
    found, (_, record) = read_task(table, shared), finished("bert", "20newsgroups", 1, 0.5)
    own = ask(replace(record, config={"task": table}), "", found.task, "dev")
    assert own.state == found.states["dev"] == "official" and own.hash == found.hashes["dev"]


def test_groups_without_labels_have_no_figures() -> None:
    what, predictions = asked(NLI, {}, [("neutral", "neutral", ("A",))])
    bare = [{**row, "label": None} for row in predictions]
    assert evaluation.by_group(what.task, what.examples, bare) == {}


def test_a_baseline_answers_no_other_task(tmp_path: Path) -> None:
    put(tmp_path / "AX.tsv", BARE)
    table = {"name": "micro.entailment", "train": 30}
    baseline(Baseline(task=table, baseline={"name": "bow"}), progress=Progress(), out=tmp_path / "run")
    told = evaluate(tmp_path / "run", "dev")
    assert told["task"] == "micro.entailment" and told["data_state"] == {}  # it is made here
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    assert told["data_hashes"] == {"dev": kept["data_hashes"]["dev"]}
    with pytest.raises(UserError, match="a baseline keeps its answers to its own task alone, not to ax"):
        evaluate(tmp_path / "run", None, data=tmp_path, task="ax")
