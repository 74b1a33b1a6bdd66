"""What `lmc bench` compares: the same work on both sides, at the lengths that the tasks have."""

import numpy as np
import pytest

from lmcompare import device
from lmcompare.errors import UserError
from lmcompare.experiments import bench
from lmcompare.experiments.bench import bert, gpt
from lmcompare.experiments.bench.turns import SIZES
from lmcompare.transfer.dataset import Dataset
from lmcompare.types import Example, Task


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps as they are, but one small batch of a small network."""
    for name, size in {"layers": 1, "width": 6, "heads": 2}.items():
        monkeypatch.setitem(SIZES, name, size)
    for name, size in {"EPOCH_PART": 3, "TUNING_BATCH": 2, "WINDOWS": 1, "WINDOW": 21}.items():
        monkeypatch.setattr(gpt, name, size)


def lengths(examples: list[Example]) -> np.ndarray:
    task = Task("a", "classify", ("accuracy",), lambda _: examples, ("0", "1"), len(examples[0].texts))
    return Dataset(gpt.model(), task, examples, length=SIZES["positions"]).lengths


@pytest.mark.parametrize(
    ("examples", "shape_and_scale", "least", "most", "mean", "spread"),
    [(gpt.sentences, gpt.SENTENCES, 3, 61, 12.8, 9.3), (gpt.pairs, gpt.PAIRS, 8, gpt.LONGEST, 38.7, 19.4)],
    ids=["SST-2", "MNLI"],
)
def test_views_are_as_long_as_those_of_the_task(
    small: None,
    monkeypatch: pytest.MonkeyPatch,
    examples: object,
    shape_and_scale: tuple[float, float],
    least: int,
    most: int,
    mean: float,
    spread: float,
) -> None:
    monkeypatch.setattr(gpt, "EPOCH_PART", 8)
    monkeypatch.setattr(gpt, "TUNING_BATCH", 32)
    found = lengths(examples())  # type: ignore[operator]
    assert found.tolist() == gpt.drawn(shape_and_scale, least, most)  # nothing is cut, nothing is added
    assert found.mean() == pytest.approx(mean, rel=0.1)  # measured with the released merges
    assert found.std() == pytest.approx(spread, rel=0.15)


def test_their_batch_asks_for_what_ours_does() -> None:
    short, long = [gpt.PIECES, 5, gpt.PIECES + 2], [gpt.PIECES, 5, 6, 7, gpt.PIECES + 2]
    batch = gpt.padded([short, long])
    assert batch["input_ids"].tolist() == [[*short, 0, 0], long]
    assert batch["labels"].tolist() == [[*short, -100, -100], long]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    assert batch["mc_token_ids"].tolist() == [2, 4]


@pytest.mark.parametrize("name", ["gpt-pretrain", "gpt-finetune", "gpt-finetune-pairs"])
def test_both_sides_read_the_same_tokens(small: None, name: str) -> None:
    pair = bench.KINDS[name](device.machine(device="cpu"))
    read = pair.ours(), pair.theirs()
    expected = {
        "gpt-pretrain": 21,
        "gpt-finetune": sum(gpt.drawn(gpt.SENTENCES, 3, 61)),
        "gpt-finetune-pairs": sum(gpt.drawn(gpt.PAIRS, 8, gpt.LONGEST)),
    }
    assert read == (expected[name], expected[name])


def test_a_row_has_its_keys(small: None) -> None:
    result = bench.measure(["gpt-pretrain"], repeats=2, note=lambda _: None)
    (row,) = result["rows"]
    assert list(row) == ["name", "what", "theirs_name", "ours", "theirs", "ratio", "ratios"]
    assert len(row["ratios"]) == 2 and row["ratio"] == pytest.approx(sum(row["ratios"]) / 2, abs=1e-3)


def test_a_name_that_is_none_is_told() -> None:
    with pytest.raises(UserError, match="gpt-pretrain"):
        bench.measure(["gpt-pretrian"], repeats=1, note=lambda _: None)


def test_the_large_rows_know_what_the_machine_could_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are a GPU's; here the same code runs at a small size."""
    monkeypatch.setattr(bert, "BASE", {"layers": 2, "width": 12, "heads": 2, "positions": 128})
    monkeypatch.setattr(bert, "VOCABULARY", 1200)
    monkeypatch.setattr(bert.Vocabulary, "size", 1200)
    monkeypatch.setitem(bench.KINDS, "base-128", lambda machine: bert.base_128(machine, size=2))
    (row,) = bench.measure(["base-128"], repeats=1, note=lambda text: None)["rows"]
    assert row["matrix_rate"] > 1e8 and 0 < row["utilization"] < 1
    assert row["utilization"] == pytest.approx(
        row["ours"] * bert.operations(bert.BASE, 128) / row["matrix_rate"], abs=1e-4
    )


def test_operations_of_the_published_size() -> None:
    """Two a weight that a token meets, three times over with the backward pass: 85 million in the layers, of which
    every product is one, and 0.15 × 24 million in the head; attention comes on top."""
    layers = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    head = 0.15 * (768 * 768 + 768 * 30522)
    assert bert.operations(bert.BASE, 0) == pytest.approx(6 * (layers + head), rel=1e-9)
    assert bert.operations(bert.BASE, 512) - bert.operations(bert.BASE, 0) == 3 * 12 * 4 * 512 * 768
