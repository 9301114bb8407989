"""What splits of a dataset have in common: what is learned there is scored, and scores deceive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice, product
from pathlib import Path

import numpy as np
import numpy.typing as npt

from glnet_geo.datasets import LabelledScene
from glnet_geo.errors import GlnetGeoError
from glnet_geo.features import share_on
from glnet_geo.footprint import footprint_of
from glnet_geo.grid import Grid
from glnet_geo.scene_check import CheckedScene

_MOST = 100  # pairs that are named: a series of one place has as many as there are pairs of dates
_M2_PER_HA = 1e4


def images_twice(scenes: Sequence[LabelledScene]) -> Iterator[str]:
    """Names images of which several splits use the same pixels."""
    by_image: dict[Path, list[LabelledScene]] = defaultdict(list)
    for scene in scenes:
        by_image[scene.image.resolve()].append(scene)
    for image, parts in by_image.items():
        whole = {scene.split for scene in parts if scene.blocks is None}
        # Blocks share nothing with each other, but with the image as a whole.
        if whole and len(found := {scene.split for scene in parts}) > 1:
            yield f"{image} is in {' and '.join(sorted(found))}: what is learned there is scored."


def leaks(scenes: Sequence[CheckedScene]) -> Iterator[str]:
    """Names pairs of images that share ground and are in different splits.

    Images without a place are left out. Blocks in metres on one lattice agree on every place and do
    not leak; blocks in pixels and those of different CRSs do. Of more than 100 pairs the rest is
    not told.
    """
    by_image: dict[Path, list[CheckedScene]] = defaultdict(list)
    for scene in scenes:
        if scene.grid.is_georeferenced:
            by_image[scene.scene.image.resolve()].append(scene)
    images = list(by_image.values())
    near = _near([parts[0].grid for parts in images])
    found = (_leak(images[one], images[other]) for one, other in near)
    yield from islice((text for text in found if text), _MOST)


def _near(grids: Sequence[Grid]) -> Iterator[tuple[int, int]]:
    """Pairs of grids that may overlap."""
    if len(grids) < 2:
        return
    footprints = [footprint_of(grid) for grid in grids]
    places = np.array([[np.nan] * 4 if one is None else one.bbox for one in footprints])
    numbers: dict[str | None, int] = {}
    systems = np.array([numbers.setdefault(grid.crs, len(numbers)) for grid in grids])
    for one in range(len(grids) - 1):
        others = slice(one + 1, None)
        if footprints[one] is None:
            # A CRS of a building site, for instance, lies nowhere on the globe.
            may = systems[others] == systems[one]
        else:
            may = _boxes_meet(places[one], places[others])
        yield from ((one, one + 1 + int(k)) for k in np.flatnonzero(may))


def _boxes_meet(
    box: npt.NDArray[np.float64], boxes: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Whether west, south, east, north boxes meet, those across the antimeridian as well."""
    west, south, east, north = boxes.T
    # Modulo 360 a whole turn would be none.
    width, widths = (
        np.where(right - left == 360, 360, (right - left) % 360)
        for left, right in ((box[0], box[2]), (west, east))
    )
    along = ((west - box[0]) % 360 <= width) | ((box[0] - west) % 360 <= widths)
    meet: npt.NDArray[np.bool_] = along & (south <= box[3]) & (north >= box[1])
    return meet


def _leak(ones: Sequence[CheckedScene], others: Sequence[CheckedScene]) -> str | None:
    """What two images share, in words; None where no splits do."""
    pairs = [pair for pair in product(ones, others) if not _agree(*pair)]
    if not pairs:
        return None
    one, other = pairs[0]
    # A map of the world has no outline in the CRS of a town, while the town has one in the world.
    smaller, larger = sorted((one, other), key=lambda scene: _size(scene.grid))
    try:
        share = share_on(smaller.scene.image, smaller.grid, larger.grid)
    except GlnetGeoError:
        return None  # far away from where the CRS is defined
    if not share:
        return None
    ground = "ground"
    if smaller.grid.pixel_area_m2 is not None:
        ground = f"{share * _size(smaller.grid) / _M2_PER_HA:.2f} ha of ground"
    advice = "what is learned there is scored."
    if one.scene.blocks is not None and other.scene.blocks is not None:
        advice = "their blocks do not agree. Give blocks in metres, and both images one CRS."
    return (
        f"{one.scene.image} ({one.scene.split}) and {other.scene.image} ({other.scene.split}) "
        f"share {ground}, {100 * share:.0f} % of the smaller one: {advice}"
    )


def _agree(one: CheckedScene, other: CheckedScene) -> bool:
    """Whether two scenes share nothing, wherever they lie."""
    first, second = one.scene.blocks, other.scene.blocks
    if one.scene.split == other.scene.split:
        return True
    if first is None or second is None:
        return False
    return (
        first.plan == second.plan and first.plan.size.unit == "m" and one.grid.crs == other.grid.crs
    )


def _size(grid: Grid) -> float:
    """Area in square metres; in the square of the CRS's unit where metres are unknown."""
    pixel = grid.pixel_area_m2 or abs(grid.transform.determinant)
    return grid.height * grid.width * pixel
