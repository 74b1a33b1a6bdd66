"""Language models that are counted, not trained: n-grams, smoothed as Kneser and Ney (1995) do it.

Every word of a context lengthens the context before it, so a context is a number, and an n-gram the number of its
context with a word: whatever the order, it fits one 64-bit key, and counting is sorting.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lmcompare import files
from lmcompare.errors import ModelError, UserError
from lmcompare.registry import ngrams
from lmcompare.text.contexts import asked
from lmcompare.text.shards import Shards
from lmcompare.text.words import Words

LONGEST = 5
CHUNK = 1 << 20  # positions scored at a time
USUAL = (0.5, 1.0, 1.5)  # discounts where the counts of counts give none, as in KenLM
TABLES = "counts.safetensors"


@ngrams.register("kneser-ney")
class KneserNey:
    """Interpolated Kneser-Ney: n-gram counts, each order smoothed by the next shorter one (Chen & Goodman 1999)."""

    def __init__(
        self,
        tokenizer: Words,
        *,
        order: int = 3,
        discounts: Literal[
            "modified", "single"
        ] = "modified",  # three a length: of one, two, more occurrences
    ) -> None:
        if not 2 <= order <= LONGEST:
            raise UserError(f"ngrams.order: {order} is not from 2 to {LONGEST}")
        self.tokenizer, self.order, self.discounts = tokenizer, order, discounts
        self.events = tokenizer.vocabulary - 1  # all but a sentence's start, which nobody predicts
        self.contexts: list[np.ndarray] = []  # by length from 1: sorted keys of (shorter context, older word)
        self.grams: list[np.ndarray] = []  # by length from 1: sorted keys of (context, word)
        self.counts: list[np.ndarray] = []
        self.warnings: list[str] = []

    def fit(self, shards: Shards, documents: np.ndarray, check: Callable[[], None]) -> None:
        """Count the longest n-grams; a shorter one counts the different words before it (§2.7 there)."""
        V = self.tokenizer.vocabulary
        words_P, before = asked(shards, token_spans(shards, documents), self.tokenizer, self.order - 1)
        context_P, self.contexts = np.zeros(len(words_P), dtype=np.int64), []
        while before:
            check()
            keys, context_P = np.unique(context_P * V + before.pop(0), return_inverse=True)
            self.contexts.append(keys)
        found = [np.unique(context_P * V + words_P, return_counts=True)]
        for shorter in reversed(self.contexts):
            check()
            context, word = np.divmod(found[0][0], V)
            found.insert(0, np.unique(shorter[context] // V * V + word, return_counts=True))
        self.grams = [keys for keys, _ in found]
        self.counts = [counts.astype(np.int32) for _, counts in found]
        self._weigh()

    def _weigh(self) -> None:
        """What each count loses, and what each context has to give to the next shorter one."""
        self.lost, self.totals, self.given = [], [], []
        for length, (keys, counts) in enumerate(zip(self.grams, self.counts, strict=True), 1):
            lost = self._discounts(length, np.bincount(np.minimum(counts, 5), minlength=6)[1:5])
            context = keys // self.tokenizer.vocabulary
            total = np.bincount(context, weights=counts)
            self.lost.append(lost)
            self.totals.append(total)
            self.given.append(np.bincount(context, weights=lost[np.minimum(counts, 3)]) / total)

    def _discounts(self, length: int, seen: np.ndarray) -> np.ndarray:
        """By the count 0, 1, 2, 3 and more; `seen` are the numbers of n-grams that occur 1, 2, 3, 4 times."""
        with np.errstate(divide="ignore", invalid="ignore"):
            y = seen[0] / (seen[0] + 2 * seen[1])
            modified = np.array([n - (n + 1) * y * seen[n] / seen[n - 1] for n in (1, 2, 3)])
        lost = np.full(3, y) if self.discounts == "single" else modified
        if not (np.isfinite(lost).all() and (lost > 0).all() and (lost <= (1, 2, 3)).all()):
            lost = np.full(3, USUAL[0]) if self.discounts == "single" else np.array(USUAL)
            told = ", ".join(f"{d:g}" for d in lost)
            self.warnings.append(f"{length}-grams: too few counts to take discounts from; {told} are used")
        return np.concatenate([[0.0], lost])

    def probabilities(self, words_P: np.ndarray, before: list[np.ndarray]) -> np.ndarray:
        """Of each word after the words 1, 2, ... places before it, from the shortest context to the longest."""
        V = self.tokenizer.vocabulary
        likely_P = np.full(len(words_P), 1.0 / self.events)
        context_P = np.zeros(len(words_P), dtype=np.int64)  # −1: never seen
        for length in range(1, self.order + 1):
            if length > 1:
                keys = np.where(context_P < 0, -1, context_P * V + before[length - 2])
                context_P = places(self.contexts[length - 2], keys)
            seen = context_P >= 0
            context, word = context_P[seen], words_P[seen]
            place = places(self.grams[length - 1], context * V + word)
            count = np.where(place < 0, 0, self.counts[length - 1][place])
            kept = (count - self.lost[length - 1][np.minimum(count, 3)]) / self.totals[length - 1][context]
            likely_P[seen] = kept + self.given[length - 1][context] * likely_P[seen]
        return likely_P

    def evaluate(self, shards: Shards, documents: np.ndarray, check: Callable[[], None]) -> dict[str, float]:
        """Perplexity over every word and every sentence's end of the documents."""
        words_P, before = asked(shards, token_spans(shards, documents), self.tokenizer, self.order - 1)
        total = 0.0
        for start in range(0, len(words_P), CHUNK):
            check()
            part = slice(start, start + CHUNK)
            total -= float(np.log(self.probabilities(words_P[part], [x[part] for x in before])).sum())
        unknown = float((words_P == self.tokenizer.unk_id).mean())
        perplexity = math.exp(total / len(words_P))
        return {"perplexity": perplexity, "positions": float(len(words_P)), "unknown": unknown}

    def save(self, folder: Path) -> None:
        """config.json, the counts and the words."""
        import torch

        folder.mkdir(parents=True, exist_ok=True)
        tables = {f"context.{n}": keys for n, keys in enumerate(self.contexts, 1)}
        tables |= {f"gram.{n}": keys for n, keys in enumerate(self.grams, 1)}
        tables |= {f"count.{n}": counts for n, counts in enumerate(self.counts, 1)}
        files.save_tensors({k: torch.from_numpy(v) for k, v in tables.items()}, folder / TABLES)
        config = {"model_type": "kneser-ney", "order": self.order, "discounts": self.discounts}
        files.write_json(folder / "config.json", config)
        self.tokenizer.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "KneserNey":
        """A folder that `save` wrote."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            config: dict[str, Any] = files.read_json(folder / "config.json")
            made = cls(Words.load(folder), order=config["order"], discounts=config["discounts"])
            tables = load_file(folder / TABLES)
            made.contexts = [tables[f"context.{n}"] for n in range(1, made.order)]
            made.grams = [tables[f"gram.{n}"] for n in range(1, made.order + 1)]
            made.counts = [tables[f"count.{n}"] for n in range(1, made.order + 1)]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ModelError(f"{folder}: not a model of n-gram counts: {error}") from None
        made._weigh()
        return made


def token_spans(shards: Shards, documents: np.ndarray) -> np.ndarray:
    """First and last token of each document."""
    return np.stack([shards.sentences[shards.documents[documents + n]] for n in (0, 1)], 1)


def places(sorted_K: np.ndarray, keys_P: np.ndarray) -> np.ndarray:
    """Where each key stands among the sorted ones; −1 where it is none of them."""
    place_P = np.minimum(np.searchsorted(sorted_K, keys_P), len(sorted_K) - 1)
    return np.where(sorted_K[place_P] == keys_P, place_P, -1)
