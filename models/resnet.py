"""ResNet-50 as a feature pyramid, with torchvision's key names.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; the stride of a stage stands
in its first 3x3 convolution ("v1.5"), as in torchvision and in the GLNet checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glnet_geo.models.recomputing import recomputed

_BLOCKS = (3, 4, 6, 3)
_EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions beside a shortcut."""

    def __init__(self, inputs: int, planes: int, stride: int, project: bool) -> None:
        super().__init__()
        outputs = planes * _EXPANSION
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if project:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Maps N x inputs x H x W to N x 4*planes x H/stride x W/stride."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu_(self.bn1(self.conv1(x)))
        x = torch.relu_(self.bn2(self.conv2(x)))
        return torch.relu_(self.bn3(self.conv3(x)).add_(shortcut))


class ResNet50(nn.Module):
    """Four feature maps at strides 4, 8, 16 and 32.

    Attributes:
        channels: Channels of the four maps, finest first.
    """

    channels = (256, 512, 1024, 2048)

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(bands, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = _Stage(64, 64, _BLOCKS[0], stride=1)
        self.layer2 = _Stage(256, 128, _BLOCKS[1], stride=2)
        self.layer3 = _Stage(512, 256, _BLOCKS[2], stride=2)
        self.layer4 = _Stage(1024, 512, _BLOCKS[3], stride=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps N x bands x H x W to c2, c3, c4, c5, finest first."""
        c2 = self.layer1(self.maxpool(torch.relu_(self.bn1(self.conv1(x)))))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        return c2, c3, c4, self.layer4(c4)


class _Stage(nn.Sequential):
    """Blocks at one stride. In training their inner maps, five sixths of all, are made anew."""

    def __init__(self, inputs: int, planes: int, blocks: int, stride: int) -> None:
        outputs = planes * _EXPANSION
        rest = (Bottleneck(outputs, planes, 1, project=False) for _ in range(blocks - 1))
        super().__init__(Bottleneck(inputs, planes, stride, project=True), *rest)

    def forward(self, x: Tensor) -> Tensor:
        """Maps N x inputs x H x W to N x 4*planes x H/stride x W/stride."""
        for block in self:
            x = recomputed(block, x)
        return x
