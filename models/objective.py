"""What a training step minimises, and how its gradients are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from glnet_geo.models.losses import focal_loss, lovasz_loss


def _unchanged(loss: Tensor) -> Tensor:
    return loss


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """Focal loss, with or without one for the overlap of classes; and its backward pass.

    Attributes:
        gamma: Focusing exponent of the focal loss; 3 in the paper, 0 for cross entropy.
        lovasz: Weight of the loss for the overlap of classes, see `lovasz_loss`.
        class_weights: K, how much a pixel of each class counts; None for all alike, as in the
            paper.
        share: Of the step, where its gradients are accumulated over several batches of frames.
        scale: Scales a loss against underflow of gradients in half precision.
    """

    gamma: float = 3.0
    lovasz: float = 0.0
    class_weights: Tensor | None = None
    share: float = 1.0
    scale: Callable[[Tensor], Tensor] = _unchanged

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of N x K x H x W logits against N x H x W positions."""
        loss = focal_loss(logits, target, self.gamma, self.class_weights)
        if self.lovasz == 0:
            return loss
        return loss + self.lovasz * lovasz_loss(logits, target)

    def scaled(self, loss: Tensor) -> Tensor:
        """What is to be run backward."""
        return self.scale(loss if self.share == 1 else loss * self.share)


PLAIN = Objective()
"""The paper's."""
