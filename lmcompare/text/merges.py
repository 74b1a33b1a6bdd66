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
STRETCHES = 1 << 20  # different stretches between blanks that are counted before they are cut into words
WORDS = 3_000_000  # different words that are counted; when there are more, the rarest are forgotten
LEARNED = 20_000_000  # words that merges are learned from; of more, all words' counts are taken in proportion
BLANK = re.compile(r"[ \t\r\n]+")  # not str.split: BERT deletes some characters that it would split on

# How BERT splits what is ASCII without control characters; to ask the library for each takes ten times as long.
PLAIN = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")

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
    """How often BERT's splitter finds each word; those too long to learn from are left out. Memory is bounded: only a
    corpus of more than three million different words loses any, and then the rarest."""
    normalizer, splitter = cleaning(lowercase=lowercase)
    chunks: Counter[str] = Counter()
    words: Counter[str] = Counter()

    def cut() -> None:
        for chunk, count in chunks.items():
            if chunk.isascii() and chunk.isprintable():
                found = PLAIN.findall(chunk.lower() if lowercase else chunk)
            else:
                found = [word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(chunk))]
            for word in found:
                if len(word) <= LONGEST_WORD:
                    words[word] += count
        chunks.clear()

    for text in texts:
        odd = "\t" in text or "\n" in text or "\r" in text
        chunks.update(BLANK.split(text) if odd else text.split(" "))  # the second is quicker by far
        if len(chunks) >= STRETCHES:
            cut()
            if len(words) > WORDS:
                words = most_frequent(words, WORDS // 2)
    cut()
    return words


def most_frequent(words: Counter[str], size: int) -> Counter[str]:
    """At most so many; words as frequent as one that has no room have none either."""
    least = sorted(words.values(), reverse=True)[size]
    return Counter({word: count for word, count in words.items() if count > least})


def in_proportion(words: Counter[str], total: int) -> Counter[str]:
    """At most about so many words in all; those that would count for less than half go."""
    if (every := words.total()) <= total:
        return words
    scaled = ((word, (2 * count * total + every) // (2 * every)) for word, count in words.items())
    return Counter({word: count for word, count in scaled if count})


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
    counts = in_proportion(counts, LEARNED)
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
