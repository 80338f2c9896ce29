"""What TransMIL does not do: no matrix of tokens by tokens, no second convolution."""

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from napari_mhim.mil.models import transmil


class Watching(TorchDispatchMode):
    """Counts operations and keeps the size of the largest tensor made."""

    def __init__(self):
        super().__init__()
        self.largest, self.calls = 0, Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.calls[func.overloadpacket.__name__] += 1
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return out


def watched(n: int, gradients: bool) -> Watching:
    torch.manual_seed(0)
    sizes = {"hidden": 12, "heads": 2, "head_dim": 6, "landmarks": 8}
    model, x = transmil.build(5, 2, **sizes), torch.randn(n, 5)
    with torch.set_grad_enabled(gradients), Watching() as seen:
        output = model(x)
        if gradients:
            model.loss(output, 1).backward()
    return seen


def test_no_tensor_holds_tokens_by_tokens():
    for gradients in (False, True):
        # everything grows with the bag, nothing with its square
        small, large = watched(1000, gradients), watched(4000, gradients)
        assert large.largest < 4.5 * small.largest


def test_positions_are_one_convolution():
    assert watched(300, gradients=False).calls["convolution"] == 1
