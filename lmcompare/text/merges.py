"""Byte-pair merges learned from a corpus's words: the same in any process.

The library's trainers for ## and for </w> give another vocabulary on every run. Its plain byte-pair trainer does not.
So every character, with the mark that says where in the word it stands, is a unit of its own and is moved to a private
code point; plain merges are learned over these, and the pieces are moved back.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lmcompare.errors import UserError

if TYPE_CHECKING:
    from tokenizers.normalizers import Normalizer
    from tokenizers.pre_tokenizers import PreTokenizer

LONGEST_WORD = 100  # characters; BERT reads a longer word as [UNK], and nothing is learned from it
COVERED = 0.9999  # of the characters of a corpus; nothing is learned from a word with a rarer one
HIDDEN = 0xF0000  # the first of two private planes, for the units
REPEATS = 4096  # copies of a word in one line for the trainer
BLANK = re.compile(r"[ \t\r\n]+")  # not str.split: BERT deletes some characters that it would split on

Piece = tuple[str, ...]  # the units that it is made of


def cleaning(
    *, lowercase: bool, strip_accents: bool | None = None, chinese: bool = True
) -> "tuple[Normalizer, PreTokenizer]":
    """BERT's cleaning and splitting, which GPT's tokenizer has in `transformers` too."""
    from tokenizers import normalizers, pre_tokenizers

    normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=chinese,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    return normalizer, pre_tokenizers.BertPreTokenizer()


def count_words(texts: Iterable[str], lowercase: bool) -> Counter[str]:
    """How often BERT's splitter finds each word; those too long to learn from are left out."""
    chunks: Counter[str] = Counter()
    for text in texts:
        chunks.update(BLANK.split(text))
    normalizer, splitter = cleaning(lowercase=lowercase)
    words: Counter[str] = Counter()
    for chunk, count in chunks.items():
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(chunk)):
            if len(word) <= LONGEST_WORD:
                words[word] += count
    return words


def alphabet(counts: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """The characters that are frequent enough, and those of them that stand beside others in a word."""
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


def learn(
    texts: Iterable[str],
    forms: Callable[[list[str], list[str]], list[str]],
    spell: Callable[[str], list[str]],
    *,
    size: int,
    reserved: int,
    lowercase: bool,
    min_frequency: int,
) -> tuple[list[Piece], list[tuple[Piece, Piece]]]:
    """At most `size` pieces less those reserved: the units, then one a merge; and the merges in the order of learning.

    `forms` gives the units of an alphabet, `spell` those of a word; a word with one that is not listed is passed over.
    The most frequent pair is merged first; of pairs as frequent, that whose left piece stands earlier in the
    vocabulary, then that whose right piece does."""
    if min_frequency < 1:
        raise UserError(f"tokenizer.min_frequency: {min_frequency} is below 1")
    counts = count_words(texts, lowercase)
    if not counts:
        raise UserError("tokenizer: the corpus holds no words; give a text that is not empty")
    units = forms(*alphabet(counts))
    if len(units) + reserved > size:
        raise UserError(
            f"tokenizer.size: {size} has no room for the corpus's alphabet; "
            f"at least {len(units) + reserved} is needed"
        )
    hide = {unit: chr(HIDDEN + i) for i, unit in enumerate(units)}
    show = {hidden: unit for unit, hidden in hide.items()}

    def lines() -> Iterator[str]:
        for word in sorted(counts):
            spelled = spell(word)
            if any(unit not in hide for unit in spelled):
                continue
            hidden = "".join(hide[unit] for unit in spelled)
            for start in range(0, counts[word], REPEATS):
                yield " ".join([hidden] * min(REPEATS, counts[word] - start))

    learned = train(lines(), list(show), size - reserved, min_frequency)
    vocabulary = sorted(learned["vocab"], key=lambda piece: learned["vocab"][piece])
    shown = {piece: tuple(show[c] for c in piece) for piece in vocabulary}
    return list(shown.values()), [(shown[left], shown[right]) for left, right in learned["merges"]]


def train(lines: Iterator[str], characters: list[str], size: int, min_frequency: int) -> dict[str, Any]:
    """What the library's plain trainer makes of these lines: vocabulary and merges."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        initial_alphabet=characters,
        show_progress=False,
    )
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    learner.train_from_iterator(lines, trainer=trainer)
    return json.loads(learner.to_str())["model"]
