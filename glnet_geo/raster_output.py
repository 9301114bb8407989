"""Writing rasters: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from PIL import Image
from rasterio._err import CPLE_BaseError  # GDAL's own errors have no public base class
from rasterio.errors import RasterioError, RasterioIOError
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster

from glnet_geo.errors import OutputError
from glnet_geo.georeference import ground_of
from glnet_geo.grid import Grid, Window
from glnet_geo.ground import Floats, Ground
from glnet_geo.legend import NODATA, Legend
from glnet_geo.mosaic import mosaic_xml
from glnet_geo.outputs import publish, working_folder
from glnet_geo.raster import box_of, quiet, reason_of
from glnet_geo.sidecar import sidecar_path, sidecar_xml

_BLOCK = 512  # pixels on a side of a tile
_TILES = {
    "driver": "GTiff",
    "tiled": True,
    "blockxsize": _BLOCK,
    "blockysize": _BLOCK,
    "compress": "deflate",
    "bigtiff": "if_safer",
}
_IN_MEMORY = 32_000_000  # pixels of a map
_COG = {
    "driver": "COG",
    "compress": "deflate",
    "blocksize": _BLOCK,
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
    profile = {**_TILES, **placed(grid), "count": 3, "dtype": "uint8"}
    with working_folder(path) as folder:
        finished = folder / "finished"
        with writing(path), quiet():
            with rasterio.open(finished, "w", photometric="RGB", predictor=2, **profile) as dataset:
                dataset.write(pixels)
            with rasterio.open(finished) as dataset:
                _check_read_back(np.array_equal(dataset.read(), pixels))
        # That of another raster of this name would colour this one.
        sidecar_path(path).unlink(missing_ok=True)
        publish(finished, path)


class PartWriter:
    """A horizontal part of a class raster in the making; made by `MapParts.part`.

    Args:
        path: The file in the making.
        output: What it will be, for messages.
        grid: Grid of the whole raster.
        rows: The part's rows, of full width.

    Attributes:
        counts: Pixels written so far by class id, 256 of them; `NODATA` is the last.
    """

    def __init__(self, path: Path, output: Path, grid: Grid, rows: Window) -> None:
        self._output = output
        self._rows = rows
        self.counts: npt.NDArray[np.int64] = np.zeros(256, np.int64)
        # They do not stay: the fastest compression.
        profile = {**_TILES, "zlevel": 1, "count": 1, "dtype": "uint8", "nodata": NODATA}
        with writing(output), quiet():
            self._dataset = rasterio.open(
                path, "w", height=rows.height, width=grid.width, **profile
            )

    def write(self, labels: npt.NDArray[np.uint8], window: Window) -> None:
        """Writes H x W class ids (`NODATA` where there is nothing) into a window of the raster.

        Raises:
            OutputError: The disk is full.
        """
        box = box_of(window.relative_to(self._rows))
        with writing(self._output):
            self._dataset.write(labels, 1, window=box)
        self.counts += _histogram(labels)

    def close(self) -> None:
        """Flushes what is written.

        Raises:
            OutputError: The disk is full.
        """
        with writing(self._output):
            self._dataset.close()


class _NoRows:
    """A part without rows."""

    def write(self, labels: npt.NDArray[np.uint8], window: Window) -> None:
        raise ValueError(f"{window} lies in a part without rows")


@dataclass(frozen=True, slots=True, eq=False)
class MapContent:
    """What a finished class raster holds.

    Attributes:
        pixels: Pixels by class id, 256 of them; `NODATA` is the last.
        areas_m2: Their square metres, likewise; None for a raster without a place.
        area_rule: Where these come from, see `Ground.rule`.
    """

    pixels: npt.NDArray[np.int64]
    areas_m2: Floats | None
    area_rule: str


class MapParts:
    """A class raster that is made in horizontal parts, each of which survives a crash.

    Args:
        folder: Where the parts lie; those that are there already count as finished.
        output: What they will be.
        grid: Its grid.
    """

    def __init__(self, folder: Path, output: Path, grid: Grid) -> None:
        self._folder = folder
        self._output = output
        self._grid = grid
        self._counts: dict[Path, npt.NDArray[np.int64]] = {}

    @staticmethod
    def has_any(folder: Path) -> bool:
        """Whether a folder holds a finished part."""
        return _part(folder, 0).exists()

    @property
    def finished(self) -> int:
        """How many parts are finished, from the top."""
        return next(k for k in count() if not _part(self._folder, k).exists())

    @contextmanager
    def part(self, index: int, rows: Window | None) -> Iterator[PartWriter | _NoRows]:
        """Writes one part, see `filled_part`, or one without rows."""
        if rows is not None:
            with self.filled_part(index, rows) as writer:
                yield writer
        else:
            yield _NoRows()
            _part(self._folder, index).touch()

    @contextmanager
    def filled_part(self, index: int, rows: Window) -> Iterator[PartWriter]:
        """Writes one part; when the block ends without an error it is finished.

        Args:
            index: Its number; parts are written in order.
            rows: Its rows, of full width. The block writes each of their pixels once.

        Raises:
            OutputError: The disk is full.
        """
        unfinished = self._folder / "unfinished"
        writer = PartWriter(unfinished, self._output, self._grid, rows)
        try:
            yield writer
        finally:
            writer.close()
        with writing(self._output), quiet():
            _check_read_back(np.array_equal(_count_classes(unfinished), writer.counts))
        path = _part(self._folder, index)
        publish(unfinished, path)
        self._counts[path] = writer.counts

    def publish(self, legend: Legend, tags: Mapping[str, str]) -> MapContent:
        """Joins the parts to a cloud-optimized GeoTIFF and puts it in its place.

        The raster has nodata 255, a colour table, the classes' names in its tags and, for GDAL
        and QGIS, in an `.aux.xml` beside it.

        Args:
            legend: The classes.
            tags: More tags for the file.

        Raises:
            OutputError: The disk is full or the output cannot be replaced.
        """
        parts = (_part(self._folder, k) for k in range(self.finished))
        paths = [path for path in parts if path.stat().st_size]
        with writing(self._output), quiet():
            heights = [(str(path.absolute()), _height(path)) for path in paths]
            # Those of an earlier run are counted once more.
            expected = [
                self._counts[path] if path in self._counts else _count_classes(path)
                for path in paths
            ]
        joined = mosaic_xml(heights, self._grid, legend, tags)
        return _publish_map(
            self._folder, self._output, joined, self._grid, legend, np.sum(expected, axis=0)
        )


def write_map(
    path: Path,
    pieces: Iterable[tuple[npt.NDArray[np.uint8], Window]],
    grid: Grid,
    legend: Legend,
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
            return _publish_map(folder, path, joined, grid, legend, _histogram(whole))


def _publish_map(
    folder: Path,
    output: Path,
    joined: bytes,
    grid: Grid,
    legend: Legend,
    expected: npt.NDArray[np.int64],
) -> MapContent:
    """Makes the final file of a virtual raster, checks what it holds and puts it in its place."""
    mosaic, finished, side = folder / "mosaic", folder / "finished", folder / "side"
    with writing(output), quiet():
        mosaic.write_bytes(joined)
        copy_raster(mosaic, finished, **_COG)
        content = _content(finished, ground_of(grid))
        _check_read_back(np.array_equal(expected, content.pixels))
    side.write_bytes(sidecar_xml(legend))
    publish(side, sidecar_path(output))
    publish(finished, output)
    return content


@contextmanager
def class_map(
    path: Path, grid: Grid, legend: Legend, tags: Mapping[str, str]
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


def _part(folder: Path, index: int) -> Path:
    return folder / f"part-{index:05}"


def placed(grid: Grid) -> dict[str, Any]:
    """Where a raster lies, as rasterio wants it."""
    place: dict[str, Any] = {"height": grid.height, "width": grid.width, "crs": grid.crs}
    # An identity transform would pass for a place on the ground.
    if not grid.transform.is_identity:
        place["transform"] = grid.transform
    return place


def _height(path: Path) -> int:
    with rasterio.open(path) as dataset:
        return int(dataset.height)


def _blocks(path: Path) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """Blocks of a class raster, each with its first row."""
    with rasterio.open(path) as dataset:
        for _, box in dataset.block_windows(1):
            yield box.row_off, dataset.read(1, window=box)


def _count_classes(path: Path) -> npt.NDArray[np.int64]:
    counts: npt.NDArray[np.int64] = np.zeros(256, np.int64)
    for _, labels in _blocks(path):
        counts += _histogram(labels)
    return counts


def _content(path: Path, ground: Ground) -> MapContent:
    """Counts a finished raster, and weighs its rows where their pixels differ in size."""
    if ground.is_uniform:
        counts = _count_classes(path)
        areas = counts * ground.row_area[0]
    else:
        counts, areas = np.zeros(256, np.int64), np.zeros(256)
        for top, labels in _blocks(path):
            counts += _histogram(labels)
            areas += ground.area_by_value(labels, top)
    return MapContent(counts, areas if ground.unit == "m" else None, ground.rule)


def _histogram(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Pixels by value; NumPy's bincount takes ten times as long."""
    return np.array(Image.fromarray(labels).histogram())


def _check_read_back(is_equal: bool) -> None:
    """GDAL may close a file on a full disk without a word: what is finished is read once more."""
    if not is_equal:
        raise RasterioIOError("what was written does not read back (is the disk full?)")


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Turns GDAL's errors into one line about the output."""
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise OutputError(f"{output} cannot be written: {reason_of(error)}.") from error
