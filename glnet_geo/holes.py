"""Holes of polygons that are too small to keep.

A hole is what a region encloses, corners included: two holes that touch in a corner are one, and
one that touches the region's outside in a corner is none. A filled hole vanishes with all that lies
in it, and its pixels count for the region around it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glnet_geo.kernels import kernel
from glnet_geo.sweep_tables import (
    AREA,
    CLOSED,
    HEAD,
    HEAD_SLOT,
    LABEL,
    N_CHAINS,
    NEXT,
    TAIL,
    TAIL_SLOT,
    TOP,
    Table,
    Tables,
    X,
    Y,
    drop_vertex,
    free_chain,
)

NEVER = np.iinfo(np.int64).max
"""Below every row."""


def earliest_pocket(
    chains: Table, vertices: Table, kinds: Table, width: int, bottom: int, limit: float
) -> int:
    """The topmost row of what may still turn out to be a small hole.

    Args:
        chains: Those of a sweep.
        vertices: Its vertices.
        kinds: A number for the class of each label.
        width: Columns of the raster.
        bottom: The first row that is not swept.
        limit: Pixels below which a hole is small.

    Returns:
        The row, or `NEVER`.
    """
    waiting = chains[(chains[:, LABEL] >= 0) & (chains[:, HEAD_SLOT] != CLOSED)]
    if not len(waiting):
        return NEVER
    # Products of coordinates need 64 bits.
    head = vertices[waiting[:, HEAD]].astype(np.int64)
    tail = vertices[waiting[:, TAIL]].astype(np.int64)
    start, end = waiting[:, HEAD_SLOT] - (width + 1), waiting[:, TAIL_SLOT]
    # Closed along the row below: down from the tail, along it, and up to the head.
    doubled = (
        waiting[:, AREA]
        + tail[:, X] * bottom
        - end * tail[:, Y]
        + (end - start) * bottom
        + start * head[:, Y]
        - head[:, X] * bottom
    )
    left = kinds[waiting[:, LABEL]] * np.int64(width + 2) + np.minimum(start, end)
    right = left + np.abs(end - start)
    # What has come into a pocket from below, of the same class, may be no part of the hole.
    arms = np.flatnonzero(doubled < 0)
    arms = arms[np.argsort(left[arms])]
    sums = np.concatenate([[0], np.cumsum(-doubled[arms])])
    inside = sums[np.searchsorted(left[arms], right)] - sums[np.searchsorted(left[arms], left)]
    is_pocket = (doubled > 0) & (doubled - inside < 2 * limit)
    return int(waiting[is_pocket, TOP].min(initial=NEVER))


def fill_holes(
    tables: Tables,
    roots: Table,
    is_complete: npt.NDArray[np.bool_],
    limits: npt.NDArray[np.float64],
    width: int,
) -> tuple[npt.NDArray[np.int64], Table]:
    """Removes the rings of small holes, and everything in them.

    Args:
        tables: The state of a sweep.
        roots: The region that each label belongs to.
        is_complete: Whether a label is a region none of whose pixels are still to come.
        limits: Pixels below which holes are small, by their topmost row.
        width: Columns of the raster.

    Returns:
        For each region what it lies in, itself unless it is gone. And the chains of the holes that
        were filled, as they were.
    """
    chains = tables.chains[: tables.counters[N_CHAINS]]
    is_ring = (chains[:, LABEL] >= 0) & (chains[:, HEAD_SLOT] == CLOSED)
    small = np.flatnonzero(is_ring & (chains[:, AREA] > 0))
    # The quotient of an area and that of a pixel may come out a hair too large.
    small = small[chains[small, AREA] < 2 * limits[chains[small, TOP]] * (1 - 1e-9)]
    # From the outermost ones inwards.
    small = small[np.argsort(-chains[small, AREA], kind="stable")]
    outsides = np.flatnonzero(is_ring & (chains[:, AREA] < 0))
    outsides = outsides[is_complete[roots[chains[outsides, LABEL]]]]
    x, y = tables.vertices[chains[outsides, TAIL], :2].T.astype(np.int64)
    places = y * (width + 1) + x
    order = np.argsort(places)
    around, is_filled = np.arange(len(roots)), np.zeros(len(small), np.bool_)
    inner = roots[chains[outsides[order], LABEL]]
    _mark(small, tables, roots, inner, places[order], width, around, is_filled)
    filled = small[is_filled]
    former = chains[filled]
    is_gone = around != np.arange(len(roots))
    used = np.flatnonzero(chains[:, LABEL] >= 0)
    goes = np.zeros(len(chains), np.bool_)
    goes[used] = is_gone[roots[chains[used, LABEL]]]
    goes[filled] = True
    _discard(np.flatnonzero(goes), tables)
    return around, former


@kernel
def _mark(
    holes: Table,
    tables: Tables,
    roots: Table,
    regions: Table,
    places: Table,
    width: int,
    around: Table,
    is_filled: Table,
) -> None:
    """Finds the regions that lie in holes.

    A vertex of a region tells: in the hole or on its ring. What lies outside does not touch a
    hole's ring, not even once borders are simplified.
    """
    vertices, chains = tables.vertices, tables.chains
    for k in range(len(holes)):
        start = chains[holes[k], TAIL]
        owner = roots[chains[holes[k], LABEL]]
        if around[owner] != owner:
            continue  # the hole lies in a larger one that is filled
        is_filled[k] = True
        x, y = _ring(start, vertices)
        corners, crossings = np.sort(y * (width + 2) + x), _crossings(x, y, width)
        for row in range(y.min(), y.max() + 1):
            place = np.searchsorted(places, row * (width + 1) + x.min())
            last = row * (width + 1) + x.max()
            while place < len(places) and places[place] <= last:
                region = regions[place]
                if region != owner and around[region] == region:
                    point = places[place] + row
                    if _holds(point, (row + 1) * (width + 2), corners, crossings):
                        around[region] = owner
                place += 1


@kernel
def _ring(start: int, vertices: Table) -> tuple[Table, Table]:
    """Columns and rows of a ring, its first vertex once more at the end."""
    n, vertex = 2, vertices[start, NEXT]
    while vertex != start:
        n, vertex = n + 1, vertices[vertex, NEXT]
    x, y = np.empty(n, np.int64), np.empty(n, np.int64)
    for k in range(n):
        x[k], y[k] = vertices[vertex, X], vertices[vertex, Y]
        vertex = vertices[vertex, NEXT]
    return x, y


@kernel
def _crossings(x: Table, y: Table, width: int) -> Table:
    """Where a ring crosses rows of lattice points, in reading order.

    Args:
        x: Columns of the ring.
        y: Its rows.
        width: Columns of the raster.

    Returns:
        For each crossing row * (width + 2) + column, the next lattice point to its right.
    """
    crossings = np.empty(np.abs(np.diff(y)).sum(), np.int64)
    n = 0
    for k in range(len(x) - 1):
        upper, lower = (k, k + 1) if y[k] < y[k + 1] else (k + 1, k)
        height = y[lower] - y[upper]
        for row in range(y[upper], y[lower]):
            along = (x[lower] - x[upper]) * (row - y[upper])
            crossings[n] = row * (width + 2) + x[upper] - (-along // height)
            n += 1
    crossings.sort()
    return crossings


@kernel
def _holds(point: int, end: int, corners: Table, crossings: Table) -> bool:
    """Whether a vertex of a region lies in a ring or on it.

    Args:
        point: The vertex, as row * (width + 2) + column.
        end: Behind the points of its row.
        corners: The vertices of the ring, sorted. Where a region touches it, both have one.
        crossings: Its crossings.
    """
    place = np.searchsorted(corners, point)
    if place < len(corners) and corners[place] == point:
        return True
    to_the_right = np.searchsorted(crossings, end) - np.searchsorted(crossings, point, "right")
    return bool(to_the_right % 2)


@kernel
def _discard(rings: Table, tables: Tables) -> None:
    """Frees rings and their vertices."""
    vertices, chains, counters = tables.vertices, tables.chains, tables.counters
    for ring in rings:
        start = chains[ring, TAIL]
        vertex = vertices[start, NEXT]
        while vertex != start:
            following = vertices[vertex, NEXT]
            drop_vertex(vertex, vertices, counters)
            vertex = following
        drop_vertex(start, vertices, counters)
        free_chain(ring, chains, counters)
