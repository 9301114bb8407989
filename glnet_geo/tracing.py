"""Runs of class ids to polygons on the pixel lattice, strip by strip.

Everything here counts in pixels: vertices are lattice points (x column, y row), corners of pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from glnet_geo import sweep_tables as at
from glnet_geo.boundary import sweep
from glnet_geo.holes import NEVER, earliest_pocket, fill_holes
from glnet_geo.kernels import kernel
from glnet_geo.lattice import LatticePolygons
from glnet_geo.rings import collect
from glnet_geo.runs import NOTHING, Runs
from glnet_geo.simplifying import simplify
from glnet_geo.sweep_tables import Strip, Table, Tables
from glnet_geo.union_find import find, unite

_BAND = 2048  # rows whose arcs are simplified together
_BAND_RUNS = (
    1 << 21
)  # runs with which a band ends earlier: it has hardly more than four vertices each
VALUE, PIXELS, FIRST, LAST_ROW = range(4)
"""Columns of what is known of a region: class id, pixels, first pixel in raster order, last row."""


class Tracer:
    """Makes polygons of rows of class ids that come from the top.

    A polygon is given away when it is complete, so that memory follows those that are not, and the
    strip. What comes out, and in which order, does not depend on how the rows are cut into strips.

    Args:
        height: Rows of the raster.
        width: Columns of the raster.
        connectivity: 4, or 8 to make one feature of parts that touch in corners.
        weights: What a pixel of each row weighs in `LatticePolygons.area`; None for 1.
        n_sums: How many quantities are summed over each polygon.
        tolerance: In pixels, see `simplifying`; 0 leaves the borders as they are. Simplified
            borders keep a vertex where they cross the last lattice row of a band, so that memory
            is bounded: after 2048 rows, or after the row with which there are 2^21 runs.
        hole_limits: For each row, of how many pixels holes that begin there are too large to be
            filled, see `holes`; None fills none. What may lie in a hole is held back until that
            is certain.
    """

    def __init__(
        self,
        height: int,
        width: int,
        connectivity: int = 4,
        weights: npt.NDArray[np.float64] | None = None,
        n_sums: int = 0,
        tolerance: float = 0.0,
        hole_limits: npt.NDArray[np.float64] | None = None,
    ) -> None:
        self._weights = np.ones(height) if weights is None else weights
        self._tolerance, self._hole_limits = tolerance, hole_limits
        self._height, self._width = height, width
        self._is_diagonal = connectivity == 8
        self._row = 0
        # The lattice rows between which arcs are simplified; the lower one is -1 if it is to come.
        self._upper_line, self._line = 0, -1
        self._band_top = self._band_runs = 0
        self._last = _nothing(width)
        self._last_label = np.full(1, -1, np.int32)
        # Regions that are not given away yet; kin is the smallest one of the same feature.
        self._numbers = np.empty((0, 4), np.int64)
        self._floats = np.empty((0, 1 + n_sums))
        self._kin = np.empty(0, np.int32)
        self._tables = Tables(
            parent=np.empty(0, np.int32),
            kin=np.empty(0, np.int32),
            slots=np.full(2 * (width + 1) + 6, -1, np.int64),
            vertices=np.empty((1 << 14, 4), np.int32),
            chains=np.full((1 << 12, 10), -1, np.int64),
            counters=np.zeros(6, np.int64),
        )

    def push(
        self, runs: Runs, sums: npt.NDArray[np.float64] | None = None
    ) -> Iterator[LatticePolygons]:
        """Takes the next rows and gives away the polygons that they complete.

        Args:
            runs: The rows.
            sums: For each run the sums over its pixels; R x S.
        """
        if runs.top != self._row:
            raise ValueError(f"row {runs.top} came after row {self._row - 1}")
        if sums is None:
            sums = np.empty((len(runs.start), 0))
        for rows in self._bands(runs):
            here = slice(runs.first[rows.start], runs.first[rows.stop])
            roots = self._take(runs.rows(rows), sums[here])
            is_due = not self._tolerance or self._line >= 0 or self._row == self._height
            is_open = self._is_open(roots)
            if self._hole_limits is not None:
                self._fill_holes(roots, is_open, self._hole_limits)
            if is_due and self._tolerance:
                self._simplify()
            polygons = self._give_away(roots, is_open, self._is_uncertain(roots) | (not is_due))
            if is_due:
                yield polygons

    def _bands(self, runs: Runs) -> Iterator[slice]:
        """Cuts rows where bands end, and sets the line there; all are one where there are none."""
        start = 0
        while start < runs.height:
            stop = runs.height
            if self._tolerance:
                wanted = runs.first[start] + _BAND_RUNS - self._band_runs
                by_runs = int(np.searchsorted(runs.first, wanted))
                stop = min(stop, self._band_top + _BAND - runs.top, by_runs)
                self._band_runs += int(runs.first[stop] - runs.first[start])
                if self._band_runs >= _BAND_RUNS or runs.top + stop == self._band_top + _BAND:
                    self._band_top, self._band_runs = runs.top + stop, 0
                    self._line = self._band_top - 1
            yield slice(start, stop)
            start, self._line = stop, -1

    def _take(self, runs: Runs, sums: npt.NDArray[np.float64]) -> Table:
        """Sweeps rows of one band; the regions that the known ones belong to."""
        self._row += runs.height
        strip = self._strip(runs)
        self._sweep(strip)
        roots = _roots(self._tables.parent[: self._tables.counters[at.N_LABELS]])
        self._tally(strip, roots, self._weights[runs.top : self._row], sums)
        last = slice(strip.first[-2], strip.first[-1])
        self._last_label = strip.label[last]
        self._last = Runs(
            self._row - 1,
            self._width,
            np.array([0, last.stop - last.start]),
            strip.start[last],
            strip.value[last],
        )
        return roots

    @property
    def _chains(self) -> Table:
        return self._tables.chains[: self._tables.counters[at.N_CHAINS]]

    def _simplify(self) -> None:
        """Simplifies the arcs of the band that was swept last."""
        lower = self._height if self._row == self._height else self._line
        simplify(self._tables, self._upper_line, lower, self._width, self._tolerance)
        self._upper_line = lower

    def _strip(self, runs: Runs) -> Strip:
        """The rows behind the last one of the strip before, and before nothing after the last."""
        pieces = [self._last, runs]
        if self._row == self._height:
            pieces.append(_nothing(self._width))
        counts = np.concatenate([np.diff(piece.first) for piece in pieces])
        first = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=first[1:])
        label = np.empty(first[-1], np.int32)
        label[: len(self._last_label)] = self._last_label
        return Strip(
            top=runs.top,
            first=first,
            start=np.concatenate([piece.start for piece in pieces]),
            value=np.concatenate([piece.value for piece in pieces]),
            label=label,
            width=self._width,
            bottom=self._height,
            line=self._line,
        )

    def _sweep(self, strip: Strip) -> None:
        known = len(self._kin)
        self._tables.counters[at.N_LABELS] = known
        parent = np.arange(known + len(strip.start), dtype=np.int32)
        kin = parent.copy() if self._is_diagonal else parent[:0]
        kin[:known] = self._kin[: len(kin)]
        self._tables = self._tables._replace(parent=parent, kin=kin)
        row = 1
        while row < len(strip.first) - 1:
            reached = sweep(row, strip, self._tables)
            if reached == row:
                self._make_room(int(strip.first[row + 1] - strip.first[row - 1]) + 2)
            row = reached

    def _make_room(self, n_points: int) -> None:
        """Enlarges the tables, such that so many lattice points fit in."""
        counters = self._tables.counters
        vertices, chains = self._tables.vertices, self._tables.chains
        n_chains = counters[at.N_CHAINS] - counters[at.N_FREE_CHAINS]
        if counters[at.N_VERTICES] + 4 * n_points > len(vertices):
            vertices = _enlarged(vertices, 4 * n_points)
        if n_chains + 2 * n_points > len(chains):
            chains = _enlarged(chains, 2 * n_points)
        self._tables = self._tables._replace(vertices=vertices, chains=chains)

    def _tally(
        self,
        strip: Strip,
        roots: Table,
        weights: npt.NDArray[np.float64],
        sums: npt.NDArray[np.float64],
    ) -> None:
        """Adds the strip's runs to what is known of their regions."""
        known, n = len(self._kin), len(roots)
        numbers = np.zeros((n, 4), np.int64)
        numbers[:known] = self._numbers
        numbers[known:, FIRST] = np.iinfo(np.int64).max
        floats = np.zeros((n, self._floats.shape[1]))
        floats[:known] = self._floats
        _add_up(strip, roots, weights, sums, known, numbers, floats)
        self._numbers, self._floats = numbers, floats
        self._kin = roots
        if self._is_diagonal:
            _join_kin(self._tables.kin, roots)
            self._kin = self._tables.kin[:n]

    def _is_open(self, roots: Table) -> npt.NDArray[np.bool_]:
        """Whether pixels are still to come, for each region that is swept."""
        is_open = np.zeros(len(roots), np.bool_)
        is_open[roots[self._last_label[self._last_label >= 0]]] = True
        return is_open

    def _is_uncertain(self, roots: Table) -> npt.NDArray[np.bool_]:
        """Whether a region may yet turn out to lie in a small hole."""
        if self._hole_limits is None:
            return np.zeros(len(roots), np.bool_)
        vertices, limit = self._tables.vertices, self._hole_limits.max()
        # What is of one class may be one region further down.
        _, kinds = np.unique(self._numbers[:, VALUE], return_inverse=True)
        row = earliest_pocket(self._chains, vertices, kinds[roots], self._width, self._row, limit)
        return self._numbers[:, FIRST] // self._width >= row

    def _fill_holes(
        self, roots: Table, is_open: npt.NDArray[np.bool_], limits: npt.NDArray[np.float64]
    ) -> None:
        """Lets small holes, and the regions in them, go up in those around."""
        around, holes = fill_holes(self._tables, roots, ~is_open, limits, self._width)
        owners, pixels = roots[holes[:, at.LABEL]], holes[:, at.AREA] // 2
        areas = pixels * self._weights[holes[:, at.TOP]]
        np.add.at(self._numbers[:, PIXELS], owners, pixels)
        np.add.at(self._floats[:, 0], owners, areas)
        gone = np.flatnonzero(around != np.arange(len(around)))
        np.add.at(self._floats[:, 1:], around[gone], self._floats[gone, 1:])
        self._numbers[gone, PIXELS] = 0

    def _give_away(
        self, roots: Table, is_open: npt.NDArray[np.bool_], is_held: npt.NDArray[np.bool_]
    ) -> LatticePolygons:
        """Takes the features out that are complete and not held, and numbers what stays anew."""
        kin = _roots(self._kin)[roots]
        is_here = (roots == np.arange(len(roots))) & (self._numbers[:, PIXELS] > 0)
        # Of each feature, at the place of its smallest region.
        last_row = np.zeros(len(roots), np.int64)
        np.maximum.at(last_row, kin[is_here], self._numbers[is_here, LAST_ROW])
        comes, waits = np.zeros(len(roots), np.bool_), np.zeros(len(roots), np.bool_)
        comes[kin[is_here & is_open]] = True
        waits[kin[is_here & is_held]] = True
        # What was complete later waits for its turn, or the order would depend on the strips.
        waiting = is_here & (waits & ~comes)[kin]
        turn = last_row[kin[waiting]].min(initial=NEVER)
        stays = (comes | waits | (last_row >= turn))[kin]
        polygons = self._polygons(roots, kin, np.flatnonzero(is_here & ~stays))
        staying = np.flatnonzero(is_here & stays)
        place = np.full(len(roots) + 1, -1, np.int64)
        place[staying] = np.arange(len(staying))
        place[:-1] = place[roots]
        self._numbers, self._floats = self._numbers[staying], self._floats[staying]
        smallest = np.empty(len(roots), np.int32)
        smallest[kin[staying][::-1]] = np.arange(len(staying))[::-1]
        self._kin = smallest[kin[staying]]
        self._last_label = place[self._last_label].astype(np.int32)
        self._chains[:, at.LABEL] = place[self._chains[:, at.LABEL]]
        counters = self._tables.counters
        if 2 * counters[at.N_GONE] > counters[at.N_VERTICES]:
            at.compact(self._tables.vertices, self._tables.chains, counters)
        return polygons

    def _polygons(self, roots: Table, kin: Table, complete: Table) -> LatticePolygons:
        """The features of complete regions, in the order in which they were completed."""
        order, feature_of = self._order(kin, complete)
        rank = np.full(len(roots), -1, np.int64)
        rank[order] = np.arange(len(order))
        label = self._chains[:, at.LABEL]
        rings = np.flatnonzero(label >= 0)
        of_ring = rank[roots[label[rings]]]
        rings, of_ring = rings[of_ring >= 0], of_ring[of_ring >= 0]
        # The outside is the one ring of a region with a negative area.
        chains = self._chains[rings]
        x, y = self._tables.vertices[chains[:, at.TAIL], : at.NEXT].T
        by_region = np.lexsort((x, y, chains[:, at.AREA], of_ring))
        rings, of_ring = rings[by_region], of_ring[by_region]
        x, y, ends, n_rings = collect(self._tables, rings, of_ring, len(order))
        parts = np.zeros(len(order) + 1, np.int64)
        np.cumsum(n_rings, out=parts[1:])
        is_first = np.diff(feature_of, prepend=-1) > 0
        features = np.append(np.flatnonzero(is_first), len(order))
        numbers, floats = self._numbers[order], self._floats[order]
        starts = features[:-1]
        if len(starts):
            pixels = np.add.reduceat(numbers[:, PIXELS], starts)
            sums = np.add.reduceat(floats, starts, axis=0)
        else:
            pixels, sums = numbers[:, PIXELS], floats
        value = numbers[starts, VALUE]
        return LatticePolygons(x, y, ends, parts, features, value, pixels, sums[:, 0], sums[:, 1:])

    def _order(self, kin: Table, complete: Table) -> tuple[Table, Table]:
        """Regions in the order of their features' completion, and each one's feature."""
        group = kin[complete]
        first, last_row = self._numbers[complete, FIRST], self._numbers[complete, LAST_ROW]
        group_first = np.full(len(kin), np.iinfo(np.int64).max)
        np.minimum.at(group_first, group, first)
        group_last = np.zeros(len(kin), np.int64)
        np.maximum.at(group_last, group, last_row)
        order = np.lexsort((first, group_first[group], group_last[group]))
        group = group[order]
        return complete[order], np.cumsum(np.diff(group, prepend=-1) != 0) - 1


def _enlarged(table: Table, more: int) -> Table:
    """A table with at least so many more rows, and twice as many."""
    longer = np.full((len(table) + max(len(table), more), table.shape[1]), -1, table.dtype)
    longer[: len(table)] = table
    return longer


def _nothing(width: int) -> Runs:
    """A row beyond the raster."""
    return Runs(-1, width, np.array([0, 1]), np.zeros(1, np.int32), np.full(1, NOTHING, np.int64))


@kernel
def _roots(parent: Table) -> Table:
    """The smallest member of everyone's set."""
    roots = np.empty_like(parent)
    for member in range(len(parent)):
        roots[member] = find(parent, member)
    return roots


@kernel
def _add_up(
    strip: Strip,
    roots: Table,
    weights: Table,
    sums: Table,
    known: int,
    numbers: Table,
    floats: Table,
) -> None:
    """Adds regions that became one, and the strip's runs, to their roots' numbers."""
    for region in range(known):
        root = roots[region]
        if root != region:
            numbers[root, PIXELS] += numbers[region, PIXELS]
            numbers[root, FIRST] = min(numbers[root, FIRST], numbers[region, FIRST])
            numbers[root, LAST_ROW] = max(numbers[root, LAST_ROW], numbers[region, LAST_ROW])
            for k in range(floats.shape[1]):
                floats[root, k] += floats[region, k]
    offset = strip.first[1]
    for row in range(1, len(weights) + 1):
        y = strip.top + row - 1
        for run in range(strip.first[row], strip.first[row + 1]):
            if strip.label[run] < 0:
                continue
            end = strip.start[run + 1] if run + 1 < strip.first[row + 1] else strip.width
            length, root = np.int64(end - strip.start[run]), roots[strip.label[run]]
            numbers[root, VALUE] = strip.value[run]
            numbers[root, PIXELS] += length
            numbers[root, FIRST] = min(numbers[root, FIRST], y * strip.width + strip.start[run])
            numbers[root, LAST_ROW] = y
            floats[root, 0] += length * weights[row - 1]
            for k in range(sums.shape[1]):
                floats[root, 1 + k] += sums[run - offset, k]


@kernel
def _join_kin(kin: Table, roots: Table) -> None:
    """Makes kin of regions that are one."""
    for region in range(len(roots)):
        unite(kin, region, roots[region])
