"""Folders of tiny random models, made on the spot by transformers: one of each family, with a tokenizer of the family's
kind. All sizes are different numbers."""

import json
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    ModernBertConfig,
    PreTrainedConfig,
    RobertaConfig,
)

from lmcompare.text.wordpiece import train_wordpiece

TEXTS = [
    "the cat sat on the mat",
    "a dog ran far",
    "the dog saw the cat and the mat, and so it ran, far and far",
    "far, near: we sat",
]
ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
MODERN = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")
END = "<|endoftext|>"


def byte_level(texts: Sequence[str], specials: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=len(specials) + len(alphabet) + 23,
        special_tokens=list(specials),
        initial_alphabet=alphabet,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def saved(tokenizer: Tokenizer, folder: Path, **told: Any) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return tokenizer.get_vocab_size()


def roberta_words(texts: Sequence[str], folder: Path) -> int:
    tokenizer = byte_level(texts, ROBERTA)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = dict(zip(("cls", "pad", "sep", "unk", "mask"), ROBERTA, strict=True))
    told = {f"{name}_token": piece for name, piece in names.items()}
    told |= {"bos_token": "<s>", "eos_token": "</s>"}
    return saved(tokenizer, folder, tokenizer_class="RobertaTokenizer", **told)


def modern_words(texts: Sequence[str], folder: Path) -> int:
    tokenizer = byte_level(texts, MODERN)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    names = dict(zip(("unk", "cls", "sep", "pad", "mask"), MODERN, strict=True))
    told: dict[str, Any] = {f"{name}_token": piece for name, piece in names.items()}
    told["model_input_names"] = ["input_ids", "attention_mask"]
    return saved(tokenizer, folder, tokenizer_class="PreTrainedTokenizerFast", **told)


def gpt2_words(texts: Sequence[str], folder: Path) -> int:
    told = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END)
    return saved(byte_level(texts, [END]), folder, tokenizer_class="GPT2Tokenizer", **told)


def word_pieces(kind: str) -> Callable[[Sequence[str], Path], int]:
    def write(texts: Sequence[str], folder: Path) -> int:
        tokenizer = train_wordpiece(texts, size=60, min_frequency=1)
        tokenizer.save(folder)
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": kind}))
        return tokenizer.size

    return write


def roberta(vocabulary: int) -> PreTrainedConfig:
    return RobertaConfig(
        vocab_size=vocabulary,
        hidden_size=12,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=20,
        max_position_embeddings=44,
        type_vocab_size=1,
        pad_token_id=1,
        initializer_range=0.2,
    )


def distilbert(vocabulary: int) -> PreTrainedConfig:
    return DistilBertConfig(
        vocab_size=vocabulary,
        dim=18,
        n_layers=2,
        n_heads=3,
        hidden_dim=28,
        max_position_embeddings=47,
        initializer_range=0.2,
    )


def electra(vocabulary: int) -> PreTrainedConfig:
    return ElectraConfig(
        vocab_size=vocabulary,
        embedding_size=10,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=22,
        max_position_embeddings=45,
        initializer_range=0.2,
    )


def modernbert(vocabulary: int) -> PreTrainedConfig:
    return ModernBertConfig(
        vocab_size=vocabulary,
        hidden_size=24,
        num_hidden_layers=4,
        num_attention_heads=3,
        intermediate_size=26,
        max_position_embeddings=50,
        local_attention=6,
        initializer_range=0.2,
        pad_token_id=3,
        cls_token_id=1,
        bos_token_id=1,
        sep_token_id=2,
        eos_token_id=2,
    )


def gpt2(vocabulary: int) -> PreTrainedConfig:
    return GPT2Config(
        vocab_size=vocabulary,
        n_embd=20,
        n_layer=2,
        n_head=5,
        n_positions=43,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=0,
    )


FAMILIES: dict[str, tuple[Callable[[Sequence[str], Path], int], Callable[[int], PreTrainedConfig]]] = {
    "roberta": (roberta_words, roberta),
    "distilbert": (word_pieces("DistilBertTokenizer"), distilbert),
    "electra": (word_pieces("BertTokenizer"), electra),
    "modernbert": (modern_words, modernbert),
    "gpt2": (gpt2_words, gpt2),
}


def make(family: str, folder: Path) -> Path:
    """A folder as transformers writes it: config, weights, tokenizer."""
    words, config = FAMILIES[family]
    network = config(words(TEXTS, folder))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        AutoModel.from_config(network).save_pretrained(folder)
    return folder


@cache
def place() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@cache
def of(family: str) -> Path:
    """A family's folder, made once and only read."""
    return make(family, Path(place().name) / family)


def another(folder: Path, config: Callable[[int], PreTrainedConfig]) -> Path:
    """Another model, with RoBERTa's tokenizer."""
    words = roberta_words(TEXTS, folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        AutoModel.from_config(config(words)).save_pretrained(folder)
    return folder
