"""A labelled scene, read window by window."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from glnet_geo.chip import Mask
from glnet_geo.datasets import LabelledScene
from glnet_geo.grid import Window
from glnet_geo.labels import LabelWindow, open_labels, positions_of
from glnet_geo.legend import IGNORED, Legend
from glnet_geo.radiometry import Stretch, find_stretch, shrink
from glnet_geo.raster import SceneReader

BANDS_ADVICE = "Set its bands in the dataset file."
"""What to do about an image whose bands do not fit."""

_MOST_READ = 6144  # rows of a window at full resolution: 113 MB of three bands
_STRIP_PIXELS = 16_000_000
_MOST_OPEN = 24  # scenes: a process may have about a thousand files open, and each takes several


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A labelled frame.

    Attributes:
        pixels: bands x F x F, uint8.
        target: F x F, uint8: positions of classes in the legend, or `IGNORED`.
        image: Name of the file that it is from.
        scene: Position of the scene in its pool.
    """

    pixels: npt.NDArray[np.uint8]
    target: npt.NDArray[np.uint8]
    image: str
    scene: int = 0


class OpenScene(AbstractContextManager["OpenScene"]):
    """A labelled scene, opened for windowed reading.

    Args:
        scene: Image and labels.
        legend: The classes.
        n_bands: Bands that the model takes.
        stretch: Mapping of pixel values to 0-255; None to find it.

    Attributes:
        scene: As given.
        legend: As given.
        grid: The image's grid.
        gsd: Ground sample distance in metres; None where nobody knows.
        stretch: Mapping of pixel values to 0-255.
        notes: What was decided about the labels, in sentences.

    Raises:
        RasterError: Image or labels cannot be read or have the wrong bands.
        DatasetError: Labels do not fit the image.
        FeaturesError: Likewise, of labels or an area in a vector file.
    """

    def __init__(
        self,
        scene: LabelledScene,
        legend: Legend,
        n_bands: int | None,
        stretch: Stretch | None = None,
    ) -> None:
        self.scene = scene
        self.legend = legend
        self._image = SceneReader(scene.image, scene.bands, n_bands, BANDS_ADVICE)
        try:
            self.grid = self._image.grid
            self._labels = open_labels(scene, self.grid, legend)
            self.stretch = stretch or find_stretch(self._image)
        except BaseException:
            self._image.close()
            raise
        self.gsd = scene.gsd or self.grid.gsd_m
        self.notes = self._labels.notes

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes both files."""
        self._image.close()
        self._labels.close()

    def read(self, window: Window, size: int) -> Sample:
        """Reads a square window, resampled to `size` x `size`; memory is bounded."""
        if window.height > _MOST_READ:
            pixels, valid = self._read_view(window, size)
        else:
            # GDAL's own resampling takes ten times as long on files in one-row blocks (JPEG, PNG).
            chip = self._image.read(window)
            pixels = shrink(self.stretch.apply(chip.pixels), size, size)
            valid = chip.valid[_nearest(window.height, size)][:, _nearest(window.width, size)]
        target = np.where(valid, self._read_nearest(window, size), IGNORED).astype(np.uint8)
        return Sample(pixels, target, self.scene.image.name)

    def _read_view(self, window: Window, size: int) -> tuple[npt.NDArray[np.uint8], Mask]:
        """The pixels of a window from the scene in other pixels, to the nearest of them."""
        scale = size / window.height
        height, width = (
            max(round(side * scale), size) for side in (self.grid.height, self.grid.width)
        )
        top = min(round(window.top * scale), height - size)
        left = min(round(window.left * scale), width - size)
        chip = self._image.view(height, width).read(Window(top, left, size, size))
        return self.stretch.apply(chip.pixels), chip.valid

    def _read_nearest(self, window: Window, size: int) -> npt.NDArray[np.uint8]:
        """The labels at the centres of `size` x `size` pixels of a window."""
        rows, columns = _nearest(window.height, size), _nearest(window.width, size)
        target = np.empty((size, size), np.uint8)
        count = max(_STRIP_PIXELS * size // (window.height * window.width), 1)
        for first in range(0, size, count):
            some = rows[first : first + count]
            height = int(some[-1] - some[0]) + 1
            strip = Window(window.top + int(some[0]), window.left, height, window.width)
            target[first : first + count] = self.read_positions(strip)[some - some[0]][:, columns]
        return target

    def read_positions(self, window: Window) -> npt.NDArray[np.uint8]:
        """The labels of a window, H x W: positions of classes in the legend, or `IGNORED`.

        Raises:
            DatasetError: A value is neither a class nor ignored.
        """
        positions = positions_of(self._labels, window, self.scene, self.legend)
        return self._confined(positions, window)

    def read_labels(self, window: Window) -> LabelWindow:
        """The labels of a window, and what nobody knows in them."""
        labels = self._labels.read(window)
        return replace(labels, positions=self._confined(labels.positions, window))

    def touches(self, window: Window) -> bool:
        """Whether there may be labels in a window; cheap, and never False where there are."""
        blocks = self.scene.blocks
        if blocks is not None and not blocks.touches(self.grid, window):
            return False
        return self._labels.touches(window)

    def _confined(self, positions: npt.NDArray[np.uint8], window: Window) -> npt.NDArray[np.uint8]:
        """Without the labels that belong to another split."""
        if self.scene.blocks is not None:
            positions[~self.scene.blocks.mask(self.grid, window)] = IGNORED
        return positions


def _nearest(length: int, size: int) -> npt.NDArray[np.int64]:
    """The pixel under the centre of each of `size` larger or smaller ones."""
    return ((np.arange(size) + 0.5) * (length / size)).astype(np.int64)


class ScenePool(AbstractContextManager["ScenePool"]):
    """Labelled scenes of which those that were used last are open.

    Args:
        scenes: The scenes.
        legend: The classes.
        n_bands: Bands that the model takes.
    """

    def __init__(self, scenes: Sequence[LabelledScene], legend: Legend, n_bands: int) -> None:
        self._scenes, self._legend, self._n_bands = scenes, legend, n_bands
        self._open: OrderedDict[int, OpenScene] = OrderedDict()
        self._stretches: dict[int, Stretch] = {}

    def __len__(self) -> int:
        return len(self._scenes)

    def __exit__(self, *error: object) -> None:
        while self._open:
            self._open.popitem()[1].close()

    @property
    def legend(self) -> Legend:
        """The classes."""
        return self._legend

    @property
    def split(self) -> str:
        """The split that they belong to."""
        return self._scenes[0].split

    def __getitem__(self, index: int) -> OpenScene:
        """A scene by its position, open until others have been used."""
        if index not in self._open:
            while len(self._open) >= _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            opened = OpenScene(
                self._scenes[index], self._legend, self._n_bands, self._stretches.get(index)
            )
            self._open[index], self._stretches[index] = opened, opened.stretch
        self._open.move_to_end(index)
        return self._open[index]
