"""Two ways to do the same work, step by step in turn, so that a noisy machine disturbs both sides alike."""
# ruff: noqa: TID253

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

SIZES = {"layers": 4, "width": 256, "heads": 4, "positions": 512}  # a small model under a real vocabulary
RATE = 1e-4
EPOCH_PART = 8  # steps a timing: batches differ in length, and both sides see the same ones
Step = Callable[[], int]  # one timing's work; returns the real tokens that it read


@dataclass(frozen=True)
class Pair:
    ours: Step
    theirs: Step
    what: str
    theirs_name: str
    # That the model itself asks for, a real token, forward and backward; 0: not counted.
    operations: float = 0.0


def matrix_rate(device: torch.device, *, bf16: bool) -> float:
    """Operations a second that this machine reaches in one large matrix product: what a model could at most have."""
    size = 8192 if device.type == "cuda" else 1024
    x = torch.ones(size, size, device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    took = []
    for _ in range(12):
        begun = time.perf_counter()
        torch.mm(x, x)
        if device.type == "cuda":
            torch.cuda.synchronize()
        took.append(time.perf_counter() - begun)
    return 2 * size**3 / statistics.median(took[2:])


def race(pair: Pair, repeats: int, note: Callable[[str], None]) -> dict[str, Any]:
    speeds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(repeats + 1):  # the first pair only warms up
        for side, step in (("ours", pair.ours), ("theirs", pair.theirs)):
            begun = time.perf_counter()
            tokens = step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number:
                speeds[side].append(tokens / (time.perf_counter() - begun))
        note(f"pair {number} of {repeats}")
    ratios = [a / b for a, b in zip(speeds["ours"], speeds["theirs"], strict=True)]
    return {
        "ours": statistics.median(speeds["ours"]),
        "theirs": statistics.median(speeds["theirs"]),
        "ratio": statistics.median(ratios),
        "ratios": [round(r, 3) for r in ratios],
    }
