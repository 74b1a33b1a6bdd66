"""Byte pairs: GPT's ids, merges that do not depend on the process, and clear refusals."""

import csv
import gzip
import io
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcompare import registry
from lmcompare.errors import ModelError, UserError
from lmcompare.text.bpe import SPECIALS, UNK, Bpe, train_bpe

CORPUS = [
    "The cat sat on the mat; the cats sat, the mats lay flat.",
    "A naïve café owner met the cat's owner at the café.",
    "Walking, talking, walked, talked: she walks and he talks.",
] * 4
ODD = [
    "",
    "   ",
    "\u200b",
    "zero\u200bwidth\u200djoined\u2060words\ufeff",
    "a\u0301 e\u0301 Z\u0351\u036b\u0343algo é ñ",
    "İstanbul ǅ ﬁ Å ß ŒUVRE Ærø",
    "_start_ x_classify_y _delimiter_",
    "<unk> <UNK> a<unk>b </w> x</w> @-@ <unk><unk>",
    "中文字 ｆｕｌｌ 日本語のテキスト 한국어 ภาษาไทย हिन्दी",
    "שלום עולם مرحبا بالعالم \u202eabc\u202c",
    "Привет, мир! Καλημέρα ΣΑΣ ქართული Հայերեն",
    "\ufffd\x00a\x07b\u2028c\u0085d\x1be\x7f",
    "😀 👩‍👩‍👧 🇩🇪 ☃ ❤️",
    "it's can't — “quoted” … ½ ² ™ € £5",
    "x" * 300,
    "tabs\tand\rreturns\u00a0and\u3000wide\u2009thin",
]
GPT2 = {"model": {"type": "BPE", "end_of_word_suffix": None, "vocab": {}, "merges": []}}


@pytest.fixture(scope="module")
def trained() -> Bpe:
    return train_bpe(CORPUS, size=90)


@pytest.fixture(scope="module")
def released(shared: Path) -> Bpe:
    folder = shared / "parity" / "gpt_openai"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return Bpe.load(folder)


def test_unknown_first_then_the_alphabet_the_merges_and_the_three_last(trained: Bpe) -> None:
    assert trained.pieces[0] == UNK and tuple(trained.pieces[-3:]) == SPECIALS
    assert trained.size == len(set(trained.pieces)) == 90 and trained.plain == 87
    ids = [trained.start_id, trained.delimiter_id, trained.extract_id]
    assert ids == [87, 88, 89] and trained.special_ids == frozenset(ids)
    assert trained.unk_id == trained.pad_id == 0
    assert {"a", "a</w>", ",</w>", "the</w>", "at</w>", "walk"} <= set(trained.pieces)
    assert "," not in trained.pieces  # punctuation always stands alone, so it always ends its word
    kinds = [(len(p.removesuffix("</w>")) > 1, p.endswith("</w>")) for p in trained.pieces[1:-3]]
    characters = [ends for merged, ends in kinds if not merged]
    assert characters == sorted(characters) and kinds[: len(characters)] == [(False, e) for e in characters]
    assert trained.ends.tolist() == [p.endswith("</w>") for p in trained.pieces]
    counted = trained.encode("The cats sat, flat")
    assert trained.ends[counted].sum() == 5


def slow_bpe(words: Counter[str], size: int, least: int) -> tuple[list[str], list[tuple[str, str]]]:
    """The paper's loop, word by word. Ties: the earlier left piece in the vocabulary, then the earlier right one."""
    spelled = [([*word[:-1], word[-1] + "</w>"], count) for word, count in words.items()]
    several = {c for word in words if len(word) > 1 for c in word}
    characters = sorted(set("".join(words)))
    pieces = [c for c in characters if c in several] + [c + "</w>" for c in characters]
    merges: list[tuple[str, str]] = []
    while len(pieces) < size:
        pairs: Counter[tuple[str, str]] = Counter()
        for parts, count in spelled:
            for pair in pairwise(parts):
                pairs[pair] += count
        place = {piece: i for i, piece in enumerate(pieces)}
        best = min(pairs, key=lambda p: (-pairs[p], place[p[0]], place[p[1]]), default=None)
        if best is None or pairs[best] < least:
            break
        merges.append(best)
        pieces.append("".join(best))
        for parts, _ in spelled:
            merge(parts, best)
    return [UNK, *pieces, *SPECIALS], merges


def merge(parts: list[str], pair: tuple[str, str]) -> None:
    i = 0
    while i < len(parts) - 1:
        if (parts[i], parts[i + 1]) == pair:
            parts[i : i + 2] = ["".join(pair)]
        i += 1


@pytest.mark.parametrize("seed", range(12))
def test_merges_are_those_of_the_plain_algorithm(seed: int) -> None:
    chance = random.Random(seed)
    letters = "abcdefgh"[: 2 + seed % 7]
    words = ["".join(chance.choices(letters, k=chance.randint(1, 8))) for _ in range(150)]
    size, least = chance.randint(40, 120), chance.randint(1, 3)
    texts = [" ".join(words[i : i + 10]) for i in range(0, len(words), 10)]
    learned = train_bpe(texts, size=size, min_frequency=least)
    pieces, merges = slow_bpe(Counter(words), size - 4, least)
    assert learned.pieces == pieces
    assert [tuple(pair) for pair in learned.rules["model"]["merges"]] == merges


def test_a_word_is_cut_by_the_merges_in_the_order_of_learning(trained: Bpe) -> None:
    ranks = {tuple(pair): rank for rank, pair in enumerate(trained.rules["model"]["merges"])}
    for word in ("the", "cats", "walkingly", "tatat", "mmmm", "a"):
        parts = [*word[:-1], word[-1] + "</w>"]
        while known := [pair for pair in pairwise(parts) if pair in ranks]:
            merge(parts, min(known, key=lambda pair: ranks[pair]))
        assert [trained.pieces[i] for i in trained.encode(word)] == parts


def test_registered_settings_are_checked() -> None:
    built = registry.tokenizers.build({"name": "bpe", "size": 70, "lowercase": False}, CORPUS)
    assert built.size == 70 and not built.lowercase
    with pytest.raises(UserError, match="did you mean 'size'"):
        registry.tokenizers.build({"name": "bpe", "sise": 60}, CORPUS)


def test_refusals_to_train() -> None:
    with pytest.raises(UserError, match="at least 10 is needed"):
        train_bpe(["abc abc"], size=9)
    assert train_bpe(["abc abc"], size=10).size == 10
    with pytest.raises(UserError, match="no words"):
        train_bpe(["", " \n"], size=100)
    with pytest.raises(UserError, match="min_frequency"):
        train_bpe(["a"], size=100, min_frequency=0)


def test_case_and_accents(trained: Bpe) -> None:
    assert trained.lowercase
    assert trained.encode("NAÏVE Café") == trained.encode("naive cafe")
    cased = train_bpe(CORPUS, size=90, lowercase=False)
    assert cased.encode("The") != cased.encode("the")
    assert "é</w>" in cased.pieces and cased.encode("é") != cased.encode("e")
    assert cased.fingerprint != trained.fingerprint


def test_words_offsets_and_batches(trained: Bpe) -> None:
    text = "The cats’ owner talked."
    ids, offsets = trained.encode_offsets(text)
    assert ids == trained.encode(text)
    for piece, (start, end) in zip(ids, offsets, strict=True):
        if piece != trained.unk_id:
            assert text[start:end].lower() == trained.pieces[piece].removesuffix("</w>")
    words = ["The", "", "owner", "\u200b", "☃", "naïve", "cat's", "_start_", UNK]
    cut = trained.encode_words(words)
    assert cut == [trained.encode(word) or [trained.unk_id] for word in words]
    assert cut[1] == cut[3] == cut[4] == cut[-1] == [trained.unk_id]
    assert trained.encode_words([]) == []
    assert trained.encode_many([text, "", "cat"]) == [ids, [], trained.encode("cat")]
    assert trained.decode(trained.encode("The cats sat, flat")) == "the cats sat , flat"
    assert trained.extended(["anything"]) is trained


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(SPECIALS)),
)
def test_any_text_gives_plain_ids_and_offsets_in_order(parts: list[str]) -> None:
    text = "".join(parts)
    ids, offsets = TINY.encode_offsets(text)
    assert all(0 <= i < TINY.plain for i in ids)
    assert all(0 <= start <= end <= len(text) for start, end in offsets)
    assert [start for start, _ in offsets] == sorted(start for start, _ in offsets)


TINY = train_bpe([*CORPUS, "_start_ it, classify it: _classify_, _delimiter_ START"], size=100)


def test_the_names_of_the_special_tokens_are_ordinary_text(tmp_path: Path) -> None:
    TINY.save(tmp_path)
    for tokenizer in (TINY, Bpe.load(tmp_path)):
        for special in SPECIALS:
            texts = [special, f"a {special} it", f"s{special}", special.upper()]
            ids = [i for text in texts for i in tokenizer.encode(text)]
            ids += [i for word in tokenizer.encode_words(texts) for i in word]
            ids += [i for text in tokenizer.encode_many(texts) for i in text]
            assert tokenizer.special_ids.isdisjoint(ids)
            assert tokenizer.unk_id not in ids


@pytest.mark.parametrize("length", [1_000_000, pytest.param(4_000_000, marks=pytest.mark.slow)])
def test_an_endless_word_does_not_hang(trained: Bpe, length: int) -> None:
    start = time.monotonic()
    assert trained.encode("a" * length)[-1] == trained.ids["a</w>"]
    assert time.monotonic() - start < 60
    assert "aa" not in train_bpe(["a" * 101, "b ab"], size=50).pieces  # nothing is learned from it


def test_save_and_load(trained: Bpe, tmp_path: Path) -> None:
    trained.save(tmp_path / "a")
    loaded = Bpe.load(tmp_path / "a")
    assert loaded.fingerprint == trained.fingerprint
    assert loaded.pieces == trained.pieces and loaded.lowercase
    loaded.save(tmp_path / "b")
    for name in ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    (tmp_path / "b" / "tokenizer.json").write_text(json.dumps(GPT2))  # passed over
    assert Bpe.load(tmp_path / "b").fingerprint == trained.fingerprint
    (tmp_path / "b" / "tokenizer.json").unlink()
    assert Bpe.load(tmp_path / "b").fingerprint == trained.fingerprint
    (tmp_path / "b" / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert not Bpe.load(tmp_path / "b").lowercase


def test_what_a_published_file_says_on_batches_and_chance_is_left_out(trained: Bpe, tmp_path: Path) -> None:
    trained.save(tmp_path)
    rules = json.loads((tmp_path / "tokenizer.json").read_text())
    rules["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    rules["model"]["dropout"] = 0.5
    rules["model"]["merges"] = [" ".join(pair) for pair in rules["model"]["merges"]]  # the older form
    (tmp_path / "tokenizer.json").write_text(json.dumps(rules))
    assert Bpe.load(tmp_path).fingerprint == trained.fingerprint
    assert Bpe.load(tmp_path).encode_many(CORPUS) == trained.encode_many(CORPUS)


def test_tokens_that_were_added_to_a_published_file_become_pieces(trained: Bpe, tmp_path: Path) -> None:
    trained.save(tmp_path)
    rules = json.loads((tmp_path / "tokenizer.json").read_text())
    for special in SPECIALS:
        number = rules["model"]["vocab"].pop(special)
        told = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        rules["added_tokens"].append({"id": number, "content": special, **told})
    (tmp_path / "tokenizer.json").write_text(json.dumps(rules))
    loaded = Bpe.load(tmp_path)
    assert loaded.fingerprint == trained.fingerprint
    assert loaded.special_ids.isdisjoint(loaded.encode("_start_ a _classify_"))


def written(ids: dict[str, int], merges: str) -> dict[str, str]:
    return {"vocab.json": json.dumps(ids), "merges.txt": merges}


def rules_with(**model: object) -> dict[str, str]:
    told = {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {UNK: 0, "a": 1, "b": 2}, "merges": []}
    return {"tokenizer.json": json.dumps({"model": told | model})}


FEW = {UNK: 0, "a": 1, "b</w>": 2, "ab</w>": 3}


def test_the_three_special_tokens_are_appended_and_a_blank_last_line_means_nothing(tmp_path: Path) -> None:
    for names in (("vocab.json", "merges.txt"), ("encoder_bpe_40000.json", "vocab_40000.bpe")):
        folder = tmp_path / names[0]
        folder.mkdir()
        (folder / names[0]).write_text(json.dumps(FEW))
        (folder / names[1]).write_text("#version: 0.2\na b</w>\n\n")
        loaded = Bpe.load(folder)
        assert loaded.pieces == [*FEW, *SPECIALS] and loaded.plain == 4
        assert loaded.encode("AB ba") == [3, 0, 0]  # neither b nor a</w> is a piece


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"other.txt": ""}, "no tokenizer here"),
        ({"vocab.json": "{}"}, r"merges.txt: not here, and vocab.json is of no use"),
        ({"vocab_40000.bpe": ""}, r"encoder_bpe_40000.json: not here"),
        (written(FEW, "a b</w>") | {"vocab.json": '{"a": '}, "vocab.json: not JSON"),
        (written(FEW, "a b</w>") | {"vocab.json": "[1]"}, "vocab.json: not a vocabulary"),
        (written({UNK: 0, "a": True}, ""), "not a vocabulary"),
        (written({UNK: 0, "a": 2}, ""), "have gaps"),
        (written({UNK: 0, "a": 0}, ""), "have gaps"),
        (written({"a": 0}, ""), "lacks <unk>"),
        (written({UNK: 0, "_start_": 1, "a": 2}, ""), "should be the last three"),
        (written({UNK: 0, "_classify_": 1}, ""), "should be the last three"),
        (written({UNK: 0, "\ud800": 1}, ""), "half a character"),
        (written(FEW, "#version: 0.2\n\na c"), r"merges.txt:3: 'c' is not in the vocabulary"),
        (written(FEW, "a a"), r"merges.txt:1: 'aa' is not in"),
        (written(FEW, "a b</w> b</w>"), r"merges.txt:1: 'b</w> b</w>' is not in"),
        (written(FEW, "ab"), r"merges.txt:1: 'ab': two pieces are needed"),
        ({"tokenizer.json": '{"model": '}, "not JSON"),
        ({"tokenizer.json": "[]"}, "a damaged tokenizer; GPT's needs BPE"),
        ({"tokenizer.json": '{"model": {"type": "WordPiece"}}'}, "a WordPiece tokenizer"),
        ({"tokenizer.json": json.dumps(GPT2)}, "a BPE tokenizer; GPT's needs BPE with </w>"),
        (rules_with(vocab=None), "a damaged list of pieces"),
        (rules_with(vocab={"a": 0}), "lacks <unk>"),
        (rules_with(vocab={UNK: 0, "a": 9}), "gaps"),
        (rules_with(merges=["a"]), "a damaged list"),
        (rules_with(merges=[["a", 5]]), "a damaged list"),
        (rules_with(merges=["a b"]), r"merge 1: 'ab' is not in the vocabulary"),
        (rules_with(fuse_unk="perhaps"), "not a usable tokenizer"),
    ],
)
def test_damaged_folders(tmp_path: Path, contents: dict[str, str], message: str) -> None:
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError, match=message) as caught:
        Bpe.load(tmp_path)
    assert str(caught.value).startswith(str(tmp_path))


def test_merges_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(json.dumps(FEW))
    (tmp_path / "merges.txt").write_bytes(b"a \xff\n")
    with pytest.raises(ModelError, match=r"merges.txt: not UTF-8 at byte 2"):
        Bpe.load(tmp_path)


@pytest.mark.parametrize("lowercase", [True, False])
def test_transformers_reads_what_we_write(lowercase: bool, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, OpenAIGPTTokenizer

    ours = train_bpe(CORPUS, size=120, lowercase=lowercase)
    ours.save(tmp_path)
    lines = [*CORPUS, *ODD]
    # The class itself cleans in lower case whatever the folder says; AutoTokenizer takes the class that we wrote.
    for kind in (AutoTokenizer, OpenAIGPTTokenizer) if lowercase else (AutoTokenizer,):
        theirs = kind.from_pretrained(tmp_path)
        assert theirs(lines, add_special_tokens=False)["input_ids"] == ours.encode_many(lines)
        assert len(theirs) == theirs.vocab_size == ours.size
        ids = [ours.start_id, ours.delimiter_id, ours.extract_id]
        assert theirs.convert_tokens_to_ids(list(SPECIALS)) == ids
        assert theirs.unk_token_id == ours.unk_id
        theirs.save_pretrained(tmp_path / "theirs")
        assert Bpe.load(tmp_path / "theirs").fingerprint == ours.fingerprint
    if lowercase:
        (tmp_path / "tokenizer.json").unlink()
        theirs = OpenAIGPTTokenizer.from_pretrained(tmp_path)
        assert theirs(lines, add_special_tokens=False)["input_ids"] == ours.encode_many(lines)


def test_the_release_instead_of_the_corpus(released: Bpe, shared: Path, tmp_path: Path) -> None:
    def unread() -> Iterator[str]:
        pytest.fail("the corpus was read")
        yield ""

    assert (released.size, released.plain, released.unk_id) == (40481, 40478, 0)
    folder = str(shared / "parity" / "gpt_openai")
    taken = registry.tokenizers.build({"name": "bpe", "path": folder}, unread())
    assert taken.fingerprint == released.fingerprint
    released.save(tmp_path)
    assert Bpe.load(tmp_path).fingerprint == released.fingerprint
    with pytest.raises(ModelError, match="no tokenizer here"):
        train_bpe([], path=str(tmp_path / "nowhere"))


def test_ids_of_the_release_are_those_that_were_published(released: Bpe, shared: Path) -> None:
    folder = shared / "parity" / "gpt_allennlp"
    texts = (folder / "text.txt").read_text(encoding="utf-8").splitlines()
    ids = json.loads((folder / "indexed_text.json").read_text())
    assert released.encode(texts[0]) == ids[0]
    # The second text was split by spaCy; its words give the published ids too.
    words = texts[1].replace("hasn't", "has n't").replace("day.", "day .").replace("31.", "31 .")
    cut = [released.encode_words([word])[0] for word in words.split() if word.isalnum() or word == "."]
    assert Counter(i for part in cut for i in part) <= Counter(ids[1])


def read_gz(path: Path, characters: int) -> str:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read(characters)


def real_lines(data: Path) -> list[str]:
    """Over 10,000 lines: encyclopedia, novels, news, posts, reviews, linguists' examples; and odd Unicode."""
    lines = list(ODD)
    for name in ("unlabelled/wikitext-2/valid.txt", "glue/CoLA/train.tsv", "sst/stsa.fine.dev"):
        lines += (data / name).read_text(encoding="utf-8").split("\n")[:1500]
    lines += (data / "trec/train.txt").read_text(encoding="latin-1").split("\n")[:1000]
    for name in ("enwiki2014/part-01", "english_novels_100", "eltec_eng_novels"):
        documents = read_gz(data / f"unlabelled/{name}.jsonl.gz", 3_000_000).split("\n")[:-1]
        lines += [line for text in documents for line in json.loads(text)["text"].split("\n")[:60]][:1500]
    for name in ("20newsgroups/test", "imdb/test"):
        posts = read_gz(data / f"{name}.jsonl.gz", 300_000).split("\n")[:-1]
        lines += [line for text in posts for line in json.loads(text)["text"].split("\n")][:1000]
    rows = csv.reader(io.StringIO(read_gz(data / "agnews/test.csv.gz", 300_000)))
    lines += [" ".join(row[1:]) for row in rows][:1000]
    chance = random.Random(0)
    for _ in range(1000):
        above, below = chance.randrange(0xE000, 0x20000), chance.randrange(32, 0xD7E0)
        lines.append("".join(chr(chance.choice((32, above + i, below + i))) for i in range(30)))
    return lines


@pytest.mark.slow
def test_parity_with_transformers_on_real_text(released: Bpe, shared: Path) -> None:
    from transformers import OpenAIGPTTokenizer

    folder = shared / "parity" / "gpt_openai"
    merges = (folder / "vocab_40000.bpe").read_text(encoding="utf-8").split("\n")[1:-1]
    theirs = OpenAIGPTTokenizer(
        vocab=json.loads((folder / "encoder_bpe_40000.json").read_bytes()),
        merges=[tuple(line.split()) for line in merges],
    )
    lines = real_lines(shared)
    assert len(lines) > 10_000
    expected = theirs(lines, add_special_tokens=False)["input_ids"]
    assert released.encode_many(lines) == expected
    assert [released.encode(line) for line in lines[::50]] == expected[::50]
    assert released.special_ids.isdisjoint(i for ids in expected for i in ids)
