"""Masked LM and next-sentence prediction (Devlin et al. 2019, §3.1): the loss is the sum of the two. `mlm` leaves the
second out, and its second halves always follow (§5.1, "No NSP")."""
# ruff: noqa: TID253

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcompare.batches import Independent, Inputs
from lmcompare.errors import UserError
from lmcompare.nn import draw_weights
from lmcompare.objectives import word_head
from lmcompare.objectives.instances import Instances
from lmcompare.objectives.masking import Masking
from lmcompare.registry import objectives
from lmcompare.text.material import Material


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
    random_rate = 0.5  # of the second halves come from elsewhere
    metric = "loss"  # lower is better
    higher_is_better = False

    def __init__(
        self,
        backend: Any,
        *,
        length: int = 128,
        mask_rate: float = 0.15,
        mask_strategy: tuple[float, ...] = (0.8, 0.1, 0.1),  # [MASK], kept, random
        most_masked: int | None = None,  # the released script: 20 at 128 tokens, 77 at 512
        whole_words: bool = False,
        masking: Literal["dynamic", "static"] = "dynamic",
        passes: int = 5,  # over the corpus, each cut (and, where static, masked) otherwise: dupe_factor
        short_rate: float = 0.1,
    ) -> None:
        super().__init__()
        if getattr(backend, "causal", False) or not hasattr(backend, "view"):
            raise UserError(
                "objective: a masked language model trains an encoder that sees both sides of a word, such as bert; "
                "one that sees the left alone (backend.causal=true) learns by objective.name=ltr"
            )
        self.instances = Instances(
            backend, length=length, passes=passes, short_rate=short_rate, random_rate=self.random_rate
        )
        self.masks = Masking(backend.tokenizer, mask_rate, mask_strategy, most_masked, whole_words)
        self.backend, self.encoder, self.tokenizer = backend, backend.encoder, backend.tokenizer
        self.masking = masking
        self.head = word_head.WordHead(backend)
        self.next_sentence = nn.Linear(backend.width, 2) if "nsp" in self.weights else None

    def draw(self, seed: int) -> None:
        """Fresh weights for the heads."""
        generator = torch.Generator().manual_seed(seed)
        self.head.draw(generator)
        if self.next_sentence is not None:
            draw_weights(self.next_sentence, std=self.backend.settings["init_std"], generator=generator)

    def prepare(self, material: Material) -> None:
        """Cut the corpus into instances, and keep some documents apart."""
        self.instances.cut(material)
        self.rows, self.held_rows = self.instances.rows, self.instances.held_rows
        self.seed, self.lengths = material.seed, self.instances.lengths(self.rows)

    def batch(self, chosen: np.ndarray, epoch: int) -> Batch:
        """The chosen instances with the masks of this epoch (of every epoch, where they are static)."""
        key = 0 if self.masking == "static" else epoch
        return self._batch(self.rows[chosen], chosen, (self.seed, key))

    def counts(self, batch: Batch) -> dict[str, float]:
        known = {"mlm": len(batch.words_M), "nsp": len(batch.random_B)}
        return {name: known[name] for name in self.weights}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        words_MV, next_B2 = self(batch)
        found = {"mlm": F.cross_entropy(words_MV.float(), batch.words_M, reduction="sum")}
        if next_B2 is not None:
            found["nsp"] = F.cross_entropy(next_B2.float(), batch.random_B, reduction="sum")
        return found

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Logits of the masked words only, and of the next-sentence decision."""
        top_BTD = self.encoder(batch.inputs)[-1]
        masked_MD = self.head(top_BTD.flatten(0, 1)[batch.places_M])
        words_MV = F.linear(masked_MD, self.backend.tied, self.head.bias)
        if self.next_sentence is None:
            return words_MV, None
        return words_MV, self.next_sentence(self.encoder.pool(top_BTD, batch.inputs.pool_B))

    @torch.no_grad()
    def evaluate(self, size: int, device: torch.device, check: Callable[[], None]) -> dict[str, float]:
        """Held-out masked-word accuracy and perplexity, and next-sentence accuracy; the masks are always the same."""
        sums = dict.fromkeys(("mlm", "nsp", "words", "right", "pairs", "told"), 0.0)
        order = np.argsort(self.instances.lengths(self.held_rows), kind="stable")
        for chosen in np.split(order, range(size, len(order), size)):
            check()
            batch = self._batch(self.held_rows[chosen], chosen, (0, 0)).to(device)
            words_MV, next_B2 = self(batch)
            sums["mlm"] += float(F.cross_entropy(words_MV, batch.words_M, reduction="sum"))
            sums["right"] += float((words_MV.argmax(-1) == batch.words_M).sum())
            sums["words"] += len(batch.words_M)
            if next_B2 is not None:
                sums["nsp"] += float(F.cross_entropy(next_B2, batch.random_B, reduction="sum"))
                sums["told"] += float((next_B2.argmax(-1) == batch.random_B).sum())
                sums["pairs"] += len(batch.random_B)
        mlm = sums["mlm"] / sums["words"]
        figures = {
            "loss": mlm,
            "mlm_accuracy": sums["right"] / sums["words"],
            "perplexity": math.exp(min(mlm, 700.0)),
        }
        if self.next_sentence is None:
            return figures
        nsp = sums["nsp"] / sums["pairs"]
        return {**figures, "loss": mlm + nsp, "nsp_accuracy": sums["told"] / sums["pairs"]}

    @torch.no_grad()
    def prefers(self, blank: str, right: str, wrong: str) -> bool | None:
        """Whether the right word is the likelier one at `___`; None where either is more than one piece."""
        pair = [self.tokenizer.encode(word) for word in (right, wrong)]
        if any(len(pieces) != 1 for pieces in pair):
            return None
        view = self.backend.view([self.tokenizer.encode(blank.replace("___", "[MASK]"))])
        inputs = self.backend.stack([view]).to(self.head.bias.device)
        place = torch.tensor([list(view.ids).index(self.tokenizer.mask_id)], device=self.head.bias.device)
        logits_V = self(Batch(inputs, place, place, place))[0][0]
        return bool(logits_V[pair[0][0]] > logits_V[pair[1][0]])

    def shown(self, batch: Batch) -> list[str]:
        """The first instance of a batch, in words."""
        pieces = self.tokenizer.pieces
        relation = "comes from elsewhere" if int(batch.random_B[0]) else "follows"
        judged = [f"judges  the second half {relation}"] if self.next_sentence is not None else []
        return [
            f"sees    {' '.join(pieces[i] for i in batch.inputs.ids_BT[0].tolist())}",
            f"tells   {' '.join(pieces[i] for i in batch.words_M.tolist())}",
            *judged,
        ]

    def heads(self) -> dict[str, Tensor]:
        """The heads under the names that `transformers` gives them."""
        named = self.head.named()
        if self.next_sentence is not None:
            named["cls.seq_relationship.weight"] = self.next_sentence.weight
            named["cls.seq_relationship.bias"] = self.next_sentence.bias
        return named

    def load_heads(self, tensors: dict[str, Tensor]) -> None:
        """The heads back from a folder that they were saved to."""
        word_head.take(self.heads(), tensors)

    def _batch(self, rows: np.ndarray, numbers: np.ndarray, key: tuple[int, int]) -> Batch:
        inputs = self.instances.inputs(rows)
        lengths_B = self.instances.lengths(rows)
        ids_BT, places_M, words_M = self.masks.hide(inputs.ids_BT.numpy(), lengths_B, numbers, key)
        return Batch(
            replace(inputs, ids_BT=torch.from_numpy(ids_BT)),
            torch.from_numpy(places_M),
            torch.from_numpy(words_M),
            torch.from_numpy(rows[:, 4].copy()),
        )


@objectives.register("mlm")
class Mlm(MlmNsp):
    """Masked LM alone; every second half follows the first."""

    weights: ClassVar[dict[str, float]] = {"mlm": 1.0}
    random_rate = 0.0
