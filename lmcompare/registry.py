"""Names to things. A new file in a room registers itself; nothing else has to know of it.

A registered builder takes what the program hands it by position, and what a config may set as keyword-only
arguments. So its signature is the schema: `check` holds a table against it, `build` makes the call.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from lmcompare.errors import UserError, unknown

Spec = Mapping[str, Any]  # {"name": ..., and the builder's keyword-only arguments}


class Registry:
    """One room: its module or package is imported when the first name is asked for."""

    def __init__(self, room: str, module: str, word: str) -> None:
        self.room, self.module, self.word = room, module, word
        self._entries: dict[str, Callable[..., Any]] = {}
        self._otherwise: Callable[[Spec], Spec | None] = lambda spec: None
        self._loaded = False

    def register(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorator: `name` stands for this builder from now on."""

        def add(builder: Callable[..., Any]) -> Callable[..., Any]:
            if name in self._entries:
                raise ValueError(f"{self.room}: {name!r} is registered twice")
            self._entries[name] = builder
            return builder

        return add

    def otherwise(self, translate: Callable[[Spec], Spec | None]) -> Callable[[Spec], Spec | None]:
        """Decorator: what a table may say in the place of a registered name, as a table with one; None: nothing."""
        self._otherwise = translate
        return translate

    def meant(self, spec: Spec) -> Spec:
        """The table with a registered name, where its own stands for one."""
        self._load()
        return spec if spec["name"] in self._entries else self._otherwise(spec) or spec

    def names(self) -> list[str]:
        self._load()
        return sorted(self._entries)

    def get(self, name: str, where: str = "") -> Callable[..., Any]:
        found = self.meant({"name": name})["name"]
        if found not in self._entries:
            raise UserError(unknown(self.word, name, self._entries, where))
        return self._entries[found]

    def about(self, name: str) -> str:
        """The first line of the builder's docstring."""
        return (inspect.getdoc(self.get(name)) or "").partition("\n")[0]

    def check(self, spec: Spec, where: str = "") -> dict[str, Any]:
        """The table with every default filled in; unknown names and wrong types are UserErrors."""
        where = where or self.room
        if "name" not in spec:
            raise UserError(f"{where}: no name given; known: {', '.join(self.names())}")
        if not isinstance(spec["name"], str):
            raise UserError(f"{where}.name: {spec['name']!r} is not a name")
        spec = self.meant(spec)
        builder = self.get(spec["name"], f"{where}.name")
        schema, hints = settings(builder), annotations(builder)
        for key in spec:
            if key != "name" and key not in schema:
                raise UserError(unknown("key", key, schema, f"{where} ({spec['name']})"))
        full: dict[str, Any] = {"name": spec["name"]}
        for key, parameter in schema.items():
            if key not in spec and parameter.default is inspect.Parameter.empty:
                raise UserError(f"{where}.{key}: {spec['name']!r} needs a value for it")
            value = spec.get(key, parameter.default)
            full[key] = typed(value, hints.get(key, Any), f"{where}.{key}")
        return full

    def build(self, spec: Spec, *given: Any, where: str = "") -> Any:
        """Call the named builder: `given` by position, the table's values by keyword."""
        arguments = self.check(spec, where)
        name = arguments.pop("name")
        try:
            return self.get(name)(*given, **arguments)
        except ValueError as error:  # a value of the right type that the builder cannot use
            raise UserError(f"{where or self.room} ({name}): {error}") from None

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        room = importlib.import_module(self.module)
        for item in pkgutil.iter_modules(getattr(room, "__path__", [])):
            importlib.import_module(f"{self.module}.{item.name}")


def settings(builder: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What a config may set: the keyword-only arguments of a builder."""
    parameters = inspect.signature(builder).parameters
    return {n: p for n, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def loader(builder: Callable[..., Any]) -> Callable[..., Any]:
    """How what a builder made is read back from a folder: the `load` of the class that it returns."""
    made: Any = builder if isinstance(builder, type) else annotations(builder)["return"]
    return made.load


def annotations(builder: Callable[..., Any]) -> dict[str, Any]:
    if not isinstance(builder, type):
        return get_type_hints(builder)
    return get_type_hints(next(vars(c)["__init__"] for c in builder.__mro__ if "__init__" in vars(c)))


def typed(value: Any, hint: Any, where: str) -> Any:
    """The value as the type that the signature asks for (a whole number may stand for a float, a list for a tuple)."""
    from pydantic import TypeAdapter, ValidationError

    numbers = (int, float, int | None, float | None)
    if isinstance(value, bool) and hint in numbers:  # TOML's true is not a number
        raise UserError(f"{where}: {value!r} is not a number")
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        raise UserError(f"{where}: {value!r}: {error.errors()[0]['msg'].lower()}") from None


tasks = Registry("tasks", "lmcompare.tasks", "task")
backends = Registry("backends", "lmcompare.backends", "backend")
baselines = Registry("baselines", "lmcompare.baselines", "baseline")
ngrams = Registry("ngrams", "lmcompare.ngrams", "n-gram model")
objectives = Registry("objectives", "lmcompare.objectives", "objective")
transfers = Registry("transfers", "lmcompare.transfer", "transfer")
readers = Registry("readers", "lmcompare.readers", "reader")
optimizers = Registry("optimizers", "lmcompare.optimizers", "optimizer")
schedules = Registry("schedules", "lmcompare.schedules", "schedule")
activations = Registry("activations", "lmcompare.activations", "activation")
metrics = Registry("metrics", "lmcompare.metrics", "metric")
tokenizers = Registry("tokenizers", "lmcompare.text", "tokenizer")
executors = Registry("executors", "lmcompare.executors", "executor")

ROOMS = {
    room.room: room
    for room in (
        tasks, backends, baselines, ngrams, objectives, transfers, readers,
        optimizers, schedules, activations, metrics, tokenizers, executors,
    )
}  # fmt: skip
