"""How maps travel between the global and the local frame.

Global to local: the part of a global map that lies under a patch is cut out
(tests/data/reference/README.md, step 4). Local to global: the maps of all patches are shrunk, added
at their places and divided by how many patches cover each place (step 12 iii).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from glnet_geo.grid import Window
from glnet_geo.models.fpn import StageMaps, resize
from glnet_geo.tiling import PatchLayout


class FramePatch(NamedTuple):
    """One patch of one of the frames of a batch.

    Attributes:
        frame: Position of the frame in the batch.
        window: The patch in the frame's pixels.
    """

    frame: int
    window: Window


def crop(x: Tensor, layout: PatchLayout, patch: FramePatch) -> Tensor:
    """The part of B x C x H x W maps of whole frames under a patch: 1 x C x h x w, a view."""
    rows, columns = layout.crop(patch.window, x.shape[-2], x.shape[-1]).slices
    # A slice of one frame, not an index: PyTorch tells the memory layout by the batch's stride.
    return x[patch.frame : patch.frame + 1, :, rows, columns]


def crop_all(x: Tensor, layout: PatchLayout, patches: Sequence[FramePatch]) -> Tensor:
    """Crops of one map for several patches.

    Args:
        x: B x C x H x W, of whole frames.
        layout: The patches of every frame.
        patches: Which of them.

    Returns:
        P x C x h x w. Crops that the border cuts short (see `PatchLayout.crop`) are enlarged to
        the size of the others, so that it does not matter which run together.
    """
    crops = [crop(x, layout, patch) for patch in patches]
    # The border is farthest from the first patch.
    first = Window(0, 0, layout.patch_size, layout.patch_size)
    largest = layout.crop(first, x.shape[-2], x.shape[-1])
    height, width = largest.height, largest.width
    return torch.cat([resize(one, height, width) for one in crops])


class Merging:
    """Local maps of all patches, added up in the frame of the global maps.

    Args:
        like: The global maps, B x C x H x W each, whose sizes the merged maps take.
        layout: The patches of every frame.
    """

    def __init__(self, like: StageMaps, layout: PatchLayout) -> None:
        self._layout = layout
        self._sums = like.map(torch.zeros_like)

    def add(self, local: StageMaps, patches: Sequence[FramePatch]) -> None:
        """Adds the maps of P patches, P x C x h x w each."""
        for sums, stage in zip(self._sums, local, strict=True):
            for total, level in zip(sums, stage, strict=True):
                for index, patch in enumerate(patches):
                    target = crop(total, self._layout, patch)
                    target += resize(level[index : index + 1], *target.shape[-2:])

    def mean(self) -> StageMaps:
        """The merged maps, B x C x H x W each, once every patch has been added."""
        return self._sums.map(lambda total: total / self._coverage(total))

    def _coverage(self, like: Tensor) -> Tensor:
        """The count of patches over each pixel of the frame, resized bilinearly to a map."""
        # Count and resizing both separate into rows and columns: no frame-sized image is needed.
        layout, kind = self._layout, (like.device, like.dtype)
        height, width = like.shape[-2:]
        rows = _axis_coverage(layout.tops, layout.patch_size, layout.height, height, *kind)
        columns = _axis_coverage(layout.lefts, layout.patch_size, layout.width, width, *kind)
        return rows[:, None] * columns[None, :]


# Frames of a scene have much the same layout; it need not be brought to the device for each.
@lru_cache(64)
def _axis_coverage(
    starts: tuple[int, ...],
    patch_size: int,
    length: int,
    size: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    count = torch.zeros(1, 1, length)
    for start in starts:
        count[..., start : start + patch_size] += 1
    resized = F.interpolate(count, size, mode="linear", align_corners=False)
    return resized[0, 0].to(device, dtype)
