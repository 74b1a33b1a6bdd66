"""Where a run computes: CPU or GPU, one process or several. Losses are sums and the loop divides by counts over all
processes, so gradients are added, never averaged, and the effective batch is the same however it is split."""
# ruff: noqa: TID253

import contextlib
import datetime
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from lmcompare import signals
from lmcompare.errors import ResourceError, Stopped


@dataclass(frozen=True)
class Machine:
    device: torch.device
    bf16: bool = False
    rank: int = 0
    world: int = 1

    @property
    def main(self) -> bool:
        return self.rank == 0

    @property
    def threads(self) -> int:
        return torch.get_num_threads()

    def describe(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"cpu, {self.threads} threads"

    def autocast(self) -> Any:
        if not self.bf16:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def total(self, numbers: torch.Tensor) -> torch.Tensor:
        """Add up over the processes."""
        if self.world > 1:
            numbers = numbers.to(self.device)
            with peers():
                dist.all_reduce(numbers)
        return numbers.cpu()

    def total_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Add the gradients of all processes, in one message."""
        if self.world == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        used = self.total(torch.tensor([float(p.grad is not None) for p in trained]))
        trained = [p for p, n in zip(trained, used.tolist(), strict=True) if n]  # the others stay without one
        flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in trained])
        with peers():
            dist.all_reduce(flat)
        start = 0
        for p in trained:
            p.grad = flat[start : start + p.numel()].view_as(p)
            start += p.numel()

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        return bool(self.total(torch.tensor([float(flag)]))[0] > 0)

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """What the main process computes and keeps, the others then find."""
        if not self.main:
            self.wait()
        yield
        if self.main:
            self.wait()

    def wait(self) -> None:
        if self.world > 1:
            with peers():
                dist.barrier()


@contextlib.contextmanager
def peers() -> Iterator[None]:
    """Another process that is gone is no bug of this one."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).strip().partition("\n")[0]
        raise ResourceError(
            "another process of this run ended or cannot be reached; the same command goes on from the "
            f"last checkpoint ({first})"
        ) from None


def fitted(compute: Callable[[int], Any], size: int, *, any_of: Callable[[bool], bool] = bool) -> Any:
    """What `compute` makes with so many examples at a time, or with half as many where there is no room for them, and
    so on: for what does not depend on how many are taken together. Several processes that all make it are heard by
    `any_of` when each is through, and never before: they halve together, and end together where one was asked to."""
    while True:
        full = False
        stopped: Stopped | None = None
        try:
            made = compute(size)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            full = True
        except Stopped as error:
            stopped = error
        if any_of(stopped is not None):
            raise stopped or signals.stopped()
        if not any_of(full):
            return made
        size //= 2
        torch.cuda.empty_cache()  # outside the handler, whose traceback holds on to what filled the memory


def machine(precision: str = "auto", device: str | None = None) -> Machine:
    """This process's place: LMC_DEVICE or the first GPU or the CPU; rank and world from the launcher's environment."""
    name = device or os.environ.get("LMC_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if name == "cuda":
        if not torch.cuda.is_available():
            raise ResourceError("device 'cuda' was asked for, but torch sees no GPU here (see `lmc doctor`)")
        name = f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"
    try:
        where = torch.device(name)
    except RuntimeError:
        raise ResourceError(f"device {name!r}: not one that torch knows; try 'cpu' or 'cuda'") from None
    if where.type == "cuda":
        torch.cuda.set_device(where)
        torch.set_float32_matmul_precision("high")
    if world > 1 and not dist.is_initialized():
        backend = "nccl" if where.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=datetime.timedelta(hours=4))
    bf16 = precision == "bf16" or (
        precision == "auto" and where.type == "cuda" and torch.cuda.is_bf16_supported()
    )
    return Machine(where, bf16, rank, world)
