"""How long a run trains: the minutes, tokens, steps or passes that its plan names; one pass where it names none."""

from dataclasses import dataclass

from lmcompare.checkpoints import State
from lmcompare.config import Training

MILLISECONDS = 60_000  # a minute


@dataclass(frozen=True)
class Budget:
    """A number of units, and where a run stands in them: the schedule of the rate is a curve over the whole. Minutes
    are those of training and its evaluations, over all attempts; what they end with, another machine will not."""

    unit: str  # steps, tokens or minutes
    total: int  # of steps, tokens or milliseconds

    def used(self, state: State) -> int:
        if self.unit == "minutes":
            return state.clock
        if self.unit == "tokens":
            return state.tokens - state.began_tokens
        return state.step - state.began

    def over(self, state: State) -> bool:
        return self.used(state) >= self.total


def of(plan: Training, per_epoch: int) -> Budget:
    """`per_epoch`: steps of a pass over the training examples."""
    if plan.minutes:
        return Budget("minutes", max(1, round(plan.minutes * MILLISECONDS)))
    if plan.tokens:
        return Budget("tokens", plan.tokens)
    return Budget("steps", plan.steps or max(1, round((plan.epochs or 1.0) * per_epoch)))
