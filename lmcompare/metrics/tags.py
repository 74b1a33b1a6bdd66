"""Metrics of tags on words: whole spans of them count."""

from collections.abc import Iterable, Iterator, Sequence

from lmcompare import registry
from lmcompare.errors import UserError
from lmcompare.metrics.pairs import Labels, Undefined, paired

MARK = "MARK"  # the tag of a word that was put beside a predicate, and is none of the sentence's
Role = tuple[str, tuple[tuple[int, int], ...]]  # what it is called, and where its pieces are


@registry.metrics.register("entity_f1")
def entity_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], labels: Labels) -> float:
    """F1 of whole entities in BIO tags: borders and type must agree, as conlleval counts."""
    return twice_the_hits([entity_counts(*pair) for pair in paired(gold, predicted)], "entity")


def entity_counts(tags: Sequence[str], guesses: Sequence[str]) -> tuple[int, int]:
    """Of one example: the entities that were found, and those of either side."""
    paired(tags, guesses, "words")
    true, told = set(entities(tags)), set(entities(guesses))
    return len(true & told), len(true) + len(told)


def twice_the_hits(counts: Sequence[tuple[int, int]], what: str) -> float:
    hits, total = (sum(column) for column in zip(*counts, strict=True))
    if not total:
        raise Undefined(f"no {what} in gold or predictions")
    return 2 * hits / total


def entities(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """(type, first word, word after the last). An I- that continues nothing starts an entity."""
    kind, start = "", 0
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, inside = tag.partition("-")
        if tag != "O" and (prefix not in ("B", "I") or not inside):
            raise UserError(f"metric entity_f1: {tag!r} is no BIO tag; O, B-type or I-type is")
        if kind and (prefix != "I" or inside != kind):
            yield kind, start, i
            kind = ""
        if inside and not kind:
            kind, start = inside, i


@registry.metrics.register("role_f1")
def role_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], labels: Labels) -> float:
    """F1 of the roles of predicates in BIO tags, as CoNLL-2005's scorer counts: without the predicates themselves."""
    return twice_the_hits([role_counts(*pair) for pair in paired(gold, predicted)], "role")


def role_counts(tags: Sequence[str], guesses: Sequence[str]) -> tuple[int, int]:
    """Of one example: the roles that were found, and those of either side."""
    own = [pair for pair in paired(tags, guesses, "words") if pair[0] != MARK]
    true = set(roles([tag for tag, _ in own]))
    told = set(roles(["O" if guess == MARK else guess for _, guess in own]))
    return len(true & told), len(true) + len(told)


def roles(tags: Sequence[str]) -> Iterable[Role]:
    """Every role but the predicate's own. C-X continues the X before it, and is a part of that one role; without one
    it is an X itself. R-X is a role of its own."""
    found: list[tuple[str, list[tuple[int, int]]]] = []
    latest: dict[str, int] = {}
    for kind, start, end in entities(tags):
        name = kind.removeprefix("C-")
        if name != kind and name in latest:
            found[latest[name]][1].append((start, end))
        else:
            latest[name] = len(found)
            found.append((name, [(start, end)]))
    return [(name, tuple(pieces)) for name, pieces in found if name != "V"]
