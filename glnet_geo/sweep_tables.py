"""The state of the sweep: tables of vertices and chains, and what keeps them in order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from glnet_geo.kernels import inlined, kernel

X, Y, NEXT, FLAGS = range(4)
"""Columns of the table of vertices."""

SADDLE, FIXED, DONE = 1, 2, 4
"""Flags of a vertex: two sectors of the same class meet in it, and may be one region; it ends an
arc, so that it stays when arcs are simplified; it has been dealt with."""

HEAD, TAIL, HEAD_SLOT, TAIL_SLOT, AREA, TOP, LENGTH, SADDLES, LABEL, FIXED_COUNT = range(10)
"""Columns of the table of chains: first and last vertex and the slots (edges) at which they wait,
`CLOSED` for a ring; twice the signed area, negative round a region's outside; topmost row; counts;
the region, -1 if the row is free. Free rows form a list along HEAD."""

CLOSED = -1

N_VERTICES, N_GONE, N_CHAINS, FREE_CHAIN, N_FREE_CHAINS, N_LABELS = range(6)
"""Places of the counters: vertices, and how many of them are dealt with; chains, free ones
included, the first free one, how many are free; regions."""

Table = npt.NDArray[Any]


class Tables(NamedTuple):
    """The state of a sweep.

    Attributes:
        parent: int32, which regions turned out to be one, see `union_find`.
        kin: int32, likewise for regions that touch in a corner; empty where nobody asks.
        slots: int64, the chains that end on edges in the current row, those going down (by column,
            0 .. width), those going up (likewise, behind them), and six scratch places.
        vertices: int32, N x 4, see the columns above.
        chains: int64, N x 10, see the columns above.
        counters: int64, see the places above.
    """

    parent: Table
    kin: Table
    slots: Table
    vertices: Table
    chains: Table
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


@kernel
def has_room(n_points: int, vertices: Table, chains: Table, counters: Table) -> bool:
    """Whether the tables can take what so many lattice points may bring."""
    n_vertices = len(vertices) - counters[N_VERTICES]
    n_chains = len(chains) - counters[N_CHAINS] + counters[N_FREE_CHAINS]
    return bool(n_vertices >= 4 * n_points and n_chains >= 2 * n_points)


@inlined
def free_chain(chain: int, chains: Table, counters: Table) -> None:
    """Makes a chain's row one that can be used again."""
    chains[chain, LABEL] = -1
    chains[chain, HEAD] = counters[FREE_CHAIN]
    counters[FREE_CHAIN] = chain
    counters[N_FREE_CHAINS] += 1


@inlined
def drop_vertex(vertex: int, vertices: Table, counters: Table) -> None:
    """Marks a vertex as dealt with."""
    vertices[vertex, FLAGS] = DONE
    counters[N_GONE] += 1


@kernel
def compact(vertices: Table, chains: Table, counters: Table) -> None:
    """Moves the vertices up into the places of those that are dealt with."""
    places = np.empty(counters[N_VERTICES], np.int32)
    n = 0
    for vertex in range(counters[N_VERTICES]):
        places[vertex] = n
        if not vertices[vertex, FLAGS] & DONE:
            vertices[n] = vertices[vertex]
            n += 1
    for vertex in range(n):
        if vertices[vertex, NEXT] >= 0:
            vertices[vertex, NEXT] = places[vertices[vertex, NEXT]]
    for chain in range(counters[N_CHAINS]):
        if chains[chain, LABEL] >= 0:
            chains[chain, HEAD] = places[chains[chain, HEAD]]
            chains[chain, TAIL] = places[chains[chain, TAIL]]
    counters[N_VERTICES], counters[N_GONE] = n, 0
