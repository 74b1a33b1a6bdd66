"""Two backends of one file each, as newcomers would write them: one keeps two texts in views of their own and has a
vector a word (ELMo's shape), one is causal, reads symmetric pairs in both orders and answers from its last token
(GPT's shape). The contracts hold for them without any other change."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lmcompare.backends.word_views import word_views
from lmcompare.batches import Inputs, stack
from lmcompare.nn import Block, draw_weights
from lmcompare.types import Example, Task, View


class Words:
    """Words by hash: enough of a tokenizer for both."""

    size, pad_id, start_id, delimiter_id, extract_id = 50, 0, 1, 2, 3
    end_id = extract_id
    fingerprint = "words-50"

    def encode(self, text: str) -> list[int]:
        return self.encode_words(text.split())

    def encode_words(self, words: Sequence[str]) -> list[int]:
        return [4 + sum(map(ord, word)) % (self.size - 4) for word in words]

    def encode_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        found = list(re.finditer(r"\S+", text))
        return self.encode_words([match[0] for match in found]), [match.span() for match in found]


class Encoder(nn.Module):
    def __init__(self, *, width: int, depth: int, causal: bool) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(Words.size, width), nn.Embedding(64, width)
        parts = {"heads": 2, "inner": 2 * width, "activation": torch.relu, "dropout": 0.0}
        self.blocks = nn.ModuleList(
            Block(width=width, attention_dropout=0.0, epsilon=1e-5, causal=causal, **parts)
            for _ in range(depth)
        )

    def forward(self, inputs: Inputs) -> list[Tensor]:
        layers = [self.words(inputs.ids_BT) + self.places.weight[: inputs.ids_BT.shape[1]]]
        mask = None if inputs.mask_BT is None else inputs.mask_BT[:, None, None, :]
        for block in self.blocks:
            layers.append(block(layers[-1], mask))
        return layers

    def pool(self, top_BTD: Tensor, pool_B: Tensor) -> Tensor:
        return top_BTD[torch.arange(len(pool_B)), pool_B]


class Toy:
    """What the two have in common."""

    causal, parts, longest = False, 1, 64

    def __init__(self, width: int = 12, depth: int = 2) -> None:
        self.tokenizer, self.width, self.depth = Words(), width, depth
        self.encoder = Encoder(width=width, depth=depth, causal=self.causal)
        self.warnings: list[str] = []

    def draw(self, seed: int) -> None:
        draw_weights(self.encoder, std=0.2, generator=torch.Generator().manual_seed(seed))

    def stack(self, views: list[View], rows: list[int] | None = None) -> Inputs:
        return stack(views, pad=0, rows=rows or ())

    @property
    def fingerprint(self) -> str:
        return str(sum(float(p.detach().sum()) for p in self.encoder.parameters()))


class LikeElmo(Toy):
    """A vector a word; two texts are two views."""

    name, parts = "like-elmo", 2

    def views(self, task: Task, example: Example, length: int, *, stride: int | None = None) -> list[View]:
        return word_views(self.tokenizer, task, example, length, stride)


class LikeGpt(Toy):
    """`start a delim b extract`; symmetric pairs in both orders."""

    name, causal = "like-gpt", True

    def views(self, task: Task, example: Example, length: int, *, stride: int | None = None) -> list[View]:
        if task.kind == "choice":
            return [self._joined((example.texts[0], o), n) for n, o in enumerate(example.options)]
        orders = [example.texts, example.texts[::-1]] if task.symmetric else [example.texts]
        return [self._joined(texts, 0) for texts in orders]

    def _joined(self, texts: tuple[str, ...], option: int) -> View:
        ids, segments = (
            [self.tokenizer.start_id],
            [0],
        )  # the encoder does not look at segments, readers of pairs do
        for number, text in enumerate(texts):
            ids += [*self.tokenizer.encode(text), self.tokenizer.delimiter_id]
            segments += [number] * (len(ids) - len(segments))
        ids[-1] = self.tokenizer.extract_id
        return View(ids, segments, pool=len(ids) - 1, option=option)
