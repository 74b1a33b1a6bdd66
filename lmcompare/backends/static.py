"""One vector a word, whatever stands around it: where the story of pretraining starts."""
# ruff: noqa: TID253

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lmcompare import files
from lmcompare.backends import static_files
from lmcompare.backends.folders import read_tensors, unlike
from lmcompare.backends.word_views import word_views
from lmcompare.batches import Inputs, stack
from lmcompare.config import fingerprint
from lmcompare.errors import ModelError
from lmcompare.nn import draw_weights, mean_over_tokens
from lmcompare.registry import backends
from lmcompare.text.words import SPECIALS, Words
from lmcompare.types import Example, Task, View

TABLE = "words.weight"
MODEL_TYPE = "static"


class StaticEncoder(nn.Module):
    """A table of vectors; there is one layer, and it is the embeddings."""

    def __init__(self, *, vocabulary: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)

    def forward(self, inputs: Inputs) -> list[Tensor]:
        return [self.words(inputs.ids_BT)]

    def pool(self, top_BTD: Tensor, pool_B: Tensor) -> Tensor:
        """The mean of a view's words; `pool` is the last of them."""
        T = top_BTD.shape[1]
        return mean_over_tokens(top_BTD, torch.arange(T, device=pool_B.device) <= pool_B[:, None])


@backends.register("static")
class Static:
    """One vector a word: skip-gram, the table of a feed-forward LM, or a file of GloVe or word2vec vectors."""

    name = "static"
    parts = 2  # two texts are two views
    depth = 0  # layers above the embeddings
    longest = 1 << 30  # no positions, so no limit

    def __init__(
        self,
        tokenizer: Words,
        *,
        width: int = 128,
        init_std: float = 0.1,
        lower: bool = True,  # a word that has no vector is looked up in lower case, too
    ) -> None:
        if width < 1 or init_std < 0:
            raise ValueError(f"width {width} is at least 1, init_std {init_std} at least 0")
        self.settings: dict[str, Any] = {"width": width, "init_std": init_std, "lower": lower}
        self.tokenizer, self.width, self.lower = tokenizer, width, lower
        self.encoder = StaticEncoder(vocabulary=tokenizer.vocabulary, width=width)
        self.warnings: list[str] = []
        self._found: dict[int, int] = {}  # rows of words that have no vector of their own

    @property
    def tied(self) -> Tensor:
        """V × D: an LM objective's table."""
        return self.encoder.words.weight

    def draw(self, seed: int) -> None:
        """Fresh vectors, a function of the seed."""
        generator = torch.Generator().manual_seed(seed)
        draw_weights(self.encoder, std=self.settings["init_std"], generator=generator)

    def views(self, task: Task, example: Example, length: int, *, stride: int | None = None) -> list[View]:
        """Whole words; the two texts of a pair apart."""
        return word_views(self.tokenizer, task, example, length, stride)

    def stack(self, views: list[View], rows: list[int] | None = None) -> Inputs:
        """The ids are rows of the table from here on."""
        in_table = [replace(view, ids=self.rows(view.ids)) for view in views]
        return stack(in_table, pad=self.tokenizer.end_id, rows=rows or ())

    def rows(self, ids: Sequence[int]) -> Sequence[int]:
        """The row of each word: its own, that of its lower-case form, or the unknown word's."""
        numbers = np.asarray(ids, dtype=np.int64)
        rows = self.tokenizer.targets(numbers)
        if self.lower:
            for place in np.flatnonzero(numbers >= self.tokenizer.vocabulary).tolist():
                rows[place] = self._row(int(numbers[place]))
        return rows.tolist()

    def _row(self, number: int) -> int:
        if number not in self._found:
            row = self.tokenizer.number.get(self.tokenizer.form(number).lower(), number)
            self._found[number] = row if row < self.tokenizer.vocabulary else self.tokenizer.unk_id
        return self._found[number]

    def save(self, folder: Path, heads: Mapping[str, Tensor] | None = None) -> None:
        """config.json, model.safetensors and the list of words."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {TABLE: self.tied, **(heads or {})}
        apart = {k: v.detach().cpu().clone() for k, v in tensors.items()}
        files.save_tensors(apart, folder / "model.safetensors")
        files.write_json(folder / "config.json", {"model_type": MODEL_TYPE, **self.settings})
        self.tokenizer.save(folder)

    @classmethod
    def load(cls, folder: Path, *, seed: int = 0) -> "Static":
        """A folder that `save` wrote, or a text file of vectors; nothing is left for the seed to draw."""
        if not folder.is_dir():
            return from_file(folder)
        settings = read_settings(folder)
        tokenizer = Words.load(folder)
        tensors = read_tensors(folder)
        if TABLE not in tensors:
            raise ModelError(f"{folder / 'model.safetensors'}: holds no {TABLE}, the table of vectors")
        shape = [tokenizer.vocabulary, settings["width"]]
        if list(tensors[TABLE].shape) != shape:
            raise unlike(TABLE, tensors[TABLE], shape, folder)
        return around(tensors[TABLE].float(), tokenizer, settings)

    @property
    def fingerprint(self) -> str:
        """Of the table, the words, and how words without a vector are treated."""
        shape = fingerprint({"width": self.width, "lower": self.lower})
        return shape + files.digest_tensors({TABLE: self.tied}) + self.tokenizer.fingerprint


def around(table_VD: Tensor, tokenizer: Words, settings: dict[str, Any]) -> Static:
    """A backend that holds this table itself: a large one is never in memory twice."""
    with torch.device("meta"):
        made = Static(tokenizer, **settings)
    made.encoder.words.weight = nn.Parameter(table_VD)
    return made


def from_file(path: Path) -> Static:
    """The vectors of a text file; other words get their mean."""
    found = static_files.read(path)
    tokenizer = Words([*SPECIALS, *found.words])
    made = around(torch.from_numpy(found.table), tokenizer, {"width": found.table.shape[1]})
    made.warnings += found.warnings
    return made


def read_settings(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        table = files.read_json(path)
    except OSError:
        raise ModelError(f"{folder}: has no config.json; a folder of word vectors has one") from None
    except ValueError as error:
        raise ModelError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(table, dict) or table.get("model_type") != MODEL_TYPE:
        found = table.get("model_type") if isinstance(table, dict) else None
        raise ModelError(f"{path}: model_type is {found!r}; the static backend reads {MODEL_TYPE!r}")
    if type(table.get("width")) is not int or table["width"] < 1 or type(table.get("lower")) is not bool:
        raise ModelError(f"{path}: width is a whole number above 0 and lower true or false; found {table}")
    return {"width": table["width"], "init_std": float(table.get("init_std", 0.1)), "lower": table["lower"]}
