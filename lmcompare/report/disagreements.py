"""The page's part on examples that two arms answer differently: as data for its script, every text once."""

import json
from typing import Any

from lmcompare.comparison import Comparison, Disagreement, Torn
from lmcompare.metrics.tags import entities
from lmcompare.report import charts
from lmcompare.report.figures import counted, task_name
from lmcompare.types import Example

LONGEST = 320  # characters of a text
MOST = (20, 10, 5, 3, 1)  # of a task and direction: as many as the page has room for
ROOM = 900_000  # bytes
FIRST = 3  # of a direction, written into the page itself, for those who read it without its script


def disagreements(comparison: Comparison) -> dict[str, Any] | None:
    """None where no pair of arms was held against each other, or none of them disagrees."""
    known = [one for one in comparison.disagreements if any(one.counts.values())]
    if not known:
        return None
    pairs = list(dict.fromkeys((one.a, one.b) for one in known))
    tasks = [task.name for task in comparison.tasks if any(one.task == task.name for one in known)]
    for most in MOST:
        data = {
            "pairs": pairs,
            "colors": [[charts.color(comparison.arms.index(arm)) for arm in pair] for pair in pairs],
            "tasks": tasks,
            "groups": [group(one, pairs, tasks, most) for one in known],
            "texts": texts_of(known, most),
        }
        if most == MOST[-1] or len(json.dumps(data)) < ROOM:
            break
    lacking = {one.task: one.textless for one in known if one.textless}
    return {
        "data": data,
        "pairs": [f"{a} against {b}" for a, b in pairs],
        "tasks": tasks,
        "first": [card(one, torn) for one in known[:1] for torn in few(one, FIRST)],
        "lacking": [
            f"{name}: ids alone, because its texts are not at hand ({why})" for name, why in lacking.items()
        ],
    }


def few(one: Disagreement, most: int) -> list[Torn]:
    """So many of each direction; they stand in the order of their strength."""
    by_direction: dict[str, list[Torn]] = {}
    for torn in one.shown:
        by_direction.setdefault(torn.direction, []).append(torn)
    return [torn for several in by_direction.values() for torn in several[:most]]


def group(one: Disagreement, pairs: list[tuple[str, str]], tasks: list[str], most: int) -> dict[str, Any]:
    """One pair on one task, without what all of them share."""
    rows = [
        [
            torn.direction,
            torn.id,
            worded(torn.gold, one.texts.get(torn.id)),
            *(told(answers, one.texts.get(torn.id)) for answers in (torn.a, torn.b)),
            torn.a_right,
            torn.b_right,
        ]
        for torn in few(one, most)
    ]
    place = {"pair": pairs.index((one.a, one.b)), "task": tasks.index(one.task)}
    return {**place, "seeds": one.seeds, "counts": one.counts, "rows": rows}


def texts_of(known: list[Disagreement], most: int) -> dict[str, dict[str, list[str]]]:
    """By task and id."""
    found: dict[str, dict[str, list[str]]] = {}
    for one in known:
        for torn in few(one, most):
            if torn.id in one.texts:
                found.setdefault(one.task, {})[torn.id] = parts(one.texts[torn.id], torn.gold)
    return found


def card(one: Disagreement, torn: Torn) -> dict[str, Any]:
    """The same example as a person reads it without the page's script."""
    example = one.texts.get(torn.id)
    arms = []
    for arm, answers, right in ((one.a, torn.a, torn.a_right), (one.b, torn.b, torn.b_right)):
        marks = "" if right is None else f"right in {right} of {counted(one.seeds, 'seed')}"
        said = ", ".join(text + (f" ×{count}" if count > 1 else "") for text, count in told(answers, example))
        arms.append({"arm": arm, "told": said, "right": marks})
    shown = {"task": task_name(one.task), "id": torn.id, "gold": worded(torn.gold, example), "arms": arms}
    return {**shown, "texts": parts(example, torn.gold) if example else []}


def parts(example: Example, gold: Any) -> list[str]:
    """An example's texts, cut to a length; of a question's context, what stands around the answer."""
    if example.words:
        return [shortened(" ".join(example.words))]
    if example.options:
        options = [f"{number}. {option}" for number, option in enumerate(example.options, 1)]
        return [shortened(text) for text in (*example.texts, *options)]
    first = gold[0] if isinstance(gold, tuple) and gold and isinstance(gold[0], str) else ""
    return [shortened(text, around=first) for text in example.texts]


def shortened(text: str, around: str = "") -> str:
    if len(text) <= LONGEST:
        return text
    start = max(0, text.find(around) - LONGEST // 2) if around else 0
    start = min(start, len(text) - LONGEST)
    end = start + LONGEST
    return ("… " if start else "") + text[start:end].strip() + (" …" if end < len(text) else "")


def told(answers: tuple[tuple[Any, int], ...], example: Example | None) -> list[tuple[str, int]]:
    """Every answer in words, with the number of seeds that gave it; what reads alike is one."""
    found: dict[str, int] = {}
    for answer, count in answers:
        text = worded(answer, example)
        found[text] = found.get(text, 0) + count
    return list(found.items())


def worded(answer: Any, example: Example | None) -> str:
    """A label or an answer of any kind of task as text."""
    if isinstance(answer, bool | str):
        return shortened(str(answer)) or "no answer"
    if isinstance(answer, float):
        return f"{answer:.2f}".replace("-", "−")
    if isinstance(answer, int):  # an option of a choice, which counts from zero
        known = example is not None and answer < len(example.options)
        return (
            shortened(f"{answer + 1}. {example.options[answer]}")
            if known and example
            else f"option {answer + 1}"
        )
    if isinstance(answer, tuple) and tags(answer):
        return named(answer, example)
    if isinstance(answer, tuple | list):
        return " / ".join(dict.fromkeys(str(one) for one in answer)) or "no answer"
    return "none" if answer is None else str(answer)


def tags(answer: tuple[Any, ...]) -> bool:
    """Tags on words, in place of the texts of an answer."""
    return bool(answer) and all(isinstance(one, str) and (one == "O" or one[1:2] == "-") for one in answer)


def named(answer: tuple[str, ...], example: Example | None) -> str:
    """What the tags say: each name or role with its words, or with their numbers where the words are not there."""
    words = example.words if example and len(example.words) == len(answer) else ()
    spans = entities([tag if tag[:2] in ("B-", "I-") else "O" for tag in answer])
    said = []
    for kind, start, end in spans:
        place = f"{start + 1}" if end == start + 1 else f"{start + 1}–{end}"
        said.append(f"{kind}: {' '.join(words[start:end]) if words else place}")
    return "; ".join(said) or "nothing"
