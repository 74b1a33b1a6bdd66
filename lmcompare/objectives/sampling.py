"""A softmax over a few words in place of all (Jean et al. 2015, §3): the right one, and others drawn by frequency."""
# ruff: noqa: TID253

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from lmcompare.softmax import sampled_cross_entropy


@dataclass(frozen=True)
class Negatives:
    """Different words S, and how often each word of the vocabulary was to be expected among them."""

    words_S: Tensor
    expected_V: Tensor  # its logarithm

    def to(self, device: torch.device) -> "Negatives":
        return replace(self, words_S=self.words_S.to(device), expected_V=self.expected_V.to(device))

    def loss(self, top_MP: Tensor, target_M: Tensor, softmax: nn.Linear) -> Tensor:
        """Cross-entropy, summed; every logit is set right by how often its word was to be expected."""
        right_M = (top_MP * softmax.weight[target_M]).sum(-1) + softmax.bias[target_M]
        right_M = right_M - self.expected_V[target_M]
        sorted_S, order_S = self.words_S.sort()
        found_M = torch.searchsorted(sorted_S, target_M).clamp(max=len(sorted_S) - 1)
        place_M = torch.where(sorted_S[found_M] == target_M, order_S[found_M], -1)
        bias_S = softmax.bias[self.words_S] - self.expected_V[self.words_S]
        return sampled_cross_entropy(top_MP, softmax.weight[self.words_S], bias_S, place_M, right_M)


def log_uniform(count: int, vocabulary: int, *key: int) -> Negatives:
    """`count` different words; word n is drawn with the share log((n + 2) / (n + 1)) / log(V + 1), which is Zipf's law
    where words are numbered by falling frequency."""
    generator = np.random.default_rng(list(key))
    drawn = np.zeros(0, dtype=np.int64)
    while True:
        more = np.exp(generator.random(2 * count) * np.log(vocabulary + 1)).astype(np.int64) - 1
        drawn = np.concatenate([drawn, np.clip(more, 0, vocabulary - 1)])
        _, first = np.unique(drawn, return_index=True)
        if len(first) >= count:
            break
    first = np.sort(first)[:count]
    tries = int(first[-1]) + 1
    share_V = np.diff(np.log(np.arange(1, vocabulary + 2))) / np.log(vocabulary + 1)
    expected_V = -np.expm1(tries * np.log1p(-share_V))
    return Negatives(torch.from_numpy(drawn[first]), torch.from_numpy(np.log(expected_V).astype(np.float32)))
