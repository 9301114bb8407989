"""Writing rasters: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster

from glnet_geo.georeference import ground_of
from glnet_geo.grid import Grid, Window
from glnet_geo.ground import Floats, Ground
from glnet_geo.legend import NODATA
from glnet_geo.mosaic import mosaic_xml
from glnet_geo.opening import quiet
from glnet_geo.outputs import publish, working_folder
from glnet_geo.raster_parts import (
    BLOCK,
    TILES,
    PartWriter,
    RasterParts,
    blocks,
    check_read_back,
    count_values,
    histogram,
    writing,
)
from glnet_geo.sidecar import ClassSet, sidecar_path, sidecar_xml

_PRODUCT = "finished"
_IN_MEMORY = 32_000_000  # pixels of a map
COG = {
    "driver": "COG",
    "compress": "deflate",
    "blocksize": BLOCK,
    "overview_resampling": "mode",
    "bigtiff": "if_safer",
    # In a Dask worker, the cores that are its share.
    "num_threads": os.environ.get("OMP_NUM_THREADS", "all_cpus"),
}


def write_scene(path: Path, pixels: npt.NDArray[np.uint8], grid: Grid) -> None:
    """Writes an RGB scene as a tiled GeoTIFF, whole or not at all.

    Args:
        path: The output; an existing file is replaced.
        pixels: 3 x H x W.
        grid: Its grid.

    Raises:
        OutputError: The disk is full or the output cannot be replaced.
    """
    profile = {**TILES, **placed(grid), "count": 3, "dtype": "uint8"}
    with working_folder(path) as folder:
        finished = folder / "finished"
        with writing(path), quiet():
            with rasterio.open(finished, "w", photometric="RGB", predictor=2, **profile) as dataset:
                dataset.write(pixels)
            with rasterio.open(finished) as dataset:
                check_read_back(np.array_equal(dataset.read(), pixels))
        # That of another raster of this name would colour this one.
        sidecar_path(path).unlink(missing_ok=True)
        publish(finished, path)


@dataclass(frozen=True, slots=True, eq=False)
class MapContent:
    """What a finished class raster holds.

    Attributes:
        pixels: Pixels by class id, as many as the raster's type has values; no data is the last.
        areas_m2: Their square metres, likewise; None for a raster without a place.
        area_rule: Where these come from, see `Ground.rule`.
    """

    pixels: npt.NDArray[np.int64]
    areas_m2: Floats | None
    area_rule: str


class MapParts(RasterParts):
    """A class raster that is made in horizontal parts, each of which survives a crash."""

    @property
    def product(self) -> Path:
        """The finished file, as long as it is not in its place."""
        return self._folder / _PRODUCT

    def publish(
        self,
        legend: ClassSet,
        tags: Mapping[str, str],
        prepare: Callable[[], None] = lambda: None,
    ) -> MapContent:
        """Joins the parts to a cloud-optimized GeoTIFF and puts it in its place.

        The raster has its nodata value, a colour table, the classes' names in its tags and, for
        GDAL and QGIS, in an `.aux.xml` beside it.

        Args:
            legend: The classes.
            tags: More tags for the file.
            prepare: Called when the file is finished, right before it takes its place.

        Raises:
            OutputError: The disk is full or the output cannot be replaced.
        """
        heights, expected = self.joined()
        joined = mosaic_xml(heights, self._grid, legend, tags, self._nodata)
        return _publish_map(
            self._folder, self._output, joined, self._grid, legend, expected, prepare
        )


def write_map(
    path: Path,
    pieces: Iterable[tuple[npt.NDArray[np.uint8], Window]],
    grid: Grid,
    legend: ClassSet,
    tags: Mapping[str, str],
) -> MapContent:
    """Writes a class raster whole or not at all, as `MapParts.publish` describes it.

    A map that memory can hold is compressed once only.

    Args:
        path: The output; an existing file is replaced.
        pieces: Class ids H x W and their window of the raster, each pixel once.
        grid: Its grid.
        legend: Its classes.
        tags: More tags for the file.

    Raises:
        OutputError: The disk is full or the output cannot be replaced.
    """
    with working_folder(path) as folder:
        if grid.height * grid.width > _IN_MEMORY:
            parts = MapParts(folder, path, grid)
            with parts.filled_part(0, grid.window) as writer:
                for labels, window in pieces:
                    writer.write(labels, window)
            return parts.publish(legend, tags)
        whole = np.empty((grid.height, grid.width), np.uint8)
        for labels, window in pieces:
            whole[window.slices] = labels
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": NODATA}
        with writing(path), quiet(), MemoryFile() as memory:
            with memory.open(height=grid.height, width=grid.width, **profile) as dataset:
                dataset.write(whole, 1)
            joined = mosaic_xml([(memory.name, grid.height)], grid, legend, tags)
            return _publish_map(folder, path, joined, grid, legend, histogram(whole))


def _publish_map(
    folder: Path,
    output: Path,
    joined: bytes,
    grid: Grid,
    legend: ClassSet,
    expected: npt.NDArray[np.int64],
    prepare: Callable[[], None] = lambda: None,
) -> MapContent:
    """Makes the final file of a virtual raster, checks what it holds and puts it in its place."""
    mosaic, finished, side = folder / "mosaic", folder / _PRODUCT, folder / "side"
    with writing(output), quiet():
        mosaic.write_bytes(joined)
        copy_raster(mosaic, finished, **COG)
        content = _content(finished, ground_of(grid))
        check_read_back(np.array_equal(expected, content.pixels))
    side.write_bytes(sidecar_xml(legend))

    def place_others() -> None:
        prepare()
        publish(side, sidecar_path(output))

    publish(finished, output, place_others)
    return content


@contextmanager
def class_map(
    path: Path, grid: Grid, legend: ClassSet, tags: Mapping[str, str]
) -> Iterator[PartWriter]:
    """Writes a class raster as a cloud-optimized GeoTIFF, whole or not at all.

    The block writes every pixel exactly once; when it ends without an error the file, as
    `MapParts.publish` describes it, takes its place, and an existing one is replaced.

    Args:
        path: The output.
        grid: Its grid.
        legend: Its classes.
        tags: More tags for the file.

    Raises:
        OutputError: The disk is full or the output cannot be replaced.
    """
    with working_folder(path) as folder:
        parts = MapParts(folder, path, grid)
        with parts.filled_part(0, grid.window) as writer:
            yield writer
        parts.publish(legend, tags)


def placed(grid: Grid) -> dict[str, Any]:
    """Where a raster lies, as rasterio wants it."""
    place: dict[str, Any] = {"height": grid.height, "width": grid.width, "crs": grid.crs}
    # An identity transform would pass for a place on the ground.
    if not grid.transform.is_identity:
        place["transform"] = grid.transform
    return place


def _content(path: Path, ground: Ground) -> MapContent:
    """Counts a finished raster, and weighs its rows where their pixels differ in size."""
    if ground.is_uniform:
        counts = count_values(path)
        areas = counts * ground.row_area[0]
    else:
        counts, areas = np.zeros(1, np.int64), np.zeros(1)
        for top, labels in blocks(path):
            counts = counts + histogram(labels)
            areas = areas + ground.area_by_value(labels[0], top)
    return MapContent(counts, areas if ground.unit == "m" else None, ground.rule)
