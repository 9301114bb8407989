"""Labels that are rasters: of ids or of colours, on the image's grid or on another one."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from glnet_geo.alignment import grid_differences, has_place, onto_grid
from glnet_geo.datasets import LabelledScene
from glnet_geo.errors import DatasetError, FeaturesError
from glnet_geo.features import AreaOfInterest, extent_on
from glnet_geo.georeference import grid_of
from glnet_geo.grid import Grid, Window
from glnet_geo.label_values import LabelValues, LabelWindow
from glnet_geo.opening import open_raster
from glnet_geo.raster import SceneReader

_ADVICE = "Labels have one band of ids, or three of colours with palette = true."


class RasterLabels:
    """Labels of a raster on the grid of an image; on any other grid they are aligned.

    Each pixel has the label in which its centre lies. What has no label or nodata is ignored.

    Args:
        scene: Image and labels.
        image: The image's grid.
        values: What the labels' values stand for.
        area: What lies outside of it is ignored; None for no such area.

    Attributes:
        notes: What was decided.

    Raises:
        RasterError: The labels cannot be read, or not be aligned.
        DatasetError: They differ in size where one of the two has no place on the ground, they do
            not overlap, or their colours are not of 8 bits.
    """

    def __init__(
        self,
        scene: LabelledScene,
        image: Grid,
        values: LabelValues,
        area: AreaOfInterest | None = None,
    ) -> None:
        self._scene, self._image = scene, image
        self._values, self._area = values, area
        self._aligned: Grid | None = None
        n_bands = 3 if scene.palette else 1
        with ExitStack() as stack:
            dataset = stack.enter_context(open_raster(scene.labels))
            grid = grid_of(scene.labels, dataset)
            notes = _nodata_notes(scene, dataset.nodata, values)
            if _is_pixel_for_pixel(scene, grid, image):
                notes += _unplaced_notes(scene, grid, image)
                source = dataset
            else:
                _check_overlap(scene, grid, image)
                self._aligned = grid
                differences = ", ".join(grid_differences(image, grid))
                notes += (
                    f"{scene.labels.name} has another grid than {scene.image.name} "
                    f"({differences}) and is aligned by nearest neighbour.",
                )
                source = stack.enter_context(onto_grid(scene.labels, dataset, image))
            self._reader = SceneReader(scene.labels, None, n_bands, _ADVICE, dataset=source)
            if scene.palette and self._reader.dtype != np.uint8:
                raise DatasetError(
                    f"{scene.labels} has colours of the type {self._reader.dtype}. Convert it to "
                    "8 bits first: gdal_translate -ot Byte"
                )
            if self._reader.bands_are_guessed:
                bands = ", ".join(map(str, self._reader.bands))
                notes += (
                    f"{scene.labels.name} has {dataset.count} bands, of which these are read: "
                    f"{bands}.",
                )
            self._stack = stack.pop_all()
        self.notes: tuple[str, ...] = notes

    def read(self, window: Window) -> LabelWindow:
        """The labels of a window of the image's grid."""
        chip = self._reader.read(window)
        valid = chip.valid
        if self._area is not None:
            valid = valid & self._area.mask(window)
        if self._scene.palette:
            return self._values.of_colors(chip.pixels, valid)
        return self._values.of_ids(chip.pixels[0], valid)

    def touches(self, window: Window) -> bool:
        """Whether anything in a window may not be ignored."""
        if self._area is not None and not self._area.touches(window):
            return False
        if self._aligned is None:
            return True
        # What is near to pixels of labels may be many pixels of the image away.
        margin = Window(-1, -1, self._aligned.height + 2, self._aligned.width + 2)
        return _may_cover(self._aligned, margin, self._image.crop(window), self._scene.image)

    def close(self) -> None:
        """Closes the file."""
        self._stack.close()


def _is_pixel_for_pixel(scene: LabelledScene, grid: Grid, image: Grid) -> bool:
    """Whether labels and image share their pixels.

    Without a place on the ground that is so by their sizes alone.
    """
    if all(map(has_place, (grid, image))) and grid_differences(
        image, replace(grid, height=image.height, width=image.width)
    ):
        return False
    if (grid.height, grid.width) != (image.height, image.width):
        raise DatasetError(
            f"{scene.image} is {image.width} x {image.height} px, its labels {scene.labels} "
            f"{grid.width} x {grid.height}. They must be equal."
        )
    return True


def _check_overlap(scene: LabelledScene, grid: Grid, image: Grid) -> None:
    # Of the two the smaller one keeps its shape in the CRS of the other.
    if not (
        _may_cover(grid, grid.window, image, scene.image)
        or _may_cover(image, image.window, grid, scene.labels)
    ):
        raise DatasetError(
            f"{scene.labels} ({_extent(grid)}) does not overlap {scene.image} ({_extent(image)}). "
            "Check the CRS and the coordinates of both."
        )


def _may_cover(grid: Grid, window: Window, other: Grid, path: Path) -> bool:
    """Whether any of another grid, that of the file `path`, may lie in a window of a grid."""
    try:
        return extent_on(path, other, grid).touches(window)
    except FeaturesError:  # half a globe reaches beyond what a UTM zone is defined for
        return True


def _extent(grid: Grid) -> str:
    """Where a grid lies, for messages."""
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    x, y = np.array([grid.transform @ corner for corner in corners]).T
    return (
        f"x {x.min():.10g} to {x.max():.10g}, y {y.min():.10g} to {y.max():.10g} "
        f"in {grid.crs_label}"
    )


def _unplaced_notes(scene: LabelledScene, grid: Grid, image: Grid) -> tuple[str, ...]:
    """Says so where only one of the two has a place on the ground."""
    if has_place(grid) == has_place(image):
        return ()
    bare = scene.labels if has_place(image) else scene.image
    return (f"{bare.name} has no place on the ground: labels are taken pixel for pixel.",)


def _nodata_notes(
    scene: LabelledScene, nodata: float | None, values: LabelValues
) -> tuple[str, ...]:
    """Says so where the file takes a class for the absence of data."""
    names = {one.id: one.name for one in values.legend.classes}
    if scene.palette or nodata is None or nodata not in names:
        return ()
    return (
        f"{scene.labels.name} has {nodata:g}, the class {names[int(nodata)]!r}, as its nodata "
        "value: these pixels are ignored.",
    )
