"""`lmc neighbors`: which uses of a word are nearest to the one in a sentence, and which words are nearest to it where a
word has one vector only (the two halves of Table 4 in Peters et al. 2018)."""

import heapq
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lmcompare import device, models, randomness, results, signals
from lmcompare.config import Corpus
from lmcompare.errors import DataError, UserError
from lmcompare.experiments.corpora import Source, source
from lmcompare.experiments.senses import Senses, senses_of
from lmcompare.progress import Progress
from lmcompare.text.words import WORD
from lmcompare.word_vectors import WordVectors

MIN_USES = 3  # of a word in the drawn sentences, before their mean stands for it


@dataclass(frozen=True)
class Sentence:
    """One of the corpus, with its words and where they stand in it."""

    text: str
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    document: int = 0  # from 1
    sense: int | None = None


Use = tuple[Sentence, int]  # and which of its words


@dataclass(frozen=True)
class Found:
    """What was drawn from a corpus: sentences with the word, and sentences of any kind."""

    uses: list[Sentence]
    others: list[Sentence]
    holding: int  # sentences with the word, those that come again counted again


class Drawn:
    """So many different sentences, each as likely as any other: those with the lowest numbers, which are a function
    of the seed and the text. So it is the same draw in any order, and a sentence that comes twice is one."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self.heap: list[tuple[int, str]] = []
        self.texts: dict[str, Sentence] = {}

    def offer(self, text: str, make: Callable[[], Sentence]) -> None:
        if text in self.texts:
            return
        item = (-randomness.number("neighbors", self.seed, text), text)
        if len(self.heap) < self.size:
            heapq.heappush(self.heap, item)
        elif item > self.heap[0]:
            del self.texts[heapq.heapreplace(self.heap, item)[1]]
        else:
            return
        self.texts[text] = make()

    def all(self) -> list[Sentence]:
        return [self.texts[text] for _, text in sorted(self.heap, reverse=True)]


def neighbors(
    model: str,
    *,
    word: str,
    context: str,
    nth: int = 1,
    corpus: str = "",
    sentences: int = 2000,
    top: int = 10,
    layer: str = "top",
    backend: str = "",
    seed: int = 1,
    data: Path | None = None,
    progress: Progress,
) -> dict[str, Any]:
    """The main path: draw from the corpus, encode, compare."""
    began = time.monotonic()
    asked = cut(context)
    place = find(asked, word, nth)
    form = asked.words[place]
    with signals.watched():
        text = corpus_of(model, corpus, data)
        family = backend or models.family(model)
        loaded = models.load(family, model)
        loaded.encoder.to(device.machine("float32").device).eval()
        vectors = WordVectors(loaded, layers=layers_of(layer, loaded.depth))
        senses = senses_of(text.world.words, form.lower()) if text.world else None
        progress.note("looking through the corpus")
        found = draw(text, asked, form, sentences, seed, senses)
        if not found.uses:
            raise DataError(
                f"{corpus or text.name}: no other sentence of this corpus holds the word {form!r}"
            )
        uses, x_UD, sums = encode(vectors, asked, place, found, progress)
    query_D, x_UD = x_UD[0], x_UD[1:]
    nearest = told(uses, cosines(x_UD, query_D), top)
    return {
        "model": model,
        "backend": family,
        "layer": layer if layer == "mix" else vectors.layers[0],
        "word": form,
        "context": context,
        "place": list(asked.spans[place]),
        "corpus": text.name,
        "sentences": len(found.uses),
        "holding": found.holding,
        "uses": len(x_UD),
        "same_everywhere": bool(np.allclose(x_UD, query_D, rtol=1e-4, atol=1e-5)),
        "nearest": nearest,
        "words": sums.nearest(x_UD.mean(0), form, top, senses),
        "drawn": len(found.others),
        "senses": agreement(senses, asked, uses, nearest) if senses else None,
        "seconds": round(time.monotonic() - began, 3),
        "warnings": list(loaded.warnings),
    }


def encode(
    vectors: WordVectors, asked: Sentence, place: int, found: Found, progress: Progress
) -> tuple[list[Use], np.ndarray, "Sums"]:
    """The uses; their vectors, with that of the sentence that was asked about before them; and one vector a word."""
    form, sums = asked.words[place], Sums()
    uses: list[Use] = []
    compared: list[np.ndarray] = []
    read = [asked, *found.uses, *found.others]
    progress.start(len(read))
    try:
        made = vectors.stream(sentence.words for sentence in read)
        for done, (sentence, x_LWD) in enumerate(zip(read, made, strict=True)):
            x_WD = x_LWD.mean(0)
            if done == 0:
                compared.append(x_WD[place].copy())
            elif done <= len(found.uses):
                uses += [(sentence, n) for n in places(sentence, form)]
                compared += [x_WD[n].copy() for n in places(sentence, form)]
            else:
                sums.add(sentence.words, x_WD)
            progress.update(done + 1, tokens=len(sentence.words))
    finally:
        progress.stop()
    return uses, np.stack(compared), sums


def cut(text: str, **facts: Any) -> Sentence:
    matches = list(WORD.finditer(text))
    return Sentence(text, tuple(m[0] for m in matches), tuple(m.span() for m in matches), **facts)


def find(asked: Sentence, word: str, nth: int) -> int:
    """Which of the sentence's words is meant: in the case that was given, else in any."""
    pieces = WORD.findall(word)
    if len(pieces) != 1 or pieces[0] != word.strip():
        told = f"{len(pieces)} words here: {' '.join(pieces)}" if len(pieces) > 1 else "not a word"
        raise UserError(f"--word {word!r} is {told}; give a single one")
    exact = [n for n, other in enumerate(asked.words) if other == pieces[0]]
    at = exact or places(asked, pieces[0])
    if not at:
        raise UserError(f"--word {word!r} is not in --context, whose words are: {' '.join(asked.words)}")
    if not 1 <= nth <= len(at):
        raise UserError(f"--nth {nth}: --context holds {word!r} {len(at)} time{'s' if len(at) > 1 else ''}")
    return at[nth - 1]


def places(sentence: Sentence, form: str) -> list[int]:
    """Where the word stands, in upper case or lower: at the head of a sentence it is the same word."""
    return [n for n, other in enumerate(sentence.words) if other.lower() == form.lower()]


def layers_of(layer: str, depth: int) -> list[int]:
    if layer == "mix":
        return list(range(depth + 1))
    whole = re.fullmatch(r"-?[0-9]{1,4}", layer)
    number = depth if layer == "top" else int(layer) if whole else None
    if number is None or not -depth - 1 <= number <= depth:
        raise UserError(
            f"--layer {layer!r}: give 'top', 'mix' (the mean of all), or a number from {-depth - 1} to {depth}"
        )
    return [number % (depth + 1)]


def corpus_of(model: str, corpus: str, data: Path | None = None) -> Source:
    """The corpus that was asked for; else the one that the model's own run learned from."""
    own = None
    for path in (Path(model), results.root() / model):
        if model and (path / "run.json").is_file():
            own = results.read(path).config.get("corpus")
            break
    if own is not None and corpus in ("", own.get("path")):
        return source(Corpus.model_validate(own), data)
    if not corpus:
        raise UserError(
            f"{model}: this model does not say what it learned from; give --corpus PATH or --corpus micro"
        )
    return source(Corpus(path=corpus), data)


def draw(text: Source, asked: Sentence, form: str, size: int, seed: int, senses: Senses | None) -> Found:
    """One pass over the corpus."""
    uses, others = Drawn(size, seed), Drawn(size, seed)
    holding = 0
    low = form.lower()
    for number, document in enumerate(text.documents(), start=1):
        signals.check()
        sense = None
        if senses and any(low in line.lower() for line in document):
            sense = senses.of_text(w for line in document for w in WORD.findall(line.lower()))
        for line in document:
            make = partial(cut, line, document=number, sense=sense)
            others.offer(line, make)
            if low in line.lower() and line.split() != asked.text.split() and places(cut(line), form):
                holding += 1
                uses.offer(line, make)
    return Found(uses.all(), others.all(), holding)


def cosines(x_UD: np.ndarray, one_D: np.ndarray) -> np.ndarray:
    lengths_U = np.linalg.norm(x_UD, axis=1) * np.linalg.norm(one_D)
    return x_UD @ one_D / np.maximum(lengths_U, 1e-12)


def told(uses: Sequence[Use], score_U: np.ndarray, top: int) -> list[dict[str, Any]]:
    order = np.argsort(-score_U.round(6), kind="stable")[:top]
    return [
        {
            "score": round(float(score_U[u]), 4),
            "sentence": uses[u][0].text,
            "place": list(uses[u][0].spans[uses[u][1]]),
            "document": uses[u][0].document,
            "sense": uses[u][0].sense,
        }
        for u in order
    ]


def agreement(
    senses: Senses, asked: Sentence, uses: Sequence[Use], nearest: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    """How many of the nearest uses have the sense of the context, beside how many of all uses have it."""
    meant = senses.of_text(word.lower() for word in asked.words)

    def share(found: Iterator[int | None]) -> float | None:
        known = [sense for sense in found if sense is not None]
        return round(sum(s == meant for s in known) / len(known), 4) if known and meant is not None else None

    return {
        "names": senses.names,
        "context": meant,
        "same": share(row["sense"] for row in nearest),
        "chance": share(sentence.sense for sentence, _ in uses),
    }


class Sums:
    """One vector a word: the mean of the vectors that it has in the drawn sentences."""

    def __init__(self) -> None:
        self.total: dict[str, np.ndarray] = {}
        self.uses: dict[str, int] = {}

    def add(self, words: Sequence[str], x_WD: np.ndarray) -> None:
        for word, x_D in zip(words, x_WD, strict=True):
            self.total[word] = self.total.get(word, 0.0) + x_D.astype(np.float64)
            self.uses[word] = self.uses.get(word, 0) + 1

    def nearest(self, mean_D: np.ndarray, form: str, top: int, senses: Senses | None) -> list[dict[str, Any]]:
        """The words whose vectors are nearest to the word's own, the mean of its uses."""
        known = [
            word
            for word, uses in self.uses.items()
            if uses >= MIN_USES and word.lower() != form.lower() and any(map(str.isalpha, word))
        ]
        if not known:
            return []
        score_U = cosines(np.stack([self.total[word] / self.uses[word] for word in known]), mean_D)
        return [
            {
                "score": round(float(score_U[u]), 4),
                "word": known[u],
                "uses": self.uses[known[u]],
                "sense": senses.of_word(known[u].lower()) if senses else None,
            }
            for u in np.argsort(-score_U, kind="stable")[:top]
        ]
