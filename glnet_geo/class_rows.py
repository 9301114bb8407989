"""Strips of a class raster as runs, read one ahead of whoever uses them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from glnet_geo.chip import Mask
from glnet_geo.class_raster import ClassRaster, Labels
from glnet_geo.errors import RasterError
from glnet_geo.features import AreaOfInterest
from glnet_geo.grid import Window
from glnet_geo.opening import gdal_environment
from glnet_geo.raster import SceneReader
from glnet_geo.remote import is_fetched
from glnet_geo.runs import NOTHING, Runs

Made = TypeVar("Made")

_STRIP = 10_000_000  # pixels of a strip
_BLOCKS = 100_000_000  # pixels up to which a strip holds a whole row of blocks
_RUNS = 1 << 17  # runs that are handed over together: those of noise are as many as its pixels


@dataclass(frozen=True, slots=True)
class ClassRows:
    """A strip.

    Attributes:
        runs: Its rows.
        sums: For each run the sum of the measured values of its pixels, and how many of them have
            one; R x 2. None without measured values.
    """

    runs: Runs
    sums: npt.NDArray[np.float64] | None


def read_rows(
    raster: ClassRaster, measured: SceneReader | None = None, aoi: AreaOfInterest | None = None
) -> Iterator[ClassRows]:
    """Reads a class raster from the top.

    Args:
        raster: The raster; only this reads from it while it goes on.
        measured: Another raster on the same grid whose values are summed by run.
        aoi: Polygons on the same grid outside which there is no data; None for no such bounds.

    Raises:
        RasterError: A file is damaged or has vanished, the grids differ, or a class has the id that
            stands for none.
    """
    if measured is not None:
        _check_grid(raster, measured)

    def read(window: Window) -> ClassRows:
        labels, valid = _read_inside(raster, window, aoi)
        _check_ids(raster, labels, valid)
        runs = Runs.of(labels, valid, window.top)
        return ClassRows(runs, _sums(runs, measured, window) if measured else None)

    for rows in _ahead(raster, strip_windows(raster), read):
        yield from _parts(rows)


def read_strips(
    raster: ClassRaster, windows: Iterable[Window], use: Callable[[Runs], Made]
) -> Generator[Made]:
    """Makes something of strips of a class raster.

    Args:
        raster: The raster; only this reads from it while it goes on.
        windows: Some of its `strip_windows`.
        use: Called for each of them, in a thread of its own, one strip ahead.

    Raises:
        RasterError: The file is damaged or has vanished, or a class has the id that stands for
            none.
    """

    def read(window: Window) -> Made:
        labels, valid = raster.read(window)
        _check_ids(raster, labels, valid)
        return use(Runs.of(labels, valid, window.top))

    return _ahead(raster, windows, read)


def strip_windows(raster: ClassRaster) -> Iterator[Window]:
    """The strips of a raster, from the top, as they are read best."""
    return raster.grid.window.rows(_strip_height(raster))


def _ahead(
    raster: ClassRaster, windows: Iterable[Window], read: Callable[[Window], Made]
) -> Generator[Made]:
    """What is read of windows, one ahead of whoever uses it."""

    def read_one(window: Window) -> Made:
        with gdal_environment(remote=is_fetched(raster.path)):
            return read(window)

    with ThreadPoolExecutor(1) as pool:
        ahead: deque[Future[Made]] = deque()
        for window in windows:
            ahead.append(pool.submit(read_one, window))
            if len(ahead) > 1:
                yield ahead.popleft().result()
        for last in ahead:
            yield last.result()


def _read_inside(
    raster: ClassRaster, window: Window, aoi: AreaOfInterest | None
) -> tuple[Labels, Mask | None]:
    if aoi is None:
        return raster.read(window)
    if not aoi.touches(window):
        shape = (window.height, window.width)
        return np.zeros(shape, raster.dtype), np.zeros(shape, np.bool_)
    inside = aoi.mask(window)
    labels, valid = raster.read(window)
    return labels, inside if valid is None else inside & valid


def _parts(rows: ClassRows) -> Iterator[ClassRows]:
    """A strip in parts that have few runs, or one row."""
    first, top = rows.runs.first, 0
    while top < rows.runs.height:
        bottom = int(np.searchsorted(first, first[top] + _RUNS, "right")) - 1
        bottom = max(bottom, top + 1)
        here = slice(first[top], first[bottom])
        sums = None if rows.sums is None else rows.sums[here]
        yield ClassRows(rows.runs.rows(slice(top, bottom)), sums)
        top = bottom


def _strip_height(raster: ClassRaster) -> int:
    """Whole blocks where they are not too high, so that none is decoded twice."""
    block, width = raster.block_height, raster.grid.width
    if block * width > _BLOCKS:
        return max(_STRIP // width, 1)
    return max(_STRIP // width // block, 1) * block


def _sums(runs: Runs, measured: SceneReader, window: Window) -> npt.NDArray[np.float64]:
    chip, (scale, offset) = measured.read(window), measured.units
    values = np.where(chip.valid, chip.pixels[0] * scale + offset, 0).ravel()
    places = runs.places - runs.top * runs.width
    return np.stack(
        [
            np.add.reduceat(values, places, dtype=np.float64),
            np.add.reduceat(chip.valid.ravel(), places, dtype=np.float64),
        ],
        axis=1,
    )


def _check_ids(
    raster: ClassRaster, labels: npt.NDArray[np.integer], valid: npt.NDArray[np.bool_] | None
) -> None:
    if labels.dtype != np.int64:
        return
    is_nothing = labels == NOTHING
    if (is_nothing if valid is None else is_nothing & valid).any():
        raise RasterError(
            f"{raster.path} has the class id {NOTHING}, which is kept for what is no class. "
            "Renumber it, or declare it as nodata: gdal_edit.py -a_nodata"
        )


def _check_grid(raster: ClassRaster, measured: SceneReader) -> None:
    here, there = raster.grid, measured.grid
    if measured.n_bands != 1:
        raise RasterError(f"{measured.path} has {measured.n_bands} bands; one is needed.")
    if (here.height, here.width) != (there.height, there.width):
        raise RasterError(
            f"{measured.path} has {there.width} x {there.height} px, {raster.path} has "
            f"{here.width} x {here.height} px. They must lie on the same grid."
        )
    shift = np.abs(np.subtract(tuple(here.transform), tuple(there.transform)))
    side = max(abs(here.transform.a), abs(here.transform.b))
    if shift.max() > 0.01 * side or here.crs_label != there.crs_label:
        raise RasterError(f"{measured.path} does not lie on the grid of {raster.path}.")
