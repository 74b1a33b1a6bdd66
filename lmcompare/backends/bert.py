"""BERT (Devlin et al. 2019): a Transformer encoder that sees both directions in every layer; or, as the
paper's control, only what stands to the left."""
# ruff: noqa: TID253

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lmcompare import files
from lmcompare.backends import bert_layout as layout
from lmcompare.backends.folders import STARTS, held
from lmcompare.backends.piece_views import located, shortened, windows, words_in_a_row
from lmcompare.batches import Inputs, stack
from lmcompare.config import fingerprint
from lmcompare.nn import Block, draw_embeddings, draw_weights, layer_number
from lmcompare.registry import activations, backends
from lmcompare.text.wordpiece import WordPiece
from lmcompare.types import Example, Task, View


class BertEncoder(nn.Module):
    """Word, position and segment embeddings, then post-norm blocks; the pooler is what NSP trains at [CLS]."""

    def __init__(
        self,
        *,
        vocabulary: int,
        layers: int,
        width: int,
        heads: int,
        inner: int,
        positions: int,
        segments: int,
        activation: str,
        dropout: float,
        attention_dropout: float,
        epsilon: float,
        causal: bool,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width)
        self.segments = nn.Embedding(segments, width)
        self.embedding_norm = nn.LayerNorm(width, eps=epsilon)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(
                width=width,
                heads=heads,
                inner=inner,
                activation=activations.get(activation),
                dropout=dropout,
                attention_dropout=attention_dropout,
                epsilon=epsilon,
                causal=causal,
            )
            for _ in range(layers)
        )
        self.pooler = nn.Linear(width, width)

    def forward(self, inputs: Inputs) -> list[Tensor]:
        T = inputs.ids_BT.shape[1]
        embedded_BTD = (
            self.words(inputs.ids_BT) + self.positions.weight[:T] + self.segments(inputs.segments_BT)
        )
        x_BTD = self.dropout(self.embedding_norm(embedded_BTD))
        # Padding stands on the right, where no real token of a causal encoder looks.
        mask_BT = None if self.causal else inputs.mask_BT
        mask_B11T = None if mask_BT is None else mask_BT[:, None, None, :]
        layers = [x_BTD]
        for block in self.blocks:
            layers.append(block(layers[-1], mask_B11T))
        return layers

    def pool(self, top_BTD: Tensor, pool_B: Tensor) -> Tensor:
        """One vector a view."""
        at_B = torch.arange(len(pool_B), device=pool_B.device)
        return torch.tanh(self.pooler(top_BTD[at_B, pool_B]))


@backends.register("bert")
class Bert:
    """BERT: bidirectional Transformer, masked LM and next-sentence prediction."""

    name = "bert"
    parts = 1  # two texts share a view

    def __init__(
        self,
        tokenizer: WordPiece,
        *,
        layers: int = 12,
        width: int = 768,
        heads: int = 12,
        inner: int | None = None,
        positions: int = 512,
        segments: int = 2,
        activation: str = "gelu",
        dropout: float = 0.1,
        attention_dropout: float | None = None,
        epsilon: float = 1e-12,
        causal: bool = False,  # each token sees those to its left alone (§5.1, "LTR")
        init_std: float = 0.02,
        embedding_std: float | None = None,  # of the word embeddings; absent: init_std
        position_std: float | None = None,  # absent: embedding_std
        position_start: Literal["random", "waves"] = "random",
    ) -> None:
        self.settings: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "tokenizer")}
        self.settings["inner"] = inner or 4 * width
        self.settings["attention_dropout"] = dropout if attention_dropout is None else attention_dropout
        self.tokenizer, self.width, self.depth, self.longest = tokenizer, width, layers, positions
        network = {k: v for k, v in self.settings.items() if k not in STARTS}
        self.encoder = BertEncoder(vocabulary=tokenizer.size, **network)
        self.causal = causal
        self.tied = self.encoder.words.weight  # V × D: an LM objective's output matrix
        self.warnings: list[str] = []
        self.lacked: dict[str, int] = {}  # weights that the folder has not, from this row on: the seed's

    def draw(self, seed: int) -> None:
        """Fresh weights, a function of the seed."""
        generator = torch.Generator().manual_seed(seed)
        draw_weights(self.encoder, std=self.settings["init_std"], generator=generator)
        draw_embeddings(self.encoder.words, self.encoder.positions, self.settings, generator)

    def layer_of(self, name: str) -> int:
        return self.depth if name.startswith("pooler.") else layer_number(name, "blocks")

    def views(self, task: Task, example: Example, length: int, *, stride: int | None = None) -> list[View]:
        """`[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`; one view an option, or a window of a long context."""
        encode = self.tokenizer.encode
        if task.kind == "tags":
            return [self._words(example, length)]
        if task.kind == "span":
            return self._windows(example, length, stride)
        if task.kind == "choice":
            context = encode(example.texts[0])
            return [self._pair([[*context], encode(o)], length, n) for n, o in enumerate(example.options)]
        return [self._pair([encode(text) for text in example.texts], length, 0)]

    def stack(self, views: list[View], rows: list[int] | None = None) -> Inputs:
        return stack(views, pad=self.tokenizer.pad_id, rows=rows or ())

    def view(self, parts: list[list[int]], **facts: Any) -> View:
        """One or two texts; [CLS] speaks for them, or the last [SEP] where only it has seen them."""
        ids, segments = self.sequence(parts)
        return View(ids, segments, pool=len(ids) - 1 if self.causal else 0, **facts)

    def sequence(self, parts: list[list[int]]) -> tuple[list[int], list[int]]:
        """Token ids and segment ids of one or two texts."""
        ids, segments = [self.tokenizer.cls_id], [0]
        for segment, part in enumerate(parts):
            ids += [*part, self.tokenizer.sep_id]
            segments += [segment] * (len(part) + 1)
        return ids, segments

    def _pair(self, parts: list[list[int]], length: int, option: int) -> View:
        kept = shortened(parts, length - 1 - len(parts))
        return self.view(kept, option=option, cut=sum(map(len, parts)) - sum(map(len, kept)))

    def _words(self, example: Example, length: int) -> View:
        at: Literal["first", "last"] = "last" if self.causal else "first"
        row = words_in_a_row(self.tokenizer.encode_words, example, length - 2, at=at)
        return self.view([row.ids], words=row.places, bounds=row.bounds, cut=row.cut)

    def _windows(self, example: Example, length: int, stride: int | None) -> list[View]:
        question, context = example.texts
        whole = self.tokenizer.encode(question)
        asked = whole[: length // 2]
        views = []
        room = length - len(asked) - 3
        for ids, inside in windows(*located(self.tokenizer, context), room=room, stride=stride):
            outside = [(-1, -1)]
            spans = outside * (len(asked) + 2) + inside + outside
            views.append(self.view([asked, ids], spans=spans, cut=len(whole) - len(asked)))
        return views

    def save(self, folder: Path, heads: Mapping[str, Tensor] | None = None) -> None:
        """The Hugging Face layout: config.json, model.safetensors and the tokenizer's files."""
        layout.save(self, folder, heads or {})

    @classmethod
    def load(cls, folder: Path, *, seed: int = 0) -> "Bert":
        """Any BERT folder in the Hugging Face layout; `seed` draws a pooler where the folder has none."""
        return layout.load(cls, folder, seed)

    @property
    def fingerprint(self) -> str:
        """Of every weight, the network's shape, and the vocabulary."""
        return self._digest({})

    @property
    def start(self) -> str:
        """The same of what the folder held: without the weights that it lacked, which a seed drew."""
        return self._digest(self.lacked)

    def _digest(self, lacked: Mapping[str, int]) -> str:
        shape = fingerprint({k: v for k, v in self.settings.items() if k not in STARTS})
        weights = files.digest_tensors(held(self.encoder.state_dict(), lacked))
        return shape + weights + self.tokenizer.fingerprint
