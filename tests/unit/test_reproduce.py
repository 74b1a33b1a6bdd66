"""Published tables: every one is made by a study that ships, and ours beside it by hand-made runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmcompare import config, files
from lmcompare.errors import DataError, UserError
from lmcompare.experiments import reproduce, studies
from lmcompare.experiments.grid import LEDGER
from lmcompare.report.reproduced import WIDE, reproduced_lines

NAMES = config.preset_names("tables")
TABLE = """
title = "t"
source = "Nobody 2020, Table 1 (§2)"
study = "bert-features"
tolerance = 1.0
[columns]
Dev = { task = "micro.entities", metric = "entity_f1" }
Test = { task = "micro.entities", split = "test", metric = "entity_f1", tolerance = 5.0 }
[[rows]]
name = "The last"
arm = "last"
points = { Dev = 50.0, Test = 40.0 }
[[rows]]
name = "A row with a name that is much too long for one line of a terminal"
arm = "fine-tuned"
points = { Dev = 90.0 }
[[claims]]
says = "Fine-tuning is better"
more = "fine-tuned"
than = "last"
[[claims]]
says = "The last is behind by less than ten points"
more = "last"
than = "fine-tuned"
by = -10
[[claims]]
says = "Of another task"
more = "last"
than = "fine-tuned"
tasks = ["conll2003"]
[[claims]]
says = "Of an arm that is not here"
more = "embeddings"
than = "fine-tuned"
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_table_is_made_by_its_study_in_both_forms(name: str) -> None:
    table = reproduce.read(name)
    forms = {}
    for form in (table.full, table.micro):
        study = reproduce.planned(table, form, [])
        studies.check(study)
        forms[form is table.full] = {arm.name for arm in study.arms}
    full = reproduce.planned(table, table.full, [])
    assert {row.arm for row in table.rows} == forms[True]
    assert {column.task for column in table.columns.values()} == set(full.tasks)
    assert not [key for key, model in full.models.items() if model.pretrain], (
        "at full size nothing is pretrained"
    )
    assert table.full.model in full.models
    for claim in table.claims:
        assert any({claim.more, claim.than} <= arms for arms in forms.values()), claim.says
    assert any({claim.more, claim.than} <= forms[False] for claim in table.claims), (
        "the micro form asks nothing"
    )
    assert len({row.name for row in table.rows}) == len(table.rows)
    assert table.source.rpartition("Table")[2].strip()[0].isdigit() and "§" in table.source


@pytest.mark.parametrize("name", NAMES)
def test_a_table_s_claims_hold_in_the_paper_itself(name: str) -> None:
    table = reproduce.read(name)
    for claim in table.claims:
        apart = reproduce.published(claim, table)
        assert apart is None or reproduce.met(claim, apart), claim.says


def test_all_tables_are_listed() -> None:
    listing = reproduce.tables()
    assert {row["table"] for row in listing["rows"]} == set(NAMES)
    assert {"elmo-table2", "gpt-table5", "bert-table1", "bert-table5", "bert-table6", "bert-table7"} <= set(
        NAMES
    )
    assert all(row["figures"] and row["claims"] for row in listing["rows"])


def made(folder: Path, figures: dict[str, list[dict[str, float | None] | None]]) -> Path:
    """A study's folder: by arm, the metrics by split of each seed's run; None is a run that failed."""
    entries = {}
    for arm, seeds in figures.items():
        for seed, told in enumerate(seeds, 1):
            run, table = (
                f"{arm}-s{seed}".replace(" ", "-"),
                {"task": {"name": "micro.entities"}, "seed": seed},
            )
            entry: dict[str, Any] = {"arm": arm, "run": run}
            if told is None:
                entry |= {"reason": "the loss was not finite", "status": 6, "config": table}
            else:
                write(folder / run, table, told)
            entries[run] = entry
    files.write_json(folder / LEDGER, {"title": "t", "quick": False, "runs": entries})
    return folder


def write(folder: Path, table: dict[str, Any], told: dict[str, float | None]) -> None:
    folder.mkdir(parents=True)
    files.write_json(folder / "run.json", {"config": table})
    result = {
        "task": "micro.entities",
        "seed": table["seed"],
        "kind": "features",
        "backend": "bert",
        "primary": {"metric": "entity_f1", "split": "test", "value": told["test"]},
        "metrics": {split: {"entity_f1": value} for split, value in told.items()},
    }
    files.write_json(folder / "result.json", result)


def judged(folder: Path, figures: dict[str, list[dict[str, float | None] | None]]) -> dict[str, Any]:
    path = folder / "mine.toml"
    path.write_text(TABLE, encoding="utf-8")
    of = made(folder / "study", figures)
    return reproduce.reproduce(str(path), of=of, note=lambda sentence: None)


def test_every_figure_stands_beside_its_own_with_a_verdict(tmp_path: Path) -> None:
    last = [{"dev": 0.505, "test": 0.46}, {"dev": 0.511, "test": 0.47}]
    result = judged(tmp_path, {"last": last, "fine-tuned": [{"dev": 0.88, "test": 0.9}, None]})
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    dev, test, tuned = result["cells"]
    assert (dev["row"], dev["column"], dev["paper"], dev["tolerance"]) == ("The last", "Dev", 0.5, 0.01)
    assert dev["ours"] == pytest.approx(0.508) and dev["difference"] == pytest.approx(0.008)
    assert dev["sd"] == pytest.approx(0.006 / 2**0.5) and dev["runs"] == 2
    assert (dev["verdict"], test["verdict"], tuned["verdict"]) == ("pass", "fail", "fail")
    assert test["ours"] == pytest.approx(0.465) and test["tolerance"] == 0.05  # 6.5 points apart, of 5
    assert (tuned["runs"], tuned["without"], tuned["sd"]) == (1, 1, None)
    assert [one["says"] for one in result["claims"]] == [
        "Fine-tuning is better",
        "The last is behind by less than ten points",
    ]
    better, near = result["claims"]
    assert better["difference"] == pytest.approx(0.9 - 0.465) and better["paper"] == 0.4
    assert (better["verdict"], near["verdict"]) == ("holds", "fails")
    assert better["low"] is None and better["sure"] is None  # no answers are kept beside these runs
    assert result["failed"] == [
        {"run": "fine-tuned-s2", "arm": "fine-tuned", "reason": "the loss was not finite"}
    ]
    lines = list(reproduced_lines(result))
    assert max(map(len, lines[:-1])) <= WIDE  # the last is the folder, whole
    text = "\n".join(lines)
    assert "1 of 3 figures are within their tolerance; 1 of 2 claims hold." in text
    assert "fail (±1.0), 1 without" in text and "−2.0" in text


def test_who_is_said_to_be_better_must_not_be_level(tmp_path: Path) -> None:
    level = [{"dev": 0.5, "test": 0.5}]
    better, near = judged(tmp_path, {"last": level, "fine-tuned": level})["claims"]
    assert better["difference"] == 0 and better["verdict"] == "fails"
    assert near["difference"] == 0 and near["verdict"] == "holds"
    claims = {by: reproduce.Claim(says="", more="a", than="b", by=by) for by in (0.0, 1.0)}
    assert reproduce.met(claims[1.0], 0.01) and not reproduce.met(claims[0.0], 1e-12)


def test_a_figure_of_elmo_s_cannot_pass_for_both_rows() -> None:
    table = reproduce.read("elmo-table1")
    for name, column in table.columns.items():
        first, second = (row.points[name] for row in table.rows)
        assert 2 * (column.tolerance or table.tolerance) < abs(first - second), name


def test_where_answers_are_kept_a_claim_has_an_interval(tmp_path: Path) -> None:
    """Twelve words, of which one arm has all right and the other misses three; two claims are of the same pair."""
    figures = {"last": [{"dev": 0.5, "test": 0.86}], "fine-tuned": [{"dev": 0.5, "test": 1.0}]}
    path, folder = tmp_path / "mine.toml", made(tmp_path / "study", figures)
    more = '[[claims]]\nsays = "Again"\nmore = "fine-tuned"\nthan = "last"\ntasks = ["micro.entities"]\n'
    path.write_text(TABLE + more, encoding="utf-8")
    for run, wrong in (("last-s1", 3), ("fine-tuned-s1", 0)):
        told = [{"id": n, "label": ["B-X"], "prediction": ["O" if n < wrong else "B-X"]} for n in range(12)]
        text = "".join(json.dumps(row) + "\n" for row in told)
        (folder / run / "predictions-test.jsonl").write_text(text, encoding="utf-8")
    result = reproduce.reproduce(str(path), of=folder, note=lambda sentence: None)
    better, near, again = result["claims"]
    assert better["difference"] == again["difference"] == pytest.approx(1 - 2 * 9 / (9 + 12))
    assert better["low"] == again["low"] and better["low"] < better["difference"] < better["high"]
    assert (
        near["difference"] == -better["difference"] and near["verdict"] == "fails" and near["sure"] is False
    )
    assert "; not sure)" in "\n".join(reproduced_lines(result))


def test_what_has_no_figure_gets_no_verdict(tmp_path: Path) -> None:
    result = judged(tmp_path, {"last": [{"dev": None, "test": None}], "fine-tuned": [None]})
    assert [cell["verdict"] for cell in result["cells"]] == [None, None, None]
    assert [claim["verdict"] for claim in result["claims"]] == [None, None]
    text = "\n".join(reproduced_lines(result))
    assert "0 of 0 figures are within their tolerance (3 without a figure)" in text and "no figure" in text


def test_another_study_s_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none of .*'s arms is here; its study is bert-features"):
        judged(tmp_path, {"somebody": [{"dev": 0.5, "test": 0.5}]})
    with pytest.raises(UserError, match="holds no study"):
        reproduce.reproduce("bert-table7", of=tmp_path / "nothing", note=lambda sentence: None)


def test_a_table_with_an_unknown_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TABLE.replace("points = { Dev = 90.0 }", "points = { Dve = 90.0 }"), encoding="utf-8")
    with pytest.raises(UserError, match=r"unknown column 'Dve'; did you mean 'Dev'\?"):
        reproduce.read(str(path))


def test_at_full_size_what_lacks_is_said_line_by_line_before_anything_starts(tmp_path: Path) -> None:
    notes: list[str] = []
    with pytest.raises(DataError) as caught:
        reproduce.reproduce("gpt-table5", model=str(tmp_path / "no-model"), data=tmp_path, note=notes.append)
    first, *lacks, last = str(caught.value).splitlines()
    assert first == "gpt-table5 at full size lacks:" and last.startswith("`lmc reproduce gpt-table5 --micro`")
    assert lacks[0].startswith("  data for cola, sst2, mrpc") and any(
        "no-model': no such" in line for line in lacks
    )
    assert all(line.startswith("  ") for line in lacks)
    assert notes == ["left out: LSTM; --set models.lstm.model=... names a model for it"]


def test_arms_without_a_model_are_left_out_and_named() -> None:
    table = reproduce.read("bert-table6")
    study, left = reproduce.named(reproduce.planned(table, table.full, []))
    assert [arm.name for arm in study.arms] == ["12/768/12", "24/1024/16"]
    assert len(left) == 4 and "--set models.l6-h768-a3.model=..." in left[1]
    more = ["models.l6-h768-a3.model=runs/some"]
    assert len(reproduce.named(reproduce.planned(table, table.full, more))[0].arms) == 3
    elmo = reproduce.read("elmo-table3")
    with pytest.raises(UserError, match=r"models\.elmo\.model=\.\.\. names a model"):
        reproduce.named(reproduce.planned(elmo, elmo.full, []))
    assert not reproduce.named(reproduce.planned(elmo, elmo.full, [], "elmo_original/"))[1]


def test_options_that_say_nothing_are_refused(tmp_path: Path) -> None:
    def note(sentence: str) -> None:
        raise AssertionError(sentence)

    with pytest.raises(UserError, match="the micro form pretrains its own"):
        reproduce.reproduce("bert-table7", micro=True, model="x", note=note)
    with pytest.raises(UserError, match="a finished study is as it is"):
        reproduce.reproduce("bert-table7", of=tmp_path, assignments=["seeds=[1]"], note=note)
    with pytest.raises(UserError, match="nothing is made; leave --jobs"):
        reproduce.reproduce("bert-table7", of=tmp_path, executor="ray", note=note)
    with pytest.raises(UserError, match="unknown executor 'rya'; did you mean 'ray'"):
        reproduce.reproduce("bert-table7", micro=True, executor="rya", note=lambda sentence: None)
    with pytest.raises(UserError, match=r"executor \(processes\): at_once: -1"):
        over = ["executor.at_once=-1"]
        reproduce.reproduce("bert-table7", micro=True, assignments=over, note=lambda sentence: None)
    with pytest.raises(UserError, match=r"unknown config 'bert-table77'; did you mean 'bert-table7'\?"):
        reproduce.reproduce("bert-table77", micro=True, note=note)
