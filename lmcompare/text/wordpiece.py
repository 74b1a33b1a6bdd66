"""BERT's tokenizer: a word is cut into the longest known pieces; those inside it start with ##."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcompare import registry
from lmcompare.errors import ModelError, UserError
from lmcompare.text import merges, pieces

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNK, CLS, SEP, MASK = SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@registry.tokenizers.register("wordpiece")
def train_wordpiece(
    texts: Iterable[str],
    *,
    size: int = 8000,
    lowercase: bool = True,
    min_frequency: int = 2,
    path: str = "",
) -> "WordPiece":
    """BERT's WordPiece: the same corpus gives the same bytes in any process; or that of a folder or a vocab.txt."""
    if path:
        return released(Path(path), lowercase)
    learned, _ = merges.learn(
        texts,
        lambda heads, tails: [*heads, *("##" + c for c in tails)],
        lambda word: [word[0], *("##" + c for c in word[1:])],
        size=size,
        reserved=len(SPECIALS),
        lowercase=lowercase,
        min_frequency=min_frequency,
    )
    shown = [first + "".join(unit[2:] for unit in others) for first, *others in learned]
    return WordPiece(bert_tokenizer([*SPECIALS, *shown], lowercase=lowercase))


def bert_tokenizer(
    vocabulary: Sequence[str],
    *,
    lowercase: bool,
    strip_accents: bool | None = None,
    chinese: bool = True,
) -> "Tokenizer":
    """The library's tokenizer around a list of pieces, with BERT's cleaning and splitting."""
    from tokenizers import Tokenizer, decoders, models, processors

    ids = {piece: i for i, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNK, max_input_chars_per_word=merges.LONGEST_WORD))
    tokenizer.normalizer, tokenizer.pre_tokenizer = merges.cleaning(
        lowercase=lowercase, strip_accents=strip_accents, chinese=chinese
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS}:0 $A:0 {SEP}:0",
        pair=f"{CLS}:0 $A:0 {SEP}:0 $B:1 {SEP}:1",
        special_tokens=[(CLS, ids[CLS]), (SEP, ids[SEP])],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(list(SPECIALS))
    return tokenizer


class WordPiece(pieces.Pieces):
    """A vocabulary with BERT's rules. Adding [CLS] and [SEP] is the formatter's work, not its."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        super().__init__(tokenizer)
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            self.ids[piece] for piece in SPECIALS
        )
        self.special_ids = frozenset(self.ids[piece] for piece in SPECIALS)

    def save(self, folder: Path | str) -> None:
        """vocab.txt, tokenizer.json and tokenizer_config.json, as transformers reads them."""
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
        pieces.write(folder, contents)

    @classmethod
    def load(cls, folder: Path | str) -> "WordPiece":
        """From tokenizer.json where it is a WordPiece, else from vocab.txt."""
        folder = Path(folder)
        whole, vocab = folder / "tokenizer.json", folder / "vocab.txt"
        if whole.is_file():
            rules = pieces.read_json(whole)
            kind = rules.get("model", {}).get("type") if isinstance(rules, dict) else None
            if kind == "WordPiece":
                return cls(from_rules(whole))
            if not vocab.is_file():
                raise ModelError(f"{whole}: a {kind or 'damaged'} tokenizer; WordPiece is needed")
        if not vocab.is_file():
            raise ModelError(f"{folder}: no tokenizer here; tokenizer.json or vocab.txt is needed")
        return cls(from_vocab(vocab))


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


def released(path: Path, lowercase: bool) -> WordPiece:
    """A vocabulary that is there already: a folder with tokenizer.json or vocab.txt, or a file like the latter by any
    name. What the folder itself says on capitals must be what was asked for."""
    if path.is_file() and path.suffix != ".json":
        return WordPiece(from_vocab(path, {"do_lower_case": lowercase}))
    folder = path.parent if path.is_file() else path
    told = (folder / "tokenizer.json").is_file() or "do_lower_case" in pieces.read_config(folder)
    if not told and (folder / "vocab.txt").is_file():
        return WordPiece(from_vocab(folder / "vocab.txt", {"do_lower_case": lowercase}))
    found = WordPiece.load(folder)
    if found.lowercase != lowercase:
        kept = "no capitals" if found.lowercase else "capitals"
        raise UserError(f"tokenizer.lowercase: {path} keeps {kept}; set it to {str(found.lowercase).lower()}")
    return found


def from_vocab(path: Path, config: dict[str, Any] | None = None) -> "Tokenizer":
    first: dict[str, int] = {}
    for number, piece in enumerate(pieces.read_lines(path), start=1):
        if piece in first:
            raise ModelError(f"{path}:{number}: {piece!r} stands on line {first[piece]} already")
        first[piece] = number
    check_specials(first, path)
    config = pieces.read_config(path.parent) if config is None else config
    return bert_tokenizer(
        list(first),
        lowercase=bool(config.get("do_lower_case", True)),
        strip_accents=config.get("strip_accents"),
        chinese=bool(config.get("tokenize_chinese_chars", True)),
    )


def check_specials(vocabulary: Iterable[str], path: Path) -> None:
    if missing := set(SPECIALS).difference(vocabulary):
        raise ModelError(f"{path}: lacks {', '.join(sorted(missing))}, which BERT needs")
