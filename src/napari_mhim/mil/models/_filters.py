"""Depth-wise filters along a list and over a square, made of products of matrices.

Torch's own are slow on a CPU where their kernels learn: the gradient of a 7 by 7 kernel takes
longer than anything else that is no product of large matrices. Its oneDNN path gives a
kernel of 33 by 1 a gradient that is wrong by 2 to 10 % at every n of the form 15 k + 1
(torch 2.13 and 2.15).

A filter of K places, taken for b outputs at a time, is a matrix of b by b + K - 1 with the
kernel along its diagonals, and the kernel's gradient is the sums along these.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

KERNEL = 33
"""Places a filter along a list spans."""


class SequenceFilter(nn.Module):
    """Convolution along a sequence, one kernel for each head: (n, d) -> (n, d) each."""

    BLOCK = 48
    """Outputs at a time: the larger, the more of the matrix is zeros."""

    def __init__(self, heads: int):
        super().__init__()
        # shape and initialisation of a convolution of heads channels in heads groups
        self.weight = nn.Conv2d(heads, heads, (KERNEL, 1), groups=heads).weight

    def forward(self, values: Tensor, head: int) -> Tensor:
        """Filter a head's values, shape (n, d); beyond both ends there are zeros."""
        kernel = self.weight[head, 0, :, 0]  # (K,)
        filtered: Tensor = _AlongList.apply(values, kernel, self.BLOCK)
        return filtered


class _AlongList(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, kernel: Tensor, block: int) -> Tensor:
        ctx.save_for_backward(values, kernel)
        ctx.block = block
        return _along(values, kernel, block)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        values, kernel = ctx.saved_tensors
        upstream = upstream.to(values.dtype)
        fill = (0, 0, 0, -len(upstream) % ctx.block)
        told = F.pad(upstream, fill).unflatten(0, (-1, ctx.block))  # (blocks, b, d)
        met = _windows(values, ctx.block, len(kernel) - 1)
        products = torch.bmm(told, met.mT).sum(dim=0)  # (b, b + K - 1)
        # what a filter gives back is filtered by the kernel turned round
        back = _along(upstream, kernel.flip(0), ctx.block)
        return back, _diagonals(products).to(kernel.dtype), None


def _along(values: Tensor, kernel: Tensor, block: int) -> Tensor:
    n, width = values.shape
    windows = _windows(values, block, len(kernel) - 1)
    band = _band(kernel.to(values.dtype), block).expand(len(windows), -1, -1)
    return torch.bmm(band, windows).view(-1, width)[:n]  # (n, d)


def _windows(values: Tensor, block: int, rim: int) -> Tensor:
    """Give what each block of outputs sees, shape (blocks, b + rim, d), nothing copied twice."""
    padded = F.pad(values, (0, 0, rim // 2, rim // 2 + -len(values) % block))
    return padded.unfold(0, block + rim, block).mT


def _band(kernel: Tensor, block: int) -> Tensor:
    """Give the matrix whose row i is the kernel, i places on: (b, b + K - 1)."""
    wide = block + len(kernel) - 1
    # rows one longer than a row of the matrix move on by one place each
    rows = F.pad(kernel, (0, block)).repeat(block)[: block * wide]
    return rows.view(block, wide)


def _diagonals(products: Tensor) -> Tensor:
    """Sum up the diagonals of contiguous matrices: (..., b, b + K - 1) -> (..., K)."""
    *many, block, wide = products.shape
    *steps, down, across = products.stride()
    shape, strides = (*many, wide - block + 1, block), (*steps, across, down + across)
    return products.as_strided(shape, strides).sum(dim=-1)


def over_square(places: Tensor, kernel: Tensor, bias: Tensor, side: int) -> Tensor:
    """Filter each channel of a square's rows by a kernel of its own.

    Parameters
    ----------
    places : Tensor, shape ((rows + K - 1) * side, D)
        Row by row, with half a kernel's rows before and after those that are wanted;
        beyond both ends of a row there are zeros.
    kernel : Tensor, shape (D, 1, K, K)
        K odd.
    bias : Tensor, shape (D,)
        Added to each channel.
    side : int
        Places in a row.

    Returns
    -------
    Tensor, shape (rows * side, D)
        The filtered rows.
    """
    if places.device.type != "cpu" or not torch.is_grad_enabled():
        return _over(places, kernel, bias, side)
    filtered: Tensor = _OverSquare.apply(places, kernel, bias, side)
    return filtered


class _OverSquare(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, places: Tensor, kernel: Tensor, bias: Tensor, side: int
    ) -> Tensor:
        ctx.save_for_backward(places, kernel)
        ctx.side = side
        return _over(places, kernel, bias, side)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        places, kernel = ctx.saved_tensors
        upstream = upstream.to(places.dtype)
        rim, channels = kernel.shape[-1] // 2, len(kernel)
        # torch.nn.grad's has no input to see how it lies, and takes three times as long
        back = torch.ops.aten.convolution_backward(
            _square(upstream, ctx.side),
            _square(places, ctx.side),
            kernel,
            None,
            (1, 1),
            (0, rim),
            (1, 1),
            False,
            (0, 0),
            channels,
            (True, False, False),
        )[0]
        to_kernel = _kernel_gradient(places, upstream, ctx.side, kernel.shape[-1])
        return _flat(back), to_kernel[:, None], upstream.sum(dim=0), None


CHANNELS = 64
"""Channels whose products are made at a time: what they need stays in the cache."""


def _kernel_gradient(places: Tensor, upstream: Tensor, side: int, k: int) -> Tensor:
    """Give the gradient of the kernels, shape (D, K, K)."""
    # outputs at a time; a whole number of them in a row, or nearly
    block = -(-side // max(1, round(side / 12)))
    runs = -(-side // block)
    fill, rows = runs * block - side, len(upstream) // side
    found = []
    # turned round as a whole: in strips it takes three times as long
    turned = places.T.contiguous(), upstream.T.contiguous()
    for seen, told in zip(*(t.split(CHANNELS) for t in turned), strict=True):
        image = seen.unflatten(1, (-1, side))  # (d, rows + K - 1, side)
        image = F.pad(image, (k // 2, k // 2 + fill))
        windows = image.unfold(2, block + k - 1, block)
        windows = windows.flatten(1, 2)  # (d, rows of all, b + K - 1)
        blocks = told.unflatten(1, (-1, side))  # (d, rows, side)
        blocks = F.pad(blocks, (0, fill)).view(-1, rows * runs, block).mT
        for down in range(k):
            met = windows[:, down * runs : (down + rows) * runs]
            found.append(_diagonals(torch.bmm(blocks, met)))  # (d, K)
    columns = [torch.stack(found[i : i + k], dim=1) for i in range(0, len(found), k)]
    return torch.cat(columns)


def _over(places: Tensor, kernel: Tensor, bias: Tensor, side: int) -> Tensor:
    rim, channels = kernel.shape[-1] // 2, len(kernel)
    square = _square(places, side)
    return _flat(F.conv2d(square, kernel, bias, padding=(0, rim), groups=channels))


def _square(places: Tensor, side: int) -> Tensor:
    """Lay places out, (1, D, rows, side): channels last in memory, as the places lie."""
    return places.view(1, -1, side, places.shape[1]).permute(0, 3, 1, 2)


def _flat(square: Tensor) -> Tensor:
    return square.permute(0, 2, 3, 1).flatten(0, 2)
