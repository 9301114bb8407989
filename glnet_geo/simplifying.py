"""Simplification of a coverage, arc by arc.

An arc is what two regions share between two places where more than two things meet. Each region
walks along its own copy of it; as the result depends on nothing but the arc and the raster, both
come out alike, and neither gaps nor overlaps appear.

The method is Visvalingam and Whyatt's (1993, Line generalisation by repeated elimination of
points): the vertex whose triangle with its two neighbours is smallest goes first, as long as the
triangle is not larger than the squared tolerance, which is what GEOS's coverage simplifier calls
tolerance too. A vertex stays if its triangle holds a vertex of any other arc as it was before
simplification (or of its own as it is now). Lines without a vertex in a triangle cannot cross just
one of its sides, so removing the vertex leaves everything on its side; and as the other arcs count
as they were, the order in which arcs are simplified is of no importance.
"""

from __future__ import annotations

import numpy as np

from glnet_geo.heap import add_to_heap, drop_least
from glnet_geo.kernels import kernel
from glnet_geo.sweep_tables import (
    DONE,
    FIXED,
    FLAGS,
    LABEL,
    N_CHAINS,
    N_VERTICES,
    NEXT,
    TAIL,
    Table,
    Tables,
    X,
    Y,
    drop_vertex,
)

_WALKED, _REMOVED = 8, 16
"""Flags of a vertex: the arc that begins in it has been simplified; it is no vertex any more."""


def simplify(tables: Tables, top: int, bottom: int, width: int, tolerance: float) -> None:
    """Removes vertices from all arcs between two lattice rows.

    Args:
        tables: The state of a sweep that is past `bottom`.
        top: The first lattice row; every vertex on it is fixed unless it is the raster's rim.
        bottom: The last one, likewise.
        width: Columns of the raster.
        tolerance: In pixels; triangles up to its square go.
    """
    occupied = np.zeros((bottom - top + 1, width // 8 + 1), np.uint8)
    _occupy(tables, top, occupied)
    _simplify_arcs(tables, top, occupied, 2 * tolerance**2)
    _free_removed(tables)


@kernel
def _occupy(tables: Tables, top: int, occupied: Table) -> None:
    """Sets the bit of every lattice point that has a vertex."""
    vertices = tables.vertices
    for vertex in range(tables.counters[N_VERTICES]):
        x, y = vertices[vertex, X], vertices[vertex, Y] - top
        if y >= 0 and not vertices[vertex, FLAGS] & DONE:
            occupied[y, x >> 3] |= 1 << (x & 7)


@kernel
def _simplify_arcs(tables: Tables, top: int, occupied: Table, limit: float) -> None:
    """Simplifies the arcs behind fixed vertices, where that has not been done yet."""
    vertices = tables.vertices
    arc = np.empty(1 << 10, np.int32)
    for begin in range(tables.counters[N_VERTICES]):
        flags = vertices[begin, FLAGS]
        if not flags & FIXED or flags & (DONE | _WALKED) or vertices[begin, NEXT] < 0:
            continue
        vertices[begin, FLAGS] |= _WALKED
        n, vertex = 0, np.int32(begin)
        while n == 0 or not vertices[vertex, FLAGS] & FIXED:
            if n + 1 == len(arc):
                arc = np.concatenate((arc, np.empty_like(arc)))
            arc[n] = vertex
            n += 1
            vertex = vertices[vertex, NEXT]
        arc[n] = vertex
        if n > 1:
            _simplify_arc(arc[: n + 1], vertices, top, occupied, limit)


@kernel
def _simplify_arc(arc: Table, vertices: Table, top: int, occupied: Table, limit: float) -> None:
    """Simplifies one arc: links the vertices that stay, and flags the others."""
    n = len(arc)
    x, y = np.empty(n, np.int64), np.empty(n, np.int64)
    for k in range(n):
        x[k], y[k] = vertices[arc[k], X], vertices[arc[k], Y] - top
    if _is_backward(x, y):
        x, y, arc = x[::-1].copy(), y[::-1].copy(), arc[::-1].copy()
    before, after = np.arange(-1, n - 1), np.arange(1, n + 1)
    size = np.zeros(n, np.int64)
    keys, items, n_entries = np.empty(3 * n, np.int64), np.empty(3 * n, np.int64), 0
    for k in range(1, n - 1):
        size[k] = abs(_doubled(x, y, k - 1, k, k + 1))
        n_entries = add_to_heap(keys, items, n_entries, size[k], k)
    surplus = n - 2 - _fewest(x, y)
    while n_entries > 0 and surplus > 0 and keys[0] <= limit:
        key, k = keys[0], items[0]
        n_entries = drop_least(keys, items, n_entries)
        if size[k] != key or _is_blocked(x, y, before[k], k, after[k], occupied):
            continue
        occupied[y[k], x[k] >> 3] &= ~(1 << (x[k] & 7))
        after[before[k]], before[after[k]] = after[k], before[k]
        size[k] = -1
        surplus -= 1
        vertices[arc[k], FLAGS] |= _REMOVED
        for neighbour in (before[k], after[k]):
            if 0 < neighbour < n - 1:
                size[neighbour] = abs(
                    _doubled(x, y, before[neighbour], neighbour, after[neighbour])
                )
                n_entries = add_to_heap(keys, items, n_entries, size[neighbour], neighbour)
    for k in range(1, n - 1):
        occupied[y[k], x[k] >> 3] |= 1 << (x[k] & 7)


@kernel
def _doubled(x: Table, y: Table, i: int, j: int, k: int) -> int:
    """Twice the signed area of a triangle."""
    return int((x[j] - x[i]) * (y[k] - y[i]) - (x[k] - x[i]) * (y[j] - y[i]))


@kernel
def _is_backward(x: Table, y: Table) -> bool:
    """Whether this is not the direction in which both regions look at the arc."""
    n = len(x)
    i, j = 0, n - 1
    if x[i] == x[j] and y[i] == y[j]:
        i, j = 1, n - 2
    return bool((y[i], x[i]) > (y[j], x[j]))


@kernel
def _fewest(x: Table, y: Table) -> int:
    """How many vertices must stay between the ends of an arc.

    A ring needs two. Several arcs with the same ends must not all become the straight line between
    them: that is for one to their left alone, and for none where the line may be an arc already.
    """
    n = len(x)
    if x[0] == x[n - 1] and y[0] == y[n - 1]:
        return 2
    if x[0] == x[n - 1] or y[0] == y[n - 1]:
        return 1
    doubled = 0
    for k in range(n):
        following = (k + 1) % n
        doubled += x[k] * y[following] - x[following] * y[k]
    return 0 if doubled > 0 else 1


@kernel
def _is_blocked(x: Table, y: Table, i: int, j: int, k: int, occupied: Table) -> bool:
    """Whether a vertex other than its corners lies in a triangle or on its sides."""
    for row in range(min(y[i], y[j], y[k]), max(y[i], y[j], y[k]) + 1):
        left, right = np.int64(1 << 40), np.int64(-1)
        for start, end in ((i, j), (j, k), (k, i)):
            if y[start] > y[end]:
                start, end = end, start
            if not y[start] <= row <= y[end]:
                continue
            if y[start] == y[end]:
                left = min(left, x[start], x[end])
                right = max(right, x[start], x[end])
            else:
                height = y[end] - y[start]
                across = (x[end] - x[start]) * (row - y[start])
                left = min(left, x[start] - (-across // height))
                right = max(right, x[start] + across // height)
        for column in range(left, right + 1):
            is_corner = (
                (column == x[i] and row == y[i])
                or (column == x[j] and row == y[j])
                or (column == x[k] and row == y[k])
            )
            if occupied[row, column >> 3] >> (column & 7) & 1 and not is_corner:
                return True
    return False


@kernel
def _free_removed(tables: Tables) -> None:
    """Links the vertices that stay, and frees the others."""
    vertices, chains, counters = tables.vertices, tables.chains, tables.counters
    for vertex in range(counters[N_VERTICES]):
        if vertices[vertex, FLAGS] & (DONE | _REMOVED) or vertices[vertex, NEXT] < 0:
            continue
        vertices[vertex, NEXT] = _staying(vertices[vertex, NEXT], vertices)
    for chain in range(counters[N_CHAINS]):
        if chains[chain, LABEL] >= 0:
            chains[chain, TAIL] = _staying(chains[chain, TAIL], vertices)
    for vertex in range(counters[N_VERTICES]):
        if vertices[vertex, FLAGS] & _REMOVED:
            drop_vertex(vertex, vertices, counters)


@kernel
def _staying(vertex: int, vertices: Table) -> int:
    """The vertex itself, or else the next one behind it that stays."""
    while vertices[vertex, FLAGS] & _REMOVED:
        vertex = vertices[vertex, NEXT]
    return vertex
