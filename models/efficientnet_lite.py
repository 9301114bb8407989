"""EfficientNet-Lite0 as a feature pyramid, with the key names of its public PyTorch weights.

EfficientNet-Lite (Google, 2020) is EfficientNet (Tan and Le, ICML 2019) without squeeze-and-excite
and with ReLU6. Padding is TensorFlow's "SAME", which puts the odd pixel at the bottom and right:
ImageNet weights shift by a pixel at every stride with PyTorch's symmetric padding.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from glnet_geo.models.recomputing import recomputed

_EPSILON = 1e-3  # of every batch norm, as in the TensorFlow original
_STEM = 32


class _Group(NamedTuple):
    kernel: int
    stride: int
    expansion: int
    outputs: int
    repeats: int


_GROUPS = (
    _Group(3, 1, 1, 16, 1),
    _Group(3, 2, 6, 24, 2),
    _Group(5, 2, 6, 40, 2),
    _Group(3, 2, 6, 80, 3),
    _Group(5, 1, 6, 112, 3),
    _Group(5, 2, 6, 192, 4),
    _Group(3, 1, 6, 320, 1),
)
_PYRAMID = (2, 4, 10, 15)  # the last block at strides 4, 8, 16 and 32


def same_padding(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zero-pads N x C x H x W so that a convolution yields ceil(H/stride) x ceil(W/stride)."""
    rows, columns = _missing(x, kernel, stride)
    before, left = rows // 2, columns // 2
    return F.pad(x, (left, columns - left, before, rows - before))


def _missing(x: Tensor, kernel: int, stride: int) -> tuple[int, int]:
    """How many rows and columns of zeros a map lacks for ceil(H/stride) x ceil(W/stride)."""
    rows, columns = (
        max((-(-length // stride) - 1) * stride + kernel - length, 0) for length in x.shape[-2:]
    )
    return rows, columns


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding.

    Attributes:
        pads_kernel: Whether the odd zeros at the end of an axis, which PyTorch's symmetric padding
            lacks, are matched by zeros before the kernel instead of being put behind a copy of the
            map. A CPU predicts 10 % faster with depthwise kernels padded; the stem and training
            gain nothing.
    """

    pads_kernel = False

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1):
        # At stride 1 "SAME" is symmetric, and the convolution's own padding needs no copy.
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps N x inputs x H x W to N x outputs x ceil(H/stride) x ceil(W/stride)."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return super().forward(x)
        if not self.pads_kernel:
            return super().forward(same_padding(x, kernel, stride))
        rows, columns = _missing(x, kernel, stride)
        weight = F.pad(self.weight, (columns % 2, 0, rows % 2, 0))
        behind = (rows - rows // 2, columns - columns // 2)
        return F.conv2d(x, weight, self.bias, stride, behind, groups=self.groups)


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise, project 1x1 without activation; a shortcut where shapes allow."""

    def __init__(self, inputs: int, group: _Group, stride: int) -> None:
        super().__init__()
        hidden = inputs * group.expansion
        self.expands = group.expansion > 1
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, hidden, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(hidden, _EPSILON)
        self._depthwise_conv = SameConv2d(hidden, hidden, group.kernel, stride, groups=hidden)
        self._bn1 = nn.BatchNorm2d(hidden, _EPSILON)
        self._project_conv = nn.Conv2d(hidden, group.outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(group.outputs, _EPSILON)
        self.has_shortcut = stride == 1 and inputs == group.outputs

    def forward(self, x: Tensor) -> Tensor:
        """Maps N x inputs x H x W to N x outputs x ceil(H/stride) x ceil(W/stride)."""
        hidden = F.relu6(self._bn0(self._expand_conv(x)), inplace=True) if self.expands else x
        hidden = F.relu6(self._bn1(self._depthwise_conv(hidden)), inplace=True)
        projected: Tensor = self._bn2(self._project_conv(hidden))
        return projected.add_(x) if self.has_shortcut else projected


class EfficientNetLite0(nn.Module):
    """Four feature maps at strides 4, 8, 16 and 32.

    Attributes:
        channels: Channels of the four maps, finest first.
    """

    channels = (24, 40, 112, 320)

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(bands, _STEM, 3, 2)
        self._bn0 = nn.BatchNorm2d(_STEM, _EPSILON)
        self._blocks = nn.ModuleList()
        inputs = _STEM
        for group in _GROUPS:
            for repeat in range(group.repeats):
                stride = group.stride if repeat == 0 else 1
                self._blocks.append(InvertedResidual(inputs, group, stride))
                inputs = group.outputs

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps N x bands x H x W to c2, c3, c4, c5, finest first."""
        x = F.relu6(self._bn0(self._conv_stem(x)), inplace=True)
        maps = []
        for index, block in enumerate(self._blocks):
            x = recomputed(block, x)
            if index in _PYRAMID:
                maps.append(x)
        c2, c3, c4, c5 = maps
        return c2, c3, c4, c5
