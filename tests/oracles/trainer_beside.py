"""The recipe of `lmc finetune bert` as `transformers`' own Trainer runs it, on the same folder of GLUE data: for the
README's table of a real checkpoint. The Trainer needs `accelerate`, which the project does not:

    python -m venv --system-site-packages beside && beside/bin/pip install accelerate
    beside/bin/python tests/oracles/trainer_beside.py MODEL GLUE --task mrpc --examples 2000 --seed 1 --out peer.jsonl

Batches are drawn at random and padded to --length, as its example scripts do by default, or to their longest sequence
with --pad longest; everything else is as in configs/finetune/bert.toml.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch
import transformers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from lmcompare import metrics
from lmcompare.experiments.task_data import read_task


class Rows(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __init__(self, examples: Any, task: Any, tokenizer: Any, length: int, pad: str) -> None:
        number = {name: n for n, name in enumerate(task.labels)}
        # Scores are learned around 0 with a spread of 1, as ours are; correlations do not see it.
        scores = [] if number else [float(e.label) for e in examples]
        center, spread = (fmean(scores), pstdev(scores)) if scores else (0.0, 1.0)
        texts = [[e.texts[k] for e in examples] for k in range(task.texts)]
        padding = "max_length" if pad == "length" else False
        self.encoded = tokenizer(*texts, truncation=True, max_length=length, padding=padding)
        self.labels = [number[e.label] if number else (float(e.label) - center) / spread for e in examples]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {k: v[i] for k, v in self.encoded.items()} | {"labels": self.labels[i]}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("glue", type=Path)
    parser.add_argument("--task", required=True)
    parser.add_argument("--examples", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--pad", choices=("length", "longest"), default="length")
    parser.add_argument("--steps", type=int, default=-1, help="stop after so many: for timing alone")
    parser.add_argument("--out", type=Path, required=True, help="a line of JSON is added here")
    return parser.parse_args()


def main() -> None:
    told = arguments()
    found = read_task({"name": told.task}, told.glue).few(told.examples)
    task = found.task
    transformers.set_seed(told.seed)
    tokenizer = AutoTokenizer.from_pretrained(told.model)
    train, dev = (Rows(found.splits[s], task, tokenizer, told.length, told.pad) for s in ("train", "dev"))
    model = AutoModelForSequenceClassification.from_pretrained(told.model, num_labels=len(task.labels) or 1)

    def measured(answer: Any) -> dict[str, float]:
        logits, gold = answer.predictions, answer.label_ids
        if task.labels:
            said, right = ([task.labels[k] for k in ks] for ks in (logits.argmax(-1), gold))
        else:
            said, right = logits[:, 0].tolist(), gold.tolist()
        values, _ = metrics.evaluate(task.metrics, right, said, task.labels)
        # Where a metric has no value yet: the Trainer takes no later figure for better than nan.
        return {k: -1.0 if v is None else v for k, v in values.items()}

    timed = told.steps > 0
    plan = TrainingArguments(
        output_dir=f"{told.out}.{told.task}-{told.seed}",
        per_device_train_batch_size=told.batch,
        per_device_eval_batch_size=64,
        learning_rate=told.rate,
        weight_decay=0.01,
        adam_epsilon=1e-6,
        max_grad_norm=1.0,
        num_train_epochs=told.epochs,
        max_steps=told.steps,
        lr_scheduler_type="linear",
        warmup_steps=0.1,  # a share of all steps
        eval_strategy="no" if timed else "epoch",
        save_strategy="no" if timed else "epoch",
        save_total_limit=1,
        load_best_model_at_end=not timed,
        metric_for_best_model=task.metrics[0],
        greater_is_better=True,
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=told.seed,
        use_cpu=not torch.cuda.is_available(),
    )
    trainer = Trainer(
        model=model,
        args=plan,
        train_dataset=train,
        eval_dataset=dev,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=measured,
    )
    began = time.perf_counter()
    trainer.train()
    figures = {} if timed else {k.removeprefix("eval_"): v for k, v in trainer.evaluate().items()}
    row = {
        "task": told.task,
        "seed": told.seed,
        "pad": told.pad,
        "steps": trainer.state.global_step,
        "seconds": round(time.perf_counter() - began, 1),
        "metrics": {k: figures[k] for k in task.metrics if k in figures},
    }
    with told.out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row))


if __name__ == "__main__":
    main()
