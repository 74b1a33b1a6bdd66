"""BERT's tokenizer: a word is cut into the longest known pieces; those inside it start with ##.

The library's own WordPiece trainer gives another vocabulary on every run. Its plain byte-pair
trainer does not, so every character of a word is moved to a private code point that says whether
it starts the word, byte-pair merges are learned over these, and the pieces are moved back.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcompare import files, registry
from lmcompare.errors import ModelError, UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNK, CLS, SEP, MASK = SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LONGEST_WORD = 100  # characters; BERT reads a longer word as [UNK]
COVERED = 0.9999  # of the characters of a corpus; a rarer one makes its word [UNK]
HEAD, TAIL = 0xF0000, 0x100000  # private planes for a word's first character and for the others
REPEATS = 4096  # copies of a word in one line for the trainer
BLANK = re.compile(r"[ \t\r\n]+")  # not str.split: BERT deletes some characters that it would split on


@registry.tokenizers.register("wordpiece")
def train_wordpiece(
    texts: Iterable[str], *, size: int = 8000, lowercase: bool = True, min_frequency: int = 2
) -> "WordPiece":
    """BERT's WordPiece: the same corpus gives the same bytes in any process."""
    if min_frequency < 1:
        raise UserError(f"tokenizer.min_frequency: {min_frequency} is below 1")
    counts = count_words(texts, lowercase)
    if not counts:
        raise UserError("tokenizer: the corpus holds no words; give a text that is not empty")
    pieces = [*SPECIALS, *learn_pieces(counts, size - len(SPECIALS), min_frequency)]
    return WordPiece(bert_tokenizer(pieces, lowercase=lowercase))


def count_words(texts: Iterable[str], lowercase: bool) -> Counter[str]:
    """How often BERT's pre-tokenizer finds each word; those too long to be cut are left out."""
    chunks: Counter[str] = Counter()
    for text in texts:
        chunks.update(BLANK.split(text))
    tokenizer = bert_tokenizer(SPECIALS, lowercase=lowercase)
    normalize, split = tokenizer.normalizer.normalize_str, tokenizer.pre_tokenizer.pre_tokenize_str
    words: Counter[str] = Counter()
    for chunk, count in chunks.items():
        for word, _ in split(normalize(chunk)):
            if len(word) <= LONGEST_WORD:
                words[word] += count
    return words


def learn_pieces(counts: Mapping[str, int], size: int, min_frequency: int) -> list[str]:
    """At most `size` pieces: the alphabet, then the merges in the order of learning."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    heads, tails = alphabet(counts)
    if len(heads) + len(tails) > size:
        least = len(heads) + len(tails) + len(SPECIALS)
        raise UserError(
            f"tokenizer.size: {size + len(SPECIALS)} has no room for the corpus's alphabet; "
            f"at least {least} is needed"
        )
    hide_head = {c: chr(HEAD + i) for i, c in enumerate(heads)}
    hide_tail = {c: chr(TAIL + i) for i, c in enumerate(tails)}
    show = {hidden: c for c, hidden in hide_head.items()}
    show |= {hidden: "##" + c for c, hidden in hide_tail.items()}

    def lines() -> Iterator[str]:
        for word in sorted(counts):
            if word[0] not in hide_head or any(c not in hide_tail for c in word[1:]):
                continue
            hidden = hide_head[word[0]] + "".join(hide_tail[c] for c in word[1:])
            for start in range(0, counts[word], REPEATS):
                yield " ".join([hidden] * min(REPEATS, counts[word] - start))

    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        initial_alphabet=sorted(show),
        show_progress=False,
    )
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    learner.train_from_iterator(lines(), trainer=trainer)
    learned = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    return [show[piece[0]] + "".join(show[c][2:] for c in piece[1:]) for piece, _ in learned]


def alphabet(counts: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """The characters that may start a word, and those that may go on with one."""
    seen: Counter[str] = Counter()
    joined: set[str] = set()
    for word, count in counts.items():
        for c in word:
            seen[c] += count
        if len(word) > 1:
            joined.update(word)
    kept: list[str] = []
    left = seen.total() * COVERED
    for c, count in sorted(seen.items(), key=lambda item: (-item[1], item[0])):
        if left <= 0:
            break
        kept.append(c)
        left -= count
    # Punctuation and Chinese characters always stand alone. The others get both forms, seen or
    # not, so that any word over the alphabet can be cut.
    return sorted(kept), sorted(c for c in kept if c in joined)


def bert_tokenizer(
    pieces: Sequence[str],
    *,
    lowercase: bool,
    strip_accents: bool | None = None,
    chinese: bool = True,
) -> "Tokenizer":
    """The library's tokenizer around a list of pieces, with BERT's cleaning and splitting."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    ids = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNK, max_input_chars_per_word=LONGEST_WORD))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=chinese,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS}:0 $A:0 {SEP}:0",
        pair=f"{CLS}:0 $A:0 {SEP}:0 $B:1 {SEP}:1",
        special_tokens=[(CLS, ids[CLS]), (SEP, ids[SEP])],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(list(SPECIALS))
    return tokenizer


class WordPiece:
    """A vocabulary with BERT's rules. Adding [CLS] and [SEP] is the formatter's work, not its."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self.tokenizer = tokenizer
        self.rules: dict[str, Any] = json.loads(tokenizer.to_str())
        self.lowercase = bool((self.rules["normalizer"] or {}).get("lowercase", False))
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        self.pieces = sorted(vocabulary, key=lambda piece: vocabulary[piece])
        self.size = len(self.pieces)
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            vocabulary[piece] for piece in SPECIALS
        )
        self.special_ids = frozenset(vocabulary[piece] for piece in SPECIALS)

    def extended(self, texts: Iterable[str]) -> "WordPiece":
        """Itself: its pieces cut any word."""
        return self

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """The same as `encode` on each text, on all cores."""
        return [e.ids for e in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def encode_words(self, words: Sequence[str]) -> list[list[int]]:
        """Each word's pieces; a word that has none (empty, or only deleted characters) is [UNK]."""
        encoding = self.tokenizer.encode(list(words), is_pretokenized=True, add_special_tokens=False)
        pieces: list[list[int]] = [[] for _ in words]
        for piece, word in zip(encoding.ids, encoding.word_ids, strict=True):
            if word is not None:  # only special tokens that were added belong to no word
                pieces[word].append(piece)
        return [ids or [self.unk_id] for ids in pieces]

    def encode_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids, and where each piece stands in the text: characters from, to."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that decides which ids a text gets."""
        model = {key: value for key, value in self.rules["model"].items() if key != "vocab"}
        told = [self.pieces, self.rules["normalizer"], self.rules["pre_tokenizer"], model]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def save(self, folder: Path | str) -> None:
        """vocab.txt, tokenizer.json and tokenizer_config.json, as transformers reads them."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        normalizer = self.rules["normalizer"] or {}
        config = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self.lowercase,
            "strip_accents": normalizer.get("strip_accents"),
            "tokenize_chinese_chars": normalizer.get("handle_chinese_chars", True),
            "pad_token": PAD,
            "unk_token": UNK,
            "cls_token": CLS,
            "sep_token": SEP,
            "mask_token": MASK,
        }
        contents = {
            "vocab.txt": "".join(piece + "\n" for piece in self.pieces),
            "tokenizer.json": self.tokenizer.to_str(pretty=True) + "\n",
            "tokenizer_config.json": json.dumps(config, indent=2) + "\n",
        }
        for name, content in contents.items():
            files.write(folder / name, content)

    @classmethod
    def load(cls, folder: Path | str) -> "WordPiece":
        """From tokenizer.json where it is a WordPiece, else from vocab.txt."""
        folder = Path(folder)
        whole, vocab = folder / "tokenizer.json", folder / "vocab.txt"
        if whole.is_file():
            rules = read_json(whole)
            kind = rules.get("model", {}).get("type") if isinstance(rules, dict) else None
            if kind == "WordPiece":
                return cls(from_rules(whole))
            if not vocab.is_file():
                raise ModelError(f"{whole}: a {kind or 'damaged'} tokenizer; WordPiece is needed")
        if not vocab.is_file():
            raise ModelError(f"{folder}: no tokenizer here; tokenizer.json or vocab.txt is needed")
        return cls(from_vocab(vocab, folder / "tokenizer_config.json"))


def from_rules(path: Path) -> "Tokenizer":
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more exact
        raise ModelError(f"{path}: not a usable tokenizer file ({error})") from error
    # What a published file says on these is about batches, which are the formatter's.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ids = tokenizer.get_vocab(with_added_tokens=True)
    if sorted(ids.values()) != list(range(len(ids))):
        raise ModelError(f"{path}: the ids of its pieces have gaps; they should be 0 to size − 1")
    check_specials(ids, path)
    return tokenizer


def from_vocab(path: Path, config_path: Path) -> "Tokenizer":
    try:
        lines = path.read_bytes().decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not UTF-8 at byte {error.start}") from None
    first: dict[str, int] = {}
    for number, piece in enumerate((line.rstrip("\r") for line in lines), start=1):
        if piece in first:
            raise ModelError(f"{path}:{number}: {piece!r} stands on line {first[piece]} already")
        first[piece] = number
    check_specials(first, path)
    config = read_json(config_path) if config_path.is_file() else {}
    if not isinstance(config, dict):
        raise ModelError(f"{config_path}: a JSON object is needed")
    return bert_tokenizer(
        list(first),
        lowercase=bool(config.get("do_lower_case", True)),
        strip_accents=config.get("strip_accents"),
        chinese=bool(config.get("tokenize_chinese_chars", True)),
    )


def check_specials(pieces: Iterable[str], path: Path) -> None:
    if missing := set(SPECIALS).difference(pieces):
        raise ModelError(f"{path}: lacks {', '.join(sorted(missing))}, which BERT needs")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path}: not JSON ({error})") from None
