"""An LSTM with projection and clipping (Sak et al. 2014, eq. 1–7; clipped as in Peters et al. 2018's release).

torch's own has no clipping. In training the products with the inputs are taken for all times at once, before the loop,
and so are those of the weights' gradients, after it; the weights stand transposed, which a product of a few rows with a
large matrix is faster by. Where nothing trains, a CPU reads with features in rows and the batch in columns: the same
product is then faster again, on two cores by two thirds.
"""
# ruff: noqa: TID253

from typing import Any

import torch
from torch import Tensor, nn

FORGET = 1.0  # added to the forget gate, as the release does, and not kept in the bias
State = tuple[Tensor, Tensor]  # h_BP and c_BC


class ProjectedLstm(nn.Module):
    """One direction of one layer. Letters: P projection · C cells · G the four gates of all cells (i, f, o, g)."""

    def __init__(
        self, width: int, *, cells: int, projection: int, cell_clip: float | None, clip: float | None
    ) -> None:
        super().__init__()
        self.weight_in = nn.Parameter(torch.empty(4 * cells, width))
        self.weight_state = nn.Parameter(torch.empty(4 * cells, projection))
        self.bias = nn.Parameter(torch.zeros(4 * cells))
        self.weight_out = nn.Parameter(torch.empty(projection, cells))
        self.cell_clip, self.clip = cell_clip or float("inf"), clip or float("inf")
        self.cells, self.projection = cells, projection

    def draw(self, generator: torch.Generator) -> None:
        """Uniform with the variance of Glorot & Bengio 2010, over the input and the state together."""
        G, D = self.weight_in.shape
        bound = (6.0 / (D + self.projection + G)) ** 0.5
        out = (6.0 / (self.cells + self.projection)) ** 0.5
        with torch.no_grad():
            self.weight_in.uniform_(-bound, bound, generator=generator)
            self.weight_state.uniform_(-bound, bound, generator=generator)
            self.weight_out.uniform_(-out, out, generator=generator)
            self.bias.zero_()

    def zeros(self, batch: int) -> State:
        like = self.bias
        return like.new_zeros(batch, self.projection), like.new_zeros(batch, self.cells)

    def forward(self, x_TBD: Tensor, state: State | None = None) -> tuple[Tensor, Tensor]:
        """Outputs T × B × P, and the cells of every time, T × B × C (through which no gradient flows)."""
        h_BP, c_BC = state or self.zeros(x_TBD.shape[1])
        with torch.autocast(x_TBD.device.type, enabled=False):
            weights = (self.weight_in, self.weight_state, self.bias, self.weight_out)
            if x_TBD.device.type == "cpu" and not torch.is_grad_enabled():
                return read(x_TBD.float(), *weights, h_BP, c_BC, self.cell_clip, self.clip)
            return Recurrence.apply(x_TBD.float(), *weights, h_BP, c_BC, self.cell_clip, self.clip)


def read(
    x_TBD: Tensor,
    in_GD: Tensor,
    state_GP: Tensor,
    bias_G: Tensor,
    out_PC: Tensor,
    h_BP: Tensor,
    c_BC: Tensor,
    cell_clip: float,
    clip: float,
) -> tuple[Tensor, Tensor]:
    """What `Recurrence` computes, without anything kept for gradients."""
    T, B, _ = x_TBD.shape
    P, C = out_PC.shape
    bias_G1 = bias_G[:, None].clone()
    bias_G1[C : 2 * C] += FORGET
    y_TPB, c_TCB = x_TBD.new_empty(T, P, B), x_TBD.new_empty(T, C, B)
    gates = x_TBD.new_empty(4 * C, B)
    h, before = h_BP.t(), c_BC.t()
    for t in range(T):
        torch.addmm(bias_G1, in_GD, x_TBD[t].t(), out=gates).addmm_(state_GP, h)
        i, f, o = gates[: 3 * C].sigmoid_().chunk(3)
        g = gates[3 * C :].tanh_()
        c = torch.mul(f, before, out=c_TCB[t]).addcmul_(i, g).clamp_(-cell_clip, cell_clip)
        h, before = torch.mm(out_PC, o.mul_(c.tanh()), out=y_TPB[t]).clamp_(-clip, clip), c
    return y_TPB.transpose(1, 2), c_TCB.transpose(1, 2)


class Recurrence(torch.autograd.Function):
    """The loop over time, and the loop back."""

    @staticmethod
    def forward(
        ctx: Any,
        x_TBD: Tensor,
        in_GD: Tensor,
        state_GP: Tensor,
        bias_G: Tensor,
        out_PC: Tensor,
        h_BP: Tensor,
        c_BC: Tensor,
        cell_clip: float,
        clip: float,
    ) -> tuple[Tensor, Tensor]:
        T, B, D = x_TBD.shape
        P, C = out_PC.shape
        keep = any(ctx.needs_input_grad)
        bias_G = bias_G.clone()
        bias_G[C : 2 * C] += FORGET
        gates_TBG = torch.addmm(bias_G, x_TBD.reshape(T * B, D), in_GD.t()).view(T, B, -1)
        state_PG, out_CP = state_GP.t().contiguous(), out_PC.t().contiguous()
        y_TBP, c_TBC = x_TBD.new_empty(T, B, P), x_TBD.new_empty(T, B, C)
        clipped = x_TBD.new_zeros(T, B, C, dtype=torch.bool) if keep else None
        for t in range(T):
            gates = gates_TBG[t].addmm_(h_BP if t == 0 else y_TBP[t - 1], state_PG)
            i, f, o = gates[:, : 3 * C].sigmoid_().chunk(3, 1)
            g = gates[:, 3 * C :].tanh_()
            c = torch.mul(f, c_BC if t == 0 else c_TBC[t - 1], out=c_TBC[t]).addcmul_(i, g)
            if clipped is not None:
                torch.gt(c.abs(), cell_clip, out=clipped[t])
            c.clamp_(-cell_clip, cell_clip)
            torch.mm(o * c.tanh(), out_CP, out=y_TBP[t]).clamp_(-clip, clip)
        if keep:
            ctx.save_for_backward(
                x_TBD, in_GD, state_GP, out_PC, h_BP, c_BC, gates_TBG, clipped, c_TBC, y_TBP
            )
            ctx.clip = clip
        ctx.mark_non_differentiable(c_TBC)
        return y_TBP, c_TBC

    @staticmethod
    def backward(ctx: Any, dy_TBP: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        x_TBD, in_GD, state_GP, out_PC, h_BP, c_BC, gates_TBG, clipped, c_TBC, y_TBP = ctx.saved_tensors
        T, B, D = x_TBD.shape
        P, C = out_PC.shape
        dgates_TBG, dh_TBP = torch.empty_like(gates_TBG), torch.empty_like(y_TBP)
        back_BP, dc = torch.zeros_like(h_BP), torch.zeros_like(c_BC)
        tanh_TBC = c_TBC.tanh()
        slope_TBC = 1 - tanh_TBC * tanh_TBC
        for t in reversed(range(T)):
            i, f, o, g = gates_TBG[t].chunk(4, 1)
            dh = dh_TBP[t] = (dy_TBP[t] + back_BP).masked_fill_(y_TBP[t].abs() >= ctx.clip, 0.0)
            dp = dh @ out_PC
            dc.addcmul_(dp * o, slope_TBC[t]).masked_fill_(clipped[t], 0.0)
            di, df, do, dg = dgates_TBG[t].chunk(4, 1)
            torch.mul(dc, g, out=di)
            torch.mul(dc, c_BC if t == 0 else c_TBC[t - 1], out=df)
            torch.mul(dp, tanh_TBC[t], out=do)
            torch.mul(dc, i, out=dg)
            sigmoids = gates_TBG[t, :, : 3 * C]
            dgates_TBG[t, :, : 3 * C] *= sigmoids * (1 - sigmoids)
            dg *= 1 - g * g
            dc.mul_(f)
            back_BP = dgates_TBG[t] @ state_GP
        dgates_NG, dh_NP = dgates_TBG.view(T * B, -1), dh_TBP.view(T * B, P)
        before_NP = torch.cat([h_BP[None], y_TBP[:-1]]).view(T * B, P)
        hidden_NC = (gates_TBG[..., 2 * C : 3 * C] * tanh_TBC).view(T * B, C)
        return (
            (dgates_NG @ in_GD).view(T, B, D) if ctx.needs_input_grad[0] else None,
            dgates_NG.t() @ x_TBD.reshape(T * B, D),
            dgates_NG.t() @ before_NP,
            dgates_NG.sum(0),
            dh_NP.t() @ hidden_NC,
            None,
            None,
            None,
            None,
        )
