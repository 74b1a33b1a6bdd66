"""The linear chain against every path of small cases, its constraints, and how BIO becomes BIOUL and comes back."""

from itertools import pairwise, product

import pytest
import torch

from lmcompare.errors import UserError
from lmcompare.readers.chain import Chain, Scheme, allowed, bioul
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.pairing import Given
from lmcompare.transfer.tags import Tags, word_places
from lmcompare.types import Task, View
from tests.contracts.test_backends import CPU, TASKS, all_of, learner, train

BIO = ("O", "B-P", "I-P", "B-Q", "I-Q")


def drawn(tags: tuple[str, ...] | list[str], scheme: str, seed: int = 1) -> Chain:
    generator = torch.Generator().manual_seed(seed)
    chain = Chain(tags, scheme).double()
    with torch.no_grad():
        for p in chain.parameters():
            p.normal_(0.0, 1.0, generator=generator)
    return chain


def some(B: int, W: int, C: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(B, W, C, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def said(chain: Chain, logits_WC: torch.Tensor, path: tuple[int, ...]) -> float:
    """The score of one path, added up by hand."""
    total = chain.start[path[0]] + chain.end[path[-1]]
    total = total + sum(logits_WC[w, tag] for w, tag in enumerate(path))
    return float((total + sum(chain.transitions[a, b] for a, b in pairwise(path))).detach())


LENGTHS = (4, 1, 3)


def test_the_likelihood_is_that_over_all_paths() -> None:
    chain, logits = drawn(BIO, "BIO"), some(3, 4, 5)
    mask = torch.arange(4)[None] < torch.tensor(LENGTHS)[:, None]
    tags = torch.randint(0, 5, (3, 4), generator=torch.Generator().manual_seed(3))
    found = chain.log_likelihood(logits, tags, mask)
    for b, length in enumerate(LENGTHS):
        paths = [said(chain, logits[b], path) for path in product(range(5), repeat=length)]
        total = torch.tensor(paths, dtype=torch.float64).logsumexp(0)
        own = said(chain, logits[b], tuple(tags[b, :length].tolist()))
        assert float(found[b].detach()) == pytest.approx(own - float(total), abs=1e-9)


@pytest.mark.parametrize("scheme", ["BIO", "BIOUL"])
@pytest.mark.parametrize("seed", range(6))
def test_the_best_path_is_the_best_of_those_that_are_allowed(scheme: str, seed: int) -> None:
    tags = list(BIO) if scheme == "BIO" else bioul(("O", "B-P", "I-P"))
    chain, logits = drawn(tags, scheme, seed), some(3, 4, len(tags), seed + 50)
    mask = torch.arange(4)[None] < torch.tensor(LENGTHS)[:, None]
    found = chain.best(logits, mask)
    for b, length in enumerate(LENGTHS):
        fit = [p for p in product(range(len(tags)), repeat=length) if whole([tags[t] for t in p], scheme)]
        best = max(fit, key=lambda path: said(chain, logits[b], path))
        assert tuple(found[b, :length].tolist()) == best


def whole(tags: list[str], scheme: str) -> bool:
    """Whether a sentence may be tagged so, read from left to right by the definition of the scheme."""
    open_type = None
    for tag in tags:
        mark, kind = tag[0], tag[2:]
        if mark in "IL" and kind != open_type:
            return False
        if mark in "BOU" and scheme == "BIOUL" and open_type is not None:
            return False
        open_type = kind if mark in "BI" else None
    return scheme == "BIO" or open_type is None


def test_the_chain_passes_gradcheck() -> None:
    chain, logits = drawn(BIO, "BIO"), some(2, 3, 5).requires_grad_()
    mask = torch.tensor([[True, True, True], [True, True, False]])
    tags = torch.tensor([[1, 2, 0], [3, 0, 4]])

    def likelihood(*given: torch.Tensor) -> torch.Tensor:  # the weights are moved in place
        return chain.log_likelihood(given[0], tags, mask)

    assert torch.autograd.gradcheck(likelihood, (logits, *chain.parameters()))


def test_padding_and_a_sentence_without_words_change_nothing() -> None:
    chain, logits = drawn(BIO, "BIO"), some(2, 3, 5)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    tags = torch.tensor([[1, 2, 4], [3, 1, 4]])
    found = chain.log_likelihood(logits, tags, mask)
    noisy = torch.where(mask[..., None], logits, torch.full_like(logits, 1e4))
    assert torch.equal(found, chain.log_likelihood(noisy, tags * mask, mask))
    assert float(found[1].detach()) == 0.0
    assert torch.equal(chain.best(logits, mask)[0, :2], chain.best(noisy, mask)[0, :2])


def test_what_may_follow_what_in_bioul() -> None:
    tags = bioul(BIO)
    assert tags == ["O", "B-P", "I-P", "U-P", "L-P", "B-Q", "I-Q", "U-Q", "L-Q"]
    table = allowed(tags, "BIOUL")
    names = [*tags, "start", "end"]
    may = {(names[a], names[b]) for a, b in table.nonzero().tolist()}
    assert (
        ("B-P", "L-P") in may and ("I-P", "I-P") in may and ("L-P", "B-P") in may and ("start", "U-Q") in may
    )
    assert ("L-Q", "end") in may and ("O", "end") in may
    assert not may & {("B-P", "L-Q"), ("B-P", "O"), ("O", "I-P"), ("start", "I-P"), ("start", "L-P")}
    assert not may & {("B-P", "end"), ("I-P", "end"), ("U-P", "L-P"), ("end", "O"), ("O", "start")}
    assert all(bool(table[i, j]) == whole_pair(a, b) for i, a in enumerate(tags) for j, b in enumerate(tags))


def whole_pair(a: str, b: str) -> bool:
    """Two tags are allowed in a row if some sentence that holds them so is."""
    around = [[], *([f"{mark}-{kind}"] for mark in "BL" for kind in "PQ")]
    return any(whole([*left, a, b, *right], "BIOUL") for left in around for right in around)


@pytest.mark.parametrize("scheme", ["BIO", "BIOUL"])
def test_labels_become_tags_and_come_back(scheme: str) -> None:
    plan = Scheme(BIO, scheme)
    sentences = [
        ["B-P", "I-P", "I-P", "O", "B-Q"],
        ["B-P", "B-P", "I-P"],
        ["O"],
        ["B-Q", "I-Q", "B-Q", "I-Q", "I-Q"],
    ]
    W = max(map(len, sentences))
    labels = torch.tensor([[BIO.index(x) for x in row] + [0] * (W - len(row)) for row in sentences])
    mask = torch.arange(W)[None] < torch.tensor([[len(row)] for row in sentences])
    written = plan.written(labels, mask).tolist()
    for row, tags in zip(sentences, written, strict=True):
        assert whole([plan.tags[t] for t in tags[: len(row)]], scheme)
        assert plan.read(tags[: len(row)]) == row
    if scheme == "BIOUL":
        assert [plan.tags[t] for t in written[0]] == ["B-P", "I-P", "L-P", "O", "U-Q"]


def test_an_inside_tag_that_continues_nothing_begins_an_entity() -> None:
    plan = Scheme(BIO, "BIOUL")
    rows = [["I-P", "I-P", "I-Q"], ["O", "I-Q", "B-P"]]
    labels = torch.tensor([[BIO.index(x) for x in row] for row in rows])
    written = plan.written(labels, torch.ones(2, 3, dtype=torch.bool)).tolist()
    assert [[plan.tags[t] for t in row] for row in written] == [["B-P", "L-P", "U-Q"], ["O", "U-Q", "U-P"]]


def test_labels_that_are_not_bio() -> None:
    assert Scheme(("NN", "VB"), "BIOUL").tags == ["NN", "VB"]
    assert bool(allowed(["NN", "VB"], "BIOUL")[:2, :2].all())
    with pytest.raises(ValueError, match="'I-P' is there without 'B-P'"):
        Scheme(("O", "I-P"), "BIO")


def test_a_chain_runs_over_words_and_cut_words_are_outside() -> None:
    task = Task("t", "tags", ("entity_f1",), lambda split: [], labels=BIO)
    views = [View(range(6), [0] * 6, words=[1, 3, 4]), View(range(4), [0] * 4, words=[1, -1, -1])]
    at, mask = word_places(views, CPU)
    assert at.tolist() == [[1, 3, 4], [1, 0, 0]] and mask.tolist() == [[True] * 3, [True, False, False]]
    head = Tags(task, Given(3, scheme="BIOUL"), dropout=0.0)
    names, logits = bioul(BIO), torch.zeros(2, 6, 9)
    for place, tag in ((1, "B-Q"), (2, "U-P"), (3, "I-Q"), (4, "L-Q")):
        logits[:, place, names.index(tag)] = 5.0
    assert head.linear.out_features == 9
    assert head.scheme is not None and head.chain is not None
    assert [
        head.scheme.read(row)
        for row in head.chain.best(logits.gather(1, at[..., None].expand(-1, -1, 9)), mask)[:1].tolist()
    ] == [["B-Q", "I-Q", "I-Q"]]


@pytest.mark.parametrize("settings", [{"hidden": 0}, {"hidden": 5, "scheme": "BIO"}])
def test_the_reader_learns_with_and_without_a_network(settings: dict) -> None:
    _, made, dataset = learner("bert", "tags", "features", "crf", {"reader": settings | {"layers": 1}})
    train(made, dataset, 40)
    answers = made.answers(dataset, all_of(dataset), CPU)
    assert sum(a["prediction"] == list(a["label"]) for a in answers) >= 5


def test_words_that_were_cut_off_are_outside() -> None:
    backend, made, _ = learner("bert", "tags", "features", "crf")
    made.eval()
    task, examples = TASKS["tags"]
    dataset = Dataset(backend, task, examples[:2], length=5)
    made.learn_from(dataset)
    with torch.no_grad():
        made.head.linear.bias[made.head.scheme.tags.index("U-X")] = 50.0
    answers = made.answers(dataset, all_of(dataset), CPU)
    for answer, view in zip(answers, dataset.views, strict=True):
        assert answer["prediction"] == ["B-X" if t >= 0 else "O" for t in view.words]
        assert {-1} < set(view.words)
    assert float(made.losses(made.batch(all_of(dataset), 0))["task"].detach()) > 0


def test_a_task_whose_labels_are_no_bio_is_answered_with_a_sentence() -> None:
    from lmcompare.transfer.features import fitting

    task = Task("t", "tags", ("entity_f1",), lambda split: [], labels=("O", "I-P"))
    with pytest.raises(UserError, match=r"transfer\.reader \(crf\): the task's labels are not BIO"):
        fitting({"name": "crf"}, task, 4, 0)
