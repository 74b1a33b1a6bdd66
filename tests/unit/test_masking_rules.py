"""Which tokens BERT does not see, and what it sees in their place: against the slow reading of the published rules on
the same instances (tests/oracles/slow_bert_data.py), and what holds for every mask."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from lmcompare import registry
from lmcompare.backends.bert import Bert
from lmcompare.text.material import Material
from lmcompare.text.shards import Shards
from lmcompare.text.wordpiece import SPECIALS, WordPiece, bert_tokenizer
from tests.oracles import slow_bert_data as slow

LENGTH = 40
COUNT = 100_000  # instances
ERRORS, RARELY = 4.0, 6e-5  # chance exceeds four standard errors so rarely
PIECES = [*SPECIALS, "[unused1]", "[unused2]", *(f"w{n}" for n in range(37)), *(f"##{n}" for n in range(23))]
UNKNOWN, CLS, SEP, MASK = (SPECIALS.index(special) for special in ("[UNK]", "[CLS]", "[SEP]", "[MASK]"))
KINDS = ("masked", "kept", "replaced")


@dataclass(frozen=True)
class Hidden:
    """Every hidden token: of which instance, where in it, what stood there and what is shown."""

    lengths: np.ndarray  # of the instances
    instance: np.ndarray
    place: np.ndarray
    was: np.ndarray
    shown: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        return np.bincount(self.instance, minlength=len(self.lengths))


def corpus(documents: int) -> Shards:
    """Eight sentences each of up to 30 tokens, drawn from all pieces but those that never stand in a text."""
    rng = np.random.default_rng(3)
    ends = np.cumsum([0, *rng.integers(1, 31, documents * 8)])
    pieces = [UNKNOWN, *range(7, len(PIECES))]
    tokens = rng.choice(pieces, ends[-1]).astype(np.uint16)
    return Shards(tokens, ends.astype(np.int64), np.arange(0, documents * 8 + 1, 8))


def prepared(documents: int, *, seed: int = 1, **settings: Any) -> Any:
    tokenizer = WordPiece(bert_tokenizer(PIECES, lowercase=True))
    bert = Bert(tokenizer, layers=1, width=4, heads=1, positions=LENGTH)
    objective = registry.objectives.build({"name": "mlm_nsp", "length": LENGTH, **settings}, bert)
    objective.prepare(Material(corpus(documents), 0.02, seed))
    return objective


def hidden(objective: Any, chosen: np.ndarray, epoch: int = 0) -> Hidden:
    found, lengths = [], []
    for part in np.array_split(chosen, max(1, len(chosen) // 2000)):
        batch = objective.batch(part, epoch)
        ids, mask, places = batch.inputs.ids_BT, batch.inputs.mask_BT, batch.places_M
        own = np.full(len(part), ids.shape[1]) if mask is None else mask.sum(1).numpy()
        before = sum(map(len, lengths))
        lengths.append(own)
        at = places.numpy() // ids.shape[1] + before
        found.append(
            (at, places.numpy() % ids.shape[1], batch.words_M.numpy(), ids.flatten()[places].numpy())
        )
    return Hidden(np.concatenate(lengths), *map(np.concatenate, zip(*found, strict=True)))


def texts(objective: Any, chosen: np.ndarray) -> list[list[str]]:
    """The instances as they are before anything is hidden."""
    made = []
    for part in np.array_split(chosen, max(1, len(chosen) // 2000)):
        batch = objective.batch(part, 0)
        ids = batch.inputs.ids_BT.clone()
        ids.view(-1)[batch.places_M] = batch.words_M.to(ids.dtype)
        made += [[PIECES[i] for i in row if i != 0] for row in ids.tolist()]
    return made


def slowly(rows: list[list[str]], **settings: Any) -> Hidden:
    dice, found = slow.Dice(2), []
    number = {piece: n for n, piece in enumerate(PIECES)}
    for n, tokens in enumerate(rows):
        made = slow.mask(tokens, dice, PIECES, **settings)
        found += [
            (n, place, number[was], number[made.shown[place]])
            for place, was in zip(made.places, made.hidden, strict=True)
        ]
    return Hidden(np.array([len(row) for row in rows]), *np.array(found).T)


SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as published": ({"most_masked": 20}, {"most": 20}),
    "capped": ({"most_masked": 4, "mask_rate": 0.2}, {"most": 4, "rate": 0.2}),
    "otherwise": (
        {"mask_rate": 0.3, "mask_strategy": [0.5, 0.2, 0.3]},
        {"rate": 0.3, "most": None, "strategy": (0.5, 0.2, 0.3)},
    ),
    "whole words": ({"whole_words": True, "most_masked": 5}, {"whole_words": True, "most": 5}),
}


@cache
def both(name: str, count: int) -> tuple[Hidden, Hidden]:
    mine, theirs = SETTINGS[name]
    objective = prepared(1500, passes=20 * count // COUNT or 1, **mine)
    chosen = np.arange(min(count, len(objective.rows)))
    return hidden(objective, chosen), slowly(texts(objective, chosen), **theirs)


def same_spread(a: np.ndarray, b: np.ndarray) -> None:
    """Two-sample chi-squared over counts; those that are too few are taken together."""
    often = a + b >= 40
    a, b = (np.append(x[often], x[~often].sum()).astype(float) for x in (a, b))
    a, b = a[a + b > 0], b[a + b > 0]
    scale = (b.sum() / a.sum()) ** 0.5
    found = ((scale * a - b / scale) ** 2 / (a + b)).sum()
    assert len(a) > 1 and found < chi2.isf(RARELY, len(a) - 1), (found, len(a), a, b)


def kinds(told: Hidden) -> np.ndarray:
    masked, kept = told.shown == MASK, told.shown == told.was
    return np.array([masked.sum(), (kept & ~masked).sum(), (~kept & ~masked).sum()])


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_masks_are_like_those_of_the_slow_reading(name: str) -> None:
    mine, theirs = both(name, COUNT if name == "as published" else COUNT // 5)
    assert np.array_equal(mine.lengths, theirs.lengths)
    same_spread(kinds(mine), kinds(theirs))
    same_spread(np.bincount(mine.counts), np.bincount(theirs.counts))
    for told in (mine, theirs):  # where in a view: of its length in tenths, and from both ends
        assert not np.isin(told.was, (0, CLS, SEP, MASK)).any()
    for where in ("tenth", "front", "back"):
        at = [place_of(told, where) for told in (mine, theirs)]
        same_spread(*(np.bincount(x, minlength=LENGTH) for x in at))
    same_spread(*(np.bincount(told.was, minlength=len(PIECES)) for told in (mine, theirs)))
    replaced = [told.shown[(told.shown != MASK) & (told.shown != told.was)] for told in (mine, theirs)]
    same_spread(*(np.bincount(shown, minlength=len(PIECES)) for shown in replaced))


def place_of(told: Hidden, where: str) -> np.ndarray:
    length = told.lengths[told.instance]
    if where == "tenth":
        return told.place * 10 // length
    return told.place if where == "front" else length - 1 - told.place


@pytest.mark.slow
def test_a_hundred_thousand_instances_have_the_published_shares() -> None:
    """The rules themselves, without the slow reading between."""
    told, size = both("as published", COUNT)[0], len(PIECES)
    assert len(told.lengths) == COUNT
    due = np.minimum(20, np.maximum(1, np.round(told.lengths * 0.15)))
    assert np.array_equal(told.counts, np.minimum(due, told.lengths - 3))
    shares = kinds(told) / len(told.was)
    expected = np.array([0.8 + 0.1 / size, 0.1 + 0.1 / size, 0.1 - 0.2 / size])
    error = (expected * (1 - expected) / len(told.was)) ** 0.5
    assert (np.abs(shares - expected) < ERRORS * error).all(), dict(zip(KINDS, shares, strict=True))
    replaced = np.bincount(told.shown[(told.shown != MASK) & (told.shown != told.was)], minlength=size)
    never = np.setdiff1d(np.arange(size), [UNKNOWN, MASK, *range(7, size)])  # these stand in no text
    assert never.tolist() == [0, CLS, SEP, 5, 6] and (replaced[never] > 0).all()
    due_each = 0.1 * len(told.was) / size
    assert np.abs(replaced[never] - due_each).max() < ERRORS * due_each**0.5


@pytest.mark.parametrize("most", [1, 4, 20, None])
def test_the_cap_is_never_exceeded_and_the_rest_follows_the_length(most: int | None) -> None:
    objective = prepared(100, passes=2, mask_rate=0.25, **({} if most is None else {"most_masked": most}))
    told = hidden(objective, np.arange(len(objective.rows)))
    wanted = np.maximum(1, np.round(told.lengths * 0.25)).astype(int)
    assert wanted.max() == 10 and wanted.min() < 4
    due = wanted if most is None else np.minimum(wanted, most)
    assert np.array_equal(told.counts, np.minimum(due, told.lengths - 3))


def test_whole_words_are_hidden_whole() -> None:
    """All pieces of a word or none, never more than there is room for; what is shown is drawn a piece at a time."""
    objective = prepared(150, passes=3, whole_words=True)
    chosen = np.arange(len(objective.rows))
    told, rows = hidden(objective, chosen), texts(objective, chosen)
    wanted = np.maximum(1, np.round(told.lengths * 0.15))
    assert (told.counts <= wanted).all() and (told.counts == wanted).mean() > 0.8
    found: list[set[int]] = [set() for _ in rows]
    shown: dict[tuple[int, int], bool] = {}
    for n, place, seen in zip(told.instance.tolist(), told.place.tolist(), told.shown.tolist(), strict=True):
        found[n].add(place)
        shown[n, place] = seen == MASK
    sizes, unlike = set(), 0
    for n, (tokens, places) in enumerate(zip(rows, found, strict=True)):
        groups = slow.groups_of(tokens, True)
        for group in groups:
            assert places.isdisjoint(group) or places.issuperset(group), (tokens, places)
        whole = [group for group in groups if group[0] in places]
        sizes |= set(map(len, whole))
        unlike += sum(len({shown[n, place] for place in group}) == 2 for group in whole)
    assert {1, 2, 3, 4} <= sizes and unlike > 100


def test_masks_hang_on_seed_epoch_and_instance_alone() -> None:
    made = {seed: prepared(60, passes=1, seed=seed, masking="dynamic") for seed in (1, 2)}
    chosen = np.arange(len(made[1].rows))

    def places(objective: Any, of: np.ndarray, epoch: int) -> list[tuple[int, ...]]:
        told = hidden(objective, of, epoch)
        split = np.split(np.stack([told.place, told.shown], 1), np.cumsum(told.counts)[:-1])
        return [tuple(map(tuple, part.tolist())) for part in split]

    first, later = places(made[1], chosen, 0), places(made[1], chosen, 1)
    assert first == places(made[1], chosen, 0) and sum(a == b for a, b in zip(first, later, strict=True)) < 9
    backwards = places(made[1], chosen[::-1][:40], 0)
    assert backwards == first[::-1][:40]  # batch mates change nothing
    fixed = prepared(60, passes=2, masking="static")
    every = np.arange(len(fixed.rows))
    assert places(fixed, every, 0) == places(fixed, every, 5)
    half = len(every) // 2
    assert places(fixed, every, 0)[:half] != places(fixed, every, 0)[half:]
    assert places(made[2], chosen[:40], 0) != first[:40]
