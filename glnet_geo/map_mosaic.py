"""Many finished class maps of one pixel grid, as one GDAL virtual raster beside them.

The format is https://gdal.org/drivers/raster/vrt.html. The maps stay files of their own, and the
virtual raster has what each of them has: names, colours, nodata, tags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from glnet_geo.grid import Grid, Window
from glnet_geo.legend import NODATA, Legend
from glnet_geo.mosaic import dataset_element
from glnet_geo.sidecar import describe_classes

_BLOCK = 512  # pixels on a side of a tile of a class map
# Pixels by which corners may miss the lattice: tiles of one are within 0.03, sizes are rounded.
_TOLERANCE = 0.031
_MAX_SIDE = 2**31 - 1  # that GDAL counts to


@dataclass(frozen=True, slots=True)
class PlacedMap:
    """A class map in a mosaic.

    Attributes:
        path: The map, relative to the virtual raster, with `/`.
        window: Its pixels, in those of the mosaic's grid.
    """

    path: str
    window: Window


def maps_xml(
    maps: Sequence[PlacedMap], grid: Grid, legend: Legend, tags: Mapping[str, str]
) -> bytes:
    """The virtual raster, UTF-8.

    Where maps overlap, the last one that has data counts.

    Args:
        maps: The maps.
        grid: The whole raster's grid.
        legend: The classes of all maps.
        tags: More tags besides the classes' names.

    Raises:
        ValueError: A map reaches outside the grid.
    """
    for one in maps:
        if not grid.window.contains(one.window):
            raise ValueError(f"{one.path} at {one.window} reaches outside {grid.window}")
    root = dataset_element(grid, legend, tags)
    kind = {"dataType": "Byte", "band": "1", **_block_size(grid)}
    band = ET.SubElement(root, "VRTRasterBand", kind)
    describe_classes(band, legend)
    ET.SubElement(band, "NoDataValue").text = str(NODATA)
    is_overlapped = np.zeros(len(maps), np.bool_)
    is_overlapped[overlaps([one.window for one in maps])] = True
    for one, needs_nodata in zip(maps, is_overlapped.tolist(), strict=True):
        _add_map(band, one, needs_nodata)
    return ET.tostring(root, encoding="unicode").encode()


def union_grid(grids: Sequence[Grid]) -> tuple[Grid, list[Window]]:
    """The smallest grid that holds grids of one lattice, and where each of them lies in it.

    The first grid's transform is the lattice's. Corners may be off by two hundredths of a pixel.

    Args:
        grids: At least one.

    Raises:
        ValueError: They are not on one lattice: another CRS, pixels of another size or turned or
            shifted ones, or no place at all; or they are too far apart for a raster.
    """
    first = grids[0]
    if len(grids) > 1 and any(grid.transform.is_identity for grid in grids):
        raise ValueError("grids without a place are on no lattice")
    if not first.transform.determinant:
        raise ValueError("a grid with pixels of no size is on no lattice")
    windows = [_window_on(first, grid) for grid in grids]
    top, left = min(one.top for one in windows), min(one.left for one in windows)
    height = max(one.bottom for one in windows) - top
    width = max(one.right for one in windows) - left
    if max(height, width) > _MAX_SIDE:
        raise ValueError(f"grids that are {height} x {width} pixels apart make no raster")
    whole = Window(top, left, height, width)
    union = replace(first.crop(whole), pixel_area_m2=_mean_area(grids))
    return union, [one.relative_to(whole) for one in windows]


def overlaps(windows: Sequence[Window]) -> npt.NDArray[np.int64]:
    """Which windows have a pixel in common: pairs of indices, N x 2."""
    boxes = np.array([(w.top, w.left, w.bottom, w.right) for w in windows], np.int64).reshape(-1, 4)
    order = np.argsort(boxes[:, 0], kind="stable")
    top, left, bottom, right = boxes[order].T
    pairs = [np.empty((0, 2), np.int64)]
    # Those that begin before this one ends: in a mosaic a row of tiles, not all of them.
    for k, stop in enumerate(np.searchsorted(top, bottom)):
        others = slice(k + 1, stop)
        hits = np.flatnonzero((left[others] < right[k]) & (right[others] > left[k]))
        if len(hits):
            pairs.append(np.column_stack([np.full_like(hits, k), hits + k + 1]))
    return order[np.concatenate(pairs)]


def _window_on(lattice: Grid, grid: Grid) -> Window:
    """The pixels of a grid in those of another one of its lattice."""
    if grid.crs != lattice.crs:
        raise ValueError(f"{grid.crs_label} and {lattice.crs_label} are not one lattice")
    to_lattice = ~lattice.transform @ grid.transform
    left, top = round(to_lattice.c), round(to_lattice.f)
    is_on = all(
        abs(to_lattice @ (x, y) - np.array([left + x, top + y])).max() <= _TOLERANCE
        for x in (0, grid.width)
        for y in (0, grid.height)
    )
    if not is_on:
        raise ValueError(f"{grid.transform!r} and {lattice.transform!r} are not one lattice")
    return Window(top, left, grid.height, grid.width)


def _mean_area(grids: Sequence[Grid]) -> float | None:
    """That of a pixel, of grids in which it may vary; None where one does not know its own."""
    areas = [grid.pixel_area_m2 for grid in grids if grid.pixel_area_m2 is not None]
    if len(areas) < len(grids):
        return None
    if min(areas) == max(areas):  # a mean would round it
        return areas[0]
    return float(np.average(areas, weights=[grid.height * grid.width for grid in grids]))


def _block_size(grid: Grid) -> dict[str, str]:
    """Blocks as of the maps; GDAL's own for virtual rasters would cut each in sixteen."""
    return {
        "blockXSize": str(min(_BLOCK, grid.width)),
        "blockYSize": str(min(_BLOCK, grid.height)),
    }


def _add_map(band: ET.Element, one: PlacedMap, is_overlapped: bool) -> None:
    """Adds a source; only a complex one leaves out its nodata, which would hide other maps."""
    source = ET.SubElement(band, "ComplexSource" if is_overlapped else "SimpleSource")
    ET.SubElement(source, "SourceFilename", relativeToVRT="1").text = one.path
    ET.SubElement(source, "SourceBand").text = "1"
    width, height = str(one.window.width), str(one.window.height)
    # With these GDAL opens a map only when pixels of it are read.
    ET.SubElement(
        source,
        "SourceProperties",
        RasterXSize=width,
        RasterYSize=height,
        DataType="Byte",
        BlockXSize=str(_BLOCK),
        BlockYSize=str(_BLOCK),
    )
    size = {"xSize": width, "ySize": height}
    ET.SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **size})
    place = {"xOff": str(one.window.left), "yOff": str(one.window.top)}
    ET.SubElement(source, "DstRect", {**place, **size})
    if is_overlapped:
        ET.SubElement(source, "NODATA").text = str(NODATA)
