"""Where a raster lies on the ground, and how large its pixels are there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from rasterio._err import CPLE_BaseError  # GDAL's own errors have no public base class
from rasterio.errors import CRSError
from rasterio.warp import transform as warp

from glnet_geo.errors import RasterError
from glnet_geo.grid import Grid
from glnet_geo.remote import ScenePath

_WEB_MERCATOR = ("pseudo mercator", "pseudo-mercator", "mercator_auxiliary_sphere")
_OUTLINE_STEPS = 64  # points on each side of the outline whose area is taken


def grid_of(path: ScenePath, dataset: Any) -> Grid:
    """The grid of an open raster.

    Args:
        path: The raster, for messages.
        dataset: It, as rasterio opened it.

    Raises:
        RasterError: It has only ground control points or RPCs instead of a transform.
    """
    crs = dataset.crs
    if dataset.transform.is_identity:
        for kind, found in (
            ("ground control points", dataset.gcps[0]),
            ("rational polynomial coefficients", dataset.rpcs),
        ):
            if found:
                raise RasterError(
                    f"{path} is placed by {kind} only. Rectify it first: "
                    f"gdalwarp {'-rpc ' if dataset.rpcs else ''}{path} rectified.tif"
                )
    return Grid(
        dataset.height,
        dataset.width,
        dataset.transform,
        crs.to_wkt(version="WKT2_2019") if crs else None,
        _pixel_area(dataset),
    )


def _pixel_area(dataset: Any) -> float | None:
    """Square metres: planar in projected CRSs, else from an equal-area map of the outline.

    Web Mercator is projected, but its metres are not those of the ground.
    """
    crs, transform = dataset.crs, dataset.transform
    if not crs or transform.is_identity:
        return None
    is_web_mercator = any(name in crs.to_wkt().lower() for name in _WEB_MERCATOR)
    if crs.is_projected and not is_web_mercator:
        return float(abs(transform.determinant) * crs.linear_units_factor[1] ** 2)
    try:
        area = _outline_area(dataset) / float(dataset.height * dataset.width)
    except (CPLE_BaseError, CRSError):
        # A local CRS has no place on the globe, and the whole globe no outline on such a map.
        return None
    return area if math.isfinite(area) else None


def _outline_area(dataset: Any) -> float:
    """Square metres inside the outline, on an equal-area map around its centre."""
    crs, transform, height, width = dataset.crs, dataset.transform, dataset.height, dataset.width
    steps = np.linspace(0, 1, _OUTLINE_STEPS, endpoint=False)
    columns = np.concatenate([steps, np.ones_like(steps), 1 - steps, np.zeros_like(steps)]) * width
    rows = np.concatenate([np.zeros_like(steps), steps, np.ones_like(steps), 1 - steps]) * height
    xs, ys = transform @ (columns, rows)
    center = transform @ (width / 2, height / 2)
    longitude, latitude = (value[0] for value in warp(crs, "OGC:CRS84", *([c] for c in center)))
    equal_area = f"+proj=laea +lat_0={latitude} +lon_0={longitude} +datum=WGS84 +units=m"
    x, y = (np.asarray(values) for values in warp(crs, equal_area, xs, ys))
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
