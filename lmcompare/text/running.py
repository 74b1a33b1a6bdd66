"""Documents one after another, as one long text: what a left-to-right language model reads in windows."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lmcompare.text.shards import Shards


@dataclass(frozen=True)
class Running:
    """The documents of `order`, end to end."""

    shards: Shards
    order: np.ndarray

    @cached_property
    def borders(self) -> np.ndarray:
        """Where each document ends, in tokens."""
        starts = self.shards.sentences[self.shards.documents]
        return np.cumsum(np.diff(starts)[self.order])

    def __len__(self) -> int:
        return int(self.borders[-1]) if len(self.order) else 0

    def take(self, at: np.ndarray) -> np.ndarray:
        """The tokens at these places."""
        place = np.searchsorted(self.borders, at, side="right")
        ends = self.shards.sentences[self.shards.documents[self.order[place] + 1]]
        return self.shards.tokens[ends - (self.borders[place] - at)].astype(np.int64)
