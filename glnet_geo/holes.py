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
    gone = np.flatnonzero(chains[:, LABEL] >= 0)
    gone = gone[is_gone[roots[chains[gone, LABEL]]]]
    _discard(np.union1d(gone, filled), tables)
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
        left, right, top, bottom = _extent(start, vertices)
        for y in range(top, bottom + 1):
            place = np.searchsorted(places, y * (width + 1) + left)
            while place < len(places) and places[place] <= y * (width + 1) + right:
                region, x = regions[place], places[place] - y * (width + 1)
                if region != owner and around[region] == region and _holds(start, vertices, x, y):
                    around[region] = owner
                place += 1


@kernel
def _extent(start: int, vertices: Table) -> tuple[int, int, int, int]:
    """Columns and rows of a ring: left, right, top, bottom."""
    left = right = vertices[start, X]
    top = bottom = vertices[start, Y]
    vertex = vertices[start, NEXT]
    while vertex != start:
        left, right = min(left, vertices[vertex, X]), max(right, vertices[vertex, X])
        top, bottom = min(top, vertices[vertex, Y]), max(bottom, vertices[vertex, Y])
        vertex = vertices[vertex, NEXT]
    return left, right, top, bottom


@kernel
def _holds(start: int, vertices: Table, x: int, y: int) -> bool:
    """Whether a lattice point lies in a ring or on it."""
    is_inside = False
    vertex = start
    while True:
        following = vertices[vertex, NEXT]
        x_from, y_from = np.int64(vertices[vertex, X]), np.int64(vertices[vertex, Y])
        x_to, y_to = np.int64(vertices[following, X]), np.int64(vertices[following, Y])
        side = (x_to - x_from) * (y - y_from) - (x - x_from) * (y_to - y_from)
        if side == 0 and (
            min(x_from, x_to) <= x <= max(x_from, x_to)
            and min(y_from, y_to) <= y <= max(y_from, y_to)
        ):
            return True
        if (y_from <= y) != (y_to <= y) and (side > 0) == (y_to > y_from):
            is_inside = not is_inside
        vertex = following
        if vertex == start:
            return is_inside


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
