"""Small regions of a class raster dissolve into their neighbours, strip by strip, yet exactly."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from glnet_geo.dissolving import NONE, NumberedRuns, Regions, change_regions, find_regions
from glnet_geo.runs import NOTHING, Runs

_Floats = npt.NDArray[np.float64]


class Sieve:
    """Dissolves regions that are smaller than a limit; rows come in and go out from the top.

    Regions (4-connected, or 8-connected on request) smaller than the limit take, smallest first
    (ties: first pixel in raster order), the class of the neighbours with which they share the
    longest border, counted in pixel edges by class and not by neighbour region (ties: the lower
    class id), and become one region with all neighbours of that class; until no region is smaller
    than the limit, except those that touch only nodata. Nodata stays nodata. An 8-connected region
    that meets other classes at corners alone takes that with the most corners.

    What comes out does not depend on how the rows are split. A region's change is seen by its
    neighbours alone and makes none of them smaller, so every order in which regions smaller than
    all their neighbours change leads to the same end. Rows wait until the regions in them have
    their final class: on land-cover maps and on noise that is two to seven times as many rows as a
    square of the limit's area is high, whatever the raster's height.
    """

    def __init__(self, width: int, least: float, connectivity: int) -> None:
        """Starts above the first row.

        Args:
            width: Pixels a row.
            least: The smallest area that stays, in the unit of the rows' weights. One part in
                10^9 less counts as the same: 100 pixels of 0.36 m2 are 36 m2.
            connectivity: 4, or 8 where pixels that meet at a corner belong together.
        """
        # In whole numbers, with the limit near 2^51, areas add up without rounding in any order.
        self._scale = 2.0 ** min(51 - math.frexp(least)[1], 300)
        self._limit = least * self._scale * (1 - 1e-9)
        self._reach = 1 if connectivity == 8 else 0
        self._rows = Runs.of(np.empty((0, width), np.int64), None, 0)
        self._weights = np.empty(0)
        self._given = 0  # rows on top of `_rows` that are out already: none or one
        self._waiting: list[tuple[Runs, _Floats]] = []
        self._height = 1

    def push(self, runs: Runs, weights: _Floats) -> list[Runs]:
        """Takes the rows that follow.

        Args:
            runs: The rows; neighbouring runs of a row differ.
            weights: Area of a pixel of each row, positive.

        Returns:
            Rows that are decided, in strips about as high as those that come in; from the
            raster's top on, without a gap, each row once.
        """
        self._waiting.append((runs, np.maximum(np.rint(weights * self._scale), 1)))
        self._height = max(self._height, runs.height)
        # Undecided rows are looked at anew with each call: only with half as many new ones.
        if 2 * sum(len(new.start) for new, _ in self._waiting) < len(self._rows.start):
            return []
        return self._decide(is_end=False)

    def finish(self) -> list[Runs]:
        """The rows that are left, after the last one was pushed."""
        return self._decide(is_end=True)

    def _decide(self, is_end: bool) -> list[Runs]:
        rows = _joined([self._rows, *(runs for runs, _ in self._waiting)])
        weights = np.concatenate([self._weights, *(new for _, new in self._waiting)])
        self._waiting.clear()
        if rows.height == self._given:
            return []
        rows, decided = self._change(rows, weights, is_end)
        kept = max(decided - 1, 0)
        strips = [
            _part(rows, top, min(top + self._height, decided))
            for top in range(self._given, decided, self._height)
        ]
        # The last row that goes out stays as a neighbour of the next; all in it is final.
        self._rows, self._weights = _part(rows, kept, rows.height), weights[kept:].copy()
        self._given = min(decided, 1)
        self._weights[: self._given] = np.inf
        return strips

    def _change(self, runs: Runs, weights: _Floats, is_end: bool) -> tuple[Runs, int]:
        """The rows after all changes that are certain, and how many of them are final."""
        classes, label = _numbered(runs.value)
        stop = np.append(runs.start[1:], np.int32(0))
        stop[stop == 0] = runs.width
        above, below = np.full((2, len(stop)), NONE, np.int32)
        rows = NumberedRuns(runs.first, runs.start, stop, above, below, runs.width, self._reach)
        regions = Regions.of(label)
        find_regions(rows, regions, weights, self._limit, is_end)
        undecided = self._decide_regions(rows, regions, len(classes))
        decided = int(np.searchsorted(runs.first, undecided, "right")) - 1

        value = np.append(classes, NOTHING)[regions.label]
        is_first = runs.start == 0
        is_first[1:] |= value[1:] != value[:-1]
        first = np.append(0, np.cumsum(is_first))[runs.first]
        start = runs.start[is_first]
        return Runs(runs.top, runs.width, first, start, value[is_first]), decided

    def _decide_regions(self, rows: NumberedRuns, regions: Regions, classes: int) -> int:
        """Changes what is certain; returns the first run of a region that may still change."""
        is_small = (regions.area > 0) & (regions.area < self._limit) & ~regions.is_open
        queue = np.flatnonzero(is_small).astype(np.int32)
        queue = queue[np.argsort(regions.area[queue], kind="stable")]
        return change_regions(rows, regions, queue, self._limit, classes)


class PatchSieve(Sieve):
    """Regions that are smaller than a limit become nodata; see `Sieve`.

    Nothing takes their place, so that each region counts for itself: rows wait for no more rows
    than a region below the limit can be high.
    """

    def _decide_regions(self, rows: NumberedRuns, regions: Regions, classes: int) -> int:
        is_small = (regions.label != NONE) & (regions.area[regions.parent] < self._limit)
        may_grow = is_small & regions.is_open[regions.parent]
        regions.label[is_small & ~may_grow] = NONE
        return int(may_grow.argmax()) if may_grow.any() else len(may_grow)


def _joined(parts: list[Runs]) -> Runs:
    """Rows that follow each other."""
    before = np.cumsum([0, *(len(part.start) for part in parts)])
    first = [part.first[:-1] + runs for part, runs in zip(parts, before[:-1], strict=True)]
    return Runs(
        parts[0].top,
        parts[0].width,
        np.concatenate([*first, before[-1:]]),
        np.concatenate([part.start for part in parts]),
        np.concatenate([part.value for part in parts]),
    )


def _part(rows: Runs, top: int, bottom: int) -> Runs:
    """A copy of some rows, counted from the first."""
    first = rows.first[top : bottom + 1]
    runs = slice(first[0], first[-1])
    start, value = rows.start[runs].copy(), rows.value[runs].copy()
    return Runs(rows.top + top, rows.width, first - first[0], start, value)


def _numbered(value: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Classes in ascending order, and the index of each run's class, `NONE` for nodata."""
    has_data = value != NOTHING
    present = value[has_data]
    low, high = (int(present.min()), int(present.max())) if len(present) else (0, 0)
    if high - low < 1 << 16:
        classes, index = low + np.arange(high - low + 1), present - low
    else:
        classes, index = np.unique(present, return_inverse=True)
    label = np.full(len(value), NONE, np.int32)
    label[has_data] = index
    return classes, label
