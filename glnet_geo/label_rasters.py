"""Labels that are rasters: of ids or of colours, on the image's grid or on another one."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import replace

import numpy as np

from glnet_geo.alignment import grid_differences, onto_grid
from glnet_geo.datasets import LabelledScene
from glnet_geo.errors import DatasetError, FeaturesError
from glnet_geo.features import AreaOfInterest, extent_on
from glnet_geo.georeference import grid_of
from glnet_geo.grid import Grid, Window
from glnet_geo.label_values import LabelValues, LabelWindow
from glnet_geo.raster import SceneReader, open_raster

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
        DatasetError: They differ in size where one of the two has no place on the ground, or they
            do not overlap.
    """

    def __init__(
        self,
        scene: LabelledScene,
        image: Grid,
        values: LabelValues,
        area: AreaOfInterest | None = None,
    ) -> None:
        self._values, self._area, self._extent = values, area, None
        self._is_palette = scene.palette
        n_bands = 3 if scene.palette else 1
        with ExitStack() as stack:
            dataset = stack.enter_context(open_raster(scene.labels))
            grid = grid_of(scene.labels, dataset)
            notes = _nodata_notes(scene, dataset.nodata, values)
            if _is_pixel_for_pixel(scene, grid, image):
                notes += _unplaced_notes(scene, grid, image)
                source = dataset
            else:
                self._extent = _overlap(scene, grid, image)
                differences = ", ".join(grid_differences(image, grid))
                notes += (
                    f"{scene.labels.name} has another grid than {scene.image.name} "
                    f"({differences}) and is aligned by nearest neighbour.",
                )
                source = stack.enter_context(onto_grid(scene.labels, dataset, image))
            self._reader = SceneReader(scene.labels, None, n_bands, _ADVICE, dataset=source)
            self._stack = stack.pop_all()
        self.notes: tuple[str, ...] = notes

    def read(self, window: Window) -> LabelWindow:
        """The labels of a window of the image's grid."""
        chip = self._reader.read(window)
        valid = chip.valid
        if self._area is not None:
            valid = valid & self._area.mask(window)
        if self._is_palette:
            return self._values.of_colors(chip.pixels, valid)
        return self._values.of_ids(chip.pixels[0], valid)

    def touches(self, window: Window) -> bool:
        """Whether anything in a window may not be ignored."""
        areas = (self._area, self._extent)
        return all(area is None or area.touches(window) for area in areas)

    def close(self) -> None:
        """Closes the file."""
        self._stack.close()


def _is_pixel_for_pixel(scene: LabelledScene, grid: Grid, image: Grid) -> bool:
    """Whether labels and image share their pixels.

    Without a place on the ground that is so by their sizes alone.
    """
    is_placed = grid.is_georeferenced and image.is_georeferenced
    if is_placed and grid_differences(image, replace(grid, height=image.height, width=image.width)):
        return False
    if (grid.height, grid.width) != (image.height, image.width):
        raise DatasetError(
            f"{scene.image} is {image.width} x {image.height} px, its labels {scene.labels} "
            f"{grid.width} x {grid.height}. They must be equal."
        )
    return True


def _overlap(scene: LabelledScene, grid: Grid, image: Grid) -> AreaOfInterest | None:
    """What the labels cover of the image; None where that cannot be told.

    Raises:
        DatasetError: Nothing.
    """
    extent, overlaps = None, True
    # Labels of half the globe reach beyond what a UTM zone is defined for.
    try:
        extent = extent_on(scene.labels, grid, image)
        overlaps = extent.touches(image.window)
    except FeaturesError:
        with suppress(FeaturesError):
            overlaps = extent_on(scene.image, image, grid).touches(grid.window)
    if not overlaps:
        raise DatasetError(
            f"{scene.labels} ({_extent(grid)}) does not overlap {scene.image} ({_extent(image)}). "
            "Check the CRS and the coordinates of both."
        )
    return extent


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
    if grid.is_georeferenced == image.is_georeferenced:
        return ()
    bare = scene.labels if image.is_georeferenced else scene.image
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
