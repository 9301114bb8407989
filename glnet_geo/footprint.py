"""Where a grid lies on the globe, as RFC 7946 (GeoJSON) wants it: cut at the antimeridian."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from glnet_geo.grid import Grid
from glnet_geo.ground import Floats

_SEGMENTS = 64  # of an edge; fewer where these lie on a straight line
_TOLERANCE = 1e-6  # degrees off a straight line, a tenth of a metre
_DIGITS = 7  # of degrees, a centimetre


@dataclass(frozen=True, slots=True)
class Footprint:
    """The outline of a grid in WGS 84.

    Attributes:
        geometry: A GeoJSON Polygon; a MultiPolygon of what lies on either side where the grid
            crosses the antimeridian. Exterior rings run counterclockwise.
        west: The smallest box: where it begins; more than `east` where it crosses the antimeridian.
        south: Its lowest latitude.
        east: Where it ends.
        north: Its highest latitude.
    """

    geometry: dict[str, Any]
    west: float
    south: float
    east: float
    north: float

    @property
    def bbox(self) -> list[float]:
        """West, south, east, north."""
        return [self.west, self.south, self.east, self.north]


def footprint_of(grid: Grid) -> Footprint | None:
    """The outline of a grid; None for one that has no place on the globe."""
    transformer = _to_wgs84(grid.crs) if grid.crs and grid.is_georeferenced else None
    if transformer is None:
        return None
    ring = _around_pole(_thinned(_outline(grid, transformer)).round(_DIGITS))
    if len(ring) < 4:
        return None
    low, high = float(ring[:, 0].min()), float(ring[:, 0].max())
    polygons = [[part] for part in _parts(ring, low, high)]
    if not polygons:
        return None
    geometry: dict[str, Any] = {"type": "Polygon", "coordinates": polygons[0]}
    if len(polygons) > 1:
        geometry = {"type": "MultiPolygon", "coordinates": polygons}
    is_round = high - low >= 360
    west = -180.0 if is_round else (low + 180) % 360 - 180
    east = 180.0 if is_round else 180 - (180 - high) % 360
    box = (west, float(ring[:, 1].min()), east, float(ring[:, 1].max()))
    return Footprint(geometry, *(round(side, _DIGITS) for side in box))


@lru_cache(maxsize=256)
def crs_names(crs: str) -> tuple[str | None, str | None]:
    """What catalogs call a CRS: a code such as EPSG:32640; without one, WKT2."""
    try:
        parsed = CRS.from_user_input(crs)
        authority = parsed.to_authority(min_confidence=100)
        return (":".join(authority), None) if authority else (None, parsed.to_wkt())
    except ProjError:
        return None, crs


@lru_cache(maxsize=256)
def _to_wgs84(crs: str) -> Transformer | None:
    try:
        return Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    except ProjError:
        return None  # a local CRS, for instance


def _outline(grid: Grid, transformer: Transformer) -> Floats:
    """Longitudes and latitudes round a grid, N x 2; the last point is the first one.

    Longitudes go on beyond 180 degrees. Points that the CRS cannot tell are missing.
    """
    steps = np.arange(_SEGMENTS) / _SEGMENTS
    none, full = np.zeros(_SEGMENTS), np.ones(_SEGMENTS)
    columns = np.concatenate([none, steps, full, 1 - steps, [0]]) * grid.width
    rows = np.concatenate([steps, full, 1 - steps, none, [0]]) * grid.height
    place = grid.transform
    x = place.a * columns + place.b * rows + place.c
    y = place.d * columns + place.e * rows + place.f
    points = np.stack(transformer.transform(x, y), axis=1)
    points = points[np.isfinite(points).all(axis=1)]
    points[:, 0] = np.unwrap(points[:, 0], period=360)
    return np.asarray(np.clip(points, [-np.inf, -90], [np.inf, 90]))


def _thinned(ring: Floats) -> Floats:
    """As few points of every edge as its form needs."""
    every = np.arange(len(ring))
    if len(ring) <= 4 * _SEGMENTS:  # some are missing
        return ring
    for step in (_SEGMENTS, _SEGMENTS // 4, _SEGMENTS // 16):
        kept = every[::step]
        straight = np.stack([np.interp(every, kept, ring[kept, axis]) for axis in (0, 1)], axis=1)
        if abs(straight - ring).max() <= _TOLERANCE:
            return ring[kept]
    return ring


def _around_pole(ring: Floats) -> Floats:
    """Leads a ring that goes round a pole over it, so that it encloses an area on the map."""
    if len(ring) < 4 or abs(ring[-1, 0] - ring[0, 0]) < 180:
        return ring
    # It begins and ends at the antimeridian: elsewhere it would fall into two parts there.
    turns = np.floor((ring[:, 0] + 180) / 360)
    k = int(np.flatnonzero(np.diff(turns))[0])
    longitude = 360 * max(turns[k], turns[k + 1]) - 180
    crossing = _on_meridian(ring[k], ring[k + 1], longitude)
    once_round = np.array([math.copysign(360, ring[-1, 0] - ring[0, 0]), 0])
    path = [[crossing], ring[k + 1 : -1], ring[: k + 1] + once_round, [crossing + once_round]]
    pole = math.copysign(90, ring[:, 1].mean())
    back = [[longitude + once_round[0], pole], [longitude, pole], crossing]
    return np.concatenate([*path, back])


def _parts(ring: Floats, low: float, high: float) -> Iterator[list[list[float]]]:
    """What of a ring lies in each turn of the globe, from -180 to 180 degrees."""
    for turn in range(math.floor((low + 180) / 360), math.ceil((high + 180) / 360)):
        west = 360 * turn - 180
        part = _clipped(_clipped(ring, west, 1), west + 360, -1)
        if len(part) < 3:
            continue
        x, y = part.T
        area = float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
        if abs(area) > 1e-12:
            part = part if area > 0 else part[::-1]
            part = np.concatenate([part, part[:1]]) - [360 * turn, 0]
            yield part.round(_DIGITS).tolist()


def _clipped(ring: Floats, longitude: float, side: int) -> Floats:
    """What of a ring lies east (1) or west (-1) of a meridian, not closed.

    The half plane's step of I. E. Sutherland and G. W. Hodgman, Reentrant polygon clipping,
    Communications of the ACM 17 (1974).
    """
    kept: list[Floats] = []
    for here, there in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        is_in, is_next_in = (side * (point[0] - longitude) >= 0 for point in (here, there))
        if is_in:
            kept.append(here)
        if is_in != is_next_in:
            kept.append(_on_meridian(here, there, longitude))
    # The ring's first point comes twice, and so do those on the meridian.
    points = [one for k, one in enumerate(kept) if not np.array_equal(one, kept[k - 1])]
    return np.array(points).reshape(-1, 2)


def _on_meridian(here: Floats, there: Floats, longitude: float) -> Floats:
    share = (longitude - here[0]) / (there[0] - here[0])
    return np.array([longitude, here[1] + share * (there[1] - here[1])])
