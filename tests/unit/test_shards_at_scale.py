"""A corpus at scale: the same bytes from any number of processes, after any number of kills, and in little memory."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmcompare import __version__, cache, files
from lmcompare.errors import DataError, ResourceError, Stopped
from lmcompare.launch import launch
from lmcompare.text import corpus, growing, merges, pairs, pieces, shards, spread
from lmcompare.text.bpe import train_bpe
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.text.words import train_words

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {"length": 32, "short_rate": 0.1, "random_rate": 0.5, "seed": 3}
WORDS = (
    "the a river house garden letter cat, dog; naïve Café 1984 re-read (old) “new” walks talked it's".split()
)


def text_of(chance: random.Random, sentences: int) -> str:
    told = (" ".join(chance.choices(WORDS, k=chance.randint(1, 30))) for _ in range(sentences))
    return "\n".join(sentence.capitalize() + "." for sentence in told)


def made_up(number: int, seed: int = 1) -> list[corpus.Document]:
    """Some are running text, some are cut already, some are empty."""
    chance = random.Random(seed)
    found: list[corpus.Document] = []
    for n in range(number):
        text = text_of(chance, chance.choice((1, 2, 5, 40)))
        found.append(["", " "] if n % 17 == 0 else text.split("\n") if n % 3 else text)
    return found


DOCUMENTS = made_up(400)
TOKENIZER = train_wordpiece((s for d in DOCUMENTS for s in corpus.sentences_of(d)), size=90)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "BLOCK", 9000)
    monkeypatch.setattr(pairs, "BLOCK", 500)
    monkeypatch.setattr(spread, "FEW", 2)


def sums(folder: Path) -> dict[str, str]:
    assert files.damage(folder) is None
    return {p.name: files.sha256(p) for p in folder.iterdir()}


def plainly(documents: list[corpus.Document], tokenizer: Any) -> list[list[list[int]]]:
    """The documents' token ids, read without any of this."""
    cut = [[tokenizer.encode(s) for s in corpus.sentences_of(d)] for d in documents]
    return [kept for document in cut if (kept := [ids for ids in document if ids])]


def read_back(found: shards.Shards) -> list[list[list[int]]]:
    bounds = [found.document(d).tolist() for d in range(len(found))]
    return [[found.tokens[a:b].tolist() for a, b in pairwise(b_)] for b_ in bounds]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_processes_gives_the_same_bytes(tmp_path: Path, workers: int) -> None:
    one = shards.build(DOCUMENTS, TOKENIZER, tmp_path / "one")
    many = shards.build(DOCUMENTS, TOKENIZER, tmp_path / "many", workers=workers)
    assert sums(tmp_path / "one") == sums(tmp_path / "many")
    assert read_back(many) == read_back(one) == plainly(DOCUMENTS, TOKENIZER)
    train, _ = one.split(0.1)
    whole = pairs.make(one, train, passes=3, **SETTINGS)
    folder = tmp_path / "pairs"
    rows = pairs.instances(many, train, folder, passes=3, workers=workers, **SETTINGS)
    assert len(whole) > 500 and np.array_equal(rows, whole)
    assert not rows.flags.writeable
    assert {p.name for p in folder.iterdir()} == {"rows.bin", "manifest.json"}
    assert {p.name for p in tmp_path.iterdir()} == {"one", "many", "pairs"}


def test_words_and_byte_pairs_too(tmp_path: Path) -> None:
    sentences = [s for d in DOCUMENTS for s in corpus.sentences_of(d)]
    for name, tokenizer in (("words", train_words(sentences)), ("bpe", train_bpe(sentences, size=120))):
        made = [shards.build(DOCUMENTS, tokenizer, tmp_path / f"{name}{n}", workers=n) for n in (1, 2)]
        assert sums(tmp_path / f"{name}1") == sums(tmp_path / f"{name}2")
        assert read_back(made[1]) == plainly(DOCUMENTS, tokenizer)


def test_the_rows_of_a_document_do_not_depend_on_the_blocks(tmp_path: Path, monkeypatch: Any) -> None:
    found = shards.build(DOCUMENTS, TOKENIZER, tmp_path / "tokens")
    chosen = np.arange(len(found))
    small = pairs.make(found, chosen, passes=2, **SETTINGS)
    monkeypatch.setattr(pairs, "BLOCK", 10**9)
    assert np.array_equal(pairs.make(found, chosen, passes=2, **SETTINGS), small)
    for place in (7, 150):
        alone = cut_alone(found, chosen, place, **SETTINGS)
        inside = (small[:, 0] >= found.document(place)[0]) & (small[:, 0] < found.document(place)[-1])
        assert np.array_equal(small[inside][: len(alone)], alone)


def cut_alone(found: shards.Shards, chosen: np.ndarray, d: int, seed: int, **more: Any) -> np.ndarray:
    rules = pairs.Cut(found, chosen, more["length"] - 3, more["short_rate"], more["random_rate"])
    return np.array(rules.document(d, random.Random(f"{seed} 0 {d}")))


def test_with_no_random_halves_what_follows_follows(tmp_path: Path) -> None:
    found = shards.build(DOCUMENTS, TOKENIZER, tmp_path / "tokens")
    given = {**SETTINGS, "random_rate": 0.0, "short_rate": 0.0, "length": 4000}
    rows = pairs.make(found, np.arange(len(found)), passes=1, **given)
    assert len(rows) == len(found) and not rows[:, 4].any()
    for d, (a0, a1, b0, b1, _) in enumerate(rows.tolist()):
        bounds = found.document(d)
        assert (a0, b1) == (bounds[0], bounds[-1]) and a1 == b0 and a1 in bounds
        assert (b0 == b1) == (len(bounds) == 2)  # a sentence alone stands alone
    short = pairs.make(found, np.arange(len(found)), passes=1, **{**given, "length": 12})
    assert ((short[:, 1] - short[:, 0]) + (short[:, 3] - short[:, 2]) <= 9).all()
    always = pairs.make(found, np.arange(len(found)), passes=1, **{**given, "random_rate": 1.0})
    assert always[:, 4].all()


def test_words_that_were_seen_get_the_same_ids(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prose, encyclopedia and odd characters, with so little memory that words are forgotten and come again."""
    monkeypatch.setattr(pieces, "REMEMBERED", 500)
    odd = ["", " ", "  a  b ", "[SEP] and [MASK] x[CLS]y", "ΣΑΣ ΣΑΣ", "a\u0301 e\u0301", "中文字 ｆ"]
    odd += ["\ufffd\x07b\u2028c\u0085d"]
    odd += ["İstanbul ǅ ﬁ Å", "😀 👩‍👩‍👧", "x" * 101, "##ing #", "\t tab\ttab", "<unk> a<unk>b"]
    for case in ("cased", "uncased"):
        vocab = shared / "parity" / "bert_vocab" / f"bert-base-{case}-vocab.txt"
        tokenizer = train_wordpiece([], path=str(vocab), lowercase=case == "uncased")
        assert tokenizer.cut_at_spaces
        compare(tokenizer, [odd, *real_lines(shared)])
    compare(train_bpe(real_lines(shared)[0], size=2000), [odd, *real_lines(shared)])


def real_lines(shared: Path) -> list[list[str]]:
    read = corpus.raw(shared / "unlabelled" / "enwiki2014" / "part-00.jsonl.gz")
    return [corpus.sentences_of(document) for document in islice(read, 60)]


def compare(tokenizer: Any, batches: list[list[str]]) -> None:
    for texts in batches:
        flat, lengths = tokenizer.encode_flat(texts)
        expected = tokenizer.encode_many(texts)
        assert lengths.tolist() == [len(ids) for ids in expected]
        assert flat.tolist() == [n for ids in expected for n in ids]


def test_a_tokenizer_that_reads_over_spaces_is_asked_as_a_whole() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    inside = Tokenizer(models.BPE({"a": 0, "b": 1, " ": 2, "a ": 3}, [("a", " ")]))
    inside.pre_tokenizer = pre_tokenizers.Split("b", "isolated")
    tokenizer = pieces.Pieces(inside)
    assert not tokenizer.cut_at_spaces
    flat, lengths = tokenizer.encode_flat(["a ba b", ""])
    assert (flat.tolist(), lengths.tolist()) == ([3, 1, 3, 1], [4, 0])


class Trip(Exception):
    """Stands in for whatever ends a process."""


def tripping(documents: list[corpus.Document], after: int) -> Iterator[corpus.Document]:
    for number, document in enumerate(documents):
        if number == after:
            raise Trip
        yield document


@pytest.mark.parametrize("after", [0, 3, 150, 399])
def test_what_was_interrupted_is_gone_on_with(tmp_path: Path, after: int, monkeypatch: Any) -> None:
    shards.build(DOCUMENTS, TOKENIZER, tmp_path / "whole")
    monkeypatch.setattr(growing, "EVERY", 0.0)
    with pytest.raises(Trip):
        shards.build(tripping(DOCUMENTS, after), TOKENIZER, tmp_path / "cut")
    assert not (tmp_path / "cut").exists()
    mark = json.loads((tmp_path / ".cut.part" / growing.MARK).read_text())
    assert after - 20 <= mark["done"] <= after
    # Whatever a killed writer had not made sure of is cut off again.
    for name in shards.FILES:
        with open(tmp_path / ".cut.part" / name, "ab") as file:
            file.write(b"\xff" * 5)
    shards.build(DOCUMENTS, TOKENIZER, tmp_path / "cut")
    assert sums(tmp_path / "cut") == sums(tmp_path / "whole")


@pytest.mark.parametrize("error", [MemoryError, Stopped("SIGTERM", 75), OSError(28, "full")], ids=str)
def test_half_a_block_is_never_marked(tmp_path: Path, error: Any, monkeypatch: Any) -> None:
    shards.build(DOCUMENTS, TOKENIZER, tmp_path / "whole")
    adds, whole = 0, growing.Growing.add

    def add(self: growing.Growing, name: str, data: bytes) -> None:
        nonlocal adds
        adds += 1
        if adds == 14:
            raise error
        whole(self, name, data)

    monkeypatch.setattr(growing.Growing, "add", add)
    with pytest.raises((MemoryError, Stopped, ResourceError)):
        shards.build(DOCUMENTS, TOKENIZER, tmp_path / "cut")
    if not isinstance(error, OSError):  # those are told at once, and what was marked before stays
        assert json.loads((tmp_path / ".cut.part" / growing.MARK).read_text())["done"] > 0
    shards.build(DOCUMENTS, TOKENIZER, tmp_path / "cut")
    assert sums(tmp_path / "cut") == sums(tmp_path / "whole")


@pytest.mark.parametrize("spoil", ["mark", "shorter", "tokenizer"])
def test_a_mark_that_cannot_be_trusted_is_not(tmp_path: Path, spoil: str, monkeypatch: Any) -> None:
    shards.build(DOCUMENTS, TOKENIZER, tmp_path / "whole")
    monkeypatch.setattr(growing, "EVERY", 0.0)
    other = train_wordpiece(["some other words"], size=40) if spoil == "tokenizer" else TOKENIZER
    with pytest.raises(Trip):
        shards.build(tripping(DOCUMENTS, 300), other, tmp_path / "cut")
    if spoil == "mark":
        (tmp_path / ".cut.part" / growing.MARK).write_text('{"done": 3')
    if spoil == "shorter":
        os.truncate(tmp_path / ".cut.part" / shards.TOKENS, 10)
    shards.build(DOCUMENTS, TOKENIZER, tmp_path / "cut")
    assert sums(tmp_path / "cut") == sums(tmp_path / "whole")


def test_every_step_of_the_end_may_be_the_last(tmp_path: Path) -> None:
    """Killed at each stage between the last block and the final name."""
    shards.build(DOCUMENTS[:40], TOKENIZER, tmp_path / "whole")
    seen: list[str] = []
    files.STAGES.append(lambda name, path: seen.append(name))
    try:
        shards.build(DOCUMENTS[:40], TOKENIZER, tmp_path / "counted")
        stages = len(seen)
        assert stages > 8
        for number in range(stages):
            seen.clear()

            def trip(name: str, path: Path, number: int = number) -> None:
                if len(seen) == number + 1:
                    raise KeyboardInterrupt

            files.STAGES.append(trip)
            with pytest.raises(KeyboardInterrupt):
                shards.build(DOCUMENTS[:40], TOKENIZER, tmp_path / "cut")
            files.STAGES.pop()
            assert not (tmp_path / "cut").exists() or number == stages - 1
            shards.build(DOCUMENTS[:40], TOKENIZER, tmp_path / "cut")
            assert sums(tmp_path / "cut") == sums(tmp_path / "whole")
            shutil.rmtree(tmp_path / "cut")
    finally:
        files.STAGES.clear()


def test_damage_is_mended_and_other_rows_are_cut_anew(tmp_path: Path) -> None:
    found = shards.build(DOCUMENTS, TOKENIZER, tmp_path / "tokens")
    folder, chosen = tmp_path / "pairs", np.arange(len(found))
    rows = pairs.instances(found, chosen, folder, passes=1, workers=1, **SETTINGS).copy()
    before = (folder / "rows.bin").stat().st_mtime_ns
    pairs.instances(found, chosen, folder, passes=1, workers=2, **SETTINGS)
    assert (folder / "rows.bin").stat().st_mtime_ns == before
    with open(folder / "rows.bin", "r+b") as file:
        file.write(b"\xff")
    assert np.array_equal(pairs.instances(found, chosen, folder, passes=1, workers=1, **SETTINGS), rows)
    other = pairs.instances(found, chosen[:9], folder, passes=1, workers=1, **SETTINGS)
    assert 0 < len(other) < len(rows)
    assert pairs.instances(found, chosen, folder, passes=0, workers=2, **SETTINGS).shape == (0, 5)


def test_a_shorter_or_an_empty_corpus_is_said(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(growing, "EVERY", 0.0)
    with pytest.raises(Trip):
        shards.build(tripping(DOCUMENTS, 300), TOKENIZER, tmp_path / "cut")
    with pytest.raises(DataError, match="fewer documents"):
        shards.build(DOCUMENTS[:50], TOKENIZER, tmp_path / "cut")
    with pytest.raises(DataError, match="no text at all"):
        shards.build([[""], ""], TOKENIZER, tmp_path / "none")
    assert not list(tmp_path.iterdir())


def test_two_at_once_make_it_once(tmp_path: Path) -> None:
    shards.build(DOCUMENTS, TOKENIZER, tmp_path / "whole")
    begun, notes = threading.Event(), list[str]()

    def slowly() -> Iterator[corpus.Document]:
        for document in DOCUMENTS:
            begun.set()
            time.sleep(0.002)
            yield document

    first = threading.Thread(target=shards.build, args=(slowly(), TOKENIZER, tmp_path / "both"))
    first.start()
    begun.wait()
    # The second is given another text: what it returns can only be the first one's.
    shards.build(made_up(30, seed=2), TOKENIZER, tmp_path / "both", note=notes.append)
    first.join()
    assert sums(tmp_path / "both") == sums(tmp_path / "whole")
    assert notes == ["waiting for another process that makes both"]
    assert {p.name for p in tmp_path.iterdir()} == {"both", "whole"}


def test_waiting_ends_when_a_signal_asks_for_it(tmp_path: Path) -> None:
    def stop() -> None:
        raise Stopped("interrupted", 130)

    with (
        growing.alone(tmp_path / "entry", lambda: None, print),
        pytest.raises(Stopped),
        growing.alone(tmp_path / "entry", stop, lambda text: None),
    ):
        pass


def children() -> set[int]:
    told = subprocess.run(["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True)
    return {int(word) for word in told.stdout.split()}


def test_a_killed_worker_is_one_sentence_and_the_rest_goes_too(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(growing, "EVERY", 0.0)
    before, seen = children(), 0

    def kill(tokens: int) -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            os.kill(max(hired()), signal.SIGKILL)

    def hired() -> list[int]:
        return [pid for pid in children() - before if b"lmcompare.text.spread" in command(pid)]

    with pytest.raises(ResourceError, match="killed by signal 9"):
        shards.build(DOCUMENTS, TOKENIZER, tmp_path / "cut", workers=2, seen=kill)
    assert seen >= 3 and not hired()
    shards.build(DOCUMENTS, TOKENIZER, tmp_path / "cut", workers=2)
    shards.build(DOCUMENTS, TOKENIZER, tmp_path / "whole")
    assert sums(tmp_path / "cut") == sums(tmp_path / "whole") and not hired()


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def broken(kind: str) -> spread.Work:
    def work(data: bytes) -> bytes:
        raise MemoryError if kind == "memory" else ValueError("a bug")

    return work


@pytest.mark.parametrize(("kind", "error"), [("memory", MemoryError), ("bug", RuntimeError)])
def test_what_goes_wrong_in_a_worker_is_raised_here(kind: str, error: type[Exception]) -> None:
    blocks = [(n, b"x" * 200_000) for n in range(9)]
    told = f"{Path(__file__).parent}"
    hire = ("tests.unit.test_shards_at_scale:broken", {"kind": kind})
    os.environ["PYTHONPATH"] = str(Path(told).parents[1])
    try:
        with spread.ordered(blocks, bytes, lambda: hire, workers=2) as answers, pytest.raises(error):
            list(answers)
    finally:
        del os.environ["PYTHONPATH"]


def test_workers_do_not_import_torch() -> None:
    code = (
        "import sys, lmcompare.text.spread, lmcompare.text.shards, lmcompare.text.pairs, lmcompare.text.wordpiece\n"
        "assert not {'torch', 'transformers', 'datasets', 'scipy'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_counting_words_forgets_the_rarest_only(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"often often word{n} sometimes{n % 40}" for n in range(3000)]
    plain = merges.count_words(texts, True)
    monkeypatch.setattr(merges, "STRETCHES", 50)
    assert merges.count_words(texts, True) == plain
    monkeypatch.setattr(merges, "WORDS", 300)
    few = merges.count_words(texts, True)
    assert len(few) < 400 and few["often"] == 6000 and few["sometimes7"] == 75


def test_of_very_many_words_the_counts_are_taken_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = merges.Counter(often=900, some=60, rare=4, once=1)
    assert merges.in_proportion(counts, 965) == counts
    assert merges.in_proportion(counts, 100) == {"often": 93, "some": 6}
    texts = ["the cat sat on the mat"] * 90 + ["a dog dug"] * 60 + ["zq"]
    whole = train_wordpiece(texts, size=60).pieces
    monkeypatch.setattr(merges, "LEARNED", 100)
    assert train_wordpiece(texts, size=60).pieces == whole


def test_how_far_a_corpus_has_been_read_is_known(tmp_path: Path) -> None:
    import gzip

    import pyarrow.parquet

    lines = "".join(json.dumps({"text": "Some text. " * 50}) + "\n" for _ in range(9000))
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode(), 1))
    (tmp_path / "c.txt").write_text("One.\nTwo.\n\n" * 200_000)
    pyarrow.parquet.write_table(pyarrow.table({"text": ["One. Two."] * 3000}), tmp_path / "d.parquet")
    whole = sum(map(corpus.size, corpus.parts(tmp_path)))
    places = [0]
    number = sum(1 for _ in corpus.raw(tmp_path, read=places.append))
    assert number > 20_000 and places == sorted(places) and places[-1] == whole
    assert len(set(places)) > 15


def test_the_cache_shows_what_is_unfinished(monkeypatch: Any) -> None:
    monkeypatch.setattr(growing, "EVERY", 0.0)
    folder = cache.root() / "tokens" / "mine-0123"
    with pytest.raises(Trip):
        shards.build(tripping(DOCUMENTS, 300), TOKENIZER, folder)
    (entry,) = cache.listing()["entries"]
    assert (entry["room"], entry["name"], entry["about"]) == ("tokens", "mine-0123", "unfinished")
    shards.build(DOCUMENTS, TOKENIZER, folder)
    (entry,) = cache.listing()["entries"]
    assert entry["about"] == "tokenized corpus"
    found, below = shards.read(folder), cache.root() / "instances" / "mine-0123"
    for name, seed in (("a", 1), ("b", 2)):
        chosen, given = np.arange(len(found)), {**SETTINGS, "seed": seed, "passes": 1, "workers": 1}
        pairs.instances(found, chosen, below / name, **given)
    told = [(e["room"], e["name"]) for e in cache.listing()["entries"]]
    assert told[1:] == [("instances", "mine-0123/a"), ("instances", "mine-0123/b")]
    cache.remove(["mine-0123/a"])
    assert not (below / "a").exists() and below.exists()
    assert len(cache.remove(["instances"])["entries"]) == 1 and not below.exists()
    with pytest.raises(Trip):
        shards.build(tripping(DOCUMENTS, 300), TOKENIZER, folder.with_name("other"))
    assert len(cache.remove(["tokens"])["entries"]) == 2 and not cache.listing()["entries"]


def shadowed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's folder with files that are called as standard modules are."""
    for name in ("random", "json", "numpy"):
        (folder / f"{name}.py").write_text("raise SystemExit('this is no module of the program')\n")
    monkeypatch.chdir(folder)


def test_what_a_users_folder_holds_is_no_part_of_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadowed(tmp_path, monkeypatch)
    shards.build(DOCUMENTS, TOKENIZER, tmp_path / "one")
    shards.build(DOCUMENTS, TOKENIZER, tmp_path / "two", workers=2)
    assert sums(tmp_path / "one") == sums(tmp_path / "two")


def test_nor_of_the_processes_of_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shadowed(tmp_path, monkeypatch)
    assert launch(2, ["--version"]) == 0
    # The two write at once, so the ends of their lines may stand anywhere.
    assert "".join(capfd.readouterr().out.split()) == __version__ * 2


def test_a_worker_that_ends_by_itself_is_no_matter_of_memory() -> None:
    blocks = [(n, b"") for n in range(9)]
    hire: spread.Hire = lambda: ("os:_exit", {"status": 3})  # noqa: E731
    with (
        pytest.raises(ResourceError, match="ended with status 3") as told,
        spread.ordered(blocks, bytes, hire, workers=2) as answers,
    ):
        list(answers)
    assert "memory" not in str(told.value)
