"""Files to hand in: their exact bytes, what is refused, and a zip that several runs fill."""

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lmcompare.config import Baseline
from lmcompare.errors import DataError, UserError
from lmcompare.experiments import submission
from lmcompare.experiments.baseline import baseline
from lmcompare.experiments.submission import SHEETS, packed, submit, table
from lmcompare.progress import Progress
from lmcompare.report.text import submission_lines
from lmcompare.tasks import facts
from lmcompare.types import Example

# By file: answers by the names that the tasks give them, and what the server wants.
WANTED: dict[str, tuple[list[Any], str]] = {
    "CoLA.tsv": (["acceptable", "unacceptable"], "0\t1\n1\t0\n"),
    "SST-2.tsv": (["negative", "positive"], "0\t0\n1\t1\n"),
    "MRPC.tsv": (["equivalent", "not_equivalent"], "0\t1\n1\t0\n"),
    "STS-B.tsv": ([3.14159, -0.2, 5.7, 5, 0.0004], "0\t3.142\n1\t0.000\n2\t5.000\n3\t5.000\n4\t0.000\n"),
    "QQP.tsv": (["duplicate", "not_duplicate"], "0\t1\n1\t0\n"),
    "MNLI-m.tsv": (
        ["neutral", "entailment", "contradiction"],
        "0\tneutral\n1\tentailment\n2\tcontradiction\n",
    ),
    "MNLI-mm.tsv": (["contradiction"], "0\tcontradiction\n"),
    "QNLI.tsv": (["not_entailment", "entailment"], "0\tnot_entailment\n1\tentailment\n"),
    "RTE.tsv": (["entailment", "not_entailment"], "0\tentailment\n1\tnot_entailment\n"),
    "WNLI.tsv": (["entailment", "not_entailment"], "0\t1\n1\t0\n"),
    "AX.tsv": (["neutral", "contradiction"], "0\tneutral\n1\tcontradiction\n"),
}


def answered(sheet: submission.Sheet, answers: list[Any]) -> tuple[list[Example], list[dict[str, Any]]]:
    examples = [Example(f"{sheet.task}-{sheet.split}-{n}", ("a",)) for n in range(len(answers))]
    rows = [{"id": e.id, "label": None, "prediction": a} for e, a in zip(examples, answers, strict=True)]
    return examples, rows


def test_the_server_takes_eleven_tables() -> None:
    assert [sheet.file for sheet in SHEETS] == list(WANTED)
    assert all(facts.of(sheet.task).splits[sheet.split] for sheet in SHEETS)


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.file)
def test_every_table_to_the_byte(sheet: submission.Sheet) -> None:
    answers, text = WANTED[sheet.file]
    assert table(sheet, *answered(sheet, answers)) == "index\tprediction\n" + text


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.file)
def test_rows_that_do_not_fit_are_refused(sheet: submission.Sheet) -> None:
    answers, _ = WANTED[sheet.file]
    examples, rows = answered(sheet, answers * 2)
    with pytest.raises(DataError, match=rf"{sheet.file}: \d+ answers to \d+ examples"):
        table(sheet, examples, rows[:-1])
    swapped = [examples[1], examples[0], *examples[2:]]
    with pytest.raises(DataError, match=f"{sheet.file}: row 0 is the example"):
        table(sheet, swapped, [rows[1], rows[0], *rows[2:]])
    with pytest.raises(DataError, match="its answer one to"):
        table(sheet, examples, [rows[1], rows[0], *rows[2:]])
    with pytest.raises(DataError, match="row 0 is the example"):  # the first was left out as a bad row
        table(sheet, examples[1:], rows[1:])
    wrong = float("nan") if sheet.file == "STS-B.tsv" else "maybe"
    with pytest.raises(DataError, match=f"{sheet.file}: {rows[0]['id']} is answered"):
        table(sheet, examples, [rows[0] | {"prediction": wrong}, *rows[1:]])


def test_the_same_answers_are_the_same_zip() -> None:
    pages = {"RTE.tsv": "one\n", "CoLA.tsv": "two\n"}
    data = packed(pages)
    assert data == packed(dict(reversed(pages.items())))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["CoLA.tsv", "RTE.tsv"] and archive.testzip() is None
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("CoLA.tsv") == b"two\n"


# --- runs -------------------------------------------------------------------------------------------

LABELS = ("entailment", "neutral", "contradiction")


def mnli(data: Path, *, matched: int = 9796, mismatched: int = 9847) -> None:
    """MNLI in the official layout, its test files as long as the published ones."""
    folder = data / "MNLI"
    folder.mkdir(parents=True, exist_ok=True)
    labelled = [f"a {label} text\tand {n}\t{label}" for n in range(4) for label in LABELS]
    for name in ("train", "dev_matched"):
        (folder / f"{name}.tsv").write_text("\n".join(["sentence1\tsentence2\tgold_label", *labelled, ""]))
    for name, count in (("test_matched", matched), ("test_mismatched", mismatched)):
        rows = [f"{n}\ta {LABELS[n % 3]} text\tand {n % 7}" for n in range(count)]
        (folder / f"{name}.tsv").write_text("\n".join(["index\tsentence1\tsentence2", *rows, ""]))


def run(data: Path, out: Path, **task: Any) -> Path:
    config = Baseline(task={"name": "mnli", **task}, baseline={"name": "bow"})
    baseline(config, progress=Progress(), out=out, data=data)
    return out


def contents(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submission")
    mnli(folder)
    run(folder, folder / "run")
    return folder


def test_a_run_fills_its_tables_and_the_missing_ones_are_named(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.zip"
    told = submit([place / "run"], out, "test", data=place)
    assert [(row["file"], row["split"], row["rows"]) for row in told["files"]] == [
        ("MNLI-m.tsv", "test", 9796), ("MNLI-mm.tsv", "test_mismatched", 9847),
    ]  # fmt: skip
    kept = [json.loads(line) for line in (place / "run" / "predictions-test.jsonl").read_text().splitlines()]
    pages = contents(out)
    rows = "".join(f"{n}\t{row['prediction']}\n" for n, row in enumerate(kept))
    assert pages["MNLI-m.tsv"] == "index\tprediction\n" + rows and len(pages) == 2
    assert pages["MNLI-m.tsv"].splitlines()[1:4] == ["0\tentailment", "1\tneutral", "2\tcontradiction"]
    assert len(told["missing"]) == 9 and told["missing"]["CoLA.tsv"] == "no run on cola"
    assert "a baseline, which keeps its answers to mnli alone" in told["missing"]["AX.tsv"]
    lines = list(submission_lines(told))
    assert lines[0] == "MNLI-m.tsv: 9,796 answers of run to test of mnli" and lines[-1] == str(out)
    assert "missing: CoLA.tsv: no run on cola" in lines
    assert {p.name for p in tmp_path.iterdir()} == {"out.zip", "out.zip.json"}  # nothing half-written stays
    assert all(row["model"] == "bow" and row["replaced"] is None for row in told["files"])
    hashes = json.loads((place / "run" / "result.json").read_text())["data_hashes"]
    assert [row["data_hash"] for row in told["files"]] == [hashes["test"], hashes["test_mismatched"]]
    assert any("repeat another one" in sentence for sentence in told["warnings"])
    assert f"note: {told['warnings'][0]}" in lines


def test_a_zip_that_is_there_is_added_to(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.zip"
    rte = "index\tprediction\n" + "".join(f"{n}\tentailment\n" for n in range(3000))
    neutral = "index\tprediction\n" + "".join(f"{n}\tneutral\n" for n in range(9847))
    out.write_bytes(packed({"RTE.tsv": rte, "MNLI-mm.tsv": neutral}))
    told = submit([place / "run"], out, "test_mismatched", data=place)
    assert [row["file"] for row in told["files"]] == ["MNLI-mm.tsv"]
    assert [row["file"] for row in told["kept"]] == ["RTE.tsv"] and "MNLI-m.tsv" in told["missing"]
    lines = list(submission_lines(told))
    assert lines[0].endswith("of mnli, in the place of those there (of which run is not known)")
    assert lines[1] == "as they were: RTE.tsv (of which run is not known)"
    pages = contents(out)
    assert list(pages) == ["MNLI-mm.tsv", "RTE.tsv"] and pages["RTE.tsv"] == rte
    assert "entailment" in pages["MNLI-mm.tsv"]
    first = out.read_bytes()
    again = submit([place / "run"], out, "test_mismatched", data=place)
    assert out.read_bytes() == first and again["files"][0]["replaced"] == {"run": "run", "model": "bow"}


def test_beside_a_zip_stands_whose_its_tables_are(place: Path, tmp_path: Path) -> None:
    out, trace = tmp_path / "out.zip", tmp_path / "out.zip.json"
    told = submit([place / "run"], out, "test_mismatched", data=place)
    (row,) = json.loads(trace.read_text())["files"]
    assert (row["file"], row["run"], row["model"], row["split"]) == (
        "MNLI-mm.tsv", "run", "bow", "test_mismatched",
    )  # fmt: skip
    assert row | {"replaced": None} == told["files"][0]
    other = shutil.copytree(place / "run", tmp_path / "other")
    added = submit([other], out, "test", data=place)
    assert {row["run"] for row in added["files"]} == {"other"} and not added["kept"]
    (page := contents(out)).pop("MNLI-m.tsv")
    out.write_bytes(packed(page))
    with pytest.raises(DataError, match="is not the published one"):  # nothing is written, nothing forgotten
        short = tmp_path / "short"
        mnli(short, matched=5)
        submit([run(short, short / "run")], out, "test", data=short)
    assert [row["run"] for row in json.loads(trace.read_text())["files"]] == ["other", "other"]
    changed = page["MNLI-mm.tsv"].replace("entailment", "neutral")
    out.write_bytes(packed({"MNLI-mm.tsv": changed}))
    assert submission.traces(out, {"MNLI-mm.tsv": changed})["MNLI-mm.tsv"]["run"] is None
    assert submission.traces(out, page)["MNLI-mm.tsv"]["run"] == "other"
    trace.write_text('{"mine": 1}')
    with pytest.raises(UserError, match=r"out\.zip\.json: is no list of whose answers out\.zip holds"):
        submit([other], out, "test", data=place)
    assert trace.read_text() == '{"mine": 1}'


@pytest.mark.parametrize("content", [b"no zip", packed({"RTE.tsv": "index\tprediction\n0\tentailment\n"})])
def test_what_is_no_submission_is_left_alone(content: bytes, place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.zip"
    out.write_bytes(content)
    with pytest.raises(UserError, match="is there already, and no submission to add to"):
        submit([place / "run"], out, "test", data=place)
    assert out.read_bytes() == content


def test_another_number_of_rows_is_refused(tmp_path: Path) -> None:
    mnli(tmp_path, matched=9795)
    path = run(tmp_path, tmp_path / "run")
    with pytest.raises(DataError, match=r"test of mnli is not the published one, .*9,795 of 9,796 rows"):
        submit([path], tmp_path / "out.zip", None, data=tmp_path)
    assert not (tmp_path / "out.zip").exists()
    few = run(tmp_path, tmp_path / "few", limit=9)
    with pytest.raises(DataError, match=r"9 of 9,796 rows"):
        submit([few], tmp_path / "out.zip", None, data=tmp_path)


def test_answers_to_other_examples_are_refused(place: Path, tmp_path: Path) -> None:
    mnli(tmp_path, matched=12)
    path = run(tmp_path, tmp_path / "run")
    with pytest.raises(UserError, match=r"it answered 12 other examples of test than are in"):
        submit([path], tmp_path / "out.zip", None, data=place)


def test_what_cannot_be_handed_in_is_said(place: Path, tmp_path: Path) -> None:
    one, out = [place / "run"], tmp_path / "out.zip"
    twin = shutil.copytree(place / "run", tmp_path / "twin")
    with pytest.raises(UserError, match=r"runs .*/run and .*/twin both answer MNLI-m\.tsv; leave one out"):
        submit([*one, twin], out, "test", data=place)
    with pytest.raises(UserError, match=r"takes a \.zip, SQuAD's a \.json"):
        submit(one, tmp_path / "out.tsv", "test", data=place)
    with pytest.raises(UserError, match="takes answers to the test examples"):
        submit(one, out, "dev", data=place)
    with pytest.raises(UserError, match=r"no answers to micro\.sentiment"):
        micro = Baseline(task={"name": "micro.sentiment", "train": 30}, baseline={"name": "bow"})
        baseline(micro, progress=Progress(), out=tmp_path / "micro")
        submit([tmp_path / "micro"], out, None)
    mnli(tmp_path)
    for name in ("test_matched", "test_mismatched"):
        (tmp_path / "MNLI" / f"{name}.tsv").unlink()
    path = run(tmp_path, tmp_path / "bare")
    with pytest.raises(DataError, match=r"MNLI-m\.tsv: no test in .*MNLI \(train: train\.tsv"):
        submit([path], out, None, data=tmp_path)
    assert not out.exists()


@pytest.mark.slow
def test_real_test_files_are_the_published_ones(shared: Path, tmp_path: Path) -> None:
    """Several runs into one zip."""
    runs = []
    for name in ("rte", "wnli", "stsb"):
        config = Baseline(task={"name": name}, baseline={"name": "bow"})
        baseline(config, progress=Progress(), out=tmp_path / name, data=shared)
        runs.append(tmp_path / name)
    told = submit(runs, tmp_path / "out.zip", "test", data=shared)
    assert {row["file"]: row["rows"] for row in told["files"]} == {
        "RTE.tsv": 3000,
        "WNLI.tsv": 146,
        "STS-B.tsv": 1379,
    }
    pages = contents(tmp_path / "out.zip")
    assert list(pages) == ["STS-B.tsv", "RTE.tsv", "WNLI.tsv"]
    assert set(pages["WNLI.tsv"].split()) <= {"index", "prediction", *map(str, range(146))}
    assert all(0 <= float(line.split("\t")[1]) <= 5 for line in pages["STS-B.tsv"].splitlines()[1:])
    rows = (shared / "glue" / "WNLI" / "test.tsv").read_text(encoding="utf-8").splitlines()
    other = tmp_path / "other" / "WNLI"
    other.mkdir(parents=True)
    for split in ("train", "dev"):
        (other / f"{split}.tsv").symlink_to(shared / "glue" / "WNLI" / f"{split}.tsv")
    changed = [rows[0], *(f"{n}\t" + row.split("\t", 1)[1] for n, row in enumerate(reversed(rows[1:])))]
    (other / "test.tsv").write_text("\n".join([*changed, ""]), encoding="utf-8")
    with pytest.raises(DataError, match=r"is not the published one.*in another order"):
        submit([tmp_path / "wnli"], tmp_path / "again.zip", None, data=tmp_path / "other")


def test_squad(tmp_path: Path) -> None:
    def part(name: str, count: int) -> None:
        questions = [
            {
                "id": f"{name}-{n}",
                "question": f"Who is number {n}?",
                "answers": [{"text": "Bo Ek", "answer_start": 7}],
            }
            for n in range(count)
        ]
        paragraphs = [{"context": "He met Bo Ek in Rome.", "qas": questions}]
        text = json.dumps({"version": "1.1", "data": [{"title": "x", "paragraphs": paragraphs}]})
        (tmp_path / f"{name}-v1.1.json").write_text(text)

    part("train", 4)
    part("dev", 3)
    config = Baseline(task={"name": "squad"}, baseline={"name": "bow"})
    baseline(config, progress=Progress(), out=tmp_path / "run", data=tmp_path)
    told = submit([tmp_path / "run"], tmp_path / "out.json", None, data=tmp_path)
    kept = [
        json.loads(line) for line in (tmp_path / "run" / "predictions-dev.jsonl").read_text().splitlines()
    ]
    answers = json.loads((tmp_path / "out.json").read_text())
    assert answers == {row["id"]: row["prediction"] for row in kept} and list(answers) == [
        "dev-0",
        "dev-1",
        "dev-2",
    ]
    assert [(row["file"], row["rows"]) for row in told["files"]] == [("out.json", 3)] and not told["missing"]
    again = submit([tmp_path / "run"], tmp_path / "out.json", None, data=tmp_path)
    assert again["files"][0]["replaced"] == {"run": "run", "model": "bow"} and not again["kept"]
    assert json.loads((tmp_path / "out.json.json").read_text())["files"][0]["rows"] == 3
    assert "in the place of those there (run run, model bow)" in next(submission_lines(again))
    before = (tmp_path / "dev-v1.1.json").read_text()
    with pytest.raises(UserError, match="is there already, and no submission to replace"):
        submit([tmp_path / "run"], tmp_path / "dev-v1.1.json", None, data=tmp_path)
    assert (tmp_path / "dev-v1.1.json").read_text() == before
    with pytest.raises(UserError, match="holds the answers of one run"):
        submit([tmp_path / "run"] * 2, tmp_path / "two.json", None, data=tmp_path)
    with pytest.raises(UserError, match="GLUE's server takes no answers to squad"):
        submit([tmp_path / "run"], tmp_path / "out.zip", None, data=tmp_path)
