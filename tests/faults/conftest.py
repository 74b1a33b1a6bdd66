"""The tiny world, and its runs that nothing interrupted."""

from collections.abc import Callable

import pytest
from world import PHASED, PRETRAIN, READER, TRANSFER, Place, Reference, finished, write_corpus, write_task


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("world")
    write_corpus(folder / "corpus.txt")
    write_task(folder / "glue" / "SST-2")
    (folder / "pretrain.toml").write_text(PRETRAIN, encoding="utf-8")
    (folder / "phased.toml").write_text(PHASED, encoding="utf-8")
    for mode, more in (("finetune", ""), ("features", READER)):
        text = TRANSFER.replace("MODE", mode).replace("dropout = 0.1\n", f"dropout = 0.1\n{more}")
        (folder / f"{mode}.toml").write_text(text, encoding="utf-8")
    return Place(folder)


@pytest.fixture(scope="session")
def pretrained(place: Place) -> Reference:
    run = place.folder / "reference"
    return finished(place.pretrain(run), run, place.folder)


@pytest.fixture(scope="session")
def phased(place: Place) -> Reference:
    run = place.folder / "reference-phased"
    return finished(place.in_phases(run), run, place.folder)


@pytest.fixture(scope="session")
def transferred(place: Place, pretrained: Reference) -> Callable[[str], Reference]:
    """The uninterrupted run of a mode, made when it is first asked for."""
    made: dict[str, Reference] = {}

    def get(mode: str) -> Reference:
        if mode not in made:
            run = place.folder / f"reference-{mode}"
            made[mode] = finished(place.transfer(mode, pretrained.run, run), run, place.folder)
        return made[mode]

    return get
