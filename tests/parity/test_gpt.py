"""Our GPT against `transformers` on random tiny weights, with sizes that are all different numbers; the arrays of the
original release; and which layers are kept where only some are transferred."""

import json
import math
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

from lmcompare import models, registry
from lmcompare.backends import folders, gpt_layout
from lmcompare.backends.bert import Bert
from lmcompare.backends.elmo import Elmo
from lmcompare.backends.gpt import Gpt, GptEncoder
from lmcompare.batches import Inputs
from lmcompare.errors import UserError
from lmcompare.objectives.clm import Batch, Clm
from lmcompare.softmax import cross_entropy
from lmcompare.text.bpe import Bpe, train_bpe
from lmcompare.text.wordpiece import train_wordpiece
from lmcompare.text.words import train_words
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.learner import TaskLearner
from lmcompare.types import Example, Task

LAYERS, WIDTH, HEADS, POSITIONS, SIZE = 3, 20, 5, 17, 71
WORDS = [f"{a}{b}{c}" for a in "bdfg" for b in "aeiou" for c in "klmn"]
KINDS = ("OpenAIGPTModel", "OpenAIGPTLMHeadModel", "OpenAIGPTDoubleHeadsModel")


@pytest.fixture(scope="module")
def tokenizer() -> Bpe:
    return train_bpe([" ".join(WORDS)] * 3, size=SIZE)


@torch.no_grad()
def spread(module: nn.Module, seed: int = 1) -> None:
    """Weights that are all far enough from 0, or 1 for the norms, that one in another's place is seen."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in sorted(module.named_parameters()):
        p.normal_(float("ln_" in name and name.endswith("weight")), 0.2, generator=generator)


def reference(kind: str, tokenizer: Bpe, **more: Any) -> Any:
    shape = {"n_layer": LAYERS, "n_embd": WIDTH, "n_head": HEADS, "n_positions": POSITIONS}
    rates = dict.fromkeys(("resid_pdrop", "attn_pdrop", "embd_pdrop", "summary_first_dropout"), 0.0)
    config = transformers.OpenAIGPTConfig(vocab_size=tokenizer.size, **shape, **rates, **more)
    model = getattr(transformers, kind)(config).eval()
    spread(model)
    return model


def ours_of(model: Any, tokenizer: Bpe, folder: Path) -> Gpt:
    """Their model as they save it, read as any folder is read."""
    model.save_pretrained(folder)
    tokenizer.save(folder)
    assert models.family(str(folder)) == "gpt"
    gpt = models.load("gpt", str(folder))
    gpt.encoder.eval()
    return gpt


def body(model: Any) -> Any:
    return getattr(model, "transformer", model)


def inputs(size: int, *, padded: bool) -> Inputs:
    rng = np.random.default_rng(7)
    ids = torch.from_numpy(rng.integers(0, size, (4, 11)))
    lengths = torch.tensor([11, 7, 2, 9])
    mask = torch.arange(11)[None] < lengths[:, None] if padded else None
    return Inputs(ids, torch.zeros_like(ids), mask, lengths - 1)


def real(x: Inputs) -> Tensor:
    return torch.ones_like(x.ids_BT, dtype=torch.bool) if x.mask_BT is None else x.mask_BT


def read(model: Any, x: Inputs, **more: Any) -> Any:
    mask = None if x.mask_BT is None else x.mask_BT.long()
    return model(input_ids=x.ids_BT, attention_mask=mask, output_hidden_states=True, **more)


def close(a: Tensor, b: Tensor, bound: float = 1e-5) -> None:
    assert a.shape == b.shape
    scale = b.detach().abs().max().clamp(min=1e-6)
    assert ((a - b).abs().max() / scale).item() < bound


def same_gradients(gpt: Gpt, model: Any, bound: float = 1e-5) -> None:
    """Of every weight that both have; and no weight of ours is left out."""
    theirs, ours = dict(body(model).named_parameters()), dict(gpt.encoder.named_parameters())
    pairs = gpt_layout.names(LAYERS)
    assert set(pairs.values()) == ours.keys() and set(pairs) == theirs.keys()
    for their_name, our_name in pairs.items():
        gradient = theirs[their_name].grad
        assert gradient is not None and gradient.any(), their_name
        close(ours[our_name].grad, gpt_layout.turned(their_name, gradient), bound)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("afn", ["gelu", "relu", "silu"])
def test_every_layer_agrees(tokenizer: Bpe, tmp_path: Path, kind: str, padded: bool, afn: str) -> None:
    model = reference(kind, tokenizer, afn=afn)
    gpt = ours_of(model, tokenizer, tmp_path)
    x = inputs(tokenizer.size, padded=padded)
    expected, layers = read(model, x), gpt.encoder(x)
    assert len(layers) == LAYERS + 1 == len(expected.hidden_states)
    for mine, other in zip(layers, expected.hidden_states, strict=True):
        close(mine[real(x)], other[real(x)])
    if kind != "OpenAIGPTModel":
        close((layers[-1] @ gpt.tied.t())[real(x)], expected.logits[real(x)])
    pooled = gpt.encoder.pool(layers[-1], x.pool_B)
    close(pooled, expected.hidden_states[-1][torch.arange(4), x.pool_B])


def targets_of(x: Inputs) -> Tensor:
    """The token that follows; −1 where none does."""
    targets = torch.full_like(x.ids_BT, -1)
    targets[:, :-1] = x.ids_BT[:, 1:].masked_fill(~real(x)[:, 1:], -1)
    return targets


@pytest.mark.parametrize("padded", [True, False])
def test_language_model_loss_and_gradients_agree(tokenizer: Bpe, tmp_path: Path, padded: bool) -> None:
    model = reference("OpenAIGPTLMHeadModel", tokenizer)
    gpt = ours_of(model, tokenizer, tmp_path)
    x = inputs(tokenizer.size, padded=padded)
    expected = read(model, x, labels=x.ids_BT.masked_fill(~real(x), -100)).loss
    asked = targets_of(x) >= 0
    loss = cross_entropy(gpt.encoder(x)[-1][asked], gpt.tied, None, targets_of(x)[asked]) / asked.sum()
    close(loss, expected)
    loss.backward()
    expected.backward()
    same_gradients(gpt, model)


@pytest.mark.parametrize("padded", [True, False])
def test_the_objective_is_their_loss_without_the_three_special_words(
    tokenizer: Bpe, tmp_path: Path, padded: bool
) -> None:
    model = reference("OpenAIGPTLMHeadModel", tokenizer)
    gpt = ours_of(model, tokenizer, tmp_path)
    x = inputs(tokenizer.plain, padded=padded)
    targets = targets_of(x)
    plain = read(model, x).logits[..., : tokenizer.plain]
    expected = F.cross_entropy(plain.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="sum")
    loss = Clm(gpt, length=POSITIONS).losses(Batch(x, targets))["lm"]
    close(loss, expected)
    loss.backward()
    expected.backward()
    same_gradients(gpt, model)


@pytest.mark.parametrize("afn", ["gelu_tanh", "relu", "silu"])
def test_transformers_reads_what_we_save(tokenizer: Bpe, tmp_path: Path, afn: str) -> None:
    shape = {"layers": LAYERS, "width": WIDTH, "heads": HEADS, "positions": POSITIONS, "epsilon": 1e-3}
    gpt = Gpt(tokenizer, **shape, activation=afn, dropout=0.0)
    spread(gpt.encoder)
    gpt.encoder.eval()
    gpt.save(tmp_path)
    assert Gpt.load(tmp_path).fingerprint == gpt.fingerprint
    x = inputs(tokenizer.size, padded=True)
    logits = gpt.encoder(x)[-1] @ gpt.tied.t()
    for kind in (transformers.AutoModelForCausalLM, transformers.OpenAIGPTLMHeadModel):
        model, told = kind.from_pretrained(tmp_path, output_loading_info=True)
        assert not told["missing_keys"] - {"lm_head.weight"} and not told["unexpected_keys"]
        close(logits[real(x)], read(model.eval(), x).logits[real(x)])
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    lines = [" ".join(WORDS[::7]), "Bak, dEl! go far", "_classify_ it"]
    assert theirs(lines, add_special_tokens=False)["input_ids"] == gpt.tokenizer.encode_many(lines)


LAMBDA = 0.3
CHOICE = Task("t", "choice", ("accuracy",), lambda split: [])
SUMMARY = {"summary_type": "cls_index", "summary_use_proj": True, "summary_proj_to_labels": True}
ALIKE = [
    Example("1", ("bak del",), 1, options=("fim gon", "gon fim")),
    Example("2", ("del bak",), 0, options=("gon fim", "fim gon")),
]
UNLIKE = [
    Example("1", ("bak del fim",), 1, options=("gon", "bel dak bok")),
    Example("2", ("gul",), 0, options=("bin", "dan gek")),
    Example("3", ("",), 1, options=("bin dun", "gek")),
]


def plain_lm(logits_BTV: Tensor, views: list[Any]) -> Tensor:
    """A view at a time: the mean over its tokens from the second to the last; these, summed."""
    total = torch.zeros(())
    for logits_TV, view in zip(logits_BTV, views, strict=True):
        told = logits_TV.log_softmax(-1)
        n = len(view.ids)
        total = total - torch.stack([told[t - 1, view.ids[t]] for t in range(1, n)]).mean()
    return total


@pytest.mark.parametrize("examples", [ALIKE, UNLIKE], ids=["one length", "padded"])
def test_fine_tuning_on_a_choice_agrees(tokenizer: Bpe, tmp_path: Path, examples: list[Example]) -> None:
    model = reference("OpenAIGPTDoubleHeadsModel", tokenizer, **SUMMARY)
    gpt = ours_of(model, tokenizer, tmp_path)
    how = registry.transfers.check({"name": "finetune", "dropout": 0.0, "aux_lm": LAMBDA})
    learner = TaskLearner(gpt, CHOICE, how)
    learner.head.linear.load_state_dict(model.multiple_choice_head.summary.state_dict())
    dataset = Dataset(gpt, CHOICE, examples, length=POSITIONS)
    learner.learn_from(dataset)
    batch = learner.batch(np.arange(len(examples)), 0)
    losses, counts = learner.losses(batch), learner.counts(batch)
    assert counts == {"task": len(examples), "lm": 2 * len(examples)}
    x = batch.inputs
    assert (x.mask_BT is None) == (examples is ALIKE)
    two = (len(examples), 2, -1)
    output = model(
        input_ids=x.ids_BT.view(two),
        mc_token_ids=x.pool_B.view(two[:2]),
        labels=x.ids_BT.masked_fill(~real(x), -100).view(two),
        mc_labels=batch.labels["right_N"],
        **({} if x.mask_BT is None else {"attention_mask": x.mask_BT.long()}),
    )
    lm = plain_lm(output.logits.flatten(0, 1), batch.views)
    close(losses["task"] / counts["task"], output.mc_loss)
    close(losses["lm"], lm)
    if examples is ALIKE:  # then their mean over all tokens is the mean of the views' means
        close(losses["lm"] / counts["lm"], output.loss)
    assert learner.weights == {"task": 1.0, "lm": LAMBDA}
    sum(learner.weights[k] * losses[k] / counts[k] for k in losses).backward()
    (output.mc_loss + LAMBDA * lm / counts["lm"]).backward()
    same_gradients(gpt, model)
    head = model.multiple_choice_head.summary
    close(learner.head.linear.weight.grad, head.weight.grad)


@pytest.mark.parametrize("shared_out", [True, False])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("half", ["", "products", "all"])
def test_cross_entropy_in_parts_and_in_halves(biased: bool, shared_out: bool, half: str) -> None:
    generator = torch.Generator().manual_seed(3)
    x, weight, bias = (torch.randn(s, generator=generator).requires_grad_() for s in ((300, 6), (19, 6), 19))
    target = torch.randint(0, 19, (300,), generator=generator)
    share = torch.rand(300, generator=generator) if shared_out else torch.ones(300)
    given = [x, weight, *([bias] if biased else [])]
    with torch.autocast("cpu", torch.bfloat16, enabled=bool(half)):
        hidden = x.bfloat16() if half == "all" else x
        mine = cross_entropy(hidden, weight, bias if biased else None, target, share if shared_out else None)
    assert mine.dtype == torch.float32
    logits = F.linear(x, weight, bias if biased else None)
    plain = (F.cross_entropy(logits, target, reduction="none") * share).sum()
    bound = 2e-2 if half else 1e-5
    close(mine, plain, bound)
    grads = torch.autograd.grad(2.5 * mine, [hidden, *given[1:]])
    assert [g.dtype for g in grads] == [hidden.dtype] + [torch.float32] * (len(given) - 1)
    for fast, slow in zip(grads, torch.autograd.grad(2.5 * plain, given), strict=True):
        close(fast.float(), slow, bound)


RELEASED = {"layers": 2, "width": 192, "heads": 3, "positions": 13}  # 64 numbers a head, as in the release
PLACES = ["attn.c_attn", "attn.c_proj", "ln_1", "mlp.c_fc", "mlp.c_proj", "ln_2"]


def arrays_of(words: int) -> list[np.ndarray]:
    """As the release has them: matrices of a block are convolutions of width 1."""
    rng, width = np.random.default_rng(5), RELEASED["width"]
    shapes: list[tuple[int, ...]] = [(RELEASED["positions"], width), (words, width)]
    for _ in range(RELEASED["layers"]):
        for inner, outer in ((1, 3), (1, 1), (0, 1), (1, 4), (4, 1), (0, 1)):
            matrix = (1, inner * width, outer * width) if inner else (width,)
            shapes += [matrix, (outer * width,)]
    return [rng.normal(0.0, 0.1, shape).astype(np.float32) for shape in shapes]


def write_release(folder: Path, arrays: list[np.ndarray], tokenizer: Bpe) -> None:
    flat = np.concatenate([array.ravel() for array in arrays])
    cuts = np.sort(np.random.default_rng(6).integers(1, len(flat), 9))
    for number, part in enumerate(np.split(flat, cuts)):
        np.save(folder / f"params_{number}.npy", part)
    (folder / "params_shapes.json").write_text(json.dumps([array.shape for array in arrays]))
    tokenizer.save(folder / "tokenizer")
    plain = {piece: i for i, piece in enumerate(tokenizer.pieces[: tokenizer.plain])}
    (folder / "encoder_bpe_40000.json").write_text(json.dumps(plain))
    merges = (folder / "tokenizer" / "merges.txt").read_text()
    (folder / "vocab_40000.bpe").write_text(merges)


@torch.no_grad()
def filled(arrays: list[np.ndarray], heads: int) -> Any:
    """Their class with these arrays, by the order in which the release lists them."""
    (positions, width), words = arrays[0].shape, len(arrays[1])
    layers = (len(arrays) - 2) // 12
    rates = dict.fromkeys(("resid_pdrop", "attn_pdrop", "embd_pdrop"), 0.0)
    shape = {"n_layer": layers, "n_embd": width, "n_head": heads, "n_positions": positions}
    model = transformers.OpenAIGPTModel(transformers.OpenAIGPTConfig(vocab_size=words, **shape, **rates))
    slots = ["positions_embed.weight", "tokens_embed.weight"]
    slots += [f"h.{n}.{place}.{end}" for n in range(layers) for place in PLACES for end in ("weight", "bias")]
    tensors = {slot: torch.from_numpy(array) for slot, array in zip(slots, arrays, strict=True)}
    model.load_state_dict({slot: t[0] if t.ndim == 3 else t for slot, t in tensors.items()})
    return model.eval()


def test_a_folder_of_the_original_release_is_read(tokenizer: Bpe, tmp_path: Path) -> None:
    arrays = arrays_of(tokenizer.plain)
    write_release(tmp_path, arrays, tokenizer)
    assert len(list(tmp_path.glob("params_*.npy"))) == 10
    assert models.family(str(tmp_path)) == "gpt"
    gpt, other = (models.load("gpt", str(tmp_path), seed=seed) for seed in (1, 2))
    gpt.encoder.eval()
    assert {k: gpt.settings[k] for k in RELEASED} == RELEASED
    x = inputs(tokenizer.plain, padded=True)
    for mine, theirs in zip(gpt.encoder(x), read(filled(arrays, 3), x).hidden_states, strict=True):
        close(mine[real(x)], theirs[real(x)])
    specials = gpt.encoder.words.weight[tokenizer.plain :]
    assert len(specials) == 3 and 0.005 < float(specials.detach().std()) < 0.04
    assert not specials.equal(other.encoder.words.weight[tokenizer.plain :])
    assert models.load("gpt", str(tmp_path), seed=1).fingerprint == gpt.fingerprint != other.fingerprint


def test_the_small_release_that_others_test_with_is_read(shared: Path, tmp_path: Path) -> None:
    """The arrays alone: its vocabulary lacks single characters."""
    archive = shared / "parity" / "gpt_allennlp" / "transformer_small.tar.gz"
    if not archive.is_file():
        pytest.skip(f"needs {archive}")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    folder = tmp_path / "model"
    arguments, found = gpt_layout.read_release(folder)
    assert arguments == {"layers": 2, "width": 10, "positions": 50, "heads": 1}
    rates = {"dropout": 0.0, "attention_dropout": 0.0, "epsilon": 1e-5}
    form = {"activation": "gelu_tanh", "network": "transformer", "cells": 1}
    encoder = GptEncoder(vocabulary=len(found["words.weight"]), **arguments, **rates, **form)
    folders.fill(encoder, found, folder)
    shapes = json.loads((folder / "params_shapes.json").read_text())
    flat = np.concatenate([np.load(folder / f"params_{n}.npy") for n in (0, 1)])
    cut = np.split(flat, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
    model = filled([a.reshape(s).astype(np.float32) for a, s in zip(cut, shapes, strict=True)], 1)
    x = inputs(50, padded=True)
    for mine, theirs in zip(encoder.eval()(x), read(model, x).hidden_states, strict=True):
        close(mine[real(x)], theirs[real(x)])


def test_the_shapes_of_the_release_are_those_of_the_published_network(shared: Path) -> None:
    path = shared / "parity" / "gpt_openai" / "params_shapes.json"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    shapes = json.loads(path.read_text())
    assert sum(map(math.prod, shapes)) == 116_534_784
    assert (len(shapes) - 2) % 12 == 0 and len(shapes) == 2 + 12 * 12
    with torch.device("meta"):
        model = transformers.OpenAIGPTModel(transformers.OpenAIGPTConfig())
        form = {"dropout": 0.1, "attention_dropout": 0.1, "epsilon": 1e-5, "network": "transformer"}
        size = {"vocabulary": 40478, "layers": 12, "width": 768, "heads": 12, "positions": 512}
        encoder = GptEncoder(**size, **form, activation="gelu_tanh", cells=1)
    theirs, ours = model.state_dict(), encoder.state_dict()
    slots = ["positions_embed.weight", "tokens_embed.weight"]
    slots += [name for name in gpt_layout.names(12) if name.startswith("h.")]
    for slot, shape in zip(slots, shapes, strict=True):
        flat = shape[1:] if len(shape) == 3 else shape
        assert list(theirs[slot].shape) == flat
        assert list(gpt_layout.turned(slot, ours[gpt_layout.names(12)[slot]]).shape) == flat


TEXTS = [" ".join(WORDS)] * 3
MADE: dict[str, Callable[[], Any]] = {
    "gpt": lambda: Gpt(train_bpe(TEXTS, size=60), layers=3, width=12, heads=2, positions=9),
    "gpt-lstm": lambda: Gpt(train_bpe(TEXTS, size=60), layers=3, width=12, cells=7, network="lstm"),
    "bert": lambda: Bert(train_wordpiece(TEXTS, size=60), layers=3, width=12, heads=2, positions=9),
    "elmo": lambda: Elmo(
        train_words(TEXTS),
        layers=3,
        cells=7,
        projection=5,
        characters=4,
        filters=[[1, 4], [2, 3]],
        highways=1,
    ),
}
BELOW = re.compile(r"(words|positions|segments|embedding_norm)\.")
NUMBER = re.compile(r"(?:blocks|directions\.\d)\.(\d+)\.")


@pytest.mark.parametrize("layers", range(4))
@pytest.mark.parametrize("name", MADE)
def test_the_lowest_layers_are_kept_and_the_others_drawn_afresh(name: str, layers: int) -> None:
    ends = []
    for seed in (4, 4, 5):
        backend = MADE[name]()
        backend.draw(1)
        spread(backend.encoder)  # no weight is what a draw could give
        before = {k: v.clone() for k, v in backend.encoder.state_dict().items()}
        models.redraw_above(backend, layers, seed)
        after = backend.encoder.state_dict()
        for key, value in before.items():
            found = NUMBER.match(key)
            kept = bool(BELOW.match(key)) or (found is not None and int(found[1]) < layers)
            kept |= layers == 3  # all of them, and what stands on the top one
            assert value.equal(after[key]) == kept, key
        ends.append(after)
    first, again, other = ends
    assert all(first[k].equal(again[k]) for k in first)
    assert all(first[k].equal(other[k]) for k in first) == (layers == 3)


def test_layers_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(UserError, match="4 is more than the 3 layers"):
        models.redraw_above(MADE["gpt"](), 4, 1)
    static = registry.backends.build({"name": "static", "width": 4}, train_words(TEXTS))
    with pytest.raises(UserError, match="static has no stack of layers"):
        models.redraw_above(static, 1, 1)
