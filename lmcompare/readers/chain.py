"""A linear chain over tags: the likelihood of a sentence's tags as a whole, the best of them, and how BIO is written
as BIOUL and back (Lafferty et al. 2001; Ratinov and Roth 2009 for BIOUL)."""
# ruff: noqa: TID253

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Chain(nn.Module):
    """A score for each tag after each other, first and last. Forbidden sequences are never answered; the likelihood
    that is trained counts all of them, as AllenNLP's does."""

    allowed: Tensor

    def __init__(self, tags: Sequence[str], scheme: str) -> None:
        super().__init__()
        self.transitions = nn.Parameter(torch.zeros(len(tags), len(tags)))  # from, to
        self.start = nn.Parameter(torch.zeros(len(tags)))
        self.end = nn.Parameter(torch.zeros(len(tags)))
        self.register_buffer("allowed", allowed(tags, scheme), persistent=False)

    def log_likelihood(self, logits_BWC: Tensor, tags_BW: Tensor, mask_BW: Tensor) -> Tensor:
        """Of each sentence; 0 where it has no words."""
        gap_B = self._score(logits_BWC, tags_BW, mask_BW) - self._total(logits_BWC, mask_BW)
        return gap_B * mask_BW.any(1)

    def _score(self, logits_BWC: Tensor, tags_BW: Tensor, mask_BW: Tensor) -> Tensor:
        """Of the given tags."""
        said_BW = logits_BWC.gather(2, tags_BW[..., None])[..., 0]
        moved_BV = self.transitions[tags_BW[:, :-1], tags_BW[:, 1:]]
        last_B = tags_BW.gather(1, (mask_BW.sum(1, keepdim=True) - 1).clamp(min=0))[:, 0]
        inner_B = (said_BW * mask_BW).sum(1) + (moved_BV * mask_BW[:, 1:]).sum(1)
        return self.start[tags_BW[:, 0]] + inner_B + self.end[last_B]

    def _total(self, logits_BWC: Tensor, mask_BW: Tensor) -> Tensor:
        """The logarithm of the sum over all sequences of tags: the forward algorithm."""
        ahead_BC = self.start + logits_BWC[:, 0]
        for w in range(1, logits_BWC.shape[1]):
            next_BC = torch.logsumexp(ahead_BC[:, :, None] + self.transitions, 1) + logits_BWC[:, w]
            ahead_BC = torch.where(mask_BW[:, w, None], next_BC, ahead_BC)
        return torch.logsumexp(ahead_BC + self.end, 1)

    @torch.no_grad()
    def best(self, logits_BWC: Tensor, mask_BW: Tensor) -> Tensor:
        """The likeliest allowed tags of each sentence (Viterbi); what stands behind its end means nothing."""
        B, W, C = logits_BWC.shape
        never = float("-inf")
        moves_CC = self.transitions.masked_fill(~self.allowed[:C, :C], never)
        best_BC = self.start.masked_fill(~self.allowed[C, :C], never) + logits_BWC[:, 0]
        came = []
        stay_BC = torch.arange(C, device=logits_BWC.device).expand(B, C)
        for w in range(1, W):
            value_BC, from_BC = (best_BC[:, :, None] + moves_CC).max(1)
            real_B1 = mask_BW[:, w, None]
            best_BC = torch.where(real_B1, value_BC + logits_BWC[:, w], best_BC)
            came.append(torch.where(real_B1, from_BC, stay_BC))
        tag_B1 = (best_BC + self.end.masked_fill(~self.allowed[:C, C + 1], never)).argmax(1, keepdim=True)
        path = [tag_B1]
        for from_BC in reversed(came):
            path.append(from_BC.gather(1, path[-1]))
        return torch.cat(path[::-1], 1)


class Scheme:
    """A task's BIO labels, and the tags that a chain uses for them."""

    def __init__(self, labels: Sequence[str], scheme: str) -> None:
        self.labels = list(labels)
        number = {label: n for n, label in enumerate(labels)}
        types = [label[2:] for label in labels if label.startswith(("B-", "I-"))]
        if lost := sorted({name for name in types if f"B-{name}" not in number}):
            raise ValueError(f"the task's labels are not BIO: 'I-{lost[0]}' is there without 'B-{lost[0]}'")
        self.tags = self.labels if scheme == "BIO" else bioul(labels)
        place = {tag: n for n, tag in enumerate(self.tags)}
        closed = {"B": "U", "I": "L"} if scheme == "BIOUL" else {}
        self.open_C = torch.tensor([place.get(label, 0) for label in labels])
        self.closed_C = torch.tensor([place.get(swapped(label, closed), 0) for label in labels])
        self.begun_C = torch.tensor(
            [number.get(swapped(label, {"I": "B"}), n) for n, label in enumerate(labels)]
        )
        self.back = [number[swapped(tag, {"U": "B", "L": "I"})] for tag in self.tags]
        self.continues_CC = torch.tensor(
            [[b[:2] == "I-" and a[:2] in ("B-", "I-") and a[2:] == b[2:] for b in labels] for a in labels]
        )

    def written(self, labels_BW: Tensor, mask_BW: Tensor) -> Tensor:
        """Labels as tags of the chain. An I- that continues nothing begins an entity, as the metric counts it."""
        continues, begun, opened, closed = (
            t.to(labels_BW.device) for t in (self.continues_CC, self.begun_C, self.open_C, self.closed_C)
        )
        goes_on_BV = continues[labels_BW[:, :-1], labels_BW[:, 1:]] & mask_BW[:, 1:]
        first_B1 = torch.zeros_like(mask_BW[:, :1])
        labels_BW = torch.where(torch.cat([first_B1, goes_on_BV], 1), labels_BW, begun[labels_BW])
        return torch.where(torch.cat([goes_on_BV, first_B1], 1), opened[labels_BW], closed[labels_BW])

    def read(self, tags: Sequence[int]) -> list[str]:
        """The task's labels of a chain's tags."""
        return [self.labels[self.back[tag]] for tag in tags]


def bioul(labels: Sequence[str]) -> list[str]:
    """The tags for which BIO labels stand: a last word and an only word are marked as such."""
    tags = []
    for label in labels:
        if label.startswith("B-"):
            whole = f"I-{label[2:]}" in labels
            tags += [f"{mark}-{label[2:]}" for mark in ("BIUL" if whole else "U")]
        elif not label.startswith("I-"):
            tags.append(label)
    return tags


def swapped(tag: str, marks: dict[str, str]) -> str:
    """The tag under another mark."""
    return marks.get(tag[0], tag[0]) + tag[1:] if tag[1:2] == "-" else tag


def allowed(tags: Sequence[str], scheme: str) -> Tensor:
    """Which tag may follow which; the last two rows and columns stand for the start and the end."""
    C = len(tags)
    table = torch.zeros(C + 2, C + 2, dtype=torch.bool)
    for i, before in enumerate([*tags, ""]):
        table[i, :C] = torch.tensor([follows(before, tag, scheme) for tag in tags])
    table[:C, C + 1] = torch.tensor([follows(tag, "", scheme) for tag in tags])
    return table


def follows(before: str, after: str, scheme: str) -> bool:
    """ "" stands for the start and the end. A tag without a mark, like O, is a word of its own."""
    inside = before[2:] if before[:2] in ("B-", "I-") else None  # the entity that is open
    goes_on = after[:2] in ("I-", "L-")
    if goes_on:
        return inside == after[2:]
    return scheme == "BIO" or inside is None
