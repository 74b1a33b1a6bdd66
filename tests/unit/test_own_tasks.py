"""One's own task without code: what a file is taken for, how it is split, and every kind in every form."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from lmcompare import config, lineage, registry
from lmcompare.errors import DataError, UserError
from lmcompare.experiments.task_data import TaskData, read_task
from lmcompare.experiments.transfer import Transfer

NOUNS = ("film", "book", "play", "song", "game")
MOODS = {"good": ("great", "lovely", "fine"), "bad": ("dull", "awful", "weak")}


def reviews(count: int = 60) -> list[dict[str, Any]]:
    drawn = random.Random(0)
    labels = ["good" if n % 3 else "bad" for n in range(count)]
    return [
        {"review": f"the {drawn.choice(NOUNS)}, number {n}, was {drawn.choice(MOODS[label])}", "stars": label}
        for n, label in enumerate(labels)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows in the form that the name says."""
    ending = path.name.removesuffix(".gz").rpartition(".")[2]
    if ending == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path
    if ending == "jsonl":
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        mark = "\t" if ending == "tsv" else ","
        quoted = [[f'"{v}"' if mark == "," else str(v) for v in row.values()] for row in rows]
        text = "".join(mark.join(line) + "\n" for line in [list(rows[0]), *quoted])
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def read(path: Path, **said: Any) -> TaskData:
    """As every experiment does."""
    return read_task(registry.tasks.check({"name": str(path), **said}), None)


FORMS = ("csv", "tsv", "jsonl", "parquet", "csv.gz", "tsv.gz", "jsonl.gz")


@pytest.mark.parametrize("ending", FORMS)
def test_a_file_is_a_task_whatever_its_form(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"my reviews.{ending}", reviews())
    found = read(path, text="review", label="stars")
    task = found.task
    assert (task.name, task.kind, task.labels) == ("my-reviews", "classify", ("bad", "good"))
    assert task.metrics == ("accuracy", "macro_f1") and task.splits == ("train", "dev")
    assert found.sizes == {"train": 54, "dev": 6}
    assert {(e.texts[0], e.label) for part in found.splits.values() for e in part} == {
        (row["review"], row["stars"]) for row in reviews()
    }
    reference = read(write(tmp_path / "other.csv", reviews()), text="review", label="stars")
    dev = [[e.texts for e in data.splits["dev"]] for data in (found, reference)]
    assert dev[0] == dev[1]


def test_what_was_inferred_and_done_is_told_in_the_result(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [{"text": r["review"], "label": r["stars"]} for r in reviews()])
    found = read(path, test_share=0.1)
    told = "\n".join(found.warnings)
    assert "a: inferred: kind classify, text 'text', label 'label'; say otherwise with --kind" in told
    assert "a: split made: 80/10/10 % (train 48, dev 6, test 6), by content, the same with every seed" in told
    assert "a: classes of train: good 32 (66.7 %), bad 16 (33.3 %)" in told
    assert str(path) in found.task.source and "split made: 80/10/10 %" in found.task.source
    said = read(path, text="text", label="label", kind="classify", dev=str(path))
    assert not [w for w in said.warnings if "inferred" in w or "split made" in w]


def test_columns_are_taken_unasked_only_where_they_can_hardly_be_meant_otherwise(tmp_path: Path) -> None:
    rows = [{"review": "x", "stars": "1"}]
    with pytest.raises(
        UserError, match=r"which column is the label\? the file has 'review', 'stars'.*--label"
    ):
        read(write(tmp_path / "a.csv", rows))
    rows = [{"text": "x", "sentence": "y", "label": "1"}]
    with pytest.raises(UserError, match=r"which column is the text\? 'text' and 'sentence' could be it"):
        read(write(tmp_path / "b.csv", rows))
    pairs = [{"Premise": f"a {n}", "Hypothesis": f"b {n}", "Label": "yn"[n % 2]} for n in range(20)]
    found = read(write(tmp_path / "c.csv", pairs))
    assert found.task.texts == 2 and found.splits["train"][0].texts[1].startswith("b")
    alone = read(write(tmp_path / "d.csv", pairs), text="Premise")
    assert alone.task.texts == 1
    with pytest.raises(DataError, match=r"c\.csv:1:1: no column 'premis'; did you mean 'Premise'"):
        read(tmp_path / "c.csv", text="premis")


@pytest.mark.parametrize(
    ("labels", "kind", "names"),
    [
        (["1", "2", "10"] * 5, "classify", ("1", "2", "10")),
        (["1.0", "2.0"] * 7, "classify", ("1.0", "2.0")),
        (["0.5", "2", "3.25"] * 5, "score", ()),
        (["1.5", "n/a"] * 7, "classify", ("1.5", "n/a")),
        (["007", "NA", "null"] * 5, "classify", ("007", "NA", "null")),
    ],
)
def test_numbers_are_scores_where_one_has_a_fraction(
    tmp_path: Path, labels: list[str], kind: str, names: tuple[str, ...]
) -> None:
    rows = [{"text": f"x {n}", "label": label} for n, label in enumerate(labels)]
    task = read(write(tmp_path / "a.csv", rows)).task
    assert (task.kind, task.labels) == (kind, names)


def test_whole_numbers_are_scores_where_that_is_said(tmp_path: Path) -> None:
    rows = [{"text": f"x {n}", "label": n % 5} for n in range(30)]
    for ending in ("csv", "jsonl", "parquet"):
        path = write(tmp_path / f"a.{ending}", rows)
        task = read(path, kind="score").task
        assert task.metrics == ("pearson", "spearman") and isinstance(task.load("dev")[0].label, float)
        assert read(path).task.labels == ("0", "1", "2", "3", "4")
    many = [{"text": f"x {n}", "label": n} for n in range(200)]
    with pytest.raises(
        UserError, match=r"'label' has 200 values in 200 rows; is it a score \(--kind score\)"
    ):
        read(write(tmp_path / "b.csv", many))
    twice = [{"text": f"x {n}", "label": n % 150} for n in range(300)]
    classes = read(write(tmp_path / "c.csv", twice), kind="classify")
    assert len(classes.task.labels) == 150 and classes.sizes == {"train": 270, "dev": 30}


# Choices, tags, spans


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_choices_in_columns(tmp_path: Path, ending: str) -> None:
    rows = [
        {"context": f"c {n}", "ending0": f"a {n}", "ending1": f"b {n}", "label": str(n % 2)}
        for n in range(20)
    ]
    found = read(write(tmp_path / f"a.{ending}", rows))
    assert found.task.kind == "choice" and found.task.metrics == ("accuracy",)
    example = found.splits["train"][0]
    assert example.options == (f"a {example.texts[0][2:]}", f"b {example.texts[0][2:]}")
    assert {e.label for e in found.splits["train"]} == {0, 1}


@pytest.mark.parametrize(
    ("labels", "said"),
    [(["1", "3"], {"first": 1}), (["A", "c"], {}), (["x", "z"], {}), ([0, 2], {}), (["0", "2"], {})],
)
def test_the_right_choice_may_be_said_by_number_letter_or_column(
    tmp_path: Path, labels: list[Any], said: dict[str, Any]
) -> None:
    rows = [{"q": f"c {n}", "x": "one", "y": "two", "z": "three", "gold": labels[n % 2]} for n in range(20)]
    path = write(tmp_path / "a.jsonl", rows)
    found = read(path, text="q", label="gold", options=["x", "y", "z"], **said)
    assert {e.label for e in found.splits["train"]} == {0, 2}


def test_choices_in_a_list(tmp_path: Path) -> None:
    rows = [
        {"question": f"c {n}", "choices": ["a", "b", "c"][: 2 + n % 2], "answer": n % 2} for n in range(20)
    ]
    for ending in ("jsonl", "parquet"):
        found = read(write(tmp_path / f"a.{ending}", rows))
        assert found.task.kind == "choice"
        assert {len(e.options) for e in found.splits["train"]} == {2, 3}


TAGGED = [
    (("Ann", "met", "Bob", "Lee"), ("B-PER", "O", "B-PER", "I-PER")),
    (("in", "Oslo"), ("O", "B-LOC")),
]


@pytest.mark.parametrize("mark", [" ", "\t"])
@pytest.mark.parametrize("middle", ["", "NN"])
def test_tags_in_columns(tmp_path: Path, mark: str, middle: str) -> None:
    lines = ["-DOCSTART-" + mark + "O", ""]
    for n in range(10):
        for words, tags in TAGGED:
            fields = [[f"{w}{n}", *([middle] if middle else []), t] for w, t in zip(words, tags, strict=True)]
            lines += [*(mark.join(line) for line in fields), ""]
    path = tmp_path / "names.conll"
    path.write_text("\n".join(lines))
    found = read(path)
    assert found.task.kind == "tags" and found.task.metrics == ("entity_f1", "accuracy")
    assert found.task.labels == ("O", "B-LOC", "B-PER", "I-PER")
    assert sum(found.sizes.values()) == 20
    by_words = {e.words: e.label for part in found.splits.values() for e in part}
    assert by_words["Ann3", "met3", "Bob3", "Lee3"] == TAGGED[0][1]
    plain = tmp_path / "names.txt"
    plain.write_text(path.read_text())
    with pytest.raises(DataError, match="--kind tags"):
        read(plain)
    assert read(plain, kind="tags", label="2" if not middle else "3").task.labels == found.task.labels


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_tags_in_lists(tmp_path: Path, ending: str) -> None:
    rows = [{"tokens": [f"w{n}", "x"], "ner_tags": [n % 3, 0]} for n in range(20)]
    found = read(write(tmp_path / f"a.{ending}", rows))
    assert found.task.kind == "tags" and found.task.labels == ("0", "1", "2")
    assert found.task.metrics == ("accuracy",)


def test_tags_in_a_table_of_texts(tmp_path: Path) -> None:
    rows = [{"words": f"fly to city{n}", "tags": "O O B-to"} for n in range(20)]
    found = read(write(tmp_path / "a.tsv", rows), kind="tags")
    assert found.splits["train"][0].words[:2] == ("fly", "to") and found.task.labels == ("O", "B-to")


CONTEXT = "Ann lives in Oslo and Bob in Rome, number {n}."
ANSWERS: dict[str, Any] = {
    "as datasets": {"text": ["Oslo"], "answer_start": [13]},
    "as squad": [{"text": "Oslo", "answer_start": 13}],
    "as a text": "Oslo",
}


@pytest.mark.parametrize("form", ANSWERS)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_spans(tmp_path: Path, form: str, ending: str) -> None:
    rows = [
        {"question": "Where is Ann?", "context": CONTEXT.format(n=n), "answers": ANSWERS[form]}
        for n in range(20)
    ]
    found = read(write(tmp_path / f"a.{ending}", rows))
    assert found.task.kind == "span" and found.task.metrics == ("span_f1", "exact_match")
    assert {e.label for e in found.splits["train"]} == {((13, 17),)}


def test_spans_in_a_text_table_with_their_starts_and_without_answers(tmp_path: Path) -> None:
    context = "Oslo, not Oslo"
    rows = [{"question": f"q {n}", "context": f"{context} {n}", "answer": "Oslo"} for n in range(20)]
    with pytest.raises(DataError, match=r"a\.csv:2:\d+: the answer stands 2 times in the context"):
        read(write(tmp_path / "a.csv", rows))
    found = read(write(tmp_path / "b.csv", [row | {"answer_start": 10} for row in rows]))
    assert found.splits["dev"][0].label == ((10, 14),)
    some = [
        {"question": "q", "context": f"c {n}", "answers": [{"text": "c", "answer_start": 0}] if n % 2 else []}
        for n in range(20)
    ]
    task = read(write(tmp_path / "c.jsonl", some)).task
    assert task.unanswerable and task.metrics[0] == "answer_f1"
    with pytest.raises(DataError, match="unanswerable is false"):
        read(tmp_path / "c.jsonl", unanswerable=False)


def test_spans_in_squads_form(tmp_path: Path) -> None:
    def asked(n: int) -> dict[str, Any]:
        return {
            "context": CONTEXT.format(n=n),
            "qas": [{"id": f"q{n}", "question": "Where?", "answers": [{"text": "Oslo", "answer_start": 13}]}],
        }

    path = tmp_path / "qa.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [asked(n) for n in range(20)]}]}))
    found = read(path)
    assert found.task.kind == "span" and found.sizes == {"train": 18, "dev": 2}
    with pytest.raises(UserError, match="classify cannot be read"):
        read(path, kind="classify")


# A task in a TOML file


def test_a_toml_file_describes_a_task(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    for split in ("train", "dev", "test"):
        write(folder / f"{split}.csv", [r | {"other": split} for r in reviews(30)])
    (folder / "my.toml").write_text(
        'name = "mine"\nkind = "classify"\ntrain = "train.csv"\ndev = "dev.csv"\ntest = "test.csv"\n'
        'text = "review"\npair = "other"\nlabel = "stars"\nlabels = ["good", "bad"]\nmetrics = ["f1"]\n'
        'symmetric = true\nprompt = "It was"\n[label_words]\ngood = "great"\nbad = "poor"\n'
    )
    found = read(folder / "my.toml")
    task = found.task
    assert (task.name, task.labels, task.metrics, task.texts) == ("mine", ("good", "bad"), ("f1",), 2)
    assert task.symmetric and task.prompt == "It was" and task.label_words == {"good": "great", "bad": "poor"}
    assert found.sizes == {"train": 30, "dev": 30, "test": 30}
    assert not [w for w in found.warnings if "inferred" in w]
    table = registry.tasks.check({"name": str(folder / "my.toml"), "limit": 7})
    assert table["name"] == "own" and table["called"] == "mine" and table["limit"] == 7
    assert config.task_name(table) == "mine"


def test_labels_come_from_train_and_others_are_named(tmp_path: Path) -> None:
    train, dev = (write(tmp_path / f"{name}.csv", reviews(30)) for name in ("train", "dev"))
    dev.write_text(dev.read_text() + '"x","fine"\n')
    task = registry.tasks.build(
        {"name": str(train), "text": "review", "label": "stars", "dev": str(dev)}, None
    )
    with pytest.raises(DataError, match=rf"{dev}:32:5: 'fine' is not a label; known: bad, good"):
        task.load("dev")
    listed = read(train, text="review", label="stars", dev=str(dev), labels=["good", "fine", "bad"])
    assert listed.task.labels == ("good", "fine", "bad")


def test_a_test_part_may_lack_its_labels(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", reviews())
    for ending in ("csv", "jsonl", "parquet"):
        bare = write(tmp_path / f"bare.{ending}", [{"review": r["review"]} for r in reviews()])
        found = read(train, text="review", label="stars", test=str(bare))
        assert {e.label for e in found.splits["test"]} == {None}
    empty = write(tmp_path / "empty.csv", [{"review": r["review"], "stars": ""} for r in reviews()])
    assert {e.label for e in read(train, text="review", label="stars", test=str(empty)).splits["test"]} == {
        None
    }


def test_a_file_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("".join(f'"{n % 4}","title {n}","text {n}"\n' for n in range(40)))
    found = read(path, columns=["class", "title", "body"], text="title", pair="body")
    assert found.task.labels == ("0", "1", "2", "3") and sum(found.sizes.values()) == 40


# Where a name is asked for


def test_a_path_stands_for_a_task_wherever_a_name_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "reviews.csv", reviews())
    said = {"text": "review", "label": "stars"}
    table = {"backend": "bert", "model": "m", "task": {"name": str(path), **said}}
    table = config.merge(config.read_table("bert", "finetune"), table)
    resolved = config.resolve(Transfer, table)
    assert resolved.task["name"] == "own" and resolved.task["train"] == str(path)
    assert lineage.step(config.dump(resolved), "r")["task"] == "reviews"
    monkeypatch.chdir(tmp_path)
    assert registry.tasks.check({"name": "reviews.csv"})["train"] == str(path)
    monkeypatch.chdir(tmp_path.parent)
    inside = registry.tasks.build({"name": "reviews.csv", **said}, tmp_path)
    assert inside.name == "reviews" and inside.load("dev")
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file"):
        registry.tasks.build({"name": "nowhere.csv"}, tmp_path)
    with pytest.raises(UserError, match="unknown task 'sts2'; did you mean"):
        registry.tasks.check({"name": "sts2"})


def test_names_become_legal_and_never_those_of_our_tasks(tmp_path: Path) -> None:
    assert read(write(tmp_path / "cola.csv", reviews()), text="review", label="stars").task.name == "own.cola"
    assert read(write(tmp_path / "отзыв.csv", reviews()), text="review", label="stars").task.name == "yours"
    (tmp_path / "my.toml").write_text('name = "cola"\ntrain = "cola.csv"\n')
    with pytest.raises(DataError, match=r"my\.toml:1:1: name 'cola' is that of a task of ours"):
        registry.tasks.check({"name": str(tmp_path / "my.toml")})


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"options": ["review"]}, "0 options; a choice is among two or more"),
        ({"kind": "score"}, "is not a number"),
        ({"kind": "sort"}, "classify"),
        ({"metrics": ["pearson"]}, r"unknown metric 'pearson'; did you mean|known: accuracy"),
        ({"metrics": ["acuracy"]}, "did you mean 'accuracy'"),
        ({"fluent": "great"}, "unknown label 'great'"),
        ({"first": 1}, "first says nothing of classify; it is for choice"),
        ({"unanswerable": True}, "unanswerable says nothing of classify"),
        (
            {"metrics": ["f1"], "labels": ["good", "bad", "so"]},
            "metric f1 needs two classes, and there are 3",
        ),
        ({"kind": "choice"}, r"""the file has .*--set 'task.options=\["COLUMN", "COLUMN"\]'"""),
        ({"dev_share": 1.5}, r"dev_share lies above 0 .* 0.5 or below \(they are 1.5 and 0\)"),
        ({"dev_share": 0.0}, "dev_share lies above 0"),
        ({"dev_share": 0.51}, "dev_share lies above 0"),
        ({"test_share": -0.1}, r"test_share at 0 or above.* -0.1\)"),
        ({"test_share": 0.6}, "0.5 or below"),
        ({"test_share": 0.5, "dev_share": 0.5}, "make 1 together, and leave nothing for train"),
        ({"limit": 0}, "limit 0 leaves no example"),
        ({"txt": "review"}, "unknown key 'txt'; did you mean 'text'"),
        ({"labels": ["good", "evil"]}, "'bad' is not a label"),
    ],
)
def test_settings_that_do_not_fit(tmp_path: Path, said: dict[str, Any], says: str) -> None:
    path = write(tmp_path / "a.csv", reviews())
    with pytest.raises(UserError, match=says):
        read(path, **{"text": "review", "label": "stars", **said})
