"""Reading rasters, window by window.

Arrays are C x H x W, masks H x W with True where a pixel is valid. Scenes are read here alone; what
writes rasters reads them back, and the rest takes arrays and values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from glnet_geo.bands import BandChoice, BandInfo, BandTable
from glnet_geo.chip import Chip as Chip  # readers of rasters look for it here
from glnet_geo.chip import Mask, Pixels
from glnet_geo.errors import RasterError
from glnet_geo.georeference import grid_of
from glnet_geo.grid import Window
from glnet_geo.opening import has_strips, local_files, open_raster, reason_of
from glnet_geo.remote import Result, ScenePath, is_fetched, persistently
from glnet_geo.scene_view import SceneView, Source, scaled
from glnet_geo.validity import THE_FILES, Validity

_OVERVIEW_SIDE = 16  # pixels; GDAL may take another overview for windows of one or two

BANDS_ADVICE = "Choose bands with --bands, or another model: glnet-geo models list"
"""What to do about a scene whose bands do not fit the model."""


class SceneReader(AbstractContextManager["SceneReader"]):
    """An open scene, read window by window. Not to be shared between threads.

    Args:
        path: Any raster file that GDAL opens, or as a string a URL.
        bands: Bands in the model's order: numbers from 1, descriptions or colour interpretations.
            None for those that show `names`, or else the first `n_bands`.
        n_bands: How many bands are needed; None takes all but masks. A single band of palette
            indices is read as the colours of its table where three are needed.
        bands_advice: What to do about bands that do not fit, for the message.
        names: What the needed bands show, in the model's order.
        validity: What makes a pixel valid.
        dataset: The scene as rasterio opened it, on another grid maybe; None opens `path`.
        safe: Whether nothing of the file is trusted, see `open_raster`.

    Attributes:
        path: As given.
        grid: The scene's grid.
        bands: The band numbers that are read.
        band_marks: What the file says they show (red, gray, undefined, ...).
        bands_are_guessed: Whether there are more bands than needed and nothing says which are
            meant, so that the first ones are read.
        dtype: Type of the pixels.
        is_nominal: Whether values are names (indices of a palette), of which there is no mean.
        is_striped: Whether its blocks span its width, so that narrow windows make GDAL decode the
            same rows again and again.
        is_all_valid: Whether there is nothing that could make a pixel invalid.

    Raises:
        RasterError: The file is missing, no raster, has not the bands, no nodata value for a
            tolerance, or only ground control points or RPCs instead of a transform.
    """

    def __init__(
        self,
        path: ScenePath,
        bands: Sequence[int | str] | None = None,
        n_bands: int | None = None,
        bands_advice: str = BANDS_ADVICE,
        names: Sequence[str] = (),
        validity: Validity = THE_FILES,
        dataset: Any = None,
        safe: bool = False,
    ) -> None:
        self.path = path
        self._validity = validity
        self._is_ours = dataset is None
        self.is_safe = safe
        self._dataset = open_raster(path, safe) if dataset is None else dataset
        try:
            self.grid = grid_of(path, self._dataset)
            infos = _band_infos(self._dataset)
            choice = BandTable(str(path), infos, bands_advice).choose(bands or (), n_bands, names)
            self.bands = choice.numbers
            self.band_marks = tuple(infos[k - 1].mark for k in self.bands)
            self.bands_are_guessed = choice.is_guess
            self.is_striped = has_strips(self._dataset)
            self._prepare_colors(infos, choice)
            self._prepare_masks(infos)
        except BaseException:
            self._dataset.close()
            raise

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._dataset.close()

    @property
    def n_bands(self) -> int:
        """Bands of the pixels that are read; three for a palette that is read as its colours."""
        return len(self.bands) if self._colors is None else 3

    @property
    def units(self) -> tuple[float, float]:
        """Scale and offset that make the values of the first band read what they mean."""
        index = self.bands[0] - 1
        return float(self._dataset.scales[index]), float(self._dataset.offsets[index])

    @property
    def tags(self) -> dict[str, str]:
        """What the file says about itself."""
        tags: dict[str, str] = self._dataset.tags()
        return tags

    @property
    def files(self) -> tuple[Path, ...]:
        """The local files that it consists of: itself, masks beside it, the tiles of a VRT."""
        return local_files(self.path, self._dataset)

    def read(self, window: Window) -> Chip:
        """Reads a window of the grid at full resolution.

        Pixels come as they are in the file, those that are not valid as well.

        Raises:
            RasterError: The file is damaged or has vanished.
            ValueError: The window reaches outside the grid, where GDAL would stretch it.
        """
        if not self.grid.window.contains(window):
            raise ValueError(f"{window} reaches outside {self.grid.window}")
        pixels, valid = self._read(self.grid.window, window)
        return Chip(pixels, valid, self.grid.crop(window))

    def view(self, height: int, width: int) -> SceneView:
        """The scene in another number of pixels, overviews used; open as long as the scene.

        Args:
            height: Rows of the view.
            width: Columns of the view.
        """
        level = self._level_for(height, width)
        source = Source(
            partial(self._read_level, level),
            level,
            self.n_bands,
            self.dtype,
            self.is_nominal,
        )
        return SceneView(source, scaled(self.grid, height, width))

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
        level = Window(0, 0, height, width)
        if self._validity.is_the_files:
            pixels, valid = self._read(level, level)
            return pixels[:, valid]
        # Overviews hold means by the file's own masks: every so many rows of the scene itself.
        rows = [(2 * row + 1) * self.grid.height // (2 * height) for row in range(height)]
        columns = [(2 * one + 1) * self.grid.width // (2 * width) for one in range(width)]
        parts = []
        for row in rows:
            pixels, valid = self._read(self.grid.window, Window(row, 0, 1, self.grid.width))
            chosen = np.flatnonzero(valid[0, columns])
            parts.append(pixels[:, 0, columns][:, chosen])
        return np.concatenate(parts, axis=1)

    def overview_for(self, height: int, width: int) -> int:
        """How many times coarser the pixels are that a view is made of; 1 for the scene's own."""
        # Overviews were made by the file's own masks.
        shrinkage = min(self.grid.height / height, self.grid.width / width)
        available = [set(self._dataset.overviews(band)) for band in self.bands]
        factors = set.intersection(*available) if self._validity.is_the_files else set()
        return max((factor for factor in factors if factor <= shrinkage), default=1)

    def _prepare_colors(self, infos: Sequence[BandInfo], choice: BandChoice) -> None:
        self._colors: npt.NDArray[np.uint8] | None = None
        self.is_nominal = any(infos[k - 1].mark == "palette" for k in self.bands)
        self.dtype = np.result_type(*(self._dataset.dtypes[k - 1] for k in self.bands))
        if np.issubdtype(self.dtype, np.complexfloating):
            raise RasterError(f"{self.path} has complex pixels. Map their amplitude instead.")
        if choice.is_expanded:
            self._colors = _color_table(self.path, self._dataset, self.bands[0])
            self.is_nominal = False
            self.dtype = self._colors.dtype

    def _prepare_masks(self, infos: Sequence[BandInfo]) -> None:
        flags = [self._dataset.mask_flag_enums[k - 1] for k in self.bands]
        nodata = [self._dataset.nodatavals[k - 1] for k in self.bands]
        by_nodata = [MaskFlags.nodata in flag for flag in flags]
        alpha = [info.number for info in infos if info.mark == "alpha"]
        # GDAL's masks leave alpha out beside a nodata value (its RFC 15), and that of floats.
        is_left_out = any(MaskFlags.alpha not in flag for flag in flags)
        self._alpha = alpha[0] if alpha and is_left_out else None
        self._has_masks = self._alpha is None or not any(by_nodata)
        self._centres = self._validity.centres(self.path, nodata, self._has_masks)
        self._replaced = np.array(by_nodata) & (self._validity.nodata is not None)
        self.is_all_valid = (
            all(flag == [MaskFlags.all_valid] for flag in flags)
            and self._alpha is None
            and self._colors is None
            and self._centres is None
            and not np.issubdtype(self.dtype, np.floating)
        )

    def _level_for(self, height: int, width: int) -> Window:
        """The coarsest overview that is at least as fine as a view; the scene if there is none."""
        factor = self.overview_for(height, width)
        return Window(0, 0, -(-self.grid.height // factor), -(-self.grid.width // factor))

    def _read_level(self, level: Window, window: Window) -> tuple[Pixels, Mask]:
        """As `_read`, for windows of any size and levels that are overviews."""
        height, width = max(window.height, _OVERVIEW_SIDE), max(window.width, _OVERVIEW_SIDE)
        top = max(min(window.top, level.height - height), 0)
        left = max(min(window.left, level.width - width), 0)
        padded = Window(top, left, min(height, level.height), min(width, level.width))
        pixels, valid = self._read(level, padded)
        inner = window.relative_to(padded).slices
        return pixels[:, *inner], valid[inner]

    def _read(self, level: Window, window: Window) -> tuple[Pixels, Mask]:
        """Reads a window of the scene decimated to the size of `level`."""
        rows, columns = self.grid.height / level.height, self.grid.width / level.width
        box = RasterioWindow(
            window.left * columns, window.top * rows, window.width * columns, window.height * rows
        )
        shape = (len(self.bands), window.height, window.width)

        def read() -> tuple[Pixels, Mask]:
            return self._read_bands(box, shape), self._read_masks(box, shape)

        try:
            pixels, masks = self._persistently(read)
        except RasterioError as error:
            again = " in several attempts" if is_fetched(self.path) else ""
            raise RasterError(f"{self.path} cannot be read{again}: {reason_of(error)}.") from error
        valid = self._validity.of(pixels, masks, self._centres)
        if self._colors is None:
            return pixels, valid
        colors = self._colors[:, pixels[0]]
        return colors[:3], valid & (colors[3] > 0)

    def _persistently(self, read: Callable[[], Result]) -> Result:
        if not self._is_ours:
            return read()
        return persistently(self.path, read, RasterioError, self._reopen)

    def _reopen(self) -> None:
        # GDAL would take blocks that it could not read for black ones.
        self._dataset.close()
        self._dataset = open_raster(self.path, self.is_safe)

    def _read_bands(self, box: RasterioWindow, shape: tuple[int, int, int]) -> Pixels:
        if len(set(self._dataset.dtypes)) == 1:
            pixels: Pixels = self._dataset.read(self.bands, window=box, out_shape=shape)
            return pixels
        # rasterio reads bands of different types one by one only.
        bands = [self._dataset.read(k, window=box, out_shape=shape[1:]) for k in self.bands]
        return np.stack(bands).astype(self.dtype)

    def _read_masks(
        self, box: RasterioWindow, shape: tuple[int, int, int]
    ) -> npt.NDArray[np.bool_]:
        masks: npt.NDArray[np.bool_] = np.ones(shape, np.bool_)
        if self._has_masks:
            masks = self._dataset.read_masks(self.bands, window=box, out_shape=shape) > 0
            masks[self._replaced] = True
        if self._alpha is not None:
            masks &= self._dataset.read(self._alpha, window=box, out_shape=shape[1:]) > 0
        return masks


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


def _band_infos(dataset: Any) -> tuple[BandInfo, ...]:
    marks = (mark.name.lower() for mark in dataset.colorinterp)
    described = zip(marks, dataset.descriptions, strict=True)
    return tuple(BandInfo(k, mark, text or "") for k, (mark, text) in enumerate(described, 1))


def _color_table(path: ScenePath, dataset: Any, band: int) -> npt.NDArray[np.uint8]:
    """RGBA of the indices of a band, 4 x indices; transparent where the table has none."""
    dtype = dataset.dtypes[band - 1]
    try:
        entries = dataset.colormap(band) if dtype in ("uint8", "uint16") else None
    except ValueError:
        entries = None
    if entries is None:
        raise RasterError(
            f"{path} has a {dtype} palette without colours that can be looked up. Expand it to "
            "RGB first: gdal_translate -expand rgb"
        )
    table = np.zeros((4, np.iinfo(dtype).max + 1), np.uint8)
    for index, color in entries.items():
        table[:, index] = color
    return table
