"""`lmc bench`: how fast is this machine, beside the ordinary way? Small models with real vocabularies, and the same
work on both sides."""

from collections.abc import Callable
from typing import Any

from lmcompare import device, provenance
from lmcompare.errors import UserError, unknown
from lmcompare.experiments.bench import bert, gpt
from lmcompare.experiments.bench.turns import matrix_rate, race

KINDS = {
    "pretrain": bert.pretraining,
    "finetune": bert.tuning,
    "base-128": bert.base_128,
    "base-512": bert.base_512,
    "gpt-pretrain": gpt.pretraining,
    "gpt-finetune": gpt.tuning_on_sentences,
    "gpt-finetune-pairs": gpt.tuning_on_pairs,
}

LARGE = ("base-128", "base-512")  # on a GPU only, unless they are asked for by name


def measure(what: list[str], *, repeats: int, note: Callable[[str], None]) -> dict[str, Any]:
    """Tokens a second on both sides, medians over the repeats, and the ratio of them."""
    for name in what:
        if name not in KINDS:
            raise UserError(unknown("benchmark", name, KINDS))
    machine = device.machine()
    on_gpu = machine.device.type == "cuda"
    rows = []
    for name in what or [kind for kind in KINDS if on_gpu or kind not in LARGE]:
        note(f"{name}: warming up")
        pair = KINDS[name](machine)
        row = {"name": name, "what": pair.what, "theirs_name": pair.theirs_name}
        rows.append({**row, **race(pair, repeats, note)})
        if pair.operations:
            most = matrix_rate(machine.device, bf16=machine.bf16)
            share = rows[-1]["ours"] * pair.operations / most
            rows[-1] |= {"matrix_rate": most, "utilization": round(share, 4)}
    return {
        "format": 1,
        "device": machine.describe(),
        "threads": machine.threads,
        "repeats": repeats,
        "versions": provenance.versions(),
        "rows": rows,
    }
