"""Opening rasters that strangers made, see `safety`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from glnet_geo.errors import GlnetGeoError, RasterError
from glnet_geo.remote import ScenePath
from glnet_geo.safety import (
    MAX_BANDS,
    MAX_IMAGES,
    check_mask_beside,
    driver_of,
    safe_file,
    size_problems,
)

# The driver holds for the file itself, not for what GDAL opens on its account. So it gets to
# see nothing beside the file: neither overviews and masks (any format, under other names), nor
# metadata, which may name files anywhere.
_ALONE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
# Metadata in the file itself by which GDAL opens others: overviews
# (gcore/gdaldefaultoverviews.cpp) and geolocation arrays (alg/gdalgeoloc.cpp).
_LINKS = {"overviews", "proxyoverviewrequest", "geolocation"}


def open_safely(path: ScenePath, level: int | None = None) -> Any:
    """Opens a raster of which nothing is trusted, before any of its pixels is decoded.

    Args:
        path: The raster.
        level: One of its overviews instead, from 0; None for itself.

    Raises:
        RasterError: It is not what `safety` allows.
        RasterioError: GDAL cannot open it.
    """
    try:
        real = safe_file(path)
    except GlnetGeoError as error:
        raise RasterError(str(error)) from None
    driver = driver_of(path, real)
    check_mask_beside(path, real)
    with rasterio.Env(**_ALONE):
        chosen = {} if level is None else {"overview_level": level}
        dataset = rasterio.open(real, driver=driver, **chosen)
        try:
            _check_sizes(path, dataset)
            _check_links(path, dataset)
            if dataset.driver == "GTiff":
                _check_images(path, real)
        except BaseException:
            dataset.close()
            raise
    return dataset


def _check_sizes(path: ScenePath, dataset: Any) -> None:
    pixel_bytes = 0
    if dataset.count <= MAX_BANDS:
        pixel_bytes = sum(np.dtype(_numpy_name(name)).itemsize for name in dataset.dtypes)
    # All blocks of an image are alike, and one decodes all bands where they are interleaved.
    block = dataset.block_shapes[0] if dataset.count else (0, 0)
    size = (dataset.height, dataset.width, dataset.count)
    for problem in size_problems(dataset.driver, *size, block, pixel_bytes):
        raise RasterError(f"{path} has {problem}.")


def _numpy_name(name: str) -> str:
    return {"complex_int16": "int32"}.get(name, name)


def _check_links(path: ScenePath, dataset: Any) -> None:
    levels = range(dataset.count + 1)  # 0 is the file
    found = {name.lower() for level in levels for name in dataset.tag_namespaces(level)}
    if found & _LINKS:
        raise RasterError(
            f"{path} names other files in its metadata ({', '.join(sorted(found & _LINKS))}), "
            "which --safe does not open."
        )


def _check_images(path: ScenePath, real: Path) -> None:
    """Looks at the other images of a GeoTIFF: overviews and masks, whose sizes are their own."""
    for number in range(2, MAX_IMAGES + 2):
        try:
            image = rasterio.open(f"GTIFF_DIR:{number}:{real}", driver="GTiff")
        except RasterioError as error:
            if str(error).endswith(f"Requested directory {number} not found."):
                return
            # One that GDAL cannot open must not hide those behind it.
            raise RasterError(f"{path} has an image that cannot be read: {error}") from error
        with closing(image):
            _check_sizes(path, image)
            _check_links(path, image)
    raise RasterError(f"{path} has more than {MAX_IMAGES} images, and --safe reads no more.")
