"""What a training step minimises, and how its gradients are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from glnet_geo.models.losses import focal_loss


def _unchanged(loss: Tensor) -> Tensor:
    return loss


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """Focal loss, and its backward pass.

    Attributes:
        class_weights: K, how much a pixel of each class counts; None for all alike, as in the
            paper.
        share: Of the step, where its gradients are accumulated over several batches of frames.
        scale: Scales a loss against underflow of gradients in half precision.
    """

    class_weights: Tensor | None = None
    share: float = 1.0
    scale: Callable[[Tensor], Tensor] = _unchanged

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """The focal loss of N x K x H x W logits against N x H x W positions."""
        return focal_loss(logits, target, class_weights=self.class_weights)

    def scaled(self, loss: Tensor) -> Tensor:
        """What is to be run backward."""
        return self.scale(loss if self.share == 1 else loss * self.share)


PLAIN = Objective()
"""The paper's."""
