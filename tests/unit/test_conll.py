"""CoNLL-2003's files: sentences, tags from IOB1, and what is no such file."""

from pathlib import Path

import pytest

from lmcompare import registry
from lmcompare.errors import DataError
from lmcompare.metrics import entities
from lmcompare.tasks.conll import bio

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
TEXT = """-DOCSTART- -X- -X- O

Ann NNP I-NP I-PER
Lee NNP I-NP I-PER
Bob NNP I-NP B-PER
met VB I-VP O
Rome NNP I-NP I-LOC

-DOCSTART- -X- O O

It PRP I-NP O
"""


def test_reads_its_own_layout(tmp_path: Path) -> None:
    (tmp_path / "eng.train").write_text(TEXT)
    first, second = registry.tasks.build({"name": "conll2003"}, tmp_path).load("train")
    assert first.words == ("Ann", "Lee", "Bob", "met", "Rome")
    assert first.label == ("B-PER", "I-PER", "B-PER", "O", "B-LOC")
    assert (second.words, second.label) == (("It",), ("O",))


def test_bio_keeps_the_entities() -> None:
    for tags in (("I-PER", "I-LOC", "B-LOC", "I-LOC"), ("B-PER", "I-PER", "O", "I-ORG"), ("O",)):
        assert list(entities(bio(tags))) == list(entities(tags))
        assert bio(bio(tags)) == bio(tags)


@pytest.mark.parametrize(
    ("line", "said"), [("Ann NNP I-PER", ":2:1: 3 columns"), ("Ann N I I-XYZ", "'I-XYZ' is no tag")]
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "eng.train").write_text(f"a b c O\n{line}\n")
    with pytest.raises(DataError, match=said):
        registry.tasks.build({"name": "conll2003"}, tmp_path).load("train")


def test_the_official_counts() -> None:
    if not REAL.is_dir():
        pytest.skip("CoNLL-2003 is not here (../shared/data)")
    task = registry.tasks.build({"name": "conll2003"}, REAL)
    counts = {"train": (14041, 203621), "dev": (3250, 51362), "test": (3453, 46435)}
    for split, (sentences, words) in counts.items():
        examples = task.load(split)
        assert (len(examples), sum(len(e.words) for e in examples)) == (sentences, words)
