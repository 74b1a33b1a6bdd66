"""F25: the vocabulary is the same bytes in every process, whatever its hash seed and threads."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from lmcompare import registry

KINDS = ("wordpiece", "bpe")
TRAIN = """
import sys
from pathlib import Path
from lmcompare import registry
texts = Path(sys.argv[1]).read_text(encoding="utf-8").split("\\n")
settings = {"name": sys.argv[5], "size": int(sys.argv[3]), "lowercase": sys.argv[4] == "1"}
registry.tokenizers.build(settings, texts).save(sys.argv[2])
"""


def corpus(seed: int, words: int) -> str:
    """Made-up words with many ties in their counts: where a hash map's order would show."""
    chance = random.Random(seed)
    parts = ["ka", "lo", "mi", "né", "pu", "ra", "so", "ti", "vu", "ze", "x", "Q", "中", "-"]
    known = ["".join(chance.choices(parts, k=chance.randint(1, 4))) for _ in range(words)]
    return "\n".join(" ".join(chance.choices(known, k=12)) for _ in range(words))


def train(kind: str, lines: list[str], size: int, folder: Path) -> str:
    registry.tokenizers.build({"name": kind, "size": size}, lines).save(folder)
    return digest(folder)


def trained_elsewhere(folder: Path, text: Path, kind: str, *, hash_seed: int, threads: int, size: int,
                      lowercase: bool) -> str:  # fmt: skip
    environment = os.environ | {
        "PYTHONHASHSEED": str(hash_seed),
        "RAYON_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false" if threads == 1 else "true",
    }
    subprocess.run(
        [sys.executable, "-c", TRAIN, str(text), str(folder), str(size), str(int(lowercase)), kind],
        check=True,
        env=environment,
        timeout=120,
    )
    return digest(folder)


def digest(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    assert "tokenizer.json" in names and len(names) >= 3
    return hashlib.sha256(b"\0".join((folder / name).read_bytes() for name in names)).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_f25_two_processes(tmp_path: Path, kind: str) -> None:
    text = tmp_path / "corpus.txt"
    text.write_text(corpus(0, 400), encoding="utf-8")
    here = train(kind, text.read_text(encoding="utf-8").split("\n"), 300, tmp_path / "here")
    for hash_seed, threads in ((1, 1), (2, 2)):
        folder = tmp_path / f"process{hash_seed}"
        told = {"hash_seed": hash_seed, "threads": threads, "size": 300, "lowercase": True}
        assert trained_elsewhere(folder, text, kind, **told) == here


@pytest.mark.parametrize("kind", KINDS)
def test_f25_the_order_of_lines_means_nothing(tmp_path: Path, kind: str) -> None:
    lines = corpus(3, 300).split("\n")
    before = train(kind, lines, 250, tmp_path / "a")
    random.Random(1).shuffle(lines)
    assert train(kind, lines, 250, tmp_path / "b") == before


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lowercase", [True, False])
def test_f25_five_processes(tmp_path: Path, lowercase: bool, kind: str) -> None:
    text = tmp_path / "corpus.txt"
    text.write_text(corpus(7, 6000), encoding="utf-8")
    seen = {
        trained_elsewhere(
            tmp_path / str(i), text, kind, hash_seed=i, threads=1 + i % 3, size=2000, lowercase=lowercase
        )
        for i in range(5)
    }
    assert len(seen) == 1
