"""The only training loop, for pretraining and transfer alike.

What makes a killed run end with the same bits as one that was not: the batches are a function of (seed, epoch), the
masks of (seed, epoch, example), dropout of (seed, step, place); all other state is in the checkpoint, an LSTM's too.
"""
# ruff: noqa: TID253

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lmcompare import batches, budget, checkpoints, files, randomness, registry, signals, trackers
from lmcompare.checkpoints import State
from lmcompare.config import Training
from lmcompare.device import Machine
from lmcompare.errors import Diverged, ModelError, Stopped
from lmcompare.progress import Progress
from lmcompare.results import Run

SPIKE = 10.0  # a loss this many times its running average is worth a warning
CURE = "a lower optimizer.rate is the usual cure"
Evaluate = Callable[[], dict[str, float | None]]


class Learner(Protocol):
    """What the loop trains: an objective, or a transfer with its task. Losses are sums; counts say of how many."""

    weights: dict[str, float]  # of the losses in the total
    metric: str  # the figure by which the best step is chosen
    higher_is_better: bool
    # What goes on from one step to the next besides weights, such as an LSTM's state.
    carried: dict[str, Tensor]

    def order(self, *, batch: int, seed: int, epoch: int, buckets: bool) -> list[np.ndarray]: ...
    def carry(self, total: Callable[[Tensor], Tensor]) -> None: ...
    def height(self, name: str) -> int: ...  # layers between a weight and the heads
    def batch(self, chosen: np.ndarray, epoch: int) -> Any: ...
    def counts(self, batch: Any) -> dict[str, float]: ...
    def losses(self, batch: Any) -> dict[str, Tensor]: ...
    def train(self, mode: bool = True) -> Any: ...
    def parameters(self) -> Any: ...
    def named_parameters(self) -> Any: ...


class Loop:
    """One run of a learner. `fit` is the story; the rest are its steps."""

    def __init__(
        self,
        learner: Any,
        plan: Training,
        *,
        run: Run,
        machine: Machine,
        optimizer: dict[str, Any],
        schedule: dict[str, Any],
        seed: int,
        evaluate: Evaluate,
        progress: Progress,
        before: State | None = None,  # what the phase before this one ended in
    ) -> None:
        self.learner, self.plan, self.run, self.machine = learner, plan, run, machine
        self.seed, self.evaluate, self.progress = seed, evaluate, progress
        self.order: tuple[int, list[np.ndarray]] = (-1, [])
        self.ahead: tuple[tuple[int, int | None], list[Any]] = ((-1, None), [])
        self.per_epoch = len(self._batches(0))
        self.budget = budget.of(plan, self.per_epoch)
        self.eval_every = plan.eval_every or self.per_epoch
        self.optimizer = registry.optimizers.build(optimizer, learner.named_parameters(), learner.height)
        self.peak = [group["lr"] for group in self.optimizer.param_groups]
        shape = {k: v for k, v in schedule.items() if k != "name"}
        curve = registry.schedules.get(schedule["name"])
        self.factor: Callable[[int], float] = lambda used: curve(used, self.budget.total, **shape)
        self.state = before.next_phase() if before else State()
        self.saved_at, self.saved_step = time.monotonic(), -1

    def fit(self) -> State:
        """Train until the budget is used up, the figure stops rising, or a signal asks for the end."""
        self._resume()
        self.tracker = trackers.opened(self.plan.tracker, self.run)
        self.progress.start(self.budget.total, self.budget.used(self.state))
        self.run.event("budget", unit=self.budget.unit, total=self.budget.total, began=self.state.began)
        self.ticked = time.monotonic()
        try:
            while True:
                if self._evaluation_due():
                    self._evaluate()
                if self.state.stopped:
                    self._save_if_new()
                    break
                if self._save_due():
                    self._save()
                if self.machine.any(signals.asked()):
                    raise signals.stopped()
                self._step()
        except Stopped:
            self._save_if_new()
            raise
        finally:
            self.progress.stop()
            self.tracker.close(ended=bool(self.state.stopped))
        return self.state

    def _step(self) -> None:
        """One optimizer step over one batch, in as many pieces as `micro` and the processes ask for."""
        learner, machine = self.learner, self.machine
        prepared = self._pieces()
        counts = self._totals([learner.counts(batch) for batch in prepared])
        tokens = int(machine.total(torch.tensor([float(sum(b.tokens for b in prepared))]))[0])
        learner.train()
        while True:
            try:
                sums = self._backward(prepared, counts)
                break
            except torch.OutOfMemoryError as error:
                size = self._halve(error)
            torch.cuda.empty_cache()  # outside the handler, whose traceback holds on to what filled the memory
            prepared = self._pieces()
            self.run.warn(
                f"step {self.state.step}: out of memory; passes of {size} examples from here on, the batch is the same"
            )
        learner.carry(machine.total if machine.world > 1 else lambda tensor: tensor)
        machine.total_gradients(learner.parameters())
        norm = torch.nn.utils.clip_grad_norm_(learner.parameters(), self.plan.clip)
        self._look_ahead()  # while a GPU is still at work: the next line waits for it
        means = {k: v / max(1.0, counts[k]) for k, v in self._totals(sums).items() if counts[k]}
        self._tick()
        self._apply(means, float(norm), tokens)

    def _look_ahead(self) -> None:
        """Prepare the next step's batch, where it is of the same epoch."""
        step, micro = self.state.step + 1, self.state.micro
        if (step - self.state.began) % self.per_epoch:
            self.ahead = (step, micro), self._prepare(step)

    def _pieces(self) -> list[Any]:
        """The step's batch, prepared already or now."""
        (step, micro), prepared = self.ahead
        known = step == self.state.step and micro == self.state.micro
        return prepared if known else self._prepare(self.state.step)

    def _prepare(self, step: int) -> list[Any]:
        """This process's part of a batch, in as many pieces as its memory asks for."""
        epoch, place = divmod(step - self.state.began, self.per_epoch)
        pieces = batches.shares(
            self._batches(epoch)[place],
            world=self.machine.world,
            rank=self.machine.rank,
            micro=self.state.micro or self.plan.micro,
        )
        return [self.learner.batch(piece, epoch) for piece in pieces if len(piece)]

    def _backward(self, prepared: list[Any], counts: dict[str, float]) -> list[dict[str, Any]]:
        """The gradient of the whole batch, a piece after the other; and the pieces' summed losses."""
        learner, machine = self.learner, self.machine
        self.optimizer.zero_grad(set_to_none=True)
        sums = []
        for number, batch in enumerate(prepared):
            torch.manual_seed(randomness.number(self.seed, self.state.step, machine.rank, number))  # dropout
            with machine.autocast():
                losses = learner.losses(batch.to(machine.device))
            total = sum(learner.weights[k] * loss / max(1.0, counts[k]) for k, loss in losses.items())
            total.backward()
            sums.append({k: loss.detach().float() for k, loss in losses.items()})
        return sums

    def _halve(self, error: Exception) -> int:
        """Half as many examples a pass, now that there was no room for so many; a single one cannot be halved."""
        whole = -(-self.plan.batch // self.machine.world)
        size = min(self.state.micro or self.plan.micro or whole, whole)
        if size == 1:
            raise error
        self.state.micro = size // 2
        self.run.event("out of memory", step=self.state.step, micro=self.state.micro)
        return self.state.micro

    def _tick(self) -> None:
        """Move the phase's clock on, by the main process's time; only a budget in minutes asks for it."""
        if self.budget.unit != "minutes":
            return
        passed = int(1000 * (time.monotonic() - self.ticked))
        self.ticked += passed / 1000
        told = torch.tensor([float(passed if self.machine.main else 0)])
        self.state.clock += int(self.machine.total(told)[0])

    def _apply(self, means: dict[str, float], norm: float, tokens: int) -> None:
        """Move the weights, unless the step is not finite: that is logged as such and never averaged away."""
        state = self.state
        loss = sum(self.learner.weights[k] * v for k, v in means.items())
        rate = self.factor(self.budget.used(state))
        state.step += 1
        if not (math.isfinite(loss) and math.isfinite(norm)):
            state.bad_steps += 1
            what = "loss" if not math.isfinite(loss) else "gradient"
            self._log({"step": state.step, "nonfinite": what})
            if state.bad_steps >= self.plan.max_bad_steps:
                raise Diverged(
                    f"the {what} was not finite at step {state.step}, {state.bad_steps} steps in a row; {CURE}"
                )
            self._end_if_done()
            return
        for group, peak in zip(self.optimizer.param_groups, self.peak, strict=True):
            group["lr"] = peak * rate
        self.optimizer.step()
        state.bad_steps = 0
        state.tokens += tokens
        if state.average is not None and loss > SPIKE * max(state.average, 0.01) and self.machine.main:
            self.run.warn(f"step {state.step}: the loss rose to {loss:.3g}, {SPIKE:g} times its average")
        state.average = loss if state.average is None else 0.95 * state.average + 0.05 * loss
        if state.step % self.plan.log_every == 0 or state.step == 1:
            losses = {k: round(v, 6) for k, v in means.items()}
            row = {"step": state.step, "loss": round(loss, 6), "losses": losses}
            self._log({**row, "rate": self.optimizer.defaults["lr"] * rate, "grad_norm": round(norm, 6)})
        self.progress.update(self.budget.used(state), loss=loss, tokens=tokens)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self.budget.over(self.state):
            self.state.stopped = self.budget.unit

    def _evaluation_due(self) -> bool:
        step = self.state.step - self.state.began
        due = step % self.eval_every == 0 or bool(self.state.stopped)
        return due and step > 0 and self.state.evaluated != self.state.step

    def _evaluate(self) -> None:
        """Held-out figures; the best step's weights are kept apart."""
        state, learner = self.state, self.learner
        learner.train(False)
        self.progress.note(f"evaluating at step {state.step}")
        metrics = self.evaluate()
        if wild := [k for k, v in metrics.items() if v is not None and not math.isfinite(v)]:
            raise Diverged(f"{', '.join(wild)} at step {state.step} is not finite; {CURE}")
        figure = metrics.get(learner.metric)
        sign = 1.0 if learner.higher_is_better else -1.0
        better = figure is not None and (state.best is None or sign * figure > sign * state.best)
        if better or state.best is None:  # without any figure yet, the newest weights are as good as any
            state.best, state.best_step, state.worse = figure, state.step, 0
            if self.machine.main:
                self.keep_best()
        else:
            state.worse += 1
            if self.plan.patience and state.worse >= self.plan.patience:
                state.stopped = state.stopped or "early stop"
        self._log({"step": state.step, "split": "dev", "metrics": metrics})
        state.evaluated = state.step
        self.progress.note(
            f"step {state.step}: "
            + ", ".join(f"{k} {v:.4g}" if v is not None else f"{k} undefined" for k, v in metrics.items())
        )

    def keep_best(self) -> None:
        weights = checkpoints.trainable(self.learner)
        needed = sum(t.nbytes for t in weights.values())
        final = checkpoints.best(self.run.checkpoints, self.state.step)
        with files.new_folder(final, needed=needed) as partial:
            files.save_tensors(weights, partial / "model.safetensors")

    def load_best(self) -> None:
        """The learner with the weights of its best step."""
        from safetensors.torch import load_file

        self.machine.wait()
        path = checkpoints.best(self.run.checkpoints, self.state.best_step)
        if problem := files.damage(path):
            raise ModelError(
                f"{path}: {problem}; the best weights of this run are lost, so start it again with --force"
            )
        checkpoints.load_weights(self.learner, load_file(path / "model.safetensors"), path)

    def _resume(self) -> None:
        found, passed = checkpoints.latest(self.run.checkpoints)
        self.machine.wait()
        if self.machine.main:
            for sentence in passed:
                self.run.warn(sentence)
                self.progress.note(sentence)
        if found and checkpoints.phase(found) >= self.state.phase:  # else it ends the phase before this one
            self.state = checkpoints.restore(found, self.learner, self.optimizer)
            self.saved_step = self.state.step
            self.progress.note(f"goes on from step {self.state.step}")
        if self.machine.main:
            self.run.rewind(self.state.step, evaluated=self.state.evaluated == self.state.step)

    def _save_due(self) -> bool:
        if not self.machine.main or self.state.step in (0, self.saved_step):
            return False
        if self.plan.checkpoint_every:
            return self.state.step % self.plan.checkpoint_every == 0
        return time.monotonic() - self.saved_at >= self.plan.checkpoint_seconds

    def _save_if_new(self) -> None:
        if self.machine.main and self.saved_step != self.state.step:
            self._save()

    def _save(self) -> None:
        self.run.sync()
        weights = checkpoints.trainable(self.learner)
        carried = self.learner.carried
        checkpoints.save(self.run.checkpoints, self.state, weights, self.optimizer, self.plan.keep, carried)
        checkpoints.let_go(self.run.checkpoints, self.state.best_step)
        self.saved_at, self.saved_step = time.monotonic(), self.state.step

    def _batches(self, epoch: int) -> list[np.ndarray]:
        if self.order[0] != epoch:
            how = {"batch": self.plan.batch, "seed": self.seed, "buckets": self.plan.buckets}
            self.order = (epoch, self.learner.order(epoch=epoch, **how))
        return self.order[1]

    def _totals(self, parts: list[dict[str, Any]]) -> dict[str, float]:
        """Add up named numbers over micro-batches and processes."""
        keys = sorted(self.learner.weights)
        sums = torch.tensor([[float(part[k]) for k in keys] for part in parts], dtype=torch.float64)
        total = self.machine.total(sums.reshape(-1, len(keys)).sum(0))
        return dict(zip(keys, total.tolist(), strict=True))

    def _log(self, row: dict[str, Any]) -> None:
        if self.machine.main:
            self.run.log(row)
            self.tracker.row(row)
