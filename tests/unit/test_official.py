"""A copy that is not what was published is named for what it is: cut short, in another order, under other labels, other
texts; and the real copies are what they should be."""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmcompare import registry
from lmcompare.experiments.task_data import figures, read_task
from lmcompare.tasks import checks, facts, official
from lmcompare.tasks.official import Known, Trace, compare
from lmcompare.types import Example

ROWS = 64
CLASSES = ("bad", "good", "fair")


def published(count: int = ROWS) -> list[Example]:
    return [Example(str(n), (f"text  number {n}",), CLASSES[n % 3]) for n in range(count)]


def kept(examples: list[Example], *, ordered: bool = True, classes: bool = True) -> Known:
    return Trace.of(examples).known(ordered=ordered, classes=classes)


def shuffled(examples: list[Example]) -> list[Example]:
    return random.Random(1).sample(examples, len(examples))


def under(examples: list[Example], *labels: Any) -> list[Example]:
    """The first rows under these labels."""
    return [*map(lambda e, label: replace(e, label=label), examples, labels), *examples[len(labels) :]]


def exchanged(examples: list[Example]) -> list[Example]:
    names = {"bad": "good", "good": "bad", "fair": "fair"}
    return [replace(e, label=names[str(e.label)]) for e in examples]


def retold(examples: list[Example], count: int) -> list[Example]:
    return [replace(e, texts=(f"{e.texts[0]}.",)) if n < count else e for n, e in enumerate(examples)]


COPIES: dict[str, tuple[Callable[[list[Example]], list[Example]], str, str]] = {
    "as it was": (lambda e: e, "official", ""),
    "cut short": (lambda e: e[:50], "part", "50 of 64 rows: it begins as the published one does, so the file is cut"),
    "a choice of rows": (lambda e: e[::2], "part", "32 of 64 rows: the others are missing"),
    "in another order": (shuffled, "reordered", "the published rows, in another order"),
    "one label": (lambda e: under(e, "good"), "relabelled", "at least 1 of 64 rows under another label"),
    "three labels": (
        lambda e: under(e, "good", "bad", "good", "good"), "relabelled", "at least 3 of 64 rows under another label",
    ),
    "names exchanged": (exchanged, "relabelled", "'bad' is called 'good', 'good' is called 'bad'"),
    "no labels": (lambda e: under(e, *[None] * ROWS), "relabelled", "without their labels"),
    "one text": (lambda e: retold(e, 1), "other", "at least 1 of 64 rows differ"),
    "all texts": (lambda e: retold(e, ROWS), "other", "of 64 rows differ"),
    "more rows": (lambda e: [*e, *published(66)[64:]], "other", "66 rows, 2 more than were published"),
}  # fmt: skip


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_named_for_what_it_is(name: str) -> None:
    change, state, odd = COPIES[name]
    told = compare(change(published()), ROWS, kept(published()))
    assert told[0] == state
    assert odd in told[1] and bool(odd) == bool(told[1])


@pytest.mark.parametrize("count", [3, 40])
def test_what_is_said_of_rows_that_differ_is_never_too_much(count: int) -> None:
    many = published(5000)
    for change in (retold(many, count), under(many, *["fair"] * count)):
        _, odd = compare(change, 5000, kept(many))
        least = int(odd.partition("at least ")[2].split()[0])
        assert 1 <= least <= count


def test_where_the_count_ends_it_is_said_to_end() -> None:
    many = published(1000)
    _, odd = compare(retold(many, 1000), 1000, kept(many))
    assert odd.endswith("at least 16 of 1,000 rows differ, and perhaps all")
    _, odd = compare(under(many, *["fair"] * 900), 1000, kept(many, classes=False))
    assert odd.endswith("at least 32 of 1,000 rows under another label, and perhaps all")
    _, odd = compare(retold(many, 3), 1000, kept(many))
    assert "perhaps" not in odd


def test_spaces_ids_and_single_precision_make_no_difference() -> None:
    ours = [Example(f"a{n}", ("one two", "three\u2028four "), n / 5) for n in range(26)]
    theirs = [
        Example(f"b{n}", (" one\t two\n", "three four"), n / 5 * (1 + 1e-8), groups=("x",)) for n in range(26)
    ]
    assert kept(ours, classes=False) == kept(theirs, classes=False)


def test_where_a_text_ends_and_in_which_it_stands_does_make_one() -> None:
    pairs = [("one two", "three"), ("one", "two three"), ("three", "one two"), ("one two three", "")]
    told = {kept([Example("1", pair, "x")]).texts for pair in pairs}
    options = Example("1", ("one",), 0, options=("two", "three"))
    told |= {kept([options], classes=False).texts, kept([replace(options, options=("three", "two"))]).texts}
    assert len(told) == 6


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Example("1", ("q", "a b c"), ((0, 1),)), Example("1", ("q", "a b c"), ((2, 3),))),
        (Example("1", ("q", "a b c"), ((0, 1),)), Example("1", ("q", "a b c"), ())),
        (Example("1", ("a",), 0, options=("x", "y")), Example("1", ("a",), 1, options=("x", "y"))),
        (Example("1", (), ("O", "B-X"), words=("a", "b")), Example("1", (), ("B-X", "O"), words=("a", "b"))),
        (Example("1", ("a",), 3.2), Example("1", ("a",), 3.4)),
        (Example("1", ("a",), "x"), Example("1", ("a",))),
    ],
    ids=["span", "no answer", "choice", "tags", "score", "none"],
)
def test_labels_of_every_kind_count(one: Example, other: Example) -> None:
    assert compare([other], 1, kept([one], classes=False))[0] == "relabelled"


def test_labels_where_none_were_published_are_said_to_be_there() -> None:
    bare = under(published(), *[None] * ROWS)
    told = compare(published(), ROWS, kept(bare, classes=False))
    assert told == ("relabelled", "the published texts, but with labels, where none were published")


def test_what_was_published_in_no_order_is_in_none() -> None:
    assert compare(shuffled(published()), ROWS, kept(published(), ordered=False)) == ("official", "")
    # nor what was cut in two by us
    assert compare(shuffled(published()), ROWS, kept(published()), whole=False) == ("official", "")


def test_without_digests_the_rows_are_counted() -> None:
    assert compare(published(), ROWS, None) == ("unknown", "")
    assert compare(published(), None, None) == ("unknown", "")
    assert compare(published()[1:], ROWS, None)[0] == "part"
    assert compare(published(), ROWS - 1, None)[0] == "other"


def test_doubles_and_blanks_are_rows_like_others() -> None:
    double = [*published(), published()[0]]
    assert compare(double, 65, kept(double))[0] == "official"
    assert compare([*published(), published()[1]], 65, kept(double))[0] == "other"
    blank = [Example("1", ("",), "x"), Example("2", (" ",), "x")]
    assert compare(blank[::-1], 2, kept(blank))[0] == "official"


# --- in a task ----------------------------------------------------------------------------------


def rte(folder: Path, rows: int = 40, name: str = "train.tsv", flip: bool = False) -> Path:
    """A small RTE in the official layout."""
    labels = ("entailment", "not_entailment")
    (folder / "RTE").mkdir(parents=True, exist_ok=True)
    for file, count in ((name, rows), ("dev.tsv", 10)):
        lines = [f"{n}\t{file[0]} premise {n}\tso {n}\t{labels[(n + flip) % 2]}" for n in range(count)]
        text = "\n".join(["index\tsentence1\tsentence2\tlabel", *lines]) + "\n"
        (folder / "RTE" / file).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our RTE is the official one from here on."""
    found = read_task({"name": "rte"}, rte(tmp_path / "official"))
    table = {split: kept(examples) for split, examples in found.splits.items()}
    monkeypatch.setattr(official, "known", {"rte": table}.__getitem__)
    monkeypatch.setitem(facts._known, "rte", replace(facts.of("rte"), splits={"train": 40, "dev": 10}))


def differences(found: Any) -> list[str]:
    """The sentences of a task's reading that speak of what was published."""
    return [sentence for sentence in found.warnings if "publish" in sentence or "rows" in sentence]


@pytest.mark.usefixtures("small")
def test_a_result_says_of_each_split_what_it_is(tmp_path: Path) -> None:
    found = read_task({"name": "rte"}, rte(tmp_path))
    assert found.states == {"train": "official", "dev": "official"} and not differences(found)
    cut = read_task({"name": "rte"}, rte(tmp_path, rows=30))
    assert cut.states == {"train": "part", "dev": "official"}
    assert differences(cut) == [
        "rte: train: 30 of 40 rows: it begins as the published one does, so the file is cut short"
    ]
    flipped = read_task({"name": "rte"}, rte(tmp_path, flip=True))
    assert flipped.states == {"train": "relabelled", "dev": "relabelled"}
    assert "'entailment' is called 'not_entailment'" in differences(flipped)[0]
    told = figures(flipped, {"dev": {"accuracy": 0.5}}, {}, {})
    assert told["data_state"] == flipped.states and told["data_hash"] == flipped.hash
    assert told["data_hashes"] == {split: checks.digest(part) for split, part in flipped.splits.items()}


@pytest.mark.usefixtures("small")
def test_a_subset_by_its_name_is_called_one(tmp_path: Path) -> None:
    found = read_task({"name": "rte"}, rte(tmp_path, rows=30, name="train_subset.tsv"))
    assert found.states["train"] == "part"
    assert differences(found) == ["rte: train: 30 of 40 rows: a subset by the name of its file"]


@pytest.mark.usefixtures("small")
def test_what_was_asked_for_is_no_surprise(tmp_path: Path) -> None:
    limited = read_task({"name": "rte", "limit": 20}, rte(tmp_path))
    assert limited.states == {"train": "part", "dev": "official"} and not differences(limited)
    few = read_task({"name": "rte"}, rte(tmp_path)).few(5)
    assert few.states == {"train": "official", "dev": "official"} and not differences(few)
    assert few.sizes == {"train": 5, "dev": 10}


def test_settings_that_ask_for_other_rows_leave_nothing_to_compare(tmp_path: Path) -> None:
    found = read_task({"name": "micro.sense", "train": 20}, None)
    assert found.states == {} and set(found.hashes) == {"train", "dev", "test"}
    assert official._plain({"name": "rte", "limit": 5, "on_bad_row": "skip"})
    assert not official._plain({"name": "20newsgroups", "headers": True})
    assert official._plain({"name": "20newsgroups", "headers": False, "holdout": 0.2})


def test_what_a_text_adds_to_a_digest_takes_microseconds() -> None:
    words = [f"word{n % 997}" for n in range(30)]
    rows = [
        Example(str(n), (f"{n} {' '.join(words)}", " ".join(words[:12])), CLASSES[n % 3])
        for n in range(20_000)
    ]
    known = kept(rows)
    start = time.process_time()
    assert compare(rows, len(rows), known)[0] == "official"
    assert time.process_time() - start < 20_000 * 25e-6  # about 4 microseconds each


# --- what is kept -------------------------------------------------------------------------------


def test_what_is_kept_is_of_splits_that_the_facts_know() -> None:
    for name, splits in official._file().items():
        told = facts.of(name)
        assert set(splits) <= set(told.splits)
        for split in splits:
            one, rows = official.known(name)[split], told.splits[split]
            assert len(one.texts) == len(one.labelled) == 8 * official.BUCKETS
            assert len(one.order) in (0, official.STOPS)
            if one.classes:
                assert set(one.classes) == set(told.labels)
                assert sum(count for count, _ in one.classes.values()) == rows


def real(shared: Path, name: str, target: Path) -> Path:
    """A folder with the real files of a GLUE task, to be changed."""
    (target / name).mkdir()
    for path in (shared / "glue" / name).glob("*.tsv"):
        (target / name / path.name).write_bytes(path.read_bytes())
    return target / name / "train.tsv"


@pytest.mark.slow
def test_copies_of_a_real_task(shared: Path, tmp_path: Path) -> None:
    path = real(shared, "RTE", tmp_path)
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    names = {"entailment": "not_entailment", "not_entailment": "entailment"}
    parted = [row.rpartition("\t") for row in rows]
    copies = {
        "official": rows,
        "part": rows[:2000],
        "reordered": rows[::-1],
        "relabelled": [f"{texts}\t{names[label]}" for texts, _, label in parted],
        "other": [row.replace(" the ", " teh ") if n < 100 else row for n, row in enumerate(rows)],
    }
    for state, lines in copies.items():
        path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
        found = read_task({"name": "rte"}, tmp_path)
        assert found.states == {"train": state, "dev": "official", "test": "official"}
        assert bool(differences(found)) == (state != "official")


# How many rows lie there of what is a part of the published split by the README of ../shared/data.
SUBSETS = {
    ("mnli", "train"): 12811, ("mnli", "dev"): 9085, ("qqp", "train"): 21566, ("qqp", "dev"): 7598,
    ("agnews", "train"): 4000, ("snli", "train"): 19999,
}  # fmt: skip


LONG = ("20newsgroups", "imdb")  # seconds to read


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in LONG else [])
        for name in registry.tasks.names()
        if not name.startswith("micro.")
    ],
)
@pytest.mark.slow
def test_counts_and_labels_of_the_real_data(shared: Path, name: str) -> None:
    told = facts.of(name)
    if facts.where(name, shared) != "local":
        pytest.skip(f"{name}: its data is not in ../shared/data")
    found = read_task({"name": name}, shared, needed=())
    assert found.splits
    for split, rows in told.splits.items():
        parts = [own for own in found.splits if told.cut.get(own, own) == split]
        if not parts:
            continue
        assert sum(found.sizes[own] for own in parts) == SUBSETS.get((name, split), rows)
        state = (
            "part" if (name, split) in SUBSETS else "official" if split in official.known(name) else "unknown"
        )
        assert {found.states[own] for own in parts} == {state}
    for split, examples in found.splits.items():
        labels = {tag for e in examples for tag in (e.label if isinstance(e.label, tuple) else [e.label])}
        if told.cut.get(split, split) in told.unlabelled:
            assert labels == {None}
        elif told.kind == "classify":
            assert labels == set(found.task.labels)
            assert found.task.labels == told.labels or found.task.folds  # a finer task's, told in two
        elif told.kind == "tags":
            assert labels <= set(found.task.labels)


def test_a_share_held_out_is_known_only_where_the_facts_say_what_it_is_cut_from() -> None:
    assert official._plain({"name": "imdb", "holdout": 0.2})
    assert not official._plain({"name": "tydiqa", "holdout": 0.1})
    assert official._plain({"name": "tydiqa", "limit": 3})
