"""The embedded suite as nine tasks, made on the spot: no download, and the same everywhere.

The training examples show about a quarter of the world's words, development and test examples all of them. So what
pretraining on the world's documents teaches about the other words is what these tasks measure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lmcompare.micro import world as world_of
from lmcompare.tasks import facts
from lmcompare.tasks.facts import Builder, Facts
from lmcompare.types import Example, Kind, Split, Task

TRAIN, DEV, TEST = 400, 200, 400
ENTITY_TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG")


@dataclass(frozen=True, kw_only=True)
class Micro:
    """What sets one of the nine apart."""

    name: str
    kind: Kind
    about: str
    metrics: tuple[str, ...] = ("accuracy",)
    labels: tuple[str, ...] = ()
    texts: int = 1
    symmetric: bool = False
    fluent: str = ""
    prompt: str = ""
    label_words: Mapping[str, str] = field(default_factory=dict)


ROWS = (
    Micro(
        name="acceptability", kind="classify", metrics=("matthews",),
        labels=("unacceptable", "acceptable"), fluent="acceptable",
        about="Is the sentence well formed? Agreement, verb forms and what a verb may take, with rare words too.",
    ),
    Micro(
        name="sentiment", kind="classify", labels=("negative", "positive"),
        # This world never says "very", "positive" or "negative". What its documents do say of news is how it is
        # taken, as in "everyone was glad about the …": after these two words nothing but a mood ever stands there.
        prompt="everyone was", label_words={"negative": "sad", "positive": "glad"},
        about="Is the sentence about something good or something bad? Most adjectives occur in no training example.",
    ),
    Micro(
        name="entailment", kind="classify", labels=("entailment", "neutral", "contradiction"), texts=2,
        about="Does the first sentence entail the second, contradict it, or leave it open?",
    ),
    Micro(
        name="paraphrase", kind="classify", labels=("different", "same"), texts=2, symmetric=True,
        about="Do two sentences tell the same fact?",
    ),
    Micro(
        name="similarity", kind="score", metrics=("pearson", "spearman"), texts=2, symmetric=True,
        about="How alike are two scenes, from 0 to 5?",
    ),
    Micro(
        name="sense", kind="classify", labels=("different", "same"), texts=2, symmetric=True,
        about="Does the word that two sentences share mean the same in both?",
    ),
    Micro(
        name="continuation", kind="choice",
        about="Which of four sentences goes on with the story? None repeats a word of it.",
    ),
    Micro(
        name="entities", kind="tags", metrics=("entity_f1",), labels=ENTITY_TAGS,
        about="Which words name persons, places and organizations, where the company does not always tell?",
    ),
    Micro(
        name="answers", kind="span", metrics=("span_f1", "exact_match"),
        about="Which words of three sentences answer the question, which asks in other words?",
    ),
)  # fmt: skip


def _builder(row: Micro) -> Builder:
    def build(data: Path | None, *, world: int = 0, train: int = TRAIN) -> Task:
        def load(split: Split) -> list[Example]:
            counts = {"train": train, "dev": DEV, "test": TEST}
            return world_of(world).examples(row.name, split, counts.get(split, 0))

        told = facts.of(f"micro.{row.name}")
        return Task(
            name=f"micro.{row.name}",
            kind=told.kind,
            metrics=told.metrics,
            load=load,
            labels=told.labels,
            texts=row.texts,
            symmetric=row.symmetric,
            fluent=row.fluent,
            prompt=row.prompt,
            label_words=row.label_words,
            report="test",
            about=told.about,
            source=f"made by lmcompare.micro, world {world}",
        )

    return build


for _row in ROWS:
    _facts = Facts(
        kind=_row.kind,
        about=_row.about,
        metrics=_row.metrics,
        labels=_row.labels,
        splits={"train": TRAIN, "dev": DEV, "test": TEST},
        license="made here",
        made=True,
    )
    facts.task(f"micro.{_row.name}", _facts)(_builder(_row))
