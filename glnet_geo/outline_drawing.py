"""Outlines of polygons as a drawing of a page, in as many characters as there is room for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import shapely

from glnet_geo.errors import FeaturesError
from glnet_geo.features import no_overlap, place, read_outlines, to_pixels
from glnet_geo.grid import Grid
from glnet_geo.outlines import Geometries

_AREAS: Mapping[str, Literal["m", "px"]] = {"area_m2": "m", "area_px": "px"}
_ADVICE = "Choose one with --layer."
_VERTEX = 5  # characters that it takes, about


@dataclass(frozen=True, slots=True)
class OutlineDrawing:
    """Outlines of polygons on a map.

    Attributes:
        label: Name of their file.
        path: The outlines as the data of an SVG path.
        unit_px: Pixels of the map that a unit of the path is long. Where that is more than one,
            borders are simplified by a unit, and what is smaller is left out.
        features: Features in the layer.
        area: Their area in square metres or pixels; None where the layer does not say it.
        unit: Which of both.
    """

    label: str
    path: str
    unit_px: int
    features: int
    area: float | None
    unit: Literal["m", "px"]


def draw_outlines(
    path: Path, layer: str | None, grid: Grid, budget: int, safe: bool = False
) -> OutlineDrawing:
    """Draws the polygons of a layer on the grid of a map; memory follows the layer.

    Args:
        path: Any vector file that GDAL opens.
        layer: Its layer; None for the only one that has any polygons.
        grid: The grid.
        budget: Characters that the path may have.
        safe: Whether nothing of the file is trusted.

    Raises:
        FeaturesError: It cannot be read, does not overlap the grid, or only one of both has a CRS.
    """
    outlines = read_outlines(path, layer, tuple(_AREAS), _ADVICE, safe)
    polygons = to_pixels(place(outlines, grid), grid)
    whole = shapely.box(0, 0, grid.width, grid.height)
    # Borders that lie on the map's own are no overlap.
    is_near = shapely.intersects(polygons, whole) & ~shapely.touches(polygons, whole)
    if not is_near.any():
        raise FeaturesError(no_overlap(outlines, grid, "the map"))
    rings = shapely.get_rings(polygons[is_near])
    area, unit = _area(outlines.columns)
    features = len(np.unique(outlines.rows))
    unit_px = 1
    while True:
        drawn = _drawn(rings, unit_px)
        if _VERTEX * shapely.get_num_coordinates(drawn).sum() <= budget:
            text = "".join(_ring_texts(drawn, unit_px))
            if len(text) <= budget:
                return OutlineDrawing(path.name, text, unit_px, features, area, unit)
        unit_px *= 2


def _area(columns: Mapping[str, npt.NDArray[Any]]) -> tuple[float | None, Literal["m", "px"]]:
    """What `vectorize` has written of them, all features together."""
    for name, unit in _AREAS.items():
        if name in columns:
            values = np.asarray(columns[name], np.float64)
            return (float(values.sum()), unit) if np.isfinite(values).all() else (None, unit)
    return None, "m"


def _drawn(rings: Geometries, unit_px: int) -> Geometries:
    """The rings that can be seen, simplified."""
    if unit_px == 1:
        return rings
    left, top, right, bottom = shapely.bounds(rings).T
    is_seen = np.maximum(right - left, bottom - top) >= unit_px
    simplified: Geometries = shapely.simplify(rings[is_seen], unit_px, preserve_topology=False)
    return simplified


def _ring_texts(rings: Geometries, unit_px: int) -> Iterator[str]:
    """Each ring as a subpath in whole units, without vertices that fall together."""
    coordinates, owners = shapely.get_coordinates(rings, return_index=True)
    places = np.rint(coordinates / unit_px).astype(np.int64)
    is_first = np.diff(owners, prepend=-1) != 0
    steps = np.diff(places, axis=0, prepend=0)
    keep = is_first | steps.any(axis=1)
    places, steps, starts = places[keep], steps[keep], np.flatnonzero(is_first[keep])
    for start, stop in pairwise([*starts.tolist(), len(places)]):
        if stop - start < 3:  # there and back
            continue
        x, y = places[start].tolist()
        moves = " ".join(f"{dx} {dy}" for dx, dy in steps[start + 1 : stop - 1].tolist())
        yield f"M{x} {y}l{moves}z"
