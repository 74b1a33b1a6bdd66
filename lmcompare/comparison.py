"""What a comparison of runs is made of. A figure is a share (0.912), never points: only what is
shown to people is multiplied by 100. None stands where there is no figure."""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from lmcompare.types import Example

FORMAT = 2

Curve = tuple[tuple[int, float], ...]  # (step, value)
Draw = tuple[int | None, int | None]  # seeds: of the weights; of the order of the data where that is another


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
    data_seed: int | None = None  # of the order of the data, where that is another


@dataclass(frozen=True)
class Cell:
    """One arm on one task. `n` counts values; the other three count runs that have none."""

    arm: str
    task: str
    n: int
    failed: int
    unfinished: int
    undefined: int
    mean: float | None  # over seeds, each with the mean over its orders of the data
    sd: float | None  # sample standard deviation, from two values on
    low: float | None  # where the mean over more seeds lies, 95 % by Student's t, likewise
    high: float | None
    median: float | None
    best: float | None
    degenerate: int | None  # values at or below what the most frequent answer gets, where that is known
    values: tuple[Value, ...]


@dataclass(frozen=True)
class SeedValue:
    seed: int | None
    value: float
    data_seed: int | None = None


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
    seeds and new examples, the p-value for these seeds; `verdict`: win or loss by both, equal (to the margin), open."""

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
class Torn:
    """An example that the two arms of a pair answer differently, seed by seed."""

    id: str
    # "a" or "b": that one is right in more seeds, or nearer; "both": both wrong, and differently.
    direction: str
    gold: Any
    a: tuple[tuple[Any, int], ...]  # the arm's answers, and in how many seeds it gave each
    b: tuple[tuple[Any, int], ...]
    a_right: int | None  # in so many seeds; a score is never simply right
    b_right: int | None


@dataclass(frozen=True)
class Disagreement:
    """Where two arms disagree on one task: how many examples a direction, and the strongest of each. `texts` are read
    where they lie at hand; `textless` says why they are not."""

    a: str
    b: str
    task: str
    seeds: int
    counts: dict[str, int]
    shown: tuple[Torn, ...]
    texts: dict[str, Example] = field(default_factory=dict)
    textless: str = ""


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


# What a mark says of its row. Apart: it is shown, and enters no mean, no difference between means and no rank.
# Unfair: it counts, and the reason must be read with it. Told: good to know.
APART, UNFAIR, TOLD = "apart", "unfair", "told"


@dataclass(frozen=True)
class Mark:
    """Why one arm on one task cannot fairly be compared with the others, or not without a word."""

    arm: str
    task: str
    what: str  # data, split, metric, truncation, ...
    level: str
    reason: str
    right: str  # what would make it fair; empty where nothing is wrong


@dataclass(frozen=True)
class Failed:
    run: str
    arm: str
    task: str | None
    seed: int | None
    reason: str
    data_seed: int | None = None


@dataclass(frozen=True)
class RunCost:
    """What a run took, as far as it was measured. Its seconds are not known where an attempt at it was killed."""

    device: str | None = None
    seconds: float | None = None
    seconds_cached: float | None = None  # features: without the computing of layers that are kept
    milliseconds: float | None = None  # an answer; of features, with its layers from the cache
    cold_milliseconds: float | None = None  # features: with its layers computed
    tokens: int | None = None
    trained: int | None = None  # parameters
    total: int | None = None
    memory_mb: float | None = None
    gpu_memory_mb: float | None = None
    model_bytes: int | None = None  # what the run itself keeps
    needed_bytes: int | None = None  # and with an encoder of others that its answers need
    features_bytes: int | None = None
    joules: float | None = None
    joules_of: tuple[str, ...] = ()  # whose counters they are
    joules_reason: str | None = None  # why there are none
    memory_reason: str | None = None


WORDS = ("device", "joules_of", "joules_reason", "memory_reason")
MEASURES = tuple(f.name for f in fields(RunCost) if f.name not in WORDS)


@dataclass(frozen=True)
class CostFigure:
    """The mean over all tasks of a run's cost; `n` runs tell it."""

    mean: float | None
    n: int


@dataclass(frozen=True)
class ArmCost:
    """What a finished run of an arm takes, by MEASURES; `pretraining`: the runs that its models come from, whose cost
    is not in it."""

    arm: str
    runs: int
    figures: dict[str, CostFigure]
    devices: tuple[str, ...]
    pretraining: tuple[str, ...]


@dataclass(frozen=True)
class RunFacts:
    run: str
    arm: str
    series: str  # the arm, but for the number of training examples: arms of one series are one curve
    task: str
    seed: int | None
    data_seed: int | None = field(default=None, kw_only=True)  # of the data's order, where that is another
    status: str
    kind: str | None
    backend: str | None
    weights: str | None
    value: float | None
    undefined: str | None  # why a finished run has no value
    train: int | None  # training examples
    seconds: float | None
    tokens: int | None
    curve: Curve  # the task's metric on the development split
    layer_mix: tuple[float, ...] | None
    warnings: tuple[str, ...]
    cost: RunCost


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
    cost: RunCost


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
    costs: tuple[ArmCost, ...]  # an arm a row
    failed: tuple[Failed, ...]
    runs: tuple[RunFacts, ...]
    pretraining: tuple[PretrainingFacts, ...]
    notes: tuple[str, ...]  # what a reader must know before comparing
    settings: tuple[tuple[str, dict[str, Any]], ...]  # (run, its config), for the page
    disagreements: tuple[Disagreement, ...]  # of the same pairs, likewise for the page
    marks: tuple[Mark, ...] = ()  # rows that cannot fairly be compared with the others, and why

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types without NaN: `format` and the fields above, without the settings and the
        disagreements, which stand in the run folders."""
        plain = _plain(asdict(replace(self, settings=(), disagreements=())))
        del plain["settings"], plain["disagreements"]
        return {"format": FORMAT, **plain}

    def cell(self, arm: str, task: str) -> Cell:
        return next(cell for cell in self.cells if (cell.arm, cell.task) == (arm, task))

    def marked(self, arm: str, task: str) -> list[Mark]:
        return [mark for mark in self.marks if (mark.arm, mark.task) == (arm, task)]

    def best(self, task: str) -> float | None:
        """The highest mean of a row, of those that stand for the same thing."""
        means = [
            cell.mean
            for cell in self.cells
            if cell.task == task and all(mark.level != APART for mark in self.marked(cell.arm, task))
        ]
        return max((mean for mean in means if mean is not None), default=None)

    def best_mean(self) -> float | None:
        """The highest of the row of means."""
        return max((mean.mean for mean in self.means if mean.mean is not None), default=None)


def told_draw(of: Value | SeedValue | RunFacts | Failed) -> str:
    return f"seed {of.seed}" + ("" if of.data_seed is None else f", order {of.data_seed}")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
