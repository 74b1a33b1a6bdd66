"""How a backend with a vector a word sees a task: one view a text, the two texts of a pair apart."""

from collections.abc import Sequence

from lmcompare.backends.piece_views import words_in_a_row
from lmcompare.text.words import Words
from lmcompare.types import Example, Task, View


def word_views(
    tokenizer: Words, task: Task, example: Example, length: int, stride: int | None = None
) -> list[View]:
    """Views of whole words; part 0 and part 1 are the two texts. A long context is cut into overlapping windows, and
    the question goes with each of them (the window's number stands where an option's would)."""

    def view(ids: Sequence[int], part: int = 0, option: int = 0) -> View:
        kept = list(ids[:length]) or [tokenizer.end_id]
        cut = max(0, len(ids) - length)
        return View(kept, [0] * len(kept), pool=len(kept) - 1, part=part, option=option, cut=cut)

    if task.kind == "tags":
        return [_tagged(tokenizer, example, length)]
    if task.kind == "span":
        question, context = example.texts
        return _windows(tokenizer, question, context, length, stride)
    texts = [tokenizer.encode(text) for text in example.texts]
    if task.kind == "choice":
        options = [tokenizer.encode(option) for option in example.options]
        return [
            view(ids, part, n)
            for n, option in enumerate(options)
            for part, ids in enumerate((texts[0], option))
        ]
    return [view(ids, part) for part, ids in enumerate(texts)]


def _tagged(tokenizer: Words, example: Example, length: int) -> View:
    row = words_in_a_row(
        lambda words: [[i] for i in tokenizer.encode_words(words)], example, length, at="first"
    )
    ids = row.ids or [tokenizer.end_id]
    places = [
        place - 1 if place >= 0 else -1 for place in row.places
    ]  # a row counts with one marker before it
    return View(ids, [0] * len(ids), pool=len(ids) - 1, words=places, cut=row.cut)


def _windows(tokenizer: Words, question: str, context: str, length: int, stride: int | None) -> list[View]:
    whole = tokenizer.encode(question)
    asked, cut = whole[:length] or [tokenizer.end_id], max(0, len(whole) - length)
    ids, spans = tokenizer.encode_offsets(context)
    if not ids:
        ids, spans = [tokenizer.end_id], [(0, 0)]
    stride = min(length, stride or max(1, length // 2))
    views = []
    for window, start in enumerate(range(0, max(1, len(ids) - length + stride), stride)):
        inside = ids[start : start + length]
        views.append(
            View(
                asked,
                [0] * len(asked),
                pool=len(asked) - 1,
                option=window,
                spans=[(-1, -1)] * len(asked),
                cut=cut,
            )
        )
        views.append(
            View(
                inside,
                [0] * len(inside),
                pool=len(inside) - 1,
                part=1,
                option=window,
                spans=spans[start : start + length],
            )
        )
    return views
