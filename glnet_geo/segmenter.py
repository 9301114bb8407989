"""GLNet as a segmenter: the one place where pixels become tensors for prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from glnet_geo.blending import FrameScores, blend_weights
from glnet_geo.checkpoint import ModelCard, read_model
from glnet_geo.devices import choose_device, choose_dtype
from glnet_geo.errors import GlnetGeoError
from glnet_geo.models.disagreement import disagreement
from glnet_geo.models.glnet import FrameLogits, GLNet
from glnet_geo.models.inference import InferenceNet
from glnet_geo.models.sharing import FramePatch
from glnet_geo.precision import Precision
from glnet_geo.radiometry import shrink
from glnet_geo.raster import Chip
from glnet_geo.tiling import FrameExtent, FramePlan, Mirror, PatchLayout, mirrors


@dataclass(frozen=True, slots=True, eq=False)
class StagedChip(Chip):
    """A frame that is on the device, or on its way there.

    Attributes:
        frame: Its pixels, uint8 C x H x W, mirrored until they hold a patch; on the host where
            they are so many that a GPU had better be sent patches.
        view: The whole of it, small, uint8 C x h x w.
        layout: Its patches.
    """

    frame: Tensor
    view: Tensor
    layout: PatchLayout


class GLNetSegmenter:
    """GLNet as a segmenter.

    Args:
        net: The networks, in eval mode. They are copied; what is not needed otherwise may go.
        card: Their card.
        device: Where to run.
        reference: Whether to follow the reference's arithmetic to the letter: frames of exactly
            the trained extent, a square global view, nearest-neighbour logits that are summed
            where patches overlap, and classes predicted that the legend ignores.
        frame: Side of the frames in pixels; or about that of the card, where it saves work; or
            the whole scene as one frame.
        dtype: Floating-point type of weights and maps.
        batch_size: Patches that run at a time; None for what suits the device.
        views: In how many ways a frame is looked at (1, 2 or 4: it and its mirror images); the
            result is their mean.
        compares_branches: Whether disagreement of the branches follows the classes' scores, see
            `models.disagreement`.

    Attributes:
        legend: The classes, in the order of the scores.
        n_bands: Bands of the pixels that it takes.
        device: Type of the device where it runs: cpu, cuda and so on.
        dtype: As given.

    Raises:
        GlnetGeoError: The frame is no larger than the overlaps of frames; or there is only one
            branch, or the reference's sums, where branches shall be compared.
    """

    def __init__(
        self,
        net: GLNet,
        card: ModelCard,
        device: torch.device,
        reference: bool = False,
        frame: int | FrameExtent = FrameExtent.CARD,
        dtype: torch.dtype = torch.float32,
        batch_size: int | None = None,
        views: int = 1,
        compares_branches: bool = False,
    ) -> None:
        card.check_frame(frame)
        if compares_branches:
            _check_branches(net, card, reference)
        self._mirrors = mirrors(views)
        self.legend = card.legend
        self.device = device.type
        self.dtype = dtype
        self.n_bands = net.architecture.bands
        self._net = InferenceNet(net, device, dtype, compares_branches)
        self._compares_branches = compares_branches
        self._card = card
        self._device = device
        self._reference = reference
        self._frame = frame
        # On a CPU more patches at a time cost memory and, as measured, no less time.
        self._batch_size = batch_size or (1 if device.type == "cpu" else _GPU_PATCHES)
        self._copies: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def frames(self, height: int, width: int) -> FramePlan:
        """The frames that a scene of this size is covered with."""
        return self._card.frames(height, width, self._frame, self._reference)

    def stage(self, chip: Chip) -> StagedChip:
        """Makes a frame ready ahead of its turn, in the thread that reads.

        Frames smaller than a patch are mirrored at their borders until they hold one.
        """
        size = self._card.patch_size
        height, width = (max(side, size) for side in chip.pixels.shape[1:])
        pixels = _mirror_to(chip.pixels, height, width)
        layout = PatchLayout.cover(height, width, size)
        view = shrink(pixels, *self._view_size(layout))
        return StagedChip(
            chip.pixels, chip.valid, chip.grid, self._upload(pixels), self._upload(view), layout
        )

    def _upload(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        tensor = torch.from_numpy(pixels)
        if self._copies is None or pixels.nbytes > _UPLOADED:
            return tensor
        # Beside the computation, which goes on with the frame before.
        with torch.cuda.stream(self._copies):
            return tensor.pin_memory().to(self._device, non_blocking=True)

    def __call__(self, chip: Chip) -> Iterator[FrameScores]:
        """Scores of a frame's uint8 pixels C x H x W, staged or not.

        Yields:
            The frame's rows from the top, in bands of K x n x W, or K + 1 with disagreement.
        """
        staged = chip if isinstance(chip, StagedChip) else self.stage(chip)
        logits = self._segment(staged)
        height, width = chip.pixels.shape[1:]
        ignored = sorted(set(range(len(self.legend))) - set(self.legend.counted))
        for top, band in self._merge(logits, staged.layout):
            if top >= height:
                return
            scores = band[:, : height - top, :width].cpu().numpy()
            if not self._reference:
                scores[ignored] = -np.inf
            yield scores

    def _segment(self, staged: StagedChip) -> FrameLogits:
        """Logits of a frame, the mean over the ways to look at it."""
        with torch.inference_mode():
            return _mean([self._look(staged, mirror) for mirror in self._mirrors])

    def _look(self, staged: StagedChip, mirror: Mirror) -> FrameLogits:
        """Logits of a frame that is looked at in a mirror, back in their places."""
        frame, view, layout = staged.frame, staged.view, staged.layout
        axes = mirror.axes
        if not axes:
            return self._run(frame, view, layout)
        logits = self._run(frame.flip(axes), view.flip(axes), layout.mirrored(mirror))
        if logits.patches is None:
            assert logits.whole is not None
            return FrameLogits(logits.whole.flip(axes))
        shape = (len(layout.tops), len(layout.lefts))
        # Patches by row and column, then classes: mirrored are their order and they themselves.
        grid = logits.patches.view(*shape, *logits.patches.shape[1:])
        turned = grid.flip([*(2 + axis for axis in axes), *axes])
        return FrameLogits(None, turned.flatten(0, 1))

    def _run(self, frame: Tensor, view: Tensor, layout: PatchLayout) -> FrameLogits:
        if self._copies is not None:
            here = torch.cuda.current_stream(self._device)
            here.wait_stream(self._copies)
            # Their memory was taken from the other stream's.
            for tensor in (frame, view):
                if tensor.device.type == "cuda":
                    tensor.record_stream(here)

        def read_patches(patches: Sequence[FramePatch]) -> Tensor:
            windows = [(slice(None), *patch.window.slices) for patch in patches]
            pixels = torch.stack([frame[window] for window in windows])
            return self._net.normalize(pixels.to(self._device, non_blocking=True))

        view = self._net.normalize(view.to(self._device)[None])
        logits = self._net.segment(view, read_patches, layout, self._batch_size)
        if self.dtype != torch.float32:
            _check_numbers(logits)
        if not self._compares_branches:
            return logits
        assert logits.patches is not None
        compared = disagreement(logits, layout, self.legend.counted)
        return FrameLogits(None, torch.cat([logits.patches, compared], 1))

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

    def _merge(self, logits: FrameLogits, layout: PatchLayout) -> Iterator[tuple[int, Tensor]]:
        """The frame's scores: enlarged logits, joined where patches overlap (step 9).

        Yields:
            First row, and C x n x (columns of the frame) of it and the following ones, for each
            of C maps of logits.
        """
        if logits.patches is None:
            assert logits.whole is not None
            yield 0, self._enlarge(logits.whole, layout.height, layout.width)
            return
        size = layout.patch_size
        row_weights = self._patch_weights(layout.tops, size, layout.height)
        column_weights = self._patch_weights(layout.lefts, size, layout.width)
        maps = logits.patches.shape[1]
        waiting = logits.patches.new_zeros(maps, 0, layout.width)
        patches = iter(logits.patches)
        bounds = pairwise((*layout.tops, layout.height))
        for (top, end), down in zip(bounds, row_weights, strict=True):
            scores = logits.patches.new_zeros(maps, size, layout.width)
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


def _check_branches(net: GLNet, card: ModelCard, reference: bool) -> None:
    if net.local is None:
        raise GlnetGeoError(
            f"The model {card.name!r} has one branch only, which nothing can disagree with. Leave "
            "--disagreement out (--confidence tells how sure it is), or train a model with both: "
            "glnet-geo train --form both_ways"
        )
    if reference:
        raise GlnetGeoError(
            "--reference adds up what patches say where they overlap. Leave --disagreement out."
        )


def _mean(looks: Sequence[FrameLogits]) -> FrameLogits:
    patches = [one.patches for one in looks if one.patches is not None]
    if patches:
        return FrameLogits(None, torch.stack(patches).mean(0))
    whole = [one.whole for one in looks if one.whole is not None]
    return FrameLogits(torch.stack(whole).mean(0))


def _check_numbers(logits: FrameLogits) -> None:
    """Refuses overflown half precision, which would be mapped as the first class."""
    found = logits.whole if logits.patches is None else logits.patches
    if found is not None and not found.isfinite().all():
        raise GlnetGeoError(
            "In half precision this model's values become too large on this device. Take "
            "--precision fp32."
        )


def load_segmenter(
    model_file: Path,
    device: str = "auto",
    precision: Precision = Precision.AUTO,
    reference: bool = False,
    frame: int | FrameExtent = FrameExtent.CARD,
    views: int = 1,
    compares_branches: bool = False,
) -> GLNetSegmenter:
    """A model file as a segmenter, on a device by name; see `GLNetSegmenter`.

    Raises:
        GlnetGeoError: The file is no model, or there is no such device here.
    """
    net, card = read_model(model_file)
    place = choose_device(device)
    dtype = choose_dtype(precision, place, reference)
    return GLNetSegmenter(
        net,
        card,
        place,
        reference,
        frame,
        dtype,
        views=views,
        compares_branches=compares_branches,
    )


_UPLOADED = 64 << 20  # bytes of a frame
_GPU_PATCHES = 4  # at a time: within 2 GB with the paper's networks; their speed was not measured
_MIN_VIEW = 64  # pixels; two cells of the coarsest map


def _mirror_to(pixels: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    below, right = height - pixels.shape[1], width - pixels.shape[2]
    if below == right == 0:
        return pixels
    return np.pad(pixels, ((0, 0), (0, below), (0, right)), mode="symmetric")
