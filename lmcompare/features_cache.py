"""The layers of a frozen encoder, computed once and kept on disk, memory-mapped: all layers, so that a mix of them
can be learned. Keyed by weights, tokenizer, text and length."""
# ruff: noqa: TID253

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmcompare import cache, files, signals
from lmcompare.device import Machine
from lmcompare.types import View

BATCH = 32
FORMAT = 1


@dataclass(frozen=True)
class Layers:
    """`values[starts[v] : starts[v + 1]]` are the tokens of view v, each L × D."""

    values: np.ndarray
    starts: np.ndarray
    folder: Path

    def stack(self, rows: Sequence[int], chosen: list[int]) -> tuple[Tensor, Tensor]:
        """Padded features of some views, and which of them are real."""
        lengths = np.array([self.starts[r + 1] - self.starts[r] for r in rows])
        T = int(lengths.max())
        x_BTLD = np.zeros((len(rows), T, len(chosen), self.values.shape[2]), dtype=np.float32)
        for b, r in enumerate(rows):
            x_BTLD[b, : lengths[b]] = self.values[self.starts[r] : self.starts[r + 1]][:, chosen]
        return torch.from_numpy(x_BTLD), torch.from_numpy(np.arange(T)[None] < lengths[:, None])


class FeatureCache:
    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.fingerprint = backend.fingerprint
        self.filled: dict[Path, float] = {}  # what was computed here, and the seconds that it took

    def layers(self, views: list[View]) -> Layers:
        """From the disk where they are there and whole; else computed and kept."""
        digest = hashlib.sha256(f"{FORMAT}{self.fingerprint}".encode())
        for view in views:
            digest.update(np.array([len(view.ids), *view.ids, *view.segments], dtype=np.int64).tobytes())
        folder = cache.root() / "features" / digest.hexdigest()[:16]
        if not folder.is_dir() or files.damage(folder):
            began = time.monotonic()
            self._fill(folder, views)
            self.filled[folder] = time.monotonic() - began
        starts = np.fromfile(folder / "starts.bin", dtype=np.int64)
        shape = (int(starts[-1]), self.backend.depth + 1, self.backend.width)
        return Layers(np.memmap(folder / "layers.bin", np.float32, "r", shape=shape), starts, folder)

    @torch.no_grad()
    def _fill(self, folder: Path, views: list[View]) -> None:
        encoder = self.backend.encoder
        encoder.eval()
        parameter = next(encoder.parameters(), None)  # none where the network is in another process
        device = torch.device("cpu") if parameter is None else parameter.device
        starts = np.concatenate([[0], np.cumsum([len(v.ids) for v in views])]).astype(np.int64)
        shape = (int(starts[-1]), self.backend.depth + 1, self.backend.width)
        with files.disk(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
        about = f"{self.backend.name}, {len(views)} views, {shape[0]} tokens, {shape[1]} layers of {shape[2]}"
        needed = int(np.prod(shape)) * 4
        facts: dict[str, Any] = {"about": about}
        began = time.monotonic()
        with files.new_folder(folder, facts, needed=needed, once=True) as partial:
            (partial / "starts.bin").write_bytes(starts.tobytes())
            files.reserve(partial / "layers.bin", needed)
            values = np.memmap(partial / "layers.bin", np.float32, "r+", shape=shape)
            order = np.argsort(np.diff(starts), kind="stable")
            if getattr(encoder, "stateful", False):  # what ran before matters: as the split has them
                order = np.arange(len(views))
                encoder.forget()
            for chosen in np.split(order, range(BATCH, len(order), BATCH)):
                signals.check()
                inputs = self.backend.stack([views[i] for i in chosen]).to(device)
                x_BTLD = torch.stack(encoder(inputs), 2).float().cpu().numpy()
                for b, i in enumerate(chosen):
                    values[starts[i] : starts[i + 1]] = x_BTLD[b, : starts[i + 1] - starts[i]]
            values.flush()
            del values
            facts |= {"seconds": round(time.monotonic() - began, 3), "on": Machine(device).describe()}
