"""How what was read of each view becomes what the head of a task answers from, whichever way the backend cuts an
example into views."""
# ruff: noqa: TID253

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcompare.errors import UserError
from lmcompare.transfer.dataset import Batch
from lmcompare.types import Task, View


@dataclass(frozen=True)
class Given:
    """What a transfer hands to the head of a task."""

    width: int
    finished: bool = False  # these are the answer's logits already
    apart: bool = False  # span: a window's context alone, without a token that stands for "not here"
    scheme: str | None = None  # tags: how a chain of tags is written


def given(
    task: Task,
    parts: int,
    width: int,
    *,
    pairs: bool = False,
    finished: bool = False,
    scheme: str | None = None,
) -> Given:
    """For a backend with one or two parts to a view, and a reader whose states are this wide."""
    if pairs:  # the two texts have met already
        return Given(width, finished, task.kind == "span")
    if task.kind == "span":
        return Given(3 * width if parts == 2 else width, finished, parts == 2)
    return Given(width * (4 if matched(task, parts) else 1), finished, scheme=scheme)


def matched(task: Task, parts: int) -> bool:
    """Whether two texts were read apart, and one answer is made from both."""
    return parts == 2 and (task.kind == "choice" or (task.kind in ("classify", "score") and task.texts == 2))


def joined(states_BTE: Tensor, pooled_BE: Tensor, batch: Batch, task: Task) -> Tensor:
    """For the head: a state a token, or a vector an answer."""
    if task.kind == "tags":
        return states_BTE
    if task.kind == "span":
        return asked(states_BTE, pooled_BE, batch) if batch.parts == 2 else states_BTE
    return gathered(pooled_BE, batch, matched=matched(task, batch.parts))


def gathered(pooled_BE: Tensor, batch: Batch, *, matched: bool) -> Tensor:
    """A vector for every answer. Views that say the same thing in another order are added; two texts in views of
    their own are matched as [u, v, |u − v|, u·v]."""
    if not matched:
        return added(pooled_BE, batch.group_B, len(batch.options_G))
    u_GE, v_GE = (part_of(pooled_BE, batch, part) for part in (0, 1))
    return torch.cat([u_GE, v_GE, (u_GE - v_GE).abs(), u_GE * v_GE], -1)


def added(x_BE: Tensor, group_B: Tensor, groups: int) -> Tensor:
    return x_BE.new_zeros(groups, x_BE.shape[1]).index_add(0, group_B, x_BE)


def part_of(pooled_BE: Tensor, batch: Batch, part: int) -> Tensor:
    chosen_B = batch.part_B == part
    return added(pooled_BE[chosen_B], batch.group_B[chosen_B], len(batch.options_G))


def asked(states_BTE: Tensor, pooled_BE: Tensor, batch: Batch) -> Tensor:
    """Each context token beside its question, [s, q, s·q], so that a linear layer can tell whether they agree."""
    window_B = batch.part_B == 1
    s_WTE = states_BTE[window_B]
    q_WTE = part_of(pooled_BE, batch, 0)[batch.group_B[window_B]][:, None].expand_as(s_WTE)
    return torch.cat([s_WTE, q_WTE, s_WTE * q_WTE], -1)


Places = tuple[int, Sequence[int]]  # a view, and which of its tokens


@dataclass(frozen=True)
class Side:
    """One text of every pair, as places in the views of a batch."""

    view_P: Tensor
    place_PT: Tensor
    mask_PT: Tensor

    def take(self, x_BTD: Tensor) -> Tensor:
        return x_BTD[self.view_P[:, None], self.place_PT] * self.mask_PT[..., None]

    def take_all(self, x_BTD: Tensor, extra_BTE: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        return self.take(x_BTD), self.mask_PT, None if extra_BTE is None else self.take(extra_BTE)


def two_sides(batch: Batch, device: torch.device) -> tuple[Side, Side, Tensor]:
    """The first text and the second of every pair that is to be read, and the answer that each pair speaks for."""
    groups, views = batch.group_B.tolist(), batch.views
    found: tuple[list[Places], list[Places]] = ([], [])
    if batch.parts == 2:
        for b, view in enumerate(views):
            found[view.part].append((b, range(len(view.ids))))
        first, second = ({groups[b]: (b, places) for b, places in of} for of in found)
        groups = list(first)
        found = ([first[g] for g in groups], [second[g] for g in groups])
    else:
        for b, view in enumerate(views):
            for part in (0, 1):
                found[part].append((b, text(view, part)))
    return side(found[0], device), side(found[1], device), torch.tensor(groups, device=device)


def text(view: View, part: int) -> Sequence[int]:
    """Where one of two texts stands in a view that holds both: a marker begins the view, and one ends each text."""
    if 1 not in view.segments:
        raise UserError(
            "transfer.reader: this reader reads two texts against each other, and the backend's views do not say "
            "where the second one begins; take 'bilstm' or 'linear'"
        )
    if part == 1 and view.spans:
        return [t for t, (start, _) in enumerate(view.spans) if start >= 0]
    return [t for t, segment in enumerate(view.segments) if segment == part and t > 0][:-1]


def side(found: Sequence[Places], device: torch.device) -> Side:
    lengths_P1 = torch.tensor([[len(places)] for _, places in found])
    T = max(1, int(lengths_P1.max()))
    place_PT = torch.zeros(len(found), T, dtype=torch.long)
    for p, (_, places) in enumerate(found):
        place_PT[p, : len(places)] = torch.tensor(places, dtype=torch.long)
    mask_PT = torch.arange(T)[None] < lengths_P1
    return Side(torch.tensor([b for b, _ in found], device=device), place_PT.to(device), mask_PT.to(device))
