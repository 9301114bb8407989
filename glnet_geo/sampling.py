"""Random labelled frames out of the scenes of a dataset."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from glnet_geo.census import Census, take_census
from glnet_geo.errors import DatasetError
from glnet_geo.grid import Grid, Window
from glnet_geo.labelled_scene import OpenScene, Sample, ScenePool
from glnet_geo.labels import refusal
from glnet_geo.legend import IGNORED

_CELLS = 8  # of a census that a frame is wide, at least
_LARGEST_CELL = 256  # pixels
_TRIES = 8  # where labels lie on what the image has no data of
_HISTOGRAM_FRAMES = 32
_HISTOGRAM_SIDE = 256  # pixels that such a frame is read in
_MOST_ENLARGED = 2.0  # times that a scene is enlarged to fill a frame without a warning
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How samples vary.

    Attributes:
        scale: Largest factor by which a frame's extent departs from the nominal one.
        brightness: Largest relative change of all pixel values.
        contrast: Largest exponent (gamma) applied to pixel values, or its inverse.
        color: Largest relative change of a band's values, each band for itself.
        turns: Whether frames are flipped and turned by quarters.

    Raises:
        DatasetError: A value makes no sense.
    """

    scale: float = 2.5
    brightness: float = 0.35
    contrast: float = 1.5
    color: float = 0.2
    turns: bool = True

    def __post_init__(self) -> None:
        if not (1 <= self.scale <= 4 and 1 <= self.contrast <= 4):
            raise DatasetError("Scale and contrast of samples vary by factors from 1 to 4.")
        if not (0 <= self.brightness < 1 and 0 <= self.color < 1):
            raise DatasetError("Brightness and colour of samples vary by 0 to below 1.")


STILL = Augmentation(1, 0, 1, 0, turns=False)
"""Samples as they are."""


class FrameSampler:
    """Random frames from a set of scenes.

    All scenes with labels are drawn equally often, so that a large one does not drown the rest.
    Where they are labelled all over, frames lie anywhere; else around labels.

    Args:
        scenes: The scenes.
        size: Side of a frame in pixels.
        augmentation: How samples vary.
        gsd: Ground sample distance in metres that a frame's pixels have, where that of its scene is
            known; None to take pixels as they are.
        rare: Share of the frames that are drawn for a class that they hold, all classes alike.

    Attributes:
        class_pixels: Labelled pixels of each class, K, in pixels of the scenes.
        pixels: Labelled pixels in all, in pixels of frames.
        n_scenes: Scenes, those without labels too.

    Raises:
        DatasetError: No scene has labels.
    """

    def __init__(
        self,
        scenes: ScenePool,
        size: int,
        augmentation: Augmentation,
        *,
        gsd: float | None = None,
        rare: float = 0.0,
    ) -> None:
        self._scenes = scenes
        self.n_scenes = len(scenes)
        self._size = size
        self._augmentation = augmentation
        self._rare = rare
        n_classes = len(scenes.legend)
        places = [_Place.of(scenes[k], size, gsd, n_classes) for k in range(len(scenes))]
        self._places = [(k, place) for k, place in enumerate(places) if place.census.pixels.any()]
        if not self._places:
            raise DatasetError(
                f'No pixel of the scenes with split = "{scenes.split}" has a label that counts. '
                "Look at them: train --check."
            )
        self.class_pixels: npt.NDArray[np.int64] = sum(
            (place.census.pixels for place in places), np.zeros(n_classes, np.int64)
        )
        self.pixels = round(
            sum(place.census.pixels.sum() / place.extent**2 for place in places) * size**2
        )
        self._holders = {
            int(k): [entry for entry in self._places if entry[1].census.pixels[k]]
            for k in np.flatnonzero(self.class_pixels)
        }

    def histogram(self, bins: int) -> npt.NDArray[np.float64]:
        """What frames look like before they are varied.

        Returns:
            bands x bins: shares of the values of a band in equal ranges of 0-255.
        """
        rng = np.random.default_rng(0)
        counts: npt.NDArray[np.int64] | None = None
        for _ in range(_HISTOGRAM_FRAMES):
            pixels = self._draw(rng, _HISTOGRAM_SIDE).pixels
            found = np.stack([np.bincount(band.ravel(), minlength=256) for band in pixels])
            counts = found if counts is None else counts + found
        assert counts is not None
        shares: npt.NDArray[np.float64]
        shares = counts.reshape(len(counts), bins, -1).sum(2) / counts.sum(1, keepdims=True)
        return shares

    def draw(self, rng: np.random.Generator, size: int) -> Sample:
        """Draws one frame, resampled to `size` x `size` pixels."""
        for _ in range(_TRIES):
            sample = self._draw(rng, size)
            if (sample.target != IGNORED).any():
                break
        return self._vary(sample, rng)

    def _draw(self, rng: np.random.Generator, size: int) -> Sample:
        places, position = self._places, None
        if self._rare and rng.random() < self._rare:
            classes = list(self._holders)
            position = classes[rng.integers(len(classes))]
            places = self._holders[position]
        index, place = places[rng.integers(len(places))]
        limit = np.log(self._augmentation.scale)
        window = place.draw(rng, float(np.exp(rng.uniform(-limit, limit))), position)
        return replace(self._scenes[index].read(window, size), scene=index)

    def _vary(self, sample: Sample, rng: np.random.Generator) -> Sample:
        varied = self._augmentation
        turns, flips = int(rng.integers(4)), bool(rng.integers(2))
        gain = 1 + rng.uniform(-1, 1) * varied.brightness
        gamma = float(np.exp(rng.uniform(-1, 1) * np.log(varied.contrast)))
        gains = gain * (1 + rng.uniform(-1, 1, len(sample.pixels)) * varied.color)
        tables = np.clip(255 * gains[:, None] * (np.arange(256) / 255) ** gamma + 0.5, 0, 255)
        bands = zip(tables.astype(np.uint8), sample.pixels, strict=True)
        pixels, target = np.stack([table[band] for table, band in bands]), sample.target
        if varied.turns:
            pixels, target = np.rot90(pixels, turns, (1, 2)), np.rot90(target, turns)
            if flips:
                pixels, target = pixels[:, :, ::-1], target[:, ::-1]
        pixels, target = np.ascontiguousarray(pixels), np.ascontiguousarray(target)
        return replace(sample, pixels=pixels, target=target)


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where frames of a scene may lie.

    Attributes:
        grid: The scene's grid.
        extent: Side of a frame in pixels of the scene.
        census: Its labels.
        is_full: Whether there are labels all over.
    """

    grid: Grid
    extent: float
    census: Census
    is_full: bool

    @classmethod
    def of(cls, scene: OpenScene, size: int, gsd: float | None, n_classes: int) -> _Place:
        extent = size * gsd / scene.gsd if gsd and scene.gsd else float(size)
        shortest = min(scene.grid.height, scene.grid.width)
        if extent > _MOST_ENLARGED * shortest:
            _log.warning(
                "%s is %d px on its shorter side and is enlarged to frames of %d px. Set a smaller "
                "frame.",
                scene.scene.image,
                shortest,
                round(extent),
            )
        for note in scene.notes:
            _log.info("%s", note)
        # A frame holds the whole of a cell, however it is scaled, and so what is in it.
        cell = int(min(max(extent / _CELLS, 1), _LARGEST_CELL))
        census = take_census(scene, n_classes, cell)
        # Now, not when a frame happens to lie there.
        for value in census.unknown:
            raise DatasetError(refusal(value, scene.scene, scene.legend))
        return cls(scene.grid, extent, census, bool(census.labelled.all()))

    def draw(self, rng: np.random.Generator, scale: float, position: int | None) -> Window:
        """A square window with labels in it.

        Args:
            rng: Where chance comes from.
            scale: What its side is multiplied with.
            position: The class that it holds; None for any.
        """
        side = min(max(round(self.extent * scale), 1), self.grid.height, self.grid.width)
        if position is None and self.is_full:
            top, left = (
                int(rng.integers(n - side + 1)) for n in (self.grid.height, self.grid.width)
            )
            return Window(top, left, side, side)
        counts = self.census.labelled if position is None else self.census.cells[position]
        cell = int(rng.choice(counts.size, p=counts.ravel() / counts.sum()))
        row, column = divmod(cell, counts.shape[1])
        top = _start(rng, row * self.census.cell, self.census.cell, side, self.grid.height)
        left = _start(rng, column * self.census.cell, self.census.cell, side, self.grid.width)
        return Window(top, left, side, side)


def _start(rng: np.random.Generator, first: int, cell: int, side: int, length: int) -> int:
    """Where a window begins, along an axis, so that it holds a cell.

    Args:
        rng: Where chance comes from.
        first: Where the cell begins.
        cell: Its side.
        side: Of the window, no smaller than the cell's.
        length: Of the scene.
    """
    end = min(first + cell, length)
    return int(rng.integers(max(end - side, 0), min(first, length - side) + 1))
