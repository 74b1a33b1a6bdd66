"""Random numbers from keys. The same key gives the same number in any process, order or number of restarts, so
there is no generator state to save: a permutation is keyed by (seed, epoch), a mask by (seed, epoch, example)."""

import hashlib
from typing import Any

import numpy as np

_GOLDEN, _A, _B = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def uniform(*keys: Any) -> np.ndarray:
    """Numbers in [0, 1), one for every combination of the broadcast integer keys (SplitMix64's finalizer, chained)."""
    state = np.zeros(1, dtype=np.uint64)
    for key in keys:
        state = state + _GOLDEN + np.atleast_1d(np.asarray(key)).astype(np.uint64)
        state = (state ^ (state >> np.uint64(30))) * _A
        state = (state ^ (state >> np.uint64(27))) * _B
        state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(size: int, *keys: int) -> np.ndarray:
    """A shuffled range."""
    return np.random.default_rng(list(keys)).permutation(size)


def number(*keys: Any) -> int:
    """A 63-bit seed for a library's own generator, from any printable keys."""
    digest = hashlib.sha256("\x1f".join(map(str, keys)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
