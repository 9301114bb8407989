"""The backbones by name. Any module with `channels` and four maps at strides 4 to 32 fits."""

from __future__ import annotations

from glnet_geo.models.efficientnet_lite import EfficientNetLite0
from glnet_geo.models.resnet import ResNet50

BACKBONES: dict[str, type[ResNet50] | type[EfficientNetLite0]] = {
    "resnet50": ResNet50,
    "efficientnet_lite0": EfficientNetLite0,
}
"""Classes by the name that a model card gives; they are built with the number of bands.

A backbone has `channels`, those of its four maps at strides 4, 8, 16 and 32, and maps N x bands x
H x W to these four, finest first.
"""
