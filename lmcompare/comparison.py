"""What a comparison of runs is made of. A figure is a share (0.912), never points: only what is
shown to people is multiplied by 100. None stands where there is no figure."""

from dataclasses import asdict, dataclass
from typing import Any

FORMAT = 2

Curve = tuple[tuple[int, float], ...]  # (step, value)


@dataclass(frozen=True)
class TaskFacts:
    name: str
    metric: str | None  # unknown where no run of the task finished
    split: str | None
    majority: float | None  # what the most frequent answer gets


@dataclass(frozen=True)
class Value:
    seed: int | None
    value: float
    run: str


@dataclass(frozen=True)
class Cell:
    """One arm on one task. `n` counts values; the other three count runs that have none."""

    arm: str
    task: str
    n: int
    failed: int
    unfinished: int
    undefined: int
    mean: float | None
    sd: float | None  # sample standard deviation, from two values on
    values: tuple[Value, ...]


@dataclass(frozen=True)
class SeedValue:
    seed: int | None
    value: float


@dataclass(frozen=True)
class Mean:
    """One arm over all tasks: the mean of its cells, where none is empty. `per_seed` holds the same
    mean for each seed that every task has, `sd` is theirs, `n` their number; `reason` says why a
    figure is missing or stands on fewer runs."""

    arm: str
    mean: float | None
    sd: float | None
    n: int
    tasks: int
    per_seed: tuple[SeedValue, ...]
    reason: str | None


@dataclass(frozen=True)
class Difference:
    """Arm `a` minus arm `b`: the mean over the tasks that both have; `per_seed` for each seed that
    both have on all of those tasks."""

    a: str
    b: str
    mean: float | None
    per_seed: tuple[SeedValue, ...]
    n: int
    tasks: int


@dataclass(frozen=True)
class Paired:
    """Arm `a` minus arm `b` on one task, from their answers to the same examples, seed by seed. The interval is for new
    seeds and new examples, the p-value for these seeds; `verdict` is win, loss, equal (within the margin) or open."""

    a: str
    b: str
    task: str
    seeds: int
    reason: str | None = None  # why there is no figure, or no interval, or what it leaves out
    examples: int = 0
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None  # corrected over the tasks of this pair of arms
    a_right: float | None = None  # examples a seed that `a` alone has right
    b_right: float | None = None
    differ: float | None = None  # examples a seed that are answered differently
    verdict: str = "open"


@dataclass(frozen=True)
class Contest:
    """What the tasks say together of one pair of arms: these tasks, not a sample of tasks."""

    a: str
    b: str
    tasks: int
    wins: int
    losses: int
    equal: int
    open: int
    difference: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Ranks:
    """Every arm's mean rank over the tasks that all of them have; ranks closer than `critical` are not told apart."""

    ranks: tuple[tuple[str, float], ...]  # the best first
    tasks: int
    critical: float


@dataclass(frozen=True)
class Failed:
    run: str
    arm: str
    task: str | None
    seed: int | None
    reason: str


@dataclass(frozen=True)
class RunFacts:
    run: str
    arm: str
    task: str
    seed: int | None
    status: str
    kind: str | None
    backend: str | None
    weights: str | None
    value: float | None
    undefined: str | None  # why a finished run has no value
    seconds: float | None
    tokens: int | None
    curve: Curve  # the task's metric on the development split
    layer_mix: tuple[float, ...] | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class PretrainingFacts:
    run: str
    arm: str
    seed: int | None
    status: str
    metrics: dict[str, float | None]
    train: Curve  # training loss
    dev: dict[str, Curve]  # every held-out metric
    seconds: float | None
    tokens: int | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    title: str
    quick: bool
    arms: tuple[str, ...]
    tasks: tuple[TaskFacts, ...]
    cells: tuple[Cell, ...]  # task by task, arm by arm: every pair is there
    means: tuple[Mean, ...]
    differences: tuple[Difference, ...]
    paired: tuple[Paired, ...]  # of the pairs of arms that are asked for
    contests: tuple[Contest, ...]
    ranks: Ranks | None
    margin: float | None  # differences within it are called equal
    failed: tuple[Failed, ...]
    runs: tuple[RunFacts, ...]
    pretraining: tuple[PretrainingFacts, ...]
    notes: tuple[str, ...]  # what a reader must know before comparing
    settings: tuple[tuple[str, dict[str, Any]], ...]  # (run, its config), for the page

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types without NaN: `format` and the fields above, without the settings, which
        stand in the run folders."""
        plain = _plain(asdict(self))
        del plain["settings"]
        return {"format": FORMAT, **plain}

    def cell(self, arm: str, task: str) -> Cell:
        return next(cell for cell in self.cells if (cell.arm, cell.task) == (arm, task))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
