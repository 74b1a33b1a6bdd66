"""A study's axes: which arms they make, what these are called, and what is wrong with a file before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from lmcompare import config
from lmcompare.errors import UserError
from lmcompare.experiments import studies

HEAD = """
title = "t"
seeds = [1]
tasks = ["micro.sentiment"]
[models.one]
backend = "elmo"
pretrain = "elmo-micro"
config = "elmo-micro"
[models.two]
backend = "bert"
pretrain = "bert-micro"
config = "bert-micro"
"""


def read(folder: Path, text: str, *sets: str) -> studies.Study:
    path = folder / "mine.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    study = studies.read(str(path), list(sets))
    studies.check(study)
    return study


def names(study: studies.Study) -> list[str]:
    return [arm.name for arm in study.arms]


def table(study: studies.Study, arm: str) -> dict[str, Any]:
    jobs = studies.jobs(study, dict.fromkeys(study.models, "runs/some"))
    return next(job["config"] for job in jobs if job["arm"] == arm)


def test_a_nameless_arm_is_what_its_axes_make_of_it(tmp_path: Path) -> None:
    study = read(
        tmp_path,
        '[axes]\nmodel = ["one", "two"]\nmode = { features = "features", tuned = "finetune" }\nexamples = [4, 20]',
    )
    assert names(study) == [
        f"{model} {way}, examples={size}"
        for model in ("one", "two")
        for way in ("features", "tuned")
        for size in (4, 20)
    ]
    arm = study.arms[-1]
    assert (arm.model, arm.mode, arm.set, arm.series) == ("two", "finetune", {"examples": 20}, "two tuned")
    made = table(study, "one features, examples=4")
    assert made["examples"] == 4 and made["transfer"]["name"] == "features" and made["backend"] == "elmo"


def test_an_arm_lies_on_the_axes_that_it_names(tmp_path: Path) -> None:
    study = read(
        tmp_path,
        '[[arms]]\nname = "floor"\nbaseline = "bow"\naxes = ["examples"]\n'
        '[[arms]]\nname = "plain"\nmode = "finetune"\nmodel = "two"\naxes = []\n'
        '[[arms]]\nname = "BERT"\nmode = "features"\nmodel = "two"\n'
        "[axes]\nexamples = [4, 20]\ntransfer.mix_decay = [1.0, 0.001]\n",
    )
    assert names(study) == [
        "floor, examples=4",
        "floor, examples=20",
        "plain",
        "BERT, examples=4, mix_decay=1.0",
        "BERT, examples=4, mix_decay=0.001",
        "BERT, examples=20, mix_decay=1.0",
        "BERT, examples=20, mix_decay=0.001",
    ]
    assert [arm.series for arm in study.arms[:3]] == ["floor", "floor", ""]
    assert study.arms[3].series == "BERT, mix_decay=1.0"
    assert table(study, "BERT, examples=20, mix_decay=0.001")["transfer"]["mix_decay"] == 0.001
    assert table(study, "floor, examples=4")["examples"] == 4


def test_an_axis_of_any_name_brings_several_settings_at_once(tmp_path: Path) -> None:
    text = (
        '[[arms]]\nname = "BERT"\nmode = "features"\nmodel = "two"\n'
        '[axes.layers]\nlast = { set = { transfer = { layers = "last" } } }\n'
        'free = { set = { transfer = { layers = "mix", mix_decay = 0.1 }, length = 40 } }\n'
        '[axes.transfer.place]\n"in" = "input"\n"out" = "output"\n'
    )
    study = read(tmp_path, text)
    assert names(study) == ["BERT, last, in", "BERT, last, out", "BERT, free, in", "BERT, free, out"]
    made = table(study, "BERT, free, out")
    assert (made["length"], made["transfer"]["mix_decay"], made["transfer"]["place"]) == (40, 0.1, "output")
    without = '[[exclude]]\nlayers = "last"\ntransfer.place = "output"\n'
    renaming = '[rename]\n"BERT, free, in" = "mixed"\n'
    assert names(read(tmp_path, text + without + renaming)) == ["BERT, last, in", "mixed", "BERT, free, out"]


def test_a_backend_is_the_one_model_of_its_family(tmp_path: Path) -> None:
    text = '[[arms]]\nmode = "finetune"\n[axes]\nbackend = ["bert", "elmo"]\n'
    assert [arm.model for arm in read(tmp_path, text).arms] == ["two", "one"]
    more = '[models.three]\nbackend = "bert"\npretrain = "bert-micro"\nconfig = "bert-micro"\n'
    with pytest.raises(UserError, match="bert is the backend of two and three; make it an axis of models"):
        read(tmp_path, more + text)


def test_a_set_takes_the_place_of_an_axis(tmp_path: Path) -> None:
    text = '[[arms]]\nmode = "finetune"\nmodel = "two"\n[axes]\nexamples = [4, 20]\noptimizer.rate = [1e-3]\n'
    study = read(tmp_path, text, "axes.examples=[7]", "axes.optimizer.rate=[0.1, 0.2]")
    assert names(study) == ["examples=7, rate=0.1", "examples=7, rate=0.2"]


def test_two_series_are_compared_size_by_size(tmp_path: Path) -> None:
    text = (
        'compare = [["tuned", "frozen"], ["tuned, examples=4", "floor"]]\n'
        '[[arms]]\nname = "floor"\nbaseline = "bow"\naxes = []\n'
        '[[arms]]\nname = "tuned"\nmode = "finetune"\nmodel = "two"\n'
        '[[arms]]\nname = "frozen"\nmode = "features"\nmodel = "two"\n[axes]\nexamples = [4, 20]\n'
    )
    path = tmp_path / "mine.toml"
    first, _, rest = text.partition("\n")
    path.write_text(HEAD.replace("[models.one]", f"{first}\n[models.one]") + rest, encoding="utf-8")
    assert studies.read(str(path), []).compare == [
        ("tuned, examples=4", "frozen, examples=4"),
        ("tuned, examples=20", "frozen, examples=20"),
        ("tuned, examples=4", "floor"),
    ]


ARM = '[[arms]]\nmode = "finetune"\nmodel = "two"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[axes]\nexampels = [4]\n", r"unknown axis 'exampels'; did you mean 'examples'\?"),
        ("[axes]\nexamples = []\n", "axes.examples: an axis without a value leaves no arm"),
        ("[axes]\nexamples = 4\n", "axes.examples = 4: write a list of values"),
        ("[axes]\nexamples = [4, 4]\n", "axes.examples: 4 stands there twice"),
        ("[axes]\nexamples = { few = 4, less = 4 }\n", "axes.examples: 4 stands there twice"),
        ("[axes]\nseed = [1, 2]\n", "what the study says by 'seeds' is no axis"),
        ("[axes]\ntransfer.drop = [0.1]\n", r"unknown key 'drop'; did you mean 'dropout'\?"),
        ("[axes]\nmodel = ['on']\n", r"unknown model 'on'; did you mean 'one'\?"),
        ("[axes]\nbackend = ['brt']\n", r"unknown backend 'brt'; did you mean 'bert'\?"),
        ("[axes.way]\nfast = { sett = {} }\n", r"axes.way: unknown key 'sett'; did you mean 'set'\?"),
        ("[axes.training]\n", "axes.training: an axis without a value"),
        (
            '[axes]\nexamples = [4]\n"training.epochs" = [1]\n[axes.training]\nepochs = [2]\n',
            "'training.epochs' stands there twice",
        ),
        (
            "[axes]\nexamples = [4]\n[[exclude]]\nexamples = 5\n",
            "exclude, number 1, examples: unknown value '5'",
        ),
        ("[axes]\nexamples = [4]\n[[exclude]]\nlength = 5\n", "exclude, number 1: unknown axis 'length'"),
        (
            "[axes]\nexamples = [4, 5]\nlength = [8, 9]\n" + "[[exclude]]\nexamples = 4\nlength = 8\n" * 2,
            "exclude, number 2: there is no arm that it would leave out",
        ),
        ("[axes]\nexamples = [4]\n[rename]\nx = 'y'\n", "rename: unknown arm 'x'"),
        ("[[exclude]]\nexamples = 4\n", "exclude speaks of arms that axes make, and there are no axes"),
        ("[axes]\nexamples = [4]\n[axez]\na = 1\n", r"unknown key 'axez'; did you mean 'axes'\?"),
        ('[axes]\nlength = { a = 8, b = 9 }\n[rename]\na = "b"\n', "two arms are named 'b'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read(tmp_path, ARM + text)


def test_an_unknown_mode_is_told_what_is_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"arm 'two feature': unknown mode 'feature'; did you mean 'features'"
    ):
        read(tmp_path, '[axes]\nmodel = ["two"]\nmode = ["finetune", "feature"]')


def test_an_arm_on_an_unknown_axis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown axis 'example'; did you mean 'examples'\?"):
        read(tmp_path, ARM + 'name = "x"\naxes = ["example"]\n[axes]\nexamples = [4]\n')


def test_a_study_without_axes_has_the_runs_that_it_always_had() -> None:
    """What an arm's runs are known by, so that nothing finished is made again; of the demo, as it was before axes."""
    study = studies.read("demo", [])
    jobs = studies.jobs(study, dict.fromkeys(study.models, "runs/some"))
    assert len(jobs) == 243 and all(set(job) == {"kind", "arm", "task", "seed", "config"} for job in jobs)
    told = {(j["arm"], j["task"], j["seed"]): config.fingerprint(j) for j in jobs}
    assert told["BERT tuned", "micro.sense", 2] == "fcdb0bba"
    assert told["bag of words", "micro.answers", 3] == "4805a6eb"


def test_seeds_of_weights_and_of_order_are_a_grid(tmp_path: Path) -> None:
    text = '[[arms]]\nname = "floor"\nbaseline = "bow"\n' + ARM + 'name = "tuned"\n'
    study = read(tmp_path, text, "seeds=[1, 2]", "data_seeds=[1, 9]")
    jobs = studies.jobs(study, dict.fromkeys(study.models, "runs/some"))
    drawn = [(job["arm"], job["config"]["seed"], job["config"].get("data_seed")) for job in jobs]
    assert drawn == [
        ("floor", 1, None),
        ("floor", 2, None),
        ("tuned", 1, None),
        ("tuned", 1, 9),
        ("tuned", 2, 1),
        ("tuned", 2, 9),
    ]
    plain = read(tmp_path, text)
    same = studies.jobs(plain, dict.fromkeys(plain.models, "runs/some"))
    # One seed for both is the run that it would be anyway.
    assert [job for job in same if job["arm"] == "tuned"] == [jobs[2]]
    with pytest.raises(UserError, match="data_seeds: 9 stands there twice"):
        read(tmp_path, text, "data_seeds=[9, 9]")


def test_settings_of_all_runs_lie_below_those_of_tasks_and_arms(tmp_path: Path) -> None:
    text = (
        '[set]\nlength = 50\n[set.training]\nsteps = 7\n'
        '[by_task."micro.sentiment"]\nconfig = "gpt-micro"\nlength = 60\n'
        + ARM + 'name = "a"\n' + ARM + 'name = "b"\nset = { length = 70, training = { epochs = 3 } }\n'
    )  # fmt: skip
    study = read(tmp_path, text)
    a, b = table(study, "a"), table(study, "b")
    assert (a["length"], a["training"]["steps"], a["transfer"]["aux_lm"]) == (60, 7, 0.5)
    assert "epochs" not in a["training"] and "steps" not in b["training"]
    assert (b["length"], b["training"]["epochs"]) == (70, 3)
