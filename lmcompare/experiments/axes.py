"""Arms that a study file does not spell out: its axes multiply the ones that it does.

    [axes]
    model = ["elmo", "gpt", "bert"]
    mode = { features = "features", tuned = "finetune" }
    transfer.mix_decay = [1.0, 0.001]

A key is what an axis sets: a part of an arm, or any setting of its runs. A list holds its values; a table their names,
too. An axis of any other name has a table whose values are parts of arms: several settings that change together.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lmcompare import config as configs
from lmcompare.config import Table
from lmcompare.errors import UserError, unknown

WORDS = (
    "backend",
    "model",
    "mode",
    "baseline",
    "config",
)  # what an arm is; the rest are settings of its runs
PARTS = (*WORDS[1:], "set", "series")  # of an arm, that a step of an axis may bring
SIZE = "examples"  # an axis along which arms are one line
# What other words of a study say.
SAID = {"seed": "seeds", "data_seed": "data_seeds", "task.name": "tasks"}
SETTINGS = tuple(key for key in configs.Transfer.model_fields if key not in (*WORDS, "seed", "data_seed"))
TABLES = (*configs.Transfer.rooms, "training", "transfer.reader")  # settings that hold settings


@dataclass(frozen=True)
class Step:
    """One place on an axis: what it is called, the value, and the part of an arm that this comes to."""

    name: str
    value: Any
    arm: Table


@dataclass(frozen=True)
class Axis:
    key: str
    steps: tuple[Step, ...]


def multiplied(table: Table, where: str) -> Table:
    """The study's table with every arm that its axes make of the ones it names; of a nameless one where it names
    none."""
    said, first = table.get("axes") or {}, table.get("arms") or [{}]
    if not isinstance(said, Mapping) or not all(isinstance(arm, Mapping) for arm in first):
        return table  # it says what is wrong when it is parsed
    if not said:
        for key in ("exclude", "rename"):
            if table.get(key):
                raise UserError(f"{where}: {key} speaks of arms that axes make, and there are no axes")
        return table
    axes = [axis(key, value, table, where) for key, value in leaves(said, where)]
    if twice := repeated([one.key for one in axes]):
        raise UserError(f"{where}, axes: {twice!r} stands there twice")
    made = [(arm, steps) for arm in first for steps in crossed(arm, axes, where)]
    left = excluded(made, table.get("exclude") or [], axes, where)
    arms = [composed(arm, steps, where) for arm, steps in left]
    arms = renamed(arms, table.get("rename") or {}, where)
    return {**table, "arms": arms, "compare": spelled_out(table.get("compare") or [], arms)}


def leaves(said: Mapping[str, Any], where: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every axis by its whole key, through the tables that only hold settings."""
    for key, value in said.items():
        path = prefix + key
        if isinstance(value, Mapping) and path in TABLES:
            if not value:
                raise UserError(f"{where}, axes.{path}: an axis without a value leaves no arm; leave it out")
            yield from leaves(value, where, f"{path}.")
        else:
            yield path, value


def axis(key: str, value: Any, table: Table, where: str) -> Axis:
    place = f"{where}, axes.{key}"
    setting = key.partition(".")[0] in SETTINGS
    if key in SAID:
        raise UserError(f"{place}: what the study says by {SAID[key]!r} is no axis")
    if not isinstance(value, list | Mapping):
        raise UserError(f"{place} = {value!r}: write a list of values, or a table of their names and values")
    if not value:
        raise UserError(f"{place}: an axis without a value leaves no arm; leave it out")
    of_arms = isinstance(value, Mapping) and all(isinstance(one, Mapping) for one in value.values())
    if not (key in WORDS or setting or of_arms):
        raise UserError(unknown("axis", key, [*WORDS, *SETTINGS], where))
    named = [*value.items()] if isinstance(value, Mapping) else [(called(key, one), one) for one in value]
    if twice := repeated([json.dumps(one) for _, one in named]):
        raise UserError(f"{place}: {twice} stands there twice")
    make = part if key in WORDS or setting else whole
    return Axis(key, tuple(Step(name, one, make(key, one, table, place)) for name, one in named))


def called(key: str, value: Any) -> str:
    """A word stands for itself; a setting is said with the end of its key."""
    if key in WORDS:
        return str(value)
    shown = value["name"] if isinstance(value, Mapping) and "name" in value else value
    table, _, rest = key.partition(".")
    return f"{rest or table}={shown if isinstance(shown, str) else json.dumps(shown)}"


def part(key: str, value: Any, table: Table, place: str) -> Table:
    """What a value of a key comes to, as a part of an arm."""
    if key == "backend":
        return {"model": model_of(value, table.get("models") or {}, place)}
    if key in WORDS:
        return {key: value}
    for name in reversed(key.split(".")):
        value = {name: value}
    return {"set": value}


def whole(key: str, value: Table, table: Table, place: str) -> Table:
    """A part of an arm as it is written."""
    for name in value:
        if name not in PARTS:
            raise UserError(unknown("key", name, PARTS, place))
    return value


def model_of(backend: Any, models: Mapping[str, Any], place: str) -> str:
    """The study's one model of a family."""
    families = {
        name: model.get("backend")
        for name, model in models.items()
        if isinstance(model, Mapping) and not model.get("like")
    }
    if backend not in families.values():
        raise UserError(unknown("backend", str(backend), {str(b) for b in families.values()}, place))
    found = [name for name, family in families.items() if family == backend]
    if len(found) > 1:
        raise UserError(
            f"{place}: {backend} is the backend of {' and '.join(found)}; make it an axis of models"
        )
    return found[0]


def crossed(arm: Table, axes: Sequence[Axis], where: str) -> Iterator[tuple[Step | None, ...]]:
    """Every combination of the steps of those axes that an arm lies on."""
    keys = [one.key for one in axes]
    for key in arm.get("axes", keys):
        if key not in keys:
            raise UserError(unknown("axis", str(key), keys, f"{where}, arm {arm.get('name', '')!r}"))
    on = arm.get("axes", keys)
    return itertools.product(*(one.steps if one.key in on else (None,) for one in axes))


Made = tuple[Table, tuple[Step | None, ...]]  # an arm as the file has it, and its place on every axis


def excluded(made: list[Made], rules: Sequence[Any], axes: Sequence[Axis], where: str) -> list[Made]:
    """Without the arms for which one of the rules holds: each of its axes is at (one of) the value(s) that it says."""
    left = made
    for number, rule in enumerate(rules, 1):
        place = f"{where}, exclude, number {number}"
        if not isinstance(rule, Mapping):
            return left  # it says what is wrong when it is parsed
        wanted = [(index_of(key, axes, place), value) for key, value in leaves(rule, where)]
        wanted = [(n, chosen(axes[n], value, place)) for n, value in wanted]
        stay = [one for one in left if not all(one[1][n] in steps for n, steps in wanted)]
        if len(stay) == len(left):
            raise UserError(f"{place}: there is no arm that it would leave out")
        left = stay
    return left


def index_of(key: str, axes: Sequence[Axis], place: str) -> int:
    keys = [one.key for one in axes]
    if key not in keys:
        raise UserError(unknown("axis", key, keys, place))
    return keys.index(key)


def chosen(one: Axis, value: Any, place: str) -> list[Step]:
    """The steps that a rule means, by name or by value."""
    found = []
    for word in value if isinstance(value, list) else [value]:
        match = [step for step in one.steps if word in (step.name, step.value)]
        if not match:
            raise UserError(
                unknown("value", str(word), [step.name for step in one.steps], f"{place}, {one.key}")
            )
        found += match
    return found


def composed(arm: Table, steps: Sequence[Step | None], where: str) -> Table:
    """One arm: everything that its steps bring on top of what the file says, and a name that tells them."""
    given = {key: value for key, value in arm.items() if key != "axes"}
    on = [step for step in steps if step is not None]
    for step in on:
        given = configs.merge(given, step.arm, f"{where}, arm {arm.get('name', '')!r}")
    if not on:
        return given
    sized = [step for step in on if SIZE in step.arm.get("set", {})]
    if sized and "series" not in given:
        given["series"] = name_of(arm, [step for step in on if step not in sized])
    return {**given, "name": name_of(arm, on)}


def name_of(arm: Table, steps: Sequence[Step]) -> str:
    """Words beside each other, then what is set."""
    words = [step.name for step in steps if not step.arm.get("set") and step.name]
    said = [step.name for step in steps if step.arm.get("set") and step.name]
    first = " ".join([*([arm["name"]] if arm.get("name") else []), *words])
    return ", ".join([*([first] if first else []), *said])


def renamed(arms: list[Table], names: Any, where: str) -> list[Table]:
    if not isinstance(names, Mapping):
        return arms  # it says what is wrong when it is parsed
    made = [str(arm.get("name", "")) for arm in arms]
    for name in names:
        if name not in made:
            raise UserError(unknown("arm", name, made, f"{where}, rename"))
    return [{**arm, "name": names.get(name, name)} for arm, name in zip(arms, made, strict=True)]


def spelled_out(pairs: Any, arms: Sequence[Table]) -> Any:
    """Pairs of arms, where a pair names two series: at each number of examples that both have."""
    if not isinstance(pairs, list):
        return pairs  # it says what is wrong when it is parsed
    names = [arm.get("name") for arm in arms]
    sizes: dict[str, dict[str, str]] = {}
    for arm in arms:
        if arm.get("series"):
            size = json.dumps(arm.get("set", {}).get(SIZE))
            sizes.setdefault(str(arm["series"]), {})[size] = str(arm["name"])
    found: list[Any] = []
    for pair in pairs:
        if (
            isinstance(pair, list)
            and len(pair) == 2
            and all(one in sizes and one not in names for one in pair)
        ):
            first, second = (sizes[one] for one in pair)
            found += [[name, second[size]] for size, name in first.items() if size in second]
        else:
            found.append(pair)
    return found


def repeated(names: Sequence[str]) -> str:
    return next((name for n, name in enumerate(names) if name in names[:n]), "")
