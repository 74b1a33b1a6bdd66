"""BERT's steps (30,522 pieces, 4 layers of 256) beside those of `transformers`."""
# ruff: noqa: TID253

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from lmcompare import batches, registry
from lmcompare.backends.bert import Bert
from lmcompare.device import Machine
from lmcompare.experiments.bench.turns import EPOCH_PART, RATE, SIZES, Pair
from lmcompare.objectives.mlm_nsp import Batch, MlmNsp
from lmcompare.types import View

BASE = {"layers": 12, "width": 768, "heads": 12, "positions": 512}
MASKED = 0.15  # of the tokens
VOCABULARY, LENGTH, PRETRAINING_BATCH, TUNING_BATCH = 30_522, 128, 32, 32


class Vocabulary:
    """The ids of BERT's released vocabulary, which the speed does not depend on."""

    size, pad_id, unk_id, cls_id, sep_id, mask_id = VOCABULARY, 0, 100, 101, 102, 103


def pretraining(
    machine: Machine,
    *,
    sizes: dict[str, int] = SIZES,
    length: int = LENGTH,
    size: int = PRETRAINING_BATCH,
    name: str = "BERT",
) -> Pair:
    """Masked LM and next sentence: BertForPreTraining as its documentation uses it, and ours."""
    from transformers import BertConfig, BertForPreTraining

    backend = Bert(Vocabulary(), **sizes)  # type: ignore[arg-type]
    backend.draw(1)
    objective = MlmNsp(backend, length=length)
    objective.draw(2)
    objective.to(machine.device).train()
    reference: Any = BertForPreTraining(their_config(BertConfig, sizes))
    reference.to(machine.device).train()
    batch = random_instances(backend, size, length).to(machine.device)
    labels_BT = torch.full_like(batch.inputs.ids_BT, -100).flatten()
    labels_BT[batch.places_M] = batch.words_M
    labels_BT = labels_BT.view_as(batch.inputs.ids_BT)
    optimizer = registry.optimizers.build({"name": "adamw", "rate": RATE}, objective.named_parameters())
    ordinary = torch.optim.AdamW(reference.parameters(), lr=RATE)

    def ours() -> int:
        optimizer.zero_grad(set_to_none=True)
        with machine.autocast():
            losses = objective.losses(batch)
        counts = objective.counts(batch)
        sum(losses[k] / counts[k] for k in losses).backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        optimizer.step()
        return batch.tokens

    def theirs() -> int:
        ordinary.zero_grad()
        with machine.autocast():
            answer = reference(
                input_ids=batch.inputs.ids_BT,
                token_type_ids=batch.inputs.segments_BT,
                attention_mask=torch.ones_like(batch.inputs.ids_BT),
                labels=labels_BT,
                next_sentence_label=batch.random_B,
            )
        answer.loss.backward()
        torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
        ordinary.step()
        return batch.tokens

    title = f"{name}: pretraining step, {size} × {length} tokens"
    return Pair(ours, theirs, title, "BertForPreTraining in a plain loop", operations(sizes, length))


def base_128(machine: Machine, *, size: int = 256) -> Pair:
    """The published size; as many tokens a step as fill a large GPU."""
    return pretraining(machine, sizes=BASE, size=size, name="BERT-base")


def base_512(machine: Machine, *, size: int = 64) -> Pair:
    """The same with the longest instances."""
    return pretraining(machine, sizes=BASE, length=512, size=size, name="BERT-base")


def operations(sizes: dict[str, int], length: int) -> float:
    """Multiplications and additions that a token of a full sequence needs, the backward pass counted twice the forward
    one: the matrices of each layer, attention over the sequence, and the head at the masked tokens alone."""
    width, inner = sizes["width"], sizes.get("inner", 4 * sizes["width"])
    layer = 2 * (4 * width**2 + 2 * width * inner) + 4 * length * width
    head = 2 * (width**2 + width * VOCABULARY) * MASKED
    return 3.0 * (sizes["layers"] * layer + head)


def random_instances(backend: Any, size: int, length: int) -> Batch:
    """Full sequences with 15 % of the tokens to be told."""
    rng = np.random.default_rng(1)
    ids_BT = rng.integers(1000, VOCABULARY, (size, length))
    segments = (np.arange(length) >= length // 2).astype(int).tolist()
    inputs = backend.stack([View(row.tolist(), segments) for row in ids_BT])
    masked = round(MASKED * length)
    places = [b * length + p for b in range(size) for p in rng.permutation(length)[:masked]]
    words = torch.from_numpy(rng.integers(1000, VOCABULARY, len(places)))
    followed = torch.from_numpy(rng.integers(0, 2, size))
    return Batch(inputs, torch.tensor(places), words, followed)


def tuning(machine: Machine) -> Pair:
    """Fine-tuning on sentences as long as SST-2's: our length buckets, and the same batches padded to 128."""
    from transformers import BertConfig, BertForSequenceClassification

    backend = Bert(Vocabulary(), **SIZES)  # type: ignore[arg-type]
    backend.draw(1)
    head = torch.nn.Linear(SIZES["width"], 2).to(machine.device)
    backend.encoder.to(machine.device).train()
    reference: Any = BertForSequenceClassification(their_config(BertConfig))
    reference.to(machine.device).train()
    views, lengths = short_sentences()
    order = batches.epoch_order(lengths, batch=TUNING_BATCH, seed=1, epoch=0, buckets=True)
    labels = torch.from_numpy(np.random.default_rng(2).integers(0, 2, len(views)))
    named = [*backend.encoder.named_parameters(), *head.named_parameters()]
    optimizer = registry.optimizers.build({"name": "adamw", "rate": RATE}, named)
    ordinary = torch.optim.AdamW(reference.parameters(), lr=RATE)
    turn = {"ours": 0, "theirs": 0}

    def chosen(side: str) -> np.ndarray:
        turn[side] += 1
        return order[(turn[side] - 1) % len(order)]

    def ours() -> int:
        tokens = 0
        for _ in range(EPOCH_PART):
            rows = chosen("ours")
            inputs = backend.stack([views[i] for i in rows]).to(machine.device)
            optimizer.zero_grad(set_to_none=True)
            with machine.autocast():
                pooled = backend.encoder.pool(backend.encoder(inputs)[-1], inputs.pool_B)
                loss = F.cross_entropy(head(pooled).float(), labels[rows].to(machine.device))
            loss.backward()
            torch.nn.utils.clip_grad_norm_([p for _, p in named], 1.0)
            optimizer.step()
            tokens += int(lengths[rows].sum())
        return tokens

    def theirs() -> int:
        tokens = 0
        for _ in range(EPOCH_PART):
            rows = chosen("theirs")
            ids_BT, mask_BT = padded([views[i] for i in rows])
            ordinary.zero_grad()
            with machine.autocast():
                answer = reference(
                    input_ids=ids_BT.to(machine.device),
                    attention_mask=mask_BT.to(machine.device),
                    labels=labels[rows].to(machine.device),
                )
            answer.loss.backward()
            torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
            ordinary.step()
            tokens += int(lengths[rows].sum())
        return tokens

    title = f"BERT: fine-tuning on short sentences, {EPOCH_PART} steps of {TUNING_BATCH}"
    return Pair(ours, theirs, title, f"BertForSequenceClassification padded to {LENGTH}")


def their_config(kind: Any, sizes: dict[str, int] = SIZES) -> Any:
    return kind(
        vocab_size=VOCABULARY,
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        intermediate_size=4 * sizes["width"],
    )


def short_sentences() -> tuple[list[View], np.ndarray]:
    """Lengths spread like SST-2's training phrases and sentences: 3 to 60 pieces, about 25 on average."""
    rng = np.random.default_rng(3)
    lengths = np.clip(rng.gamma(4.0, 5.5, EPOCH_PART * TUNING_BATCH).astype(int) + 3, 3, 60)
    views = [View([101, *rng.integers(1000, VOCABULARY, n - 2).tolist(), 102], [0] * n) for n in lengths]
    return views, lengths


def padded(views: list[View]) -> tuple[torch.Tensor, torch.Tensor]:
    ids_BT = torch.zeros(len(views), LENGTH, dtype=torch.long)
    mask_BT = torch.zeros(len(views), LENGTH, dtype=torch.long)
    for b, view in enumerate(views):
        ids_BT[b, : len(view.ids)] = torch.tensor(view.ids)
        mask_BT[b, : len(view.ids)] = 1
    return ids_BT, mask_BT
