"""`lmc convert`: ELMo's weights from our folder to the authors' layout and back, without loss."""

from pathlib import Path
from typing import Any

from lmcompare import files, models
from lmcompare.errors import UserError


def convert(name: str, to: str, out: Path) -> dict[str, Any]:
    """Write the model again in another layout, and read it back to see that it is the same."""
    family = models.family(name)
    if family != "elmo":
        raise UserError(f"{name}: is a {family} model; elmo is the one family with two layouts")
    from lmcompare.backends import elmo_layout
    from lmcompare.backends.elmo import Elmo

    if out.exists():
        raise UserError(f"{out}: exists already; give --out a folder that does not")
    elmo = models.load(family, name)
    if to == "release" and elmo.settings["activation"] not in ("relu", "tanh"):
        raise UserError(
            f"{name}: its activation is {elmo.settings['activation']}; the authors' code has relu and tanh"
        )
    with files.disk(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with files.new_folder(out, {"about": f"{name}, converted"}) as folder:
        if to == "release":
            elmo_layout.write_release(elmo, folder)
        else:
            elmo.save(folder)
    again = Elmo.load(out).encoder.state_dict()
    same = all(bool((tensor == again[key]).all()) for key, tensor in elmo.encoder.state_dict().items())
    if not same:
        raise RuntimeError(f"{out}: the weights that were written are not those that were read")
    parameters = sum(p.numel() for p in elmo.encoder.parameters())
    written = sorted(p.name for p in out.iterdir() if p.name != files.MANIFEST)
    result = {"model": name, "out": str(out), "layout": to, "files": written, "parameters": parameters}
    # an encoder is what both layouts hold: the softmax does not go along, nor do the words to the release
    return result | {"left_out": ["softmax", "words"] if to == "release" else ["softmax"]}
