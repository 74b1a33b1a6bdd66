"""GPT (Radford et al. 2018): a Transformer decoder, or an LSTM in its place, that reads from left to right."""
# ruff: noqa: TID253

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lmcompare import files
from lmcompare.backends import gpt_layout as layout
from lmcompare.backends.folders import STARTS, held
from lmcompare.backends.piece_views import located, windows, words_in_a_row
from lmcompare.batches import Inputs, stack
from lmcompare.config import fingerprint
from lmcompare.errors import DataError
from lmcompare.nn import Block, draw_embeddings, draw_weights, layer_number
from lmcompare.registry import activations, backends
from lmcompare.text.bpe import Bpe
from lmcompare.types import Example, Task, View

SHORTEST = 5  # tokens of the smallest pair: start, one, delimiter, one, extract


class Recurrent(nn.Module):
    """An LSTM layer in a block's place, brought back to the width of the embeddings."""

    def __init__(self, *, width: int, cells: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, cells, batch_first=True)
        self.out = nn.Linear(cells, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, mask_B11T: Tensor | None) -> Tensor:
        # Under autocast a GPU's LSTM would turn to float16, not to bf16.
        with torch.autocast(x_BTD.device.type, enabled=False):
            states_BTC = self.lstm(x_BTD.float())[0]
        return self.dropout(self.out(states_BTC))


class GptEncoder(nn.Module):
    """Word and position embeddings, then layers that see what stands to the left. Views are padded on the right,
    where no real token looks, so the mask is not needed."""

    def __init__(
        self,
        *,
        vocabulary: int,
        layers: int,
        width: int,
        heads: int,
        positions: int,
        activation: str,
        dropout: float,
        attention_dropout: float,
        epsilon: float,
        network: str,
        cells: int,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.dropout = nn.Dropout(dropout)
        self.positions: nn.Embedding | None = None
        if network == "lstm":  # which knows places by itself
            blocks = [Recurrent(width=width, cells=cells, dropout=dropout) for _ in range(layers)]
            self.blocks = nn.ModuleList(blocks)
            return
        self.positions = nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(
            Block(
                width=width,
                heads=heads,
                inner=4 * width,
                activation=activations.get(activation),
                dropout=dropout,
                attention_dropout=attention_dropout,
                epsilon=epsilon,
                causal=True,
            )
            for _ in range(layers)
        )

    def forward(self, inputs: Inputs) -> list[Tensor]:
        x_BTD = self.words(inputs.ids_BT)
        if self.positions is not None:
            x_BTD = x_BTD + self.positions.weight[: inputs.ids_BT.shape[1]]
        layers = [self.dropout(x_BTD)]
        for block in self.blocks:
            layers.append(block(layers[-1], None))
        return layers

    def pool(self, top_BTD: Tensor, pool_B: Tensor) -> Tensor:
        """One vector a view: the state at the extract token."""
        return top_BTD[torch.arange(len(pool_B), device=pool_B.device), pool_B]


@backends.register("gpt")
class Gpt:
    """GPT: left-to-right Transformer (or LSTM) language model."""

    name = "gpt"
    parts = 1  # two texts share a view
    causal = True
    # A language model by itself: the next token's logits are its word embeddings times the state.
    left_to_right = True
    kinds = layout.KINDS  # model_type in config.json

    def __init__(
        self,
        tokenizer: Bpe,
        *,
        layers: int = 12,
        width: int = 768,
        heads: int = 12,
        positions: int = 512,
        activation: str = "gelu_tanh",
        dropout: float = 0.1,
        attention_dropout: float | None = None,
        epsilon: float = 1e-5,
        network: Literal["transformer", "lstm"] = "transformer",
        cells: int = 2048,  # lstm: units a layer; heads and activation then mean nothing
        init_std: float = 0.02,
        embedding_std: float | None = None,  # of the word embeddings; absent: init_std
        position_std: float | None = None,  # absent: embedding_std
        position_start: Literal["random", "waves"] = "random",
    ) -> None:
        if network == "transformer" and activation not in layout.ACTIVATIONS.values():
            known = ", ".join(sorted(set(layout.ACTIVATIONS.values())))
            raise ValueError(
                f"activation {activation!r} has no name in GPT's folders, so it could not be saved; {known} have"
            )
        self.settings: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "tokenizer")}
        self.settings["attention_dropout"] = dropout if attention_dropout is None else attention_dropout
        self.tokenizer, self.width, self.depth, self.longest = tokenizer, width, layers, positions
        network_of = {k: v for k, v in self.settings.items() if k not in STARTS}
        self.encoder = GptEncoder(vocabulary=tokenizer.size, **network_of)
        self.tied = self.encoder.words.weight  # V × D: the language model's output matrix, specials last
        self.warnings: list[str] = []
        self.lacked: dict[str, int] = {}  # weights that the folder has not, from this row on: the seed's

    def draw(self, seed: int) -> None:
        """Fresh weights, a function of the seed."""
        generator = torch.Generator().manual_seed(seed)
        draw_weights(self.encoder, std=self.settings["init_std"], generator=generator)
        draw_embeddings(self.encoder.words, self.encoder.positions, self.settings, generator)

    def layer_of(self, name: str) -> int:
        return layer_number(name, "blocks")

    def views(self, task: Task, example: Example, length: int, *, stride: int | None = None) -> list[View]:
        """`start a extract` or `start a delim b extract`; symmetric pairs in both orders; one view an option, or a
        window of a long context (§3.3, figure 1)."""
        if length < SHORTEST:
            raise DataError(f"length {length} has no room for a view; {SHORTEST} tokens are the least")
        encode = self.tokenizer.encode
        if task.kind == "tags":
            return [self._words(example, length)]
        if task.kind == "span":
            return self._windows(example, length, stride)
        if task.kind == "choice":
            context = encode(example.texts[0])
            return [self._pair(context, encode(o), length, n) for n, o in enumerate(example.options)]
        parts = [encode(text) for text in example.texts]
        if len(parts) == 1:
            ids, segments = self.sequence([parts[0][: length - 2]])
            return [View(ids, segments, pool=len(ids) - 1, cut=max(0, len(parts[0]) - length + 2))]
        first, second = parts
        orders = [(first, second), (second, first)] if task.symmetric else [(first, second)]
        return [self._pair(a, b, length, 0) for a, b in orders]

    def stack(self, views: list[View], rows: list[int] | None = None) -> Inputs:
        return stack(views, pad=self.tokenizer.pad_id, rows=rows or ())

    def sequence(self, parts: list[list[int]]) -> tuple[list[int], list[int]]:
        """Token ids of one or two texts, and which text each belongs to: readers ask for that, the network does
        not."""
        words, (first, *rest) = self.tokenizer, parts
        ids = [words.start_id, *first]
        segments = [0] * (len(ids) + bool(rest))
        for part in rest:
            ids += [words.delimiter_id, *part]
        ids.append(words.extract_id)
        return ids, segments + [1 if rest else 0] * (len(ids) - len(segments))

    def _pair(self, first: list[int], second: list[int], length: int, option: int) -> View:
        """Each half has the same room, whatever the other needs (released code: `n_ctx // 2 - 2`)."""
        room = (length - 3) // 2
        cut = sum(max(0, len(part) - room) for part in (first, second))
        ids, segments = self.sequence([first[:room], second[:room]])
        return View(ids, segments, pool=len(ids) - 1, option=option, cut=cut)

    def _words(self, example: Example, length: int) -> View:
        row = words_in_a_row(self.tokenizer.encode_words, example, length - 2, at="last")
        ids, segments = self.sequence([row.ids])
        return View(ids, segments, pool=len(ids) - 1, words=row.places, bounds=row.bounds, cut=row.cut)

    def _windows(self, example: Example, length: int, stride: int | None) -> list[View]:
        question, context = example.texts
        whole = self.tokenizer.encode(question)
        asked = whole[: (length - 3) // 2]
        views = []
        room = length - len(asked) - 3
        for ids, inside in windows(*located(self.tokenizer, context), room=room, stride=stride):
            window, segments = self.sequence([asked, ids])
            outside = [(-1, -1)]
            spans = outside * (len(asked) + 2) + inside + outside
            views.append(
                View(window, segments, pool=len(window) - 1, spans=spans, cut=len(whole) - len(asked))
            )
        return views

    def save(self, folder: Path, heads: Mapping[str, Tensor] | None = None) -> None:
        """The Hugging Face layout: config.json, model.safetensors and the tokenizer's files. The language model's
        heads have no weights; that there are heads at all says that it is bare."""
        layout.save(self, folder, bare=heads is not None)

    @classmethod
    def load(cls, folder: Path, *, seed: int = 0) -> "Gpt":
        """A folder in the Hugging Face layout, or of the original release; `seed` draws the embeddings of start,
        delimiter and extract where the folder has none."""
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
        unused = ("cells",) if self.settings["network"] == "transformer" else ()
        shape = fingerprint({k: v for k, v in self.settings.items() if k not in (*STARTS, *unused)})
        weights = files.digest_tensors(held(self.encoder.state_dict(), lacked))
        return shape + weights + self.tokenizer.fingerprint
