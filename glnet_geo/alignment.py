"""Whether two rasters lie on one grid, and reading one on the grid of the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from rasterio._err import CPLE_BaseError  # GDAL's own errors have no public base class
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.vrt import WarpedVRT

from glnet_geo.errors import RasterError
from glnet_geo.grid import Grid
from glnet_geo.opening import reason_of
from glnet_geo.remote import ScenePath

Placed = tuple[ScenePath, Grid]
"""A raster and its grid."""

_TOLERANCE = 0.1  # pixels: what software that writes rounded coordinates may make of a grid
# GDAL interpolates the way from grid to grid where the error stays below this: pixels. Nothing at
# all would make rasterio 1.4 leave the transformer out.
_WARP_ERROR = 1e-6


def has_place(grid: Grid) -> bool:
    """Whether a grid lies anywhere on the ground, in pixels of some size."""
    return grid.is_georeferenced and bool(grid.transform.determinant)


def is_same_crs(here: Grid, there: Grid) -> bool:
    """Whether both grids have the same CRS, however it is written, or both have none."""
    if here.crs is None or there.crs is None or here.crs == there.crs:
        return here.crs == there.crs
    try:
        return bool(CRS.from_user_input(here.crs) == CRS.from_user_input(there.crs))
    except CRSError:
        return False


def grid_differences(here: Grid, there: Grid) -> list[str]:
    """How the second grid differs from the first one, in words; empty where they are the same.

    Places are compared at the corners, to a tenth of a pixel.
    """
    found = []
    if not is_same_crs(here, there):
        found.append(f"{there.crs_label or 'no CRS'} instead of {here.crs_label or 'no CRS'}")
    if (here.height, here.width) != (there.height, there.width):
        found.append(
            f"{there.width} x {there.height} px instead of {here.width} x {here.height} px"
        )
    if found and not is_same_crs(here, there):
        return found
    sides = [np.hypot(*np.array(one.transform[:6]).reshape(2, 3)[:, :2]) for one in (here, there)]
    if not np.allclose(sides[0], sides[1], rtol=_TOLERANCE / max(here.width, here.height)):
        x, y = sides[1]
        found.append(
            f"pixels of {x:.6g} x {y:.6g} instead of {sides[0][0]:.6g} x {sides[0][1]:.6g}"
        )
        return found
    shift = _shift(here, there)
    if shift > _TOLERANCE:
        found.append(f"a place that is {shift:.4g} px off")
    return found


def _shift(here: Grid, there: Grid) -> float:
    """How far the corners of the first grid lie apart in both, in its pixels."""
    to_pixel = ~here.transform
    corners = [(x, y) for x in (0, here.width) for y in (0, here.height)]
    moved = [to_pixel @ (there.transform @ corner) for corner in corners]
    return float(np.hypot(*(np.array(moved) - np.array(corners)).T).max())


def compare_grids(
    first: Placed, second: Placed, align: bool, role: str
) -> tuple[bool, tuple[str, ...]]:
    """Whether a raster has to be aligned with another one, and what to know.

    Args:
        first: The raster on whose grid both are compared.
        second: The other one.
        align: Whether it may be read on that grid instead of its own.
        role: What the first one is called, for the message.

    Raises:
        RasterError: The grids differ, and it may not, or one of them has no place.
    """
    (path, here), (other_path, there) = first, second
    differences = grid_differences(here, there)
    if not differences:
        return False, ()
    are_placed = has_place(here) and has_place(there)
    unplaced = path if has_place(there) else other_path
    if not are_placed and (here.height, here.width) == (there.height, there.width):
        return False, (
            f"{path} and {other_path} are compared pixel for pixel: {unplaced} has no place on "
            "the ground",
        )
    if align and are_placed:
        return True, ()
    advice = (
        f"Use --align to read it on the grid of the {role}."
        if are_placed
        else f"{unplaced} has no place on the ground, so that they cannot be aligned. Give it its "
        "own: gdal_edit.py -a_srs -a_ullr"
    )
    raise RasterError(
        f"{other_path} does not lie on the grid of {path}: it has "
        f"{' and '.join(differences)}. {advice}"
    )


def onto_grid(path: ScenePath, dataset: Any, grid: Grid, has_means: bool = False) -> WarpedVRT:
    """An open raster on another grid: each pixel's centre takes the value of where it falls.

    Args:
        path: The raster, for messages.
        dataset: It, as rasterio opened it; it stays open as long as what is returned.
        grid: The grid.
        has_means: Whether a pixel is the mean of what lies under it instead.

    Returns:
        A raster with an alpha band, which is 0 outside the other one and where that has no data.

    Raises:
        RasterError: One of the two has no CRS, or there is no way from the one to the other.
    """
    if grid.crs is None or not dataset.crs:
        raise RasterError(
            f"{path} cannot be aligned: {'it' if grid.crs else 'the other raster'} has no CRS. "
            "Give it its own: gdal_edit.py -a_srs"
        )
    try:
        return WarpedVRT(
            dataset,
            crs=CRS.from_user_input(grid.crs),
            transform=grid.transform,
            width=grid.width,
            height=grid.height,
            resampling=Resampling.average if has_means else Resampling.nearest,
            tolerance=_WARP_ERROR,
            add_alpha=ColorInterp.alpha not in dataset.colorinterp,
        )
    except (RasterioError, CRSError, CPLE_BaseError) as error:
        raise RasterError(f"{path} cannot be aligned: {reason_of(error)}.") from error
