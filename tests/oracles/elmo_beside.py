"""Our ELMo's speed beside AllenNLP's: original size, 32 sentences of 20 words, pass by pass in turns, so that whatever
else the machine does slows both. Run by the project's interpreter, after `make allennlp`:

.venv-allennlp/bin/python tests/oracles/elmo_speed.py --write FOLDER
.venv/bin/python tests/oracles/elmo_beside.py FOLDER --rounds 9
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from lmcompare.backends.allennlp_process import interpreter
from lmcompare.backends.elmo import Elmo
from lmcompare.types import Example, Task

HERE = Path(__file__).parent
TAGS = Task("t", "tags", ("entity_f1",), lambda split: [], labels=("O",))


def words(sentences: int = 32, length: int = 20) -> list[list[str]]:
    """The words of `elmo_speed.words`: every one another, the hardest case for what spells a word once."""
    rng = np.random.default_rng(7)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    sizes = rng.integers(1, 13, (sentences, length))
    return [["".join(rng.choice(letters, n)) for n in row] for row in sizes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=0)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    command = [str(interpreter()), str(HERE / "elmo_speed.py"), str(given.folder), "--serve"]
    command += ["--threads", str(given.threads)]
    theirs = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert theirs.stdin and theirs.stdout
    elmo = Elmo.load(given.folder)
    elmo.encoder.eval()
    texts = words()
    inputs = elmo.stack([elmo.views(TAGS, Example("0", (), words=tuple(text)), 100)[0] for text in texts])
    assert inputs.ids_BT.unique().numel() > 0.9 * inputs.ids_BT.numel()
    while theirs.stdout.readline().strip() != "ready":
        pass
    seconds: dict[str, list[float]] = {"allennlp": [], "ours": []}
    with torch.inference_mode():
        elmo.encoder(inputs)
        for number in range(given.rounds):
            theirs.stdin.write("once\n")
            theirs.stdin.flush()
            seconds["allennlp"].append(float(theirs.stdout.readline()))
            begun = time.perf_counter()
            elmo.encoder(inputs)
            seconds["ours"].append(time.perf_counter() - begun)
            print(number + 1, *(f"{k} {v[-1]:.2f}" for k, v in seconds.items()), file=sys.stderr)
    theirs.stdin.close()
    theirs.wait()
    ratios = [a / b for a, b in zip(seconds["allennlp"], seconds["ours"], strict=True)]
    total = sum(map(len, texts))
    told = {f"{k}_words_per_second": round(total / statistics.median(v), 1) for k, v in seconds.items()}
    print(
        json.dumps(
            told | {"median_ratio": round(statistics.median(ratios), 2), "threads": torch.get_num_threads()}
        )
    )


if __name__ == "__main__":
    main()
