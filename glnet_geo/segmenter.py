"""GLNet as a segmenter: the one place where pixels become tensors for prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from glnet_geo.checkpoint import ModelCard
from glnet_geo.errors import GlnetGeoError
from glnet_geo.grid import Grid
from glnet_geo.models.glnet import FrameLogits, GLNet, segment_frame
from glnet_geo.models.sharing import FramePatch
from glnet_geo.radiometry import shrink
from glnet_geo.raster import Chip
from glnet_geo.tiling import (
    MAX_FRAME_SCALE,
    MIN_FRAME_SCALE,
    Frame,
    PatchLayout,
    plan_frames,
)

MapScores = npt.NDArray[np.float32]
"""K x H x W: the higher, the likelier."""


class GLNetSegmenter:
    """GLNet as a segmenter.

    Args:
        net: The networks, in eval mode.
        card: Their card.
        device: Where to run.
        reference: Whether to follow the reference's arithmetic to the letter: frames of exactly
            the trained extent, a square global view, and classes predicted that the legend
            ignores.
    """

    def __init__(
        self,
        net: GLNet,
        card: ModelCard,
        device: torch.device,
        reference: bool = False,
    ) -> None:
        self.legend = card.legend
        self.n_bands = net.architecture.bands
        self._net = net.to_channels_last(device)
        self._card = card
        self._device = device
        self._reference = reference

    def frames(self, grid: Grid) -> Sequence[Frame]:
        """The frames that a scene is covered with, row by row."""
        card = self._card
        scales = (1.0, 1.0) if self._reference else (MIN_FRAME_SCALE, MAX_FRAME_SCALE)
        sides = (grid.height, grid.width, card.frame, card.overlap, card.patch_size)
        return list(plan_frames(*sides, scales))

    def __call__(self, chip: Chip) -> MapScores:
        """Scores K x H x W of a frame's uint8 pixels C x H x W.

        Frames smaller than a patch are mirrored at their borders until they hold one.
        """
        height, width = chip.pixels.shape[1:]
        size = self._card.patch_size
        pixels = _mirror_to(chip.pixels, max(height, size), max(width, size))
        layout = PatchLayout.cover(pixels.shape[1], pixels.shape[2], size)
        frame = torch.from_numpy(pixels)

        def read_patches(patches: Sequence[FramePatch]) -> Tensor:
            windows = [(slice(None), *patch.window.slices) for patch in patches]
            return self._to_network(torch.stack([frame[window] for window in windows]))

        view = shrink(pixels, *self._view_size(layout))
        logits = segment_frame(
            self._net,
            self._to_network(torch.from_numpy(view)[None]),
            read_patches,
            layout,
        )
        scores = self._merge(logits, layout)[:, :height, :width]
        if not self._reference:
            ignored = sorted(set(range(len(self.legend))) - set(self.legend.counted))
            scores[ignored] = -np.inf
        return scores

    def _view_size(self, layout: PatchLayout) -> tuple[int, int]:
        """Rows and columns of the global view.

        A frame of another extent than the trained one is seen at the trained decimation, so that
        the ground has the size that the global branch knows.
        """
        size, frame = self._card.global_size, self._card.frame
        if self._reference:
            return size, size
        smallest = min(size, _MIN_VIEW)
        height, width = (round(side * size / frame) for side in (layout.height, layout.width))
        return max(height, smallest), max(width, smallest)

    def _to_network(self, pixels: Tensor) -> Tensor:
        return self._net.normalize(pixels.to(self._device, non_blocking=True))

    def _merge(self, logits: FrameLogits, layout: PatchLayout) -> MapScores:
        """The frame's scores: enlarged logits, summed where patches overlap (step 9)."""
        if logits.patches is None:
            return _enlarge(logits.whole, layout.height, layout.width).cpu().numpy()
        size = layout.patch_size
        scores = torch.zeros(len(self.legend), layout.height, layout.width)
        for window, patch in zip(layout.windows, logits.patches, strict=True):
            enlarged = _enlarge(patch[None], size, size).cpu()
            scores[(slice(None), *window.slices)] += enlarged
        return scores.numpy()


def _enlarge(logits: Tensor, height: int, width: int) -> Tensor:
    """Maps 1 x K x h x w to K x height x width by nearest neighbour."""
    return F.interpolate(logits, (height, width), mode="nearest")[0]


_MIN_VIEW = 64  # pixels; two cells of the coarsest map


def _mirror_to(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    below, right = height - pixels.shape[1], width - pixels.shape[2]
    if below == right == 0:
        return pixels
    return np.pad(pixels, ((0, 0), (0, below), (0, right)), mode="symmetric")


def choose_device(name: str) -> torch.device:
    """A device by name; "auto" takes a GPU where there is one.

    Raises:
        GlnetGeoError: There is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).splitlines()[0][:100]
        raise GlnetGeoError(f"Device {name!r} cannot be used here: {reason}") from None
    return device
