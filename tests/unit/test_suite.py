"""A suite: what is planned for each task, how its averages are made, and what it says of what is missing."""

from pathlib import Path
from typing import Any

import pytest

from lmcompare import averages, config
from lmcompare.comparison import Comparison
from lmcompare.errors import DataError, UserError
from lmcompare.experiments import studies, suite
from lmcompare.experiments.grid import followers
from lmcompare.report.suite import missing_lines, suite_lines
from lmcompare.results import Record
from lmcompare.statistics import summarize
from lmcompare.tasks import facts
from tests import fake_runs

GLUE, *_ = suite.read("glue", ())
PAIR = ("sentence1", "sentence2")
# The board's own rows, in points, of two models whose score it gives: 72.8 and 80.5.
GPT = {
    "cola": (45.4,), "sst2": (91.3,), "mrpc": (82.3, 75.7), "stsb": (82.0, 80.0), "qqp": (70.3, 88.5),
    "mnli": (82.1, 81.4), "qnli": (88.1,), "rte": (56.0,), "wnli": (53.4,),
}  # fmt: skip
BERT = {
    "cola": (60.5,), "sst2": (94.9,), "mrpc": (89.3, 85.4), "stsb": (87.6, 86.5), "qqp": (72.1, 89.3),
    "mnli": (86.7, 85.9), "qnli": (92.7,), "rte": (70.1,), "wnli": (65.1,),
}  # fmt: skip
FIRST = {"cola": "matthews", "mrpc": "f1", "stsb": "pearson", "qqp": "f1"}


def record(task: str, seed: int, values: tuple[float | None, ...], **more: Any) -> Record:
    """A finished run of a GLUE task, with these figures (shares) in the order of what counts."""
    metric = FIRST.get(task, "accuracy")
    metrics: dict[str, dict[str, float | None]] = {"dev": {}}
    for name, value in zip(GLUE.counts.get(task, [metric]), values, strict=True):
        split, _, which = name.rpartition(".")
        metrics.setdefault(split or "dev", {})[which] = value
    sizes = {split: facts.of(task).splits.get(split) or 10 for split in metrics}
    facts_of = {"metrics": metrics, "examples": sizes, "data_state": dict.fromkeys(metrics, "official")}
    made = fake_runs.finished(
        "bert finetune", task, seed, values[0], metric=metric, split="dev", **facts_of | more
    )
    return made[1]


def board(points: dict[str, tuple[float, ...]], seeds: int = 1, **more: Any) -> list[Record]:
    return [
        record(task, seed, tuple(value / 100 for value in values), **more)
        for task, values in points.items()
        for seed in range(1, seeds + 1)
    ]


def summed(records: list[Record], missing: dict[str, str] | None = None) -> dict[str, Any]:
    told = suite.summary(GLUE, GLUE.tasks, records, missing or {}, [])
    fixed = {"title": "GLUE", "backend": "bert", "mode": "finetune", "model": "m", "weights": "pretrained"}
    return {**fixed, "seeds": [1], "folder": "runs/glue", **told}


def text(table: dict[str, Any]) -> str:
    return "\n".join(suite_lines(table))


@pytest.mark.parametrize(("points", "score"), [(GPT, 72.8), (BERT, 80.5)])
def test_the_average_is_the_board_s_own(points: dict[str, tuple[float, ...]], score: float) -> None:
    whole, without = summed(board(points))["averages"]
    assert (whole["name"], whole["complete"], whole["of"]) == ("board", True, 9)
    assert round(100 * whole["mean"], 1) == score
    assert (without["name"], without["of"]) == ("without WNLI", 8)
    rest = [sum(values) / len(values) for task, values in points.items() if task != "wnli"]
    assert 100 * without["mean"] == pytest.approx(sum(rest) / 8)


def test_seeds_are_averaged_by_hand() -> None:
    rows = [
        record("mrpc", 1, (0.8, 0.7)), record("mrpc", 2, (0.9, 0.8)), record("mrpc", 3, (0.7, 0.75)),
        record("rte", 1, (0.6,)), record("rte", 2, (0.5,)), record("rte", 3, (0.7,)),
    ]  # fmt: skip
    table = summed(rows)
    mrpc, rte = table["tasks"]
    assert mrpc["figures"]["f1"] == pytest.approx(
        {"n": 3, "mean": 0.8, "sd": 0.1, "median": 0.8, "best": 0.9}
    )
    assert mrpc["by_seed"] == pytest.approx({1: 0.75, 2: 0.85, 3: 0.725})
    assert mrpc["score"]["median"] == pytest.approx(0.75) and mrpc["score"]["best"] == pytest.approx(0.85)
    assert rte["degenerate"] == 1  # the majority of these hand-made runs gets 0.5
    (average, _) = table["averages"]
    assert average["by_seed"] == pytest.approx({1: 0.675, 2: 0.675, 3: 0.7125})
    assert average["mean"] == pytest.approx((0.775 + 0.6) / 2)
    assert average["sd"] == pytest.approx(0.0216506, abs=1e-6)


def test_what_has_no_value_is_counted_and_in_no_mean() -> None:
    none = {"majority": {"metric": "matthews", "value": None}}
    rows = [
        record("cola", 1, (0.4,), **none),
        record("cola", 2, (None,), **none),
        record("cola", 3, (-0.1,), **none),
        fake_runs.failed("bert finetune", "cola", 4)[1],
    ]
    (cola,) = summed(rows)["tasks"]
    assert (cola["runs"], cola["failed"], cola["degenerate"], cola["undefined"]) == (4, 1, 2, 1)
    assert cola["score"]["n"] == 2 and cola["score"]["mean"] == pytest.approx(0.15)
    assert (cola["majority"], cola["floor"]) == (None, 0.0)
    shown = text(summed(rows))
    assert "4, 1 failed, 2 at or below majority (1 undefined)" in shown
    assert "failed: cola, seed 4: the loss was not finite" in shown
    half = record("mrpc", 1, (0.8, None))
    assert summed([half])["tasks"][0]["score"]["mean"] is None  # half of a score is none
    assert "mrpc: no run has a value" in summed([half])["averages"][0]["short"]


def test_with_a_task_missing_there_is_no_glue_score() -> None:
    there = [row for row in board(BERT) if row.config["task"]["name"] != "qnli"]
    table = summed(there, {"qnli": "no train split in glue/QNLI"})
    whole = table["averages"][0]
    assert (whole["complete"], len(whole["tasks"]), whole["of"]) == (False, 8, 9)
    shown = text(table)
    assert "mean over 8 of 9 tasks (board): 79.0, not the GLUE score: qnli is missing" in shown
    assert "GLUE score on dev, board" not in shown
    assert "missing: qnli: no train split in glue/QNLI" in shown
    assert "GLUE score on dev, board: 80.5 over 9 tasks" in text(summed(board(BERT)))


def test_half_of_mnli_and_a_part_of_a_split_are_no_glue_score() -> None:
    rows = [row for row in board(BERT) if row.config["task"]["name"] not in ("mnli", "qqp", "rte")]
    rows.append(record("mnli", 1, (0.867, 0.859)))
    assert rows[-1].result is not None
    del rows[-1].result["metrics"]["dev_mismatched"]
    rows.append(record("qqp", 1, (0.7, 0.9), examples={"dev": 7598}))
    rows.append(record("rte", 1, (0.7,), data_state={"dev": "relabelled"}))
    table = summed(rows)
    assert next(task for task in table["tasks"] if task["task"] == "mnli")["score"]["mean"] == 0.867
    short = set(table["averages"][0]["short"])
    assert "mnli without dev_mismatched.accuracy" in short
    if facts.of("qqp").splits:  # the official sizes
        assert "qqp: 7,598 dev examples, not the official 40,430" in short
        assert "rte: dev is not as it was published (relabelled)" in short


def test_a_task_that_starts_from_another_is_marked() -> None:
    rows = [row for row in board(BERT) if row.config["task"]["name"] != "rte"]
    step = {"did": "finetune", "task": "mnli", "run": "r"}
    rows.append(record("rte", 1, (0.8,), lineage=[step]))
    shown = text(summed(rows))
    assert "rte, from mnli" in shown and "note: rte starts from a model that was taught mnli" in shown
    assert "sst2, from" not in shown
    assert "GLUE score on dev, board, with rte from mnli: 81.6" in shown


def test_every_task_has_its_own_settings() -> None:
    told, own, said = suite.read(
        "glue", ("examples=50", "training.batch=8", "by_task.rte.training.epochs=20")
    )
    by_task = {task: suite.settings_of(told, "finetune", task, own, said) for task in told.tasks}
    assert by_task["rte"] == {"examples": 50, "training": {"epochs": 20, "batch": 8}}
    assert by_task["cola"]["training"]["epochs"] == 10
    assert by_task["sst2"] == {"examples": 50, "training": {"batch": 8}}
    assert suite.settings_of(told, "features", "cola", own, said)["training"] == {"batch": 8}
    told, own, said = suite.read(
        "glue", ("training.steps=7",)
    )  # said to all, it stands before the suite's own word
    assert suite.settings_of(told, "finetune", "rte", own, said) == {"training": {"steps": 7}}


def asked(**more: Any) -> suite.Asked:
    return suite.Asked(
        **{"suite": "glue", "backend": "bert", "mode": "finetune", "model": "m", "seeds": 2, **more}
    )


def planned(tasks: tuple[str, ...] = ("mnli", "rte"), **more: Any) -> studies.Study:
    given = asked(**more)
    told, own, said = suite.read(given.suite, given.assignments)
    settings = {task: suite.settings_of(told, given.mode, task, own, said) for task in tasks}
    return suite.plan(given, told, settings, {})


def test_the_plan_is_a_study_of_one_arm() -> None:
    study = planned()
    studies.check(study)
    jobs = studies.jobs(study, {"model": "m"})
    assert [(job["task"], job["seed"]) for job in jobs] == [("mnli", 1), ("mnli", 2), ("rte", 1), ("rte", 2)]
    assert [job["config"]["training"]["epochs"] for job in jobs] == [3, 3, 10, 10]
    preset = config.read_table("bert", "finetune")
    assert jobs[0]["config"]["optimizer"] == preset["optimizer"]
    micro = planned(("micro.sense",), suite="micro", mode="features")
    assert studies.jobs(micro, {"model": "m"})[0]["config"]["transfer"]["reader"]["hidden"] == 64


def test_settings_by_task_stand_between_the_preset_and_the_arm() -> None:
    study = planned().model_dump()
    study["arms"] = [
        {"name": "floor", "baseline": "bow"},
        {**study["arms"][0], "set": {"optimizer": {"rate": 0.5}}},
    ]
    study["by_task"] = {"rte": {"examples": 9, "optimizer": {"rate": 0.1, "decay": 0.2}}}
    jobs = {(j["arm"], j["task"]): j["config"] for j in studies.jobs(studies.Study(**study), {"model": "m"})}
    assert jobs["floor", "rte"]["examples"] == 9 and "optimizer" not in jobs["floor", "rte"]
    tuned = jobs["bert finetune", "rte"]["optimizer"]
    assert (tuned["rate"], tuned["decay"]) == (0.5, 0.2)
    study["by_task"] = {"rtee": {}}
    with pytest.raises(UserError, match=r"by_task: unknown task 'rtee'; did you mean 'rte'"):
        studies.check(studies.Study(**study))


def test_runs_that_start_from_mnli_wait_for_that_of_their_seed() -> None:
    study = planned(("rte", "cola", "mnli"), from_mnli=True)
    studies.check(study)
    assert study.starts == {"rte": "mnli"}
    runs = dict(enumerate(studies.jobs(study, {"model": "m"})))
    assert followers(runs, study.starts) == {4: [0], 5: [1]}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"mode": "features"}, "needs --mode finetune"),
        ({"suite": "micro", "tasks": ("micro.sense",)}, "suite micro has no task that may start from MNLI"),
        ({"tasks": ("rte",)}, "mnli must be one of the tasks"),
        ({"assignments": ("weights=random",)}, "cannot start from mnli with weights that are drawn afresh"),
    ],
)
def test_what_cannot_start_from_mnli(more: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        studies.check(planned(from_mnli=True, **more))


def put(folder: Path, name: str, *rows: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(rows) + "\n")


def test_what_is_there_and_what_is_missing(tmp_path: Path) -> None:
    rows = ["\t".join((*PAIR, "label")), *("a\tb\tentailment" for _ in range(4))]
    put(tmp_path / "RTE", "train.tsv", *rows)
    put(tmp_path / "RTE", "dev.tsv", *rows)
    put(tmp_path / "WNLI", "dev.tsv", "\t".join((*PAIR, "label")), "a\tb\t1")
    assert not isinstance(suite.look("rte", {}, tmp_path), str)
    told = suite.look("wnli", {}, tmp_path)
    assert isinstance(told, str) and told.startswith("no train split in ")
    assert isinstance(suite.look("cola", {}, tmp_path), str)
    left, notes = suite.at_most("rte", {"examples": 9}, tmp_path)
    assert left == {} and notes == ["rte has 4 training examples, and learns from all of them"]
    assert suite.at_most("rte", {"examples": 4}, tmp_path) == ({"examples": 4}, [])
    assert suite.at_most("rte", {"examples": 3, "task": {"limit": 2}}, tmp_path)[0] == {"task": {"limit": 2}}
    noted: list[str] = []
    with pytest.raises(DataError, match=r"there is no MNLI to start from: none in .*lmc show mnli"):
        suite.run_suite(asked(from_mnli=True), data=tmp_path, note=noted.append)
    with pytest.raises(UserError, match=r"model '\./nowhere': no such run or folder"):
        suite.run_suite(asked(model="./nowhere"), data=tmp_path, note=noted.append)
    assert noted == []  # the mistake alone


def test_what_is_missing_for_one_cause_is_one_line(tmp_path: Path) -> None:
    why = suite.look("cola", {}, tmp_path), suite.look("sst2", {}, tmp_path)
    rows = [{"task": task, "reason": str(one)} for task, one in zip(("cola", "sst2"), why, strict=True)]
    rows.append({"task": "wnli", "reason": "no train split in glue/WNLI"})
    told = f"none in {tmp_path}, on the hub or in its cache; `lmc show TASK` says which files would do"
    assert [*missing_lines(rows)] == [
        f"missing: cola, sst2: {told}",
        "missing: wnli: no train split in glue/WNLI",
    ]
    assert [*missing_lines(rows[:1])] == [f"missing: cola: {told.replace('TASK', 'cola')}"]


def test_why_there_is_no_score_is_said_once() -> None:
    there = [row for row in board(BERT) if row.config["task"]["name"] != "qnli"]
    shown = text(summed(there, {"qnli": "no train split"}))
    assert "(board): 79.0, not the GLUE score: qnli is missing" in shown
    assert "mean over 7 of 8 tasks (without WNLI): 81.0, not the GLUE score: reasons named above" in shown


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"suite": "gluu"}, "unknown config 'gluu'; did you mean 'glue'"),
        ({"backend": "bertt"}, "unknown backend 'bertt'; did you mean 'bert'"),
        ({"mode": "feature"}, "unknown mode 'feature'; did you mean 'features'"),
        ({"config": "bertt"}, "unknown config 'bertt'"),
        ({"assignments": ("seed=3",)}, "--seeds says it here"),
        ({"assignments": ("task.name=x",)}, "a suite names its tasks"),
        ({"assignments": ("by_task.rtee.length=9",)}, "unknown task 'rtee'; did you mean 'rte'"),
        ({"assignments": ('tasks=["rtee"]',)}, "unknown task 'rtee'; did you mean 'rte'"),
        ({"assignments": ("training.epoch=9",)}, "unknown key 'training.epoch'"),
    ],
)
def test_mistakes_are_one_sentence_before_any_run(tmp_path: Path, more: dict[str, Any], told: str) -> None:
    rows = ["\t".join((*PAIR, "label")), "a\tb\tentailment"]
    put(tmp_path / "RTE", "train.tsv", *rows)
    put(tmp_path / "RTE", "dev.tsv", *rows)
    with pytest.raises(UserError, match=told):
        suite.run_suite(asked(**more), data=tmp_path, out=tmp_path / "out", note=lambda _: None)
    assert not (tmp_path / "out").exists()


def test_without_any_data_nothing_is_begun(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="suite glue: none of its tasks is here"):
        suite.run_suite(asked(), data=tmp_path, out=tmp_path / "out", note=lambda _: None)


def test_an_average_of_some_tasks_is_like_the_comparison_s_mean() -> None:
    """On one figure a task, two ways to the same numbers."""
    rows = [record(task, seed, (0.1 * seed + 0.3,)) for task in ("rte", "wnli") for seed in (1, 2, 3)]
    scores = [
        averages.task_score(t, [r for r in rows if r.config["task"]["name"] == t], [])
        for t in ("rte", "wnli")
    ]
    ours = averages.average("two", scores, counted=["rte", "wnli"], short={})
    theirs: Comparison = summarize([("a", row) for row in rows], title="t")
    (mean,) = theirs.means
    assert ours.complete and (ours.mean, ours.sd) == pytest.approx((mean.mean, mean.sd))
