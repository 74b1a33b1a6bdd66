"""What the tokenizers that cut words into pieces share: the library's tokenizer inside, and what is asked of it."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lmcompare import files
from lmcompare.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

REMEMBERED = 300_000  # words after which those that do not come again are forgotten


def id_type(size: int) -> np.dtype:
    """The smallest that a corpus's ids are kept in."""
    return np.dtype(np.uint16 if size < 2**16 else np.int32)


class Pieces:
    """A vocabulary with its rules. Adding special tokens is the formatter's work, not its."""

    unk_id: int

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self.tokenizer = tokenizer
        self.rules: dict[str, Any] = json.loads(tokenizer.to_str())
        self.lowercase = bool((self.rules["normalizer"] or {}).get("lowercase", False))
        self.ids: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
        self.pieces = sorted(self.ids, key=lambda piece: self.ids[piece])
        self.size = len(self.pieces)
        self.remembered: dict[str, bytes] = {}
        self.older: dict[str, bytes] = {}

    def extended(self, texts: Iterable[str]) -> Self:
        """Itself: its pieces cut any word."""
        return self

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """The same as `encode` on each text, on all cores."""
        return [e.ids for e in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def encode_flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """All ids behind one another, and how many each text has. Where no piece reaches over a space, which is so by
        BERT's rules, a word is cut when it is first seen and then remembered: many times as fast."""
        kind = id_type(self.size)
        if not self.cut_at_spaces:
            encoded = self.encode_many(texts)
            lengths = np.array([len(ids) for ids in encoded], dtype=np.int64)
            return np.fromiter(chain.from_iterable(encoded), kind, int(lengths.sum())), lengths
        split = [text.split(" ") for text in texts]
        self._remember(set(chain.from_iterable(split)), kind)
        known = self.remembered.__getitem__
        parts = [b"".join(map(known, words)) for words in split]
        lengths = np.array([len(part) for part in parts], dtype=np.int64) // kind.itemsize
        return np.frombuffer(b"".join(parts), dtype=kind), lengths

    def _remember(self, words: set[str], kind: np.dtype) -> None:
        """Know the ids of these words, those of the last few hundred thousand, and no more."""
        if len(self.remembered) > REMEMBERED:
            self.older, self.remembered = self.remembered, {}
        new = []
        for word in words.difference(self.remembered):
            if (ids := self.older.get(word)) is not None:
                self.remembered[word] = ids
            else:
                new.append(word)
        encoding = self.tokenizer.encode(new, is_pretokenized=True, add_special_tokens=False)
        ends = np.cumsum(np.bincount(np.array(encoding.word_ids, dtype=np.int64), minlength=len(new)))
        whole = np.array(encoding.ids, dtype=kind).tobytes()
        begin = 0
        for word, end in zip(new, (ends * kind.itemsize).tolist(), strict=True):
            self.remembered[word] = whole[begin:end]
            begin = end

    @cached_property
    def cut_at_spaces(self) -> bool:
        """Whether a text has the pieces of its stretches between spaces, one after the other."""
        cleans, splits = self.rules["normalizer"] or {}, self.rules["pre_tokenizer"] or {}
        added = [token["content"] for token in self.rules["added_tokens"]]
        return (
            cleans.get("type") == "BertNormalizer"
            and splits.get("type") == "BertPreTokenizer"
            and all(content.isascii() and len(content.split()) == 1 for content in added)
        )

    def encode_words(self, words: Sequence[str]) -> list[list[int]]:
        """Each word's pieces; a word that has none (empty, or only deleted characters) is unknown."""
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


def write(folder: Path | str, contents: dict[str, str]) -> None:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        files.write(folder / name, content)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path}: not JSON ({error})") from None


def read_lines(path: Path) -> list[str]:
    """Not str.splitlines: a piece may hold what it takes for the end of a line."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not UTF-8 at byte {error.start}") from None
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]


def read_config(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json; empty where there is none."""
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    if not isinstance(config, dict):
        raise ModelError(f"{path}: a JSON object is needed")
    return config
