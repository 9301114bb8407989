"""GLNet as a segmenter: the one place where pixels become tensors for prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from glnet_geo.blending import FrameScores, blend_weights
from glnet_geo.checkpoint import ModelCard
from glnet_geo.errors import GlnetGeoError
from glnet_geo.models.glnet import FrameLogits, GLNet, segment_frame
from glnet_geo.models.sharing import FramePatch
from glnet_geo.radiometry import shrink
from glnet_geo.raster import Chip
from glnet_geo.tiling import FrameExtent, FramePlan, PatchLayout


class GLNetSegmenter:
    """GLNet as a segmenter.

    Args:
        net: The networks, in eval mode.
        card: Their card.
        device: Where to run.
        reference: Whether to follow the reference's arithmetic to the letter: frames of exactly
            the trained extent, a square global view, nearest-neighbour logits that are summed
            where patches overlap, and classes predicted that the legend ignores.
        frame: Side of the frames in pixels; or about that of the card, where it saves work; or
            the whole scene as one frame.
        batch_size: Patches that run at a time.

    Attributes:
        legend: The classes, in the order of the scores.
        n_bands: Bands of the pixels that it takes.
        device: Type of the device where it runs: cpu, cuda and so on.

    Raises:
        GlnetGeoError: The frame is no larger than the overlaps of frames.
    """

    def __init__(
        self,
        net: GLNet,
        card: ModelCard,
        device: torch.device,
        reference: bool = False,
        frame: int | FrameExtent = FrameExtent.CARD,
        batch_size: int = 1,
    ) -> None:
        card.check_frame(frame)
        self.legend = card.legend
        self.device = device.type
        self.n_bands = net.architecture.bands
        self._net = net.to_channels_last(device)
        self._card = card
        self._device = device
        self._reference = reference
        self._frame = frame
        self._batch_size = batch_size

    def frames(self, height: int, width: int) -> FramePlan:
        """The frames that a scene of this size is covered with."""
        return self._card.frames(height, width, self._frame, self._reference)

    def __call__(self, chip: Chip) -> Iterator[FrameScores]:
        """Scores of a frame's uint8 pixels C x H x W.

        Frames smaller than a patch are mirrored at their borders until they hold one.

        Yields:
            The frame's rows from the top, in bands of K x n x W.
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
            self._batch_size,
        )
        ignored = sorted(set(range(len(self.legend))) - set(self.legend.counted))
        for top, band in self._merge(logits, layout):
            if top >= height:
                return
            scores = band[:, : height - top, :width].cpu().numpy()
            if not self._reference:
                scores[ignored] = -np.inf
            yield scores

    def _view_size(self, layout: PatchLayout) -> tuple[int, int]:
        """Rows and columns of the global view.

        A frame smaller than the trained one is seen at the trained decimation, so that the ground
        has the size that the global branch knows. A larger one is seen in as many pixels as the
        trained one, as in the paper: that holds the memory, and up to 1.25 times the trained
        extent it scored no worse than the trained decimation (0.538 against 0.535).
        """
        size = self._card.global_size
        if self._reference:
            return size, size
        decimation = max(self._card.frame, layout.height, layout.width) / size
        smallest = min(size, _MIN_VIEW)
        height, width = (round(side / decimation) for side in (layout.height, layout.width))
        return max(height, smallest), max(width, smallest)

    def _to_network(self, pixels: Tensor) -> Tensor:
        return self._net.normalize(pixels.to(self._device, non_blocking=True))

    def _merge(self, logits: FrameLogits, layout: PatchLayout) -> Iterator[tuple[int, Tensor]]:
        """The frame's scores: enlarged logits, joined where patches overlap (step 9).

        Yields:
            First row, and K x n x (columns of the frame) of it and the following ones.
        """
        if logits.patches is None:
            yield 0, self._enlarge(logits.whole, layout.height, layout.width)
            return
        size = layout.patch_size
        row_weights = self._patch_weights(layout.tops, size, layout.height)
        column_weights = self._patch_weights(layout.lefts, size, layout.width)
        waiting = logits.patches.new_zeros(len(self.legend), 0, layout.width)
        patches = iter(logits.patches)
        bounds = pairwise((*layout.tops, layout.height))
        for (top, end), down in zip(bounds, row_weights, strict=True):
            scores = logits.patches.new_zeros(len(self.legend), size, layout.width)
            scores[:, : waiting.shape[1]] = waiting
            for left, across in zip(layout.lefts, column_weights, strict=True):
                enlarged = self._enlarge(next(patches)[None], size, size)
                scores[:, :, left : left + size].addcmul_(enlarged, down[:, None] * across)
            yield top, scores[:, : end - top]
            waiting = scores[:, end - top :]

    def _patch_weights(self, starts: tuple[int, ...], size: int, length: int) -> list[Tensor]:
        """Weights of the patches along one axis, `size` each."""
        if self._reference:
            return [torch.ones(size, device=self._device)] * len(starts)
        weights = blend_weights(starts, size, length)
        return [torch.from_numpy(one).to(self._device) for one in weights]

    def _enlarge(self, logits: Tensor, height: int, width: int) -> Tensor:
        """Maps 1 x K x h x w to K x height x width."""
        mode = "nearest" if self._reference else "bilinear"
        # Of so few channels, planes are enlarged three times as fast as channels_last.
        return F.interpolate(logits.contiguous(), (height, width), mode=mode)[0]


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


def count_gpus() -> int:
    """GPUs that can be told apart by CUDA_VISIBLE_DEVICES."""
    return torch.cuda.device_count()
