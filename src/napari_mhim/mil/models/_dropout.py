"""Dropout whose chance is cheap on a CPU."""

import torch
from torch import Tensor, nn

BITS = 16
"""Of chance for each value: its share is met to 1 in 131 072, its mean exactly."""


class Dropout(nn.Dropout):
    """Torch's dropout; on a CPU a value is kept by 16 bits of a draw that serves four.

    Torch draws a number for each value there, which takes as long as the step of its
    optimiser does. Seeds and saved states of torch's random numbers settle these draws too.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop values, shape (...), in train mode."""
        is_usual = x.device.type != "cpu" or x.dtype != torch.float32
        if is_usual or not self.training or not 0 < self.p < 1:
            return super().forward(x)
        steps = 1 << BITS
        dropped = round(self.p * steps)
        draws = torch.empty(-(-x.numel() * BITS // 64), dtype=torch.int64)
        draws.random_(-(1 << 63), None)  # all 64 bits
        bits = draws.view(torch.int16)[: x.numel()].view(x.shape)
        factors = torch.empty(x.shape)
        torch.ge(bits, dropped - steps // 2, out=factors)
        return x * factors.mul_(steps / (steps - dropped))
