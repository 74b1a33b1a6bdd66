"""Masked LM and next-sentence prediction (Devlin et al. 2019, §3.1): the loss is the sum of the two."""
# ruff: noqa: TID253

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcompare import randomness
from lmcompare.batches import Independent, Inputs
from lmcompare.errors import UserError
from lmcompare.nn import draw_weights
from lmcompare.registry import activations, objectives
from lmcompare.text import pairs
from lmcompare.text.shards import Shards
from lmcompare.types import View

SHORTEST = 8  # tokens an instance
HELD_OUT = 1024  # most instances that the held-out figures are taken from
MASKS, KINDS, WORDS = 1, 2, 3  # what a keyed random number is for


@dataclass(frozen=True)
class Batch:
    inputs: Inputs
    places_M: Tensor  # masked positions in the flattened B × T
    words_M: Tensor  # what stood there
    random_B: Tensor  # 1 where the second half comes from elsewhere

    @property
    def tokens(self) -> int:
        return self.inputs.tokens

    def to(self, device: torch.device) -> "Batch":
        moved = {k: getattr(self, k).to(device) for k in ("places_M", "words_M", "random_B")}
        return replace(self, inputs=self.inputs.to(device), **moved)


@objectives.register("mlm_nsp")
class MlmNsp(Independent, nn.Module):
    """Masked LM and next-sentence prediction."""

    weights: ClassVar[dict[str, float]] = {"mlm": 1.0, "nsp": 1.0}
    metric = "loss"  # lower is better
    higher_is_better = False

    def __init__(
        self,
        backend: Any,
        *,
        length: int = 128,
        mask_rate: float = 0.15,
        mask_strategy: tuple[float, float, float] = (0.8, 0.1, 0.1),  # [MASK], kept, random
        masking: Literal["dynamic", "static"] = "dynamic",
        passes: int = 5,
        short_rate: float = 0.1,
    ) -> None:
        super().__init__()
        if not SHORTEST <= length <= backend.longest:
            raise UserError(
                f"objective.length: {length} is not from {SHORTEST} to the model's {backend.longest}"
            )
        if passes < 1 or not 0 < mask_rate < 1 or not 0 <= short_rate <= 1:
            raise UserError("objective: passes is at least 1, mask_rate within 0 and 1, short_rate 0 to 1")
        if min(mask_strategy) < 0 or abs(sum(mask_strategy) - 1) > 1e-6:
            raise UserError(f"objective.mask_strategy: {mask_strategy} are not three shares that make 1")
        self.backend, self.encoder, self.tokenizer = backend, backend.encoder, backend.tokenizer
        self.length, self.mask_rate, self.mask_strategy = length, mask_rate, mask_strategy
        self.masking, self.passes, self.short_rate = masking, passes, short_rate
        self.transform = nn.Linear(backend.width, backend.width)
        self.transform_norm = nn.LayerNorm(backend.width, eps=backend.settings["epsilon"])
        self.word_bias = nn.Parameter(torch.zeros(self.tokenizer.size))
        self.next_sentence = nn.Linear(backend.width, 2)
        self.activation = activations.get(backend.settings["activation"])

    def draw(self, seed: int) -> None:
        """Fresh weights for the two heads."""
        generator = torch.Generator().manual_seed(seed)
        for head in (self.transform, self.next_sentence):
            draw_weights(head, std=self.backend.settings["init_std"], generator=generator)

    def prepare(
        self,
        shards: Shards,
        holdout: float,
        seed: int,
        check: Callable[[], None],
        *,
        held_out_only: bool = False,
    ) -> None:
        """Cut the corpus into instances, and keep some documents apart."""
        train, held = shards.split(holdout)
        cut = partial(pairs.make, shards, length=self.length, short_rate=self.short_rate, check=check)
        self.rows = cut(train, passes=0 if held_out_only else self.passes, seed=seed)
        self.held_rows = cut(held, passes=1, seed=0)[:HELD_OUT]
        self.shards, self.seed = shards, seed
        self.lengths = self._lengths(self.rows)

    def batch(self, chosen: np.ndarray, epoch: int) -> Batch:
        """The chosen instances with the masks of this epoch (of every epoch, where they are static)."""
        key = 0 if self.masking == "static" else epoch
        return self._batch(self.rows[chosen], chosen, (self.seed, key))

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"mlm": len(batch.words_M), "nsp": len(batch.random_B)}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        words_MV, next_B2 = self(batch)
        return {
            "mlm": F.cross_entropy(words_MV.float(), batch.words_M, reduction="sum"),
            "nsp": F.cross_entropy(next_B2.float(), batch.random_B, reduction="sum"),
        }

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of the masked words only, and of the next-sentence decision."""
        top_BTD = self.encoder(batch.inputs)[-1]
        masked_MD = top_BTD.flatten(0, 1)[batch.places_M]
        masked_MD = self.transform_norm(self.activation(self.transform(masked_MD)))
        words_MV = F.linear(masked_MD, self.backend.tied, self.word_bias)
        return words_MV, self.next_sentence(self.encoder.pool(top_BTD, batch.inputs.pool_B))

    @torch.no_grad()
    def evaluate(self, size: int, device: torch.device, check: Callable[[], None]) -> dict[str, float]:
        """Held-out masked-word accuracy and perplexity, and next-sentence accuracy; the masks are always the same."""
        sums = dict.fromkeys(("mlm", "nsp", "words", "right", "pairs", "told"), 0.0)
        order = np.argsort(self._lengths(self.held_rows), kind="stable")
        for chosen in np.split(order, range(size, len(order), size)):
            check()
            batch = self._batch(self.held_rows[chosen], chosen, (0, 0)).to(device)
            words_MV, next_B2 = self(batch)
            sums["mlm"] += float(F.cross_entropy(words_MV, batch.words_M, reduction="sum"))
            sums["nsp"] += float(F.cross_entropy(next_B2, batch.random_B, reduction="sum"))
            sums["right"] += float((words_MV.argmax(-1) == batch.words_M).sum())
            sums["told"] += float((next_B2.argmax(-1) == batch.random_B).sum())
            sums["words"] += len(batch.words_M)
            sums["pairs"] += len(batch.random_B)
        mlm, nsp = sums["mlm"] / sums["words"], sums["nsp"] / sums["pairs"]
        return {
            "loss": mlm + nsp,
            "mlm_accuracy": sums["right"] / sums["words"],
            "perplexity": math.exp(min(mlm, 700.0)),
            "nsp_accuracy": sums["told"] / sums["pairs"],
        }

    @torch.no_grad()
    def prefers(self, blank: str, right: str, wrong: str) -> bool | None:
        """Whether the right word is the likelier one at `___`; None where either is more than one piece."""
        pair = [self.tokenizer.encode(word) for word in (right, wrong)]
        if any(len(pieces) != 1 for pieces in pair):
            return None
        ids, segments = self.backend.sequence([self.tokenizer.encode(blank.replace("___", "[MASK]"))])
        inputs = self.backend.stack([View(ids, segments)]).to(self.word_bias.device)
        place = torch.tensor([ids.index(self.tokenizer.mask_id)], device=self.word_bias.device)
        logits_V = self(Batch(inputs, place, place, place))[0][0]
        return bool(logits_V[pair[0][0]] > logits_V[pair[1][0]])

    def shown(self, batch: Batch) -> list[str]:
        """The first instance of a batch, in words."""
        pieces = self.tokenizer.pieces
        relation = "comes from elsewhere" if int(batch.random_B[0]) else "follows"
        return [
            f"sees    {' '.join(pieces[i] for i in batch.inputs.ids_BT[0].tolist())}",
            f"tells   {' '.join(pieces[i] for i in batch.words_M.tolist())}",
            f"judges  the second half {relation}",
        ]

    def heads(self) -> dict[str, Tensor]:
        """The two heads under the names that `transformers` gives them."""
        return {
            "cls.predictions.bias": self.word_bias,
            "cls.predictions.transform.dense.weight": self.transform.weight,
            "cls.predictions.transform.dense.bias": self.transform.bias,
            "cls.predictions.transform.LayerNorm.weight": self.transform_norm.weight,
            "cls.predictions.transform.LayerNorm.bias": self.transform_norm.bias,
            "cls.seq_relationship.weight": self.next_sentence.weight,
            "cls.seq_relationship.bias": self.next_sentence.bias,
        }

    @torch.no_grad()
    def load_heads(self, tensors: dict[str, Tensor]) -> None:
        """The heads back from a folder that they were saved to."""
        for name, own in self.heads().items():
            own.copy_(tensors[name])

    def _lengths(self, rows: np.ndarray) -> np.ndarray:
        return rows[:, 1] - rows[:, 0] + rows[:, 3] - rows[:, 2] + 3

    def _batch(self, rows: np.ndarray, numbers: np.ndarray, key: tuple[int, int]) -> Batch:
        tokens = self.shards.tokens
        views = []
        for a0, a1, b0, b1, _ in rows.tolist():
            ids, segments = self.backend.sequence([tokens[a0:a1].tolist(), tokens[b0:b1].tolist()])
            views.append(View(ids, segments))
        inputs = self.backend.stack(views)
        ids_BT, places_M, words_M = self._mask(inputs, self._lengths(rows), numbers, key)
        return Batch(
            replace(inputs, ids_BT=torch.from_numpy(ids_BT)),
            torch.from_numpy(places_M),
            torch.from_numpy(words_M),
            torch.from_numpy(rows[:, 4].copy()),
        )

    def _mask(
        self, inputs: Inputs, lengths_B: np.ndarray, numbers_B: np.ndarray, key: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Choose 15 % of each view's tokens ([CLS] and [SEP] count, but are never chosen) and hide them."""
        ids_BT = inputs.ids_BT.numpy().copy()
        T = ids_BT.shape[1]

        def draw(purpose: int) -> np.ndarray:
            return randomness.uniform(*key, purpose, numbers_B[:, None], np.arange(T)[None])

        special = [self.tokenizer.cls_id, self.tokenizer.sep_id, self.tokenizer.pad_id]
        lot_BT = np.where(np.isin(ids_BT, special), 2.0, draw(MASKS))
        wanted_B = np.maximum(1, np.round(lengths_B * self.mask_rate)).astype(int)
        rank_BT = lot_BT.argsort(1).argsort(1)
        chosen_BT = (rank_BT < wanted_B[:, None]) & (lot_BT < 1.0)
        words_M = ids_BT[chosen_BT]
        kind_M, other_M = draw(KINDS)[chosen_BT], draw(WORDS)[chosen_BT]
        masked, kept, _ = self.mask_strategy
        random_M = (other_M * self.tokenizer.size).astype(np.int64)  # specials too, as the original does
        hidden_M = np.where(kind_M < masked, self.tokenizer.mask_id, random_M)
        ids_BT[chosen_BT] = np.where((kind_M >= masked) & (kind_M < masked + kept), words_M, hidden_M)
        return ids_BT, np.flatnonzero(chosen_BT), words_M
