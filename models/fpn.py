"""The one decoder: a feature pyramid network, alone or fused with another branch's maps.

Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019, as GLNet changes it (section 3.3 of
the GLNet paper; tests/data/reference/README.md, steps 6 and 7). Fused, every stage sees its own
map and, behind it, the other branch's map of the same stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glnet_geo.models.recomputing import recomputed

Levels = tuple[Tensor, Tensor, Tensor, Tensor]
"""Maps of one stage at strides 4, 8, 16 and 32, finest first."""


@dataclass(frozen=True, slots=True)
class StageMaps:
    """What one branch shares with the other: its maps stage by stage, finest level first.

    Attributes:
        backbone: c2 to c5.
        lateral: p2 to p5 of the top-down pathway ("ps0" in the reference).
        smooth1: After the first smoothing ("ps1").
        smooth2: After the second smoothing ("ps2").
    """

    backbone: Levels
    lateral: Levels
    smooth1: Levels
    smooth2: Levels

    def __iter__(self) -> Iterator[Levels]:
        yield from (self.backbone, self.lateral, self.smooth1, self.smooth2)

    def map(self, function: Callable[[Tensor], Tensor]) -> StageMaps:
        """Applies a function to each of the sixteen maps."""
        return StageMaps(
            *((function(a), function(b), function(c), function(d)) for a, b, c, d in self)
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the decoder makes of a branch's features.

    Attributes:
        stages: The maps to share with the other branch.
        features: The last map ("ps3"), N x 4*smooth_width x H/4 x W/4.
        logits: N x classes x H/4 x W/4.
    """

    stages: StageMaps
    features: Tensor
    logits: Tensor


def join_frames(parts: Sequence[Decoded]) -> Decoded:
    """What was decoded frame by frame, or in batches of the same size, as one batch."""
    backbone, lateral, smooth1, smooth2 = (
        _join_levels(stage) for stage in zip(*(part.stages for part in parts), strict=True)
    )
    features = torch.cat([part.features for part in parts])
    logits = torch.cat([part.logits for part in parts])
    return Decoded(StageMaps(backbone, lateral, smooth1, smooth2), features, logits)


def _join_levels(parts: Sequence[Levels]) -> Levels:
    a, b, c, d = (torch.cat(level) for level in zip(*parts, strict=True))
    return a, b, c, d


@dataclass(frozen=True, slots=True)
class DecoderWidths:
    """How wide the decoder is.

    Attributes:
        lateral: Channels of the top-down pathway and of the first smoothing; 256 in the paper.
        smooth: Channels of a level after the second smoothing; 128 in the paper.
        activated: Batch norm and ReLU after every smoothing; the paper has neither, so that its
            decoder is linear, which a backbone with few channels cannot afford.
    """

    lateral: int = 256
    smooth: int = 128
    activated: bool = False

    @property
    def features(self) -> int:
        """Channels of the last map."""
        return 4 * self.smooth


class Smoothing(nn.Conv2d):
    """A 3x3 convolution, on request with batch norm and ReLU.

    Attributes:
        is_activated: Whether it has them.
    """

    def __init__(self, inputs: int, outputs: int, activated: bool) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.is_activated = activated
        self.norm = nn.BatchNorm2d(outputs) if activated else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps N x inputs x H x W to N x outputs x H x W."""
        x = super().forward(x)
        return x if self.norm is None else torch.relu_(self.norm(x))


class FPN(nn.Module):
    """The decoder of one branch.

    The layers bear the names of the reference's checkpoints; `toplayer`, `latlayer1` and
    `smooth1_*` belong to the coarsest levels.

    Args:
        channels: Channels of the backbone's four maps, finest first.
        widths: Widths of the decoder.
        n_classes: Number of outputs.
        fused: Whether every stage also takes the other branch's map.
    """

    def __init__(
        self,
        channels: tuple[int, int, int, int],
        widths: DecoderWidths,
        n_classes: int,
        fused: bool,
    ) -> None:
        super().__init__()
        branches = 2 if fused else 1
        c2, c3, c4, c5 = (branches * count for count in channels)
        self.toplayer = nn.Conv2d(c5, widths.lateral, 1)
        self.latlayer1 = nn.Conv2d(c4, widths.lateral, 1)
        self.latlayer2 = nn.Conv2d(c3, widths.lateral, 1)
        self.latlayer3 = nn.Conv2d(c2, widths.lateral, 1)
        shared = branches * widths.lateral
        for level in (1, 2, 3, 4):
            first = Smoothing(shared, widths.lateral, widths.activated)
            self.add_module(f"smooth{level}_1", first)
        for level in (1, 2, 3, 4):
            second = Smoothing(shared, widths.smooth, widths.activated)
            self.add_module(f"smooth{level}_2", second)
        self.smooth: Smoothing | None = None
        if fused:
            self.smooth = Smoothing(2 * widths.features, widths.features, widths.activated)
        self.classify = nn.Conv2d(widths.features, n_classes, 3, padding=1)

    def forward(self, backbone: Levels, other: StageMaps | None = None) -> Decoded:
        """Decodes a branch's features.

        Args:
            backbone: c2 to c5 of this branch, N x C x H x W each.
            other: The other branch's maps of the same ground, of any size; only when fused.
        """
        stages = self.share(backbone, other)
        joined = _join(stages.smooth2, None if other is None else other.smooth2)
        if self.smooth is None:
            features = gather(*joined)
        else:
            # What is gathered is the largest map of all; it is not kept for the way back.
            smooth = self.smooth
            features = recomputed(smooth, *joined, run=lambda *maps: smooth(gather(*maps)))
        return Decoded(stages, features, self.classify(features))

    def share(self, backbone: Levels, other: StageMaps | None = None) -> StageMaps:
        """The part of `forward` that makes the maps which the other branch wants."""
        theirs: Iterator[Levels | None] = repeat(None) if other is None else iter(other)
        lateral = self._top_down(_join(backbone, next(theirs)))
        smooth1 = self._smooth(1, _join(lateral, next(theirs)))
        smooth2 = self._smooth(2, _join(smooth1, next(theirs)))
        return StageMaps(backbone, lateral, smooth1, smooth2)

    def _top_down(self, levels: Levels) -> Levels:
        c2, c3, c4, c5 = levels
        p5 = self.toplayer(c5)
        p4 = _enlarge_onto(p5, self.latlayer1(c4))
        p3 = _enlarge_onto(p4, self.latlayer2(c3))
        return _enlarge_onto(p3, self.latlayer3(c2)), p3, p4, p5

    def _smooth(self, stage: int, levels: Levels) -> Levels:
        p2, p3, p4, p5 = (
            self.get_submodule(f"smooth{4 - index}_{stage}")(level)
            for index, level in enumerate(levels)
        )
        return p2, p3, p4, p5


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Resizes N x C x H x W bilinearly without antialiasing, as the reference does everywhere."""
    if x.shape[-2:] == (height, width):
        return x
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)


def resize_like(x: Tensor, like: Tensor) -> Tensor:
    """Resizes `x` bilinearly to the height and width of `like`."""
    return resize(x, like.shape[-2], like.shape[-1])


def gather(*levels: Tensor) -> Tensor:
    """Levels at the size of the finest, coarsest first, as the reference concatenates."""
    return torch.cat([resize_like(level, levels[0]) for level in reversed(levels)], 1)


def _enlarge_onto(coarse: Tensor, fine: Tensor) -> Tensor:
    return resize_like(coarse, fine) + fine


def _join(own: Levels, other: Levels | None) -> Levels:
    """Puts the other branch's channels behind the own ones, level by level."""
    if other is None:
        return own
    a, b, c, d = (
        torch.cat([level, resize_like(help_, level)], 1)
        for level, help_ in zip(own, other, strict=True)
    )
    return a, b, c, d
