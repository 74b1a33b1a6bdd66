"""What the tokenizers that cut words into pieces share: the library's tokenizer inside, and what is asked of it."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lmcompare import files
from lmcompare.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


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

    def extended(self, texts: Iterable[str]) -> Self:
        """Itself: its pieces cut any word."""
        return self

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """The same as `encode` on each text, on all cores."""
        return [e.ids for e in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

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
