"""The authors' own ELMo in a process of its own: `allennlp_worker.py FOLDER FD`; without them, only its versions.

Run by the interpreter of an environment that holds allennlp 2.10.1 (`make allennlp`); it needs nothing of lmcompare.
Requests are JSON lines on the standard input, answers JSON lines on the file descriptor FD, sentences and arrays
files in FOLDER: what libraries print disturbs nothing. Ends when the input does, or its parent, and removes FOLDER.

    {"do": "hello"}                                                  → {"ok": true, "allennlp": "2.10.1", ...}
    {"do": "load", "options": P, "weights": P, "threads": n}         → {"ok": true, "parameters": n}
    {"do": "embed", "sentences": P, "out": P, "fresh": true}         → {"ok": true}, and L × B × T × D in the file
    anything that fails                                              → {"ok": false, "error": "..."}
"""

import json
import os
import queue
import select
import shutil
import sys
import threading
import types
from typing import Any

Answer = dict[str, Any]
PARENT_SEEN = 2.0  # seconds between two looks at whether the parent still lives


def shim() -> None:
    """What allennlp 2.10.1 asks of libraries that have since moved on: three names, none of which is ever used."""
    import huggingface_hub

    for name in ("HfFolder", "Repository"):
        if not hasattr(huggingface_hub, name):
            setattr(huggingface_hub, name, type(name, (), {}))
    import torch
    import transformers
    from transformers.utils.import_utils import is_torchvision_available

    if not is_torchvision_available():  # the answer is kept, so that the stub below fools nobody but allennlp
        sys.modules["torchvision"] = types.ModuleType("torchvision")
    lazy: Any = type(transformers)
    found = lazy.__getattr__

    def get(module: Any, name: str) -> Any:
        return torch.optim.AdamW if name == "AdamW" else found(module, name)

    lazy.__getattr__ = get  # an attribute that is set on the lazy module itself is lost


class Worker:
    """One biLM, and what can be asked of it."""

    def __init__(self) -> None:
        shim()
        import allennlp.version
        import numpy
        import torch
        import transformers
        from allennlp.modules import elmo

        self.elmo, self.torch = elmo, torch
        self.bilm: Any = None
        self.versions = {
            "allennlp": allennlp.version.VERSION,
            "python": sys.version.partition(" ")[0],
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": numpy.__version__,
        }

    def hello(self) -> Answer:
        return dict(self.versions)

    def load(self, options: str, weights: str, threads: int | None = None) -> Answer:
        if threads:
            self.torch.set_num_threads(threads)
        self.bilm = self.elmo.Elmo(options, weights, num_output_representations=1)._elmo_lstm.eval()
        return {"parameters": sum(p.numel() for p in self.bilm.parameters())}

    def embed(self, sentences: str, out: str, fresh: bool) -> Answer:
        """Every layer of every word, padded with zeros. The package itself goes on from the sentences before; fresh
        means from zero states."""
        import numpy

        if self.bilm is None:
            raise RuntimeError("no weights are loaded")
        with open(sentences, encoding="ascii") as file:
            words = json.load(file)
        if fresh:
            self.bilm._elmo_lstm.reset_states()
        with self.torch.no_grad():
            made = self.bilm(self.elmo.batch_to_ids(words))
            layers = [self.elmo.remove_sentence_boundaries(x, made["mask"])[0] for x in made["activations"]]
        numpy.save(out, self.torch.stack(layers).numpy())
        return {}


def listen(requests: "queue.SimpleQueue[str]", folder: str) -> None:
    """Take requests while the main thread computes; end with the input, or with the parent."""
    parent, rest = os.getppid(), b""
    while os.getppid() == parent:
        ready, _, _ = select.select([0], [], [], PARENT_SEEN)
        if not ready:
            continue
        read = os.read(0, 1 << 16)
        if not read:
            break
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            requests.put(line.decode("ascii"))
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def main(folder: str, answers: int) -> None:
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=listen, args=(requests, folder), daemon=True).start()
    worker: Worker | None = None
    while True:
        request = json.loads(requests.get())
        try:
            worker = worker or Worker()
            answer = {"ok": True, **getattr(worker, request.pop("do"))(**request)}
        except Exception as error:
            import traceback

            traceback.print_exc()
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        os.write(answers, json.dumps(answer).encode("ascii") + b"\n")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(json.dumps(Worker().versions))
    else:
        main(sys.argv[1], int(sys.argv[2]))
