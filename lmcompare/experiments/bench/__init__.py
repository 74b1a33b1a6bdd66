"""`lmc bench`: how fast is this machine, beside the ordinary way? Small models with real vocabularies, and the same
work on both sides."""

from collections.abc import Callable
from typing import Any

from lmcompare import device, provenance
from lmcompare.errors import UserError, unknown
from lmcompare.experiments.bench import bert, gpt
from lmcompare.experiments.bench.turns import race

KINDS = {
    "pretrain": bert.pretraining,
    "finetune": bert.tuning,
    "gpt-pretrain": gpt.pretraining,
    "gpt-finetune": gpt.tuning_on_sentences,
    "gpt-finetune-pairs": gpt.tuning_on_pairs,
}


def measure(what: list[str], *, repeats: int, note: Callable[[str], None]) -> dict[str, Any]:
    """Tokens a second on both sides, medians over the repeats, and the ratio of them."""
    for name in what:
        if name not in KINDS:
            raise UserError(unknown("benchmark", name, KINDS))
    machine = device.machine()
    rows = []
    for name in what or KINDS:
        note(f"{name}: warming up")
        pair = KINDS[name](machine)
        row = {"name": name, "what": pair.what, "theirs_name": pair.theirs_name}
        rows.append({**row, **race(pair, repeats, note)})
    return {
        "format": 1,
        "device": machine.describe(),
        "threads": machine.threads,
        "repeats": repeats,
        "versions": provenance.versions(),
        "rows": rows,
    }
