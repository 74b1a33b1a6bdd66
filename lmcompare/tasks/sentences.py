"""Classification of one text beside GLUE: SST-5, SUBJ, MR, TREC, AG News, IMDB, from the files of their authors or as
they are passed around. A set is one row below; 20 Newsgroups has a file of its own."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from lmcompare.tasks import facts
from lmcompare.tasks.facts import Facts
from lmcompare.tasks.layouts import Rows, class_files, class_folders, files
from lmcompare.tasks.published import Published, find, make
from lmcompare.text.labelled import encoding_of, json_lines, labelled_lines, trees
from lmcompare.text.tables import OnBadRow, Row, stream_csv
from lmcompare.types import Split, Task

DEV_FROM_TRAIN: Mapping[Split, Split] = {"dev": "train"}
ALL_FROM_ONE: Mapping[Split, Split] = {"train": "all", "dev": "all", "test": "all"}
STORED = ((("text",), "label"),)
STORED_NAMED = ((("text",), "label_text"), (("text",), "label"))
MOODS = ("negative", "positive")


def titled(path: Path) -> Rows:
    """AG News: a class, a title and a description, which are one text, as they are on the hub."""
    for row in stream_csv(path, columns=("label", "title", "description"), header=False)[1]:
        if isinstance(row, Row):
            text = f"{row.values['title']} {row.values['description']}"
            values = {"label": row.values["label"], "text": text}
            row = Row(row.line, values, (row.place("label"), row.place("title")))
        yield row


def questions(path: Path) -> Rows:
    return labelled_lines(path, encoding_of(path))


TREC_FINE = tuple(
    f"{coarse}:{fine}"
    for coarse, names in {
        "ABBR": "abb exp",
        "DESC": "def desc manner reason",
        "ENTY": "animal body color cremat currency dismed event food instru lang letter other plant product religion "
        "sport substance symbol techmeth termeq veh word",
        "HUM": "desc gr ind title",
        "LOC": "city country mount other state",
        "NUM": "code count date dist money ord other perc period speed temp volsize weight",
    }.items()
    for fine in names.split()
)
TREC_COARSE = tuple(dict.fromkeys(name.partition(":")[0] for name in TREC_FINE))
SST5 = ("very_negative", "negative", "neutral", "positive", "very_positive")
AG_NEWS = ("World", "Sports", "Business", "Sci/Tech")

SST = Published(
    name="sst5",
    facts=Facts(
        kind="classify", about="Sentiment of a movie review's sentence, in five steps.", metrics=("accuracy",),
        splits={"train": 8544, "dev": 1101, "test": 2210}, overlap={"dev": 1, "test": 3},
        license="none stated; cite the authors",
        labels=SST5,
        hub="SetFit/sst5",
    ),
    classes={str(n): name for n, name in enumerate(SST5)} | {name.replace("_", " "): name for name in SST5},
    folders=("trees", "sst", "sst5", "SST-5", "sst/trees"),
    layouts=(
        files({s: (f"stsa.fine.{s}",) for s in ("train", "dev", "test")}, labelled_lines),
    ),
    # train.txt, dev.txt and test.txt of trainDevTestTrees_PTB.zip: the label of a tree is its sentence's.
    bare=(files({s: (f"{s}.txt",) for s in ("train", "dev", "test")}, trees),),
    columns=STORED_NAMED,
    wanted="trees/train.txt or stsa.fine.train",
)  # fmt: skip

TREC = Published(
    name="trec",
    facts=Facts(
        kind="classify", about="What kind of thing does a question ask for?", metrics=("accuracy",),
        splits={"train": 5452, "test": 500}, cut=DEV_FROM_TRAIN, overlap={"test": 10},
        license="none stated; cite the authors",
        labels=TREC_COARSE,
        hub="SetFit/TREC-QC",
    ),
    # A question carries its fine class in every source; the coarse one is its first half.
    classes={name: name.partition(":")[0] for name in TREC_FINE},
    folders=("trec", "TREC", "TREC-QC"),
    layouts=(files({"train": ("train_5500.label",), "test": ("TREC_10.label",)}, questions),),
    bare=(files({"train": ("train.txt",), "test": ("test.txt",)}, questions),),
    columns=((("text",), "label_original"), (("text",), "fine_label")),
    wanted="train_5500.label and TREC_10.label",
)  # fmt: skip

SETS = (
    SST,
    Published(
        name="subj",
        facts=Facts(
            kind="classify", about="Does a sentence tell an opinion, or the plot?", metrics=("accuracy",),
            splits={"all": 10000}, cut=ALL_FROM_ONE,
            license="none stated; cite the authors",
            labels=("objective", "subjective"),
            hub="SetFit/subj",
        ),
        classes={name: name for name in ("objective", "subjective")},
        folders=("subj", "rotten_imdb", "SUBJ"),
        layouts=(
            class_files({
                "objective": ("subj.objective", "plot.tok.gt9.5000"),
                "subjective": ("subj.subjective", "quote.tok.gt9.5000"),
            }),
        ),
        columns=STORED_NAMED,
        wanted="subj.objective and subj.subjective (or plot.tok.gt9.5000 and quote.tok.gt9.5000)",
        by_class=True,
    ),
    Published(
        name="mr",
        facts=Facts(
            kind="classify", about="Sentiment of a movie review's sentence.", metrics=("accuracy",),
            splits={"all": 10662}, cut=ALL_FROM_ONE,
            license="none stated; cite the authors",
            labels=MOODS,
            hub="cornell-movie-review-data/rotten_tomatoes",
        ),
        classes={"neg": "negative", "pos": "positive"},
        folders=("mr", "rt-polaritydata", "MR"),
        layouts=(class_files({"neg": ("rt-polarity.neg",), "pos": ("rt-polarity.pos",)}),),
        columns=STORED,
        wanted="rt-polarity.neg and rt-polarity.pos",
        by_class=True,
    ),
    Published(
        name="agnews",
        facts=Facts(
            kind="classify", about="Which part of the news does an article belong to?", metrics=("accuracy",),
            splits={"train": 120000, "test": 7600}, cut=DEV_FROM_TRAIN,
            license="research, not commercial",
            labels=AG_NEWS,
            hub="fancyzhx/ag_news",
        ),
        classes={str(n): name for n, name in enumerate(AG_NEWS, 1)} | {name: name for name in AG_NEWS},
        folders=("ag_news_csv", "agnews", "ag_news", "AG_NEWS"),
        layouts=(),
        bare=(files({"train": ("train.csv", "train_subset.csv"), "test": ("test.csv",)}, titled),),
        columns=STORED,
        wanted="agnews/train.csv and agnews/test.csv",
    ),
    # The text is as it was published, with `<br />` where the review had a new line: every figure in print is of that.
    Published(
        name="imdb",
        facts=Facts(
            kind="classify", about="Sentiment of a whole movie review.", metrics=("accuracy",),
            splits={"train": 25000, "test": 25000}, cut=DEV_FROM_TRAIN, overlap={"test": 43},
            license="none stated; cite the authors",
            labels=MOODS,
            hub="stanfordnlp/imdb",
        ),
        classes={"neg": "negative", "pos": "positive", "0": "negative", "1": "positive"},
        folders=("aclImdb", "imdb", "IMDB"),
        layouts=(),
        bare=(
            class_folders({"train": "train", "test": "test"}, ("neg", "pos"), ending=".txt", apart=("unsup",)),
            files(
                {"train": ("train.jsonl",), "test": ("test.jsonl",)},
                partial(json_lines, columns=("id", "label", "text")), name="id",
            ),
        ),
        columns=STORED,
        wanted="aclImdb/train and aclImdb/test, or imdb/train.jsonl and imdb/test.jsonl",
        by_class=True,
    ),
)  # fmt: skip


@facts.task("trec", TREC.facts)
def trec(
    data: Path | None,
    *,
    fine: bool = False,  # the 50 classes in the place of the 6
    holdout: float = 0.1,
    limit: int | None = None,
    on_bad_row: OnBadRow = "error",
) -> Task:
    finer = replace(TREC.facts, labels=TREC_FINE)
    form = replace(TREC, facts=finer, classes={name: name for name in TREC_FINE}) if fine else TREC
    return make(form, find(form, data), limit=limit, on_bad_row=on_bad_row, holdout=holdout)


def _builder(form: Published) -> Callable[..., Task]:
    def whole(data: Path | None, *, limit: int | None = None, on_bad_row: OnBadRow = "error") -> Task:
        return make(form, find(form, data), limit=limit, on_bad_row=on_bad_row)

    def cut(
        data: Path | None,
        *,
        holdout: float = 0.1,  # the share of each split that nobody published
        limit: int | None = None,
        on_bad_row: OnBadRow = "error",
    ) -> Task:
        return make(form, find(form, data), limit=limit, on_bad_row=on_bad_row, holdout=holdout)

    return cut if form.facts.cut else whole


for _set in SETS:
    facts.task(_set.name, _set.facts)(_builder(_set))
