"""A bidirectional LSTM, the task network of the feature-based papers (Peters et al. 2018; Devlin et al. 2019, §5.3)."""
# ruff: noqa: TID253

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lmcompare.registry import readers


@readers.register("bilstm")
class BiLstm(nn.Module):
    """Bidirectional LSTM; a view is the maximum over its tokens."""

    def __init__(self, width: int, *, hidden: int = 64, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.lstm = nn.LSTM(
            width,
            hidden,
            num_layers=layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.width = self.pooled_width = 2 * hidden

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        lengths = mask_BT.sum(1).cpu()
        packed = pack_padded_sequence(x_BTD, lengths, batch_first=True, enforce_sorted=False)
        y_BTE, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x_BTD.shape[1])
        lowest = torch.finfo(y_BTE.dtype).min
        return y_BTE, y_BTE.masked_fill(~mask_BT[..., None], lowest).amax(1)
