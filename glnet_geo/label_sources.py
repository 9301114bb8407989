"""Where class ids come from: rasters of ids, and pictures in the colours of a legend."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from glnet_geo.chip import Mask
from glnet_geo.class_raster import ClassRaster, Labels
from glnet_geo.class_table import MapClass
from glnet_geo.grid import Grid, Window
from glnet_geo.legend import Legend
from glnet_geo.raster import SceneReader, open_raster
from glnet_geo.remote import ScenePath

_PRIMARY = {"red", "green", "blue"}
_NO_CLASS = 1 << 24
"""What is added to a colour that is no class's, beyond all ids of legends."""
_HALF = 128
_ADVICE = "Masks in colours have a red, a green and a blue band."


class LabelSource(Protocol):
    """What gives class ids on a grid, window by window; not to be shared between threads."""

    @property
    def grid(self) -> Grid:
        """The grid of the windows."""

    @property
    def block_height(self) -> int:
        """Rows that are read together best."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The local files that it consists of."""

    @property
    def named(self) -> Mapping[int, MapClass]:
        """The classes that have a name of their own, by value."""

    def read(self, window: Window) -> tuple[Labels, Mask | None]:
        """Values of a window, H x W, and which are valid, or None where all are."""

    def describe(self, value: int) -> str:
        """A value as a message shows it."""

    def close(self) -> None:
        """Closes the files."""


class RasterLabels:
    """A class raster; see `ClassRaster`."""

    def __init__(self, path: ScenePath, band: int | None = None, onto: Grid | None = None) -> None:
        self._raster = ClassRaster(path, band, onto)
        self.grid = self._raster.grid
        self.block_height = self._raster.block_height
        self.files = self._raster.files
        classes = self._raster.classes.known.values()
        self.named = {one.id: one for one in classes if one.name != str(one.id)}
        self.read = self._raster.read
        self.close = self._raster.close

    def describe(self, value: int) -> str:
        """The id, and its name where it has one."""
        return f"{value} ({self.named[value].name})" if value in self.named else str(value)


class ColorLabels:
    """A mask in the colours of a legend, as ids of the legend.

    Where all colours of the legend consist of 0 and 255, as DeepGlobe's, the mask is read as 0
    below 128 and 255 from there on, as DeepGlobe asks for: some of its masks are not exact. Else
    colours must be exact.

    Args:
        path: A raster with three bands.
        legend: The classes.

    Raises:
        RasterError: See `SceneReader`.
    """

    def __init__(self, path: ScenePath, legend: Legend) -> None:
        self._reader = SceneReader(path, None, 3, _ADVICE)
        self.grid, self.block_height = self._reader.grid, 1
        self.files = self._reader.files
        self.named: Mapping[int, MapClass] = {}
        self.close = self._reader.close
        colors = np.array([one.rgb for one in legend.classes], np.int64)
        self._is_rounded = bool(np.isin(colors, (0, 255)).all())
        packed = _packed(colors.T)
        order = np.argsort(packed)
        self._colors, self._ids = packed[order], legend.ids[order].astype(np.int32)

    def read(self, window: Window) -> tuple[Labels, Mask | None]:
        """Ids of the legend; colours of no class are values beyond them, see `describe`."""
        chip = self._reader.read(window)
        pixels = np.where(chip.pixels >= _HALF, 255, 0) if self._is_rounded else chip.pixels
        packed = _packed(pixels)
        places = np.searchsorted(self._colors, packed).clip(max=len(self._colors) - 1)
        is_known = self._colors[places] == packed
        ids = np.where(is_known, self._ids[places], packed + _NO_CLASS)
        return ids, None if chip.valid.all() else chip.valid

    def describe(self, value: int) -> str:
        """The id, or the colour that is none."""
        return f"#{value - _NO_CLASS:06x}" if value >= _NO_CLASS else str(value)


def _packed(rgb: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """Colours, 3 x ..., as numbers of 24 bits."""
    red, green, blue = rgb.astype(np.int32)
    packed: npt.NDArray[np.int32] = red << 16 | green << 8 | blue
    return packed


def is_picture(path: ScenePath) -> bool:
    """Whether a raster has a red, a green and a blue band."""
    with open_raster(path) as dataset:
        return {mark.name for mark in dataset.colorinterp} >= _PRIMARY
