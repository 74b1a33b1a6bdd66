"""WordPiece: BERT's ids, a vocabulary that does not depend on the process, and clear refusals."""

import gzip
import json
import random
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcompare import registry
from lmcompare.errors import ModelError, UserError
from lmcompare.text.wordpiece import SPECIALS, WordPiece, bert_tokenizer, train_wordpiece

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
CORPUS = [
    "The cat sat on the mat; the cats sat, the mats lay flat.",
    "A naïve café owner met the cat's owner at the café.",
    "Walking, talking, walked, talked: she walks and he talks.",
] * 4
ODD = [
    "",
    "   ",
    "\u200b",
    "a\u0301 e\u0301",
    "İstanbul ǅ ﬁ Å",
    "[SEP] and [MASK] x[CLS]y",
    "中文字 ｆｕｌｌ",
    "\ufffd\x00a\x07b\u2028c\u0085d",
    "😀 👩‍👩‍👧",
    "##ing #",
    "x" * 101,
    "ΣΑΣ",
]


@pytest.fixture(scope="module")
def trained() -> WordPiece:
    return train_wordpiece(CORPUS, size=120)


def test_the_vocabulary_starts_with_the_specials_and_the_alphabet(trained: WordPiece) -> None:
    assert trained.pieces[:5] == list(SPECIALS)
    ids = [trained.pad_id, trained.unk_id, trained.cls_id, trained.sep_id, trained.mask_id]
    assert ids == [0, 1, 2, 3, 4]
    assert trained.special_ids == frozenset(ids)
    assert trained.size == len(trained.pieces) <= 120
    assert len(set(trained.pieces)) == trained.size
    assert {"a", "##a", ","} <= set(trained.pieces)
    assert "##," not in trained.pieces  # punctuation always stands alone
    assert "cat" in trained.pieces and "the" in trained.pieces


def test_pieces_are_bare_merges_learned_by_frequency() -> None:
    # "ab" 6 times, "abc" twice: merge a+b (8) first, then ab+c (2); nothing is left to merge.
    learned = train_wordpiece(["ab ab ab ab ab ab abc abc"], size=50)
    assert learned.pieces == [*SPECIALS, "a", "b", "c", "##a", "##b", "##c", "ab", "abc"]
    rare_left_out = train_wordpiece(["ab ab ab ab ab ab abc abc"], size=50, min_frequency=3)
    assert "abc" not in rare_left_out.pieces and "ab" in rare_left_out.pieces


def test_ties_go_to_the_first_in_the_alphabet() -> None:
    learned = train_wordpiece(["zy zy ab ab", "zy ab"], size=14)
    assert learned.pieces[13:] == ["ab"]
    assert train_wordpiece(["ab zy zy", "ab ab zy"], size=14).pieces == learned.pieces


def test_registered_settings_are_checked() -> None:
    built = registry.tokenizers.build({"name": "wordpiece", "size": 60, "lowercase": False}, CORPUS)
    assert built.size == 60 and not built.lowercase
    with pytest.raises(UserError, match="did you mean 'size'"):
        registry.tokenizers.build({"name": "wordpiece", "sise": 60}, CORPUS)


def test_refusals_to_train() -> None:
    with pytest.raises(UserError, match="at least 11 is needed"):
        train_wordpiece(["abc abc"], size=10)
    assert train_wordpiece(["abc abc"], size=11).size == 11
    with pytest.raises(UserError, match="no words"):
        train_wordpiece(["", " \n"], size=100)
    with pytest.raises(UserError, match="min_frequency"):
        train_wordpiece(["a"], size=100, min_frequency=0)


def test_case_and_accents(trained: WordPiece) -> None:
    assert trained.lowercase
    assert trained.encode("NAÏVE Café") == trained.encode("naive cafe")
    cased = train_wordpiece(CORPUS, size=150, lowercase=False)
    assert cased.encode("The") != cased.encode("the")
    assert cased.fingerprint != train_wordpiece(CORPUS, size=150).fingerprint


def test_words_offsets_and_batches(trained: WordPiece) -> None:
    text = "The cats’ owner talked."
    ids, offsets = trained.encode_offsets(text)
    assert ids == trained.encode(text)
    assert len(ids) == len(offsets)
    for piece, (start, end) in zip(ids, offsets, strict=True):
        if piece != trained.unk_id:
            assert text[start:end].lower() == trained.pieces[piece].removeprefix("##")
    words = ["The", "", "owner", "\u200b", "☃", "naïve"]
    cut = trained.encode_words(words)
    assert cut == [trained.encode(word) or [trained.unk_id] for word in words]
    assert cut[1] == cut[3] == cut[4] == [trained.unk_id]
    assert trained.encode_words([]) == []
    assert trained.encode_many([text, "", "cat"]) == [ids, [], trained.encode("cat")]
    assert trained.decode(trained.encode("The cats sat, flat")) == "the cats sat, flat"


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_gives_known_ids_and_offsets_in_order(text: str) -> None:
    ids, offsets = TINY.encode_offsets(text)
    assert all(0 <= i < TINY.size for i in ids)
    assert all(0 <= start <= end <= len(text) for start, end in offsets)
    assert [start for start, _ in offsets] == sorted(start for start, _ in offsets)


TINY = train_wordpiece(CORPUS, size=100)


@pytest.mark.parametrize("length", [1_000_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_an_endless_word_is_unknown_and_does_not_hang(trained: WordPiece, length: int) -> None:
    start = time.monotonic()
    assert trained.encode("a" * length) == [trained.unk_id]
    assert time.monotonic() - start < 60


def test_words_over_a_hundred_characters(trained: WordPiece) -> None:
    assert trained.encode("cat" * 33 + "c") != [trained.unk_id]  # 100 characters are still cut
    assert trained.encode("cat" * 33 + "ca") == [trained.unk_id]
    assert train_wordpiece(["a" * 101, "b"], size=50).pieces == [*SPECIALS, "b"]


def test_save_and_load(trained: WordPiece, tmp_path: Path) -> None:
    trained.save(tmp_path / "a")
    loaded = WordPiece.load(tmp_path / "a")
    assert loaded.fingerprint == trained.fingerprint
    assert loaded.pieces == trained.pieces and loaded.lowercase
    loaded.save(tmp_path / "b")
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    (tmp_path / "b" / "tokenizer.json").unlink()
    assert WordPiece.load(tmp_path / "b").fingerprint == trained.fingerprint
    (tmp_path / "b" / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert not WordPiece.load(tmp_path / "b").lowercase


def test_what_a_published_file_says_on_batches_is_left_out(trained: WordPiece, tmp_path: Path) -> None:
    trained.save(tmp_path)
    rules = json.loads((tmp_path / "tokenizer.json").read_text())
    rules["truncation"] = {
        "direction": "Right",
        "max_length": 2,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(rules))
    assert WordPiece.load(tmp_path).encode(CORPUS[0]) == trained.encode(CORPUS[0])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", r"lacks \[MASK\]"),
        (
            "vocab.txt",
            b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\na\n",
            r"txt:7: 'a' stands on line 6",
        ),
        ("vocab.txt", b"[PAD]\n\xff\n", "not UTF-8 at byte 6"),
        ("vocab.txt", b"", "lacks"),
        ("tokenizer.json", b'{"model": ', "not JSON"),
        ("tokenizer.json", b"[]", "WordPiece is needed"),
        ("tokenizer.json", b'{"model": {"type": "BPE"}}', "a BPE tokenizer; WordPiece is needed"),
        ("tokenizer.json", b'{"model": {"type": "WordPiece"}}', "not a usable tokenizer"),
        ("other.txt", b"", "no tokenizer here"),
    ],
)
def test_damaged_folders(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        WordPiece.load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_transformers_reads_what_we_write(trained: WordPiece, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, BertTokenizer

    trained.save(tmp_path)
    lines = [*CORPUS, *ODD]
    ours = trained.encode_many(lines)
    for theirs in (
        AutoTokenizer.from_pretrained(tmp_path),
        BertTokenizer.from_pretrained(tmp_path),
    ):
        assert theirs(lines, add_special_tokens=False)["input_ids"] == ours
        cls_id, sep_id, a, b = trained.cls_id, trained.sep_id, *trained.encode("a b")
        assert theirs("a", "b")["input_ids"] == [cls_id, a, sep_id, b, sep_id]
        assert theirs.mask_token_id == trained.mask_id


def real_lines() -> list[str]:
    """About 10,000 lines: prose, linguists' examples, reviews, encyclopedia, and random Unicode."""
    data = SHARED / "data"
    lines = list(ODD)
    for name in ("unlabelled/wikitext-2/valid.txt", "glue/CoLA/train.tsv", "sst/stsa.fine.dev"):
        lines += (data / name).read_text(encoding="utf-8").split("\n")[:2000]
    with gzip.open(data / "unlabelled/enwiki2014/part-01.jsonl.gz", "rt", encoding="utf-8") as file:
        for line, _ in zip(file, range(1000), strict=False):
            lines += json.loads(line)["text"].split("\n")[:4]
    chance = random.Random(0)
    for _ in range(1000):
        above, below = chance.randrange(0xE000, 0x20000), chance.randrange(32, 0xD7E0)
        codes = [chance.choice((32, above + i, below + i)) for i in range(30)]
        lines.append("".join(map(chr, codes)))
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("case", ["uncased", "cased"])
def test_parity_with_transformers_on_real_text(case: str, tmp_path: Path) -> None:
    from transformers import BertTokenizer

    vocab = SHARED / "data" / "parity" / "bert_vocab" / f"bert-base-{case}-vocab.txt"
    if not vocab.is_file():
        pytest.skip(f"needs {vocab}")
    shutil.copy(vocab, tmp_path / "vocab.txt")
    lower = case == "uncased"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}))
    ours = WordPiece.load(tmp_path)
    theirs = BertTokenizer(vocab=str(vocab), do_lower_case=lower)
    lines = real_lines()
    assert len(lines) > 9000
    assert ours.encode_many(lines) == theirs(lines, add_special_tokens=False)["input_ids"]
    theirs.save_pretrained(tmp_path / "theirs")
    assert WordPiece.load(tmp_path / "theirs").fingerprint == ours.fingerprint


@pytest.mark.slow
@pytest.mark.parametrize("case", ["uncased", "cased"])
def test_a_released_vocabulary_by_its_path(case: str, tmp_path: Path) -> None:
    """TensorFlow's release is a bare list of pieces: the file itself, a folder with it, and what is saved of it."""
    from transformers import BertTokenizer

    vocab = SHARED / "data" / "parity" / "bert_vocab" / f"bert-base-{case}-vocab.txt"
    if not vocab.is_file():
        pytest.skip(f"needs {vocab}")
    lower = case == "uncased"
    settings = {"name": "wordpiece", "path": str(vocab), "lowercase": lower, "size": 7}
    ours = registry.tokenizers.build(settings, iter(()))  # the corpus is not asked
    lines = real_lines()
    theirs = BertTokenizer(vocab=str(vocab), do_lower_case=lower)
    assert ours.encode_many(lines) == theirs(lines, add_special_tokens=False)["input_ids"]
    flat, lengths = ours.encode_flat(lines)
    assert flat.tolist() == [n for ids in ours.encode_many(lines) for n in ids] and len(lengths) == len(lines)
    shutil.copy(vocab, tmp_path / "vocab.txt")
    ours.save(tmp_path / "saved")
    for path in (tmp_path, tmp_path / "vocab.txt", tmp_path / "saved", tmp_path / "saved" / "tokenizer.json"):
        again = registry.tokenizers.build({**settings, "path": str(path)}, iter(()))
        assert again.fingerprint == ours.fingerprint


def test_a_vocabulary_by_its_path_is_read_as_told(trained: WordPiece, tmp_path: Path) -> None:
    trained.save(tmp_path)
    assert train_wordpiece([], path=str(tmp_path)).fingerprint == trained.fingerprint
    with pytest.raises(UserError, match=r"tokenizer.lowercase: .* keeps no capitals; set it to true"):
        train_wordpiece([], path=str(tmp_path), lowercase=False)
    cased = train_wordpiece([], path=str(tmp_path / "vocab.txt"), lowercase=False)
    assert not cased.lowercase and cased.pieces == trained.pieces
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="keeps no capitals"):  # tokenizer_config.json says so, too
        train_wordpiece([], path=str(tmp_path), lowercase=False)
    (tmp_path / "tokenizer_config.json").unlink()
    assert train_wordpiece([], path=str(tmp_path), lowercase=False).fingerprint == cased.fingerprint
    for wrong in ("nothing", "nothing.txt"):
        with pytest.raises(ModelError, match="no tokenizer here"):
            train_wordpiece([], path=str(tmp_path / wrong))


def test_gaps_in_the_ids_are_refused(tmp_path: Path) -> None:
    bert_tokenizer([*SPECIALS, "a"], lowercase=True).save(str(tmp_path / "tokenizer.json"))
    rules = json.loads((tmp_path / "tokenizer.json").read_text())
    rules["model"]["vocab"]["b"] = 9
    (tmp_path / "tokenizer.json").write_text(json.dumps(rules))
    with pytest.raises(ModelError, match="gaps"):
        WordPiece.load(tmp_path)
