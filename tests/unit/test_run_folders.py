"""A run folder and what it is asked for again: what has begun goes on as it was, what never began blocks nobody."""

from pathlib import Path

import pytest

from lmcompare import results
from lmcompare.errors import UserError

WRONG, RIGHT = ({"kind": "finetune", "config": {"length": length}} for length in (3, 30))


def fails(path: Path, *, after: int) -> None:
    with pytest.raises(UserError, match="too short"), results.opened(path, WRONG) as run:
        (run.path / "tokenizer").mkdir()
        for step in range(after):
            run.log({"step": step + 1, "loss": 1.0})
        raise UserError("too short")


def test_one_that_failed_before_its_first_step_begins_afresh(tmp_path: Path) -> None:
    fails(tmp_path, after=0)
    with results.opened(tmp_path, RIGHT) as run:
        assert run.attempt == 1 and not (tmp_path / "tokenizer").exists()
    assert results.read(tmp_path).config == RIGHT["config"]
    assert results.read(tmp_path).status == "unfinished"


def test_asked_for_as_it_was_it_keeps_what_it_has(tmp_path: Path) -> None:
    fails(tmp_path, after=0)
    with results.opened(tmp_path, WRONG) as run:
        assert run.attempt == 2 and (tmp_path / "tokenizer").is_dir()


def test_one_that_has_made_a_step_goes_on_with_what_it_began_with(tmp_path: Path) -> None:
    fails(tmp_path, after=1)
    told = r"began otherwise: config\.length: 3 → 30"
    with pytest.raises(UserError, match=told), results.opened(tmp_path, RIGHT):
        pass
    assert results.read(tmp_path).config == WRONG["config"] and len(results.read(tmp_path).log) == 1


def test_one_that_was_interrupted_has_not_failed(tmp_path: Path) -> None:
    with results.opened(tmp_path, WRONG):
        pass
    with pytest.raises(UserError, match="began otherwise"), results.opened(tmp_path, RIGHT):
        pass
