"""Skip-gram with negative sampling (Mikolov et al. 2013b, §2.2 and §2.3): a word's vector tells which words stand
around it from words that do not.

The negatives of a stretch of text are drawn once and shared by its words, so that all scores are matrix products;
each is weighted to count for as many as the paper draws, which leaves the expected loss as it is.
"""
# ruff: noqa: TID253

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcompare import randomness
from lmcompare.batches import Independent
from lmcompare.errors import DataError, ModelError, UserError
from lmcompare.registry import objectives
from lmcompare.text.contexts import spans, stretches
from lmcompare.text.material import Material

KEPT, WINDOWS, NEGATIVES = 1, 2, 3  # what a keyed random number is for
HEAD = "skipgram.words.weight"


@dataclass(frozen=True)
class Batch:
    ids_BT: Tensor  # the words that were kept; their places after the last one are never paired
    pairs_M: Tensor  # (word, word near it) in the flattened B × T × T
    near_BT: Tensor  # how many words near it each word is paired with
    negatives_BN: Tensor
    tokens: int  # words read, kept or not

    def to(self, device: torch.device) -> "Batch":
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)


@objectives.register("skipgram")
class SkipGram(Independent, nn.Module):
    """Skip-gram with negative sampling: one vector a word, from the words around it."""

    weights: ClassVar[dict[str, float]] = {"skipgram": 1.0}
    metric = "loss"  # lower is better
    higher_is_better = False

    def __init__(
        self,
        backend: Any,
        *,
        window: int = 5,  # most words to either side; each word's own window is 1 to this
        negatives: int = 5,  # that a pair counts against
        shared: int = 32,  # negatives drawn for a stretch
        power: float = 0.75,  # of the counts that negatives are drawn by
        subsample: float = 1e-4,  # words of a greater share are skipped now and then; 0: none
        length: int = 100,  # most words a stretch
    ) -> None:
        super().__init__()
        if getattr(backend, "depth", None) != 0 or not hasattr(backend.tokenizer, "vocabulary"):
            raise UserError("objective: skipgram trains a backend with one vector a word, such as static")
        if min(window, negatives, shared) < 1 or power < 0 or subsample < 0 or length < 2:
            raise UserError(
                "objective: window, negatives and shared are at least 1, power and subsample at least 0, length 2"
            )
        self.backend, self.encoder, self.tokenizer = backend, backend.encoder, backend.tokenizer
        self.window, self.negatives, self.shared = window, negatives, shared
        self.power, self.subsample, self.length = power, subsample, length
        self.near = nn.Embedding(self.tokenizer.vocabulary, backend.width)

    def draw(self, seed: int) -> None:
        """The words around a word begin at zero, as the authors' program has it."""
        with torch.no_grad():
            self.near.weight.zero_()

    def prepare(self, material: Material) -> None:
        """Cut the corpus into stretches, and count the words of those that are learned from."""
        shards, (train, held) = material.shards, material.split()
        rows = stretches(shards, train, self.length)
        self.rows, self.held_rows = (
            rows[:0] if material.held_out_only else rows,
            stretches(shards, held, self.length),
        )
        self.shards, self.seed, self.lengths = shards, material.seed, self.rows[:, 1] - self.rows[:, 0]
        self.counted = np.zeros(self.tokenizer.vocabulary, dtype=np.int64)
        for part in np.array_split(rows, max(1, len(rows) // 10_000)):
            material.check()
            self.counted += np.bincount(self._ids(spans(part)), minlength=len(self.counted))
        shares = self.counted / self.counted.sum()
        with np.errstate(divide="ignore"):
            self.kept = (
                np.minimum(1.0, np.sqrt(self.subsample / shares)) if self.subsample else np.ones_like(shares)
            )
        raised = np.cumsum(np.where(self.counted > 0, self.counted.astype(float) ** self.power, 0.0))
        self.drawn = raised / raised[-1]

    def batch(self, chosen: np.ndarray, epoch: int) -> Batch:
        return self._batch(self.rows[chosen], (self.seed, epoch))

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"skipgram": float(len(batch.pairs_M))}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """−log σ(v·u) for every pair, and −log σ(−v·u) for the negatives that each of its pairs counts against."""
        word_BTD = self.encoder.words(batch.ids_BT)
        pair_M = (word_BTD @ self.near(batch.ids_BT).mT).flatten()[batch.pairs_M].float()
        apart_BT = F.softplus((word_BTD @ self.near(batch.negatives_BN).mT).float()).sum(-1)
        each = self.negatives / self.shared
        return {"skipgram": F.softplus(-pair_M).sum() + each * (apart_BT * batch.near_BT).sum()}

    @torch.no_grad()
    def evaluate(self, size: int, device: torch.device, check: Callable[[], None]) -> dict[str, float]:
        """The loss a pair on held-out documents, always with the same windows and negatives."""
        total = pairs = 0.0
        for rows in np.array_split(self.held_rows, -(-len(self.held_rows) // size)):
            check()
            batch = self._batch(rows, (0, 0)).to(device)
            total += float(self.losses(batch)["skipgram"])
            pairs += len(batch.pairs_M)
        if not pairs:
            raise DataError(
                "no held-out sentence has two words that stand near each other: nothing can be measured"
            )
        return {"loss": total / pairs, "pairs": pairs}

    @torch.no_grad()
    def prefers(self, blank: str, right: str, wrong: str) -> bool | None:
        """Whether the right word is the likelier one at `___`, by the words around it: v·u is how much likelier near
        a word is beside it than elsewhere (Levy & Goldberg 2014), so what is left is to add how common it is."""
        pair = [self.tokenizer.encode(word) for word in (right, wrong)]
        if any(len(ids) != 1 or ids[0] >= self.tokenizer.vocabulary for ids in pair):
            return None
        before, after = (self.tokenizer.encode(part) for part in blank.split("___"))
        around = self.tokenizer.targets(
            np.array([*before[-self.window :], *after[: self.window]], dtype=np.int64)
        )
        words = torch.tensor([ids[0] for ids in pair], device=self.near.weight.device)
        near_ND = self.near(torch.from_numpy(around).to(words.device))
        score_2 = (self.encoder.words(words) @ near_ND.mT).sum(1).cpu()
        score_2 += torch.from_numpy(np.log(self.counted[words.cpu().numpy()] + 1.0))
        return bool(score_2[0] > score_2[1])

    def shown(self, batch: Batch) -> list[str]:
        """The first stretch of a batch, and what its first word is set against."""
        form, T = self.tokenizer.form, batch.ids_BT.shape[1]
        words = [form(n) for n in batch.ids_BT[0].tolist()]
        near = [words[m % T] for m in batch.pairs_M.tolist() if m < T]
        return [
            f"keeps   {' '.join(words)}",
            f"tells   {' '.join(near)}  from {words[0]}",
            f"against {' '.join(form(n) for n in batch.negatives_BN[0].tolist())}",
        ]

    def heads(self) -> dict[str, Tensor]:
        return {HEAD: self.near.weight}

    @torch.no_grad()
    def load_heads(self, tensors: Mapping[str, Tensor]) -> None:
        found = tensors.get(HEAD)
        if found is None or found.shape != self.near.weight.shape:
            raise ModelError(f"the model's {HEAD} is missing or does not fit its vocabulary")
        self.near.weight.copy_(found)

    def _ids(self, tokens: np.ndarray) -> np.ndarray:
        return self.tokenizer.targets(self.shards.tokens[tokens].astype(np.int64))

    def _batch(self, rows: np.ndarray, key: tuple[int, int]) -> Batch:
        """What stays, who is near whom, and the negatives hang on the place in the corpus, not on the batch."""
        tokens = spans(rows)
        ids = self._ids(tokens)
        stays = randomness.uniform(*key, KEPT, tokens) < self.kept[ids]
        row = np.repeat(np.arange(len(rows)), rows[:, 1] - rows[:, 0])[stays]
        sizes_B = np.bincount(row, minlength=len(rows))
        place = spans(np.stack([np.zeros_like(sizes_B), sizes_B], 1))
        T = max(1, int(sizes_B.max()))
        ids_BT = np.zeros((len(rows), T), dtype=np.int64)
        reach_BT, of_BT = np.zeros_like(ids_BT), np.full_like(ids_BT, -1)
        ids_BT[row, place] = ids[stays]
        reach_BT[row, place] = 1 + self.window * randomness.uniform(*key, WINDOWS, tokens[stays])
        of_BT[row, place] = np.searchsorted(self.shards.sentences, tokens[stays], side="right")
        apart_TT = np.abs(np.arange(T)[:, None] - np.arange(T))
        near_BTT = apart_TT <= reach_BT[:, :, None]
        near_BTT &= (apart_TT > 0) & (of_BT[:, :, None] == of_BT[:, None, :])
        lots_BN = randomness.uniform(*key, NEGATIVES, rows[:, :1], np.arange(self.shared)[None])
        negatives_BN = np.searchsorted(self.drawn, lots_BN, side="right")
        return Batch(
            torch.from_numpy(ids_BT),
            torch.from_numpy(np.flatnonzero(near_BTT)),
            torch.from_numpy(near_BTT.sum(2).astype(np.float32)),
            torch.from_numpy(negatives_BN),
            len(tokens),
        )
