"""A branch that takes the other branch's maps, its layers taken apart to save work.

`fpn.FPN` is what it computes. There a layer sees [own, other] channels, the other branch's maps
enlarged to the own ones' size. Every layer is linear in them, so that here:

- Laterals, which are 1x1 convolutions and commute with the enlargement, mix the other branch's maps
  at their own size, for all patches of a frame at once (`mix_laterals`).
- Smoothings, 3x3, take the maps as they are (`split_conv`).
- The ensemble's 3x3 convolution over the last map is nine 1x1 convolutions, its taps, whose outputs
  are shifted and added up (`enlarging.sum_taps`). Where the last smoothing has no activation, as in
  the paper, taps and smoothing are one convolution, of 9*K outputs instead of the smoothing's 512:
  it is most of the decoder's work otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glnet_geo.models.enlarging import by_taps, resize_by_sums
from glnet_geo.models.folding import Network, folded
from glnet_geo.models.fpn import Levels, Smoothing, StageMaps
from glnet_geo.models.glnet import Branch
from glnet_geo.models.split_conv import SplitConv2d

_FINEST_FIRST = (4, 3, 2, 1)  # numbers of the smoothings


class _Lateral(NamedTuple):
    """A lateral's halves, O x C x 1 x 1, and its bias."""

    own: Tensor
    other: Tensor
    bias: Tensor


class Place(NamedTuple):
    """Where weights and maps are, and of which floating-point type."""

    device: torch.device
    dtype: torch.dtype

    def tensor(self, x: Tensor) -> Tensor:
        """The tensor there."""
        return x.to(self.device, self.dtype)

    def network(self, network: Network) -> Network:
        """A copy of a network there, made ready for prediction (`folding`)."""
        copy = folded(network, pads_kernels=self.device.type == "cpu")
        # torch's stubs do not know the keyword.
        return copy.to(self.device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class FusedBranch:
    """A branch that takes the other branch's maps, up to its last map or the taps of the ensemble.

    Args:
        branch: The branch, in eval mode; it is left as it is.
        heads: Weights of 3x3 convolutions over this branch's last map, O x C x 3 x 3 each: what
            the ensemble has for it, perhaps the branch's own classifier; empty where the map
            itself is wanted.
        place: Where to run.
    """

    def __init__(self, branch: Branch, heads: Sequence[Tensor], place: Place) -> None:
        self._backbone = place.network(branch.backbone)
        decoder = folded(branch.decoder)
        assert decoder.smooth is not None
        is_activated = decoder.smooth.is_activated
        laterals = (decoder.latlayer3, decoder.latlayer2, decoder.latlayer1, decoder.toplayer)
        self._laterals = [_halves(lateral, place) for lateral in laterals]
        self._smooth1, self._smooth2 = (
            [
                _split(
                    _parameters(decoder.get_submodule(f"smooth{level}_{stage}")),
                    (1, 1),
                    is_activated,
                    place,
                )
                for level in _FINEST_FIRST
            ]
            for stage in (1, 2)
        )
        last = _parameters(decoder.smooth)
        self._taps: Tensor | None = None
        if heads:
            taps = torch.cat([by_taps(head) for head in heads])
            if is_activated:
                self._taps = place.tensor(taps)
            else:
                last = _composed(decoder.smooth, taps)
        # Coarsest level first, as the reference concatenates; own and other of the finest apart.
        self._last = _split(last, (2, 2, 2, 1, 1), is_activated, place)

    def mix_laterals(self, other: StageMaps) -> StageMaps:
        """Puts the other branch's backbone maps through the laterals' halves for them.

        Args:
            other: The other branch's maps.

        Returns:
            What a call takes, for the whole frame; it may be cropped.
        """
        c2, c3, c4, c5 = (
            F.conv2d(level, lateral.other)
            for level, lateral in zip(other.backbone, self._laterals, strict=True)
        )
        return StageMaps((c2, c3, c4, c5), other.lateral, other.smooth1, other.smooth2)

    def __call__(self, pixels: Tensor, other: StageMaps) -> tuple[StageMaps, Tensor]:
        """Segments pixels, given the other branch's maps of the same ground.

        Args:
            pixels: N x bands x H x W, normalised.
            other: From `mix_laterals`, of any size.

        Returns:
            The maps to share with the other branch; and the outputs of the heads' taps, N x 9*O
            x H/4 x W/4 each, one after the other, or without heads the last map, N x C x H/4 x
            W/4.
        """
        backbone = self._backbone(pixels)
        lateral = self._top_down(backbone, other.backbone)
        smooth1 = _smoothed(self._smooth1, lateral, other.lateral)
        smooth2 = _smoothed(self._smooth2, smooth1, other.smooth1)
        (own_finest, *own_coarser), (other_finest, *other_coarser) = smooth2, other.smooth2
        coarser = [
            torch.cat([own, resize_by_sums(theirs, *own.shape[-2:])], 1)
            for own, theirs in zip(own_coarser, other_coarser, strict=True)
        ]
        maps = [*reversed(coarser), own_finest, other_finest]
        features = self._last(maps, *own_finest.shape[-2:])
        last = features if self._taps is None else F.conv2d(features, self._taps)
        return StageMaps(backbone, lateral, smooth1, smooth2), last

    def _top_down(self, backbone: Levels, mixed: Levels) -> Levels:
        levels: list[Tensor] = []
        maps = zip(backbone, mixed, self._laterals, strict=True)
        for own, other, lateral in reversed(list(maps)):
            level = F.conv2d(own, lateral.own, lateral.bias)
            for enlarged in (other, *levels[-1:]):
                level += resize_by_sums(enlarged, *level.shape[-2:])
            levels.append(level)
        p5, p4, p3, p2 = levels
        return p2, p3, p4, p5


def _smoothed(layers: list[SplitConv2d], own: Levels, other: Levels) -> Levels:
    p2, p3, p4, p5 = (
        layer([level, theirs], *level.shape[-2:])
        for layer, level, theirs in zip(layers, own, other, strict=True)
    )
    return p2, p3, p4, p5


def _halves(lateral: nn.Conv2d, place: Place) -> _Lateral:
    assert lateral.bias is not None
    own, other = place.tensor(lateral.weight).chunk(2, 1)
    return _Lateral(own.contiguous(), other.contiguous(), place.tensor(lateral.bias))


def _split(
    layer: tuple[Tensor, Tensor], shares: tuple[int, ...], is_activated: bool, place: Place
) -> SplitConv2d:
    """A convolution, weight and bias, over maps that have these shares of its channels."""
    weight, bias = layer
    share = weight.shape[1] // sum(shares)
    channels = [count * share for count in shares]
    return SplitConv2d(place.tensor(weight), place.tensor(bias), channels, is_activated)


def _parameters(smoothing: nn.Module) -> tuple[Tensor, Tensor]:
    assert isinstance(smoothing, Smoothing) and smoothing.bias is not None
    return smoothing.weight, smoothing.bias


def _composed(smooth: Smoothing, taps: Tensor) -> tuple[Tensor, Tensor]:
    """A smoothing and the 1x1 convolution behind it, `taps` O x C x 1 x 1, as one."""
    mixing = taps.flatten(1)
    weight, bias = _parameters(smooth)
    return torch.einsum("om,mcij->ocij", mixing, weight), mixing @ bias
