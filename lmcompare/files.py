"""Files that are whole or not there: write beside the target, flush to disk, rename. Nothing half-written ever has
a final name, and a folder carries the SHA-256 of every file in it."""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcompare.errors import ResourceError

if TYPE_CHECKING:
    import torch

MANIFEST = "manifest.json"
FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
ODD = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOENT)
STAGES: list[
    Callable[[str, Path], None]
] = []  # called around every step of a write; the fault tests add to it


def stage(name: str, path: Path) -> None:
    for hook in STAGES:
        hook(name, path)


class DiskFull(ResourceError):
    """No space left."""

    def __init__(self, path: Path, needed: int) -> None:
        megabytes = max(1, -(-needed >> 20))
        super().__init__(
            f"{path}: no space left on the disk; at least {megabytes} MB are needed. The run goes on "
            "from its last checkpoint once there is room"
        )


@contextlib.contextmanager
def disk(path: Path, needed: int = 0) -> Iterator[None]:
    """Say in one sentence that the disk is full or closed to us."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(path, needed) from None
        if error.errno in CLOSED:
            raise ResourceError(f"{path}: not allowed to read or write here") from None
        if error.errno in ODD:
            raise ResourceError(f"{path}: {os.strerror(error.errno).lower()}") from None
        raise


def sync(path: Path) -> None:
    stage("fsync", path)
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path: Path, content: str | bytes) -> None:
    """Replace one file in one step."""
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with disk(path, len(data)):
        try:
            stage("write", path)
            with open(partial, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            stage("rename", path)
            os.replace(partial, path)
            sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    write(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_hash(package: Path) -> str:
    """Generated data is known by the code that generates it."""
    parts = [f"{path.name} {sha256(path)}" for path in sorted(package.glob("*.py"))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def save_tensors(tensors: "Mapping[str, torch.Tensor]", path: Path) -> None:
    """As safetensors; its own error hides that the disk is full."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    whole = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    path.touch()
    # The library leaves its files to their owner alone; this one is to be read by those who may read the others.
    usual = path.stat().st_mode
    try:
        save_file(whole, path, metadata={"format": "pt"})
        path.chmod(usual)
    except SafetensorError as error:
        if number := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from None
        raise


def reserve(path: Path, size: int) -> None:
    """Take the room on the disk at once: a memory-mapped file that finds none later kills the process."""
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, max(1, size))
        else:
            file.truncate(size)


@contextlib.contextmanager
def new_folder(
    final: Path, facts: dict[str, Any] | None = None, *, needed: int = 0, once: bool = False
) -> Iterator[Path]:
    """Fill the folder that this yields; it gets its final name, with a manifest, only when all of it is on disk.
    `needed` is said where the disk is full. With `once`, a whole folder that has the name by then stays."""
    partial = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
    with disk(final, needed):
        stage("mkdir", final)
        partial.mkdir(parents=True)
        try:
            yield partial
            files = sorted(p for p in partial.rglob("*") if p.is_file())
            hashes = {}
            for path in files:
                sync(path)
                hashes[path.relative_to(partial).as_posix()] = sha256(path)
            manifest = {"format": 1, **(facts or {}), "sha256": hashes}
            write_json(partial / MANIFEST, manifest)
            sync(partial)
            stage("rename", final)
            if not (once and final.is_dir() and damage(final) is None):
                _take_place(partial, final)
            sync(final.parent)
        except (OSError, DiskFull) as error:  # by now it is known how much was wanted
            if isinstance(error, OSError) and error.errno not in FULL:
                raise
            raise DiskFull(final, max(needed, size(partial))) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _take_place(partial: Path, final: Path) -> None:
    """Rename a folder; one that has the name already steps aside first."""
    try:
        os.replace(partial, final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        aside = final.with_name(f".{final.name}.{secrets.token_hex(4)}.old")
        os.replace(final, aside)
        stage("rename again", final)
        os.replace(partial, final)
        stage("rmtree", aside)
        shutil.rmtree(aside)


def discard(folder: Path) -> None:
    """Remove a folder; it loses its name first, so that a half-removed one never carries it."""
    trash = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.old")
    stage("rename away", folder)
    os.replace(folder, trash)
    stage("rmtree", trash)
    shutil.rmtree(trash)


def damage(folder: Path) -> str | None:
    """What is wrong with a folder that `new_folder` wrote; None where it is whole."""
    try:
        manifest = read_json(folder / MANIFEST)
        expected: dict[str, str] = dict(manifest["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"{MANIFEST} is missing or not readable"
    for name, digest in expected.items():
        if not (folder / name).is_file():
            return f"{name} is missing"
        if sha256(folder / name) != digest:
            return f"{name} does not match its checksum"
    return None


def sweep(folder: Path) -> None:
    """Remove what killed writers left behind; call it with the folder's lock held."""
    for path in [*folder.glob(".*.tmp"), *folder.glob(".*.old")]:
        stage("rmtree", path)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def digest_tensors(tensors: "dict[str, torch.Tensor]") -> str:
    """SHA-256 over names, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{list(tensor.shape)};".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
