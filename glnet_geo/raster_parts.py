"""Rasters that are made in horizontal parts, each of which survives a crash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from PIL import Image
from rasterio._err import CPLE_BaseError  # GDAL's own errors have no public base class
from rasterio.errors import RasterioError, RasterioIOError

from glnet_geo.errors import OutputError
from glnet_geo.grid import Grid, Window
from glnet_geo.legend import NODATA
from glnet_geo.opening import quiet, reason_of
from glnet_geo.outputs import publish
from glnet_geo.raster import box_of

BLOCK = 512  # pixels on a side of a tile
TILES = {
    "driver": "GTiff",
    "tiled": True,
    "blockxsize": BLOCK,
    "blockysize": BLOCK,
    "compress": "deflate",
    "bigtiff": "if_safer",
}


class PartWriter:
    """A horizontal part of a raster in the making; made by `RasterParts.part`.

    Args:
        path: The file in the making.
        output: What it will be, for messages.
        grid: Grid of the whole raster.
        rows: The part's rows, of full width.
        n_bands: Bands of the raster; None for a class raster, which has one.
        nodata: The largest value, which stands for no data; it decides how large a pixel is.

    Attributes:
        counts: Pixels of all bands written so far by value; that of no data is the last.
    """

    def __init__(
        self,
        path: Path,
        output: Path,
        grid: Grid,
        rows: Window,
        n_bands: int | None = None,
        nodata: int = NODATA,
    ) -> None:
        self._output = output
        self._rows = rows
        self._band = 1 if n_bands is None else None
        self.counts: npt.NDArray[np.int64] = np.zeros(nodata + 1, np.int64)
        dtype = "uint8" if nodata == NODATA else "uint16"
        # They do not stay: class ids in the fastest compression, which layers take too long for.
        packing = {"zlevel": 1} if n_bands is None else {"compress": None, "interleave": "band"}
        profile = {**TILES, **packing, "count": n_bands or 1, "dtype": dtype, "nodata": nodata}
        with writing(output), quiet():
            self._dataset = rasterio.open(
                path, "w", height=rows.height, width=grid.width, **profile
            )

    def write(self, values: npt.NDArray[np.unsignedinteger], window: Window) -> None:
        """Writes into a window of the raster.

        Args:
            values: H x W class ids, or B x H x W of B bands.
            window: The window.

        Raises:
            OutputError: The disk is full.
        """
        box = box_of(window.relative_to(self._rows))
        with writing(self._output):
            self._dataset.write(values, self._band, window=box)
        self.counts += histogram(values)

    def close(self) -> None:
        """Flushes what is written.

        Raises:
            OutputError: The disk is full.
        """
        with writing(self._output):
            self._dataset.close()


class NoRows:
    """A part without rows."""

    def write(self, values: npt.NDArray[np.unsignedinteger], window: Window) -> None:
        """Refuses all pixels."""
        raise ValueError(f"{window} lies in a part without rows")


class RasterParts:
    """A raster that is made in horizontal parts, each of which survives a crash.

    Args:
        folder: Where the parts lie; those that are there already count as finished.
        output: What they will be.
        grid: Its grid.
        n_bands: Its bands; None for a class raster, which has one.
        nodata: The largest value, which stands for no data; 255 in rasters of bytes.
    """

    def __init__(
        self,
        folder: Path,
        output: Path,
        grid: Grid,
        n_bands: int | None = None,
        nodata: int = NODATA,
    ) -> None:
        self._folder = folder
        self._output = output
        self._grid = grid
        self._n_bands = n_bands
        self._nodata = nodata
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
    def part(self, index: int, rows: Window | None) -> Iterator[PartWriter | NoRows]:
        """Writes one part, see `filled_part`, or one without rows."""
        if rows is not None:
            with self.filled_part(index, rows) as writer:
                yield writer
        else:
            yield NoRows()
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
        writer = PartWriter(unfinished, self._output, self._grid, rows, self._n_bands, self._nodata)
        try:
            yield writer
        finally:
            writer.close()
        with writing(self._output), quiet():
            check_read_back(np.array_equal(count_values(unfinished), writer.counts))
        path = _part(self._folder, index)
        publish(unfinished, path)
        self._counts[path] = writer.counts

    def joined(self) -> tuple[list[tuple[str, int]], npt.NDArray[np.int64]]:
        """Path and height of each part that has rows; and the pixels of all by value.

        Raises:
            OutputError: A part that an earlier run has left is damaged.
        """
        parts = (_part(self._folder, k) for k in range(self.finished))
        paths = [path for path in parts if path.stat().st_size]
        with writing(self._output), quiet():
            heights = [(str(path.absolute()), _height(path)) for path in paths]
            # Those of an earlier run are counted once more.
            counts = [
                self._counts[path] if path in self._counts else count_values(path) for path in paths
            ]
        return heights, np.sum(counts, axis=0)


def _part(folder: Path, index: int) -> Path:
    return folder / f"part-{index:05}"


def _height(path: Path) -> int:
    with rasterio.open(path) as dataset:
        return int(dataset.height)


def blocks(path: Path) -> Iterator[tuple[int, npt.NDArray[np.unsignedinteger]]]:
    """Blocks of a raster, B x h x w, each with its first row."""
    with rasterio.open(path) as dataset:
        for _, box in dataset.block_windows(1):
            yield box.row_off, dataset.read(window=box)


def count_values(path: Path) -> npt.NDArray[np.int64]:
    """Pixels of all bands by value, as many as the type has values."""
    counts: npt.NDArray[np.int64] = sum(
        (histogram(values) for _, values in blocks(path)), np.zeros(1, np.int64)
    )
    return counts


def histogram(values: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.int64]:
    """Pixels by value, as many as the type has values."""
    if values.dtype != np.uint8:
        return np.bincount(values.ravel(), minlength=np.iinfo(values.dtype).max + 1)
    # NumPy's bincount takes ten times as long.
    return np.array(Image.fromarray(values.reshape(-1, values.shape[-1])).histogram())


def check_read_back(is_equal: bool) -> None:
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
