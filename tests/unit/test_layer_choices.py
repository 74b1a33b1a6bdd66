"""Which of an encoder's layers are read, by the names of BERT's Table 7, and which are drawn afresh."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lmcompare import config, files, models, registry
from lmcompare.backends.bert import Bert
from lmcompare.errors import UserError
from lmcompare.experiments import studies
from lmcompare.experiments.transfer import load_backend, load_start
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.text.words import train_words
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.features import NAMED, choose
from lmcompare.transfer.learner import TaskLearner
from tests.contracts.test_backends import CPU, TASKS, TEXTS, all_of, how, loss_of, train

DEPTH = 5  # blocks, so that the last four layers are neither all nor all but one


def bert(depth: int = DEPTH) -> Bert:
    tokenizer = train_wordpiece(TEXTS, size=60, min_frequency=1)
    made = Bert(tokenizer, layers=depth, width=12, heads=2, positions=40, init_std=0.2, dropout=0.0)
    made.draw(3)
    return made


def features(layers: Any, depth: int = DEPTH, **more: Any) -> tuple[TaskLearner, Dataset]:
    backend = bert(depth)
    task, examples = TASKS["tags"]
    reader = more.pop("reader", {"name": "bilstm", "hidden": 12})
    made = TaskLearner(backend, task, how("features", "", {"layers": layers, "reader": reader, **more}))
    made.draw(5)
    dataset = Dataset(backend, task, examples, length=24)
    made.learn_from(dataset)
    return made, dataset


def test_the_paper_s_names() -> None:
    assert choose("embeddings", 13) == choose("first", 13) == [0]
    assert choose("second_to_last", 13) == [11] and choose("last", 13) == [12]
    for name in ("sum_last_4", "concat_last_4", "mix_last_4"):
        assert choose(name, 13) == [9, 10, 11, 12]
    assert choose("mix", 13) == choose("average", 13) == list(range(13))


@pytest.mark.parametrize("name", NAMED)
def test_a_name_gives_what_it_says(name: str) -> None:
    """Against the layers themselves: what goes into the reader is what the paper's row names."""
    made, dataset = features(name)
    made.eval()
    batch = made.batch(all_of(dataset), 0)
    with torch.no_grad():
        layers = dataset.backend.encoder.eval()(batch.inputs)
    seen: list[torch.Tensor] = []
    made.body.reader.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    made(batch, dataset)
    top = layers[-4:]
    expected = {
        "embeddings": layers[0],
        "first": layers[0],
        "second_to_last": layers[-2],
        "last": layers[-1],
        "sum_last_4": top[0] + top[1] + top[2] + top[3],
        "concat_last_4": torch.cat(top, -1),
        "mix_last_4": torch.stack(top).mean(0),  # a fresh mix weighs all alike
        "mix": torch.stack(layers).mean(0),
        "average": torch.stack(layers).mean(0),
    }[name]
    mask = (
        torch.ones(expected.shape[:2], dtype=torch.bool)
        if batch.inputs.mask_BT is None
        else batch.inputs.mask_BT
    )
    torch.testing.assert_close(seen[0][mask], expected[mask], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("place", ["input", "output", "both"])
@pytest.mark.parametrize("name", NAMED)
def test_every_name_learns_at_every_place(name: str, place: str) -> None:
    made, dataset = features(name, place=place)
    made.eval()
    before = float(loss_of(made, dataset).detach())
    train(made, dataset, 6)
    assert float(loss_of(made, dataset).detach()) < before


def test_the_shares_say_which_layers_they_belong_to() -> None:
    made, dataset = features("mix_last_4", place="both", mix_decay=0.1, layer_norm=True)
    train(made, dataset, 10)
    assert len(made.body.mix.weights) == len(made.body.output_mix.weights) == 4
    for mix in (made.body.layer_mix(), made.body.layer_mix_output()):
        assert mix is not None and len(mix) == DEPTH + 1
        assert mix[:2] == [0.0, 0.0] and min(mix[2:]) > 0
        assert sum(mix) == pytest.approx(1.0, abs=1e-5)
    assert made.body.layer_mix()[2:] == pytest.approx(made.body.mix.shares().tolist(), abs=1e-6)
    assert features("mix")[0].body.layer_mix() == pytest.approx([1 / 6] * 6, abs=1e-6)
    assert features("sum_last_4")[0].body.layer_mix() is None


@pytest.mark.parametrize("name", ["sum_last_4", "concat_last_4", "mix_last_4"])
def test_a_model_with_too_few_layers_is_refused(name: str) -> None:
    with pytest.raises(
        UserError, match=rf"'{name}' needs a model of 4 layers, its embeddings counted; this one has 3"
    ):
        features(name, depth=2)
    assert features(name, depth=3)[0].body.chosen == [0, 1, 2, 3]
    with pytest.raises(UserError, match="'second_to_last' needs a model of 2 layers"):
        choose("second_to_last", 1)


def test_a_name_that_nobody_knows_meets_all_that_are_known() -> None:
    with pytest.raises(UserError) as told:
        choose("concat_last_3", 13)
    assert all(repr(name) in str(told.value) for name in NAMED)
    assert "from -13 to 12" in str(told.value)


@pytest.mark.parametrize("reader", ["bilstm", "crf"])
def test_the_preset_of_table_7_with_and_without_a_chain(reader: str) -> None:
    """Two BiLSTM layers of 768 over four layers side by side; the preset's comment says how a CRF comes on top."""
    text = (config.presets() / "features" / "ner-bert-table7.toml").read_text(encoding="utf-8")
    sets = re.findall(r"--set (transfer\.reader\.\S+)", text) if reader == "crf" else []
    table = config.assign(config.read_table("ner-bert-table7", "features"), sets)
    given = {"backend": "bert", "model": "some", "task": {"name": "micro.entities"}}
    resolved = config.resolve(config.Transfer, {**table, **given})
    assert resolved.transfer["layers"] == "concat_last_4"
    backend, (task, examples) = bert(), TASKS["tags"]
    made = TaskLearner(backend, task, resolved.transfer)
    made.draw(5)
    lstm = made.body.reader.lstm
    assert (lstm.input_size, lstm.hidden_size, lstm.num_layers, lstm.bidirectional) == (4 * 12, 768, 2, True)
    assert (made.head.chain is not None) == (reader == "crf")
    dataset = Dataset(backend, task, examples, length=24)
    made.learn_from(dataset)
    made.train()
    loss_of(made, dataset).backward()
    assert all(p.grad is not None for p in made.parameters())
    made.eval()
    assert len(made.answers(dataset, all_of(dataset), CPU)) == len(examples)


def test_the_study_has_a_row_for_every_line_of_the_table() -> None:
    study = studies.read("bert-features", [])
    asked = [arm.set["transfer"]["layers"] for arm in study.arms if arm.mode == "features"]
    rows = ["embeddings", "second_to_last", "last", "sum_last_4", "concat_last_4", "mix_last_4", "mix"]
    assert asked == rows
    assert [arm.mode for arm in study.arms].count("finetune") == 1
    studies.check(study)
    depth = config.resolve(config.Pretrain, studies.pretraining_job(study.models["bert"])).backend["layers"]
    assert all(choose(name, depth + 1) for name in rows)


def test_the_study_s_comment_points_it_elsewhere() -> None:
    text = (config.presets() / "studies" / "bert-features.toml").read_text(encoding="utf-8")
    sets = [quoted or plain for quoted, plain in re.findall(r"--set (?:'(.+?)'|(\S+))", text)]
    study = studies.read("bert-features", sets)
    assert study.tasks == ["conll2003"] and not study.models["bert"].pretrain
    studies.check(study)
    jobs = studies.jobs(study, {name: model.model for name, model in study.models.items()})
    assert {job["config"]["model"] for job in jobs} == {"runs/my-bert"}
    frozen = [job["config"]["transfer"] for job in jobs if job["config"]["transfer"]["name"] == "features"]
    assert {table["reader"]["hidden"] for table in frozen} == {768}


def saved(folder: Path) -> Path:
    made = bert(3)
    with torch.no_grad():
        for p in made.encoder.parameters():
            p.add_(1.0)  # no weight is what a draw could give
    made.save(folder)
    return folder


def setting(folder: Path, **values: Any) -> config.Transfer:
    table = config.read_table("bert-micro", "finetune")
    given = {"backend": "bert", "model": str(folder), "task": {"name": "micro.sentiment"}, **values}
    return config.resolve(config.Transfer, {**table, **given})


@pytest.mark.parametrize("top", [1, 2, 3])
def test_the_top_layers_and_the_pooler_are_drawn_afresh(top: int, tmp_path: Path) -> None:
    folder = saved(tmp_path)
    old = Bert.load(folder).encoder.state_dict()
    new = load_backend(setting(folder, redraw_top=top, seed=7)).encoder.state_dict()
    for key, value in old.items():
        found = re.match(r"blocks\.(\d+)\.", key)
        drawn = key.startswith("pooler.") or (found is not None and int(found[1]) >= 3 - top)
        assert value.equal(new[key]) == (not drawn), key
    again = load_backend(setting(folder, redraw_top=top, seed=7)).encoder.state_dict()
    assert all(value.equal(again[key]) for key, value in new.items())
    other = load_backend(setting(folder, redraw_top=top, seed=8)).encoder.state_dict()
    assert not all(value.equal(other[key]) for key, value in new.items())


def test_the_start_is_the_same_for_every_seed_and_for_layers_drawn_afresh(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    begun = [load_start(setting(folder, seed=seed)) for seed in (7, 8)]
    assert begun[0][1] == begun[1][1] == begun[0][0].fingerprint
    backend, top = load_start(setting(folder, redraw_top=1, seed=7))
    assert top == begun[0][1] != backend.fingerprint
    assert load_start(setting(folder, weights="random"))[1] is None
    # Without a pooler, which the seed then draws.
    tensors = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in tensors.items() if "pooler" not in k}, folder / "model.safetensors")
    (folder / files.MANIFEST).unlink(missing_ok=True)
    one, two = (load_start(setting(folder, seed=seed)) for seed in (7, 8))
    assert one[0].fingerprint != two[0].fingerprint and one[1] == two[1] != begun[0][1]


def test_redrawing_that_cannot_be_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    for values, sentence in (
        ({"redraw_top": 4}, "redraw_top: 4 is more than the 3 layers of the model"),
        (
            {"redraw_top": 1, "weights": "random"},
            "redraw_top: with random weights every layer is drawn afresh",
        ),
        ({"redraw_top": 1, "transfer_layers": 2}, "redraw_top: transfer_layers says already"),
        ({"redraw_top": 0}, "redraw_top = 0: input should be greater than 0"),
    ):
        with pytest.raises(UserError, match=sentence):
            load_backend(setting(folder, **values))
    static = registry.backends.build({"name": "static", "width": 4}, train_words(TEXTS))
    with pytest.raises(UserError, match="redraw_top: static has no stack of layers"):
        models.redraw_top(static, 1, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bert-stable", {"rate": 2e-5, "epochs": 20, "redraw": None, "layer_decay": 1.0}),
        ("bert-redraw", {"rate": 2e-5, "epochs": 10, "redraw": 2, "layer_decay": 1.0}),
        ("bert-layerwise", {"rate": 1e-4, "epochs": 3, "redraw": None, "layer_decay": 0.8}),
    ],
)
def test_the_stable_recipes(name: str, expected: dict[str, Any]) -> None:
    given = {"backend": "bert", "model": "some", "task": {"name": "micro.sentiment"}}
    found = config.resolve(config.Transfer, {**config.read_table(name, "finetune"), **given})
    assert found.optimizer["name"] == "adamw"  # with the bias correction
    assert found.schedule == {"name": "linear", "warmup": 0.1}
    told = {"rate": found.optimizer["rate"], "layer_decay": found.optimizer["layer_decay"]}
    assert {**told, "epochs": found.training.epochs, "redraw": found.redraw_top} == expected
