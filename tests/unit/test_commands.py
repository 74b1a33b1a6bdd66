"""What a command line comes to: the tasks that it is over, the model that it goes on from."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lmcompare import config as configs
from lmcompare import registry, results
from lmcompare.cli import app
from lmcompare.commands.runs import compose, with_tasks
from lmcompare.errors import UserError
from lmcompare.experiments import baseline, corpora, pretrain, show
from lmcompare.progress import Lines, Progress
from lmcompare.text.wordpiece import train_wordpiece

TEXTS = ["the old cat was here .", "a new dog was there , and a red one .", "the dog saw the cat ."] * 9


def tasks(folder: Path, names: list[str], set_: list[str], preset: str = "") -> Any:
    """The tasks that `lmc finetune` is over with this config, these --task and these --set."""
    path = folder / "config.toml"
    path.write_text(preset, encoding="utf-8")
    table = with_tasks(compose("finetune", str(path), {}, set_, None), names, set_)
    return table.get("tasks", table.get("task"))


def test_an_option_goes_to_the_tasks_that_know_it(tmp_path: Path) -> None:
    set_ = ["task.train=q.json", "task.limit=9"]
    assert tasks(tmp_path, ["squad", "rte"], set_) == [
        {"name": "squad", "train": "q.json", "limit": 9},
        {"name": "rte", "limit": 9},
    ]
    table = with_tasks(compose("finetune", "bert-squad", {}, set_, None), ["squad", "rte"], set_)
    squad, rte = table["tasks"]
    assert squad["longest_answer"] == 30 and squad["train"] == "q.json" and rte == {"name": "rte", "limit": 9}
    with pytest.raises(UserError, match=r"task \(squad, rte\): unknown key 'trian'; did you mean 'train'"):
        tasks(tmp_path, ["squad", "rte"], ["task.trian=q.json"])
    with pytest.raises(UserError, match="unknown task 'squda'; did you mean 'squad'"):
        tasks(tmp_path, ["squda", "rte"], [])


@pytest.mark.parametrize("words", [["--set", "seeds=[9]"], ["--executor", "slurm"], ["--jobs", "3"]])
def test_finished_runs_hear_of_no_settings(tmp_path: Path, words: list[str]) -> None:
    result = CliRunner().invoke(app, ["compare", str(tmp_path), *words])
    assert isinstance(result.exception, UserError)
    told = str(result.exception)
    assert told.startswith(f"{words[0]}: only a study's runs are made, and {tmp_path} is none")


LISTED = (
    '[task]\nlimit = 5\n[[tasks]]\nname = "squad"\nlimit = 3\ntrain = "q.json"\n[[tasks]]\nname = "rte"\n'
)


def test_a_config_may_list_its_tasks(tmp_path: Path) -> None:
    squad, rte = {"name": "squad", "limit": 3, "train": "q.json"}, {"name": "rte", "limit": 5}
    assert tasks(tmp_path, [], [], LISTED) == [squad, rte]
    assert tasks(tmp_path, ["rte", "squad"], [], LISTED) == [rte, squad]
    assert tasks(tmp_path, ["squad"], [], LISTED) == squad
    assert tasks(tmp_path, [], ["task.limit=7"], LISTED) == [{**squad, "limit": 7}, {**rte, "limit": 7}]
    with pytest.raises(UserError, match="--task mrpc: the config's own tasks are squad, rte"):
        tasks(tmp_path, ["mrpc"], [], LISTED)
    for wrong in ('tasks = ["rte", "squad"]', 'tasks = "rte"', 'task = "rte"', "[[tasks]]\nlimit = 3"):
        with pytest.raises(UserError, match="is a table"):
            tasks(tmp_path, ["rte"], [], wrong)


def test_one_task(tmp_path: Path) -> None:
    own = '[task]\nname = "squad"\nn_best = 5\n'
    assert (
        tasks(tmp_path, [], [], own) == tasks(tmp_path, ["squad"], [], own) == {"name": "squad", "n_best": 5}
    )
    assert tasks(tmp_path, ["rte"], ["task.limit=2"], own) == {"name": "rte", "limit": 2}
    assert tasks(tmp_path, ["rte", "mrpc"], ["task.limit=2"], own)[1] == {"name": "mrpc", "limit": 2}
    assert tasks(tmp_path, [], ["task.name=rte"], own) == {"name": "rte"}
    with pytest.raises(UserError, match="no task given"):
        tasks(tmp_path, [], [])
    with pytest.raises(UserError, match="leave one of the two out"):
        tasks(tmp_path, ["mrpc"], ["task.name=rte"])


def test_the_command_takes_them_from_its_config(tmp_path: Path) -> None:
    (tmp_path / "both.toml").write_text(
        'base = "bert"\n[[tasks]]\nname = "rte"\n[[tasks]]\nname = "mrpc"\ntrian = 3\n'
    )
    words = ["finetune", "bert", "--model", "no-such", "--config", str(tmp_path / "both.toml")]
    for more in ([], ["--task", "rte", "--task", "mrpc"]):
        error = CliRunner().invoke(app, [*words, *more]).exception
        assert isinstance(error, UserError) and "tasks, number 2 (mrpc): unknown key 'trian'" in str(error)


@pytest.mark.parametrize("name", ["auto", "elmo-allennlp"])
def test_what_cannot_be_pretrained_says_so(name: str) -> None:
    error = CliRunner().invoke(app, ["pretrain", name, "--corpus", "micro"]).exception
    assert isinstance(error, UserError) and f"backends ({name}): " in str(error)
    assert "lmc features" in str(error) and "unknown config" not in str(error)


def test_a_baseline_learns_from_so_many_examples(tmp_path: Path) -> None:
    sizes = {}
    for name, more in (("all", {}), ("few", {"examples": 12})):
        table = {"baseline": {"name": "bow"}, "task": {"name": "micro.sense", "train": 40}, **more}
        config = configs.resolve(configs.Baseline, table)
        result = baseline.baseline(config, progress=Progress(), out=tmp_path / name)
        sizes[name] = result["examples"]["train"]
    assert sizes == {"all": 40, "few": 12}
    assert results.read(tmp_path / "few").config["examples"] == 12


# --- the vocabulary that is there already -------------------------------------------------------


def test_a_remark_is_made_once(tmp_path: Path) -> None:
    """While a run is made, under the task's name; after the figures only where it was not made yet."""
    rows = [f"the {n} was {what},{label}" for n in range(10) for what, label in (("fine", "a"), ("bad", "b"))]
    (tmp_path / "ok.csv").write_text("\n".join(["text,label", *rows, ""]))
    asked = ["baseline", "bow", "--task", str(tmp_path / "ok.csv"), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    told = results.read(tmp_path / "run").result["warnings"]  # type: ignore[index]
    assert any(sentence.startswith("ok: inferred: ") for sentence in told)
    assert result.stderr.splitlines() == told and "note: " not in result.stdout
    again = CliRunner().invoke(app, asked)
    assert not again.stderr and [f"note: {sentence}" for sentence in told] == [
        line for line in again.stdout.splitlines() if line.startswith("note: ")
    ]


def test_a_remark_of_another_than_the_task_is_told_with_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    meter = Lines("ok")
    meter.note("evaluating at step 3")
    meter.note("okay: so")
    assert capsys.readouterr().err == "ok: evaluating at step 3\nok: okay: so\n"


def pretraining(folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> configs.Pretrain:
    monkeypatch.setenv("LMC_CACHE", str(folder / "cache"))
    (folder / "corpus.txt").write_text("\n\n".join("\n".join(TEXTS[:6]) for _ in range(12)))
    table: dict[str, Any] = {
        "backend": {"name": "bert", "layers": 1, "width": 8, "heads": 2, "positions": 32},
        "tokenizer": {"name": "wordpiece", "size": 16000},
        "corpus": {"path": str(folder / "corpus.txt"), "workers": 1},
        "objective": {"name": "mlm_nsp", "length": 24, "passes": 1},
        "optimizer": {"name": "adamw"},
        "schedule": {"name": "linear"},
        "training": {"steps": 2, "batch": 4},
    }
    return configs.resolve(configs.Pretrain, configs.merge(table, more))


def test_a_given_vocabulary_says_its_own_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = train_wordpiece(TEXTS, size=40, min_frequency=1)
    words.save(tmp_path / "words")
    given = {"tokenizer": {"name": "wordpiece", "path": str(tmp_path / "words")}}
    config = pretraining(tmp_path, monkeypatch, **given)
    assert config.tokenizer["size"] == 16000 and corpora.vocabulary_of(config)["size"] == words.size == 40
    pretrain.pretrain(config, progress=Progress(), out=tmp_path / "run")
    shown = show.pretraining(configs.dump(config) | {"corpus": {"path": ""}})
    assert shown["config"]["tokenizer"]["size"] == 40 and "size = 40" in shown["text"]
    kept = results.read(tmp_path / "run").config["tokenizer"]
    assert kept["size"] == 40 and kept["path"] == given["tokenizer"]["path"]


def test_a_model_keeps_its_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"tokenizer": {"size": 40, "lowercase": False, "min_frequency": 1}}
    run = tmp_path / "run"
    pretrain.pretrain(pretraining(tmp_path, monkeypatch, **small), progress=Progress(), out=run)
    config = pretraining(tmp_path, monkeypatch, model=str(run))
    size = registry.tokenizers.build(
        {"name": "wordpiece", "path": str(run / "model"), "lowercase": False}, []
    ).size

    def again(asked: dict[str, Any], name: str = "again") -> Any:
        over = configs.resolve(configs.Pretrain, configs.merge(configs.dump(config), {"tokenizer": asked}))
        pretrain.pretrain(over, progress=Progress(), out=tmp_path / name, asked=asked)
        return results.read(tmp_path / name).config["tokenizer"]

    kept = again({})
    assert (kept["name"], kept["size"], kept["lowercase"]) == ("wordpiece", size, False)
    own = {"lowercase": False, "path": str(run / "model")}
    assert again({"name": "wordpiece", "size": size, **own}, "same")["size"] == size
    other = train_wordpiece(TEXTS, size=35, min_frequency=1)
    other.save(tmp_path / "other")
    for asked, told in (
        (
            {"size": size + 1},
            rf"tokenizer\.size: .* keeps its own vocabulary, where it is {size}; leave it out",
        ),
        ({"lowercase": True}, r"tokenizer\.lowercase: .* where it is False"),
        ({"min_frequency": 3}, r"tokenizer\.min_frequency: .* keeps its own vocabulary; leave it out"),
        ({"name": "bpe"}, r"tokenizer\.name: 'bpe' is not how"),
        ({"path": str(tmp_path / "other")}, r"tokenizer\.path: .*other is not the vocabulary of"),
    ):
        with pytest.raises(UserError, match=told):
            again(asked, "refused")
    assert not (tmp_path / "refused").exists()
    words = ["pretrain", "bert", "--corpus", str(tmp_path / "corpus.txt"), "--model", str(run)]
    error = CliRunner().invoke(app, [*words, "--set", "tokenizer.size=77"]).exception
    assert isinstance(error, UserError) and "tokenizer.size" in str(error)
