"""Natural language inference beside GLUE: SNLI (Bowman et al. 2015) and SciTail (Khot et al. 2018), from the files of
their authors or tables with a header. A set is one row below."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from lmcompare.tasks import facts
from lmcompare.tasks.facts import Facts
from lmcompare.tasks.layouts import Layout, Rows, files
from lmcompare.tasks.published import Published, find, make
from lmcompare.text.labelled import json_lines
from lmcompare.text.tables import OnBadRow, stream_tsv
from lmcompare.types import Task

SPLITS = ("train", "dev", "test")
PAIR, GOLD = ("sentence1", "sentence2"), "gold_label"
HEADLESS = ("premise", "hypothesis", "label")
STORED = ((("premise", "hypothesis"), "label"), (PAIR, GOLD))


def with_header(path: Path) -> Rows:
    return stream_tsv(path, columns=(*PAIR, GOLD))[1]


def without_header(path: Path) -> Rows:
    return stream_tsv(path, columns=HEADLESS, header=False)[1]


objects = partial(json_lines, columns=(*PAIR, GOLD))


def pairs(name: str, read: Callable[[Path], Rows]) -> Layout:
    """A file a split, by a name with {} in the split's place."""
    return files({split: (name.format(split),) for split in SPLITS}, read, PAIR, GOLD)


TABLES = files({split: (f"{split}.tsv", f"{split}_subset.tsv") for split in SPLITS}, with_header, PAIR, GOLD)

SETS = (
    Published(
        name="snli",
        facts=Facts(
            kind="classify", about="Does a picture's caption entail a sentence?", metrics=("accuracy",),
            splits={"train": 549367, "dev": 9842, "test": 9824},
            license="CC BY-SA 4.0",
            labels=("entailment", "neutral", "contradiction"),
            hub="stanfordnlp/snli",
        ),
        classes={name: name for name in ("entailment", "neutral", "contradiction")},
        folders=("snli_1.0", "snli", "SNLI", "nli/snli"),
        layouts=(pairs("snli_1.0_{}.jsonl", objects), pairs("snli_1.0_{}.txt", with_header)),
        bare=(TABLES,),
        columns=STORED,
        wanted="snli_1.0_train.jsonl (or .txt)",
        no_label="-",
    ),
    Published(
        name="scitail",
        # Its classes are called as those of other NLI sets, so that a model of one answers the other by name.
        facts=Facts(
            kind="classify", about="Does a sentence from the web entail the answer to an exam's question?",
            metrics=("accuracy",),
            splits={"train": 23596, "dev": 1304, "test": 2126},
            license="Apache 2.0",
            labels=("entailment", "neutral"),
            hub="allenai/scitail:tsv_format",
        ),
        classes={"entails": "entailment", "entailment": "entailment", "neutral": "neutral"},
        folders=(
            "SciTailV1.1/tsv_format", "SciTailV1.1/snli_format", "SciTailV1.1", "scitail", "SciTail", "nli/scitail",
            "tsv_format", "snli_format",
        ),
        layouts=(
            files({s: (f"scitail_1.0_{s}.tsv",) for s in SPLITS}, without_header, HEADLESS[:2], HEADLESS[2]),
            pairs("scitail_1.0_{}.txt", objects),
        ),
        bare=(TABLES,),
        columns=STORED,
        wanted="scitail_1.0_train.tsv",
    ),
)  # fmt: skip


def _builder(form: Published) -> Callable[..., Task]:
    def build(data: Path | None, *, limit: int | None = None, on_bad_row: OnBadRow = "error") -> Task:
        return make(form, find(form, data), limit=limit, on_bad_row=on_bad_row)

    return build


for _set in SETS:
    facts.task(_set.name, _set.facts)(_builder(_set))
