"""One bag of plain training."""

from torch import Tensor

from napari_mhim.mil.model import MILModel
from napari_mhim.mil.recipe import Losses, Recipe


class Plain(Recipe):
    """A student on its own."""

    def __init__(self, model: MILModel):
        super().__init__()
        self.student = model
        self.teacher = None

    def losses(self, x: Tensor, label: int, step: int, total_steps: int) -> Losses:
        """Give the losses of one bag, shape (N, in_dim); steps do not matter."""
        loss = self.student.loss(self.student(x), label)
        return Losses(
            total=loss,
            parts={"classification": loss.detach()},
            kept=len(x),
            total_instances=len(x),
        )
