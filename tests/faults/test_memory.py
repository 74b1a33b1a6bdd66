"""F23: a corpus of five million rows is prepared in memory that does not grow with it."""

import json
import random
import resource
from pathlib import Path

import forge
import pytest
from world import Place, Reference, sentence

ROWS = 5_000_000
ROOM = 1 << 30  # bytes over what the process has before it begins


def limited() -> None:
    """Addresses, not only resident pages: a list that grows with the rows ends the run."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


@pytest.mark.full
def test_f23_five_million_rows(place: Place, pretrained: Reference, tmp_path: Path) -> None:
    chance, text = random.Random(1), tmp_path / "rows.txt"
    block = "\n".join(sentence(chance) for _ in range(999)) + "\n\n"
    with text.open("w", encoding="utf-8") as file:
        for _ in range(ROWS // 1000):
            file.write(block)
    run = tmp_path / "run"
    words = [*place.pretrain(run), "--corpus", text, "--set", "training.steps=5"]
    child = forge.start(*words, home=tmp_path, setup=limited)
    ended = child.wait(1200)
    assert ended.status == 0 and ended.clean, ended.err
    result = json.loads((run / "result.json").read_text())
    assert result["examples"]["train"] > ROWS / 10
    base = json.loads((pretrained.run / "result.json").read_text())["peak_memory_mb"]
    assert result["peak_memory_mb"] - base < ROOM / 1e6
