"""Reading class rasters of any origin: windows of class ids, and what the classes are called."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
from rasterio._err import CPLE_BaseError  # GDAL's own errors have no public base class
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as RasterioWindow

from glnet_geo.alignment import onto_grid
from glnet_geo.attribute_table import AttributeTable, decoded
from glnet_geo.bands import BandInfo
from glnet_geo.chip import Mask
from glnet_geo.class_table import ClassTable, Color
from glnet_geo.errors import RasterError
from glnet_geo.georeference import grid_of
from glnet_geo.grid import Grid, Window
from glnet_geo.opening import local_files, open_raster, reason_of
from glnet_geo.remote import Result, ScenePath, is_remote, persistently

Labels = npt.NDArray[np.integer[Any]]
"""Class ids, H x W."""

_TABLE_BYTES = 2**22  # of a table beside the raster; a larger one is none of classes
_LISTED = 16  # bands that a message lists
_PRIMARY = {ColorInterp.red, ColorInterp.green, ColorInterp.blue}


class ClassRaster(AbstractContextManager["ClassRaster"]):
    """An open class raster, read window by window. Not to be shared between threads.

    A pixel is valid where the file's mask or alpha band says so and its value is not nodata. A
    nodata value that no pixel can have, such as -9999 in a file of bytes, is none.

    Args:
        path: Any raster of whole numbers that GDAL opens, or as a string a URL.
        band: The band that holds the class ids, from 1; None for the only one beside alpha.
        onto: A grid to read it on instead of its own, by the nearest neighbour; nothing is valid
            where it does not reach.
        safe: Whether nothing of the file is trusted, and nothing beside it read, see `open_raster`.

    Attributes:
        path: As given.
        grid: The raster's grid.
        dtype: Type of the ids.
        tags: What the file says about itself.
        classes: Names and colours. Names come from what `predict` writes, else from an attribute
            table, else from category names, else from a legend among the tags; colours from the
            attribute table, else from the colour table.
        block_height: Rows of the blocks that the file consists of. Windows of the full width whose
            rows are a multiple of it are read fastest; it may be the whole height.

    Raises:
        RasterError: The file is missing, no raster, not of whole numbers or a picture, it has
            several bands or not the one that is asked for, or it has only ground control points
            or RPCs instead of a transform; or it cannot be brought onto the other grid.
    """

    def __init__(
        self,
        path: ScenePath,
        band: int | None = None,
        onto: Grid | None = None,
        safe: bool = False,
    ) -> None:
        self.path = path
        self._dataset = self._source = open_raster(path, safe)
        try:
            self._band = _choose_band(path, self._dataset, band)
            self.dtype = _integer_type(path, self._dataset.dtypes[self._band - 1])
            self.grid = grid_of(path, self._dataset)
            self.tags: dict[str, str] = self._dataset.tags()
            self.classes = _classes_of(path, self._dataset, self._band, self.tags, safe)
            if onto is not None:
                self._dataset, self.grid = onto_grid(path, self._source, onto), onto
            self.block_height: int = self._dataset.block_shapes[self._band - 1][0]
            self._prepare_validity()
        except BaseException:
            self._dataset.close()
            raise

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._dataset.close()
        self._source.close()

    @property
    def files(self) -> tuple[Path, ...]:
        """The local files that it consists of: itself, those beside it, the tiles of a VRT."""
        return local_files(self.path, self._source)

    def read(self, window: Window) -> tuple[Labels, Mask | None]:
        """Reads a window.

        Returns:
            Class ids as they are in the file, H x W, those that are not valid as well; and which
            are valid, H x W, or None where all are.

        Raises:
            RasterError: The file is damaged or has vanished, or an id does not fit in 64 bits with
                a sign.
            ValueError: The window reaches outside the grid, where GDAL would stretch it.
        """
        return self.read_reduced(self.grid.window, window)

    def read_reduced(self, level: Window, window: Window) -> tuple[Labels, Mask | None]:
        """Reads a window of the raster in fewer pixels.

        Overviews are used where there are any. What `predict` writes has them, made by the mode;
        else a pixel is the one of the file that lies nearest.

        Args:
            level: The whole raster in those pixels.
            window: A part of it.

        Returns:
            See `read`.

        Raises:
            RasterError: See `read`.
            ValueError: The window reaches outside the level, where GDAL would stretch it.
        """
        if not level.contains(window):
            raise ValueError(f"{window} reaches outside {level}")
        rows, columns = self.grid.height / level.height, self.grid.width / level.width
        box = RasterioWindow(
            window.left * columns, window.top * rows, window.width * columns, window.height * rows
        )
        shape = (window.height, window.width)

        def read_both() -> tuple[Labels, Mask | None]:
            labels: Labels = self._dataset.read(self._band, window=box, out_shape=shape)
            return labels, self._read_mask(box, shape)

        try:
            labels, valid = self._persistently(read_both)
        except RasterioError as error:
            raise RasterError(f"{self.path} cannot be read: {reason_of(error)}.") from error
        if self._nodata is not None:
            # GDAL's mask would take as long as reading once more.
            is_data = labels != self._nodata
            valid = is_data if valid is None else valid & is_data
        if valid is not None and valid.all():
            valid = None
        self._check_range(labels, valid)
        return labels, valid

    def _persistently(self, read: Callable[[], Result]) -> Result:
        if self._dataset is not self._source:  # on another grid
            return read()
        return persistently(self.path, read, RasterioError, self._reopen)

    def _reopen(self) -> None:
        # GDAL would take blocks that it could not read for black ones.
        self._dataset.close()
        self._dataset = self._source = open_raster(self.path)

    def _prepare_validity(self) -> None:
        flags = self._dataset.mask_flag_enums[self._band - 1]
        self._alpha = next((k for k in _alpha_bands(self._dataset) if k != self._band), None)
        self._has_mask = MaskFlags.per_dataset in flags and self._alpha is None
        self._nodata: int | None = None
        if self.dtype.itemsize < 8:
            self._nodata = _nodata_id(self._dataset.nodatavals[self._band - 1], self.dtype)
        elif MaskFlags.nodata in flags:
            # rasterio gives the value as a float, which rounds it; GDAL's mask compares exactly.
            self._has_mask = True

    def _read_mask(self, box: RasterioWindow, shape: tuple[int, int]) -> Mask | None:
        mask: Mask | None = None
        if self._has_mask:
            mask = self._dataset.read_masks(self._band, window=box, out_shape=shape) > 0
        if self._alpha is not None:
            # GDAL's masks leave alpha out beside a nodata value (its RFC 15).
            opaque: Mask = self._dataset.read(self._alpha, window=box, out_shape=shape) > 0
            mask = opaque if mask is None else mask & opaque
        return mask

    def _check_range(self, labels: Labels, valid: Mask | None) -> None:
        if self.dtype != np.uint64:
            return
        too_large = labels > np.iinfo(np.int64).max
        if (too_large if valid is None else too_large & valid).any():
            raise RasterError(
                f"{self.path} has class ids beyond {np.iinfo(np.int64).max}. Renumber the "
                "classes, or declare what is no class as nodata: gdal_edit.py -a_nodata"
            )


def _alpha_bands(dataset: Any) -> list[int]:
    return [k for k, mark in enumerate(dataset.colorinterp, 1) if mark == ColorInterp.alpha]


def _choose_band(path: ScenePath, dataset: Any, band: int | None) -> int:
    """The band that holds the class ids."""
    if band is not None:
        if not 1 <= band <= dataset.count:
            raise RasterError(
                f"{path} has no band {band}. It has {_listing(dataset)}. Choose with --band"
            )
        return band
    usable = [k for k in range(1, dataset.count + 1) if k not in _alpha_bands(dataset)] or [1]
    if len(usable) == 1:
        return usable[0]
    if set(dataset.colorinterp) >= _PRIMARY:
        raise RasterError(
            f"{path} is a picture (red, green, blue), not a class raster. Map it first: "
            "glnet-geo predict. If one of its bands holds class ids, choose it with --band"
        )
    raise RasterError(
        f"{path} has several bands: {_listing(dataset)}. Choose the one that holds the class ids "
        "with --band"
    )


def _listing(dataset: Any) -> str:
    described = zip(dataset.colorinterp, dataset.descriptions, strict=True)
    infos = [BandInfo(k, mark.name, text or "") for k, (mark, text) in enumerate(described, 1)]
    more = f" and {len(infos) - _LISTED} more" if len(infos) > _LISTED else ""
    return f"{', '.join(map(str, infos[:_LISTED]))}{more}"


def _integer_type(path: ScenePath, name: str) -> np.dtype[Any]:
    if re.fullmatch(r"u?int[0-9]+", name):
        return np.dtype(name)
    if name.startswith("complex"):
        raise RasterError(f"{path} has complex pixels, not class ids. Map their amplitude.")
    raise RasterError(
        f"{path} has {name} pixels, not class ids. If they are ids, store them as whole numbers "
        f"first: gdal_translate -ot Int32 {path} classes.tif"
    )


def _nodata_id(declared: float | None, dtype: np.dtype[Any]) -> int | None:
    """A nodata value as a pixel may have it."""
    if declared is None or not float(declared).is_integer():
        return None
    limits = np.iinfo(dtype)
    return int(declared) if limits.min <= declared <= limits.max else None


def _classes_of(
    path: ScenePath, dataset: Any, band: int, tags: dict[str, str], safe: bool
) -> ClassTable:
    described = _description_of(dataset, band)
    element = described.find("GDALRasterAttributeTable")
    table = AttributeTable() if element is None else AttributeTable.from_xml(element)
    if not safe and not table.names():  # many are mere histograms
        table = _side_table(path)
    names = [_tagged_names(tags), table.names(), _category_names(described), _legend_names(tags)]
    return ClassTable.merged(str(path), names, [table.colors(), _table_colors(described)])


def _description_of(dataset: Any, band: int) -> ET.Element:
    """What GDAL knows of a band besides its pixels, as the element of a virtual raster.

    rasterio has no way to category names and attribute tables, wherever they are stored: in the
    `.aux.xml`, in the file itself as in those of ERDAS, or in a header. But a virtual copy
    (https://gdal.org/drivers/raster/vrt.html) says it all, and as it is GDAL that writes it,
    nothing of what somebody has put beside a raster is parsed here.
    """
    try:
        with MemoryFile(ext=".vrt") as memory:
            copy_raster(dataset, memory.name, driver="VRT")
            text = decoded(memory.read())
        for _, element in ET.iterparse(BytesIO(text.encode())):
            if element.tag.endswith("Source"):
                element.clear()  # a mosaic has thousands
            if element.tag == "VRTRasterBand" and element.get("band") == str(band):
                return element
    except (RasterioError, CPLE_BaseError, ET.ParseError):
        pass  # names are no reason to refuse a raster
    return ET.Element("VRTRasterBand")


def _side_table(path: ScenePath) -> AttributeTable:
    """The table that ArcGIS puts beside a raster; GDAL before 3.11 does not read it."""
    if is_remote(path):
        return AttributeTable()
    file = Path(f"{path}.vat.dbf")
    try:
        if file.stat().st_size > _TABLE_BYTES:
            return AttributeTable()
        return AttributeTable.from_dbf(file.read_bytes())
    except OSError:
        return AttributeTable()


def _tagged_names(tags: dict[str, str]) -> dict[int, str]:
    """Names as `predict` writes them: CLASS_3=road."""
    matches = ((re.fullmatch("CLASS_([0-9]{1,18})", key), name) for key, name in tags.items())
    return {int(match[1]): name for match, name in matches if match}


def _legend_names(tags: dict[str, str]) -> dict[int, str]:
    """Names as ESA WorldCover has them: legend=10  Tree cover, 20  Shrubland, line by line."""
    legend = tags.get("legend", "")
    if not re.fullmatch(r"\s*(?:[0-9]{1,18}\s+[^\s0-9][^0-9]*)+", legend):
        return {}
    return {int(number): name for number, name in re.findall(r"([0-9]+)\s+([^0-9]+)", legend)}


def _category_names(described: ET.Element) -> dict[int, str]:
    return dict(enumerate(one.text or "" for one in described.iterfind("CategoryNames/Category")))


def _table_colors(described: ET.Element) -> dict[int, Color]:
    colors: dict[int, Color] = {}
    for value, entry in enumerate(described.iterfind("ColorTable/Entry")):
        red, green, blue, alpha = (_part(entry, f"c{k}") for k in range(1, 5))
        if alpha > 0:  # entries that are not set are transparent in some files
            colors[value] = red, green, blue
    return colors


def _part(entry: ET.Element, name: str) -> int:
    return min(max(int(entry.get(name, "255")), 0), 255)
