"""ELMo (Peters et al. 2018): words from their characters, then LSTMs that read left to right and right to left."""
# ruff: noqa: TID253

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lmcompare import files, registry
from lmcompare.backends import elmo_layout as layout
from lmcompare.backends.word_views import word_views
from lmcompare.batches import Inputs, stack
from lmcompare.config import fingerprint
from lmcompare.nn import layer_number
from lmcompare.recurrent import ProjectedLstm, State
from lmcompare.registry import backends
from lmcompare.text.words import CHARACTERS, END, FILL, LONGEST, START, Words, spelling
from lmcompare.types import Example, Task, View

FILTERS = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
AT_ONCE = 2048  # words whose characters are read at a time, where nothing trains
ENDLESS = 1 << 20  # an LSTM has no longest view


@dataclass(frozen=True)
class Spelled(Inputs):
    """A word that occurs again is spelled once: `ids_BT` are rows of `characters_UK`."""

    characters_UK: Tensor | None = None


class CharacterWords(nn.Module):
    """A word from its characters: convolutions of several widths, their maxima, highways, a projection."""

    def __init__(
        self,
        *,
        characters: int,
        filters: Sequence[tuple[int, int]],
        highways: int,
        activation: str,
        projection: int,
    ) -> None:
        super().__init__()
        total = sum(count for _, count in filters)
        self.embedding = nn.Embedding(CHARACTERS, characters, _weight=torch.empty(CHARACTERS, characters))
        self.convolutions: Any = nn.ModuleList(
            nn.Conv1d(characters, count, width) for width, count in filters
        )
        self.transforms: Any = nn.ModuleList(nn.Linear(total, total) for _ in range(highways))
        self.carries: Any = nn.ModuleList(nn.Linear(total, total) for _ in range(highways))
        self.projection = nn.Linear(total, projection)
        self.activation = registry.activations.get(activation)
        self.widest = max(width for width, _ in filters)

    def forward(self, characters_UK: Tensor) -> Tensor:
        if len(characters_UK) > AT_ONCE and not torch.is_grad_enabled():  # so that memory stays bounded
            return torch.cat([self.spell(part) for part in characters_UK.split(AT_ONCE)])
        return self.spell(characters_UK)

    def spell(self, characters_UK: Tensor) -> Tensor:
        # Beyond the longest word there is only filling: one window of it says all that the others would.
        longest = int((characters_UK != FILL).sum(1).max())
        x_UEK = self.embedding(characters_UK[:, : longest + self.widest].long()).transpose(1, 2)
        x_UF = self.activation(torch.cat([convolve(x_UEK).amax(2) for convolve in self.convolutions], 1))
        for transform, carry in zip(self.transforms, self.carries, strict=True):
            gate_UF = torch.sigmoid(carry(x_UF))
            x_UF = gate_UF * torch.relu(transform(x_UF)) + (1 - gate_UF) * x_UF
        return self.projection(x_UF)

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """As the release draws them; a highway begins as almost a copy."""
        self.embedding.weight.uniform_(-1.0, 1.0, generator=generator)
        for convolve in self.convolutions:
            convolve.weight.uniform_(-0.05, 0.05, generator=generator)
            convolve.bias.zero_()
        for linear in (*self.transforms, *self.carries, self.projection):
            linear.weight.normal_(0.0, linear.in_features**-0.5, generator=generator)
            linear.bias.zero_()
        for carry in self.carries:
            carry.bias.fill_(-2.0)


class ElmoEncoder(nn.Module):
    """The layers of both directions side by side; layer 0 is the word itself, twice."""

    marks_2K: Tensor  # the two ends of a sentence, spelled

    def __init__(
        self,
        *,
        layers: int,
        cells: int,
        projection: int,
        characters: int,
        filters: Sequence[tuple[int, int]],
        highways: int,
        activation: str,
        cell_clip: float | None,
        clip: float | None,
        residual: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.words = CharacterWords(
            characters=characters,
            filters=filters,
            highways=highways,
            activation=activation,
            projection=projection,
        )
        self.directions: Any = nn.ModuleList(
            nn.ModuleList(
                ProjectedLstm(projection, cells=cells, projection=projection, cell_clip=cell_clip, clip=clip)
                for _ in range(layers)
            )
            for _ in ("forward", "backward")
        )
        self.dropout, self.residual = nn.Dropout(dropout), residual
        self.marks()
        self.stateful = False
        self.kept: list[list[State]] | None = None  # by direction and layer, where `stateful`

    def marks(self) -> None:
        """Not weights, so no file holds them."""
        self.register_buffer("marks_2K", torch.from_numpy(np.stack([spelling(START), spelling(END)])), False)

    def forward(self, inputs: Spelled) -> list[Tensor]:
        assert inputs.characters_UK is not None
        B, T = inputs.ids_BT.shape
        lengths_B = inputs.mask_BT.sum(1) if inputs.mask_BT is not None else inputs.ids_BT.new_full((B,), T)
        words_UP = self.words(torch.cat([self.marks_2K, inputs.characters_UK]))
        ids_BT = inputs.ids_BT + 2
        word_BTP = words_UP[ids_BT]
        mirror_BT = (lengths_B[:, None] - 1 - torch.arange(T, device=ids_BT.device)) % T  # its own inverse
        reversed_BT = ids_BT.gather(1, mirror_BT)
        both = []
        for which, order_BT in enumerate((ids_BT, reversed_BT)):
            # before the first word stands the sentence's start, or for the backward direction its end
            rows_BS = torch.cat([torch.full_like(order_BT[:, :1], which), order_BT], 1)
            if self.stateful:  # a state that goes on has seen the other end too
                rows_BS = torch.cat([rows_BS, rows_BS[:, :1]], 1)
                rows_BS[torch.arange(B, device=ids_BT.device), lengths_B + 1] = 1 - which
            both.append(self._read(which, words_UP[rows_BS].transpose(0, 1), lengths_B))
        back_BT1 = mirror_BT[..., None]
        layers = [torch.cat([word_BTP, word_BTP], -1)]
        for ahead_SBP, behind_SBP in zip(*both, strict=True):
            ahead_BTP, behind_BTP = (y[1 : T + 1].transpose(0, 1) for y in (ahead_SBP, behind_SBP))
            layers.append(torch.cat([ahead_BTP, behind_BTP.gather(1, back_BT1.expand_as(behind_BTP))], -1))
        return layers

    def _read(self, which: int, x_SBP: Tensor, lengths_B: Tensor) -> list[Tensor]:
        """One direction over whole sentences, from zero states, or from where each row was left."""
        states = self._resumed(which, x_SBP.shape[1]) if self.stateful else None
        outputs, cells, raw = self.run(which, x_SBP, states)
        if self.stateful:
            self._keep(which, [(h, c) for h, c in zip(raw, cells, strict=True)], lengths_B + 1)
        return outputs

    def run(
        self, which: int, x_TBP: Tensor, states: list[State] | None = None
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """A direction's layers; their cells T × B × C; and the LSTMs' own outputs, before what is added to them."""
        outputs, cells, raw = [], [], []
        for n, lstm in enumerate(self.directions[which]):
            y_TBP, c_TBC = lstm(self.dropout(x_TBP), states[n] if states else None)
            raw.append(y_TBP)
            cells.append(c_TBC)
            x_TBP = y_TBP + x_TBP if self.residual and n > 0 else y_TBP
            outputs.append(x_TBP)
        return outputs, cells, raw

    def _resumed(self, which: int, batch: int) -> list[State]:
        """The kept states of the first `batch` rows; rows that were never seen begin at zero."""
        fresh = [lstm.zeros(batch) for lstm in self.directions[which]]
        if self.kept is None or not self.kept[which]:
            return fresh
        for new, old in zip(fresh, self.kept[which], strict=True):
            for a, b in zip(new, old, strict=True):
                rows = min(len(a), len(b))
                a[:rows] = b[:rows]
        return fresh

    @torch.no_grad()
    def _keep(self, which: int, ran: list[State], last_B: Tensor) -> None:
        """Each row's state at its own last step; rows that this batch does not have stay as they are."""
        self.kept = self.kept or [[], []]
        batch = torch.arange(len(last_B), device=last_B.device)
        ended = [(h_TBP[last_B, batch], c_TBC[last_B, batch]) for h_TBP, c_TBC in ran]
        older = self.kept[which] or ended
        self.kept[which] = [
            tuple(torch.cat([new, old[len(new) :]]) for new, old in zip(a, b, strict=True))  # type: ignore[misc]
            for a, b in zip(ended, older, strict=True)
        ]

    def forget(self) -> None:
        """Begin again from zero states."""
        self.kept = None

    def pool(self, top_BTD: Tensor, pool_B: Tensor) -> Tensor:
        """Where each direction has read the whole view: the forward one at the last word, the other at the first."""
        ahead_BTP, behind_BTP = top_BTD.chunk(2, -1)
        at_B = torch.arange(len(pool_B), device=pool_B.device)
        return torch.cat([ahead_BTP[at_B, pool_B], behind_BTP[:, 0]], -1)


@backends.register("elmo")
class Elmo:
    """ELMo: two LSTM language models over words made of characters."""

    name = "elmo"
    parts = 2  # each of two texts is a view of its own

    def __init__(
        self,
        tokenizer: Words,
        *,
        layers: int = 2,
        cells: int = 4096,
        projection: int = 512,
        characters: int = 16,
        filters: Sequence[tuple[int, int]] = FILTERS,
        highways: int = 2,
        activation: str = "relu",
        cell_clip: float | None = 3.0,
        clip: float | None = 3.0,
        residual: bool = True,  # around every layer but the first
        dropout: float = 0.1,
    ) -> None:
        self.settings: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "tokenizer")}
        self.settings["filters"] = [list(pair) for pair in filters]
        if any(not 1 <= width < LONGEST or count < 1 for width, count in filters) or not filters:
            raise ValueError(
                f"filters {self.settings['filters']} are not pairs of a width below 50 and a number"
            )
        if min(layers, cells, projection, characters) < 1 or highways < 0:
            raise ValueError("layers, cells, projection and characters are at least 1, highways at least 0")
        if not 0 <= dropout < 1 or min(cell_clip or 1.0, clip or 1.0) <= 0:
            raise ValueError("dropout is from 0 to below 1, a clip above 0")
        self.tokenizer, self.width, self.depth, self.longest = tokenizer, 2 * projection, layers, ENDLESS
        self.encoder = ElmoEncoder(**self.settings)
        self.warnings: list[str] = []

    def draw(self, seed: int) -> None:
        """Fresh weights, a function of the seed."""
        generator = torch.Generator().manual_seed(seed)
        self.encoder.words.draw(generator)
        for direction in self.encoder.directions:
            for lstm in direction:
                lstm.draw(generator)

    def layer_of(self, name: str) -> int:
        return layer_number(name, r"directions\.\d+")

    def views(self, task: Task, example: Example, length: int, *, stride: int | None = None) -> list[View]:
        return word_views(self.tokenizer, task, example, length, stride)

    def stack(self, views: list[View], rows: list[int] | None = None) -> Spelled:
        inputs = stack(views, pad=self.tokenizer.end_id, rows=rows or ())
        return Spelled(**{**vars(inputs), **self.spelled(inputs.ids_BT.numpy())})

    def spelled(self, ids: np.ndarray) -> dict[str, Tensor]:
        """Each different word once, and which of them stands where."""
        unique_U, rows = np.unique(ids, return_inverse=True)
        characters_UK = torch.from_numpy(self.tokenizer.spell(unique_U.tolist()))
        return {"ids_BT": torch.from_numpy(rows.reshape(ids.shape)), "characters_UK": characters_UK}

    def save(self, folder: Path, heads: Mapping[str, Tensor] | None = None) -> None:
        """config.json, model.safetensors and the words of the corpus."""
        layout.save(self, folder, heads or {})

    @classmethod
    def load(cls, folder: Path, *, seed: int = 0) -> "Elmo":
        """A folder that we saved, or the release's: options.json and one .hdf5 file."""
        return layout.load(cls, folder)

    @property
    def fingerprint(self) -> str:
        """Of every weight, the network's shape, and how a text is split into words."""
        shape = fingerprint({"elmo": self.settings, "stateful": self.encoder.stateful})
        return shape + files.digest_tensors(dict(self.encoder.state_dict())) + self.tokenizer.fingerprint
