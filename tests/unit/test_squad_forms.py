"""Sets in SQuAD's form beside SQuAD: TyDi QA and XQuAD, tables of `datasets`, and what is held out to choose by."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmcompare import registry
from lmcompare.errors import DataError, UserError
from lmcompare.experiments.task_data import read_task
from lmcompare.tasks import facts
from lmcompare.types import Example

CONTEXT = "Zoë\u2028met  the cat 😀 in 東京, in May 1920."


def answer(text: str, start: int | None = None) -> dict[str, Any]:
    return {"text": text, "answer_start": CONTEXT.index(text) if start is None else start}


def qa(name: str, *answers: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "question": f"what {name}?", "answers": list(answers)}


def form(*asked: Any) -> dict[str, Any]:
    return {"data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": list(asked)}]}]}


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def told(loaded: Callable[[], Any]) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        return loaded(), [str(w.message) for w in raised]


def saved(
    folder: Path, rows: list[dict[str, Any]], *, splits: tuple[str, ...] = ("train", "validation")
) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_list(rows)
    datasets.DatasetDict(dict.fromkeys(splits, table)).save_to_disk(folder)


def row(name: str, *answers: dict[str, Any], listed: bool = False) -> dict[str, Any]:
    columns = {key: [a[key] for a in answers] for key in ("text", "answer_start")}
    told: Any = list(answers) if listed else columns
    return {"id": name, "title": "t", "question": f"what {name}?", "context": CONTEXT, "answers": told}


@pytest.mark.parametrize("listed", [False, True])
def test_tables_give_the_same_as_files(tmp_path: Path, listed: bool) -> None:
    saved(tmp_path / "squad", [row("1", answer("Zoë"), answer("Zoë\u2028met"), listed=listed)])
    found = registry.tasks.build({"name": "squad"}, tmp_path)
    assert found.splits == ("train", "dev") and str(tmp_path / "squad") in found.source
    assert found.load("dev") == [Example("1", ("what 1?", CONTEXT), ((0, 3), (0, 7)))]
    one = put(tmp_path / "x.json", form(qa("9", answer("cat"))))
    mixed = registry.tasks.build({"name": "squad", "dev": str(one)}, tmp_path)
    assert [e.id for split in mixed.splits for e in mixed.load(split)] == ["1", "9"]


def test_a_table_without_answers_and_with_bad_ones(tmp_path: Path) -> None:
    saved(tmp_path / "squad2", [row("1", answer("cat")), row("2"), row("3", answer("cat", 2))])
    found = registry.tasks.build({"name": "squad2"}, tmp_path)
    with pytest.raises(
        DataError, match=r"row 3 \(question '3'\): answers\[0\]: 'cat' does not stand at answer_start 2"
    ):
        found.load("train")
    skipping = registry.tasks.build({"name": "squad2", "on_bad_row": "skip"}, tmp_path)
    assert [e.label for e in told(lambda: skipping.load("dev"))[0]] == [((13, 16),), ()]


def test_only_the_english_questions_of_tydiqa(tmp_path: Path) -> None:
    mixed = form(
        qa("english-1-2", answer("cat")), qa("finnish-1-2", answer("Zoë")), qa("7", answer("May 1920"))
    )
    for split in ("train", "dev"):
        put(tmp_path / f"tydiqa-goldp-v1.1-{split}.json", mixed)
    found = registry.tasks.build({"name": "tydiqa"}, tmp_path)
    assert [e.id for e in found.load("dev")] == ["english-1-2", "7"]
    saved(
        tmp_path / "other", [row("english-1", answer("cat")), row("thai-1", answer("cat")), row("telugu-1")]
    )
    assert len(registry.tasks.build({"name": "tydiqa", "limit": 1}, tmp_path / "other").load("train")) == 1


def test_a_blank_development_part_of_tydiqa_has_no_labels(tmp_path: Path) -> None:
    put(tmp_path / "train.json", form(qa("0", answer("cat")), qa("0", answer("Zoë"))))
    put(tmp_path / "dev.json", form(qa("1", answer("", 0)), qa("2", answer("", 0))))
    found = registry.tasks.build({"name": "tydiqa"}, tmp_path)
    assert [(e.id, e.label) for e in found.load("dev")] == [("1", None), ("2", None)]
    assert [e.id for e in found.load("train")] == ["0", "0#1"]
    with pytest.raises(DataError, match=r"that has them, or cut one from train: --set task\.holdout=0\.1$"):
        read_task({"name": "tydiqa"}, tmp_path)
    put(tmp_path / "dev.json", form(qa("1", answer("", 0)), qa("2", answer("cat"))))
    with pytest.raises(DataError, match="its answers are blank"):
        found.load("dev")
    put(tmp_path / "train.json", form(qa("1", answer("", 0))))
    with pytest.raises(DataError, match="its answers are blank"):
        found.load("train")


def test_a_share_of_the_training_contexts_is_held_out(tmp_path: Path) -> None:
    contexts = [f"{CONTEXT} {n}" for n in range(300)]
    asked = [
        {"paragraphs": [{"context": c, "qas": [qa(f"{n}a", answer("cat")), qa(f"{n}b", answer("Zoë"))]}]}
        for n, c in enumerate(contexts)
    ]
    put(tmp_path / "train-v1.1.json", {"data": asked})
    put(tmp_path / "dev-v1.1.json", form(qa("z", answer("", 0))))
    found = registry.tasks.build({"name": "squad", "holdout": 0.2}, tmp_path)
    train, dev, test = (found.load(split) for split in ("train", "dev", "test"))
    assert len(train) + len(dev) == 600 and 80 < len(dev) < 160
    assert not {e.texts[1] for e in train} & {e.texts[1] for e in dev}  # no context is parted
    assert [e.label for e in test] == [None] and "0.2 of the contexts" in found.source
    put(tmp_path / "train-v1.1.json", {"data": asked[::-1]})
    assert {e.id for e in found.load("dev")} == {e.id for e in dev}
    with pytest.raises(UserError, match=r"holdout 0\.5 is no share"):
        registry.tasks.build({"name": "squad", "holdout": 0.5}, tmp_path)


def test_xquad_is_taken_out_of_what_is_chosen_by(tmp_path: Path) -> None:
    put(tmp_path / "xquad" / "xquad.en.json", form(qa("2", answer("cat"))))
    alone = registry.tasks.build({"name": "xquad"}, tmp_path)
    assert alone.splits == ("test",) and alone.report == "test"
    with pytest.raises(DataError, match=r"no train-v1\.1\.json .*task\.train=PATH"):
        alone.load("train")
    for split in ("train", "dev"):
        put(tmp_path / "squad" / f"{split}-v1.1.json", form(*(qa(str(n), answer("cat")) for n in range(4))))
    found = registry.tasks.build({"name": "xquad"}, tmp_path)
    assert found.splits == ("train", "dev", "test")
    assert [e.id for e in found.load("dev")] == ["0", "1", "3"] and len(found.load("train")) == 4
    assert [e.id for e in found.load("test")] == ["2"]
    assert facts.of("xquad").splits["dev"] == 9380


def test_what_lies_in_shared_data(shared: Path) -> None:
    """TyDi's training part tells its answers; the other copies have none, and are named as what they are."""
    if not (shared / "qa").is_dir():
        pytest.skip(f"needs {shared / 'qa'}")
    tydi = registry.tasks.build({"name": "tydiqa"}, shared)
    sizes = {split: len(tydi.load(split)) for split in tydi.splits}
    assert sizes == facts.of("tydiqa").splits
    assert all(e.label for e in tydi.load("train")) and not any(e.label for e in tydi.load("dev"))
    held = registry.tasks.build({"name": "tydiqa", "holdout": 0.1}, shared)
    assert (len(held.load("train")), len(held.load("dev")), len(held.load("test"))) == (3317, 379, 440)
    assert all(e.label for e in held.load("dev"))
    found = registry.tasks.build({"name": "xquad"}, shared)
    assert [e.label for e in found.load("test")] == [None] * 1190
    with pytest.raises(DataError, match=r"squad: .*no train-v1\.1\.json"):
        registry.tasks.build({"name": "squad"}, shared)  # no other set stands in
