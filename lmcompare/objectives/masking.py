"""Which tokens a masked language model does not see, and what stands in their place (Devlin et al. 2019, §A.1; whole
words as in the authors' later release)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lmcompare import randomness
from lmcompare.errors import UserError

PLACES, KINDS, WORDS = 1, 2, 3  # what a keyed random number is for


@dataclass(frozen=True)
class Masking:
    """`rate` of a view's tokens ([CLS] and [SEP] count, but are never chosen), at most `most`, are hidden; `strategy`
    are the shares of those that become [MASK], stay as they are, or become any piece of the vocabulary."""

    tokenizer: Any
    rate: float = 0.15
    strategy: tuple[float, ...] = (0.8, 0.1, 0.1)
    most: int | None = None
    whole_words: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise UserError(f"objective.mask_rate: {self.rate} is not within 0 and 1")
        if len(self.strategy) != 3:
            told = "those that become [MASK], stay as they are, or become any piece"
            raise UserError(f"objective.mask_strategy: {self.strategy}: three shares are needed: of {told}")
        if min(self.strategy) < 0 or abs(sum(self.strategy) - 1) > 1e-6:
            raise UserError(f"objective.mask_strategy: {self.strategy} are not three shares that make 1")
        if self.most is not None and self.most < 1:
            raise UserError(f"objective.most_masked: {self.most} is less than 1")
        if self.whole_words and not self.inside.any():
            raise UserError("objective.whole_words: no piece of this vocabulary goes on with a word (##)")

    def hide(
        self, ids_BT: np.ndarray, lengths_B: np.ndarray, numbers_B: np.ndarray, key: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The ids as they are shown, the hidden places in the flattened B × T, and what stood there; a function of the
        key and the views' numbers."""
        ids_BT = ids_BT.copy()
        T = ids_BT.shape[1]

        def draw(purpose: int) -> np.ndarray:
            return randomness.uniform(*key, purpose, numbers_B[:, None], np.arange(T)[None])

        chosen_BT = self._chosen(ids_BT, lengths_B, draw(PLACES))
        words_M = ids_BT[chosen_BT]
        kind_M, other_M = draw(KINDS)[chosen_BT], draw(WORDS)[chosen_BT]
        masked, kept, _ = self.strategy
        random_M = (other_M * self.tokenizer.size).astype(np.int64)  # specials too, as the original does
        hidden_M = np.where(kind_M < masked, self.tokenizer.mask_id, random_M)
        ids_BT[chosen_BT] = np.where((kind_M >= masked) & (kind_M < masked + kept), words_M, hidden_M)
        return ids_BT, np.flatnonzero(chosen_BT), words_M

    def _chosen(self, ids_BT: np.ndarray, lengths_B: np.ndarray, lot_BT: np.ndarray) -> np.ndarray:
        special = [self.tokenizer.cls_id, self.tokenizer.sep_id, self.tokenizer.pad_id]
        lot_BT = np.where(np.isin(ids_BT, special), 2.0, lot_BT)  # 2: never
        wanted_B = np.maximum(1, np.round(lengths_B * self.rate)).astype(int)
        if self.most is not None:
            wanted_B = np.minimum(wanted_B, self.most)
        if self.whole_words:
            inside_BT = self.inside[ids_BT]
            rows = zip(lot_BT, inside_BT, wanted_B.tolist(), strict=True)
            return np.stack([whole_words(lot_T, inside_T, wanted) for lot_T, inside_T, wanted in rows])
        rank_BT = lot_BT.argsort(1).argsort(1)
        return (rank_BT < wanted_B[:, None]) & (lot_BT < 1.0)

    @cached_property
    def inside(self) -> np.ndarray:
        """Of every piece, whether it goes on with the word before it."""
        return np.array([piece.startswith("##") for piece in self.tokenizer.pieces])


def whole_words(lot_T: np.ndarray, inside_T: np.ndarray, wanted: int) -> np.ndarray:
    """Words in the order of their first piece's lot, all pieces of one or none, while they fit. What is left of a word
    that was cut off at the front counts as one; the released script adds it to the text before."""
    candidate_T = lot_T < 1.0
    goes_on_T = inside_T & candidate_T
    goes_on_T[1:] &= candidate_T[:-1]  # a piece cut off from its word is one by itself
    goes_on_T[0] = False
    starts = np.flatnonzero(candidate_T & ~goes_on_T)
    word_T = np.cumsum(candidate_T & ~goes_on_T) - 1
    sizes = np.bincount(word_T[candidate_T], minlength=len(starts))
    taken, left = [], wanted
    for word in np.argsort(lot_T[starts], kind="stable").tolist():
        if left == 0:
            break
        if sizes[word] <= left:
            taken.append(word)
            left -= sizes[word]
    return candidate_T & np.isin(word_T, taken)
