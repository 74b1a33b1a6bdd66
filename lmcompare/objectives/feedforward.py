"""The feed-forward language model (Bengio et al. 2003, §2): the next word from the vectors of a few words before it,
through one hidden layer. The first network to learn vectors and language model together."""
# ruff: noqa: TID253

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lmcompare.batches import Independent
from lmcompare.errors import ModelError, UserError
from lmcompare.objectives.sampling import Negatives, log_uniform
from lmcompare.registry import objectives
from lmcompare.softmax import cross_entropy
from lmcompare.text.contexts import asked, stretches
from lmcompare.text.material import Material
from lmcompare.text.shards import Shards

HEAD = "feedforward."


@dataclass(frozen=True)
class Batch:
    before_PC: Tensor  # the words before each predicted one, the nearest first
    words_P: Tensor
    negatives: Negatives | None = None

    @property
    def tokens(self) -> int:
        return len(self.words_P)

    def to(self, device: torch.device) -> "Batch":
        negatives = self.negatives and self.negatives.to(device)
        moved = {"before_PC": self.before_PC.to(device), "words_P": self.words_P.to(device)}
        return replace(self, negatives=negatives, **moved)


@objectives.register("feedforward")
class FeedForward(Independent, nn.Module):
    """Feed-forward language model: the next word from a few words before it."""

    weights: ClassVar[dict[str, float]] = {"feedforward": 1.0}
    metric = "perplexity"  # lower is better
    higher_is_better = False

    def __init__(
        self,
        backend: Any,
        *,
        context: int = 4,  # words before, in the same sentence
        hidden: int = 100,
        direct: bool = False,  # also straight from the vectors to the softmax
        length: int = 100,  # most words a stretch of text
        full_softmax: int = 10_000,  # a larger vocabulary is sampled in training
        negatives: int = 8192,  # words that a sampled softmax sets against the right one
    ) -> None:
        super().__init__()
        if getattr(backend, "depth", None) != 0 or not hasattr(backend.tokenizer, "vocabulary"):
            raise UserError("objective: feedforward trains a backend with one vector a word, such as static")
        if min(context, hidden, length, negatives) < 1:
            raise UserError("objective: context, hidden, length and negatives are at least 1")
        self.backend, self.encoder, self.tokenizer = backend, backend.encoder, backend.tokenizer
        self.context, self.direct, self.length = context, direct, length
        self.negatives = negatives if self.tokenizer.vocabulary > max(full_softmax, negatives) else 0
        wide = context * backend.width
        self.hidden = nn.Linear(wide, hidden)
        self.softmax = nn.Linear(hidden + (wide if direct else 0), self.tokenizer.vocabulary)

    def draw(self, seed: int) -> None:
        """Fresh weights; the softmax begins with every word alike."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.hidden.weight.normal_(0.0, self.hidden.in_features**-0.5, generator=generator)
            self.hidden.bias.zero_()
            self.softmax.weight.zero_()
            self.softmax.bias.zero_()

    def prepare(self, material: Material) -> None:
        """Cut the corpus into stretches, and keep some documents apart."""
        shards, (train, held) = material.shards, material.split()
        self.rows = stretches(shards, train[:0] if material.held_out_only else train, self.length)
        self.held_rows = stretches(shards, held, self.length)
        self.shards, self.seed, self.lengths = shards, material.seed, self.rows[:, 1] - self.rows[:, 0]

    def batch(self, chosen: np.ndarray, epoch: int) -> Batch:
        batch = self._batch(self.rows[chosen])
        if not self.negatives:
            return batch
        key = (self.seed, epoch, int(chosen[0]))
        return replace(batch, negatives=log_uniform(self.negatives, self.tokenizer.vocabulary, *key))

    def _batch(self, rows: np.ndarray) -> Batch:
        words, before = asked(self.shards, rows, self.tokenizer, self.context)
        return Batch(
            torch.from_numpy(np.stack(before, 1).astype(np.int64)), torch.from_numpy(words.astype(np.int64))
        )

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"feedforward": float(len(batch.words_P))}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        x_PE = self.features(batch.before_PC)
        if batch.negatives:
            return {"feedforward": batch.negatives.loss(x_PE, batch.words_P, self.softmax)}
        return {"feedforward": cross_entropy(x_PE, self.softmax.weight, self.softmax.bias, batch.words_P)}

    def features(self, before_PC: Tensor) -> Tensor:
        """What the softmax sees: tanh(d + H·x), and x itself with `direct` (§2, equation 1)."""
        x_PE = self.encoder.words(before_PC).flatten(1)
        y_PH = torch.tanh(self.hidden(x_PE))
        return torch.cat([y_PH, x_PE], 1) if self.direct else y_PH

    @torch.no_grad()
    def evaluate(self, size: int, device: torch.device, check: Callable[[], None]) -> dict[str, float]:
        """Held-out perplexity over every word and every sentence's end."""
        total, positions, unknown = 0.0, 0, 0
        for rows in np.array_split(self.held_rows, -(-len(self.held_rows) // size)):
            check()
            batch = self._batch(rows).to(device)
            total += float(self.losses(batch)["feedforward"])
            positions += batch.tokens
            unknown += int((batch.words_P == self.tokenizer.unk_id).sum())
        perplexity = math.exp(min(total / positions, 700.0))
        return {"perplexity": perplexity, "positions": float(positions), "unknown": unknown / positions}

    @torch.no_grad()
    def prefers(self, blank: str, right: str, wrong: str) -> bool | None:
        """Whether the text is likelier with the right word at `___`: it tells of itself and of the words after it."""
        scores = []
        for word in (right, wrong):
            ids = self.tokenizer.encode(word)
            if len(ids) != 1 or ids[0] >= self.tokenizer.vocabulary:
                return None
            scores.append(self._log_probability(blank.replace("___", word)))
        return scores[0] > scores[1]

    def _log_probability(self, text: str) -> float:
        """Of a text that is read as one sentence."""
        ids = self.tokenizer.targets(np.array(self.tokenizer.encode(text), dtype=np.int64))
        one = Shards(ids, np.array([0, len(ids)]), np.array([0, 1]))
        words, before = asked(one, np.array([[0, len(ids)]]), self.tokenizer, self.context)
        batch = Batch(
            torch.from_numpy(np.stack(before, 1).astype(np.int64)), torch.from_numpy(words.astype(np.int64))
        )
        return -float(self.losses(batch.to(self.softmax.bias.device))["feedforward"])

    def shown(self, batch: Batch) -> list[str]:
        """The first words that are asked for, each with the words before it."""
        form = self.tokenizer.form
        rows = zip(batch.before_PC[:6].tolist(), batch.words_P[:6].tolist(), strict=True)
        return [f"sees    {' '.join(map(form, before[::-1]))}  tells  {form(word)}" for before, word in rows]

    def heads(self) -> dict[str, Tensor]:
        return {f"{HEAD}{name}": tensor for name, tensor in self._own().items()}

    @torch.no_grad()
    def load_heads(self, tensors: Mapping[str, Tensor]) -> None:
        for name, own in self._own().items():
            found = tensors.get(HEAD + name)
            if found is None or found.shape != own.shape:
                raise ModelError(f"the model's {HEAD}{name} is missing or does not fit the config")
            own.copy_(found)

    def _own(self) -> dict[str, Tensor]:
        return {name: p for name, p in self.named_parameters() if not name.startswith("encoder.")}
