"""What holds for every single instance that BERT learns from, and for how a document is used up; all with the corpora
and the two readings of test_pretraining_data.py."""

from pathlib import Path

import numpy as np
import pytest

from lmcompare.text import pairs, shards
from lmcompare.text.material import Material
from tests.unit.test_pretraining_data import ERRORS, HOLDOUT, ROOM, Told, built, mixed, ours, ratio, slowly


def test_every_instance_keeps_the_rules() -> None:
    told = ours(mixed(300), passes=6)[1]
    a0, a1, b0, b1, random = told.rows.T
    total = a1 - a0 + b1 - b0
    assert (a1 > a0).all() and (b1 > b0).all() and total.max() == ROOM
    home, other = told.of(a0), told.of(b0)
    assert (home == told.of(a1 - 1)).all() and (other == told.of(b1 - 1)).all()
    assert (home[random == 1] != other[random == 1]).all() and (home[random == 0] == other[random == 0]).all()
    assert np.isin(home, told.documents).all() and np.isin(other, told.documents).all()
    true, whole = random == 0, total < ROOM  # nothing was cut off these
    assert (b0[true] >= a1[true]).all() and (b0 == a1)[true & whole].all()
    assert np.isin(told.rows[whole, :4], told.shards.sentences).all()


def test_a_document_is_read_on_from_what_was_used_of_it() -> None:
    """After a random next the sentences that it took the place of come again; no sentence is left out."""
    told = ours(mixed(1200), passes=6)[1]
    starts = told.shards.sentences[told.shards.documents]
    clusters, whole = (
        told.clusters(),
        told.rows[:, 1] - told.rows[:, 0] + told.rows[:, 3] - told.rows[:, 2] < ROOM,
    )
    seen = {"first": 0, "random": 0, "true": 0, "last": 0}
    for n in np.flatnonzero(whole):
        a0, a1, _, b1, random = told.rows[n].tolist()
        if n == 0 or clusters[n - 1] != clusters[n]:
            assert a0 in starts
            seen["first"] += 1
        used = a1 if random else b1
        if n + 1 == len(clusters) or clusters[n + 1] != clusters[n]:
            assert used in starts
            seen["last"] += 1
        elif whole[n + 1]:
            assert told.rows[n + 1, 0] == used
            seen["random" if random else "true"] += 1
    assert min(seen.values()) > 50, seen


def test_the_seed_decides_and_nothing_else() -> None:
    rows = {seed: ours(mixed(80), passes=2, seed=seed)[1].rows for seed in (1, 2)}
    assert np.array_equal(rows[1], ours(mixed(80), passes=2, seed=1)[1].rows)
    assert not np.array_equal(rows[1], rows[2])
    told = ours(mixed(80), passes=2)[1]
    halves = [told.rows[told.clusters() // len(told.documents) == number].tolist() for number in (0, 1)]
    assert halves[0] != halves[1]


# --- what is used again, and what stays where nothing is random


def reused(told: Told) -> tuple[float, float]:
    """Sentences that an instance with a random next gathered and gave back; where no target is short, a first half of
    whole sentences tells."""
    a0, a1, _, _, random = told.rows.T
    borders, documents = told.shards.sentences, told.shards.documents
    known = (random == 1) & np.isin(a0, borders) & np.isin(a1, borders)
    enough = np.searchsorted(borders, a0 + ROOM)
    gathered = np.minimum(enough, documents[told.of(a0) + 1])
    return ratio(told, told.table((gathered - np.searchsorted(borders, a1)) * known), told.table(known))


def test_as_many_sentences_are_used_again() -> None:
    mine = reused(ours(mixed(600), passes=15, short_rate=0.0)[1])
    theirs = reused(slowly(mixed(600), 15, short_rate=0.0))
    assert 0.5 < mine[0] < 5 and abs(mine[0] - theirs[0]) < ERRORS * np.hypot(mine[1], theirs[1])


def test_without_random_nexts_documents_are_cut_alike_to_the_token() -> None:
    """Only where A ends, and what is cut off, is left to chance then."""
    corpus = mixed(400)
    objective = built("mlm", passes=2, short_rate=0.0)
    objective.prepare(Material(corpus, HOLDOUT, 1))
    mine, theirs = np.array(objective.rows), slowly(corpus, 2, random_rate=0.0, short_rate=0.0).rows
    assert len(mine) == len(theirs) and not mine[:, 4].any() and not theirs[:, 4].any()
    whole = mine[:, 1] - mine[:, 0] + mine[:, 3] - mine[:, 2] < ROOM
    ends = [np.where(rows[:, 3] > rows[:, 2], rows[:, 3], rows[:, 1]) for rows in (mine, theirs)]
    assert np.array_equal(mine[whole, 0], theirs[whole, 0]) and np.array_equal(*(end[whole] for end in ends))
    alone = mine[:, 2] == mine[:, 3]
    assert np.array_equal(alone, theirs[:, 2] == theirs[:, 3]) and 0 < alone.sum() < len(alone)
    batch = objective.batch(np.flatnonzero(alone)[:9], 0)
    assert not batch.inputs.segments_BT.any()  # a view of one stretch
    separators = (batch.inputs.ids_BT == objective.tokenizer.sep_id).sum(1)
    assert separators.max() == 1


def test_any_number_of_workers_cuts_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "BLOCK", 3000)  # tokens: enough blocks for several processes
    rng = np.random.default_rng(9)
    documents = [
        [
            " ".join(f"w{n}" for n in rng.integers(0, 37, rng.integers(1, 30)))
            for _ in range(rng.integers(1, 9))
        ]
        for _ in range(400)
    ]
    objective = built(passes=3)
    text = shards.build(documents, objective.tokenizer, tmp_path / "tokens")
    objective.prepare(Material(text, HOLDOUT, 7))
    expected = np.array(objective.rows)
    for workers in (1, 2, 3):
        made = built(passes=3)
        made.prepare(Material(text, HOLDOUT, 7, folder=tmp_path / f"by-{workers}", workers=workers))
        assert np.array_equal(made.rows, expected) and len(expected) > 1000
        files = sorted(path for path in (tmp_path / f"by-{workers}").rglob("*.bin"))
        assert [path.read_bytes() for path in files] == [expected.tobytes()]
