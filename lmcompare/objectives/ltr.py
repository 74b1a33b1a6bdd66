"""A left-to-right LM over BERT's own instances (Devlin et al. 2019, §5.1, "LTR & No NSP"): what the comparison with
both directions leaves as it is are the corpus, the input's form, the network and the head."""
# ruff: noqa: TID253

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lmcompare.batches import Independent, Inputs
from lmcompare.errors import UserError
from lmcompare.objectives import word_head
from lmcompare.objectives.instances import Instances
from lmcompare.registry import objectives
from lmcompare.softmax import cross_entropy
from lmcompare.text.material import Material


@dataclass(frozen=True)
class Batch:
    inputs: Inputs
    places_M: Tensor  # in the flattened B × T: those that a token follows
    words_M: Tensor  # that token

    @property
    def tokens(self) -> int:
        return self.inputs.tokens

    def to(self, device: torch.device) -> "Batch":
        moved = {"places_M": self.places_M.to(device), "words_M": self.words_M.to(device)}
        return replace(self, inputs=self.inputs.to(device), **moved)


@objectives.register("ltr")
class Ltr(Independent, nn.Module):
    """Each token from those to its left, in BERT's own form of input."""

    weights: ClassVar[dict[str, float]] = {"lm": 1.0}
    metric = "loss"  # lower is better
    higher_is_better = False

    def __init__(self, backend: Any, *, length: int = 128, passes: int = 5, short_rate: float = 0.1) -> None:
        super().__init__()
        if not backend.settings.get("causal"):
            raise UserError(
                "objective: ltr trains an encoder that sees only what stands to the left, such as bert's with "
                "backend.causal=true"
            )
        self.instances = Instances(
            backend, length=length, passes=passes, short_rate=short_rate, random_rate=0.0
        )
        self.backend, self.encoder, self.tokenizer = backend, backend.encoder, backend.tokenizer
        self.head = word_head.WordHead(backend)

    def draw(self, seed: int) -> None:
        """Fresh weights for the head."""
        self.head.draw(torch.Generator().manual_seed(seed))

    def prepare(self, material: Material) -> None:
        """Cut the corpus into instances, and keep some documents apart."""
        self.instances.cut(material)
        self.rows, self.held_rows = self.instances.rows, self.instances.held_rows
        self.lengths = self.instances.lengths(self.rows)

    def batch(self, chosen: np.ndarray, epoch: int) -> Batch:
        return asked(self.instances.inputs(self.rows[chosen]))

    def counts(self, batch: Batch) -> dict[str, float]:
        return {"lm": len(batch.words_M)}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        top_MD = self.encoder(batch.inputs)[-1].flatten(0, 1)[batch.places_M]
        return {"lm": cross_entropy(self.head(top_MD), self.backend.tied, self.head.bias, batch.words_M)}

    @torch.no_grad()
    def evaluate(self, size: int, device: torch.device, check: Callable[[], None]) -> dict[str, float]:
        """Held-out loss and perplexity of a token."""
        total, tokens = 0.0, 0
        order = np.argsort(self.instances.lengths(self.held_rows), kind="stable")
        for chosen in np.split(order, range(size, len(order), size)):
            check()
            batch = asked(self.instances.inputs(self.held_rows[chosen])).to(device)
            total += float(self.losses(batch)["lm"])
            tokens += len(batch.words_M)
        return {"loss": total / tokens, "perplexity": math.exp(min(total / tokens, 700.0))}

    @torch.no_grad()
    def prefers(self, blank: str, right: str, wrong: str) -> bool | None:
        """Whether the text with the right word at `___` is the likelier one; None where either is more than one
        piece."""
        if any(len(self.tokenizer.encode(word)) != 1 for word in (right, wrong)):
            return None
        scores = []
        for word in (right, wrong):
            view = self.backend.view([self.tokenizer.encode(blank.replace("___", word))])
            batch = asked(self.backend.stack([view])).to(self.head.bias.device)
            scores.append(-float(self.losses(batch)["lm"]))
        return scores[0] > scores[1]

    def shown(self, batch: Batch) -> list[str]:
        """The first instance of a batch, in words."""
        return [f"tells   {' '.join(self.tokenizer.pieces[i] for i in batch.inputs.ids_BT[0].tolist()[1:])}"]

    def heads(self) -> dict[str, Tensor]:
        """The head under the names that `transformers` gives it."""
        return self.head.named()

    def load_heads(self, tensors: dict[str, Tensor]) -> None:
        """The head back from a folder that it was saved to."""
        word_head.take(self.heads(), tensors)


def asked(inputs: Inputs) -> Batch:
    """Every real token but the first, from the place before it."""
    ids_BT = inputs.ids_BT
    T = ids_BT.shape[1]
    real_BT = torch.ones_like(ids_BT, dtype=torch.bool) if inputs.mask_BT is None else inputs.mask_BT
    at_M = torch.nonzero(real_BT[:, 1:].flatten())[:, 0]
    places_M = at_M + at_M // (T - 1)
    return Batch(inputs, places_M, ids_BT.flatten()[places_M + 1])
