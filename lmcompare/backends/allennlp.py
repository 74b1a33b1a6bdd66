"""The authors' own ELMo (allennlp 2.10.1) as a backend: frozen, in a worker process with an environment of its own,
because the package needs changes to its libraries that nothing else should meet."""
# ruff: noqa: TID253

import hashlib
import json
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lmcompare import files
from lmcompare.backends import elmo_layout as layout
from lmcompare.backends.allennlp_process import VERSION, Process, interpreter
from lmcompare.backends.elmo import ENDLESS
from lmcompare.backends.word_views import word_views
from lmcompare.batches import Inputs, stack
from lmcompare.errors import ModelError, UserError
from lmcompare.registry import backends
from lmcompare.text.words import SPECIALS, Words
from lmcompare.types import Example, Task, View

FROZEN = "the authors' own ELMo runs in a process of its own and is only read; use it with `lmc features`"


class AllenNlpEncoder(nn.Module):
    """Asks the worker, which is started by the first question. Its weights are not here, so none of them can train."""

    def __init__(self, tokenizer: Words, options: Path, weights: Path, *, layers: int, width: int) -> None:
        super().__init__()
        self.tokenizer, self.options, self.weights = tokenizer, options, weights
        self.layers, self.width = layers, width
        self.process: Process | None = None
        self.stateful = False
        self.fresh = True

    def forward(self, inputs: Inputs) -> list[Tensor]:
        if torch.is_grad_enabled():
            raise UserError(f"elmo-allennlp: {FROZEN}")
        B, T = inputs.ids_BT.shape
        lengths = [T] * B if inputs.mask_BT is None else inputs.mask_BT.sum(1).tolist()
        rows = [ids[:n] for ids, n in zip(inputs.ids_BT.tolist(), lengths, strict=True)]
        x_LBTD = self.ask([[self.tokenizer.form(number) for number in ids] for ids in rows])
        if x_LBTD.shape != (self.layers, B, T, self.width):
            raise ModelError(
                f"{self.weights}: allennlp's worker gave layers of the shape {list(x_LBTD.shape)}"
            )
        return list(torch.from_numpy(x_LBTD).to(inputs.ids_BT.device))

    def ask(self, sentences: list[list[str]]) -> np.ndarray:
        """Every layer of every word, L × B × T × D."""
        process, self.process = self.process or self.started(), None
        asked, out = process.folder / "sentences.json", process.folder / "layers.npy"
        with files.disk(process.folder):
            asked.write_text(json.dumps(sentences), encoding="ascii")
        facts = {"sentences": str(asked), "out": str(out), "fresh": self.fresh or not self.stateful}
        process.ask("embed", f"reading sentences with {self.weights}", facts)
        self.process, self.fresh = process, False  # kept only where it answered
        try:
            return np.load(out)
        except (OSError, ValueError) as error:
            raise ModelError(f"{self.weights}: allennlp's worker left no readable layers: {error}") from None

    def started(self) -> Process:
        process = Process()
        paths = {"options": str(self.options.absolute()), "weights": str(self.weights.absolute())}
        process.ask("load", f"loading {self.weights}", {**paths, "threads": torch.get_num_threads()})
        return process

    def forget(self) -> None:
        """Begin again from zero states."""
        self.fresh = True


@backends.register("elmo-allennlp")
class AllenNlp:
    """The authors' own ELMo, frozen, from their options.json and .hdf5 file (needs `make allennlp`)."""

    name = "elmo-allennlp"
    frozen = FROZEN
    parts = 2
    longest = ENDLESS

    def __init__(self, folder: Path) -> None:
        if not isinstance(folder, Path):  # the tokenizer, of a pretraining
            raise ValueError(FROZEN)
        options = folder / "options.json"
        self.settings = layout.read_options(layout.read_json(options), options)
        self.width, self.depth = 2 * int(self.settings["projection"]), int(self.settings["layers"])
        self.tokenizer = Words(SPECIALS)
        weights, layers = layout.weights_file(folder), self.depth + 1
        self.size = layout.count(weights)  # of numbers: the weights are in the other process
        self.encoder = AllenNlpEncoder(self.tokenizer, options, weights, layers=layers, width=self.width)
        self.warnings: list[str] = []
        interpreter()  # that there is none is better said now than when the data has been read

    def views(self, task: Task, example: Example, length: int, *, stride: int | None = None) -> list[View]:
        return word_views(self.tokenizer, task, example, length, stride)

    def stack(self, views: list[View], rows: list[int] | None = None) -> Inputs:
        return stack(views, pad=self.tokenizer.end_id, rows=rows or ())

    def draw(self, seed: int) -> None:
        raise UserError(f"elmo-allennlp: no weights can be drawn: {FROZEN}")

    @classmethod
    def load(cls, folder: Path, *, seed: int = 0) -> "AllenNlp":
        """A folder with options.json and one .hdf5 file."""
        return cls(folder)

    @cached_property
    def _content(self) -> str:
        return files.sha256(self.encoder.options) + files.sha256(self.encoder.weights)

    @property
    def fingerprint(self) -> str:
        """Of the two files, the package, and how a text is split into words."""
        facts = f"allennlp {VERSION} {self.encoder.stateful} {self._content} {self.tokenizer.fingerprint}"
        return hashlib.sha256(facts.encode()).hexdigest()
