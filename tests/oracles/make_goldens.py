"""What AllenNLP answers, for our modules to be held to: `make goldens` (run by the interpreter of `make allennlp`).

Small seeded weights go into the package's own modules, fixed inputs through them, and both sides to `tests/goldens`.
Sizes are all different numbers; there is no dropout. The package's modules are only called, never changed.
"""

import argparse
import importlib.util
import json
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

REPO = Path(__file__).resolve().parents[2]
SEED = 20180215
Arrays = dict[str, np.ndarray]

ELMO = {
    "bidirectional": True,
    "lstm": {
        "n_layers": 2, "dim": 14, "projection_dim": 10, "cell_clip": 0.9, "proj_clip": 0.4,
        "use_skip_connections": True,
    },
    "char_cnn": {
        "embedding": {"dim": 6}, "filters": [[1, 5], [2, 7], [3, 11]], "activation": "relu", "n_highway": 2,
        "n_characters": 262, "max_characters_per_token": 50,
    },
}  # fmt: skip
DEEPER = {
    "bidirectional": True,
    "lstm": {
        "n_layers": 3, "dim": 9, "projection_dim": 7, "cell_clip": None, "proj_clip": None,
        "use_skip_connections": True,
    },
    "char_cnn": {
        "embedding": {"dim": 4}, "filters": [[2, 8], [5, 6]], "activation": "tanh", "n_highway": 1,
        "n_characters": 261, "max_characters_per_token": 50,
    },
}  # fmt: skip
SENTENCES = [
    ["The", "cats", "'re", "naïve", ",", "aren't", "they", "?"],
    ["日本語", "と", "🙂", "👩‍👩‍👧", "é"],
    ["Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", "ends"],
    ["a"],
    ["x" * 47, "x" * 48, "x" * 49, "aé" * 20, "日" * 17, "z"],
    ["<S>", "</S>", "<UNK>", "</s>", "\u200b", "ﬁ", "Ⅳ", "½", "ͅ", "-", "3.14"],
    ["Straße", "ΑΣ", "ας", "İstanbul", "и", "в"],
]
STATEFUL = [[0, 1, 2], [4, 3], [5, 6, 0, 1]]  # which sentences follow each other where states are kept


def shimmed() -> ModuleType:
    """The worker's own way to make the package importable."""
    path = REPO / "lmcompare" / "backends" / "allennlp_worker.py"
    spec = importlib.util.spec_from_file_location("allennlp_worker", path)
    worker = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(worker)  # type: ignore[union-attr]
    worker.shim()
    return worker


def drawn(name: str, *shape: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    """Uniform numbers that hang on the name alone."""
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    return rng.uniform(low, high, shape).astype(np.float32)


def fill(module: Any, key: str) -> None:
    """Weights of every parameter, biases too, drawn by its name."""
    import torch

    for name, p in module.named_parameters():
        if p.requires_grad:
            scale = (3.0 / p.shape[-1]) ** 0.5 if p.ndim > 1 else 0.5
            p.data.copy_(torch.from_numpy(drawn(f"{key}/{name}", *p.shape) * np.float32(scale)))


def weights(module: Any) -> Arrays:
    return {f"weights/{name}": tensor.numpy() for name, tensor in module.state_dict().items()}


def vectors(key: str, lengths: list[int], width: int) -> tuple[Any, Any]:
    """Embedded words and which of them are real; the others are no zeros, so that a mask that leaks is seen."""
    import torch

    x_BTD = torch.from_numpy(drawn(key, len(lengths), max(lengths), width, low=-2.0, high=2.0))
    return x_BTD, torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


# --- ELMo


def write_release(folder: Path, options: dict[str, Any], key: str) -> None:
    """Drawn weights in the format that the authors released theirs in."""
    import h5py

    lstm, cnn = options["lstm"], options["char_cnn"]
    total, P, C = sum(n for _, n in cnn["filters"]), lstm["projection_dim"], lstm["dim"]
    shapes = {"char_embed": (261, cnn["embedding"]["dim"])}
    for n, (width, count) in enumerate(cnn["filters"]):
        shapes |= {f"CNN/W_cnn_{n}": (1, width, cnn["embedding"]["dim"], count), f"CNN/b_cnn_{n}": (count,)}
    for n in range(cnn["n_highway"]):
        for which in ("transform", "carry"):
            name = f"CNN_high_{n}/"
            shapes |= {f"{name}W_{which}": (total, total), f"{name}b_{which}": (total,)}
    shapes |= {"CNN_proj/W_proj": (total, P), "CNN_proj/b_proj": (P,)}
    for direction in range(2):
        for n in range(lstm["n_layers"]):
            name = f"RNN_{direction}/RNN/MultiRNNCell/Cell{n}/LSTMCell/"
            shapes |= {f"{name}W_0": (2 * P, 4 * C), f"{name}B": (4 * C,), f"{name}W_P_0": (C, P)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "options.json").write_text(json.dumps(options, indent=1) + "\n", encoding="utf-8")
    with h5py.File(folder / "weights.hdf5", "w") as file:
        for name, shape in shapes.items():
            scale = (3.0 / shape[-2]) ** 0.5 if len(shape) > 1 and name != "char_embed" else 1.0
            file[name] = drawn(f"{key}/{name}", *shape) * np.float32(scale)


def layers_of(elmo: Any, sentences: list[list[str]]) -> np.ndarray:
    """L × B × T × D, zeros where a row has no word."""
    import torch
    from allennlp.modules.elmo import batch_to_ids, remove_sentence_boundaries

    made = elmo._elmo_lstm(batch_to_ids(sentences))
    return torch.stack([remove_sentence_boundaries(x, made["mask"])[0] for x in made["activations"]]).numpy()


def elmo(folder: Path) -> Arrays:
    from allennlp.modules.elmo import batch_to_ids

    write_release(folder, ELMO, "elmo")
    (folder / "sentences.json").write_text(
        json.dumps({"sentences": SENTENCES, "stateful": STATEFUL}, indent=1) + "\n", encoding="utf-8"
    )
    arrays = {"inputs/characters": batch_to_ids(SENTENCES).numpy().astype(np.int16)}
    arrays["outputs/layers"] = layers_of(open_elmo(folder), SENTENCES)
    keeping = open_elmo(folder)
    for n, rows in enumerate(STATEFUL):
        arrays[f"outputs/stateful_{n}"] = layers_of(keeping, [SENTENCES[r] for r in rows])
    mix = drawn("elmo/mix", 3)
    mixed = open_elmo(folder, scalar_mix_parameters=mix.tolist())(batch_to_ids(SENTENCES))
    arrays |= {"inputs/mix": mix, "outputs/mixed": mixed["elmo_representations"][0].numpy()}
    arrays |= {f"outputs/plain_{n}": without_skips(open_elmo(folder), s) for n, s in enumerate(SENTENCES)}
    return arrays


def elmo_deeper(folder: Path) -> Arrays:
    write_release(folder, DEEPER, "deeper")
    return {"outputs/layers": layers_of(open_elmo(folder), SENTENCES)}


def open_elmo(folder: Path, **more: Any) -> Any:
    from allennlp.modules.elmo import Elmo

    files = str(folder / "options.json"), str(folder / "weights.hdf5")
    return Elmo(*files, num_output_representations=1, dropout=0.0, **more).eval()


def without_skips(elmo: Any, sentence: list[str]) -> np.ndarray:
    """The package refuses a biLM without skip connections: its own cells, one after the other. L × T × D."""
    import torch
    from allennlp.modules.elmo import batch_to_ids

    bilm = elmo._elmo_lstm
    word_1SP = bilm._token_embedder(batch_to_ids([sentence]))["token_embedding"]
    layers, both = [torch.cat([word_1SP, word_1SP], -1)], [word_1SP, word_1SP]
    for cells in zip(bilm._elmo_lstm.forward_layers, bilm._elmo_lstm.backward_layers, strict=True):
        both = [cell(x, [word_1SP.shape[1]])[0] for cell, x in zip(cells, both, strict=True)]
        layers.append(torch.cat(both, -1))
    return torch.stack(layers)[:, 0, 1:-1].numpy()


def scalar_mix() -> Arrays:
    import torch
    from allennlp.modules import ScalarMix

    x_BTD, mask_BT = vectors("mix/0", [5, 3, 1], 6)
    tensors = [x_BTD * 2 + 0.5, *(vectors(f"mix/{n}", [5, 3, 1], 6)[0] * n - 1 for n in range(1, 4))]
    plain, normed = (ScalarMix(4, do_layer_norm=norm) for norm in (False, True))
    fill(plain, "mix")
    normed.load_state_dict(plain.state_dict())
    alone = [normed([x[b : b + 1] for x in tensors], mask_BT[b : b + 1]) for b in range(3)]
    return {
        **weights(plain),
        "inputs/layers": torch.stack(tensors).numpy(),
        "inputs/mask": mask_BT.numpy(),
        "outputs/plain": plain(tensors, mask_BT).numpy(),
        "outputs/normed_over_batch": normed(tensors, mask_BT).numpy(),
        "outputs/normed_alone": torch.cat(alone).numpy(),
    }


# --- Task networks


def given(width: int) -> Any:
    """A text field whose vectors are given."""
    from allennlp.modules.text_field_embedders import BasicTextFieldEmbedder
    from allennlp.modules.token_embedders import PassThroughTokenEmbedder

    class Given(PassThroughTokenEmbedder):
        def forward(self, tokens: Any, mask: Any) -> Any:
            return tokens

    return BasicTextFieldEmbedder({"words": Given(width)})


def field(x_BTD: Any, mask_BT: Any) -> Any:
    return {"words": {"tokens": x_BTD, "mask": mask_BT}}


def bilstm(width: int, hidden: int, layers: int = 1) -> Any:
    from allennlp.modules.seq2seq_encoders import LstmSeq2SeqEncoder

    return LstmSeq2SeqEncoder(width, hidden, layers, bidirectional=True)


def feedforward(width: int, hidden: int, activation: str) -> Any:
    from allennlp.modules import FeedForward
    from allennlp.nn import Activation

    return FeedForward(width, 1, hidden, Activation.by_name(activation)(), dropout=0.0)


def labels(count: int) -> Any:
    from allennlp.data import Vocabulary

    vocabulary = Vocabulary()
    for n in range(count):
        vocabulary.add_token_to_namespace(f"label {n}", "labels")
    return vocabulary


def esim() -> Arrays:
    import torch
    from allennlp.modules.matrix_attention import DotProductMatrixAttention
    from allennlp_models.pair_classification.models.esim import ESIM

    model = ESIM(
        labels(3),
        given(6),
        encoder=bilstm(6, 5),
        matrix_attention=DotProductMatrixAttention(),
        projection_feedforward=feedforward(4 * 10, 7, "relu"),
        inference_encoder=bilstm(7, 4),
        output_feedforward=feedforward(4 * 8, 9, "relu"),
        output_logit=feedforward(9, 3, "linear"),
        dropout=0.0,
    ).eval()
    fill(model, "esim")
    first, second = vectors("esim/premise", [8, 4, 1, 3], 6), vectors("esim/hypothesis", [2, 5, 3, 1], 6)
    label = torch.tensor([2, 0, 1, 2])
    made = model(field(*first), field(*second), label=label)
    return {
        **weights(model),
        "inputs/premise": first[0].numpy(),
        "inputs/premise_mask": first[1].numpy(),
        "inputs/hypothesis": second[0].numpy(),
        "inputs/hypothesis_mask": second[1].numpy(),
        "inputs/label": label.numpy(),
        "outputs/logits": made["label_logits"].numpy(),
        "outputs/loss": made["loss"].numpy(),
    }


def bcn() -> Arrays:
    import torch
    from allennlp.modules import Maxout
    from allennlp_models.classification import BiattentiveClassificationNetwork

    model = BiattentiveClassificationNetwork(
        labels(5),
        given(6),
        embedding_dropout=0.0,
        pre_encode_feedforward=feedforward(6, 8, "relu"),
        encoder=bilstm(8, 7),
        integrator=bilstm(3 * 14, 9),
        integrator_dropout=0.0,
        output_layer=Maxout(4 * 18, num_layers=3, output_dims=[12, 11, 5], pool_sizes=[4, 3, 2]),
    ).eval()
    fill(model, "bcn")
    x_BTD, mask_BT = vectors("bcn/words", [7, 1, 4, 3], 6)
    label = torch.tensor([4, 0, 2, 1])
    made = model(field(x_BTD, mask_BT), label=label)
    return {
        **weights(model),
        "inputs/words": x_BTD.numpy(),
        "inputs/mask": mask_BT.numpy(),
        "inputs/label": label.numpy(),
        "outputs/logits": made["logits"].numpy(),
        "outputs/loss": made["loss"].numpy(),
    }


def bidaf() -> Arrays:
    import torch
    from allennlp.modules.matrix_attention import LinearMatrixAttention
    from allennlp_models.rc.models import BidirectionalAttentionFlow

    model = BidirectionalAttentionFlow(
        labels(1),
        given(6),
        num_highway_layers=2,
        phrase_layer=bilstm(6, 4),
        matrix_attention=LinearMatrixAttention(8, 8, combination="x,y,x*y"),
        modeling_layer=bilstm(4 * 8, 5, 2),
        span_end_encoder=bilstm(4 * 8 + 3 * 10, 3),
        dropout=0.0,
    ).eval()
    fill(model, "bidaf")
    question, passage = vectors("bidaf/question", [3, 5, 1], 6), vectors("bidaf/passage", [9, 4, 7], 6)
    start, end = torch.tensor([[2], [0], [6]]), torch.tensor([[5], [3], [6]])
    made = model(field(*question), field(*passage), span_start=start, span_end=end)
    names = ("span_start_logits", "span_end_logits", "passage_question_attention", "best_span", "loss")
    return {
        **weights(model),
        "inputs/question": question[0].numpy(),
        "inputs/question_mask": question[1].numpy(),
        "inputs/passage": passage[0].numpy(),
        "inputs/passage_mask": passage[1].numpy(),
        "inputs/span_start": start[:, 0].numpy(),
        "inputs/span_end": end[:, 0].numpy(),
        **{f"outputs/{name}": made[name].numpy() for name in names},
    }


TAGS = {
    "BIO": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    "BIOUL": ["O", "B-X", "I-X", "L-X", "U-X", "B-Y", "I-Y", "L-Y", "U-Y"],
}


def crf() -> Arrays:
    """For each scheme: how likely given tags are, and the best allowed ones."""
    import torch
    from allennlp.modules.conditional_random_field import ConditionalRandomField, allowed_transitions

    arrays: Arrays = {}
    for scheme, tags in TAGS.items():
        allowed = allowed_transitions(scheme, dict(enumerate(tags)))
        model, free = ConditionalRandomField(len(tags), allowed), ConditionalRandomField(len(tags))
        fill(model, f"crf/{scheme}")
        own = {name: tensor for name, tensor in model.state_dict().items() if "constraint" not in name}
        free.load_state_dict(own, strict=False)
        x_BTV, mask_BT = vectors(f"crf/{scheme}/logits", [6, 1, 4, 5], len(tags))
        chosen = drawn(f"crf/{scheme}/tags", *mask_BT.shape, low=0, high=len(tags))
        tags_BT = torch.from_numpy(chosen.astype(np.int64))
        rows = [slice(b, b + 1) for b in range(len(x_BTV))]
        found = {
            "outputs/log_likelihood": model(x_BTV, tags_BT, mask_BT).numpy(),
            "outputs/log_likelihoods": np.array(
                [float(model(x_BTV[r], tags_BT[r], mask_BT[r])) for r in rows], dtype=np.float32
            ),
            **best("constrained", model.viterbi_tags(x_BTV, mask_BT), mask_BT.shape),
            **best("free", free.viterbi_tags(x_BTV, mask_BT), mask_BT.shape),
        }
        found |= {f"weights/{name}": tensor.numpy() for name, tensor in own.items()}
        found |= {
            "inputs/logits": x_BTV.numpy(),
            "inputs/mask": mask_BT.numpy(),
            "inputs/tags": tags_BT.numpy(),
        }
        found |= {"inputs/labels": np.array(tags), "outputs/allowed": np.array(allowed, dtype=np.int64)}
        arrays |= {f"{scheme}/{name}": array for name, array in found.items()}
    return arrays


def best(which: str, paths: Any, shape: tuple[int, int]) -> Arrays:
    """Tags a row, −1 where there is no word, and their scores."""
    tags_BT = np.full(shape, -1, dtype=np.int64)
    for b, (tags, _) in enumerate(paths):
        tags_BT[b, : len(tags)] = tags
    scores_B = np.array([score for _, score in paths], dtype=np.float32)
    return {f"outputs/{which}_tags": tags_BT, f"outputs/{which}_scores": scores_B}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPO / "tests" / "goldens")
    out = parser.parse_args().out
    shimmed()
    import torch

    torch.set_num_threads(1)
    with torch.no_grad():
        made = {
            "elmo": elmo(out / "elmo"),
            "elmo_deeper": elmo_deeper(out / "elmo_deeper"),
            "scalar_mix": scalar_mix(),
            "esim": esim(),
            "bcn": bcn(),
            "bidaf": bidaf(),
            "crf": crf(),
        }
    for name, arrays in made.items():
        np.savez_compressed(out / f"{name}.npz", **arrays)  # type: ignore[arg-type]
        print(f"{name}.npz: {len(arrays)} arrays, {(out / f'{name}.npz').stat().st_size} bytes")


if __name__ == "__main__":
    sys.exit(main())
