"""JSON Lines, strictly: an object a line, no key twice, each key of one type throughout.

Null may stand for an absent value of any type. What JSON lets through and a text or a number cannot
be is refused: NaN, infinity, half a surrogate pair, NUL.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lmcompare.errors import DataError, nearest
from lmcompare.text.lines import fault, lines

DEEPEST = 64  # brackets within brackets
BRACKET_OR_STRING = re.compile(r'[\[{]|[\]}]|"(?:[^"\\]++|\\.)*+"?')
KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number",
         list: "a list", dict: "an object"}  # fmt: skip


def objects(
    path: Path, columns: Sequence[str] = (), *, read: Callable[[int], None] = lambda size: None
) -> Iterator[tuple[int, dict[str, Any]] | DataError]:
    """Line and object, one by one; in the place of a bad line, what is wrong with it."""
    kinds: dict[str, tuple[str, int]] = {}  # of a key: its type, and the line where it was first seen
    for number, line in lines(path, read=read):
        try:
            values = _json_object(path, number, line)
            for name in columns:
                if name not in values:
                    raise fault(path, number, 1, f"no key {name!r}; {nearest(name, values)}")
            _check_kinds(path, number, values, kinds)
        except DataError as error:
            yield error
        else:
            yield number, values


def _json_object(path: Path, number: int, line: str) -> dict[str, Any]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            twice = Counter(key for key, _ in items).most_common(1)[0][0]
            raise fault(path, number, 1, f"key {twice!r} stands twice in one object; rename one")
        return made

    def constant(name: str) -> Any:
        raise fault(path, number, 1, f"{name} is not JSON; write null or a number")

    if not line.strip():
        raise fault(path, number, 1, "an empty line in place of a JSON object; delete it")
    if (column := _too_deep(line)) is not None:
        raise fault(path, number, column, f"nested more than {DEEPEST} deep; flatten the object")
    try:
        value = json.loads(line, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        what = f"not a whole JSON object ({error.msg.lower()}); each line must hold one object"
        raise fault(path, number, error.pos + 1, what) from None
    except ValueError as error:  # an integer of thousands of digits
        raise fault(path, number, 1, f"{error}; write it as text") from None
    if not isinstance(value, dict):
        raise fault(path, number, 1, f"{_kind(value)} where an object is expected; write {{...}}")
    if "\\u" in line:
        _check_escapes(path, number, value)
    return value


def _too_deep(line: str) -> int | None:
    """The column where the nesting goes too deep: the parser recurses, and its stack ends."""
    if line.count("[") + line.count("{") <= DEEPEST:
        return None
    depth = 0
    for match in BRACKET_OR_STRING.finditer(line):
        depth += (match[0] in "[{") - (match[0] in "]}")
        if depth > DEEPEST:
            return match.start() + 1
    return None


def _check_escapes(path: Path, number: int, values: dict[str, Any]) -> None:
    try:
        text = json.dumps(values, ensure_ascii=False)
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise fault(path, number, 1, "half a surrogate pair (\\ud...) is not text") from None
    if any(isinstance(value, str) and "\0" in value for value in values.values()):
        raise fault(path, number, 1, "a NUL (\\u0000) in a text; remove it")


def _check_kinds(path: Path, number: int, values: dict[str, Any], kinds: dict[str, tuple[str, int]]) -> None:
    for key, value in values.items():
        if value is None:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise fault(path, number, 1, f"key {key!r}: the number is too large")
        kind = _kind(value)
        before, line = kinds.setdefault(key, (kind, number))
        if kind != before:
            what = f"key {key!r} is {kind} here but {before} in line {line}; make them one type"
            raise fault(path, number, 1, what)


def _kind(value: Any) -> str:
    return "null" if value is None else KINDS[type(value)]
