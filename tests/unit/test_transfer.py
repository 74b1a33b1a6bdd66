"""What a formatted example must keep: options their context, answers their independence of padding, a random start
the way in which its model began."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lmcompare import registry
from lmcompare.backends.bert import Bert
from lmcompare.errors import UserError
from lmcompare.experiments.grid import look
from lmcompare.objectives.mlm_nsp import MlmNsp
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.learner import TaskLearner
from lmcompare.transfer.spans import best_spans
from lmcompare.types import Example, Task

TEXT = "the cat sat on the mat and the dog ran far away from the cat"


@pytest.fixture(scope="module")
def bert() -> Bert:
    tokenizer = train_wordpiece([TEXT], size=60, min_frequency=1)
    made = Bert(tokenizer, layers=1, width=12, heads=2, positions=64, init_std=0.3, dropout=0.0)
    made.draw(1)
    return made


def test_a_long_option_takes_nothing_from_the_context_of_the_others(bert: Bert) -> None:
    task = Task("t", "choice", ("accuracy",), lambda split: [])
    long, short = " ".join([TEXT] * 2), "the mat"
    alone = bert.views(task, Example("1", (TEXT,), 0, options=(short,)), 24)[0]
    after = bert.views(task, Example("1", (TEXT,), 0, options=(long, short)), 24)[1]
    assert list(alone.ids) == list(after.ids)
    assert alone.cut == after.cut


def test_pairs_are_cut_from_the_longer_text_to_the_length_exactly(bert: Bert) -> None:
    task = Task("t", "classify", ("accuracy",), lambda split: [], labels=("a", "b"), texts=2)
    view = bert.views(task, Example("1", (" ".join([TEXT] * 3), "the mat"), "a"), 16)[0]
    assert len(view.ids) == 16
    assert list(view.ids)[-3:-1] == bert.tokenizer.encode("the mat")
    assert view.cut == len(bert.tokenizer.encode(" ".join([TEXT] * 3))) + 2 + 3 - 16


def test_an_answer_and_its_score_do_not_hang_on_batch_mates(bert: Bert) -> None:
    task = Task("t", "span", ("span_f1",), lambda split: [], texts=2)
    rows = [Example(str(n), ("who sat", TEXT[: 20 + 15 * n]), ((0, 3),)) for n in range(3)]
    learner = TaskLearner(bert, task, registry.transfers.check({"name": "finetune"}))
    learner.draw(2)
    learner.eval()
    dataset = Dataset(bert, task, rows, length=40)
    together = learner.answers(dataset, np.arange(3), torch.device("cpu"))
    for n in range(3):
        alone = learner.answers(dataset, np.array([n]), torch.device("cpu"))[0]
        assert alone["prediction"] == together[n]["prediction"]
        assert alone["scores"]["null"] == pytest.approx(together[n]["scores"]["null"], abs=1e-4)
        told, wanted = (dict(rows["scores"]["best"]) for rows in (alone, together[n]))
        assert told == pytest.approx(wanted, abs=1e-4)


def test_windows_cover_a_long_context_and_find_its_end(bert: Bert) -> None:
    task = Task("t", "span", ("span_f1",), lambda split: [], texts=2)
    context = " ".join([TEXT] * 6)
    start = context.rindex("far")
    example = Example("1", ("who ran", context), ((start, start + 3),))
    dataset = Dataset(bert, task, [example], length=32)
    assert len(dataset.views) > 3
    covered = {span for view in dataset.views for span in view.spans if span[0] >= 0}
    assert covered == set(bert.tokenizer.encode_offsets(context)[1])
    ends = dataset.batch(np.array([0])).labels["ends_B2"]
    held = [(b, s, e) for b, (s, e) in enumerate(ends.tolist()) if s or e]
    assert held
    for b, s, e in held:
        spans = dataset.views[b].spans
        assert context[spans[s][0] : spans[e][1]] == "far"


def test_the_best_span_never_ends_before_it_starts() -> None:
    spans = [(-1, -1), (0, 3), (4, 7), (8, 11)]
    logits = np.array([[9.0, 9.0], [0.0, 5.0], [0.0, 0.0], [4.0, 0.0]])
    (found,) = best_spans(logits, spans, most=1, longest=30)
    assert found[1] == (0, 3)


def test_a_random_start_begins_as_its_model_began(tmp_path: Path) -> None:
    tokenizer = train_wordpiece([TEXT], size=60, min_frequency=1)
    drawn = {"embedding_std": 0.7, "position_std": 0.2, "position_start": "waves", "init_std": 0.05}
    made = Bert(tokenizer, layers=1, width=12, heads=2, positions=16, **drawn)
    made.draw(3)
    made.save(tmp_path)
    again = Bert.load(tmp_path)
    again.draw(3)
    assert again.fingerprint == made.fingerprint


def test_models_of_another_shape_have_another_fingerprint(bert: Bert) -> None:
    other = Bert(bert.tokenizer, layers=1, width=12, heads=3, positions=64, init_std=0.3, dropout=0.0)
    other.encoder.load_state_dict(bert.encoder.state_dict())
    assert other.fingerprint != bert.fingerprint


@pytest.mark.parametrize(
    "values",
    [{"length": 65}, {"length": 4}, {"passes": 0}, {"mask_rate": 1.5}, {"mask_strategy": (0.8, 0.3, 0.1)}],
)
def test_an_objective_says_what_it_cannot_do(bert: Bert, values: dict) -> None:
    with pytest.raises(UserError, match="objective"):
        MlmNsp(bert, **{"length": 32, **values})


def test_a_builder_that_cannot_use_a_value_gives_one_sentence() -> None:
    layer = torch.nn.Linear(2, 2)
    with pytest.raises(UserError, match="adamw"):
        registry.optimizers.build({"name": "adamw", "rate": -1.0}, layer.named_parameters())


def test_a_changed_folder_looks_different(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("a\tb\n")
    before = look(tmp_path)
    (tmp_path / "train.tsv").write_text("a\tbc\n")
    assert look(tmp_path) != before
    assert look(None) == ""
