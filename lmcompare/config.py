"""TOML file + --set a.b=c → one typed, frozen config. Unknown keys are named with the nearest known one."""

import copy
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmcompare import registry
from lmcompare.errors import UserError, nearest, unknown

Table = dict[str, Any]
C = TypeVar("C", bound="Frozen")


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    rooms: ClassVar[dict[str, str]] = {}  # which keys are tables for a registry: key → room


class Training(Frozen):
    """The one loop's settings, for pretraining and transfer alike."""

    # How long: one of these; none of them is one pass.
    minutes: float | None = Field(None, gt=0)  # of the clock; no two machines end alike
    tokens: int | None = Field(None, gt=0)  # real ones, without padding
    steps: int | None = Field(None, gt=0)  # of the optimizer
    epochs: float | None = Field(None, gt=0)  # passes over the training examples
    batch: int = Field(32, gt=0)  # examples an optimizer step, over all processes and micro-batches
    micro: int | None = Field(None, gt=0)  # examples a forward pass; the rest is accumulated
    clip: float = Field(1.0, gt=0)  # largest norm of the gradient
    precision: Literal["auto", "float32", "bf16"] = "auto"  # auto: bf16 on a GPU that has it
    buckets: bool = True  # batches of similar length, in an order of the seed's
    log_every: int = Field(20, gt=0)
    eval_every: int | None = Field(None, gt=0)  # steps; absent: once an epoch
    patience: int | None = Field(None, gt=0)  # evaluations without a better one before the run stops early
    max_bad_steps: int = Field(3, gt=0)  # steps in a row whose loss or gradient is not finite
    checkpoint_every: int | None = Field(None, gt=0)  # steps; absent: every checkpoint_seconds
    checkpoint_seconds: float = Field(60.0, ge=0)
    keep: int = Field(2, gt=0)  # checkpoints kept while the run goes on
    tracker: str = ""  # tensorboard, mlflow or wandb: the figures go there too; absent: what LMC_TRACKER says


class Corpus(Frozen):
    # A file or folder of text, an id on the hub, "micro", or "task:NAME", a task's training texts.
    path: str = ""
    field: str = "text"  # where a row or a JSON line has its text
    split: str = "train"  # of a data set on the hub
    documents: int = Field(20000, gt=0)  # micro: how many to make
    world: int = 0  # micro: the world's seed
    holdout: float = Field(0.02, gt=0, lt=1)  # documents kept for the held-out figures
    workers: int | None = Field(None, gt=0)  # processes that cut and tokenize it; absent: one a core


class Seeded(Frozen):
    """What is drawn, in a run that trains."""

    seed: int = Field(1, ge=0)  # initial weights
    data_seed: int | None = Field(None, ge=0)  # order and masks; absent: the same as seed

    @property
    def order_seed(self) -> int:
        return self.seed if self.data_seed is None else self.data_seed


class Phase(Frozen):
    """A part of a pretraining: its budget, and what else is otherwise than in the config as a whole. It begins with the
    weights of the part before it, a fresh optimizer, and its own schedule from the start."""

    objective: Table = Field(default_factory=dict)
    optimizer: Table = Field(default_factory=dict)
    schedule: Table = Field(default_factory=dict)
    training: Table = Field(default_factory=dict)


class Pretrain(Seeded):
    """`lmc pretrain`: a corpus and an objective."""

    kind: ClassVar[str] = "pretrain"
    rooms: ClassVar[dict[str, str]] = {
        "backend": "backends", "tokenizer": "tokenizers", "objective": "objectives",
        "optimizer": "optimizers", "schedule": "schedules",
    }  # fmt: skip
    backend: Table
    # A run or a folder to go on from, in place of random weights; its sizes are then the run's.
    model: str = ""
    tokenizer: Table
    corpus: Corpus = Corpus()
    objective: Table
    optimizer: Table
    schedule: Table
    training: Training
    phases: tuple[Phase, ...] = ()  # one after the other; none: the whole is one

    def parts(self) -> "list[Pretrain]":
        """The config of each phase."""
        if not self.phases:
            return [self]
        whole, found = dump(self) | {"phases": []}, []
        if given := one_of("training", whole["training"]):
            raise UserError(
                f"training.{given[0]}: phases have budgets of their own, and there are {len(self.phases)} here; "
                "set phases=[] too, or another budget in each phase"
            )
        for n, phase in enumerate(self.phases, 1):
            where = f"phases, number {n}"
            if not one_of("training", phase.training):
                raise UserError(f"{where}: it needs a budget: training.{' or '.join(ONE_OF['training'])}")
            found.append(resolve(Pretrain, merge(whole, dump(phase), where), where))
        if len({part.objective["name"] for part in found}) > 1:
            raise UserError("phases: all must have one objective, whose heads go on from one to the next")
        return found


class Use(Seeded):
    """A pretrained encoder, and how it learns: all that does not hang on the task."""

    rooms: ClassVar[dict[str, str]] = {
        "transfer": "transfers", "optimizer": "optimizers", "schedule": "schedules",
    }  # fmt: skip
    backend: str
    model: str = ""  # a run, a folder in the Hugging Face layout, or a hub id
    weights: Literal["pretrained", "random"] = "pretrained"  # random: the same network, drawn afresh
    transfer_layers: int | None = Field(None, ge=0)  # keep only so many; those above are drawn (absent: all)
    redraw_top: int | None = Field(None, gt=0)  # draw so many of the top layers afresh, and the pooler
    transfer: Table
    examples: int | None = Field(None, gt=0)  # of the training ones to learn from (absent: all)
    length: int = Field(128, gt=2)  # most tokens a view
    # span: tokens from window to window of a context; absent: half a window
    stride: int | None = Field(None, gt=0)
    optimizer: Table
    schedule: Table
    training: Training


class Transfer(Use):
    """`lmc finetune` and `lmc features`: a pretrained encoder and a task."""

    kind: ClassVar[str] = "transfer"
    rooms: ClassVar[dict[str, str]] = {"task": "tasks", **Use.rooms}
    task: Table


class Multitask(Use):
    """`lmc finetune` with several tasks: one encoder for all, and a head each."""

    kind: ClassVar[str] = "multitask"
    rooms: ClassVar[dict[str, str]] = {"tasks": "tasks", **Use.rooms}
    tasks: list[Table] = Field(min_length=2)
    # A task with n batches gets a share of the steps like n ** mixing: 1 in proportion, 0.5 by the root, 0 level.
    mixing: float = Field(1.0, ge=0, le=1)

    def alone(self, number: int) -> Transfer:
        """What a run on one of the tasks would be."""
        own = {key: value for key, value in self if key not in ("tasks", "mixing")}
        return Transfer(**own, task=self.tasks[number])


class Baseline(Frozen):
    """`lmc baseline`: no encoder at all."""

    kind: ClassVar[str] = "baseline"
    rooms: ClassVar[dict[str, str]] = {"task": "tasks", "baseline": "baselines"}
    task: Table
    baseline: Table
    examples: int | None = Field(None, gt=0)  # of the training ones to learn from (absent: all)
    seed: int = Field(1, ge=0)


class Counted(Frozen):
    """`lmc baseline --corpus`: a language model that is counted. Nothing is drawn, so there is no seed."""

    kind: ClassVar[str] = "ngrams"
    rooms: ClassVar[dict[str, str]] = {"ngrams": "ngrams", "tokenizer": "tokenizers"}
    ngrams: Table
    tokenizer: Table
    corpus: Corpus


# Settings that change how a run is kept, never what comes out of it.
OPERATIONAL = ("training.checkpoint_every", "training.checkpoint_seconds", "training.keep", "training.tracker",
               "corpus.workers")  # fmt: skip
# By the name of a table, keys of which one alone says something.
ONE_OF = {"training": ("minutes", "tokens", "steps", "epochs")}


def presets() -> Path:
    """The configs folder: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def preset_names(room: str) -> list[str]:
    return sorted(p.stem for p in (presets() / room).glob("*.toml"))


def read_table(name: str, room: str) -> Table:
    """A preset by name, or a TOML file by path; `base = "name"` starts from another preset of the room."""
    path = presets() / room / f"{name}.toml"
    if not path.is_file():
        path = Path(name)
        if not path.is_file():
            if path.suffix == ".toml" or "/" in name:
                raise UserError(f"config {name!r}: no such file")
            raise UserError(unknown("config", name, preset_names(room), f"configs/{room}"))
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: not readable as TOML: {error}") from None
    base = table.pop("base", None)
    return merge(read_table(base, room) if base else {}, table, str(path))


def task_name(task: Mapping[str, Any]) -> str:
    """What a task is called: by its registered name, or, one of the user's own, as it says."""
    return str(task.get("called") or task["name"])


def merge(base: Table, over: Mapping[str, Any], where: str = "") -> Table:
    """`over` on top of `base`, table by table. A component with another name starts from nothing, and one of several
    keys that speak of the same thing takes the place of another."""
    out = copy.deepcopy(base)
    for key, value in over.items():
        if not isinstance(value, Mapping):
            out[key] = copy.deepcopy(value)
            continue
        old = out[key] if isinstance(out.get(key), dict) else {}
        renamed = "name" in value and value["name"] != old.get("name", value["name"])
        out[key] = merge({} if renamed else _displaced(key, old, value, where), value, where)
    return out


def one_of(name: str, table: Mapping[str, Any]) -> list[str]:
    """Which of the keys that shut each other out a table has."""
    return [key for key in ONE_OF.get(name, ()) if table.get(key) is not None]


def _displaced(name: str, old: Table, over: Mapping[str, Any], where: str) -> Table:
    """What is left of a table below another one."""
    given = one_of(name, over)
    if len(given) > 1:
        place = f"{where}: " if where else ""
        raise UserError(f"{place}{name}: {' and '.join(given)} shut each other out; leave all but one out")
    return {key: value for key, value in old.items() if not (given and key in ONE_OF[name])}


def assign(table: Table, assignments: Iterable[str]) -> Table:
    """Apply all `--set a.b=c` at once; values are read as TOML, and as plain text where they are not TOML."""
    given: Table = {}
    for text in assignments:
        path, equals, raw = text.partition("=")
        if not equals or not all(path.strip().split(".")):
            raise UserError(f"--set {text!r}: write it as a.b=value")
        try:
            value = tomllib.loads(f"value = {raw}")["value"]
        except tomllib.TOMLDecodeError:
            value = raw
        *parents, last = path.strip().split(".")
        place = given
        for key in parents:
            place[key] = place[key] if isinstance(place.get(key), dict) else {}
            place = place[key]
        united = isinstance(value, dict) and isinstance(place.get(last), dict)
        place[last] = {**place[last], **value} if united else value
    return merge(table, given, "--set")


def resolve(model: type[C], table: Table, where: str = "config") -> C:
    """The typed config with every component's defaults filled in, so that a run records all of them."""
    config = parse(model, table, where)
    place = "" if where == "config" else f"{where}: "
    full = {key: _checked(room, getattr(config, key), place + key) for key, room in model.rooms.items()}
    return config.model_copy(update=full)


def _checked(room: str, value: Any, where: str) -> Any:
    if isinstance(value, list):
        return [_checked(room, item, f"{where}, number {n}") for n, item in enumerate(value, 1)]
    return registry.ROOMS[room].check(value, where)


def parse(model: type[C], table: Table, where: str = "config") -> C:
    try:
        return model.model_validate(table)
    except ValidationError as errors:
        raise UserError("\n".join(_sentence(model, e, where) for e in errors.errors()[:5])) from None


def _sentence(model: type[BaseModel], error: Any, where: str) -> str:
    *parents, key = [str(part) for part in error["loc"]]
    fields: Any = model
    for part in parents:
        if part in fields.model_fields:  # else the number of a part of a list
            found = fields.model_fields[part].annotation
            fields = next((inner for inner in get_args(found) if inner is not Ellipsis), found)
    place = ".".join([*parents, key])
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key {place!r}; {nearest(key, fields.model_fields)}"
    if error["type"] == "missing":
        return f"{where}: the key {place!r} is missing"
    return f"{where}: {place} = {error['input']!r}: {error['msg'].lower()}"


def dump(config: BaseModel) -> Table:
    """Plain JSON types, in the order of the fields."""
    return json.loads(config.model_dump_json())


def flatten(table: Mapping[str, Any], prefix: str = "") -> Table:
    flat: Table = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Eight hex digits of what decides the outcome of a run."""
    flat = {k: v for k, v in flatten(identity).items() if not k.endswith(OPERATIONAL)}
    return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:8]
