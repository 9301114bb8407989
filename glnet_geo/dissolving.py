"""Regions of runs and how small ones dissolve into their neighbours: the kernels of the sieve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from glnet_geo.heap import add_to_heap, drop_least
from glnet_geo.kernels import kernel
from glnet_geo.union_find import find, unite

NONE = -1
"""The class index of nodata, and no run where there could be one."""

_Integers = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float64]

_BLOCKED = -2  # in place of a class index: a neighbour has to change first


class NumberedRuns(NamedTuple):
    """Runs of rows; runs, rows and columns are numbers from 0 on.

    Attributes:
        first: For each row the index of its first run, and at the end the number of runs.
        start: Column of each run's first pixel.
        stop: Column behind its last pixel.
        above: The first run of the row above that touches it, `NONE` in the first row; filled in
            by `find_regions`.
        below: The same in the row below.
        width: Pixels a row.
        reach: By how many columns runs may miss each other and yet touch: 0, or 1 for corners.
    """

    first: npt.NDArray[np.int64]
    start: _Integers
    stop: _Integers
    above: _Integers
    below: _Integers
    width: int
    reach: int


class Regions(NamedTuple):
    """What is known of regions: at the index of a region's root, which is its first run.

    Attributes:
        parent: Union-find over the runs.
        label: Class index; `NONE` at all runs of nodata.
        area: Area; infinite, so never small, with a run in a row of infinite weight.
        is_open: Whether rows to come may add to it.
        following: The next run of the region for each run, `NONE` at the last; for regions below
            the limit.
        last: The last run of that chain.
    """

    parent: _Integers
    label: _Integers
    area: _Floats
    is_open: npt.NDArray[np.bool_]
    following: _Integers
    last: _Integers

    @classmethod
    def of(cls, label: _Integers) -> Regions:
        """Each run by itself, without an area yet."""
        count = len(label)
        runs = np.arange(count, dtype=np.int32)
        nowhere = np.full(count, NONE, np.int32)
        return cls(runs, label, np.zeros(count), np.zeros(count, np.bool_), nowhere, runs.copy())


class _Neighbours(NamedTuple):
    """The neighbours of one region.

    Attributes:
        roots: Their roots, in the order in which they were met.
        is_met: Whether a root is among them.
        border: Corners alone, then edges, shared with each class: 2 x classes.
    """

    roots: _Integers
    is_met: npt.NDArray[np.bool_]
    border: npt.NDArray[np.int64]


@kernel
def find_regions(
    rows: NumberedRuns, regions: Regions, weights: _Floats, limit: float, is_end: bool
) -> None:
    """Unites touching runs of a class, sums their areas, chains the runs of small regions.

    Args:
        rows: The rows; `above` and `below` are filled in.
        regions: Each run by itself; becomes the regions.
        weights: Area of a pixel of each row.
        limit: Regions below it are small.
        is_end: Whether no row follows; else regions in the last one are open.
    """
    height = len(rows.first) - 1
    for row in range(1, height):
        _find_contacts(rows, row, row - 1, rows.above)
        _find_contacts(rows, row - 1, row, rows.below)
        for run in range(rows.first[row], rows.first[row + 1]):
            other = rows.above[run]
            while other < rows.first[row] and rows.start[other] < rows.stop[run] + rows.reach:
                if regions.label[other] == regions.label[run] != NONE:
                    unite(regions.parent, run, other)
                other += 1
    for row in range(height):
        for run in range(rows.first[row], rows.first[row + 1]):
            if regions.label[run] != NONE:
                root = find(regions.parent, run)
                regions.parent[run] = root
                regions.area[root] += (rows.stop[run] - rows.start[run]) * weights[row]
                if row == height - 1 and not is_end:
                    regions.is_open[root] = True
    for run in range(len(rows.start)):
        root = regions.parent[run]
        if root != run and regions.area[root] < limit:
            regions.following[regions.last[root]] = run
            regions.last[root] = run


@kernel
def _find_contacts(rows: NumberedRuns, row: int, other_row: int, contacts: _Integers) -> None:
    """For each run of a row, the first run of the row above or below that touches it."""
    other = rows.first[other_row]
    for run in range(rows.first[row], rows.first[row + 1]):
        while rows.stop[other] <= rows.start[run] - rows.reach:
            other += 1
        contacts[run] = other


@kernel
def change_regions(
    rows: NumberedRuns, regions: Regions, queue: _Integers, limit: float, classes: int
) -> int:
    """Lets closed small regions take the class of their neighbours, smallest first.

    Args:
        rows: The rows.
        regions: Their regions; at the end `label` is right for all runs.
        queue: Roots of the regions that are small and closed, by area, then root; used up.
        limit: The least area that stays.
        classes: How many classes there are.

    Returns:
        The first run of a region that may still change; the number of runs where none may.
    """
    parent, area = regions.parent, regions.area
    undecided = len(parent)
    neighbours = _Neighbours(
        np.empty(len(parent), np.int32),
        np.zeros(len(parent), np.bool_),
        np.zeros((2, classes), np.int64),
    )
    # Sorted as it comes, the queue is a heap; a region that grew stands in it once more.
    keys, size = area[queue], len(queue)
    while size > 0:
        key, root = keys[0], queue[0]
        size = drop_least(keys, queue, size)
        if parent[root] != root or area[root] != key:
            continue
        count = _meet(rows, regions, root, neighbours)
        taken = _choose(regions, root, neighbours, count)
        if taken == _BLOCKED:
            undecided = min(undecided, root)
        elif taken != NONE:
            whole = _take(regions, root, taken, neighbours.roots[:count])
            if area[whole] < limit and not regions.is_open[whole]:
                size = add_to_heap(keys, queue, size, area[whole], whole)
    for run in range(len(parent)):
        root = find(parent, run)
        regions.label[run] = regions.label[root]
        if regions.is_open[root] and area[root] < limit:
            undecided = min(undecided, root)
    return undecided


@kernel
def _meet(rows: NumberedRuns, regions: Regions, root: int, neighbours: _Neighbours) -> int:
    """Lists a region's neighbours with data and measures the borders; returns how many."""
    count = 0
    run = root
    while run != NONE:
        start, stop = rows.start[run], rows.stop[run]
        if start > 0:
            count = _note(regions, root, neighbours, count, run - 1, 1)
        if stop < rows.width:
            count = _note(regions, root, neighbours, count, run + 1, 1)
        for first in (rows.above[run], rows.below[run]):
            other = first
            while other != NONE and rows.start[other] < stop + rows.reach:
                edges = min(stop, rows.stop[other]) - max(start, rows.start[other])
                count = _note(regions, root, neighbours, count, other, edges)
                other = other + 1 if rows.stop[other] < rows.width else NONE
        run = regions.following[run]
    return count


@kernel
def _note(
    regions: Regions, root: int, neighbours: _Neighbours, count: int, run: int, edges: int
) -> int:
    """Notes that a region's run touches another run along some edges, or 0 at a corner."""
    other = find(regions.parent, run)
    label = regions.label[other]
    if label == NONE or other == root:
        return count
    if edges > 0:
        neighbours.border[1, label] += edges
    else:
        neighbours.border[0, label] += 1
    if neighbours.is_met[other]:
        return count
    neighbours.is_met[other] = True
    neighbours.roots[count] = other
    return count + 1


@kernel
def _choose(regions: Regions, root: int, neighbours: _Neighbours, count: int) -> int:
    """The class that a region takes; `NONE` without neighbours, `_BLOCKED` by a smaller one.

    Forgets the neighbours' borders, for the next region.
    """
    area, label, border = regions.area, regions.label, neighbours.border
    others = neighbours.roots[:count]
    is_blocked = False
    kind = 0
    for other in others:
        if area[other] < area[root] or (area[other] == area[root] and other < root):
            is_blocked = True
        if border[1, label[other]] > 0:
            kind = 1
    best = NONE
    for other in others:
        taken = label[other]
        if best == NONE or (-border[kind, taken], taken) < (-border[kind, best], best):
            best = taken
    for other in others:
        border[0, label[other]] = border[1, label[other]] = 0
        neighbours.is_met[other] = False
    return _BLOCKED if is_blocked else best


@kernel
def _take(regions: Regions, root: int, taken: int, others: _Integers) -> int:
    """Gives a region a class, unites it with its neighbours of that class; the new root."""
    whole = root
    for other in others:
        if regions.label[other] == taken:
            first = unite(regions.parent, whole, other)
            second = whole + other - first
            regions.area[first] += regions.area[second]
            regions.is_open[first] |= regions.is_open[second]
            regions.following[regions.last[first]] = second
            regions.last[first] = regions.last[second]
            whole = first
    regions.label[whole] = taken
    return whole
