"""The backbones by name. Any module with `channels` and four maps at strides 4 to 32 fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

from glnet_geo.models.efficientnet_lite import EfficientNetLite0
from glnet_geo.models.resnet import ResNet50


class Backbone(Protocol):
    """What the decoder needs of a backbone.

    Attributes:
        channels: Channels of the four maps at strides 4, 8, 16 and 32.
    """

    channels: tuple[int, int, int, int]

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps N x bands x H x W to c2, c3, c4, c5, finest first."""


BACKBONES: dict[str, Callable[[int], nn.Module]] = {
    "resnet50": ResNet50,
    "efficientnet_lite0": EfficientNetLite0,
}
"""Constructors by the name that a model card gives; the argument is the number of bands."""
