"""How fast is AllenNLP's ELMo in the original size? Run by the interpreter of `make allennlp`:

python tests/oracles/elmo_speed.py --write FOLDER   # 2x4096_512_2048cnn_2xhighway, drawn weights, 375 MB, once
python tests/oracles/elmo_speed.py FOLDER           # words a second; no network is asked for anything

`elmo_beside.py` takes it in turns with ours.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from make_goldens import shimmed, write_release

ORIGINAL: dict[str, Any] = {
    "bidirectional": True,
    "lstm": {
        "n_layers": 2, "dim": 4096, "projection_dim": 512, "cell_clip": 3, "proj_clip": 3,
        "use_skip_connections": True,
    },
    "char_cnn": {
        "embedding": {"dim": 16},
        "filters": [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]],
        "activation": "relu", "n_highway": 2, "n_characters": 262, "max_characters_per_token": 50,
    },
}  # fmt: skip


def words(sentences: int, length: int) -> list[list[str]]:
    """Made-up words of 1 to 12 letters, drawn with a seed; no two sentences alike."""
    rng = np.random.default_rng(7)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    sizes = rng.integers(1, 13, (sentences, length))
    return [["".join(rng.choice(letters, n)) for n in row] for row in sizes]


def measure(
    folder: Path, *, sentences: int, length: int, repeat: int, threads: int, serve: bool
) -> dict[str, Any] | None:
    """The medians; or with `serve`, one forward pass and its seconds for every line that is read."""
    shimmed()
    import torch
    from allennlp.modules.elmo import Elmo, batch_to_ids

    if threads:
        torch.set_num_threads(threads)
    files = str(folder / "options.json"), str(folder / "weights.hdf5")
    elmo = Elmo(*files, num_output_representations=1, dropout=0.0).eval()
    characters = batch_to_ids(words(sentences, length))
    seconds = []
    with torch.no_grad():
        elmo(characters)
        if serve:
            print("ready", flush=True)
        for _ in sys.stdin if serve else range(repeat):
            begun = time.perf_counter()
            elmo(characters)
            seconds.append(time.perf_counter() - begun)
            if serve:
                print(seconds[-1], flush=True)
    if serve:
        return None
    total = sentences * length
    return {
        "words": total,
        "threads": torch.get_num_threads(),
        "seconds": [round(s, 3) for s in seconds],
        "words_per_second": round(total / statistics.median(seconds), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="options.json and weights.hdf5")
    parser.add_argument("--write", action="store_true", help="draw the weights and write them there")
    parser.add_argument("--sentences", type=int, default=32)
    parser.add_argument("--length", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: as torch finds it")
    parser.add_argument("--serve", action="store_true", help="a pass for every line of stdin")
    given = vars(parser.parse_args())
    if given.pop("write"):
        write_release(given["folder"], ORIGINAL, "original")
    elif figures := measure(given.pop("folder"), **given):
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
