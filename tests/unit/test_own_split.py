"""The split that is made of a file of one's own: by content alone, in proportion, and never through the same texts."""

import random
from collections import Counter
from pathlib import Path

import pytest

from lmcompare.errors import DataError
from lmcompare.tasks.own import cutting
from lmcompare.types import Example
from tests.unit.test_own_tasks import read, reviews, write


def test_the_split_hangs_on_the_content_alone(tmp_path: Path) -> None:
    rows = reviews(200)
    first = read(write(tmp_path / "a.csv", rows), text="review", label="stars", test_share=0.2)
    random.Random(1).shuffle(rows)
    again = read(write(tmp_path / "b.jsonl", rows), text="review", label="stars", test_share=0.2)
    for split in ("dev", "test"):
        assert {e.texts for e in first.splits[split]} == {e.texts for e in again.splits[split]}
        counts = Counter(e.label for e in first.splits[split])
        assert counts["good"] / counts.total() == pytest.approx(2 / 3, abs=0.02)
    assert first.sizes == {"train": 140, "dev": 20, "test": 40}
    more = read(
        write(tmp_path / "c.csv", [*rows, {"review": "new", "stars": "bad"}]), text="review", label="stars"
    )
    less = read(tmp_path / "b.jsonl", text="review", label="stars")
    moved = {e.texts for e in more.splits["dev"]} ^ {e.texts for e in less.splits["dev"]}
    assert len(moved) <= 4


def test_the_same_texts_stay_on_one_side(tmp_path: Path) -> None:
    drawn = random.Random(3)
    rows = [{"text": f"t {drawn.randrange(60)}{' ' * (n % 2)}", "label": "ab"[n % 2]} for n in range(300)]
    found = read(write(tmp_path / "a.tsv", rows), test_share=0.2)
    seen = [{" ".join(e.texts[0].split()) for e in found.splits[s]} for s in ("train", "dev", "test")]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    assert sum(found.sizes.values()) == 300
    assert found.sizes["dev"] == pytest.approx(30, abs=6) and found.sizes["test"] == pytest.approx(60, abs=6)
    assert not [w for w in found.warnings if "leakage" in w]
    turned = [Example(str(n), (f"a {n % 30}", "b")[:: 1 if n % 2 else -1], "xy"[n % 2]) for n in range(120)]
    parts = cutting.cut(turned, {"dev": 0.2}, "classify", symmetric=True, where="here")
    train, dev = ({frozenset(e.texts) for e in parts[split]} for split in ("train", "dev"))
    assert dev and not train & dev


def test_questions_on_one_context_stay_on_one_side() -> None:
    examples = [Example(str(n), (f"q {n}", f"context {n % 20}"), ((0, 1),)) for n in range(100)]
    parts = cutting.cut(examples, {"dev": 0.2}, "span", symmetric=False, where="here")
    train, dev = ({e.texts[1] for e in parts[split]} for split in ("train", "dev"))
    assert len(dev) == 4 and not train & dev
    alike = [Example(str(n), ("Which is right?",), n % 2, (f"a {n}", f"b {n}")) for n in range(50)]
    assert len(cutting.cut(alike, {"dev": 0.2}, "choice", symmetric=False, where="here")["dev"]) == 10


def test_scores_of_every_size_stand_in_every_part() -> None:
    examples = [Example(str(n), (f"t {n}",), float(n)) for n in range(500)]
    parts = cutting.cut(examples, {"dev": 0.1}, "score", symmetric=False, where="here")
    tenths = Counter(int(e.label) // 50 for e in parts["dev"])  # type: ignore[arg-type]
    assert set(tenths) == set(range(10)) and set(tenths.values()) == {5}


def test_a_split_that_is_not_as_asked_is_told_as_it_is(tmp_path: Path) -> None:
    told = "\n".join(read(write(tmp_path / "a.csv", reviews(5)), text="review", label="stars").warnings)
    assert "split made: 80/20 % (train 4, dev 1; 90/10 % could not be met), by content" in told
    task = read(write(tmp_path / "b.csv", reviews(31)), text="review", label="stars").task
    assert "split made: 90/10 % (train 28, dev 3), by content" in task.source


@pytest.mark.parametrize(
    ("texts", "labels", "says"),
    [
        (60, 60, "60 classes in 60 rows: none has two examples, .* is 'label' the label"),
        (20, 20, "20 classes in 60 rows: none has two different texts, so no dev part can be cut"),
        (1, 2, "60 rows with 1 different text are too few to cut dev from"),
    ],
)
def test_why_nothing_can_be_cut(tmp_path: Path, texts: int, labels: int, says: str) -> None:
    rows = [{"text": f"t {n % texts}", "label": f"c{n % labels}"} for n in range(60)]
    with pytest.raises(DataError, match=rf"a\.csv: {says}.*give a file of its own with task\.dev=FILE"):
        read(write(tmp_path / "a.csv", rows), kind="classify")


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_rows_to_cut_from(tmp_path: Path, count: int) -> None:
    path = write(tmp_path / "a.csv", reviews(60)[:count])
    with pytest.raises(
        DataError, match=rf"{count} rows? (is|are) too few to cut dev from; give a file .*task\.dev=FILE"
    ):
        read(path, text="review", label="stars")
