"""Rings of a sweep as coordinates."""

from __future__ import annotations

import numpy as np

from glnet_geo import sweep_tables as at
from glnet_geo.kernels import kernel
from glnet_geo.sweep_tables import Table, Tables


def collect(
    tables: Tables, rings: Table, of_ring: Table, n_regions: int
) -> tuple[Table, Table, Table, Table]:
    """Walks rings, cuts those that touch themselves, and frees them.

    Args:
        tables: The state of the sweep.
        rings: Their chains, by region and the outside of each region first.
        of_ring: The region of each, from 0.
        n_regions: How many regions there are.

    Returns:
        Columns and rows of the vertices; for each ring its first vertex, and at the end the number
        of vertices; and for each region its number of rings.
    """
    chains = tables.chains[rings]
    pairs, of_pair = _pinches(chains, tables.vertices)
    following = tables.vertices[pairs, at.NEXT]
    tables.vertices[pairs, at.NEXT] = following[:, ::-1]
    first_pair = np.searchsorted(of_pair, np.arange(len(rings) + 1))
    # Every cut makes one more ring.
    n_rings = len(rings) + len(pairs)
    n_vertices = int(chains[:, at.LENGTH].sum()) + n_rings
    x, y = np.empty(n_vertices, np.int32), np.empty(n_vertices, np.int32)
    ends, per_region = np.zeros(n_rings + 1, np.int64), np.zeros(n_regions, np.int64)
    _walk(rings, of_ring, pairs, first_pair, tables, x, y, ends, per_region)
    # Simplified rings have fewer vertices than the sweep counted.
    return x[: ends[-1]].copy(), y[: ends[-1]].copy(), ends, per_region


def _pinches(rings: Table, vertices: Table) -> tuple[Table, Table]:
    """Where rings touch themselves.

    A region that meets itself in a corner, from two sides, has a ring that passes there twice.
    Cut there, it becomes two rings that touch in a point, which is what valid polygons have.

    Returns:
        Pairs of vertices in the same place, P x 2, and the position of each pair's ring.
    """
    positions = np.flatnonzero(rings[:, at.SADDLES] > 1)
    counts = rings[positions, at.SADDLES]
    found = np.empty(int(counts.sum()), np.int64)
    _find_saddles(rings[positions, at.TAIL], vertices, found)
    of_found = np.repeat(positions, counts)
    x, y = vertices[found, at.X], vertices[found, at.Y]
    order = np.lexsort((x, y, of_found))
    found, of_found, x, y = found[order], of_found[order], x[order], y[order]
    is_twice = (np.diff(of_found) == 0) & (np.diff(x) == 0) & (np.diff(y) == 0)
    place = np.flatnonzero(is_twice)
    return np.stack([found[place], found[place + 1]], axis=1), of_found[place]


@kernel
def _find_saddles(starts: Table, vertices: Table, found: Table) -> None:
    """Lists the saddles of rings in the order in which one meets them."""
    n = 0
    for start in starts:
        vertex = start
        while True:
            if vertices[vertex, at.FLAGS] & at.SADDLE:
                found[n] = vertex
                n += 1
            vertex = vertices[vertex, at.NEXT]
            if vertex == start:
                break


@kernel
def _walk(
    rings: Table,
    of_ring: Table,
    pairs: Table,
    first_pair: Table,
    tables: Tables,
    x: Table,
    y: Table,
    ends: Table,
    per_region: Table,
) -> None:
    """Writes rings out and frees them.

    Args:
        rings: The rings' chains, whose tails, where the sweep closed them, are on their outside.
        of_ring: The region of each ring.
        pairs: Where rings were cut: each vertex lies on a ring of its own.
        first_pair: For each ring its first cut, and at the end the number of cuts.
        tables: The sweep's state.
        x: To be filled with columns.
        y: To be filled with rows.
        ends: To be filled with the number of vertices up to each ring, from place 1 on.
        per_region: To be filled with the number of rings of each region.
    """
    vertices, chains, counters = tables.vertices, tables.chains, tables.counters
    n = n_rings = 0
    for ring in range(len(rings)):
        for k in range(2 * first_pair[ring] - 1, 2 * first_pair[ring + 1]):
            is_cut = k >= 2 * first_pair[ring]
            vertex = pairs[k // 2, k % 2] if is_cut else chains[rings[ring], at.TAIL]
            begin = n
            while not vertices[vertex, at.FLAGS] & at.DONE:
                x[n], y[n] = vertices[vertex, at.X], vertices[vertex, at.Y]
                n += 1
                following = vertices[vertex, at.NEXT]
                at.drop_vertex(vertex, vertices, counters)
                vertex = following
            if n > begin:
                x[n], y[n] = x[begin], y[begin]
                n += 1
                n_rings += 1
                ends[n_rings] = n
                per_region[of_ring[ring]] += 1
        at.free_chain(rings[ring], chains, counters)
