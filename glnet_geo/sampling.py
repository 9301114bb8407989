"""Random labelled frames out of the scenes of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.datasets import LabelledScene
from glnet_geo.errors import DatasetError
from glnet_geo.grid import Window
from glnet_geo.legend import IGNORED, Legend
from glnet_geo.radiometry import find_stretch, shrink
from glnet_geo.raster import SceneReader

_BANDS_ADVICE = "Set its bands in the dataset file."
_LABELS_ADVICE = "Labels have one band of ids, or three of colours with palette = true."


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A labelled frame.

    Attributes:
        pixels: bands x F x F, uint8.
        target: F x F, uint8: positions of classes in the legend, or `IGNORED`.
    """

    pixels: npt.NDArray[np.uint8]
    target: npt.NDArray[np.uint8]
    image: str = ""


class OpenScene(AbstractContextManager["OpenScene"]):
    """A labelled scene, opened for windowed reading.

    Args:
        scene: Image and labels.
        legend: The classes.
        n_bands: Bands that the model takes.

    Raises:
        RasterError: One of the two cannot be read or has the wrong bands.
        DatasetError: Their sizes differ.
    """

    def __init__(self, scene: LabelledScene, legend: Legend, n_bands: int) -> None:
        self.scene = scene
        self._legend = legend
        self._position = _positions(legend, scene.labels_map)
        self._image = SceneReader(scene.image, scene.bands, n_bands, _BANDS_ADVICE)
        try:
            self._labels = SceneReader(
                scene.labels, None, 3 if scene.palette else 1, _LABELS_ADVICE
            )
        except BaseException:
            self._image.close()
            raise
        self.grid = self._image.grid
        labels_grid = self._labels.grid
        if (labels_grid.height, labels_grid.width) != (self.grid.height, self.grid.width):
            self.close()
            raise DatasetError(
                f"{scene.image} is {self.grid.width} x {self.grid.height} px, its labels "
                f"{scene.labels} {labels_grid.width} x {labels_grid.height}. They must be equal."
            )
        self._stretch = find_stretch(self._image)

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes both files."""
        self._image.close()
        self._labels.close()

    def read(self, window: Window, size: int) -> Sample:
        """Reads a square window, resampled to `size` x `size`."""
        # GDAL's own resampling takes ten times as long on files in one-row blocks (JPEG, PNG).
        chip = self._image.read(window)
        target = self.read_positions(window)
        target[~chip.valid] = IGNORED
        nearest = ((np.arange(size) + 0.5) * (window.height / size)).astype(int)
        pixels = shrink(self._stretch.apply(chip.pixels), size, size)
        return Sample(pixels, target[np.ix_(nearest, nearest)])

    def read_positions(self, window: Window) -> npt.NDArray[np.uint8]:
        """The labels of a window, H x W: positions of classes in the legend, or `IGNORED`.

        Raises:
            DatasetError: A value is neither a class nor ignored.
        """
        labels = self._labels.read(window).pixels
        ids = self._ids_of_colors(labels) if self.scene.palette else labels[0]
        if ids.min() < 0 or ids.max() > 255:
            raise DatasetError(f"{self.scene.labels} has labels outside 0-255.")
        positions: npt.NDArray[np.int16] = self._position[ids.astype(np.uint8)]
        if positions.min() < 0:
            unknown = int(ids[positions < 0].flat[0])
            raise DatasetError(
                f"{self.scene.labels} has the value {unknown}, which is neither a class of "
                f"{self._legend.name!r} nor ignored. Add it to the legend's ignore, or to "
                "labels_map."
            )
        return positions.astype(np.uint8)

    def _ids_of_colors(self, rgb: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        packed = (rgb[0].astype(np.int64) << 16) | (rgb[1].astype(np.int64) << 8) | rgb[2]
        ids = np.full(packed.shape, -1, np.int64)
        for land_cover in self._legend.classes:
            red, green, blue = land_cover.rgb
            ids[packed == (red << 16 | green << 8 | blue)] = land_cover.id
        if ids.min() < 0:
            color = int(packed[ids < 0].flat[0])
            raise DatasetError(
                f"{self.scene.labels} has the colour #{color:06x}, which is no class of "
                f"{self._legend.name!r}."
            )
        return ids


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How samples vary.

    Attributes:
        scale: Largest factor by which a frame's extent departs from the nominal one.
        brightness: Largest relative change of all pixel values.
        contrast: Largest exponent (gamma) applied to pixel values, or its inverse.
    """

    scale: float = 1.4
    brightness: float = 0.15
    contrast: float = 1.25
    color: float = 0.0


STILL = Augmentation(1.0, 0.0, 1.0, 0.0)


class FrameSampler:
    """Random frames from a set of scenes.

    Args:
        scenes: Open scenes, all drawn equally often, so that a large one does not drown the rest.
        size: Side of a frame in pixels.
        augmentation: How samples vary; flips and quarter turns always do.

    Raises:
        DatasetError: A scene is smaller than half a frame.
    """

    def __init__(
        self,
        scenes: list[OpenScene],
        size: int,
        augmentation: Augmentation,
        *,
        gsd: float | None = None,
        rare: float = 0.0,
    ) -> None:
        self.pixels = sum(s.grid.height * s.grid.width for s in scenes)
        self.class_pixels = np.ones(len(scenes[0]._legend))
        self._scenes = scenes
        self._size = size
        self._augmentation = augmentation
        for scene in scenes:
            shortest = min(scene.grid.height, scene.grid.width)
            if shortest < size / 2:
                raise DatasetError(
                    f"{scene.scene.image} is {shortest} px on its shorter side, less than half of "
                    f"the {size} px frame. Set a smaller frame in the [model] table."
                )

    def draw(self, rng: np.random.Generator, size: int) -> Sample:
        """Draws one frame, resampled to `size` x `size` pixels."""
        scene = self._scenes[rng.integers(len(self._scenes))]
        limit = np.log(self._augmentation.scale)
        extent = round(self._size * float(np.exp(rng.uniform(-limit, limit))))
        extent = min(extent, scene.grid.height, scene.grid.width)
        top = int(rng.integers(scene.grid.height - extent + 1))
        left = int(rng.integers(scene.grid.width - extent + 1))
        sample = scene.read(Window(top, left, extent, extent), size)
        return replace(self._vary(sample, rng), image=scene.scene.image.name)

    def _vary(self, sample: Sample, rng: np.random.Generator) -> Sample:
        turns, flips = int(rng.integers(4)), bool(rng.integers(2))
        gain = 1 + rng.uniform(-1, 1) * self._augmentation.brightness
        gamma = float(np.exp(rng.uniform(-1, 1) * np.log(self._augmentation.contrast)))
        table = np.clip(255 * gain * (np.arange(256) / 255) ** gamma + 0.5, 0, 255)
        pixels = np.rot90(table.astype(np.uint8)[sample.pixels], turns, (1, 2))
        target = np.rot90(sample.target, turns)
        if flips:
            pixels, target = pixels[:, :, ::-1], target[:, ::-1]
        return Sample(np.ascontiguousarray(pixels), np.ascontiguousarray(target))


def _positions(legend: Legend, labels_map: Mapping[int, int]) -> npt.NDArray[np.int16]:
    """Position of the class by label value; `IGNORED`, or -1 for values nobody knows."""
    positions = np.full(256, -1, np.int16)
    positions[legend.ids] = np.arange(len(legend))
    positions[list(legend.ignore)] = IGNORED
    unmapped = positions.copy()
    for value, target in labels_map.items():
        positions[value] = unmapped[target]
    return positions
