"""How large pixels are on the ground: the one rule behind every area and length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer]
Offsets = npt.NDArray[np.int64]
Number = TypeVar("Number", np.int64, np.float64)
_CHUNK = 1 << 16  # edges whose terms stay in the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """How large pixels are on the ground, row by row.

    Vertices are corners of pixels: x counts columns from the left border, y rows from the top one.
    Rings come one after the other in x and y; ring i is `offsets[i]:offsets[i + 1]`, its first
    vertex is repeated at its end, and none is empty.

    Attributes:
        rule: Where the areas come from: "planar in EPSG:32640", "equal-area (LAEA at 25.10 N,
            55.30 E)", or "pixels" for a raster without a place on the globe.
        unit: "m" (areas are in m2) or "px".
        row_area: Area of a pixel of each row, H.
        metric: E, F and G, so that a step of dx columns and dy rows is sqrt(E dx^2 + 2 F dx dy +
            G dy^2) long: 3 x 1 where that holds everywhere, else 3 x (2 H + 1), for y = 0, 0.5,
            1, ... H at the centre column.
    """

    rule: str
    unit: Literal["m", "px"]
    row_area: Floats
    metric: Floats
    _moments: tuple[Floats, Floats] | None = field(init=False, repr=False)
    _columns: Floats | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Areas are a multiple of the integer area plus what the rows differ from that multiple.
        # The cumulated differences are small, so that those of distant rows cancel precisely.
        rest = self.row_area - self._typical_area
        moments = None
        if rest.any():
            middles = np.arange(len(rest)) + 0.5
            moments = _cumulated(rest), _cumulated(rest * middles)
        object.__setattr__(self, "_moments", moments)
        # How long a column is down to each row, by Simpson's rule for each pixel.
        columns = None
        if self.metric.shape[1] > 1:
            sides = np.sqrt(self.metric[2])
            columns = _cumulated((sides[:-1:2] + 4 * sides[1::2] + sides[2::2]) / 6)
        object.__setattr__(self, "_columns", columns)

    @classmethod
    def uniform(
        cls,
        rule: str,
        unit: Literal["m", "px"],
        height: int,
        area: float = 1.0,
        metric: tuple[float, float, float] = (1.0, 0.0, 1.0),
    ) -> Ground:
        """Pixels that are alike everywhere; the defaults are squares of one unit."""
        return cls(rule, unit, np.full(height, area), np.array(metric)[:, None])

    @property
    def is_uniform(self) -> bool:
        """Whether all rows are alike: an area is exactly the pixels times `row_area[0]`."""
        return self._moments is None

    @property
    def mean_area(self) -> float:
        """Area of a pixel, the mean over the rows."""
        return float(self.row_area[0] if self.is_uniform else self.row_area.mean())

    def area_of(self, counts: Integers, top: int = 0) -> Floats:
        """Areas of pixels that are counted by row.

        Args:
            counts: ... x h, pixels in each of h rows.
            top: The first of these rows.

        Returns:
            ..., summed over the rows.
        """
        if self.is_uniform:
            return np.asarray(counts.sum(axis=-1) * self.row_area[0])
        return np.asarray(counts @ self.row_area[top : top + counts.shape[-1]])

    def area_by_value(self, values: npt.NDArray[np.unsignedinteger], top: int) -> Floats:
        """Area that each value has, as many as the type has values.

        Args:
            values: h x w bytes or pairs of them, rows of the raster or parts of them.
            top: The first of these rows.
        """
        height, width = values.shape
        weights = np.repeat(self.row_area[top : top + height], width)
        count = np.iinfo(values.dtype).max + 1
        return np.asarray(np.bincount(values.ravel(), weights, count), np.float64)

    def ring_areas(self, x: Integers, y: Integers, offsets: Offsets) -> Floats:
        """Signed areas inside closed rings of straight edges between lattice points.

        Exact: where the rows are alike it is the integer area times that of a pixel, rounded
        once; else the integral of each row's pixel area over the polygon, by Green's theorem.

        Args:
            x: N columns.
            y: N rows.
            offsets: R + 1, see the class.

        Returns:
            R areas; positive for rings that run clockwise on the screen, where y points down, and
            negative for those that run the other way, as holes do.
        """

        def doubled(here: slice, there: slice) -> npt.NDArray[np.int64]:
            terms: npt.NDArray[np.int64] = np.multiply(
                x[here] + x[there], y[there] - y[here], dtype=np.int64
            )
            return terms

        integers = _sum_by_ring(doubled, offsets, np.int64)
        areas: Floats = integers * 0.5 * self._typical_area
        if self._moments is not None:
            zeroth, first = self._moments
            areas += _sum_by_ring(
                lambda here, there: _differences(x, y, here, there, zeroth, first),
                offsets,
                np.float64,
            )
        return areas

    def ring_lengths(self, x: Integers, y: Integers, offsets: Offsets) -> Floats:
        """Lengths of closed rings; arguments as of `ring_areas`.

        Where rows differ, edges along rows and columns have the length of all their pixels, and
        slanted ones that of Simpson's rule.
        """

        def lengths(here: slice, there: slice) -> Floats:
            dx, dy = (x[there] - x[here]).astype(float), (y[there] - y[here]).astype(float)
            if self._columns is None:
                return _steps(self.metric, dx, dy)
            top, bottom = y[here], y[there]
            terms = _steps(self.metric[:, top + bottom], dx, dy)
            is_slanted = (dx != 0) & (dy != 0)
            if is_slanted.any():
                ends = (2 * one[is_slanted] for one in (top, bottom))
                sides = [_steps(self.metric[:, k], dx[is_slanted], dy[is_slanted]) for k in ends]
                terms[is_slanted] = (4 * terms[is_slanted] + sum(sides)) / 6
            along = np.abs(self._columns[bottom] - self._columns[top])
            return np.where(dx == 0, along, terms)

        return _sum_by_ring(lengths, offsets, np.float64)

    @property
    def _typical_area(self) -> np.float64:
        """That of every pixel where all are alike, which a mean would round."""
        area: np.float64 = self.row_area[len(self.row_area) // 2]
        return area


def _steps(metric: Floats, dx: Floats, dy: Floats) -> Floats:
    """Lengths of steps with the metric of each, or that of all."""
    e, f, g = metric
    squares: Floats = (e * dx + 2 * f * dy) * dx + g * dy * dy
    # Rounding may leave a hair less than nothing of a step along a very skewed axis.
    return np.sqrt(np.maximum(squares, 0, out=squares), out=squares)


def _cumulated(values: Floats) -> Floats:
    """Sums from the first value up to each border between two of them."""
    return np.concatenate([np.zeros(1), np.cumsum(values)])


def _differences(
    x: Integers, y: Integers, here: slice, there: slice, zeroth: Floats, first: Floats
) -> Floats:
    """The integral of x times a row's weight over y, for each edge from `here` to `there`.

    Args:
        x: Columns.
        y: Rows.
        here: Where the edges begin.
        there: Where they end.
        zeroth: Weights of the rows above each border between rows, summed.
        first: The same of weights times their rows' middles.
    """
    left, right, top, bottom = x[here], x[there], y[here], y[there]
    weight = zeroth[bottom] - zeroth[top]
    terms: Floats = (left + right) * 0.5 * weight
    # Before simplification there are no such edges at all.
    slanted = np.flatnonzero((left != right) & (top != bottom))
    if slanted.size:
        x_from, x_to, y_from, y_to = (one[slanted] for one in (left, right, top, bottom))
        lever = first[y_to] - first[y_from] - (y_from + y_to) * 0.5 * weight[slanted]
        terms[slanted] += (x_to - x_from) / (y_to - y_from) * lever
    return terms


def _sum_by_ring(
    terms_of: Callable[[slice, slice], npt.NDArray[Number]], offsets: Offsets, dtype: type[Number]
) -> npt.NDArray[Number]:
    """Sums terms of edges by ring.

    Args:
        terms_of: The terms of edges from some vertices to the ones that follow them.
        offsets: R + 1.
        dtype: Type of the terms.
    """
    totals = np.zeros(len(offsets) - 1, dtype)
    if not totals.size:
        return totals
    last_vertices, end = offsets[1:] - 1, int(offsets[-1]) - 1
    for start in range(int(offsets[0]), end, _CHUNK):
        stop = min(start + _CHUNK, end)
        terms = terms_of(slice(start, stop), slice(start + 1, stop + 1))
        rings = slice(
            np.searchsorted(offsets, start, "right") - 1, np.searchsorted(offsets, stop, "left")
        )
        # No edge leads from one ring to the next.
        joints = last_vertices[rings]
        terms[joints[joints < stop] - start] = 0
        totals[rings] += np.add.reduceat(terms, np.maximum(offsets[rings], start) - start)
    return totals
