"""BERT's data maker against a slow reading of the published rules (tests/oracles/slow_bert_data.py). What holds for
every single instance is asked in test_instances.py.

Two shares agree where they are less than four standard errors apart. The error is taken from how a share varies between
passes over the same document, for instances of one document hang together and both readings get the same documents.
Counts that are drawn independently agree where a two-sample chi-squared stays under the value that chance exceeds as
rarely as four standard errors.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, chi2

from lmcompare import registry
from lmcompare.backends.bert import Bert
from lmcompare.text.material import Material
from lmcompare.text.shards import Shards
from lmcompare.text.wordpiece import SPECIALS, WordPiece, bert_tokenizer
from tests.oracles import slow_bert_data as slow

LENGTH, PASSES, HOLDOUT = 40, 20, 0.02
ROOM = LENGTH - 3
DOCUMENTS = 1760  # of which 20 passes make 100,000 instances
ERRORS, RARELY = 4.0, 6e-5
TARGET_FOR = "document"  # how long a target length holds; the slow reading knows "document" too
PIECES = [*SPECIALS, "[unused1]", "[unused2]", *(f"w{n}" for n in range(37)), *(f"##{n}" for n in range(23))]


@dataclass(frozen=True)
class Told:
    """Instances in the order of making, of `documents` (numbers in the corpus) in every pass."""

    shards: Shards
    documents: np.ndarray
    passes: int
    rows: np.ndarray

    def of(self, places: np.ndarray) -> np.ndarray:
        """The document that a token stands in."""
        starts = self.shards.sentences[self.shards.documents]
        return np.searchsorted(starts, places, side="right") - 1

    def clusters(self) -> np.ndarray:
        """Which pass over which document each instance is from."""
        documents = self.of(self.rows[:, 0])
        numbers = np.concatenate([[0], np.cumsum(documents[1:] != documents[:-1])])
        assert numbers[-1] + 1 == len(self.documents) * self.passes
        return numbers

    def table(self, values: np.ndarray) -> np.ndarray:
        """Their sum for every pass and document."""
        size = len(self.documents) * self.passes
        return np.bincount(self.clusters(), values, size).reshape(self.passes, -1)


def built(name: str = "mlm_nsp", **settings: Any) -> Any:
    tokenizer = WordPiece(bert_tokenizer(PIECES, lowercase=True))
    bert = Bert(tokenizer, layers=1, width=4, heads=1, positions=LENGTH)
    return registry.objectives.build({"name": name, "length": LENGTH, **settings}, bert)


def corpus(sizes: list[list[int]]) -> Shards:
    """Documents of sentences of so many tokens, drawn from all pieces but those that never stand in a text."""
    ends = np.cumsum([0, *(size for document in sizes for size in document)])
    pieces = [1, *range(7, len(PIECES))]
    tokens = np.random.default_rng(3).choice(pieces, ends[-1]).astype(np.uint16)
    return Shards(tokens, ends.astype(np.int64), np.cumsum([0, *map(len, sizes)]).astype(np.int64))


def mixed(count: int) -> Shards:
    """Documents of one sentence, of two, of three to five, and of many; a few sentences are longer than an instance."""
    rng = np.random.default_rng(5)
    bounds = [(1, 1), (2, 2), (3, 5), (6, 30)]
    sizes = [rng.geometric(0.08, rng.integers(low, high + 1)) for low, high in bounds * (count // 4)]
    return corpus([np.minimum(size, 60).tolist() for size in sizes])


def ours(shards: Shards, *, seed: int = 1, **settings: Any) -> tuple[Any, Told]:
    objective = built(**settings)
    objective.prepare(Material(shards, HOLDOUT, seed))
    return objective, Told(shards, shards.split(HOLDOUT)[0], settings["passes"], np.array(objective.rows))


def slowly(shards: Shards, passes: int, **settings: Any) -> Told:
    """A token is the number of its place: so an instance tells where it was taken from."""
    train, rows = shards.split(HOLDOUT)[0], []
    bounds = [shards.document(d).tolist() for d in train]
    documents = [[list(range(*ends)) for ends in pairwise(b)] for b in bounds]
    how = {"target_for": TARGET_FOR, **settings}
    for made in slow.instances(documents, slow.Dice(1), length=LENGTH, dupe_factor=passes, **how):
        assert all(part == [*range(part[0], part[-1] + 1)] for part in (made.first, made.second) if part)
        ends = [made.first[0], made.first[-1] + 1] * 2
        ends[2:] = [made.second[0], made.second[-1] + 1] if made.second else ends[1:2] * 2
        rows.append([*ends, made.random_next])
    return Told(shards, train, passes, np.array(rows, dtype=np.int64))


def ratio(told: Told, part: np.ndarray, whole: np.ndarray) -> tuple[float, float]:
    """A share, or a mean, and its standard error over the passes."""
    share = part.sum() / whole.sum()
    apart = part - share * whole
    apart = apart - apart.mean(0)
    return share, float(np.sqrt((apart**2).sum() * told.passes / (told.passes - 1)) / whole.sum())


def figures(told: Told) -> dict[str, tuple[float, float]]:
    """All that is compared: each a share of some of the instances, or a mean a document and pass."""
    a0, a1, b0, b1, random = told.rows.T
    first, second, all_rows = a1 - a0, b1 - b0, np.ones(len(a0), dtype=bool)
    sentences = np.diff(told.shards.documents)[told.of(a0)]
    inside = {
        f"{what}: {low}-{high}": ((low <= size) & (size <= high), among)
        for what, size, among, edges in (
            ("both", first + second, all_rows, (2, 6, 11, 16, 21, 26, 31, 35, 37, 38)),
            ("first", first, all_rows, (1, 4, 8, 12, 16, 18, 19, 20, 26, 38)),
            ("second, random", second, random == 1, (1, 4, 8, 12, 16, 18, 19, 20, 26, 38)),
            ("second, true", second, random == 0, (1, 4, 8, 12, 16, 18, 19, 20, 26, 38)),
            ("random next", random, sentences == 1, (1, 2)),
            ("random next, two sentences", random, sentences == 2, (1, 2)),
            ("random next, three to five", random, (sentences > 2) & (sentences < 6), (1, 2)),
            ("random next, many", random, sentences > 5, (1, 2)),
        )
        for low, high in [(low, high - 1) for low, high in pairwise(edges)]
    }
    full = first + second == ROOM
    borders = told.shards.sentences
    for name, start, end in (("A", a0, a1), ("B", b0, b1)):
        cut = {
            "front": start - borders[np.searchsorted(borders, start, side="right") - 1],
            "back": borders[np.searchsorted(borders, end)] - end,
        }
        for side, lost in cut.items():
            inside[f"cut {name} {side}"] = (lost > 0, full)
            inside[f"cut {name} {side}, by 1 to 3"] = ((lost > 0) & (lost < 4), full)
    found = {name: ratio(told, told.table(f & w), told.table(w)) for name, (f, w) in inside.items()}
    each = np.ones((told.passes, len(told.documents)))
    spans = {"A": (a0, a1, all_rows), "true B": (b0, b1, random == 0), "random B": (b0, b1, random == 1)}
    for name, (start, end, among) in spans.items():
        at = [np.searchsorted(told.shards.sentences, place, side="right") for place in (start, end - 1)]
        found[f"sentences in {name}"] = ratio(told, told.table((at[1] - at[0] + 1) * among), each)
    return found | {"instances": ratio(told, told.table(all_rows), each)}


def apart(mine: dict[str, tuple[float, float]], theirs: dict[str, tuple[float, float]]) -> dict[str, float]:
    """By how many standard errors two readings differ."""
    gaps = {name: abs(mine[name][0] - theirs[name][0]) for name in mine | theirs}
    return {
        name: gap and gap / max(float(np.hypot(mine[name][1], theirs[name][1])), 1e-9)
        for name, gap in gaps.items()
    }


@cache
def large() -> tuple[Any, Told]:
    return ours(mixed(DOCUMENTS), passes=PASSES)


@cache
def large_slowly() -> Told:
    return slowly(mixed(DOCUMENTS), PASSES)


@pytest.mark.slow
def test_a_hundred_thousand_instances_are_like_those_of_the_slow_reading() -> None:
    mine, theirs = large()[1], large_slowly()
    assert min(len(mine.rows), len(theirs.rows)) > 100_000
    found = figures(mine)
    assert found["random next: 1-1"] == (1.0, 0.0) and 0.5 < found["random next, many: 1-1"][0] < 0.7
    gaps = apart(found, figures(theirs))
    assert len(gaps) > 50 and max(gaps.values()) < ERRORS, sorted(gaps.items(), key=lambda g: -g[1])[:9]


OTHERS: dict[str, dict[str, Any]] = {
    "shorter": {"short_rate": 0.15},
    "fewer at random": {"random_rate": 0.46},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_the_comparison_tells_other_rules_apart(name: str) -> None:
    theirs = slowly(mixed(DOCUMENTS), 10, **OTHERS[name])
    assert max(apart(figures(large()[1]), figures(theirs)).values()) > ERRORS + 1


# --- lengths: where every sentence is one token, an instance is as long as its target


def singles(told: Told) -> np.ndarray:
    """Lengths of the first two instances of each pass over a document, −1 where the second half is a random one: that
    may have come to the end of its document too soon."""
    first = np.flatnonzero(np.diff(told.clusters(), prepend=-1))
    lengths = np.where(told.rows[:, 4] == 1, -1, told.rows[:, 3] - told.rows[:, 0])
    return lengths[np.stack([first, first + 1])]


@pytest.mark.slow
def test_short_instances_are_a_tenth_and_of_any_length_alike() -> None:
    shards = corpus([[1] * 150] * 60)
    mine, theirs = ours(shards, passes=100)[1], slowly(shards, 100)
    firsts = [singles(told) for told in (mine, theirs)]
    for first, second in firsts:
        known = first[first > 0]
        assert known.max() == ROOM and known.min() == 2
        share, due = (known < ROOM).mean(), 0.1 * (ROOM - 2) / (ROOM - 1)
        assert abs(share - due) < ERRORS * (due * (1 - due) / len(known)) ** 0.5
        counts = np.bincount(known, minlength=ROOM)[2:ROOM]
        assert ((counts - counts.mean()) ** 2).sum() / counts.mean() < chi2.isf(RARELY, len(counts) - 1)
        short = (first > 0) & (first < ROOM) & (second > 0)
        again = (first == second)[short].mean()
        assert again > 0.99 if TARGET_FOR == "document" else again < 0.05, again


def test_what_is_too_much_goes_from_the_front_or_the_back_a_token_at_a_time() -> None:
    """Two sentences of 50 tokens: 63 tosses of a coin, half of them for each."""
    told = ours(corpus([[50]] * 500), passes=20)[1]
    a0, a1, b0, b1, random = told.rows.T
    assert random.all() and set((a1 - a0).tolist()) == {19} and set((b1 - b0).tolist()) == {18}
    for start, tosses in ((a0, 31), (b0, 32)):
        fronts = np.bincount(start % 50, minlength=tosses + 1)
        due = binom.pmf(np.arange(tosses + 1), tosses, 0.5) * len(told.rows)
        often = due > 10
        fronts, due = (np.append(x[often], x[~often].sum()) for x in (fronts, due))
        assert ((fronts - due) ** 2 / due).sum() < chi2.isf(RARELY, len(due) - 1)
