"""How much memory and time does a large corpus take? Makes one, prepares it as `lmc pretrain bert` does, and measures:

python tests/oracles/corpus_at_scale.py TEXT --gigabytes 2                # peak memory of all processes, MB/s
python tests/oracles/corpus_at_scale.py TEXT --gigabytes 0.1 --kills 10   # and: the same bytes from 1 and 2 processes,
                                                                          # and after so many SIGKILLs

TEXT is a folder of text, which is repeated, with its documents and their lines in another order each time, until there
is enough of it.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from lmcompare import config, device, files, progress, signals
from lmcompare.errors import Stopped
from lmcompare.experiments import corpora
from lmcompare.text import corpus, growing, pairs

PART = 200 << 20  # bytes a file
PIECES = 30_522
STEPS = ("fingerprint", "vocabulary", "tokens", "instances")


def write(text: Path, folder: Path, size: int) -> None:
    """JSON lines of `size` bytes in all."""
    folder.mkdir()
    documents = [d if isinstance(d, str) else "\n".join(d) for d in corpus.raw(text)]
    chance, written = random.Random(1), 0
    while written < size:
        chance.shuffle(documents)
        for document in documents:
            lines = document.split("\n")
            chance.shuffle(lines)
            line = json.dumps({"text": "\n".join(lines)}, ensure_ascii=False) + "\n"
            with open(folder / f"part-{written // PART:02}.jsonl", "a", encoding="utf-8") as file:
                file.write(line)
            written += len(line.encode())
            if written >= size:
                return


def prepare(folder: Path, workers: int) -> dict[str, float]:
    """Vocabulary, tokens and instances, as a run has them made; seconds of each."""
    table = config.assign(
        config.read_table("bert-mini", "pretrain"),
        [f"corpus.path={folder / 'text'}", f"corpus.workers={workers}", f"tokenizer.size={PIECES}"],
    )
    settings, machine = config.resolve(config.Pretrain, table), device.machine(device="cpu")
    meter, took, before = progress.meter("corpus"), dict[str, float](), [0.0]
    next_of = dict(pairwise(STEPS))

    def timed(what: str, begun: float) -> None:
        used = os.times()
        took[what] = round(time.monotonic() - begun, 1)
        took[f"{what}_processor"] = round(sum(used[:4]) - sum(before), 1)
        before[:] = used[:4]
        files.write(folder / "stage", next_of.get(what, ""))

    with signals.watched():
        begun = time.monotonic()
        source = corpora.source(settings.corpus)
        timed("fingerprint", begun)
        begun = time.monotonic()
        tokenizer = corpora.read_tokenizer(settings, source, folder / "tokenizer", meter, machine)
        timed("vocabulary", begun)
        begun = time.monotonic()
        tokens = corpora.tokenize(source, tokenizer, meter, machine)
        timed("tokens", begun)
        begun = time.monotonic()
        train, _ = tokens.split(settings.corpus.holdout)
        rows = pairs.instances(
            tokens,
            train,
            folder / "instances",
            length=128,
            short_rate=0.1,
            random_rate=0.5,
            passes=5,
            seed=1,
            workers=workers,
            check=signals.check,
            note=meter.note,
        )
        timed("instances", begun)
    counts = {"tokens_made": len(tokens.tokens), "sentences": len(tokens.sentences), "documents": len(tokens)}
    return took | counts | {"rows": len(rows), "pieces": tokenizer.size}


def started(folder: Path, workers: int, mark: float = growing.EVERY) -> subprocess.Popen[str]:
    words = [sys.executable, __file__, "--prepare", folder, "--workers", workers, "--mark", mark]
    places = {"LMC_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [str(word) for word in words], env=os.environ | places, stdout=subprocess.PIPE, text=True
    )


def measured(folder: Path, workers: int) -> dict[str, Any]:
    """Prepare, and watch the memory of the process and all that it starts."""
    child = started(folder, workers)
    resident = proportional = 0
    peaks = dict.fromkeys(STEPS, 0)
    while child.poll() is None:
        now = sum(memory(pid, "Rss") for pid in family(child.pid))
        stage = (folder / "stage").read_text() if (folder / "stage").is_file() else ""
        peaks[stage or STEPS[0]] = max(peaks[stage or STEPS[0]], now >> 10)
        resident = max(resident, now)
        proportional = max(proportional, sum(memory(pid, "Pss") for pid in family(child.pid)))
        time.sleep(0.3)
    (folder / "stage").unlink()
    assert child.returncode == 0 and child.stdout
    told = json.loads(child.stdout.read())
    # Pages that several processes map count once in the second, in each of them in the first.
    peak = {"peak_rss_mb": resident >> 10, "peak_pss_mb": proportional >> 10, "peak_by_step": peaks}
    return {"workers": workers, **told, **peak}


def family(pid: int) -> Iterator[int]:
    yield pid
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in below:
        yield from family(int(child))


def memory(pid: int, what: str) -> int:
    """Kilobytes; a process that has just ended has none."""
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(row.split()[1]) for row in rows if row.startswith(f"{what}:")), 0)


def killed(folder: Path, workers: int, kills: int, seconds: float) -> dict[str, Any]:
    """SIGKILL at random moments of all but the vocabulary, as often as that; then to the end. Which processes are left
    over? (One that has ended, but that nobody has asked how, has no command line.)"""
    chance, hits, left = random.Random(2), 0, 0
    for _ in range(kills):
        child = started(folder, workers, mark=0.2)
        while child.poll() is None and not any(folder.rglob(".*.part")):
            time.sleep(0.01)
        time.sleep(chance.uniform(0.1, 0.9) * seconds / kills)
        below = [pid for pid in family(child.pid) if pid != child.pid]
        hits += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
        time.sleep(1.0)
        left += sum(running(pid) for pid in below)
    child = started(folder, workers)
    child.communicate()
    assert child.returncode == 0
    return {"workers": workers, "kills": hits, "processes_left_over": left}


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def bytes_of(folder: Path) -> dict[str, str]:
    """What the folder's text came to."""
    made = [
        *folder.glob("cache/tokens/*/*.bin"),
        *folder.glob("instances/*.bin"),
        *folder.glob("tokenizer/*"),
    ]
    return {path.name: files.sha256(path) for path in sorted(made)}


def clear(folder: Path) -> None:
    for name in ("cache", "instances"):
        shutil.rmtree(folder / name, ignore_errors=True)


def report(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path, nargs="?")
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--mark", type=float, default=growing.EVERY, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.prepare:
        growing.EVERY = given.mark
        try:
            return report(prepare(given.prepare, given.workers))
        except Stopped as stop:
            sys.exit(stop.status)
    with tempfile.TemporaryDirectory(prefix="corpus-") as name:
        folder = Path(name)
        write(given.text, folder / "text", int(given.gigabytes * 1e9))
        size = sum(path.stat().st_size for path in (folder / "text").iterdir())
        told = measured(folder, given.workers)
        seconds = sum(told[step] for step in STEPS)
        report(
            {"megabytes": size // 10**6, **told, "seconds": seconds, "mb_per_second": size / 1e6 / seconds}
        )
        if given.kills:
            expected = bytes_of(folder)
            clear(folder)
            shutil.rmtree(folder / "tokenizer")
            alone = measured(folder, 1)
            report({**alone, "same_bytes": bytes_of(folder) == expected})
            clear(folder)
            again = killed(folder, given.workers, given.kills, told["tokens"] + told["instances"])
            report({**again, "same_bytes": bytes_of(folder) == expected})


if __name__ == "__main__":
    main()
