"""Our readers, mix and chain with the weights of AllenNLP's, against what AllenNLP answered (tests/goldens)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lmcompare import registry
from lmcompare.nn import ScalarMix
from lmcompare.readers.bcn import Maxout
from lmcompare.readers.bidaf import Highway, Trilinear
from lmcompare.readers.chain import Chain, allowed
from lmcompare.types import Task

GOLDENS = Path(__file__).parents[1] / "goldens"
CLOSE: dict[str, float] = {"rtol": 1e-5, "atol": 1e-6}


class Golden:
    """One file of answers; weights become modules."""

    def __init__(self, name: str) -> None:
        with np.load(GOLDENS / f"{name}.npz") as table:
            self.arrays = {key: torch.from_numpy(table[key]) for key in table if table[key].dtype.kind != "U"}
            self.names = {key: table[key].tolist() for key in table if table[key].dtype.kind == "U"}

    def __getitem__(self, key: str) -> Tensor:
        return self.arrays[key]

    def linear(self, name: str) -> nn.Linear:
        weight, bias = (self[f"weights/{name}.{part}"] for part in ("weight", "bias"))
        made = nn.Linear(weight.shape[1], weight.shape[0])
        made.load_state_dict({"weight": weight, "bias": bias})
        return made

    def lstm(self, name: str, layers: int = 1) -> nn.LSTM:
        prefix = f"weights/{name}._module."
        weights = {key.removeprefix(prefix): t for key, t in self.arrays.items() if key.startswith(prefix)}
        width, hidden = weights["weight_ih_l0"].shape[1], weights["weight_hh_l0"].shape[1]
        made = nn.LSTM(width, hidden, num_layers=layers, bidirectional=True, batch_first=True)
        made.load_state_dict(weights)
        return made


def reader(name: str, task: Task, width: int) -> Any:
    return registry.readers.build({"name": name, "hidden": 2}, width, 0, task).eval()


def task(kind: Any, **facts: Any) -> Task:
    return Task("t", kind, ("accuracy",), lambda split: [], **facts)


def test_esim() -> None:
    golden = Golden("esim")
    esim = reader("esim", task("classify", labels=("a", "b", "c"), texts=2), 6)
    esim.encoder, esim.inference = golden.lstm("_encoder"), golden.lstm("_inference_encoder")
    esim.projection = golden.linear("_projection_feedforward._linear_layers.0")
    esim.hidden = golden.linear("_output_feedforward._linear_layers.0")
    sides = [
        (golden[f"inputs/{text}"], golden[f"inputs/{text}_mask"], None) for text in ("premise", "hypothesis")
    ]
    logits = golden.linear("_output_logit._linear_layers.0")(esim(*sides))
    torch.testing.assert_close(logits, golden["outputs/logits"], **CLOSE)


def test_bcn() -> None:
    golden = Golden("bcn")
    bcn = reader("bcn", task("classify", labels=tuple("abcde")), 6)
    bcn.before = golden.linear("_pre_encode_feedforward._linear_layers.0")
    bcn.encoder, bcn.integrator = golden.lstm("_encoder"), golden.lstm("_integrator")
    bcn.attention.score = golden.linear("_self_attentive_pooling_projection")
    layers = []
    for n, pool in enumerate((4, 3, 2)):
        linear = golden.linear(f"_output_layer._linear_layers.{n}")
        layers.append(Maxout((linear.in_features, linear.out_features // pool), pool=pool, dropout=()))
        layers[-1].linears[0] = linear
    bcn.maxout = nn.Sequential(*layers).eval()
    logits = bcn(golden["inputs/words"], golden["inputs/mask"])[1]
    torch.testing.assert_close(logits, golden["outputs/logits"], **CLOSE)


def test_bidaf() -> None:
    golden = Golden("bidaf")
    bidaf = reader("bidaf", task("span", texts=2), 6)
    bidaf.highway = Highway(6, layers=2)
    for n in range(2):
        both = golden.linear(f"_highway_layer._module._layers.{n}")
        for part, rows in ((bidaf.highway.transforms[n], slice(6)), (bidaf.highway.carries[n], slice(6, 12))):
            part.load_state_dict({"weight": both.weight[rows], "bias": both.bias[rows]})
    bidaf.phrase, bidaf.ending = golden.lstm("_phrase_layer"), golden.lstm("_span_end_encoder")
    bidaf.modeling = golden.lstm("_modeling_layer", layers=2)
    passage, question, product = golden["weights/_matrix_attention._weight_vector"].split(8)
    bidaf.alike = Trilinear(8)
    bidaf.alike.load_state_dict(
        {
            "first.weight": passage[None],
            "first.bias": golden["weights/_matrix_attention._bias"],
            "second.weight": question[None],
            "product": product,
        }
    )
    bidaf.start, bidaf.end = (golden.linear(f"_span_{end}_predictor._module") for end in ("start", "end"))
    sides = [
        (golden[f"inputs/{text}"], golden[f"inputs/{text}_mask"], None) for text in ("question", "passage")
    ]
    logits, real = bidaf(*sides), golden["inputs/passage_mask"]
    for k, end in enumerate(("start", "end")):
        expected = golden[f"outputs/span_{end}_logits"]
        torch.testing.assert_close(logits[..., k][real], expected[real], **CLOSE)


@pytest.mark.parametrize("scheme", ["BIO", "BIOUL"])
def test_chain(scheme: str) -> None:
    golden = Golden("crf")
    tags = golden.names[f"{scheme}/inputs/labels"]
    chain = Chain(tags, scheme)
    names = {"transitions": "transitions", "start": "start_transitions", "end": "end_transitions"}
    chain.load_state_dict({ours: golden[f"{scheme}/weights/{theirs}"] for ours, theirs in names.items()})
    logits, mask, given = (golden[f"{scheme}/inputs/{part}"] for part in ("logits", "mask", "tags"))
    found = chain.log_likelihood(logits, given, mask)
    torch.testing.assert_close(found, golden[f"{scheme}/outputs/log_likelihoods"], **CLOSE)
    best = chain.best(logits, mask).where(mask, -1)
    assert best.equal(golden[f"{scheme}/outputs/constrained_tags"])
    pairs = {tuple(pair) for pair in golden[f"{scheme}/outputs/allowed"].tolist()}
    assert {tuple(pair) for pair in allowed(tags, scheme).nonzero().tolist()} == pairs
    chain.allowed.fill_(True)
    assert chain.best(logits, mask).where(mask, -1).equal(golden[f"{scheme}/outputs/free_tags"])


@pytest.mark.parametrize("layer_norm", [False, True])
def test_scalar_mix(layer_norm: bool) -> None:
    golden = Golden("scalar_mix")
    mix = ScalarMix(layers=4, layer_norm=layer_norm)
    weights = torch.cat([golden[f"weights/scalar_parameters.{n}"] for n in range(4)])
    mix.load_state_dict({"weights": weights, "gamma": golden["weights/gamma"][0]})
    layers_BTLD, real = golden["inputs/layers"].permute(1, 2, 0, 3), golden["inputs/mask"]
    expected = golden["outputs/normed_alone" if layer_norm else "outputs/plain"]
    torch.testing.assert_close(mix(layers_BTLD, real)[real], expected[real], **CLOSE)
    if layer_norm:  # the package's own way, over a batch: that of one long view
        long = mix(layers_BTLD.flatten(0, 1)[None], real.flatten()[None])[0].view_as(expected)
        torch.testing.assert_close(long[real], golden["outputs/normed_over_batch"][real], **CLOSE)


@pytest.mark.parametrize("layers", [1, 2])
def test_bilstm_is_torchs_own_read_word_by_word(layers: int) -> None:
    """No packing, no padding: each text alone through torch's LSTM."""
    bilstm = registry.readers.build(
        {"name": "bilstm", "hidden": 5, "layers": layers, "pool": "ends"}, 4, 3, task("tags", labels=("O",))
    ).eval()
    generator = torch.Generator().manual_seed(3)
    x, extra = (torch.randn(3, 7, width, generator=generator) for width in (4, 3))
    lengths = (7, 2, 1)
    mask = torch.arange(7)[None] < torch.tensor(lengths)[:, None]
    states, pooled = bilstm(x, mask, extra)
    for b, length in enumerate(lengths):
        y, (h, _) = bilstm.lstm(x[b : b + 1, :length])
        torch.testing.assert_close(states[b, :length, :10], y[0])
        torch.testing.assert_close(states[b, :length, 10:], extra[b, :length])
        ends = torch.cat([h[-2, 0], h[-1, 0], extra[b, :length].mean(0)])
        torch.testing.assert_close(pooled[b], ends)
