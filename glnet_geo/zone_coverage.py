"""Classes of a raster inside zones, pixels on the border by the part of them that lies inside.

The parts come from exactextract (https://isciences.github.io/exactextract/). Only the pixels around
borders go through it: the raster is counted in tiles of 64 x 64 pixels first, once for all zones,
and a zone takes those that lie inside it as a whole. Which ones do, exactextract tells as well, on
a grid whose cells are the tiles. Zones no larger than a tile go through it as they are.

Here polygons have y upwards, as exactextract wants it: x is the column, y minus the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from glnet_geo.errors import RasterError
from glnet_geo.grid import Window
from glnet_geo.ground import Floats
from glnet_geo.kernels import kernel
from glnet_geo.outlines import Geometries, polygons_in
from glnet_geo.pixel_coverage import covered_cells, cut_exactly
from glnet_geo.runs import NOTHING, Runs

MOST_CLASSES = 1000
"""More of them are no classes but measured values."""

_TILE = 64  # pixels
_POLYGONS = 256  # that are cut together
_LEAST_BLOCK = 4  # tiles on a side, into which polygons are cut before they are cut into tiles
_PARTS = 512  # of polygons, at most a tile each, whose pixels are held together


@dataclass(frozen=True, slots=True, eq=False)
class ClassStrip:
    """Rows of a class raster, counted in tiles.

    Attributes:
        window: The rows.
        ids: Their K class ids; `NOTHING` among them where there is no data.
        places: H x W, where each pixel's id stands in `ids`.
        weights: What a pixel of each row counts, H.
        tiles: Tiles in rows from the top, T x K: what their pixels of each class count together.
    """

    window: Window
    ids: npt.NDArray[np.int64]
    places: npt.NDArray[np.unsignedinteger[Any]]
    weights: Floats
    tiles: Floats

    @classmethod
    def of(cls, raster: object, runs: Runs, weights: Floats) -> ClassStrip:
        """Counts rows.

        Args:
            raster: The raster, for messages.
            runs: The rows.
            weights: What a pixel of each row of the raster counts.

        Raises:
            RasterError: They have too many classes.
        """
        window = Window(runs.top, 0, runs.height, runs.width)
        ids, which = np.unique(runs.value, return_inverse=True)
        check_classes(raster, len(ids))
        kind = np.uint8 if len(ids) <= 256 else np.uint16
        lengths = np.diff(runs.places, append=window.bottom * runs.width)
        places = np.repeat(which.astype(kind), lengths).reshape(runs.height, runs.width)
        here = weights[window.top : window.bottom]
        return cls(window, ids, places, here, _count_tiles(places, here, len(ids), _TILE))

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Rows and columns of tiles; the last ones may reach beyond the raster."""
        return -(-self.window.height // _TILE), -(-self.window.width // _TILE)

    def tile_boxes(self, tiles: npt.NDArray[np.int64]) -> Geometries:
        """Outlines of some tiles."""
        row, column = np.divmod(tiles, self.tile_shape[1])
        left, top = column * _TILE, -self.window.top - row * _TILE
        boxes: Geometries = shapely.box(left, top - _TILE, left + _TILE, top)
        return boxes


def check_classes(raster: object, count: int) -> None:
    """Refuses a raster that is none of classes.

    Args:
        raster: The raster, for the message.
        count: How many class ids it has so far.

    Raises:
        RasterError: It has too many.
    """
    if count > MOST_CLASSES:
        raise RasterError(
            f"{raster} has more than {MOST_CLASSES:,} classes. Does it hold measured values? "
            "Classify them first, or choose the band that holds class ids with --band"
        )


class ZoneTally:
    """What the classes count in each zone, gathered strip by strip.

    Args:
        polygons: Valid ones; those of a zone do not overlap each other.
        zones: The zone that each belongs to.
        count: How many zones there are.
    """

    def __init__(self, polygons: Geometries, zones: npt.NDArray[np.intp], count: int) -> None:
        self._tree = shapely.STRtree(polygons)
        self._zones = zones
        self._count = count
        self._amounts: dict[int, Floats] = {}

    def touches(self, window: Window) -> bool:
        """Whether any zone may reach into full rows of the raster."""
        return bool(self._tree.query(_box(window)).size)

    def add(self, strip: ClassStrip) -> None:
        """Adds rows of the raster, which are none of those before."""
        box = _box(strip.window)
        near = np.sort(self._tree.query(box))
        for start in range(0, len(near), _POLYGONS):
            batch = near[start : start + _POLYGONS]
            # Cut first: a zone of many strips would be walked round in each of them.
            cut = cut_exactly(self._tree.geometries[batch], box)
            pieces, rows = polygons_in(cut)
            zones, sums = self._zones[batch[rows]], _sums(pieces, strip)
            for class_id, amounts in zip(strip.ids.tolist(), sums.T, strict=True):
                if class_id not in self._amounts:
                    self._amounts[class_id] = np.zeros(self._count)
                self._amounts[class_id] += np.bincount(zones, amounts, self._count)

    @property
    def n_classes(self) -> int:
        """How many class ids were met."""
        return len(self.by_class)

    @property
    def without_data(self) -> Floats:
        """What pixels without data count in each zone, Z."""
        return self._amounts.get(int(NOTHING), np.zeros(self._count))

    @property
    def by_class(self) -> dict[int, Floats]:
        """What the pixels of each class count in each zone, Z, by class id in ascending order."""
        return {one: self._amounts[one] for one in sorted(self._amounts) if one != NOTHING}


def _sums(pieces: Geometries, strip: ClassStrip) -> Floats:
    """What each class counts in each of some polygons inside a strip, P x K."""
    sums = np.zeros((len(pieces), len(strip.ids)))
    left, bottom, right, top = shapely.bounds(pieces).T
    is_small = (right - left) * (top - bottom) <= _TILE * _TILE
    small, large = np.flatnonzero(is_small), np.flatnonzero(~is_small)
    for start in range(0, len(small), _PARTS):
        owners = small[start : start + _PARTS]
        _add(pieces[owners], owners, strip, sums)
    cut_owners, cut_tiles = _add_whole_tiles(pieces[large], large, strip, sums)
    blocks, places = _blocks_of(pieces, cut_owners, cut_tiles, strip)
    for start in range(0, len(cut_tiles), _PARTS):
        here = slice(start, start + _PARTS)
        boxes = strip.tile_boxes(cut_tiles[here])
        parts, which = polygons_in(cut_exactly(blocks[places[here]], boxes))
        _add(parts, cut_owners[here][which], strip, sums)
    return sums


def _blocks_of(
    pieces: Geometries,
    owners: npt.NDArray[np.intp],
    tiles: npt.NDArray[np.int64],
    strip: ClassStrip,
) -> tuple[Geometries, npt.NDArray[np.intp]]:
    """Polygons cut into blocks of tiles, halved again and again.

    A ragged border has thousands of vertices: to walk round all of them for each tile would take
    the square of their number.

    Args:
        pieces: The polygons.
        owners: Of each tile the polygon that it is to be cut from, T.
        tiles: The tiles, T.
        strip: Their strip.

    Returns:
        The blocks, and for each tile the one that it lies in, T.
    """
    blocks, places = pieces, owners
    row, column = np.divmod(tiles, strip.tile_shape[1])
    side = 1 << max(strip.tile_shape).bit_length()
    while side > _LEAST_BLOCK:
        side //= 2
        keys = np.stack([places, row // side, column // side], axis=1)
        (parents, down, across), places = _distinct(keys)
        left, top = across * side * _TILE, -strip.window.top - down * side * _TILE
        boxes = shapely.box(left, top - side * _TILE, left + side * _TILE, top)
        blocks = _areas_of(cut_exactly(blocks[parents], boxes))
    return blocks, places


def _areas_of(geometries: Geometries) -> Geometries:
    """Geometries without their points and lines, which GEOS does not cut together with areas."""
    is_mixed = shapely.get_type_id(geometries) == shapely.GeometryType.GEOMETRYCOLLECTION
    if is_mixed.any():
        parts, which = polygons_in(geometries[is_mixed])
        geometries[is_mixed] = [
            shapely.MultiPolygon([*parts[which == one]]) for one in range(is_mixed.sum())
        ]
    return geometries


def _distinct(keys: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """The distinct rows of N x 3 keys, as 3 x D, and which of them each row is, N."""
    rows, which = np.unique(keys, axis=0, return_inverse=True)
    return rows.T, which.ravel()


def _add_whole_tiles(
    pieces: Geometries, owners: npt.NDArray[np.intp], strip: ClassStrip, sums: Floats
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Adds the tiles that lie inside polygons to the sums of their owners.

    Returns:
        Owners and tiles through which their borders run.
    """
    rows, columns = strip.tile_shape
    top = -strip.window.top
    bounds = 0, top - rows * _TILE, columns * _TILE, top
    found_owners, found_tiles = [np.zeros(0, np.intp)], [np.zeros(0, np.int64)]
    covered = covered_cells(pieces, np.zeros((rows, columns), np.uint8), bounds)
    for owner, (tiles, shares) in zip(owners, covered, strict=True):
        is_inside = shares == 1
        sums[owner] += strip.tiles[tiles[is_inside]].sum(axis=0)
        found_tiles.append(tiles[~is_inside])
        found_owners.append(np.full(len(found_tiles[-1]), owner))
    return np.concatenate(found_owners), np.concatenate(found_tiles)


def _add(parts: Geometries, owners: npt.NDArray[np.intp], strip: ClassStrip, sums: Floats) -> None:
    """Adds polygons, pixel by pixel, to the sums of their owners, which ascend."""
    if not len(parts):
        return
    window, n_ids = strip.window, len(strip.ids)
    bounds = 0, -window.bottom, window.width, -window.top
    found = [*covered_cells(parts, strip.places, bounds)]
    cells = np.concatenate([one for one, _ in found])
    shares = np.concatenate([one for _, one in found])
    first, end = owners[0], owners[-1] + 1
    owner = np.repeat(owners - first, [len(one) for one, _ in found])
    keys = owner * n_ids + strip.places.ravel()[cells]
    amounts = shares * strip.weights[cells // window.width]
    added = np.bincount(keys, amounts, (end - first) * n_ids)
    sums[first:end] += added.reshape(-1, n_ids)


def _box(window: Window) -> shapely.Polygon:
    return shapely.box(window.left, -window.bottom, window.right, -window.top)


@kernel
def _count_tiles(
    places: npt.NDArray[np.unsignedinteger[Any]], weights: Floats, n_ids: int, side: int
) -> Floats:
    """What the pixels of each class count in each tile, T x K."""
    height, width = places.shape
    columns = (width + side - 1) // side
    tiles = np.zeros(((height + side - 1) // side * columns, n_ids))
    for y in range(height):
        first = y // side * columns
        for x in range(width):
            tiles[first + x // side, places[y, x]] += weights[y]
    return tiles
