"""A pretraining before it begins: the network and what each phase puts on it, without weights and without a corpus. So
its size is known, and what cannot be built is told, before the hours that a vocabulary or a first phase takes."""

from typing import Any

from lmcompare import registry
from lmcompare.config import Pretrain
from lmcompare.errors import UserError
from lmcompare.types import Example


def network(config: Pretrain) -> Any:
    """The backend of a config as shapes alone, over as many pieces as it asks for."""
    import torch

    with torch.device("meta"):
        return registry.backends.build(config.backend, Pieces(config.tokenizer.get("size") or 0))


def objectives(parts: list[Pretrain], backend: Any) -> list[Any]:
    """The objective of every phase on a backend, each with an optimizer that has been tried on it."""
    found = []
    for number, part in enumerate(parts, 1):
        try:
            found.append(objective(part, backend))
        except UserError as error:
            if len(parts) == 1:
                raise
            raise type(error)(f"phases, number {number}: {error}") from None
    return found


def objective(part: Pretrain, backend: Any) -> Any:
    """The objective of one phase, on the device that the backend is on."""
    import torch

    with next(backend.encoder.parameters()).device:
        made = registry.objectives.build(part.objective, backend)
    # An optimizer wants weights that are there: one number stands for each, with as many dimensions.
    small = [
        (name, torch.nn.Parameter(torch.zeros((1,) * p.ndim, device="cpu"), requires_grad=p.requires_grad))
        for name, p in made.named_parameters()
    ]
    registry.optimizers.build(part.optimizer, small, made.height, where="optimizer")
    return made


# Those of BERT and of GPT.
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "_start_", "_delimiter_", "_classify_")


class Pieces:
    """Stands in for a tokenizer where only sizes or whole words are wanted."""

    pad_id, unk_id, cls_id, sep_id, mask_id, start_id, delimiter_id, extract_id = range(8)

    def __init__(self, size: int, words: tuple[str, ...] = ()) -> None:
        # The last is there for those who ask whether any piece goes on with a word.
        self.pieces = [*SPECIALS, *words, "##"]
        self.size = self.vocabulary = size or len(self.pieces)

    @classmethod
    def of(cls, example: Example) -> "Pieces":
        texts = (*example.texts, *example.options, *example.words, *example.before, *example.after)
        return cls(0, tuple(dict.fromkeys(word for text in texts for word in text.split())))

    def encode(self, text: str) -> list[int]:
        return [self.pieces.index(word) for word in text.split()]

    def encode_words(self, words: tuple[str, ...]) -> list[list[int]]:
        return [self.encode(word) for word in words]

    def encode_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        places, start = [], 0
        for word in text.split():
            start = text.index(word, start)
            places.append((start, start + len(word)))
            start += len(word)
        return self.encode(text), places
