"""Which scenes of a batch are tiles of one mosaic.

Tiles of one mosaic lie on one pixel lattice and touch or hardly overlap. Scenes of the same place
at other times lie on one lattice too, but over each other: those are kept apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import shapely

from glnet_geo.batch_record import SceneFacts
from glnet_geo.grid import Grid, Window
from glnet_geo.map_mosaic import union_grid
from glnet_geo.union_find import find, unite

_MAX_OVERLAP = 0.1  # of the smaller tile; more than that is another scene of the same place
_PHASES = 100  # parts of a pixel; corners of one lattice differ by less than two
_GAP = 0.5  # pixels: tiles meet without one, but for rounding

Pairs = npt.NDArray[np.int64]
"""Indices of tiles that meet, N x 2."""


@dataclass(frozen=True, slots=True)
class Mosaic:
    """Scenes that are mapped as one.

    Attributes:
        grid: The smallest grid that holds all of them.
        places: Where each lies in it, by name.
    """

    grid: Grid
    places: Mapping[str, Window]


def group_tiles(facts: Mapping[str, SceneFacts]) -> list[Mosaic]:
    """Groups scenes into mosaics; most are of one scene alone.

    Args:
        facts: What is known of each scene, by name.

    Returns:
        Mosaics in the order of their first scenes.
    """
    groups = [group for names in lattices(facts) for group in _groups(names, facts)]
    order = {name: k for k, name in enumerate(facts)}
    groups.sort(key=lambda names: order[names[0]])
    return [_mosaic(names, facts) for names in groups]


def _mosaic(names: Sequence[str], facts: Mapping[str, SceneFacts]) -> Mosaic:
    if len(names) == 1:
        grid = facts[names[0]].grid
        return Mosaic(grid, {names[0]: grid.window})
    grid, windows = union_grid([facts[name].grid for name in names])
    return Mosaic(grid, dict(zip(names, windows, strict=True)))


def lattices(facts: Mapping[str, SceneFacts]) -> Iterator[list[str]]:
    """Names of scenes whose pixels lie on one lattice and are of one kind."""
    kinds: dict[Hashable, list[str]] = defaultdict(list)
    for name, one in facts.items():
        kinds[_kind(name, one)].append(name)
    for names in kinds.values():
        yield from _in_phase(names, facts)


def _in_phase(names: Sequence[str], facts: Mapping[str, SceneFacts]) -> Iterator[list[str]]:
    """Scenes whose corners lie at the same place within a pixel, but for rounding."""
    to_pixel = ~facts[names[0]].grid.transform
    found: dict[tuple[int, int], list[str]] = {}
    for name in names:
        place = facts[name].grid.transform
        column, row = (round(x % 1 * _PHASES) for x in to_pixel @ (place.c, place.f))
        near = (
            ((column + right) % _PHASES, (row + down) % _PHASES)
            for right in (0, -1, 1)
            for down in (0, -1, 1)
        )
        key = next((one for one in near if one in found), (column % _PHASES, row % _PHASES))
        found.setdefault(key, []).append(name)
    yield from found.values()


def _kind(name: str, facts: SceneFacts) -> Hashable:
    """What tiles of one mosaic have in common; a scene without a place has it with no other."""
    grid = facts.grid
    if not grid.is_georeferenced:
        return name
    place = grid.transform
    # Nine digits: a step is equal where it makes no difference over any mosaic there is.
    steps = (f"{value:.8e}" for value in (place.a, place.b, place.d, place.e))
    return (grid.crs, facts.n_bands, facts.dtype, *steps)


def _groups(names: Sequence[str], facts: Mapping[str, SceneFacts]) -> Iterator[list[str]]:
    """The mosaics among the scenes of one lattice."""
    if len(names) == 1:
        yield [*names]
        return
    boxes = _boxes([facts[name].grid for name in names])
    alone = _twins(boxes)
    single = np.flatnonzero(~alone)
    pairs = single[_meeting(boxes[single])]
    over = _overlaps(boxes, pairs) > _MAX_OVERLAP
    folders = {PurePosixPath(name).parent for name in names}
    if (over.any() or alone.any()) and len(folders) > 1:
        # Years or flights often have a folder each.
        for folder in sorted(folders):
            yield from _groups([n for n in names if PurePosixPath(n).parent == folder], facts)
        return
    alone[pairs[over]] = True
    parent = np.arange(len(names), dtype=np.int32)
    for one, other in pairs[~alone[pairs].any(axis=1)].tolist():
        unite(parent, one, other)
    together: dict[int, list[str]] = defaultdict(list)
    for k, name in enumerate(names):
        together[int(find(parent, k))].append(name)
    yield from together.values()


def _twins(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which boxes are there more than once: the same place at many times makes too many pairs."""
    _, inverse, counts = np.unique(boxes, axis=0, return_inverse=True, return_counts=True)
    twins: npt.NDArray[np.bool_] = counts[inverse.ravel()] > 1
    return twins


def _boxes(grids: Sequence[Grid]) -> npt.NDArray[np.float64]:
    """Left, top, right, bottom of each in pixels of the first one's lattice, N x 4."""
    to_pixel = ~grids[0].transform
    corners = [to_pixel @ (grid.transform.c, grid.transform.f) for grid in grids]
    start = np.round(np.array(corners))
    return np.hstack([start, start + [(grid.width, grid.height) for grid in grids]])


def _meeting(boxes: npt.NDArray[np.float64]) -> Pairs:
    """Pairs of boxes that share an edge or an area; a corner alone is no neighbour."""
    shapes = shapely.box(*boxes.T)
    grown = shapely.box(*(boxes + np.array([-_GAP, -_GAP, _GAP, _GAP])).T)
    pairs: Pairs = shapely.STRtree(shapes).query(grown, predicate="intersects").T
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    width, height = _shared(boxes, pairs)
    # Tiles that meet along an edge share a length on the other axis.
    meeting: Pairs = pairs[(np.maximum(width, height) > 0) & (np.minimum(width, height) >= 0)]
    return meeting


def _overlaps(boxes: npt.NDArray[np.float64], pairs: Pairs) -> npt.NDArray[np.float64]:
    """Which part of the smaller one each pair has in common, N."""
    width, height = _shared(boxes, pairs)
    sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    shares: npt.NDArray[np.float64] = width * height / sizes[pairs].min(axis=1)
    return shares


def _shared(
    boxes: npt.NDArray[np.float64], pairs: Pairs
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Width and height that pairs have in common; below 0 where there is a gap."""
    one, other = boxes[pairs[:, 0]], boxes[pairs[:, 1]]
    start, end = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    width, height = (end - start).T
    return width, height
