"""Semantic roles: CoNLL-2005's and CoNLL-2012's columns, how the predicate is marked, and the official count."""

import random
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from lmcompare import metrics, registry
from lmcompare.errors import DataError
from lmcompare.metrics.tags import MARK, roles
from lmcompare.tasks.roles import predicates
from lmcompare.types import Example, Task

# Words and props side by side: two predicates, then a sentence with none, then one with a word between the columns.
FIVE = """The      -     (A0*     *
cat      -        *)     *
sat      sit    (V*)     *
down     -   (AM-DIR*)   *
and      -        *      *
purred   purr     *    (V*)
.        -        *      *

Quiet    -
.        -
"""
TWELVE = """#begin document (a/b); part 000
a/b 0 0 She  PRP x -    -  - s * (ARG0*) *       (1)
a/b 0 1 gave VBD x give 01 1 s * (V*     *       -
a/b 0 2 up   RP  x -    -  - s * *)      *       -
a/b 0 3 what WP  x -    -  - s * (ARG1*  (R-ARG1*) -
a/b 0 4 won  VBD x win  01 1 s * *)      (V*)    -

#end document
"""


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def task(path: Path, **more: Any) -> Task:
    return registry.tasks.build({"name": "srl", "train": str(path), "dev": str(path), **more}, None)


def good(path: Path) -> list[Example]:
    found = list(predicates(path))
    assert all(isinstance(item, Example) for item in found), found
    return [item for item in found if isinstance(item, Example)]


def test_a_predicate_is_an_example_and_stands_between_two_marks(tmp_path: Path) -> None:
    sat, purred = good(put(tmp_path / "a.conll", FIVE))
    assert sat.words == ("The", "cat", "[", "sat", "]", "down", "and", "purred", ".")
    assert sat.label == ("B-A0", "I-A0", MARK, "B-V", MARK, "B-AM-DIR", "O", "O", "O")
    assert purred.words == ("The", "cat", "sat", "down", "and", "[", "purred", "]", ".")
    assert purred.label == ("O", "O", "O", "O", "O", MARK, "B-V", MARK, "O")


def test_the_longer_columns_of_2005(tmp_path: Path) -> None:
    text = """Ms.   NNP (S1(S(NP*  *      -  -      (A0*
Haag  NNP *)           (LOC*) -  -      *)
plays VBZ (VP*         *      02 play   (V*)
Bach  NNP (NP*)))      *      -  -      (A1*)

Yes   UH  (S1*)        *      -  -
"""
    (plays,) = good(put(tmp_path / "wsj.final", text))
    assert plays.label == ("B-A0", "I-A0", MARK, "B-V", MARK, "B-A1")


def test_the_columns_of_2012(tmp_path: Path) -> None:
    gave, won = good(put(tmp_path / "x.v4_gold_conll", TWELVE))
    assert gave.words == ("She", "[", "gave", "up", "]", "what", "won")
    assert gave.label == ("B-ARG0", MARK, "B-V", "I-V", MARK, "B-ARG1", "I-ARG1")
    assert won.words == ("She", "gave", "up", "what", "[", "won", "]")
    assert won.label == ("O", "O", "O", "B-R-ARG1", MARK, "B-V", MARK)


def test_files_are_found_by_name_or_in_folders(tmp_path: Path) -> None:
    put(tmp_path / "srl" / "train.conll", FIVE)
    with pytest.raises(DataError, match=rf"srl: looked for dev\.conll.*{tmp_path}.*--data.*task\.dev=PATH"):
        registry.tasks.build({"name": "srl"}, tmp_path)
    put(tmp_path / "srl" / "dev.conll", FIVE)
    found = registry.tasks.build({"name": "srl"}, tmp_path)
    assert found.splits == ("train", "dev") and "train.conll" in found.source
    assert [e.id for e in found.load("train")] == ["srl-train-1", "srl-train-2"]
    assert len(registry.tasks.build({"name": "srl", "limit": 1}, tmp_path).load("dev")) == 1
    with pytest.raises(DataError, match="no split 'test'"):
        found.load("test")
    other = tmp_path / "ontonotes"
    for part in ("train", "development", "test"):
        put(other / part / "nw" / "a.v4_gold_conll", TWELVE)
        put(other / part / "nw" / "a.v4_auto_conll", TWELVE)
    whole = registry.tasks.build({"name": "srl"}, other)
    assert whole.splits == ("train", "dev", "test") and len(whole.load("test")) == 2
    with pytest.raises(DataError, match="no file here whose name ends in _conll"):
        task(put(tmp_path / "empty" / "x", "").parent)


def test_labels_come_from_the_files(tmp_path: Path) -> None:
    train, dev = put(tmp_path / "a.conll", FIVE), put(tmp_path / "b.conll", FIVE.replace("AM-DIR", "AM-MNR"))
    found = registry.tasks.build({"name": "srl", "train": str(train), "dev": str(dev)}, None)
    rare = ("B-AM-DIR", "I-AM-DIR", "B-AM-MNR", "I-AM-MNR")
    assert found.labels == ("O", MARK, "B-V", "I-V", "B-A0", "I-A0", *rare)
    assert all(set(e.label) <= set(found.labels) for split in found.splits for e in found.load(split))  # type: ignore[arg-type]


BAD = [
    ("sat      sit    (V*)     *", "sat sit (V*)", r":3:1: 3 columns where the sentence began with 4"),
    ("(A0*     *", "(A0      *", r":1:16: '\(A0' is no role"),
    ("       *)     *", "       *      *", r":3:17: '\(V\*\)' begins a role inside of A0"),
    ("(AM-DIR*)   *", "*)          *", r":4:14: '\*\)' ends a role where none is open"),
    (".        -        *      *", ".        -        *    (A1*", r":7:24: A1 is still open at the end"),
    ("purr     *    (V*)", "purr     *      * ", r":1:1: no column with the sentence's predicates"),
    ("purred   purr", "purred   -   ", r":1:1: no column with the sentence's predicates"),
    ("Quiet    -", "Quiet    be", r":9:1: no column with the sentence's predicates"),
    ("Quiet    -\n.        -", "Quiet\n.", r":9:1: 1 columns; 2 are the fewest"),
]


@pytest.mark.parametrize(("old", "new", "said"), BAD)
def test_a_bad_sentence_is_named_or_left_out_whole(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert FIVE.count(old) == 1
    path = put(tmp_path / "a.conll", FIVE + "\nIt    -  (A1*)\nran run  (V*)\n" if "Quiet" in old else FIVE)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=said) as error:
        task(path).load("train")
    assert str(error.value).startswith(str(path))
    path.write_text(path.read_text() + "\nIt    -  (A1*)\nran run  (V*)\n")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        left = task(path, on_bad_row="skip").load("train")
    assert left[-1].words == ("It", "[", "ran", "]") and "bad rows left out: 1" in str(told[0].message)


def test_a_column_without_its_predicate_and_files_without_any(tmp_path: Path) -> None:
    path = put(tmp_path / "a_conll", TWELVE.replace("(V*)    -", "(C-V*)  -"))
    with pytest.raises(DataError, match=r":2:42: no \(V\*\) in this column"):
        task(path).load("train")
    for empty in ("", "Quiet -\n"):
        with pytest.raises(DataError, match="holds no predicate"):
            task(put(tmp_path / "b.conll", empty)).load("dev")


# --- the official count -------------------------------------------------------------------------


def score(gold: str, told: str) -> float | None:
    return metrics.evaluate(["role_f1"], [tuple(gold.split())], [tuple(told.split())], ())[0]["role_f1"]


def test_what_continues_belongs_to_what_it_continues() -> None:
    assert roles("B-A1 B-V B-C-A1 O B-R-A1 B-C-A2".split()) == [
        ("A1", ((0, 1), (2, 3))),
        ("R-A1", ((4, 5),)),
        ("A2", ((5, 6),)),
    ]
    assert roles("B-A1 B-A1 B-C-A1 B-C-A1".split()) == [("A1", ((0, 1),)), ("A1", ((1, 2), (2, 3), (3, 4)))]
    assert not roles("B-V I-V B-C-V".split())


def test_cases_counted_by_hand() -> None:
    assert score("B-A0 B-V B-A1 I-A1", "B-A0 B-V B-A1 I-A1") == 1
    assert score("B-A0 B-V B-A1 I-A1", "B-A0 O B-A1 I-A1") == 1  # the predicate itself counts for nothing
    assert score("B-A0 B-V B-A1 I-A1", "B-A0 B-V B-A1 O") == pytest.approx(
        0.5
    )  # one right, one missed, one too many
    assert score("B-A0 B-V O O", "B-A0 B-V B-A1 B-A2") == pytest.approx(2 / 4)
    assert score("B-A1 B-V B-C-A1", "B-A1 B-V O") == 0  # half of a role is no role: one missed, one too many
    assert score("B-A1 B-V B-C-A1", "B-A1 B-V B-C-A1") == 1  # and one role, not two
    assert score("B-A0 B-V B-C-A1", "B-A0 B-V B-A1") == 1  # a continuation of nothing is the role itself
    assert score("B-A1 B-V B-R-A1", "B-A1 B-V B-A1") == pytest.approx(0.5)
    assert score("O B-V O", "O B-V O") is None


def test_marks_are_no_words() -> None:
    gold = f"B-A0 {MARK} B-V {MARK} B-A1"
    assert score(gold, "B-A0 B-A2 B-V I-A1 B-A1") == 1  # whatever was said of them
    assert score(gold, f"B-A0 {MARK} O {MARK} {MARK}") == pytest.approx(2 / 3)
    assert score(f"O {MARK} B-V {MARK} B-A1 I-A1", f"O {MARK} B-V I-A1 I-A1 I-A1") == 1


def slow(gold: list[list[str]], told: list[list[str]]) -> float:
    """From brackets, as the published script reads them: arguments that may have several phrases, kept by their first
    and last word."""

    def arguments(tags: list[str]) -> dict[tuple[int, int], tuple[str, list[tuple[int, int]]]]:
        line = "".join(
            f"{'>' if tag[0] != 'I' or tag[2:] != before[2:] else ''}{n},{tag[2:] or '-'};"
            for n, (before, tag) in enumerate(zip(["O", *tags], tags, strict=False))
        )
        phrases = []
        for run in re.findall(r">[^>]*", line):
            cells = [cell.split(",") for cell in run[1:].split(";") if cell]
            if cells[0][1] != "-":
                phrases.append((cells[0][1], int(cells[0][0]), int(cells[-1][0])))
        found: list[tuple[str, list[tuple[int, int]]]] = []
        for kind, start, end in phrases:
            heads = [argument for argument in found if f"C-{argument[0]}" == kind]
            if heads:
                heads[-1][1].append((start, end))
            else:
                found.append((kind[2:] if kind.startswith("C-") else kind, [(start, end)]))
        return {(pieces[0][0], pieces[-1][1]): (kind, pieces) for kind, pieces in found if kind != "V"}

    right = wrong = missed = 0
    for true, guess in zip(gold, told, strict=True):
        ours, theirs = arguments(true), arguments(guess)
        same = sum(theirs.get(place) == argument for place, argument in ours.items())
        right, missed, wrong = right + same, missed + len(ours) - same, wrong + len(theirs) - same
    precision, recall = right / max(1, right + wrong), right / max(1, right + missed)
    return 2 * precision * recall / (precision + recall) if right else 0.0


def test_a_thousand_sets_against_a_slow_reading() -> None:
    rng = random.Random(5)
    kinds = ["A0", "A1", "C-A1", "C-A0", "R-A0", "V", "C-V", "AM-TMP", "C-A2"]
    tags = ["O", *(f"{place}-{kind}" for kind in kinds for place in "BI")]
    seen = set()
    for _ in range(1000):
        gold = [rng.choices(tags, k=rng.randint(1, 9)) for _ in range(rng.randint(1, 5))]
        told = [[tag if rng.random() < 0.7 else rng.choice(tags) for tag in one] for one in gold]
        value = metrics.evaluate(["role_f1"], gold, told, ())[0]["role_f1"]
        if value is None:
            assert slow(gold, told) == 0
        else:
            assert value == pytest.approx(slow(gold, told), abs=1e-12)
            seen.add(round(value, 1))
    assert len(seen) > 8
