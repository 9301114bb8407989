"""Reading rasters, window by window.

Arrays are C x H x W, masks H x W with True where a pixel is valid. Only this module and
`raster_output` open rasters; the rest takes arrays and values.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio._err import CPLE_BaseError  # GDAL's own errors have no public base class
from rasterio.enums import ColorInterp
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError
from rasterio.warp import transform as warp
from rasterio.windows import Window as RasterioWindow

from glnet_geo.errors import RasterError
from glnet_geo.grid import Grid, Window

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_CACHE_MB = 256
_WEB_MERCATOR = ("pseudo mercator", "pseudo-mercator", "mercator_auxiliary_sphere")
_OUTLINE_STEPS = 64  # points on each side of the outline whose area is taken


BANDS_ADVICE = "Choose bands with --bands, or another model: glnet-geo models list"
"""What to do about a scene whose bands do not fit the model."""


@dataclass(frozen=True, slots=True, eq=False)
class Chip:
    """Pixels with what belongs to them.

    Attributes:
        pixels: C x H x W.
        valid: H x W, True where every band has data.
        grid: Where the pixels lie.
    """

    pixels: Pixels
    valid: Mask
    grid: Grid

    def __post_init__(self) -> None:
        size = (self.grid.height, self.grid.width)
        if self.pixels.shape[1:] != size or self.valid.shape != size:
            raise ValueError(
                f"pixels {self.pixels.shape} and mask {self.valid.shape} do not fit grid {size}"
            )


@contextmanager
def gdal_environment(cache_mb: int = _CACHE_MB) -> Iterator[None]:
    """GDAL's settings for a run: the default cache is a share of the machine's memory."""
    with rasterio.Env(GDAL_CACHEMAX=cache_mb, GDAL_DISABLE_READDIR_ON_OPEN="FALSE"):
        yield


class SceneReader(AbstractContextManager["SceneReader"]):
    """An open scene, read window by window. Not to be shared between threads.

    Args:
        path: Any raster file that GDAL opens.
        bands: Band numbers from 1, in the model's order; None for the bands that are marked red,
            green and blue, or else the first `n_bands`.
        n_bands: How many bands are needed; None takes all but masks.
        bands_advice: What to do about bands that do not fit, for the message.

    Attributes:
        path: As given.
        grid: The scene's grid.
        bands: The band numbers that are read.
        dtype: Type of the pixels.

    Raises:
        RasterError: The file is missing, no raster, has too few bands, or only ground control
            points or RPCs instead of a transform.
    """

    def __init__(
        self,
        path: Path,
        bands: Sequence[int] | None = None,
        n_bands: int | None = None,
        bands_advice: str = BANDS_ADVICE,
    ) -> None:
        self.path = path
        self._bands_advice = bands_advice
        self._dataset = _open(path)
        try:
            self.grid = _grid(path, self._dataset)
            self.bands = self._choose_bands(bands, n_bands)
            self.dtype = np.result_type(*(self._dataset.dtypes[band - 1] for band in self.bands))
            if np.issubdtype(self.dtype, np.complexfloating):
                raise RasterError(f"{path} has complex pixels. Map their amplitude instead.")
        except BaseException:
            self._dataset.close()
            raise

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._dataset.close()

    def read(self, window: Window) -> Chip:
        """Reads a window of the grid at full resolution.

        Raises:
            RasterError: The file is damaged or has vanished.
            ValueError: The window reaches outside the grid, where GDAL would stretch it.
        """
        if not self.grid.window.contains(window):
            raise ValueError(f"{window} reaches outside {self.grid.window}")
        pixels, valid = self._read(window, window.height, window.width)
        return Chip(pixels, valid, self.grid.crop(window))

    def sample(self, side: int) -> Pixels:
        """Valid pixels from all over the scene, every so many in both directions.

        Args:
            side: Pixels on the longer side of the decimated scene, at most.

        Returns:
            C x N.
        """
        decimation = max(self.grid.height, self.grid.width, side) / side
        height = max(round(self.grid.height / decimation), 1)
        width = max(round(self.grid.width / decimation), 1)
        pixels, valid = self._read(self.grid.window, height, width)
        return pixels[:, valid]

    def _read(self, window: Window, height: int, width: int) -> tuple[Pixels, Mask]:
        box = box_of(window)
        shape = (len(self.bands), height, width)
        try:
            pixels = self._read_bands(box, shape)
            masks = self._dataset.read_masks(self.bands, window=box, out_shape=shape)
        except RasterioError as error:
            raise RasterError(f"{self.path} cannot be read: {reason_of(error)}.") from error
        valid = (masks > 0).all(axis=0)
        if np.issubdtype(pixels.dtype, np.floating):
            valid &= np.isfinite(pixels).all(axis=0)
        return pixels, valid

    def _read_bands(self, box: RasterioWindow, shape: tuple[int, int, int]) -> Pixels:
        if len(set(self._dataset.dtypes)) == 1:
            pixels: Pixels = self._dataset.read(self.bands, window=box, out_shape=shape)
            return pixels
        # rasterio reads bands of different types one by one only.
        bands = [self._dataset.read(k, window=box, out_shape=shape[1:]) for k in self.bands]
        return np.stack(bands).astype(self.dtype)

    def _choose_bands(self, bands: Sequence[int] | None, n_bands: int | None) -> tuple[int, ...]:
        count = self._dataset.count
        if not bands:
            bands = self._default_bands(n_bands)
        elif n_bands is not None and len(bands) != n_bands:
            raise RasterError(
                f"{_plural(len(bands), 'band')} chosen of {self.path}; {n_bands} are needed. "
                f"{self._bands_advice}"
            )
        if n_bands is not None and len(bands) != n_bands:
            raise RasterError(
                f"{self.path} has {_plural(count, 'band')}; {n_bands} are needed. "
                f"{self._bands_advice}"
            )
        missing = [band for band in bands if not 1 <= band <= count]
        if missing:
            raise RasterError(
                f"{self.path} has no band {missing[0]}: it has {_plural(count, 'band')}. "
                f"{self._bands_advice}"
            )
        return tuple(bands)

    def _default_bands(self, n_bands: int | None) -> tuple[int, ...]:
        marks = list(self._dataset.colorinterp)
        usable = [k for k, mark in enumerate(marks, 1) if mark is not ColorInterp.alpha]
        if n_bands is None:
            return tuple(usable)
        primary = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        if n_bands == 3 and all(marks.count(color) == 1 for color in primary):
            return tuple(marks.index(color) + 1 for color in primary)
        return tuple(usable[:n_bands])


def read_classes(path: Path) -> npt.NDArray[np.uint8]:
    """A whole class raster, H x W; for those that fit in memory.

    Raises:
        RasterError: The file is no raster of one uint8 band.
    """
    with SceneReader(path) as reader:
        if len(reader.bands) != 1 or reader.dtype != np.uint8:
            raise RasterError(f"{path} is no class raster: it is not a single uint8 band.")
        labels: npt.NDArray[np.uint8] = reader.read(reader.grid.window).pixels[0]
        return labels


def box_of(window: Window) -> RasterioWindow:
    """A window as rasterio wants it."""
    return RasterioWindow(window.left, window.top, window.width, window.height)


@contextmanager
def quiet() -> Iterator[None]:
    """Without rasterio's warning about rasters without a place; commands say it in words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def _open(path: Path) -> Any:
    if not path.exists():
        raise RasterError(f"{path} does not exist.")
    if path.is_dir():
        raise RasterError(f"{path} is a folder, not a raster.")
    try:
        with quiet():
            dataset = rasterio.open(path)
    except RasterioError as error:
        raise RasterError(
            f"{path} is not a raster that GDAL can read: {reason_of(error)}."
        ) from error
    if dataset.count == 0:
        dataset.close()
        raise RasterError(
            f"{path} has no bands of its own. Export a subdataset of it first: gdal_translate"
        )
    return dataset


def _grid(path: Path, dataset: Any) -> Grid:
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


def reason_of(error: Exception) -> str:
    """GDAL's own words in one line, without its own full stop."""
    deepest: BaseException = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    return " ".join(str(deepest).split()).rstrip(".")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
