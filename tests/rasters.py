"""GeoTIFFs for tests, written by rasterio."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

UTM: dict[str, Any] = {
    "crs": "EPSG:32633",
    "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_000_000),
}


def write_tif(
    path: Path,
    bands: npt.NDArray[Any],
    *,
    mask: npt.NDArray[np.uint8] | None = None,
    marks: Sequence[ColorInterp] | None = None,
    **profile: Any,
) -> Path:
    """Writes C x H x W or H x W pixels; `profile` holds CRS, transform, nodata and the like."""
    bands = bands if bands.ndim == 3 else bands[None]
    count, height, width = bands.shape
    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=bands.dtype,
            **profile,
        ) as dataset,
    ):
        if marks is not None:
            dataset.colorinterp = marks
        dataset.write(bands)
        if mask is not None:
            dataset.write_mask(mask)
    return path


def placed_tif(path: Path, bands: npt.NDArray[Any], **profile: Any) -> Path:
    """The same, in UTM at 0.5 m unless `profile` says otherwise."""
    return write_tif(path, bands, **{**UTM, **profile})


def coordinate_coded(height: int, width: int, bands: int = 1) -> npt.NDArray[np.uint16]:
    """Pixels that say where they are: band * H * W + row * W + column."""
    return np.arange(bands * height * width, dtype=np.uint16).reshape(bands, height, width)


def noise(height: int, width: int, bands: int = 3, seed: int = 0) -> np.ndarray:
    """Random uint8 pixels, bands x height x width."""
    return np.random.default_rng(seed).integers(0, 256, (bands, height, width), np.uint8)
