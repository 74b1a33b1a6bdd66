"""The layer mix: which layers, where in the reader, what its decay adds, and that no view depends on another."""

from typing import Any

import numpy as np
import pytest
import torch

from lmcompare import registry
from lmcompare.errors import UserError
from lmcompare.nn import ScalarMix, standardized
from lmcompare.transfer.dataset import Batch, Dataset
from lmcompare.transfer.features import choose
from lmcompare.transfer.learner import TaskLearner
from tests.contracts.test_backends import CPU, TASKS, all_of, learner, loss_of, train

PLACES = ("input", "output", "both")
LAYERS: tuple[Any, ...] = ("mix", "last", "first", "average", [-2, -1])
MIXES = r"is for layers that are mixed \('mix', 'mix_last_4'\)"


def layers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


def test_a_fresh_mix_is_the_average_and_gamma_scales_it() -> None:
    x = layers(2, 5, 3, 4)
    mix = ScalarMix(layers=3)
    torch.testing.assert_close(mix(x), x.mean(2))
    with torch.no_grad():
        mix.gamma.fill_(2.5)
        mix.weights.copy_(torch.tensor([0.0, 0.0, 40.0]))
    torch.testing.assert_close(mix(x), 2.5 * x[:, :, 2])


def test_the_norm_of_a_layer_is_over_its_real_tokens_and_of_one_view_alone() -> None:
    x, mask = layers(3, 6, 2, 5), torch.arange(6)[None] < torch.tensor([[6], [2], [0]])
    y = standardized(x, mask)
    for b, length in ((0, 6), (1, 2)):
        for layer in range(2):
            real = y[b, :length, layer]
            assert float(real.mean()) == pytest.approx(0.0, abs=1e-6)
            assert float(real.var(correction=0)) == pytest.approx(1.0, abs=1e-5)
        torch.testing.assert_close(y[b, :length], standardized(x[b : b + 1, :length], None)[0])
    assert not y[2].any()  # a view without a token gives zeros
    torch.testing.assert_close(y[1], standardized(torch.where(mask[..., None, None], x, 1e3), mask)[1])


def test_the_chosen_layers() -> None:
    assert choose("first", 4) == [0] and choose("last", 4) == [3] and choose("average", 2) == [0, 1]
    assert choose([-4, 1], 5) == [1, 1]
    for wrong in ("top", [], [5], [-6]):
        with pytest.raises(UserError, match="'first', 'average', or a list of numbers from -5 to 4"):
            choose(wrong, 5)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("which", LAYERS, ids=str)
@pytest.mark.parametrize("kind", ["tags", "two texts"])
def test_every_choice_of_layers_works_at_every_place(which: Any, place: str, kind: str) -> None:
    reader = "esim" if kind == "two texts" else "bilstm"
    _, made, dataset = learner("like-elmo", kind, "features", reader, {"layers": which, "place": place})
    made.eval()
    before = float(loss_of(made, dataset).detach())
    train(made, dataset, 6)
    assert float(loss_of(made, dataset).detach()) < before
    mixed = which == "mix"
    mixes = (made.body.layer_mix(), made.body.layer_mix_output())
    assert (mixes[0] is not None, mixes[1] is not None) == (
        mixed and place != "output",
        mixed and place != "input",
    )
    assert all(sum(mix) == pytest.approx(1.0, abs=1e-5) for mix in mixes if mix)
    if mixed and place == "both":
        assert mixes[0] != mixes[1]  # weights of their own


class Seen(torch.nn.Module):
    """A reader that keeps what it was given."""

    def __init__(self, reader: Any) -> None:
        super().__init__()
        self.reader, self.pairs, self.given = reader, reader.pairs, ()

    def forward(self, *given: Any) -> Any:
        self.given = given
        return self.reader(*given)


def test_what_stands_where() -> None:
    """Input: the mix goes in. Output: layer 0 goes in, the mix beside the reader's output. Both: both."""
    for place in PLACES:
        _, made, dataset = learner("bert", "one text", "features", "bilstm", {"place": place})
        made.eval()
        made.body.reader = seen = Seen(made.body.reader)
        batch: Batch = made.batch(all_of(dataset), 0)
        made(batch, dataset)
        stacked, mask = made.body.seen[id(dataset)].stack(batch.inputs.rows, [0, 1, 2])
        x, real, extra = seen.given
        assert real.equal(mask)
        torch.testing.assert_close(x, stacked[:, :, 0] if place == "output" else stacked.mean(2))
        if place == "input":
            assert extra is None
        else:
            torch.testing.assert_close(extra, stacked.mean(2))


def test_the_decay_is_lambda_times_the_squares_of_both_mixes() -> None:
    _, made, dataset = learner("bert", "one text", "features", "linear", {"mix_decay": 0.25, "place": "both"})
    made.eval()
    with torch.no_grad():
        made.body.mix.weights.copy_(torch.tensor([1.0, -2.0, 0.5]))
        made.body.output_mix.weights.copy_(torch.tensor([3.0, 0.0, 0.0]))
    batch = made.batch(all_of(dataset), 0)
    losses, counts = made.losses(batch), made.counts(batch)
    assert made.weights == {"task": 1.0, "mix": 0.25}
    assert counts["mix"] == 1.0
    assert float(losses["mix"].detach()) == pytest.approx(1 + 4 + 0.25 + 9)
    losses["mix"].backward()
    torch.testing.assert_close(made.body.mix.weights.grad, 2 * made.body.mix.weights.detach())
    assert made.body.mix.gamma.grad is None  # γ stays free


def test_in_pieces_the_decay_counts_once() -> None:
    """The loop divides by counts over all pieces of a batch: the gradient is that of the whole batch."""
    grads = []
    for pieces in ([np.arange(6)], [np.arange(2), np.arange(2, 6)]):
        _, made, _dataset = learner("bert", "one text", "features", "linear", {"mix_decay": 0.5})
        made.eval()
        with torch.no_grad():
            made.body.mix.weights.copy_(torch.tensor([1.0, -2.0, 0.5]))
        batches = [made.batch(piece, 0) for piece in pieces]
        counts = {k: sum(made.counts(batch)[k] for batch in batches) for k in made.weights}
        for batch in batches:
            losses = made.losses(batch)
            sum(made.weights[k] * losses[k] / counts[k] for k in losses).backward()  # type: ignore[union-attr]
        grads.append(made.body.mix.weights.grad)
    torch.testing.assert_close(*grads)


def test_a_strong_decay_keeps_the_mix_even() -> None:
    spread = []
    for decay in (0.0, 10.0):
        _, made, dataset = learner("bert", "one text", "features", "linear", {"mix_decay": decay})
        train(made, dataset, 25)
        spread.append(float(made.body.mix.weights.detach().abs().max()))
    assert spread[1] < 0.2 * spread[0]


@pytest.mark.parametrize("place", PLACES)
def test_layer_norm_never_looks_at_batch_mates(place: str) -> None:
    _backend, made, dataset = learner(
        "bert", "tags", "features", "bilstm", {"layer_norm": True, "place": place}
    )
    train(made, dataset)
    together = made.answers(dataset, all_of(dataset), CPU)
    for n, answer in enumerate(together):
        assert made.answers(dataset, np.array([n]), CPU) == [answer]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"layers": "average", "layer_norm": True}, f"layer_norm {MIXES}, not 'average'; set it to false"),
        ({"layers": "last", "mix_decay": 1e-3}, f"mix_decay {MIXES}, not 'last'; set it to 0"),
        ({"layers": [0, 1], "mix_decay": 1e-3}, "mix_decay is for layers that are mixed"),
        ({"mix_decay": -1.0}, "mix_decay: -1.0 is less than 0"),
        ({"place": "middle"}, "place"),
        ({"layers": "top"}, "'top' is not 'mix'"),
    ],
)
def test_settings_that_say_nothing_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        learner("bert", "one text", "features", "bilstm", settings)


def test_runs_from_before_the_new_settings_still_load() -> None:
    """Names of weights are part of a finished run."""
    backend, made, _ = learner("bert", "one text", "features", "bilstm")
    assert {name for name in made.own_state() if "lstm" not in name} == {
        "body.mix.weights",
        "body.mix.gamma",
        "head.linear.weight",
        "head.linear.bias",
    }
    assert "body.reader.lstm.weight_ih_l0_reverse" in made.own_state()
    old = registry.transfers.check({"name": "features", "layers": "mix", "reader": {"name": "bilstm"}})
    again = TaskLearner(backend, TASKS["one text"][0], old)
    assert again.weights == {"task": 1.0}
    assert Dataset(backend, *TASKS["one text"], length=24).labelled
