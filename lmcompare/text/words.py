"""Whole words, split as the Penn Treebank does it or nearly so, and their spelling as ELMo reads it.

A word of the corpus is numbered by its frequency. Any other word has a number too: a hash of its spelling, which is
the same in every process, so that what was computed from it can be found again on the disk.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from lmcompare import files, registry
from lmcompare.errors import ModelError, UserError

START, END, UNKNOWN = SPECIALS = ("<S>", "</S>", "<UNK>")
FAR = 1 << 40  # numbers of words that the corpus does not have begin here
LONGEST = 50  # characters a word, its two markers included
BYTES, SENTENCE_START, SENTENCE_END, WORD_START, WORD_END, FILL = 256, 256, 257, 258, 259, 260
CHARACTERS = 261
WORD = re.compile(
    r"[^\W\d_]+(?=n['’]t\b) | n['’]t\b | ['’](?:s|re|ve|ll|d|m)\b"  # do n't, it 's
    r"| </?[A-Za-z]+> | \d+(?:[.,:]\d+)* | [^\W_]+(?:-[^\W_]+)* | \.\.+ | --+ | \S",
    re.VERBOSE | re.IGNORECASE,
)


@registry.tokenizers.register("words")
def train_words(
    texts: Iterable[str], *, size: int = 800_000, min_frequency: int = 1, lowercase: bool = False
) -> "Words":
    """Whole words; the most frequent `size` of them are what a language model predicts."""
    if size <= len(SPECIALS) or min_frequency < 1:
        raise UserError(f"tokenizer: size {size} is more than {len(SPECIALS)}, min_frequency at least 1")
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(WORD.findall(text.lower() if lowercase else text))
    for special in SPECIALS:
        del counts[special]
    if not counts:
        raise UserError("tokenizer: the corpus holds no words; give a text that is not empty")
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    frequent = sum(count >= min_frequency for count in counts.values())
    return Words([*SPECIALS, *ranked], min(size, len(SPECIALS) + frequent), lowercase=lowercase)


class Words:
    """Every word of a corpus by falling frequency, the markers first; `vocabulary` of them can be predicted."""

    start_id, end_id, unk_id = range(len(SPECIALS))

    def __init__(
        self, forms: Sequence[str], vocabulary: int | None = None, *, lowercase: bool = False
    ) -> None:
        self.forms, self.lowercase = list(forms), lowercase
        self.size = len(self.forms)
        self.vocabulary = self.size if vocabulary is None else vocabulary
        self.number = {form: n for n, form in enumerate(self.forms)}
        self.others: dict[int, str] = {}  # the spelling of words that the corpus does not have

    def encode(self, text: str) -> list[int]:
        return self.encode_words(WORD.findall(text))

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def encode_words(self, words: Sequence[str]) -> list[int]:
        return [self._id(word.lower() if self.lowercase else word) for word in words]

    def encode_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids, and where each word stands in the text: characters from, to."""
        found = list(WORD.finditer(text))
        return self.encode_words([match[0] for match in found]), [match.span() for match in found]

    def extended(self, texts: Iterable[str]) -> "Words | None":
        """The same words with those of another corpus behind them, which a model reads but does not predict; None
        where there are none to predict yet (the released weights come without their vocabulary)."""
        if self.vocabulary == len(SPECIALS):
            return None
        more = train_words(texts, lowercase=self.lowercase).forms
        forms = [*self.forms, *(form for form in more if form not in self.number)]
        return Words(forms, self.vocabulary, lowercase=self.lowercase)

    def form(self, number: int) -> str:
        return self.forms[number] if number < FAR else self.others[number]

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(self.form(number) for number in ids)

    def targets(self, ids: np.ndarray) -> np.ndarray:
        """What a language model is asked for: the word, or the unknown word."""
        return np.where(ids < self.vocabulary, ids, self.unk_id)

    def spell(self, ids: Sequence[int]) -> np.ndarray:
        """A row of character ids for each word."""
        return np.stack([spelling(self.form(number)) for number in ids])

    def _id(self, word: str) -> int:
        known = self.number.get(word)
        if known is not None:
            return known
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        number = FAR + (int.from_bytes(digest, "big") >> 2)
        self.others[number] = word
        return number

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that decides which ids a text gets."""
        digest = hashlib.sha256(f"{WORD.pattern} {self.vocabulary} {self.lowercase}".encode())
        for form in self.forms:
            digest.update(form.encode("utf-8", "surrogatepass") + b"\n")
        return digest.hexdigest()

    def save(self, folder: Path | str) -> None:
        """words.txt, a word a line by falling frequency, and words.json."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(form + "\n" for form in self.forms)
        files.write(folder / "words.txt", lines.encode("utf-8", "surrogatepass"))
        files.write_json(folder / "words.json", {"vocabulary": self.vocabulary, "lowercase": self.lowercase})

    @classmethod
    def load(cls, folder: Path | str) -> "Words":
        path = Path(folder) / "words.txt"
        if not path.is_file():
            raise ModelError(f"{folder}: no words.txt here, which lists the words that the model knows")
        try:
            forms = path.read_bytes().decode("utf-8", "surrogatepass").removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise ModelError(f"{path}: not UTF-8 at byte {error.start}") from None
        try:
            facts = dict(files.read_json(path.with_name("words.json")))
        except (OSError, ValueError, TypeError) as error:
            raise ModelError(
                f"{path.with_name('words.json')}: not a table that can be read: {error}"
            ) from None
        if tuple(forms[: len(SPECIALS)]) != SPECIALS or len(set(forms)) != len(forms):
            raise ModelError(f"{path}: begins not with {' '.join(SPECIALS)}, or holds a word twice")
        vocabulary = facts.get("vocabulary")
        if not isinstance(vocabulary, int) or not len(SPECIALS) <= vocabulary <= len(forms):
            raise ModelError(
                f"{path.with_name('words.json')}: vocabulary is {vocabulary!r}; {len(forms)} words"
            )
        return cls(forms, vocabulary, lowercase=bool(facts.get("lowercase", False)))


def spelling(word: str) -> np.ndarray:
    """UTF-8 bytes between a marker of the word's start and one of its end, filled up to 50 (bilm's vocabulary of 261
    symbols; its 262nd, for positions without a word, is not needed: these are never read)."""
    if word in (START, END):
        marks = [SENTENCE_START if word == START else SENTENCE_END]
    else:
        marks = list(word.encode("utf-8", "ignore")[: LONGEST - 2])
    row = np.full(LONGEST, FILL, dtype=np.int16)
    row[: len(marks) + 2] = [WORD_START, *marks, WORD_END]
    return row
