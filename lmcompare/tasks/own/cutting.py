"""A development part, and a test part where one is asked for, cut from a file that is not split.

The rule knows the content alone: rows are sorted by a hash of their texts, and of each class the first so many are
taken. So it is the same cut with every seed, whatever the order of the rows. Rows with the same text stay together: a
cut that put one of them on either side would test on what was learned.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from lmcompare.errors import DataError
from lmcompare.tasks.checks import same_text
from lmcompare.types import Example, Kind, Split

# Texts that all questions or choices are about: fewer cannot be parted, so each row stands for itself.
FEW = 10
BINS = 10  # of the scores, so that every part has low ones and high ones

Group = tuple[str, list[int]]  # the hash of a content · the rows that have it


def cut(
    examples: Sequence[Example], shares: Mapping[Split, float], kind: Kind, *, symmetric: bool, where: str,
    label: str = "",
) -> dict[Split, list[Example]]:  # fmt: skip
    """The shares of the examples, and the rest as training part, each in the order of the file. `label`: the column
    that the classes stand in."""
    strata = all_strata = _strata(examples, kind, symmetric)
    taken: dict[Split, list[int]] = {}
    whole = 1.0
    for split, share in shares.items():
        drawn = _drawn(strata, share / whole) or _smallest(strata)
        whole -= share
        gone = {key for key, _ in drawn}
        strata = [[group for group in groups if group[0] not in gone] for groups in strata]
        taken[split] = [row for _, rows in drawn for row in rows]
    if short := [split for split, rows in taken.items() if not rows]:
        cause = _cause(all_strata, len(examples), kind, label, short[0])
        raise DataError(f"{where}: {cause} with task.{short[0]}=FILE")
    rest = [row for groups in strata for _, rows in groups for row in rows]
    return {
        split: [examples[row] for row in sorted(rows)] for split, rows in {"train": rest, **taken}.items()
    }


def _cause(strata: Sequence[Sequence[Group]], rows: int, kind: Kind, label: str, split: Split) -> str:
    """Why nothing could be taken, as far as the rows tell."""
    different = sum(map(len, strata))
    if kind == "classify" and len(strata) > 2 and different == len(strata):
        what = f"{len(strata):,} classes in {rows:,} rows: none has two "
        what += "examples" if different == rows else "different texts"
        asked = f"is {label!r} the label?" if label else "are these the labels?"
        return f"{what}, so no {split} part can be cut; {asked} If so, give a file of its own"
    counted = f"{rows:,} row{'s' * (rows != 1)}"
    if different < rows:
        counted += f" with {different:,} different text{'s' * (different != 1)}"
    return f"{counted} {'is' if rows == 1 else 'are'} too few to cut {split} from; give a file of its own"


def _drawn(strata: Sequence[Sequence[Group]], share: float) -> list[Group]:
    """The first groups of every class that make up the share together; one always stays behind. What a class is too
    small for, the next one gives."""
    found, over = list[Group](), 0.0
    for groups in strata:
        over += share * sum(len(rows) for _, rows in groups)
        for group in groups[: len(groups) - 1]:
            if len(group[1]) <= over + 0.5:
                found.append(group)
                over -= len(group[1])
            if over < 0.5:
                break
        over = min(over, 1.0)
    return found


def _smallest(strata: Sequence[Sequence[Group]]) -> list[Group]:
    """One group, where not even one row was due."""
    groups = max(strata, key=len)
    return [min(groups, key=lambda group: len(group[1]))] if len(groups) > 2 else []


def _strata(examples: Sequence[Example], kind: Kind, symmetric: bool) -> list[list[Group]]:
    """Rows with the same content as groups, in the order of their hashes, class by class."""
    alike: dict[str, list[int]] = defaultdict(list)
    for row, key in enumerate(_keys(examples, kind, symmetric)):
        alike[key].append(row)
    groups = sorted(alike.items())
    if kind == "classify":
        classes: dict[str, list[Group]] = defaultdict(list)
        for group in groups:
            classes[min(str(examples[row].label) for row in group[1])].append(group)
        return [classes[name] for name in sorted(classes)]
    if kind == "score":
        ranked = sorted(groups, key=lambda group: (min(_number(examples[row]) for row in group[1]), group[0]))
        count = max(1, min(BINS, len(ranked) // BINS))
        borders = [len(ranked) * n // count for n in range(count + 1)]
        return [sorted(ranked[a:b]) for a, b in pairwise(borders)]
    return [groups]


def _number(example: Example) -> float:
    return example.label if isinstance(example.label, float) else 0.0


def _keys(examples: Sequence[Example], kind: Kind, symmetric: bool) -> list[str]:
    """What must not stand on both sides: a row's texts; of questions and choices, what they are about."""
    if kind in ("span", "choice"):
        about = [_hash([example.texts[-1]]) for example in examples]
        if len(set(about)) >= FEW:
            return about
    found = []
    for example in examples:
        texts = [same_text(text) for text in example.texts]
        found.append(_hash([sorted(texts) if symmetric else texts, example.options, example.words]))
    return found


def _hash(content: Any) -> str:
    return hashlib.sha256(same_text(json.dumps(content, ensure_ascii=False)).encode()).hexdigest()
