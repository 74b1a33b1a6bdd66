"""GPT's steps (40,478 pieces and three specials, 4 layers of 256) beside those of `transformers`."""
# ruff: noqa: TID253

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from lmcompare import batches, registry
from lmcompare.backends.gpt import Gpt
from lmcompare.batches import Inputs
from lmcompare.device import Machine
from lmcompare.experiments.bench.turns import EPOCH_PART, RATE, SIZES, Pair
from lmcompare.objectives.clm import Batch, Clm
from lmcompare.transfer.dataset import Dataset
from lmcompare.transfer.learner import TaskLearner
from lmcompare.types import Example, Task

PIECES, WINDOW, WINDOWS, TUNING_BATCH = 40_478, 512, 4, 32
LONGEST, DRAWS = 128, 100  # of the views of a task; for each length that is kept
AUXILIARY = 0.5  # λ: how much the language model's loss counts in fine-tuning
# Gamma distributions near the lengths that the two tasks have in these pieces: 13 and 39 tokens on average, standard
# deviations of 9 and 19, the three specials left out.
SENTENCES, PAIRS = (1.25, 8.2), (3.4, 10.4)


class Vocabulary:
    """The ids of GPT's released vocabulary, which the speed does not depend on; a text is ids in digits."""

    plain, size, unk_id, pad_id = PIECES, PIECES + 3, 0, 0
    start_id, delimiter_id, extract_id = range(PIECES, PIECES + 3)

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]


def pretraining(machine: Machine) -> Pair:
    """The language model over full windows: OpenAIGPTLMHeadModel as its documentation uses it, and ours."""
    from transformers import OpenAIGPTConfig, OpenAIGPTLMHeadModel

    objective = Clm(model(), length=WINDOW)
    objective.to(machine.device).train()
    reference: Any = OpenAIGPTLMHeadModel(their_config(OpenAIGPTConfig, PIECES))
    reference.to(machine.device).train()
    text_BT = torch.from_numpy(np.random.default_rng(1).integers(1, PIECES, (WINDOWS, WINDOW + 1)))
    ids_BT, targets_BT = text_BT[:, :-1].contiguous(), text_BT[:, 1:].contiguous()
    inputs = Inputs(ids_BT, torch.zeros_like(ids_BT), None, torch.full((WINDOWS,), WINDOW - 1))
    batch = Batch(inputs, targets_BT).to(machine.device)
    optimizer = registry.optimizers.build({"name": "adamw", "rate": RATE}, objective.named_parameters())
    ordinary = torch.optim.AdamW(reference.parameters(), lr=RATE)

    def ours() -> int:
        step(objective, batch, optimizer, machine)
        return batch.tokens

    def theirs() -> int:
        ordinary.zero_grad()
        with machine.autocast():
            loss = reference(input_ids=batch.inputs.ids_BT, labels=batch.inputs.ids_BT).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
        ordinary.step()
        return batch.tokens

    title = f"GPT: pretraining step, {WINDOWS} × {WINDOW} tokens"
    return Pair(ours, theirs, title, "OpenAIGPTLMHeadModel in a plain loop")


def tuning_on_sentences(machine: Machine) -> Pair:
    return tuning(machine, "short sentences", sentences())


def tuning_on_pairs(machine: Machine) -> Pair:
    return tuning(machine, "pairs of sentences", pairs())


def tuning(machine: Machine, title: str, examples: list[Example]) -> Pair:
    """Fine-tuning with the auxiliary language model: our length buckets, and batches of the same examples in random
    order, each padded to the longest in it."""
    from transformers import OpenAIGPTConfig, OpenAIGPTDoubleHeadsModel

    backend = model()
    task = Task(title, "classify", ("accuracy",), lambda _: examples, ("0", "1"), len(examples[0].texts))
    transfer = {"name": "finetune", "aux_lm": AUXILIARY}
    learner = TaskLearner(backend, task, transfer)
    learner.draw(1)
    learner.learn_from(Dataset(backend, task, examples, length=SIZES["positions"]))
    learner.to(machine.device).train()
    reference: Any = OpenAIGPTDoubleHeadsModel(their_config(OpenAIGPTConfig, backend.tokenizer.size))
    reference.to(machine.device).train()
    optimizer = registry.optimizers.build({"name": "adamw", "rate": RATE}, learner.named_parameters())
    ordinary = torch.optim.AdamW(reference.parameters(), lr=RATE)
    epochs = {"ours": 0, "theirs": 0}

    def order(side: str) -> list[np.ndarray]:
        epochs[side] += 1
        return batches.epoch_order(
            learner.lengths, batch=TUNING_BATCH, seed=1, epoch=epochs[side], buckets=side == "ours"
        )

    def ours() -> int:
        for rows in order("ours"):
            step(learner, learner.batch(rows, 0).to(machine.device), optimizer, machine)
        return int(learner.lengths.sum())

    def theirs() -> int:
        for rows in order("theirs"):
            views = [learner.dataset.views[i].ids for i in rows]
            right_B = torch.tensor([float(str(examples[i].label)) for i in rows], device=machine.device)
            ordinary.zero_grad()
            with machine.autocast():
                loss = their_loss(
                    reference, {k: v.to(machine.device) for k, v in padded(views).items()}, right_B
                )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
            ordinary.step()
        return int(learner.lengths.sum())

    what = f"GPT: fine-tuning with the auxiliary LM on {title}, {EPOCH_PART} steps of {TUNING_BATCH}"
    return Pair(ours, theirs, what, "OpenAIGPTDoubleHeadsModel padded to the longest of each batch")


def model() -> Gpt:
    backend = Gpt(Vocabulary(), **SIZES)  # type: ignore[arg-type]
    backend.draw(1)
    return backend


def step(learner: Any, batch: Any, optimizer: torch.optim.Optimizer, machine: Machine) -> None:
    """What the training loop does with a batch."""
    optimizer.zero_grad(set_to_none=True)
    with machine.autocast():
        losses = learner.losses(batch)
    counts = learner.counts(batch)
    sum(learner.weights[k] * losses[k] / counts[k] for k in losses).backward()
    torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
    optimizer.step()


def their_loss(reference: Any, batch: dict[str, torch.Tensor], right_B: torch.Tensor) -> torch.Tensor:
    """One sequence an example on both sides: the head has one logit a sequence, so two classes are told by its sign."""
    told = reference(**batch)
    return F.binary_cross_entropy_with_logits(told.mc_logits, right_B) + AUXILIARY * told.loss


def their_config(kind: Any, vocabulary: int) -> Any:
    return kind(
        vocab_size=vocabulary,
        n_embd=SIZES["width"],
        n_layer=SIZES["layers"],
        n_head=SIZES["heads"],
        n_positions=SIZES["positions"],
    )


def sentences() -> list[Example]:
    """As long as SST-2's training phrases and sentences."""
    return [example(n, length, 1) for n, length in enumerate(drawn(SENTENCES, 3, 61))]


def pairs() -> list[Example]:
    """As long as MNLI's premises with their hypotheses, the latter about a third of both."""
    return [example(n, length, 2) for n, length in enumerate(drawn(PAIRS, 8, LONGEST))]


def drawn(shape_and_scale: tuple[float, float], least: int, most: int) -> list[int]:
    """Lengths at even steps through the distribution, so that few of them stand for many."""
    count = EPOCH_PART * TUNING_BATCH
    many = np.sort(np.random.default_rng(3).gamma(*shape_and_scale, (count, DRAWS)).flatten())
    return np.clip(many[DRAWS // 2 :: DRAWS].astype(int) + 3, least, most).tolist()


def example(number: int, length: int, texts: int) -> Example:
    """One text or two that make a view of this length."""
    rng = np.random.default_rng((4, number))
    pieces = [str(i) for i in rng.integers(1, PIECES, length - 1 - texts)]
    cut = len(pieces) if texts == 1 else -(-2 * len(pieces) // 3)
    parts = (pieces[:cut], pieces[cut:])[:texts]
    return Example(str(number), tuple(" ".join(p) for p in parts), str(number % 2))


def padded(views: list[Any]) -> dict[str, torch.Tensor]:
    """What OpenAIGPTDoubleHeadsModel takes; nothing is learned from the padding."""
    longest = max(map(len, views))
    ids_BT = torch.zeros(len(views), longest, dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    for b, view in enumerate(views):
        ids_BT[b, : len(view)] = torch.tensor(view)
        mask_BT[b, : len(view)] = 1
    return {
        "input_ids": ids_BT,
        "attention_mask": mask_BT,
        "labels": ids_BT.masked_fill(mask_BT == 0, -100),
        "mc_token_ids": mask_BT.sum(1) - 1,
    }
