"""A 3x3 convolution over maps of several sizes, each taken the cheaper way.

The plain form enlarges all maps to one size, puts their channels behind each other and convolves
them. A convolution is linear in its inputs, so that every map may as well be convolved on its own
and the results added; those that are much smaller than the result then go the way of `enlarging`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from glnet_geo.models.enlarging import by_taps, resize_by_sums, sum_taps

# In multiplications of a convolution, measured on two cores of an AMD Zen 5: see
# benchmarks/sums.py. A weighted sum of rows waits for memory.
_SUMMING = 8  # for one in such a sum
_WRITING = 130  # for one of the nine values a channel that come before it
_CALLS = 12_000_000  # for the calls that a map taken apart needs on top


@dataclass(frozen=True)
class _Share:
    """The weights for one of the maps, O x C x 3 x 3."""

    weight: Tensor

    @cached_property
    def taps(self) -> Tensor:
        """The same as those of a 1x1 convolution, see `by_taps`."""
        return _channels_last(by_taps(self.weight))


class SplitConv2d:
    """A 3x3 convolution with a border of zeros over the joint channels of several maps.

    Args:
        weight: O x C x 3 x 3, for the joint channels.
        bias: O.
        channels: Of the maps, in order; C in all.
        is_activated: Whether a ReLU follows.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, channels: Sequence[int], is_activated: bool = False
    ) -> None:
        self._bias = bias
        self._is_activated = is_activated
        self._shares = [
            _Share(_channels_last(part)) for part in torch.split(weight, list(channels), 1)
        ]

    def __call__(self, maps: Sequence[Tensor], height: int, width: int) -> Tensor:
        """Convolves N x C x h x w maps, enlarged to height x width: N x O x height x width.

        At least one of them has that size already.
        """
        joint: list[tuple[Tensor, _Share]] = []
        apart: list[tuple[Tensor, _Share]] = []
        for x, share in zip(maps, self._shares, strict=True):
            is_apart = _is_cheaper_apart(x, share.weight, height, width)
            (apart if is_apart else joint).append((x, share))
        # Maps as large as the result are never cheaper apart.
        enlarged = [resize_by_sums(x, height, width) for x, _ in joint]
        weights = [share.weight for _, share in joint]
        total = F.conv2d(_joined(enlarged), _joined(weights), self._bias, padding=1)
        for x, share in apart:
            total += sum_taps(F.conv2d(x, share.taps), height, width)
        return torch.relu_(total) if self._is_activated else total


def _is_cheaper_apart(x: Tensor, weight: Tensor, height: int, width: int) -> bool:
    """Whether a map is convolved at less cost before it is enlarged; by counting."""
    rows, columns = x.shape[-2:]
    outputs, inputs = weight.shape[:2]
    plain = 9 * inputs * outputs * height * width
    mixing = 9 * (inputs + _WRITING) * outputs * rows * columns
    summing = 6 * outputs * width * (3 * rows + height)
    return mixing + _SUMMING * summing + _CALLS < plain


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tuple(tensors), 1)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
