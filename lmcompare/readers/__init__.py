"""Task networks over frozen layers, one file each.

A reader is built with the width of its input, the width of what stands beside its contextual layer's output (the
output mix, or 0), and the task. It names the kinds of task that it `serves`. Most read one view at a time:
`reader(x_BTD, mask_BT, extra_BTE)` gives a state a token and a vector a view. One that `pairs` reads two texts at
once, which the transfer finds for it in the views of any backend: `reader((x_PTD, mask_PT, extra_PTE), (...))` gives
a vector a pair, or a state a token of the second text. What it gives is `width` wide; the head's linear layer
follows, unless the reader has an output layer of its own and is `finished`.
"""

from lmcompare.types import Task

ONE_TEXT, TWO_TEXTS, CHOICE, TAGS, SPAN = FORMS = ("one text", "two texts", "choice", "tags", "span")


def form(task: Task) -> str:
    """What a reader is asked to read."""
    if task.kind in ("classify", "score"):
        return TWO_TEXTS if task.texts == 2 else ONE_TEXT
    return task.kind


def outputs(task: Task) -> int:
    """How many numbers an answer, or a token of it, is made from."""
    return {"score": 1, "choice": 1, "span": 2}.get(task.kind, len(task.labels))
