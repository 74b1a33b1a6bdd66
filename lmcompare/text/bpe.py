"""GPT's tokenizer: a word is built up from its characters by merges; the piece that ends it carries </w>.

Text is cleaned and split as `transformers` does it for this model, which is BERT's way: in lower case and without
accents. The authors cleaned with ftfy and split with spaCy, so the released vocabulary has pieces that no text gives.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmcompare import registry
from lmcompare.errors import ModelError
from lmcompare.text import merges, pieces

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNK, END = "<unk>", "</w>"
START, DELIMITER, EXTRACT = SPECIALS = ("_start_", "_delimiter_", "_classify_")  # last in every vocabulary
# Names of a vocabulary and its merges: those of the Hugging Face layout, and the authors' own.
RELEASES = (("vocab.json", "merges.txt"), ("encoder_bpe_40000.json", "vocab_40000.bpe"))
VERSION = "#version"  # how the first line of a list of merges starts
STOCK = {  # the cleaning that OpenAIGPTTokenizer has, whatever the files of a folder say
    "type": "BertNormalizer",
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}

Merge = tuple[str, str]


@registry.tokenizers.register("bpe")
def train_bpe(
    texts: Iterable[str],
    *,
    size: int = 8000,
    lowercase: bool = True,
    min_frequency: int = 2,
    path: str = "",
) -> "Bpe":
    """GPT's byte pairs: the same corpus gives the same bytes in any process; or those of the folder `path`."""
    if path:
        return Bpe.load(path)
    learned, pairs = merges.learn(
        texts,
        lambda every, joined: [*joined, *(c + END for c in every)],
        lambda word: [*word[:-1], word[-1] + END],
        size=size,
        reserved=1 + len(SPECIALS),
        lowercase=lowercase,
        min_frequency=min_frequency,
    )
    vocabulary = [UNK, *map("".join, learned), *SPECIALS]
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    return Bpe(gpt_tokenizer(ids, [("".join(a), "".join(b)) for a, b in pairs], lowercase=lowercase))


def gpt_tokenizer(ids: Mapping[str, int], pairs: Sequence[Merge], *, lowercase: bool) -> "Tokenizer":
    """The library's tokenizer around a vocabulary and its merges."""
    from tokenizers import Tokenizer, decoders, models

    model = models.BPE(
        dict(ids),
        list(pairs),
        unk_token=UNK,
        continuing_subword_prefix="",
        end_of_word_suffix=END,
        fuse_unk=False,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer = merges.cleaning(lowercase=lowercase)
    tokenizer.decoder = decoders.BPEDecoder(suffix=END)
    return tokenizer


class Bpe(pieces.Pieces):
    """A vocabulary with GPT's merges. Adding the three special tokens is the formatter's work, not its."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        # As in `transformers`, <unk> in a text is the unknown piece itself. The three special tokens are not told to
        # the library: they are ids that no merge leads to, and their names in a text are ordinary text.
        tokenizer.add_special_tokens([UNK])
        super().__init__(tokenizer)
        self.plain = self.size - len(SPECIALS)
        self.start_id, self.delimiter_id, self.extract_id = range(self.plain, self.size)
        self.special_ids = frozenset(range(self.plain, self.size))
        self.unk_id = self.ids[UNK]
        self.pad_id = self.unk_id  # GPT has no token for padding; what stands there is masked
        # By id: does the piece end its word? An unknown character never says so, not even at the end of one.
        self.ends = np.array([piece.endswith(END) for piece in self.pieces])

    def save(self, folder: Path | str) -> None:
        """vocab.json, merges.txt, tokenizer.json and tokenizer_config.json, as transformers reads them."""
        stock = self.rules["normalizer"] == STOCK
        config = {
            "tokenizer_class": "OpenAIGPTTokenizer" if stock else "PreTrainedTokenizerFast",
            "do_lower_case": self.lowercase,
            "unk_token": UNK,
        }
        pairs = [" ".join(pair) for pair in merges_of(self.rules["model"])]
        vocabulary = {piece: i for i, piece in enumerate(self.pieces)}
        contents = {
            "vocab.json": json.dumps(vocabulary, ensure_ascii=False) + "\n",
            "merges.txt": "\n".join([f"{VERSION}: 0.2", *pairs]) + "\n",
            "tokenizer.json": self.tokenizer.to_str(pretty=True) + "\n",
            "tokenizer_config.json": json.dumps(config, indent=2) + "\n",
        }
        pieces.write(folder, contents)

    @classmethod
    def load(cls, folder: Path | str) -> "Bpe":
        """From tokenizer.json where it is GPT's, else from vocab.json and merges.txt or the authors' two files."""
        folder = Path(folder)
        whole = folder / "tokenizer.json"
        rules: Any = pieces.read_json(whole) if whole.is_file() else None
        if is_gpt(rules):
            return cls(from_rules(rules, whole))
        for vocabulary, pairs in ((folder / a, folder / b) for a, b in RELEASES):
            if vocabulary.is_file() and pairs.is_file():
                return cls(from_vocabulary(vocabulary, pairs))
            if vocabulary.is_file() or pairs.is_file():
                missing, there = (pairs, vocabulary) if vocabulary.is_file() else (vocabulary, pairs)
                raise ModelError(f"{missing}: not here, and {there.name} is of no use without it")
        if whole.is_file():
            raise ModelError(
                f"{whole}: a {kind(rules)} tokenizer; GPT's needs BPE with {END} at the end of words"
            )
        known = ", or ".join(["tokenizer.json", *(" and ".join(names) for names in RELEASES)])
        raise ModelError(f"{folder}: no tokenizer here; {known} is needed")


def kind(rules: Any) -> str:
    model = rules.get("model") if isinstance(rules, dict) else None
    return str(model["type"]) if isinstance(model, dict) and "type" in model else "damaged"


def is_gpt(rules: Any) -> bool:
    return kind(rules) == "BPE" and rules["model"].get("end_of_word_suffix") == END


def from_rules(rules: dict[str, Any], path: Path) -> "Tokenizer":
    """Tokens that were added to the vocabulary become part of it, so that only <unk> is searched for in a text."""
    from tokenizers import Tokenizer

    try:
        model = rules["model"]
        added = {token["content"]: token["id"] for token in rules.get("added_tokens") or []}
        ids, pairs = checked(added | dict(model["vocab"]), path), merges_of(model)
        for number, pair in enumerate(pairs, start=1):
            check_merge(pair, ids, f"{path}: merge {number}")
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: a damaged list of pieces or of merges ({error!r})") from None
    model |= {"vocab": ids, "merges": pairs, "unk_token": UNK, "dropout": None}
    # What a published file says on the others is about batches, which are the formatter's.
    told = rules | {"added_tokens": [], "padding": None, "truncation": None}
    try:
        return Tokenizer.from_str(json.dumps(told))
    except Exception as error:  # the library raises nothing more exact
        raise ModelError(f"{path}: not a usable tokenizer file ({error})") from error


def from_vocabulary(path: Path, merges_path: Path) -> "Tokenizer":
    ids = checked(pieces.read_json(path), path)
    pairs: list[Merge] = []
    for number, line in enumerate(pieces.read_lines(merges_path), start=1):
        if not line or (number == 1 and line.startswith(VERSION)):
            continue
        left, _, right = line.partition(" ")
        if not right:
            raise ModelError(f"{merges_path}:{number}: {line!r}: two pieces are needed, with a space between")
        check_merge((left, right), ids, f"{merges_path}:{number}")
        pairs.append((left, right))
    lowercase = bool(pieces.read_config(path.parent).get("do_lower_case", True))
    return gpt_tokenizer(ids, pairs, lowercase=lowercase)


def merges_of(model: Mapping[str, Any]) -> list[Merge]:
    """The library wrote a merge as one string before it wrote it as two."""
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    return [(left, right) for left, right in pairs]


def checked(ids: Any, path: Path) -> dict[str, int]:
    """The pieces in the order of their ids, GPT's three special tokens last: added where the file lacks them."""
    if not isinstance(ids, dict) or any(type(i) is not int for i in ids.values()):
        raise ModelError(f"{path}: not a vocabulary; a JSON object from piece to id is needed")
    if sorted(ids.values()) != list(range(len(ids))):
        raise ModelError(f"{path}: the ids of its pieces have gaps; they should be 0 to size − 1")
    if UNK not in ids:
        raise ModelError(f"{path}: lacks {UNK}, which GPT needs")
    vocabulary = sorted(ids, key=lambda piece: ids[piece])
    vocabulary += [special for special in SPECIALS if special not in ids]
    if tuple(vocabulary[-len(SPECIALS) :]) != SPECIALS:
        raise ModelError(f"{path}: {', '.join(SPECIALS)} should be the last three pieces, in this order")
    try:
        "".join(vocabulary).encode()
    except UnicodeEncodeError as error:
        raise ModelError(f"{path}: a piece holds half a character ({error.reason})") from None
    return {piece: i for i, piece in enumerate(vocabulary)}


def check_merge(pair: Merge, ids: Mapping[str, int], where: str) -> None:
    for piece in (*pair, "".join(pair)):
        if piece not in ids:
            raise ModelError(f"{where}: {piece!r} is not in the vocabulary")
