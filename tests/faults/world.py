"""A tiny world for the fault suite: a corpus, a task and configs whose runs take about a second."""

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forge

STEPS = 24
PRETRAIN = f"""
[backend]
name = "bert"
layers = 1
width = 16
heads = 2
positions = 32
dropout = 0.1
[tokenizer]
name = "wordpiece"
size = 120
[objective]
name = "mlm_nsp"
length = 24
passes = 1
[optimizer]
name = "adamw"
rate = 3e-3
[schedule]
name = "linear"
warmup = 0.1
[training]
steps = {STEPS}
batch = 8
log_every = 1
eval_every = 7
checkpoint_every = 1
keep = 2
"""
# The whole of BERT's data recipe, and two phases with STEPS steps in all; the second reads longer instances.
PHASED = (
    PRETRAIN.replace("passes = 1", "passes = 2\nmost_masked = 3\nwhole_words = true\nshort_rate = 0.3")
    .replace('name = "adamw"', 'name = "bert_adam"')
    .replace(f"steps = {STEPS}\n", "")
    + f"""
[[phases]]
objective = {{ length = 14 }}
training = {{ steps = {STEPS - 9} }}
[[phases]]
training = {{ steps = 9, batch = 4 }}
schedule = {{ warmup = 0.3 }}
"""
)
TRANSFER = f"""
length = 24
[transfer]
name = "MODE"
dropout = 0.1
[optimizer]
name = "adamw"
rate = 3e-3
[schedule]
name = "linear"
warmup = 0.1
[training]
steps = {STEPS}
batch = 8
log_every = 1
eval_every = 5
checkpoint_every = 1
keep = 2
"""
READER = '[transfer.reader]\nname = "bilstm"\nhidden = 8\n'
GOOD = ("warm", "bright", "kind", "gentle", "sweet")
BAD = ("cold", "bitter", "rude", "broken", "sour")
THINGS = ("house", "river", "garden", "letter", "dinner", "winter", "teacher", "window", "story")
VERBS = ("was", "seemed", "became", "looked")


@dataclass(frozen=True)
class Place:
    """Where the tiny world is, and the words that make `lmc` use it."""

    folder: Path

    def pretrain(self, out: Path, *more: Any) -> list[Any]:
        files = ["--corpus", self.folder / "corpus.txt", "--config", self.folder / "pretrain.toml"]
        return ["pretrain", "bert", *files, "--out", out, *more]

    def in_phases(self, out: Path, *more: Any) -> list[Any]:
        return self.pretrain(out, "--config", self.folder / "phased.toml", *more)

    def transfer(self, mode: str, model: Path, out: Path, *more: Any) -> list[Any]:
        files = ["--data", self.folder / "glue", "--config", self.folder / f"{mode}.toml"]
        return [mode, "bert", "--task", "sst2", "--model", model, *files, "--out", out, *more]


@dataclass(frozen=True)
class Reference:
    """A run that nothing interrupted."""

    run: Path
    outcome: dict[str, Any]
    seconds: float


def sentence(chance: random.Random) -> str:
    quality = chance.choice(GOOD + BAD)
    words = [
        "the",
        chance.choice(THINGS),
        chance.choice(VERBS),
        chance.choice(("", "very")),
        quality,
    ]
    return " ".join(filter(None, words)).capitalize() + "."


def write_corpus(path: Path, documents: int = 60) -> None:
    chance = random.Random(7)
    told = ("\n".join(sentence(chance) for _ in range(6)) for _ in range(documents))
    path.write_text("\n\n".join(told) + "\n", encoding="utf-8")


def write_task(folder: Path) -> None:
    folder.mkdir(parents=True)
    chance = random.Random(8)
    for split, count in (("train", 64), ("dev", 24)):
        lines = ["sentence\tlabel"]
        for _ in range(count):
            text = sentence(chance)
            lines.append(f"{text}\t{int(any(word in text for word in GOOD))}")
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def finished(arguments: list[Any], run: Path, home: Path) -> Reference:
    child = forge.start(*arguments, home=home)
    ended = child.wait()
    seconds = time.monotonic() - child.began
    assert ended.status == 0, ended.err
    return Reference(run, forge.outcome(run), seconds)
