"""Our BERT against `transformers` on random tiny weights, with sizes that are all different numbers."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from lmcompare.backends.bert import Bert
from lmcompare.batches import Inputs
from lmcompare.objectives.ltr import Ltr, asked
from lmcompare.objectives.mlm_nsp import Batch, Mlm, MlmNsp
from lmcompare.text.wordpiece import WordPiece, train_wordpiece

LAYERS, WIDTH, HEADS, INNER, POSITIONS = 3, 20, 5, 28, 17
WORDS = [f"{a}{b}{c}" for a in "bdfg" for b in "aeiou" for c in "klmn"]


@pytest.fixture(scope="module")
def tokenizer() -> WordPiece:
    return train_wordpiece([" ".join(WORDS)] * 3, size=71)


@pytest.fixture
def ours(tokenizer: WordPiece) -> Bert:
    return tiny(tokenizer)


def tiny(tokenizer: WordPiece, *, causal: bool = False) -> Bert:
    bert = Bert(
        tokenizer,
        layers=LAYERS,
        width=WIDTH,
        heads=HEADS,
        inner=INNER,
        positions=POSITIONS,
        dropout=0.0,
        init_std=0.2,
        causal=causal,
    )
    bert.draw(1)
    bert.encoder.eval()
    return bert


def inputs(size: int, rows: int = 4, length: int = 11, padded: bool = True) -> Inputs:
    rng = np.random.default_rng(7)
    ids = torch.from_numpy(rng.integers(5, size, (rows, length)))
    segments = torch.from_numpy((np.arange(length)[None] > rng.integers(3, 8, (rows, 1))).astype(np.int64))
    lengths = torch.tensor([length, 7, 9, length][:rows])
    mask = torch.arange(length)[None] < lengths[:, None] if padded else None
    return Inputs(ids, segments, mask, torch.zeros(rows, dtype=torch.long))


def theirs(bert: Bert, folder: Path, kind: str, heads: dict[str, torch.Tensor] | None = None):
    import transformers

    bert.save(folder, heads)
    model = getattr(transformers, kind).from_pretrained(folder, attn_implementation="eager")
    return model.eval()


def close(a: torch.Tensor, b: torch.Tensor, bound: float = 1e-5) -> None:
    scale = b.detach().abs().max().clamp(min=1e-6)
    assert ((a - b).abs().max() / scale).item() < bound


@pytest.mark.parametrize("padded", [True, False])
def test_every_layer_and_the_pooler_agree(ours: Bert, tmp_path: Path, padded: bool) -> None:
    x = inputs(ours.tokenizer.size, padded=padded)
    reference = theirs(ours, tmp_path, "BertModel")(
        input_ids=x.ids_BT,
        token_type_ids=x.segments_BT,
        attention_mask=None if x.mask_BT is None else x.mask_BT.long(),
        output_hidden_states=True,
    )
    layers = ours.encoder(x)
    real = torch.ones_like(x.ids_BT, dtype=torch.bool) if x.mask_BT is None else x.mask_BT
    assert len(layers) == LAYERS + 1 == len(reference.hidden_states)
    for mine, other in zip(layers, reference.hidden_states, strict=True):
        close(mine[real], other[real])
    close(ours.encoder.pool(layers[-1], x.pool_B), reference.pooler_output)


def pretraining_batch(size: int) -> Batch:
    x = inputs(size)
    places = torch.tensor([1, 4, 12, 25, 40])
    return Batch(x, places, torch.tensor([9, 8, 7, 11, 6]), torch.tensor([0, 1, 1, 0]))


def test_pretraining_loss_and_gradients_agree(ours: Bert, tmp_path: Path) -> None:
    objective = MlmNsp(ours, length=POSITIONS)
    objective.draw(2)
    with torch.no_grad():
        objective.head.bias.normal_(generator=torch.Generator().manual_seed(3))
    reference = theirs(ours, tmp_path, "BertForPreTraining", objective.heads())
    batch = pretraining_batch(ours.tokenizer.size)
    labels = torch.full_like(batch.inputs.ids_BT, -100).flatten()
    labels[batch.places_M] = batch.words_M
    output = reference(
        input_ids=batch.inputs.ids_BT,
        token_type_ids=batch.inputs.segments_BT,
        attention_mask=batch.inputs.mask_BT.long(),
        labels=labels.view_as(batch.inputs.ids_BT),
        next_sentence_label=batch.random_B,
    )
    losses = objective.losses(batch)
    loss = losses["mlm"] / len(batch.words_M) + losses["nsp"] / len(batch.random_B)
    close(loss, output.loss)
    loss.backward()
    output.loss.backward()
    close(ours.encoder.words.weight.grad, reference.bert.embeddings.word_embeddings.weight.grad)
    for n, block in enumerate(ours.encoder.blocks):
        layer = reference.bert.encoder.layer[n]
        parts = [getattr(layer.attention.self, k).weight.grad for k in ("query", "key", "value")]
        close(block.attention.qkv.weight.grad, torch.cat(parts))
        close(block.up.weight.grad, layer.intermediate.dense.weight.grad)
        close(block.norm.bias.grad, layer.output.LayerNorm.bias.grad)
    close(objective.head.transform.weight.grad, reference.cls.predictions.transform.dense.weight.grad)
    close(objective.head.bias.grad, reference.cls.predictions.bias.grad)


def test_masked_words_alone_agree(ours: Bert, tmp_path: Path) -> None:
    """Without next sentences nothing trains the pooler, so the folder holds none."""
    objective = Mlm(ours, length=POSITIONS)
    objective.draw(2)
    reference = theirs(ours, tmp_path, "BertForMaskedLM", objective.heads())
    assert not [name for name in load_file(tmp_path / "model.safetensors") if "pooler" in name]
    assert "BertForMaskedLM" in (tmp_path / "config.json").read_text()
    batch = pretraining_batch(ours.tokenizer.size)
    answer = reference(
        input_ids=batch.inputs.ids_BT,
        token_type_ids=batch.inputs.segments_BT,
        attention_mask=batch.inputs.mask_BT.long(),
    )
    words_MV, judged = objective(batch)
    assert judged is None and set(objective.losses(batch)) == {"mlm"}
    close(words_MV, answer.logits.flatten(0, 1)[batch.places_M])


def test_left_to_right_agrees(tokenizer: WordPiece, tmp_path: Path) -> None:
    ours = tiny(tokenizer, causal=True)
    objective = Ltr(ours, length=POSITIONS)
    objective.draw(2)
    with torch.no_grad():
        objective.head.bias.normal_(generator=torch.Generator().manual_seed(3))
    reference = theirs(ours, tmp_path, "BertLMHeadModel", objective.heads())
    x = inputs(tokenizer.size)
    batch = asked(x)
    labels = x.ids_BT.masked_fill(~x.mask_BT, -100)
    output = reference(
        input_ids=x.ids_BT, token_type_ids=x.segments_BT, attention_mask=x.mask_BT.long(), labels=labels
    )
    loss = objective.losses(batch)["lm"] / len(batch.words_M)
    close(loss, output.loss)
    loss.backward()
    output.loss.backward()
    close(ours.encoder.words.weight.grad, reference.bert.embeddings.word_embeddings.weight.grad)
    close(objective.head.bias.grad, reference.cls.predictions.bias.grad)
    assert Bert.load(tmp_path).settings["causal"]


def test_a_folder_that_transformers_saved_is_read_back(tokenizer: WordPiece, tmp_path: Path) -> None:
    import transformers

    config = transformers.BertConfig(
        vocab_size=tokenizer.size,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        max_position_embeddings=POSITIONS,
        hidden_act="gelu_new",
    )
    reference = transformers.BertModel(config).eval()
    reference.save_pretrained(tmp_path)
    tokenizer.save(tmp_path)
    bert = Bert.load(tmp_path)
    bert.encoder.eval()
    x = inputs(tokenizer.size)
    expected = reference(input_ids=x.ids_BT, token_type_ids=x.segments_BT, attention_mask=x.mask_BT.long())
    close(bert.encoder(x)[-1][x.mask_BT], expected.last_hidden_state[x.mask_BT])
    assert bert.settings["activation"] == "gelu_tanh"


def test_saving_and_loading_changes_nothing(ours: Bert, tmp_path: Path) -> None:
    ours.save(tmp_path)
    again = Bert.load(tmp_path)
    assert again.fingerprint == ours.fingerprint
    for name, tensor in ours.encoder.state_dict().items():
        assert torch.equal(tensor, again.encoder.state_dict()[name]), name


def test_classification_head_agrees(ours: Bert, tmp_path: Path) -> None:
    """The fine-tuned form: pooled [CLS], one linear layer, cross-entropy."""
    import transformers

    reference = theirs(ours, tmp_path, "BertForSequenceClassification")
    assert isinstance(reference, transformers.BertForSequenceClassification)
    x = inputs(ours.tokenizer.size)
    labels = torch.tensor([0, 1, 0, 1])
    output = reference(
        input_ids=x.ids_BT,
        token_type_ids=x.segments_BT,
        attention_mask=x.mask_BT.long(),
        labels=labels,
    )
    head = torch.nn.Linear(WIDTH, 2)
    head.load_state_dict(reference.classifier.state_dict())
    logits = head(ours.encoder.pool(ours.encoder(x)[-1], x.pool_B))
    close(logits, output.logits)
    close(F.cross_entropy(logits, labels), output.loss)


def test_the_dummy_checkpoint_of_2019_is_read(shared: Path, tmp_path: Path) -> None:
    """A tiny random BERT that others made, with the old gamma and beta names, saved again without a pickle."""
    from safetensors.torch import save_file

    folder = shared / "parity" / "bert_tiny_dummy"
    old = torch.load(folder / "pytorch_model.bin", weights_only=True)
    save_file({k: v.contiguous() for k, v in old.items()}, tmp_path / "model.safetensors")
    config = (folder / "config.json").read_text()
    config = config if '"model_type"' in config else config.replace("{", '{"model_type": "bert",', 1)
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "vocab.txt").write_bytes((folder / "vocab.txt").read_bytes())
    import transformers

    reference = transformers.BertModel.from_pretrained(tmp_path).eval()
    bert = Bert.load(tmp_path)
    bert.encoder.eval()
    x = inputs(bert.tokenizer.size, padded=False)
    expected = reference(input_ids=x.ids_BT, token_type_ids=x.segments_BT).last_hidden_state
    close(bert.encoder(x)[-1], expected)
