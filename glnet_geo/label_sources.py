"""Where class ids come from: rasters of ids, and pictures in the colours of a legend."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import numpy as np

from glnet_geo.alignment import onto_grid
from glnet_geo.chip import Mask
from glnet_geo.class_raster import ClassRaster, Labels
from glnet_geo.class_table import MapClass
from glnet_geo.color_values import ColorValues, color_text
from glnet_geo.grid import Grid, Window
from glnet_geo.legend import Legend
from glnet_geo.opening import local_files, open_raster
from glnet_geo.raster import SceneReader
from glnet_geo.remote import ScenePath

_PRIMARY = {"red", "green", "blue"}
_NO_CLASS = 1 << 24
"""What is added to a colour that is no class's, beyond all ids of legends."""
_STRIP = 4_000_000  # pixels of a strip
_BLOCKS = 20_000_000  # pixels up to which a strip holds a whole row of blocks
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

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided."""

    def read(self, window: Window) -> tuple[Labels, Mask | None]:
        """Values of a window, H x W, and which are valid, or None where all are."""

    def describe(self, value: int) -> str:
        """A value as a message shows it."""

    def close(self) -> None:
        """Closes the files."""


class RasterLabels:
    """A class raster; see `ClassRaster`."""

    notes = ()

    def __init__(
        self,
        path: ScenePath,
        band: int | None = None,
        onto: Grid | None = None,
        safe: bool = False,
    ) -> None:
        self._raster = ClassRaster(path, band, onto, safe)
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

    Colours must be exact, unless `ColorValues` rounds them.

    Args:
        path: A raster with three bands.
        legend: The classes.
        onto: The grid to read it on; None for its own.
        safe: Whether nothing of the file is trusted, see `open_raster`.

    Raises:
        RasterError: See `SceneReader`; or it cannot be brought onto the other grid.
    """

    notes = ()

    def __init__(
        self, path: ScenePath, legend: Legend, onto: Grid | None = None, safe: bool = False
    ) -> None:
        with ExitStack() as stack:
            dataset = source = stack.enter_context(open_raster(path, safe))
            if onto is not None:
                dataset = stack.enter_context(onto_grid(path, source, onto))
            self._reader = SceneReader(path, None, 3, _ADVICE, dataset=dataset)
            self.files = local_files(path, source)
            self.close = stack.pop_all().close
        self.grid, self.block_height = self._reader.grid, 1
        self.named: Mapping[int, MapClass] = {}
        self._ids = ColorValues({one.color: one.id for one in legend.classes})

    def read(self, window: Window) -> tuple[Labels, Mask | None]:
        """Ids of the legend; colours of no class are values beyond them, see `describe`."""
        chip = self._reader.read(window)
        known, is_known, packed = self._ids.look_up(chip.pixels)
        ids = np.where(is_known, known, packed + _NO_CLASS)
        return ids, None if chip.valid.all() else chip.valid

    def describe(self, value: int) -> str:
        """The id, or the colour that is none."""
        return color_text(value - _NO_CLASS) if value >= _NO_CLASS else str(value)


def strip_height(*sources: LabelSource) -> int:
    """Rows to read at a time of sources on one grid.

    Whole blocks where they are not too high, so that none is decoded twice.
    """
    width = sources[0].grid.width
    rows = max(_STRIP // width, 1)
    block = max(source.block_height for source in sources)
    return max(rows // block, 1) * block if block * width <= _BLOCKS else rows


def is_picture(path: ScenePath, safe: bool = False) -> bool:
    """Whether a raster has a red, a green and a blue band; `safe` as of `open_raster`."""
    with open_raster(path, safe) as dataset:
        return {mark.name for mark in dataset.colorinterp} >= _PRIMARY
