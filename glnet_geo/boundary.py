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

from typing import NamedTuple

import numpy as np

from glnet_geo.kernels import inlined, kernel
from glnet_geo.runs import NOTHING
from glnet_geo.sweep_tables import (
    AREA,
    CLOSED,
    FIXED,
    FIXED_COUNT,
    FLAGS,
    FREE_CHAIN,
    HEAD,
    HEAD_SLOT,
    LABEL,
    LENGTH,
    N_CHAINS,
    N_FREE_CHAINS,
    N_LABELS,
    N_VERTICES,
    NEXT,
    SADDLE,
    SADDLES,
    TAIL,
    TAIL_SLOT,
    TOP,
    Strip,
    Table,
    Tables,
    X,
    Y,
    free_chain,
    has_room,
)
from glnet_geo.union_find import find, unite


class _Corner(NamedTuple):
    """A lattice point, the pixels `a b` over `c d` round it, and their regions."""

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


@kernel
def sweep(row: int, strip: Strip, tables: Tables) -> int:
    """Goes on with the sweep, over the lattice row above row `row` of the strip and later ones.

    Returns:
        The row to go on with: behind the last one, or an earlier one where a table may be too
        small for the next row, or `line` was passed.
    """
    # Unpacked once: numba counts references to an array each time it leaves a tuple.
    first, start, value, label = strip.first, strip.start, strip.value, strip.label
    parent, kin, slots = tables.parent, tables.kin, tables.slots
    vertices, chains, counters = tables.vertices, tables.chains, tables.counters
    width = strip.width
    while row < len(first) - 1:
        i, i_end, j, j_end = first[row - 1], first[row], first[row], first[row + 1]
        if not has_room(j_end - i + 2, vertices, chains, counters):
            break
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
                    region_d = _region(d, b, region_b, parent, counters)
                    label[j] = region_d
                    j += 1
                elif is_new and b == d and d != NOTHING:
                    region_d = unite(parent, region_b, region_d)
            is_vertical, is_horizontal = a == c and b == d, a == b and c == d
            if not (is_vertical or is_horizontal) or (is_line and is_vertical and a != b):
                corner = _Corner(x, y, a, b, c, d, region_a, region_b, region_c, region_d)
                is_fixed = is_line or (is_rim and (x == 0 or x == width))
                _meet(corner, is_fixed, width, kin, slots, vertices, chains, counters)
            if x == width:
                break
            x = width
            if i < i_end:
                x = start[i]
            if j < j_end and start[j] < x:
                x = start[j]
        row += 1
        if is_line:
            break
    return row


@inlined
def _region(value: int, above: int, region_above: int, parent: Table, counters: Table) -> int:
    """The region of a run that begins here: that of the pixel above, or a new one."""
    if value == NOTHING:
        return -1
    if value == above:
        return int(find(parent, region_above))
    counters[N_LABELS] += 1
    return int(counters[N_LABELS]) - 1


@inlined
def _meet(
    corner: _Corner,
    is_fixed: bool,
    width: int,
    kin: Table,
    slots: Table,
    vertices: Table,
    chains: Table,
    counters: Table,
) -> None:
    """Adds the vertices of all sectors of a lattice point, and leaves the edges behind it."""
    x, y, a, b, c, d, region_a, region_b, region_c, region_d = corner
    north, south, to_west, to_east = a != b, c != d, a != c, b != d
    degree = north + south + to_west + to_east
    flags = FIXED if is_fixed or degree > 2 else 0
    flags_ad = flags | SADDLE if degree == 4 and a == d and a != NOTHING else flags
    flags_bc = flags | SADDLE if degree == 4 and b == c and b != NOTHING else flags
    if len(kin) > 0:
        if flags_ad & SADDLE:
            unite(kin, region_a, region_d)
        if flags_bc & SADDLE:
            unite(kin, region_b, region_c)
    down, up, east = x, width + 1 + x, 2 * (width + 1)
    west, new_down, new_up, new_east, new_west = east + 1, east + 2, east + 3, east + 4, east + 5
    # A sector begins at an edge, where one comes in, and ends at the next one clockwise.
    for side in range(4):
        if side == 0:
            is_there, flag, region = north and b != NOTHING, flags_bc, region_b
            way_in, is_old_in, is_old_out = down, True, not to_east and not south
            way_out = new_east if to_east else (new_down if south else west)
        elif side == 1:
            is_there, flag, region = to_east and d != NOTHING, flags_ad, region_d
            way_in, is_old_in, is_old_out = new_west, False, not south
            way_out = new_down if south else (west if to_west else up)
        elif side == 2:
            is_there, flag, region = south and c != NOTHING, flags_bc, region_c
            way_in, is_old_in, is_old_out = new_up, False, to_west or north
            way_out = west if to_west else (up if north else new_east)
        else:
            is_there, flag, region = to_west and a != NOTHING, flags_ad, region_a
            way_in, is_old_in, is_old_out = east, True, north
            way_out = up if north else (new_east if to_east else new_down)
        if is_there:
            vertex = _new_vertex(x, y, flag, vertices, counters)
            if not is_old_in and not is_old_out:
                _begin_chain(vertex, y, flag, region, way_in, way_out, slots, chains, counters)
            else:
                _add_vertex(
                    vertex,
                    flag,
                    way_in if is_old_in else -1,
                    way_out if is_old_out else -1,
                    way_out if is_old_in else way_in,
                    slots,
                    vertices,
                    chains,
                    counters,
                )
    if south and d != NOTHING:
        _move(new_down, down, TAIL_SLOT, slots, chains)
    if south and c != NOTHING:
        _move(new_up, up, HEAD_SLOT, slots, chains)
    if to_east and b != NOTHING:
        _move(new_east, east, TAIL_SLOT, slots, chains)
    if to_east and d != NOTHING:
        _move(new_west, west, HEAD_SLOT, slots, chains)


@inlined
def _move(slot: int, target: int, column: int, slots: Table, chains: Table) -> None:
    """Lets a chain's end wait at another slot."""
    chain = slots[slot]
    slots[target] = chain
    chains[chain, column] = target


@inlined
def _new_vertex(x: int, y: int, flags: int, vertices: Table, counters: Table) -> int:
    # Never where another one was: those that are met together lie together in memory.
    vertex = counters[N_VERTICES]
    counters[N_VERTICES] += 1
    vertices[vertex, X], vertices[vertex, Y] = x, y
    vertices[vertex, NEXT], vertices[vertex, FLAGS] = -1, flags
    return int(vertex)


@inlined
def _begin_chain(
    vertex: int,
    y: int,
    flags: int,
    region: int,
    way_in: int,
    way_out: int,
    slots: Table,
    chains: Table,
    counters: Table,
) -> None:
    """Begins a chain with a vertex both of whose edges lie ahead of the sweep."""
    if counters[N_FREE_CHAINS] > 0:
        chain = counters[FREE_CHAIN]
        counters[FREE_CHAIN] = chains[chain, HEAD]
        counters[N_FREE_CHAINS] -= 1
    else:
        chain = counters[N_CHAINS]
        counters[N_CHAINS] += 1
    chains[chain, HEAD] = chains[chain, TAIL] = vertex
    chains[chain, HEAD_SLOT], chains[chain, TAIL_SLOT] = way_in, way_out
    chains[chain, AREA], chains[chain, TOP], chains[chain, LENGTH] = 0, y, 1
    chains[chain, SADDLES], chains[chain, LABEL] = flags & SADDLE, region
    chains[chain, FIXED_COUNT] = (flags & FIXED) // FIXED
    slots[way_in] = slots[way_out] = chain


@inlined
def _add_vertex(
    vertex: int,
    flags: int,
    old_in: int,
    old_out: int,
    new: int,
    slots: Table,
    vertices: Table,
    chains: Table,
    counters: Table,
) -> None:
    """Joins a vertex to the chains on the edges that the sweep came over already.

    Args:
        vertex: The vertex.
        flags: Its flags.
        old_in: Slot of the chain that ends in it; -1 where one arrives from ahead of the sweep.
        old_out: Slot of the chain that begins behind it; -1 where one leaves ahead of the sweep.
        new: Slot of the edge ahead of the sweep, if only one edge lies behind it.
        slots: This and the rest as in `Tables`.
        vertices: The vertices.
        chains: The chains.
        counters: The counters.
    """
    chain = slots[old_in] if old_in >= 0 else slots[old_out]
    chains[chain, LENGTH] += 1
    chains[chain, SADDLES] += flags & SADDLE
    chains[chain, FIXED_COUNT] += (flags & FIXED) // FIXED
    if old_in >= 0:
        chains[chain, AREA] += _link(chains[chain, TAIL], vertex, vertices)
        chains[chain, TAIL] = vertex
        if old_out < 0:
            chains[chain, TAIL_SLOT] = new
            slots[new] = chain
        else:
            _join(chain, slots[old_out], vertex, slots, vertices, chains, counters)
    else:
        chains[chain, AREA] += _link(vertex, chains[chain, HEAD], vertices)
        chains[chain, HEAD], chains[chain, HEAD_SLOT] = vertex, new
        slots[new] = chain


@inlined
def _link(vertex: int, following: int, vertices: Table) -> int:
    """Links two vertices; twice the area of the triangle that they make with the origin."""
    vertices[vertex, NEXT] = following
    x, y = np.int64(vertices[vertex, X]), np.int64(vertices[vertex, Y])
    return int(x * vertices[following, Y] - y * vertices[following, X])


@inlined
def _join(
    chain: int,
    ahead: int,
    vertex: int,
    slots: Table,
    vertices: Table,
    chains: Table,
    counters: Table,
) -> None:
    """Joins a chain that ends in `vertex` to the one ahead of it, which may be itself: a ring."""
    chains[chain, AREA] += _link(vertex, chains[ahead, HEAD], vertices)
    if chain == ahead:
        chains[chain, HEAD_SLOT] = chains[chain, TAIL_SLOT] = CLOSED
        if chains[chain, FIXED_COUNT] == 0:
            # An island in one region: both sides find the same place for their arc to begin at.
            vertices[vertex, FLAGS] |= FIXED
        return
    chains[chain, TAIL], chains[chain, TAIL_SLOT] = chains[ahead, TAIL], chains[ahead, TAIL_SLOT]
    slots[chains[chain, TAIL_SLOT]] = chain
    chains[chain, TOP] = min(chains[chain, TOP], chains[ahead, TOP])
    for column in (AREA, LENGTH, SADDLES, FIXED_COUNT):
        chains[chain, column] += chains[ahead, column]
    free_chain(ahead, chains, counters)
