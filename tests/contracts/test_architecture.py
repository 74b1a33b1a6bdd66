"""The house holds: imports go down the ladder, files stay small, every preset loads, the command line starts fast."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lmcompare import config, registry
from lmcompare.experiments import reproduce, studies, suite

REPO = Path(__file__).resolve().parents[2]
PACKAGE = REPO / "lmcompare"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 330, 60

# From the top down; a module may import from its own step and from those below.
LADDER = (
    ("cli", "__main__"),
    ("commands",),
    ("console",),
    ("experiments",),
    ("transfer", "report", "launch", "workers", "executors"),
    (
        "readers",
        "objectives",
        "training",
        "averages",
        "frontier",
        "budget",
        "evaluation",
        "statistics",
        "differences",
        "disagreements",
        "guard",
        "aspects",
        "paired",
        "resampling",
        "comparison",
        "features_cache",
        "word_vectors",
    ),
    ("backends", "tasks", "optimizers", "baselines", "ngrams", "models", "lineage"),
    ("text", "micro", "nn", "recurrent", "softmax", "batches", "checkpoints", "device", "metrics", "hub"),
    ("results", "claims", "trackers", "cache", "vector_files", "activations", "schedules"),
    ("types", "progress", "signals", "randomness", "files", "provenance", "cost"),
    ("config", "registry"),
    ("errors", "__init__"),
)
STEP = {room: number for number, rooms in enumerate(reversed(LADDER)) for room in rooms}


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(path: Path) -> list[str]:
    """Every module of ours that a file imports, inside functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.startswith("lmcompare")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lmcompare"):
            if node.module == "lmcompare":
                found += [f"lmcompare.{name.name}" for name in node.names if name.name != "__version__"]
            else:
                found.append(str(node.module))
    return found


def own_room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_room_has_its_step() -> None:
    assert {own_room(path) for path in FILES} <= set(STEP)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_the_ladder(path: Path) -> None:
    own = own_room(path)
    wrong = [m for m in imports(path) if STEP[room(m)] > STEP[own]]
    assert not wrong, f"{own} stands below what it imports: {wrong}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or 0) - node.lineno
            assert lines <= LONGEST_FUNCTION, f"{node.name} has {lines} lines"


def test_nothing_is_ever_unpickled() -> None:
    unsafe = (
        r"import pickle|import joblib|joblib\.load|torch\.load\(|weights_only|yaml\.load|trust_remote_code"
    )
    forbidden = re.compile(unsafe + r"|(?<![.\w])eval\(")
    found = [str(p) for p in FILES if forbidden.search(p.read_text(encoding="utf-8"))]
    assert not found


def test_no_rooms_without_a_meaning() -> None:
    assert not [p for p in FILES if p.stem in ("utils", "helpers", "common", "base")]


def test_help_is_fast_and_needs_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['lmc', '--help']\n"
        "from lmcompare.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'sklearn', 'scipy', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    fastest = min(timed(code) for _ in range(3))
    assert fastest < 0.5, f"lmc --help took {fastest:.2f} s"


def timed(code: str) -> float:
    """The processor's seconds, which are the clock's where nothing else runs."""
    begun = os.times()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    ended = os.times()
    return ended.children_user + ended.children_system - begun.children_user - begun.children_system


PRESETS = [(p.parent.name, p.stem) for p in sorted((REPO / "configs").rglob("*.toml"))]


@pytest.mark.parametrize(("folder", "name"), PRESETS)
def test_every_preset_loads(folder: str, name: str) -> None:
    if folder == "studies":
        study = studies.read(name, [])
        for job in studies.jobs(study, dict.fromkeys(study.models, "runs/some")):
            kind = config.Baseline if job["kind"] == "baseline" else config.Transfer
            assert config.resolve(kind, job["config"]).seed == job["seed"]
        return
    if folder == "tables":
        assert reproduce.read(name).rows  # test_reproduce.py holds them to their studies
        return
    if folder == "suites":
        told, own, said = suite.read(name, ())
        for mode in suite.MODES:
            preset = config.read_table(told.preset.replace("{backend}", "bert"), mode)
            for task in told.tasks:
                given = {"backend": "bert", "model": "some", "task": {"name": task}}
                table = config.merge({**preset, **given}, suite.settings_of(told, mode, task, own, said))
                assert config.resolve(config.Transfer, table).transfer["name"] == mode
        return
    table = config.read_table(name, folder)
    if folder == "pretrain":
        resolved = config.resolve(config.Pretrain, table)
        assert resolved.rooms.keys() <= config.dump(resolved).keys()
    else:
        given = {"backend": "bert", "model": "some", "task": {"name": "micro.sentiment"}}
        assert config.resolve(config.Transfer, {**given, **table}).transfer["name"] == folder


def test_presets_are_found_in_the_wheel_and_in_the_checkout() -> None:
    assert config.presets().is_dir()
    assert {"pretrain", "finetune", "features", "studies"} <= {p.name for p in config.presets().iterdir()}


@pytest.mark.parametrize("name", list(registry.ROOMS))
def test_every_room_lists_what_it_holds_with_a_sentence(name: str) -> None:
    things = registry.ROOMS[name]
    assert things.names()
    for thing in things.names():
        assert len(things.about(thing)) > 8, f"{name}/{thing} says nothing of itself"
        assert list(registry.settings(things.get(thing))) == list(
            dict.fromkeys(registry.settings(things.get(thing)))
        )


def test_spelling_and_silence_about_machines() -> None:
    """American spelling in identifiers; no path of any one machine in what ships."""
    shipped = [*FILES, *(REPO / "configs").rglob("*.toml"), REPO / "README.md"]
    for path in shipped:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/work/|/root/|/home/\w", text), path
        assert not re.search(r"\b(colour|initialis|normalis|optimis|tokenis|behaviour)", text), path


def test_the_top_level_is_what_it_is_said_to_be() -> None:
    """What a command has left behind in a checkout is no part of the project."""
    if not (REPO / ".git").exists():
        pytest.skip("not a checkout")
    listed = subprocess.run(
        ["git", "-C", REPO, "ls-files"], capture_output=True, text=True, check=True
    ).stdout
    folders = {".ci", "lmcompare", "configs", "tests"}
    files = {".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "pyproject.toml"}
    assert {line.split("/")[0] for line in listed.splitlines()} == folders | files
