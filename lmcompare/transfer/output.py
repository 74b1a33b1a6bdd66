"""What the heads share: their linear layer, and a row of predictions."""
# ruff: noqa: TID253

from typing import Any

from torch import nn

from lmcompare.evaluation import gold
from lmcompare.transfer.pairing import Given
from lmcompare.types import Prediction


def layer(given: Given, size: int) -> nn.Module:
    return nn.Identity() if given.finished else nn.Linear(given.width, size)


def dropout(given: Given, rate: float) -> nn.Module:
    return nn.Identity() if given.finished else nn.Dropout(rate)


def row(example: Any, prediction: Any, scores: Any = None) -> Prediction:
    return {"id": example.id, "label": gold(example), "prediction": prediction, "scores": scores}
