"""The table and the figures as files: every number as it stands in the comparison, and names that steer nothing."""

import csv
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from lmcompare.comparison import UNFAIR, Comparison, Mark
from lmcompare.errors import UserError
from lmcompare.report import drawn, pictures, tables
from lmcompare.report.figures import points
from lmcompare.statistics import summarize
from tests.fake_runs import failed, finished, suite, unfinished

SVG = "{http://www.w3.org/2000/svg}"
NASTY = r"50% of a_b & <c> {d} ~e^ \f $g$ #h | `i` *j*"


@pytest.fixture(scope="module")
def study() -> Comparison:
    rows = [*suite(), failed("fine-tuned", "micro.task3", 9), unfinished("fine-tuned", "micro.task4", 9)]
    return summarize(rows, title="a study")


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def number(text: str) -> float | None:
    return float(text) if text else None


def test_csv_has_every_number_with_all_its_digits(study: Comparison, tmp_path: Path) -> None:
    made = tables.write(study, tmp_path / "new" / "tables")
    assert [path.name for path in made] == [
        "results.csv", "seeds.csv", "differences.csv", "costs.csv", "results.tex", "results.md",
    ]  # fmt: skip
    cells = rows_of(made[0])
    assert len(cells) == len(study.cells)
    for row, cell in zip(cells, study.cells, strict=True):
        assert (row["arm"], row["task"], int(row["n"])) == (cell.arm, cell.task, cell.n)
        for key in ("mean", "sd", "low", "high", "median", "best", "degenerate"):
            assert number(row[key]) == getattr(cell, key)
        assert row["metric"] == "accuracy" and row["split"] == "test" and int(row["failed"]) == cell.failed
    runs = rows_of(made[1])
    assert [(r["run"], number(r["value"]), r["status"]) for r in runs] == [
        (run.run, run.value, run.status) for run in study.runs
    ]
    pairs = rows_of(made[2])
    assert [(r["a"], r["b"], r["task"]) for r in pairs] == [(p.a, p.b, p.task) for p in study.paired]
    assert {row["arm"] for row in rows_of(made[3])} == set(study.arms)
    # 1,048,576 bytes are not a megabyte.
    assert {"memory_mib", "gpu_memory_mib"} < set(rows_of(made[3])[0]) and "memory_mb" not in made[
        3
    ].read_text()


def test_a_value_that_is_not_there_is_an_empty_field(tmp_path: Path) -> None:
    comparison = summarize([finished("a", "x", 1, None), failed("a", "x", 2)], title="t")
    made = tables.write(comparison, tmp_path)
    (cell,) = rows_of(made[0])
    assert (
        cell["mean"] == cell["sd"] == cell["low"] == "" and cell["failed"] == "1" and cell["undefined"] == "1"
    )
    assert [row["status"] for row in rows_of(made[1])] == ["undefined", "failed"]
    empty = tables.write(summarize([], title="nothing"), tmp_path / "empty")
    assert rows_of(empty[0]) == [] and "mean" in empty[0].read_text()


def test_latex_has_the_table_with_booktabs(study: Comparison, tmp_path: Path) -> None:
    text = tables.latex(study)
    above, below = text.split(r"\bottomrule")
    rows = [line for line in above.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + len(study.tasks) + 1  # head, tasks, mean
    assert all(row.count(" & ") == len(study.arms) for row in rows)
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{lrrrr}", r"\end{tabular}"):
        assert rule in text
    first = study.cell("bag of words", "micro.task0")
    assert f"{points(first.mean)} $\\pm$ {points(first.sd)}" in text
    # A row has one that stands out at most, and it is the highest.
    for row, task in zip(rows[1:], study.tasks, strict=False):
        best = max(study.cell(arm, task.name).mean or 0 for arm in study.arms)
        assert re.findall(r"\\textbf\{([\d.]+)", row)[0] == points(best)
    assert r"micro.task3 (accuracy)" in text and "1 failed" in text
    notes = re.findall(r"\\multicolumn\{5\}\{l\}\{\\footnotesize (.*)\} \\\\", below)
    assert len(notes) == below.count(r"\\") > 1 and below.rstrip().endswith(r"\end{tabular}")
    assert "the figure times 100" in " ".join(notes) and "runs without a value left out" in " ".join(notes)
    assert max(map(len, notes)) < 100  # lines, and none that would stretch the table


def test_the_signs_of_a_latex_table_are_explained_in_it(study: Comparison) -> None:
    odd = Mark(
        "random start", "micro.task1", "data", UNFAIR, "another version of 50% of it", "the same for all"
    )
    text = tables.latex(replace(study, marks=(odd,)))
    above, below = text.split(r"\bottomrule")
    assert r"$\dagger$" in above
    assert r"$\dagger$ random start on micro.task1: another version of 50\% of it." in below
    assert r"$\dagger$ it counts, but cannot fairly be compared." in below


@pytest.mark.parametrize("name", [NASTY, "—", "back\\", "a\nb", "\x1b[31mred"])
def test_latex_and_markdown_escape_names(name: str) -> None:
    rows = [finished(name, f"task {name}", seed, 0.5 + seed / 10) for seed in (1, 2)]
    comparison = summarize(rows, title=name)
    latex = [line for line in tables.latex(comparison).splitlines() if not line.startswith("%")]
    # What is an order is ours: what is left after taking it away holds no sign that LaTeX would read.
    plain = re.sub(
        r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar)\{\}"
        r"|\\[&%$#_{}]|\$\\(pm|dagger|ddagger)\$|\$-\$|\\textbf\{|\\(begin|end)\{tabular\}(\{l?r*\})?|\\(top|mid|bottom)rule"
        r"|\\footnotesize |\\multicolumn\{2\}\{l\}\{|\\\\$",
        "",
        "\n".join(latex),
        flags=re.M,
    )
    assert not re.search(r"[\\%$#_^~<>|]", plain), plain
    opened = "\n".join(latex)
    assert plain.count("}") == opened.count(r"\textbf{") + opened.count(r"\multicolumn{")
    table = [line for line in tables.markdown(comparison).splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 3 for line in table)
    assert "\x1b" not in tables.markdown(comparison) + tables.latex(comparison)


def test_latex_compiles(study: Comparison, tmp_path: Path) -> None:
    if not shutil.which("pdflatex"):
        pytest.skip("needs pdflatex: none on the PATH")
    tables.write(study, tmp_path)
    whole = r"\documentclass{article}\usepackage{booktabs}\begin{document}\input{results}\end{document}"
    (tmp_path / "whole.tex").write_text(whole)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "whole"], cwd=tmp_path, check=False
    )
    assert done.returncode == 0


def test_markdown_is_the_table(study: Comparison) -> None:
    lines = tables.markdown(study).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(study.tasks) + 1
    assert table[0].split(" | ")[1:] == ["bag of words", "random start", "frozen features", "fine-tuned |"]
    assert any("2 runs without a value left out" in line for line in lines)


def test_figures_stand_alone(study: Comparison, tmp_path: Path) -> None:
    made = drawn.write(study, tmp_path)
    names = {path.name for path in made}
    assert {"means.svg", "seeds.svg", "learning-curves.svg", "pretraining.svg"} <= names
    assert not list(tmp_path.glob("*.png"))
    for path in made:
        root = ET.parse(path).getroot()
        assert root.tag == f"{SVG}svg"
        wide, high = float(root.get("width", 0)), float(root.get("height", 0))
        text = path.read_text()
        # No style sheet, no class, no variable, no link: any program shows it as it is.
        assert not re.search(r"class=|style=|var\(|<style|href|url\(", text)
        assert root[0].get("fill") == "#ffffff"
        for mark in root.iter():
            for key in ("x", "x1", "x2", "cx"):
                if (value := mark.get(key)) and not value.endswith("%"):
                    assert -0.01 <= float(value) <= wide, (path.name, mark.tag, value)
            for key in ("y", "y1", "y2", "cy"):
                if (value := mark.get(key)) and not value.endswith("%"):
                    assert -0.01 <= float(value) <= high, (path.name, mark.tag, value)
            assert (mark.get("fill") or "#").startswith(("#", "none"))
            assert (mark.get("stroke") or "#").startswith(("#", "none"))


def test_every_seed_has_its_dot(study: Comparison, tmp_path: Path) -> None:
    drawn.write(study, tmp_path)
    dots = ET.parse(tmp_path / "seeds.svg").getroot().findall(f"{SVG}circle")
    assert len(dots) == sum(cell.n for cell in study.cells)
    titles = {dot.findtext(f"{SVG}title") for dot in dots}
    for cell in study.cells:
        for value in cell.values:
            assert f"{cell.arm}, seed {value.seed}: {points(value.value)}" in titles
    lines = ET.parse(tmp_path / "learning-curves.svg").getroot().findall(f"{SVG}path")
    assert len(lines) == sum(bool(run.curve) for run in study.runs)


def test_names_in_figures_are_text(tmp_path: Path) -> None:
    name = '</text><script>alert(1)</script>"&'
    rows = [finished(f"{arm} {name}", f"task {name}", seed, 0.4) for arm in "ab" for seed in (1, 2)]
    for path in drawn.write(summarize(rows, title=name), tmp_path):
        root = ET.parse(path).getroot()
        assert not root.findall(f".//{SVG}script")
    assert "<script" not in (tmp_path / "seeds.svg").read_text()


def test_pictures_where_nothing_draws_them(
    study: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    with pytest.raises(
        UserError, match=r"--png: nothing here draws pictures.*lmcompare\[figures\].*Chromium"
    ):
        drawn.write(study, tmp_path / "figures", png=True)
    assert not (tmp_path / "figures").exists()


@pytest.mark.browser
def test_pictures_by_chromium(study: Comparison, tmp_path: Path) -> None:
    if pictures.browser() is None:
        pytest.skip("needs Chromium: none on the PATH, and CHROMIUM is not set (`make browser`)")
    svg = tmp_path / "means.svg"
    drawn.write(study, tmp_path)
    picture = pictures.by_browser(svg)
    assert picture.startswith(b"\x89PNG")
    root = ET.parse(svg).getroot()
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert (
        abs(width - 2 * float(root.get("width", 0))) <= 2
        and abs(height - 2 * float(root.get("height", 0))) <= 2
    )
