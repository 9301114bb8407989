"""Which differences between two maps are no changes: rules that work on strips, yet exactly.

Rows come in and go out from the top. What comes out does not depend on how they are split.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from glnet_geo.boundary_scores import FIRST_NONE, Positions
from glnet_geo.kernels import kernel
from glnet_geo.runs import NOTHING, Runs
from glnet_geo.sample_drawing import lengths_of
from glnet_geo.sieve import PatchSieve

AS_MAPPED, UNSURE, SHIFTED, SMALL = range(4)
"""What becomes of a pixel: it stays as the maps say, or it is no change because one of them is not
sure, because a shift explains it, or because its patch is too small."""

_Integers = npt.NDArray[np.int32]
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ChangeRows:
    """A strip of two maps.

    Attributes:
        top: Its first row.
        old: Classes of the old map, H x W; from `FIRST_NONE` on none.
        new: The same of the new map.
        fate: What becomes of each pixel, H x W; `AS_MAPPED` where the classes are the same, or
            where one of the maps has none.
    """

    top: int
    old: Positions
    new: Positions
    fate: npt.NDArray[np.uint8]

    @property
    def height(self) -> int:
        """Rows."""
        return len(self.old)

    @property
    def differs(self) -> _Mask:
        """Where both maps have a class, and not the same."""
        differs: _Mask = self.old != self.new
        differs &= self.old < FIRST_NONE
        differs &= self.new < FIRST_NONE
        return differs

    def rows(self, first: int, last: int) -> ChangeRows:
        """Some of the rows, counted from the first."""
        here = slice(first, last)
        return ChangeRows(self.top + first, self.old[here], self.new[here], self.fate[here])

    def parts(self, height: int) -> Iterator[ChangeRows]:
        """The rows in strips of so many."""
        for first in range(0, self.height, height):
            yield self.rows(first, first + height)


def _joined(strips: list[ChangeRows]) -> ChangeRows:
    """Strips that follow each other; copies."""
    old, new, fate = (
        np.concatenate([getattr(one, name) for one in strips]) for name in ("old", "new", "fate")
    )
    return ChangeRows(strips[0].top, old, new, fate)


class ShiftFilter:
    """Suppresses differences that a shift of one map against the other explains.

    A pixel that went from class a to class b is explained where the old map has b, and the new map
    has a, within the tolerance: so does every pixel whose difference is nothing but a shift by up
    to the tolerance, in any direction. What lies beyond the map, or has no data, may be anything.
    A pixel that is not explained is the core of a change: it stays, and so do those that went from
    a to b like it within the tolerance, so that what is new is not eaten away at its rim. All
    distances are those of squares: so many rows and so many columns.

    Args:
        reach: The tolerance in pixels, at least 1.
    """

    def __init__(self, reach: int) -> None:
        self._reach = reach
        self._waiting: list[ChangeRows] = []
        self._given = 0  # rows on top of those waiting that are out already

    def push(self, rows: ChangeRows) -> list[ChangeRows]:
        """Takes the rows that follow; returns those that are decided."""
        self._waiting.append(rows)
        return self._decide(is_end=False)

    def finish(self) -> list[ChangeRows]:
        """The rows that are left, after the last one was pushed."""
        return self._decide(is_end=True)

    def _decide(self, is_end: bool) -> list[ChangeRows]:
        height = sum(one.height for one in self._waiting)
        margin = 0 if is_end else 2 * self._reach
        ready = height - margin
        if ready <= self._given:
            return []
        rows = _joined(self._waiting)
        ends = (rows.top == 0, is_end)
        # Further up and down, cores would depend on rows that are not here.
        first = 0 if ends[0] else self._reach
        last = height if is_end else height - self._reach
        cores = np.zeros(rows.old.shape, np.bool_)
        stops = _stops(rows.old), _stops(rows.new)
        _find_cores((rows.old, rows.new), stops, rows.fate, self._reach, (first, last), ends, cores)
        decided = rows.rows(self._given, ready)
        fate = decided.fate.copy()
        counts = np.zeros((height, rows.old.shape[1] + 1), np.int32)
        np.cumsum(cores, axis=1, dtype=np.int32, out=counts[:, 1:])
        _mark_shifted(rows.old, rows.new, cores, counts, self._reach, (self._given, ready), fate)
        kept = max(ready - 2 * self._reach, 0)
        self._waiting, self._given = [rows.rows(kept, height)], ready - kept
        return [replace(decided, fate=fate)]


def _stops(values: Positions) -> _Integers:
    stops = np.empty(values.shape, np.int32)
    _find_stops(values, stops)
    return stops


@kernel
def _find_stops(values: Positions, stops: _Integers) -> None:
    """For each pixel the column behind its run."""
    height, width = values.shape
    for y in range(height):
        stop = width
        for x in range(width - 1, -1, -1):
            if x + 1 < width and values[y, x] != values[y, x + 1]:
                stop = x + 1
            stops[y, x] = stop


@kernel
def _find_cores(
    maps: tuple[Positions, Positions],
    stops: tuple[_Integers, _Integers],
    fate: npt.NDArray[np.uint8],
    reach: int,
    rows: tuple[int, int],
    ends: tuple[bool, bool],
    cores: _Mask,
) -> None:
    """Marks pixels that changed and that no shift explains.

    Args:
        maps: The old one and the new one, H x W each.
        stops: Of both, see `_find_stops`.
        fate: H x W; only what is as mapped can be a core.
        reach: The tolerance.
        rows: The first row to look at, and the one behind the last.
        ends: Whether the map ends above the first row, and below the last.
        cores: H x W, False at first.
    """
    old, new = maps
    height, width = old.shape
    for y in range(rows[0], rows[1]):
        if (ends[0] and y < reach) or (ends[1] and y + reach >= height):
            continue
        for x in range(reach, width - reach):
            here, there = old[y, x], new[y, x]
            if here == there or here >= FIRST_NONE or there >= FIRST_NONE or fate[y, x]:
                continue
            cores[y, x] = not (
                _occurs(new, stops[1], y, x, reach, here)
                and _occurs(old, stops[0], y, x, reach, there)
            )


@kernel
def _occurs(values: Positions, stops: _Integers, y: int, x: int, reach: int, value: int) -> bool:
    """Whether a class, or no data, lies in the square around a pixel."""
    for row in range(y - reach, y + reach + 1):
        column = x - reach
        while column <= x + reach:
            if values[row, column] == value or values[row, column] >= FIRST_NONE:
                return True
            column = stops[row, column]
    return False


@kernel
def _mark_shifted(
    old: Positions,
    new: Positions,
    cores: _Mask,
    counts: _Integers,
    reach: int,
    rows: tuple[int, int],
    fate: npt.NDArray[np.uint8],
) -> None:
    """Suppresses what changed without a core of the same change near.

    Args:
        old: H x W.
        new: H x W.
        cores: H x W.
        counts: H x (W + 1), the cores of a row left of each column.
        reach: The tolerance.
        rows: The first row to look at, and the one behind the last.
        fate: Of these rows; changed.
    """
    height, width = old.shape
    for y in range(rows[0], rows[1]):
        for x in range(width):
            here, there = old[y, x], new[y, x]
            if here == there or here >= FIRST_NONE or there >= FIRST_NONE:
                continue
            if cores[y, x] or fate[y - rows[0], x]:
                continue
            left, right = max(x - reach, 0), min(x + reach + 1, width)
            is_near = False
            for row in range(max(y - reach, 0), min(y + reach + 1, height)):
                if is_near or counts[row, left] == counts[row, right]:
                    continue
                for column in range(left, right):
                    if (
                        cores[row, column]
                        and old[row, column] == here
                        and new[row, column] == there
                    ):
                        is_near = True
                        break
            if not is_near:
                fate[y - rows[0], x] = SHIFTED


class PatchFilter:
    """Suppresses changes whose patch is smaller than a limit.

    A patch is what is connected and changed, whatever from and to: a new estate of houses, roads
    and gardens on what were fields and woods is one.

    Args:
        limits: The smallest patch in pixels of each row of the map.
        width: Pixels of a row.
        connectivity: 4, or 8 where pixels that meet at a corner belong together.
    """

    def __init__(self, limits: npt.NDArray[np.float64], width: int, connectivity: int) -> None:
        self._limits = limits
        self._sieve = PatchSieve(width, 1.0, connectivity)
        self._waiting: list[ChangeRows] = []

    def push(self, rows: ChangeRows) -> list[ChangeRows]:
        """Takes the rows that follow; returns those that are decided."""
        is_change = rows.differs & (rows.fate == AS_MAPPED)
        self._waiting.append(rows)
        weights = 1 / self._limits[rows.top : rows.top + rows.height]
        return self._decided(self._sieve.push(Runs.of(is_change, is_change, rows.top), weights))

    def finish(self) -> list[ChangeRows]:
        """The rows that are left, after the last one was pushed."""
        return self._decided(self._sieve.finish())

    def _decided(self, strips: list[Runs]) -> list[ChangeRows]:
        return [self._settle(runs) for runs in strips]

    def _settle(self, runs: Runs) -> ChangeRows:
        """Takes rows of those waiting."""
        taken, missing = [], runs.height
        while missing:
            first = self._waiting.pop(0)
            taken.append(first.rows(0, missing))
            if first.height > missing:
                self._waiting.insert(0, first.rows(missing, first.height))
            missing -= taken[-1].height
        rows = _joined(taken)
        stays = np.repeat(runs.value != NOTHING, lengths_of(runs)).reshape(rows.fate.shape)
        rows.fate[rows.differs & (rows.fate == AS_MAPPED) & ~stays] = SMALL
        return rows
