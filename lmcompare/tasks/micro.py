"""The embedded suite as nine tasks, made on the spot: no download, and the same everywhere.

The training examples show about a quarter of the world's words, development and test examples all of them. So what
pretraining on the world's documents teaches about the other words is what these tasks measure.
"""

from pathlib import Path
from typing import Any

from lmcompare.micro import world as world_of
from lmcompare.registry import tasks
from lmcompare.types import Example, Kind, Split, Task

DEV, TEST = 200, 400
ENTITY_TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG")


def _task(name: str, kind: Kind, metrics: tuple[str, ...], world: int, train: int, **facts: Any) -> Task:
    def load(split: Split) -> list[Example]:
        counts = {"train": train, "dev": DEV, "test": TEST}
        return world_of(world).examples(name, split, counts.get(split, 0))

    source = f"made by lmcompare.micro, world {world}"
    return Task(f"micro.{name}", kind, metrics, load, report="test", source=source, **facts)


@tasks.register("micro.acceptability")
def acceptability(data: Path | None, *, world: int = 0, train: int = 400) -> Task:
    """Is the sentence well formed? Agreement, verb forms and what a verb may take, with rare words too."""
    facts = {
        "labels": ("unacceptable", "acceptable"),
        "fluent": "acceptable",
        "about": "well-formed or with one wrong word",
    }
    return _task("acceptability", "classify", ("matthews",), world, train, **facts)


@tasks.register("micro.sentiment")
def sentiment(data: Path | None, *, world: int = 0, train: int = 400) -> Task:
    """Is the sentence about something good or something bad? Most adjectives occur in no training example."""
    # This world never says "very", "positive" or "negative". What its documents do say of news is how it is taken,
    # as in "everyone was glad about the …": after these two words nothing but a mood ever stands there.
    facts = {
        "labels": ("negative", "positive"),
        "prompt": "everyone was",
        "label_words": {"negative": "sad", "positive": "glad"},
        "about": "good or bad, with negation",
    }
    return _task("sentiment", "classify", ("accuracy",), world, train, **facts)


@tasks.register("micro.entailment")
def entailment(data: Path | None, *, world: int = 0, train: int = 400) -> Task:
    """Does the first sentence entail the second, contradict it, or leave it open?"""
    labels = ("entailment", "neutral", "contradiction")
    about = "synonyms, antonyms, kinds and negation"
    return _task("entailment", "classify", ("accuracy",), world, train, labels=labels, texts=2, about=about)


@tasks.register("micro.paraphrase")
def paraphrase(data: Path | None, *, world: int = 0, train: int = 400) -> Task:
    """Do two sentences tell the same fact?"""
    facts = {
        "labels": ("different", "same"),
        "texts": 2,
        "symmetric": True,
        "about": "the same fact in other words",
    }
    return _task("paraphrase", "classify", ("accuracy",), world, train, **facts)


@tasks.register("micro.similarity")
def similarity(data: Path | None, *, world: int = 0, train: int = 400) -> Task:
    """How alike are two scenes, from 0 to 5?"""
    facts = {
        "texts": 2,
        "symmetric": True,
        "about": "five parts of a scene: the same, related or not",
    }
    return _task("similarity", "score", ("pearson", "spearman"), world, train, **facts)


@tasks.register("micro.sense")
def sense(data: Path | None, *, world: int = 0, train: int = 400) -> Task:
    """Does the word that two sentences share mean the same in both?"""
    facts = {
        "labels": ("different", "same"),
        "texts": 2,
        "symmetric": True,
        "about": "words with two senses",
    }
    return _task("sense", "classify", ("accuracy",), world, train, **facts)


@tasks.register("micro.continuation")
def continuation(data: Path | None, *, world: int = 0, train: int = 400) -> Task:
    """Which of four sentences goes on with the story?"""
    return _task(
        "continuation",
        "choice",
        ("accuracy",),
        world,
        train,
        about="none repeats a word of the context",
    )


@tasks.register("micro.entities")
def entities(data: Path | None, *, world: int = 0, train: int = 400) -> Task:
    """Which words name persons, places and organizations, where the company does not always tell?"""
    return _task(
        "entities",
        "tags",
        ("entity_f1",),
        world,
        train,
        labels=ENTITY_TAGS,
        about="names, some of two words",
    )


@tasks.register("micro.answers")
def answers(data: Path | None, *, world: int = 0, train: int = 400) -> Task:
    """Which words of three sentences answer the question, which asks in other words?"""
    return _task("answers", "span", ("span_f1", "exact_match"), world, train, about="who, where or what")
