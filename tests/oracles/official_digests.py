"""Make what is kept of the official data, from copies whose rows were counted and compared by hand:

python tests/oracles/official_digests.py DATA             # what would change in lmcompare/tasks/official.toml
python tests/oracles/official_digests.py DATA --write     # and write it; entries of tasks that DATA lacks stay

DATA is the folder that --data takes. A split is taken where it has as many rows as were published, and where its file
holds what was published: not a subset, and none of the copies of `COUNTED`.
"""

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from lmcompare import registry
from lmcompare.errors import DataError
from lmcompare.experiments.task_data import read_task
from lmcompare.tasks import facts, official

HEAD = """\
# What is kept of the official splits, by which a copy is told from them: lmcompare/tasks/official.py says how.
# Made by tests/oracles/official_digests.py.
"""
# Copies of which it is not known whether their rows are the published ones, so that they are only counted: somebody has
# lower-cased them or cut them into words (snli, scitail, sst5), another copy has other quotes (qnli), the labels are
# SuperGLUE's two (ax).
COUNTED = ("snli", "scitail", "sst5", "qnli", "ax")
BLANK = (("tydiqa", "dev"), ("xquad", "test"))  # whose answers were published, but are blank in our copies
# Published as a file an example, or as a file a class: in no order.
UNORDERED = ("imdb", "20newsgroups", "subj", "mr")
LINE = 96


def digests(name: str, data: Path) -> dict[str, official.Known]:
    """Of every published split of a task that is here as a whole."""
    told = facts.of(name)
    found = read_task({"name": name}, data, needed=())
    kept = {}
    for split, rows in told.splits.items():
        parts = [own for own in found.splits if told.cut.get(own, own) == split]
        examples = [example for own in parts for example in found.splits[own]]
        subset = any(re.search(rf"\b{own}: [^,)]*subset", found.task.source) for own in parts)
        blank = split not in told.unlabelled and any(e.label is None for e in examples)
        if len(examples) != rows or subset or blank or (name, split) in BLANK:
            continue
        ordered = name not in UNORDERED and parts == [split] and split not in told.cut.values()
        classes = told.kind == "classify" and any(e.label is not None for e in examples)
        kept[split] = official.Trace.of(examples).known(ordered=ordered, classes=classes)
    return kept


def written(table: dict[str, dict[str, Any]]) -> str:
    """The file, with its long lines folded."""
    lines = [HEAD]
    for name in sorted(table):
        for split, kept in table[name].items():
            lines.append(f"[{key(name)}.{key(split)}]")
            if kept.get("order"):
                lines += ["order = [", *(f"  {quoted(one)}," for one in kept["order"]), "]"]
            for what in ("texts", "labelled"):
                lines += [f'{what} = """\\', *(f"{part}\\" for part in folded(kept[what])), '"""']
            if kept.get("classes"):
                lines += [f"[{key(name)}.{key(split)}.classes]"]
                lines += [f"{key(label)} = {quoted(told)}" for label, told in kept["classes"].items()]
            lines.append("")
    return "\n".join(lines)


def folded(text: str) -> list[str]:
    return [text[place : place + LINE] for place in range(0, len(text), LINE)]


def key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def plain(kept: official.Known) -> dict[str, Any]:
    classes = {label: f"{count} {total}" for label, (count, total) in (kept.classes or {}).items()}
    told = {"order": [*kept.order], "texts": kept.texts, "labelled": kept.labelled, "classes": classes}
    return {what: value for what, value in told.items() if value}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--task", action="append", default=[], help="only these; default: all that DATA has")
    parser.add_argument("--write", action="store_true")
    told = parser.parse_args()
    before = tomllib.loads(official.FILE.read_text(encoding="utf-8")) if official.FILE.is_file() else {}
    table = {name: dict(splits) for name, splits in before.items()}
    for name in told.task or registry.tasks.names():
        if name in COUNTED or facts.of(name).made or facts.where(name, told.data) != "local":
            continue
        try:
            made = {split: plain(kept) for split, kept in digests(name, told.data).items()}
        except DataError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        kept = table.pop(name, {})
        table[name] = {s: made.get(s, kept.get(s)) for s in facts.of(name).splits if s in made or s in kept}
        for split, new in table[name].items():
            old = before.get(name, {}).get(split)
            state = "as it was" if old == new else "CHANGED" if old else "new"
            print(f"{name} {split}: {facts.of(name).splits[split]:,} rows, {state}")
        if not table[name]:
            del table[name]
    if told.write:
        official.FILE.write_text(written(table), encoding="utf-8")


if __name__ == "__main__":
    main()
