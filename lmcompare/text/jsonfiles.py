"""A file that is one JSON value, strictly: no key twice in an object, and every part of the type that is asked for, or
a message that says where it stands."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from lmcompare.errors import DataError, nearest
from lmcompare.text.jsonlines import KINDS
from lmcompare.text.lines import fault, lines


def whole(path: Path, form: str, needs: str) -> Any:
    """What the file holds. `form` and `needs` say in messages what it should be."""

    def once(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            twice = Counter(key for key, _ in items).most_common(1)[0][0]
            raise DataError(f"{path}: the key {twice!r} stands twice in one object; remove one of the two")
        return made

    text = "\n".join(line for _, line in lines(path))
    if not text.strip():
        raise fault(path, 1, 1, f"the file is empty; it needs {needs}")
    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        what = f"not whole JSON ({error.msg.lower()}); {form} is expected, so fetch it again"
        raise fault(path, error.lineno, error.colno, what) from None
    except RecursionError:
        raise fault(path, 1, 1, f"nested far deeper than {form}; flatten it") from None
    except ValueError as error:  # an integer of thousands of digits
        raise fault(path, 1, 1, f"{error}; write it as text") from None


def field(table: Any, key: str, type_: type, where: str) -> Any:
    """One value of an object."""
    if not isinstance(table, dict):
        raise DataError(f"{where}: {kind(table)} where an object with the key {key!r} is expected")
    if key not in table:
        raise DataError(f"{where}: no key {key!r}; {nearest(key, table)}")
    return value(table[key], type_, repr(key), where)


def value(found: Any, type_: type, name: str, where: str) -> Any:
    """The value, if it is of that type; a text, if it can be written down as well."""
    if type(found) is not type_:  # true is no number
        wanted = "a whole number" if type_ is int else KINDS[type_]
        raise DataError(f"{where}: {name} is {kind(found)} where {wanted} is expected")
    if isinstance(found, str):
        _writable(found, name, where)
    return found


def texts(found: Any, name: str, where: str) -> list[str]:
    """A list of texts."""
    listed = value(found, list, name, where)
    return [value(text, str, f"{name}[{n}]", where) for n, text in enumerate(listed)]


def kind(found: Any) -> str:
    return "null" if found is None else KINDS[type(found)]


def _writable(text: str, name: str, where: str) -> None:
    if "\0" in text:
        raise DataError(f"{where}: a NUL (\\u0000) in {name}; remove it")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{where}: half a surrogate pair (\\ud...) in {name} is not text") from None
