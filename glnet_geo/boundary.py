"""The sweep that turns runs of class ids into rings of vertices.

It goes down the raster by lattice rows (the lines between rows of pixels) and along each from left
to right. Between two neighbouring pixels of different values lies an edge. A region is walked round
with its inside on the left (as the screen shows it), so each edge is passed twice, once in each
direction: going down and going east for the region on its one side, going up and going west for
that on the other.

At every lattice point the edges that meet there cut its surroundings into sectors, and in each
sector that is no nodata one way comes in and one goes out. Unless just two edges meet and are in
line, every such sector gets a vertex: so whoever passes a point where another turns has a vertex
there too, and neighbours share their borders vertex for vertex.

Ways are chains of vertices. The edges that the sweep has reached but not left (those that cross the
current row, and the one along the lattice row) remember the chain that ends on them, so that a new
vertex joins in O(1) to what lies behind, and a chain whose two ends meet is a ring.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from glnet_geo.runs import NOTHING
from glnet_geo.union_find import find, unite

X, Y, NEXT, FLAGS = range(4)
"""Columns of the table of vertices."""

SADDLE, FIXED, DONE = 1, 2, 4
"""Flags of a vertex: two sectors of the same class meet in it, and may be one region; it ends an
arc, so that it stays when arcs are simplified; it has been dealt with."""

HEAD, TAIL, HEAD_SLOT, TAIL_SLOT, AREA, TOP, LENGTH, SADDLES, LABEL, FIXED_COUNT = range(10)
"""Columns of the table of chains: first and last vertex and the slots (edges) at which they wait;
twice the signed area, negative round a region's outside; topmost row; counts; the region."""

RING_START, RING_LABEL, RING_AREA, RING_LENGTH, RING_SADDLES = range(5)
"""Columns of the table of rings."""

N_VERTICES, N_FREE, N_CHAINS, N_FREE_CHAINS, N_LABELS, N_RINGS, N_PAIRS, N_FIXED = range(8)
"""What the counters count."""

Table = npt.NDArray[Any]


class Tables(NamedTuple):
    """The state of a sweep.

    Attributes:
        parent: int32, which regions turned out to be one, see `union_find`.
        slots: int64, the chains that end on edges in the current row, those going down (by column,
            0 .. width), those going up (likewise, behind them), and six scratch places.
        vertices: int32, N x 4, see the columns above.
        free: int32, vertices that can be used again, a stack.
        chains: int64, N x 10, see the columns above.
        free_chains: int64, chains that can be used again, a stack.
        rings: int64, N x 5, those that closed, see the columns above.
        pairs: int64, N x 2, regions of one class that meet in a corner.
        fixed: int32, vertices that end arcs; empty where nobody asks.
        counters: int64, see the places above.
    """

    parent: Table
    slots: Table
    vertices: Table
    free: Table
    chains: Table
    free_chains: Table
    rings: Table
    pairs: Table
    fixed: Table
    counters: Table


class Strip(NamedTuple):
    """The rows to sweep: `Runs` with the last row of the strip before as its first.

    Attributes:
        top: The lattice row above row 1, in rows of the raster.
        first: int64, for each row its first run, and at the end their number.
        start: int32, first column of each run.
        value: int64, class id of each run, or `NOTHING`.
        label: int32, region of each run, to be filled from row 1 on.
        width: Columns of the raster.
        bottom: Rows of the raster.
        line: Lattice row on which every vertex is fixed, and behind which the sweep stops; -1 for
            none.
    """

    top: int
    first: Table
    start: Table
    value: Table
    label: Table
    width: int
    bottom: int
    line: int


class _Corner(NamedTuple):
    """A lattice point, the pixels `a b` over `c d` round it, their regions, and what they share."""

    x: int
    y: int
    a: int
    b: int
    c: int
    d: int
    region_a: int
    region_b: int
    region_c: int
    region_d: int
    flags: int
    width: int


@njit(cache=True, nogil=True)
def sweep(row: int, strip: Strip, tables: Tables) -> int:
    """Goes on with the sweep, over the lattice row above row `row` of the strip and later ones.

    Returns:
        The row to go on with: behind the last one, or an earlier one where a table is nearly full
        or `line` was passed.
    """
    n_rows = len(strip.first) - 1
    while row < n_rows:
        if not _has_room(strip.first[row + 1] - strip.first[row - 1] + 2, tables):
            return row
        _sweep_row(row, strip, tables)
        row += 1
        if strip.top + row - 2 == strip.line:
            break
    return row


@njit(cache=True, nogil=True)
def _has_room(n_points: int, tables: Tables) -> bool:
    """Whether every table can take what so many lattice points may bring."""
    counters = tables.counters
    n_vertices = len(tables.vertices) - counters[N_VERTICES] + counters[N_FREE]
    n_chains = len(tables.chains) - counters[N_CHAINS] + counters[N_FREE_CHAINS]
    n_fixed = len(tables.fixed) - counters[N_FIXED] if len(tables.fixed) else 4 * n_points
    n_rings = len(tables.rings) - counters[N_RINGS]
    n_pairs = len(tables.pairs) - counters[N_PAIRS]
    return bool(
        min(n_vertices, n_fixed) >= 4 * n_points and min(n_chains, n_rings, n_pairs) >= 2 * n_points
    )


@njit(cache=True, nogil=True)
def _sweep_row(row: int, strip: Strip, tables: Tables) -> None:
    """Meets the runs above and below a lattice row from left to right."""
    first, start, value, label, width = (
        strip.first,
        strip.start,
        strip.value,
        strip.label,
        strip.width,
    )
    i, i_end, j, j_end = first[row - 1], first[row], first[row], first[row + 1]
    y = strip.top + row - 1
    is_line, is_rim = y == strip.line, y == 0 or y == strip.bottom
    b = d = NOTHING
    region_b = region_d = -1
    x = 0
    while True:
        a, region_a, c, region_c = b, region_b, d, region_d
        if x == width:
            b = d = NOTHING
            region_b = region_d = -1
        else:
            is_new = i < i_end and start[i] == x
            if is_new:
                b, region_b = value[i], label[i]
                i += 1
            if j < j_end and start[j] == x:
                d = value[j]
                region_d = _region(d, b, region_b, tables)
                label[j] = region_d
                j += 1
            elif is_new and b == d and d != NOTHING:
                region_d = unite(tables.parent, region_b, region_d)
        is_vertical, is_horizontal = a == c and b == d, a == b and c == d
        if not (is_vertical or is_horizontal) or (is_line and is_vertical and a != b):
            degree = (a != b) + (c != d) + (a != c) + (b != d)
            is_fixed = degree > 2 or is_line or (is_rim and (x == 0 or x == width))
            corner = _Corner(
                x,
                y,
                a,
                b,
                c,
                d,
                region_a,
                region_b,
                region_c,
                region_d,
                FIXED if is_fixed else 0,
                width,
            )
            _meet(corner, degree, tables)
        if x == width:
            break
        x = width
        if i < i_end:
            x = start[i]
        if j < j_end and start[j] < x:
            x = start[j]


@njit(cache=True, nogil=True)
def _region(value: int, above: int, region_above: int, tables: Tables) -> int:
    """The region of a run that begins here: that of the pixel above, or a new one."""
    if value == NOTHING:
        return -1
    if value == above:
        return int(find(tables.parent, region_above))
    tables.counters[N_LABELS] += 1
    return int(tables.counters[N_LABELS]) - 1


@njit(cache=True, nogil=True)
def _meet(corner: _Corner, degree: int, tables: Tables) -> None:
    """Adds the vertices of all sectors of a lattice point, and leaves the edges behind it."""
    a, b, c, d = corner.a, corner.b, corner.c, corner.d
    down, up = corner.x, corner.width + 1 + corner.x
    east = 2 * (corner.width + 1)
    west, new_down, new_up, new_east, new_west = east + 1, east + 2, east + 3, east + 4, east + 5
    north, south, to_west, to_east = a != b, c != d, a != c, b != d
    flags_ad = flags_bc = corner.flags
    if degree == 4 and a == d and a != NOTHING:
        flags_ad |= SADDLE
        _add_pair(corner.region_a, corner.region_d, tables)
    if degree == 4 and b == c and b != NOTHING:
        flags_bc |= SADDLE
        _add_pair(corner.region_b, corner.region_c, tables)
    # A sector begins at an edge, where one comes in, and ends at the next one clockwise.
    if north and b != NOTHING:
        way_out = new_east if to_east else (new_down if south else west)
        is_old = not to_east and not south
        _add_vertex(corner, flags_bc, corner.region_b, down, True, way_out, is_old, tables)
    if to_east and d != NOTHING:
        way_out = new_down if south else (west if to_west else up)
        _add_vertex(corner, flags_ad, corner.region_d, new_west, False, way_out, not south, tables)
    if south and c != NOTHING:
        way_out = west if to_west else (up if north else new_east)
        is_old = to_west or north
        _add_vertex(corner, flags_bc, corner.region_c, new_up, False, way_out, is_old, tables)
    if to_west and a != NOTHING:
        way_out = up if north else (new_east if to_east else new_down)
        _add_vertex(corner, flags_ad, corner.region_a, east, True, way_out, north, tables)
    if south and d != NOTHING:
        _move(new_down, down, TAIL_SLOT, tables)
    if south and c != NOTHING:
        _move(new_up, up, HEAD_SLOT, tables)
    if to_east and b != NOTHING:
        _move(new_east, east, TAIL_SLOT, tables)
    if to_east and d != NOTHING:
        _move(new_west, west, HEAD_SLOT, tables)


@njit(cache=True, nogil=True)
def _move(slot: int, target: int, column: int, tables: Tables) -> None:
    """Lets a chain's end wait at another slot."""
    chain = tables.slots[slot]
    tables.slots[target] = chain
    tables.chains[chain, column] = target


@njit(cache=True, nogil=True)
def _add_pair(region: int, other: int, tables: Tables) -> None:
    row = tables.counters[N_PAIRS]
    tables.pairs[row, 0], tables.pairs[row, 1] = region, other
    tables.counters[N_PAIRS] += 1


@njit(cache=True, nogil=True)
def _add_vertex(
    corner: _Corner,
    flags: int,
    region: int,
    way_in: int,
    is_old_in: bool,
    way_out: int,
    is_old_out: bool,
    tables: Tables,
) -> None:
    """Adds the vertex of one sector, and joins it to the chains on its two edges.

    Args:
        corner: The lattice point.
        flags: The vertex's flags.
        region: Region of the sector.
        way_in: Slot of the edge on which one arrives.
        is_old_in: Whether the sweep came over that edge already, so that a chain waits there.
        way_out: Slot of the edge on which one leaves.
        is_old_out: Likewise.
        tables: The state.
    """
    slots, vertices, chains = tables.slots, tables.vertices, tables.chains
    vertex = _new_vertex(corner.x, corner.y, flags, tables)
    if not is_old_in and not is_old_out:
        chain = _new_chain(vertex, corner.y, flags, region, tables)
        chains[chain, HEAD_SLOT], chains[chain, TAIL_SLOT] = way_in, way_out
        slots[way_in] = slots[way_out] = chain
        return
    chain = slots[way_in] if is_old_in else slots[way_out]
    row = chains[chain]
    row[LENGTH] += 1
    row[SADDLES] += flags & SADDLE
    row[FIXED_COUNT] += (flags & FIXED) // FIXED
    if is_old_in:
        row[AREA] += _join(row[TAIL], vertex, vertices)
        row[TAIL], row[TAIL_SLOT] = vertex, way_out
        slots[way_out] = slots[way_out] if is_old_out else chain
    else:
        row[AREA] += _join(vertex, row[HEAD], vertices)
        row[HEAD], row[HEAD_SLOT] = vertex, way_in
        slots[way_in] = chain
    if is_old_in and is_old_out:
        _close_or_append(chain, slots[way_out], vertex, tables)


@njit(cache=True, nogil=True)
def _join(vertex: int, following: int, vertices: Table) -> int:
    """Links two vertices; twice the area of the triangle that they make with the origin."""
    vertices[vertex, NEXT] = following
    x, y = np.int64(vertices[vertex, X]), np.int64(vertices[vertex, Y])
    return int(x * vertices[following, Y] - y * vertices[following, X])


@njit(cache=True, nogil=True)
def _close_or_append(chain: int, ahead: int, vertex: int, tables: Tables) -> None:
    """Joins a chain that ends in `vertex` to the one ahead of it, which may be itself: a ring."""
    row, other = tables.chains[chain], tables.chains[ahead]
    row[AREA] += _join(vertex, other[HEAD], tables.vertices)
    if chain != ahead:
        row[TAIL], row[TAIL_SLOT] = other[TAIL], other[TAIL_SLOT]
        tables.slots[row[TAIL_SLOT]] = chain
        row[TOP] = min(row[TOP], other[TOP])
        for column in (AREA, LENGTH, SADDLES, FIXED_COUNT):
            row[column] += other[column]
    else:
        if row[FIXED_COUNT] == 0:
            # An island in one region: both sides find the same place for their arc to begin at.
            tables.vertices[vertex, FLAGS] |= FIXED
            _note_fixed(vertex, tables)
        ring = tables.rings[tables.counters[N_RINGS]]
        tables.counters[N_RINGS] += 1
        ring[RING_START], ring[RING_LABEL], ring[RING_AREA] = vertex, row[LABEL], row[AREA]
        ring[RING_LENGTH], ring[RING_SADDLES] = row[LENGTH], row[SADDLES]
    tables.chains[ahead, LABEL] = -1
    tables.free_chains[tables.counters[N_FREE_CHAINS]] = ahead
    tables.counters[N_FREE_CHAINS] += 1


@njit(cache=True, nogil=True)
def _new_vertex(x: int, y: int, flags: int, tables: Tables) -> int:
    counters, vertices = tables.counters, tables.vertices
    if counters[N_FREE] > 0:
        counters[N_FREE] -= 1
        vertex = np.int64(tables.free[counters[N_FREE]])
    else:
        vertex = counters[N_VERTICES]
        counters[N_VERTICES] += 1
    vertices[vertex, X], vertices[vertex, Y] = x, y
    vertices[vertex, NEXT], vertices[vertex, FLAGS] = -1, flags
    if flags & FIXED:
        _note_fixed(vertex, tables)
    return int(vertex)


@njit(cache=True, nogil=True)
def _note_fixed(vertex: int, tables: Tables) -> None:
    if len(tables.fixed) > 0:
        tables.fixed[tables.counters[N_FIXED]] = vertex
        tables.counters[N_FIXED] += 1


@njit(cache=True, nogil=True)
def _new_chain(vertex: int, y: int, flags: int, region: int, tables: Tables) -> int:
    counters = tables.counters
    if counters[N_FREE_CHAINS] > 0:
        counters[N_FREE_CHAINS] -= 1
        chain = tables.free_chains[counters[N_FREE_CHAINS]]
    else:
        chain = counters[N_CHAINS]
        counters[N_CHAINS] += 1
    row = tables.chains[chain]
    row[HEAD] = row[TAIL] = vertex
    row[AREA], row[TOP], row[LENGTH], row[LABEL] = 0, y, 1, region
    row[SADDLES] = flags & SADDLE
    row[FIXED_COUNT] = (flags & FIXED) // FIXED
    return int(chain)
