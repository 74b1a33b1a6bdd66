"""Two language models, one in each direction, over the same words and softmax (Peters et al. 2018, §3.1)."""
# ruff: noqa: TID253

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lmcompare import randomness
from lmcompare.backends.elmo import Spelled
from lmcompare.errors import ModelError, UserError
from lmcompare.objectives.sampling import Negatives, log_uniform
from lmcompare.recurrent import State
from lmcompare.registry import objectives
from lmcompare.softmax import cross_entropy
from lmcompare.text import streams
from lmcompare.text.material import Material
from lmcompare.text.streams import Streams

DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True)
class Batch:
    inputs: Spelled  # the forward rows, then the backward ones
    targets: Tensor  # directions × B × T; −1 where nothing is asked
    rows: np.ndarray  # which row of the streams each is: the key to its state
    negatives: Negatives | None = None

    @property
    def tokens(self) -> int:
        return int((self.targets[0] >= 0).sum())

    def to(self, device: torch.device) -> "Batch":
        negatives = self.negatives and self.negatives.to(device)
        moved = {"inputs": self.inputs.to(device), "targets": self.targets.to(device), "negatives": negatives}
        return replace(self, **moved)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Plan:
    """One epoch's reading."""

    key: tuple[int, int, int]  # batch, seed, epoch
    streams: Streams


@objectives.register("bilm")
class BiLm(nn.Module):
    """A language model in each direction, with states that go on from batch to batch."""

    metric = "perplexity"  # lower is better
    higher_is_better = False

    def __init__(
        self,
        backend: Any,
        *,
        unroll: int = 20,  # words a window: gradients reach back so far, states farther
        full_softmax: int = 10_000,  # a larger vocabulary is sampled in training
        negatives: int = 8192,  # words that a sampled softmax sets against the right one
        scale: float = 1.0,  # of the loss; the release multiplies it by `unroll`
    ) -> None:
        super().__init__()
        tokenizer = backend.tokenizer
        if not hasattr(tokenizer, "vocabulary") or not hasattr(backend.encoder, "run"):
            raise UserError(
                "objective: bilm trains a backend that reads words in two directions, such as elmo"
            )
        if unroll < 1 or negatives < 1 or scale <= 0:
            raise UserError("objective: unroll and negatives are at least 1, scale is above 0")
        self.backend, self.encoder, self.tokenizer = backend, backend.encoder, tokenizer
        self.unroll, self.weights = unroll, dict.fromkeys(DIRECTIONS, 0.5 * scale)
        sampled = tokenizer.vocabulary > max(full_softmax, negatives)
        self.negatives = negatives if sampled else 0
        self.words = nn.Linear(backend.width // 2, tokenizer.vocabulary)
        self.carried: dict[str, Tensor] = {}
        self.plan: Plan | None = None

    def draw(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.words.weight.normal_(0.0, self.words.in_features**-0.5, generator=generator)
            self.words.bias.zero_()

    def prepare(self, material: Material) -> None:
        """Which sentences are read, and which are kept apart."""
        shards, (self.train_documents, held) = material.shards, material.split()
        self.shards, self.seed = shards, material.seed
        chosen = self.train_documents[:0] if material.held_out_only else self.train_documents
        self.rows, self.held_rows = streams.sentences_of(shards, chosen), streams.sentences_of(shards, held)
        self.lengths = shards.sentences[self.rows + 1] - shards.sentences[self.rows] + 1

    def order(self, *, batch: int, seed: int, epoch: int, buckets: bool) -> list[np.ndarray]:
        """Batches whose row b goes on where row b of the batch before it ended. Documents are shuffled, not
        sentences; `buckets` has no meaning here."""
        source = self._plan(batch, seed, epoch)
        rows = np.arange(len(source.starts))
        return [number * len(rows) + rows for number in range(source.windows(self.unroll))]

    def _plan(self, batch: int, seed: int, epoch: int) -> Streams:
        if self.plan is None or self.plan.key != (batch, seed, epoch):
            documents = self.train_documents
            shuffled = documents[randomness.permutation(len(documents), seed, epoch, 0)]
            order = streams.sentences_of(self.shards, shuffled)
            made = streams.even(self.shards, order, batch, self.unroll)
            self.plan = Plan((batch, seed, epoch), made)
            if not self.carried or len(self.carried["forward.0.h"]) != len(made.starts):
                self.carried = self._tensors(self._zeros(len(made.starts)))
            self.fresh = {k: torch.zeros_like(v) for k, v in self.carried.items()}
        return self.plan.streams

    def batch(self, chosen: np.ndarray, epoch: int) -> Batch:
        """Some rows of one window."""
        assert self.plan is not None
        source = self._plan(*self.plan.key[:2], epoch)
        total = len(source.starts)
        rows, number = chosen % total, int(chosen[0]) // total
        batch = self._batch(source, rows, number)
        if not self.negatives:
            return batch
        key = (self.seed, epoch, number)  # the same for every piece of a batch
        return replace(batch, negatives=log_uniform(self.negatives, self.tokenizer.vocabulary, *key))

    def _batch(self, source: Streams, rows: np.ndarray, number: int) -> Batch:
        ids, wanted = source.window(rows, number, self.unroll)
        spelled = self.backend.spelled(ids.reshape(-1, self.unroll))
        nothing = torch.zeros(0, dtype=torch.long)
        inputs = Spelled(segments_BT=nothing, mask_BT=None, pool_B=nothing, **spelled)
        return Batch(inputs, torch.from_numpy(np.where(wanted < 0, -1, self.tokenizer.targets(wanted))), rows)

    def counts(self, batch: Batch) -> dict[str, float]:
        return dict.fromkeys(DIRECTIONS, float(batch.tokens))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The states of the rows go on; no gradient goes back through them."""
        device = batch.targets.device
        rows = torch.from_numpy(batch.rows).to(device)
        states = self._states({k: v.to(device)[rows] for k, v in self.carried.items()})
        tops, after = self._read(batch, states)
        for name, state in self._tensors(after).items():
            self.fresh[name] = self.fresh[name].to(device).index_copy(0, rows, state)
        return {
            name: self._loss(top_BTP, batch.targets[which], batch.negatives)
            for which, (name, top_BTP) in enumerate(zip(DIRECTIONS, tops, strict=True))
        }

    def height(self, name: str) -> int:
        return 0

    def carry(self, total: Callable[[Tensor], Tensor]) -> None:
        """At the end of a step: what every process computed of its rows becomes the state of all."""
        whole = {k: total(v) for k, v in self.fresh.items()}
        finite = all(bool(v.isfinite().all()) for v in whole.values())
        self.carried = {k: v if finite else torch.zeros_like(v) for k, v in whole.items()}
        self.fresh = {k: torch.zeros_like(v) for k, v in whole.items()}

    def _read(self, batch: Batch, states: list[list[State]]) -> tuple[list[Tensor], list[list[State]]]:
        """The top layer of both directions, B × T × P, and where each row was left."""
        words_UP = self.encoder.words(batch.inputs.characters_UK)
        tops, after = [], []
        for which, ids_BT in enumerate(batch.inputs.ids_BT.chunk(2)):
            outputs, cells, raw = self.encoder.run(which, words_UP[ids_BT].transpose(0, 1), states[which])
            tops.append(self.encoder.dropout(outputs[-1]).transpose(0, 1))
            after.append([(h_TBP[-1].detach(), c_TBC[-1]) for h_TBP, c_TBC in zip(raw, cells, strict=True)])
        return tops, after

    def _loss(self, top_BTP: Tensor, target_BT: Tensor, negatives: Negatives | None) -> Tensor:
        top_MP, target_M = top_BTP.flatten(0, 1), target_BT.flatten()
        if bool((target_M < 0).any()):  # beyond the end of a row
            top_MP, target_M = top_MP[target_M >= 0], target_M[target_M >= 0]
        if negatives is None:
            return cross_entropy(top_MP, self.words.weight, self.words.bias, target_M)
        return negatives.loss(top_MP, target_M, self.words)

    @torch.no_grad()
    def evaluate(self, size: int, device: torch.device, check: Callable[[], None]) -> dict[str, float]:
        """Held-out perplexity of each direction and of both, always with the full softmax."""
        source = streams.whole(self.shards, self.held_rows, size)
        rows = np.arange(len(source.starts))
        states, sums, count, unknown = self._zeros(len(rows)), [0.0, 0.0], 0, 0
        for number in range(source.windows(self.unroll)):
            check()
            batch = self._batch(source, rows, number).to(device)
            tops, states = self._read(batch, states)
            count += batch.tokens
            for which, top_BTP in enumerate(tops):
                sums[which] += float(self._loss(top_BTP, batch.targets[which], None))
            unknown += int((batch.targets[0] == self.tokenizer.unk_id).sum())
        means = [total / count for total in sums]
        told = {"perplexity": sum(means) / 2, "forward_perplexity": means[0], "backward_perplexity": means[1]}
        asked = {
            "positions": float(count),
            "unknown": unknown / count,
        }  # alike wherever perplexities are compared
        return {k: math.exp(min(v, 700.0)) for k, v in told.items()} | asked

    @torch.no_grad()
    def prefers(self, blank: str, right: str, wrong: str) -> bool | None:
        """Whether the right word is the likelier one at `___`, to both directions together; None where either is
        not one word of the vocabulary."""
        pair = [self.tokenizer.encode(word) for word in (right, wrong)]
        if any(len(ids) != 1 or ids[0] >= self.tokenizer.vocabulary for ids in pair):
            return None
        before, after = (self.tokenizer.encode(part) for part in blank.split("___"))
        device, score = self.words.bias.device, torch.zeros(2)
        for which, read in enumerate(
            ([self.tokenizer.start_id, *before], [self.tokenizer.end_id, *after[::-1]])
        ):
            spelled = self.backend.spelled(np.array([read]))
            words_UP = self.encoder.words(spelled["characters_UK"].to(device))
            outputs, _, _ = self.encoder.run(which, words_UP[spelled["ids_BT"].to(device)].transpose(0, 1))
            logits_V = self.words(outputs[-1][-1, 0])
            score += torch.stack([logits_V[ids[0]] for ids in pair]).cpu()
        return bool(score[0] > score[1])

    def _zeros(self, rows: int) -> list[list[State]]:
        return [[lstm.zeros(rows) for lstm in direction] for direction in self.encoder.directions]

    def _tensors(self, states: list[list[State]]) -> dict[str, Tensor]:
        """States by name, as a checkpoint keeps them."""
        return {
            f"{DIRECTIONS[which]}.{n}.{kind}": tensor
            for which, direction in enumerate(states)
            for n, state in enumerate(direction)
            for kind, tensor in zip("hc", state, strict=True)
        }

    def _states(self, tensors: Mapping[str, Tensor]) -> list[list[State]]:
        return [
            [(tensors[f"{name}.{n}.h"], tensors[f"{name}.{n}.c"]) for n in range(self.backend.depth)]
            for name in DIRECTIONS
        ]

    def shown(self, batch: Batch) -> list[str]:
        """What the first row is asked for, in words."""
        asked = [[self.tokenizer.form(n) for n in rows[0].tolist() if n >= 0] for rows in batch.targets]
        return [f"{name} tells  {' '.join(words)}" for name, words in zip(DIRECTIONS, asked, strict=True)]

    def heads(self) -> dict[str, Tensor]:
        return {f"softmax.{k}": v for k, v in self.words.state_dict().items()}

    def load_heads(self, tensors: Mapping[str, Tensor]) -> None:
        own = self.words.state_dict()
        for name, tensor in own.items():
            found = tensors.get(f"softmax.{name}")
            if found is None or found.shape != tensor.shape:
                raise ModelError(f"the model's softmax.{name} is missing or does not fit its vocabulary")
            tensor.copy_(found)
