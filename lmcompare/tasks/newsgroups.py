"""20 Newsgroups (Lang 1995), cut by date: which of twenty groups was a post written to?

Headers, signatures and quoted lines give the group away: names of posters and machines, and words of other posts of the
same thread. Unless a setting keeps them they are removed, by the rules that scikit-learn has, so that figures in print
can be compared. What was kept stands in the config of a run and in the task's source.
"""

from functools import partial
from pathlib import Path

from lmcompare.errors import DataError
from lmcompare.tasks import facts
from lmcompare.tasks.facts import Facts
from lmcompare.tasks.layouts import Rows, class_folders, files
from lmcompare.tasks.published import Found, Published, find, make
from lmcompare.text.labelled import json_lines
from lmcompare.text.tables import OnBadRow, Row
from lmcompare.types import Task

GROUPS = (
    "alt.atheism", "comp.graphics", "comp.os.ms-windows.misc", "comp.sys.ibm.pc.hardware",
    "comp.sys.mac.hardware", "comp.windows.x", "misc.forsale", "rec.autos", "rec.motorcycles",
    "rec.sport.baseball", "rec.sport.hockey", "sci.crypt", "sci.electronics", "sci.med", "sci.space",
    "soc.religion.christian", "talk.politics.guns", "talk.politics.mideast", "talk.politics.misc",
    "talk.religion.misc",
)  # fmt: skip
# A line that quotes begins with one of these, or announces that a quotation follows.
QUOTES = ("In article", "Quoted from", "|", ">")
ANNOUNCES = ("writes in", "writes:", "wrote:", "says:", "said:")
HEADERS = ("From: ", "Subject: ", "Path: ", "Newsgroups: ", "Xref: ")


def posts(path: Path) -> Rows:
    """JSON lines. The number of a post is its own in its group only, and stands for it together with that."""
    for row in json_lines(path, ("id", "group", "text")):
        if isinstance(row, Row):
            row.values["id"] = f"{row.values['group']}/{row.values['id']}"
        yield row


FORM = Published(
    name="20newsgroups",
    facts=Facts(
        kind="classify", about="Which of twenty newsgroups was a post written to?",
        metrics=("accuracy", "macro_f1"),
        splits={"train": 11314, "test": 7532}, cut={"dev": "train"}, overlap={"test": 14},
        license="none stated; public posts",
        labels=GROUPS,
        hub="SetFit/20_newsgroups",
    ),
    classes={name: name for name in GROUPS},
    folders=("20newsgroups", "20news-bydate", "20_newsgroups", "20news_home"),
    layouts=(
        class_folders(
            {"train": "20news-bydate-train", "test": "20news-bydate-test"}, GROUPS, encoding="latin-1"
        ),
    ),
    bare=(
        files(
            {"train": ("train.jsonl",), "test": ("test.jsonl",)},
            posts, label="group", name="id",
        ),
    ),
    columns=((("text",), "label_text"), (("text",), "label")),
    wanted="20news-bydate-train and 20news-bydate-test, or 20newsgroups/train.jsonl and test.jsonl",
    by_class=True,
)  # fmt: skip


def without_headers(post: str) -> str:
    """What comes after the first empty line."""
    return post.partition("\n\n")[2]


def without_footer(post: str) -> str:
    """What comes before the last line that is blank or made of hyphens: a signature mostly stands below one."""
    lines = post.strip().split("\n")
    blank = [number for number, line in enumerate(lines) if not line.strip().strip("-")]
    return "\n".join(lines[: blank[-1]]) if blank and blank[-1] > 0 else post


def without_quotes(post: str) -> str:
    """The lines that neither quote nor announce a quotation."""
    lines = post.split("\n")
    return "\n".join(
        line for line in lines if not line.startswith(QUOTES) and not any(said in line for said in ANNOUNCES)
    )


@facts.task("20newsgroups", FORM.facts)
def newsgroups(
    data: Path | None,
    *,
    headers: bool = False,  # kept
    footers: bool = False,
    quotes: bool = False,
    holdout: float = 0.1,  # the share of train that is dev
    limit: int | None = None,
    on_bad_row: OnBadRow = "error",
) -> Task:
    found = find(FORM, data)
    kept = {"headers": headers, "footers": footers, "quotes": quotes}
    told = ", ".join(name for name, keep in kept.items() if keep) or "nothing"
    gone = ", ".join(name for name, keep in kept.items() if not keep) or "nothing"

    def change(post: str, headers: bool = headers, footers: bool = footers, quotes: bool = quotes) -> str:
        # In this order, as scikit-learn has them: a signature is looked for in what stands below the header.
        post = post if headers else without_headers(post)
        post = post if footers else without_footer(post)
        return post if quotes else without_quotes(post)

    if not found.local:
        _check_stripped(found, kept)
    return make(
        FORM,
        found,
        limit=limit,
        on_bad_row=on_bad_row,
        holdout=holdout,
        change=change if found.local else None,
        # So the cut is the same one whatever is kept, and no post that looks like another is parted from it.
        drawn=partial(change, headers=False, footers=False, quotes=False) if found.local else None,
        remark=f"kept: {told}; removed: {gone}",
    )


def _check_stripped(found: Found, kept: dict[str, bool]) -> None:
    """The set of the hub came there without headers, footers and quotes: to remove them again would take more than
    these, and they cannot be had back."""
    if any(kept.values()):
        asked = ", ".join(name for name, keep in kept.items() if keep)
        raise DataError(
            f"{found.told}: this copy holds the posts without {asked}; give --data FOLDER that holds "
            f"{FORM.wanted}, or do not ask for them"
        )
    for part in found.parts.values():
        item = next(part.items(), None)
        if item is not None and not isinstance(item, DataError) and item.texts[0].startswith(HEADERS):
            raise DataError(
                f"{found.told}: these posts have their headers, but a table of `datasets` is taken for the stripped "
                f"set of the hub; give {FORM.wanted}"
            )
