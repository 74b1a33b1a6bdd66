"""What the readers are made of. Padding never counts, and a text without a token gives zeros."""
# ruff: noqa: TID253

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

Side = tuple[Tensor, Tensor, Tensor | None]  # of a pair: x_PTD, mask_PT, extra_PTE


def bilstm(width: int, hidden: int, layers: int = 1, dropout: float = 0.0) -> nn.LSTM:
    if hidden < 1 or layers < 1:
        raise ValueError(f"a BiLSTM needs at least one layer of one unit, not {layers} of {hidden}")
    return nn.LSTM(
        width,
        hidden,
        num_layers=layers,
        batch_first=True,
        bidirectional=True,
        dropout=dropout if layers > 1 else 0.0,
    )


def contextual(lstm: nn.LSTM, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """The states of a bidirectional LSTM over the real tokens alone; zeros behind them."""
    if x_BTD.is_cuda:
        lengths = mask_BT.sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(x_BTD, lengths, batch_first=True, enforce_sorted=False)
        y_BTE, _ = pad_packed_sequence(lstm(packed)[0], batch_first=True, total_length=x_BTD.shape[1])
        return y_BTE * mask_BT[..., None]
    for layer in range(lstm.num_layers):
        x_BTD = both_ways(lstm, layer, x_BTD, mask_BT)
        if layer + 1 < lstm.num_layers:
            x_BTD = F.dropout(x_BTD, lstm.dropout, lstm.training)
    return x_BTD * mask_BT[..., None]


def both_ways(lstm: nn.LSTM, layer: int, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    """One layer, each direction as an LSTM of its own that begins at the text's own first or last token: on a CPU four
    times as fast as over a packed sequence, which does the same."""
    place_T, length_B1 = torch.arange(x_BTD.shape[1]), mask_BT.sum(1, keepdim=True)
    mirror_BT1 = torch.where(place_T < length_B1, length_B1 - 1 - place_T, place_T)[..., None]
    zeros = x_BTD.new_zeros(1, len(x_BTD), lstm.hidden_size)
    states = []
    for end in ("", "_reverse"):
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = [getattr(lstm, f"{kind}_l{layer}{end}") for kind in kinds]
        read_BTD = x_BTD.gather(1, mirror_BT1.expand_as(x_BTD)) if end else x_BTD
        y_BTE = torch.lstm(read_BTD, (zeros, zeros), weights, True, 1, 0.0, lstm.training, False, True)[0]
        states.append(y_BTE.gather(1, mirror_BT1.expand_as(y_BTE)) if end else y_BTE)
    return torch.cat(states, -1)


def beside(x_BTD: Tensor, extra_BTE: Tensor | None) -> Tensor:
    return x_BTD if extra_BTE is None else torch.cat([x_BTD, extra_BTE.to(x_BTD.dtype)], -1)


def shares(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the real places of the last dimension; zeros where there are none."""
    hidden = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return hidden.softmax(-1) * mask


def largest(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    lowest = torch.finfo(x_BTD.dtype).min
    return x_BTD.masked_fill(~mask_BT[..., None], lowest).amax(1) * mask_BT.any(1)[:, None]


def average(x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
    weights_BT1 = mask_BT[..., None].to(x_BTD.dtype)
    return (x_BTD * weights_BT1).sum(1) / weights_BT1.sum(1).clamp(min=1)


class Attention(nn.Module):
    """One vector for many: a weighted mean, the weights from one learned direction (Lin et al. 2017, with one hop)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        return torch.einsum("bt,btd->bd", shares(self.score(x_BTD)[..., 0], mask_BT), x_BTD)


class SameDropout(nn.Module):
    """Dropout of the same dimensions at every token of a text (Gal and Ghahramani 2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(rate)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return x_BTD * self.dropout(x_BTD.new_ones(x_BTD.shape[0], 1, x_BTD.shape[2]))


@torch.no_grad()
def draw(reader: nn.Module, generator: torch.Generator) -> None:
    """Fresh weights: outputs as large as inputs; an LSTM begins by remembering (Jozefowicz et al. 2015, §4); a part
    that knows better draws its own."""
    for name, p in sorted(reader.named_parameters()):
        bound = (3.0 / p.shape[-1]) ** 0.5 if p.ndim >= 2 else 0.0
        p.uniform_(-bound, bound, generator=generator)
        if "bias_hh_l" in name:
            p[p.shape[0] // 4 : p.shape[0] // 2] = 1.0
    for _, part in sorted(reader.named_modules()):
        if hasattr(part, "draw"):
            part.draw(generator)
