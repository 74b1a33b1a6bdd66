"""What cannot be built is told before the corpus is read, and in every phase before the first of them begins."""

from pathlib import Path
from typing import Any

import pytest

from lmcompare import config as configs
from lmcompare.errors import UserError
from lmcompare.experiments import blueprint, show, studies
from lmcompare.experiments.pretrain import pretrain
from lmcompare.progress import Progress

TABLE: dict[str, Any] = {
    "backend": {"name": "bert", "layers": 1, "width": 8, "heads": 2, "positions": 32},
    "tokenizer": {"name": "wordpiece", "size": 60, "min_frequency": 1},
    "corpus": {"path": "no-such-corpus.txt"},
    "objective": {"name": "mlm_nsp", "length": 24},
    "optimizer": {"name": "adamw"},
    "schedule": {"name": "linear", "warmup": 0.1},
    "training": {"steps": 3, "batch": 4},
}
CAUSAL = {"backend": {"causal": True}}


def phases(second: dict[str, Any]) -> dict[str, Any]:
    short = {"training": {"steps": 2}}
    return {"training": {"steps": None}, "phases": [short, {**short, **second}]}


@pytest.mark.parametrize(
    ("over", "told"),
    [
        (
            {"objective": {"mask_strategy": [0.8, 0.1]}},
            r"mask_strategy: \(0\.8, 0\.1\): three shares are needed",
        ),
        ({"objective": {"mask_strategy": [0.8, 0.1, 0.2]}}, "three shares that make 1"),
        ({"objective": {"name": "ltr", "length": 24}}, "backend.causal=true"),
        ({"objective": {"name": "bilm"}}, "such as elmo"),
        (CAUSAL, "sees both sides .* objective.name=ltr"),
        ({**CAUSAL, "objective": {"name": "mlm", "length": 24}}, "sees both sides .* objective.name=ltr"),
        ({"objective": {"length": 33}}, r"objective\.length: 33 is not from 8 to the model's 32"),
        ({"optimizer": {"layer_decay": 0.9}}, r"^optimizer \(adamw\): layer_decay 0\.9 changes nothing"),
        (
            {"optimizer": {"name": "bert_adam", "rate": -1.0}},
            r"^optimizer \(bert_adam\): Invalid learning rate",
        ),
        (phases({"objective": {"length": 33}}), r"^phases, number 2: objective\.length: 33"),
        (phases({"optimizer": {"layer_decay": 0.9}}), r"^phases, number 2: optimizer \(adamw\): layer_decay"),
        (phases({"objective": {"lenght": 9}}), r"^phases, number 2: objective \(mlm_nsp\): .*'length'"),
    ],
)
def test_settings_that_need_no_corpus_come_before_it(over: Any, told: str, tmp_path: Path) -> None:
    table = configs.merge(TABLE, over)
    with pytest.raises(UserError, match=told):
        pretrain(configs.resolve(configs.Pretrain, table), progress=Progress(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=told):
        show.pretraining(configs.merge(table, {"corpus": {"path": ""}}))


def test_what_hangs_on_the_words_is_told_before_the_first_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vocabulary of whole words only, of which the second phase asks for what has none."""
    monkeypatch.setenv("LMC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "corpus.txt").write_text("\n\n".join("a b c .\nb c a .\nc a b ." for _ in range(60)))
    at = {"corpus": {"path": str(tmp_path / "corpus.txt"), "workers": 1}, "objective": {"passes": 1}}
    config = configs.resolve(
        configs.Pretrain, configs.merge(TABLE, {**at, **phases({"objective": {"whole_words": True}})})
    )
    with pytest.raises(UserError, match=r"^phases, number 2: objective\.whole_words: no piece"):
        pretrain(config, progress=Progress(), out=tmp_path / "run")
    assert (tmp_path / "run" / "failure.json").is_file() and not (tmp_path / "run" / "log.jsonl").exists()


@pytest.mark.parametrize("name", configs.preset_names("pretrain"))
def test_every_preset_can_be_built(name: str) -> None:
    config = configs.resolve(configs.Pretrain, configs.read_table(name, "pretrain"))
    made = blueprint.objectives(config.parts(), blueprint.network(config))
    assert all(p.device.type == "meta" for one in made for p in one.parameters())


def test_a_wrong_key_of_a_transfer_is_one_sentence() -> None:
    with pytest.raises(UserError, match="unknown key 'lenght'; did you mean 'length'"):
        show.using({**configs.read_table("bert", "finetune"), "lenght": 9}, "finetune", None)


def test_a_study_and_what_is_shown_of_it_look_at_the_phases(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(
        'title = "t"\ntasks = ["micro.sense"]\nseeds = [1]\n'
        '[models.m]\nbackend = "bert"\npretrain = "bert-tiny"\n'
        "set = { phases = [{ training = { steps = 2 } }] }\n"
        '[[arms]]\nname = "a"\nmode = "finetune"\nmodel = "m"\n'
    )
    with pytest.raises(UserError, match=r"^training\.steps: phases have budgets of their own"):
        studies.check(studies.read(str(file), []))
    with pytest.raises(UserError, match=r"^training\.steps: phases have budgets of their own"):
        show.describe("bert-tiny", ["phases=[{}]"], None)
