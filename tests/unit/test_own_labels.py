"""Labels of one's own files that are not what they seem: numbers with a mistake among them, and one class alone."""

from pathlib import Path

import pytest

from lmcompare.errors import DataError
from tests.unit.test_own_tasks import read, reviews, write


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("nan", "'nan' is not a number, though 19 of 20 labels are; mend it, or say --kind classify"),
        ("NA", "'NA' is not a number"),
        ("1e400", "'1e400' is not a finite number"),
        ("3,5", r"'3,5' is not a number \(write a point where it has a decimal comma\), though 19 of 20"),
    ],
)
def test_a_bad_score_does_not_make_classes_of_the_others(tmp_path: Path, bad: str, says: str) -> None:
    rows = [{"text": f"x {n}", "label": bad if n == 12 else f"{n // 4 / 4}"} for n in range(20)]
    path = write(tmp_path / "a.tsv", rows)
    with pytest.raises(DataError, match=rf"a\.tsv:14:6: {says}"):
        read(path)
    assert bad in read(path, kind="classify").task.labels
    left = read(path, on_bad_row="skip")
    assert left.task.kind == "score" and sum(left.sizes.values()) == 19
    assert "bad rows left out: 1" in "\n".join(left.warnings)


def test_decimal_commas_and_powers_of_ten(tmp_path: Path) -> None:
    rows = [{"text": f"x {n}", "label": f"{n},5"} for n in range(20)]
    with pytest.raises(DataError, match=r"a\.tsv:2:5: '0,5' .* decimal comma\), though the labels look like"):
        read(write(tmp_path / "a.tsv", rows))
    small = [row | {"label": f"{n}e-05"} for n, row in enumerate(rows)]
    assert read(write(tmp_path / "b.tsv", small)).task.kind == "score"


def test_a_train_part_of_one_class_has_nothing_to_learn(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [row | {"stars": "good"} for row in reviews()])
    with pytest.raises(
        DataError, match=r"a\.csv: one class only in train \('good'\), .* is 'stars' the label"
    ):
        read(path, text="review", label="stars")
    both = write(tmp_path / "b.csv", reviews())
    with pytest.raises(DataError, match="one class only in train"):
        read(path, text="review", label="stars", dev=str(both), labels=["good", "bad"])
    alone = read(both, text="review", label="stars", dev=str(path))
    assert any("dev: one class only ('good'), so no value of macro_f1 here" in w for w in alone.warnings)
