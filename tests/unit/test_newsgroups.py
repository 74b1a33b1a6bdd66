"""20 Newsgroups: what is removed is what scikit-learn removes, both layouts give the same posts, the cut stays."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from lmcompare.errors import DataError, Skipped, UserError
from lmcompare.registry import tasks
from lmcompare.tasks import facts
from lmcompare.tasks.checks import inspect
from lmcompare.tasks.newsgroups import GROUPS, without_footer, without_headers, without_quotes
from lmcompare.types import Task

datasets = pytest.importorskip("datasets")
POST = "From: a@b\nSubject: {}\n\nBob wrote:\n> all wrong\nIt is {}.\n\n--\nA. B.\n"
ODD = [
    "", "\n", "\n\n", "no header", "a\n\n", "\n\nb", "a\n\nb\n\nc\n--\nd", "a\n\n--\n", "a\n \n\nb\n---\n\n \n",
    "\n\n   \nfirst\n", "a\n\n> b\n|c\n >d\nIn article x\n In article\nhe says: y\nQuoted from", "a\r\n\r\nb\n-- \nc",
    "a\n\nb\n\n\n\n", "-\n--", "- x\n\ny\n\u00a0\nz", "a\n\nx\n\x0c\ny",
]  # fmt: skip


def as_json(group: str, number: int, text: str) -> str:
    return json.dumps({"id": str(number), "label": GROUPS.index(group), "group": group, "text": text})


def posts(per_group: int) -> list[tuple[str, int, str]]:
    """In the order of their groups, as published; numbers are used again in every group."""
    return [(group, n, POST.format(group, f"{group} {n}")) for group in GROUPS for n in range(per_group)]


def lines(data: Path, split: str, found: list[tuple[str, int, str]]) -> None:
    data.mkdir(parents=True, exist_ok=True)
    text = "".join(as_json(*post) + "\n" for post in found)
    (data / f"{split}.jsonl.gz").write_bytes(gzip.compress(text.encode()))


def folders(data: Path, split: str, found: list[tuple[str, int, str]]) -> None:
    for group, number, text in found:
        folder = data / f"20news-bydate-{split}" / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(number)).write_bytes(text.encode("latin-1"))


def task(data: Path | None, **settings: object) -> Task:
    return tasks.build({"name": "20newsgroups", **settings}, data)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    lines(tmp_path / "20newsgroups", "train", posts(10))
    lines(tmp_path / "20newsgroups", "test", posts(2))
    return tmp_path


def test_removal_is_that_of_scikit_learn() -> None:
    from sklearn.datasets import _twenty_newsgroups as theirs

    for post in [*ODD, *(post for _, _, post in posts(1))]:
        assert without_headers(post) == theirs.strip_newsgroup_header(post)
        assert without_footer(post) == theirs.strip_newsgroup_footer(post), repr(post)
        assert without_quotes(post) == theirs.strip_newsgroup_quoting(post)


@pytest.mark.slow
def test_removal_is_that_of_scikit_learn_on_every_real_post(shared: Path) -> None:
    from sklearn.datasets import _twenty_newsgroups as theirs

    whole = {"headers": True, "footers": True, "quotes": True}
    for split in ("train", "dev", "test"):
        raw = {example.id: example.texts[0] for example in task(shared, **whole).load(split)}
        for example in task(shared).load(split):
            post = theirs.strip_newsgroup_footer(theirs.strip_newsgroup_header(raw[example.id]))
            assert example.texts == (theirs.strip_newsgroup_quoting(post),)


def test_what_is_kept_is_asked_for_and_told(local: Path) -> None:
    bare = task(local)
    assert [e.texts[0] for e in bare.load("test") if e.id.endswith("sci.med/1")] == ["It is sci.med 1.\n"]
    assert bare.source.endswith("kept: nothing; removed: headers, footers, quotes")
    with_names = task(local, headers=True)
    (post,) = [e.texts[0] for e in with_names.load("test") if e.id.endswith("sci.med/1")]
    assert post == "From: a@b\nSubject: sci.med\n\nIt is sci.med 1.\n"
    assert with_names.source.endswith("kept: headers; removed: footers, quotes")
    everything = task(local, headers=True, footers=True, quotes=True)
    assert POST.format("sci.med", "sci.med 1") in [e.texts[0] for e in everything.load("test")]
    assert everything.source.endswith("removed: nothing")


def test_dev_is_the_same_whatever_is_kept_and_however_the_file_is_sorted(local: Path, tmp_path: Path) -> None:
    first = task(local).load("dev")
    assert Counter(example.label for example in first) == dict.fromkeys(GROUPS, 1)
    assert {e.id for e in task(local, headers=True, quotes=True).load("dev")} == {e.id for e in first}
    lines(tmp_path / "turned" / "20newsgroups", "train", posts(10)[::-1])
    assert task(tmp_path / "turned").load("dev") == first
    assert task(tmp_path / "turned").load("train") == task(local).load("train")
    assert not {e.id for e in task(local).load("train")} & {e.id for e in first}
    assert len(task(local, holdout=0.3).load("dev")) == 60
    for share in (0, 0.5, -1, float("nan")):
        with pytest.raises(UserError, match="holdout"):
            task(local, holdout=share)


def test_groups_are_mixed_so_that_the_first_rows_are_of_many(local: Path) -> None:
    assert len({example.label for example in task(local, limit=30).load("train")}) > 10
    assert task(local, limit=30).load("train") == task(local).load("train")[:30]


def test_the_authors_folders_give_the_same_posts(local: Path, tmp_path: Path) -> None:
    data = tmp_path / "official"
    odd = ("sci.med", 10, "From: x\n\ncaf\xe9 \x96 na\xefve\n")
    for split, number in (("train", 10), ("test", 2)):
        folders(data / "20news-bydate", split, [*posts(number), odd])
        lines(local / "20newsgroups", split, [*posts(number), odd])
    assert task(data).splits == ("train", "dev", "test")
    for split in ("train", "dev", "test"):
        assert task(data).load(split) == task(local).load(split)
    assert any("caf\xe9 \x96" in example.texts[0] for example in task(data).load("test"))
    (data / "20news-bydate" / "20news-bydate-test" / "sci.med" / ".DS_Store").write_bytes(b"\0\0")
    assert len(task(data).load("test")) == 41


def test_folders_that_are_no_groups_or_miss_one(tmp_path: Path) -> None:
    folders(tmp_path, "train", posts(1))
    (tmp_path / "20news-bydate-train" / "sci.fiction").mkdir()
    with pytest.raises(DataError, match=r"'sci.fiction' is no class of this set"):
        task(tmp_path)
    folders(tmp_path / "few", "train", [post for post in posts(1) if post[0] != "sci.med"])
    with pytest.raises(DataError, match=r"no folder sci.med"):
        task(tmp_path / "few")


def test_posts_that_become_empty_stay_and_are_counted(tmp_path: Path) -> None:
    found = posts(3)
    found[0] = (found[0][0], 0, "From: x\n\n> all\n> quoted\n")
    lines(tmp_path / "20newsgroups", "train", found)
    made = task(tmp_path)
    splits = {split: made.load(split) for split in made.splits}
    assert sum(map(len, splits.values())) == 60
    assert any("1 of" in what and "blank" in what for what in inspect(splits, made))


def test_posts_that_are_alike_when_they_are_stripped_are_not_parted(tmp_path: Path) -> None:
    alike = [(group, n, POST.format(f"{group} {n}", f"number {n // 5}")) for group, n, _ in posts(30)]
    empty = [("sci.med", 100 + n, f"From: {n}\n\n> {n}\n") for n in range(99)]
    lines(tmp_path / "20newsgroups", "train", [*alike, *empty])
    for kept in ({}, {"headers": True}):
        found = {split: task(tmp_path, **kept).load(split) for split in ("train", "dev")}
        told = {
            split: {e.texts[0].split("It is ")[-1] for e in found[split] if "It is" in e.texts[0]}
            for split in found
        }
        assert told["train"] and told["dev"] and not told["train"] & told["dev"]
    stripped = {split: task(tmp_path).load(split) for split in ("train", "dev")}
    # Those that nothing is left of are drawn by what they were, and are no leakage.
    assert all(any(not e.texts[0].strip() for e in found) for found in stripped.values())
    assert not any("stand in dev" in what for what in inspect(stripped, task(tmp_path)))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", r"train.jsonl.gz:41:2: not a whole JSON object"),
        ('{"id": "1", "text": "x"}', r":41:1: no key 'group'"),
        ('{"id": "1", "text": "x", "group": "sci.fiction"}', r":41:1: 'sci.fiction' is not a label"),
        ('{"id": "1", "text": 5, "group": "sci.med"}', r":41:1: key .text. is a number here but text"),
        ('{"id": "1", "text": "x", "group": null}', r":41:1: the label is missing"),
        ("", r":41:1: an empty line"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, says: str) -> None:
    lines(tmp_path / "20newsgroups", "train", posts(2))
    path = tmp_path / "20newsgroups" / "train.jsonl.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + f"{line}\n".encode()))
    with pytest.raises(DataError, match=says):
        task(tmp_path).load("train")
    with pytest.warns(Skipped, match="bad rows left out: 1"):
        kept = task(tmp_path, on_bad_row="skip")
        assert len(kept.load("train")) + len(kept.load("dev")) == 40


def saved(data: Path, texts: list[str]) -> None:
    rows = {"text": texts, "label": [13] * len(texts), "label_text": ["sci.med"] * len(texts)}
    table = datasets.Dataset.from_dict(rows)
    datasets.DatasetDict(train=table, test=table).save_to_disk(data / "20_newsgroups")


def test_a_copy_that_was_stripped_is_not_stripped_again(tmp_path: Path) -> None:
    text = "One paragraph.\n\nAnother, which says: no signature."
    saved(tmp_path, [text] * 2)
    assert [example.texts for example in task(tmp_path).load("test")] == [(text,)] * 2
    with pytest.raises(DataError, match="holds the posts without headers, quotes"):
        task(tmp_path, headers=True, quotes=True)


def test_a_saved_copy_with_headers_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, [POST])
    with pytest.raises(DataError, match="these posts have their headers"):
        task(tmp_path)


def test_real_posts_have_the_published_counts(shared: Path) -> None:
    known, real = facts.of("20newsgroups"), task(shared)
    splits = {split: real.load(split) for split in real.splits}
    assert len(splits["train"]) + len(splits["dev"]) == known.splits["train"]
    assert len(splits["test"]) == known.splits["test"]
    for found in splits.values():
        assert {example.label for example in found} == set(GROUPS)
        assert len({example.id for example in found}) == len(found)
    told = " ".join(inspect(splits, real))
    for split, count in known.overlap.items():
        assert f"{count:,} of {len(splits['train']):,} train examples stand in {split} " in told
    assert "stand in dev" not in told
